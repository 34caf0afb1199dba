//! From a graph to a plan.

use std::sync::OnceLock;

use gavel_model::{Model, Source};
use gavel_numerics::kernels::fused::{
    IN_PLACE_COLUMNS, ImageShape, PackedColumns, PackedTaps, Taps,
};
use gavel_numerics::kernels::{Isa, Pool};
use gavel_numerics::{Op, Window2d};

use super::graph::{Readers, node_of};
use super::job::{
    Action, Batched, Convolution, Kernel, Matrix, NormImage, NormRows, Pointwise, Pooling,
};
use super::patterns::{gate, group_norm, norm};
use super::spare::Spare;
use super::tail::{After, Columns, absorb, operator};
use super::{Plan, Step};

/// Widest border of an image; wider ones are left to kernels that do without.
const WIDEST_BORDER: usize = 16;
/// Values of the largest image: distances in it fit into 32 bits.
const MOST_VALUES: usize = 1 << 30;

pub(super) fn plan(isa: Isa, model: &Model) -> Plan {
    let mut builder = Builder {
        isa,
        readers: Readers::new(model),
        steps: Vec::new(),
        images: vec![None; model.graph().nodes.len()],
    };
    builder
        .steps
        .resize_with(model.graph().nodes.len(), || None);
    for index in 0..model.graph().nodes.len() {
        if !builder.readers.taken[index] {
            builder.add(index);
        }
    }
    builder.join_chains();
    builder.borders();
    builder.lives();
    Plan {
        steps: builder.steps,
        images: builder.images,
        spare: Spare::default(),
        weights: model.weights().iter().map(|_| OnceLock::new()).collect(),
        peak_bytes: crate::memory::peak(model),
    }
}

pub(super) struct Builder<'a> {
    isa: Isa,
    pub(super) readers: Readers<'a>,
    /// By node: the step whose last one it is.
    pub(super) steps: Vec<Option<Step>>,
    /// By node: the shape of its value where that is an image.
    pub(super) images: Vec<Option<ImageShape>>,
}

/// Height, width and channels of `[1, c, h, w]`.
fn image_of(dims: &[u64]) -> Option<ImageShape> {
    match *dims {
        [1, channels, height, width] if channels * height * width > 0 => Some(ImageShape {
            height: height as usize,
            width: width as usize,
            channels: channels as usize,
            border: [0; 4],
        }),
        _ => None,
    }
}

/// Border that the windows of an output of `output` reach into around an image, if it is not too wide.
fn border(window: &Window2d, shape: &ImageShape, output: &ImageShape) -> Option<[usize; 4]> {
    let behind = |axis: usize, extent: usize, output: usize| {
        let reach = (output - 1) * window.strides[axis] as usize
            + (window.kernel[axis] as usize - 1) * window.dilations[axis] as usize
            + 1;
        reach.saturating_sub(extent + window.pads[axis] as usize)
    };
    let found = [
        window.pads[0] as usize,
        window.pads[1] as usize,
        behind(0, shape.height, output.height),
        behind(1, shape.width, output.width),
    ];
    found.iter().all(|&b| b <= WIDEST_BORDER).then_some(found)
}

impl Builder<'_> {
    /// The step that begins with a node.
    fn add(&mut self, index: usize) {
        let mut nodes = vec![index];
        let (action, image) = match self.planned(&mut nodes) {
            Some(found) => found,
            None => {
                nodes.truncate(1);
                (self.plain(index), None)
            }
        };
        let last = nodes.last().copied().unwrap_or(index);
        for &node in &nodes {
            self.readers.taken[node] = true;
        }
        self.images[last] = image;
        self.steps[last] = Some(Step {
            nodes,
            action,
            dead: Vec::new(),
        });
    }

    fn plain(&self, index: usize) -> Action {
        let node = self.readers.node(index);
        match (&node.op, node.inputs.as_slice()) {
            (Op::Reshape { .. }, &[source]) if node_of(&source).is_some() => {
                Action::Reshape(source)
            }
            _ => Action::Node,
        }
    }

    /// How a node is computed fast, with those that follow it, and the image that comes of it if one does.
    fn planned(&self, nodes: &mut Vec<usize>) -> Option<(Action, Option<ImageShape>)> {
        let index = *nodes.first()?;
        let node = self.readers.node(index);
        match &node.op {
            Op::Conv2d { window, groups } => {
                let (found, output) = self.convolution(window, *groups, nodes)?;
                Some((Action::Convolution(found), Some(output)))
            }
            Op::MatMul if self.is_dynamic(node.inputs.get(1)) => self.batched(nodes),
            Op::MatMul => {
                let (a, b) = (*node.inputs.first()?, *node.inputs.get(1)?);
                let &[k, n] = self.readers.dims(b)? else {
                    return None;
                };
                let strides = [n as usize, 1];
                self.matrix(a, b, [k, n], strides, None, nodes)
            }
            Op::Gemm {
                alpha_bits,
                beta_bits,
                trans_a: false,
                trans_b,
            } => {
                let one = 1.0f32.to_bits();
                if *alpha_bits != one || *beta_bits != one {
                    return None;
                }
                let (a, b) = (*node.inputs.first()?, *node.inputs.get(1)?);
                let &[rows, columns] = self.readers.dims(b)? else {
                    return None;
                };
                let ([k, n], strides) = match trans_b {
                    true => ([columns, rows], [1, columns as usize]),
                    false => ([rows, columns], [columns as usize, 1]),
                };
                let bias = node.inputs.get(2).copied();
                if let Some(bias) = bias {
                    let dims = self.readers.dims(bias)?;
                    let per_column = dims.last() == Some(&n) && dims.iter().product::<u64>() == n;
                    if !per_column || self.readers.weight(bias).is_none() {
                        return None;
                    }
                }
                self.matrix(a, b, [k, n], strides, bias, nodes)
            }
            Op::MaxPool2d { window } => self.pooling(Pool::Max, *window, index),
            Op::AveragePool2d {
                window,
                count_include_pad,
            } => {
                let count_include_pad = *count_include_pad;
                self.pooling(Pool::Average { count_include_pad }, *window, index)
            }
            Op::GlobalMaxPool | Op::GlobalAveragePool => {
                let pool = match node.op {
                    Op::GlobalMaxPool => Pool::Max,
                    _ => Pool::Average {
                        count_include_pad: false,
                    },
                };
                let source = *node.inputs.first()?;
                self.image(source)?;
                Some((Action::PoolWhole(pool, source), None))
            }
            Op::Concat { axis: 1 } => {
                let images = node.inputs.iter();
                let shapes = images.map(|source| self.images[node_of(source)?]);
                shapes.collect::<Option<Vec<_>>>()?;
                let output = image_of(&node.output.dims)?;
                Some((Action::Concat(node.inputs.clone()), Some(output)))
            }
            Op::Transpose { perm } if perm == &[0, 2, 1] => self.rows_to_image(nodes),
            Op::Reshape { .. } => self
                .norm_image(nodes)
                .or_else(|| self.image_to_rows(nodes))
                .or_else(|| self.repeated(nodes))
                .or_else(|| self.norm_rows(nodes)),
            Op::Reduce { .. } => self.norm_rows(nodes),
            Op::Div | Op::Sigmoid => self.gate(nodes).or_else(|| self.pointwise(nodes)),
            _ => self.pointwise(nodes),
        }
    }

    /// Whether a source is no weight.
    fn is_dynamic(&self, source: Option<&Source>) -> bool {
        source.is_some_and(|source| !matches!(source, Source::Weight(_)))
    }

    /// The image that a source is.
    fn image(&self, source: Source) -> Option<ImageShape> {
        self.images[node_of(&source)?]
    }

    /// A product of matrices that are both computed, one for each index of the axes before.
    fn batched(&self, nodes: &mut Vec<usize>) -> Option<(Action, Option<ImageShape>)> {
        let node = self.readers.node(*nodes.first()?);
        let &[a, b] = node.inputs.as_slice() else {
            return None;
        };
        let (a_dims, b_dims) = (self.readers.dims(a)?, self.readers.dims(b)?);
        let (&[ref a_batch @ .., m, k], &[ref b_batch @ .., _, n]) = (a_dims, b_dims) else {
            return None;
        };
        let [batch, m, k, n] =
            [a_batch.iter().product(), m, k, n].map(|extent: u64| extent as usize);
        if a_batch != b_batch || batch * m * k * n == 0 || !n.is_multiple_of(IN_PLACE_COLUMNS) {
            return None;
        }
        let tail = absorb(&self.readers, Columns::Last, true, nodes);
        let found = Batched {
            a,
            b,
            batch,
            m,
            n,
            taps: Taps::consecutive(k),
            tail,
        };
        Some((Action::Batched(found), None))
    }

    fn norm_rows(&self, nodes: &mut Vec<usize>) -> Option<(Action, Option<ImageShape>)> {
        let mut found = norm(&self.readers, *nodes.first()?)?;
        if let Some((scale, bias)) = found.affine {
            let fits = |weight: Source| {
                // one value for each place in a row
                let values = self.readers.weight(weight).map(|values| values.len());
                let dims = self.readers.dims(weight).unwrap_or_default();
                values == Some(found.len) && dims.last() == Some(&(found.len as u64))
            };
            if !fits(scale) || !fits(bias) {
                found.affine = None;
                found.nodes.pop();
                if !self.readers.is_closed(&found.nodes) {
                    return None;
                }
            }
        }
        *nodes = found.nodes;
        let job = NormRows {
            x: found.x,
            len: found.len,
            epsilon: found.epsilon,
            affine: found.affine,
        };
        Some((Action::NormRows(job), None))
    }

    fn norm_image(&self, nodes: &mut Vec<usize>) -> Option<(Action, Option<ImageShape>)> {
        let index = *nodes.first()?;
        let shape = self.image(*self.readers.node(index).inputs.first()?)?;
        let found = group_norm(&self.readers, index)?;
        *nodes = found.nodes;
        let mut tail: Vec<After> = found.affine.map(After::Affine).into_iter().collect();
        tail.extend(absorb(&self.readers, Columns::Channels, false, nodes));
        let job = NormImage {
            x: found.x,
            groups: found.groups,
            epsilon: found.epsilon,
            tail,
        };
        let border = [0; 4];
        Some((Action::NormImage(job), Some(ImageShape { border, ..shape })))
    }

    /// The pixels of an image as the rows of a matrix.
    fn image_to_rows(&self, nodes: &mut Vec<usize>) -> Option<(Action, Option<ImageShape>)> {
        let index = *nodes.first()?;
        let node = self.readers.node(index);
        let x = *node.inputs.first()?;
        let shape = self.image(x)?;
        if node.output.dims != [1, shape.channels as u64, shape.pixels() as u64] {
            return None;
        }
        let turned = match self.readers.only(index).as_deref() {
            Some(&[next]) => next,
            _ => return None,
        };
        match &self.readers.node(turned).op {
            Op::Transpose { perm } if perm == &[0, 2, 1] => nodes.push(turned),
            _ => return None,
        }
        Some((Action::ImageToRows(x), None))
    }

    /// An image whose pixels are repeated along both axes, as importers write it: axes of extent 1 that are repeated.
    fn repeated(&self, nodes: &mut Vec<usize>) -> Option<(Action, Option<ImageShape>)> {
        let index = *nodes.first()?;
        let node = self.readers.node(index);
        let x = *node.inputs.first()?;
        let shape = self.image(x)?;
        let [c, h, w] = [shape.channels, shape.height, shape.width].map(|extent| extent as u64);
        if node.output.dims != [1, c, h, 1, w, 1] {
            return None;
        }
        let only = |index: usize| match self.readers.only(index).as_deref() {
            Some(&[next]) => Some(next),
            _ => None,
        };
        let view = only(index)?;
        let back = only(view)?;
        let (view_node, back_node) = (self.readers.node(view), self.readers.node(back));
        let Op::View { axes, .. } = &view_node.op else {
            return None;
        };
        let &[1, vc, vh, down, vw, across] = view_node.output.dims.as_slice() else {
            return None;
        };
        let whole = |axis: usize, len: u64| axes[axis].consecutive(len) == Some(0);
        let same = |axis: usize| axes[axis].step == 0 && axes[axis].start == 0;
        if [vc, vh, vw] != [c, h, w]
            || ![(0, 1), (1, c), (2, h), (4, w)]
                .iter()
                .all(|&(axis, len)| whole(axis, len))
            || !same(3)
            || !same(5)
            || !matches!(back_node.op, Op::Reshape { .. })
            || back_node.output.dims != [1, c, h * down, w * across]
        {
            return None;
        }
        nodes.extend([view, back]);
        let output = image_of(&back_node.output.dims)?;
        let times = [down as usize, across as usize];
        Some((Action::Repeat(x, times), Some(output)))
    }

    /// The rows of a matrix as the pixels of an image.
    fn rows_to_image(&self, nodes: &mut Vec<usize>) -> Option<(Action, Option<ImageShape>)> {
        let index = *nodes.first()?;
        let x = *self.readers.node(index).inputs.first()?;
        let back = match self.readers.only(index).as_deref() {
            Some(&[next]) => next,
            _ => return None,
        };
        let node = self.readers.node(back);
        let shape = image_of(&node.output.dims)?;
        let rows = [1, shape.pixels() as u64, shape.channels as u64];
        if !matches!(node.op, Op::Reshape { .. })
            || self.readers.dims(x)? != rows
            || !self.readers.is_f32(x)
        {
            return None;
        }
        nodes.push(back);
        let tail = absorb(&self.readers, Columns::Channels, false, nodes);
        Some((Action::RowsToImage(Pointwise { x, tail }), Some(shape)))
    }

    /// An activation that reads its argument twice.
    fn gate(&self, nodes: &mut Vec<usize>) -> Option<(Action, Option<ImageShape>)> {
        let index = *nodes.first()?;
        let x = *self.readers.node(index).inputs.first()?;
        let image = self.image(x);
        let (after, more) = gate(&self.readers, index, x)?;
        if !self.readers.is_closed(&more) || !self.is_dynamic(Some(&x)) {
            return None;
        }
        *nodes = more;
        let columns = match image {
            Some(_) => Columns::Channels,
            None => Columns::Last,
        };
        let mut tail = vec![after];
        tail.extend(absorb(&self.readers, columns, false, nodes));
        let job = Pointwise { x, tail };
        Some(match image {
            Some(shape) => {
                let border = [0; 4];
                (Action::Pointwise(job), Some(ImageShape { border, ..shape }))
            }
            None => (Action::PointwiseRows(job), None),
        })
    }

    fn convolution(
        &self,
        window: &Window2d,
        groups: u32,
        nodes: &mut Vec<usize>,
    ) -> Option<(Convolution, ImageShape)> {
        let node = self.readers.node(*nodes.first()?);
        let (x, w) = (*node.inputs.first()?, *node.inputs.get(1)?);
        let (shape, output) = (
            image_of(self.readers.dims(x)?)?,
            image_of(&node.output.dims)?,
        );
        let weights = self.readers.weight(w)?;
        let bias = node.inputs.get(2).copied();
        if bias.is_some_and(|bias| self.readers.weight(bias).is_none()) {
            return None;
        }
        let border = border(window, &shape, &output)?;
        let widest = ImageShape {
            border: [WIDEST_BORDER; 4],
            ..shape
        };
        if widest.values() > MOST_VALUES || output.values() > MOST_VALUES {
            return None;
        }
        let taps = window.kernel[0] as usize * window.kernel[1] as usize;
        let kernel = match groups as usize {
            1 => {
                let depth = shape.channels * taps;
                let shape = [depth, output.channels];
                let columns = PackedColumns::new(self.isa, &weights, shape, [1, depth]);
                // taps are placed once borders are known
                Kernel::Full(columns, Taps::consecutive(depth))
            }
            n if n == shape.channels && n == output.channels => {
                Kernel::Depthwise(PackedTaps::new(&weights, n, taps)?, Vec::new())
            }
            _ => return None,
        };
        let tail = absorb(&self.readers, Columns::Channels, true, nodes);
        let found = Convolution {
            kernel,
            window: *window,
            x,
            shape: ImageShape { border, ..shape },
            bias,
            tail,
        };
        Some((found, output))
    }

    fn matrix(
        &self,
        a: Source,
        b: Source,
        [k, n]: [u64; 2],
        strides: [usize; 2],
        bias: Option<Source>,
        nodes: &mut Vec<usize>,
    ) -> Option<(Action, Option<ImageShape>)> {
        let weights = self.readers.weight(b)?;
        let dims = self.readers.dims(a)?;
        let (&last, lead) = dims.split_last()?;
        let rows: u64 = lead.iter().product();
        if lead.is_empty() || last != k || rows * k * n == 0 {
            return None;
        }
        let tail = absorb(&self.readers, Columns::Last, true, nodes);
        let shape = [k as usize, n as usize];
        let matrix = Matrix {
            columns: PackedColumns::new(self.isa, &weights, shape, strides),
            taps: Taps::consecutive(k as usize),
            x: a,
            rows: rows as usize,
            bias,
            tail,
        };
        Some((Action::Matrix(matrix), None))
    }

    fn pooling(
        &self,
        pool: Pool,
        window: Window2d,
        index: usize,
    ) -> Option<(Action, Option<ImageShape>)> {
        let node = self.readers.node(index);
        let x = *node.inputs.first()?;
        self.image(x)?;
        let output = image_of(&node.output.dims)?;
        Some((Action::Pool(Pooling { pool, window, x }), Some(output)))
    }

    /// Operators on the elements of an image.
    fn pointwise(&self, nodes: &mut Vec<usize>) -> Option<(Action, Option<ImageShape>)> {
        let index = *nodes.first()?;
        let node = self.readers.node(index);
        let is_image = |source: &&Source| self.image(**source).is_some();
        let x = *node.inputs.iter().find(is_image)?;
        let output = image_of(&node.output.dims)?;
        let first = operator(&self.readers, Columns::Channels, index, x)?;
        let mut tail = vec![first];
        tail.extend(absorb(&self.readers, Columns::Channels, false, nodes));
        Some((Action::Pointwise(Pointwise { x, tail }), Some(output)))
    }

    /// Gives each image the widest border that a convolution needs, and each convolution its taps.
    fn borders(&mut self) {
        for step in self.steps.iter_mut().flatten() {
            for conv in step.action.convolutions() {
                if let Some(shape) = node_of(&conv.x).and_then(|node| self.images[node].as_mut()) {
                    for (have, need) in shape.border.iter_mut().zip(conv.shape.border) {
                        *have = need.max(*have);
                    }
                }
            }
        }
        for step in self.steps.iter_mut().flatten() {
            for conv in step.action.convolutions() {
                if let Some(shape) = node_of(&conv.x).and_then(|node| self.images[node]) {
                    conv.shape = shape;
                }
                conv.place_taps();
            }
        }
    }

    /// Says after which step each value dies.
    fn lives(&mut self) {
        let graph = self.readers.model.graph();
        let mut seen: std::collections::HashSet<Source> =
            graph.outputs.iter().map(|(_, source)| *source).collect();
        for step in self.steps.iter_mut().rev().flatten() {
            let inside =
                |source: &Source| node_of(source).is_some_and(|node| step.nodes.contains(&node));
            let own = step.nodes.last().map(|&node| Source::node(node as u32));
            let read = step
                .nodes
                .iter()
                .flat_map(|&node| &graph.nodes[node].inputs);
            let read =
                read.filter(|source| !matches!(source, Source::Weight(_)) && !inside(source));
            for source in read.chain(&own) {
                if seen.insert(*source) {
                    step.dead.push(*source);
                }
            }
        }
    }
}
