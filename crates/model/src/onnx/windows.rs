//! Convolutions over one to three spatial axes. One axis is two of which the first has extent 1; of three, the taps of the first
//! become channels.

use gavel_numerics::{Beyond, Op, ViewAxis, Window2d};

use super::Value;
use super::build::product;
use super::lower::Lowering;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["Conv", "ConvTranspose"];

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    Ok(vec![match op {
        "Conv" => conv(l)?,
        _ => conv_transpose(l)?,
    }])
}

/// How windows lie on an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Along {
    pub(super) extent: u64,
    pub(super) kernel: u64,
    pub(super) stride: u64,
    pub(super) dilation: u64,
    /// Padding before and behind.
    pub(super) pads: [u64; 2],
    /// Places behind the padding that a last window may reach into.
    pub(super) beyond: u64,
}

impl Along {
    /// Elements from the first tap to the last.
    pub(super) fn reach(&self) -> u64 {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Windows.
    pub(super) fn count(&self) -> u64 {
        let padded = self.extent + self.pads[0] + self.pads[1] + self.beyond;
        match padded.checked_sub(self.reach()) {
            Some(room) => room / self.stride + 1,
            None => 0,
        }
    }

    /// Makes room for a last window that begins inside of the input, or before it.
    pub(super) fn round_up(&mut self) {
        let padded = self.extent + self.pads[0] + self.pads[1];
        let Some(room) = padded.checked_sub(self.reach()) else {
            return;
        };
        let last = room.div_ceil(self.stride) * self.stride;
        if last < self.extent + self.pads[0] {
            self.beyond = last - room;
        }
    }

    /// The elements under tap `tap` of each window.
    pub(super) fn tap(&self, tap: u64) -> ViewAxis {
        let at = (tap * self.dilation) as i64 - self.pads[0] as i64;
        ViewAxis {
            extent: self.count(),
            start: at,
            step: self.stride as i64,
            beyond: Beyond::Fill,
        }
    }
}

/// The spatial axes of input 0 and the attributes of its windows, `auto_pad` resolved.
pub(super) fn windows(
    l: &mut Lowering<'_, '_>,
    kernel: &[u64],
) -> Result<(Value, Vec<Along>), ModelError> {
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let spatial = dims.len().saturating_sub(2);
    if !(1..=3).contains(&spatial) || kernel.len() != spatial {
        return Err(l.fail(format!(
            "one to three spatial axes are supported, each with a kernel extent; found {dims:?} and {kernel:?}"
        )));
    }
    let strides = positive(l, "strides", spatial)?;
    let dilations = positive(l, "dilations", spatial)?;
    let auto = l.attributes.text("auto_pad")?;
    let auto = auto.unwrap_or_else(|| "NOTSET".into());
    let pads = match l.attributes.ints("pads")? {
        Some(pads) if auto == "NOTSET" => bounded(l, "pads", pads, 2 * spatial, 0)?,
        _ => vec![0; 2 * spatial],
    };
    let mut axes = Vec::with_capacity(spatial);
    for i in 0..spatial {
        let mut along = Along {
            extent: dims[i + 2],
            kernel: kernel[i],
            stride: strides[i],
            dilation: dilations[i],
            pads: [pads[i], pads[i + spatial]],
            beyond: 0,
        };
        if kernel[i] == 0 || kernel[i] > 1 << 16 {
            return Err(l.fail(format!("a kernel of {kernel:?}")));
        }
        match auto.as_str() {
            "NOTSET" | "VALID" => {}
            "SAME_UPPER" | "SAME_LOWER" => {
                let count = along.extent.div_ceil(along.stride).max(1);
                let whole = (count - 1) * along.stride + along.reach();
                let total = whole.saturating_sub(along.extent);
                let (less, more) = (total / 2, total - total / 2);
                along.pads = match auto.as_str() {
                    "SAME_UPPER" => [less, more],
                    _ => [more, less],
                };
            }
            other => return Err(l.fail(format!("auto_pad {other:?} is not known"))),
        }
        axes.push(along);
    }
    Ok((value, axes))
}

/// An attribute of positive numbers, one for each spatial axis; 1 where it is absent.
fn positive(
    l: &Lowering<'_, '_>,
    name: &'static str,
    count: usize,
) -> Result<Vec<u64>, ModelError> {
    match l.attributes.ints(name)? {
        Some(ints) => bounded(l, name, ints, count, 1),
        None => Ok(vec![1; count]),
    }
}

/// Numbers from `least` to what windows may have.
pub(super) fn bounded(
    l: &Lowering<'_, '_>,
    name: &str,
    ints: &[i64],
    count: usize,
    least: i64,
) -> Result<Vec<u64>, ModelError> {
    if ints.len() == count && ints.iter().all(|n| (least..=1 << 16).contains(n)) {
        return Ok(ints.iter().map(|n| n.cast_unsigned()).collect());
    }
    Err(l.fail(format!(
        "{name} must be {count} numbers from {least} to 65536, found {ints:?}"
    )))
}

/// Extents of the kernel that a weight `[M, C, ..]` has.
fn kernel_of(l: &Lowering<'_, '_>, weight: &Value) -> Result<Vec<u64>, ModelError> {
    let dims = l.dims(weight);
    let kernel = dims.get(2..).unwrap_or_default().to_vec();
    if let Some(declared) = l.attributes.ints("kernel_shape")?
        && !declared
            .iter()
            .copied()
            .eq(kernel.iter().map(|&k| k.cast_signed()))
    {
        return Err(l.fail(format!("kernel_shape {declared:?} is not W's {kernel:?}")));
    }
    Ok(kernel)
}

pub(super) fn groups(l: &Lowering<'_, '_>) -> Result<u32, ModelError> {
    u32::try_from(l.attributes.int("group", 1)?)
        .ok()
        .filter(|&groups| groups > 0)
        .ok_or_else(|| l.fail("group must be positive"))
}

fn conv(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=3)?;
    let weight = l.value(1)?;
    let kernel = kernel_of(l, &weight)?;
    let (value, axes) = windows(l, &kernel)?;
    let groups = groups(l)?;
    let bias = l.optional(2);
    convolved(l, &value, &weight, bias.as_ref(), &axes, groups)
}

/// The window of two axes.
pub(super) fn window_of(l: &Lowering<'_, '_>, axes: &[Along]) -> Result<Window2d, ModelError> {
    let [a, b] = axes else {
        return Err(l.fail("two spatial axes were expected"));
    };
    let small = |n: u64| u32::try_from(n).map_err(|_| l.fail("its padding is too large"));
    Ok(Window2d {
        kernel: [small(a.kernel)?, small(b.kernel)?],
        strides: [small(a.stride)?, small(b.stride)?],
        dilations: [small(a.dilation)?, small(b.dilation)?],
        pads: [
            small(a.pads[0])?,
            small(b.pads[0])?,
            small(a.pads[1] + a.beyond)?,
            small(b.pads[1] + b.beyond)?,
        ],
    })
}

/// An axis that is not there.
pub(super) const NONE: Along = Along {
    extent: 1,
    kernel: 1,
    stride: 1,
    dilation: 1,
    pads: [0, 0],
    beyond: 0,
};

/// `X [N, C, ..]` and `W [M, C / groups, ..]`.
pub(super) fn convolved(
    l: &mut Lowering<'_, '_>,
    x: &Value,
    weight: &Value,
    bias: Option<&Value>,
    axes: &[Along],
    groups: u32,
) -> Result<Value, ModelError> {
    let (dims, own) = (l.dims(x), l.dims(weight));
    if own.len() != dims.len() {
        return Err(l.fail(format!("W must have the axes of the input, found {own:?}")));
    }
    let flat = |dims: &[u64]| vec![dims[0], dims[1], 1, dims[2]];
    match axes {
        [along] => {
            let (x, weight) = (
                l.reshape_to(x, flat(&dims))?,
                l.reshape_to(weight, flat(&own))?,
            );
            let found = convolved(l, &x, &weight, bias, &[NONE, *along], groups)?;
            let [n, m, _, w] = <[u64; 4]>::try_from(l.dims(&found)).unwrap_or_default();
            l.reshape_to(&found, vec![n, m, w])
        }
        [_, _] => {
            let window = window_of(l, axes)?;
            let mut values = vec![x.clone(), weight.clone()];
            values.extend(bias.cloned());
            l.node(Op::Conv2d { window, groups }, &values)
        }
        [depth, rest @ ..] => {
            let mut taps = Vec::new();
            for tap in 0..depth.kernel {
                let mut view = l.axes_of(x);
                view[2] = depth.tap(tap);
                taps.push(l.view(x, view)?);
            }
            let (n, c, count) = (dims[0], dims[1], depth.count());
            let stacked = l.stack(&taps, 2)?;
            let moved = l.permuted(&stacked, &[0, 3, 1, 2, 4, 5])?;
            let channels = c.saturating_mul(depth.kernel);
            let planes = l.reshape_to(
                &moved,
                vec![n.saturating_mul(count), channels, dims[3], dims[4]],
            )?;
            let weight = l.reshape_to(
                weight,
                vec![own[0], own[1].saturating_mul(own[2]), own[3], own[4]],
            )?;
            let found = convolved(l, &planes, &weight, bias, rest, groups)?;
            let [_, m, h, w] = <[u64; 4]>::try_from(l.dims(&found)).unwrap_or_default();
            let found = l.reshape_to(&found, vec![n, count, m, h, w])?;
            l.permuted(&found, &[0, 2, 1, 3, 4])
        }
        [] => Err(l.fail("it has no spatial axis")),
    }
}

/// The convolution whose gradient it is named after: the input with zeros between its elements, under the kernel turned around.
fn conv_transpose(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=3)?;
    let weight = l.value(1)?;
    let kernel = kernel_of(l, &weight)?;
    let auto = l.attributes.text("auto_pad")?;
    let shape = l.attributes.ints("output_shape")?;
    let more = l.attributes.ints("output_padding")?;
    let spatial = kernel.len();
    let more = match more {
        Some(more) => bounded(l, "output_padding", more, spatial, 0)?,
        None => vec![0; spatial],
    };
    let (x, mut axes) = windows(l, &kernel)?;
    let groups = groups(l)?;
    let upper = auto.as_deref() == Some("SAME_UPPER");
    let same = upper || auto.as_deref() == Some("SAME_LOWER");
    let mut margins = Vec::with_capacity(spatial);
    for (i, along) in axes.iter_mut().enumerate() {
        let whole = (along.extent.max(1) - 1) * along.stride + along.reach() + more[i];
        let wanted = match shape {
            Some(shape) => {
                let shape = bounded(l, "output_shape", shape, spatial, 0)?;
                Some(shape[i])
            }
            None => same.then_some(along.extent * along.stride),
        };
        if let Some(wanted) = wanted {
            let total = whole.saturating_sub(wanted);
            let (less, rest) = (total / 2, total - total / 2);
            along.pads = if upper { [less, rest] } else { [rest, less] };
        }
        // what is cut off the ends of the whole
        let border = along.reach() as i64 - 1;
        let before = border - along.pads[0] as i64;
        let size = (along.extent.max(1) - 1) as i64 * along.stride as i64 + 1;
        let out = match wanted {
            Some(wanted) => wanted as i64,
            None => whole as i64 - along.pads[0] as i64 - along.pads[1] as i64,
        };
        let extent = out + border;
        if out < 0 || size > 1 << 32 {
            return Err(l.fail("its padding is larger than its output"));
        }
        margins.push((before, extent as u64));
    }
    let dims = l.dims(&x);
    // zeros behind each element, then the margins
    let mut spread = dims[..2].to_vec();
    let mut view = vec![ViewAxis::whole(dims[0]), ViewAxis::whole(dims[1])];
    let mut joined = dims[..2].to_vec();
    for along in &axes {
        spread.extend([along.extent, 1]);
        view.extend([ViewAxis::whole(along.extent), ViewAxis::whole(along.stride)]);
        joined.push(along.extent.saturating_mul(along.stride));
    }
    let value = l.reshape_to(&x, spread)?;
    let value = l.view(&value, view)?;
    let value = l.reshape_to(&value, joined)?;
    let mut view = l.axes_of(&value);
    for (i, &(before, extent)) in margins.iter().enumerate() {
        view[i + 2].start = -before;
        view[i + 2].extent = extent;
    }
    let value = l.view(&value, view)?;
    let turned = turned_weight(l, &weight, groups)?;
    for (along, &(_, extent)) in axes.iter_mut().zip(&margins) {
        (along.extent, along.stride, along.pads) = (extent, 1, [0, 0]);
    }
    let bias = l.optional(2);
    convolved(l, &value, &turned, bias.as_ref(), &axes, groups)
}

/// `W [C, M / groups, ..]` backwards as `[M, C / groups, ..]`.
fn turned_weight(
    l: &mut Lowering<'_, '_>,
    weight: &Value,
    groups: u32,
) -> Result<Value, ModelError> {
    let dims = l.dims(weight);
    let groups = u64::from(groups);
    let [c, per_group, kernel @ ..] = dims.as_slice() else {
        return Err(l.fail("W must have channels"));
    };
    if !c.is_multiple_of(groups) {
        return Err(l.fail(format!("{groups} groups of {c} channels")));
    }
    let mut view = l.axes_of(weight);
    for axis in &mut view[2..] {
        (axis.start, axis.step) = (axis.extent as i64 - 1, -1);
    }
    let turned = l.view(weight, view)?;
    let taps = product(kernel);
    let split = l.reshape_to(&turned, vec![groups, c / groups, *per_group, taps])?;
    let moved = l.permuted(&split, &[0, 2, 1, 3])?;
    let own = [&[groups.saturating_mul(*per_group), c / groups], kernel].concat();
    l.reshape_to(&moved, own)
}
