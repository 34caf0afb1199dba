//! Products of activations with stored weights: the operators Linear, Quantize and Embed.
//!
//! 1. Weights are repacked once, by panels of 32 rows (= columns of the product), so that a vector holds the same value
//!    of neighbouring rows ([`PackedMatrix`]). They keep the size of the file.
//! 2. Activations are rows of f32, or blocks of signed bytes with their scale and sums ([`Activations`]).
//! 3. A part walks blocks of rows and groups of panels; for each, chunks of `k`, so that a panel's chunk fits the
//!    first-level cache and the rows' chunk the second; for each chunk, tiles of a few rows whose accumulators stay in
//!    registers. Between chunks accumulators wait in a buffer: storing and loading an f32 is exact, so that chunks of
//!    quantised formats change no bit. Chunks of floating formats are those of the C256 order.
//!
//! One row takes the same way, so that it has the same bits alone and among others.

mod activations;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
mod blocks;
mod columns;
mod dequantise;
mod floats;
mod layout;
pub(super) mod narrow;
mod output;
mod packed;
mod storage;
pub(super) mod whole;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::ops::Range;

pub use activations::{Activations, ActivationsWriter};
pub use columns::{ColumnsPart, ColumnsWriter};
pub use dequantise::dequantise;
pub use output::SharedRows;
pub use packed::{PackedMatrix, PanelMut};
pub use storage::Storage;

use super::gemm::CHUNK;
use super::parallel::{Parallel, Scratch};
use super::simd::Simd;
use super::{Isa, gemm::WORTH_SPLITTING};
use crate::WeightFormat;
use crate::blocks::ACTIVATION_BLOCK;
use activations::BLOCK_BYTES;
use blocks::Blocks;
use floats::Floats;
use layout::PANEL;
use narrow::{Narrow, NarrowKernel};
use output::Rectangle;

/// Bytes of a chunk of activations, and of accumulators: each a quarter of a small second-level cache.
const ROWS_BYTES: usize = 256 << 10;
/// Bytes of a chunk of a panel of quantised weights: half of the first-level cache.
const CHUNK_BYTES: usize = 18 << 10;
/// Full tiles from which on a chunk of narrow floats is made f32 once, not by each.
const WIDEN_TILES: usize = 4;
/// How far ahead of a single tile's dots weights are asked for, where they take longer than reading.
const AHEAD: usize = 16 << 10;

/// Operands of one tile, as pointers checked by the driver.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Job {
    /// The chunk of the panel.
    w: *const u8,
    /// The first row of activations, at the chunk.
    x: *const u8,
    /// Bytes between rows of activations.
    x_row: usize,
    /// Superblocks, or values, of the chunk.
    steps: usize,
    /// Accumulators, rows of a panel's columns.
    acc: *mut f32,
    /// First column of the tile in the panel.
    column: usize,
    /// Columns of the tile: where an instruction set has tiles of several widths.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    columns: usize,
    /// First chunk: accumulators begin at +0.
    first: bool,
    /// Bytes from the weights in use to those to ask for: 0 where the processor's own asking does.
    ahead: usize,
}

/// The product of rows `rows` of `x` with the rows of `panels` of `w`, to the same rows and those columns of `out`.
/// Several threads may call it at once for disjoint rectangles.
///
/// # Panics
/// If activations and weights do not fit together, a range lies outside, or part of the output was written before.
pub fn linear(
    isa: Isa,
    w: &PackedMatrix,
    x: &Activations,
    rows: Range<usize>,
    panels: Range<usize>,
    out: &SharedRows<'_>,
) {
    assert_eq!(w.k(), x.k(), "values of a row");
    assert_eq!(
        w.format().is_quantised(),
        x.is_quantised(),
        "activations for {}",
        w.format().name()
    );
    assert!(
        rows.end <= x.m() && panels.end <= w.panels(),
        "outside of the product"
    );
    if rows.is_empty() || panels.is_empty() {
        return;
    }
    let columns = w.panel_rows(panels.start).start..w.panel_rows(panels.end - 1).end;
    let out = out.claim(rows.clone(), columns);
    let part = Part {
        w,
        x,
        rows,
        panels,
        out,
    };
    if x.has_least() {
        // products with -128 are beyond the bytes' multiplications of some instruction sets
        part.run(super::scalar::Scalar);
    } else {
        isa.run_narrow(part);
    }
}

/// All of the product: `out` is row-major, `x.m()` rows of `w.n()`.
///
/// # Panics
/// As [`linear`], or if `out` has another length.
pub fn linear_all(
    isa: Isa,
    par: &dyn Parallel,
    w: &PackedMatrix,
    x: &Activations,
    out: &mut [f32],
) {
    assert_eq!(out.len(), x.m() * w.n(), "output length");
    let shared = SharedRows::new(out, w.n());
    let panels = w.panels();
    let workers = par.workers();
    if workers <= 1 || x.m() * w.n() * w.k() < WORTH_SPLITTING {
        return linear(isa, w, x, 0..x.m(), 0..panels, &shared);
    }
    let parts = (workers * 4).min(panels);
    par.run(parts, &|i| {
        let range = panels * i / parts..panels * (i + 1) / parts;
        linear(isa, w, x, 0..x.m(), range, &shared);
    });
}

/// One call of [`linear`], checked.
struct Part<'a> {
    w: &'a PackedMatrix,
    x: &'a Activations,
    rows: Range<usize>,
    panels: Range<usize>,
    out: Rectangle<'a>,
}

impl NarrowKernel for Part<'_> {
    #[inline(always)]
    fn run<D: Narrow>(self, d: D) {
        match self.w.format() {
            WeightFormat::F32 => self.tiles(d, OfFloats::<floats::F32>::new()),
            WeightFormat::F16 => self.tiles(d, OfFloats::<floats::F16>::new()),
            WeightFormat::Bf16 => self.tiles(d, OfFloats::<floats::Bf16>::new()),
            WeightFormat::Q8_0 => self.tiles(d, OfBlocks::<blocks::Q8_0>::new()),
            WeightFormat::Q4_0 => self.tiles(d, OfBlocks::<blocks::Q4_0>::new()),
            WeightFormat::Q4_K => self.tiles(d, OfBlocks::<blocks::Q4K>::new()),
            WeightFormat::Q6_K => self.tiles(d, OfBlocks::<blocks::Q6K>::new()),
        }
    }
}

/// What the driver knows of a kind of weights. A step is a value, or a superblock.
trait Tiles: Copy {
    /// Bytes of a step of a panel.
    const W_BYTES: usize;
    /// Bytes of a step of a row of activations.
    const X_BYTES: usize;
    /// Values of a step.
    const VALUES: usize;

    /// The first row of activations, and the bytes from row to row.
    fn activations(self, x: &Activations) -> (*const u8, usize);
    /// Steps of a chunk where a product has `rows` rows.
    fn chunk<D: Narrow>(self, d: D, rows: usize) -> usize;
    /// Bytes from weights in use to those to ask for, in a single tile of `rows` rows.
    fn ahead(self, rows: usize) -> usize;
    /// Most rows of a tile.
    fn most<D: Narrow>(self, d: D) -> usize;
    /// Rows of the next tile where `left` are left.
    fn next<D: Narrow>(self, d: D, left: usize) -> usize;
    /// Values of a chunk of a panel that is made f32 once for all tiles; 0 where tiles read it as it is.
    #[inline(always)]
    fn wide(self, _chunk: usize) -> usize {
        0
    }
    /// The job on a chunk that has been made f32 in `buffer`.
    ///
    /// # Safety
    /// `job.w` is a chunk of a panel, which `buffer` has room for.
    #[inline(always)]
    unsafe fn widened<D: Narrow>(self, _: D, job: Job, _buffer: &mut [f32]) -> Job {
        job
    }
    /// One tile of so many rows. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// As [`floats::tile`] or [`blocks::tile`].
    unsafe fn tile<D: Narrow>(self, d: D, rows: usize, job: &Job);
}

struct OfFloats<W>(PhantomData<W>);
struct OfBlocks<W>(PhantomData<W>);

macro_rules! token {
    ($name:ident) => {
        impl<W> $name<W> {
            fn new() -> Self {
                $name(PhantomData)
            }
        }
        impl<W> Clone for $name<W> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<W> Copy for $name<W> {}
    };
}
token!(OfFloats);
token!(OfBlocks);

impl<W: Floats> Tiles for OfFloats<W> {
    const W_BYTES: usize = PANEL * W::BYTES;
    const X_BYTES: usize = 4;
    const VALUES: usize = 1;

    fn activations(self, x: &Activations) -> (*const u8, usize) {
        let (floats, stride) = x.floats();
        (floats.as_ptr().cast(), 4 * stride)
    }
    #[inline(always)]
    fn chunk<D: Narrow>(self, _: D, _: usize) -> usize {
        CHUNK
    }
    #[inline(always)]
    fn ahead(self, rows: usize) -> usize {
        if W::BYTES < 4 && rows > 1 { AHEAD } else { 0 }
    }
    #[inline(always)]
    fn most<D: Narrow>(self, _: D) -> usize {
        D::FLOAT_ROWS[0]
    }
    #[inline(always)]
    fn next<D: Narrow>(self, _: D, left: usize) -> usize {
        let fits = D::FLOAT_ROWS.iter().find(|&&rows| rows <= left);
        fits.copied().unwrap_or(1)
    }
    #[inline(always)]
    fn wide(self, chunk: usize) -> usize {
        if W::BYTES < 4 { chunk * PANEL } else { 0 }
    }
    #[inline(always)]
    unsafe fn widened<D: Narrow>(self, d: D, job: Job, buffer: &mut [f32]) -> Job {
        // SAFETY: the caller's promise.
        unsafe { floats::widen::<D, W>(d, &job, &mut buffer[..job.steps * PANEL]) };
        Job {
            w: buffer.as_ptr().cast(),
            ahead: 0,
            ..job
        }
    }
    #[inline(always)]
    unsafe fn tile<D: Narrow>(self, d: D, rows: usize, job: &Job) {
        // SAFETY: the caller's promise.
        unsafe { d.chunk::<W>(rows, job) }
    }
}

impl<W: Blocks> Tiles for OfBlocks<W> {
    const W_BYTES: usize = W::BYTES;
    const X_BYTES: usize = W::COUNT * BLOCK_BYTES;
    const VALUES: usize = W::COUNT * ACTIVATION_BLOCK;

    fn activations(self, x: &Activations) -> (*const u8, usize) {
        let stride = x.k() / ACTIVATION_BLOCK * BLOCK_BYTES;
        (x.blocks().as_ptr().cast(), stride)
    }
    #[inline(always)]
    fn chunk<D: Narrow>(self, d: D, rows: usize) -> usize {
        if rows <= self.most(d) {
            usize::MAX
        } else {
            (CHUNK_BYTES / W::BYTES).max(1)
        }
    }
    #[inline(always)]
    fn ahead(self, rows: usize) -> usize {
        if W::DENSE && rows > 1 { AHEAD } else { 0 }
    }
    #[inline(always)]
    fn most<D: Narrow>(self, _: D) -> usize {
        D::BLOCK_ROWS.min(W::ROWS)
    }
    #[inline(always)]
    fn next<D: Narrow>(self, d: D, left: usize) -> usize {
        // all of about the same height
        left.div_ceil(left.div_ceil(self.most(d)))
    }
    #[inline(always)]
    unsafe fn tile<D: Narrow>(self, d: D, rows: usize, job: &Job) {
        // SAFETY: the caller's promise.
        unsafe { d.blocks::<W>(rows, job) }
    }
}

impl Part<'_> {
    /// Walks blocks of rows, groups of panels, chunks, panels, columns and tiles.
    #[inline(always)]
    fn tiles<D: Narrow, T: Tiles>(mut self, d: D, t: T) {
        let steps = self.w.k() / T::VALUES;
        let (x, x_row) = t.activations(self.x);
        let most = t.most(d);
        let alone = self.rows.len() <= most;
        let chunk = t.chunk(d, self.rows.len()).min(steps);
        let fit = ROWS_BYTES / (chunk * T::X_BYTES).max(PANEL * 4);
        let block = (fit / most * most).clamp(most, self.rows.len().max(most));
        let (group, ahead) = if alone {
            (1, t.ahead(self.rows.len()))
        } else {
            // the same chunk of the next panel comes next
            (ROWS_BYTES / (block * PANEL * 4), steps * T::W_BYTES)
        };
        let group = group.clamp(1, self.panels.len());
        let wide = if self.rows.len() >= WIDEN_TILES * most {
            t.wide(chunk)
        } else {
            0
        };
        let mut scratch = Scratch::take(wide + group * block * PANEL);
        let (wide, acc) = scratch.as_mut().split_at_mut(wide);
        for start in self.rows.clone().step_by(block) {
            let rows = block.min(self.rows.end - start);
            for from in self.panels.clone().step_by(group) {
                let panels = from..(from + group).min(self.panels.end);
                for k in (0..steps).step_by(chunk) {
                    for (panel, acc) in panels.clone().zip(acc.chunks_exact_mut(block * PANEL)) {
                        let w = self.w.panel(panel).as_ptr();
                        let job = Job {
                            w: w.wrapping_add(k * T::W_BYTES),
                            x: x.wrapping_add(start * x_row + k * T::X_BYTES),
                            x_row,
                            steps: chunk.min(steps - k),
                            acc: acc.as_mut_ptr(),
                            column: 0,
                            columns: 0,
                            first: k == 0,
                            ahead,
                        };
                        // SAFETY: chunk and rows lie inside of their operands, whose sizes `linear` has compared.
                        unsafe {
                            if wide.is_empty() {
                                rows_of_tiles(d, t, rows, job);
                            } else {
                                let job = t.widened(d, job, wide);
                                rows_of_tiles(d, OfFloats::<floats::F32>::new(), rows, job);
                            }
                        }
                    }
                }
                for (panel, acc) in panels.zip(acc.chunks_exact(block * PANEL)) {
                    self.write(d, start, panel, &acc[..rows * PANEL]);
                }
            }
        }
    }

    /// Writes a panel's finished sums, NaN made canonical.
    #[inline(always)]
    fn write<D: Narrow>(&mut self, d: D, start: usize, panel: usize, acc: &[f32]) {
        let s = d.floats();
        let columns = self.w.panel_rows(panel);
        let from = (panel - self.panels.start) * PANEL;
        for (i, acc) in acc.chunks_exact(PANEL).enumerate() {
            let row = start - self.rows.start + i;
            let out = self.out.row(row, from, columns.len());
            let mut buffer = [0.0f32; PANEL];
            let whole = out.len() == PANEL;
            let to = if whole {
                out.as_mut_ptr()
            } else {
                buffer.as_mut_ptr()
            };
            for v in (0..PANEL).step_by(D::LANES) {
                // SAFETY: PANEL values in all three.
                unsafe { s.store(to.add(v), s.canonical(s.load(acc.as_ptr().add(v)))) };
            }
            if !whole {
                out.copy_from_slice(&buffer[..out.len()]);
            }
        }
    }
}

/// All tiles of one chunk of a panel: `job` is that of the first, of `rows` rows in all.
///
/// # Safety
/// `job.w` is a chunk of a panel, `job.x` and `job.acc` have `rows` rows of it.
#[inline(always)]
unsafe fn rows_of_tiles<D: Narrow, T: Tiles>(d: D, t: T, rows: usize, job: Job) {
    let columns = if rows == 1 {
        D::ROW_COLUMNS
    } else {
        D::COLUMNS
    };
    for column in (0..PANEL).step_by(columns) {
        let mut i = 0;
        while i < rows {
            let height = t.next(d, rows - i);
            let job = Job {
                x: job.x.wrapping_add(i * job.x_row),
                acc: job.acc.wrapping_add(i * PANEL),
                column,
                columns,
                ..job
            };
            // SAFETY: rows `i .. i + height` of the caller's, and columns of a panel.
            unsafe { t.tile(d, height, &job) };
            i += height;
        }
    }
}
