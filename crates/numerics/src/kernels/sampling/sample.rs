//! The draw: the largest logit plus Gumbel noise, which is a draw from the softmax of the logits.

use super::super::isa::Isa;
use super::super::lanes::MAX_LANES;
use super::super::math;
use super::super::parallel::Scratch;
use super::super::simd::{Kernel, Simd};
use super::SamplingParams;
use crate::scalar::noise_state;

/// The index of the largest of `logits`, each plus its noise where the temperature is above 0; ties take the lowest
/// index, NaN ranks above all numbers.
pub fn sample(isa: Isa, logits: &[f32], position: u64, params: &SamplingParams) -> usize {
    let noise = (params.temperature > 0.0).then(|| noise_state(params.seed, position));
    isa.run(Sample { logits, noise })
}

struct Sample<'a> {
    logits: &'a [f32],
    noise: Option<u64>,
}

impl Kernel for Sample<'_> {
    type Out = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let len = self.logits.len();
        let mut scratch = Scratch::take(len.next_multiple_of(S::LANES));
        let noisy = scratch.as_mut();
        let dropped = s.splat(f32::NEG_INFINITY);
        let (mut best, mut is_nan) = (dropped, s.splat(0.0));
        for (i, out) in noisy.chunks_exact_mut(S::LANES).enumerate() {
            let first = i * S::LANES;
            let mut y = match self.logits.get(first..first + S::LANES) {
                // SAFETY: the slice has LANES values.
                Some(x) => unsafe { s.load(x.as_ptr()) },
                // lanes beyond the end are dropped
                None => {
                    let mut lanes = [f32::NEG_INFINITY; MAX_LANES];
                    lanes[..len - first].copy_from_slice(&self.logits[first..]);
                    // SAFETY: LANES <= MAX_LANES.
                    unsafe { s.load(lanes.as_ptr()) }
                }
            };
            if let Some(state) = self.noise {
                // noise is finite: it leaves what is dropped, and a NaN, as it is
                if s.any(s.lt(dropped, y)) {
                    y = s.add(y, math::gumbel(s, s.uniform(state, first as u64)));
                }
            }
            best = s.greater(y, best);
            is_nan = s.select(s.is_nan(y), s.splat(1.0), is_nan);
            // SAFETY: the slice has LANES values.
            unsafe { s.store(out.as_mut_ptr(), y) };
        }
        // N-13: the first NaN, or else the first value that is not below the greatest, which no other exceeds
        if s.any(s.lt(s.splat(0.0), is_nan)) {
            return noisy.iter().position(|y| y.is_nan()).unwrap_or(0);
        }
        let mut lanes = [f32::NEG_INFINITY; MAX_LANES];
        // SAFETY: LANES <= MAX_LANES.
        unsafe { s.store(lanes.as_mut_ptr(), best) };
        let best = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
        // a block as a whole first: that is a loop without a way out, which becomes vectors
        let reaches = |block: &[f32]| block.iter().fold(false, |any, &y| any | (y >= best));
        let from = noisy.chunks(64).position(reaches).unwrap_or(0) * 64;
        let within = noisy[from..].iter().position(|&y| y >= best);
        from + within.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;

    /// Whether vectors have the bits of the scalar functions for these counters, and for `2k + 1` times `2^-24`.
    struct Compare {
        state: u64,
        first: u64,
        k: u32,
    }

    impl Kernel for Compare {
        type Out = bool;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> bool {
            let mut found = [0.0f32; 16];
            let uniform = s.uniform(self.state, self.first);
            // SAFETY: no more than 16 lanes.
            unsafe { s.store(found.as_mut_ptr(), uniform) };
            let counters = (0..S::LANES as u64).map(|i| self.first.wrapping_add(i));
            let same = counters
                .zip(found)
                .all(|(i, u)| u.to_bits() == scalar::uniform_of(self.state, i).to_bits());
            let mut odd = [0.0f32; 16];
            for (i, u) in (self.k..).zip(&mut odd) {
                *u = (2 * i + 1) as f32 * scalar::UNIFORM_STEP;
            }
            // SAFETY: no more than 16 lanes.
            unsafe { s.store(found.as_mut_ptr(), math::gumbel(s, s.load(odd.as_ptr()))) };
            let noise = |u: f32| -scalar::log(-scalar::log(u));
            let mut lanes = odd.into_iter().zip(found).take(S::LANES);
            same && lanes.all(|(u, g)| g.to_bits() == noise(u).to_bits())
        }
    }

    #[test]
    fn noise_has_the_bits_of_the_scalar_function_for_every_uniform_number() {
        for isa in Isa::available() {
            for k in (0..1 << 23).step_by(4) {
                let state = scalar::mix(k.into());
                let first = state.rotate_left(20);
                let k = k.min((1 << 23) - 16);
                assert!(isa.run(Compare { state, first, k }), "{isa:?} {k}");
            }
        }
    }
}
