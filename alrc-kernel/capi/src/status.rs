//! What a function can answer.

use core::ffi::{CStr, c_char};

use alrc_kernel::{ConfigError, SnapshotError};

/// What a function answers: 0 for success, or an error, after which nothing has been changed and nothing written.
pub type alrc_status = i32;

/// Success.
pub const ALRC_OK: alrc_status = 0;
/// A pointer that may not be NULL is.
pub const ALRC_ERROR_NULL: alrc_status = 1;
/// A pointer is not aligned to its type.
pub const ALRC_ERROR_ALIGNMENT: alrc_status = 2;
/// A length is not the one documented, or no buffer can be so long.
pub const ALRC_ERROR_LENGTH: alrc_status = 3;
/// Buffers overlap, and are not `losses` and `clipped` at one address.
pub const ALRC_ERROR_OVERLAP: alrc_status = 4;
/// The state was neither initialised nor loaded.
pub const ALRC_ERROR_STATE: alrc_status = 5;
/// The limits are not ones that `limits` can have given.
pub const ALRC_ERROR_LIMITS: alrc_status = 6;
/// The sums are not ones that losses can have.
pub const ALRC_ERROR_SUMS: alrc_status = 7;
/// The bytes are not a snapshot, or are damaged.
pub const ALRC_ERROR_SNAPSHOT: alrc_status = 8;
/// The snapshot was written by a later version of the library.
pub const ALRC_ERROR_SNAPSHOT_VERSION: alrc_status = 9;
/// The snapshot is of the other floating-point type.
pub const ALRC_ERROR_SNAPSHOT_TYPE: alrc_status = 10;
/// `num_stddev` is outside [0, 1e9].
pub const ALRC_ERROR_NUM_STDDEV: alrc_status = 16;
/// `num_stddev_below` is neither in [0, 1e9] nor infinity.
pub const ALRC_ERROR_NUM_STDDEV_BELOW: alrc_status = 17;
/// `decay1` is outside [0, 1).
pub const ALRC_ERROR_DECAY1: alrc_status = 18;
/// `decay2` is outside [0, 1).
pub const ALRC_ERROR_DECAY2: alrc_status = 19;
/// `mu1_start` is not finite, or its magnitude above 1.4e17 (float) or 1e152 (double).
pub const ALRC_ERROR_MU1_START: alrc_status = 20;
/// `mu2_start` is not finite, or not above the square of `mu1_start`.
pub const ALRC_ERROR_MU2_START: alrc_status = 21;
/// `epsilon` is outside [0, 1e9].
pub const ALRC_ERROR_EPSILON: alrc_status = 22;
/// `scaling` is no `ALRC_SCALING_...`.
pub const ALRC_ERROR_SCALING: alrc_status = 23;
/// `non_finite` is no `ALRC_NON_FINITE_...`.
pub const ALRC_ERROR_NON_FINITE: alrc_status = 24;

/// One line in English, for any number; never NULL, never to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn alrc_status_message(status: alrc_status) -> *const c_char {
    message(status).as_ptr()
}

fn message(status: alrc_status) -> &'static CStr {
    match status {
        ALRC_OK => c"success",
        ALRC_ERROR_NULL => c"a pointer that may not be null is null",
        ALRC_ERROR_ALIGNMENT => c"a pointer is not aligned to its type",
        ALRC_ERROR_LENGTH => c"a length is not the one documented, or no buffer can be so long",
        ALRC_ERROR_OVERLAP => c"buffers overlap; only clipped may be losses, at the same address",
        ALRC_ERROR_STATE => c"the state was not initialised",
        ALRC_ERROR_LIMITS => c"the limits were not initialised or are damaged",
        ALRC_ERROR_SUMS => c"the sums were not initialised or are damaged",
        ALRC_ERROR_SNAPSHOT => c"the bytes are not a snapshot or are damaged",
        ALRC_ERROR_SNAPSHOT_VERSION => c"the snapshot was written by a later version of the library",
        ALRC_ERROR_SNAPSHOT_TYPE => c"the snapshot is of the other floating-point type",
        ALRC_ERROR_NUM_STDDEV => c"num_stddev must be from 0 to 1e9",
        ALRC_ERROR_NUM_STDDEV_BELOW => c"num_stddev_below must be from 0 to 1e9, or infinity to lift no loss",
        ALRC_ERROR_DECAY1 => c"decay1 must be at least 0 and below 1",
        ALRC_ERROR_DECAY2 => c"decay2 must be at least 0 and below 1",
        ALRC_ERROR_MU1_START => c"mu1_start must be in magnitude at most 1.4e17 (float) or 1e152 (double)",
        ALRC_ERROR_MU2_START => c"mu2_start must be finite and above the square of mu1_start",
        ALRC_ERROR_EPSILON => c"epsilon must be from 0 to 1e9",
        ALRC_ERROR_SCALING => c"scaling must be ALRC_SCALING_RATIO or ALRC_SCALING_DEVIATION",
        ALRC_ERROR_NON_FINITE => c"non_finite must be ALRC_NON_FINITE_SKIP or ALRC_NON_FINITE_REJECT",
        _ => c"unknown status",
    }
}

/// The status of a function's result.
pub(crate) fn answer(call: impl FnOnce() -> Result<(), alrc_status>) -> alrc_status {
    match call() {
        Ok(()) => ALRC_OK,
        Err(status) => status,
    }
}

/// The error for the parameter that the kernel refused.
pub(crate) fn of_config(error: ConfigError) -> alrc_status {
    match error.parameter {
        "num_stddev" => ALRC_ERROR_NUM_STDDEV,
        "num_stddev_below" => ALRC_ERROR_NUM_STDDEV_BELOW,
        "decay1" => ALRC_ERROR_DECAY1,
        "decay2" => ALRC_ERROR_DECAY2,
        "mu1" => ALRC_ERROR_MU1_START,
        "mu2" => ALRC_ERROR_MU2_START,
        "epsilon" => ALRC_ERROR_EPSILON,
        _ => ALRC_ERROR_STATE,
    }
}

pub(crate) fn of_snapshot(error: SnapshotError) -> alrc_status {
    match error {
        SnapshotError::Version(_) => ALRC_ERROR_SNAPSHOT_VERSION,
        SnapshotError::Type(_) => ALRC_ERROR_SNAPSHOT_TYPE,
        _ => ALRC_ERROR_SNAPSHOT,
    }
}
