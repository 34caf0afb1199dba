//! The register tile of quantised weights: `acc = fma(f32(dot of a block), its scales, acc)` over blocks in order, the
//! dots exact in i32.

use super::Job;
use super::activations::{BLOCK_BYTES, LESS_8, LESS_128, SCALE, SCALED_SUM, SUMS};
use super::layout::{
    GROUP, HALVES, NIBBLES, PANEL, Q4K_SCALES, Q4K_VALUES, Q6K_BLOCK, Q6K_HIGH, Q6K_LOW,
};
use super::narrow::Narrow;
use crate::kernels::simd::Simd;

type F<D> = <<D as Narrow>::S as Simd>::F;

/// A quantised format.
pub(in crate::kernels) trait Blocks {
    /// Bytes of a superblock of a panel.
    const BYTES: usize;
    /// Blocks of 32 values of a superblock.
    const COUNT: usize;
    /// Whether the dots of more than one row take longer than reading the weights.
    const DENSE: bool;
    /// Most rows of a tile: what the accumulators beside take.
    const ROWS: usize;

    /// Adds one superblock's products to `acc`.
    ///
    /// # Safety
    /// `from.w` is a superblock of a panel, `from.x` has MR rows of its blocks, and `NV * LANES` columns from
    /// `from.column` are a panel's.
    unsafe fn step<D: Narrow, const MR: usize, const NV: usize>(
        d: D,
        from: From,
        acc: &mut [[F<D>; NV]; MR],
    );
}

/// Operands of a step.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct From {
    /// The superblock.
    w: *const u8,
    /// First column.
    column: usize,
    /// How far ahead of what is read weights are asked for, in bytes.
    ahead: usize,
    /// Its blocks of activations.
    x: Rows,
}

/// Rows of blocks of activations.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Rows {
    first: *const u8,
    stride: usize,
}

impl Rows {
    /// The word of row `i` at `at`.
    ///
    /// # Safety
    /// It lies inside.
    #[inline(always)]
    unsafe fn word(self, i: usize, at: usize) -> *const u8 {
        // SAFETY: the caller's promise.
        unsafe { self.first.add(i * self.stride + at) }
    }

    /// The f32 of row `i` at `at`, in every lane.
    ///
    /// # Safety
    /// It lies inside.
    #[inline(always)]
    unsafe fn f32<D: Narrow>(self, d: D, i: usize, at: usize) -> F<D> {
        // SAFETY: the caller's promise; blocks are words.
        d.floats().splat(unsafe { *self.word(i, at).cast::<f32>() })
    }
}

/// `job.steps` superblocks: `acc` from +0 (`first`) or from what is there.
///
/// # Safety
/// `job.w` has so many superblocks of a panel, `job.x` MR rows of their blocks, `job.acc` MR rows of a panel's columns;
/// `NV * LANES` columns from `job.column` are a panel's.
#[inline(always)]
pub(super) unsafe fn tile<D: Narrow, W: Blocks, const MR: usize, const NV: usize>(d: D, job: &Job) {
    let s = d.floats();
    // a constant where a tile is as wide as a panel
    let column = if NV * D::LANES == PANEL {
        0
    } else {
        job.column
    };
    let mut acc = [[s.splat(0.0); NV]; MR];
    if !job.first {
        for (i, row) in acc.iter_mut().enumerate() {
            for (v, t) in row.iter_mut().enumerate() {
                // SAFETY: inside row i of `acc` by the caller's promise.
                *t = unsafe { s.load(job.acc.add(i * PANEL + column + v * D::LANES)) };
            }
        }
    }
    let mut from = From {
        w: job.w,
        column,
        ahead: job.ahead,
        x: Rows {
            first: job.x,
            stride: job.x_row,
        },
    };
    for _ in 0..job.steps {
        // SAFETY: the caller's promise for this superblock.
        unsafe { W::step::<D, MR, NV>(d, from, &mut acc) };
        from.w = from.w.wrapping_add(W::BYTES);
        from.x.first = from.x.first.wrapping_add(W::COUNT * BLOCK_BYTES);
    }
    for (i, row) in acc.iter().enumerate() {
        for (v, &t) in row.iter().enumerate() {
            // SAFETY: as above.
            unsafe { s.store(job.acc.add(i * PANEL + column + v * D::LANES), t) };
        }
    }
}

/// Asks for the line `ahead` of `p + at`, once per line.
#[inline(always)]
fn ask<D: Narrow>(d: D, p: *const u8, at: usize, ahead: usize) {
    if at.is_multiple_of(64) {
        d.prefetch(p.wrapping_add(ahead + at));
    }
}

/// Four values of each column at `p`, a vector per `NV`; asks for those `ahead`.
///
/// # Safety
/// `4 * NV * LANES` bytes from `p` are readable.
#[inline(always)]
unsafe fn load<D: Narrow, const NV: usize>(d: D, p: *const u8, ahead: usize) -> [D::I; NV] {
    let mut vectors = [d.splat(0); NV];
    for (v, vector) in vectors.iter_mut().enumerate() {
        let at = v * D::LANES * 4;
        ask(d, p, at, ahead);
        // SAFETY: the caller's promise.
        *vector = unsafe { d.load(p.add(at)) };
    }
    vectors
}

/// Two i16 in every lane.
#[inline(always)]
fn both(low: i16, high: i16) -> i32 {
    i32::from(low.cast_unsigned()) | i32::from(high) << 16
}

/// `factor` times the sums of the halves of row `i`'s block (`low`, `high` of them).
///
/// # Safety
/// As [`Blocks::step`].
#[inline(always)]
unsafe fn offset<D: Narrow>(d: D, x: Rows, i: usize, at: usize, factors: i32) -> D::I {
    // SAFETY: the caller's promise.
    d.madd16(
        unsafe { d.broadcast(x.word(i, at + SUMS)) },
        d.splat(factors),
    )
}

/// [`crate::WeightFormat::Q8_0`]
pub(super) struct Q8_0;

impl Blocks for Q8_0 {
    const BYTES: usize = HALVES + 8 * GROUP;
    const COUNT: usize = 1;
    const DENSE: bool = false;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn step<D: Narrow, const MR: usize, const NV: usize>(
        d: D,
        from: From,
        acc: &mut [[F<D>; NV]; MR],
    ) {
        let From {
            w,
            column,
            ahead,
            x,
        } = from;
        let s = d.floats();
        let mut dots = [[d.splat(0); NV]; MR];
        if D::BIASED {
            for (i, row) in dots.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *row = [unsafe { d.broadcast(x.word(i, LESS_128)) }; NV];
            }
        }
        for g in 0..8 {
            // SAFETY: group `g` of the columns.
            let q = unsafe { load::<D, NV>(d, w.add(HALVES + g * GROUP + column * 4), ahead) };
            for (i, row) in dots.iter_mut().enumerate() {
                // SAFETY: group `g` of row `i`.
                let values = unsafe { d.broadcast(x.word(i, 4 * g)) };
                for (t, &q) in row.iter_mut().zip(&q) {
                    *t = d.dot_biased(*t, q, values);
                }
            }
        }
        ask(d, w, 0, ahead);
        for v in 0..NV {
            // SAFETY: the scales of the columns, and of row `i`.
            unsafe {
                let scale = d.f16(w.add(2 * (column + v * D::LANES)));
                for i in 0..MR {
                    let scale = s.mul(scale, x.f32(d, i, SCALE));
                    acc[i][v] = s.fma(d.to_f32(dots[i][v]), scale, acc[i][v]);
                }
            }
        }
    }
}

/// Adds the dots of 32 nibbles per column at `p` and row `i`'s block at `at` to `dots`.
///
/// # Safety
/// As [`Blocks::step`].
#[inline(always)]
unsafe fn nibble_dots<D: Narrow, const MR: usize, const NV: usize>(
    d: D,
    p: *const u8,
    ahead: usize,
    x: Rows,
    at: usize,
    dots: &mut [[D::I; NV]; MR],
) {
    let low = d.splat(0x0f0f_0f0f);
    for g in 0..4 {
        // SAFETY: group `g` of the columns.
        let q = unsafe { load::<D, NV>(d, p.add(g * GROUP), ahead) };
        for half in 0..2 {
            let q = q.map(|q| d.and(if half == 0 { q } else { d.shr::<4>(q) }, low));
            for (i, row) in dots.iter_mut().enumerate() {
                // SAFETY: group `g` of half a block of row `i`.
                let values = unsafe { d.broadcast(x.word(i, at + 16 * half + 4 * g)) };
                for (t, &q) in row.iter_mut().zip(&q) {
                    *t = d.dot_small(*t, q, values);
                }
            }
        }
    }
}

/// [`crate::WeightFormat::Q4_0`]
pub(super) struct Q4_0;

impl Blocks for Q4_0 {
    const BYTES: usize = HALVES + NIBBLES;
    const COUNT: usize = 1;
    const DENSE: bool = true;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn step<D: Narrow, const MR: usize, const NV: usize>(
        d: D,
        from: From,
        acc: &mut [[F<D>; NV]; MR],
    ) {
        let From {
            w,
            column,
            ahead,
            x,
        } = from;
        let s = d.floats();
        let mut dots = [[d.splat(0); NV]; MR];
        for (i, row) in dots.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *row = [unsafe { d.broadcast(x.word(i, LESS_8)) }; NV];
        }
        // SAFETY: the values, then the scales of the columns, and of row `i`.
        unsafe {
            nibble_dots(d, w.add(HALVES + column * 4), ahead, x, 0, &mut dots);
            ask(d, w, 0, ahead);
            for v in 0..NV {
                let scale = d.f16(w.add(2 * (column + v * D::LANES)));
                for i in 0..MR {
                    let scale = s.mul(scale, x.f32(d, i, SCALE));
                    acc[i][v] = s.fma(d.to_f32(dots[i][v]), scale, acc[i][v]);
                }
            }
        }
    }
}

/// [`crate::WeightFormat::Q4_K`]
pub(super) struct Q4K;

impl Blocks for Q4K {
    const BYTES: usize = Q4K_VALUES + 8 * NIBBLES;
    const COUNT: usize = 8;
    const DENSE: bool = true;
    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn step<D: Narrow, const MR: usize, const NV: usize>(
        d: D,
        from: From,
        acc: &mut [[F<D>; NV]; MR],
    ) {
        let From {
            w,
            column,
            ahead,
            x,
        } = from;
        let s = d.floats();
        // per block of 32: d * scale and -(dmin * minimum)
        let mut scales = [[[s.splat(0.0); 2]; 8]; NV];
        (0..Q4K_VALUES)
            .step_by(64)
            .for_each(|at| ask(d, w, at, ahead));
        for (v, scales) in scales.iter_mut().enumerate() {
            let first = column + v * D::LANES;
            // SAFETY: the scales and the words of scales of the columns.
            let (factors, words) = unsafe {
                let minus = s.mul(d.f16(w.add(HALVES + 2 * first)), s.splat(-1.0));
                let word = |i: usize| d.load(w.add(Q4K_SCALES + i * GROUP + 4 * first));
                (
                    [d.f16(w.add(2 * first)), minus],
                    [word(0), word(1), word(2)],
                )
            };
            let six = |a: D::I| d.and(a, d.splat(0x3f3f_3f3f));
            let four = |a: D::I| d.and(a, d.splat(0x0f0f_0f0f));
            let two = |a: D::I| d.and(d.shr::<2>(a), d.splat(0x3030_3030));
            let [a, b, c] = words;
            let bytes = [
                [six(a), six(b)],
                [d.or(four(c), two(a)), d.or(four(d.shr::<4>(c)), two(b))],
            ];
            for (half, mut pair) in bytes.into_iter().enumerate() {
                for j in 0..4 {
                    for (p, byte) in pair.iter_mut().enumerate() {
                        let value = d.to_f32(d.and(*byte, d.splat(0xff)));
                        scales[4 * half + j][p] = s.mul(factors[p], value);
                        *byte = d.shr::<8>(*byte);
                    }
                }
            }
        }
        for j in 0..8 {
            let at = j * BLOCK_BYTES;
            let mut dots = [[d.splat(0); NV]; MR];
            // SAFETY: the values of the columns and of row `i`'s block `j`, and its scales.
            unsafe {
                let values = w.add(Q4K_VALUES + j * NIBBLES + column * 4);
                nibble_dots(d, values, ahead, x, at, &mut dots);
                for (v, scales) in scales.iter().enumerate() {
                    let [scale, minimum] = scales[j];
                    for i in 0..MR {
                        let scale = s.mul(scale, x.f32(d, i, at + SCALE));
                        let t = s.fma(d.to_f32(dots[i][v]), scale, acc[i][v]);
                        acc[i][v] = s.fma(minimum, x.f32(d, i, at + SCALED_SUM), t);
                    }
                }
            }
        }
    }
}

/// [`crate::WeightFormat::Q6_K`]
pub(super) struct Q6K;

impl Blocks for Q6K {
    const BYTES: usize = HALVES + 8 * Q6K_BLOCK;
    const COUNT: usize = 8;
    const DENSE: bool = false;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn step<D: Narrow, const MR: usize, const NV: usize>(
        d: D,
        from: From,
        acc: &mut [[F<D>; NV]; MR],
    ) {
        let From {
            w,
            column,
            ahead,
            x,
        } = from;
        let s = d.floats();
        for j in 0..8 {
            let at = j * BLOCK_BYTES;
            let block = w.wrapping_add(HALVES + j * Q6K_BLOCK);
            ask(d, block, 0, ahead);
            // SAFETY: the values of the columns and of row `i`'s block `j`, and all scales.
            unsafe {
                let mut dots = [[[d.splat(0); NV]; MR]; 2];
                for (i, row) in dots[0].iter_mut().enumerate() {
                    *row = [offset(d, x, i, at, both(-32, 0)); NV];
                }
                for (i, row) in dots[1].iter_mut().enumerate() {
                    *row = [offset(d, x, i, at, both(0, -32)); NV];
                }
                six_bit_dots(d, block.add(column * 4), ahead, x, at, &mut dots);
                for v in 0..NV {
                    let first = column + v * D::LANES;
                    let scale = d.f16(w.add(2 * first));
                    let halves = [0, 1].map(|half| d.i8(block.add(half * PANEL + first)));
                    for i in 0..MR {
                        let [low, high] = [0, 1].map(|half| d.to_f32(dots[half][i][v]));
                        // exact, and never -0: the second product is added to +0
                        let sum = s.fma(low, halves[0], s.fma(high, halves[1], s.splat(0.0)));
                        let scale = s.mul(scale, x.f32(d, i, at + SCALE));
                        acc[i][v] = s.fma(sum, scale, acc[i][v]);
                    }
                }
            }
        }
    }
}

/// Adds the dots of the halves of 32 six-bit numbers per column at `p` and row `i`'s block at `at` to `dots`.
///
/// # Safety
/// As [`Blocks::step`].
#[inline(always)]
unsafe fn six_bit_dots<D: Narrow, const MR: usize, const NV: usize>(
    d: D,
    p: *const u8,
    ahead: usize,
    x: Rows,
    at: usize,
    dots: &mut [[[D::I; NV]; MR]; 2],
) {
    let (four, two) = (d.splat(0x0f0f_0f0f), d.splat(0x3030_3030));
    // SAFETY: the high bits of the columns.
    let high = unsafe {
        let high = p.add(Q6K_HIGH);
        [
            load::<D, NV>(d, high, ahead),
            load::<D, NV>(d, high.add(GROUP), ahead),
        ]
    };
    for g in 0..4 {
        // SAFETY: group `g` of the columns.
        let low = unsafe { load::<D, NV>(d, p.add(Q6K_LOW + g * GROUP), ahead) };
        for half in 0..2 {
            let mut q = low;
            for (q, &high) in q.iter_mut().zip(&high[half]) {
                let low = d.and(if half == 0 { *q } else { d.shr::<4>(*q) }, four);
                let high = match g {
                    0 => d.shl::<4>(high),
                    1 => d.shl::<2>(high),
                    2 => high,
                    _ => d.shr::<2>(high),
                };
                *q = d.or(low, d.and(high, two));
            }
            for (i, row) in dots[half].iter_mut().enumerate() {
                // SAFETY: group `g` of half a block of row `i`.
                let values = unsafe { d.broadcast(x.word(i, at + 16 * half + 4 * g)) };
                for (t, &q) in row.iter_mut().zip(&q) {
                    *t = d.dot_small(*t, q, values);
                }
            }
        }
    }
}
