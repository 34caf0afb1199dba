//! The scalar functions of `numerics v1` over vectors: same operations, same constants, same order.

use super::simd::Simd;
use crate::scalar;

/// Larger of two: NaN if either is, `+0 > -0`.
#[inline(always)]
pub(super) fn max<S: Simd>(s: S, a: S::F, b: S::F) -> S::F {
    // equal: the same bits, or zeros, of which `and` keeps +0 if there is one
    let equal = s.select(s.is_nan(a), a, s.select(s.is_nan(b), b, s.bit_and(a, b)));
    s.select(s.lt(a, b), b, s.select(s.lt(b, a), a, equal))
}

/// Smaller of two: NaN if either is, `-0 < +0`.
#[inline(always)]
pub(super) fn min<S: Simd>(s: S, a: S::F, b: S::F) -> S::F {
    let equal = s.select(s.is_nan(a), a, s.select(s.is_nan(b), b, s.bit_or(a, b)));
    s.select(s.lt(a, b), a, s.select(s.lt(b, a), b, equal))
}

/// `x` brought between two constants that are not zero; NaN stays.
#[inline(always)]
fn clamp<S: Simd>(s: S, x: S::F, low: f32, high: f32) -> S::F {
    s.lesser(s.splat(high), s.greater(s.splat(low), x))
}

/// `c[0] + x * (c[1] + x * (...))`, each step one fma.
#[inline(always)]
fn horner<S: Simd>(s: S, x: S::F, coefficients: &[f32]) -> S::F {
    let mut steps = coefficients.iter().rev();
    let mut p = s.splat(steps.next().copied().unwrap_or(0.0));
    for &c in steps {
        p = s.fma(p, x, s.splat(c));
    }
    p
}

/// `e^x`, as [`scalar::exp`]; a NaN need not be canonical.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let x = clamp(s, x, scalar::EXP_MIN, scalar::EXP_MAX);
    let magic = s.splat(scalar::MAGIC);
    let n = s.sub(s.fma(x, s.splat(scalar::LOG2_E), magic), magic);
    let r = s.fma(n, s.splat(scalar::NEG_LN2_HIGH), x);
    let r = s.fma(n, s.splat(scalar::NEG_LN2_LOW), r);
    s.scale_by_power(horner(s, r, &scalar::EXP_POLY), n)
}

/// Logistic function, as [`scalar::sigmoid`]; a NaN need not be canonical.
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let z = exp(s, s.bit_or(x, s.splat(-0.0)));
    let numerator = s.select(s.lt(x, s.splat(0.0)), z, one);
    s.div(numerator, s.add(one, z))
}

/// Hyperbolic tangent, as [`scalar::tanh`]; a NaN need not be canonical.
#[inline(always)]
pub(super) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let sign = s.splat(-0.0);
    let a = s.bit_and(x, s.splat(f32::from_bits(0x7fff_ffff)));
    let z = s.mul(a, a);
    let small = s.fma(s.mul(a, z), horner(s, z, &scalar::TANH_POLY), a);
    let (one, two) = (s.splat(1.0), s.splat(2.0));
    let big = s.sub(one, s.div(two, s.add(exp(s, s.add(a, a)), one)));
    let magnitude = s.select(s.lt(a, s.splat(scalar::TANH_SMALL)), small, big);
    s.bit_or(magnitude, s.bit_and(x, sign))
}

/// `log(x)` of a normal positive x, as [`scalar::log`]; unspecified elsewhere.
#[inline(always)]
pub(super) fn log_normal<S: Simd>(s: S, x: S::F) -> S::F {
    let (k, m) = s.split_exponent(x);
    let f = s.sub(m, s.splat(1.0));
    let z = s.mul(f, f);
    let y = s.mul(s.mul(f, z), horner(s, f, &scalar::LOG_POLY));
    let y = s.fma(k, s.splat(-scalar::NEG_LN2_LOW), y);
    let y = s.fma(z, s.splat(-0.5), y);
    s.fma(k, s.splat(-scalar::NEG_LN2_HIGH), s.add(f, y))
}

/// `-x`, of zeros too.
#[inline(always)]
pub(super) fn negate<S: Simd>(s: S, x: S::F) -> S::F {
    s.sub(s.splat(-0.0), x)
}

/// `-log(-log(u))` for `2^-24 <= u <= 1 - 2^-24`: both logarithms are of normal positive numbers.
#[inline(always)]
pub(super) fn gumbel<S: Simd>(s: S, u: S::F) -> S::F {
    let inner = negate(s, log_normal(s, u));
    negate(s, log_normal(s, inner))
}

/// Maximum of a slice (order-free); `-inf` for an empty one.
#[inline(always)]
pub(super) fn max_of<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut acc = s.splat(f32::NEG_INFINITY);
    let whole = x.len() - x.len() % S::LANES;
    let mut i = 0;
    while i < whole {
        // SAFETY: `i + LANES <= x.len()`.
        acc = max(s, acc, unsafe { s.load(x.as_ptr().add(i)) });
        i += S::LANES;
    }
    let mut lanes = [f32::NEG_INFINITY; super::lanes::MAX_LANES];
    // SAFETY: LANES <= MAX_LANES.
    unsafe { s.store(lanes.as_mut_ptr(), acc) };
    let mut best = f32::NEG_INFINITY;
    for &value in lanes.iter().chain(&x[whole..]) {
        best = scalar::max(best, value);
    }
    scalar::canonical(best)
}
