//! What lowerings are built from: short ways to write a node.

use gavel_numerics::element::{Builder, Value as Word};
use gavel_numerics::{Beyond, Combine, DType, NumericsError, Op, Tensor, TensorType, ViewAxis};

use super::lower::Lowering;
use super::{Value, types};
use crate::ModelError;

/// Elements of constants that the importer makes up: positions, masks, tables.
const MADE_UP: u64 = 1 << 24;

pub(super) fn product(dims: &[u64]) -> u64 {
    dims.iter().fold(1, |n, &d| n.saturating_mul(d))
}

impl Lowering<'_, '_> {
    /// A program on values that broadcast.
    pub(super) fn map(
        &mut self,
        values: &[Value],
        dtype: DType,
        program: impl FnOnce(&mut Builder, &[Word]) -> Word,
    ) -> Result<Value, ModelError> {
        let mut p = Builder::new();
        let inputs: Vec<Word> = (0..values.len()).map(|i| p.load(i as u8)).collect();
        let element = program(&mut p, &inputs);
        let code = p.finish(element).map_err(|e| self.fail(e.to_string()))?;
        self.node(Op::Map { dtype, code }, values)
    }

    /// A program from numbers to numbers.
    pub(super) fn floats(
        &mut self,
        values: &[&Value],
        program: impl FnOnce(&mut Builder, &[Word]) -> Word,
    ) -> Result<Value, ModelError> {
        let values: Vec<Value> = values.iter().map(|&v| v.clone()).collect();
        self.map(&values, DType::F32, program)
    }

    pub(super) fn add(&mut self, a: &Value, b: &Value) -> Result<Value, ModelError> {
        self.node(Op::Add, &[a.clone(), b.clone()])
    }

    pub(super) fn mul(&mut self, a: &Value, b: &Value) -> Result<Value, ModelError> {
        self.node(Op::Mul, &[a.clone(), b.clone()])
    }

    pub(super) fn matmul(&mut self, a: &Value, b: &Value) -> Result<Value, ModelError> {
        self.node(Op::MatMul, &[a.clone(), b.clone()])
    }

    /// Elements as another type.
    pub(super) fn cast(&mut self, value: &Value, to: DType) -> Result<Value, ModelError> {
        let from = self.dtype(value);
        if from == to {
            return Ok(value.clone());
        }
        self.map(std::slice::from_ref(value), to, |p, x| {
            let word = types::loaded(p, x[0], from);
            types::converted(p, word, from, to)
        })
    }

    /// Refuses bfloat16 where several roundings make the result: the standard's own tests ask for each of them, in an order that it does
    /// not give.
    pub(super) fn no_bf16(&self) -> Result<(), ModelError> {
        match self.narrow {
            Some(DType::BF16) => {
                Err(self.fail("bfloat16 is not supported; cast its inputs to float"))
            }
            _ => Ok(()),
        }
    }

    /// `condition ? yes : no`, by a bool.
    pub(super) fn select(
        &mut self,
        condition: &Value,
        yes: &Value,
        no: &Value,
    ) -> Result<Value, ModelError> {
        let dtype = self.dtype(yes);
        let values = [condition.clone(), yes.clone(), no.clone()];
        self.map(&values, dtype, |p, x| p.select(x[0], x[1], x[2]))
    }

    pub(super) fn constant_of(
        &self,
        tensor: Result<Tensor, NumericsError>,
    ) -> Result<Value, ModelError> {
        let tensor = tensor.map_err(|e| self.fail(e.to_string()))?;
        let bytes = (tensor.len() * tensor.dtype().size()) as u64;
        if !self.importer.folding.takes(bytes) {
            return Err(
                self.fail("the tables that the file's operators need are too large together")
            );
        }
        Ok(Value::Constant(tensor.into()))
    }

    /// A constant of integers.
    pub(super) fn integers(&self, dims: &[u64], values: Vec<i64>) -> Result<Value, ModelError> {
        self.constant_of(Tensor::i64(dims, values))
    }

    /// A constant of numbers.
    pub(super) fn numbers(&self, dims: &[u64], values: Vec<f32>) -> Result<Value, ModelError> {
        self.constant_of(Tensor::f32(dims, values))
    }

    /// A constant bool.
    pub(super) fn condition(&self, dims: &[u64], values: &[bool]) -> Result<Value, ModelError> {
        let raw: Vec<u64> = values.iter().map(|&v| v.into()).collect();
        self.constant_of(Tensor::from_raw(TensorType::new(DType::Bool, dims), &raw))
    }

    /// One element again and again.
    pub(super) fn filled(&mut self, value: &Value, dims: &[u64]) -> Result<Value, ModelError> {
        let value = self.reshape_to(value, vec![1; dims.len()])?;
        self.expand_to(&value, dims)
    }

    /// Zeros of a type.
    pub(super) fn zeros(&mut self, dtype: DType, dims: &[u64]) -> Result<Value, ModelError> {
        let zero = self.constant_of(Tensor::from_raw(TensorType::new(dtype, []), &[0]))?;
        self.filled(&zero, dims)
    }

    /// Axes of extent 1 repeated; there are as many axes as `dims` has.
    pub(super) fn expand_to(&mut self, value: &Value, dims: &[u64]) -> Result<Value, ModelError> {
        let own = self.dims(value);
        if own == dims {
            return Ok(value.clone());
        }
        let axes = own.iter().zip(dims).map(|(&own, &extent)| ViewAxis {
            extent,
            start: 0,
            step: i64::from(own == extent),
            beyond: Beyond::Fill,
        });
        let axes = axes.collect();
        self.view(value, axes)
    }

    pub(super) fn view(&mut self, value: &Value, axes: Vec<ViewAxis>) -> Result<Value, ModelError> {
        self.node(Op::View { fill: 0, axes }, std::slice::from_ref(value))
    }

    /// Each axis as it is.
    pub(super) fn axes_of(&self, value: &Value) -> Vec<ViewAxis> {
        self.dims(value)
            .iter()
            .map(|&d| ViewAxis::whole(d))
            .collect()
    }

    /// `extent` elements of an axis from `start`; what lies beyond its ends is 0.
    pub(super) fn part(
        &mut self,
        value: &Value,
        axis: usize,
        start: i64,
        extent: u64,
    ) -> Result<Value, ModelError> {
        let mut axes = self.axes_of(value);
        let whole = axes.get_mut(axis).ok_or_else(|| {
            self.attributes
                .fail(format!("its input has no axis {axis}"))
        })?;
        if (start, extent) == (0, whole.extent) {
            return Ok(value.clone());
        }
        *whole = ViewAxis {
            extent,
            start,
            ..ViewAxis::whole(0)
        };
        self.view(value, axes)
    }

    /// Element `at` of an axis, which goes away.
    pub(super) fn at(&mut self, value: &Value, axis: usize, at: u64) -> Result<Value, ModelError> {
        let part = self.part(value, axis, at as i64, 1)?;
        let mut dims = self.dims(&part);
        dims.remove(axis);
        self.reshape_to(&part, dims)
    }

    /// An axis backwards.
    pub(super) fn turned(&mut self, value: &Value, axis: usize) -> Result<Value, ModelError> {
        let mut axes = self.axes_of(value);
        if let Some(axis) = axes.get_mut(axis) {
            (axis.start, axis.step) = (axis.extent as i64 - 1, -1);
        }
        self.view(value, axes)
    }

    pub(super) fn concat(&mut self, values: &[Value], axis: usize) -> Result<Value, ModelError> {
        match values {
            [one] => Ok(one.clone()),
            many => self.node(Op::Concat { axis: axis as u32 }, many),
        }
    }

    /// Values beside each other along a new axis.
    pub(super) fn stack(&mut self, values: &[Value], axis: usize) -> Result<Value, ModelError> {
        let mut rows = Vec::with_capacity(values.len());
        for value in values {
            rows.push(self.unsqueeze(value, axis)?);
        }
        self.concat(&rows, axis)
    }

    /// A new axis of extent 1.
    pub(super) fn unsqueeze(&mut self, value: &Value, axis: usize) -> Result<Value, ModelError> {
        let mut dims = self.dims(value);
        if axis > dims.len() {
            return Err(self.fail(format!("axis {axis} is outside its input")));
        }
        dims.insert(axis, 1);
        self.reshape_to(value, dims)
    }

    pub(super) fn permuted(&mut self, value: &Value, perm: &[usize]) -> Result<Value, ModelError> {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return Ok(value.clone());
        }
        let perm = perm.iter().map(|&p| p as u32).collect();
        self.node(Op::Transpose { perm }, std::slice::from_ref(value))
    }

    /// The last two axes in the other order.
    pub(super) fn transposed(&mut self, value: &Value) -> Result<Value, ModelError> {
        let rank = self.dims(value).len();
        let mut perm: Vec<usize> = (0..rank).collect();
        if rank < 2 {
            return Err(self.fail("a matrix was expected"));
        }
        perm.swap(rank - 2, rank - 1);
        self.permuted(value, &perm)
    }

    pub(super) fn gather(
        &mut self,
        data: &Value,
        indices: &Value,
        axis: usize,
    ) -> Result<Value, ModelError> {
        let op = Op::Gather { axis: axis as u32 };
        self.node(op, &[data.clone(), indices.clone()])
    }

    pub(super) fn scatter(
        &mut self,
        data: &Value,
        indices: &Value,
        updates: &Value,
        combine: Combine,
    ) -> Result<Value, ModelError> {
        let integers = combine != Combine::Replace && self.dtype(data) == DType::I64;
        let op = Op::Scatter { combine, integers };
        self.node(op, &[data.clone(), indices.clone(), updates.clone()])
    }

    /// Positions along axis `axis` of `dims`, as a constant that broadcasts over the others.
    pub(super) fn positions(&self, dims: &[u64], axis: usize) -> Result<Value, ModelError> {
        let len = dims.get(axis).copied().unwrap_or(1);
        self.made_up(len)?;
        let mut own = vec![1; dims.len()];
        if let Some(extent) = own.get_mut(axis) {
            *extent = len;
        }
        self.integers(&own, (0..len as i64).collect())
    }

    /// Whether a constant of so many elements may be made up.
    pub(super) fn made_up(&self, elements: u64) -> Result<(), ModelError> {
        if elements <= MADE_UP {
            return Ok(());
        }
        Err(self.fail(format!(
            "it takes a table of {elements} elements; at most {MADE_UP} are made"
        )))
    }

    /// A value's constant, if it is one.
    pub(super) fn known(&self, value: &Value) -> Option<std::sync::Arc<Tensor>> {
        match value {
            Value::Constant(value) => Some(value.tensor()),
            Value::Dynamic(_) => None,
        }
    }

    /// Input `i` as a constant of f32, whatever its type.
    pub(super) fn constant_floats(&mut self, i: usize, what: &str) -> Result<Vec<f32>, ModelError> {
        let value = self.value(i)?;
        if let Value::Dynamic(source) = value {
            return Err(self.unbound(source, what));
        }
        let value = self.cast(&value, DType::F32)?;
        let tensor = self.known(&value);
        let floats = tensor.as_deref().and_then(Tensor::as_f32);
        let floats = floats.ok_or_else(|| self.fail(format!("{what} must be numbers")))?;
        Ok(floats.to_vec())
    }
}
