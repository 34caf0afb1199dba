//! One ONNX operator becomes nodes of the canonical DAG.

use std::sync::{Arc, LazyLock};

use gavel_numerics::{DType, Op, Tensor, TensorType};

use super::attributes::Attributes;
use super::build::product;
use super::proto::NodeProto;
use super::{
    Importer, Value, attention, control, einsum, elementwise, indexing, losses, movement, pictures,
    pools, quantized, random, recurrent, reductions, resize, sampling, signal, tensor, types,
    unsupported, windows,
};
use crate::ModelError;

/// What [`Lowering::own`] maps.
const OWN: &[&str] = &[
    "Add",
    "BatchNormalization",
    "BitCast",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Dropout",
    "Exp",
    "Flatten",
    "Gemm",
    "Identity",
    "MatMul",
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

/// Values of the outputs of a node that does what `op` says; it has so many outputs.
type Lower = fn(&mut Lowering<'_, '_>, op: &str, outputs: usize) -> Result<Vec<Value>, ModelError>;

/// The operators by the modules that map them.
const MODULES: &[(&[&str], Lower)] = &[
    (OWN, |l, op, outputs| l.own(op, outputs)),
    (attention::SUPPORTED, attention::lower),
    (control::SUPPORTED, control::lower),
    (einsum::SUPPORTED, |l, _, _| einsum::lower(l)),
    (elementwise::SUPPORTED, |l, op, _| elementwise::lower(l, op)),
    (indexing::SUPPORTED, |l, op, _| indexing::lower(l, op)),
    (losses::SUPPORTED, |l, op, _| losses::lower(l, op)),
    (movement::SUPPORTED, movement::lower),
    (pictures::SUPPORTED, |l, op, _| pictures::lower(l, op)),
    (pools::SUPPORTED, pools::lower),
    (quantized::SUPPORTED, |l, op, _| quantized::lower(l, op)),
    (random::SUPPORTED, |l, op, _| random::lower(l, op)),
    (recurrent::SUPPORTED, |l, op, _| recurrent::lower(l, op)),
    (reductions::SUPPORTED, |l, op, _| reductions::lower(l, op)),
    (resize::SUPPORTED, |l, op, _| resize::lower(l, op)),
    (sampling::SUPPORTED, |l, op, _| sampling::lower(l, op)),
    (signal::SUPPORTED, |l, op, _| signal::lower(l, op)),
    (windows::SUPPORTED, |l, op, _| windows::lower(l, op)),
];

/// Operators that take narrow floats as they are: the others compute with them as f32 and round what they give.
const OF_ANY_FLOAT: &[&str] = &[
    "Bernoulli",
    "BitCast",
    "Cast",
    "CastLike",
    "Compress",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "DepthToSpace",
    "Dropout",
    "Expand",
    "EyeLike",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "If",
    "Loop",
    "Multinomial",
    "NonZero",
    "Pad",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Range",
    "Reshape",
    "ReverseSequence",
    "Scan",
    "Shape",
    "Size",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "Where",
];

/// Every operator that is mapped, in alphabetical order.
pub(super) fn supported() -> &'static str {
    static ALL: LazyLock<String> = LazyLock::new(|| names().join(", "));
    &ALL
}

/// Their names.
pub(super) fn names() -> Vec<&'static str> {
    let mut all: Vec<&str> = MODULES
        .iter()
        .flat_map(|(names, _)| names.iter().copied())
        .collect();
    all.sort_unstable();
    all
}

pub(super) type Inputs<'a> = [Option<(&'a str, Value)>];

/// One node while it is lowered.
pub(super) struct Lowering<'a, 'b> {
    pub(super) importer: &'a mut Importer,
    pub(super) attributes: Attributes<'b>,
    pub(super) inputs: &'a Inputs<'b>,
    pub(super) label: &'b str,
    /// The type that results are rounded to, where the inputs were narrow floats.
    pub(super) narrow: Option<DType>,
}

pub(super) fn lower(
    importer: &mut Importer,
    node: &NodeProto,
    label: &str,
    inputs: &Inputs<'_>,
) -> Result<Vec<Value>, ModelError> {
    let op = node.op_type.as_str();
    let module = MODULES.iter().find(|(names, _)| names.contains(&op));
    let Some((_, lower)) = module else {
        return Err(unsupported(label, op.to_owned()));
    };
    let mut l = Lowering {
        importer,
        attributes: Attributes::new(node, label),
        inputs,
        label,
        narrow: None,
    };
    let narrow = l.narrow_float().filter(|_| !OF_ANY_FLOAT.contains(&op));
    let Some(narrow) = narrow else {
        let values = lower(&mut l, op, node.output.len())?;
        l.attributes.finish()?;
        return Ok(values);
    };
    let mut wide = Vec::with_capacity(inputs.len());
    for input in inputs {
        wide.push(match input {
            Some((name, value)) if types::is_narrow(l.dtype(value)) => {
                Some((*name, l.cast(value, DType::F32)?))
            }
            other => other.clone(),
        });
    }
    let mut l = Lowering {
        importer: l.importer,
        attributes: l.attributes,
        inputs: &wide,
        label,
        narrow: Some(narrow),
    };
    let values = lower(&mut l, op, node.output.len())?;
    l.attributes.finish()?;
    values
        .iter()
        .enumerate()
        .map(|(i, value)| match l.dtype(value) {
            // mean and deviation are of the type that was computed in
            DType::F32 if !(op == "LayerNormalization" && i > 0) => l.cast(value, narrow),
            _ => Ok(value.clone()),
        })
        .collect()
}

impl Lowering<'_, '_> {
    /// The operators that are mapped here.
    fn own(&mut self, op: &str, outputs: usize) -> Result<Vec<Value>, ModelError> {
        let value = match op {
            "Gemm" => self.gemm()?,
            "MatMul" => self.plain(Op::MatMul, 2)?,
            "Add" if self.is_float() => self.plain(Op::Add, 2)?,
            "Sub" if self.is_float() => self.plain(Op::Sub, 2)?,
            "Mul" if self.is_float() => self.plain(Op::Mul, 2)?,
            "Div" if self.is_float() => self.plain(Op::Div, 2)?,
            "Add" | "Sub" | "Mul" | "Div" => return elementwise::lower(self, op),
            "Relu" if self.is_float() => self.plain(Op::Relu, 1)?,
            "Relu" => {
                let zero = self.integers(&[], vec![0])?;
                let zero = self.cast(&zero, self.ty(0)?.dtype)?;
                elementwise::extreme(self, &self.value(0)?, &zero, false)?
            }
            "Sigmoid" => self.plain(Op::Sigmoid, 1)?,
            "Tanh" => self.plain(Op::Tanh, 1)?,
            "Exp" => self.plain(Op::Exp, 1)?,
            "Clip" => self.clip()?,
            "Softmax" => self.softmax()?,
            "BatchNormalization" => self.batch_norm()?,
            "BitCast" => self.bit_cast()?,
            "Flatten" => self.flatten()?,
            "Reshape" => self.reshape()?,
            "Squeeze" | "Unsqueeze" => self.squeeze(op == "Squeeze")?,
            "Transpose" => self.transpose()?,
            "Concat" => {
                let rank = self.ty(0)?.dims.len();
                let default = if self.importer.opset < 4 { 1 } else { i64::MIN };
                let axis = self.axis(self.attributes.int("axis", default)?, rank)?;
                self.plain(Op::Concat { axis }, self.inputs.len())?
            }
            "Identity" => self.value(0)?,
            "Dropout" => return self.dropout(outputs),
            _ => self.constant()?,
        };
        Ok(vec![value])
    }

    /// The type of narrow floats that an input has.
    fn narrow_float(&self) -> Option<DType> {
        let types = self.inputs.iter().flatten().map(|(_, v)| self.dtype(v));
        types.into_iter().find(|&dtype| types::is_narrow(dtype))
    }

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
        let named: Vec<(String, &Value)> = values
            .iter()
            .map(|v| (self.name_of(v).unwrap_or(&name).to_owned(), v))
            .collect();
        let sources = named.iter().map(|(name, v)| self.importer.source(name, v));
        let sources = sources.collect();
        let source = self.importer.push(name, op, sources, &types)?;
        Ok(Value::Dynamic(source))
    }

    /// The name of the input that a constant is.
    fn name_of(&self, value: &Value) -> Option<&str> {
        let Value::Constant(own) = value else {
            return None;
        };
        let mut inputs = self.inputs.iter().flatten();
        inputs.find_map(|(name, input)| match input {
            Value::Constant(tensor) if Arc::ptr_eq(tensor, own) => Some(*name),
            _ => None,
        })
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

    /// A value that must be known, and is not: what it is computed from may be given.
    pub(super) fn unbound(&self, source: crate::Source, what: &str) -> ModelError {
        match self.importer.input_behind(source) {
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

    /// By constants with an operator of its own, by values as the lesser of the larger.
    fn clip(&mut self) -> Result<Value, ModelError> {
        let float = self.ty(0)?.dtype == DType::F32;
        let known = |i: usize| match self.optional(i) {
            None => true,
            Some(Value::Constant(tensor)) => tensor.len() == 1,
            Some(Value::Dynamic(_)) => false,
        };
        if !(float && known(1) && known(2)) {
            let mut found = self.value(0)?;
            for (i, least) in [(1, false), (2, true)] {
                if let Some(bound) = self.optional(i) {
                    found = elementwise::extreme(self, &found, &bound, least)?;
                }
            }
            return Ok(found);
        }
        let bound = |i: usize, name: &'static str, none: f32| -> Result<f32, ModelError> {
            if let Some(value) = self.attributes.optional_float(name)? {
                return Ok(value);
            }
            match self.optional(i) {
                None => Ok(none),
                Some(_) => self.constant_float(i),
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

    /// The same bits as another type of the same size.
    fn bit_cast(&mut self) -> Result<Value, ModelError> {
        let value = self.value(0)?;
        let number = self.attributes.int("to", 0)?;
        let to = i32::try_from(number).ok().and_then(tensor::dtype);
        let to = to.ok_or_else(|| self.fail(format!("element type {number} is not supported")))?;
        let from = self.dtype(&value);
        if from.size() != to.size() || to == DType::Bool {
            return Err(self.fail(format!("{from:?} and {to:?} do not have the same bits")));
        }
        self.map(&[value], to, |_, x| x[0])
    }

    /// The operator applied to input 0 alone.
    fn first_only(&mut self, op: Op) -> Result<Value, ModelError> {
        let value = self.value(0)?;
        self.node(op, &[value])
    }

    fn softmax(&mut self) -> Result<Value, ModelError> {
        self.no_bf16()?;
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
        let flat = vec![product(&ty.dims[..split]), product(&ty.dims[split..])];
        let rows = self.first_only(Op::Reshape { dims: flat })?;
        let soft = self.node(Op::Softmax { axis: 1 }, &[rows])?;
        self.reshape_to(&soft, ty.dims)
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
        self.first_only(Op::Reshape {
            dims: vec![product(&ty.dims[..split]), product(&ty.dims[split..])],
        })
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
        self.first_only(Op::Reshape { dims })
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
        self.first_only(Op::Reshape { dims })
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

    fn dropout(&mut self, outputs: usize) -> Result<Vec<Value>, ModelError> {
        self.attributes.ignore(&["ratio", "seed", "is_test"]);
        match self.optional(2) {
            None => {}
            Some(Value::Constant(mode)) if mode.raw(0) == Some(0) => {}
            Some(Value::Dynamic(source)) => return Err(self.unbound(source, "training_mode")),
            Some(_) => return Err(self.fail("training_mode must be absent or false")),
        }
        // nothing is dropped
        let value = self.value(0)?;
        if outputs < 2 {
            return Ok(vec![value]);
        }
        let kept = self.condition(&[], &[true])?;
        let dims = self.dims(&value);
        let mask = self.filled(&kept, &dims)?;
        Ok(vec![value, mask])
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
