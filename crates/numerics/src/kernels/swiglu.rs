//! The gate of a feed-forward layer.

use super::isa::Isa;
use super::lanes::{Map2, Operand, map2};
use super::math;
use super::simd::{Kernel, Simd};

/// `out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]`
///
/// # Panics
/// If the lengths differ.
pub fn swiglu(isa: Isa, gate: &[f32], up: &[f32], out: &mut [f32]) {
    isa.run(SwiGlu { gate, up, out });
}

struct SwiGlu<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

#[derive(Clone, Copy)]
struct Gated;

impl Map2 for Gated {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, gate: S::F, up: S::F) -> S::F {
        let z = math::exp(s, math::negate(s, gate));
        s.mul(s.div(gate, s.add(s.splat(1.0), z)), up)
    }
}

impl Kernel for SwiGlu<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (gate, up) = (Operand::Each(self.gate), Operand::Each(self.up));
        map2(s, gate, up, self.out, Gated);
    }
}
