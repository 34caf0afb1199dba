//! Quantised numbers: `(q - zero point) * scale`. Products of integers are computed exactly, in f32 where their sums fit, and refused
//! where they may not.

use gavel_numerics::DType;
use gavel_numerics::element::{Builder, Value as Word};

use super::Value;
use super::build::product;
use super::functions as f;
use super::lower::Lowering;
use super::types;
use super::windows::{convolved, groups, windows};
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
];

/// Products of two bytes whose sum f32 holds exactly: each is at most 255 * 255 in magnitude.
const EXACT_DEPTH: u64 = (1 << 24) / (255 * 255);

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    let value = match op {
        "QuantizeLinear" => quantize(l)?,
        "DequantizeLinear" => dequantize(l)?,
        "DynamicQuantizeLinear" => return dynamic_quantize(l),
        "MatMulInteger" => matmul_integer(l)?,
        "ConvInteger" => conv_integer(l)?,
        "QLinearMatMul" => qlinear_matmul(l)?,
        _ => qlinear_conv(l)?,
    };
    Ok(vec![value])
}

/// Ends of a quantised type.
fn range(dtype: DType) -> Option<(f32, f32)> {
    Some(match dtype {
        DType::U8 => (0.0, 255.0),
        DType::I8 => (-128.0, 127.0),
        DType::U16 => (0.0, 65535.0),
        DType::I16 => (-32768.0, 32767.0),
        _ => return None,
    })
}

/// A parameter along an axis, or of blocks of one, as a value that broadcasts to `dims`.
fn along(
    l: &mut Lowering<'_, '_>,
    value: &Value,
    dims: &[u64],
    axis: i64,
    block: u64,
) -> Result<Value, ModelError> {
    let own = l.dims(value);
    if product(&own) == 1 && own.len() <= 1 {
        return l.reshape_to(value, Vec::new());
    }
    let axis = l.axis(axis, dims.len())? as usize;
    if block == 0 {
        if own != [dims[axis]] {
            return Err(l.fail(format!(
                "a parameter of {own:?} for axis {axis} of {dims:?}"
            )));
        }
        let mut wide = vec![1; dims.len()];
        wide[axis] = dims[axis];
        return l.reshape_to(value, wide);
    }
    let mut blocks = dims.to_vec();
    blocks[axis] = dims[axis].div_ceil(block);
    if own != blocks {
        return Err(l.fail(format!(
            "a parameter of {own:?} for blocks of {block} along axis {axis} of {dims:?}"
        )));
    }
    // each block's parameter again and again, cut where the last block ends
    let mut spread = own.clone();
    spread.insert(axis + 1, 1);
    let value = l.reshape_to(value, spread.clone())?;
    spread[axis + 1] = block;
    let value = l.expand_to(&value, &spread)?;
    let mut joined = own;
    joined[axis] = joined[axis].saturating_mul(block);
    let value = l.reshape_to(&value, joined)?;
    l.part(&value, axis, 0, dims[axis])
}

/// Axis and extent of blocks.
fn layout(l: &Lowering<'_, '_>) -> Result<(i64, u64), ModelError> {
    let block = l.attributes.int("block_size", 0)?;
    let block = u64::try_from(block).map_err(|_| l.fail("block_size must not be negative"))?;
    Ok((l.attributes.int("axis", 1)?, block))
}

/// The nearest element of a quantised type, saturated.
fn saturated(p: &mut Builder, x: Word, zero_point: Option<Word>, ends: (f32, f32)) -> Word {
    let rounded = f::round(p, x);
    let shifted = match zero_point {
        Some(zero) => p.fadd(rounded, zero),
        None => rounded,
    };
    let (low, high) = (p.float(ends.0), p.float(ends.1));
    let raised = p.fmax(shifted, low);
    let bounded = p.fmin(raised, high);
    p.f32_to_int(bounded)
}

fn quantize(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (x, scale) = (l.value(0)?, l.value(1)?);
    let (axis, block) = layout(l)?;
    l.attributes.ignore(&["saturate", "precision"]);
    let declared = l.attributes.int("output_dtype", 0)?;
    let dtype = match (l.optional(2), declared) {
        (Some(zero), _) => l.dtype(&zero),
        (None, 0) => DType::U8,
        (None, number) => i32::try_from(number)
            .ok()
            .and_then(super::tensor::dtype)
            .ok_or_else(|| l.fail(format!("element type {number} is not supported")))?,
    };
    let ends = range(dtype).ok_or_else(|| l.fail(format!("{dtype:?} is not supported")))?;
    let dims = l.dims(&x);
    let x = l.cast(&x, DType::F32)?;
    let scale = l.cast(&scale, DType::F32)?;
    let mut values = vec![x, along(l, &scale, &dims, axis, block)?];
    if let Some(zero) = l.optional(2) {
        let zero = l.cast(&zero, DType::F32)?;
        values.push(along(l, &zero, &dims, axis, block)?);
    }
    l.map(&values, dtype, |p, x| {
        let share = p.fdiv(x[0], x[1]);
        saturated(p, share, x.get(2).copied(), ends)
    })
}

fn dequantize(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (x, scale) = (l.value(0)?, l.value(1)?);
    let (axis, block) = layout(l)?;
    l.attributes.ignore(&["output_dtype"]);
    let dtype = l.dtype(&x);
    if !types::is_integer(dtype) {
        return Err(l.fail(format!("{dtype:?} is not supported")));
    }
    let dims = l.dims(&x);
    let scale = along(l, &scale, &dims, axis, block)?;
    let difference = match l.optional(2) {
        None => l.cast(&x, DType::F32)?,
        Some(zero) => {
            let zero = along(l, &zero, &dims, axis, block)?;
            l.map(&[x, zero], DType::F32, |p, x| {
                let (a, b) = (types::loaded(p, x[0], dtype), types::loaded(p, x[1], dtype));
                let difference = p.sub(a, b);
                p.signed_to_f32(difference)
            })?
        }
    };
    l.mul(&difference, &scale)
}

/// Bytes by the range of the input, which contains 0.
fn dynamic_quantize(l: &mut Lowering<'_, '_>) -> Result<Vec<Value>, ModelError> {
    l.some_inputs(1..=1)?;
    let x = l.value(0)?;
    let elements = product(&l.dims(&x));
    let flat = l.reshape_to(&x, vec![elements])?;
    let mut ends = Vec::with_capacity(2);
    for kind in [
        gavel_numerics::Reduction::Min,
        gavel_numerics::Reduction::Max,
    ] {
        let op = gavel_numerics::Op::Reduce {
            kind,
            axis: 0,
            integers: false,
        };
        let end = l.node(op, std::slice::from_ref(&flat))?;
        ends.push(l.reshape_to(&end, Vec::new())?);
    }
    let (least, most) = (ends[0].clone(), ends[1].clone());
    let scale = l.floats(&[&least, &most], |p, x| {
        let (zero, steps) = (p.float(0.0), p.float(255.0));
        let (low, high) = (p.fmin(x[0], zero), p.fmax(x[1], zero));
        let span = p.fsub(high, low);
        p.fdiv(span, steps)
    })?;
    let zero_point = l.map(&[least, scale.clone()], DType::U8, |p, x| {
        let zero = p.float(0.0);
        let low = p.fmin(x[0], zero);
        let share = p.fdiv(low, x[1]);
        let turned = p.fsub(zero, share);
        saturated(p, turned, None, (0.0, 255.0))
    })?;
    let zero = l.cast(&zero_point, DType::F32)?;
    let y = l.map(&[x, scale.clone(), zero], DType::U8, |p, x| {
        let share = p.fdiv(x[0], x[1]);
        saturated(p, share, Some(x[2]), (0.0, 255.0))
    })?;
    Ok(vec![y, scale, zero_point])
}

/// Bytes as f32, their zero point taken off. A row of points belongs to the axis `axis` from the end.
fn centred(
    l: &mut Lowering<'_, '_>,
    value: &Value,
    zero: Option<Value>,
    axis: i64,
) -> Result<Value, ModelError> {
    let dtype = l.dtype(value);
    if !matches!(dtype, DType::U8 | DType::I8) {
        return Err(l.fail(format!("it takes bytes, found {dtype:?}")));
    }
    let Some(zero) = zero else {
        return l.cast(value, DType::F32);
    };
    let dims = l.dims(value);
    let own = l.dims(&zero);
    let zero = match own.len() {
        0 | 1 => along(l, &zero, &dims, axis, 0)?,
        _ => zero,
    };
    l.map(&[value.clone(), zero], DType::F32, |p, x| {
        let (a, b) = (types::loaded(p, x[0], dtype), types::loaded(p, x[1], dtype));
        let difference = p.sub(a, b);
        p.signed_to_f32(difference)
    })
}

/// The product of centred bytes, exact: deep ones in parts that f32 holds, added as integers.
fn exact_product(l: &mut Lowering<'_, '_>, a: &Value, b: &Value) -> Result<Value, ModelError> {
    let (rank, other) = (l.dims(a).len(), l.dims(b).len());
    if rank == 0 || other == 0 {
        return Err(l.fail("a scalar is no matrix"));
    }
    let depth = l.dims(a)[rank - 1];
    let mut sum: Option<Value> = None;
    let mut start = 0;
    while start < depth || start == 0 {
        let extent = EXACT_DEPTH.min(depth - start);
        let x = l.part(a, rank - 1, start as i64, extent)?;
        let y = l.part(b, other.saturating_sub(2), start as i64, extent)?;
        let part = l.matmul(&x, &y)?;
        let part = l.cast(&part, DType::I32)?;
        sum = Some(match sum {
            None => part,
            Some(sum) => l.map(&[sum, part], DType::I32, |p, x| p.add(x[0], x[1]))?,
        });
        start += EXACT_DEPTH;
    }
    sum.ok_or_else(|| l.fail("a product of nothing"))
}

fn matmul_integer(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (a, b) = (l.value(0)?, l.value(1)?);
    let (a_zero, b_zero) = (l.optional(2), l.optional(3));
    let (a, b) = (centred(l, &a, a_zero, -2)?, centred(l, &b, b_zero, -1)?);
    exact_product(l, &a, &b)
}

/// What a product of integers becomes: scaled, rounded, shifted by the output's zero point.
fn requantized(
    l: &mut Lowering<'_, '_>,
    sum: &Value,
    scales: [Value; 3],
    zero: &Value,
) -> Result<Value, ModelError> {
    let dtype = l.dtype(zero);
    let ends = range(dtype).ok_or_else(|| l.fail(format!("{dtype:?} is not supported")))?;
    let sum = l.cast(sum, DType::F32)?;
    let [a, b, y] = scales;
    let scale = l.floats(&[&a, &b, &y], |p, x| {
        let product = p.fmul(x[0], x[1]);
        p.fdiv(product, x[2])
    })?;
    let zero = l.cast(zero, DType::F32)?;
    l.map(&[sum, scale, zero], dtype, |p, x| {
        let scaled = p.fmul(x[0], x[1]);
        saturated(p, scaled, Some(x[2]), ends)
    })
}

fn qlinear_matmul(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(8..=8)?;
    let (a, b) = (l.value(0)?, l.value(3)?);
    let (a_dims, b_dims) = (l.dims(&a), l.dims(&b));
    let (a_zero, b_zero) = (l.value(2)?, l.value(5)?);
    let x = centred(l, &a, Some(a_zero), -2)?;
    let y = centred(l, &b, Some(b_zero), -1)?;
    let sum = exact_product(l, &x, &y)?;
    let (a_scale, b_scale) = (l.value(1)?, l.value(4)?);
    let (a_scale, b_scale, y_scale) = (
        l.cast(&a_scale, DType::F32)?,
        l.cast(&b_scale, DType::F32)?,
        l.value(6)?,
    );
    let a_scale = along(l, &a_scale, &a_dims, -2, 0)?;
    let b_scale = along(l, &b_scale, &b_dims, -1, 0)?;
    let y_scale = l.cast(&y_scale, DType::F32)?;
    let y_scale = l.reshape_to(&y_scale, Vec::new())?;
    let zero = l.value(7)?;
    let zero = l.reshape_to(&zero, Vec::new())?;
    requantized(l, &sum, [a_scale, b_scale, y_scale], &zero)
}

/// The convolution of centred bytes as integers.
fn integer_conv(l: &mut Lowering<'_, '_>, x: &Value, weight: &Value) -> Result<Value, ModelError> {
    let dims = l.dims(weight);
    let kernel = dims.get(2..).unwrap_or_default().to_vec();
    l.attributes.ignore(&["kernel_shape"]);
    let (_, axes) = windows(l, &kernel)?;
    let groups = groups(l)?;
    if product(dims.get(1..).unwrap_or_default()) > EXACT_DEPTH {
        return Err(l.fail(format!(
            "sums of more than {EXACT_DEPTH} products are not supported: f32 may not hold them"
        )));
    }
    convolved(l, x, weight, None, &axes, groups)
}

fn conv_integer(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (x, w) = (l.value(0)?, l.value(1)?);
    let (x_zero, w_zero) = (l.optional(2), l.optional(3));
    let (x, w) = (centred(l, &x, x_zero, 1)?, centred(l, &w, w_zero, 0)?);
    let sum = integer_conv(l, &x, &w)?;
    l.cast(&sum, DType::I32)
}

fn qlinear_conv(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(8..=9)?;
    let (x, w) = (l.value(0)?, l.value(3)?);
    let (x_zero, w_zero) = (l.value(2)?, l.value(5)?);
    let w_dims = l.dims(&w);
    let (x, w) = (
        centred(l, &x, Some(x_zero), 1)?,
        centred(l, &w, Some(w_zero), 0)?,
    );
    let sum = integer_conv(l, &x, &w)?;
    let mut sum = l.cast(&sum, DType::I32)?;
    let rank = l.dims(&sum).len();
    let filters = w_dims.first().copied().unwrap_or(0);
    let mut own = vec![1; rank];
    own[1] = filters;
    if let Some(bias) = l.optional(8) {
        let bias = l.reshape_to(&bias, own.clone())?;
        sum = l.map(&[sum, bias], DType::I32, |p, x| p.add(x[0], x[1]))?;
    }
    let w_scale = l.value(4)?;
    let w_scale = match product(&l.dims(&w_scale)) {
        1 => l.reshape_to(&w_scale, Vec::new())?,
        _ => l.reshape_to(&w_scale, own)?,
    };
    let mut scalar = |i: usize| {
        let value = l.value(i)?;
        l.reshape_to(&value, Vec::new())
    };
    let (x_scale, y_scale, zero) = (scalar(1)?, scalar(6)?, scalar(7)?);
    requantized(l, &sum, [x_scale, w_scale, y_scale], &zero)
}
