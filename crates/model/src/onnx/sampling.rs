//! Pictures read at places between their elements: grids, regions, deformed windows.

use gavel_numerics::element::{Builder, Value as Word};
use gavel_numerics::{DType, Reduction};

use super::Value;
use super::build::product;
use super::functions as f;
use super::lower::Lowering;
use super::reductions::reduced;
use super::types;
use super::windows::{bounded, groups, windows};
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["AffineGrid", "DeformConv", "GridSample", "RoiAlign"];

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    Ok(vec![match op {
        "AffineGrid" => affine_grid(l)?,
        "DeformConv" => deform_conv(l)?,
        "GridSample" => grid_sample(l)?,
        _ => roi_align(l)?,
    }])
}

#[derive(Clone, Copy, PartialEq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// An axis that is read at places `[batch, count]`.
struct Along {
    /// Extent.
    len: u64,
    /// The places, f32.
    places: Value,
    /// Between which places it is reflected.
    ends: [f32; 2],
}

/// Back from one of the ends, as often as it takes.
fn reflected(p: &mut Builder, x: Word, [low, high]: [f32; 2]) -> Word {
    let span = high - low;
    if span <= 0.0 {
        return p.float(low);
    }
    let (low, high, span, two) = (p.float(low), p.float(high), p.float(span), p.float(2.0));
    let below = p.fless(x, low);
    let beyond = p.fless(high, x);
    let (under, over) = (p.fsub(low, x), p.fsub(x, high));
    let distance = p.select(below, under, over);
    let times = p.fdiv(distance, span);
    let times = f::floor(p, times);
    let whole = p.fmul(times, span);
    let rest = p.fsub(distance, whole);
    let half = p.fdiv(times, two);
    let floor = f::floor(p, half);
    let even = f::equal(p, half, floor);
    let (up, down) = (p.fadd(low, rest), p.fsub(high, rest));
    // an even number of turns comes back from the end that was crossed
    let of_below = p.select(even, up, down);
    let of_beyond = p.select(even, down, up);
    let found = p.select(below, of_below, x);
    p.select(beyond, of_beyond, found)
}

/// Elements of `data [batch * product(len), C]` at places, interpolated axis by axis: `[batch, count, C]`.
struct Sampler<'s> {
    axes: &'s [Along],
    mode: Mode,
    padding: Padding,
    /// First row of each batch in the data, i64, broadcasting over the places.
    first: Value,
    data: Value,
}

impl Sampler<'_> {
    fn weights(&self) -> std::ops::Range<i64> {
        match self.mode {
            Mode::Nearest => 0..1,
            Mode::Linear => 0..2,
            Mode::Cubic => -1..3,
        }
    }

    /// The element `tap` behind the one in front of each place, by its number; what is not there has a number beyond the axis.
    fn element(
        &self,
        l: &mut Lowering<'_, '_>,
        along: &Along,
        tap: i64,
    ) -> Result<Value, ModelError> {
        let (padding, mode, ends) = (self.padding, self.mode, along.ends);
        let last = along.len.saturating_sub(1);
        l.map(std::slice::from_ref(&along.places), DType::I64, |p, x| {
            let whole = match mode {
                Mode::Nearest => f::round(p, x[0]),
                _ => f::floor(p, x[0]),
            };
            let tap = p.float(tap as f32);
            let at = p.fadd(whole, tap);
            let at = match padding {
                Padding::Reflection => {
                    let back = reflected(p, at, ends);
                    f::truncate(p, back)
                }
                _ => at,
            };
            let number = p.f32_to_int(at);
            if padding == Padding::Zeros {
                return number;
            }
            let (zero, last) = (p.number(0), p.wide(last));
            let negative = types::signed_less(p, number, zero);
            let number = p.select(negative, zero, number);
            let beyond = types::signed_less(p, last, number);
            p.select(beyond, last, number)
        })
    }

    fn weight(
        &self,
        l: &mut Lowering<'_, '_>,
        along: &Along,
        tap: i64,
    ) -> Result<Value, ModelError> {
        let cubic = self.mode == Mode::Cubic;
        let weight = l.floats(&[&along.places], |p, x| {
            let whole = f::floor(p, x[0]);
            let share = p.fsub(x[0], whole);
            let (tap, one) = (p.float(tap as f32), p.float(1.0));
            let distance = p.fsub(share, tap);
            let distance = f::abs(p, distance);
            if !cubic {
                return p.fsub(one, distance);
            }
            // Keys' kernel, a = -0.75
            let (a, five, eight, four) =
                (p.float(-0.75), p.float(3.75), p.float(-6.0), p.float(3.0));
            let (near2, near3) = (p.float(-2.25), p.float(1.25));
            let near = p.fma(near3, distance, near2);
            let square = p.fmul(distance, distance);
            let near = p.fma(near, square, one);
            let far = p.fma(a, distance, five);
            let far = p.fma(far, distance, eight);
            let far = p.fma(far, distance, four);
            let is_near = p.fless(distance, one);
            p.select(is_near, near, far)
        })?;
        let dims = l.dims(&weight);
        l.reshape_to(&weight, [dims, vec![1]].concat())
    }

    fn read(&self, l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
        self.axis(l, 0, &[])
    }

    /// What comes of the axes from `axis` on, the elements of those before being chosen.
    fn axis(
        &self,
        l: &mut Lowering<'_, '_>,
        axis: usize,
        chosen: &[Value],
    ) -> Result<Value, ModelError> {
        let Some(along) = self.axes.get(axis) else {
            return self.element_at(l, chosen);
        };
        let (mut values, mut weights) = (Vec::new(), Vec::new());
        for tap in self.weights() {
            let element = self.element(l, along, tap)?;
            let chosen = [chosen, &[element]].concat();
            values.push(self.axis(l, axis + 1, &chosen)?);
            if self.mode != Mode::Nearest {
                weights.push(self.weight(l, along, tap)?);
            }
        }
        if weights.is_empty() {
            return values.pop().ok_or_else(|| l.fail("no taps"));
        }
        let taps = values.len();
        let all = [values, weights].concat();
        l.map(&all, DType::F32, |p, x| {
            let mut sum = p.fmul(x[0], x[taps]);
            for tap in 1..taps {
                sum = p.fma(x[tap], x[taps + tap], sum);
            }
            sum
        })
    }

    fn element_at(&self, l: &mut Lowering<'_, '_>, chosen: &[Value]) -> Result<Value, ModelError> {
        let lens: Vec<u64> = self.axes.iter().map(|along| along.len).collect();
        let all = [std::slice::from_ref(&self.first), chosen].concat();
        let flat = l.map(&all, DType::I64, |p, x| {
            let (mut at, mut inside) = (p.number(0), p.number(1));
            for (&number, &len) in x[1..].iter().zip(&lens) {
                let len = p.wide(len);
                let row = p.mul(at, len);
                at = p.add(row, number);
                let within = p.less(number, len);
                inside = p.and(inside, within);
            }
            let (found, nowhere) = (p.add(at, x[0]), p.wide(1 << 62));
            p.select(inside, found, nowhere)
        })?;
        l.gather(&self.data, &flat, 0)
    }
}

/// `[N, C, ..]` as rows of channels.
fn channel_rows(l: &mut Lowering<'_, '_>, value: &Value) -> Result<Value, ModelError> {
    let dims = l.dims(value);
    let perm: Vec<usize> = std::iter::once(0).chain(2..dims.len()).chain([1]).collect();
    let moved = l.permuted(value, &perm)?;
    let rows = dims[0].saturating_mul(product(&dims[2..]));
    l.reshape_to(&moved, vec![rows, dims[1]])
}

fn grid_sample(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=2)?;
    let (value, grid) = (l.value(0)?, l.value(1)?);
    let (dims, own) = (l.dims(&value), l.dims(&grid));
    let spatial = dims.len().saturating_sub(2);
    if !(1..=3).contains(&spatial)
        || own.len() != dims.len()
        || own.last() != Some(&(spatial as u64))
        || own[0] != dims[0]
    {
        return Err(l.fail(format!("a grid {own:?} does not fit {dims:?}")));
    }
    let mode = l.attributes.text("mode")?;
    let mode = match mode.as_deref().unwrap_or("linear") {
        "linear" | "bilinear" => Mode::Linear,
        "nearest" => Mode::Nearest,
        "cubic" | "bicubic" => Mode::Cubic,
        other => return Err(l.fail(format!("mode {other:?} is not known"))),
    };
    let padding = l.attributes.text("padding_mode")?;
    let padding = match padding.as_deref().unwrap_or("zeros") {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection,
        other => return Err(l.fail(format!("padding_mode {other:?} is not known"))),
    };
    let align = l.attributes.flag("align_corners", false)?;
    let count = product(&own[1..own.len() - 1]);
    let grid = l.reshape_to(&grid, vec![dims[0], count, spatial as u64])?;
    let mut axes = Vec::with_capacity(spatial);
    for axis in 0..spatial {
        // the grid's first number belongs to the last axis
        let part = l.at(&grid, 2, (spatial - 1 - axis) as u64)?;
        let len = dims[axis + 2];
        let ends = match align {
            true => [0.0, len as f32 - 1.0],
            false => [-0.5, len as f32 - 0.5],
        };
        let places = l.floats(&[&part], |p, x| {
            let (one, half) = (p.float(1.0), p.float(0.5));
            let shifted = p.fadd(x[0], one);
            let place = if align {
                let span = p.float((len as f32 - 1.0) * 0.5);
                p.fmul(shifted, span)
            } else {
                let (len, minus) = (p.float(len as f32), p.float(-1.0));
                let scaled = p.fma(shifted, len, minus);
                p.fmul(scaled, half)
            };
            let place = match mode {
                Mode::Nearest => f::round(p, place),
                _ => place,
            };
            // what lies beyond the ends is brought back before anything is interpolated
            match padding {
                Padding::Zeros => place,
                Padding::Border => {
                    let (low, high) = (p.float(0.0), p.float(len as f32 - 1.0));
                    let (start, end) = (p.float(ends[0]), p.float(ends[1]));
                    let (below, beyond) = (p.fless(place, start), p.fless(end, place));
                    let found = p.select(below, low, place);
                    p.select(beyond, high, found)
                }
                Padding::Reflection => reflected(p, place, ends),
            }
        })?;
        axes.push(Along { len, places, ends });
    }
    let rows = product(&dims[2..]);
    let first = l.positions(&[dims[0], 1], 0)?;
    let first = l.map(&[first], DType::I64, |p, x| {
        let rows = p.wide(rows);
        p.mul(x[0], rows)
    })?;
    let sampler = Sampler {
        axes: &axes,
        mode,
        padding,
        first,
        data: channel_rows(l, &value)?,
    };
    let found = sampler.read(l)?;
    let found = l.permuted(&found, &[0, 2, 1])?;
    let shape = [&dims[..2], &own[1..own.len() - 1]].concat();
    l.reshape_to(&found, shape)
}

fn affine_grid(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=2)?;
    let theta = l.value(0)?;
    let size = l.constant_ints(1, "the size")?;
    let size = bounded(l, "the size", &size, size.len(), 1)?;
    let [n, _, spatial @ ..] = size.as_slice() else {
        return Err(l.fail("the size must have spatial axes"));
    };
    let rank = spatial.len();
    if !(2..=3).contains(&rank) || l.dims(&theta) != [*n, rank as u64, rank as u64 + 1] {
        return Err(l.fail(format!("theta does not fit {size:?}")));
    }
    let align = l.attributes.flag("align_corners", false)?;
    let count = product(spatial);
    l.made_up(count.saturating_mul(rank as u64 + 1))?;
    let place = |at: u64, len: u64| match (align, len) {
        (true, 1) => -1.0,
        (true, len) => -1.0 + at as f64 * 2.0 / (len as f64 - 1.0),
        (false, len) => -1.0 + (at as f64 + 0.5) * 2.0 / len as f64,
    };
    let mut grid = Vec::with_capacity(count as usize * (rank + 1));
    for i in 0..count {
        // the last axis comes first
        let mut rest = i;
        for &len in spatial.iter().rev() {
            grid.push(place(rest % len, len) as f32);
            rest /= len;
        }
        grid.push(1.0);
    }
    let grid = l.numbers(&[count, rank as u64 + 1], grid)?;
    let turned = l.transposed(&theta)?;
    let found = l.matmul(&grid, &turned)?;
    l.reshape_to(&found, [&[*n], spatial, &[rank as u64]].concat())
}

/// A convolution whose taps lie at offsets that are inputs.
fn deform_conv(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(3..=5)?;
    let (weight, offset) = (l.value(1)?, l.value(2)?);
    let w_dims = l.dims(&weight);
    l.attributes.ignore(&["kernel_shape"]);
    let (value, axes) = windows(l, w_dims.get(2..).unwrap_or_default())?;
    let [h, w] = axes.as_slice() else {
        return Err(l.fail("two spatial axes are supported"));
    };
    let groups = u64::from(groups(l)?);
    let parts = u64::try_from(l.attributes.int("offset_group", 1)?).unwrap_or(0);
    let dims = l.dims(&value);
    let (n, c) = (dims[0], dims[1]);
    let (taps, out) = (h.kernel * w.kernel, [h.count(), w.count()]);
    let count = product(&out);
    let filters = w_dims[0];
    if parts == 0
        || !c.is_multiple_of(parts)
        || !filters.is_multiple_of(groups)
        || w_dims[1].saturating_mul(groups) != c
        || l.dims(&offset) != [n, parts * taps * 2, out[0], out[1]]
    {
        return Err(l.fail("offsets, groups and channels do not fit each other"));
    }
    // [n * parts, taps, 2, count]
    let offset = l.reshape_to(&offset, vec![n * parts, taps, 2, count])?;
    let mut along = Vec::with_capacity(2);
    for (i, axis) in [h, w].into_iter().enumerate() {
        let own = l.at(&offset, 2, i as u64)?;
        l.made_up(taps.saturating_mul(count))?;
        let base = (0..taps).flat_map(|tap| (0..count).map(move |at| (tap, at)));
        let base = base.map(|(tap, at)| {
            let (tap, at) = match i {
                0 => (tap / w.kernel, at / out[1]),
                _ => (tap % w.kernel, at % out[1]),
            };
            (at * axis.stride + tap * axis.dilation) as f32 - axis.pads[0] as f32
        });
        let base = base.collect();
        let base = l.numbers(&[taps, count], base)?;
        let places = l.add(&own, &base)?;
        let len = dims[i + 2];
        along.push(Along {
            len,
            places: l.reshape_to(&places, vec![n * parts, taps * count])?,
            ends: [0.0, len as f32 - 1.0],
        });
    }
    let rows = dims[2] * dims[3];
    let first = l.positions(&[n * parts, 1], 0)?;
    let first = l.map(&[first], DType::I64, |p, x| {
        let rows = p.wide(rows);
        p.mul(x[0], rows)
    })?;
    let split = l.reshape_to(&value, vec![n * parts, c / parts, dims[2], dims[3]])?;
    let sampler = Sampler {
        axes: &along,
        mode: Mode::Linear,
        padding: Padding::Zeros,
        first,
        data: channel_rows(l, &split)?,
    };
    let mut read = sampler.read(l)?;
    if let Some(mask) = l.optional(4) {
        let mask = l.reshape_to(&mask, vec![n * parts, taps * count, 1])?;
        read = l.mul(&read, &mask)?;
    }
    let read = l.reshape_to(&read, vec![n * parts, taps, count, c / parts])?;
    let columns = l.permuted(&read, &[0, 3, 1, 2])?;
    let depth = c / groups * taps;
    let columns = l.reshape_to(&columns, vec![n, groups, depth, count])?;
    let weight = l.reshape_to(&weight, vec![groups, filters / groups, depth])?;
    let found = l.matmul(&weight, &columns)?;
    let found = l.reshape_to(&found, vec![n, filters, out[0], out[1]])?;
    match l.optional(3) {
        None => Ok(found),
        Some(bias) => {
            let bias = l.reshape_to(&bias, vec![filters, 1, 1])?;
            l.add(&found, &bias)
        }
    }
}

fn roi_align(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(3..=3)?;
    let (value, rois, batches) = (l.value(0)?, l.value(1)?, l.value(2)?);
    let (dims, own) = (l.dims(&value), l.dims(&rois));
    let (&[_, c, h, w], &[count, 4]) = (dims.as_slice(), own.as_slice()) else {
        return Err(l.fail(format!("a picture {dims:?} and regions {own:?}")));
    };
    let largest = match l.attributes.text("mode")?.as_deref().unwrap_or("avg") {
        "avg" => false,
        "max" => true,
        other => return Err(l.fail(format!("mode {other:?} is not known"))),
    };
    let offset = l.attributes.text("coordinate_transformation_mode")?;
    let default = if l.importer.names.opset < 16 {
        "output_half_pixel"
    } else {
        "half_pixel"
    };
    let half_pixel = match offset.as_deref().unwrap_or(default) {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => {
            return Err(l.fail(format!(
                "coordinate_transformation_mode {other:?} is not known"
            )));
        }
    };
    let size = |l: &Lowering<'_, '_>, name, default| {
        bounded(l, name, &[l.attributes.int(name, default)?], 1, 0).map(|n| n[0])
    };
    let (rows, columns) = (size(l, "output_height", 1)?, size(l, "output_width", 1)?);
    let samples = size(l, "sampling_ratio", 0)?;
    if samples == 0 || rows == 0 || columns == 0 {
        return Err(l.fail("a sampling_ratio of 0, which depends on the region, is not supported"));
    }
    let scale = l.attributes.float("spatial_scale", 1.0)?;
    let batches = l.cast(&batches, DType::I64)?;
    let batches = l.reshape_to(&batches, vec![count, 1, 1])?;
    // places along each axis: [count, places, 1] and [count, 1, places]
    let mut axes = Vec::with_capacity(2);
    for (len, parts, first, shape) in [
        (h, rows, 1, [count, rows * samples, 1]),
        (w, columns, 0, [count, 1, columns * samples]),
    ] {
        let (start, end) = (l.at(&rois, 1, first)?, l.at(&rois, 1, first + 2)?);
        let (start, end) = (
            l.reshape_to(&start, vec![count, 1])?,
            l.reshape_to(&end, vec![count, 1])?,
        );
        let along = (0..parts * samples)
            .map(|i| (i / samples) as f32 + ((i % samples) as f32 + 0.5) / samples as f32);
        let along = along.collect();
        let along = l.numbers(&[1, parts * samples], along)?;
        let places = l.floats(&[&start, &end, &along], |p, x| {
            let (scale, shift) = (p.float(scale), p.float(if half_pixel { 0.5 } else { 0.0 }));
            let (start, end) = (p.fmul(x[0], scale), p.fmul(x[1], scale));
            let (start, end) = (p.fsub(start, shift), p.fsub(end, shift));
            let extent = p.fsub(end, start);
            let (one, parts) = (p.float(1.0), p.float(parts as f32));
            let extent = if half_pixel {
                extent
            } else {
                p.fmax(extent, one)
            };
            let bin = p.fdiv(extent, parts);
            p.fma(bin, x[2], start)
        })?;
        axes.push((len, l.reshape_to(&places, shape.to_vec())?));
    }
    let data = channel_rows(l, &value)?;
    // each of the four neighbours: its weight, 0 where the place lies outside, and its element
    let mut products = Vec::with_capacity(4);
    for (down, right) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut parts = Vec::with_capacity(2);
        for ((len, places), tap) in axes.iter().zip([down, right]) {
            let last = (*len as f32 - 1.0).max(0.0);
            let held = |p: &mut Builder, x: Word| {
                let (zero, last) = (p.float(0.0), p.float(last));
                let raised = p.fmax(x, zero);
                p.fmin(raised, last)
            };
            let number = l.map(std::slice::from_ref(places), DType::I64, |p, x| {
                let place = held(p, x[0]);
                let (whole, tap, last) = (f::floor(p, place), p.float(tap as f32), p.float(last));
                let at = p.fadd(whole, tap);
                let at = p.fmin(at, last);
                p.f32_to_int(at)
            })?;
            let weight = l.floats(&[places], |p, x| {
                let place = held(p, x[0]);
                let whole = f::floor(p, place);
                let (share, one) = (p.fsub(place, whole), p.float(1.0));
                let weight = if tap == 1 { share } else { p.fsub(one, share) };
                let (low, high, zero) = (p.float(-1.0), p.float(*len as f32), p.float(0.0));
                let (below, beyond) = (p.fless(x[0], low), p.fless(high, x[0]));
                let outside = p.or(below, beyond);
                p.select(outside, zero, weight)
            })?;
            parts.push((number, weight));
        }
        let flat = l.map(
            &[batches.clone(), parts[0].0.clone(), parts[1].0.clone()],
            DType::I64,
            |p, x| {
                let (h, w) = (p.wide(h), p.wide(w));
                let row = p.mul(x[0], h);
                let row = p.add(row, x[1]);
                let row = p.mul(row, w);
                p.add(row, x[2])
            },
        )?;
        let pixels = l.gather(&data, &flat, 0)?;
        let weight = l.mul(&parts[0].1, &parts[1].1)?;
        let own = l.dims(&weight);
        let weight = l.reshape_to(&weight, [own, vec![1]].concat())?;
        products.push(l.mul(&pixels, &weight)?);
    }
    let sample = l.map(&products, DType::F32, |p, x| {
        let join = |p: &mut Builder, a, b| match largest {
            true => p.fmax(a, b),
            false => p.fadd(a, b),
        };
        let (a, b) = (join(p, x[0], x[1]), join(p, x[2], x[3]));
        join(p, a, b)
    })?;
    let sample = l.reshape_to(&sample, vec![count, rows, samples, columns, samples, c])?;
    let kind = if largest {
        Reduction::Max
    } else {
        Reduction::Sum
    };
    let found = reduced(l, kind, &sample, &[2, 4])?;
    let found = l.reshape_to(&found, vec![count, rows, columns, c])?;
    let found = l.permuted(&found, &[0, 3, 1, 2])?;
    if largest {
        return Ok(found);
    }
    l.floats(&[&found], |p, x| {
        let count = p.float((samples * samples) as f32);
        p.fdiv(x[0], count)
    })
}
