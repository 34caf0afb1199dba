//! ONNX operators that move elements, and constants that depend on shapes.

use std::sync::Arc;

use gavel_numerics::{Beyond, DType, Op, Tensor, ViewAxis};

use super::Value;
use super::lower::Lowering;
use super::types;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "ConstantOfShape",
    "DepthToSpace",
    "Expand",
    "Gather",
    "Pad",
    "Range",
    "Shape",
    "Size",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Tile",
    "Trilu",
];

/// Values of a node of this kind.
pub(super) fn lower(
    l: &mut Lowering<'_, '_>,
    op: &str,
    outputs: usize,
) -> Result<Vec<Value>, ModelError> {
    let value = match op {
        "Slice" => slice(l)?,
        "Pad" => pad(l)?,
        "Expand" => expand(l)?,
        "Tile" => tile(l)?,
        "Split" => return split(l, outputs),
        "Gather" => gather(l)?,
        "Shape" => shape(l)?,
        "Size" => size(l)?,
        "ConstantOfShape" => constant_of_shape(l)?,
        "DepthToSpace" | "SpaceToDepth" => depth_and_space(l, op == "DepthToSpace")?,
        "Trilu" => trilu(l)?,
        _ => range(l)?,
    };
    Ok(vec![value])
}

fn slice(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let mut axes = l.axes_of(&value);
    let rank = axes.len();
    let (starts, ends, which, steps) = if l.importer.names.opset < 10 {
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
    l.view(&value, axes)
}

fn pad(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let ty = l.ty(0)?;
    let mut axes = l.axes_of(&value);
    let rank = axes.len();
    let mode = l
        .attributes
        .text("mode")?
        .unwrap_or_else(|| "constant".into());
    let (pads, which) = if l.importer.names.opset < 11 {
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
        None => match l.importer.names.opset < 11 {
            true => u64::from(l.attributes.float("value", 0.0)?.to_bits()),
            false => 0,
        },
        Some(Value::Constant(t)) if t.ty().elements() == Ok(1) && t.ty().dtype == ty.dtype => {
            t.tensor().raw(0).unwrap_or_default()
        }
        Some(Value::Dynamic(source)) => return Err(l.unbound(source, "the value")),
        Some(_) => return Err(l.fail("the value must be a scalar of the input's type")),
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
    l.view(&value, axes)
}

fn tile(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let repeats = l.constant_ints(1, "repeats")?;
    let value = l.value(0)?;
    let mut axes = l.axes_of(&value);
    if repeats.len() != axes.len() {
        return Err(l.fail("repeats must have a number for each axis"));
    }
    for (axis, &times) in axes.iter_mut().zip(&repeats) {
        let times = u64::try_from(times).map_err(|_| l.fail("a negative number of repeats"))?;
        axis.extent = axis.extent.saturating_mul(times);
        axis.beyond = Beyond::Wrap;
    }
    l.view(&value, axes)
}

fn split(l: &mut Lowering<'_, '_>, outputs: usize) -> Result<Vec<Value>, ModelError> {
    let value = l.value(0)?;
    let whole = l.axes_of(&value);
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
        parts.push(l.view(&value, axes)?);
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
pub(super) fn as_i64(l: &mut Lowering<'_, '_>, value: &Value) -> Result<Value, ModelError> {
    match l.dtype(value) {
        dtype if types::is_integer(dtype) => l.cast(value, DType::I64),
        found => Err(l.fail(format!("integers were expected, found {found:?}"))),
    }
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
    l.constant_of(Tensor::i64([found.len() as u64], found))
}

fn size(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let elements = l.ty(0)?.elements().map_err(|e| l.fail(e.to_string()))?;
    l.constant_of(Tensor::i64([], vec![elements as i64]))
}

fn constant_of_shape(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let wanted = l.constant_ints(0, "the shape")?;
    let value = match l.attributes.tensor("value")? {
        Some(proto) => l.importer.constant(proto)?.tensor(),
        None => Arc::new(Tensor::f32([1], vec![0.0]).map_err(|e| l.fail(e.to_string()))?),
    };
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
    let value = Arc::unwrap_or_clone(value).reshaped(vec![1; axes.len()]);
    let value = l.constant_of(value)?;
    l.view(&value, axes)
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
    let columns_first = match l.attributes.text("mode")?.as_deref().unwrap_or("DCR") {
        "DCR" => false,
        "CRD" => true,
        other => return Err(l.fail(format!("mode {other:?} is not known"))),
    };
    let (split, perm, merged) = if to_space {
        let c = c / (b * b);
        let merged = vec![n, c, h * b, w * b];
        match columns_first {
            false => (vec![n, b, b, c, h, w], vec![0, 3, 4, 1, 5, 2], merged),
            true => (vec![n, c, b, b, h, w], vec![0, 1, 4, 2, 5, 3], merged),
        }
    } else {
        let (h, w) = (h / b, w / b);
        let merged = vec![n, c * b * b, h, w];
        let perm = match columns_first {
            false => vec![0, 3, 5, 1, 2, 4],
            true => vec![0, 1, 3, 5, 2, 4],
        };
        (vec![n, c, h, b, w, b], perm, merged)
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
    l.made_up(rows.saturating_mul(columns))?;
    let kept = |i: u64, j: u64| {
        let diagonal = i128::from(j) - i128::from(i);
        match upper {
            true => diagonal >= i128::from(k),
            false => diagonal <= i128::from(k),
        }
    };
    let mask: Vec<bool> = (0..rows)
        .flat_map(|i| (0..columns).map(move |j| (i, j)))
        .map(|(i, j)| kept(i, j))
        .collect();
    let mask = l.condition(&[rows, columns], &mask)?;
    l.map(&[value, mask], dtype, |p, x| {
        let zero = p.number(0);
        p.select(x[1], x[0], zero)
    })
}

/// `start + i * delta` of constants.
fn range(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let dtype = l.ty(0)?.dtype;
    let count = |n: f64| (n.is_finite() && (0.0..=16_777_216.0).contains(&n)).then_some(n as u64);
    if dtype == DType::F32 || types::is_narrow(dtype) {
        let mut numbers = [0.0f32; 3];
        for (i, number) in numbers.iter_mut().enumerate() {
            let found = l.constant_floats(i, "a bound")?;
            *number = found
                .first()
                .copied()
                .ok_or_else(|| l.fail("a bound is missing"))?;
        }
        let [start, limit, delta] = numbers;
        let n = ((f64::from(limit) - f64::from(start)) / f64::from(delta)).ceil();
        let n = count(n.max(0.0)).ok_or_else(|| l.fail("its length is out of range"))?;
        let values = (0..n).map(|i| start + i as f32 * delta).collect();
        let found = l.constant_of(Tensor::f32([n], values))?;
        return l.cast(&found, dtype);
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
    let found = l.constant_of(Tensor::i64([n], (0..n).map(at).collect()))?;
    match dtype {
        DType::I64 => Ok(found),
        dtype => l.map(&[found], dtype, |_, x| x[0]),
    }
}
