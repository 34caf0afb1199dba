//! One ONNX operator becomes nodes of the canonical DAG.

use std::sync::LazyLock;

use gavel_numerics::{DType, Op, TensorType};

use super::attributes::Attributes;
use super::proto::NodeProto;
use super::{
    Importer, Value, attention, control, determinant, einsum, elementwise, indexing, known, losses,
    movement, optionals, pictures, plain, pools, quantized, random, recurrent, reductions, resize,
    sampling, signal, types, unsupported, windows,
};
use crate::{Constant, ModelError};

/// Values of the outputs of a node that does what `op` says; it has so many outputs.
type Lower = fn(&mut Lowering<'_, '_>, op: &str, outputs: usize) -> Result<Vec<Value>, ModelError>;

/// The operators by the modules that map them.
const MODULES: &[(&[&str], Lower)] = &[
    (attention::SUPPORTED, attention::lower),
    (control::SUPPORTED, control::lower),
    (determinant::SUPPORTED, |l, _, _| {
        Ok(vec![determinant::lower(l)?])
    }),
    (einsum::SUPPORTED, |l, _, _| einsum::lower(l)),
    (elementwise::SUPPORTED, |l, op, _| elementwise::lower(l, op)),
    (indexing::SUPPORTED, |l, op, _| indexing::lower(l, op)),
    (known::SUPPORTED, |l, op, _| known::lower(l, op)),
    (losses::SUPPORTED, |l, op, _| losses::lower(l, op)),
    (movement::SUPPORTED, movement::lower),
    (optionals::SUPPORTED, |l, op, _| {
        Ok(vec![optionals::lower(l, op)?])
    }),
    (pictures::SUPPORTED, |l, op, _| pictures::lower(l, op)),
    (plain::SUPPORTED, plain::lower),
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
    "Optional",
    "OptionalGetElement",
    "OptionalHasElement",
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
pub(super) struct Lowering<'a, 'p> {
    pub(super) importer: &'a mut Importer<'p>,
    pub(super) attributes: Attributes<'p>,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) label: &'a str,
    /// The type that results are rounded to, where the inputs were narrow floats.
    pub(super) narrow: Option<DType>,
}

/// The values of a node's outputs, of an operator of the standard.
pub(super) fn lower<'p>(
    importer: &mut Importer<'p>,
    node: &'p NodeProto,
    label: &str,
    inputs: &Inputs<'_>,
) -> Result<Vec<Value>, ModelError> {
    let op = node.op_type.as_str();
    let module = MODULES.iter().find(|(names, _)| names.contains(&op));
    let Some((_, lower)) = module else {
        return Err(unsupported(label, op.to_owned()));
    };
    let attributes = importer.attributes(node, label)?;
    let mut l = Lowering {
        importer,
        attributes,
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
    /// The type of narrow floats that an input has.
    fn narrow_float(&self) -> Option<DType> {
        let types = self.inputs.iter().flatten().map(|(_, v)| self.dtype(v));
        types.into_iter().find(|&dtype| types::is_narrow(dtype))
    }

    pub(super) fn fail(&self, reason: impl Into<String>) -> ModelError {
        self.attributes.fail(reason)
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
            Value::Constant(value) => value.ty().clone(),
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
        let constants: Vec<&Constant> = values
            .iter()
            .filter_map(|value| match value {
                Value::Constant(value) => Some(value),
                Value::Dynamic(_) => None,
            })
            .collect();
        if constants.len() == values.len()
            && let Some(found) = self.importer.folded(&op, &constants, &types)
        {
            return Ok(Value::Constant(found));
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
            Value::Constant(value) if value.is(own) => Some(*name),
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
            Value::Constant(value) => value
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
            Value::Constant(value) => value
                .tensor()
                .as_i64()
                .map(<[i64]>::to_vec)
                .ok_or_else(|| self.fail(format!("{what} must be int64, found {}", value.ty()))),
            Value::Dynamic(source) => Err(self.unbound(*source, what)),
        }
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
}
