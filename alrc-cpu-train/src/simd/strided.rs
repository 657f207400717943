//! Several vectors at equal distances, with one check for all of them.

use super::Simd;

/// The vectors whose first values are at `first`, `first + stride`, ...
#[inline(always)]
pub(crate) fn load<S: Simd, const N: usize>(
    simd: S,
    values: &[f32],
    first: usize,
    stride: usize,
) -> [S::Vector; N] {
    check::<S, N>(values.len(), first, stride);
    let mut vectors = [simd.splat(0.0); N];
    for (index, vector) in vectors.iter_mut().enumerate() {
        let first = first + index * stride;
        // SAFETY: `check` has shown that the last vector lies inside the slice.
        *vector = simd.load(unsafe { values.get_unchecked(first..first + S::LANES) });
    }
    vectors
}

/// Writes vectors to where [`load`] would read them.
#[inline(always)]
pub(crate) fn store<S: Simd, const N: usize>(
    simd: S,
    vectors: [S::Vector; N],
    values: &mut [f32],
    first: usize,
    stride: usize,
) {
    check::<S, N>(values.len(), first, stride);
    for (index, &vector) in vectors.iter().enumerate() {
        let first = first + index * stride;
        // SAFETY: `check` has shown that the last vector lies inside the slice.
        simd.store(vector, unsafe { values.get_unchecked_mut(first..first + S::LANES) });
    }
}

/// Panics where one of `N` vectors would lie outside a slice of `len` values.
#[inline(always)]
fn check<S: Simd, const N: usize>(len: usize, first: usize, stride: usize) {
    // Sums that overflow are outside, too.
    let firsts = stride
        .checked_mul(N - 1)
        .and_then(|last| last.checked_add(S::LANES))
        .and_then(|span| len.checked_sub(span));
    assert!(firsts.is_some_and(|firsts| first <= firsts), "vectors outside their slice");
}
