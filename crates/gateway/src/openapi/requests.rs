//! What is taken. A test sends values of all kinds for every field: the gateway refuses just those that are not described here.

use serde_json::{Value, json};

use super::schema_at;
use crate::routes::{
    DEFAULT_TOKENS, MAX_CHOICES, MAX_MESSAGES, MAX_STOPS, MOST_PENALTY, MOST_TOKENS,
};

/// Fields that are taken and change nothing.
fn harmless(fields: &mut Value, names: &[&str]) {
    for name in names {
        fields[name] = json!({"description": "Taken, and without effect"});
    }
}

/// A request with these fields and no others; those that are not needed may be null.
fn object(needed: &[&str], mut fields: Value) -> Value {
    for (name, schema) in fields.as_object_mut().into_iter().flatten() {
        let is_any = schema
            .as_object()
            .is_some_and(|s| s.keys().all(|k| k == "description"));
        if !needed.contains(&name.as_str()) && !is_any {
            *schema = json!({"anyOf": [schema.take(), {"type": "null"}]});
        }
    }
    json!({"type": "object", "required": needed, "additionalProperties": false, "properties": fields})
}

/// A field that says what happens anyway.
fn only(allowed: Value) -> Value {
    json!({"enum": allowed})
}

fn number(low: f64, high: f64, default: f64, what: &str) -> Value {
    json!({"type": "number", "minimum": low, "maximum": high, "default": default, "description": what})
}

fn whole(low: u64, high: u64, what: &str) -> Value {
    json!({"type": "integer", "minimum": low, "maximum": high, "description": what})
}

fn seed() -> Value {
    json!({"type": "integer", "minimum": i64::MIN, "maximum": u64::MAX, "description": "64 bits, signed or not; one of 53 bits is drawn where it is absent. Answer `i` of several has `seed + i`"})
}

fn token_ids() -> Value {
    json!({"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0, "maximum": u32::MAX}})
}

/// One text or list of tokens, or several.
fn prompts() -> Value {
    json!({"anyOf": [
        {"type": "string"},
        token_ids(),
        {"type": "array", "minItems": 1, "maxItems": MAX_CHOICES, "items": {"anyOf": [{"type": "string"}, token_ids()]}},
    ]})
}

fn sampled(fields: &mut Value) {
    let most = |what| whole(1, MOST_TOKENS, what);
    let more = json!({
        "max_tokens": most("The most tokens of an answer; by default what the context leaves, of a completion 16"),
        "max_completion_tokens": most("The same by another name; both have to agree"),
        "temperature": number(0.0, 2.0, 1.0, "0 takes the likeliest token"),
        "top_p": number(0.0, 1.0, 1.0, "Of the likeliest tokens those of so much probability"),
        "top_k": whole(0, 1 << 31, "Of the likeliest tokens so many; 0 takes all"),
        "min_p": number(0.0, 1.0, 0.0, "Tokens of at least so much of the likeliest one's probability"),
        "repetition_penalty": number(0.01, 100.0, 1.0, "Of tokens that stand there already"),
        "frequency_penalty": number(-f64::from(MOST_PENALTY), f64::from(MOST_PENALTY), 0.0, "Of tokens by how often they stand there"),
        "presence_penalty": number(-f64::from(MOST_PENALTY), f64::from(MOST_PENALTY), 0.0, "Of tokens that stand there"),
        "n": whole(1, MAX_CHOICES, "Answers to each prompt, each of them a task; of a completion with several prompts all together are at most as many"),
        "stop": {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "maxItems": MAX_STOPS, "items": {"type": "string", "minLength": 1}},
            ],
            "description": "Texts before which an answer ends",
        },
        "stream": {"type": "boolean", "default": false},
        "stream_options": object(&[], json!({
            "include_usage": {"type": "boolean", "default": false},
            "include_obfuscation": {"description": "Taken, and without effect"},
        })),
        "seed": seed(),
        "logit_bias": only(json!([{}])),
        "store": only(json!([false])),
        "service_tier": only(json!(["auto", "default"])),
    });
    for (name, schema) in more.as_object().into_iter().flatten() {
        fields[name] = schema.clone();
    }
    harmless(
        fields,
        &[
            "user",
            "metadata",
            "safety_identifier",
            "prompt_cache_key",
            "prompt_cache_retention",
        ],
    );
}

/// Options of a stream are for streams.
fn streamable(mut request: Value) -> Value {
    request["if"] = json!({"properties": {"stream_options": {"type": "object"}}, "required": ["stream_options"]});
    request["then"] = json!({"properties": {"stream": {"const": true}}, "required": ["stream"]});
    request
}

fn chat() -> Value {
    let mut fields = json!({
        "model": model(),
        "messages": messages(),
        "logprobs": only(json!([false])),
        "top_logprobs": only(json!([0])),
        "tools": only(json!([[]])),
        "tool_choice": only(json!(["none", "auto"])),
        "functions": only(json!([[]])),
        "function_call": only(json!(["none", "auto"])),
        "response_format": only(json!([{"type": "text"}])),
        "modalities": only(json!([["text"]])),
    });
    harmless(&mut fields, &["parallel_tool_calls"]);
    sampled(&mut fields);
    streamable(object(&["model", "messages"], fields))
}

fn completion() -> Value {
    let mut fields = json!({
        "model": model(),
        "prompt": prompts(),
        "logprobs": {"type": "null"},
        "echo": only(json!([false])),
        "suffix": only(json!([""])),
        "best_of": only(json!([1])),
    });
    sampled(&mut fields);
    for name in ["max_tokens", "max_completion_tokens"] {
        fields[name]["default"] = DEFAULT_TOKENS.into();
    }
    streamable(object(&["model", "prompt"], fields))
}

fn model() -> Value {
    json!({"type": "string", "description": "Name of a model, or its `class_id`"})
}

fn messages() -> Value {
    json!({"type": "array", "minItems": 1, "maxItems": MAX_MESSAGES, "items": schema_at("Message")})
}

fn picture() -> Value {
    let mut fields = json!({
        "model": model(),
        "prompt": {"type": "string", "description": "Words that the model knows; an error lists them"},
        "n": whole(1, MAX_CHOICES, "Pictures, each of them a task"),
        "size": {"type": "string", "pattern": "^([0-9]+x[0-9]+|auto)$", "description": "The model's own, as /v1/models says it, or auto"},
        "response_format": only(json!(["b64_json"])),
        "output_format": only(json!(["png"])),
        "output_compression": only(json!([100])),
        "background": only(json!(["auto", "opaque"])),
        "quality": only(json!(["auto", "standard"])),
        "style": {"type": "null"},
        "stream": only(json!([false])),
        "partial_images": only(json!([0])),
        "moderation": only(json!(["auto", "low"])),
        "seed": seed(),
    });
    harmless(&mut fields, &["user"]);
    object(&["model", "prompt"], fields)
}

/// A request to be posted: to an endpoint, and without a stream.
fn posted(endpoint: &str, request: &str) -> Value {
    json!({
        "properties": {
            "endpoint": {"const": endpoint},
            "body": {"allOf": [
                schema_at(request),
                {"properties": {"stream": {"enum": [false, null]}, "stream_options": {"type": "null"}}},
            ]},
        },
    })
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let part = object(
        &["type", "text"],
        json!({"type": {"const": "text"}, "text": {"type": "string"}}),
    );
    let message = object(
        &["role", "content"],
        json!({
            "role": {"enum": ["system", "developer", "user", "assistant"]},
            "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": part}]},
            "refusal": {"type": "null"},
            "tool_calls": only(json!([[]])),
        }),
    );
    let mut embedding = json!({
        "model": model(),
        "input": prompts(),
        "encoding_format": {"enum": ["float", "base64"], "default": "float"},
        "dimensions": {"type": "null"},
    });
    harmless(&mut embedding, &["user"]);
    let mut tokenize = object(
        &["model"],
        json!({"model": model(), "prompt": {"type": "string"}, "messages": messages()}),
    );
    tokenize["oneOf"] = json!([
        {"required": ["prompt"], "properties": {"prompt": {"type": "string"}, "messages": {"type": "null"}}},
        {"required": ["messages"], "properties": {"prompt": {"type": "null"}, "messages": {"type": "array"}}},
    ]);
    vec![
        ("ChatRequest", chat()),
        ("Message", message),
        ("CompletionRequest", completion()),
        ("EmbeddingRequest", object(&["model", "input"], embedding)),
        ("ImageRequest", picture()),
        ("TokenizeRequest", tokenize),
        (
            "DetokenizeRequest",
            object(
                &["model", "tokens"],
                json!({"model": model(), "tokens": token_ids()}),
            ),
        ),
        (
            "TaskRequest",
            json!({
                "type": "object",
                "required": ["endpoint", "body"],
                "properties": {"endpoint": {"type": "string"}, "body": {"type": "object"}},
                "additionalProperties": false,
                "oneOf": [
                    posted("/v1/chat/completions", "ChatRequest"),
                    posted("/v1/completions", "CompletionRequest"),
                    posted("/v1/embeddings", "EmbeddingRequest"),
                    posted("/v1/images/generations", "ImageRequest"),
                ],
            }),
        ),
    ]
}
