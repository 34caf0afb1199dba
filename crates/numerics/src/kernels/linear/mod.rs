//! Products of activations with stored weights: the operators Linear, Quantize and Embed.
//!
//! 1. Weights are repacked once, by panels of 32 rows (= columns of the product), so that a vector holds the same value
//!    of neighbouring rows ([`PackedMatrix`]). They keep the size of the file.
//! 2. Activations are rows of f32, or blocks of signed bytes with their scale and sums ([`Activations`]).
//! 3. A part walks blocks of rows; for each panel, chunks of `k` that fit the first-level cache; for each chunk, tiles
//!    of a few rows whose accumulators stay in registers. Between chunks accumulators wait in a buffer: storing and
//!    loading an f32 is exact, so that chunks of quantised formats change no bit. Chunks of floating formats are those of
//!    the C256 order.
//!
//! One row takes the same way, so that it has the same bits alone and among others.

mod activations;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
mod blocks;
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

/// Bytes of activations that a block of rows takes at most: half of a small second-level cache.
const ROWS_BYTES: usize = 512 << 10;
/// Bytes of a chunk of a panel of quantised weights: half of the first-level cache.
const CHUNK_BYTES: usize = 18 << 10;

/// Operands of one tile, as pointers checked by the driver.
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
    /// First chunk: accumulators begin at +0.
    first: bool,
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

    /// The first row of activations.
    fn activations(self, x: &Activations) -> *const u8;
    /// Steps of a chunk where a product has `rows` rows.
    fn chunk<D: Narrow>(self, d: D, rows: usize) -> usize;
    /// Most rows of a tile.
    fn most<D: Narrow>(self, d: D) -> usize;
    /// Rows of the next tile where `left` are left.
    fn next<D: Narrow>(self, d: D, left: usize) -> usize;
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

    fn activations(self, x: &Activations) -> *const u8 {
        x.floats().as_ptr().cast()
    }
    #[inline(always)]
    fn chunk<D: Narrow>(self, _: D, _: usize) -> usize {
        CHUNK
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
    unsafe fn tile<D: Narrow>(self, d: D, rows: usize, job: &Job) {
        // SAFETY: the caller's promise.
        unsafe { d.chunk::<W>(rows, job) }
    }
}

impl<W: Blocks> Tiles for OfBlocks<W> {
    const W_BYTES: usize = W::BYTES;
    const X_BYTES: usize = W::COUNT * BLOCK_BYTES;
    const VALUES: usize = W::COUNT * ACTIVATION_BLOCK;

    fn activations(self, x: &Activations) -> *const u8 {
        x.blocks().as_ptr().cast()
    }
    #[inline(always)]
    fn chunk<D: Narrow>(self, _: D, rows: usize) -> usize {
        if rows <= D::BLOCK_ROWS {
            usize::MAX
        } else {
            (CHUNK_BYTES / W::BYTES).max(1)
        }
    }
    #[inline(always)]
    fn most<D: Narrow>(self, _: D) -> usize {
        D::BLOCK_ROWS
    }
    #[inline(always)]
    fn next<D: Narrow>(self, _: D, left: usize) -> usize {
        // all of about the same height
        left.div_ceil(left.div_ceil(D::BLOCK_ROWS))
    }
    #[inline(always)]
    unsafe fn tile<D: Narrow>(self, d: D, rows: usize, job: &Job) {
        // SAFETY: the caller's promise.
        unsafe { d.blocks::<W>(rows, job) }
    }
}

impl Part<'_> {
    /// Walks blocks of rows, panels, chunks, columns and tiles.
    #[inline(always)]
    fn tiles<D: Narrow, T: Tiles>(mut self, d: D, t: T) {
        let steps = self.w.k() / T::VALUES;
        let x = t.activations(self.x);
        let x_row = steps * T::X_BYTES;
        let most = t.most(d);
        let block = (ROWS_BYTES / x_row / most * most).max(most);
        let block = block.min(self.rows.len());
        let chunk = t.chunk(d, self.rows.len());
        let mut scratch = Scratch::take(block * PANEL);
        let acc = scratch.as_mut();
        for start in self.rows.clone().step_by(block) {
            let rows = block.min(self.rows.end - start);
            for panel in self.panels.clone() {
                let w = self.w.panel(panel).as_ptr();
                let mut k = 0;
                while k < steps {
                    let depth = chunk.min(steps - k);
                    for column in (0..PANEL).step_by(D::COLUMNS) {
                        let mut i = 0;
                        while i < rows {
                            let height = t.next(d, rows - i);
                            let job = Job {
                                w: w.wrapping_add(k * T::W_BYTES),
                                x: x.wrapping_add((start + i) * x_row + k * T::X_BYTES),
                                x_row,
                                steps: depth,
                                acc: acc[i * PANEL..(i + height) * PANEL].as_mut_ptr(),
                                column,
                                first: k == 0,
                            };
                            // SAFETY: chunk and rows lie inside of their operands, whose sizes `linear` has compared,
                            // and the columns inside of a panel.
                            unsafe { t.tile(d, height, &job) };
                            i += height;
                        }
                    }
                    k += depth;
                }
                self.write(d, start, panel, &acc[..rows * PANEL]);
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
