//! AVX-512F: 16 lanes, 32 registers.

use std::arch::x86_64::*;

use super::Simd;
use super::product::{Product, multiply};

/// Proves that the processor has AVX-512F.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// A token, if the processor has AVX-512F.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }
}

impl Simd for Avx512 {
    type Vector = __m512;

    const NAME: &'static str = "avx512";
    const LANES: usize = 16;
    const PANEL: usize = 32;

    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f")]
        fn compiled<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        // SAFETY: the token proves AVX-512F.
        unsafe { compiled(work) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: the token proves AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        if from.len() >= Self::LANES {
            // SAFETY: the token proves AVX-512F; 16 values are there.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        } else {
            // SAFETY: the token proves AVX-512F; only the values that are there are read.
            unsafe { _mm512_maskz_loadu_ps(first_lanes(from.len()), from.as_ptr()) }
        }
    }

    #[inline(always)]
    fn store(self, vector: __m512, to: &mut [f32]) {
        if to.len() >= Self::LANES {
            // SAFETY: the token proves AVX-512F; there is room for 16 values.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), vector) }
        } else {
            // SAFETY: the token proves AVX-512F; only values for which there is room are written.
            unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_lanes(to.len()), vector) }
        }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512F.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512F.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512F.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512F.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512F.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn keep(self, bits: u32, vector: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512F.
        unsafe { _mm512_maskz_mov_ps(bits as __mmask16, vector) }
    }

    #[inline(always)]
    fn passing(self, vector: __m512) -> u32 {
        // SAFETY: the token proves AVX-512F.
        u32::from(unsafe { _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(vector, _mm512_setzero_ps()) })
    }

    /// 16 sums in registers, 2 vectors of the right operand, one of the left: 19 of 32 registers, and enough
    /// independent sums to hide the latency of a multiply-add (4 cycles, 2 a cycle).
    fn product(self, product: Product<'_>) {
        self.run(
            #[inline(always)]
            || multiply::<Self, 8, 2>(self, product),
        );
    }
}

/// The first `count` of 16 bits.
#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}
