//! Temperature, and the tokens that top-k, top-p and min-p leave.
//!
//! Each condition holds for all tokens from a threshold up, so the threshold is found first and every token compared
//! with it. Top-k: the number of greater logits falls as the logit rises. Top-p: the terms of the masked sum are not
//! negative, and with a greater threshold some of them become +0; a sum of two floats, rounded, does not rise when an
//! operand falls, so by induction over lanes and tree the whole sum does not rise. Both thresholds are sought by
//! halving an interval of representations, whose order is that of the numbers.

use super::super::isa::Isa;
use super::super::lanes::{Map1, Map2, Operand, fold32, map1, map2, sum32};
use super::super::math;
use super::super::parallel::Scratch;
use super::super::simd::{Kernel, Simd};
use super::SamplingParams;

/// Divides the logits by the temperature and makes `-inf` of those that top-k, top-p or min-p drop; leaves them alone
/// where the temperature is not above 0.
pub fn filter(isa: Isa, logits: &mut [f32], params: &SamplingParams) {
    if params.temperature > 0.0 {
        isa.run(Filter { logits, params });
    }
}

struct Filter<'a> {
    logits: &'a mut [f32],
    params: &'a SamplingParams,
}

#[derive(Clone, Copy)]
struct Quotient;

impl Map2 for Quotient {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        s.div(x, y)
    }
}

#[derive(Clone, Copy)]
struct ExpMinus(f32);

impl Map1 for ExpMinus {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        math::exp(s, s.sub(x, s.splat(self.0)))
    }
}

/// `lane + (self < x ? x : +0)`
#[derive(Clone, Copy)]
struct PlusAbove(f32);

impl Map2 for PlusAbove {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, lane: S::F, x: S::F) -> S::F {
        let above = s.lt(s.splat(self.0), x);
        s.add(lane, s.select(above, x, s.splat(0.0)))
    }
}

/// `x < self ? -inf : z`
#[derive(Clone, Copy)]
struct DropBelow(f32);

impl Map2 for DropBelow {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, z: S::F) -> S::F {
        let below = s.lt(x, s.splat(self.0));
        s.select(below, s.splat(f32::NEG_INFINITY), z)
    }
}

impl Kernel for Filter<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &SamplingParams {
            temperature,
            top_k,
            top_p,
            min_p,
            ..
        } = self.params;
        let x = self.logits;
        if top_p <= 0.0 {
            // no sum of probabilities is less
            x.fill(f32::NEG_INFINITY);
            return;
        }
        let len = x.len();
        let mut scratch = Scratch::take(2 * len);
        let (z, p) = scratch.as_mut().split_at_mut(len);
        map2(s, Operand::Each(x), Operand::Same(temperature), z, Quotient);
        let least = match usize::try_from(top_k) {
            Ok(k) if 0 < k && k < len => kth_largest(s, z, k),
            _ => f32::NEG_INFINITY,
        };
        map2(s, Operand::Each(z), Operand::Each(z), x, DropBelow(least));
        if !(top_p < 1.0 || 0.0 < min_p) {
            return;
        }
        let weights = p;
        map1(s, z, weights, ExpMinus(math::max_of(s, z)));
        let sum = sum32(s, weights);
        if sum.is_nan() {
            // so is every probability, and nothing compares with it
            return;
        }
        let p = z;
        map2(s, Operand::Each(weights), Operand::Same(sum), p, Quotient);
        let of_top_p = match top_p < 1.0 {
            true => least_probability(s, p, top_p),
            false => 0.0,
        };
        let of_min_p = min_p * (1.0 / sum);
        let least = if of_top_p < of_min_p {
            of_min_p
        } else {
            of_top_p
        };
        let kept = weights;
        kept.copy_from_slice(x);
        map2(
            s,
            Operand::Each(p),
            Operand::Each(kept),
            x,
            DropBelow(least),
        );
    }
}

/// The least number that fewer than `k` of `z` exceed.
#[inline(always)]
fn kth_largest<S: Simd>(s: S, z: &[f32], k: usize) -> f32 {
    let (low, high) = (order(f32::NEG_INFINITY), order(f32::INFINITY));
    of_order(first(low, high, |t| count_above(s, z, of_order(t)) < k))
}

/// The least number such that those of `p` above it sum to less than `bound`; `p` are not negative and `bound` is
/// above 0.
#[inline(always)]
fn least_probability<S: Simd>(s: S, p: &[f32], bound: f32) -> f32 {
    // a rounded sum of such numbers is at least each of them, so none is above 1
    let found = first(0, 1f32.to_bits(), |t| {
        fold32(s, p, PlusAbove(f32::from_bits(t))) < bound
    });
    f32::from_bits(found)
}

/// The first of `low..=high` for which `holds`, which holds for `high` and beyond the first.
#[inline(always)]
fn first(mut low: u32, mut high: u32, holds: impl Fn(u32) -> bool) -> u32 {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// An integer that orders like the number, -0 below +0.
fn order(x: f32) -> u32 {
    let bits = x.to_bits();
    match bits >> 31 {
        0 => bits | 1 << 31,
        _ => !bits,
    }
}

/// The number of [`order`].
fn of_order(key: u32) -> f32 {
    f32::from_bits(match key >> 31 {
        1 => key & !(1 << 31),
        _ => !key,
    })
}

/// How many of `z` exceed `t`.
#[inline(always)]
fn count_above<S: Simd>(s: S, z: &[f32], t: f32) -> usize {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    // floats count exactly up to 2^24 per lane
    z.chunks(1 << 24)
        .map(|z| {
            let mut counts = [zero; 4];
            let whole = z.len() - z.len() % (4 * S::LANES);
            for i in (0..whole).step_by(4 * S::LANES) {
                for (v, count) in counts.iter_mut().enumerate() {
                    // SAFETY: `i + 4 * LANES <= z.len()`.
                    let x = unsafe { s.load(z.as_ptr().add(i + v * S::LANES)) };
                    *count = s.add(*count, s.select(s.lt(s.splat(t), x), one, zero));
                }
            }
            let count = counts
                .into_iter()
                .reduce(|a, b| s.add(a, b))
                .unwrap_or(zero);
            let mut lanes = [0.0f32; super::super::lanes::MAX_LANES];
            // SAFETY: LANES <= MAX_LANES.
            unsafe { s.store(lanes.as_mut_ptr(), count) };
            let rest = z[whole..].iter().filter(|&&x| t < x).count();
            lanes.iter().map(|&n| n as usize).sum::<usize>() + rest
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_like_numbers() {
        let numbers = [
            f32::NEG_INFINITY,
            -1.0,
            -1e-45,
            -0.0,
            0.0,
            1e-45,
            2.0,
            f32::INFINITY,
        ];
        for pair in numbers.windows(2) {
            assert!(order(pair[0]) < order(pair[1]));
        }
        assert!(
            numbers
                .iter()
                .all(|&x| of_order(order(x)).to_bits() == x.to_bits())
        );
    }
}
