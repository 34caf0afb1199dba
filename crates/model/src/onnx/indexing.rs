//! ONNX operators that pick elements by their places, change them, or order them.

use gavel_numerics::{Combine, DType, Op, Reduction};

use super::Value;
use super::build::product;
use super::lower::Lowering;
use super::types;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "CumProd",
    "CumSum",
    "EyeLike",
    "GatherElements",
    "GatherND",
    "MaxUnpool",
    "OneHot",
    "ReverseSequence",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "TensorScatter",
    "TopK",
];

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    let value = match op {
        "CumProd" => accumulated(l, Reduction::Product)?,
        "CumSum" => accumulated(l, Reduction::Sum)?,
        "EyeLike" => eye(l)?,
        "GatherElements" => gather_elements(l)?,
        "GatherND" => gather_nd(l)?,
        "MaxUnpool" => max_unpool(l)?,
        "OneHot" => one_hot(l)?,
        "ReverseSequence" => reverse_sequence(l)?,
        "Scatter" | "ScatterElements" => scatter_elements(l)?,
        "ScatterND" => scatter_nd(l)?,
        "TensorScatter" => tensor_scatter(l)?,
        _ => return top_k(l),
    };
    Ok(vec![value])
}

/// Indices as i64, those below 0 counted from the end of an axis of `len`.
fn from_front(l: &mut Lowering<'_, '_>, indices: &Value, len: u64) -> Result<Value, ModelError> {
    if !types::is_integer(l.dtype(indices)) {
        return Err(l.fail(format!(
            "indices must be integers, found {:?}",
            l.dtype(indices)
        )));
    }
    let indices = l.cast(indices, DType::I64)?;
    l.map(&[indices], DType::I64, |p, x| {
        let (end, zero) = (p.wide(len), p.number(0));
        let (moved, negative) = (p.add(x[0], end), types::signed_less(p, x[0], zero));
        p.select(negative, moved, x[0])
    })
}

/// Flat places in a tensor of shape `dims`: on `axis` by the indices, on the others by the place in the indices' own shape.
fn places(
    l: &mut Lowering<'_, '_>,
    indices: &Value,
    dims: &[u64],
    axis: usize,
) -> Result<Value, ModelError> {
    let shape = l.dims(indices);
    let mut flat = from_front(l, indices, dims[axis])?;
    let stride = product(&dims[axis + 1..]);
    flat = l.map(&[flat], DType::I64, |p, x| {
        let stride = p.wide(stride);
        p.mul(x[0], stride)
    })?;
    for other in (0..dims.len()).filter(|&other| other != axis) {
        let stride = product(&dims[other + 1..]);
        let along = l.positions(&shape, other)?;
        flat = l.map(&[flat, along], DType::I64, |p, x| {
            let stride = p.wide(stride);
            let step = p.mul(x[1], stride);
            p.add(x[0], step)
        })?;
    }
    Ok(flat)
}

pub(super) fn flattened(l: &mut Lowering<'_, '_>, value: &Value) -> Result<Value, ModelError> {
    let elements = product(&l.dims(value));
    l.reshape_to(value, vec![elements])
}

pub(super) fn elements_at(
    l: &mut Lowering<'_, '_>,
    data: &Value,
    indices: &Value,
    axis: usize,
) -> Result<Value, ModelError> {
    let dims = l.dims(data);
    let (own, rank) = (l.dims(indices), dims.len());
    let beyond = (0..rank.min(own.len())).any(|a| a != axis && own[a] > dims[a]);
    if own.len() != rank || axis >= rank || beyond {
        return Err(l.fail(format!("indices {own:?} do not fit {dims:?}")));
    }
    let flat = places(l, indices, &dims, axis)?;
    let data = flattened(l, data)?;
    l.gather(&data, &flat, 0)
}

fn gather_elements(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=2)?;
    let (data, indices) = (l.value(0)?, l.value(1)?);
    let axis = l.axis(l.attributes.int("axis", 0)?, l.dims(&data).len())?;
    elements_at(l, &data, &indices, axis as usize)
}

/// The operator that a `reduction` names.
fn reduction(l: &Lowering<'_, '_>) -> Result<Combine, ModelError> {
    let name = l.attributes.text("reduction")?;
    Ok(match name.as_deref().unwrap_or("none") {
        "none" => Combine::Replace,
        "add" => Combine::Add,
        "mul" => Combine::Mul,
        "max" => Combine::Max,
        "min" => Combine::Min,
        other => return Err(l.fail(format!("reduction {other:?} is not known"))),
    })
}

/// Scatters rows of any type: what is computed with goes by way of i64.
fn scattered(
    l: &mut Lowering<'_, '_>,
    data: &Value,
    indices: &Value,
    updates: &Value,
    combine: Combine,
) -> Result<Value, ModelError> {
    let dtype = l.dtype(data);
    if l.dtype(updates) != dtype {
        return Err(l.fail("data and updates must have one element type"));
    }
    if combine == Combine::Replace || matches!(dtype, DType::F32 | DType::I64) {
        return l.scatter(data, indices, updates, combine);
    }
    if !types::is_integer(dtype) || dtype == DType::U64 {
        return Err(l.fail(format!("reductions of {dtype:?} are not supported")));
    }
    let (data, updates) = (l.cast(data, DType::I64)?, l.cast(updates, DType::I64)?);
    let found = l.scatter(&data, indices, &updates, combine)?;
    l.cast(&found, dtype)
}

fn scatter_elements(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(3..=3)?;
    let (data, indices, updates) = (l.value(0)?, l.value(1)?, l.value(2)?);
    let combine = reduction(l)?;
    let (dims, own) = (l.dims(&data), l.dims(&indices));
    let axis = l.axis(l.attributes.int("axis", 0)?, dims.len())? as usize;
    let beyond = (0..dims.len().min(own.len())).any(|a| a != axis && own[a] > dims[a]);
    if own.len() != dims.len() || own != l.dims(&updates) || beyond {
        return Err(l.fail(format!("indices {own:?} do not fit data and updates")));
    }
    let flat = places(l, &indices, &dims, axis)?;
    let (flat, updates) = (flattened(l, &flat)?, flattened(l, &updates)?);
    let data = flattened(l, &data)?;
    let found = scattered(l, &data, &flat, &updates, combine)?;
    l.reshape_to(&found, dims)
}

/// Flat places of rows: `indices [.., k]` name the first `k` axes of `dims`.
fn row_places(
    l: &mut Lowering<'_, '_>,
    indices: &Value,
    dims: &[u64],
) -> Result<(Value, usize), ModelError> {
    let own = l.dims(indices);
    let depth = own.last().copied().unwrap_or(0) as usize;
    let last = own.len().saturating_sub(1);
    if depth == 0 || depth > dims.len() {
        return Err(l.fail(format!("indices {own:?} do not name axes of {dims:?}")));
    }
    let mut flat: Option<Value> = None;
    for (axis, &extent) in dims[..depth].iter().enumerate() {
        let index = l.at(indices, last, axis as u64)?;
        let index = from_front(l, &index, extent)?;
        flat = Some(match flat {
            None => index,
            Some(flat) => l.map(&[flat, index], DType::I64, |p, x| {
                let extent = p.wide(extent);
                let row = p.mul(x[0], extent);
                p.add(row, x[1])
            })?,
        });
    }
    flat.map(|flat| (flat, depth))
        .ok_or_else(|| l.fail("its indices name no axis"))
}

fn gather_nd(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=2)?;
    let (data, indices) = (l.value(0)?, l.value(1)?);
    let batch = usize::try_from(l.attributes.int("batch_dims", 0)?).unwrap_or(usize::MAX);
    let (dims, own) = (l.dims(&data), l.dims(&indices));
    if batch >= own.len() || batch >= dims.len() || dims[..batch] != own[..batch] {
        return Err(l.fail(format!(
            "batch_dims {batch} do not fit {dims:?} and {own:?}"
        )));
    }
    let rest = &dims[batch..];
    let (mut flat, depth) = row_places(l, &indices, rest)?;
    let rows = product(&rest[..depth]);
    if batch > 0 {
        // rows of all batches behind each other
        let batches = product(&dims[..batch]);
        let shape = l.dims(&flat);
        let all = l.reshape_to(&flat, vec![batches, product(&shape[batch..])])?;
        let first = l.positions(&[batches, 1], 0)?;
        let moved = l.map(&[all, first], DType::I64, |p, x| {
            let rows = p.wide(rows);
            let offset = p.mul(x[1], rows);
            p.add(x[0], offset)
        })?;
        flat = l.reshape_to(&moved, shape)?;
    }
    let width = dims[batch + depth..].to_vec();
    let all = product(&dims[..batch]).saturating_mul(rows);
    let data = l.reshape_to(&data, [vec![all], width].concat())?;
    l.gather(&data, &flat, 0)
}

fn scatter_nd(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(3..=3)?;
    let (data, indices, updates) = (l.value(0)?, l.value(1)?, l.value(2)?);
    let combine = reduction(l)?;
    let dims = l.dims(&data);
    let (flat, depth) = row_places(l, &indices, &dims)?;
    let (rows, width) = (product(&dims[..depth]), product(&dims[depth..]));
    let count = product(&l.dims(&flat));
    let flat = l.reshape_to(&flat, vec![count])?;
    let rows = l.reshape_to(&data, vec![rows, width])?;
    let updates = l.reshape_to(&updates, vec![count, width])?;
    let found = scattered(l, &rows, &flat, &updates, combine)?;
    l.reshape_to(&found, dims)
}

/// A cache `[batch, .., rows, ..]` with an update's rows written from a place for each batch.
fn tensor_scatter(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (past, update) = (l.value(0)?, l.value(1)?);
    let (dims, own) = (l.dims(&past), l.dims(&update));
    let axis = l.axis(l.attributes.int("axis", -2)?, dims.len())? as usize;
    let mode = l.attributes.text("mode")?;
    let circular = match mode.as_deref().unwrap_or("linear") {
        "linear" => false,
        "circular" => true,
        other => return Err(l.fail(format!("mode {other:?} is not known"))),
    };
    if own.len() != dims.len()
        || axis == 0
        || (0..dims.len()).any(|a| a != axis && own[a] != dims[a])
    {
        return Err(l.fail(format!("an update {own:?} does not fit {dims:?}")));
    }
    let (batch, rows, count) = (dims[0], dims[axis], own[axis]);
    let start = match l.optional(2) {
        Some(start) => l.cast(&start, DType::I64)?,
        None => l.integers(&[batch], vec![0; batch as usize])?,
    };
    let between = product(&dims[1..axis]);
    let start = l.reshape_to(&start, vec![batch, 1, 1])?;
    let (first, middle, along) = (
        l.positions(&[batch, 1, 1], 0)?,
        l.positions(&[1, between, 1], 1)?,
        l.positions(&[1, 1, count], 2)?,
    );
    let flat = l.map(&[start, first, middle, along], DType::I64, |p, x| {
        let (rows, between) = (p.wide(rows), p.wide(between));
        let row = p.add(x[0], x[3]);
        // what lies beyond the end is written nowhere
        let turned = p.rem(row, rows);
        let inside = p.less(row, rows);
        let beyond = p.wide(1 << 62);
        let row = if circular {
            turned
        } else {
            p.select(inside, row, beyond)
        };
        let block = p.mul(x[1], between);
        let block = p.add(block, x[2]);
        let block = p.mul(block, rows);
        p.add(block, row)
    })?;
    let width = product(&dims[axis + 1..]);
    let flat = flattened(l, &flat)?;
    let data = l.reshape_to(&past, vec![batch * between * rows, width])?;
    let updates = l.reshape_to(&update, vec![batch * between * count, width])?;
    let found = scattered(l, &data, &flat, &updates, Combine::Replace)?;
    l.reshape_to(&found, dims)
}

/// Numbers as f32 or i64, in their order.
pub(super) fn comparable(l: &mut Lowering<'_, '_>, value: &Value) -> Result<Value, ModelError> {
    match l.dtype(value) {
        DType::F32 | DType::I64 => Ok(value.clone()),
        DType::U64 => l.map(std::slice::from_ref(value), DType::I64, |p, x| {
            let offset = p.wide(1 << 63);
            p.add(x[0], offset)
        }),
        dtype if types::is_integer(dtype) => l.cast(value, DType::I64),
        dtype => Err(l.fail(format!("it takes numbers, found {dtype:?}"))),
    }
}

fn top_k(l: &mut Lowering<'_, '_>) -> Result<Vec<Value>, ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let axis = l.axis(l.attributes.int("axis", -1)?, dims.len())?;
    let count = if l.importer.names.opset < 10 {
        l.attributes.int("k", 0)?
    } else {
        let count = l.constant_ints(1, "k")?;
        count.first().copied().unwrap_or(-1)
    };
    let count = u64::try_from(count).map_err(|_| l.fail(format!("k {count} is negative")))?;
    let largest = l.attributes.flag("largest", true)?;
    // in order is one of the orders that are allowed
    l.attributes.flag("sorted", true)?;
    let numbers = comparable(l, &value)?;
    let integers = l.dtype(&numbers) == DType::I64;
    let op = Op::TopK {
        axis,
        count,
        largest,
        integers,
    };
    let places = l.node(op, &[numbers])?;
    let values = elements_at(l, &value, &places, axis as usize)?;
    Ok(vec![values, places])
}

fn accumulated(l: &mut Lowering<'_, '_>, kind: Reduction) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let (dims, dtype) = (l.dims(&value), l.dtype(&value));
    let which = l.value(1)?;
    let which = match which {
        Value::Constant(_) => l.cast(&which, DType::I64)?,
        Value::Dynamic(source) => return Err(l.unbound(source, "the axis")),
    };
    let which = l.ints_of(&which, "the axis")?;
    let axis = l.axis(which.first().copied().unwrap_or(0), dims.len())? as usize;
    let exclusive = l.attributes.flag("exclusive", false)?;
    let reverse = l.attributes.flag("reverse", false)?;
    let mut found = match dtype {
        DType::F32 | DType::I64 => value,
        dtype if types::is_integer(dtype) => l.cast(&value, DType::I64)?,
        dtype => return Err(l.fail(format!("it takes numbers, found {dtype:?}"))),
    };
    if reverse {
        found = l.turned(&found, axis)?;
    }
    let integers = l.dtype(&found) == DType::I64;
    if exclusive && dims[axis] > 0 {
        // one place on; what comes in front changes nothing
        let mut axes = l.axes_of(&found);
        axes[axis].start = -1;
        let fill = match (kind, integers) {
            (Reduction::Product, true) => 1,
            (Reduction::Product, false) => 1f32.to_bits().into(),
            _ => 0,
        };
        found = l.node(Op::View { fill, axes }, &[found])?;
    }
    let op = Op::Accumulate {
        kind,
        axis: axis as u32,
        integers,
    };
    found = l.node(op, &[found])?;
    if reverse {
        found = l.turned(&found, axis)?;
    }
    l.cast(&found, dtype)
}

fn one_hot(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(3..=3)?;
    let (indices, values) = (l.value(0)?, l.value(2)?);
    let depth = l.constant_floats(1, "depth")?.first().copied();
    let depth = depth.filter(|d| (0.0..=16_777_216.0).contains(d));
    let depth = depth.ok_or_else(|| l.fail("depth is out of range"))? as u64;
    let own = l.dims(&indices);
    let axis = l.axis(l.attributes.int("axis", -1)?, own.len() + 1)? as usize;
    let indices = l.cast(&indices, DType::I64)?;
    let indices = from_front(l, &indices, depth)?;
    let indices = l.unsqueeze(&indices, axis)?;
    let mut dims = own;
    dims.insert(axis, depth);
    let along = l.positions(&dims, axis)?;
    let (off, on) = (l.at(&values, 0, 0)?, l.at(&values, 0, 1)?);
    let dtype = l.dtype(&values);
    l.map(&[indices, along, on, off], dtype, |p, x| {
        let here = p.equal(x[0], x[1]);
        p.select(here, x[2], x[3])
    })
}

fn eye(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let ty = l.ty(0)?;
    let [rows, columns] = ty.dims[..] else {
        return Err(l.fail("its input must be a matrix"));
    };
    l.made_up(rows.saturating_mul(columns))?;
    let k = l.attributes.int("k", 0)?;
    let dtype = match l.attributes.optional_int("dtype")? {
        None => ty.dtype,
        Some(number) => i32::try_from(number)
            .ok()
            .and_then(super::tensor::dtype)
            .ok_or_else(|| l.fail(format!("element type {number} is not supported")))?,
    };
    let places = (0..rows as i64).flat_map(|i| (0..columns as i64).map(move |j| (i, j)));
    let values: Vec<f32> = places
        .map(|(i, j)| f32::from(u8::from(j.checked_sub(i) == Some(k))))
        .collect();
    let value = l.numbers(&[rows, columns], values)?;
    l.cast(&value, dtype)
}

/// The first `n` of each row backwards, `n` by row.
fn reverse_sequence(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=2)?;
    let (value, lengths) = (l.value(0)?, l.value(1)?);
    let dims = l.dims(&value);
    let (time, batch) = (
        l.attributes.int("time_axis", 0)?,
        l.attributes.int("batch_axis", 1)?,
    );
    let (time, batch) = match (time, batch) {
        (0, 1) => (0, 1),
        (1, 0) => (1, 0),
        _ => return Err(l.fail("time_axis and batch_axis must be 0 and 1")),
    };
    if dims.len() < 2 {
        return Err(l.fail("its input must have two axes"));
    }
    let mut own = vec![1; dims.len()];
    own[batch] = dims[batch];
    let lengths = l.cast(&lengths, DType::I64)?;
    let lengths = l.reshape_to(&lengths, own)?;
    let along = l.positions(&dims, time)?;
    let order = l.map(&[along, lengths], DType::I64, |p, x| {
        let (inside, one) = (p.less(x[0], x[1]), p.number(1));
        let last = p.sub(x[1], one);
        let turned = p.sub(last, x[0]);
        p.select(inside, turned, x[0])
    })?;
    let order = l.expand_to(&order, &dims)?;
    elements_at(l, &value, &order, time)
}

/// Values at the places that a pooling has remembered, zeros elsewhere.
fn max_unpool(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (values, places) = (l.value(0)?, l.value(1)?);
    let dims = l.dims(&values);
    if dims.len() < 3 || l.dims(&places) != dims {
        return Err(l.fail("its inputs must have one shape, with spatial axes"));
    }
    let kernel = l.attributes.ints("kernel_shape")?.unwrap_or(&[]);
    let strides = l.attributes.ints("strides")?;
    let pads = l.attributes.ints("pads")?;
    let spatial = dims.len() - 2;
    let mut own = dims[..2].to_vec();
    for i in 0..spatial {
        let at = |ints: Option<&[i64]>, i: usize, default: i64| {
            ints.and_then(|ints| ints.get(i).copied())
                .unwrap_or(default)
        };
        let kernel = kernel.get(i).copied().unwrap_or(1);
        let padding = at(pads, i, 0).saturating_add(at(pads, i + spatial, 0));
        let extent = (dims[i + 2] as i64 - 1)
            .saturating_mul(at(strides, i, 1))
            .saturating_add(kernel)
            .saturating_sub(padding);
        own.push(u64::try_from(extent).map_err(|_| l.fail("its padding is too large"))?);
    }
    let shape = match l.optional(2) {
        None => own.clone(),
        Some(_) => {
            let shape = l.constant_ints(2, "the output's shape")?;
            shape
                .iter()
                .map(|&d| u64::try_from(d).map_err(|_| l.fail("a negative extent")))
                .collect::<Result<_, _>>()?
        }
    };
    // places are those of the smaller shape, which lies in a larger one's corner
    if shape.len() != own.len() || shape.iter().zip(&own).any(|(a, b)| a < b) {
        return Err(l.fail(format!("{own:?} does not fit into {shape:?}")));
    }
    let flat = l.cast(&places, DType::I64)?;
    let (flat, updates) = (flattened(l, &flat)?, flattened(l, &values)?);
    let zeros = l.zeros(l.dtype(&values), &[product(&own)])?;
    let found = scattered(l, &zeros, &flat, &updates, Combine::Replace)?;
    let found = l.reshape_to(&found, own)?;
    let mut axes = l.axes_of(&found);
    for (axis, &extent) in axes.iter_mut().zip(&shape) {
        axis.extent = extent;
    }
    l.view(&found, axes)
}
