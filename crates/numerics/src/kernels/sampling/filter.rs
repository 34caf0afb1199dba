//! Temperature, and the tokens that top-k, top-p and min-p leave.
//!
//! Each condition holds for all tokens from a threshold up, so the threshold is found first and every token compared
//! with it. Top-k: the number of greater logits falls as the logit rises. Top-p: the terms of the masked sum are not
//! negative, and with a greater threshold some of them become +0; a sum of two floats, rounded, does not rise when an
//! operand falls, so by induction over lanes and tree the whole sum does not rise. Both thresholds are sought by
//! halving an interval of representations, whose order is that of the numbers.

use std::ops::RangeInclusive;

use super::super::isa::Isa;
use super::super::lanes::{
    MAX_LANES, Map1, Map2, Operand, REDUCTION_LANES, fold32, map1, map2, sum32,
};
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
        let mut scratch = Scratch::take(2 * len + len.next_multiple_of(REDUCTION_LANES));
        let (z, rest) = scratch.as_mut().split_at_mut(len);
        let (p, pool) = rest.split_at_mut(len);
        map2(s, Operand::Each(x), Operand::Same(temperature), z, Quotient);
        let least = match usize::try_from(top_k) {
            Ok(k) if 0 < k && k < len => {
                pool[len..].fill(f32::NEG_INFINITY);
                pool[..len].copy_from_slice(z);
                let keys = order(f32::NEG_INFINITY)..=order(f32::INFINITY);
                of_order(least_key(s, pool, keys, FewerAbove(k)))
            }
            _ => f32::NEG_INFINITY,
        };
        let sum = if top_p < 1.0 || 0.0 < min_p {
            map1(s, z, x, ExpMinus(math::max_of(s, z)));
            sum32(s, x)
        } else {
            f32::NAN
        };
        if sum.is_nan() {
            // so is every probability, and nothing compares with it
            map2(s, Operand::Each(z), Operand::Each(z), x, DropBelow(least));
            return;
        }
        map2(s, Operand::Each(x), Operand::Same(sum), p, Quotient);
        let mut least_p = 0.0;
        if top_p < 1.0 {
            pool[len..].fill(0.0);
            pool[..len].copy_from_slice(p);
            // a rounded sum of such numbers is at least each of them, so none is above 1
            let keys = 0..=1f32.to_bits();
            least_p = f32::from_bits(least_key(s, pool, keys, LessAbove(top_p)));
        }
        let of_min_p = min_p * (1.0 / sum);
        if least_p < of_min_p {
            least_p = of_min_p;
        }
        let kept = &mut pool[..len];
        map2(
            s,
            Operand::Each(z),
            Operand::Each(z),
            kept,
            DropBelow(least),
        );
        map2(
            s,
            Operand::Each(p),
            Operand::Each(kept),
            x,
            DropBelow(least_p),
        );
    }
}

/// What holds for all thresholds from some on.
trait Condition: Copy {
    /// The threshold with this key.
    fn threshold(self, key: u32) -> f32;

    /// Whether it holds for the numbers above `threshold` among `x`, whole blocks of 32. Must be `#[inline(always)]`.
    fn holds<S: Simd>(self, s: S, x: &[f32], threshold: f32) -> bool;
}

/// Fewer than so many numbers are above the threshold, whose key is its [`order`].
#[derive(Clone, Copy)]
struct FewerAbove(usize);

impl Condition for FewerAbove {
    #[inline(always)]
    fn threshold(self, key: u32) -> f32 {
        of_order(key)
    }

    #[inline(always)]
    fn holds<S: Simd>(self, s: S, x: &[f32], threshold: f32) -> bool {
        let (t, zero, one) = (s.splat(threshold), s.splat(0.0), s.splat(1.0));
        let mut count = 0;
        // a lane counts exactly up to 2^24
        for x in x.chunks(1 << 24) {
            let mut counts = [zero; 8];
            for block in x.as_chunks::<REDUCTION_LANES>().0 {
                for (v, count) in counts.iter_mut().enumerate().take(vectors::<S>()) {
                    // SAFETY: vector `v` lies inside the block.
                    let x = unsafe { s.load(block.as_ptr().add(v * S::LANES)) };
                    *count = s.add(*count, s.select(s.lt(t, x), one, zero));
                }
            }
            let mut lanes = [0.0f32; MAX_LANES];
            for counts in counts.iter().take(vectors::<S>()) {
                // SAFETY: LANES <= MAX_LANES.
                unsafe { s.store(lanes.as_mut_ptr(), *counts) };
                count += lanes.iter().map(|&n| n as usize).sum::<usize>();
            }
        }
        count < self.0
    }
}

/// The 32-lane sum of the numbers above the threshold, which are not negative, is less than this. The key is the
/// threshold's bits.
#[derive(Clone, Copy)]
struct LessAbove(f32);

impl Condition for LessAbove {
    #[inline(always)]
    fn threshold(self, key: u32) -> f32 {
        f32::from_bits(key)
    }

    #[inline(always)]
    fn holds<S: Simd>(self, s: S, x: &[f32], threshold: f32) -> bool {
        fold32(s, x, PlusAbove(threshold)) < self.0
    }
}

/// The first of `keys` whose threshold meets `condition`, which the last and all behind the first do. `x` is working
/// memory: blocks of 32 without a number above all thresholds that are left change no count, and no lane of a sum.
#[inline(always)]
fn least_key<S: Simd>(
    s: S,
    x: &mut [f32],
    keys: RangeInclusive<u32>,
    condition: impl Condition,
) -> u32 {
    let (mut low, mut high) = keys.into_inner();
    let mut len = x.len();
    while low < high {
        let middle = low + (high - low) / 2;
        let threshold = condition.threshold(middle);
        if condition.holds(s, &x[..len], threshold) {
            high = middle;
        } else {
            low = middle + 1;
            len = keep_blocks_above(s, &mut x[..len], threshold);
        }
    }
    low
}

/// Moves the blocks of 32 with a number above `threshold` to the front, in their order; returns how much that is.
#[inline(always)]
fn keep_blocks_above<S: Simd>(s: S, x: &mut [f32], threshold: f32) -> usize {
    let t = s.splat(threshold);
    let mut kept = 0;
    let blocks = x.as_chunks_mut::<REDUCTION_LANES>().0;
    for i in 0..blocks.len() {
        let block = blocks[i];
        let mut highest = s.splat(f32::NEG_INFINITY);
        for v in 0..vectors::<S>() {
            // SAFETY: vector `v` lies inside the block.
            let x = unsafe { s.load(block.as_ptr().add(v * S::LANES)) };
            highest = s.greater(x, highest);
        }
        // written over by the next where it is not kept
        blocks[kept] = block;
        kept += usize::from(s.any(s.lt(t, highest)));
    }
    kept * REDUCTION_LANES
}

/// Vectors of a block of 32.
const fn vectors<S: Simd>() -> usize {
    REDUCTION_LANES / S::LANES
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
