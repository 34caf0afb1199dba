//! Pictures cut and put together, and boxes in them.

use gavel_numerics::{Combine, DType};

use super::Value;
use super::build::product;
use super::lower::Lowering;
use super::windows::{Along, bounded};
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["CenterCropPad", "Col2Im", "NonMaxSuppression"];

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    Ok(vec![match op {
        "CenterCropPad" => center_crop_pad(l)?,
        "Col2Im" => columns_to_image(l)?,
        _ => non_max_suppression(l)?,
    }])
}

fn center_crop_pad(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=2)?;
    let value = l.value(0)?;
    let mut view = l.axes_of(&value);
    let shape = l.constant_ints(1, "the shape")?;
    let axes = match l.attributes.ints("axes")? {
        Some(axes) => axes.to_vec(),
        None => (0..view.len() as i64).collect(),
    };
    let shape = bounded(l, "the shape", &shape, axes.len(), 0)?;
    for (axis, extent) in axes.into_iter().zip(shape) {
        let axis = l.axis(axis, view.len())? as usize;
        let len = view[axis].extent;
        view[axis].extent = extent;
        view[axis].start = match extent <= len {
            true => ((len - extent) / 2) as i64,
            false => -(((extent - len) / 2) as i64),
        };
    }
    l.view(&value, view)
}

/// Blocks of columns added up where they lie in the picture.
fn columns_to_image(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(3..=3)?;
    let value = l.value(0)?;
    let (image, block) = (
        l.constant_ints(1, "the image's shape")?,
        l.constant_ints(2, "the block's shape")?,
    );
    let rank = image.len();
    let image = bounded(l, "the image's shape", &image, rank, 1)?;
    let block = bounded(l, "the block's shape", &block, rank, 1)?;
    let each =
        |l: &Lowering<'_, '_>, name, count, default: u64, least| match l.attributes.ints(name)? {
            Some(ints) => bounded(l, name, ints, count, least),
            None => Ok(vec![default; count]),
        };
    let strides = each(l, "strides", rank, 1, 1)?;
    let dilations = each(l, "dilations", rank, 1, 1)?;
    let pads = each(l, "pads", 2 * rank, 0, 0)?;
    let axes: Vec<Along> = (0..rank)
        .map(|i| Along {
            extent: image[i],
            kernel: block[i],
            stride: strides[i],
            dilation: dilations[i],
            pads: [pads[i], pads[i + rank]],
            beyond: 0,
        })
        .collect();
    let counts: Vec<u64> = axes.iter().map(Along::count).collect();
    let (taps, blocks, pixels) = (product(&block), product(&counts), product(&image));
    let dims = l.dims(&value);
    let [n, all, found] = dims[..] else {
        return Err(l.fail("its input must have 3 axes"));
    };
    if found != blocks || taps == 0 || !all.is_multiple_of(taps) {
        return Err(l.fail(format!(
            "{dims:?} are no {blocks} blocks of {taps} elements"
        )));
    }
    let channels = all / taps;
    l.made_up(taps.saturating_mul(blocks))?;
    let mut places = Vec::with_capacity((taps * blocks) as usize);
    for tap in 0..taps {
        for at in 0..blocks {
            let (mut tap, mut at, mut place, mut stride) = (tap, at, Some(0), 1);
            for along in axes.iter().rev() {
                let (own, window) = (tap % along.kernel, at % along.count());
                (tap, at) = (tap / along.kernel, at / along.count());
                let inside = (window * along.stride + own * along.dilation)
                    .checked_sub(along.pads[0])
                    .filter(|&i| i < along.extent);
                place = place.zip(inside).map(|(place, i)| place + i * stride);
                stride *= along.extent;
            }
            // padding is nowhere
            places.push(place.map_or(1 << 62, |place| place as i64));
        }
    }
    let places = l.integers(&[taps * blocks], places)?;
    let columns = l.reshape_to(&value, vec![n, channels, taps, blocks])?;
    let rows = l.permuted(&columns, &[2, 3, 0, 1])?;
    let rows = l.reshape_to(&rows, vec![taps * blocks, n * channels])?;
    let zeros = l.zeros(DType::F32, &[pixels, n * channels])?;
    let sums = l.scatter(&zeros, &places, &rows, Combine::Add)?;
    let turned = l.transposed(&sums)?;
    l.reshape_to(&turned, [&[n, channels], image.as_slice()].concat())
}

/// Of boxes that are known: how many are chosen depends on them.
fn non_max_suppression(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let what = "how many boxes are chosen depends on them: its inputs";
    let dims = [l.ty(0)?.dims, l.ty(1)?.dims];
    let ([n, boxes, 4], [_, classes, _]) = (&dims[0][..], &dims[1][..]) else {
        return Err(l.fail(format!("boxes {:?} and scores {:?}", dims[0], dims[1])));
    };
    if dims[1] != [*n, *classes, *boxes] {
        return Err(l.fail(format!("boxes {:?} and scores {:?}", dims[0], dims[1])));
    }
    let (corners, scores) = (l.constant_floats(0, what)?, l.constant_floats(1, what)?);
    let most = match l.optional(2) {
        Some(_) => l.constant_ints(2, "the number of boxes")?.first().copied(),
        None => None,
    };
    let most = usize::try_from(most.unwrap_or(0)).unwrap_or(0);
    let threshold = |l: &mut Lowering<'_, '_>, i: usize| -> Result<Option<f32>, ModelError> {
        match l.optional(i) {
            Some(_) => Ok(l.constant_floats(i, "a threshold")?.first().copied()),
            None => Ok(None),
        }
    };
    let overlap = threshold(l, 3)?.unwrap_or(0.0);
    let least = threshold(l, 4)?;
    let centred = l.attributes.flag("center_point_box", false)?;
    // lower and upper ends along both axes
    let ends = |batch: usize, i: usize| -> [f32; 4] {
        let at = (batch * *boxes as usize + i) * 4;
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| corners[at + k]);
        match centred {
            true => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
            false => [a.min(c), b.min(d), a.max(c), b.max(d)],
        }
    };
    let share = |a: [f32; 4], b: [f32; 4]| {
        let area = |[x0, y0, x1, y1]: [f32; 4]| (x1 - x0) * (y1 - y0);
        let inner = [
            a[0].max(b[0]),
            a[1].max(b[1]),
            a[2].min(b[2]),
            a[3].min(b[3]),
        ];
        let (width, height) = (inner[2] - inner[0], inner[3] - inner[1]);
        if width <= 0.0 || height <= 0.0 {
            return 0.0;
        }
        let common = width * height;
        common / (area(a) + area(b) - common)
    };
    let mut chosen = Vec::new();
    for batch in 0..*n as usize {
        for class in 0..*classes as usize {
            let first = (batch * *classes as usize + class) * *boxes as usize;
            let of = |i: usize| scores[first + i];
            let mut order: Vec<usize> = (0..*boxes as usize)
                .filter(|&i| least.is_none_or(|least| of(i) > least))
                .collect();
            order.sort_by(|&a, &b| of(b).total_cmp(&of(a)));
            let mut taken: Vec<usize> = Vec::new();
            for i in order {
                if taken.len() >= most {
                    break;
                }
                let own = ends(batch, i);
                if taken
                    .iter()
                    .all(|&other| share(own, ends(batch, other)) <= overlap)
                {
                    taken.push(i);
                }
            }
            chosen.extend(
                taken
                    .iter()
                    .flat_map(|&i| [batch, class, i].map(|n| n as i64)),
            );
        }
    }
    l.integers(&[chosen.len() as u64 / 3, 3], chosen)
}
