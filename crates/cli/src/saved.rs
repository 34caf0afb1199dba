//! A saved generation: what `gavel generate --save` writes and `gavel verify` checks.

use gavel_numerics::kernels::SamplingParams;
use gavel_trace::Digest;
use serde::{Deserialize, Serialize};

/// The format that is written.
pub(crate) const FORMAT: u32 = 1;

/// An answer with all that it follows from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedGeneration {
    /// Says what the file is, and its format.
    pub(crate) generation: u32,
    /// The model as it was called.
    pub(crate) model: String,
    /// Its identity.
    pub(crate) model_id: Digest,
    /// Positions of its context.
    pub(crate) context: u32,
    /// How tokens were chosen.
    pub(crate) params: Sampling,
    /// What was asked.
    pub(crate) prompt_tokens: Vec<u32>,
    /// What was answered, with the token that ended it.
    pub(crate) output_tokens: Vec<u32>,
    /// The answer as text; empty where the model has no tokenizer.
    pub(crate) text: String,
    /// The commitment to the whole run.
    pub(crate) trace_root: Option<Digest>,
    /// Steps of the run.
    pub(crate) steps: u32,
    /// How long it took, the model's loading apart.
    pub(crate) seconds: f64,
    /// On so many threads.
    pub(crate) threads: usize,
}

/// [`SamplingParams`] by name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sampling {
    max_tokens: u64,
    seed: u64,
    temperature: f32,
    top_k: u64,
    top_p: f32,
    min_p: f32,
    repeat_penalty: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
}

impl From<SamplingParams> for Sampling {
    fn from(params: SamplingParams) -> Sampling {
        Sampling {
            max_tokens: params.max_new_tokens,
            seed: params.seed,
            temperature: params.temperature,
            top_k: params.top_k,
            top_p: params.top_p,
            min_p: params.min_p,
            repeat_penalty: params.repetition,
            frequency_penalty: params.frequency,
            presence_penalty: params.presence,
        }
    }
}

impl From<Sampling> for SamplingParams {
    fn from(params: Sampling) -> SamplingParams {
        SamplingParams {
            prompt_len: 0,
            max_new_tokens: params.max_tokens,
            seed: params.seed,
            temperature: params.temperature,
            top_k: params.top_k,
            top_p: params.top_p,
            min_p: params.min_p,
            repetition: params.repeat_penalty,
            frequency: params.frequency_penalty,
            presence: params.presence_penalty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_survive_text_bit_by_bit() {
        let params = SamplingParams {
            prompt_len: 0,
            max_new_tokens: 256,
            seed: u64::MAX,
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: f32::from_bits(0x3d4c_cccd),
            repetition: 1.1,
            frequency: -0.3,
            presence: f32::MIN_POSITIVE,
        };
        let text = serde_json::to_string(&Sampling::from(params)).unwrap();
        let read: Sampling = serde_json::from_str(&text).unwrap();
        assert_eq!(SamplingParams::from(read), params);
    }
}
