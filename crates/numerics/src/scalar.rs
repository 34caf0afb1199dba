//! Scalar functions of `numerics v1`: fixed sequences of basic binary32 operations, so that every
//! machine gives the same bits (`spec/numerics.md`, section "Elementary functions").
//!
//! Kernels evaluate the same sequence over vectors with the same constants. `f32::mul_add` is an
//! exact fma on every target.

const SIGN: u32 = 0x8000_0000;
/// The one NaN that can be seen.
pub const NAN_BITS: u32 = 0x7fc0_0000;
/// `1.5 * 2^23`: adding and subtracting it rounds to an integer, ties to even.
pub const MAGIC: f32 = 12_582_912.0;
/// `log2(e)`, rounded.
pub const LOG2_E: f32 = f32::from_bits(0x3fb8_aa3b);
/// High part of `-ln 2`; exact products with small integers.
pub const NEG_LN2_HIGH: f32 = f32::from_bits(0xbf31_8000);
/// Low part of `-ln 2`.
pub const NEG_LN2_LOW: f32 = f32::from_bits(0x395e_8083);
/// Below this `exp` is +0.
pub const EXP_MIN: f32 = -104.0;
/// Above this `exp` is infinite.
pub const EXP_MAX: f32 = 89.0;
/// `exp(r)` on `|r| <= ln(2)/2`: coefficients of `r^0 ..= r^6` (minimax).
pub const EXP_POLY: [f32; 7] = [
    1.0,
    1.0,
    0.5,
    f32::from_bits(0x3e2a_aa02),
    f32::from_bits(0x3d2a_aa32),
    f32::from_bits(0x3c09_37df),
    f32::from_bits(0x3ab6_d3b6),
];
/// Below this magnitude `tanh` is an odd polynomial.
pub const TANH_SMALL: f32 = 0.625;
/// `tanh(x) = x + x * z * P(z)`, `z = x^2`: coefficients of `z^0 ..= z^4` (Cephes `tanhf`).
pub const TANH_POLY: [f32; 5] = [
    f32::from_bits(0xbeaa_aa99),
    f32::from_bits(0x3e08_8393),
    f32::from_bits(0xbd5c_1e2d),
    f32::from_bits(0x3ca9_134e),
    f32::from_bits(0xbbba_f0ea),
];

/// NaN becomes [`NAN_BITS`]; everything else is unchanged.
///
/// A comparison of integers: of `sqrt(x).is_nan()` LLVM makes a comparison of x, and then takes the root's own NaN, whose
/// bits are the processor's.
#[inline(always)]
pub fn canonical(x: f32) -> f32 {
    let bits = x.to_bits();
    if bits & !SIGN > f32::INFINITY.to_bits() {
        f32::from_bits(NAN_BITS)
    } else {
        x
    }
}

/// Larger of two: NaN if either is, `+0 > -0`.
#[inline(always)]
pub fn max(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::from_bits(NAN_BITS)
    } else if a < b {
        b
    } else if b < a {
        a
    } else {
        f32::from_bits(a.to_bits() & b.to_bits())
    }
}

/// Smaller of two: NaN if either is, `-0 < +0`.
#[inline(always)]
pub fn min(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::from_bits(NAN_BITS)
    } else if a < b {
        a
    } else if b < a {
        b
    } else {
        f32::from_bits(a.to_bits() | b.to_bits())
    }
}

/// `2^n` for integral `n` in `-126 ..= 127`.
#[inline(always)]
pub fn exp2_integral(n: f32) -> f32 {
    f32::from_bits((((n as i32) + 127) as u32) << 23)
}

/// `c[0] + x * (c[1] + x * (...))`, each step one fma.
#[inline(always)]
pub fn horner(x: f32, coefficients: &[f32]) -> f32 {
    let mut steps = coefficients.iter().rev();
    let first = steps.next().copied().unwrap_or(0.0);
    steps.fold(first, |p, &c| p.mul_add(x, c))
}

/// `e^x`. NaN gives NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = min(max(x, EXP_MIN), EXP_MAX);
    if x.is_nan() {
        return x;
    }
    let n = x.mul_add(LOG2_E, MAGIC) - MAGIC;
    let r = n.mul_add(NEG_LN2_HIGH, x);
    let r = n.mul_add(NEG_LN2_LOW, r);
    let p = horner(r, &EXP_POLY);
    // two factors: `2^n` itself may not be a normal number
    let half = n.mul_add(0.5, MAGIC) - MAGIC;
    (p * exp2_integral(half)) * exp2_integral(n - half)
}

/// `1 / (1 + e^-x)`, by `e^-|x|` so that neither tail loses precision.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let x = canonical(x);
    let z = exp(-abs(x));
    let numerator = if x < 0.0 { z } else { 1.0 };
    canonical(numerator / (1.0 + z))
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = abs(canonical(x));
    let z = a * a;
    let small = (a * z).mul_add(horner(z, &TANH_POLY), a);
    let big = 1.0 - 2.0 / (exp(a + a) + 1.0);
    let magnitude = if a < TANH_SMALL { small } else { big };
    if x.is_nan() {
        f32::from_bits(NAN_BITS)
    } else {
        f32::from_bits(magnitude.to_bits() | (x.to_bits() & 0x8000_0000))
    }
}

/// The sign bit cleared.
#[inline(always)]
pub fn abs(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & 0x7fff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units in the last place of the exact value rounded to f32.
    fn ulp(found: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        if found.to_bits() == rounded.to_bits() {
            return 0.0;
        }
        let exponent = rounded.abs().to_bits() >> 23;
        let unit = 2f64.powi((exponent.max(1) as i32) - 127 - 23);
        ((f64::from(found) - exact) / unit).abs()
    }

    /// Every 1,009th float of the whole range; `GAVEL_EXHAUSTIVE=1` takes every one.
    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> (f64, f32) {
        let step = if std::env::var_os("GAVEL_EXHAUSTIVE").is_some() {
            1
        } else {
            1009
        };
        let mut worst = (0.0, 0.0);
        for bits in (0..=u32::MAX).step_by(step) {
            let x = f32::from_bits(bits);
            if x.is_nan() {
                assert_eq!(f(x).to_bits(), NAN_BITS, "NaN {bits:08x}");
                continue;
            }
            let reference = exact(f64::from(x));
            if (reference as f32).is_infinite() {
                assert!(f(x).is_infinite(), "{x}: {} against {reference}", f(x));
                continue;
            }
            let error = ulp(f(x), reference);
            if error > worst.0 {
                worst = (error, x);
            }
        }
        worst
    }

    #[test]
    fn elementary_functions_keep_their_published_bounds() {
        for (name, found, bound) in [
            ("exp", worst(exp, f64::exp), 1.1),
            ("sigmoid", worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp())), 2.6),
            ("tanh", worst(tanh, f64::tanh), 2.6),
        ] {
            println!("{name}: worst {:.3} ULP at {:e}", found.0, found.1);
            assert!(found.0 <= bound, "{name}: {} ULP at {}", found.0, found.1);
        }
    }

    #[test]
    fn special_values() {
        assert_eq!(exp(-0.0).to_bits(), 1.0f32.to_bits());
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(f32::NEG_INFINITY).to_bits(), 0);
        assert_eq!(max(-0.0, 0.0).to_bits(), 0);
        assert_eq!(max(0.0, -0.0).to_bits(), 0);
        assert_eq!(min(0.0, -0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(max(f32::from_bits(0xffc0_1234), 1.0).to_bits(), NAN_BITS);
        assert_eq!(canonical(0.0f32 * f32::INFINITY).to_bits(), NAN_BITS);
    }

    #[test]
    fn there_is_one_nan_whatever_made_it() {
        use std::hint::black_box;
        let (one, infinity) = (black_box(1.0f32), black_box(f32::INFINITY));
        for (what, bits) in [
            ("root", canonical(black_box(-1.0f32).sqrt()).to_bits()),
            ("difference", canonical(infinity - infinity).to_bits()),
            ("product", canonical(infinity * (one - one)).to_bits()),
            ("quotient", canonical(infinity / -infinity).to_bits()),
            ("fma", canonical(infinity.mul_add(one, -infinity)).to_bits()),
        ] {
            assert_eq!(bits, NAN_BITS, "{what}");
        }
    }
}
