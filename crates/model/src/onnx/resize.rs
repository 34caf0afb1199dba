//! Resizing: which elements a place of the output is made of, and with what weights, is known at import, axis by axis.

use gavel_numerics::DType;

use super::Value;
use super::build::product;
use super::lower::Lowering;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["Resize", "Upsample"];

/// Taps of one element that a Map adds up; more become a matrix.
const TAPS: usize = 7;

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    let value = l.value(0)?;
    let resize = match op {
        "Upsample" => upsample(l)?,
        _ => Resize::of(l, &l.dims(&value))?,
    };
    Ok(vec![resize.apply(l, value)?])
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, PartialEq)]
enum Nearest {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// How an axis is resized.
struct Along {
    axis: usize,
    from: u64,
    to: u64,
    scale: f64,
    /// Ends of the part that is taken, as shares of the axis.
    part: [f64; 2],
}

struct Resize {
    axes: Vec<Along>,
    mode: Mode,
    nearest: Nearest,
    transform: String,
    cubic: f64,
    exclude_outside: bool,
    antialias: bool,
    extrapolation: f32,
}

fn mode_of(l: &Lowering<'_, '_>) -> Result<Mode, ModelError> {
    Ok(
        match l.attributes.text("mode")?.as_deref().unwrap_or("nearest") {
            "nearest" => Mode::Nearest,
            "linear" | "bilinear" => Mode::Linear,
            "cubic" => Mode::Cubic,
            other => return Err(l.fail(format!("mode {other:?} is not known"))),
        },
    )
}

fn upsample(l: &mut Lowering<'_, '_>) -> Result<Resize, ModelError> {
    let dims = l.ty(0)?.dims;
    let scales = match l.attributes.floats("scales")? {
        Some(scales) => scales.to_vec(),
        None => l.constant_floats(1, "scales")?,
    };
    old(l, &dims, &scales)
}

/// As before opset 11.
fn old(l: &Lowering<'_, '_>, dims: &[u64], scales: &[f32]) -> Result<Resize, ModelError> {
    let all: Vec<usize> = (0..dims.len()).collect();
    Ok(Resize {
        axes: by_scales(l, dims, &all, scales)?,
        mode: mode_of(l)?,
        nearest: Nearest::Floor,
        transform: "asymmetric".into(),
        cubic: -0.75,
        exclude_outside: false,
        antialias: false,
        extrapolation: 0.0,
    })
}

fn by_scales(
    l: &Lowering<'_, '_>,
    dims: &[u64],
    axes: &[usize],
    scales: &[f32],
) -> Result<Vec<Along>, ModelError> {
    if scales.len() != axes.len() {
        return Err(l.fail(format!("{} scales for {} axes", scales.len(), axes.len())));
    }
    let mut found = Vec::with_capacity(axes.len());
    for (&axis, &scale) in axes.iter().zip(scales) {
        let scale = f64::from(scale);
        let to = scale * dims[axis] as f64;
        if !(scale > 0.0 && to <= 16_777_216.0) {
            return Err(l.fail(format!("a scale of {scale} for an axis of {}", dims[axis])));
        }
        found.push(Along {
            axis,
            from: dims[axis],
            to: to as u64,
            scale,
            part: [0.0, 1.0],
        });
    }
    Ok(found)
}

impl Resize {
    fn of(l: &mut Lowering<'_, '_>, dims: &[u64]) -> Result<Resize, ModelError> {
        if l.importer.names.opset < 11 {
            let scales = l.constant_floats(1, "scales")?;
            return old(l, dims, &scales);
        }
        let axes = match l.attributes.ints("axes")? {
            None => (0..dims.len()).collect(),
            Some(axes) => {
                let axes = axes.iter().map(|&axis| l.axis(axis, dims.len()));
                let axes: Vec<usize> = axes
                    .map(|axis| axis.map(|axis| axis as usize))
                    .collect::<Result<_, _>>()?;
                axes
            }
        };
        let policy = l.attributes.text("keep_aspect_ratio_policy")?;
        let given = |l: &Lowering<'_, '_>, i: usize| match l.optional(i) {
            Some(value) => product(&l.dims(&value)) > 0,
            None => false,
        };
        let mut along = if given(l, 2) {
            let scales = l.constant_floats(2, "scales")?;
            by_scales(l, dims, &axes, &scales)?
        } else {
            let sizes = l.constant_ints(3, "sizes")?;
            by_sizes(
                l,
                dims,
                &axes,
                &sizes,
                policy.as_deref().unwrap_or("stretch"),
            )?
        };
        let transform = l.attributes.text("coordinate_transformation_mode")?;
        let transform = transform.unwrap_or_else(|| "half_pixel".into());
        if transform == "tf_crop_and_resize" {
            let roi = l.constant_floats(1, "roi")?;
            if roi.len() != 2 * axes.len() {
                return Err(l.fail("roi must have two numbers for each axis"));
            }
            for (i, along) in along.iter_mut().enumerate() {
                along.part = [roi[i].into(), roi[i + axes.len()].into()];
            }
        }
        let nearest = l.attributes.text("nearest_mode")?;
        let nearest = match nearest.as_deref().unwrap_or("round_prefer_floor") {
            "round_prefer_floor" => Nearest::PreferFloor,
            "round_prefer_ceil" => Nearest::PreferCeil,
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            other => return Err(l.fail(format!("nearest_mode {other:?} is not known"))),
        };
        Ok(Resize {
            axes: along,
            mode: mode_of(l)?,
            nearest,
            transform,
            cubic: l.attributes.float("cubic_coeff_a", -0.75)?.into(),
            exclude_outside: l.attributes.flag("exclude_outside", false)?,
            antialias: l.attributes.flag("antialias", false)?,
            extrapolation: l.attributes.float("extrapolation_value", 0.0)?,
        })
    }

    fn apply(&self, l: &mut Lowering<'_, '_>, value: Value) -> Result<Value, ModelError> {
        let mut found = value;
        let rank = l.dims(&found).len();
        for along in &self.axes {
            let same = along.from == along.to && (along.scale - 1.0).abs() < 1e-9;
            if same && along.part == [0.0, 1.0] {
                continue;
            }
            if along.from == 0 {
                return Err(l.fail("an axis of nothing cannot be resized"));
            }
            l.made_up(along.to)?;
            let places: Vec<f64> = (0..along.to)
                .map(|i| self.place(l, along, i as f64))
                .collect::<Result<_, _>>()?;
            found = self.axis(l, &found, along, &places)?;
            if self.transform == "tf_crop_and_resize" {
                let last = (along.from - 1) as f64;
                let inside: Vec<bool> = places.iter().map(|x| (0.0..=last).contains(x)).collect();
                if inside.contains(&false) {
                    let mut own = vec![1; rank];
                    own[along.axis] = along.to;
                    let inside = l.condition(&own, &inside)?;
                    let beyond = l.numbers(&[], vec![self.extrapolation])?;
                    found = l.select(&inside, &found, &beyond)?;
                }
            }
        }
        Ok(found)
    }

    /// Where place `y` of the output lies in the input.
    fn place(&self, l: &Lowering<'_, '_>, along: &Along, y: f64) -> Result<f64, ModelError> {
        let (from, scale) = (along.from as f64, along.scale);
        let to = scale * from;
        Ok(match self.transform.as_str() {
            "half_pixel" => (y + 0.5) / scale - 0.5,
            "asymmetric" => y / scale,
            "align_corners" if to == 1.0 => 0.0,
            "align_corners" => y * (from - 1.0) / (to - 1.0),
            "pytorch_half_pixel" if to == 1.0 => -0.5,
            "pytorch_half_pixel" => (y + 0.5) / scale - 0.5,
            "half_pixel_symmetric" => {
                let adjusted = along.to as f64 / to;
                from / 2.0 * (1.0 - adjusted) + (y + 0.5) / scale - 0.5
            }
            "tf_crop_and_resize" => {
                let [start, end] = along.part;
                let span = (end - start) * (from - 1.0);
                let within = if to == 1.0 {
                    span / 2.0
                } else {
                    y * span / (to - 1.0)
                };
                within + start * (from - 1.0)
            }
            other => {
                return Err(l.fail(format!(
                    "coordinate_transformation_mode {other:?} is not known"
                )));
            }
        })
    }

    /// Offset of the first tap and weights of all, for a place `ratio` (above 0, at most 1) behind an element.
    fn weights(&self, ratio: f64, scale: f64) -> (i64, Vec<f64>) {
        let a = self.cubic;
        let cubic = |x: f64| {
            let x = x.abs();
            if x <= 1.0 {
                ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
            } else if x < 2.0 {
                ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
            } else {
                0.0
            }
        };
        // smaller pictures: the kernel spans as many elements as one of the output covers
        let scale = if self.antialias { scale.min(1.0) } else { 1.0 };
        let reach = if self.mode == Mode::Cubic { 2.0 } else { 1.0 };
        let first = (-reach / scale).floor() as i64 + 1;
        let taps = first..2 - first;
        let of = |at: i64| {
            let x = (at as f64 - ratio) * scale;
            match self.mode {
                Mode::Cubic => cubic(x),
                _ => (1.0 - x.abs()).clamp(0.0, 1.0),
            }
        };
        let mut weights: Vec<f64> = taps.map(of).collect();
        if self.antialias {
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
        }
        (first, weights)
    }

    fn axis(
        &self,
        l: &mut Lowering<'_, '_>,
        value: &Value,
        along: &Along,
        places: &[f64],
    ) -> Result<Value, ModelError> {
        let last = along.from as i64 - 1;
        // the element in front of a place, the place itself counting as behind
        let front = |x: f64| (x.ceil() as i64 - 1, x - (x.ceil() - 1.0));
        if self.mode == Mode::Nearest {
            let nearest = |&x: &f64| {
                let (at, ratio) = front(x);
                let up = ratio == 1.0
                    || match self.nearest {
                        Nearest::PreferFloor => ratio > 0.5,
                        Nearest::PreferCeil => ratio >= 0.5,
                        Nearest::Floor => false,
                        Nearest::Ceil => true,
                    };
                (at + i64::from(up)).clamp(0, last)
            };
            let at = places.iter().map(nearest).collect();
            let at = l.integers(&[along.to], at)?;
            return l.gather(value, &at, along.axis);
        }
        let rows: Vec<(i64, Vec<f64>)> = places
            .iter()
            .map(|&x| {
                let (at, ratio) = front(x);
                let (first, mut weights) = self.weights(ratio, along.scale);
                if self.exclude_outside {
                    for (i, weight) in weights.iter_mut().enumerate() {
                        if !(0..=last).contains(&(at + first + i as i64)) {
                            *weight = 0.0;
                        }
                    }
                    let sum: f64 = weights.iter().sum();
                    if sum != 0.0 {
                        weights.iter_mut().for_each(|w| *w /= sum);
                    }
                }
                (at + first, weights)
            })
            .collect();
        let taps = rows.first().map_or(0, |row| row.1.len());
        let rank = l.dims(value).len();
        if taps > TAPS {
            return self.by_matrix(l, value, along, &rows);
        }
        let mut own = vec![1; rank];
        own[along.axis] = along.to;
        let (mut values, mut weights) = (Vec::new(), Vec::new());
        for tap in 0..taps {
            let at = rows
                .iter()
                .map(|row| (row.0 + tap as i64).clamp(0, last))
                .collect();
            let at = l.integers(&[along.to], at)?;
            values.push(l.gather(value, &at, along.axis)?);
            let shares = rows.iter().map(|row| row.1[tap] as f32).collect();
            weights.push(l.numbers(&own, shares)?);
        }
        let all = [values, weights].concat();
        l.map(&all, DType::F32, |p, x| {
            let mut sum = p.fmul(x[0], x[taps]);
            for tap in 1..taps {
                sum = p.fma(x[tap], x[taps + tap], sum);
            }
            sum
        })
    }

    /// Many taps: a product with the matrix of all weights.
    fn by_matrix(
        &self,
        l: &mut Lowering<'_, '_>,
        value: &Value,
        along: &Along,
        rows: &[(i64, Vec<f64>)],
    ) -> Result<Value, ModelError> {
        let (from, to) = (along.from as usize, along.to as usize);
        l.made_up(along.from.saturating_mul(along.to))?;
        let mut matrix = vec![0.0f32; from * to];
        for (column, (first, weights)) in rows.iter().enumerate() {
            for (i, &weight) in weights.iter().enumerate() {
                let at = (first + i as i64).clamp(0, from as i64 - 1) as usize;
                matrix[at * to + column] += weight as f32;
            }
        }
        let matrix = l.numbers(&[along.from, along.to], matrix)?;
        let rank = l.dims(value).len();
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(along.axis, rank - 1);
        let moved = l.permuted(value, &perm)?;
        let found = l.matmul(&moved, &matrix)?;
        l.permuted(&found, &perm)
    }
}

fn by_sizes(
    l: &Lowering<'_, '_>,
    dims: &[u64],
    axes: &[usize],
    sizes: &[i64],
    policy: &str,
) -> Result<Vec<Along>, ModelError> {
    if sizes.len() != axes.len() {
        return Err(l.fail(format!("{} sizes for {} axes", sizes.len(), axes.len())));
    }
    let mut found = Vec::with_capacity(axes.len());
    for (&axis, &size) in axes.iter().zip(sizes) {
        let to = u64::try_from(size).ok().filter(|&n| n <= 1 << 24);
        let to = to.ok_or_else(|| l.fail(format!("a size of {size}")))?;
        found.push(Along {
            axis,
            from: dims[axis],
            to,
            scale: to as f64 / dims[axis] as f64,
            part: [0.0, 1.0],
        });
    }
    let scales = found.iter().map(|along| along.scale);
    let one = match policy {
        "stretch" => return Ok(found),
        "not_larger" => scales.fold(f64::INFINITY, f64::min),
        "not_smaller" => scales.fold(0.0, f64::max),
        other => return Err(l.fail(format!("keep_aspect_ratio_policy {other:?} is not known"))),
    };
    for along in &mut found {
        along.scale = one;
        along.to = (one * along.from as f64 + 0.5) as u64;
    }
    Ok(found)
}
