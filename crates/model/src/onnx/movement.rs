//! ONNX operators that move elements or reduce an axis.

use std::sync::Arc;

use gavel_numerics::element::{Builder, Extra, Value as Word};
use gavel_numerics::{Beyond, DType, Op, Reduction, Tensor, ViewAxis};

use super::Value;
use super::functions as f;
use super::lower::Lowering;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "ArgMin",
    "ConstantOfShape",
    "DepthToSpace",
    "Expand",
    "Gather",
    "GroupNormalization",
    "Hardmax",
    "InstanceNormalization",
    "LayerNormalization",
    "LogSoftmax",
    "LpNormalization",
    "Pad",
    "RMSNormalization",
    "Range",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Shape",
    "Size",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Tile",
    "Trilu",
];

/// Values of a node of this kind; `None` where it is another kind.
pub(super) fn lower(
    l: &mut Lowering<'_, '_>,
    op: &str,
    outputs: usize,
) -> Result<Option<Vec<Value>>, ModelError> {
    let value = match op {
        "Slice" => slice(l)?,
        "Pad" => pad(l)?,
        "Expand" => expand(l)?,
        "Tile" => tile(l)?,
        "Split" => return split(l, outputs).map(Some),
        "Gather" => gather(l)?,
        "Shape" => shape(l)?,
        "Size" => size(l)?,
        "ConstantOfShape" => constant_of_shape(l)?,
        "DepthToSpace" | "SpaceToDepth" => depth_and_space(l, op == "DepthToSpace")?,
        "Trilu" => trilu(l)?,
        "ArgMin" => arg_min(l)?,
        "LogSoftmax" => log_softmax(l)?,
        "LayerNormalization" => return layer_norm(l).map(Some),
        "RMSNormalization" => rms_norm(l)?,
        "GroupNormalization" => group_norm(l)?,
        "LpNormalization" => lp_norm(l)?,
        "Hardmax" => hardmax(l)?,
        "Range" => range(l)?,
        "InstanceNormalization" => instance_norm(l)?,
        _ if op.starts_with("Reduce") && SUPPORTED.contains(&op) => reduce(l, op)?,
        _ => return Ok(None),
    };
    Ok(Some(vec![value]))
}

/// A program on values.
pub(super) fn mapped(
    l: &mut Lowering<'_, '_>,
    values: &[Value],
    dtype: DType,
    program: impl FnOnce(&mut Builder, &[Word]) -> Word,
) -> Result<Value, ModelError> {
    let mut p = Builder::new();
    let inputs: Vec<Word> = (0..values.len()).map(|i| p.load(i as u8)).collect();
    let element = program(&mut p, &inputs);
    let code = p.finish(element).map_err(|e| l.fail(e.to_string()))?;
    l.node(Op::Map { dtype, code }, values)
}

fn axes_of(l: &Lowering<'_, '_>, value: &Value) -> Vec<ViewAxis> {
    l.dims(value).iter().map(|&d| ViewAxis::whole(d)).collect()
}

fn view(l: &mut Lowering<'_, '_>, value: &Value, axes: Vec<ViewAxis>) -> Result<Value, ModelError> {
    l.node(Op::View { fill: 0, axes }, std::slice::from_ref(value))
}

fn slice(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let mut axes = axes_of(l, &value);
    let rank = axes.len();
    let (starts, ends, which, steps) = if l.importer.opset < 10 {
        let ints = |name| l.attributes.ints(name).map(|v| v.map(<[i64]>::to_vec));
        let missing = |name: &str| l.fail(format!("{name} are missing"));
        let starts = ints("starts")?.ok_or_else(|| missing("starts"))?;
        let ends = ints("ends")?.ok_or_else(|| missing("ends"))?;
        (starts, ends, ints("axes")?, None)
    } else {
        let optional = |i: usize, what: &str| match l.optional(i) {
            Some(_) => l.constant_ints(i, what).map(Some),
            None => Ok(None),
        };
        (
            l.constant_ints(1, "starts")?,
            l.constant_ints(2, "ends")?,
            optional(3, "axes")?,
            optional(4, "steps")?,
        )
    };
    let which = which.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || which.len() != starts.len() || steps.len() != starts.len() {
        return Err(l.fail("starts, ends, axes and steps must be of one length"));
    }
    for i in 0..starts.len() {
        let axis = l.axis(which[i], rank)? as usize;
        let len = i64::try_from(axes[axis].extent).unwrap_or(i64::MAX);
        let step = steps[i];
        if step == 0 {
            return Err(l.fail("a step of 0"));
        }
        // from the end where it is below zero, then into what the axis has
        let clamped = |at: i64, low: i64, high: i64| {
            let at = if at < 0 { at.saturating_add(len) } else { at };
            at.clamp(low, high)
        };
        let (start, end) = if step > 0 {
            (clamped(starts[i], 0, len), clamped(ends[i], 0, len))
        } else {
            (
                clamped(starts[i], -1, len - 1),
                clamped(ends[i], -1, len - 1),
            )
        };
        let reach = (end - start).checked_mul(step.signum()).unwrap_or(0);
        let extent = u64::try_from(reach)
            .unwrap_or(0)
            .div_ceil(step.unsigned_abs());
        axes[axis] = ViewAxis {
            extent,
            start,
            step: if extent > 1 { step } else { step.signum() },
            beyond: Beyond::Fill,
        };
    }
    view(l, &value, axes)
}

fn pad(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let ty = l.ty(0)?;
    let mut axes = axes_of(l, &value);
    let rank = axes.len();
    let mode = l
        .attributes
        .text("mode")?
        .unwrap_or_else(|| "constant".into());
    let (pads, which) = if l.importer.opset < 11 {
        let pads = l.attributes.ints("pads")?.map(<[i64]>::to_vec);
        (pads.ok_or_else(|| l.fail("pads are missing"))?, None)
    } else {
        let which = match l.optional(3) {
            Some(_) => Some(l.constant_ints(3, "axes")?),
            None => None,
        };
        (l.constant_ints(1, "pads")?, which)
    };
    let fill = match l.optional(2) {
        None => match l.importer.opset < 11 {
            true => u64::from(l.attributes.float("value", 0.0)?.to_bits()),
            false => 0,
        },
        Some(Value::Constant(t)) if t.len() == 1 && t.dtype() == ty.dtype => {
            t.raw(0).unwrap_or_default()
        }
        Some(_) => return Err(l.fail("the value must be a constant scalar of the input's type")),
    };
    let which = which.unwrap_or_else(|| (0..rank as i64).collect());
    if pads.len() != 2 * which.len() {
        return Err(l.fail(format!("{} pads for {} axes", pads.len(), which.len())));
    }
    let beyond = match mode.as_str() {
        "constant" => Beyond::Fill,
        "edge" => Beyond::Edge,
        "reflect" => Beyond::Reflect,
        "wrap" => Beyond::Wrap,
        other => return Err(l.fail(format!("mode {other:?} is not known"))),
    };
    for (i, &axis) in which.iter().enumerate() {
        let axis = l.axis(axis, rank)? as usize;
        let (before, behind) = (pads[i], pads[i + which.len()]);
        let len = axes[axis].extent as i64;
        let extent = len.checked_add(before).and_then(|n| n.checked_add(behind));
        let extent = extent
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| l.fail(format!("pads {before} and {behind} of an axis of {len}")))?;
        let period = match beyond {
            Beyond::Reflect => 2 * (len - 1),
            Beyond::Wrap => len,
            Beyond::Fill | Beyond::Edge => 0,
        };
        let start = before.checked_neg().map(|start| match period {
            0 => start,
            period => start.rem_euclid(period),
        });
        let start = match (start, beyond) {
            (Some(start), Beyond::Reflect) if len <= 1 => start.max(0),
            (Some(start), _) => start,
            (None, _) => return Err(l.fail("a pad that is out of range")),
        };
        axes[axis] = ViewAxis {
            extent,
            start,
            step: 1,
            beyond,
        };
    }
    l.node(Op::View { fill, axes }, &[value])
}

fn expand(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let wanted = l.constant_ints(1, "the shape")?;
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let rank = dims.len().max(wanted.len());
    let mut own = vec![1; rank - dims.len()];
    own.extend(dims);
    let value = l.reshape_to(&value, own.clone())?;
    let mut axes: Vec<ViewAxis> = own.iter().map(|&d| ViewAxis::whole(d)).collect();
    let lead = rank - wanted.len();
    for (axis, &want) in wanted.iter().enumerate() {
        let (own, want) = (own[lead + axis], u64::try_from(want).unwrap_or(0));
        if want != own && want != 1 {
            if own != 1 {
                return Err(l.fail(format!("{own} does not broadcast to {want}")));
            }
            axes[lead + axis] = ViewAxis {
                extent: want,
                start: 0,
                step: 0,
                beyond: Beyond::Fill,
            };
        }
    }
    view(l, &value, axes)
}

fn tile(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let repeats = l.constant_ints(1, "repeats")?;
    let value = l.value(0)?;
    let mut axes = axes_of(l, &value);
    if repeats.len() != axes.len() {
        return Err(l.fail("repeats must have a number for each axis"));
    }
    for (axis, &times) in axes.iter_mut().zip(&repeats) {
        let times = u64::try_from(times).map_err(|_| l.fail("a negative number of repeats"))?;
        axis.extent = axis.extent.saturating_mul(times);
        axis.beyond = Beyond::Wrap;
    }
    view(l, &value, axes)
}

fn split(l: &mut Lowering<'_, '_>, outputs: usize) -> Result<Vec<Value>, ModelError> {
    let value = l.value(0)?;
    let whole = axes_of(l, &value);
    let axis = l.axis(l.attributes.int("axis", 0)?, whole.len())? as usize;
    let len = whole[axis].extent;
    let count = l.attributes.optional_int("num_outputs")?;
    let sizes = match (l.attributes.ints("split")?, l.optional(1)) {
        (Some(sizes), _) => sizes.to_vec(),
        (None, Some(_)) => l.constant_ints(1, "split")?,
        (None, None) => {
            let parts = count.unwrap_or(outputs as i64).max(1) as u64;
            let size = len.div_ceil(parts);
            let at = |i: u64| (i * size).min(len);
            (0..parts).map(|i| (at(i + 1) - at(i)) as i64).collect()
        }
    };
    let total = sizes.iter().try_fold(0i64, |n, &size| n.checked_add(size));
    if total != i64::try_from(len).ok() || sizes.iter().any(|&size| size < 0) {
        return Err(l.fail(format!("{sizes:?} are no parts of an axis of {len}")));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for size in sizes {
        let mut axes = whole.clone();
        axes[axis] = ViewAxis {
            extent: size as u64,
            start,
            ..ViewAxis::whole(0)
        };
        start += size;
        parts.push(view(l, &value, axes)?);
    }
    Ok(parts)
}

fn gather(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (data, indices) = (l.value(0)?, l.value(1)?);
    let axis = l.axis(l.attributes.int("axis", 0)?, l.dims(&data).len())?;
    let indices = as_i64(l, &indices)?;
    l.node(Op::Gather { axis }, &[data, indices])
}

/// Integers of any type as i64.
fn as_i64(l: &mut Lowering<'_, '_>, value: &Value) -> Result<Value, ModelError> {
    let bits = match l.dtype(value) {
        DType::I64 => return Ok(value.clone()),
        DType::I32 => 32,
        DType::I8 => 8,
        DType::U8 => 0,
        found => return Err(l.fail(format!("integers were expected, found {found:?}"))),
    };
    mapped(
        l,
        std::slice::from_ref(value),
        DType::I64,
        |p, x| match bits {
            0 => x[0],
            bits => p.sign_extend(x[0], bits),
        },
    )
}

fn constant(
    l: &Lowering<'_, '_>,
    tensor: Result<Tensor, gavel_numerics::NumericsError>,
) -> Result<Value, ModelError> {
    let tensor = tensor.map_err(|e| l.fail(e.to_string()))?;
    Ok(Value::Constant(Arc::new(tensor)))
}

fn shape(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let dims: Vec<i64> = l.ty(0)?.dims.iter().map(|&d| d as i64).collect();
    let rank = dims.len() as i64;
    let bound = |at: i64| {
        let at = if at < 0 { at.saturating_add(rank) } else { at };
        at.clamp(0, rank) as usize
    };
    let start = bound(l.attributes.int("start", 0)?);
    let end = bound(l.attributes.int("end", rank)?);
    let found = dims.get(start..end).unwrap_or_default().to_vec();
    constant(l, Tensor::i64([found.len() as u64], found))
}

fn size(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let elements = l.ty(0)?.elements().map_err(|e| l.fail(e.to_string()))?;
    constant(l, Tensor::i64([], vec![elements as i64]))
}

fn constant_of_shape(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let wanted = l.constant_ints(0, "the shape")?;
    let value = match l.attributes.tensor("value")? {
        Some(proto) => super::tensor::tensor(proto),
        None => Ok(Tensor::f32([1], vec![0.0]).map_err(|e| l.fail(e.to_string()))?),
    }?;
    if value.len() != 1 {
        return Err(l.fail("its value must have one element"));
    }
    let mut axes = Vec::with_capacity(wanted.len());
    for want in wanted {
        let extent = u64::try_from(want).map_err(|_| l.fail("a negative extent"))?;
        axes.push(ViewAxis {
            extent,
            start: 0,
            step: 0,
            beyond: Beyond::Fill,
        });
    }
    let value = value.reshaped(vec![1; axes.len()]);
    let value = constant(l, value)?;
    view(l, &value, axes)
}

fn depth_and_space(l: &mut Lowering<'_, '_>, to_space: bool) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let [n, c, h, w] =
        <[u64; 4]>::try_from(l.dims(&value)).map_err(|_| l.fail("its input must have 4 axes"))?;
    let b = u64::try_from(l.attributes.int("blocksize", 0)?).unwrap_or(0);
    let fits = if to_space {
        b > 0 && c.is_multiple_of(b.saturating_mul(b))
    } else {
        b > 0 && h.is_multiple_of(b) && w.is_multiple_of(b)
    };
    if !fits {
        return Err(l.fail(format!("blocks of {b} do not fit {:?}", [n, c, h, w])));
    }
    let (split, perm, merged) = if !to_space {
        let (h, w) = (h / b, w / b);
        let merged = vec![n, c * b * b, h, w];
        (vec![n, c, h, b, w, b], vec![0, 3, 5, 1, 2, 4], merged)
    } else {
        let (c, mode) = (c / (b * b), l.attributes.text("mode")?);
        let merged = vec![n, c, h * b, w * b];
        match mode.as_deref().unwrap_or("DCR") {
            "DCR" => (vec![n, b, b, c, h, w], vec![0, 3, 4, 1, 5, 2], merged),
            "CRD" => (vec![n, c, b, b, h, w], vec![0, 1, 4, 2, 5, 3], merged),
            other => return Err(l.fail(format!("mode {other:?} is not known"))),
        }
    };
    let value = l.reshape_to(&value, split)?;
    let value = l.node(Op::Transpose { perm }, &[value])?;
    l.reshape_to(&value, merged)
}

fn trilu(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let (dims, dtype) = (l.dims(&value), l.dtype(&value));
    let upper = l.attributes.flag("upper", true)?;
    let k = match l.optional(1) {
        Some(_) => l.constant_ints(1, "k")?.first().copied().unwrap_or(0),
        None => 0,
    };
    let [.., rows, columns] = dims[..] else {
        return Err(l.fail("its input must be matrices"));
    };
    if rows.saturating_mul(columns) > 1 << 24 {
        return Err(l.fail(format!("matrices of {rows}x{columns} are too large")));
    }
    let kept = |i: u64, j: u64| {
        let diagonal = i128::from(j) - i128::from(i);
        match upper {
            true => diagonal >= i128::from(k),
            false => diagonal <= i128::from(k),
        }
    };
    let mask: Vec<u64> = (0..rows)
        .flat_map(|i| (0..columns).map(move |j| (i, j)))
        .map(|(i, j)| kept(i, j).into())
        .collect();
    let ty = gavel_numerics::TensorType::new(DType::Bool, [rows, columns]);
    let mask = constant(l, Tensor::from_raw(ty, &mask))?;
    mapped(l, &[value, mask], dtype, |p, x| {
        let zero = p.number(0);
        p.select(x[1], x[0], zero)
    })
}

/// The axes of a reduction in order: attribute, or input 1.
fn reduced_axes(l: &Lowering<'_, '_>, rank: usize) -> Result<Vec<usize>, ModelError> {
    let axes = match (l.attributes.ints("axes")?, l.optional(1)) {
        (Some(axes), _) => axes.to_vec(),
        (None, Some(_)) => l.constant_ints(1, "axes")?,
        (None, None) => Vec::new(),
    };
    let nothing = l.attributes.flag("noop_with_empty_axes", false)?;
    if axes.is_empty() {
        return Ok(if nothing {
            Vec::new()
        } else {
            (0..rank).collect()
        });
    }
    let mut found = Vec::with_capacity(axes.len());
    for axis in axes {
        found.push(l.axis(axis, rank)? as usize);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// One element for all along `axes`, which keep extent 1.
fn reduced(
    l: &mut Lowering<'_, '_>,
    kind: Reduction,
    value: &Value,
    axes: &[usize],
) -> Result<Value, ModelError> {
    let dims = l.dims(value);
    let integers = l.dtype(value) == DType::I64;
    let mut out = dims.clone();
    axes.iter().for_each(|&axis| out[axis] = 1);
    if axes.is_empty() {
        return Ok(value.clone());
    }
    // the axes beside each other, then as one
    let kept: Vec<usize> = (0..dims.len()).filter(|a| !axes.contains(a)).collect();
    let consecutive = axes.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let (value, before) = if consecutive {
        (value.clone(), axes[0])
    } else {
        let perm: Vec<u32> = kept.iter().chain(axes).map(|&a| a as u32).collect();
        let moved = l.node(Op::Transpose { perm }, std::slice::from_ref(value))?;
        (moved, kept.len())
    };
    let product = |axes: &mut dyn Iterator<Item = u64>| axes.fold(1u64, |n, d| n.saturating_mul(d));
    let along = product(&mut axes.iter().map(|&a| dims[a]));
    let outer = product(&mut kept.iter().take(before).map(|&a| dims[a]));
    let inner = product(&mut kept.iter().skip(before).map(|&a| dims[a]));
    let value = l.reshape_to(&value, vec![outer, along, inner])?;
    let op = Op::Reduce {
        kind,
        axis: 1,
        integers,
    };
    let value = l.node(op, &[value])?;
    l.reshape_to(&value, out)
}

fn without(dims: &[u64], axes: &[usize]) -> Vec<u64> {
    let kept = (0..dims.len()).filter(|a| !axes.contains(a));
    kept.map(|a| dims[a]).collect()
}

fn number_of(dims: &[u64], axes: &[usize]) -> f32 {
    axes.iter().fold(1u64, |n, &a| n.saturating_mul(dims[a])) as f32
}

fn reduce(l: &mut Lowering<'_, '_>, op: &str) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let (dims, dtype) = (l.dims(&value), l.dtype(&value));
    let axes = reduced_axes(l, dims.len())?;
    let keep = l.attributes.flag("keepdims", true)?;
    // integers and bools by way of i64
    let of_floats = dtype == DType::F32;
    if !of_floats && !["ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"].contains(&op) {
        return Err(l.fail(format!("it takes float, found {dtype:?}")));
    }
    let value = match dtype {
        DType::F32 | DType::I64 => value,
        DType::Bool => mapped(l, &[value], DType::I64, |_, x| x[0])?,
        _ => as_i64(l, &value)?,
    };
    let one = std::slice::from_ref;
    let value = match op {
        "ReduceL1" => mapped(l, one(&value), DType::F32, |p, x| f::abs(p, x[0]))?,
        "ReduceL2" | "ReduceSumSquare" => {
            mapped(l, one(&value), DType::F32, |p, x| p.fmul(x[0], x[0]))?
        }
        _ => value,
    };
    let found = match op {
        "ReduceMax" => reduced(l, Reduction::Max, &value, &axes)?,
        "ReduceMin" => reduced(l, Reduction::Min, &value, &axes)?,
        "ReduceProd" => reduced(l, Reduction::Product, &value, &axes)?,
        "ReduceLogSumExp" => {
            let max = reduced(l, Reduction::Max, &value, &axes)?;
            let powers = mapped(l, &[value, max.clone()], DType::F32, |p, x| {
                let shift = finite(p, x[1]);
                let less = p.fsub(x[0], shift);
                p.function(Extra::Exp, less)
            })?;
            let sum = reduced(l, Reduction::Sum, &powers, &axes)?;
            mapped(l, &[sum, max], DType::F32, |p, x| {
                let (log, shift) = (p.function(Extra::Log, x[0]), finite(p, x[1]));
                p.fadd(log, shift)
            })?
        }
        _ => reduced(l, Reduction::Sum, &value, &axes)?,
    };
    let found = match op {
        "ReduceMean" => {
            let count = number_of(&dims, &axes);
            mapped(l, &[found], DType::F32, |p, x| {
                let count = p.float(count);
                p.fdiv(x[0], count)
            })?
        }
        "ReduceL2" => mapped(l, &[found], DType::F32, |p, x| p.fsqrt(x[0]))?,
        "ReduceLogSum" => mapped(l, &[found], DType::F32, |p, x| p.function(Extra::Log, x[0]))?,
        _ => found,
    };
    let found = match dtype {
        DType::F32 | DType::I64 => found,
        dtype => mapped(l, &[found], dtype, |_, x| x[0])?,
    };
    match keep {
        true => Ok(found),
        false => l.reshape_to(&found, without(&dims, &axes)),
    }
}

/// A number, and 0 where it is infinite: the exponents' shift.
fn finite(p: &mut Builder, x: Word) -> Word {
    let (magnitude, infinity, zero) = (f::abs(p, x), p.float(f32::INFINITY), p.float(0.0));
    let infinite = p.equal(magnitude, infinity);
    p.select(infinite, zero, x)
}

fn arg_min(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    if l.attributes.flag("select_last_index", false)? {
        return Err(l.fail("select_last_index 1 is not supported: ties take the lowest index"));
    }
    let value = l.value(0)?;
    let keepdims = l.attributes.flag("keepdims", true)?;
    let axis = l.axis(l.attributes.int("axis", 0)?, l.dims(&value).len())?;
    if l.dtype(&value) != DType::F32 {
        return Err(l.fail("it takes float"));
    }
    let negative = mapped(l, &[value], DType::F32, |p, x| f::negate(p, x[0]))?;
    l.node(Op::ArgMax { axis, keepdims }, &[negative])
}

fn log_softmax(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let per_axis = l.importer.opset >= 13;
    let axis = l.attributes.int("axis", if per_axis { -1 } else { 1 })?;
    let axis = l.axis(axis, dims.len())? as usize;
    let axes: Vec<usize> = if per_axis {
        vec![axis]
    } else {
        (axis..dims.len()).collect()
    };
    let max = reduced(l, Reduction::Max, &value, &axes)?;
    let less = mapped(l, &[value, max], DType::F32, |p, x| p.fsub(x[0], x[1]))?;
    let powers = mapped(l, std::slice::from_ref(&less), DType::F32, |p, x| {
        p.function(Extra::Exp, x[0])
    })?;
    let sum = reduced(l, Reduction::Sum, &powers, &axes)?;
    mapped(l, &[less, sum], DType::F32, |p, x| {
        let log = p.function(Extra::Log, x[1]);
        p.fsub(x[0], log)
    })
}

/// What a normalisation over axes is made of.
struct Normal {
    /// `(x - mean) / sqrt(variance + epsilon)`
    value: Value,
    mean: Value,
    /// `1 / sqrt(variance + epsilon)`
    inverse: Value,
}

/// The mean over `axes`, which keep extent 1.
fn mean(l: &mut Lowering<'_, '_>, value: &Value, axes: &[usize]) -> Result<Value, ModelError> {
    let count = number_of(&l.dims(value), axes);
    let sum = reduced(l, Reduction::Sum, value, axes)?;
    mapped(l, &[sum], DType::F32, |p, x| {
        let count = p.float(count);
        p.fdiv(x[0], count)
    })
}

fn squares(l: &mut Lowering<'_, '_>, value: &Value) -> Result<Value, ModelError> {
    mapped(l, std::slice::from_ref(value), DType::F32, |p, x| {
        p.fmul(x[0], x[0])
    })
}

/// `1 / sqrt(x + epsilon)`
fn inverse_root(l: &mut Lowering<'_, '_>, x: Value, epsilon: f32) -> Result<Value, ModelError> {
    mapped(l, &[x], DType::F32, |p, x| {
        let (epsilon, one) = (p.float(epsilon), p.float(1.0));
        let sum = p.fadd(x[0], epsilon);
        let root = p.fsqrt(sum);
        p.fdiv(one, root)
    })
}

fn product(l: &mut Lowering<'_, '_>, a: Value, b: Value) -> Result<Value, ModelError> {
    mapped(l, &[a, b], DType::F32, |p, x| p.fmul(x[0], x[1]))
}

fn normalised(
    l: &mut Lowering<'_, '_>,
    value: &Value,
    axes: &[usize],
    epsilon: f32,
) -> Result<Normal, ModelError> {
    let centre = mean(l, value, axes)?;
    let centred = mapped(l, &[value.clone(), centre.clone()], DType::F32, |p, x| {
        p.fsub(x[0], x[1])
    })?;
    let squares = squares(l, &centred)?;
    let variance = mean(l, &squares, axes)?;
    let inverse = inverse_root(l, variance, epsilon)?;
    Ok(Normal {
        value: product(l, centred, inverse.clone())?,
        mean: centre,
        inverse,
    })
}

/// A normal value scaled and shifted.
fn scaled(
    l: &mut Lowering<'_, '_>,
    normal: Value,
    scale: Value,
    bias: Option<Value>,
) -> Result<Value, ModelError> {
    match bias {
        Some(bias) => mapped(l, &[normal, scale, bias], DType::F32, |p, x| {
            p.fma(x[0], x[1], x[2])
        }),
        None => product(l, normal, scale),
    }
}

/// The axes from the attribute `axis` on, and epsilon.
fn last_axes(l: &Lowering<'_, '_>, rank: usize) -> Result<(Vec<usize>, f32), ModelError> {
    let axis = l.axis(l.attributes.int("axis", -1)?, rank)? as usize;
    let epsilon = l.attributes.float("epsilon", 1e-5)?;
    // the precision that numbers are computed in; there is one
    let _ = l.attributes.int("stash_type", 1)?;
    Ok(((axis..rank).collect(), epsilon))
}

fn layer_norm(l: &mut Lowering<'_, '_>) -> Result<Vec<Value>, ModelError> {
    let value = l.value(0)?;
    let (axes, epsilon) = last_axes(l, l.dims(&value).len())?;
    let normal = normalised(l, &value, &axes, epsilon)?;
    let (scale, bias) = (l.value(1)?, l.optional(2));
    let found = scaled(l, normal.value, scale, bias)?;
    Ok(vec![found, normal.mean, normal.inverse])
}

fn rms_norm(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let (axes, epsilon) = last_axes(l, l.dims(&value).len())?;
    let squares = squares(l, &value)?;
    let square = mean(l, &squares, &axes)?;
    let inverse = inverse_root(l, square, epsilon)?;
    let normal = product(l, value, inverse)?;
    let scale = l.value(1)?;
    product(l, normal, scale)
}

/// Channels in groups, normalised over each group and everything behind.
fn group_norm(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let epsilon = l.attributes.float("epsilon", 1e-5)?;
    let _ = l.attributes.int("stash_type", 1)?;
    let groups = u64::try_from(l.attributes.int("num_groups", 0)?).unwrap_or(0);
    let [n, channels, rest @ ..] = dims.as_slice() else {
        return Err(l.fail("its input must have channels"));
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(l.fail(format!("{groups} groups of {channels} channels")));
    }
    let inner = rest
        .iter()
        .fold(channels / groups, |n, &d| n.saturating_mul(d));
    let grouped = l.reshape_to(&value, vec![*n, groups, inner])?;
    let normal = normalised(l, &grouped, &[2], epsilon)?;
    let normal = l.reshape_to(&normal.value, dims.clone())?;
    let per_channel = l.importer.opset >= 21;
    let (scale, bias) = (l.value(1)?, l.value(2)?);
    if !per_channel {
        return Err(l.fail("before opset 21, scales are of groups: not supported"));
    }
    let mut own = vec![1; dims.len() - 1];
    own[0] = *channels;
    let scale = l.reshape_to(&scale, own.clone())?;
    let bias = l.reshape_to(&bias, own)?;
    scaled(l, normal, scale, Some(bias))
}

/// `x / norm`, and 0 where the norm is.
fn lp_norm(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let axis = l.axis(l.attributes.int("axis", -1)?, l.dims(&value).len())? as usize;
    let p = l.attributes.int("p", 2)?;
    let parts = match p {
        1 => mapped(l, std::slice::from_ref(&value), DType::F32, |p, x| {
            f::abs(p, x[0])
        })?,
        2 => squares(l, &value)?,
        other => return Err(l.fail(format!("p must be 1 or 2, found {other}"))),
    };
    let sum = reduced(l, Reduction::Sum, &parts, &[axis])?;
    mapped(l, &[value, sum], DType::F32, |b, x| {
        let norm = if p == 2 { b.fsqrt(x[1]) } else { x[1] };
        let (found, zero) = (b.fdiv(x[0], norm), b.float(0.0));
        let none = b.equal(norm, zero);
        b.select(none, zero, found)
    })
}

/// Positions along an axis as a constant that broadcasts.
fn positions(l: &Lowering<'_, '_>, dims: &[u64], axis: usize) -> Result<Value, ModelError> {
    if dims[axis] > 1 << 24 {
        return Err(l.fail(format!("an axis of {} is too large", dims[axis])));
    }
    let mut own = vec![1; dims.len()];
    own[axis] = dims[axis];
    constant(l, Tensor::i64(own, (0..dims[axis] as i64).collect()))
}

/// 1 where the first largest is.
fn hardmax(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let per_axis = l.importer.opset >= 13;
    let axis = l.attributes.int("axis", if per_axis { -1 } else { 1 })?;
    let axis = l.axis(axis, dims.len())?;
    if !per_axis && axis as usize + 1 != dims.len() {
        return Err(l.fail("before opset 13, axes before the last are not supported"));
    }
    let op = Op::ArgMax {
        axis,
        keepdims: true,
    };
    let found = l.node(op, &[value])?;
    let place = positions(l, &dims, axis as usize)?;
    mapped(l, &[place, found], DType::F32, |p, x| {
        let (one, zero) = (p.float(1.0), p.float(0.0));
        let here = p.equal(x[0], x[1]);
        p.select(here, one, zero)
    })
}

/// `start + i * delta` of constants.
fn range(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let dtype = l.ty(0)?.dtype;
    let count = |n: f64| (n.is_finite() && (0.0..=16_777_216.0).contains(&n)).then_some(n as u64);
    if dtype == DType::F32 {
        let mut numbers = [0.0f32; 3];
        for (i, number) in numbers.iter_mut().enumerate() {
            *number = l.constant_float(i)?;
        }
        let [start, limit, delta] = numbers;
        let n = ((f64::from(limit) - f64::from(start)) / f64::from(delta)).ceil();
        let n = count(n.max(0.0)).ok_or_else(|| l.fail("its length is out of range"))?;
        let values = (0..n).map(|i| start + i as f32 * delta).collect();
        return constant(l, Tensor::f32([n], values));
    }
    let mut numbers = [0i64; 3];
    for (i, number) in numbers.iter_mut().enumerate() {
        let value = l.value(i)?;
        if let Value::Dynamic(source) = value {
            return Err(l.unbound(source, "a bound"));
        }
        let value = as_i64(l, &value)?;
        *number = l
            .ints_of(&value, "start, limit and delta")?
            .first()
            .copied()
            .unwrap_or(0);
    }
    let [start, limit, delta] = numbers;
    if delta == 0 {
        return Err(l.fail("a delta of 0"));
    }
    let n = ((limit as f64 - start as f64) / delta as f64)
        .ceil()
        .max(0.0);
    let n = count(n).ok_or_else(|| l.fail("its length is out of range"))?;
    let at = |i: u64| start.wrapping_add(delta.wrapping_mul(i as i64));
    let found = constant(l, Tensor::i64([n], (0..n).map(at).collect()))?;
    match dtype {
        DType::I64 => Ok(found),
        dtype => mapped(l, &[found], dtype, |_, x| x[0]),
    }
}

fn instance_norm(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let epsilon = l.attributes.float("epsilon", 1e-5)?;
    let axes: Vec<usize> = (2..dims.len()).collect();
    let normal = normalised(l, &value, &axes, epsilon)?.value;
    let channels = dims.get(1).copied().unwrap_or(1);
    let mut own = vec![1; dims.len().saturating_sub(1)];
    if let Some(first) = own.first_mut() {
        *first = channels;
    }
    let (scale, bias) = (l.value(1)?, l.value(2)?);
    let scale = l.reshape_to(&scale, own.clone())?;
    let bias = l.reshape_to(&bias, own)?;
    scaled(l, normal, scale, Some(bias))
}
