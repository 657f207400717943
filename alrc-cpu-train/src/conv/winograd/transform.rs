//! The transforms of F(4x4, 3x3) in one dimension, and how they act on both.
//!
//! See the [module above](super) for the matrices. The points come in pairs +-p, which the formulas exploit: the even
//! and the odd part of a polynomial are computed once for both.

use std::f32::consts::{FRAC_1_SQRT_2 as A, SQRT_2 as B};

use crate::simd::Simd;

/// A linear map from `N` to `M` values.
///
/// A trait rather than closures, for the sake of inlining: see [`crate::simd`].
pub(super) trait Transform<const N: usize, const M: usize>: Copy {
    fn apply<S: Simd>(simd: S, values: [S::Vector; N]) -> [S::Vector; M];
}

/// Applies a transform to the columns that `read` yields, then to the rows of what comes out.
#[inline(always)]
pub(super) fn both_ways<S: Simd, T: Transform<N, M>, const N: usize, const M: usize>(
    simd: S,
    _: T,
    mut read: impl FnMut(usize) -> [S::Vector; N],
) -> [[S::Vector; M]; M] {
    let zero = simd.splat(0.0);
    let mut half = [[zero; N]; M];
    for column in 0..N {
        let values = T::apply(simd, read(column));
        for (half, &value) in half.iter_mut().zip(&values) {
            half[column] = value;
        }
    }
    let mut result = [[zero; M]; M];
    for (result, &half) in result.iter_mut().zip(&half) {
        *result = T::apply(simd, half);
    }
    result
}

/// B' d: six values of the input to six frequencies.
#[derive(Clone, Copy)]
pub(super) struct Input;

impl Transform<6, 6> for Input {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, d: [S::Vector; 6]) -> [S::Vector; 6] {
        let number = |x| simd.splat(x);
        let pair = |even, odd| [simd.add(even, odd), simd.sub(even, odd)];
        let at_zero = simd.mul_add(number(-2.5), d[2], simd.add(d[0], d[4]));
        let [plus_a, minus_a] = pair(
            simd.mul_add(number(-2.0), d[2], d[4]),
            simd.mul(number(A), simd.mul_add(number(-2.0), d[1], d[3])),
        );
        let [plus_b, minus_b] = pair(
            simd.mul_add(number(-0.5), d[2], d[4]),
            simd.mul(number(B), simd.mul_add(number(-0.5), d[1], d[3])),
        );
        let at_infinity = simd.mul_add(number(-2.5), d[3], simd.add(d[1], d[5]));
        [at_zero, plus_a, minus_a, plus_b, minus_b, at_infinity]
    }
}

/// A' m: six frequencies to four values of the output.
#[derive(Clone, Copy)]
pub(super) struct Output;

impl Transform<6, 4> for Output {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: [S::Vector; 6]) -> [S::Vector; 4] {
        let number = |x| simd.splat(x);
        let (even_a, odd_a) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
        let (even_b, odd_b) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
        [
            simd.add(m[0], simd.add(even_a, even_b)),
            simd.mul_add(number(A), odd_a, simd.mul(number(B), odd_b)),
            simd.mul_add(number(0.5), even_a, simd.add(even_b, even_b)),
            simd.mul_add(number(A / 2.0), odd_a, simd.mul_add(number(2.0 * B), odd_b, m[5])),
        ]
    }
}

/// A y: the gradient of four values of the output to that of six frequencies.
#[derive(Clone, Copy)]
pub(super) struct OutputGradient;

impl Transform<4, 6> for OutputGradient {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, y: [S::Vector; 4]) -> [S::Vector; 6] {
        let number = |x| simd.splat(x);
        let pair = |even, odd| [simd.add(even, odd), simd.sub(even, odd)];
        let [plus_a, minus_a] = pair(
            simd.mul_add(number(0.5), y[2], y[0]),
            simd.mul_add(number(A), y[1], simd.mul(number(A / 2.0), y[3])),
        );
        let [plus_b, minus_b] = pair(
            simd.mul_add(number(2.0), y[2], y[0]),
            simd.mul_add(number(B), y[1], simd.mul(number(2.0 * B), y[3])),
        );
        [y[0], plus_a, minus_a, plus_b, minus_b, y[3]]
    }
}

/// G g: three weights to six frequencies.
#[derive(Clone, Copy)]
pub(super) struct Weights;

impl Transform<3, 6> for Weights {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, g: [S::Vector; 3]) -> [S::Vector; 6] {
        let number = |x| simd.splat(x);
        let pair = |even, odd| [simd.add(even, odd), simd.sub(even, odd)];
        let [plus_a, minus_a] = pair(
            simd.mul_add(number(-2.0 / 3.0), g[0], simd.mul(number(-1.0 / 3.0), g[2])),
            simd.mul(number(-2.0 / 3.0 * A), g[1]),
        );
        let [plus_b, minus_b] = pair(
            simd.mul_add(number(1.0 / 6.0), g[0], simd.mul(number(1.0 / 3.0), g[2])),
            simd.mul(number(1.0 / 6.0 * B), g[1]),
        );
        [g[0], plus_a, minus_a, plus_b, minus_b, g[2]]
    }
}

/// G' u: the gradient of six frequencies to that of three weights.
#[derive(Clone, Copy)]
pub(super) struct WeightGradient;

impl Transform<6, 3> for WeightGradient {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, u: [S::Vector; 6]) -> [S::Vector; 3] {
        let number = |x| simd.splat(x);
        let (even_a, odd_a) = (simd.add(u[1], u[2]), simd.sub(u[1], u[2]));
        let (even_b, odd_b) = (simd.add(u[3], u[4]), simd.sub(u[3], u[4]));
        [
            simd.mul_add(number(-2.0 / 3.0), even_a, simd.mul_add(number(1.0 / 6.0), even_b, u[0])),
            simd.mul_add(number(-2.0 / 3.0 * A), odd_a, simd.mul(number(1.0 / 6.0 * B), odd_b)),
            simd.mul_add(number(-1.0 / 3.0), even_a, simd.mul_add(number(1.0 / 3.0), even_b, u[5])),
        ]
    }
}
