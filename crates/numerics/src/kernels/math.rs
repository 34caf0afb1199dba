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

/// The largest of many by [`max`], in fewer instructions: which zero it is, and whether there was a NaN, is seen at the end.
#[derive(Clone, Copy)]
pub(super) struct Largest<S: Simd> {
    /// Of what is no NaN; of several zeros any.
    best: S::F,
    /// The bits that all have.
    all: S::F,
    nan: S::Mask,
}

impl<S: Simd> Largest<S> {
    /// Of none: `-inf`.
    #[inline(always)]
    pub(super) fn new(s: S) -> Largest<S> {
        Largest {
            best: s.splat(f32::NEG_INFINITY),
            all: s.splat(f32::from_bits(u32::MAX)),
            nan: s.lt(s.splat(0.0), s.splat(0.0)),
        }
    }

    /// One more.
    #[inline(always)]
    pub(super) fn meet(&mut self, s: S, x: S::F) {
        // where x is NaN the best stays
        self.best = s.greater(x, self.best);
        self.all = s.bit_and(self.all, x);
        self.nan = s.mask_or(self.nan, s.is_nan(x));
    }

    /// The largest; a NaN is canonical.
    #[inline(always)]
    pub(super) fn found(self, s: S) -> S::F {
        // where the best is a zero nothing is positive: it is -0 if all have the sign
        let sign = s.bit_and(self.all, s.splat(-0.0));
        let zero = s.splat(0.0);
        let other = s.select(s.lt(zero, self.best), self.best, sign);
        let found = s.select(s.lt(self.best, zero), self.best, other);
        s.select(self.nan, s.splat(f32::from_bits(scalar::NAN_BITS)), found)
    }
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
    let mut acc = Largest::new(s);
    let whole = x.len() - x.len() % S::LANES;
    let mut i = 0;
    while i < whole {
        // SAFETY: `i + LANES <= x.len()`.
        acc.meet(s, unsafe { s.load(x.as_ptr().add(i)) });
        i += S::LANES;
    }
    let acc = acc.found(s);
    let mut lanes = [f32::NEG_INFINITY; super::lanes::MAX_LANES];
    // SAFETY: LANES <= MAX_LANES.
    unsafe { s.store(lanes.as_mut_ptr(), acc) };
    let mut best = f32::NEG_INFINITY;
    for &value in lanes.iter().chain(&x[whole..]) {
        best = scalar::max(best, value);
    }
    scalar::canonical(best)
}

#[cfg(test)]
mod tests {
    use super::super::isa::Isa;
    use super::super::simd::Kernel;
    use super::*;

    /// By lanes: the largest of each column of `values`, twice.
    struct Both<'a>(&'a [Vec<f32>]);

    impl Kernel for Both<'_> {
        type Out = (Vec<u32>, Vec<u32>);

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Out {
            let (mut found, mut wanted) = (Vec::new(), Vec::new());
            for values in self.0 {
                let (mut largest, mut by_two) = (Largest::new(s), s.splat(f32::NEG_INFINITY));
                for &x in values {
                    largest.meet(s, s.splat(x));
                    by_two = max(s, by_two, s.splat(x));
                }
                for (value, to) in [(largest.found(s), &mut found), (by_two, &mut wanted)] {
                    let mut lanes = [0.0f32; super::super::lanes::MAX_LANES];
                    // SAFETY: LANES <= MAX_LANES.
                    unsafe { s.store(lanes.as_mut_ptr(), s.canonical(value)) };
                    to.push(lanes[0].to_bits());
                }
            }
            (found, wanted)
        }
    }

    #[test]
    fn the_largest_of_many_is_that_of_two_at_a_time() {
        let all = [
            0.0f32,
            -0.0,
            1.0,
            -1.0,
            1e-40,
            -1e-40,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ];
        let triples = (all.iter()).flat_map(|&a| all.iter().map(move |&b| (a, b)));
        let triples = triples.flat_map(|(a, b)| all.iter().map(move |&c| vec![a, b, c]));
        let values: Vec<Vec<f32>> = triples.chain([vec![], vec![-0.0; 3]]).collect();
        for isa in Isa::available() {
            let (found, wanted) = isa.run(Both(&values));
            for ((found, wanted), values) in found.iter().zip(&wanted).zip(&values) {
                assert_eq!(found, wanted, "{values:?}");
            }
        }
    }
}
