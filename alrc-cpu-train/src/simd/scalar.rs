//! Plain arithmetic on arrays: what every processor can do.

use super::Simd;
use super::product::{Product, multiply};

/// The token of the scalar path, for which nothing needs to be proved.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

type Array = [f32; 8];

impl Simd for Scalar {
    type Vector = Array;

    const NAME: &'static str = "scalar";
    const LANES: usize = 8;
    const PANEL: usize = 8;

    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        work()
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Array {
        [value; 8]
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> Array {
        std::array::from_fn(|lane| from.get(lane).copied().unwrap_or(0.0))
    }

    #[inline(always)]
    fn store(self, vector: Array, to: &mut [f32]) {
        for (to, value) in to.iter_mut().zip(vector) {
            *to = value;
        }
    }

    #[inline(always)]
    fn add(self, a: Array, b: Array) -> Array {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn sub(self, a: Array, b: Array) -> Array {
        std::array::from_fn(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    fn mul(self, a: Array, b: Array) -> Array {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn mul_add(self, a: Array, b: Array, c: Array) -> Array {
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    fn max(self, a: Array, b: Array) -> Array {
        std::array::from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn keep(self, bits: u32, vector: Array) -> Array {
        std::array::from_fn(|lane| if bits >> lane & 1 == 1 { vector[lane] } else { 0.0 })
    }

    #[inline(always)]
    fn passing(self, vector: Array) -> u32 {
        let bit = |lane: usize| u32::from(vector[lane] > 0.0 || vector[lane].is_nan()) << lane;
        (0..Self::LANES).map(bit).sum()
    }

    fn product(self, product: Product<'_>) {
        multiply::<Self, 4, 1>(self, product);
    }
}
