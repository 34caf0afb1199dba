//! Products of rows with columns: matrix products, and convolutions over images with channels last, whose rows are
//! windows read in place.

use std::ops::Range;

use super::super::gemm::{CHUNK, WORTH_SPLITTING};
use super::super::isa::Isa;
use super::super::parallel::Parallel;
use super::super::simd::{Kernel, Simd};
use super::columns::PackedColumns;
use super::rows::{MutRows, Rows};
use super::tail::Tail;
use super::tile::{LINE, MAX_ROWS, RowTile};

/// Bytes of weights that stay in the second-level cache while rows pass by.
const CACHED_WEIGHTS: usize = 384 << 10;
/// Bytes of rows that stay there while panels pass by.
const CACHED_ROWS: usize = 384 << 10;
/// Columns of a matrix that is read in place come in multiples of this.
pub const IN_PLACE_COLUMNS: usize = 16;

/// Offsets of the elements of a row from where it begins, in the order of k.
#[derive(Clone, Debug)]
pub struct Taps {
    /// From each to the next; from the last to where it began, which nobody reads.
    deltas: Vec<i32>,
    /// Beyond the furthest.
    reach: usize,
    /// Of the first of each part of the depth.
    parts: Vec<usize>,
}

/// Chunks of a part of the depth: that much of a panel of weights, and of the rows that it meets, stays in the second-level
/// cache.
const PART: usize = 8 * CHUNK;

impl Taps {
    /// These offsets; the first is 0. `None` where some are too far apart.
    pub fn new(offsets: &[usize]) -> Option<Taps> {
        if offsets.first().is_some_and(|&first| first != 0) {
            return None;
        }
        let next = offsets.iter().skip(1).chain([&0]);
        let deltas = offsets.iter().zip(next).map(|(&here, &next)| {
            i32::try_from(i64::try_from(next).ok()? - i64::try_from(here).ok()?).ok()
        });
        Some(Taps {
            deltas: deltas.collect::<Option<_>>()?,
            reach: offsets.iter().max().map_or(0, |&last| last + 1),
            parts: offsets.iter().copied().step_by(PART).collect(),
        })
    }

    /// `k` elements behind each other.
    pub fn consecutive(k: usize) -> Taps {
        Taps {
            deltas: vec![1; k],
            reach: k,
            parts: (0..k).step_by(PART).collect(),
        }
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.deltas.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }
}

/// The right side of a product.
#[derive(Clone, Copy)]
pub enum Right<'a> {
    /// Weights.
    Packed(&'a PackedColumns),
    /// A row-major matrix, whose columns come in multiples of [`IN_PLACE_COLUMNS`].
    InPlace {
        /// Its elements.
        values: &'a [f32],
        /// Its columns.
        n: usize,
    },
}

impl Right<'_> {
    fn n(&self) -> usize {
        match self {
            Right::Packed(columns) => columns.n(),
            Right::InPlace { n, .. } => *n,
        }
    }

    fn k(&self) -> usize {
        match self {
            Right::Packed(columns) => columns.k(),
            Right::InPlace { values, n } => values.len() / (*n).max(1),
        }
    }
}

/// `out[i, j] = sum over k of x[i, k] * right[k, j]` (C256) `+ bias[j]`, then the tail.
#[derive(Clone, Copy)]
pub struct RowsProduct<'a> {
    /// The right side.
    pub right: Right<'a>,
    /// Where the elements of a row are.
    pub taps: &'a Taps,
    /// The rows.
    pub x: Rows<'a>,
    /// One value for each column.
    pub bias: Option<&'a [f32]>,
    /// What follows; simple operators only.
    pub tail: &'a [Tail<'a>],
}

/// Computes a product into the rows of `out`.
///
/// # Panics
/// If operands do not fit together.
pub fn rows_product(isa: Isa, par: &dyn Parallel, product: &RowsProduct<'_>, out: &MutRows<'_>) {
    let (rows, n, k) = (out.count, product.right.n(), product.right.k());
    assert!(
        product.taps.len() == k && out.len == n,
        "extents of a product"
    );
    assert!(
        (product.x.map).fits(rows, product.taps.reach, product.x.values.len()),
        "rows outside of their values"
    );
    assert!(
        product.bias.is_none_or(|bias| bias.len() >= n)
            && (product.tail.iter()).all(|tail| tail.is_simple() && tail.covers(rows, n)),
        "what follows a product does not cover it"
    );
    if let Right::InPlace { values, n } = product.right {
        assert!(
            n.is_multiple_of(IN_PLACE_COLUMNS) && values.len() == k * n,
            "columns of a matrix in place"
        );
    }
    if rows == 0 || n == 0 {
        return;
    }
    let panels = isa.run(Panels { n });
    // rows first: each part then reads the weights once; panels where there are more of them
    let want = match rows * n * k < WORTH_SPLITTING {
        true => 1,
        false => par.workers() * if par.workers() > 1 { 4 } else { 1 },
    };
    let by_panels = panels * 2 > rows.div_ceil(MAX_ROWS);
    let (row_parts, panel_parts) = match by_panels {
        true => (1, want.min(panels)),
        false => (want.min(rows.div_ceil(MAX_ROWS)), 1),
    };
    par.run(row_parts * panel_parts, &|part| {
        let (r, p) = (part / panel_parts, part % panel_parts);
        let cut = |len: usize, i: usize, parts: usize| len * i / parts..len * (i + 1) / parts;
        isa.run(Part {
            product,
            out,
            rows: cut(rows, r, row_parts),
            panels: cut(panels, p, panel_parts),
        });
    });
}

/// Panels of `n` columns.
struct Panels {
    n: usize,
}

impl Kernel for Panels {
    type Out = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        self.n.div_ceil(S::LANES * S::TILE_VECS)
    }
}

/// Some rows by some panels.
struct Part<'a> {
    product: &'a RowsProduct<'a>,
    out: &'a MutRows<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl Kernel for Part<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Part { product, .. } = self;
        let width = S::LANES * S::TILE_VECS;
        let panel_bytes = product.right.k().min(PART) * width * size_of::<f32>();
        // an image's rows overlap: a row brings about as much that is new as it is apart from the next
        let row_bytes = (product.x.map.step * size_of::<f32>()).max(1);
        let parts = product.taps.parts.len();
        let block = match parts <= 1 && panel_bytes * self.panels.len() <= CACHED_WEIGHTS {
            true => S::TILE_ROWS,
            false => (CACHED_ROWS * parts / row_bytes).max(4 * S::TILE_ROWS),
        };
        let mut first = self.rows.start;
        while first < self.rows.end {
            let left = self.rows.end - first;
            // blocks, and strips in them, of about the same number of rows
            let mut rows = left.div_ceil(left.div_ceil(block));
            if block == S::TILE_ROWS {
                rows = even(self.line(first).min(left), S::TILE_ROWS);
            }
            for panel in self.panels.clone() {
                for part in 0..parts.max(1) {
                    let next = match part + 1 < parts {
                        true => (panel, part + 1),
                        false => (panel + 1, 0),
                    };
                    let soon = match block > S::TILE_ROWS && next.0 < self.panels.end {
                        true => self.weights::<S>(next.0, next.1),
                        false => &[],
                    };
                    self.panel(s, panel, part, first..first + rows, soon);
                }
            }
            first += rows;
        }
    }
}

/// Rows of the next strip of `left`: at most `most`, strips of about the same number of rows.
#[inline(always)]
fn even(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
}

impl Part<'_> {
    /// Rows from row `i` to the end of its line, in what is read and in what is written.
    #[inline(always)]
    fn line(&self, i: usize) -> usize {
        let read = self.product.x.map.left_of_line(i);
        self.out.map.left_of_line(i).min(read)
    }

    /// The weights of a part of the depth of a panel, where they are packed.
    #[inline(always)]
    fn weights<S: Simd>(&self, panel: usize, part: usize) -> &[f32] {
        match self.product.right {
            Right::Packed(columns) => {
                let (all, width) = (columns.panel(panel), columns.panel_width(panel));
                let end = all.len().min((part + 1) * PART * width);
                &all[(part * PART * width).min(end)..end]
            }
            Right::InPlace { .. } => &[],
        }
    }

    /// A part of the depth of some rows in one panel; meanwhile the weights that are needed `soon` are asked for.
    #[inline(always)]
    fn panel<S: Simd>(&self, s: S, panel: usize, part: usize, rows: Range<usize>, soon: &[f32]) {
        let Part { product, out, .. } = *self;
        let width = S::LANES * S::TILE_VECS;
        let column = panel * width;
        let n = product.right.n();
        let (b, vecs, b_step) = match product.right {
            Right::Packed(columns) => {
                let width = columns.panel_width(panel);
                (columns.panel(panel).as_ptr(), width / S::LANES, width)
            }
            Right::InPlace { values, n } => {
                let vecs = ((n - column) / S::LANES).min(S::TILE_VECS);
                (values.as_ptr().wrapping_add(column), vecs, n)
            }
        };
        let depth = &product.taps.deltas;
        let (k0, k1) = (
            (part * PART).min(depth.len()),
            ((part + 1) * PART).min(depth.len()),
        );
        let a_first = product.taps.parts.get(part).copied().unwrap_or(0);
        let mut job = RowTile {
            a: std::ptr::null(),
            a_step: product.x.map.step,
            deltas: &depth[k0..k1],
            first: part == 0,
            last: k1 == depth.len(),
            b: b.wrapping_add(k0 * b_step),
            b_step,
            soon: soon.as_ptr(),
            lines: 0,
            c: [std::ptr::null_mut(); MAX_ROWS],
            count: (vecs * S::LANES).min(n - column),
            row: rows.start,
            column,
            bias: product.bias,
            tail: product.tail,
        };
        let mut asked = 0;
        while job.row < rows.end {
            let left = rows.end - job.row;
            let count = even(self.line(job.row).min(left), S::TILE_ROWS);
            // each tile its share of the lines
            let done = job.row + count - rows.start;
            let until = (soon.len() / LINE * done / rows.len()).max(asked);
            (job.soon, job.lines) = (soon.as_ptr().wrapping_add(asked * LINE), until - asked);
            asked = until;
            job.a = product.x.pointer(job.row).wrapping_add(a_first);
            // rows of a line are a step apart: finding a line takes divisions
            let (first, step) = (out.pointer(job.row), out.map.step);
            for (i, c) in job.c[..count].iter_mut().enumerate() {
                *c = first.wrapping_add(i * step + column);
            }
            // SAFETY: `rows_product` has checked rows, taps, bias, tail and columns, and rows of one line are `step` apart;
            // parts are of different rows or panels, and rows of the output are disjoint.
            unsafe { s.row_tile(count, vecs, &job) };
            job.row += count;
        }
    }
}
