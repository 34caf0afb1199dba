//! What the steps of a plan are made of.

use gavel_model::Source;
use gavel_numerics::Window2d;
use gavel_numerics::kernels::fused::{
    Depthwise, ImageShape, MutRows, PackedColumns, PackedTaps, Right, RowMap, Rows, RowsProduct,
    Tail, Taps, depthwise, rows_product,
};
use gavel_numerics::kernels::{Isa, Parallel, Pool};

use super::tail::After;

/// How a step computes its value.
pub(super) enum Action {
    /// As the operator says.
    Node,
    /// The value itself, under other extents.
    Reshape(Source),
    Convolution(Convolution),
    /// Convolutions each of which only the next one reads.
    Chain(Vec<Convolution>),
    Matrix(Matrix),
    Pool(Pooling),
    PoolWhole(Pool, Source),
    Pointwise(Pointwise),
    PointwiseRows(Pointwise),
    Batched(Batched),
    NormRows(NormRows),
    NormImage(NormImage),
    ImageToRows(Source),
    RowsToImage(Pointwise),
    Concat(Vec<Source>),
    /// Every pixel so many times, down and across.
    Repeat(Source, [usize; 2]),
}

impl Action {
    /// The convolutions that it does, in order.
    pub(super) fn convolutions(&mut self) -> &mut [Convolution] {
        match self {
            Action::Convolution(conv) => std::slice::from_mut(conv),
            Action::Chain(convs) => convs,
            _ => &mut [],
        }
    }
}

/// Weights of a convolution, and where the elements of a window are that they meet.
pub(super) enum Kernel {
    Full(PackedColumns, Taps),
    Depthwise(PackedTaps, Vec<usize>),
}

pub(super) struct Convolution {
    pub(super) kernel: Kernel,
    pub(super) window: Window2d,
    pub(super) x: Source,
    /// The input, with the border that windows reach into, or a wider one.
    pub(super) shape: ImageShape,
    pub(super) bias: Option<Source>,
    pub(super) tail: Vec<After>,
}

impl Convolution {
    /// Offsets of `channels` channels' taps from where a window begins, in the order `(c, ky, kx)`.
    fn offsets(&self, channels: usize) -> Vec<usize> {
        let [kh, kw] = self.window.kernel.map(|k| k as usize);
        let [dh, dw] = self.window.dilations.map(|d| d as usize);
        let mut taps = Vec::with_capacity(channels * kh * kw);
        for c in 0..channels {
            for ky in 0..kh {
                let line = ky * dh * self.shape.line();
                taps.extend((0..kw).map(|kx| line + kx * dw * self.shape.step() + c));
            }
        }
        taps
    }

    /// Finds the taps.
    pub(super) fn place_taps(&mut self) {
        let (all, own) = (self.offsets(self.shape.channels), self.offsets(1));
        match &mut self.kernel {
            // distances in an image that has a plan fit
            Kernel::Full(_, taps) => *taps = Taps::new(&all).unwrap_or(Taps::consecutive(0)),
            Kernel::Depthwise(_, taps) => *taps = own,
        }
    }

    /// Where the windows of an output of this width begin.
    pub(super) fn windows(&self, width: usize) -> RowMap {
        let [top, left, ..] = self.window.pads.map(|p| p as usize);
        let [sh, sw] = self.window.strides.map(|s| s as usize);
        let (shape, line) = (&self.shape, self.shape.line());
        RowMap {
            first: (shape.border[0] - top) * line + (shape.border[1] - left) * shape.step(),
            width,
            line: sh * line,
            step: sw * shape.step(),
        }
    }

    /// Computes rows of its output from their windows.
    pub(super) fn run(
        &self,
        isa: Isa,
        par: &dyn Parallel,
        x: Rows<'_>,
        bias: Option<&[f32]>,
        tail: &[Tail<'_>],
        out: &MutRows<'_>,
    ) {
        match &self.kernel {
            Kernel::Full(columns, taps) => {
                let right = Right::Packed(columns);
                let product = RowsProduct {
                    right,
                    taps,
                    x,
                    bias,
                    tail,
                };
                rows_product(isa, par, &product, out);
            }
            Kernel::Depthwise(weights, taps) => {
                let job = Depthwise {
                    weights,
                    taps,
                    x,
                    bias,
                    tail,
                };
                depthwise(isa, par, &job, out);
            }
        }
    }
}

pub(super) struct Matrix {
    pub(super) columns: PackedColumns,
    pub(super) taps: Taps,
    pub(super) x: Source,
    pub(super) rows: usize,
    pub(super) bias: Option<Source>,
    pub(super) tail: Vec<After>,
}

pub(super) struct Pooling {
    pub(super) pool: Pool,
    pub(super) window: Window2d,
    pub(super) x: Source,
}

pub(super) struct Pointwise {
    pub(super) x: Source,
    pub(super) tail: Vec<After>,
}

/// Products of computed matrices: of each of `batch` pairs of `[m, k]` and `[k, n]`.
pub(super) struct Batched {
    pub(super) a: Source,
    pub(super) b: Source,
    pub(super) batch: usize,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) taps: Taps,
    pub(super) tail: Vec<After>,
}

pub(super) struct NormRows {
    pub(super) x: Source,
    pub(super) len: usize,
    pub(super) epsilon: f32,
    pub(super) affine: Option<(Source, Source)>,
}

pub(super) struct NormImage {
    pub(super) x: Source,
    pub(super) groups: usize,
    pub(super) epsilon: f32,
    pub(super) tail: Vec<After>,
}
