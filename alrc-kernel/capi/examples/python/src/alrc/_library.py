"""The shared library, as `alrc.h` describes it: its structs and functions for each floating-point type."""

import ctypes
from ctypes import (
    POINTER,
    c_char_p,
    c_double,
    c_float,
    c_int32,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from typing import Any

import numpy as np

SNAPSHOT_LEN = 100
ERROR_LENGTH = 3
ERROR_SNAPSHOT_TYPE = 10
SCALINGS = ("ratio", "deviation")
NON_FINITES = ("skip", "reject")

_path = str(next(Path(__file__).parent.glob("library.*")))
_library = ctypes.CDLL(_path)
# Calls that take less than the interpreter's lock, which they keep.
_short = ctypes.PyDLL(_path)

_library.alrc_status_message.argtypes = [c_int32]
_library.alrc_status_message.restype = c_char_p
_library.alrc_version.restype = c_uint32


class Error(ValueError):
    """What the library refused, and why; `status` is the `alrc_status` of `alrc.h`."""

    def __init__(self, status: int, message: str | None = None):
        super().__init__(message or status_message(status))
        self.status = status

    def __reduce__(self) -> tuple[type["Error"], tuple[int, str]]:
        return type(self), (self.status, str(self))


def status_message(status: int) -> str:
    message: bytes = _library.alrc_status_message(status)
    return message.decode()


def check(status: int) -> None:
    if status:
        raise Error(status)


def version() -> str:
    number: int = _library.alrc_version()
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"


class Interface:
    """Everything of `alrc.h` whose name begins with `alrc_f32` or `alrc_f64`.

    The fields of each struct stand in the header's order.
    """

    def __init__(self, prefix: str, real: Any, dtype: type[np.floating[Any]]):
        self.dtype = np.dtype(dtype)
        self.real = real

        def struct(name: str, *fields: tuple[str, Any]) -> Any:
            return type(name, (ctypes.Structure,), {"_fields_": fields})

        def function(name: str, *arguments: Any, library: ctypes.CDLL = _library) -> Any:
            result = library[f"{prefix}_{name}"]
            result.argtypes, result.restype = arguments, c_int32
            return result

        self.Config = struct(
            "Config",
            ("num_stddev", real),
            ("num_stddev_below", real),
            ("decay1", real),
            ("decay2", real),
            ("mu1_start", real),
            ("mu2_start", real),
            ("epsilon", real),
            ("warm_up_steps", c_uint32),
            ("scaling", c_uint32),
            ("non_finite", c_uint32),
        )
        self.State = struct(
            "State",
            ("config", self.Config),
            ("mean", real),
            ("carry", real),
            ("variance", real),
            ("warm_up_left", c_uint32),
            ("tag", c_uint32),
        )
        self.Report = struct(
            "Report",
            ("clipped", c_uint64),
            ("non_finite", c_uint64),
            ("largest_excess", real),
            ("limit", real),
            ("updated", c_uint32),
        )
        self.Limits = struct(
            "Limits",
            ("lower", real),
            ("mean", real),
            ("upper", real),
            ("scaling", c_uint32),
            ("non_finite", c_uint32),
        )
        self.Sums = struct(
            "Sums",
            ("count", c_uint64),
            ("clipped", c_uint64),
            ("non_finite", c_uint64),
            ("mean", real),
            ("squares", real),
            ("largest_excess", real),
        )
        state, limits, sums = POINTER(self.State), POINTER(self.Limits), POINTER(self.Sums)
        buffers = (c_void_p, c_void_p, c_void_p, c_size_t)
        snapshot = (POINTER(c_uint8 * SNAPSHOT_LEN), c_size_t)
        self.init = function("init", state, POINTER(self.Config))
        # By address: a pointer would take longer to make than the step.
        self.step = function("step", c_void_p, real, c_void_p, c_void_p, library=_short)
        self.step_batch = function("step_batch", state, *buffers, POINTER(self.Report))
        self.limits = function("limits", state, limits)
        self.clip = function("clip", limits, *buffers, sums)
        self.sums_merge = function("sums_merge", sums, sums)
        self.update = function("update", state, sums)
        self.moments = function("moments", state, POINTER(real), POINTER(real))
        self.save = function("save", state, *snapshot)
        self.load = function("load", state, *snapshot)


INTERFACES = {
    np.dtype(np.float32): Interface("alrc_f32", c_float, np.float32),
    np.dtype(np.float64): Interface("alrc_f64", c_double, np.float64),
}
