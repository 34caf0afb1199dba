//! The register tile of products: `MR` rows a constant step apart, all of k, and what follows.

use super::super::elementwise::Add;
use super::super::gemm::CHUNK;
use super::super::simd::Simd;
use super::tail::{Block, Tail};

/// Most rows of a tile of any instruction set.
pub(super) const MAX_ROWS: usize = 12;

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
    /// Where each row of the output begins, at the tile's first column.
    pub(super) c: [*mut f32; MAX_ROWS],
    /// Columns that are there.
    pub(super) count: usize,
    /// First row and column, for what follows.
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) tail: &'a [Tail<'a>],
}

/// Computes one tile: order C256 over whole chunks of k, on from what the output holds, and with the last of them the bias and
/// the tail.
///
/// # Safety
/// For `i < MR`, `a + i * a_step` moved by the first `k` deltas is readable for every k, `b + k * b_step` has `NV * LANES`
/// readable values, and `c[i]` has `count` writable ones that are nobody else's; the bias has `column + count` values, and
/// each operator of the tail covers the tile and is simple.
#[inline(always)]
pub(in super::super) unsafe fn row_tile<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    job: &RowTile<'_>,
) {
    let zero = s.splat(0.0);
    let (mut at, mut soon) = ((job.a, job.b), (job.soon, job.lines));
    let mut chunks = job.deltas.chunks(CHUNK);
    let mut sum = [[zero; NV]; MR];
    let mut total = [[zero; NV]; MR];
    if job.first {
        if let Some(deltas) = chunks.next() {
            // SAFETY: the caller's promise.
            at = unsafe { chains(s, job, deltas, at, &mut soon, &mut total) };
        }
    } else {
        for (row, &c) in total.iter_mut().zip(&job.c) {
            for (v, t) in row.iter_mut().enumerate() {
                let count = job.count.saturating_sub(v * S::LANES);
                // SAFETY: the caller's promise.
                *t = unsafe { s.load_first(c.wrapping_add(v * S::LANES), count) };
            }
        }
    }
    for deltas in chunks {
        // SAFETY: the caller's promise.
        at = unsafe { chains(s, job, deltas, at, &mut soon, &mut sum) };
        for (total, row) in total.iter_mut().zip(&sum) {
            for (t, x) in total.iter_mut().zip(row) {
                *t = s.add(*t, *x);
            }
        }
    }
    let mut block = Block::<S, MR, NV> {
        values: total,
        row: job.row,
        column: job.column,
        count: job.count,
    };
    // SAFETY: the caller's promise.
    unsafe {
        if job.last {
            if let Some(bias) = job.bias {
                let bias = block.columns(s, bias);
                block.with_columns(s, bias, Add);
            }
            if !job.tail.is_empty() {
                block.apply(s, job.tail);
            }
        }
        for (row, &c) in block.values.iter().zip(&job.c) {
            for (v, &x) in row.iter().enumerate() {
                let to = c.wrapping_add(v * S::LANES);
                let count = job.count.saturating_sub(v * S::LANES);
                s.store_first(to, s.canonical(x), count);
            }
        }
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
    soon: &mut (*const f32, usize),
    out: &mut [[S::F; NV]; MR],
) -> (*const f32, *const f32) {
    let mut acc = [[s.splat(0.0); NV]; MR];
    let (asking, rest) = deltas.split_at(soon.1.min(deltas.len()));
    for &delta in asking {
        s.prefetch(soon.0);
        soon.0 = soon.0.wrapping_add(LINE);
        // SAFETY: the caller's promise.
        unsafe { step(s, job, &mut acc, a, b) };
        a = a.wrapping_offset(delta as isize);
        b = b.wrapping_add(job.b_step);
    }
    soon.1 -= asking.len();
    for &delta in rest {
        // SAFETY: the caller's promise.
        unsafe { step(s, job, &mut acc, a, b) };
        a = a.wrapping_offset(delta as isize);
        b = b.wrapping_add(job.b_step);
    }
    *out = acc;
    (a, b)
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
    acc: &mut [[S::F; NV]; MR],
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
