//! Root mean square normalisation.

use super::isa::Isa;
use super::lanes::{Map2, Operand, fold32, map2};
use super::simd::{Kernel, Simd};

/// Divides every group of `w.len()` values of `x` by the root of its mean square plus `epsilon`, times `w`.
///
/// # Panics
/// If `x` is no whole number of groups or `out` has another length.
pub fn rms_norm(isa: Isa, x: &[f32], w: &[f32], epsilon: f32, out: &mut [f32]) {
    assert!(
        x.len() == out.len() && x.len().is_multiple_of(w.len().max(1)),
        "length"
    );
    isa.run(RmsNorm { x, w, epsilon, out });
}

struct RmsNorm<'a> {
    x: &'a [f32],
    w: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

#[derive(Clone, Copy)]
struct PlusSquare;

impl Map2 for PlusSquare {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, lane: S::F, x: S::F) -> S::F {
        s.fma(x, x, lane)
    }
}

/// `(x * self) * w`
#[derive(Clone, Copy)]
struct Scale(f32);

impl Map2 for Scale {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, w: S::F) -> S::F {
        s.mul(s.mul(x, s.splat(self.0)), w)
    }
}

impl Kernel for RmsNorm<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let group = self.w.len();
        if group == 0 {
            return;
        }
        for (x, out) in self
            .x
            .chunks_exact(group)
            .zip(self.out.chunks_exact_mut(group))
        {
            let mean = fold32(s, x, PlusSquare) / group as f32;
            let scale = Scale(1.0 / (mean + self.epsilon).sqrt());
            map2(s, Operand::Each(x), Operand::Each(self.w), out, scale);
        }
    }
}
