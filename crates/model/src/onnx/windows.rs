//! Convolutions and pooling over one or two spatial axes. One axis is two of which the first has extent 1.

use gavel_numerics::{Op, Window2d};

use super::Value;
use super::lower::Lowering;
use crate::ModelError;

/// An input with two spatial axes, and whether it had one.
struct Spatial {
    value: Value,
    flat: bool,
    /// Extents of the two axes.
    extents: [u64; 2],
}

impl Spatial {
    fn of(l: &mut Lowering<'_, '_>) -> Result<Spatial, ModelError> {
        let value = l.value(0)?;
        match l.dims(&value)[..] {
            [_, _, h, w] => Ok(Spatial {
                value,
                flat: false,
                extents: [h, w],
            }),
            [n, c, w] => Ok(Spatial {
                value: l.reshape_to(&value, vec![n, c, 1, w])?,
                flat: true,
                extents: [1, w],
            }),
            ref dims => Err(l.fail(format!(
                "one or two spatial axes are supported (rank 3 or 4), found rank {}",
                dims.len()
            ))),
        }
    }

    /// A number for each spatial axis: of one axis, beside `first` for the axis that it has not.
    fn pair(
        &self,
        l: &Lowering<'_, '_>,
        name: &str,
        ints: &[i64],
        first: u32,
    ) -> Result<[u32; 2], ModelError> {
        match (l.small(name, ints)?[..].as_ref(), self.flat) {
            ([a, b], false) => Ok([*a, *b]),
            ([b], true) => Ok([first, *b]),
            _ => Err(l.fail(format!(
                "{name} must have a value for each spatial axis, found {ints:?}"
            ))),
        }
    }

    /// The attribute `name`, 1 where it is absent.
    fn steps(&self, l: &Lowering<'_, '_>, name: &'static str) -> Result<[u32; 2], ModelError> {
        match l.attributes.ints(name)? {
            Some(ints) => self.pair(l, name, ints, 1),
            None => Ok([1, 1]),
        }
    }

    /// The window, `auto_pad` resolved.
    fn window(&self, l: &Lowering<'_, '_>, kernel: [u32; 2]) -> Result<Window2d, ModelError> {
        let (strides, dilations) = (self.steps(l, "strides")?, self.steps(l, "dilations")?);
        if strides.contains(&0) || dilations.contains(&0) || kernel.contains(&0) {
            return Err(l.fail("kernel, strides and dilations must be positive"));
        }
        let explicit = l.attributes.ints("pads")?;
        let auto = l.attributes.text("auto_pad")?;
        let auto = auto.unwrap_or_else(|| "NOTSET".into());
        let mut window = Window2d {
            kernel,
            strides,
            dilations,
            pads: [0; 4],
        };
        match (auto.as_str(), explicit) {
            ("NOTSET", None) | ("VALID", _) => {}
            ("NOTSET", Some(ints)) if ints.len().is_multiple_of(2) => {
                let (before, behind) = ints.split_at(ints.len() / 2);
                let (before, behind) = (
                    self.pair(l, "pads", before, 0)?,
                    self.pair(l, "pads", behind, 0)?,
                );
                window.pads = [before[0], before[1], behind[0], behind[1]];
            }
            ("NOTSET", Some(ints)) => {
                return Err(l.fail(format!("pads must be pairs, found {ints:?}")));
            }
            ("SAME_UPPER" | "SAME_LOWER", _) => {
                for (axis, &extent) in self.extents.iter().enumerate() {
                    let stride = u64::from(strides[axis]);
                    let count = extent.div_ceil(stride).max(1);
                    let total =
                        ((count - 1) * stride + reach(&window, axis)).saturating_sub(extent);
                    let total = u32::try_from(total);
                    let total = total.map_err(|_| l.fail("its padding is too large"))?;
                    let less = total / 2;
                    let (before, behind) = if auto == "SAME_UPPER" {
                        (less, total - less)
                    } else {
                        (total - less, less)
                    };
                    window.pads[axis] = before;
                    window.pads[axis + 2] = behind;
                }
            }
            (other, _) => return Err(l.fail(format!("auto_pad {other:?} is not known"))),
        }
        Ok(window)
    }

    /// The operator on the input and others, with as many spatial axes as the input had.
    fn apply(
        &self,
        l: &mut Lowering<'_, '_>,
        op: Op,
        others: Vec<Value>,
    ) -> Result<Value, ModelError> {
        let values = [vec![self.value.clone()], others].concat();
        let found = l.node(op, &values)?;
        match (self.flat, &l.dims(&found)[..]) {
            (true, &[n, c, _, w]) => l.reshape_to(&found, vec![n, c, w]),
            _ => Ok(found),
        }
    }
}

/// Elements from the first tap of a window to the last.
fn reach(window: &Window2d, axis: usize) -> u64 {
    u64::from(window.kernel[axis] - 1) * u64::from(window.dilations[axis]) + 1
}

pub(super) fn conv(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=3)?;
    let spatial = Spatial::of(l)?;
    let weight = l.value(1)?;
    let (ty, dims) = (l.ty(1)?, l.dims(&weight));
    let weight = match (&dims[..], spatial.flat) {
        (&[m, c, k], true) => l.reshape_to(&weight, vec![m, c, 1, k])?,
        _ => weight,
    };
    let [_, _, kh, kw] = <[u64; 4]>::try_from(l.dims(&weight))
        .map_err(|_| l.fail(format!("W must have the input's axes, found {ty}")))?;
    let extent = |v: u64| u32::try_from(v).map_err(|_| l.fail(format!("W {ty} is too large")));
    let kernel = [extent(kh)?, extent(kw)?];
    if let Some(declared) = l.attributes.ints("kernel_shape")?
        && spatial.pair(l, "kernel_shape", declared, 1)? != kernel
    {
        return Err(l.fail(format!("kernel_shape {declared:?} is not W's {kh}x{kw}")));
    }
    let groups = u32::try_from(l.attributes.int("group", 1)?);
    let groups = groups.map_err(|_| l.fail("group must be positive"))?;
    let window = spatial.window(l, kernel)?;
    let op = Op::Conv2d { window, groups };
    if !spatial.flat {
        return l.apply_to(3, op, l.label.to_owned());
    }
    let others = std::iter::once(weight).chain(l.optional(2)).collect();
    spatial.apply(l, op, others)
}

pub(super) fn pool(l: &mut Lowering<'_, '_>, max: bool) -> Result<Value, ModelError> {
    l.some_inputs(1..=1)?;
    let spatial = Spatial::of(l)?;
    let kernel = l.attributes.ints("kernel_shape")?;
    let kernel = kernel.ok_or_else(|| l.fail("kernel_shape is missing"))?;
    let kernel = spatial.pair(l, "kernel_shape", kernel, 1)?;
    let mut window = spatial.window(l, kernel)?;
    let ceil = l.attributes.flag("ceil_mode", false)?;
    let include_pad = !max && l.attributes.flag("count_include_pad", false)?;
    if ceil {
        for axis in 0..2 {
            let more = beyond(&window, axis, spatial.extents[axis]);
            if more > 0 && include_pad {
                return Err(
                    l.fail("ceil_mode that adds a window that counts padding is not supported")
                );
            }
            let padding = u64::from(window.pads[axis + 2]) + more;
            let padding = u32::try_from(padding);
            window.pads[axis + 2] = padding.map_err(|_| l.fail("its padding is too large"))?;
        }
    }
    if !max {
        let op = Op::AveragePool2d {
            window,
            count_include_pad: include_pad,
        };
        return spatial.apply(l, op, Vec::new());
    }
    if l.attributes.int("storage_order", 0)? != 0 {
        return Err(l.fail("storage_order 1 is not supported"));
    }
    spatial.apply(l, Op::MaxPool2d { window }, Vec::new())
}

/// Padding behind the end that makes room for a last window that begins inside of the input, or before it.
fn beyond(window: &Window2d, axis: usize, extent: u64) -> u64 {
    let (before, behind) = (window.pads[axis], window.pads[axis + 2]);
    let padded = extent + u64::from(before) + u64::from(behind);
    let (reach, stride) = (reach(window, axis), u64::from(window.strides[axis]));
    let Some(room) = padded.checked_sub(reach) else {
        return 0;
    };
    let last = room.div_ceil(stride) * stride;
    match last < extent + u64::from(before) {
        true => last - room,
        false => 0,
    }
}
