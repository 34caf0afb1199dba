//! The bookkeeping of a step. Counters are unsigned and wrap, as in the machine.

use super::SamplingParams;

/// Index at which the token sampled at `position` stands; `None` where the prompt has one there.
pub fn appended_at(position: u64, params: &SamplingParams) -> Option<u64> {
    let next = position.wrapping_add(1);
    (next >= params.prompt_len).then_some(next)
}

/// The stop state after the step at `position`: 0 go on, 1 the step was the last, 2 it was beyond the last. `tokens`
/// has one more element than the context has positions.
pub fn stop(
    stopped: bool,
    tokens: &[i32],
    position: u64,
    params: &SamplingParams,
    end: &[i32],
) -> i64 {
    if stopped {
        return 2;
    }
    let next = position.wrapping_add(1);
    // a full context ends the run whatever the prompt says
    if next >= (tokens.len() as u64).wrapping_sub(1) {
        return 1;
    }
    if next < params.prompt_len {
        return 0;
    }
    let limit = params.prompt_len.wrapping_add(params.max_new_tokens);
    let token = usize::try_from(next).ok().and_then(|i| tokens.get(i));
    let ended = token.is_some_and(|token| end.contains(token));
    (ended || next.wrapping_add(1) >= limit).into()
}
