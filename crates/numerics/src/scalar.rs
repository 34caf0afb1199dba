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

/// `sqrt(1/2)`, the least significand that `log` reduces to.
pub const LOG_LOW: u32 = 0x3f35_04f3;
/// Takes the exponent of [`LOG_LOW`] to that of 1.
pub(crate) const LOG_SHIFT: u32 = 0x3f80_0000 - LOG_LOW;
/// `log(1 + f) = f - f^2 / 2 + f^3 * P(f)` on `sqrt(1/2) <= 1 + f < sqrt(2)`: coefficients of `f^0 ..= f^7` (minimax).
pub const LOG_POLY: [f32; 8] = [
    f32::from_bits(0x3eaa_aaaa),
    f32::from_bits(0xbe80_0114),
    f32::from_bits(0x3e4c_d009),
    f32::from_bits(0xbe2a_38fb),
    f32::from_bits(0x3e11_6c7d),
    f32::from_bits(0xbe06_c39f),
    f32::from_bits(0x3e02_b27c),
    f32::from_bits(0xbd9c_618f),
];
/// `2^23`: takes every subnormal number to a normal one.
pub const LOG_SCALE: f32 = 8_388_608.0;
/// Odd constant of the generator's counter (2^64 over the golden ratio).
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// `2^-24`, of which every uniform number is an odd multiple.
pub(crate) const UNIFORM_STEP: f32 = f32::from_bits(0x3380_0000);
/// Multipliers of [`mix`].
pub const MIX: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

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

/// Natural logarithm: `-inf` of a zero, NaN of what is less.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * LOG_SCALE } else { x };
    // x = 2^k * (1 + f), sqrt(1/2) <= 1 + f < sqrt(2)
    let bits = scaled.to_bits().wrapping_add(LOG_SHIFT);
    let k = ((bits >> 23) as i32 - if subnormal { 127 + 23 } else { 127 }) as f32;
    let f = f32::from_bits((bits & 0x007f_ffff) + LOG_LOW) - 1.0;
    let z = f * f;
    let y = (f * z) * horner(f, &LOG_POLY);
    let y = k.mul_add(-NEG_LN2_LOW, y);
    let y = z.mul_add(-0.5, y);
    let y = k.mul_add(-NEG_LN2_HIGH, f + y);
    if x > 0.0 {
        if x == f32::INFINITY { x } else { y }
    } else if x == 0.0 {
        f32::NEG_INFINITY
    } else {
        f32::from_bits(NAN_BITS)
    }
}

/// A permutation of 64 bits that leaves no trace of a counter's order (the finaliser of SplitMix64).
#[inline(always)]
pub fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(MIX[0]);
    let z = (z ^ (z >> 27)).wrapping_mul(MIX[1]);
    z ^ (z >> 31)
}

/// A number strictly between 0 and 1 of a seed and two counters: an odd multiple of `2^-24`.
#[inline(always)]
pub fn uniform(seed: u64, position: u64, token: u64) -> f32 {
    uniform_of(noise_state(seed, position), token)
}

/// What [`uniform`] makes of the seed and the first counter.
#[inline(always)]
pub(crate) fn noise_state(seed: u64, position: u64) -> u64 {
    let h = mix(seed.wrapping_add(GOLDEN));
    mix(h.wrapping_add(position.wrapping_mul(GOLDEN)))
}

/// [`uniform`] from [`noise_state`] on.
#[inline(always)]
pub(crate) fn uniform_of(state: u64, token: u64) -> f32 {
    let h = mix(state.wrapping_add(token.wrapping_mul(GOLDEN)));
    let odd = 2 * (h >> 41) + 1;
    odd as f32 * UNIFORM_STEP
}

/// Standard Gumbel noise of a seed and two counters: `-log(-log(u))`.
#[inline(always)]
pub fn gumbel(seed: u64, position: u64, token: u64) -> f32 {
    -log(-log(uniform(seed, position, token)))
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
            if reference.is_nan() {
                assert_eq!(f(x).to_bits(), NAN_BITS, "{x}");
                continue;
            }
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
            ("log", worst(log, f64::ln), 1.0),
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
        assert_eq!(log(1.0).to_bits(), 0);
        assert_eq!(log(-0.0), f32::NEG_INFINITY);
        assert_eq!(log(f32::INFINITY), f32::INFINITY);
        assert_eq!(log(f32::NEG_INFINITY).to_bits(), NAN_BITS);
        assert_eq!(max(-0.0, 0.0).to_bits(), 0);
        assert_eq!(max(0.0, -0.0).to_bits(), 0);
        assert_eq!(min(0.0, -0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(max(f32::from_bits(0xffc0_1234), 1.0).to_bits(), NAN_BITS);
        assert_eq!(canonical(0.0f32 * f32::INFINITY).to_bits(), NAN_BITS);
    }

    #[test]
    fn noise_is_a_function_of_three_counters() {
        // the generator by hand: SplitMix64 from the state 0 begins with this number
        assert_eq!(mix(GOLDEN), 0xe220_a839_7b1d_cdaf);
        let draws = 1u64 << 16;
        let mut mean = 0.0;
        for token in 0..draws {
            let u = uniform(7, 3, token);
            assert!(0.0 < u && u < 1.0);
            assert_ne!(gumbel(7, 3, token), gumbel(7, 4, token));
            mean += f64::from(gumbel(7, 3, token)) / draws as f64;
        }
        // Euler's constant, within five standard errors
        assert!((mean - 0.577_215_66).abs() < 0.026, "{mean}");
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
