//! The error function as importers write it (`spec/model.md`, "Element-wise operators"): polynomials, and the element program.

use crate::element::{Builder, Extra, Value};

/// Polynomials by their coefficients, of `z^0` first.
pub(crate) const ERF: [u32; 7] = [
    0x3f90_6eba,
    0xbec0_939f,
    0x3de7_167c,
    0xbcdb_fc86,
    0x3baa_02d9,
    0xba51_fb7e,
    0x38a4_b514,
];
pub(crate) const LOG_ERFC: [u32; 9] = [
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
pub(crate) const SIGN: u32 = 0x8000_0000;
pub(crate) const MAGNITUDE: u32 = 0x7fff_ffff;

/// `erf(x)`, appended to a program.
pub fn erf(p: &mut Builder, x: Value) -> Value {
    let mask = p.number(MAGNITUDE);
    let (a, one) = (p.and(x, mask), p.float(1.0));
    let z = p.fmul(a, a);
    let small = p.horner(z, &ERF);
    let small = p.fmul(small, a);
    let four = p.float(4.0);
    let bounded = p.fmin(a, four);
    let exponent = p.horner(bounded, &LOG_ERFC);
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
    p.select(nan, x, found)
}
