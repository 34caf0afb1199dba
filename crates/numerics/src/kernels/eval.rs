//! One operator on whole tensors: shape program, then the kernel with the same bits as the interpreter.

use super::elementwise::{Binary, Unary, binary, unary};
use super::gemm::{Bias, MatRef, gemm};
use super::language;
use super::map::map;
use super::movement::{concat, transpose};
use super::norm::{ChannelStats, batch_norm};
use super::order::{
    accumulate, accumulate_integers, combine_floats, combine_integers, key_of_float,
    key_of_integer, replace, top_k,
};
use super::pool::{Pool, PoolShape, global_pool, pool2d};
use super::reduce::{gather, reduce, reduce_integers};
use super::softmax::{AxisShape, argmax, softmax};
use super::view::view;
use super::{ConvShape, Isa, Parallel, conv2d};
use crate::{Combine, DType, Data, NumericsError, Op, Tensor, TensorType, ViewAxis};

/// Computes `op` on `inputs` (activations and weights alike, in positional order).
///
/// The output has exactly the bits of the reference interpreter, whatever `isa` and `par` are.
///
/// # Errors
/// Those of the shape program ([`Op::infer_type`]).
pub fn eval(
    isa: Isa,
    par: &dyn Parallel,
    op: &Op,
    inputs: &[&Tensor],
) -> Result<Tensor, NumericsError> {
    let types: Vec<&TensorType> = inputs.iter().map(|t| t.ty()).collect();
    let ty = op.infer_type(&types)?;
    let run = Run {
        isa,
        par,
        op,
        inputs,
        dims: usizes(&ty.dims),
        len: ty.elements()?,
    };
    match op {
        Op::Identity | Op::Reshape { .. } => run.input(0)?.clone().reshaped(ty.dims),
        Op::Transpose { perm } => run.transpose(ty, perm),
        Op::Concat { axis } => run.concat(ty, *axis as usize),
        Op::ArgMax { axis, .. } => {
            let axis = AxisShape::new(&run.shape(0)?, *axis as usize);
            let mut out = vec![0; run.len];
            argmax(axis, run.f32(0)?, &mut out);
            Tensor::i64(ty.dims, out)
        }
        Op::Reduce { kind, axis, .. } => {
            let axis = AxisShape::new(&run.shape(0)?, *axis as usize);
            if let Some(x) = run.input(0)?.as_i64() {
                let mut out = vec![0; run.len];
                reduce_integers(*kind, axis, x, &mut out);
                return Tensor::i64(ty.dims, out);
            }
            let mut out = vec![0.0; run.len];
            reduce(isa, par, *kind, axis, run.f32(0)?, &mut out);
            Tensor::f32(ty.dims, out)
        }
        Op::Gather { axis } => run.gather(ty, *axis as usize),
        Op::Scatter { combine, .. } => run.scatter(ty, *combine),
        Op::TopK { axis, largest, .. } => {
            let axis = AxisShape::new(&run.shape(0)?, *axis as usize);
            let mut out = vec![0; run.len];
            match run.input(0)?.as_i64() {
                Some(x) => top_k(axis, *largest, x, key_of_integer, &mut out),
                None => top_k(axis, *largest, run.f32(0)?, key_of_float, &mut out),
            }
            Tensor::i64(ty.dims, out)
        }
        Op::Accumulate { kind, axis, .. } => {
            let axis = AxisShape::new(&run.shape(0)?, *axis as usize);
            if let Some(x) = run.input(0)?.as_i64() {
                let mut out = x.to_vec();
                accumulate_integers(*kind, axis, &mut out);
                return Tensor::i64(ty.dims, out);
            }
            let mut out = run.f32(0)?.to_vec();
            accumulate(*kind, axis, &mut out);
            Tensor::f32(ty.dims, out)
        }
        Op::View { fill, axes } => run.view(ty, *fill, axes),
        Op::Map { dtype, code } => map(isa, par, code, inputs, TensorType::new(*dtype, ty.dims)),
        _ if op.id() > Op::Identity.id() => language::eval(isa, par, op, inputs),
        _ => Tensor::of_canonical(ty.dims, run.floats()?),
    }
}

/// Extents as indices; the shape program has bounded their product.
fn usizes(dims: &[u64]) -> Vec<usize> {
    dims.iter().map(|&d| d as usize).collect()
}

/// One evaluation whose types are checked.
struct Run<'a> {
    isa: Isa,
    par: &'a dyn Parallel,
    op: &'a Op,
    inputs: &'a [&'a Tensor],
    /// Output extents.
    dims: Vec<usize>,
    /// Output elements.
    len: usize,
}

impl<'a> Run<'a> {
    fn input(&self, i: usize) -> Result<&'a Tensor, NumericsError> {
        self.inputs.get(i).copied().ok_or(NumericsError::Arity {
            op: self.op.name(),
            expected: "more",
            found: self.inputs.len(),
        })
    }

    fn f32(&self, i: usize) -> Result<&'a [f32], NumericsError> {
        let tensor = self.input(i)?;
        tensor.as_f32().ok_or_else(|| NumericsError::InputType {
            op: self.op.name(),
            input: i,
            expected: DType::F32,
            found: tensor.dtype(),
        })
    }

    fn shape(&self, i: usize) -> Result<Vec<usize>, NumericsError> {
        Ok(usizes(self.input(i)?.dims()))
    }

    /// The operators from f32 to f32.
    fn floats(&self) -> Result<Vec<f32>, NumericsError> {
        let mut out = vec![0.0f32; self.len];
        match self.op {
            Op::Conv2d { window, groups } => self.conv(*window, *groups as usize, &mut out)?,
            Op::Gemm {
                alpha_bits,
                beta_bits,
                trans_a,
                trans_b,
            } => {
                let (alpha, beta) = (f32::from_bits(*alpha_bits), f32::from_bits(*beta_bits));
                self.gemm(alpha, beta, *trans_a, *trans_b, &mut out)?;
            }
            Op::MatMul => self.matmul(&mut out)?,
            Op::Add => self.binary(Binary::Add, &mut out)?,
            Op::Sub => self.binary(Binary::Sub, &mut out)?,
            Op::Mul => self.binary(Binary::Mul, &mut out)?,
            Op::Div => self.binary(Binary::Div, &mut out)?,
            Op::Relu => self.unary(Unary::Relu, &mut out)?,
            Op::Clip { min_bits, max_bits } => {
                let clip = Unary::Clip(f32::from_bits(*min_bits), f32::from_bits(*max_bits));
                self.unary(clip, &mut out)?;
            }
            Op::Sigmoid => self.unary(Unary::Sigmoid, &mut out)?,
            Op::Tanh => self.unary(Unary::Tanh, &mut out)?,
            Op::Exp => self.unary(Unary::Exp, &mut out)?,
            Op::Softmax { axis } => {
                let axis = AxisShape::new(&self.dims, *axis as usize);
                softmax(self.isa, self.par, axis, self.f32(0)?, &mut out);
            }
            Op::MaxPool2d { window } => self.pool(Pool::Max, *window, &mut out)?,
            Op::AveragePool2d {
                window,
                count_include_pad,
            } => {
                let pool = Pool::Average {
                    count_include_pad: *count_include_pad,
                };
                self.pool(pool, *window, &mut out)?;
            }
            Op::GlobalAveragePool => {
                let pool = Pool::Average {
                    count_include_pad: false,
                };
                self.global_pool(pool, &mut out)?;
            }
            Op::GlobalMaxPool => self.global_pool(Pool::Max, &mut out)?,
            Op::BatchNorm { epsilon_bits } => {
                let stats = ChannelStats {
                    scale: self.f32(1)?,
                    bias: self.f32(2)?,
                    mean: self.f32(3)?,
                    var: self.f32(4)?,
                    epsilon: f32::from_bits(*epsilon_bits),
                };
                let plane = self.dims[2..].iter().product();
                batch_norm(self.isa, self.par, stats, plane, self.f32(0)?, &mut out);
            }
            // those that `eval` has answered already
            _ => {}
        }
        Ok(out)
    }

    fn unary(&self, f: Unary, out: &mut [f32]) -> Result<(), NumericsError> {
        unary(self.isa, self.par, f, self.f32(0)?, out);
        Ok(())
    }

    fn binary(&self, f: Binary, out: &mut [f32]) -> Result<(), NumericsError> {
        let (xs, ys) = (self.shape(0)?, self.shape(1)?);
        binary(
            self.isa,
            self.par,
            f,
            (self.f32(0)?, &xs),
            (self.f32(1)?, &ys),
            &self.dims,
            out,
        );
        Ok(())
    }

    fn conv(
        &self,
        window: crate::Window2d,
        groups: usize,
        out: &mut [f32],
    ) -> Result<(), NumericsError> {
        let x = self.shape(0)?;
        let shape = ConvShape {
            batch: x[0],
            channels: x[1],
            input: [x[2], x[3]],
            filters: self.dims[1],
            output: [self.dims[2], self.dims[3]],
            groups,
        };
        let bias = if self.inputs.len() > 2 {
            Some(self.f32(2)?)
        } else {
            None
        };
        conv2d(
            self.isa,
            self.par,
            window,
            shape,
            self.f32(0)?,
            self.f32(1)?,
            bias,
            out,
        );
        Ok(())
    }

    fn pool(
        &self,
        pool: Pool,
        window: crate::Window2d,
        out: &mut [f32],
    ) -> Result<(), NumericsError> {
        let x = self.shape(0)?;
        let shape = PoolShape {
            planes: x[0] * x[1],
            input: [x[2], x[3]],
            output: [self.dims[2], self.dims[3]],
        };
        pool2d(self.isa, self.par, pool, window, shape, self.f32(0)?, out);
        Ok(())
    }

    fn global_pool(&self, pool: Pool, out: &mut [f32]) -> Result<(), NumericsError> {
        let x = self.shape(0)?;
        global_pool(self.isa, self.par, pool, x[2] * x[3], self.f32(0)?, out);
        Ok(())
    }

    /// `alpha * A' B' + beta * C`: the product with C as its bias where alpha and beta are 1 and C is
    /// one value per column, else two further passes.
    fn gemm(
        &self,
        alpha: f32,
        beta: f32,
        trans_a: bool,
        trans_b: bool,
        out: &mut [f32],
    ) -> Result<(), NumericsError> {
        let (a, b) = (self.matrix(0, trans_a)?, self.matrix(1, trans_b)?);
        let c = if self.inputs.len() > 2 {
            Some((self.f32(2)?, self.shape(2)?))
        } else {
            None
        };
        let one = 1.0f32.to_bits();
        let plain = alpha.to_bits() == one && beta.to_bits() == one;
        let n = self.dims[1];
        let per_column = c.as_ref().is_some_and(|(values, dims)| {
            values.len() == n && dims.last() == Some(&n) && dims.len() <= 2
        });
        let bias = match &c {
            Some((values, _)) if plain && per_column => Bias::PerColumn(values),
            _ => Bias::None,
        };
        gemm(self.isa, self.par, a, b, bias, out);
        if plain && (per_column || c.is_none()) {
            return Ok(());
        }
        let scaled = out.to_vec();
        binary(
            self.isa,
            self.par,
            Binary::Mul,
            (&scaled, &self.dims),
            (&[alpha], &[]),
            &self.dims,
            out,
        );
        if let Some((values, dims)) = c {
            let mut addend = vec![0.0f32; values.len()];
            binary(
                self.isa,
                self.par,
                Binary::Mul,
                (values, &dims),
                (&[beta], &[]),
                &dims,
                &mut addend,
            );
            let scaled = out.to_vec();
            binary(
                self.isa,
                self.par,
                Binary::Add,
                (&scaled, &self.dims),
                (&addend, &dims),
                &self.dims,
                out,
            );
        }
        Ok(())
    }

    fn matrix(&self, i: usize, transposed: bool) -> Result<MatRef<'a>, NumericsError> {
        let dims = self.shape(i)?;
        let view = MatRef::row_major(self.f32(i)?, dims[0], dims[1]);
        Ok(if transposed { view.transposed() } else { view })
    }

    /// Batched product; a vector is a row on the left and a column on the right. Where B is one
    /// matrix, the batches of A are rows of one product.
    fn matmul(&self, out: &mut [f32]) -> Result<(), NumericsError> {
        let (a_dims, b_dims) = (self.shape(0)?, self.shape(1)?);
        let (a, b) = (self.f32(0)?, self.f32(1)?);
        let split_dims = |dims: &[usize], row: bool| match *dims {
            [k] if row => (Vec::new(), 1, k),
            [k] => (Vec::new(), k, 1),
            [ref batch @ .., r, c] => (batch.to_vec(), r, c),
            [] => (Vec::new(), 0, 0),
        };
        let (a_batch, m, k) = split_dims(&a_dims, true);
        let (b_batch, _, n) = split_dims(&b_dims, false);
        if b_batch.iter().all(|&d| d == 1) {
            let rows = a_batch.iter().product::<usize>() * m;
            gemm(
                self.isa,
                self.par,
                MatRef::row_major(a, rows, k),
                MatRef::row_major(b, k, n),
                Bias::None,
                out,
            );
            return Ok(());
        }
        let rank = a_batch.len().max(b_batch.len());
        let batch = &self.dims[..rank];
        let walk = super::broadcast::Walk::new(&a_batch, &b_batch, batch);
        let (same_a, same_b) = walk.constant();
        if m * n == 0 {
            return Ok(());
        }
        for (i, out) in out.chunks_exact_mut(m * n).enumerate() {
            let (mut x, mut y) = walk.start(i / walk.run());
            let step = i % walk.run();
            x += if same_a { 0 } else { step };
            y += if same_b { 0 } else { step };
            let a = MatRef::row_major(&a[x * m * k..], m, k);
            let b = MatRef::row_major(&b[y * k * n..], k, n);
            gemm(self.isa, self.par, a, b, Bias::None, out);
        }
        Ok(())
    }

    fn transpose(&self, ty: TensorType, perm: &[u32]) -> Result<Tensor, NumericsError> {
        let (shape, input) = (self.shape(0)?, self.input(0)?);
        let perm: Vec<usize> = perm.iter().map(|&p| p as usize).collect();
        fn moved<T: Copy + Default + Send + Sync>(
            par: &dyn Parallel,
            shape: &[usize],
            perm: &[usize],
            x: &[T],
        ) -> Vec<T> {
            let mut out = vec![T::default(); x.len()];
            transpose(par, shape, perm, x, &mut out);
            out
        }
        let data = match input.data() {
            Data::F32(x) => Data::F32(moved(self.par, &shape, &perm, x)),
            Data::I64(x) => Data::I64(moved(self.par, &shape, &perm, x)),
            Data::I32(x) => Data::I32(moved(self.par, &shape, &perm, x)),
            Data::U8(x) => Data::U8(moved(self.par, &shape, &perm, x).into()),
            Data::I8(x) => Data::I8(moved(self.par, &shape, &perm, x)),
            Data::Bits16(x) => Data::Bits16(moved(self.par, &shape, &perm, x)),
            Data::Bits32(x) => Data::Bits32(moved(self.par, &shape, &perm, x)),
            Data::Bits64(x) => Data::Bits64(moved(self.par, &shape, &perm, x)),
        };
        Tensor::from_data(ty, data)
    }

    fn gather(&self, ty: TensorType, axis: usize) -> Result<Tensor, NumericsError> {
        let (input, axis) = (self.input(0)?, AxisShape::new(&self.shape(0)?, axis));
        let indices = self.input(1)?.as_i64().unwrap_or_default();
        macro_rules! gathered {
            ($x:ident) => {{
                let mut out = vec![Default::default(); self.len];
                gather(axis, &$x[..], indices, &mut out);
                out
            }};
        }
        let data = match input.data() {
            Data::F32(x) => Data::F32(gathered!(x)),
            Data::I64(x) => Data::I64(gathered!(x)),
            Data::I32(x) => Data::I32(gathered!(x)),
            Data::U8(x) => Data::U8(gathered!(x).into()),
            Data::I8(x) => Data::I8(gathered!(x)),
            Data::Bits16(x) => Data::Bits16(gathered!(x)),
            Data::Bits32(x) => Data::Bits32(gathered!(x)),
            Data::Bits64(x) => Data::Bits64(gathered!(x)),
        };
        Tensor::from_data(ty, data)
    }

    fn scatter(&self, ty: TensorType, combine: Combine) -> Result<Tensor, NumericsError> {
        let rows = self.shape(0)?[0];
        let width = self.len.checked_div(rows).unwrap_or(0);
        let indices = self.input(1)?.as_i64().unwrap_or_default();
        let (data, updates) = (self.input(0)?.data(), self.input(2)?.data());
        macro_rules! replaced {
            ($data:ident, $updates:ident) => {{
                let mut out = $data.to_vec();
                replace(rows, width, indices, &$updates[..], &mut out);
                out
            }};
        }
        let data = match (data, updates) {
            (Data::F32(x), Data::F32(u)) if combine != Combine::Replace => {
                let mut out = x.clone();
                combine_floats(combine, rows, width, indices, u, &mut out);
                Data::F32(out)
            }
            (Data::I64(x), Data::I64(u)) if combine != Combine::Replace => {
                let mut out = x.clone();
                combine_integers(combine, rows, width, indices, u, &mut out);
                Data::I64(out)
            }
            (Data::F32(x), Data::F32(u)) => Data::F32(replaced!(x, u)),
            (Data::I64(x), Data::I64(u)) => Data::I64(replaced!(x, u)),
            (Data::I32(x), Data::I32(u)) => Data::I32(replaced!(x, u)),
            (Data::U8(x), Data::U8(u)) => Data::U8(replaced!(x, u).into()),
            (Data::I8(x), Data::I8(u)) => Data::I8(replaced!(x, u)),
            (Data::Bits16(x), Data::Bits16(u)) => Data::Bits16(replaced!(x, u)),
            (Data::Bits32(x), Data::Bits32(u)) => Data::Bits32(replaced!(x, u)),
            (Data::Bits64(x), Data::Bits64(u)) => Data::Bits64(replaced!(x, u)),
            // the shape program lets one element type pass
            (data, _) => data.clone(),
        };
        Tensor::from_data(ty, data)
    }

    fn view(&self, ty: TensorType, fill: u64, axes: &[ViewAxis]) -> Result<Tensor, NumericsError> {
        let (input, len) = (self.input(0)?, self.len);
        macro_rules! viewed {
            ($x:ident, $fill:expr) => {{
                let mut out = vec![$fill; len];
                view(self.par, &$x[..], input.dims(), axes, $fill, &mut out);
                out
            }};
        }
        let data = match input.data() {
            Data::F32(x) => Data::F32(viewed!(x, f32::from_bits(fill as u32))),
            Data::I64(x) => Data::I64(viewed!(x, fill.cast_signed())),
            Data::I32(x) => Data::I32(viewed!(x, fill as u32 as i32)),
            Data::U8(x) => Data::U8(viewed!(x, fill as u8).into()),
            Data::I8(x) => Data::I8(viewed!(x, fill as u8 as i8)),
            Data::Bits16(x) => Data::Bits16(viewed!(x, fill as u16)),
            Data::Bits32(x) => Data::Bits32(viewed!(x, fill as u32)),
            Data::Bits64(x) => Data::Bits64(viewed!(x, fill)),
        };
        Tensor::from_data(ty, data)
    }

    fn concat(&self, ty: TensorType, axis: usize) -> Result<Tensor, NumericsError> {
        let outer: usize = self.dims[..axis].iter().product();
        macro_rules! joined {
            ($kind:path) => {{
                let mut parts = Vec::with_capacity(self.inputs.len());
                for (i, input) in self.inputs.iter().enumerate() {
                    if let $kind(x) = input.data() {
                        parts.push((&x[..], self.shape(i)?[axis..].iter().product()));
                    }
                }
                let mut out = vec![Default::default(); self.len];
                concat(outer, &parts, &mut out);
                $kind(out.into())
            }};
        }
        let data = match self.input(0)?.data() {
            Data::F32(_) => joined!(Data::F32),
            Data::I64(_) => joined!(Data::I64),
            Data::I32(_) => joined!(Data::I32),
            Data::U8(_) => joined!(Data::U8),
            Data::I8(_) => joined!(Data::I8),
            Data::Bits16(_) => joined!(Data::Bits16),
            Data::Bits32(_) => joined!(Data::Bits32),
            Data::Bits64(_) => joined!(Data::Bits64),
        };
        Tensor::from_data(ty, data)
    }
}
