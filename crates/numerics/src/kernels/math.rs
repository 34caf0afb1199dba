//! The scalar functions of `numerics v1` over vectors: same operations, same constants, same order.

use super::simd::Simd;

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

/// NaN becomes `0x7fc00000`.
#[inline(always)]
pub(super) fn canonical(x: f32) -> f32 {
    if x.is_nan() { f32::from_bits(0x7fc0_0000) } else { x }
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
        best = crate::scalar::max(best, value);
    }
    canonical(best)
}
