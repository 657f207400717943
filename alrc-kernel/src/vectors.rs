//! The widest vectors that the processor has, beyond those that every processor of the target has.

/// Whether loops over lanes are compiled to vector instructions.
pub(crate) const HAS_VECTORS: bool =
    cfg!(any(target_feature = "sse2", target_feature = "neon", target_feature = "simd128"));

/// Does `work`, a loop over `len` losses that is compiled for vectors of each width, in the widest. They change no bit.
/// `work` is to be `#[inline(always)]`: it would be compiled but once, outside, if it were not.
#[cfg(feature = "simd")]
#[inline(always)]
pub(crate) fn in_widest_vectors<R>(len: usize, work: impl FnOnce() -> R) -> R {
    use fearless_simd::{dispatch, Level, Simd};
    // A shorter loop takes less time than the choice.
    if len < 64 {
        return work();
    }
    dispatch!(Level::new(), simd => simd.vectorize(work))
}

/// Does `work` in the vectors that every processor of the target has.
#[cfg(not(feature = "simd"))]
#[inline(always)]
pub(crate) fn in_widest_vectors<R>(_len: usize, work: impl FnOnce() -> R) -> R {
    work()
}
