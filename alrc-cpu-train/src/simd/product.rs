//! The one matrix product under every convolution here.
//!
//! C = A B, where C is a strip of [`PANEL`](Simd::PANEL) columns. It is computed in tiles of so many rows that all
//! sums stay in registers while the inner dimension runs: for each of its values a vector or two of B are loaded, and
//! each value of A is spread over a vector and multiplied with them.
//!
//! The inner dimension consists of segments of equal length, so that an operand may lie in memory in pieces. A covers
//! all uses without being copied: forward (rows are tiles or pixels, the inner dimension runs over channels, which lie
//! side by side), weight gradient (rows are channels, the inner dimension runs over tiles or pixels).
//!
//! Multiplying is so fast that waiting for operands would take longer: only what is in the first-level cache is at hand
//! in time. So the caller tells what it will need next, and with every turn of the inner loop a little of that is fetched.

use super::{Simd, prefetch};

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
    /// What is needed after this product, may be empty: a cache line of each is fetched with every turn of the inner loop,
    /// evenly spread. All are for `Order::Depths`, the first two for `Order::Rows(PANEL)`, and none for other rows: there
    /// more would cost more than it saves.
    pub next: [&'a [f32]; 3],
}

/// The left operand: A\[r, s, k\] is `values[r * row + s * segment + k * depth]`, where one of the strides `row` and
/// `depth` is 1.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    /// Where it lies.
    pub values: &'a [f32],
    /// Stride of rows and of depths.
    pub order: Order,
    /// Stride of segments.
    pub segment: usize,
}

/// Which values of the left operand lie side by side.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Those of a row; the rows lie so far apart.
    Rows(usize),
    /// Those of a depth; the depths lie so far apart.
    Depths(usize),
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
pub(super) fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize>(simd: S, product: Product<'_>) {
    // Where the compiler knows the stride of rows, one pointer to A is enough, and there are registers left for two steps
    // and for what is fetched.
    let next = product.next;
    match product.a.order {
        Order::Depths(depth) => {
            multiply_strided::<S, ROWS, VECTORS, 2, 3>(simd, product, Strides { row: 1, depth }, next);
        }
        Order::Rows(row) if row == S::PANEL => {
            let strides = Strides { row: S::PANEL, depth: 1 };
            multiply_strided::<S, ROWS, VECTORS, 2, 2>(simd, product, strides, [next[0], next[1]]);
        }
        Order::Rows(row) => {
            multiply_strided::<S, ROWS, VECTORS, 1, 0>(simd, product, Strides { row, depth: 1 }, []);
        }
    }
}

/// Strides of the left operand.
#[derive(Clone, Copy)]
struct Strides {
    row: usize,
    depth: usize,
}

/// The same with given strides, `STEPS` steps of the inner dimension at a time.
#[inline(always)]
fn multiply_strided<
    S: Simd,
    const ROWS: usize,
    const VECTORS: usize,
    const STEPS: usize,
    const FETCHES: usize,
>(
    simd: S,
    mut product: Product<'_>,
    strides: Strides,
    next: [&[f32]; FETCHES],
) {
    const { assert!(VECTORS * S::LANES == S::PANEL) };
    if product.rows == 0 {
        return;
    }
    check::<S>(&product, strides);
    let turns = product.rows.div_ceil(ROWS) * product.segments * (product.depth / STEPS);
    let mut fetches = next.map(|values| Fetch::new(values, turns, product.b.values));
    let mut row = 0;
    // SAFETY: the product has been checked with these strides, and no tile reaches beyond its last row.
    unsafe {
        while row + ROWS <= product.rows {
            tile::<S, ROWS, VECTORS, STEPS>(simd, &mut product, strides, row, &mut fetches);
            row += ROWS;
        }
        if row + 4 <= product.rows {
            tile::<S, 4, VECTORS, STEPS>(simd, &mut product, strides, row, &mut fetches);
            row += 4;
        }
        if row + 2 <= product.rows {
            tile::<S, 2, VECTORS, STEPS>(simd, &mut product, strides, row, &mut fetches);
            row += 2;
        }
        if row < product.rows {
            tile::<S, 1, VECTORS, STEPS>(simd, &mut product, strides, row, &mut fetches);
        }
    }
}

/// Panics where an operand would be read or written outside its slice.
fn check<S: Simd>(product: &Product<'_>, strides: Strides) {
    let Product { rows, segments, depth, a, b, c, .. } = product;
    assert!(*segments > 0 && *depth > 0, "empty inner dimension");
    // Sums that overflow are outside, too.
    let sum = |terms: [(usize, usize); 3]| {
        terms
            .into_iter()
            .try_fold(0_usize, |sum, (count, stride)| sum.checked_add(count.checked_mul(stride)?))
    };
    let left = sum([(rows - 1, strides.row), (segments - 1, a.segment), (depth - 1, strides.depth)]);
    assert!(left.is_some_and(|last| last < a.values.len()), "left operand reaches outside its slice");
    let right = sum([(segments - 1, b.segment), (*depth, S::PANEL), (0, 0)]);
    assert!(right.is_some_and(|end| end <= b.values.len()), "right operand is too short");
    assert!(rows.checked_mul(S::PANEL).is_some_and(|end| end <= c.len()), "result is too short");
}

/// Where a slice that is fetched bit by bit has been fetched up to.
struct Fetch {
    at: *const f32,
    step: usize,
}

impl Fetch {
    /// To fetch `values` in so many turns; `at_hand` is fetched in their place where there are none, which has no effect.
    #[inline(always)]
    fn new(values: &[f32], turns: usize, at_hand: &[f32]) -> Self {
        if values.is_empty() {
            return Self { at: at_hand.as_ptr(), step: 0 };
        }
        Self { at: values.as_ptr(), step: values.len().div_ceil(turns.max(1)) }
    }

    #[inline(always)]
    fn step(&mut self) {
        prefetch(self.at);
        self.at = self.at.wrapping_add(self.step);
    }
}

/// The rows `first..first + ROWS` of a product.
///
/// # Safety
/// The product must have passed `check` with the same strides, and have all these rows.
#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize, const STEPS: usize>(
    simd: S,
    product: &mut Product<'_>,
    strides: Strides,
    first: usize,
    fetches: &mut [Fetch],
) {
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
        let mut left = first * strides.row + segment * a.segment;
        let mut right = segment * b.segment;
        for _ in 0..depth / STEPS {
            for fetch in &mut *fetches {
                fetch.step();
            }
            for step in 0..STEPS {
                let (left, right) = (left + step * strides.depth, right + step * S::PANEL);
                // SAFETY: by the caller's promise the last value and vector of each operand lie inside its slice; rows,
                // segments and depths count up to the same bounds here.
                unsafe { add_depth(simd, a.values, left, strides.row, b.values, right, &mut sums) };
            }
            left += STEPS * strides.depth;
            right += STEPS * S::PANEL;
        }
        for _ in 0..depth % STEPS {
            // SAFETY: as above.
            unsafe { add_depth(simd, a.values, left, strides.row, b.values, right, &mut sums) };
            left += strides.depth;
            right += S::PANEL;
        }
    }
    for (sums, c) in sums.iter().zip(c.chunks_exact_mut(S::PANEL)) {
        for (&sum, c) in sums.iter().zip(c.chunks_exact_mut(S::LANES)) {
            simd.store(sum, c);
        }
    }
}

/// Adds the products of one depth: the values of A that start at `left`, `row` apart, and the row of B that starts at
/// `right`.
///
/// # Safety
/// They must lie inside their slices.
#[inline(always)]
unsafe fn add_depth<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    a: &[f32],
    left: usize,
    row: usize,
    b: &[f32],
    right: usize,
    sums: &mut [[S::Vector; VECTORS]; ROWS],
) {
    let mut vectors = [simd.splat(0.0); VECTORS];
    for (j, vector) in vectors.iter_mut().enumerate() {
        let first = right + j * S::LANES;
        // SAFETY: the caller's promise.
        *vector = simd.load(unsafe { b.get_unchecked(first..first + S::LANES) });
    }
    for (index, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let a = simd.splat(unsafe { *a.get_unchecked(left + index * row) });
        for (sum, &vector) in sums.iter_mut().zip(&vectors) {
            *sum = simd.mul_add(a, vector, *sum);
        }
    }
}
