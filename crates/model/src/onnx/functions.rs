//! Functions of f32 as element programs: what `spec/model.md`, "Element-wise operators", says of each.

use gavel_numerics::element::{Builder, Extra, Value};
pub(super) use gavel_numerics::erf::erf;

/// Polynomials by their coefficients, of `z^0` first.
const SIN: [u32; 4] = [0xbe2a_aaab, 0x3c08_888d, 0xb950_1055, 0x3638_9548];
/// 1/24, -1/720, 1/40320
const COS: [u32; 3] = [0x3d2a_aaab, 0xbab6_0b61, 0x37d0_0d01];
const ATAN: [u32; 9] = [
    0xbeaa_aaaa,
    0x3e4c_cc40,
    0xbe12_3928,
    0x3de2_240d,
    0xbdb1_f390,
    0x3d81_6591,
    0xbd16_335b,
    0x3c65_50fe,
    0xbb24_6671,
];
const ASIN: [u32; 6] = [
    0x3e2a_aaaa,
    0x3d99_9a24,
    0x3d36_aaf7,
    0x3cff_0819,
    0x3c8b_50ce,
    0x3d0a_f00a,
];
/// `-pi/2` in three parts: -1.5703125, -4.837513e-4, -7.549789e-8.
const NEG_HALF_PI: [u32; 3] = [0xbfc9_0000, 0xb9fd_a000, 0xb3a2_2169];
const SIGN: u32 = 0x8000_0000;
const MAGNITUDE: u32 = 0x7fff_ffff;

pub(super) fn negate(p: &mut Builder, x: Value) -> Value {
    let minus_zero = p.number(SIGN);
    p.fsub(minus_zero, x)
}

pub(super) fn abs(p: &mut Builder, x: Value) -> Value {
    let mask = p.number(MAGNITUDE);
    p.and(x, mask)
}

/// The magnitude of the first with the sign of the second.
fn with_sign(p: &mut Builder, magnitude: Value, sign: Value) -> Value {
    let mask = p.number(SIGN);
    let sign = p.and(sign, mask);
    let magnitude = abs(p, magnitude);
    p.or(magnitude, sign)
}

pub(super) fn not(p: &mut Builder, condition: Value) -> Value {
    let zero = p.number(0);
    p.equal(condition, zero)
}

/// Whether it is NaN.
pub(super) fn is_nan(p: &mut Builder, x: Value) -> Value {
    let (magnitude, infinity) = (abs(p, x), p.float(f32::INFINITY));
    p.less(infinity, magnitude)
}

/// Whether two numbers are equal: zeros are, NaN is nothing's equal.
pub(super) fn equal(p: &mut Builder, a: Value, b: Value) -> Value {
    let (below, above) = (p.fless(a, b), p.fless(b, a));
    let unequal = p.or(below, above);
    let (a_nan, b_nan) = (is_nan(p, a), is_nan(p, b));
    let unequal = p.or(unequal, a_nan);
    let unequal = p.or(unequal, b_nan);
    not(p, unequal)
}

/// Nearest integer, ties to even.
pub(super) fn round(p: &mut Builder, x: Value) -> Value {
    let (magnitude, whole) = (abs(p, x), p.float(8_388_608.0));
    let shifted = p.fadd(magnitude, whole);
    let rounded = p.fsub(shifted, whole);
    let rounded = with_sign(p, rounded, x);
    let has_fraction = p.fless(magnitude, whole);
    p.select(has_fraction, rounded, x)
}

pub(super) fn floor(p: &mut Builder, x: Value) -> Value {
    let (rounded, one) = (round(p, x), p.float(1.0));
    let (above, lower) = (p.fless(x, rounded), p.fsub(rounded, one));
    p.select(above, lower, rounded)
}

pub(super) fn ceil(p: &mut Builder, x: Value) -> Value {
    let negative = negate(p, x);
    let below = floor(p, negative);
    negate(p, below)
}

/// Towards zero.
pub(super) fn truncate(p: &mut Builder, x: Value) -> Value {
    let magnitude = abs(p, x);
    let below = floor(p, magnitude);
    let found = with_sign(p, below, x);
    let nan = is_nan(p, x);
    p.select(nan, x, found)
}

pub(super) fn sign(p: &mut Builder, x: Value) -> Value {
    let (zero, one, minus_one) = (p.float(0.0), p.float(1.0), p.float(-1.0));
    let (negative, positive) = (p.fless(x, zero), p.fless(zero, x));
    let found = p.select(negative, minus_one, x);
    p.select(positive, one, found)
}

pub(super) fn exp(p: &mut Builder, x: Value) -> Value {
    p.function(Extra::Exp, x)
}

pub(super) fn log(p: &mut Builder, x: Value) -> Value {
    p.function(Extra::Log, x)
}

/// `log(1 + exp(x))`
pub(super) fn softplus(p: &mut Builder, x: Value) -> Value {
    let (zero, one) = (p.float(0.0), p.float(1.0));
    let magnitude = abs(p, x);
    let negative = negate(p, magnitude);
    let small = exp(p, negative);
    let sum = p.fadd(small, one);
    let above = log(p, sum);
    let base = p.fmax(x, zero);
    p.fadd(base, above)
}

/// Arguments beyond some 10^5 lose accuracy: a multiple of `pi/2` is taken off in three parts of f32.
///
/// Sine and cosine of what is left of a multiple of `pi/2`, and the multiple's lowest two bits.
fn reduced(p: &mut Builder, x: Value) -> (Value, Value, Value) {
    let (inverse, mut r) = (p.float(std::f32::consts::FRAC_2_PI), x);
    let turns = p.fmul(x, inverse);
    let n = p.f32_to_int(turns);
    let turns = p.signed_to_f32(n);
    for part in NEG_HALF_PI {
        let part = p.number(part);
        r = p.fma(turns, part, r);
    }
    let z = p.fmul(r, r);
    let poly = p.horner(z, &SIN);
    let cube = p.fmul(z, r);
    let sine = p.fma(cube, poly, r);
    let poly = p.horner(z, &COS);
    let (half, one, square) = (p.float(-0.5), p.float(1.0), p.fmul(z, z));
    let base = p.fma(z, half, one);
    let cosine = p.fma(square, poly, base);
    let three = p.number(3);
    (sine, cosine, p.and(n, three))
}

/// `sin(x + quarter * pi / 2)`
fn turned(p: &mut Builder, x: Value, quarter: u32) -> Value {
    let (sine, cosine, n) = reduced(p, x);
    let (quarter, one, two) = (p.number(quarter), p.number(1), p.number(2));
    let n = p.add(n, quarter);
    let (odd, half) = (p.and(n, one), p.and(n, two));
    let found = p.select(odd, cosine, sine);
    let negative = negate(p, found);
    p.select(half, negative, found)
}

pub(super) fn sin(p: &mut Builder, x: Value) -> Value {
    turned(p, x, 0)
}

pub(super) fn cos(p: &mut Builder, x: Value) -> Value {
    turned(p, x, 1)
}

pub(super) fn tan(p: &mut Builder, x: Value) -> Value {
    let (sine, cosine) = (sin(p, x), cos(p, x));
    p.fdiv(sine, cosine)
}

pub(super) fn atan(p: &mut Builder, x: Value) -> Value {
    let (a, one) = (abs(p, x), p.float(1.0));
    let inverse = p.fdiv(one, a);
    let large = p.fless(one, a);
    let y = p.select(large, inverse, a);
    let z = p.fmul(y, y);
    let poly = p.horner(z, &ATAN);
    let cube = p.fmul(z, y);
    let small = p.fma(cube, poly, y);
    let half_pi = p.float(std::f32::consts::FRAC_PI_2);
    let rest = p.fsub(half_pi, small);
    let magnitude = p.select(large, rest, small);
    let found = with_sign(p, magnitude, x);
    let nan = is_nan(p, x);
    p.select(nan, x, found)
}

pub(super) fn asin(p: &mut Builder, x: Value) -> Value {
    let (a, half, one) = (abs(p, x), p.float(0.5), p.float(1.0));
    let large = p.fless(half, a);
    let rest = p.fsub(one, a);
    let halved = p.fmul(rest, half);
    let root = p.fsqrt(halved);
    let y = p.select(large, root, a);
    let z = p.fmul(y, y);
    let poly = p.horner(z, &ASIN);
    let cube = p.fmul(z, y);
    let small = p.fma(cube, poly, y);
    let (two, half_pi) = (p.float(-2.0), p.float(std::f32::consts::FRAC_PI_2));
    let turned = p.fma(two, small, half_pi);
    let magnitude = p.select(large, turned, small);
    let outside = is_nan(p, magnitude);
    let found = with_sign(p, magnitude, x);
    p.select(outside, magnitude, found)
}

pub(super) fn acos(p: &mut Builder, x: Value) -> Value {
    let (half_pi, asin) = (p.float(std::f32::consts::FRAC_PI_2), asin(p, x));
    p.fsub(half_pi, asin)
}

/// `(exp(x) + factor * exp(-x)) / 2`
fn hyperbolic(p: &mut Builder, x: Value, factor: f32) -> Value {
    let (half, factor) = (p.float(0.5), p.float(factor));
    let negative = negate(p, x);
    let (up, down) = (exp(p, x), exp(p, negative));
    let sum = p.fma(factor, down, up);
    p.fmul(sum, half)
}

pub(super) fn sinh(p: &mut Builder, x: Value) -> Value {
    // near zero the two exponentials cancel
    let z = p.fmul(x, x);
    let series = p.horner(z, &[0x3e2a_aaab, 0x3c08_8889, 0x3950_0d01]);
    let cube = p.fmul(z, x);
    let small = p.fma(cube, series, x);
    let (magnitude, one) = (abs(p, x), p.float(1.0));
    let is_small = p.fless(magnitude, one);
    let large = hyperbolic(p, x, -1.0);
    p.select(is_small, small, large)
}

pub(super) fn cosh(p: &mut Builder, x: Value) -> Value {
    hyperbolic(p, x, 1.0)
}

/// `log(|x| + sqrt(x^2 + 1))` with x's sign.
pub(super) fn asinh(p: &mut Builder, x: Value) -> Value {
    let (a, one) = (abs(p, x), p.float(1.0));
    let square = p.fma(a, a, one);
    let root = p.fsqrt(square);
    // log(1 + y) by y = a + a^2 / (1 + root), which loses nothing near zero
    let (below, squared) = (p.fadd(one, root), p.fmul(a, a));
    let part = p.fdiv(squared, below);
    let y = p.fadd(a, part);
    let magnitude = log_plus_1(p, y);
    with_sign(p, magnitude, x)
}

/// `log(x + sqrt(x^2 - 1))`
pub(super) fn acosh(p: &mut Builder, x: Value) -> Value {
    let minus_one = p.float(-1.0);
    let square = p.fma(x, x, minus_one);
    let root = p.fsqrt(square);
    let sum = p.fadd(x, root);
    log(p, sum)
}

/// `log((1 + x) / (1 - x)) / 2`
pub(super) fn atanh(p: &mut Builder, x: Value) -> Value {
    let (one, half) = (p.float(1.0), p.float(0.5));
    let rest = p.fsub(one, x);
    let twice = p.fadd(x, x);
    let y = p.fdiv(twice, rest);
    let found = log_plus_1(p, y);
    p.fmul(found, half)
}

/// `log(1 + y)`: where `1 + y` rounds, by the share of what was lost.
fn log_plus_1(p: &mut Builder, y: Value) -> Value {
    let one = p.float(1.0);
    let u = p.fadd(one, y);
    let log_u = log(p, u);
    let kept = p.fsub(u, one);
    let share = p.fdiv(y, kept);
    let scaled = p.fmul(log_u, share);
    let zero = p.float(0.0);
    let nothing = equal(p, kept, zero);
    p.select(nothing, y, scaled)
}

/// `x` to the power of `y`.
pub(super) fn pow(p: &mut Builder, x: Value, y: Value) -> Value {
    let (zero, one) = (p.float(0.0), p.float(1.0));
    let a = abs(p, x);
    let log_a = log(p, a);
    let exponent = p.fmul(y, log_a);
    let magnitude = exp(p, exponent);
    // of a negative number: only whole powers, and odd ones keep the sign
    let whole_y = round(p, y);
    let is_whole = equal(p, whole_y, y);
    let half = p.float(0.5);
    let halved = p.fmul(y, half);
    let whole_half = round(p, halved);
    let is_even = equal(p, whole_half, halved);
    let negative = negate(p, magnitude);
    let of_whole = p.select(is_even, magnitude, negative);
    let nan = p.float(f32::NAN);
    let of_negative = p.select(is_whole, of_whole, nan);
    let below_zero = p.fless(x, zero);
    let found = p.select(below_zero, of_negative, magnitude);
    // 1 to any power, and anything to the power of 0
    let (is_one, no_power) = (equal(p, x, one), equal(p, y, zero));
    let is_trivial = p.or(is_one, no_power);
    p.select(is_trivial, one, found)
}

/// Exponent and mantissa of a magnitude that is finite: it is `mantissa * 2^(exponent - 150)`, the exponent at least 1.
fn parts(p: &mut Builder, magnitude: Value) -> (Value, Value) {
    let (unit, one, zero) = (p.number(1 << 23), p.number(1), p.number(0));
    let (exponent, mantissa) = (p.div(magnitude, unit), p.rem(magnitude, unit));
    let subnormal = p.equal(exponent, zero);
    let whole = p.or(mantissa, unit);
    (
        p.select(subnormal, one, exponent),
        p.select(subnormal, mantissa, whole),
    )
}

/// What is left of `a` by division through `b`, exactly, with `a`'s sign; NaN where `a` is infinite or `b` is 0.
pub(super) fn remainder(p: &mut Builder, a: Value, b: Value) -> Value {
    let (x, y) = (abs(p, a), abs(p, b));
    let ((x_exponent, x_mantissa), (y_exponent, y_mantissa)) = (parts(p, x), parts(p, y));
    // 2^(difference of exponents) modulo b's mantissa, by squaring
    let (one, difference) = (p.number(1), p.sub(x_exponent, y_exponent));
    let (mut factor, mut square) = (p.rem(one, y_mantissa), p.number(2));
    for bit in 0..8 {
        let bit = p.number(1 << bit);
        let there = p.and(difference, bit);
        let product = p.mul(factor, square);
        let product = p.rem(product, y_mantissa);
        factor = p.select(there, product, factor);
        let squared = p.mul(square, square);
        square = p.rem(squared, y_mantissa);
    }
    let product = p.mul(x_mantissa, factor);
    let rest = p.rem(product, y_mantissa);
    // the rest times 2^(exponent - 150): first what is normal, then the rest of the exponent
    let value = p.to_f32(rest);
    let (unit, shift, least) = (p.number(1 << 23), p.number(150 - 127), p.number(24));
    let low = p.less(y_exponent, least);
    let by = p.sub(y_exponent, shift);
    let (first, bias) = (p.select(low, one, by), p.number(103));
    let second = p.add(y_exponent, bias);
    let (first, second) = (p.mul(first, unit), p.mul(second, unit));
    let (scaled, power) = (p.fmul(value, first), p.float(1.0));
    let second = p.select(low, second, power);
    let found = p.fmul(scaled, second);
    // what is less than b is left whole
    let smaller = p.fless(x, y);
    let found = p.select(smaller, x, found);
    let (infinity, zero, nan) = (p.float(f32::INFINITY), p.float(0.0), p.float(f32::NAN));
    let number = p.fless(x, infinity);
    let found = p.select(number, found, nan);
    let none = p.equal(y, zero);
    let found = p.select(none, nan, found);
    let unordered = is_nan(p, b);
    let found = p.select(unordered, nan, found);
    let missing = is_nan(p, found);
    let signed = with_sign(p, found, a);
    p.select(missing, found, signed)
}

/// What is left of `a` by division through `b` with `b`'s sign.
pub(super) fn modulo(p: &mut Builder, a: Value, b: Value) -> Value {
    let rest = remainder(p, a, b);
    let (zero, mask) = (p.float(0.0), p.number(SIGN));
    let (own, other) = (p.and(rest, mask), p.and(b, mask));
    let same = p.equal(own, other);
    let moved = p.fadd(rest, b);
    let found = p.select(same, rest, moved);
    let none = equal(p, rest, zero);
    let nothing = with_sign(p, zero, b);
    p.select(none, nothing, found)
}
