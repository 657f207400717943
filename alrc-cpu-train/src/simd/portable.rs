//! The crate `wide`: whatever vectors the program was compiled for.

use wide::f32x8;

use super::Simd;
use super::product::{Product, multiply};

/// The token of the portable path, for which nothing needs to be proved.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Simd for Portable {
    type Vector = f32x8;

    const NAME: &'static str = "portable";
    const LANES: usize = 8;
    const PANEL: usize = 8;

    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        work()
    }

    #[inline(always)]
    fn splat(self, value: f32) -> f32x8 {
        f32x8::splat(value)
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> f32x8 {
        match from.first_chunk() {
            Some(&values) => f32x8::new(values),
            None => {
                let mut values = [0.0; Self::LANES];
                values[..from.len()].copy_from_slice(from);
                f32x8::new(values)
            }
        }
    }

    #[inline(always)]
    fn store(self, vector: f32x8, to: &mut [f32]) {
        let values = vector.to_array();
        match to.first_chunk_mut() {
            Some(to) => *to = values,
            None => to.copy_from_slice(&values[..to.len()]),
        }
    }

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }

    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        a.fast_max(b)
    }

    #[inline(always)]
    fn keep(self, bits: u32, vector: f32x8) -> f32x8 {
        let all = |lane: usize| f32::from_bits((bits >> lane & 1).wrapping_neg());
        f32x8::new(std::array::from_fn(all)) & vector
    }

    #[inline(always)]
    fn passing(self, vector: f32x8) -> u32 {
        !vector.simd_le(f32x8::ZERO).to_bitmask() & 0xff
    }

    /// A vector is two registers of 16 (SSE2) or 32 (NEON).
    fn product(self, product: Product<'_>) {
        multiply::<Self, 4, 1>(self, product);
    }
}
