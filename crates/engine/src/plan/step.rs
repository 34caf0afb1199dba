//! Runs the steps of a plan.

use std::sync::{Arc, Mutex, PoisonError};

use gavel_model::{Model, Source};
use gavel_numerics::kernels::fused::{
    ImageShape, MutRows, Right, RowMap, Rows, RowsProduct, Tail, norm_channels, norm_rows,
    pointwise, pool_image, pool_whole, rows_product,
};
use gavel_numerics::kernels::{self, Isa, Parallel, Pool, Sequential};
use gavel_numerics::{NumericsError, Tensor};

use super::chain::{self, Link};
use super::job::{Action, Batched, Convolution, Matrix, NormImage, NormRows, Pointwise, Pooling};
use super::tail::After;
use super::value::{Image, Value};
use super::{Plan, Step};
use crate::EngineError;

/// The values of a run that are there.
pub(crate) trait Values {
    /// That of a source; none where it is not there.
    fn get(&mut self, source: &Source) -> Option<&mut Value>;

    /// That of a source, which is not there any more.
    fn take(&mut self, source: &Source) -> Option<Value>;
}

/// Where steps run.
pub(crate) struct Context<'a> {
    pub(crate) isa: Isa,
    pub(crate) par: &'a dyn Parallel,
    pub(crate) model: &'a Model,
    pub(crate) plan: &'a Plan,
}

/// Rows in an image or a tensor, which are held meanwhile.
enum Held {
    Image(Arc<Image>),
    Tensor(Arc<Tensor>, usize),
}

impl Held {
    fn rows(&self) -> Rows<'_> {
        match self {
            Held::Image(image) => Rows {
                values: &image.values,
                map: image.shape.rows(),
            },
            Held::Tensor(tensor, n) => Rows {
                values: tensor.as_f32().unwrap_or_default(),
                map: RowMap::matrix(*n),
            },
        }
    }
}

impl Context<'_> {
    /// The value that a step makes.
    pub(crate) fn run(&self, step: &Step, values: &mut dyn Values) -> Result<Value, EngineError> {
        let last = step.nodes.last().copied().unwrap_or_default();
        match &step.action {
            Action::Node => self.node(last, values),
            Action::Reshape(source) => self.reshape(last, *source, step, values),
            Action::Convolution(conv) => self.convolution(last, conv, values),
            Action::Chain(convs) => self.chain(last, convs, values),
            Action::Matrix(matrix) => self.matrix(last, matrix, values),
            Action::Pool(pooling) => self.pool(last, pooling, values),
            Action::PoolWhole(pool, x) => self.pool_whole(last, *pool, *x, values),
            Action::Pointwise(job) => self.pointwise(last, job, values),
            Action::PointwiseRows(job) => self.pointwise_rows(last, job, values),
            Action::Batched(job) => self.batched(last, job, values),
            Action::NormRows(job) => self.norm_rows(last, job, values),
            Action::NormImage(job) => self.norm_image(last, job, values),
            Action::ImageToRows(x) => self.image_to_rows(last, *x, values),
            Action::RowsToImage(job) => self.rows_to_image(last, job, values),
            Action::Concat(parts) => self.concat(last, parts, values),
            Action::Repeat(x, times) => self.repeat(last, *x, *times, values),
        }
    }

    /// What is wrong where a plan and its model do not fit together.
    fn broken(&self, node: usize) -> EngineError {
        EngineError::Model(format!("node {node} has no plan"))
    }

    fn refused(&self, node: usize, source: NumericsError) -> EngineError {
        EngineError::Node {
            node: self.model.graph().nodes[node].name.clone(),
            source,
        }
    }

    fn dims(&self, node: usize) -> &[u64] {
        &self.model.graph().nodes[node].output.dims
    }

    fn tensor(&self, source: &Source, values: &mut dyn Values) -> Result<Arc<Tensor>, EngineError> {
        let missing = || EngineError::Model(format!("{source:?} is read before it is computed"));
        if let Source::Weight(i) = *source {
            let weight = self.plan.weight(self.model, i);
            return weight.map(Arc::clone).ok_or_else(missing);
        }
        let value = values.get(source).ok_or_else(missing)?;
        value
            .tensor(self.par, &self.plan.spare)
            .map_err(|e| EngineError::Model(e.to_string()))
    }

    /// A value as an image: of its own shape, or of `shape` where it is no image.
    fn image(
        &self,
        node: usize,
        source: &Source,
        shape: ImageShape,
        values: &mut dyn Values,
    ) -> Result<Arc<Image>, EngineError> {
        let shape = self.plan.image(*source).unwrap_or(shape);
        let value = values.get(source).ok_or_else(|| self.broken(node))?;
        value
            .image(self.par, &self.plan.spare, &shape)
            .ok_or_else(|| self.broken(node))
    }

    fn weight(&self, source: Option<Source>) -> Option<&[f32]> {
        match source? {
            Source::Weight(i) => self.plan.weight(self.model, i)?.as_f32(),
            Source::Input(_) | Source::Node { .. } => None,
        }
    }

    /// The values that a tail reads, as rows like those of its output: an image, or rows of `n`.
    fn held(
        &self,
        node: usize,
        tail: &[After],
        image: Option<ImageShape>,
        n: usize,
        values: &mut dyn Values,
    ) -> Result<Vec<Option<Held>>, EngineError> {
        let read = tail.iter().map(|after| {
            let Some(source) = after.reads() else {
                return Ok(None);
            };
            Ok(Some(match image {
                Some(shape) if !matches!(after, After::AddRow(_)) => {
                    let border = [0; 4];
                    let shape = ImageShape { border, ..shape };
                    Held::Image(self.image(node, &source, shape, values)?)
                }
                _ => Held::Tensor(self.tensor(&source, values)?, n),
            }))
        });
        read.collect()
    }

    fn tail<'a>(
        &self,
        node: usize,
        tail: &'a [After],
        held: &'a [Option<Held>],
    ) -> Result<Vec<Tail<'a>>, EngineError> {
        let pairs = tail.iter().zip(held);
        let found = pairs.map(|(after, held)| after.with(held.as_ref().map(Held::rows)));
        found
            .map(|tail| tail.ok_or_else(|| self.broken(node)))
            .collect()
    }

    fn node(&self, node: usize, values: &mut dyn Values) -> Result<Value, EngineError> {
        let of = &self.model.graph().nodes[node];
        let operands: Vec<Arc<Tensor>> = of
            .inputs
            .iter()
            .map(|source| self.tensor(source, values))
            .collect::<Result<_, _>>()?;
        let inputs: Vec<&Tensor> = operands.iter().map(Arc::as_ref).collect();
        let found = kernels::eval(self.isa, self.par, &of.op, &inputs);
        let tensor = found.map_err(|source| self.refused(node, source))?;
        Ok(Value::of(Arc::new(tensor), None))
    }

    /// Without a copy where nobody else reads the value.
    fn reshape(
        &self,
        node: usize,
        source: Source,
        step: &Step,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        if step.dead.contains(&source) {
            self.tensor(&source, values)?;
            let value = values.take(&source).and_then(|value| {
                value.map_tensor(|tensor| {
                    (tensor.reshaped(self.dims(node))).map_err(|source| self.refused(node, source))
                })
            });
            return value.ok_or_else(|| self.broken(node))?;
        }
        self.node(node, values)
    }

    fn convolution(
        &self,
        node: usize,
        conv: &Convolution,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let shape = self.own_image(node)?;
        let x = self.image(node, &conv.x, conv.shape, values)?;
        let held = self.held(node, &conv.tail, Some(shape), shape.channels, values)?;
        let tail = self.tail(node, &conv.tail, &held)?;
        let x = Rows {
            values: &x.values,
            map: conv.windows(shape.width),
        };
        let mut image = self.plan.spare.image(shape);
        let (pixels, channels) = (shape.pixels(), shape.channels);
        let out = MutRows::new(&mut image.values, shape.rows(), pixels, channels);
        conv.run(self.isa, self.par, x, self.weight(conv.bias), &tail, &out);
        Ok(Value::of_image(image))
    }

    fn chain(
        &self,
        node: usize,
        convs: &[Convolution],
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let own = self.own_image(node)?;
        // each reads the next one's input, the last one makes the value
        let outputs = convs.iter().skip(1).map(|next| next.shape).chain([own]);
        let shapes: Vec<ImageShape> = outputs.collect();
        let held: Vec<Vec<Option<Held>>> = (convs.iter().zip(&shapes))
            .map(|(conv, &shape)| self.held(node, &conv.tail, Some(shape), shape.channels, values))
            .collect::<Result<_, _>>()?;
        let links: Vec<Link<'_>> = (convs.iter().zip(&shapes).zip(&held))
            .map(|((conv, &shape), held)| {
                Ok(Link {
                    conv,
                    shape,
                    bias: self.weight(conv.bias),
                    tail: self.tail(node, &conv.tail, held)?,
                })
            })
            .collect::<Result<_, EngineError>>()?;
        let first = convs.first().ok_or_else(|| self.broken(node))?;
        let x = self.image(node, &first.x, first.shape, values)?;
        let spare = &self.plan.spare;
        let mut image = spare.image(own);
        let out = &mut image.values;
        chain::run(self.isa, self.par, spare, &x.values, &links, out);
        Ok(Value::of_image(image))
    }

    /// The shape of a node's image.
    fn own_image(&self, node: usize) -> Result<ImageShape, EngineError> {
        let shape = self.plan.image(Source::node(node as u32));
        shape.ok_or_else(|| self.broken(node))
    }

    fn matrix(
        &self,
        node: usize,
        matrix: &Matrix,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let (k, n) = (matrix.columns.k(), matrix.columns.n());
        let x = self.tensor(&matrix.x, values)?;
        let held = self.held(node, &matrix.tail, None, n, values)?;
        let tail = self.tail(node, &matrix.tail, &held)?;
        let product = RowsProduct {
            right: Right::Packed(&matrix.columns),
            taps: &matrix.taps,
            x: Rows {
                values: x.as_f32().unwrap_or_default(),
                map: RowMap::matrix(k),
            },
            bias: self.weight(matrix.bias),
            tail: &tail,
        };
        let mut values = self.plan.spare.values(matrix.rows * n);
        let out = MutRows::new(&mut values, RowMap::matrix(n), matrix.rows, n);
        rows_product(self.isa, self.par, &product, &out);
        self.computed(node, values)
    }

    /// A tensor that a kernel has computed.
    fn computed(&self, node: usize, values: Vec<f32>) -> Result<Value, EngineError> {
        let tensor = Tensor::of_canonical(self.dims(node), values);
        let tensor = tensor.map_err(|source| self.refused(node, source))?;
        Ok(Value::of_pooled(tensor))
    }

    fn pool(
        &self,
        node: usize,
        job: &Pooling,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let shape = self.own_image(node)?;
        let x = self.image(node, &job.x, shape, values)?;
        let mut image = self.plan.spare.image(shape);
        let (pixels, channels) = (shape.pixels(), shape.channels);
        let out = MutRows::new(&mut image.values, shape.rows(), pixels, channels);
        let (of, from) = ((job.pool, job.window), (&x.values[..], &x.shape));
        let extents = [shape.height, shape.width];
        pool_image(self.isa, self.par, of, from, extents, &out);
        Ok(Value::of_image(image))
    }

    fn pool_whole(
        &self,
        node: usize,
        pool: Pool,
        x: Source,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let shape = self.plan.image(x).ok_or_else(|| self.broken(node))?;
        let x = self.image(node, &x, shape, values)?;
        let mut out = vec![0.0; shape.channels];
        pool_whole(self.isa, self.par, pool, (&x.values, &x.shape), &mut out);
        self.computed(node, out)
    }

    fn pointwise(
        &self,
        node: usize,
        job: &Pointwise,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let shape = self.own_image(node)?;
        let x = self.image(node, &job.x, shape, values)?;
        let held = self.held(node, &job.tail, Some(shape), shape.channels, values)?;
        let tail = self.tail(node, &job.tail, &held)?;
        Ok(self.each_pixel(shape, Held::Image(x).rows(), &tail))
    }

    /// The last axis of a node's value, and how many rows of it there are.
    fn rows_of(&self, node: usize) -> (usize, usize) {
        let dims = self.dims(node);
        let n = dims.last().map_or(1, |&n| n as usize);
        let all: u64 = dims.iter().product();
        (n, all as usize / n.max(1))
    }

    fn pointwise_rows(
        &self,
        node: usize,
        job: &Pointwise,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let (n, rows) = self.rows_of(node);
        let x = Held::Tensor(self.tensor(&job.x, values)?, n);
        let held = self.held(node, &job.tail, None, n, values)?;
        let tail = self.tail(node, &job.tail, &held)?;
        let mut found = self.plan.spare.values(rows * n);
        let out = MutRows::new(&mut found, RowMap::matrix(n), rows, n);
        pointwise(self.isa, self.par, x.rows(), &tail, &out);
        self.computed(node, found)
    }

    fn batched(
        &self,
        node: usize,
        job: &Batched,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let (m, n, k) = (job.m, job.n, job.taps.len());
        let (a, b) = (self.tensor(&job.a, values)?, self.tensor(&job.b, values)?);
        let held = self.held(node, &job.tail, None, n, values)?;
        let tail = self.tail(node, &job.tail, &held)?;
        let (a, b) = (
            a.as_f32().unwrap_or_default(),
            b.as_f32().unwrap_or_default(),
        );
        let mut found = self.plan.spare.values(job.batch * m * n);
        let shared = Parts::new(&mut found, m * n);
        // few products are cut themselves, many are shared out
        let (outer, inner): (&dyn Parallel, &dyn Parallel) =
            match job.batch < 2 * self.par.workers() {
                true => (&Sequential, self.par),
                false => (self.par, &Sequential),
            };
        outer.run(job.batch, &|i| {
            let tail: Vec<Tail<'_>> = tail.iter().map(|tail| tail.rows_from(i * m)).collect();
            let product = RowsProduct {
                right: Right::InPlace {
                    values: &b[i * k * n..][..k * n],
                    n,
                },
                taps: &job.taps,
                x: Rows {
                    values: &a[i * m * k..][..m * k],
                    map: RowMap::matrix(k),
                },
                bias: None,
                tail: &tail,
            };
            shared.with(i, |part| {
                let out = MutRows::new(part, RowMap::matrix(n), m, n);
                rows_product(self.isa, inner, &product, &out);
            });
        });
        drop(shared);
        self.computed(node, found)
    }

    fn norm_rows(
        &self,
        node: usize,
        job: &NormRows,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let x = self.tensor(&job.x, values)?;
        let x = x.as_f32().unwrap_or_default();
        let affine = job
            .affine
            .and_then(|(scale, bias)| Some((self.weight(Some(scale))?, self.weight(Some(bias))?)));
        if affine.is_some() != job.affine.is_some() {
            return Err(self.broken(node));
        }
        let mut found = self.plan.spare.values(x.len());
        norm_rows(
            self.isa,
            self.par,
            (x, job.len),
            job.epsilon,
            affine,
            &mut found,
        );
        self.computed(node, found)
    }

    fn norm_image(
        &self,
        node: usize,
        job: &NormImage,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let shape = self.own_image(node)?;
        let x = self.image(node, &job.x, shape, values)?;
        let of = (&x.values[..], &x.shape);
        let (less, factor) = norm_channels(self.isa, self.par, of, job.groups, job.epsilon);
        let held = self.held(node, &job.tail, Some(shape), shape.channels, values)?;
        let mut tail = vec![Tail::AddColumns(&less), Tail::MulColumns(&factor)];
        tail.extend(self.tail(node, &job.tail, &held)?);
        Ok(self.each_pixel(shape, Held::Image(x).rows(), &tail))
    }

    /// An image of rows that a tail is done to.
    fn each_pixel(&self, shape: ImageShape, x: Rows<'_>, tail: &[Tail<'_>]) -> Value {
        let mut image = self.plan.spare.image(shape);
        let (pixels, channels) = (shape.pixels(), shape.channels);
        let out = MutRows::new(&mut image.values, shape.rows(), pixels, channels);
        pointwise(self.isa, self.par, x, tail, &out);
        Value::of_image(image)
    }

    fn image_to_rows(
        &self,
        node: usize,
        x: Source,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let shape = self.plan.image(x).ok_or_else(|| self.broken(node))?;
        let x = Held::Image(self.image(node, &x, shape, values)?);
        let (pixels, channels) = (shape.pixels(), shape.channels);
        let mut found = self.plan.spare.values(pixels * channels);
        let out = MutRows::new(&mut found, RowMap::matrix(channels), pixels, channels);
        pointwise(self.isa, self.par, x.rows(), &[], &out);
        self.computed(node, found)
    }

    fn rows_to_image(
        &self,
        node: usize,
        job: &Pointwise,
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let shape = self.own_image(node)?;
        let x = Held::Tensor(self.tensor(&job.x, values)?, shape.channels);
        let held = self.held(node, &job.tail, Some(shape), shape.channels, values)?;
        let tail = self.tail(node, &job.tail, &held)?;
        Ok(self.each_pixel(shape, x.rows(), &tail))
    }

    fn repeat(
        &self,
        node: usize,
        x: Source,
        [down, across]: [usize; 2],
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let shape = self.own_image(node)?;
        let own = self.plan.image(x).ok_or_else(|| self.broken(node))?;
        let x = Held::Image(self.image(node, &x, own, values)?);
        let mut image = self.plan.spare.image(shape);
        for (y, x0) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
            let map = RowMap {
                first: shape.at(y, x0),
                width: own.width,
                line: down * shape.line(),
                step: across * shape.step(),
            };
            let out = MutRows::new(&mut image.values, map, own.pixels(), own.channels);
            pointwise(self.isa, self.par, x.rows(), &[], &out);
        }
        Ok(Value::of_image(image))
    }

    fn concat(
        &self,
        node: usize,
        parts: &[Source],
        values: &mut dyn Values,
    ) -> Result<Value, EngineError> {
        let shape = self.own_image(node)?;
        let mut image = self.plan.spare.image(shape);
        let mut map = shape.rows();
        for part in parts {
            let own = self.plan.image(*part).ok_or_else(|| self.broken(node))?;
            let x = Held::Image(self.image(node, part, own, values)?);
            let out = MutRows::new(&mut image.values, map, shape.pixels(), own.channels);
            pointwise(self.isa, self.par, x.rows(), &[], &out);
            map.first += own.channels;
        }
        Ok(Value::of_image(image))
    }
}

/// Equal parts of a slice, each taken by one thread at a time.
struct Parts<'a>(Vec<Mutex<&'a mut [f32]>>);

impl<'a> Parts<'a> {
    fn new(values: &'a mut [f32], len: usize) -> Parts<'a> {
        Parts(values.chunks_exact_mut(len).map(Mutex::new).collect())
    }

    fn with(&self, i: usize, f: impl FnOnce(&mut [f32])) {
        f(&mut self.0[i].lock().unwrap_or_else(PoisonError::into_inner));
    }
}
