//! ONNX operators that reduce axes, and normalisations.

use gavel_numerics::element::{Builder, Extra, Value as Word};
use gavel_numerics::{DType, Op, Reduction};

use super::Value;
use super::functions as f;
use super::indexing::comparable;
use super::lower::Lowering;
use super::movement::as_i64;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "GroupNormalization",
    "Hardmax",
    "InstanceNormalization",
    "LayerNormalization",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "RMSNormalization",
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
];

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    let value = match op {
        "ArgMax" | "ArgMin" => arg_extreme(l, op == "ArgMin")?,
        "Hardmax" => hardmax(l)?,
        "LogSoftmax" => log_softmax(l)?,
        "LayerNormalization" => return layer_norm(l),
        "MeanVarianceNormalization" => mean_variance(l)?,
        "RMSNormalization" => rms_norm(l)?,
        "GroupNormalization" => group_norm(l)?,
        "InstanceNormalization" => instance_norm(l)?,
        "LpNormalization" => lp_norm(l)?,
        _ => reduce(l, op)?,
    };
    Ok(vec![value])
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
pub(super) fn reduced(
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
        DType::Bool => l.map(&[value], DType::I64, |_, x| x[0])?,
        _ => as_i64(l, &value)?,
    };
    let one = std::slice::from_ref;
    let value = match op {
        "ReduceL1" => l.map(one(&value), DType::F32, |p, x| f::abs(p, x[0]))?,
        "ReduceL2" | "ReduceSumSquare" => {
            l.map(one(&value), DType::F32, |p, x| p.fmul(x[0], x[0]))?
        }
        _ => value,
    };
    let found = match op {
        "ReduceMax" => reduced(l, Reduction::Max, &value, &axes)?,
        "ReduceMin" => reduced(l, Reduction::Min, &value, &axes)?,
        "ReduceProd" => reduced(l, Reduction::Product, &value, &axes)?,
        "ReduceLogSumExp" => {
            let max = reduced(l, Reduction::Max, &value, &axes)?;
            let powers = l.map(&[value, max.clone()], DType::F32, |p, x| {
                let shift = finite(p, x[1]);
                let less = p.fsub(x[0], shift);
                p.function(Extra::Exp, less)
            })?;
            let sum = reduced(l, Reduction::Sum, &powers, &axes)?;
            l.map(&[sum, max], DType::F32, |p, x| {
                let (log, shift) = (p.function(Extra::Log, x[0]), finite(p, x[1]));
                p.fadd(log, shift)
            })?
        }
        _ => reduced(l, Reduction::Sum, &value, &axes)?,
    };
    let found = match op {
        "ReduceMean" => {
            let count = number_of(&dims, &axes);
            l.map(&[found], DType::F32, |p, x| {
                let count = p.float(count);
                p.fdiv(x[0], count)
            })?
        }
        "ReduceL2" => l.map(&[found], DType::F32, |p, x| p.fsqrt(x[0]))?,
        "ReduceLogSum" => l.map(&[found], DType::F32, |p, x| p.function(Extra::Log, x[0]))?,
        _ => found,
    };
    let found = match dtype {
        DType::F32 | DType::I64 => found,
        dtype => l.map(&[found], dtype, |_, x| x[0])?,
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

/// The place of the largest or the least along an axis: the first, or by the axis backwards the last.
fn arg_extreme(l: &mut Lowering<'_, '_>, least: bool) -> Result<Value, ModelError> {
    let last = l.attributes.flag("select_last_index", false)?;
    let mut value = l.value(0)?;
    let keepdims = l.attributes.flag("keepdims", true)?;
    let mut axes = l.axes_of(&value);
    let axis = l.axis(l.attributes.int("axis", 0)?, axes.len())?;
    if l.dtype(&value) != DType::F32 {
        return arg_extreme_of_integers(l, &value, axis as usize, least, last, keepdims);
    }
    if least {
        value = l.map(&[value], DType::F32, |p, x| f::negate(p, x[0]))?;
    }
    let op = Op::ArgMax { axis, keepdims };
    if !last {
        return l.node(op, &[value]);
    }
    let turned = &mut axes[axis as usize];
    let end = turned.extent.saturating_sub(1);
    (turned.start, turned.step) = (end as i64, -1);
    let value = l.view(&value, axes)?;
    let found = l.node(op, &[value])?;
    l.map(&[found], DType::I64, |p, x| {
        let end = p.wide(end);
        p.sub(end, x[0])
    })
}

/// The same of integers, as the first in order.
fn arg_extreme_of_integers(
    l: &mut Lowering<'_, '_>,
    value: &Value,
    axis: usize,
    least: bool,
    last: bool,
    keepdims: bool,
) -> Result<Value, ModelError> {
    let mut numbers = comparable(l, value)?;
    let end = l.dims(value)[axis].saturating_sub(1);
    if last {
        numbers = l.turned(&numbers, axis)?;
    }
    let op = Op::TopK {
        axis: axis as u32,
        count: 1,
        largest: !least,
        integers: true,
    };
    let mut found = l.node(op, &[numbers])?;
    if last {
        found = l.map(&[found], DType::I64, |p, x| {
            let end = p.wide(end);
            p.sub(end, x[0])
        })?;
    }
    match keepdims {
        true => Ok(found),
        false => l.at(&found, axis, 0),
    }
}

fn log_softmax(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let per_axis = l.importer.names.opset >= 13;
    let axis = l.attributes.int("axis", if per_axis { -1 } else { 1 })?;
    let axis = l.axis(axis, dims.len())? as usize;
    let axes: Vec<usize> = if per_axis {
        vec![axis]
    } else {
        (axis..dims.len()).collect()
    };
    log_softmax_along(l, &value, &axes)
}

pub(super) fn log_softmax_along(
    l: &mut Lowering<'_, '_>,
    value: &Value,
    axes: &[usize],
) -> Result<Value, ModelError> {
    let max = reduced(l, Reduction::Max, value, axes)?;
    let less = l.floats(&[value, &max], |p, x| p.fsub(x[0], x[1]))?;
    let powers = l.floats(&[&less], |p, x| p.function(Extra::Exp, x[0]))?;
    let sum = reduced(l, Reduction::Sum, &powers, axes)?;
    l.floats(&[&less, &sum], |p, x| {
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
    l.map(&[sum], DType::F32, |p, x| {
        let count = p.float(count);
        p.fdiv(x[0], count)
    })
}

fn squares(l: &mut Lowering<'_, '_>, value: &Value) -> Result<Value, ModelError> {
    l.map(std::slice::from_ref(value), DType::F32, |p, x| {
        p.fmul(x[0], x[0])
    })
}

/// `1 / sqrt(x + epsilon)`
fn inverse_root(l: &mut Lowering<'_, '_>, x: Value, epsilon: f32) -> Result<Value, ModelError> {
    l.map(&[x], DType::F32, |p, x| {
        let (epsilon, one) = (p.float(epsilon), p.float(1.0));
        let sum = p.fadd(x[0], epsilon);
        let root = p.fsqrt(sum);
        p.fdiv(one, root)
    })
}

fn product(l: &mut Lowering<'_, '_>, a: Value, b: Value) -> Result<Value, ModelError> {
    l.map(&[a, b], DType::F32, |p, x| p.fmul(x[0], x[1]))
}

fn normalised(
    l: &mut Lowering<'_, '_>,
    value: &Value,
    axes: &[usize],
    epsilon: f32,
) -> Result<Normal, ModelError> {
    let centre = mean(l, value, axes)?;
    let centred = l.map(&[value.clone(), centre.clone()], DType::F32, |p, x| {
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
        Some(bias) => l.map(&[normal, scale, bias], DType::F32, |p, x| {
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
    let per_channel = l.importer.names.opset >= 21;
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

/// `(x - mean) / (deviation + 1e-9)`
fn mean_variance(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let rank = l.dims(&value).len();
    let axes = match l.attributes.ints("axes")? {
        None => vec![0, 2, 3],
        Some(axes) => axes.to_vec(),
    };
    let axes = axes.iter().map(|&axis| l.axis(axis, rank));
    let axes: Vec<usize> = axes
        .map(|axis| axis.map(|axis| axis as usize))
        .collect::<Result<_, _>>()?;
    let centre = mean(l, &value, &axes)?;
    let centred = l.floats(&[&value, &centre], |p, x| p.fsub(x[0], x[1]))?;
    let squares = squares(l, &centred)?;
    let variance = mean(l, &squares, &axes)?;
    l.floats(&[&centred, &variance], |p, x| {
        let (root, epsilon) = (p.fsqrt(x[1]), p.float(1e-9));
        let below = p.fadd(root, epsilon);
        p.fdiv(x[0], below)
    })
}

/// `x / norm`, and 0 where the norm is.
fn lp_norm(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let axis = l.axis(l.attributes.int("axis", -1)?, l.dims(&value).len())? as usize;
    let p = l.attributes.int("p", 2)?;
    let parts = match p {
        1 => l.map(std::slice::from_ref(&value), DType::F32, |p, x| {
            f::abs(p, x[0])
        })?,
        2 => squares(l, &value)?,
        other => return Err(l.fail(format!("p must be 1 or 2, found {other}"))),
    };
    let sum = reduced(l, Reduction::Sum, &parts, &[axis])?;
    l.map(&[value, sum], DType::F32, |b, x| {
        let norm = if p == 2 { b.fsqrt(x[1]) } else { x[1] };
        let (found, zero) = (b.fdiv(x[0], norm), b.float(0.0));
        let none = b.equal(norm, zero);
        b.select(none, zero, found)
    })
}

/// 1 where the first largest is.
fn hardmax(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let per_axis = l.importer.names.opset >= 13;
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
    let place = l.positions(&dims, axis as usize)?;
    l.map(&[place, found], DType::F32, |p, x| {
        let (one, zero) = (p.float(1.0), p.float(0.0));
        let here = p.equal(x[0], x[1]);
        p.select(here, one, zero)
    })
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
