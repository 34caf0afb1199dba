//! The error function as importers write it (`spec/model.md`, "Element-wise operators"), over vectors.

use super::super::lanes::Map1;
use super::super::math;
use super::super::simd::Simd;
use crate::element::{Builder, Extra, Value};

/// Polynomials by their coefficients, of `z^0` first.
const ERF: [u32; 7] = [
    0x3f90_6eba,
    0xbec0_939f,
    0x3de7_167c,
    0xbcdb_fc86,
    0x3baa_02d9,
    0xba51_fb7e,
    0x38a4_b514,
];
const LOG_ERFC: [u32; 9] = [
    0x3998_94c5,
    0xbf90_a7c3,
    0xbf21_cba2,
    0xbde1_185a,
    0x3cd7_acd1,
    0xbb9a_eab9,
    0x3a1a_b7dd,
    0xb83d_fe75,
    0x35d6_b95e,
];
const SIGN: u32 = 0x8000_0000;
const MAGNITUDE: u32 = 0x7fff_ffff;

/// The program of Erf.
pub fn erf_program() -> Vec<u64> {
    fn horner(p: &mut Builder, x: Value, coefficients: &[u32]) -> Value {
        let mut from_highest = coefficients.iter().rev();
        let mut sum = p.number(from_highest.next().copied().unwrap_or(0));
        for &c in from_highest {
            let c = p.number(c);
            sum = p.fma(sum, x, c);
        }
        sum
    }
    let mut program = Builder::new();
    let p = &mut program;
    let x = p.load(0);
    let mask = p.number(MAGNITUDE);
    let (a, one) = (p.and(x, mask), p.float(1.0));
    let z = p.fmul(a, a);
    let small = horner(p, z, &ERF);
    let small = p.fmul(small, a);
    let four = p.float(4.0);
    let bounded = p.fmin(a, four);
    let exponent = horner(p, bounded, &LOG_ERFC);
    let tail = p.function(Extra::Exp, exponent);
    let large = p.fsub(one, tail);
    let is_small = p.fless(a, one);
    let magnitude = p.select(is_small, small, large);
    let sign = p.number(SIGN);
    let sign = p.and(x, sign);
    let magnitude = p.and(magnitude, mask);
    let found = p.or(magnitude, sign);
    let infinity = p.float(f32::INFINITY);
    let nan = p.less(infinity, a);
    let found = p.select(nan, x, found);
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
