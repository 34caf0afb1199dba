//! The draw: the largest logit plus Gumbel noise, which is a draw from the softmax of the logits.

use super::super::isa::Isa;
use super::super::lanes::load_tail;
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
        let Some(state) = self.noise else {
            return first_largest(s, self.logits);
        };
        let len = self.logits.len();
        let mut scratch = Scratch::take(len.next_multiple_of(S::LANES));
        let noisy = scratch.as_mut();
        let dropped = s.splat(f32::NEG_INFINITY);
        for (i, out) in noisy.chunks_exact_mut(S::LANES).enumerate() {
            let first = i * S::LANES;
            let x = match self.logits.get(first..first + S::LANES) {
                // SAFETY: the slice has LANES values.
                Some(x) => unsafe { s.load(x.as_ptr()) },
                None => load_tail(s, &self.logits[first..]),
            };
            // noise is finite: it leaves what is dropped, and a NaN, as it is
            let y = match s.any(s.lt(dropped, x)) {
                true => s.add(x, math::gumbel(s, s.uniform(state, first as u64))),
                false => x,
            };
            // SAFETY: the slice has LANES values.
            unsafe { s.store(out.as_mut_ptr(), y) };
        }
        first_largest(s, &noisy[..len])
    }
}

/// First index whose value no other exceeds, NaN above all (N-13); 0 of an empty slice.
#[inline(always)]
fn first_largest<S: Simd>(s: S, x: &[f32]) -> usize {
    let (mut best, mut is_nan) = (s.splat(f32::NEG_INFINITY), s.splat(0.0));
    let whole = x.len() - x.len() % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        // SAFETY: `i + LANES <= x.len()`.
        let value = unsafe { s.load(x.as_ptr().add(i)) };
        best = s.select(s.lt(best, value), value, best);
        is_nan = s.select(s.is_nan(value), s.splat(1.0), is_nan);
    }
    let mut lanes = [f32::NEG_INFINITY; super::super::lanes::MAX_LANES];
    // SAFETY: LANES <= MAX_LANES.
    unsafe { s.store(lanes.as_mut_ptr(), best) };
    let rest = &x[whole..];
    if s.any(s.lt(s.splat(0.0), is_nan)) || rest.iter().any(|v| v.is_nan()) {
        return x.iter().position(|v| v.is_nan()).unwrap_or(0);
    }
    let numbers = lanes.iter().chain(rest).copied();
    let best = numbers.fold(f32::NEG_INFINITY, |a, b| if a < b { b } else { a });
    let top = s.splat(best);
    let mut i = 0;
    // no value exceeds the best: the first that is not below it
    while i < whole {
        // SAFETY: `i + LANES <= x.len()`.
        let value = unsafe { s.load(x.as_ptr().add(i)) };
        let reached = s.select(s.lt(value, top), s.splat(0.0), s.splat(1.0));
        if s.any(s.lt(s.splat(0.0), reached)) {
            break;
        }
        i += S::LANES;
    }
    i + x[i..].iter().position(|&v| v >= best).unwrap_or(0)
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
