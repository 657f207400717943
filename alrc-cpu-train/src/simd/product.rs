//! The one matrix product under every convolution here.
//!
//! C = A B, where C is a strip of [`PANEL`](Simd::PANEL) columns. It is computed in tiles of so many rows that all
//! sums stay in registers while the inner dimension runs: for each of its values a vector or two of B are loaded, and
//! each value of A is spread over a vector and multiplied with them.
//!
//! The inner dimension consists of segments of equal length, so that an operand may lie in memory in pieces. With
//! three strides A covers all uses without being copied: forward (rows are tiles or pixels, the inner dimension runs
//! over channels), weight gradient (rows are channels, the inner dimension runs over tiles or pixels).

use super::Simd;

/// Operands of C\[r, j\] (+)= sum over segments s and depths k of A\[r, s, k\] B\[s, k, j\].
#[derive(Debug)]
pub struct Product<'a> {
    /// Rows of C and A.
    pub rows: usize,
    /// Number of segments of the inner dimension.
    pub segments: usize,
    /// Length of each.
    pub depth: usize,
    /// Left operand.
    pub a: Left<'a>,
    /// Right operand.
    pub b: Right<'a>,
    /// Result, `[rows, PANEL]`.
    pub c: &'a mut [f32],
    /// Whether the product is added to C, or overwrites it.
    pub accumulate: bool,
}

/// The left operand: A\[r, s, k\] is `values[r * row + s * segment + k * depth]`.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    /// Where it lies.
    pub values: &'a [f32],
    /// Stride of rows.
    pub row: usize,
    /// Stride of segments.
    pub segment: usize,
    /// Stride of depths.
    pub depth: usize,
}

/// The right operand: B\[s, k, j\] is `values[s * segment + k * PANEL + j]`.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    /// Where it lies.
    pub values: &'a [f32],
    /// Stride of segments.
    pub segment: usize,
}

/// Computes a product in register tiles of `ROWS` rows of `VECTORS` vectors.
#[inline(always)]
pub(super) fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize>(simd: S, mut product: Product<'_>) {
    const { assert!(VECTORS * S::LANES == S::PANEL) };
    if product.rows == 0 {
        return;
    }
    check::<S>(&product);
    let mut row = 0;
    while row + ROWS <= product.rows {
        tile::<S, ROWS, VECTORS>(simd, &mut product, row);
        row += ROWS;
    }
    if row + 4 <= product.rows {
        tile::<S, 4, VECTORS>(simd, &mut product, row);
        row += 4;
    }
    if row + 2 <= product.rows {
        tile::<S, 2, VECTORS>(simd, &mut product, row);
        row += 2;
    }
    if row < product.rows {
        tile::<S, 1, VECTORS>(simd, &mut product, row);
    }
}

/// Panics where an operand would be read or written outside its slice.
fn check<S: Simd>(product: &Product<'_>) {
    let Product { rows, segments, depth, a, b, c, .. } = product;
    assert!(*segments > 0 && *depth > 0, "empty inner dimension");
    // Sums that overflow are outside, too.
    let sum = |terms: [(usize, usize); 3]| {
        terms
            .into_iter()
            .try_fold(0_usize, |sum, (count, stride)| sum.checked_add(count.checked_mul(stride)?))
    };
    let left = sum([(rows - 1, a.row), (segments - 1, a.segment), (depth - 1, a.depth)]);
    assert!(left.is_some_and(|last| last < a.values.len()), "left operand reaches outside its slice");
    let right = sum([(segments - 1, b.segment), (*depth, S::PANEL), (0, 0)]);
    assert!(right.is_some_and(|end| end <= b.values.len()), "right operand is too short");
    assert!(rows.checked_mul(S::PANEL).is_some_and(|end| end <= c.len()), "result is too short");
}

/// The rows `first..first + ROWS` of a product that has been checked.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(simd: S, product: &mut Product<'_>, first: usize) {
    let Product { segments, depth, a, b, ref mut c, accumulate, .. } = *product;
    let c = &mut c[first * S::PANEL..][..ROWS * S::PANEL];
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    if accumulate {
        for (sums, c) in sums.iter_mut().zip(c.chunks_exact(S::PANEL)) {
            for (sum, c) in sums.iter_mut().zip(c.chunks_exact(S::LANES)) {
                *sum = simd.load(c);
            }
        }
    }
    for segment in 0..segments {
        let mut left = first * a.row + segment * a.segment;
        let mut right = segment * b.segment;
        for _ in 0..depth {
            let mut vectors = [simd.splat(0.0); VECTORS];
            for (j, vector) in vectors.iter_mut().enumerate() {
                let first = right + j * S::LANES;
                // SAFETY: `check` has shown that the last value and vector of each operand lie inside its slice;
                // rows, segments and depths count up to the same bounds here.
                *vector = simd.load(unsafe { b.values.get_unchecked(first..first + S::LANES) });
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let a = simd.splat(unsafe { *a.values.get_unchecked(left + row * a.row) });
                for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                    *sum = simd.mul_add(a, vector, *sum);
                }
            }
            left += a.depth;
            right += S::PANEL;
        }
    }
    for (sums, c) in sums.iter().zip(c.chunks_exact_mut(S::PANEL)) {
        for (&sum, c) in sums.iter().zip(c.chunks_exact_mut(S::LANES)) {
            simd.store(sum, c);
        }
    }
}
