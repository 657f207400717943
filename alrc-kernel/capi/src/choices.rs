//! The kernel's enumerations as integers, since a caller in C can store any number in a field.

use alrc_kernel::{NonFinite, Scaling};

/// `scaling`: limit/loss, as published, where limit and loss are positive; as `ALRC_SCALING_DEVIATION` elsewhere.
pub const ALRC_SCALING_RATIO: u32 = 0;

/// `scaling`: (limit - mean)/(loss - mean).
pub const ALRC_SCALING_DEVIATION: u32 = 1;

/// `non_finite`: a NaN or an infinite loss has the scale 0 and the clipped value 0; the others are as without it.
pub const ALRC_NON_FINITE_SKIP: u32 = 0;

/// `non_finite`: such a loss makes every scale and clipped value of its batch 0 and leaves the state as it was.
pub const ALRC_NON_FINITE_REJECT: u32 = 1;

pub(crate) fn scaling_to_kernel(scaling: u32) -> Option<Scaling> {
    match scaling {
        ALRC_SCALING_RATIO => Some(Scaling::Ratio),
        ALRC_SCALING_DEVIATION => Some(Scaling::Deviation),
        _ => None,
    }
}

pub(crate) fn scaling_from_kernel(scaling: Scaling) -> u32 {
    match scaling {
        Scaling::Ratio => ALRC_SCALING_RATIO,
        Scaling::Deviation => ALRC_SCALING_DEVIATION,
    }
}

pub(crate) fn non_finite_to_kernel(non_finite: u32) -> Option<NonFinite> {
    match non_finite {
        ALRC_NON_FINITE_SKIP => Some(NonFinite::Skip),
        ALRC_NON_FINITE_REJECT => Some(NonFinite::Reject),
        _ => None,
    }
}

pub(crate) fn non_finite_from_kernel(non_finite: NonFinite) -> u32 {
    match non_finite {
        NonFinite::Skip => ALRC_NON_FINITE_SKIP,
        NonFinite::Reject => ALRC_NON_FINITE_REJECT,
    }
}
