//! AVX2, FMA and F16C: the forwarding file. No algorithm lives here.

use std::arch::x86_64::*;

use super::Job;
use super::blocks::{self, Blocks};
use super::floats::{self, Floats};
use super::narrow::{Narrow, NarrowKernel};
use crate::kernels::avx2::Avx2;

/// Proof that the CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct NarrowAvx2(Avx2);

impl NarrowAvx2 {
    /// The proof, if the CPU gives one.
    pub(in crate::kernels) fn detect() -> Option<NarrowAvx2> {
        let floats = Avx2::detect()?;
        is_x86_feature_detected!("f16c").then_some(NarrowAvx2(floats))
    }
}

/// Runs `kernel` compiled with these instructions.
pub(in crate::kernels) fn run<K: NarrowKernel>(token: NarrowAvx2, kernel: K) {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn with_features<K: NarrowKernel>(token: NarrowAvx2, kernel: K) {
        kernel.run(token)
    }
    // SAFETY: the token exists only where the CPU has the features.
    unsafe { with_features(token, kernel) }
}

/// Forwards to intrinsics.
macro_rules! forward {
    ($e:expr) => {
        // SAFETY: `self` proves that the CPU has the instructions; memory is the caller's promise.
        unsafe { $e }
    };
}

impl Narrow for NarrowAvx2 {
    type S = Avx2;
    type I = __m256i;
    const BIASED: bool = false;
    const BLOCK_ROWS: usize = 3;
    const FLOAT_ROWS: &'static [usize] = &[6, 4, 2, 1];
    const COLUMNS: usize = 16;
    // a whole panel, so that weights are read in order
    const ROW_COLUMNS: usize = 32;

    #[inline(always)]
    fn floats(self) -> Avx2 {
        self.0
    }
    #[inline(always)]
    unsafe fn load(self, p: *const u8) -> __m256i {
        forward!(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn broadcast(self, p: *const u8) -> __m256i {
        forward!(_mm256_set1_epi32(p.cast::<i32>().read_unaligned()))
    }
    #[inline(always)]
    fn splat(self, x: i32) -> __m256i {
        forward!(_mm256_set1_epi32(x))
    }
    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        forward!(_mm256_and_si256(a, b))
    }
    #[inline(always)]
    fn or(self, a: __m256i, b: __m256i) -> __m256i {
        forward!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn shr<const N: u32>(self, a: __m256i) -> __m256i {
        forward!(_mm256_srl_epi32(a, _mm_cvtsi32_si128(N as i32)))
    }
    #[inline(always)]
    fn shl<const N: u32>(self, a: __m256i) -> __m256i {
        forward!(_mm256_sll_epi32(a, _mm_cvtsi32_si128(N as i32)))
    }
    #[inline(always)]
    fn madd16(self, a: __m256i, b: __m256i) -> __m256i {
        forward!(_mm256_madd_epi16(a, b))
    }
    #[inline(always)]
    fn dot_small(self, acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
        // two products of at most 127 * 128 fit i16
        forward!({
            let pairs = _mm256_maddubs_epi16(w, x);
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }
    #[inline(always)]
    fn dot_biased(self, acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
        // |w| <= 128 times x with w's sign, |x| <= 127: two products fit i16
        forward!({
            let w = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }
    #[inline(always)]
    fn to_f32(self, a: __m256i) -> __m256 {
        forward!(_mm256_cvtepi32_ps(a))
    }
    #[inline(always)]
    unsafe fn f16(self, p: *const u8) -> __m256 {
        forward!(_mm256_cvtph_ps(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn bf16(self, p: *const u8) -> __m256 {
        forward!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(
            _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()))
        )))
    }
    #[inline(always)]
    unsafe fn i8(self, p: *const u8) -> __m256 {
        forward!(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(
            p.cast()
        ))))
    }
    #[inline(always)]
    fn prefetch(self, p: *const u8) {
        forward!(_mm_prefetch::<_MM_HINT_T1>(p.cast()))
    }

    #[inline(always)]
    unsafe fn blocks<W: Blocks>(self, rows: usize, job: &Job) {
        // SAFETY: the caller's promise is the callee's, and `self` proves the features.
        unsafe {
            match rows {
                3 => blocks_tile::<W, 3, 2>(self, job),
                2 => blocks_tile::<W, 2, 2>(self, job),
                _ if job.columns > 16 => blocks_tile::<W, 1, 4>(self, job),
                _ => blocks_tile::<W, 1, 2>(self, job),
            }
        }
    }
    #[inline(always)]
    unsafe fn chunk<W: Floats>(self, rows: usize, job: &Job) {
        // SAFETY: the caller's promise is the callee's, and `self` proves the features.
        unsafe {
            match rows {
                6 => chunk_tile::<W, 6, 2>(self, job),
                4 => chunk_tile::<W, 4, 2>(self, job),
                2 => chunk_tile::<W, 2, 2>(self, job),
                _ if job.columns > 16 => chunk_tile::<W, 1, 4>(self, job),
                _ => chunk_tile::<W, 1, 2>(self, job),
            }
        }
    }
}

/// Tiles are functions of their own: small ones, which are compiled apart.
///
/// # Safety
/// As [`blocks::tile`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
unsafe fn blocks_tile<W: Blocks, const MR: usize, const NV: usize>(d: NarrowAvx2, job: &Job) {
    // SAFETY: the caller's promise.
    unsafe { blocks::tile::<_, W, MR, NV>(d, job) }
}

/// # Safety
/// As [`floats::tile`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
unsafe fn chunk_tile<W: Floats, const MR: usize, const NV: usize>(d: NarrowAvx2, job: &Job) {
    // SAFETY: the caller's promise.
    unsafe { floats::tile::<_, W, MR, NV>(d, job) }
}
