//! A task of a language model: a prompt and how it is sampled as inputs of step 0, and the answer in the outputs of the
//! last step.

use std::borrow::Borrow;

use gavel_numerics::kernels::{PARAMETERS, SamplingParams};
use gavel_numerics::{Data, Tensor};

use super::roles::{FIRST_CACHE, PARAMS, TOKENS};
use crate::{Model, ModelError};

/// What stands where no token is yet.
const NO_TOKEN: i32 = -1;

/// Inputs of step 0: running, at position 0, with this prompt and empty caches. The parameters' `prompt_len` is the
/// prompt's.
///
/// # Errors
/// A prompt that is empty or longer than the context; a model of another kind.
pub fn task_inputs(
    model: &Model,
    prompt: &[i32],
    params: SamplingParams,
) -> Result<Vec<Tensor>, ModelError> {
    first_slots(model, prompt, params, model.graph().inputs.len())
}

/// The first `count` of [`task_inputs`].
fn first_slots(
    model: &Model,
    prompt: &[i32],
    params: SamplingParams,
    count: usize,
) -> Result<Vec<Tensor>, ModelError> {
    let inputs = &model.graph().inputs;
    let other =
        || ModelError::File("no language model: it has no tokens and parameters".to_owned());
    let (_, tokens) = inputs.get(TOKENS).ok_or_else(other)?;
    let room = tokens.elements().map_err(|_| other())?.saturating_sub(1);
    if prompt.is_empty() || prompt.len() > room {
        return Err(ModelError::File(format!(
            "a prompt has 1 to {room} tokens, this has {}",
            prompt.len()
        )));
    }
    let mut words = vec![NO_TOKEN; room + 1];
    words[..prompt.len()].copy_from_slice(prompt);
    let params = SamplingParams {
        prompt_len: prompt.len() as u64,
        ..params
    };
    let params: [i64; PARAMETERS] = params.into();
    let made = inputs
        .iter()
        .enumerate()
        .take(count)
        .map(|(slot, (name, ty))| {
            let raw = match slot {
                TOKENS => words.iter().map(|&w| u64::from(w as u32)).collect(),
                PARAMS => params.iter().map(|w| w.cast_unsigned()).collect(),
                _ => vec![0; ty.elements().map_err(|_| other())?],
            };
            Tensor::from_raw(ty.clone(), &raw).map_err(|e| ModelError::Tensor {
                name: name.clone(),
                reason: e.to_string(),
            })
        });
    made.collect()
}

/// Prompt and parameters of inputs of step 0; `None` where they are not what [`task_inputs`] gives.
pub fn prompt_of(model: &Model, inputs: &[Tensor]) -> Option<(Vec<i32>, SamplingParams)> {
    let types = model.graph().inputs.iter().map(|(_, ty)| ty);
    if !inputs.iter().map(Tensor::ty).eq(types) {
        return None;
    }
    let params = params_of(inputs)?;
    let Data::I32(tokens) = inputs.get(TOKENS)?.data() else {
        return None;
    };
    let prompt = tokens.get(..usize::try_from(params.prompt_len).ok()?)?;
    // of the caches it is enough that there is nothing in them
    let (small, caches) = inputs.split_at_checked(FIRST_CACHE)?;
    let expected = first_slots(model, prompt, params, FIRST_CACHE).ok()?;
    let empty = |cache: &Tensor| cache.le_bytes().iter().all(|&byte| byte == 0);
    (small == expected && caches.iter().all(empty)).then(|| (prompt.to_vec(), params))
}

/// The sampling parameters among a task's inputs or a run's outputs.
pub fn params_of(slots: &[impl Borrow<Tensor>]) -> Option<SamplingParams> {
    let words = slots.get(PARAMS)?.borrow().as_i64()?;
    let words: [i64; PARAMETERS] = words.try_into().ok()?;
    Some(SamplingParams::from(words))
}

/// Prompt and answer among a run's outputs (or the prompt alone among its inputs): the tokens that are known.
pub fn tokens_of(slots: &[impl Borrow<Tensor>]) -> Option<(Vec<u32>, Vec<u32>)> {
    let prompt_len = usize::try_from(params_of(slots)?.prompt_len).ok()?;
    let words = slots.get(TOKENS)?.borrow();
    let known: Vec<u32> = (0..words.len())
        .map_while(|i| u32::try_from(words.raw(i)? as u32 as i32).ok())
        .collect();
    let (prompt, answer) = known.split_at_checked(prompt_len)?;
    Some((prompt.to_vec(), answer.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::{Architecture, Formats, random, tiny};
    use gavel_numerics::WeightFormat;
    use std::sync::Arc;

    #[test]
    fn a_prompt_becomes_the_inputs_of_a_first_step_and_is_read_back() {
        let config = tiny(Architecture::Llama);
        let formats = Formats::uniform(&config, WeightFormat::Q8_0);
        let model = random(&config, &formats, 1).unwrap().model;
        let params = SamplingParams {
            temperature: 0.5,
            seed: 7,
            ..SamplingParams::default()
        };
        let inputs = task_inputs(&model, &[1, 2, 3], params).unwrap();
        let types = model.graph().inputs.iter().map(|(_, ty)| ty);
        assert!(inputs.iter().map(Tensor::ty).eq(types));
        let (prompt, read) = prompt_of(&model, &inputs).unwrap();
        assert_eq!((prompt, read.prompt_len), (vec![1, 2, 3], 3));
        let inputs: Vec<Arc<Tensor>> = inputs.into_iter().map(Arc::new).collect();
        assert_eq!(tokens_of(&inputs), Some((vec![1, 2, 3], vec![])));
        let read = params_of(&inputs).unwrap();
        assert_eq!((read.prompt_len, read.seed, read.temperature), (3, 7, 0.5));
        for wrong in [
            vec![],
            vec![0; config.context as usize + 1],
            vec![0; config.context as usize + 2],
        ] {
            assert!(task_inputs(&model, &wrong, params).is_err());
        }
    }
    #[test]
    fn another_state_than_that_before_a_first_step_is_no_prompt() {
        let config = tiny(Architecture::Llama);
        let formats = Formats::uniform(&config, WeightFormat::Q8_0);
        let model = random(&config, &formats, 1).unwrap().model;
        let inputs = task_inputs(&model, &[1, 2, 3], SamplingParams::default()).unwrap();
        for slot in 0..inputs.len() {
            // any word of a slot but those of the prompt and of how it is sampled
            let at = match slot {
                TOKENS => 3,
                PARAMS => PARAMETERS - 1,
                _ => inputs[slot].len() - 1,
            };
            let mut raw: Vec<u64> = (0..inputs[slot].len())
                .map(|i| inputs[slot].raw(i).unwrap())
                .collect();
            raw[at] ^= 1;
            let mut changed = inputs.clone();
            changed[slot] = Tensor::from_raw(inputs[slot].ty().clone(), &raw).unwrap();
            assert_eq!(prompt_of(&model, &changed), None, "slot {slot}");
        }
        assert_eq!(prompt_of(&model, &inputs[1..]), None);
        assert_eq!(prompt_of(&model, &[]), None);
    }
}
