//! The error function over vectors.

use super::super::lanes::Map1;
use super::super::math;
use super::super::simd::Simd;
use crate::element::Builder;
use crate::erf::{ERF, LOG_ERFC, MAGNITUDE, SIGN, erf};

/// The program of Erf.
pub fn erf_program() -> Vec<u64> {
    let mut p = Builder::new();
    let x = p.load(0);
    let found = erf(&mut p, x);
    // a program as short as this fits
    p.finish(found).unwrap_or_default()
}

#[inline(always)]
fn horner<S: Simd>(s: S, x: S::F, coefficients: &[u32]) -> S::F {
    let mut from_highest = coefficients.iter().rev();
    let mut sum = s.splat(f32::from_bits(
        from_highest.next().copied().unwrap_or_default(),
    ));
    for &c in from_highest {
        sum = s.fma(sum, x, s.splat(f32::from_bits(c)));
    }
    sum
}

/// As [`erf_program`]; a NaN need not be canonical.
#[derive(Clone, Copy)]
pub(super) struct Erf;

impl Map1 for Erf {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        let (mask, one) = (s.splat(f32::from_bits(MAGNITUDE)), s.splat(1.0));
        let a = s.bit_and(x, mask);
        let z = s.mul(a, a);
        let small = s.mul(horner(s, z, &ERF), a);
        // a NaN may become 4 here: it is put back at the end
        let bounded = s.lesser(a, s.splat(4.0));
        let large = s.sub(one, math::exp(s, horner(s, bounded, &LOG_ERFC)));
        let magnitude = s.select(s.lt(a, one), small, large);
        let sign = s.bit_and(x, s.splat(f32::from_bits(SIGN)));
        let found = s.bit_or(s.bit_and(magnitude, mask), sign);
        s.select(s.is_nan(x), x, found)
    }
}
