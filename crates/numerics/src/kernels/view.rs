//! Slices, repetitions and padding, axis by axis.

use super::parallel::{Parallel, SharedOut, split};
use crate::ViewAxis;

/// Elements below which a part is not worth handing to another thread.
const GRAIN: usize = 1 << 14;

/// The elements of `input`, row-major of shape `dims`, that `axes` name; `fill` where they name none.
///
/// # Panics
/// If `out` has another length than the axes give.
pub(super) fn view<T: Copy + Send + Sync>(
    par: &dyn Parallel,
    input: &[T],
    dims: &[u64],
    axes: &[ViewAxis],
    fill: T,
    out: &mut [T],
) {
    // a scalar is a row of one element
    let (inner, outer) = axes.split_last().unwrap_or((&ViewAxis::SCALAR, &[]));
    let (&len, before) = dims.split_last().unwrap_or((&1, &[]));
    if out.is_empty() {
        return;
    }
    let row = inner.extent as usize;
    let rows: u64 = outer.iter().map(|axis| axis.extent).product();
    assert_eq!(out.len() as u64, rows * inner.extent, "output length");
    let consecutive = inner.consecutive(len);
    let shared = SharedOut::new(out);
    split(par, rows as usize, GRAIN / row + 1, &|start, end| {
        for index in start..end {
            // SAFETY: the parts of `split` are disjoint.
            let out = unsafe { shared.slice(index * row, row) };
            let (mut rest, mut base, mut stride) = (index as u64, Some(0), len);
            for (axis, &len) in outer.iter().zip(before).rev() {
                let place = axis.place(rest % axis.extent, len);
                rest /= axis.extent;
                base = base.zip(place).map(|(base, at)| base + at * stride);
                stride *= len;
            }
            match (base, consecutive) {
                (None, _) => out.fill(fill),
                (Some(base), Some(first)) => {
                    out.copy_from_slice(&input[(base + first) as usize..][..row]);
                }
                (Some(base), None) => {
                    for (i, out) in out.iter_mut().enumerate() {
                        let place = inner.place(i as u64, len);
                        *out = place.map_or(fill, |at| input[(base + at) as usize]);
                    }
                }
            }
        }
    });
}
