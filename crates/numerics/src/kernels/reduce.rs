//! Sums, products and extremes along an axis.

use super::isa::Isa;
use super::lanes::{REDUCTION_LANES, sum32};
use super::parallel::{Parallel, SharedOut, split};
use super::simd::{Kernel, Simd};
use super::softmax::AxisShape;
use crate::Reduction;
use crate::scalar::{canonical, max, min};

/// Elements below which a part is not worth handing to another thread.
const GRAIN: usize = 1 << 14;
/// Elements beside each other that are reduced at once.
const BESIDE: usize = 64;

/// f32 along `axis` of `x`: `out` has `outer * inner` elements.
///
/// # Panics
/// If the slices do not have the shape's length.
pub(super) fn reduce(
    isa: Isa,
    par: &dyn Parallel,
    kind: Reduction,
    axis: AxisShape,
    x: &[f32],
    out: &mut [f32],
) {
    assert!(
        x.len() == axis.elements() && out.len() == axis.outer * axis.inner,
        "length"
    );
    if out.is_empty() {
        return;
    }
    let shared = SharedOut::new(out);
    let block = axis.len * axis.inner;
    split(par, axis.outer, GRAIN / block.max(1) + 1, &|start, end| {
        // SAFETY: the parts of `split` are disjoint.
        let out = unsafe { shared.slice(start * axis.inner, (end - start) * axis.inner) };
        isa.run(Part {
            kind,
            axis,
            x: &x[start * block..end * block],
            out,
        });
    });
}

struct Part<'a> {
    kind: Reduction,
    axis: AxisShape,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Part<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AxisShape { len, inner, .. } = self.axis;
        for (i, out) in self.out.chunks_exact_mut(inner).enumerate() {
            let x = &self.x[i * len * inner..][..len * inner];
            match self.kind {
                Reduction::Sum if inner == 1 => out[0] = canonical(sum32(s, x)),
                Reduction::Sum => sums(x, inner, out),
                Reduction::Product => chains(x, 1.0, out, |a, x| a * x),
                Reduction::Max => chains(x, f32::NEG_INFINITY, out, max),
                Reduction::Min => chains(x, f32::INFINITY, out, min),
            }
        }
    }
}

/// Order L32 down the columns of `x`, whose rows have `inner` elements.
#[inline(always)]
fn sums(x: &[f32], inner: usize, out: &mut [f32]) {
    for (block, out) in out.chunks_mut(BESIDE).enumerate() {
        let first = block * BESIDE;
        let mut lanes = [[0.0f32; BESIDE]; REDUCTION_LANES];
        for (i, row) in x.chunks_exact(inner).enumerate() {
            let lane = &mut lanes[i % REDUCTION_LANES];
            for (sum, x) in lane.iter_mut().zip(&row[first..first + out.len()]) {
                *sum += x;
            }
        }
        let mut half = REDUCTION_LANES / 2;
        while half > 0 {
            for i in 0..half {
                let (low, high) = lanes.split_at_mut(i + half);
                for (sum, x) in low[i].iter_mut().zip(&high[0]) {
                    *sum += x;
                }
            }
            half /= 2;
        }
        for (out, &sum) in out.iter_mut().zip(&lanes[0]) {
            *out = canonical(sum);
        }
    }
}

/// One element after the other.
#[inline(always)]
fn chains(x: &[f32], start: f32, out: &mut [f32], step: impl Fn(f32, f32) -> f32) {
    out.fill(start);
    for row in x.chunks_exact(out.len()) {
        for (out, &x) in out.iter_mut().zip(row) {
            *out = canonical(step(*out, x));
        }
    }
}

/// i64 along `axis` of `x`.
pub(super) fn reduce_integers(kind: Reduction, axis: AxisShape, x: &[i64], out: &mut [i64]) {
    let (start, step): (i64, fn(i64, i64) -> i64) = match kind {
        Reduction::Sum => (0, i64::wrapping_add),
        Reduction::Product => (1, i64::wrapping_mul),
        Reduction::Max => (i64::MIN, i64::max),
        Reduction::Min => (i64::MAX, i64::min),
    };
    out.fill(start);
    if out.is_empty() {
        return;
    }
    for (i, out) in out.chunks_exact_mut(axis.inner).enumerate() {
        let block = &x[i * axis.len * axis.inner..][..axis.len * axis.inner];
        for row in block.chunks_exact(axis.inner) {
            for (out, &x) in out.iter_mut().zip(row) {
                *out = step(*out, x);
            }
        }
    }
}

/// Rows of `x` along `axis` by their indices, -1 being the last; zeros where there is none.
pub(super) fn gather<T: Copy + Default>(axis: AxisShape, x: &[T], indices: &[i64], out: &mut [T]) {
    let (len, inner) = (axis.len, axis.inner);
    if out.is_empty() {
        return;
    }
    let place = |index: i64| {
        let index = if index < 0 {
            index.checked_add_unsigned(len as u64)?
        } else {
            index
        };
        usize::try_from(index).ok().filter(|&at| at < len)
    };
    for (outer, out) in out.chunks_exact_mut(indices.len() * inner).enumerate() {
        for (&index, out) in indices.iter().zip(out.chunks_exact_mut(inner)) {
            match place(index) {
                Some(at) => out.copy_from_slice(&x[(outer * len + at) * inner..][..inner]),
                None => out.fill(T::default()),
            }
        }
    }
}
