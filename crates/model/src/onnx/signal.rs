//! Signals: windows and tables that are known at import, and Fourier transforms as products with tables of sines.

use gavel_numerics::{DType, Op};

use super::Value;
use super::lower::Lowering;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "BlackmanWindow",
    "DFT",
    "HammingWindow",
    "HannWindow",
    "MelWeightMatrix",
    "STFT",
];

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    Ok(vec![match op {
        "DFT" => dft(l)?,
        "MelWeightMatrix" => mel_weights(l)?,
        "STFT" => stft(l)?,
        _ => window(l, op)?,
    }])
}

/// Cosine and sine of a share of a whole turn.
///
/// By what is left of the nearest quarter: what cancels in theory cancels in the tables.
fn circle(numerator: u64, denominator: u64) -> (f64, f64) {
    let at = numerator % denominator;
    let quarter = (4 * at + denominator / 2) / denominator;
    let rest = at as f64 - quarter as f64 * denominator as f64 / 4.0;
    let x = rest / denominator as f64 * std::f64::consts::TAU;
    let (cos, sin) = (libm::cos(x), libm::sin(x));
    match quarter % 4 {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

/// A constant integer of any type.
fn number(l: &mut Lowering<'_, '_>, i: usize, what: &str) -> Result<i64, ModelError> {
    let value = l.value(i)?;
    if let Value::Dynamic(source) = value {
        return Err(l.unbound(source, what));
    }
    let value = l.cast(&value, DType::I64)?;
    let found = l.ints_of(&value, what)?;
    found
        .first()
        .copied()
        .ok_or_else(|| l.fail(format!("{what} is missing")))
}

fn small(l: &Lowering<'_, '_>, n: i64, what: &str) -> Result<u64, ModelError> {
    u64::try_from(n)
        .ok()
        .filter(|&n| n <= 1 << 24)
        .ok_or_else(|| l.fail(format!("{what} {n} is out of range")))
}

fn dtype_of(l: &Lowering<'_, '_>, name: &'static str) -> Result<DType, ModelError> {
    let number = l.attributes.int(name, 1)?;
    i32::try_from(number)
        .ok()
        .and_then(super::tensor::dtype)
        .ok_or_else(|| l.fail(format!("element type {number} is not supported")))
}

fn window(l: &mut Lowering<'_, '_>, op: &str) -> Result<Value, ModelError> {
    let size = number(l, 0, "the size")?;
    let size = small(l, size, "the size")?;
    let periodic = l.attributes.flag("periodic", true)?;
    let dtype = dtype_of(l, "output_datatype")?;
    let period = if periodic {
        size
    } else {
        size.saturating_sub(1)
    }
    .max(1);
    let at = |i: u64| {
        let (cos, twice) = (circle(i, period).0, circle(2 * i, period).0);
        match op {
            "HannWindow" => 0.5 - 0.5 * cos,
            "HammingWindow" => 25.0 / 46.0 - (1.0 - 25.0 / 46.0) * cos,
            _ => 0.42 - 0.5 * cos + 0.08 * twice,
        }
    };
    let value = l.numbers(&[size], (0..size).map(|i| at(i) as f32).collect())?;
    l.cast(&value, dtype)
}

/// Triangles over the bins of a spectrum, evenly spaced on the mel scale.
fn mel_weights(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(5..=5)?;
    let (bands, length, rate) = (
        number(l, 0, "the number of bands")?,
        number(l, 1, "the length")?,
        number(l, 2, "the rate")?,
    );
    let (bands, length) = (
        small(l, bands, "the number of bands")?,
        small(l, length, "the length")?,
    );
    let (low, high) = (
        f64::from(
            l.constant_floats(3, "the lower edge")?
                .first()
                .copied()
                .unwrap_or(0.0),
        ),
        f64::from(
            l.constant_floats(4, "the upper edge")?
                .first()
                .copied()
                .unwrap_or(0.0),
        ),
    );
    let dtype = dtype_of(l, "output_datatype")?;
    let bins = length / 2 + 1;
    l.made_up(bins.saturating_mul(bands))?;
    // 2595 log10(1 + f / 700), and back
    let mel = |f: f64| 2595.0 / std::f64::consts::LN_10 * libm::log1p(f / 700.0);
    let hertz = |m: f64| 700.0 * libm::expm1(m / 2595.0 * std::f64::consts::LN_10);
    let step = (mel(high) - mel(low)) / (bands + 2) as f64;
    let bin = |i: u64| {
        let f = hertz(i as f64 * step + mel(low));
        ((length + 1) as f64 * f / rate as f64).floor()
    };
    let bin = |i: u64| bin(i).clamp(0.0, bins as f64) as u64;
    let mut table = vec![0.0f32; (bins * bands) as usize];
    for band in 0..bands {
        let (left, centre, right) = (bin(band), bin(band + 1), bin(band + 2));
        let mut put = |at: u64, value: f64| {
            if at < bins {
                table[(at * bands + band) as usize] = value as f32;
            }
        };
        if left == centre {
            put(centre, 1.0);
        }
        for at in left..=centre {
            if centre > left {
                put(at, (at - left) as f64 / (centre - left) as f64);
            }
        }
        for at in centre..right {
            put(at, (right - at) as f64 / (right - centre) as f64);
        }
    }
    let value = l.numbers(&[bins, bands], table)?;
    l.cast(&value, dtype)
}

/// Tables `[length, bins]` of the cosines and sines of a transform.
fn tables(l: &mut Lowering<'_, '_>, length: u64, bins: u64) -> Result<(Value, Value), ModelError> {
    l.made_up(length.saturating_mul(bins))?;
    if length == 0 {
        return Err(l.fail("a transform of nothing"));
    }
    let (mut cos, mut sin) = (Vec::new(), Vec::new());
    for n in 0..length {
        for k in 0..bins {
            let turns = (u128::from(n) * u128::from(k) % u128::from(length)) as u64;
            let (c, s) = circle(turns, length);
            cos.push(c as f32);
            sin.push(s as f32);
        }
    }
    Ok((
        l.numbers(&[length, bins], cos)?,
        l.numbers(&[length, bins], sin)?,
    ))
}

/// The transform along the last axis of real and, where it is there, imaginary parts: `[.., bins, 2]`.
fn transform(
    l: &mut Lowering<'_, '_>,
    real: &Value,
    imaginary: Option<&Value>,
    bins: u64,
    inverse: bool,
) -> Result<[Value; 2], ModelError> {
    let length = l.dims(real).last().copied().unwrap_or(0);
    let (cos, sin) = tables(l, length, bins)?;
    let (rc, rs) = (l.matmul(real, &cos)?, l.matmul(real, &sin)?);
    let zero = l.numbers(&[], vec![0.0])?;
    // e^(-i x) = cos x - i sin x, and its conjugate for the inverse
    let minus =
        |l: &mut Lowering<'_, '_>, a: &Value, b: &Value| l.node(Op::Sub, &[a.clone(), b.clone()]);
    let found = match imaginary {
        None if inverse => [rc, rs],
        None => [rc, minus(l, &zero, &rs)?],
        Some(imaginary) => {
            let (ic, is) = (l.matmul(imaginary, &cos)?, l.matmul(imaginary, &sin)?);
            match inverse {
                false => [l.add(&rc, &is)?, minus(l, &ic, &rs)?],
                true => [minus(l, &rc, &is)?, l.add(&rs, &ic)?],
            }
        }
    };
    if !inverse {
        return Ok(found);
    }
    let length = l.numbers(&[], vec![length as f32])?;
    let [real, imaginary] = found.map(|part| l.node(Op::Div, &[part, length.clone()]));
    Ok([real?, imaginary?])
}

fn dft(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let rank = dims.len();
    if rank < 2 {
        return Err(l.fail("its input must have an axis of 1 or 2 numbers behind the signal's"));
    }
    let axis = if l.importer.names.opset < 20 {
        l.attributes.int("axis", 1)?
    } else if l.optional(2).is_some() {
        number(l, 2, "the axis")?
    } else {
        -2
    };
    let axis = l.axis(axis, rank)? as usize;
    let parts = dims[rank - 1];
    if axis == rank - 1 || !(1..=2).contains(&parts) {
        return Err(l.fail(format!("a transform along axis {axis} of {dims:?}")));
    }
    let inverse = l.attributes.flag("inverse", false)?;
    let one_sided = l.attributes.flag("onesided", false)?;
    let back = inverse && one_sided;
    let length = match l.optional(1) {
        Some(_) => {
            let length = number(l, 1, "the length")?;
            small(l, length, "the length")?
        }
        None if back => 2 * dims[axis].saturating_sub(1),
        None => dims[axis],
    };
    // the signal's axis last, cut or filled up with zeros
    let mut perm: Vec<usize> = (0..rank - 1).filter(|&a| a != axis).collect();
    perm.push(axis);
    let mut signal = Vec::with_capacity(2);
    for part in 0..parts {
        let part = l.at(&value, rank - 1, part)?;
        let moved = l.permuted(&part, &perm)?;
        let whole = if back {
            moved
        } else {
            l.part(&moved, rank - 2, 0, length)?
        };
        signal.push(whole);
    }
    let (real, imaginary) = (signal.remove(0), signal.pop());
    let [real, imaginary] = if back {
        let found = inverse_of_half(l, &real, imaginary.as_ref(), length)?;
        [found.clone(), found]
    } else {
        let bins = if one_sided { length / 2 + 1 } else { length };
        transform(l, &real, imaginary.as_ref(), bins, inverse)?
    };
    // back to its place
    let mut order: Vec<usize> = (0..rank - 2).collect();
    order.insert(axis, rank - 2);
    let real = l.permuted(&real, &order)?;
    if back {
        return l.unsqueeze(&real, rank - 1);
    }
    let imaginary = l.permuted(&imaginary, &order)?;
    l.stack(&[real, imaginary], rank - 1)
}

/// The real signal whose transform's first half is given: the others are its conjugates.
fn inverse_of_half(
    l: &mut Lowering<'_, '_>,
    real: &Value,
    imaginary: Option<&Value>,
    length: u64,
) -> Result<Value, ModelError> {
    let axis = l.dims(real).len() - 1;
    let bins = length / 2 + 1;
    let (mut cos, mut sin) = (Vec::new(), Vec::new());
    l.made_up(bins.saturating_mul(length))?;
    for k in 0..bins {
        let alone = k == 0 || 2 * k == length;
        let scale = if alone { 1.0 } else { 2.0 } / length.max(1) as f64;
        for n in 0..length {
            let (c, s) = circle(k * n, length);
            cos.push((c * scale) as f32);
            sin.push((-s * scale) as f32);
        }
    }
    let (cos, sin) = (
        l.numbers(&[bins, length], cos)?,
        l.numbers(&[bins, length], sin)?,
    );
    let real = l.part(real, axis, 0, bins)?;
    let found = l.matmul(&real, &cos)?;
    match imaginary {
        None => Ok(found),
        Some(imaginary) => {
            let imaginary = l.part(imaginary, axis, 0, bins)?;
            let other = l.matmul(&imaginary, &sin)?;
            l.add(&found, &other)
        }
    }
}

/// Transforms of frames of a signal, each under a window.
fn stft(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let value = l.value(0)?;
    let step = number(l, 1, "the step")?;
    let step = small(l, step, "the step")?.max(1);
    let dims = l.dims(&value);
    let (batch, len, parts) = match dims[..] {
        [batch, len] => (batch, len, 1),
        [batch, len, parts] => (batch, len, parts),
        _ => return Err(l.fail(format!("a signal {dims:?}"))),
    };
    let window = l.optional(2);
    let length = match (l.optional(3), &window) {
        (Some(_), _) => {
            let length = number(l, 3, "the length")?;
            small(l, length, "the length")?
        }
        (None, Some(window)) => l.dims(window).first().copied().unwrap_or(0),
        (None, None) => len,
    };
    if length == 0 || length > len || !(1..=2).contains(&parts) {
        return Err(l.fail(format!("frames of {length} of a signal {dims:?}")));
    }
    let one_sided = l.attributes.flag("onesided", true)?;
    let frames = (len - length) / step + 1;
    let bins = if one_sided { length / 2 + 1 } else { length };
    let at = (0..frames).flat_map(|frame| (0..length).map(move |i| (frame * step + i) as i64));
    l.made_up(frames.saturating_mul(length))?;
    let at = l.integers(&[frames, length], at.collect())?;
    let value = l.reshape_to(&value, vec![batch, len, parts])?;
    let mut signal = Vec::with_capacity(2);
    for part in 0..parts {
        let part = l.at(&value, 2, part)?;
        let mut framed = l.gather(&part, &at, 1)?;
        if let Some(window) = &window {
            framed = l.mul(&framed, window)?;
        }
        signal.push(framed);
    }
    let (real, imaginary) = (signal.remove(0), signal.pop());
    let [real, imaginary] = transform(l, &real, imaginary.as_ref(), bins, false)?;
    l.stack(&[real, imaginary], 3)
}
