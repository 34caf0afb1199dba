//! AVX-512 with or without VNNI: the forwarding file. No algorithm lives here.

use std::arch::x86_64::*;

use super::Job;
use super::blocks::{self, Blocks};
use super::floats::{self, Floats};
use super::narrow::{Narrow, NarrowKernel};
use crate::kernels::avx512::Avx512;

/// Proof that the CPU has AVX-512F and BW, and VNNI if `VNNI`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct NarrowAvx512<const VNNI: bool>(Avx512);

impl<const VNNI: bool> NarrowAvx512<VNNI> {
    /// The proof, if the CPU gives one.
    pub(in crate::kernels) fn detect() -> Option<NarrowAvx512<VNNI>> {
        let floats = Avx512::detect()?;
        let words = is_x86_feature_detected!("avx512bw")
            && (!VNNI || is_x86_feature_detected!("avx512vnni"));
        words.then_some(NarrowAvx512(floats))
    }

    /// Itself: called where `VNNI`.
    fn vnni(self) -> NarrowAvx512<true> {
        NarrowAvx512(self.0)
    }

    /// The lesser proof.
    fn words(self) -> NarrowAvx512<false> {
        NarrowAvx512(self.0)
    }
}

/// Runs `kernel` compiled with these instructions.
pub(in crate::kernels) fn run<K: NarrowKernel>(token: NarrowAvx512<false>, kernel: K) {
    #[target_feature(enable = "avx512f,avx512bw")]
    fn with_features<K: NarrowKernel>(token: NarrowAvx512<false>, kernel: K) {
        kernel.run(token)
    }
    // SAFETY: the token exists only where the CPU has the features.
    unsafe { with_features(token, kernel) }
}

/// Runs `kernel` compiled with these instructions.
pub(in crate::kernels) fn run_vnni<K: NarrowKernel>(token: NarrowAvx512<true>, kernel: K) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn with_features<K: NarrowKernel>(token: NarrowAvx512<true>, kernel: K) {
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

impl<const VNNI: bool> Narrow for NarrowAvx512<VNNI> {
    type S = Avx512;
    type I = __m512i;
    const BIASED: bool = VNNI;
    // 2 x 6 x 2 accumulators, of integers and of f32, leave 8 of 32 registers to operands
    const BLOCK_ROWS: usize = if VNNI { 6 } else { 3 };
    // 12 x 2 accumulators, 2 vectors of weights and 1 of activations
    const FLOAT_ROWS: &'static [usize] = &[12, 8, 4, 2, 1];
    const COLUMNS: usize = 32;

    #[inline(always)]
    fn floats(self) -> Avx512 {
        self.0
    }
    #[inline(always)]
    unsafe fn load(self, p: *const u8) -> __m512i {
        forward!(_mm512_loadu_si512(p.cast()))
    }
    #[inline(always)]
    unsafe fn broadcast(self, p: *const u8) -> __m512i {
        forward!(_mm512_set1_epi32(p.cast::<i32>().read_unaligned()))
    }
    #[inline(always)]
    fn splat(self, x: i32) -> __m512i {
        forward!(_mm512_set1_epi32(x))
    }
    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        forward!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        forward!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn shr<const N: u32>(self, a: __m512i) -> __m512i {
        forward!(_mm512_srli_epi32::<N>(a))
    }
    #[inline(always)]
    fn shl<const N: u32>(self, a: __m512i) -> __m512i {
        forward!(_mm512_slli_epi32::<N>(a))
    }
    #[inline(always)]
    fn madd16(self, a: __m512i, b: __m512i) -> __m512i {
        forward!(_mm512_madd_epi16(a, b))
    }
    #[inline(always)]
    fn dot_small(self, acc: __m512i, w: __m512i, x: __m512i) -> __m512i {
        if VNNI {
            return forward!(_mm512_dpbusd_epi32(acc, w, x));
        }
        // two products of at most 127 * 128 fit i16
        forward!({
            let pairs = _mm512_maddubs_epi16(w, x);
            _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        })
    }
    #[inline(always)]
    fn dot_biased(self, acc: __m512i, w: __m512i, x: __m512i) -> __m512i {
        if VNNI {
            return forward!(_mm512_dpbusd_epi32(acc, w, x));
        }
        // |w| <= 128 times x with w's sign, |x| <= 127: two products fit i16
        forward!({
            let w = _mm512_xor_si512(w, _mm512_set1_epi8(-128));
            let negative = _mm512_movepi8_mask(w);
            let x = _mm512_mask_sub_epi8(x, negative, _mm512_setzero_si512(), x);
            let pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(w), x);
            _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        })
    }
    #[inline(always)]
    fn to_f32(self, a: __m512i) -> __m512 {
        forward!(_mm512_cvtepi32_ps(a))
    }
    #[inline(always)]
    unsafe fn f16(self, p: *const u8) -> __m512 {
        forward!(_mm512_cvtph_ps(_mm256_loadu_si256(p.cast())))
    }
    #[inline(always)]
    unsafe fn bf16(self, p: *const u8) -> __m512 {
        forward!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(
            _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()))
        )))
    }
    #[inline(always)]
    unsafe fn i8(self, p: *const u8) -> __m512 {
        forward!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(
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
            match (VNNI, rows) {
                (true, 6) => vnni_blocks::<W, 6>(self.vnni(), job),
                (true, 5) => vnni_blocks::<W, 5>(self.vnni(), job),
                (true, 4) => vnni_blocks::<W, 4>(self.vnni(), job),
                (true, 3) => vnni_blocks::<W, 3>(self.vnni(), job),
                (true, 2) => vnni_blocks::<W, 2>(self.vnni(), job),
                (true, _) => vnni_blocks::<W, 1>(self.vnni(), job),
                (false, 3) => words_blocks::<W, 3>(self.words(), job),
                (false, 2) => words_blocks::<W, 2>(self.words(), job),
                (false, _) => words_blocks::<W, 1>(self.words(), job),
            }
        }
    }
    #[inline(always)]
    unsafe fn chunk<W: Floats>(self, rows: usize, job: &Job) {
        // SAFETY: the caller's promise is the callee's, and `self` proves the features.
        unsafe {
            match rows {
                12 => words_chunk::<W, 12>(self.words(), job),
                8 => words_chunk::<W, 8>(self.words(), job),
                4 => words_chunk::<W, 4>(self.words(), job),
                2 => words_chunk::<W, 2>(self.words(), job),
                _ => words_chunk::<W, 1>(self.words(), job),
            }
        }
    }
}

/// Tiles are functions of their own: small ones, which are compiled apart.
///
/// # Safety
/// As [`blocks::tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline(never)]
unsafe fn vnni_blocks<W: Blocks, const MR: usize>(d: NarrowAvx512<true>, job: &Job) {
    // SAFETY: the caller's promise.
    unsafe { blocks::tile::<_, W, MR, 2>(d, job) }
}

/// # Safety
/// As [`blocks::tile`].
#[target_feature(enable = "avx512f,avx512bw")]
#[inline(never)]
unsafe fn words_blocks<W: Blocks, const MR: usize>(d: NarrowAvx512<false>, job: &Job) {
    // SAFETY: the caller's promise.
    unsafe { blocks::tile::<_, W, MR, 2>(d, job) }
}

/// # Safety
/// As [`floats::tile`].
#[target_feature(enable = "avx512f,avx512bw")]
#[inline(never)]
unsafe fn words_chunk<W: Floats, const MR: usize>(d: NarrowAvx512<false>, job: &Job) {
    // SAFETY: the caller's promise.
    unsafe { floats::tile::<_, W, MR, 2>(d, job) }
}
