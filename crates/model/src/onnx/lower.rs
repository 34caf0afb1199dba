//! One ONNX operator becomes nodes of the canonical DAG.

use std::sync::{Arc, LazyLock};

use gavel_numerics::{DType, Op, Tensor, TensorType};

use super::attributes::Attributes;
use super::proto::NodeProto;
use super::{Importer, Value, elementwise, movement, reductions, tensor, unsupported, windows};
use crate::ModelError;

/// What [`lower`] maps itself.
const SUPPORTED: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Div",
    "Dropout",
    "Exp",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// Every operator that is mapped, in alphabetical order.
pub(super) fn supported() -> &'static str {
    static ALL: LazyLock<String> = LazyLock::new(|| {
        let mut all = [
            SUPPORTED,
            elementwise::SUPPORTED,
            movement::SUPPORTED,
            reductions::SUPPORTED,
        ]
        .concat();
        all.sort_unstable();
        all.join(", ")
    });
    &ALL
}

pub(super) type Inputs<'a> = [Option<(&'a str, Value)>];

/// One node while it is lowered.
pub(super) struct Lowering<'a, 'b> {
    pub(super) importer: &'a mut Importer,
    pub(super) attributes: Attributes<'b>,
    pub(super) inputs: &'a Inputs<'b>,
    pub(super) label: &'b str,
}

pub(super) fn lower(
    importer: &mut Importer,
    node: &NodeProto,
    label: &str,
    inputs: &Inputs<'_>,
) -> Result<Vec<Value>, ModelError> {
    let mut l = Lowering {
        importer,
        attributes: Attributes::new(node, label),
        inputs,
        label,
    };
    let value = match node.op_type.as_str() {
        "Conv" => windows::conv(&mut l)?,
        "Gemm" => l.gemm()?,
        "MatMul" => l.plain(Op::MatMul, 2)?,
        "Add" if l.is_float() => l.plain(Op::Add, 2)?,
        "Sub" if l.is_float() => l.plain(Op::Sub, 2)?,
        "Mul" if l.is_float() => l.plain(Op::Mul, 2)?,
        "Div" if l.is_float() => l.plain(Op::Div, 2)?,
        "Relu" => l.plain(Op::Relu, 1)?,
        "Sigmoid" => l.plain(Op::Sigmoid, 1)?,
        "Tanh" => l.plain(Op::Tanh, 1)?,
        "Exp" => l.plain(Op::Exp, 1)?,
        "GlobalAveragePool" => l.plain(Op::GlobalAveragePool, 1)?,
        "GlobalMaxPool" => l.plain(Op::GlobalMaxPool, 1)?,
        "Clip" => l.clip()?,
        "Softmax" => l.softmax()?,
        "MaxPool" | "AveragePool" => windows::pool(&mut l, node.op_type == "MaxPool")?,
        "BatchNormalization" => l.batch_norm()?,
        "Flatten" => l.flatten()?,
        "Reshape" => l.reshape()?,
        "Squeeze" | "Unsqueeze" => l.squeeze(node.op_type == "Squeeze")?,
        "Transpose" => l.transpose()?,
        "Concat" => {
            let rank = l.ty(0)?.dims.len();
            let axis = l.axis(
                l.attributes
                    .int("axis", if l.importer.opset < 4 { 1 } else { i64::MIN })?,
                rank,
            )?;
            l.plain(Op::Concat { axis }, inputs.len())?
        }
        "Identity" => l.value(0)?,
        "Dropout" => l.dropout()?,
        "Constant" => l.constant()?,
        other => {
            let several = match elementwise::lower(&mut l, other)? {
                Some(value) => Some(vec![value]),
                None => match reductions::lower(&mut l, other)? {
                    Some(values) => Some(values),
                    None => movement::lower(&mut l, other, node.output.len())?,
                },
            };
            let several = several.ok_or_else(|| unsupported(label, other.to_owned()))?;
            l.attributes.finish()?;
            return Ok(several);
        }
    };
    l.attributes.finish()?;
    Ok(vec![value])
}

impl Lowering<'_, '_> {
    pub(super) fn fail(&self, reason: impl Into<String>) -> ModelError {
        self.attributes.fail(reason)
    }

    /// Whether all inputs that are there are of f32.
    fn is_float(&self) -> bool {
        (0..self.inputs.len()).all(|i| self.ty(i).is_ok_and(|ty| ty.dtype == DType::F32))
    }

    pub(super) fn optional(&self, i: usize) -> Option<Value> {
        self.inputs
            .get(i)
            .and_then(|v| v.as_ref())
            .map(|(_, v)| v.clone())
    }

    pub(super) fn value(&self, i: usize) -> Result<Value, ModelError> {
        self.optional(i)
            .ok_or_else(|| self.fail(format!("input {i} is missing")))
    }

    pub(super) fn ty(&self, i: usize) -> Result<TensorType, ModelError> {
        Ok(self.type_of(&self.value(i)?))
    }

    fn type_of(&self, value: &Value) -> TensorType {
        match value {
            Value::Constant(tensor) => tensor.ty().clone(),
            Value::Dynamic(source) => self.importer.type_of(*source).clone(),
        }
    }

    pub(super) fn dims(&self, value: &Value) -> Vec<u64> {
        self.type_of(value).dims
    }

    pub(super) fn dtype(&self, value: &Value) -> DType {
        self.type_of(value).dtype
    }

    /// A node on values. One of constants alone is computed, if that is little work.
    pub(super) fn node(&mut self, op: Op, values: &[Value]) -> Result<Value, ModelError> {
        let types: Vec<TensorType> = values.iter().map(|v| self.type_of(v)).collect();
        let types: Vec<&TensorType> = types.iter().collect();
        let constants: Vec<&Tensor> = values
            .iter()
            .filter_map(|value| match value {
                Value::Constant(tensor) => Some(tensor.as_ref()),
                Value::Dynamic(_) => None,
            })
            .collect();
        if constants.len() == values.len()
            && let Some(found) = self.importer.folding.fold(&op, &constants, &types)
        {
            return Ok(Value::Constant(Arc::new(found)));
        }
        let name = self.label.to_owned();
        let sources = values.iter().map(|v| self.importer.source(&name, v));
        let sources = sources.collect();
        let source = self.importer.push(name, op, sources, &types)?;
        Ok(Value::Dynamic(source))
    }

    /// A value under other extents.
    pub(super) fn reshape_to(
        &mut self,
        value: &Value,
        dims: Vec<u64>,
    ) -> Result<Value, ModelError> {
        if self.dims(value) == dims {
            return Ok(value.clone());
        }
        self.node(Op::Reshape { dims }, std::slice::from_ref(value))
    }

    /// Axis counted from the front.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<u32, ModelError> {
        let positive = if axis < 0 {
            axis.checked_add(rank as i64)
        } else {
            Some(axis)
        };
        positive
            .and_then(|a| u32::try_from(a).ok())
            .filter(|&a| (a as usize) < rank)
            .ok_or_else(|| {
                self.fail(format!(
                    "axis {axis} is outside the {rank} axes of its input"
                ))
            })
    }

    /// A constant list of integers.
    pub(super) fn constant_ints(&self, i: usize, what: &str) -> Result<Vec<i64>, ModelError> {
        self.ints_of(&self.value(i)?, what)
    }

    /// A constant number.
    pub(super) fn constant_float(&self, i: usize) -> Result<f32, ModelError> {
        match self.value(i)? {
            Value::Constant(tensor) => tensor
                .as_f32()
                .and_then(|values| values.first().copied())
                .ok_or_else(|| self.fail(format!("input {i} must be a float"))),
            Value::Dynamic(source) => Err(self.unbound(source, "a bound")),
        }
    }

    /// A value that must be known, and is not.
    pub(super) fn unbound(&self, source: crate::Source, what: &str) -> ModelError {
        match self.importer.input(source) {
            Some((name, ty)) => ModelError::Unbound {
                node: self.label.to_owned(),
                what: what.to_owned(),
                input: name.clone(),
                ty: ty.clone(),
            },
            None => self.fail(format!(
                "{what} must be a constant: shapes that depend on data are not supported"
            )),
        }
    }

    /// The integers of a constant.
    pub(super) fn ints_of(&self, value: &Value, what: &str) -> Result<Vec<i64>, ModelError> {
        match value {
            Value::Constant(tensor) => tensor
                .as_i64()
                .map(<[i64]>::to_vec)
                .ok_or_else(|| self.fail(format!("{what} must be int64, found {}", tensor.ty()))),
            Value::Dynamic(source) => Err(self.unbound(*source, what)),
        }
    }

    /// The operator applied to the first `count` inputs.
    fn plain(&mut self, op: Op, count: usize) -> Result<Value, ModelError> {
        let found = self.inputs.iter().filter(|i| i.is_some()).count();
        if found != count
            || self.inputs.len() > count && self.inputs[count..].iter().any(Option::is_some)
        {
            return Err(self.fail(format!("it takes {count} inputs, found {found}")));
        }
        self.apply(op, self.label.to_owned())
    }

    fn apply(&mut self, op: Op, name: String) -> Result<Value, ModelError> {
        self.apply_to(self.inputs.len(), op, name)
    }

    /// The operator applied to those of the first `count` inputs that are there.
    pub(super) fn apply_to(
        &mut self,
        count: usize,
        op: Op,
        name: String,
    ) -> Result<Value, ModelError> {
        let inputs = self.inputs.iter().take(count).flatten();
        let values: Vec<Value> = inputs.clone().map(|(_, value)| value.clone()).collect();
        if values.iter().all(|v| matches!(v, Value::Constant(_))) {
            return self.node(op, &values);
        }
        let sources: Vec<_> = inputs
            .map(|(name, value)| self.importer.source(name, value))
            .collect();
        let types: Vec<TensorType> = values.iter().map(|v| self.type_of(v)).collect();
        Ok(Value::Dynamic(self.importer.push(
            name,
            op,
            sources,
            &types.iter().collect::<Vec<_>>(),
        )?))
    }

    pub(super) fn small(&self, name: &str, ints: &[i64]) -> Result<Vec<u32>, ModelError> {
        ints.iter()
            .map(|&v| {
                u32::try_from(v).map_err(|_| {
                    self.fail(format!(
                        "{name} must be small and not negative, found {ints:?}"
                    ))
                })
            })
            .collect()
    }

    pub(super) fn some_inputs(
        &self,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<(), ModelError> {
        let found = self.inputs.iter().filter(|i| i.is_some()).count();
        // a gap would shift later inputs
        if range.contains(&found) && self.inputs[..found].iter().all(Option::is_some) {
            Ok(())
        } else {
            Err(self.fail(format!(
                "it takes {} to {} inputs, found {found}",
                range.start(),
                range.end()
            )))
        }
    }

    fn gemm(&mut self) -> Result<Value, ModelError> {
        let op = Op::Gemm {
            alpha_bits: self.attributes.float("alpha", 1.0)?.to_bits(),
            beta_bits: self.attributes.float("beta", 1.0)?.to_bits(),
            trans_a: self.attributes.flag("transA", false)?,
            trans_b: self.attributes.flag("transB", false)?,
        };
        self.some_inputs(2..=3)?;
        self.apply(op, self.label.to_owned())
    }

    fn clip(&mut self) -> Result<Value, ModelError> {
        let bound = |i: usize, name: &'static str, none: f32| -> Result<f32, ModelError> {
            if let Some(value) = self.attributes.optional_float(name)? {
                return Ok(value);
            }
            match self.optional(i) {
                None => Ok(none),
                Some(Value::Constant(t)) if t.len() == 1 => t
                    .as_f32()
                    .map(|v| v[0])
                    .ok_or_else(|| self.fail(format!("{name} must be float, found {}", t.ty()))),
                Some(_) => Err(self.fail(format!("{name} must be a constant scalar"))),
            }
        };
        let (min, max) = (
            bound(1, "min", f32::NEG_INFINITY)?,
            bound(2, "max", f32::INFINITY)?,
        );
        let canonical = |v: f32| gavel_numerics::scalar::canonical(v).to_bits();
        let op = Op::Clip {
            min_bits: canonical(min),
            max_bits: canonical(max),
        };
        self.first_only(op)
    }

    /// The operator applied to input 0 alone.
    fn first_only(&mut self, op: Op) -> Result<Value, ModelError> {
        let input = self
            .inputs
            .first()
            .cloned()
            .flatten()
            .ok_or_else(|| self.fail("input 0 is missing"))?;
        self.on(input.0, &input.1, op, self.label.to_owned())
    }

    fn on(
        &mut self,
        name: &str,
        value: &Value,
        op: Op,
        label: String,
    ) -> Result<Value, ModelError> {
        let source = self.importer.source(name, value);
        let ty = self.importer.type_of(source).clone();
        Ok(Value::Dynamic(self.importer.push(
            label,
            op,
            vec![source],
            &[&ty],
        )?))
    }

    fn softmax(&mut self) -> Result<Value, ModelError> {
        self.some_inputs(1..=1)?;
        let ty = self.ty(0)?;
        let rank = ty.dims.len();
        let per_axis = self.importer.opset >= 13;
        let axis = self.axis(
            self.attributes.int("axis", if per_axis { -1 } else { 1 })?,
            rank,
        )?;
        if per_axis || axis as usize + 1 == rank {
            return self.first_only(Op::Softmax { axis });
        }
        // before opset 13 the axes from `axis` on are one
        let split = axis as usize;
        let product = |dims: &[u64]| dims.iter().fold(1u64, |n, &d| n.saturating_mul(d));
        let flat = vec![product(&ty.dims[..split]), product(&ty.dims[split..])];
        let rows = self.first_only(Op::Reshape { dims: flat })?;
        let soft = self.on("", &rows, Op::Softmax { axis: 1 }, self.label.to_owned())?;
        self.on(
            "",
            &soft,
            Op::Reshape { dims: ty.dims },
            format!("{}/shape", self.label),
        )
    }

    fn batch_norm(&mut self) -> Result<Value, ModelError> {
        self.attributes.ignore(&["momentum"]);
        if self.attributes.flag("training_mode", false)? {
            return Err(self.fail("training_mode 1 is not supported: only inference is"));
        }
        if !self.attributes.flag("spatial", true)? {
            return Err(self.fail("spatial 0 is not supported"));
        }
        let epsilon_bits = self.attributes.float("epsilon", 1e-5)?.to_bits();
        self.plain(Op::BatchNorm { epsilon_bits }, 5)
    }

    /// Input 0 under other extents: at import for constants.
    fn reshaped(&mut self, dims: Vec<u64>) -> Result<Value, ModelError> {
        match self.value(0)? {
            Value::Constant(tensor) => {
                let tensor = Tensor::clone(&tensor)
                    .reshaped(dims)
                    .map_err(|e| self.fail(e.to_string()))?;
                Ok(Value::Constant(Arc::new(tensor)))
            }
            Value::Dynamic(_) => self.first_only(Op::Reshape { dims }),
        }
    }

    fn flatten(&mut self) -> Result<Value, ModelError> {
        self.some_inputs(1..=1)?;
        let ty = self.ty(0)?;
        let rank = ty.dims.len();
        let axis = self.attributes.int("axis", 1)?;
        // here the axis may also be the rank
        let split = if axis == rank as i64 {
            rank
        } else {
            self.axis(axis, rank)? as usize
        };
        let product = |dims: &[u64]| dims.iter().fold(1u64, |n, &d| n.saturating_mul(d));
        self.reshaped(vec![product(&ty.dims[..split]), product(&ty.dims[split..])])
    }

    fn reshape(&mut self) -> Result<Value, ModelError> {
        self.some_inputs(2..=2)?;
        let from = self.ty(0)?;
        let wanted = self.constant_ints(1, "the shape")?;
        let allow_zero = self.attributes.flag("allowzero", false)?;
        let elements = from.elements().map_err(|e| self.fail(e.to_string()))? as u64;
        let mut dims = Vec::with_capacity(wanted.len());
        let mut open = None;
        for (i, &want) in wanted.iter().enumerate() {
            dims.push(match want {
                -1 if open.is_none() => {
                    open = Some(i);
                    1
                }
                0 if !allow_zero => *from.dims.get(i).ok_or_else(|| {
                    self.fail(format!(
                        "shape {wanted:?} copies axis {i}, which {from} lacks"
                    ))
                })?,
                w if w >= 0 => w as u64,
                _ => {
                    return Err(self.fail(format!(
                        "shape {wanted:?} has more than one open or a negative extent"
                    )));
                }
            });
        }
        if let Some(i) = open {
            let known = dims.iter().fold(1u64, |n, &d| n.saturating_mul(d));
            if known == 0 || !elements.is_multiple_of(known) {
                return Err(self.fail(format!("{from} cannot become {wanted:?}")));
            }
            dims[i] = elements / known;
        }
        self.reshaped(dims)
    }

    fn squeeze(&mut self, squeeze: bool) -> Result<Value, ModelError> {
        let ty = self.ty(0)?;
        let axes = match self.attributes.ints("axes")? {
            Some(axes) => Some(axes.to_vec()),
            None if self.optional(1).is_some() => Some(self.constant_ints(1, "axes")?),
            None => None,
        };
        let dims = if squeeze {
            let rank = ty.dims.len();
            let drop: Vec<usize> = match axes {
                None => (0..rank).filter(|&a| ty.dims[a] == 1).collect(),
                Some(axes) => axes
                    .iter()
                    .map(|&a| Ok(self.axis(a, rank)? as usize))
                    .collect::<Result<_, ModelError>>()?,
            };
            if let Some(&bad) = drop.iter().find(|&&a| ty.dims[a] != 1) {
                return Err(self.fail(format!("axis {bad} of {ty} is not 1")));
            }
            (0..rank)
                .filter(|a| !drop.contains(a))
                .map(|a| ty.dims[a])
                .collect()
        } else {
            let axes = axes.ok_or_else(|| self.fail("axes are missing"))?;
            let rank = ty.dims.len() + axes.len();
            let add: Vec<usize> = axes
                .iter()
                .map(|&a| Ok(self.axis(a, rank)? as usize))
                .collect::<Result<_, ModelError>>()?;
            let mut old = ty.dims.iter();
            (0..rank)
                .map(|a| {
                    if add.contains(&a) {
                        1
                    } else {
                        old.next().copied().unwrap_or(1)
                    }
                })
                .collect::<Vec<_>>()
        };
        self.reshaped(dims)
    }

    fn transpose(&mut self) -> Result<Value, ModelError> {
        self.some_inputs(1..=1)?;
        let rank = self.ty(0)?.dims.len();
        let perm = match self.attributes.ints("perm")? {
            Some(ints) => self.small("perm", ints)?,
            None => (0..rank as u32).rev().collect(),
        };
        self.first_only(Op::Transpose { perm })
    }

    fn dropout(&mut self) -> Result<Value, ModelError> {
        self.attributes.ignore(&["ratio", "seed", "is_test"]);
        match self.optional(2) {
            None => self.value(0),
            Some(Value::Constant(mode)) if mode.raw(0) == Some(0) => self.value(0),
            Some(_) => Err(self.fail("training_mode must be absent or false")),
        }
    }

    fn constant(&mut self) -> Result<Value, ModelError> {
        let value = if let Some(proto) = self.attributes.tensor("value")? {
            tensor::tensor(proto)?
        } else if let Some(f) = self.attributes.optional_float("value_float")? {
            Tensor::f32(vec![], vec![f]).map_err(|e| self.fail(e.to_string()))?
        } else if let Some(i) = self.attributes.optional_int("value_int")? {
            Tensor::i64(vec![], vec![i]).map_err(|e| self.fail(e.to_string()))?
        } else if let Some(ints) = self.attributes.ints("value_ints")? {
            Tensor::i64(vec![ints.len() as u64], ints.to_vec())
                .map_err(|e| self.fail(e.to_string()))?
        } else if let Some(floats) = self.attributes.floats("value_floats")? {
            Tensor::f32(vec![floats.len() as u64], floats.to_vec())
                .map_err(|e| self.fail(e.to_string()))?
        } else {
            return Err(self.fail(
                "it has no value of a supported kind (value, value_float(s), value_int(s))",
            ));
        };
        Ok(Value::Constant(Arc::new(value)))
    }
}
