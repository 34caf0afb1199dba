//! AVX-512F: the forwarding file. No algorithm lives here.

use std::arch::x86_64::*;

use super::fused::{RowTile, row_tile, tile_of_size};
use super::simd::{Kernel, Simd};
use super::tile::{TileJob, tile};
use crate::scalar::{GOLDEN, LOG_LOW, LOG_SHIFT, MIX, UNIFORM_STEP};

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

/// [`row_tile`] as a function of its own for each size: all of them in the driver's would share its registers.
///
/// # Safety
/// As [`row_tile`]; the token proves the instructions.
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn tile_of<const MR: usize, const NV: usize>(token: Avx512, job: &RowTile<'_>) {
    // SAFETY: the caller's promise.
    unsafe { row_tile::<Avx512, MR, NV>(token, job) }
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
    unsafe fn load_first(self, p: *const f32, count: usize) -> __m512 {
        match count >= Self::LANES {
            true => forward!(_mm512_loadu_ps(p)),
            false => forward!(_mm512_maskz_loadu_ps(first_lanes(count), p)),
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: __m512, count: usize) {
        match count >= Self::LANES {
            true => forward!(_mm512_storeu_ps(p, v)),
            false => forward!(_mm512_mask_storeu_ps(p, first_lanes(count), v)),
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        // SAFETY: the caller's promise; `self` proves that the CPU has the instructions.
        unsafe {
            let mut quads = [_mm512_setzero_ps(); 16];
            for q in 0..4 {
                let row = |r: usize| _mm512_loadu_ps(from.add((4 * q + r) * from_step));
                // columns 0 1 4 5 ... and 2 3 6 7 ... of pairs of rows
                let (a, b) = (row(0), row(1));
                let (c, d) = (row(2), row(3));
                let (low, high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let (low2, high2) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                let pair = |x, y| (_mm512_castps_pd(x), _mm512_castps_pd(y));
                let (x, y) = pair(low, low2);
                let (z, w) = pair(high, high2);
                // by fours: column 4i + n of rows 4q .. 4q + 3
                quads[q] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
                quads[4 + q] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
                quads[8 + q] = _mm512_castpd_ps(_mm512_unpacklo_pd(z, w));
                quads[12 + q] = _mm512_castpd_ps(_mm512_unpackhi_pd(z, w));
            }
            for n in 0..4 {
                let [a, b, c, d] = [0, 1, 2, 3].map(|q| quads[4 * n + q]);
                // columns n and 8 + n, 4 + n and 12 + n of eight rows
                let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
                let odd = _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b);
                let even2 = _mm512_shuffle_f32x4::<0b10_00_10_00>(c, d);
                let odd2 = _mm512_shuffle_f32x4::<0b11_01_11_01>(c, d);
                let store = |column: usize, x| _mm512_storeu_ps(to.add(column * to_step), x);
                store(n, _mm512_shuffle_f32x4::<0b10_00_10_00>(even, even2));
                store(8 + n, _mm512_shuffle_f32x4::<0b11_01_11_01>(even, even2));
                store(4 + n, _mm512_shuffle_f32x4::<0b10_00_10_00>(odd, odd2));
                store(12 + n, _mm512_shuffle_f32x4::<0b11_01_11_01>(odd, odd2));
            }
        }
    }
    /// Left to itself the compiler loads all rows first, and has no registers left for the sums.
    #[inline(always)]
    unsafe fn fma_rows<const MR: usize, const NV: usize>(
        self,
        acc: &mut [[__m512; NV]; MR],
        a: *const f32,
        step: usize,
        columns: &[__m512; NV],
    ) {
        if NV != 2 {
            for (i, row) in acc.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let x = self.splat(unsafe { *a.add(i * step) });
                for (t, &column) in row.iter_mut().zip(columns) {
                    *t = self.fma(x, column, *t);
                }
            }
            return;
        }
        let step = step * size_of::<f32>();
        // addresses have room for once and twice a step
        let from = a.wrapping_byte_sub(step);
        let columns = [columns[0], columns[1]];
        // written out: the compiler does not unroll a loop as long as this
        macro_rules! rows {
            ($($i:literal)*) => {
                $(if $i < MR {
                    let from = from.wrapping_byte_add($i / 2 * 2 * step);
                    let sums = [acc[$i][0], acc[$i][1]];
                    // SAFETY: the caller's promise; `self` proves that the CPU has the instructions.
                    let sums = unsafe {
                        match $i % 2 {
                            0 => fma_row(sums, columns, from, step),
                            _ => fma_next_row(sums, columns, from, step),
                        }
                    };
                    (acc[$i][0], acc[$i][1]) = (sums[0], sums[1]);
                })*
            };
        }
        rows!(0 1 2 3 4 5 6 7 8 9 10 11);
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
    fn either_nan(self, a: __m512, b: __m512) -> __mmask16 {
        forward!(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b))
    }
    #[inline(always)]
    fn mask_or(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
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
    fn greater(self, a: __m512, b: __m512) -> __m512 {
        forward!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn lesser(self, a: __m512, b: __m512) -> __m512 {
        forward!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn scale_by_power(self, p: __m512, n: __m512) -> __m512 {
        forward!(_mm512_scalef_ps(p, n))
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
    fn uniform(self, state: u64, first: u64) -> __m512 {
        forward!({
            let counter = state.wrapping_add(first.wrapping_mul(GOLDEN));
            let low = upper_bits(counter);
            let high = upper_bits(counter.wrapping_add(GOLDEN.wrapping_mul(8)));
            let k = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
            let odd = _mm512_or_si512(_mm512_slli_epi32::<1>(k), _mm512_set1_epi32(1));
            _mm512_mul_ps(_mm512_cvtepi32_ps(odd), _mm512_set1_ps(UNIFORM_STEP))
        })
    }
    #[inline(always)]
    unsafe fn row_tile(self, rows: usize, vecs: usize, job: &RowTile<'_>) {
        // SAFETY: the caller's promise is the callee's.
        unsafe { tile_of_size!(tile_of(self, job), rows, vecs, 1 2 3 4 5 6 7 8 9 10 11 12) }
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

macro_rules! fma_row {
    ($(#[$doc:meta])* $name:ident, $address:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The element is readable.
        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn $name(
            [mut s0, mut s1]: [__m512; 2],
            [c0, c1]: [__m512; 2],
            from: *const f32,
            step: usize,
        ) -> [__m512; 2] {
            // SAFETY: reads the element, which the caller promises, and computes in registers.
            unsafe {
                std::arch::asm!(
                    concat!("vbroadcastss {x}, dword ptr [", $address, "]"),
                    "vfmadd231ps {s0}, {x}, {c0}",
                    "vfmadd231ps {s1}, {x}, {c1}",
                    x = out(zmm_reg) _,
                    s0 = inout(zmm_reg) s0,
                    s1 = inout(zmm_reg) s1,
                    c0 = in(zmm_reg) c0,
                    c1 = in(zmm_reg) c1,
                    from = in(reg) from,
                    step = in(reg) step,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            [s0, s1]
        }
    };
}

fma_row!(
    /// Adds the products of the element a step (in bytes) behind `from` and two vectors.
    fma_row,
    "{from} + {step}"
);
fma_row!(
    /// As [`fma_row`], two steps behind.
    fma_next_row,
    "{from} + 2 * {step}"
);

/// A mask of the first `count` lanes, of which there are fewer than 16.
#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    (1 << count) - 1
}

/// The upper 23 bits of `mix(counter + i * GOLDEN)` for i from 0 to 7.
///
/// # Safety
/// The CPU has AVX-512F.
#[inline(always)]
unsafe fn upper_bits(counter: u64) -> __m256i {
    const STEPS: [u64; 8] = {
        let mut steps = [0u64; 8];
        let mut i = 1;
        while i < 8 {
            steps[i] = steps[i - 1].wrapping_add(GOLDEN);
            i += 1;
        }
        steps
    };
    // SAFETY: the caller's promise; the steps are a vector long.
    unsafe {
        let steps = _mm512_loadu_si512(STEPS.as_ptr().cast());
        let counters = _mm512_add_epi64(_mm512_set1_epi64(counter.cast_signed()), steps);
        _mm512_cvtepi64_epi32(_mm512_srli_epi64::<41>(mix(counters)))
    }
}

/// [`crate::scalar::mix`] of each word.
///
/// # Safety
/// The CPU has AVX-512F.
#[inline(always)]
unsafe fn mix(z: __m512i) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let z = multiplied(_mm512_xor_si512(z, _mm512_srli_epi64::<30>(z)), MIX[0]);
        let z = multiplied(_mm512_xor_si512(z, _mm512_srli_epi64::<27>(z)), MIX[1]);
        _mm512_xor_si512(z, _mm512_srli_epi64::<31>(z))
    }
}

/// Each word times `factor`, modulo 2^64, by halves.
///
/// # Safety
/// The CPU has AVX-512F.
#[inline(always)]
unsafe fn multiplied(z: __m512i, factor: u64) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let low = _mm512_set1_epi64(factor.cast_signed());
        let high = _mm512_set1_epi64((factor >> 32).cast_signed());
        let cross = _mm512_add_epi64(
            _mm512_mul_epu32(z, high),
            _mm512_mul_epu32(_mm512_srli_epi64::<32>(z), low),
        );
        _mm512_add_epi64(_mm512_mul_epu32(z, low), _mm512_slli_epi64::<32>(cross))
    }
}
