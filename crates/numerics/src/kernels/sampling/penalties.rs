//! Penalties for tokens that are there already.

use super::SamplingParams;
use crate::scalar::canonical;

/// Changes the logit of every token in `history` (the tokens up to the position): times the repetition penalty if it
/// is negative, else divided by it; then less count times frequency, less presence.
pub fn penalties(logits: &mut [f32], history: &[i32], params: &SamplingParams) {
    let SamplingParams {
        repetition,
        frequency,
        presence,
        ..
    } = *params;
    // dividing by 1 and taking +0 off changes no bit
    if repetition == 1.0 && frequency.to_bits() == 0 && presence.to_bits() == 0 {
        return;
    }
    let mut seen = history.to_vec();
    seen.sort_unstable();
    for run in seen.chunk_by(|a, b| a == b) {
        let logit = usize::try_from(run[0]).ok().and_then(|i| logits.get_mut(i));
        if let Some(logit) = logit {
            let x = match *logit < 0.0 {
                true => *logit * repetition,
                false => *logit / repetition,
            };
            *logit = canonical(x - run.len() as f32 * frequency - presence);
        }
    }
}
