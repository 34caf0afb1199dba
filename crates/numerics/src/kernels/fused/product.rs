//! Products of rows with columns: matrix products, and convolutions over images with channels last, whose rows are
//! windows read in place.

use std::ops::Range;

use super::super::gemm::CHUNK;
use super::super::isa::Isa;
use super::super::parallel::Parallel;
use super::super::simd::{Kernel, Simd};
use super::columns::PackedColumns;
use super::rows::{MutRows, Rows};
use super::tail::Tail;
use super::tile::{LINE, RowTile};

/// Multiply-adds that are worth a part of their own: a few microseconds.
const WORTH_A_PART: usize = 1 << 18;
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
    let (panels, tile_rows) = isa.run(Tiles { n });
    // rows first: each part then reads the weights once; panels where there are more of them
    let workers = par.workers();
    let most = (rows * n * k / WORTH_A_PART).max(1);
    let by_panels = panels * 2 > rows.div_ceil(tile_rows);
    // whole lines, or tiles where there are none: what is cut elsewhere makes smaller tiles
    let line = (product.x.map.joined().width).min(out.map.joined().width);
    let unit = if line < rows { line } else { tile_rows };
    let (rows_each, panels_each) = match by_panels {
        // weights that follow each other are asked for ahead
        true => (rows, share(panels, most.min(4 * workers), workers)),
        false => (
            unit * share(rows.div_ceil(unit), most.min(8 * workers), workers),
            panels,
        ),
    };
    let panel_parts = panels.div_ceil(panels_each);
    par.run(rows.div_ceil(rows_each) * panel_parts, &|part| {
        let (r, p) = (part / panel_parts, part % panel_parts);
        let cut = |len: usize, i: usize, each: usize| len.min(i * each)..len.min((i + 1) * each);
        isa.run(Part {
            product,
            out,
            rows: cut(rows, r, rows_each),
            panels: cut(panels, p, panels_each),
        });
    });
}

/// Units of a part, where there may be about so many parts: the most of those with which the busiest worker has least to do.
fn share(units: usize, parts: usize, workers: usize) -> usize {
    let busiest = |each: &usize| units.div_ceil(*each).div_ceil(workers) * each;
    let most = match workers {
        1 => units,
        _ => units.div_ceil(parts),
    };
    (1..=most).rev().min_by_key(busiest).unwrap_or(1)
}

/// Panels of `n` columns, and rows of a tile.
struct Tiles {
    n: usize,
}

impl Kernel for Tiles {
    type Out = (usize, usize);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (usize, usize) {
        (self.n.div_ceil(S::LANES * S::TILE_VECS), S::TILE_ROWS)
    }
}

/// Some rows by some panels.
struct Part<'a> {
    product: &'a RowsProduct<'a>,
    out: &'a MutRows<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

/// The rows of a tile, which lie a step apart.
struct Strip {
    row: usize,
    count: usize,
    a: *const f32,
    c: *mut f32,
}

/// The columns of a tile.
struct Panel<'a> {
    b: *const f32,
    /// Values from a row of B to the next.
    step: usize,
    vecs: usize,
    column: usize,
    count: usize,
    /// All of its weights, where they are packed.
    packed: &'a [f32],
}

impl Panel<'_> {
    /// The weights of a part of the depth.
    fn weights(&self, part: usize) -> &[f32] {
        let end = self.packed.len().min((part + 1) * PART * self.step);
        &self.packed[(part * PART * self.step).min(end)..end]
    }
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
        let parts = product.taps.parts.len().max(1);
        let panels: Vec<Panel<'_>> = self.panels.clone().map(|i| self.panel::<S>(i)).collect();
        // weights that stay in the cache are read by each strip, the rows of a strip by all panels; where they do not stay, rows do
        let stay = parts == 1 && panel_bytes * panels.len() <= CACHED_WEIGHTS;
        let block = match stay {
            true => STRIPS * S::TILE_ROWS,
            false => (CACHED_ROWS * parts / row_bytes).max(4 * S::TILE_ROWS),
        };
        let mut strips = Vec::new();
        let mut first = self.rows.start;
        while first < self.rows.end {
            let left = self.rows.end - first;
            // blocks of about the same number of rows
            let rows = left.div_ceil(left.div_ceil(block));
            self.strips(first..first + rows, S::TILE_ROWS, &mut strips);
            first += rows;
            if stay {
                for strip in &strips {
                    for panel in &panels {
                        self.tile(s, panel, 0, strip, &[]);
                    }
                }
                continue;
            }
            for (i, panel) in panels.iter().enumerate() {
                for part in 0..parts {
                    let mut soon = match part + 1 < parts {
                        true => panel.weights(part + 1),
                        false => panels.get(i + 1).map_or(&[][..], |next| next.weights(0)),
                    };
                    // each tile its share of the lines
                    let share = soon.len().div_ceil(LINE).div_ceil(strips.len()) * LINE;
                    for strip in &strips {
                        let (now, later) = soon.split_at(share.min(soon.len()));
                        self.tile(s, panel, part, strip, now);
                        soon = later;
                    }
                }
            }
        }
    }
}

/// Strips that are found at once.
const STRIPS: usize = 32;

impl<'a> Part<'a> {
    #[inline(always)]
    fn panel<S: Simd>(&self, panel: usize) -> Panel<'a> {
        let (width, n) = (S::LANES * S::TILE_VECS, self.product.right.n());
        let column = panel * width;
        let (b, packed, step, vecs) = match self.product.right {
            Right::Packed(columns) => {
                let (values, width) = (columns.panel(panel), columns.panel_width(panel));
                (values.as_ptr(), values, width, width / S::LANES)
            }
            Right::InPlace { values, n } => {
                let vecs = ((n - column) / S::LANES).min(S::TILE_VECS);
                (values.as_ptr().wrapping_add(column), &[][..], n, vecs)
            }
        };
        Panel {
            b,
            step,
            vecs,
            column,
            count: (vecs * S::LANES).min(n - column),
            packed,
        }
    }

    /// Cuts rows into strips: each of rows of one line, in what is read and in what is written, and of about as many as its
    /// neighbours.
    fn strips(&self, rows: Range<usize>, most: usize, strips: &mut Vec<Strip>) {
        strips.clear();
        let (x, out) = (&self.product.x, self.out);
        let mut row = rows.start;
        while row < rows.end {
            let lines = (x.map.joined().left_of_line(row)).min(out.map.joined().left_of_line(row));
            let run = lines.min(rows.end - row);
            let count = run.div_ceil(most);
            let (each, longer) = (run / count, run % count);
            let (mut a, mut c) = (x.pointer(row), out.pointer(row));
            for i in 0..count {
                let count = each + usize::from(i < longer);
                strips.push(Strip { row, count, a, c });
                a = a.wrapping_add(count * x.map.step);
                c = c.wrapping_add(count * out.map.step);
                row += count;
            }
        }
    }

    /// A part of the depth of a tile; meanwhile the weights that are needed `soon` are asked for.
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, panel: &Panel<'_>, part: usize, strip: &Strip, soon: &[f32]) {
        let Part { product, out, .. } = *self;
        let depth = &product.taps.deltas;
        let (k0, k1) = (
            (part * PART).min(depth.len()),
            ((part + 1) * PART).min(depth.len()),
        );
        let a_first = product.taps.parts.get(part).copied().unwrap_or(0);
        let job = RowTile {
            a: strip.a.wrapping_add(a_first),
            a_step: product.x.map.step,
            deltas: &depth[k0..k1],
            first: part == 0,
            last: k1 == depth.len(),
            b: panel.b.wrapping_add(k0 * panel.step),
            b_step: panel.step,
            soon: soon.as_ptr(),
            lines: soon.len().div_ceil(LINE),
            c: strip.c.wrapping_add(panel.column),
            c_step: out.map.step,
            count: panel.count,
            row: strip.row,
            column: panel.column,
            bias: product.bias,
            tail: product.tail,
        };
        // SAFETY: `rows_product` has checked rows, taps, bias, tail and columns, and rows of one line are a step apart; parts are of
        // different rows or panels, and rows of the output are disjoint.
        unsafe { s.row_tile(strip.count, panel.vecs, &job) };
    }
}
