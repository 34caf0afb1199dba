//! Weights of products, packed into panels of columns in the order in which register tiles read them.

use super::super::isa::Isa;
use super::super::linear::Storage;
use super::super::simd::{Kernel, Simd};

/// A matrix of `k` rows and `n` columns in panels as wide as a register tile: `[panel][k][width]`, +0 in absent columns. The
/// last panel is one vector wide where that holds what is left.
pub struct PackedColumns {
    values: Storage,
    k: usize,
    n: usize,
    /// Columns of a panel, and of a vector.
    width: usize,
    lanes: usize,
}

impl PackedColumns {
    /// Packs a matrix whose element `(k, j)` is `values[k * row + j * column]`, for this instruction set.
    ///
    /// # Panics
    /// If an element lies outside of `values`.
    pub fn new(
        isa: Isa,
        values: &[f32],
        [k, n]: [usize; 2],
        [row, column]: [usize; 2],
    ) -> PackedColumns {
        let (lanes, width) = isa.run(Widths);
        let mut packed = PackedColumns {
            values: Storage::new(0),
            k,
            n,
            width,
            lanes,
        };
        let panels = n.div_ceil(width);
        packed.values = Storage::new(packed.start(panels) * size_of::<f32>());
        let starts: Vec<usize> = (0..panels).map(|p| packed.start(p)).collect();
        let widths: Vec<usize> = (0..panels).map(|p| packed.panel_width(p)).collect();
        let to: &mut [f32] = bytemuck::cast_slice_mut(packed.values.bytes_mut());
        for (panel, (start, panel_width)) in starts.into_iter().zip(widths).enumerate() {
            let first = panel * width;
            for j in first..n.min(first + panel_width) {
                let column = &values[j * column..];
                let to = to[start + j - first..].iter_mut().step_by(panel_width);
                for (to, k) in to.zip(0..k) {
                    *to = column[k * row];
                }
            }
        }
        packed
    }

    /// Rows of the matrix: the depth of the product.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns of the matrix.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Bytes of all panels.
    pub fn bytes(&self) -> usize {
        self.values.bytes().len()
    }

    /// Columns of a panel, absent ones too.
    pub(super) fn panel_width(&self, panel: usize) -> usize {
        match self.n - panel * self.width <= self.lanes {
            true => self.lanes,
            false => self.width,
        }
    }

    fn start(&self, panel: usize) -> usize {
        let full = (self.n / self.width).min(panel);
        let rest = match panel > full {
            true => self.panel_width(full),
            false => 0,
        };
        self.k * (full * self.width + rest)
    }

    /// The values of a panel: `[k][panel_width]`.
    pub(super) fn panel(&self, panel: usize) -> &[f32] {
        let values: &[f32] = bytemuck::cast_slice(self.values.bytes());
        &values[self.start(panel)..][..self.k * self.panel_width(panel)]
    }
}

struct Widths;

impl Kernel for Widths {
    type Out = (usize, usize);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (usize, usize) {
        (S::LANES, S::LANES * S::TILE_VECS)
    }
}
