//! Fields that say how an answer is chosen.

use gavel_numerics::kernels::SamplingParams;
use serde_json::{Value, json};

use super::stream::StreamOptions;
use crate::gateway::Asked;
use crate::{ApiError, Fields, fields};

/// Most answers to one request.
pub(crate) const MAX_CHOICES: u64 = 8;
/// Most texts before which an answer ends.
pub(crate) const MAX_STOPS: usize = 4;
/// Most tokens that can be asked for.
pub(crate) const MOST_TOKENS: u64 = 1 << 20;
/// Largest penalty, and smallest reward, of tokens that stand there already.
pub(crate) const MOST_PENALTY: f32 = 2.0;

/// What is the same for chat and completions.
pub(super) struct Sampling {
    pub(super) params: SamplingParams,
    pub(super) most: Option<u64>,
    pub(super) choices: u64,
    pub(super) stop: Vec<String>,
    pub(super) stream: Option<StreamOptions>,
}

/// Reads them. The seed is set by the caller: it may be drawn.
pub(super) fn read(asked: &mut Asked, default_most: Option<u64>) -> Result<Sampling, ApiError> {
    let fields = &mut asked.fields;
    let most = fields.integer("max_tokens", 1, MOST_TOKENS)?;
    let completion = fields.integer("max_completion_tokens", 1, MOST_TOKENS)?;
    if let (Some(one), Some(other)) = (most, completion)
        && one != other
    {
        let message = "`max_tokens` and `max_completion_tokens` contradict each other";
        return Err(ApiError::field("max_tokens", "invalid_value", message));
    }
    let params = SamplingParams {
        temperature: fields.number("temperature", 0.0, 2.0, 1.0)?,
        top_p: fields.number("top_p", 0.0, 1.0, 1.0)?,
        top_k: fields.integer("top_k", 0, 1 << 31)?.unwrap_or(0),
        min_p: fields.number("min_p", 0.0, 1.0, 0.0)?,
        repetition: fields.number("repetition_penalty", 0.01, 100.0, 1.0)?,
        frequency: fields.number("frequency_penalty", -MOST_PENALTY, MOST_PENALTY, 0.0)?,
        presence: fields.number("presence_penalty", -MOST_PENALTY, MOST_PENALTY, 0.0)?,
        ..SamplingParams::default()
    };
    let sampling = Sampling {
        params,
        most: most.or(completion).or(default_most),
        choices: fields.integer("n", 1, MAX_CHOICES)?.unwrap_or(1),
        stop: stops(fields)?,
        stream: StreamOptions::read(fields)?,
    };
    // logits are not among a result's outputs
    fields.only("logit_bias", &[json!({})])?;
    fields.harmless(&[
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    ]);
    fields.only("store", &[json!(false)])?;
    fields.only("service_tier", &[json!("auto"), json!("default")])?;
    Ok(sampling)
}

fn stops(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let wrong = || {
        fields::expected(
            "stop",
            format!("a text, or a list of up to {MAX_STOPS} texts"),
        )
    };
    let texts = match fields.value("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(texts)) => {
            let text = |value: Value| value.as_str().map(str::to_owned);
            let texts: Option<Vec<_>> = texts.into_iter().map(text).collect();
            texts.ok_or_else(wrong)?
        }
        Some(_) => return Err(wrong()),
    };
    match texts.len() <= MAX_STOPS && texts.iter().all(|text| !text.is_empty()) {
        true => Ok(texts),
        false => Err(wrong()),
    }
}
