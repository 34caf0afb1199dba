//! Tables of the rotation. Computed in binary64 by `libm`'s pure code, so that every machine gets the same table.

use std::f64::consts::PI;

use super::config::{LlamaConfig, Rope, RopeScaling};

/// `context` rows of `rotary` values: cosine and sine of pair `j` at `2j` and `2j + 1`.
pub(crate) fn table(config: &LlamaConfig) -> Vec<f32> {
    let frequencies = frequencies(&config.rope);
    let magnitude = match config.rope.scaling {
        RopeScaling::Yarn { magnitude, .. } => magnitude,
        _ => 1.0,
    };
    let mut out = Vec::with_capacity(config.context as usize * config.rope.rotary as usize);
    for position in 0..config.context {
        for frequency in &frequencies {
            let angle = f64::from(position) * frequency;
            out.push((libm::cos(angle) * magnitude) as f32);
            out.push((libm::sin(angle) * magnitude) as f32);
        }
    }
    out
}

/// Radians per position of each pair.
fn frequencies(rope: &Rope) -> Vec<f64> {
    let pairs = rope.rotary / 2;
    (0..pairs)
        .map(|j| {
            let exponent = -f64::from(2 * j) / f64::from(rope.rotary);
            scaled(rope, j, libm::pow(rope.base, exponent))
        })
        .collect()
}

fn scaled(rope: &Rope, j: u32, frequency: f64) -> f64 {
    match &rope.scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Factors(factors) => frequency / f64::from(factors[j as usize]),
        RopeScaling::Llama3 {
            factor,
            low,
            high,
            original_context,
        } => {
            // turns in the original context; few turns are a long wave
            let turns = f64::from(*original_context) * frequency / (2.0 * PI);
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            blend(frequency, *factor, kept)
        }
        RopeScaling::Yarn {
            factor,
            original_context,
            fast,
            slow,
            ..
        } => {
            let pair = |turns: f64| pair_of_turns(rope, *original_context, turns);
            let first = libm::floor(pair(*fast)).max(0.0);
            let last = libm::ceil(pair(*slow)).min(f64::from(rope.rotary - 1));
            let divided = (f64::from(j) - first) / (last - first).max(0.001);
            blend(frequency, *factor, 1.0 - divided.clamp(0.0, 1.0))
        }
    }
}

/// The share `kept` of a frequency, and the rest of it over `factor`.
fn blend(frequency: f64, factor: f64, kept: f64) -> f64 {
    frequency / factor * (1.0 - kept) + frequency * kept
}

/// Which pair, as a real number, turns so often in the original context.
fn pair_of_turns(rope: &Rope, original_context: u32, turns: f64) -> f64 {
    let wave = f64::from(original_context) / (turns * 2.0 * PI);
    f64::from(rope.rotary) * libm::log(wave) / (2.0 * libm::log(rope.base))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(scaling: RopeScaling) -> Rope {
        Rope {
            halves: true,
            rotary: 64,
            base: 500_000.0,
            scaling,
        }
    }

    #[test]
    fn frequencies_fall_from_one_to_nearly_the_inverse_of_the_base() {
        let found = frequencies(&rope(RopeScaling::None));
        assert_eq!((found.len(), found[0]), (32, 1.0));
        assert!((found[16] - 500_000f64.sqrt().recip()).abs() < 1e-15);
        assert!(found.windows(2).all(|w| w[1] < w[0]));
    }

    #[test]
    fn scalings_keep_fast_pairs_and_divide_slow_ones() {
        let plain = frequencies(&rope(RopeScaling::None));
        let llama3 = frequencies(&rope(RopeScaling::Llama3 {
            factor: 8.0,
            low: 1.0,
            high: 4.0,
            original_context: 8192,
        }));
        let yarn = frequencies(&rope(RopeScaling::Yarn {
            factor: 8.0,
            original_context: 8192,
            fast: 32.0,
            slow: 1.0,
            magnitude: 1.0,
        }));
        for found in [&llama3, &yarn] {
            assert_eq!(found[0], plain[0]);
            assert_eq!(found[31], plain[31] / 8.0);
            let shares = plain.iter().zip(found).map(|(a, b)| a / b);
            assert!(shares.clone().any(|s| s > 1.1 && s < 7.9));
            assert!(shares.is_sorted());
        }
        // what a GGUF file carries for Llama 3 is the quotient
        let factors = plain.iter().zip(&llama3).map(|(a, b)| (a / b) as f32);
        let carried = frequencies(&rope(RopeScaling::Factors(factors.collect())));
        for (a, b) in carried.iter().zip(&llama3) {
            assert!((a / b - 1.0).abs() < 1e-7);
        }
        let linear = frequencies(&rope(RopeScaling::Linear { factor: 4.0 }));
        assert!(plain.iter().zip(&linear).all(|(a, b)| *b == a / 4.0));
    }
}
