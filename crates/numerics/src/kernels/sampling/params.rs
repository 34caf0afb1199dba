//! The words that say how a sequence is sampled.

/// Words of the sampling parameters.
pub const PARAMETERS: usize = 16;

/// How a sequence is sampled (`spec/numerics.md`, "Sampling"). The words of `params` in this order, floats by their
/// bits; words 10 to 15 are zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingParams {
    /// Tokens of the prompt.
    pub prompt_len: u64,
    /// Most tokens that are sampled.
    pub max_new_tokens: u64,
    /// Seed of the noise.
    pub seed: u64,
    /// Divides the logits; the largest logit wins where it is not above 0.
    pub temperature: f32,
    /// Keeps tokens that fewer than this many exceed; 0 keeps all.
    pub top_k: u64,
    /// Keeps tokens where those more probable have less than this probability together; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as probable as the most probable one.
    pub min_p: f32,
    /// Divides (multiplies, if negative) the logits of tokens that are there already.
    pub repetition: f32,
    /// Taken off a logit for every time that the token is there.
    pub frequency: f32,
    /// Taken off the logit of a token that is there.
    pub presence: f32,
}

impl Default for SamplingParams {
    /// The largest logit, from an empty prompt, without end.
    fn default() -> SamplingParams {
        SamplingParams {
            prompt_len: 0,
            max_new_tokens: i64::MAX.cast_unsigned(),
            seed: 0,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition: 1.0,
            frequency: 0.0,
            presence: 0.0,
        }
    }
}

impl From<[i64; PARAMETERS]> for SamplingParams {
    /// Every content has a meaning; of a float's word the low half counts.
    fn from(words: [i64; PARAMETERS]) -> SamplingParams {
        let word = |i: usize| words[i].cast_unsigned();
        let float = |i: usize| f32::from_bits(word(i) as u32);
        SamplingParams {
            prompt_len: word(0),
            max_new_tokens: word(1),
            seed: word(2),
            temperature: float(3),
            top_k: word(4),
            top_p: float(5),
            min_p: float(6),
            repetition: float(7),
            frequency: float(8),
            presence: float(9),
        }
    }
}

impl From<SamplingParams> for [i64; PARAMETERS] {
    fn from(params: SamplingParams) -> [i64; PARAMETERS] {
        let float = |x: f32| i64::from(x.to_bits());
        let mut words = [0; PARAMETERS];
        words[..10].copy_from_slice(&[
            params.prompt_len.cast_signed(),
            params.max_new_tokens.cast_signed(),
            params.seed.cast_signed(),
            float(params.temperature),
            params.top_k.cast_signed(),
            float(params.top_p),
            float(params.min_p),
            float(params.repetition),
            float(params.frequency),
            float(params.presence),
        ]);
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        let params = SamplingParams {
            prompt_len: 1,
            max_new_tokens: 2,
            seed: u64::MAX,
            temperature: 0.7,
            top_k: 40,
            top_p: 0.9,
            min_p: 0.05,
            repetition: 1.1,
            frequency: -0.5,
            presence: 0.25,
        };
        let words: [i64; PARAMETERS] = params.into();
        assert_eq!(SamplingParams::from(words), params);
        assert_eq!(words[10..], [0; 6]);
    }
}
