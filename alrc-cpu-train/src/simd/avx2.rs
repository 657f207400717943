//! AVX2 and FMA: 8 lanes, 16 registers.

use std::arch::x86_64::*;

use super::Simd;
use super::product::{Product, multiply};

/// Proves that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// A token, if the processor has AVX2 and FMA.
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// All bits in the first `count` lanes.
    #[inline(always)]
    fn first_lanes(self, count: usize) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
        }
    }
}

impl Simd for Avx2 {
    type Vector = __m256;

    const NAME: &'static str = "avx2";
    const LANES: usize = 8;
    const PANEL: usize = 16;

    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma")]
        fn compiled<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        // SAFETY: the token proves AVX2 and FMA.
        unsafe { compiled(work) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m256 {
        if from.len() >= Self::LANES {
            // SAFETY: the token proves AVX2; 8 values are there.
            unsafe { _mm256_loadu_ps(from.as_ptr()) }
        } else {
            // SAFETY: the token proves AVX2; only the values that are there are read.
            unsafe { _mm256_maskload_ps(from.as_ptr(), self.first_lanes(from.len())) }
        }
    }

    #[inline(always)]
    fn store(self, vector: __m256, to: &mut [f32]) {
        if to.len() >= Self::LANES {
            // SAFETY: the token proves AVX2; there is room for 8 values.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), vector) }
        } else {
            // SAFETY: the token proves AVX2; only values for which there is room are written.
            unsafe { _mm256_maskstore_ps(to.as_mut_ptr(), self.first_lanes(to.len()), vector) }
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the token proves FMA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn keep(self, bits: u32, vector: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe {
            let lane_bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let set = _mm256_and_si256(_mm256_set1_epi32(bits as i32), lane_bits);
            _mm256_and_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane_bits)), vector)
        }
    }

    #[inline(always)]
    fn passing(self, vector: __m256) -> u32 {
        // SAFETY: the token proves AVX2.
        let bits = unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(vector, _mm256_setzero_ps())) };
        bits as u32
    }

    /// 12 sums in registers, 2 vectors of the right operand, one of the left: 15 of 16 registers.
    fn product(self, product: Product<'_>) {
        self.run(
            #[inline(always)]
            || multiply::<Self, 6, 2>(self, product),
        );
    }
}
