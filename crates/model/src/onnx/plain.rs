//! Operators that are one of the table's, or another form of the same elements; constants.

use gavel_numerics::element::{Builder, Value as Word};
use gavel_numerics::{DType, Op, Reduction, Tensor};

use super::build::product;
use super::lower::Lowering;
use super::reductions::reduced;
use super::{Value, elementwise, functions, tensor, types};
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
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

/// Values of a node of this kind.
pub(super) fn lower(
    l: &mut Lowering<'_, '_>,
    op: &str,
    outputs: usize,
) -> Result<Vec<Value>, ModelError> {
    l.own(op, outputs)
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
                let default = if self.importer.names.opset < 4 {
                    1
                } else {
                    i64::MIN
                };
                let axis = self.axis(self.attributes.int("axis", default)?, rank)?;
                self.plain(Op::Concat { axis }, self.inputs.len())?
            }
            "Identity" => self.value(0)?,
            "Dropout" => return self.dropout(outputs),
            _ => self.constant()?,
        };
        Ok(vec![value])
    }

    /// Whether all inputs that are there are of f32.
    fn is_float(&self) -> bool {
        (0..self.inputs.len()).all(|i| self.ty(i).is_ok_and(|ty| ty.dtype == DType::F32))
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
            Some(Value::Constant(value)) => value.ty().elements() == Ok(1),
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
        let per_axis = self.importer.names.opset >= 13;
        let axis = self.axis(
            self.attributes.int("axis", if per_axis { -1 } else { 1 })?,
            rank,
        )?;
        if per_axis || axis as usize + 1 == rank {
            return match self.narrow {
                None => self.first_only(Op::Softmax { axis }),
                Some(narrow) => self.softmax_of_narrow(axis as usize, narrow),
            };
        }
        // before opset 13 the axes from `axis` on are one
        let split = axis as usize;
        let flat = vec![product(&ty.dims[..split]), product(&ty.dims[split..])];
        let rows = self.first_only(Op::Reshape { dims: flat })?;
        let soft = self.node(Op::Softmax { axis: 1 }, &[rows])?;
        self.reshape_to(&soft, ty.dims)
    }

    /// The standard's definition, an operator at a time: each result is rounded to the narrow type.
    fn softmax_of_narrow(&mut self, axis: usize, narrow: DType) -> Result<Value, ModelError> {
        let value = self.value(0)?;
        let largest = reduced(self, Reduction::Max, &value, &[axis])?;
        let rounded = |p: &mut Builder, x: Word| {
            let short = types::converted(p, x, DType::F32, narrow);
            types::converted(p, short, narrow, DType::F32)
        };
        let powers = self.floats(&[&value, &largest], |p, x| {
            let less = p.fsub(x[0], x[1]);
            let less = rounded(p, less);
            let power = functions::exp(p, less);
            rounded(p, power)
        })?;
        let sum = reduced(self, Reduction::Sum, &powers, &[axis])?;
        self.floats(&[&powers, &sum], |p, x| {
            let sum = rounded(p, x[1]);
            p.fdiv(x[0], sum)
        })
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
            Some(Value::Constant(mode)) if mode.tensor().raw(0) == Some(0) => {}
            Some(Value::Constant(_))
                if self.optional(1).is_some() && self.constant_floats(1, "the ratio")? == [0.0] => {
            }
            Some(Value::Dynamic(source)) => return Err(self.unbound(source, "training_mode")),
            Some(_) => {
                return Err(self.fail("training_mode must be absent or false, or the ratio 0"));
            }
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
        if let Some(proto) = self.attributes.tensor("value")? {
            return Ok(Value::Constant(self.importer.constant(proto)?));
        }
        let value = if let Some(proto) = self.attributes.sparse_tensor("sparse_value")? {
            self.importer.sparse(proto)?
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
                "it has no value of a supported kind (value, sparse_value, value_float(s), value_int(s))",
            ));
        };
        Ok(Value::Constant(value.into()))
    }
}
