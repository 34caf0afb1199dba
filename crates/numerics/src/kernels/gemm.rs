//! Matrix product in the C256 order: packed, register-tiled, vectorised across output elements.
//!
//! 1. The output is cut into parts: blocks of columns, and of rows where columns are few.
//! 2. A part walks `k` in chunks of 256: the chunk of B is packed into panels of `NR` columns
//!    (`[k][NR]`, absent columns are +0 and never stored), unless B's rows can be read in place.
//! 3. Per strip of rows and panel of columns one register tile runs 256 fma's per element and adds
//!    the chunk's sum to the output; the last chunk adds the bias and makes NaN canonical.
//!
//! A is read in place: a strip of 6 or 12 rows of a chunk stays in the first-level cache while the
//! panels pass by.

use super::isa::Isa;
use super::parallel::{Parallel, Scratch, SharedOut};
use super::simd::{Kernel, Simd};
use super::tile::{TileJob, tile};

/// Depth of a chunk: a constant of the arithmetic, not of the machine.
pub(super) const CHUNK: usize = 256;
/// Columns packed at once: 256 x 192 f32 take 192 KiB of second-level cache. Multiple of every NR.
const BLOCK_COLS: usize = 192;
/// Widest panel of any instruction set.
const MAX_NR: usize = 32;
/// Most rows of any register tile.
const MAX_MR: usize = 12;
/// With no more rows than this, packing B costs more than it saves.
const IN_PLACE_ROWS: usize = 12;

/// Multiply-adds below which handing parts to other threads costs more than it saves.
pub(super) const WORTH_SPLITTING: usize = 1 << 17;

/// Vectors of a tile of one row.
const WIDE_VECS: usize = 8;

/// A matrix inside a slice: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> MatRef<'a> {
    /// A view of `rows x cols` elements.
    ///
    /// # Panics
    /// If an element lies outside of `data`.
    pub fn new(
        data: &'a [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        if rows > 0 && cols > 0 {
            let last = (rows - 1).checked_mul(row_stride).and_then(|r| {
                (cols - 1)
                    .checked_mul(col_stride)
                    .and_then(|c| r.checked_add(c))
            });
            assert!(
                last.is_some_and(|last| last < data.len()),
                "matrix view outside of its data"
            );
        }
        MatRef {
            data,
            rows,
            cols,
            row_stride,
            col_stride,
        }
    }

    /// A row-major matrix.
    ///
    /// # Panics
    /// If `data` is shorter than `rows * cols`.
    pub fn row_major(data: &'a [f32], rows: usize, cols: usize) -> Self {
        MatRef::new(data, rows, cols, cols, 1)
    }

    /// The transposed view.
    pub fn transposed(self) -> Self {
        MatRef {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// What is added to the finished sums.
#[derive(Clone, Copy, Debug)]
pub enum Bias<'a> {
    /// Nothing.
    None,
    /// One value per output row.
    PerRow(&'a [f32]),
    /// One value per output column.
    PerColumn(&'a [f32]),
}

/// `out = A B + bias`: A is `M x K`, B is `K x N`, `out` is row-major `M x N`. Each element is the C256
/// sum over `k`; the bias is added last (`spec/numerics.md`).
///
/// # Panics
/// If the shapes do not fit together.
pub fn gemm(
    isa: Isa,
    par: &dyn Parallel,
    a: MatRef<'_>,
    b: MatRef<'_>,
    bias: Bias<'_>,
    out: &mut [f32],
) {
    assert_eq!(a.cols, b.rows, "inner extents differ");
    assert_eq!(out.len(), a.rows * b.cols, "output length");
    let shared = SharedOut::new(out);
    let product = Product {
        a,
        b: &b,
        bias,
        out: &shared,
        out_first: 0,
        out_row: b.cols,
    };
    let cut = Cut::new(par.workers(), a.rows, b.cols, a.cols);
    if cut.parts() > 0 {
        par.run(cut.parts(), &|i| {
            isa.run(Part {
                product: &product,
                range: cut.part(i),
            })
        });
    }
}

/// A source of B's panels: a matrix in memory, or the windows of a convolution.
pub(super) trait Panels: Sync {
    /// Writes rows `k0 .. k0 + kc`, columns `j0 .. j0 + cols` as `[kc][nr]` to `dst`, +0 in absent
    /// columns. `dst` has `nr` values of slack behind the panel, which may be overwritten.
    #[allow(clippy::too_many_arguments)] // the coordinates of one panel
    fn pack<S: Simd>(
        &self,
        simd: S,
        k0: usize,
        kc: usize,
        j0: usize,
        cols: usize,
        nr: usize,
        dst: &mut [f32],
    );

    /// B as a matrix whose rows are contiguous, if it is one.
    fn in_place(&self) -> Option<(&[f32], usize)>;
}

/// Columns packed together when B is stored by columns.
const QUAD: usize = 4;

/// Interleaves four columns of `kc` values into rows `nr` apart, by 4 x 4 transposes.
#[inline(always)]
fn pack_quad(columns: [&[f32]; QUAD], dst: &mut [f32], kc: usize, nr: usize) {
    let [a, b, c, d] = columns;
    let (a, b, c, d) = (&a[..kc], &b[..kc], &c[..kc], &d[..kc]);
    let whole = kc - kc % QUAD;
    let quads = a.chunks_exact(QUAD).zip(b.chunks_exact(QUAD));
    let quads = quads.zip(c.chunks_exact(QUAD).zip(d.chunks_exact(QUAD)));
    for (((a, b), (c, d)), rows) in quads.zip(dst.chunks_mut(QUAD * nr)) {
        for t in 0..QUAD {
            rows[t * nr..t * nr + QUAD].copy_from_slice(&[a[t], b[t], c[t], d[t]]);
        }
    }
    for k in whole..kc {
        dst[k * nr..k * nr + QUAD].copy_from_slice(&[a[k], b[k], c[k], d[k]]);
    }
}

impl Panels for MatRef<'_> {
    #[inline(always)]
    fn pack<S: Simd>(
        &self,
        _: S,
        k0: usize,
        kc: usize,
        j0: usize,
        cols: usize,
        nr: usize,
        dst: &mut [f32],
    ) {
        if self.col_stride == 1 {
            for (k, row) in dst.chunks_exact_mut(nr).take(kc).enumerate() {
                let from = (k0 + k) * self.row_stride + j0;
                row[..cols].copy_from_slice(&self.data[from..from + cols]);
                row[cols..].fill(0.0);
            }
            return;
        }
        if cols < nr {
            dst[..kc * nr].fill(0.0);
        }
        let mut j = 0;
        while self.row_stride == 1 && j + QUAD <= cols {
            let base = j0 + j;
            let columns: [&[f32]; QUAD] =
                std::array::from_fn(|c| &self.data[(base + c) * self.col_stride + k0..][..kc]);
            pack_quad(columns, &mut dst[j..], kc, nr);
            j += QUAD;
        }
        while j < cols {
            let column = &self.data[(j0 + j) * self.col_stride..];
            for k in 0..kc {
                dst[k * nr + j] = column[(k0 + k) * self.row_stride];
            }
            j += 1;
        }
    }

    #[inline(always)]
    fn in_place(&self) -> Option<(&[f32], usize)> {
        (self.col_stride == 1).then_some((self.data, self.row_stride))
    }
}

/// One product and where its output lies.
pub(super) struct Product<'a, P> {
    pub(super) a: MatRef<'a>,
    pub(super) b: &'a P,
    pub(super) bias: Bias<'a>,
    pub(super) out: &'a SharedOut<'a>,
    /// Element `(0, 0)` of the output.
    pub(super) out_first: usize,
    /// Elements between output rows.
    pub(super) out_row: usize,
}

/// How an output of `m x n` is cut into parts.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    m: usize,
    n: usize,
    row_parts: usize,
    col_parts: usize,
}

impl Cut {
    /// Columns first (each part packs its own panels); rows too where columns do not feed every worker.
    pub(super) fn new(workers: usize, m: usize, n: usize, k: usize) -> Cut {
        if m == 0 || n == 0 {
            return Cut {
                m,
                n,
                row_parts: 0,
                col_parts: 0,
            };
        }
        if workers <= 1 || m * n * k < WORTH_SPLITTING {
            return Cut {
                m,
                n,
                row_parts: 1,
                col_parts: 1,
            };
        }
        let want = workers * 3;
        let col_parts = n.div_ceil(MAX_NR * 2).min(want).max(1);
        let row_parts = want.div_ceil(col_parts).min(m.div_ceil(MAX_MR * 2)).max(1);
        Cut {
            m,
            n,
            row_parts,
            col_parts,
        }
    }

    pub(super) fn parts(&self) -> usize {
        self.row_parts * self.col_parts
    }

    pub(super) fn part(&self, i: usize) -> Range2 {
        let (r, c) = (i / self.col_parts, i % self.col_parts);
        let edge = |len: usize, unit: usize, i: usize, parts: usize| {
            (len.div_ceil(unit) * i / parts * unit).min(len)
        };
        Range2 {
            i0: edge(self.m, MAX_MR, r, self.row_parts),
            i1: edge(self.m, MAX_MR, r + 1, self.row_parts),
            j0: edge(self.n, MAX_NR, c, self.col_parts),
            j1: edge(self.n, MAX_NR, c + 1, self.col_parts),
        }
    }
}

/// Rows `i0 .. i1` and columns `j0 .. j1` of an output.
#[derive(Clone, Copy)]
pub(super) struct Range2 {
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
}

/// Computes one part of a product. Parts of one [`Cut`] write disjoint elements.
pub(super) struct Part<'a, P> {
    pub(super) product: &'a Product<'a, P>,
    pub(super) range: Range2,
}

impl<P: Panels> Kernel for Part<'_, P> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Range2 { i0, i1, j0, j1 } = self.range;
        let nr = S::LANES * S::TILE_VECS;
        let block = BLOCK_COLS.min((j1 - j0).next_multiple_of(nr));
        let mut scratch = Scratch::take(CHUNK.min(self.product.a.cols.max(1)) * block + nr);
        let mut j = j0;
        while j < j1 {
            let cols = block.min(j1 - j);
            self.product.block(s, i0, i1, j, cols, scratch.as_mut());
            j += cols;
        }
    }
}

impl<P: Panels> Product<'_, P> {
    /// Rows `i0 .. i1` of the columns `j0 .. j0 + cols`, all of k.
    #[inline(always)]
    fn block<S: Simd>(
        &self,
        s: S,
        i0: usize,
        i1: usize,
        j0: usize,
        cols: usize,
        panels: &mut [f32],
    ) {
        let nr = S::LANES * S::TILE_VECS;
        let depth = self.a.cols;
        let in_place = if i1 - i0 <= IN_PLACE_ROWS {
            self.b.in_place()
        } else {
            None
        };
        let mut k0 = 0;
        loop {
            let kc = CHUNK.min(depth - k0);
            let mut j = 0;
            while j < cols {
                let width = nr.min(cols - j);
                if in_place.is_none() || width < nr {
                    let dst = &mut panels[j * kc..];
                    self.b.pack(s, k0, kc, j0 + j, width, nr, dst);
                }
                j += nr;
            }
            let mut i = i0;
            while i < i1 {
                let left = i1 - i;
                let rows = match left {
                    _ if left >= S::TILE_ROWS => S::TILE_ROWS,
                    4.. => 4,
                    2.. => 2,
                    _ => 1,
                };
                let mut j = 0;
                while j < cols {
                    if let (Some((data, stride)), 1) = (in_place, rows)
                        && cols - j >= WIDE_VECS * S::LANES
                    {
                        self.wide_row(s, i, j0 + j, k0, kc, data, stride);
                        j += WIDE_VECS * S::LANES;
                        continue;
                    }
                    let width = nr.min(cols - j);
                    let (b, b_row) = match in_place {
                        Some((data, stride)) if width == nr => {
                            let from = if kc == 0 { 0 } else { k0 * stride + j0 + j };
                            (data[from..].as_ptr(), stride)
                        }
                        _ => (panels[j * kc..].as_ptr(), nr),
                    };
                    self.tile(s, i, rows, j0 + j, width, k0, kc, b, b_row);
                    j += nr;
                }
                i += rows;
            }
            k0 += kc;
            if k0 >= depth {
                return;
            }
        }
    }

    /// One row of `WIDE_VECS` vectors, B in place: enough independent chains for one row alone,
    /// and longer runs per row of B.
    #[allow(clippy::too_many_arguments)] // the coordinates of one tile
    #[inline(always)]
    fn wide_row<S: Simd>(
        &self,
        s: S,
        i: usize,
        j: usize,
        k0: usize,
        kc: usize,
        b: &[f32],
        b_row: usize,
    ) {
        let width = WIDE_VECS * S::LANES;
        let null = std::ptr::null();
        let from = if kc == 0 {
            0
        } else {
            i * self.a.row_stride + k0 * self.a.col_stride
        };
        let job = TileJob {
            kc,
            a: self.a.data[from..].as_ptr(),
            a_row: self.a.row_stride,
            a_col: self.a.col_stride,
            b: b[if kc == 0 { 0 } else { k0 * b_row + j }..].as_ptr(),
            b_row,
            c: self.out.block(
                self.out_first + i * self.out_row + j,
                1,
                width,
                self.out_row,
            ),
            c_row: self.out_row,
            first: k0 == 0,
            last: k0 + kc == self.a.cols,
            row_bias: match self.bias {
                Bias::PerRow(bias) => bias[i..=i].as_ptr(),
                _ => null,
            },
            col_bias: match self.bias {
                Bias::PerColumn(bias) => bias[j..j + width].as_ptr(),
                _ => null,
            },
        };
        // SAFETY: A and B by `MatRef`'s check (a full width of B's row), C by `SharedOut::block`,
        // the biases by the slices above.
        unsafe { tile::<S, 1, WIDE_VECS>(s, &job) };
    }

    /// One register tile at `(i, j)`; short ones go through a buffer.
    #[allow(clippy::too_many_arguments)] // the coordinates of one tile
    #[inline(always)]
    fn tile<S: Simd>(
        &self,
        s: S,
        i: usize,
        rows: usize,
        j: usize,
        width: usize,
        k0: usize,
        kc: usize,
        b: *const f32,
        b_row: usize,
    ) {
        let nr = S::LANES * S::TILE_VECS;
        let null = std::ptr::null();
        let (first, last) = (k0 == 0, k0 + kc == self.a.cols);
        let a = &self.a.data[if kc == 0 {
            0
        } else {
            i * self.a.row_stride + k0 * self.a.col_stride
        }..];
        let row_bias = match self.bias {
            Bias::PerRow(bias) => bias[i..i + rows].as_ptr(),
            _ => null,
        };
        let c = self.out.block(
            self.out_first + i * self.out_row + j,
            rows,
            width,
            self.out_row,
        );
        let mut job = TileJob {
            kc,
            a: a.as_ptr(),
            a_row: self.a.row_stride,
            a_col: self.a.col_stride,
            b,
            b_row,
            c,
            c_row: self.out_row,
            first,
            last,
            row_bias,
            col_bias: null,
        };
        if width == nr {
            if let Bias::PerColumn(bias) = self.bias {
                job.col_bias = bias[j..j + nr].as_ptr();
            }
            // SAFETY: A by `MatRef`'s check, B by `Panels` (packed, or in place with a full width),
            // C by `SharedOut::block`, the biases by the slices above.
            unsafe { s.tile(rows, &job) };
            return;
        }
        let mut buffer = [0.0f32; MAX_MR * MAX_NR];
        let mut bias_buffer = [0.0f32; MAX_NR];
        if let Bias::PerColumn(bias) = self.bias {
            bias_buffer[..width].copy_from_slice(&bias[j..j + width]);
            job.col_bias = bias_buffer.as_ptr();
        }
        job.c = buffer.as_mut_ptr();
        job.c_row = nr;
        for r in 0..rows {
            // SAFETY: row `r` of the block checked above; this part's own elements.
            let row = unsafe { std::slice::from_raw_parts_mut(c.add(r * self.out_row), width) };
            if !first {
                buffer[r * nr..r * nr + width].copy_from_slice(row);
            }
        }
        // SAFETY: as above, with the output in `buffer` (rows <= MAX_MR, nr <= MAX_NR).
        unsafe { s.tile(rows, &job) };
        for r in 0..rows {
            // SAFETY: as above.
            let row = unsafe { std::slice::from_raw_parts_mut(c.add(r * self.out_row), width) };
            row.copy_from_slice(&buffer[r * nr..r * nr + width]);
        }
    }
}
