//! Pooling. Largest and averages over one or two axes have operators; the others go axis by axis over the taps of all windows.

use gavel_numerics::element::{Builder, Value as Word};
use gavel_numerics::{DType, Op};

use super::Value;
use super::build::product;
use super::functions as f;
use super::lower::Lowering;
use super::windows::{Along, NONE, bounded, window_of, windows};
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "AveragePool",
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "LRN",
    "LpPool",
    "MaxPool",
];

/// Inputs of one Map that combines taps.
const TAPS: usize = 16;

/// Values of a node of this kind.
pub(super) fn lower(
    l: &mut Lowering<'_, '_>,
    op: &str,
    outputs: usize,
) -> Result<Vec<Value>, ModelError> {
    let value = match op {
        "MaxPool" => return max_pool(l, outputs > 1),
        "AveragePool" => average_pool(l)?,
        "LpPool" => lp_pool(l)?,
        "LRN" => lrn(l)?,
        _ => global(l, op)?,
    };
    Ok(vec![value])
}

fn pool_windows(l: &mut Lowering<'_, '_>) -> Result<(Value, Vec<Along>), ModelError> {
    l.some_inputs(1..=1)?;
    let kernel = l.attributes.ints("kernel_shape")?;
    let kernel = kernel.ok_or_else(|| l.fail("kernel_shape is missing"))?;
    let kernel = bounded(l, "kernel_shape", kernel, kernel.len(), 1)?;
    let (value, mut axes) = windows(l, &kernel)?;
    if l.attributes.flag("ceil_mode", false)? {
        axes.iter_mut().for_each(Along::round_up);
    }
    if axes.iter().any(|along| along.count() == 0) {
        return Err(l.fail("a window does not fit into its input"));
    }
    Ok((value, axes))
}

/// An operator over two spatial axes on an input of one or two.
fn flat(
    l: &mut Lowering<'_, '_>,
    value: &Value,
    axes: &[Along],
    op: impl FnOnce(gavel_numerics::Window2d) -> Op,
) -> Result<Value, ModelError> {
    let dims = l.dims(value);
    if let [along] = axes {
        let window = window_of(l, &[NONE, *along])?;
        let value = l.reshape_to(value, vec![dims[0], dims[1], 1, dims[2]])?;
        let found = l.node(op(window), &[value])?;
        let [n, c, _, w] = <[u64; 4]>::try_from(l.dims(&found)).unwrap_or_default();
        return l.reshape_to(&found, vec![n, c, w]);
    }
    let window = window_of(l, axes)?;
    l.node(op(window), std::slice::from_ref(value))
}

/// Whether padding leaves a window without an element.
fn has_empty_window(along: &Along) -> bool {
    along.pads[0].max(along.pads[1] + along.beyond) >= along.reach()
}

fn max_pool(l: &mut Lowering<'_, '_>, with_places: bool) -> Result<Vec<Value>, ModelError> {
    let (value, axes) = pool_windows(l)?;
    let by_columns = l.attributes.flag("storage_order", false)?;
    let dtype = l.dtype(&value);
    let value = match dtype {
        DType::F32 => value,
        // exact
        DType::U8 | DType::I8 => l.cast(&value, DType::F32)?,
        found => return Err(l.fail(format!("it takes floats or bytes, found {found:?}"))),
    };
    if !with_places && axes.len() < 3 && !axes.iter().any(has_empty_window) {
        let found = flat(l, &value, &axes, |window| Op::MaxPool2d { window })?;
        return Ok(vec![l.cast(&found, dtype)?]);
    }
    let dims = l.dims(&value);
    let mut places = if with_places {
        Some(places(l, &dims, by_columns)?)
    } else {
        None
    };
    let mut found = value;
    for (i, along) in axes.iter().enumerate().rev() {
        let fill = f32::NEG_INFINITY.to_bits().into();
        let values = taps(l, &found, i + 2, along, fill)?;
        if let Some(all) = &places {
            let candidates = taps(l, all, i + 2, along, 0)?;
            places = Some(first_largest(l, &values, &candidates)?);
        }
        found = combined(l, &values, |p, x| {
            x.iter().copied().reduce(|a, b| p.fmax(a, b))
        })?;
    }
    let found = l.cast(&found, dtype)?;
    let Some(places) = places else {
        return Ok(vec![found]);
    };
    // of which plane
    let plane = product(&dims[2..]);
    let mut own = dims.clone();
    own[2..].fill(1);
    let (n, c) = (l.positions(&own, 0)?, l.positions(&own, 1)?);
    let channels = dims[1];
    let places = l.map(&[places, n, c], DType::I64, |p, x| {
        let (plane, channels) = (p.wide(plane), p.wide(channels));
        let first = p.mul(x[1], channels);
        let first = p.add(first, x[2]);
        let first = p.mul(first, plane);
        p.add(x[0], first)
    })?;
    Ok(vec![found, places])
}

/// Places in a plane, row by row or (`by_columns`) column by column.
fn places(l: &mut Lowering<'_, '_>, dims: &[u64], by_columns: bool) -> Result<Value, ModelError> {
    let mut own = dims.to_vec();
    own[..2].fill(1);
    let mut found = l.integers(&vec![1; dims.len()], vec![0])?;
    for axis in 2..dims.len() {
        let stride = if by_columns {
            product(&dims[2..axis])
        } else {
            product(&dims[axis + 1..])
        };
        let along = l.positions(&own, axis)?;
        found = l.map(&[found, along], DType::I64, |p, x| {
            let stride = p.wide(stride);
            let step = p.mul(x[1], stride);
            p.add(x[0], step)
        })?;
    }
    Ok(found)
}

/// For each tap of an axis's windows, the elements under it.
fn taps(
    l: &mut Lowering<'_, '_>,
    value: &Value,
    axis: usize,
    along: &Along,
    fill: u64,
) -> Result<Vec<Value>, ModelError> {
    let mut found = Vec::with_capacity(along.kernel as usize);
    for tap in 0..along.kernel {
        let mut axes = l.axes_of(value);
        axes[axis] = along.tap(tap);
        let op = Op::View { fill, axes };
        found.push(l.node(op, std::slice::from_ref(value))?);
    }
    Ok(found)
}

/// Values combined in order, some at a time.
fn combined(
    l: &mut Lowering<'_, '_>,
    values: &[Value],
    mut program: impl FnMut(&mut Builder, &[Word]) -> Option<Word>,
) -> Result<Value, ModelError> {
    let mut found: Option<Value> = None;
    for some in values.chunks(TAPS - 1) {
        let all: Vec<Value> = found.into_iter().chain(some.iter().cloned()).collect();
        found = Some(l.map(&all, DType::F32, |p, x| {
            program(p, x).unwrap_or_else(|| p.number(0))
        })?);
    }
    found.ok_or_else(|| l.fail("a window of no taps"))
}

/// The candidate of the first largest value.
fn first_largest(
    l: &mut Lowering<'_, '_>,
    values: &[Value],
    candidates: &[Value],
) -> Result<Value, ModelError> {
    let (mut best, mut found) = (values[0].clone(), candidates[0].clone());
    for (value, candidate) in values.iter().zip(candidates).skip(1) {
        let all = [
            best.clone(),
            value.clone(),
            found.clone(),
            candidate.clone(),
        ];
        found = l.map(&all, DType::I64, |p, x| {
            let better = p.fless(x[0], x[1]);
            p.select(better, x[3], x[2])
        })?;
        best = l.floats(&[&best, value], |p, x| p.fmax(x[0], x[1]))?;
    }
    Ok(found)
}

/// The sum over each window, axis by axis from the last.
fn sums(l: &mut Lowering<'_, '_>, value: &Value, axes: &[Along]) -> Result<Value, ModelError> {
    let mut found = value.clone();
    for (i, along) in axes.iter().enumerate().rev() {
        let values = taps(l, &found, i + 2, along, 0)?;
        found = combined(l, &values, |p, x| {
            x.iter().copied().reduce(|a, b| p.fadd(a, b))
        })?;
    }
    Ok(found)
}

fn average_pool(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (value, axes) = pool_windows(l)?;
    let count_include_pad = l.attributes.flag("count_include_pad", false)?;
    let counts_beyond = count_include_pad && axes.iter().any(|along| along.beyond > 0);
    if axes.len() < 3 && !counts_beyond && !axes.iter().any(has_empty_window) {
        return flat(l, &value, &axes, |window| Op::AveragePool2d {
            window,
            count_include_pad,
        });
    }
    let mut found = sums(l, &value, &axes)?;
    let mut counts = l.numbers(&[], vec![1.0])?;
    for (i, along) in axes.iter().enumerate() {
        let (before, behind) = match count_include_pad {
            true => (
                -(along.pads[0] as i64),
                (along.extent + along.pads[1]) as i64,
            ),
            false => (0, along.extent as i64),
        };
        let inside = |at: u64| {
            let first = (at * along.stride) as i64 - along.pads[0] as i64;
            let taps = (0..along.kernel).map(|tap| first + (tap * along.dilation) as i64);
            taps.filter(|at| (before..behind).contains(at)).count() as f32
        };
        let mut own = vec![1; axes.len() + 2];
        own[i + 2] = along.count();
        let values = (0..along.count()).map(inside).collect();
        let values = l.numbers(&own, values)?;
        counts = l.mul(&counts, &values)?;
    }
    found = l.node(Op::Div, &[found, counts])?;
    Ok(found)
}

/// `|x|^p`, or its inverse.
fn power(
    l: &mut Lowering<'_, '_>,
    value: &Value,
    p: i64,
    inverse: bool,
) -> Result<Value, ModelError> {
    l.floats(&[value], |b, x| match (p, inverse) {
        (1, false) => f::abs(b, x[0]),
        (1, true) => x[0],
        (2, false) => b.fmul(x[0], x[0]),
        (2, true) => b.fsqrt(x[0]),
        (p, inverse) => {
            let power = b.float(if inverse { 1.0 / p as f32 } else { p as f32 });
            let magnitude = f::abs(b, x[0]);
            f::pow(b, magnitude, power)
        }
    })
}

fn lp_pool(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let (value, axes) = pool_windows(l)?;
    let p = l.attributes.int("p", 2)?;
    let powers = power(l, &value, p, false)?;
    let sum = sums(l, &powers, &axes)?;
    power(l, &sum, p, true)
}

/// Over all spatial axes, as one plane.
fn global(l: &mut Lowering<'_, '_>, op: &str) -> Result<Value, ModelError> {
    l.some_inputs(1..=1)?;
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let [n, c, spatial @ ..] = dims.as_slice() else {
        return Err(l.fail("its input must have channels"));
    };
    if let ([_, _], "GlobalAveragePool") = (spatial, op) {
        return l.node(Op::GlobalAveragePool, &[value]);
    }
    if let ([_, _], "GlobalMaxPool") = (spatial, op) {
        return l.node(Op::GlobalMaxPool, &[value]);
    }
    let plane = l.reshape_to(&value, vec![*n, *c, 1, product(spatial)])?;
    let found = match op {
        "GlobalAveragePool" => l.node(Op::GlobalAveragePool, &[plane])?,
        "GlobalMaxPool" => l.node(Op::GlobalMaxPool, &[plane])?,
        _ => {
            let p = l.attributes.int("p", 2)?;
            let powers = power(l, &plane, p, false)?;
            let op = Op::Reduce {
                kind: gavel_numerics::Reduction::Sum,
                axis: 3,
                integers: false,
            };
            let sum = l.node(op, &[powers])?;
            power(l, &sum, p, true)?
        }
    };
    let mut own = dims.clone();
    own[2..].fill(1);
    l.reshape_to(&found, own)
}

/// Each element over a power of the squares of the channels beside it.
fn lrn(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let size = l.attributes.int("size", 0)?;
    let size = u64::try_from(size)
        .ok()
        .filter(|&n| (1..=1 << 12).contains(&n));
    let size = size.ok_or_else(|| l.fail("size must be from 1 to 4096"))?;
    let (alpha, beta, bias) = (
        l.attributes.float("alpha", 1e-4)?,
        l.attributes.float("beta", 0.75)?,
        l.attributes.float("bias", 1.0)?,
    );
    if dims.len() < 2 {
        return Err(l.fail("its input must have channels"));
    }
    let before = (size - 1) / 2;
    let along = Along {
        extent: dims[1],
        kernel: size,
        pads: [before, size - 1 - before],
        ..NONE
    };
    let squares = l.floats(&[&value], |p, x| p.fmul(x[0], x[0]))?;
    let squares = taps(l, &squares, 1, &along, 0)?;
    let sum = combined(l, &squares, |p, x| {
        x.iter().copied().reduce(|a, b| p.fadd(a, b))
    })?;
    l.floats(&[&value, &sum], |p, x| {
        let (share, beta, bias) = (p.float(alpha / size as f32), p.float(beta), p.float(bias));
        let base = p.fma(share, x[1], bias);
        let below = f::pow(p, base, beta);
        p.fdiv(x[0], below)
    })
}
