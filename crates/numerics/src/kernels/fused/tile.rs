//! The register tile of products: `MR` rows a constant step apart, all of k, and what follows.

use super::super::elementwise::Add;
use super::super::gemm::CHUNK;
use super::super::simd::Simd;
use super::tail::{Block, Tail};

/// Operands of one tile, as pointers checked by the driver.
pub(in super::super) struct RowTile<'a> {
    /// Where row 0 of A begins.
    pub(super) a: *const f32,
    /// Values from there to the next row.
    pub(super) a_step: usize,
    /// Values from `A[i, k]` to `A[i, k + 1]`, for each k of this part of the depth.
    pub(super) deltas: &'a [i32],
    /// First part of k: the output is overwritten, not added to.
    pub(super) first: bool,
    /// Last part of k: what follows is done.
    pub(super) last: bool,
    /// `B[0, 0]` of the tile.
    pub(super) b: *const f32,
    /// Values from a row (`k`) of B to the next.
    pub(super) b_step: usize,
    /// Weights that are read soon, and how many lines of memory of them to ask for.
    pub(super) soon: *const f32,
    pub(super) lines: usize,
    /// Where row 0 of the output begins, at the tile's first column.
    pub(super) c: *mut f32,
    /// Values from there to the next row.
    pub(super) c_step: usize,
    /// Columns that are there.
    pub(super) count: usize,
    /// First row and column, for what follows.
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) tail: &'a [Tail<'a>],
}

/// The sums of a tile.
type Sums<S, const MR: usize, const NV: usize> = [[<S as Simd>::F; NV]; MR];

/// Computes one tile: order C256 over whole chunks of k, on from what the output holds, and with the last of them the bias and
/// the tail.
///
/// # Safety
/// For `i < MR`, `a + i * a_step` moved by the first `k` deltas is readable for every k, `b + k * b_step` has `NV * LANES`
/// readable values, and `c + i * c_step` has `count` writable ones that are nobody else's; the bias has `column + count` values,
/// and each operator of the tail covers the tile and is simple.
#[inline(always)]
pub(in super::super) unsafe fn row_tile<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    job: &RowTile<'_>,
) {
    let mut at = (job.a, job.b);
    let mut soon = Soon {
        weights: job.soon,
        lines: job.lines,
        row: 0,
    };
    let mut chunks = job.deltas.chunks(CHUNK);
    let mut sums = [[s.splat(0.0); NV]; MR];
    let mut before = sums;
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(deltas) = chunks.next() {
            at = chains(s, job, deltas, at, &mut soon, &mut sums);
        }
        if !job.first {
            job.load(s, &mut before);
            add(s, &mut sums, &before);
        }
        for deltas in chunks {
            before = sums;
            at = chains(s, job, deltas, at, &mut soon, &mut sums);
            add(s, &mut sums, &before);
        }
        if job.last {
            job.finish(s, &mut sums);
        }
        job.store(s, &sums);
    }
}

/// `sums += before`
#[inline(always)]
fn add<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    sums: &mut Sums<S, MR, NV>,
    before: &Sums<S, MR, NV>,
) {
    each_row!(MR, |I| {
        for (sum, before) in sums[I].iter_mut().zip(before[I]) {
            *sum = s.add(before, *sum);
        }
    });
}

impl RowTile<'_> {
    /// Asks for the lines that a row of the tile is stored to, and for those that its tail reads: by the time the sums are there
    /// they are too.
    #[inline(always)]
    fn ask<S: Simd, const NV: usize>(&self, s: S, row: usize) {
        let c = self.c.wrapping_add(row * self.c_step);
        for v in 0..NV {
            s.prefetch_write(c.wrapping_add(v * S::LANES));
        }
        if !self.last {
            return;
        }
        for tail in self.tail {
            let (Tail::Add(rows) | Tail::Mul(rows)) = tail else {
                continue;
            };
            let from = rows
                .pointer(self.row)
                .wrapping_add(self.column + row * rows.map.step);
            for v in 0..NV {
                s.prefetch_near(from.wrapping_add(v * S::LANES));
            }
        }
    }

    /// What the output holds.
    ///
    /// # Safety
    /// As [`row_tile`].
    #[inline(always)]
    unsafe fn load<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        sums: &mut Sums<S, MR, NV>,
    ) {
        for (i, row) in sums.iter_mut().enumerate() {
            for (v, sum) in row.iter_mut().enumerate() {
                let from = self.c.wrapping_add(i * self.c_step + v * S::LANES);
                let count = self.count.saturating_sub(v * S::LANES);
                // SAFETY: the caller's promise.
                *sum = unsafe { s.load_first(from, count) };
            }
        }
    }

    /// Bias and tail.
    ///
    /// # Safety
    /// As [`row_tile`].
    #[inline(always)]
    unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        sums: &mut Sums<S, MR, NV>,
    ) {
        let mut block = Block::<S, MR, NV> {
            values: *sums,
            row: self.row,
            column: self.column,
            count: self.count,
        };
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(bias) = self.bias {
                let bias = block.columns(s, bias);
                block.with_columns(s, bias, Add);
            }
            block.follow(s, self.tail);
        }
        *sums = block.values;
    }

    /// Stores the tile, every NaN canonical.
    ///
    /// # Safety
    /// As [`row_tile`].
    #[inline(always)]
    unsafe fn store<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        sums: &Sums<S, MR, NV>,
    ) {
        let mut nan = s.lt(s.splat(0.0), s.splat(0.0));
        each_row!(MR, |I| {
            nan = s.mask_or(nan, s.either_nan(sums[I][0], sums[I][NV - 1]));
        });
        if s.any(nan) || self.count < NV * S::LANES {
            // a copy: what a loop like this touches is kept in memory
            let rows = *sums;
            for (i, row) in rows.iter().enumerate() {
                for (v, &x) in row.iter().enumerate() {
                    let to = self.c.wrapping_add(i * self.c_step + v * S::LANES);
                    let count = self.count.saturating_sub(v * S::LANES);
                    // SAFETY: the caller's promise.
                    unsafe { s.store_first(to, s.canonical(x), count) };
                }
            }
            return;
        }
        let mut c = self.c;
        each_row!(MR, |I| {
            for (v, &sum) in sums[I].iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { s.store(c.wrapping_add(v * S::LANES), sum) };
            }
            c = c.wrapping_add(self.c_step);
        });
    }
}

/// The chains of one chunk, from +0; where the next chunk begins in A and in B.
///
/// # Safety
/// As [`row_tile`].
#[inline(always)]
unsafe fn chains<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    job: &RowTile<'_>,
    deltas: &[i32],
    (mut a, mut b): (*const f32, *const f32),
    soon: &mut Soon,
    out: &mut Sums<S, MR, NV>,
) -> (*const f32, *const f32) {
    let mut acc = [[s.splat(0.0); NV]; MR];
    // lines are asked for a few at a time: many at once would keep those waiting that the sums need now
    let rows = MR.div_ceil(deltas.len().div_ceil(GROUP));
    for deltas in deltas.chunks(GROUP) {
        for _ in 0..rows.min(MR - soon.row) {
            job.ask::<S, NV>(s, soon.row);
            soon.row += 1;
        }
        let lines = soon.lines.min(GROUP);
        for _ in 0..lines {
            s.prefetch(soon.weights);
            soon.weights = soon.weights.wrapping_add(LINE);
        }
        soon.lines -= lines;
        for &delta in deltas {
            // SAFETY: the caller's promise.
            unsafe { step(s, job, &mut acc, a, b) };
            a = a.wrapping_offset(delta as isize);
            b = b.wrapping_add(job.b_step);
        }
    }
    *out = acc;
    (a, b)
}

/// Values of k between two times that lines are asked for.
const GROUP: usize = 16;

/// What is yet to be asked for.
struct Soon {
    /// Weights of the next tiles, and how many lines of them.
    weights: *const f32,
    lines: usize,
    /// The next row of the output.
    row: usize,
}

/// f32 of a line of memory.
pub(super) const LINE: usize = 16;

/// One k of each chain.
///
/// # Safety
/// As [`row_tile`].
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    job: &RowTile<'_>,
    acc: &mut Sums<S, MR, NV>,
    a: *const f32,
    b: *const f32,
) {
    let mut columns = [s.splat(0.0); NV];
    for (v, column) in columns.iter_mut().enumerate() {
        // SAFETY: inside row k of B.
        *column = unsafe { s.load(b.add(v * S::LANES)) };
    }
    // SAFETY: `A[i, k]` by the caller's promise.
    unsafe { s.fma_rows(acc, a, job.a_step, &columns) };
}
