//! AVX2 and FMA: the forwarding file. No algorithm lives here.

use std::arch::x86_64::*;

use super::fused::{RowTile, row_tile, tile_of_size};
use super::simd::{Kernel, Simd};
use super::tile::{TileJob, tile};
use crate::scalar::{GOLDEN, LOG_LOW, LOG_SHIFT, MIX, UNIFORM_STEP};

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

/// [`row_tile`] as a function of its own for each size: all of them in the driver's would share its registers.
///
/// # Safety
/// As [`row_tile`]; the token proves the instructions.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_of<const MR: usize, const NV: usize>(token: Avx2, job: &RowTile<'_>) {
    // SAFETY: the caller's promise.
    unsafe { row_tile::<Avx2, MR, NV>(token, job) }
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
    unsafe fn transpose(self, from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        // SAFETY: the caller's promise; `self` proves that the CPU has the instructions.
        unsafe {
            let mut quads = [_mm256_setzero_ps(); 8];
            for q in 0..2 {
                let row = |r: usize| _mm256_loadu_ps(from.add((4 * q + r) * from_step));
                let (a, b) = (row(0), row(1));
                let (c, d) = (row(2), row(3));
                let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (low2, high2) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                // columns n and 4 + n of rows 4q .. 4q + 3
                quads[q] = _mm256_shuffle_ps::<0b01_00_01_00>(low, low2);
                quads[2 + q] = _mm256_shuffle_ps::<0b11_10_11_10>(low, low2);
                quads[4 + q] = _mm256_shuffle_ps::<0b01_00_01_00>(high, high2);
                quads[6 + q] = _mm256_shuffle_ps::<0b11_10_11_10>(high, high2);
            }
            for n in 0..4 {
                let (a, b) = (quads[2 * n], quads[2 * n + 1]);
                let store = |column: usize, x| _mm256_storeu_ps(to.add(column * to_step), x);
                store(n, _mm256_permute2f128_ps::<0x20>(a, b));
                store(4 + n, _mm256_permute2f128_ps::<0x31>(a, b));
            }
        }
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
    fn either_nan(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, b))
    }
    #[inline(always)]
    fn mask_or(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_or_ps(a, b))
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
    fn greater(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn lesser(self, a: __m256, b: __m256) -> __m256 {
        forward!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        forward!(_mm_prefetch::<_MM_HINT_T1>(p.cast()))
    }
    #[inline(always)]
    fn prefetch_near(self, p: *const f32) {
        forward!(_mm_prefetch::<_MM_HINT_T0>(p.cast()))
    }
    #[inline(always)]
    fn prefetch_write(self, p: *mut f32) {
        // the intrinsic needs a feature to be enabled that this one does not imply; where the CPU lacks it, it does nothing
        forward!(
            std::arch::asm!("prefetchw [{p}]", p = in(reg) p, options(nostack, preserves_flags))
        )
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
    fn uniform(self, state: u64, first: u64) -> __m256 {
        forward!({
            let counter = state.wrapping_add(first.wrapping_mul(GOLDEN));
            let low = upper_bits(counter);
            let high = upper_bits(counter.wrapping_add(GOLDEN.wrapping_mul(4)));
            let lower_halves = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
            let k = _mm256_blend_epi32::<0b1111_0000>(
                _mm256_permutevar8x32_epi32(low, lower_halves),
                _mm256_permutevar8x32_epi32(high, lower_halves),
            );
            let odd = _mm256_or_si256(_mm256_slli_epi32::<1>(k), _mm256_set1_epi32(1));
            _mm256_mul_ps(_mm256_cvtepi32_ps(odd), _mm256_set1_ps(UNIFORM_STEP))
        })
    }
    #[inline(always)]
    unsafe fn row_tile(self, rows: usize, vecs: usize, job: &RowTile<'_>) {
        // SAFETY: the caller's promise is the callee's.
        unsafe { tile_of_size!(tile_of(self, job), rows, vecs, 1 2 3 4 5 6) }
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

/// The upper 23 bits of `mix(counter + i * GOLDEN)` for i from 0 to 3.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn upper_bits(counter: u64) -> __m256i {
    const STEPS: [u64; 4] = [0, GOLDEN, GOLDEN.wrapping_mul(2), GOLDEN.wrapping_mul(3)];
    // SAFETY: the caller's promise; the steps are a vector long.
    unsafe {
        let steps = _mm256_loadu_si256(STEPS.as_ptr().cast());
        let counters = _mm256_add_epi64(_mm256_set1_epi64x(counter.cast_signed()), steps);
        _mm256_srli_epi64::<41>(mix(counters))
    }
}

/// [`crate::scalar::mix`] of each word.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn mix(z: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let z = multiplied(_mm256_xor_si256(z, _mm256_srli_epi64::<30>(z)), MIX[0]);
        let z = multiplied(_mm256_xor_si256(z, _mm256_srli_epi64::<27>(z)), MIX[1]);
        _mm256_xor_si256(z, _mm256_srli_epi64::<31>(z))
    }
}

/// Each word times `factor`, modulo 2^64, by halves.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn multiplied(z: __m256i, factor: u64) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let low = _mm256_set1_epi64x(factor.cast_signed());
        let high = _mm256_set1_epi64x((factor >> 32).cast_signed());
        let cross = _mm256_add_epi64(
            _mm256_mul_epu32(z, high),
            _mm256_mul_epu32(_mm256_srli_epi64::<32>(z), low),
        );
        _mm256_add_epi64(_mm256_mul_epu32(z, low), _mm256_slli_epi64::<32>(cross))
    }
}
