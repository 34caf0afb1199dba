//! AVX2 and FMA: the forwarding file. No algorithm lives here.

use std::arch::x86_64::*;

use super::simd::{Kernel, Simd};
use super::tile::{TileJob, tile};
use crate::scalar::{LOG_LOW, LOG_SHIFT};

/// Proof that the CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The proof, if the CPU gives one.
    pub(super) fn detect() -> Option<Avx2> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

/// Runs `kernel` compiled with these instructions.
pub(super) fn run<K: Kernel>(token: Avx2, kernel: K) -> K::Out {
    #[target_feature(enable = "avx2,fma")]
    fn with_features<K: Kernel>(token: Avx2, kernel: K) -> K::Out {
        kernel.run(token)
    }
    // SAFETY: the token exists only where the CPU has the features.
    unsafe { with_features(token, kernel) }
}

/// Forwards to intrinsics.
macro_rules! forward {
    ($e:expr) => {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe { $e }
    };
}

impl Simd for Avx2 {
    type F = __m256;
    type Mask = __m256;
    const LANES: usize = 8;
    // 6 x 16: 12 accumulators, 2 vectors of B and 1 of A in 16 registers.
    const TILE_VECS: usize = 2;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        forward!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        forward!(_mm256_loadu_ps(p))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        forward!(_mm256_storeu_ps(p, v))
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        forward!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn lt(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn is_nan(self, a: __m256) -> __m256 {
        forward!(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a))
    }
    #[inline(always)]
    fn select(self, mask: __m256, yes: __m256, no: __m256) -> __m256 {
        forward!(_mm256_blendv_ps(no, yes, mask))
    }
    #[inline(always)]
    fn bit_and(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_and_ps(a, b))
    }
    #[inline(always)]
    fn bit_or(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_or_ps(a, b))
    }
    #[inline(always)]
    fn exp2_integral(self, n: __m256) -> __m256 {
        forward!({
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        })
    }
    #[inline(always)]
    fn split_exponent(self, x: __m256) -> (__m256, __m256) {
        forward!({
            let shift = _mm256_set1_epi32(LOG_SHIFT.cast_signed());
            let bits = _mm256_add_epi32(_mm256_castps_si256(x), shift);
            let k = _mm256_sub_epi32(_mm256_srli_epi32::<23>(bits), _mm256_set1_epi32(127));
            let fraction = _mm256_and_si256(bits, _mm256_set1_epi32(0x007f_ffff));
            let low = _mm256_set1_epi32(LOG_LOW.cast_signed());
            let m = _mm256_castsi256_ps(_mm256_add_epi32(fraction, low));
            (_mm256_cvtepi32_ps(k), m)
        })
    }
    #[inline(always)]
    fn any(self, mask: __m256) -> bool {
        forward!(_mm256_movemask_ps(mask) != 0)
    }
    #[inline(always)]
    unsafe fn tile(self, rows: usize, job: &TileJob) {
        // SAFETY: the caller's promise is the callee's.
        unsafe {
            match rows {
                6 => tile::<Self, 6, 2>(self, job),
                4 => tile::<Self, 4, 2>(self, job),
                2 => tile::<Self, 2, 2>(self, job),
                _ => tile::<Self, 1, 2>(self, job),
            }
        }
    }
}
