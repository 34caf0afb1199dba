//! AVX-512F: the forwarding file. No algorithm lives here.

use std::arch::x86_64::*;

use super::simd::{Kernel, Simd};
use super::tile::{TileJob, tile};
use crate::scalar::{LOG_LOW, LOG_SHIFT};

/// Proof that the CPU has AVX-512F.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof, if the CPU gives one.
    pub(super) fn detect() -> Option<Avx512> {
        (is_x86_feature_detected!("avx512f")).then_some(Avx512(()))
    }
}

/// Runs `kernel` compiled with these instructions.
pub(super) fn run<K: Kernel>(token: Avx512, kernel: K) -> K::Out {
    #[target_feature(enable = "avx512f")]
    fn with_features<K: Kernel>(token: Avx512, kernel: K) -> K::Out {
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

impl Simd for Avx512 {
    type F = __m512;
    type Mask = __mmask16;
    const LANES: usize = 16;
    // 12 x 32: 24 accumulators, 2 vectors of B and 1 of A in 32 registers.
    const TILE_VECS: usize = 2;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        forward!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        forward!(_mm512_loadu_ps(p))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        forward!(_mm512_storeu_ps(p, v))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        forward!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        forward!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        forward!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        forward!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        forward!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn lt(self, a: __m512, b: __m512) -> __mmask16 {
        forward!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn is_nan(self, a: __m512) -> __mmask16 {
        forward!(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a))
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, yes: __m512, no: __m512) -> __m512 {
        forward!(_mm512_mask_blend_ps(mask, no, yes))
    }
    #[inline(always)]
    fn bit_and(self, a: __m512, b: __m512) -> __m512 {
        forward!(_mm512_castsi512_ps(_mm512_and_si512(
            _mm512_castps_si512(a),
            _mm512_castps_si512(b)
        )))
    }
    #[inline(always)]
    fn bit_or(self, a: __m512, b: __m512) -> __m512 {
        forward!(_mm512_castsi512_ps(_mm512_or_si512(
            _mm512_castps_si512(a),
            _mm512_castps_si512(b)
        )))
    }
    #[inline(always)]
    fn exp2_integral(self, n: __m512) -> __m512 {
        forward!({
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        })
    }
    #[inline(always)]
    fn split_exponent(self, x: __m512) -> (__m512, __m512) {
        forward!({
            let shift = _mm512_set1_epi32(LOG_SHIFT.cast_signed());
            let bits = _mm512_add_epi32(_mm512_castps_si512(x), shift);
            let k = _mm512_sub_epi32(_mm512_srli_epi32::<23>(bits), _mm512_set1_epi32(127));
            let fraction = _mm512_and_si512(bits, _mm512_set1_epi32(0x007f_ffff));
            let low = _mm512_set1_epi32(LOG_LOW.cast_signed());
            let m = _mm512_castsi512_ps(_mm512_add_epi32(fraction, low));
            (_mm512_cvtepi32_ps(k), m)
        })
    }
    #[inline(always)]
    fn any(self, mask: __mmask16) -> bool {
        mask != 0
    }
    #[inline(always)]
    unsafe fn tile(self, rows: usize, job: &TileJob) {
        // SAFETY: the caller's promise is the callee's.
        unsafe {
            match rows {
                12 => tile::<Self, 12, 2>(self, job),
                4 => tile::<Self, 4, 2>(self, job),
                2 => tile::<Self, 2, 2>(self, job),
                _ => tile::<Self, 1, 2>(self, job),
            }
        }
    }
}
