"""What goes between the two phases of a step: limits to where the losses are, and sums back."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._library import NON_FINITES, SCALINGS, Interface, check

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Sums:
    """What (a part of) a step's losses add to the moments: plain numbers for any transport."""

    count: int
    """Number of finite losses."""
    clipped: int
    """Number of losses that were clipped."""
    non_finite: int
    """Number of losses that were NaN or infinite; they are in none of the other fields."""
    mean: float
    """Mean of the clipped losses."""
    squares: float
    """Sum of the squares of the clipped losses about their mean."""
    largest_excess: float
    """The largest distance of a loss from the limit that clipped it; 0 if none was clipped."""

    @classmethod
    def _from_struct(cls, struct: Any) -> "Sums":
        return cls(*(getattr(struct, name) for name, _ in struct._fields_))

    def _to_struct(self, interface: Interface) -> Any:
        struct = interface.Sums
        return struct(*(getattr(self, name) for name, _ in struct._fields_))


class Part(NamedTuple):
    """The losses of a part of a step after clipping."""

    clipped: Array
    """Each loss within the limits; 0 for one that is NaN or infinite."""
    scales: Array
    """The factor of each loss's gradient."""
    sums: Sums
    """For `Alrc.update`."""


class Limits:
    """The limits of one step, for the losses of that step wherever they arise."""

    __slots__ = ("_interface", "_limits")

    def __init__(self, interface: Interface, limits: Any):
        self._interface, self._limits = interface, limits

    @property
    def lower(self) -> float:
        """Smaller losses are lifted to this value; the lowest finite number where none is lifted."""
        return self._limits.lower  # type: ignore[no-any-return]

    @property
    def mean(self) -> float:
        """mu1."""
        return self._limits.mean  # type: ignore[no-any-return]

    @property
    def upper(self) -> float:
        """Larger losses are clipped to this value; the largest finite number during a warm-up."""
        return self._limits.upper  # type: ignore[no-any-return]

    @property
    def scaling(self) -> str:
        """As given to `Alrc`."""
        return SCALINGS[self._limits.scaling]

    @property
    def non_finite(self) -> str:
        """As given to `Alrc`."""
        return NON_FINITES[self._limits.non_finite]

    def clip(self, losses: npt.ArrayLike, clipped: Array | None = None, scales: Array | None = None) -> Part:
        """Clips (a part of) the losses of the step; the arguments are those of `Alrc.step_batch`."""
        losses, clipped, scales = batch(self._interface, losses, clipped, scales)
        sums = self._interface.Sums()
        check(self._interface.clip(self._limits, *addresses(losses, clipped, scales), losses.size, sums))
        return Part(clipped, scales, Sums._from_struct(sums))


def batch(
    interface: Interface, losses: npt.ArrayLike, clipped: Array | None, scales: Array | None
) -> tuple[Array, Array, Array]:
    """The arrays of a batch. Results of the caller's are checked, those that are not given are made."""
    losses = np.asarray(losses, dtype=interface.dtype, order="C")

    def result(name: str, array: Array | None) -> Array:
        if array is None:
            return np.empty_like(losses)
        is_fit = array.dtype == losses.dtype and array.shape == losses.shape
        if not (is_fit and array.flags.c_contiguous and array.flags.writeable):
            raise ValueError(
                f"{name} must be a writable, C-contiguous {losses.dtype} array of shape {losses.shape}"
            )
        return array

    return losses, result("clipped", clipped), result("scales", scales)


def addresses(*arrays: Array) -> list[int]:
    return [array.__array_interface__["data"][0] for array in arrays]
