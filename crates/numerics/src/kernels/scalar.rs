//! Portable vectors: arrays of four that the compiler maps to whatever the target has.
//!
//! `f32::mul_add` is one instruction where the target has a fused multiply-add (aarch64), and an
//! exact library call elsewhere (baseline x86-64, wasm32): slower, same bits.

use super::fused::{RowTile, row_tile, tile_of_size};
use super::simd::Simd;
use super::tile::{TileJob, tile};
use crate::scalar::{LOG_LOW, LOG_SHIFT};

/// The portable path: nothing to prove.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

/// [`row_tile`] of each size.
///
/// # Safety
/// As [`row_tile`].
#[inline(always)]
unsafe fn tile_of<const MR: usize, const NV: usize>(token: Scalar, job: &RowTile<'_>) {
    // SAFETY: the caller's promise.
    unsafe { row_tile::<Scalar, MR, NV>(token, job) }
}

const LANES: usize = 4;
type Lanes = [f32; LANES];

#[inline(always)]
fn zip(a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

#[inline(always)]
fn map(a: Lanes, f: impl Fn(f32) -> f32) -> Lanes {
    [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
}

impl Simd for Scalar {
    type F = Lanes;
    type Mask = [bool; LANES];
    const LANES: usize = LANES;
    // 4 x 8: 8 accumulators of 4 lanes, in reach of the 16 or 32 registers of the targets.
    const TILE_VECS: usize = 2;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Lanes {
        // SAFETY: the caller promises LANES readable values; arrays of f32 have f32's alignment.
        unsafe { p.cast::<Lanes>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Lanes) {
        // SAFETY: the caller promises LANES writable values; arrays of f32 have f32's alignment.
        unsafe { p.cast::<Lanes>().write(v) }
    }
    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| x + y)
    }
    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| x - y)
    }
    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| x * y)
    }
    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| x / y)
    }
    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        [
            a[0].mul_add(b[0], c[0]),
            a[1].mul_add(b[1], c[1]),
            a[2].mul_add(b[2], c[2]),
            a[3].mul_add(b[3], c[3]),
        ]
    }
    #[inline(always)]
    fn lt(self, a: Lanes, b: Lanes) -> [bool; LANES] {
        [a[0] < b[0], a[1] < b[1], a[2] < b[2], a[3] < b[3]]
    }
    #[inline(always)]
    fn is_nan(self, a: Lanes) -> [bool; LANES] {
        [a[0].is_nan(), a[1].is_nan(), a[2].is_nan(), a[3].is_nan()]
    }
    #[inline(always)]
    fn select(self, m: [bool; LANES], yes: Lanes, no: Lanes) -> Lanes {
        let pick = |i: usize| if m[i] { yes[i] } else { no[i] };
        [pick(0), pick(1), pick(2), pick(3)]
    }
    #[inline(always)]
    fn bit_and(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| f32::from_bits(x.to_bits() & y.to_bits()))
    }
    #[inline(always)]
    fn bit_or(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| f32::from_bits(x.to_bits() | y.to_bits()))
    }
    #[inline(always)]
    fn greater(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    fn lesser(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| if x < y { x } else { y })
    }
    #[inline(always)]
    fn exp2_integral(self, n: Lanes) -> Lanes {
        map(n, |x| {
            f32::from_bits(((x as i32).wrapping_add(127) as u32) << 23)
        })
    }
    #[inline(always)]
    fn split_exponent(self, x: Lanes) -> (Lanes, Lanes) {
        let bits = |x: f32| x.to_bits().wrapping_add(LOG_SHIFT);
        (
            map(x, |x| ((bits(x) >> 23) as i32 - 127) as f32),
            map(x, |x| f32::from_bits((bits(x) & 0x007f_ffff) + LOG_LOW)),
        )
    }
    #[inline(always)]
    fn either_nan(self, a: Lanes, b: Lanes) -> [bool; LANES] {
        self.mask_or(self.is_nan(a), self.is_nan(b))
    }
    #[inline(always)]
    fn mask_or(self, a: [bool; LANES], b: [bool; LANES]) -> [bool; LANES] {
        [a[0] | b[0], a[1] | b[1], a[2] | b[2], a[3] | b[3]]
    }
    #[inline(always)]
    fn any(self, m: [bool; LANES]) -> bool {
        m[0] | m[1] | m[2] | m[3]
    }
    #[inline(always)]
    unsafe fn row_tile(self, rows: usize, vecs: usize, job: &RowTile<'_>) {
        // SAFETY: the caller's promise is the callee's.
        unsafe { tile_of_size!(tile_of(self, job), rows, vecs, 1 2 3 4) }
    }
    #[inline(always)]
    unsafe fn tile(self, rows: usize, job: &TileJob) {
        // SAFETY: the caller's promise is the callee's.
        unsafe {
            match rows {
                4 => tile::<Self, 4, 2>(self, job),
                2 => tile::<Self, 2, 2>(self, job),
                _ => tile::<Self, 1, 2>(self, job),
            }
        }
    }
}
