//! Shape programs: the type of an operator's output from the types of its inputs and its attributes.
//! The first check of every operator, here and wherever a dispute is judged.

mod language;

use crate::{Beyond, Combine, DType, NumericsError, Op, TensorType, ViewAxis, Window2d, element};

/// Largest window extent, stride, dilation or padding.
const WINDOW_MAX: u32 = 1 << 16;
/// Largest start or step of [`Op::View`].
const VIEW_MAX: u64 = 1 << 28;
/// Most inputs of [`Op::Map`].
const MAP_INPUTS: usize = 16;

impl Op {
    /// Multiply-adds (and element operations) of one application: the unit of a model's declared work.
    pub fn work(&self, inputs: &[&TensorType], output: &TensorType) -> u64 {
        let count = |t: &TensorType| t.dims.iter().fold(1u64, |n, &d| n.saturating_mul(d));
        let out = count(output);
        let depth = match self {
            Op::Conv2d { .. } => inputs.get(1).map_or(1, |w| {
                w.dims
                    .iter()
                    .skip(1)
                    .fold(1u64, |n, &d| n.saturating_mul(d))
            }),
            Op::Gemm { trans_a, .. } => inputs.first().map_or(1, |a| {
                a.dims.get(usize::from(!*trans_a)).copied().unwrap_or(1)
            }),
            Op::MatMul => inputs
                .first()
                .map_or(1, |a| a.dims.last().copied().unwrap_or(1)),
            Op::MaxPool2d { window } | Op::AveragePool2d { window, .. } => {
                u64::from(window.kernel[0]) * u64::from(window.kernel[1])
            }
            Op::GlobalAveragePool | Op::GlobalMaxPool | Op::ArgMax { .. } => {
                return inputs.first().map_or(1, |i| count(i)).max(1);
            }
            Op::Sigmoid | Op::Tanh | Op::Exp | Op::Softmax { .. } => 16,
            Op::Map { code, .. } => element::work(code),
            Op::Reduce { .. } | Op::Accumulate { .. } => {
                return inputs.first().map_or(1, |i| count(i)).max(1);
            }
            Op::Scatter { .. } => {
                let updates = inputs.get(2).map_or(0, |updates| count(updates));
                return out.saturating_add(updates).max(1);
            }
            // a sort
            Op::TopK { .. } => {
                return inputs
                    .first()
                    .map_or(1, |i| count(i))
                    .saturating_mul(16)
                    .max(1);
            }
            _ => return language::work(self, inputs, out),
        };
        out.saturating_mul(depth.max(1)).max(1)
    }

    /// The type of the output.
    ///
    /// # Errors
    /// Wrong number or type of inputs, shapes or attributes that do not fit, a result above the size limits.
    pub fn infer_type(&self, inputs: &[&TensorType]) -> Result<TensorType, NumericsError> {
        for input in inputs {
            input.elements()?;
        }
        let out = self.output(inputs)?;
        out.elements()?;
        Ok(out)
    }

    fn output(&self, inputs: &[&TensorType]) -> Result<TensorType, NumericsError> {
        match self {
            Op::Conv2d { window, groups } => self.conv(inputs, window, *groups),
            Op::Gemm {
                trans_a, trans_b, ..
            } => self.gemm(inputs, *trans_a, *trans_b),
            Op::MatMul => self.matmul(inputs),
            Op::Add | Op::Sub | Op::Mul | Op::Div => {
                self.arity(inputs, 2..=2, "2")?;
                self.all_f32(inputs)?;
                Ok(f32_of(self.broadcast(&inputs[0].dims, &inputs[1].dims)?))
            }
            Op::Relu | Op::Clip { .. } | Op::Sigmoid | Op::Tanh | Op::Exp => self.same(inputs),
            Op::Softmax { axis } => {
                let out = self.same(inputs)?;
                let extent = self.axis(inputs[0], *axis)?;
                if extent == 0 {
                    return Err(self.wrong(format!("axis {axis} is empty")));
                }
                Ok(out)
            }
            Op::MaxPool2d { window } | Op::AveragePool2d { window, .. } => {
                self.arity(inputs, 1..=1, "1")?;
                self.all_f32(inputs)?;
                let [n, c, h, w] = self.nchw(inputs[0], 0)?;
                let [oh, ow] = self.window(window, h, w)?;
                for axis in 0..2 {
                    let reach =
                        u64::from(window.kernel[axis] - 1) * u64::from(window.dilations[axis]) + 1;
                    if u64::from(window.pads[axis].max(window.pads[axis + 2])) >= reach {
                        return Err(self.wrong(format!(
                            "padding {:?} leaves windows of {:?} that lie in padding alone",
                            window.pads, window.kernel
                        )));
                    }
                }
                Ok(f32_of(vec![n, c, oh, ow]))
            }
            Op::GlobalAveragePool | Op::GlobalMaxPool => {
                self.arity(inputs, 1..=1, "1")?;
                self.all_f32(inputs)?;
                let [n, c, h, w] = self.nchw(inputs[0], 0)?;
                if h * w == 0 {
                    return Err(self.wrong(format!("planes of {h}x{w} are empty")));
                }
                Ok(f32_of(vec![n, c, 1, 1]))
            }
            Op::BatchNorm { .. } => {
                self.arity(inputs, 5..=5, "5 (X, scale, bias, mean, var)")?;
                self.all_f32(inputs)?;
                let channels = *inputs[0]
                    .dims
                    .get(1)
                    .ok_or_else(|| self.wrong(format!("X {} has no channel axis", inputs[0])))?;
                for (i, statistic) in inputs.iter().enumerate().skip(1) {
                    if statistic.dims != [channels] {
                        return Err(self
                            .wrong(format!("input {i} must be [{channels}], found {statistic}")));
                    }
                }
                Ok(inputs[0].clone())
            }
            Op::Reshape { dims } => {
                self.arity(inputs, 1..=1, "1")?;
                let out = TensorType::new(inputs[0].dtype, dims.clone());
                if out.elements()? != inputs[0].elements()? {
                    return Err(self.wrong(format!(
                        "{} cannot become {out}: the numbers of elements differ",
                        inputs[0]
                    )));
                }
                Ok(out)
            }
            Op::Transpose { perm } => {
                self.arity(inputs, 1..=1, "1")?;
                let rank = inputs[0].dims.len();
                let mut seen = vec![false; rank];
                let fits = perm.len() == rank
                    && perm.iter().all(|&p| {
                        seen.get_mut(p as usize)
                            .is_some_and(|s| !std::mem::replace(s, true))
                    });
                if !fits {
                    return Err(self.wrong(format!(
                        "perm {perm:?} is no permutation of the {rank} axes of {}",
                        inputs[0]
                    )));
                }
                let dims: Vec<u64> = perm.iter().map(|&p| inputs[0].dims[p as usize]).collect();
                Ok(TensorType::new(inputs[0].dtype, dims))
            }
            Op::Concat { axis } => self.concat(inputs, *axis),
            Op::ArgMax { axis, keepdims } => {
                self.arity(inputs, 1..=1, "1")?;
                self.all_f32(inputs)?;
                if self.axis(inputs[0], *axis)? == 0 {
                    return Err(self.wrong(format!("axis {axis} is empty")));
                }
                let mut dims = inputs[0].dims.clone();
                if *keepdims {
                    dims[*axis as usize] = 1;
                } else {
                    dims.remove(*axis as usize);
                }
                Ok(TensorType::new(DType::I64, dims))
            }
            Op::Identity => {
                self.arity(inputs, 1..=1, "1")?;
                Ok(inputs[0].clone())
            }
            Op::Reduce { axis, integers, .. } => {
                self.arity(inputs, 1..=1, "1")?;
                self.numbers(inputs, 0, *integers)?;
                self.axis(inputs[0], *axis)?;
                let mut out = inputs[0].clone();
                out.dims[*axis as usize] = 1;
                Ok(out)
            }
            Op::Accumulate { axis, integers, .. } => {
                self.arity(inputs, 1..=1, "1")?;
                self.numbers(inputs, 0, *integers)?;
                self.axis(inputs[0], *axis)?;
                Ok(inputs[0].clone())
            }
            Op::TopK {
                axis,
                count,
                integers,
                ..
            } => {
                self.arity(inputs, 1..=1, "1")?;
                self.numbers(inputs, 0, *integers)?;
                let len = self.axis(inputs[0], *axis)?;
                if *count > len {
                    return Err(self.wrong(format!("{count} of an axis of {len}")));
                }
                let mut dims = inputs[0].dims.clone();
                dims[*axis as usize] = *count;
                Ok(TensorType::new(DType::I64, dims))
            }
            Op::Scatter { combine, integers } => {
                self.scatter(inputs, *combine == Combine::Replace, *integers)
            }
            Op::Gather { axis } => {
                self.arity(inputs, 2..=2, "2 (data, indices)")?;
                let (data, indices) = (inputs[0], inputs[1]);
                self.numbers(inputs, 1, true)?;
                self.axis(data, *axis)?;
                let (before, behind) = data.dims.split_at(*axis as usize);
                let dims = [before, &indices.dims, &behind[1..]].concat();
                Ok(TensorType::new(data.dtype, dims))
            }
            Op::View { fill, axes } => self.view(inputs, *fill, axes),
            Op::Map { dtype, code } => {
                self.arity(inputs, 1..=MAP_INPUTS, "1 to 16")?;
                element::decode(code, inputs.len())?;
                let mut dims = Vec::new();
                for input in inputs {
                    dims = self.broadcast(&dims, &input.dims)?;
                }
                Ok(TensorType::new(*dtype, dims))
            }
            _ => language::output(self, inputs),
        }
    }

    /// Whether input `i` is of i64 (`integers`) or of f32.
    fn numbers(
        &self,
        inputs: &[&TensorType],
        i: usize,
        integers: bool,
    ) -> Result<(), NumericsError> {
        let expected = if integers { DType::I64 } else { DType::F32 };
        let found = inputs[i].dtype;
        if found == expected {
            return Ok(());
        }
        Err(NumericsError::InputType {
            op: self.name(),
            input: i,
            expected,
            found,
        })
    }

    fn scatter(
        &self,
        inputs: &[&TensorType],
        any_type: bool,
        integers: bool,
    ) -> Result<TensorType, NumericsError> {
        self.arity(inputs, 3..=3, "3 (data, indices, updates)")?;
        let (data, indices, updates) = (inputs[0], inputs[1], inputs[2]);
        self.numbers(inputs, 1, true)?;
        if any_type {
            if integers {
                return Err(self.wrong("what is replaced is not computed with".into()));
            }
        } else {
            self.numbers(inputs, 0, integers)?;
        }
        let fits = match (&data.dims[..], &indices.dims[..], &updates.dims[..]) {
            ([_, row @ ..], [count], [updated, other @ ..]) => row == other && count == updated,
            _ => false,
        };
        if !fits || updates.dtype != data.dtype {
            return Err(self.wrong(format!(
                "updates {updates} at {indices} do not fit the rows of {data}"
            )));
        }
        Ok(data.clone())
    }

    fn view(
        &self,
        inputs: &[&TensorType],
        fill: u64,
        axes: &[ViewAxis],
    ) -> Result<TensorType, NumericsError> {
        self.arity(inputs, 1..=1, "1")?;
        let input = inputs[0];
        if axes.len() != input.dims.len() {
            return Err(self.wrong(format!("{} axes do not fit {input}", axes.len())));
        }
        let bits = match input.dtype {
            DType::Bool => 1,
            dtype => 8 * dtype.size(),
        };
        if fill.checked_shr(bits as u32).unwrap_or(0) != 0 {
            return Err(self.wrong(format!("{fill:#x} is no element of {input}")));
        }
        for (axis, (view, &len)) in axes.iter().zip(&input.dims).enumerate() {
            let reach = view.start.unsigned_abs().max(view.step.unsigned_abs());
            let wraps = matches!(view.beyond, Beyond::Reflect | Beyond::Wrap);
            if reach > VIEW_MAX
                || wraps && (view.start < 0 || view.step < 0)
                || view.beyond != Beyond::Fill && len == 0 && view.extent > 0
            {
                return Err(self.wrong(format!("axis {axis} of {input} cannot be {view:?}")));
            }
        }
        Ok(TensorType::new(
            input.dtype,
            axes.iter().map(|axis| axis.extent).collect::<Vec<_>>(),
        ))
    }

    fn wrong(&self, reason: String) -> NumericsError {
        NumericsError::Shape {
            op: self.name(),
            reason,
        }
    }

    fn arity(
        &self,
        inputs: &[&TensorType],
        range: std::ops::RangeInclusive<usize>,
        expected: &'static str,
    ) -> Result<(), NumericsError> {
        if range.contains(&inputs.len()) {
            Ok(())
        } else {
            Err(NumericsError::Arity {
                op: self.name(),
                expected,
                found: inputs.len(),
            })
        }
    }

    fn all_f32(&self, inputs: &[&TensorType]) -> Result<(), NumericsError> {
        match inputs.iter().position(|i| i.dtype != DType::F32) {
            Some(input) => Err(NumericsError::InputType {
                op: self.name(),
                input,
                expected: DType::F32,
                found: inputs[input].dtype,
            }),
            None => Ok(()),
        }
    }

    fn same(&self, inputs: &[&TensorType]) -> Result<TensorType, NumericsError> {
        self.arity(inputs, 1..=1, "1")?;
        self.all_f32(inputs)?;
        Ok(inputs[0].clone())
    }

    fn axis(&self, input: &TensorType, axis: u32) -> Result<u64, NumericsError> {
        input
            .dims
            .get(axis as usize)
            .copied()
            .ok_or_else(|| self.wrong(format!("axis {axis} is outside {input}")))
    }

    fn nchw(&self, input: &TensorType, at: usize) -> Result<[u64; 4], NumericsError> {
        <[u64; 4]>::try_from(input.dims.as_slice()).map_err(|_| {
            self.wrong(format!(
                "input {at} must have 4 axes (two spatial ones), found {input}"
            ))
        })
    }

    fn window(&self, window: &Window2d, h: u64, w: u64) -> Result<[u64; 2], NumericsError> {
        let Window2d {
            kernel,
            strides,
            dilations,
            pads,
        } = window;
        let positive = kernel
            .iter()
            .chain(strides)
            .chain(dilations)
            .all(|&v| (1..=WINDOW_MAX).contains(&v));
        if !positive || pads.iter().any(|&p| p > WINDOW_MAX) {
            return Err(self.wrong(format!("window {window:?} is outside 1..={WINDOW_MAX}")));
        }
        let mut out = [0; 2];
        for (axis, extent) in [h, w].into_iter().enumerate() {
            let padded = extent + u64::from(pads[axis]) + u64::from(pads[axis + 2]);
            let reach = u64::from(kernel[axis] - 1) * u64::from(dilations[axis]) + 1;
            if padded < reach {
                return Err(self.wrong(format!(
                    "a window reaching over {reach} does not fit into {padded} (padding included)"
                )));
            }
            out[axis] = (padded - reach) / u64::from(strides[axis]) + 1;
        }
        Ok(out)
    }

    fn conv(
        &self,
        inputs: &[&TensorType],
        window: &Window2d,
        groups: u32,
    ) -> Result<TensorType, NumericsError> {
        self.arity(inputs, 2..=3, "2 or 3 (X, W, optional B)")?;
        self.all_f32(inputs)?;
        let [n, c, h, w] = self.nchw(inputs[0], 0)?;
        let [m, per_group, kh, kw] = self.nchw(inputs[1], 1)?;
        let groups = u64::from(groups);
        if groups == 0
            || !c.is_multiple_of(groups)
            || !m.is_multiple_of(groups)
            || per_group != c / groups
        {
            return Err(self.wrong(format!(
                "{groups} groups do not fit X {} and W {}",
                inputs[0], inputs[1]
            )));
        }
        if [kh, kw] != window.kernel.map(u64::from) {
            return Err(self.wrong(format!("kernel {:?} is not W's {kh}x{kw}", window.kernel)));
        }
        if let Some(bias) = inputs.get(2)
            && bias.dims != [m]
        {
            return Err(self.wrong(format!("B must be [{m}], found {bias}")));
        }
        let [oh, ow] = self.window(window, h, w)?;
        Ok(f32_of(vec![n, m, oh, ow]))
    }

    fn gemm(
        &self,
        inputs: &[&TensorType],
        trans_a: bool,
        trans_b: bool,
    ) -> Result<TensorType, NumericsError> {
        self.arity(inputs, 2..=3, "2 or 3 (A, B, optional C)")?;
        self.all_f32(inputs)?;
        let matrix = |i: usize, transposed: bool| match inputs[i].dims[..] {
            [rows, cols] => Ok(if transposed {
                [cols, rows]
            } else {
                [rows, cols]
            }),
            _ => Err(self.wrong(format!("input {i} must be a matrix, found {}", inputs[i]))),
        };
        let ([m, k], [k2, n]) = (matrix(0, trans_a)?, matrix(1, trans_b)?);
        if k != k2 {
            return Err(self.wrong(format!("inner extents differ: {k} in A, {k2} in B")));
        }
        if let Some(c) = inputs.get(2)
            && self.broadcast(&c.dims, &[m, n])? != [m, n]
        {
            return Err(self.wrong(format!("C {c} does not broadcast to [{m}x{n}]")));
        }
        Ok(f32_of(vec![m, n]))
    }

    fn matmul(&self, inputs: &[&TensorType]) -> Result<TensorType, NumericsError> {
        self.arity(inputs, 2..=2, "2")?;
        self.all_f32(inputs)?;
        let (a, b) = (&inputs[0].dims, &inputs[1].dims);
        if a.is_empty() || b.is_empty() {
            return Err(self.wrong("a scalar is no matrix".into()));
        }
        // a vector is a row on the left and a column on the right
        let (rows, k) = if a.len() == 1 {
            (None, a[0])
        } else {
            (Some(a[a.len() - 2]), a[a.len() - 1])
        };
        let (k2, cols) = if b.len() == 1 {
            (b[0], None)
        } else {
            (b[b.len() - 2], Some(b[b.len() - 1]))
        };
        if k != k2 {
            return Err(self.wrong(format!(
                "inner extents differ: {k} in {}, {k2} in {}",
                inputs[0], inputs[1]
            )));
        }
        let mut dims = self.broadcast(
            &a[..a.len().saturating_sub(2)],
            &b[..b.len().saturating_sub(2)],
        )?;
        dims.extend(rows);
        dims.extend(cols);
        Ok(f32_of(dims))
    }

    fn concat(&self, inputs: &[&TensorType], axis: u32) -> Result<TensorType, NumericsError> {
        self.arity(inputs, 1..=1 << 12, "1 to 4096")?;
        let mut out = inputs[0].clone();
        self.axis(&out, axis)?;
        let axis = axis as usize;
        for (i, input) in inputs.iter().enumerate().skip(1) {
            let alike = input.dtype == out.dtype
                && input.dims.len() == out.dims.len()
                && (0..out.dims.len()).all(|a| a == axis || input.dims[a] == out.dims[a]);
            if !alike {
                return Err(self.wrong(format!(
                    "input {i} {input} does not fit {} along axis {axis}",
                    inputs[0]
                )));
            }
            out.dims[axis] = out.dims[axis].saturating_add(input.dims[axis]);
        }
        Ok(out)
    }

    /// NumPy broadcasting.
    fn broadcast(&self, a: &[u64], b: &[u64]) -> Result<Vec<u64>, NumericsError> {
        let rank = a.len().max(b.len());
        let at = |dims: &[u64], i: usize| (i + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
        (0..rank)
            .map(|i| match (at(a, i), at(b, i)) {
                (x, y) if x == y || y == 1 => Ok(x),
                (1, y) => Ok(y),
                _ => Err(self.wrong(format!("{a:?} and {b:?} do not broadcast"))),
            })
            .collect()
    }
}

fn f32_of(dims: Vec<u64>) -> TensorType {
    TensorType::new(DType::F32, dims)
}

#[cfg(test)]
mod tests;
