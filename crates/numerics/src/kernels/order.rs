//! Rows changed by their indices, places in order, and running sums.

use super::softmax::AxisShape;
use crate::scalar::{canonical, max, min};
use crate::{Combine, Reduction};

/// Calls `update` with the place of a row in the output and that of its update, in turn.
fn rows_of(
    rows: usize,
    width: usize,
    indices: &[i64],
    mut update: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>),
) {
    for (i, &index) in indices.iter().enumerate() {
        let index = if index < 0 {
            index.checked_add_unsigned(rows as u64)
        } else {
            Some(index)
        };
        let row = index.and_then(|at| usize::try_from(at).ok());
        if let Some(row) = row.filter(|&row| row < rows) {
            update(row * width..(row + 1) * width, i * width..(i + 1) * width);
        }
    }
}

/// Rows of `out` become the updates of their indices; the last one stays.
pub(super) fn replace<T: Copy>(
    rows: usize,
    width: usize,
    indices: &[i64],
    updates: &[T],
    out: &mut [T],
) {
    rows_of(rows, width, indices, |to, from| {
        out[to].copy_from_slice(&updates[from]);
    });
}

/// Rows of `out` and the updates of their indices, one after the other.
pub(super) fn combine_floats(
    combine: Combine,
    rows: usize,
    width: usize,
    indices: &[i64],
    updates: &[f32],
    out: &mut [f32],
) {
    let step: fn(f32, f32) -> f32 = match combine {
        Combine::Replace => |_, u| u,
        Combine::Add => |x, u| x + u,
        Combine::Mul => |x, u| x * u,
        Combine::Max => max,
        Combine::Min => min,
    };
    rows_of(rows, width, indices, |to, from| {
        for (x, &u) in out[to].iter_mut().zip(&updates[from]) {
            *x = canonical(step(*x, u));
        }
    });
}

/// As [`combine_floats`], modulo 2^64.
pub(super) fn combine_integers(
    combine: Combine,
    rows: usize,
    width: usize,
    indices: &[i64],
    updates: &[i64],
    out: &mut [i64],
) {
    let step: fn(i64, i64) -> i64 = match combine {
        Combine::Replace => |_, u| u,
        Combine::Add => i64::wrapping_add,
        Combine::Mul => i64::wrapping_mul,
        Combine::Max => i64::max,
        Combine::Min => i64::min,
    };
    rows_of(rows, width, indices, |to, from| {
        for (x, &u) in out[to].iter_mut().zip(&updates[from]) {
            *x = step(*x, u);
        }
    });
}

/// A word that is less where the number is; both zeros have one, NaN has the largest.
pub(super) fn key_of_float(x: f32) -> u64 {
    let (bits, sign) = (u64::from(x.to_bits()), 1 << 31);
    if bits < sign {
        bits + sign
    } else {
        2 * sign - bits
    }
}

/// A word that is less where the number is.
pub(super) fn key_of_integer(x: i64) -> u64 {
    x.cast_unsigned() ^ 1 << 63
}

/// Places along `axis` of the first elements in order: as many as `out` has room for.
pub(super) fn top_k<T: Copy>(
    axis: AxisShape,
    largest: bool,
    x: &[T],
    key: impl Fn(T) -> u64,
    out: &mut [i64],
) {
    let AxisShape { outer, len, inner } = axis;
    let count = out.len().checked_div(outer * inner).unwrap_or(0);
    if count == 0 {
        return;
    }
    let mut order: Vec<(u64, usize)> = Vec::with_capacity(len);
    for block in 0..outer {
        for within in 0..inner {
            order.clear();
            order.extend((0..len).map(|i| {
                let key = key(x[(block * len + i) * inner + within]);
                (if largest { u64::MAX - key } else { key }, i)
            }));
            if count < len {
                order.select_nth_unstable(count - 1);
            }
            order[..count].sort_unstable();
            for (rank, &(_, place)) in order[..count].iter().enumerate() {
                out[(block * count + rank) * inner + within] = place as i64;
            }
        }
    }
}

/// Each row along `axis` becomes `step` of the one before and itself; the first one `step` of `start` and itself.
fn running<T: Copy>(axis: AxisShape, out: &mut [T], start: T, step: impl Fn(T, T) -> T) {
    let AxisShape { len, inner, .. } = axis;
    if out.is_empty() {
        return;
    }
    for block in out.chunks_exact_mut(len * inner) {
        for x in &mut block[..inner] {
            *x = step(start, *x);
        }
        for at in inner..len * inner {
            block[at] = step(block[at - inner], block[at]);
        }
    }
}

/// f32 along `axis` up to each.
pub(super) fn accumulate(kind: Reduction, axis: AxisShape, out: &mut [f32]) {
    match kind {
        Reduction::Sum => running(axis, out, 0.0, |t, x| canonical(t + x)),
        Reduction::Product => running(axis, out, 1.0, |t, x| canonical(t * x)),
        Reduction::Max => running(axis, out, f32::NEG_INFINITY, max),
        Reduction::Min => running(axis, out, f32::INFINITY, min),
    }
}

/// i64 along `axis` up to each.
pub(super) fn accumulate_integers(kind: Reduction, axis: AxisShape, out: &mut [i64]) {
    match kind {
        Reduction::Sum => running(axis, out, 0, i64::wrapping_add),
        Reduction::Product => running(axis, out, 1, i64::wrapping_mul),
        Reduction::Max => running(axis, out, i64::MIN, i64::max),
        Reduction::Min => running(axis, out, i64::MAX, i64::min),
    }
}
