"""The state machine: limits, then an update, step after step."""

from ctypes import ArgumentError, addressof, byref
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ._library import (
    ERROR_LENGTH,
    ERROR_SNAPSHOT_TYPE,
    INTERFACES,
    NON_FINITES,
    SCALINGS,
    SNAPSHOT_LEN,
    Error,
    Interface,
    check,
    status_message,
)
from ._phases import Array, Limits, Sums, addresses, batch

Scaling = Literal["ratio", "deviation"]
NonFinite = Literal["skip", "reject"]


class Report(NamedTuple):
    """What a call of `Alrc.step_batch` did."""

    clipped: int
    """Number of losses that were clipped."""
    non_finite: int
    """Number of losses that were NaN or infinite."""
    largest_excess: float
    """The largest distance of a loss from the limit that clipped it; 0 if none was clipped."""
    limit: float
    """The limit above which losses were clipped."""
    updated: bool
    """Whether the moments moved: not if no loss was finite or the batch was rejected."""


class Batch(NamedTuple):
    """The losses of a step after clipping."""

    clipped: Array
    """Each loss within the limits; 0 for one that is NaN or infinite."""
    scales: Array
    """The factor of each loss's gradient, in [0, 1] (up to 8 for a loss that was lifted)."""
    report: Report
    """What the step did."""


class Alrc:
    """Adaptive learning rate clipping: parameters, and the running moments of the clipped losses.

    One state is for one thread at a time. It can be copied and pickled, to the bit.

    Args:
        dtype: Of losses and state, float32 or float64. An array of losses of the same type is not copied.
        num_stddev: Standard deviations above the mean at which losses are clipped, in [0, 1e9].
        num_stddev_below: Standard deviations below the mean to which losses are lifted, in [0, 1e9]; None lifts none.
        decay: Decay of the running mean mu1, in [0, 1).
        decay2: Decay of the running mean square mu2, in [0, 1); None for that of mu1. Where it is
            another, the deviation can be larger, most where it is above, because mu2 is not allowed to fall below the
            square of mu1.
        mu1_start: mu1 before the first step, in units of the loss.
        mu2_start: mu2 before the first step, above the square of mu1_start.
        epsilon: Added to the variance under the square root, in squared units of the loss, in [0, 1e9].
        warm_up_steps: Number of first steps that pass unclipped while the moments are plain averages; mu1_start and
            mu2_start are then not used.
        scaling: The gradient of a clipped loss is scaled by limit/loss ("ratio", as published; by "deviation" where
            limit and loss are not positive) or by (limit - mean)/(loss - mean).
        non_finite: A NaN or an infinite loss has the scale 0 and never enters the moments; "reject" makes every scale
            of its batch 0 and leaves the state as it was.

    Raises:
        Error: A parameter is outside its range.
    """

    __slots__ = ("_clipped_at", "_interface", "_results", "_scale_at", "_state", "_state_at", "_step")

    def __init__(
        self,
        *,
        dtype: npt.DTypeLike = np.float64,
        num_stddev: float = 3.0,
        num_stddev_below: float | None = None,
        decay: float = 0.999,
        decay2: float | None = None,
        mu1_start: float = 25.0,
        mu2_start: float = 900.0,
        epsilon: float = 1e-8,
        warm_up_steps: int = 0,
        scaling: Scaling = "ratio",
        non_finite: NonFinite = "skip",
    ):
        self._set_up(interface_of(dtype))
        if not 0 <= warm_up_steps < 1 << 32:
            raise ValueError(f"warm_up_steps must be from 0 to 4294967295, not {warm_up_steps}")
        config = {
            "num_stddev": num_stddev,
            "num_stddev_below": inf if num_stddev_below is None else num_stddev_below,
            "decay1": decay,
            "decay2": decay if decay2 is None else decay2,
            "mu1_start": mu1_start,
            "mu2_start": mu2_start,
            "epsilon": epsilon,
            "warm_up_steps": warm_up_steps,
            "scaling": _index(SCALINGS, scaling, "scaling"),
            "non_finite": _index(NON_FINITES, non_finite, "non_finite"),
        }
        status = self._interface.init(self._state, self._interface.Config(**config))
        if status:
            # The message begins with the library's name of what it is about.
            field, _, permitted = status_message(status).partition(" ")
            raise Error(status, f"{_argument(field)} {permitted}, not {config[field]}")

    def _set_up(self, interface: Interface) -> None:
        self._interface = interface
        self._state = interface.State()
        # What a scalar step needs, looked up once.
        self._step = interface.step
        self._state_at = addressof(self._state)
        self._results = (interface.real * 2)()
        self._clipped_at = addressof(self._results)
        self._scale_at = self._clipped_at + interface.dtype.itemsize

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of losses and state."""
        return self._interface.dtype

    def step(self, loss: float) -> tuple[float, float]:
        """Clips the loss of one step.

        Returns:
            The loss within the limits, and the factor of its gradient; both 0 if the loss is NaN or infinite.

        Raises:
            TypeError: The loss is no number.
        """
        results = self._results
        try:
            status = self._step(self._state_at, loss, self._clipped_at, self._scale_at)
        except ArgumentError:
            raise TypeError(f"a loss must be a number, not {type(loss).__name__}") from None
        if status:
            raise Error(status)
        return results[0], results[1]

    def step_batch(
        self, losses: npt.ArrayLike, clipped: Array | None = None, scales: Array | None = None
    ) -> Batch:
        """Clips the losses of one step. No array is copied that is C-contiguous and of the state's type.

        Args:
            losses: Of any shape.
            clipped: Receives the losses within the limits, and may be `losses` itself. Made if it is not given.
            scales: Receives the factors of their gradients. Made if it is not given.

        Raises:
            ValueError: `clipped` or `scales` has another shape or type, or overlaps.
        """
        losses, clipped, scales = batch(self._interface, losses, clipped, scales)
        report = self._interface.Report()
        check(
            self._interface.step_batch(self._state, *addresses(losses, clipped, scales), losses.size, report)
        )
        result = Report(
            report.clipped, report.non_finite, report.largest_excess, report.limit, bool(report.updated)
        )
        return Batch(clipped, scales, result)

    def limits(self) -> Limits:
        """The first phase of a step whose losses arise in several places: the limits for all of them."""
        limits = self._interface.Limits()
        check(self._interface.limits(self._state, limits))
        return Limits(self._interface, limits)

    def update(self, *parts: Sums) -> Sums:
        """The second phase: moves the moments by the sums of all parts of the step.

        Returns:
            The sums of the whole step. The parts are merged in the order given: keep to one order wherever states
            are to stay equal to the bit.

        Raises:
            Error: No losses can have these sums.
        """
        sums = self._interface.Sums()
        for part in parts:
            check(self._interface.sums_merge(sums, part._to_struct(self._interface)))
        check(self._interface.update(self._state, sums))
        return Sums._from_struct(sums)

    @property
    def mu1(self) -> float:
        """The running mean of the clipped losses."""
        return self._moments()[0]

    @property
    def mu2(self) -> float:
        """The running mean of the squares of the clipped losses."""
        return self._moments()[1]

    def _moments(self) -> tuple[float, float]:
        mu1, mu2 = self._interface.real(), self._interface.real()
        check(self._interface.moments(self._state, byref(mu1), byref(mu2)))
        return mu1.value, mu2.value

    def to_bytes(self) -> bytes:
        """Parameters and state in 100 bytes, the same in every language and on every machine."""
        snapshot = self._interface.load.argtypes[1]._type_()
        check(self._interface.save(self._state, snapshot, SNAPSHOT_LEN))
        return bytes(snapshot)

    @classmethod
    def from_bytes(cls, snapshot: bytes) -> "Alrc":
        """What `to_bytes` wrote, here or in another language, to the bit.

        Raises:
            Error: The bytes are not a snapshot, or are damaged.
        """
        if len(snapshot) != SNAPSHOT_LEN:
            raise Error(ERROR_LENGTH, f"a snapshot has {SNAPSHOT_LEN} bytes, not {len(snapshot)}")
        status = 0
        for interface in INTERFACES.values():
            alrc = cls.__new__(cls)
            alrc._set_up(interface)
            buffer = interface.load.argtypes[1]._type_.from_buffer_copy(snapshot)
            status = interface.load(alrc._state, buffer, SNAPSHOT_LEN)
            if status != ERROR_SNAPSHOT_TYPE:
                break
        check(status)
        return alrc

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return type(self).from_bytes, (self.to_bytes(),)

    def __repr__(self) -> str:
        config = self._state.config
        values = {_argument(field): f"{getattr(config, field):g}" for field, _ in config._fields_}
        if config.num_stddev_below == inf:
            values["num_stddev_below"] = "None"
        values["scaling"] = repr(SCALINGS[config.scaling])
        values["non_finite"] = repr(NON_FINITES[config.non_finite])
        arguments = ", ".join(f"{name}={value}" for name, value in values.items())
        return f"Alrc(dtype={self.dtype}, {arguments}; mu1={self.mu1:g}, mu2={self.mu2:g})"


def interface_of(dtype: npt.DTypeLike) -> Interface:
    try:
        return INTERFACES[np.dtype(dtype)]
    except KeyError:
        raise TypeError(f"dtype must be float32 or float64, not {np.dtype(dtype)}") from None


def _argument(field: str) -> str:
    """What a field of the library's configuration is called here."""
    return "decay" if field == "decay1" else field


def _index(names: tuple[str, ...], name: str, parameter: str) -> int:
    if name not in names:
        raise ValueError(f"{parameter} must be one of {', '.join(names)}, not {name!r}")
    return names.index(name)
