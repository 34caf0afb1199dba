//! Softmax and argmax along one axis.

use super::isa::Isa;
use super::lanes::{Map1, Map2, Operand, map1, map2, sum32};
use super::math;
use super::parallel::{Parallel, Scratch, SharedOut, split};
use super::simd::{Kernel, Simd};

/// An axis of a row-major tensor: `outer` blocks of `len` steps of `inner` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisShape {
    /// Product of the extents before the axis.
    pub outer: usize,
    /// Extent of the axis.
    pub len: usize,
    /// Product of the extents after it.
    pub inner: usize,
}

impl AxisShape {
    /// The axis `axis` of `shape`.
    ///
    /// # Panics
    /// If there is no such axis.
    pub fn new(shape: &[usize], axis: usize) -> AxisShape {
        AxisShape {
            outer: shape[..axis].iter().product(),
            len: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }

    /// Elements of the tensor.
    pub fn elements(&self) -> usize {
        self.outer * self.len * self.inner
    }
}

/// `exp(x - max) / sum(exp(x - max))` along the axis; the sum runs in 32 lanes over axis positions.
///
/// # Panics
/// If the slices do not have the shape's length.
pub fn softmax(isa: Isa, par: &dyn Parallel, axis: AxisShape, x: &[f32], out: &mut [f32]) {
    assert!(x.len() == axis.elements() && out.len() == x.len(), "length");
    if out.is_empty() {
        return;
    }
    let shared = SharedOut::new(out);
    let block = axis.len * axis.inner;
    split(par, axis.outer, (1 << 12) / block + 1, &|start, end| {
        // SAFETY: the parts of `split` are disjoint.
        let out = unsafe { shared.slice(start * block, (end - start) * block) };
        isa.run(SoftmaxPart {
            axis,
            x: &x[start * block..end * block],
            out,
        });
    });
}

struct SoftmaxPart<'a> {
    axis: AxisShape,
    x: &'a [f32],
    out: &'a mut [f32],
}

#[derive(Clone, Copy)]
struct ExpMinus(f32);

impl Map1 for ExpMinus {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        math::exp(s, s.sub(x, s.splat(self.0)))
    }
}

#[derive(Clone, Copy)]
struct Quotient;

impl Map2 for Quotient {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        s.div(x, y)
    }
}

impl Kernel for SoftmaxPart<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AxisShape { len, inner, .. } = self.axis;
        let mut scratch = Scratch::take(2 * len);
        let (row, weights) = scratch.as_mut().split_at_mut(len);
        for (x, out) in self
            .x
            .chunks_exact(len * inner)
            .zip(self.out.chunks_exact_mut(len * inner))
        {
            if inner == 1 {
                let max = math::max_of(s, x);
                map1(s, x, weights, ExpMinus(max));
                let sum = sum32(s, weights);
                map2(s, Operand::Each(weights), Operand::Same(sum), out, Quotient);
                continue;
            }
            for i in 0..inner {
                for (to, from) in row.iter_mut().zip(x[i..].iter().step_by(inner)) {
                    *to = *from;
                }
                let max = math::max_of(s, row);
                map1(s, row, weights, ExpMinus(max));
                let sum = sum32(s, weights);
                map2(s, Operand::Each(weights), Operand::Same(sum), row, Quotient);
                for (to, from) in out[i..].iter_mut().step_by(inner).zip(row.iter()) {
                    *to = *from;
                }
            }
        }
    }
}

/// Index of the largest element along the axis; ties take the lowest index, NaN ranks above all numbers.
///
/// # Panics
/// If the slices do not fit the shape or the axis is empty.
pub fn argmax(axis: AxisShape, x: &[f32], out: &mut [i64]) {
    assert!(
        x.len() == axis.elements() && out.len() == axis.outer * axis.inner && axis.len > 0,
        "length"
    );
    for (index, best) in out.iter_mut().enumerate() {
        let (o, i) = (index / axis.inner, index % axis.inner);
        let at = |k: usize| x[(o * axis.len + k) * axis.inner + i];
        let mut arg = 0;
        for k in 1..axis.len {
            let (value, top) = (at(k), at(arg));
            if value > top || (value.is_nan() && !top.is_nan()) {
                arg = k;
            }
        }
        *best = arg as i64;
    }
}
