//! What is answered.

use serde_json::{Value, json};

use super::schema_at;

fn digest(what: &str) -> Value {
    json!({"type": "string", "pattern": "^0x[0-9a-f]{64}$", "description": what})
}

fn or_null(mut schema: Value) -> Value {
    let types = json!([schema["type"], "null"]);
    schema["type"] = types;
    schema
}

fn address(what: &str) -> Value {
    json!({"type": "string", "pattern": "^0x[0-9a-f]{40}$", "description": what})
}

fn count(what: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": what})
}

fn amount(what: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9]+$", "description": what})
}

/// An object that has just these fields, all of them.
fn object(fields: Value) -> Value {
    let names: Vec<&String> = fields
        .as_object()
        .into_iter()
        .flatten()
        .map(|(n, _)| n)
        .collect();
    json!({"type": "object", "required": names, "additionalProperties": false, "properties": fields})
}

/// [`object`], with fields that may be absent.
fn object_with(fields: Value, optional: Value) -> Value {
    let mut object = object(fields);
    for (name, schema) in optional.as_object().into_iter().flatten() {
        object["properties"][name] = schema.clone();
    }
    object
}

fn list(of: &str, more: Value) -> Value {
    let mut fields = json!({
        "object": {"const": "list"},
        "data": {"type": "array", "items": schema_at(of)},
    });
    for (name, schema) in more.as_object().into_iter().flatten() {
        fields[name] = schema.clone();
    }
    object(fields)
}

fn fingerprint() -> Value {
    json!({"type": "string", "pattern": "^gvl1-[0-9a-f]{16}$", "description": "Hash of the model's identity: the same one, the same request and the same seed give the same bytes"})
}

fn status() -> Value {
    json!({
        "enum": ["open", "claimed", "committed", "disputed", "settled", "cancelled", "expired", null],
        "description": "Where the task stands on the chain; the last three of them are final; null while this gateway has not seen it",
    })
}

fn created() -> Value {
    count("Seconds since the epoch")
}

fn choice(content: &str, schema: Value, is_chunk: bool) -> Value {
    let reasons = match is_chunk {
        true => json!(["stop", "length", null]),
        false => json!(["stop", "length"]),
    };
    object(json!({
        "index": count("Place among the answers"),
        content: schema,
        "logprobs": {"type": "null"},
        "finish_reason": {"enum": reasons},
    }))
}

fn words(name: &str, prefix: &str, choice: Value, is_chunk: bool) -> Value {
    let fields = json!({
        "id": {"type": "string", "pattern": format!("^{prefix}-[0-9]+$")},
        "object": {"const": name},
        "created": created(),
        "model": {"type": "string"},
        "system_fingerprint": fingerprint(),
        "choices": {"type": "array", "items": choice},
    });
    match is_chunk {
        true => object_with(
            fields,
            json!({
                "usage": {"anyOf": [schema_at("Usage"), {"type": "null"}], "description": "With `include_usage`: of the whole answer in the last chunk, null before"},
                "gavel": schema_at("Gavel"),
            }),
        ),
        false => {
            let mut fields = fields;
            fields["usage"] = schema_at("Usage");
            fields["gavel"] = schema_at("Gavel");
            object(fields)
        }
    }
}

fn gavel() -> Value {
    json!({
        "task_id": {"type": "integer", "minimum": 1},
        "status": status(),
        "attempt": or_null(count("From 0: how often it was returned to the auction")),
        "model_id": or_null(digest("What was run")),
        "class_id": or_null(digest("What was asked for: the model or its family")),
        "provider": or_null(address("Who claimed it")),
        "seed": {"type": "integer", "minimum": 0, "maximum": u64::MAX, "description": "Of this answer"},
        "receipt": {"anyOf": [schema_at("Receipt"), {"type": "null"}]},
        "challenge_until": or_null(count("Last second, since the epoch, at which the result may be challenged")),
    })
}

fn task() -> Value {
    json!({
        "id": {"type": "integer", "minimum": 1},
        "object": {"const": "task"},
        "created": created(),
        "endpoint": {"enum": ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/images/generations"]},
        "model": {"type": "string", "description": "By the name that was asked for"},
        "status": status(),
        "gavel": schema_at("Gavel"),
    })
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let mut all = models();
    all.extend(answers());
    all.extend(tasks());
    all
}

fn models() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Document",
            json!({"type": "object", "required": ["openapi", "info", "paths"], "description": "OpenAPI 3.1"}),
        ),
        (
            "GatewayIdentity",
            object(json!({
                "object": {"const": "gateway"},
                "chain_id": count("EVM chain id"),
                "market": address("The market: the contract of the domain"),
                "gateway": address("The account that this gateway posts tasks with"),
                "now": count("The gateway's clock, in seconds since the epoch"),
                "horizon_seconds": count("How far away a deadline may be"),
            })),
        ),
        ("ModelList", list("Model", json!({}))),
        (
            "Model",
            object(json!({
                "id": {"type": "string"},
                "object": {"const": "model"},
                "created": count("When the gateway was started, in seconds since the epoch"),
                "owned_by": {"const": "gavel"},
                "gavel": object(json!({
                    "class_id": digest("Identity of the model or family"),
                    "kind": {"enum": ["language", "pictures", "encoder"]},
                    "context": or_null(count("Tokens that it takes, where it takes tokens; of a language model prompt and answer together")),
                    "size": {"type": ["string", "null"], "pattern": "^[0-9]+x[0-9]+$", "description": "Of the pictures that it draws"},
                    "system_fingerprint": fingerprint(),
                    "price": object(json!({
                        "min": amount("At which an auction starts, in units of the asset"),
                        "max": amount("At which it ends"),
                        "levy": amount("Paid for audits on top"),
                    })),
                })),
            })),
        ),
        (
            "Tokens",
            object(json!({
                "tokens": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": u32::MAX}},
                "count": count("How many"),
                "max_model_len": or_null(count("Tokens that the model takes")),
            })),
        ),
        ("Text", object(json!({"prompt": {"type": "string"}}))),
    ]
}

fn answers() -> Vec<(&'static str, Value)> {
    let message = object(json!({
        "role": {"const": "assistant"},
        "content": {"type": "string"},
        "refusal": {"type": "null"},
    }));
    let delta = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {"role": {"const": "assistant"}, "content": {"type": "string"}},
    });
    let text = || json!({"type": "string"});
    let chat = choice("message", message, false);
    let chat_chunk = choice("delta", delta, true);
    let mut receipt = json!({
        "chain_id": count("EVM chain id"),
        "market": address("The contract"),
        "task_id": {"type": "integer", "minimum": 1},
        "attempt": count("From 0"),
        "steps": {"type": "integer", "minimum": 1},
        "provider": address("Who signed"),
        "signature": {"type": "string", "pattern": "^0x[0-9a-f]{130}$", "description": "EIP-712"},
    });
    for (name, what) in [
        ("class_id", "What was asked for: the model or its family"),
        ("model_id", "What was run"),
        ("input_digest", "Of the task's inputs"),
        ("output_digest", "Of the result's outputs"),
        ("trace_root", "What was committed on chain"),
    ] {
        receipt[name] = digest(what);
    }
    let mut receipt = object(receipt);
    receipt["description"] = "A provider's signed statement about one result".into();
    let mut ours = object_with(
        gavel(),
        json!({"choices": {"type": "array", "items": object(gavel()), "description": "Of all answers, where there are several; the fields beside it are those of the first"}}),
    );
    ours["description"] = "What the network adds to an answer".into();
    let vector = json!({"anyOf": [
        {"type": "array", "items": {"type": ["number", "null"]}, "description": "Numbers; null is one that JSON cannot say"},
        {"type": "string", "contentEncoding": "base64", "description": "Little-endian binary32"},
    ]});
    let embedding = object(json!({
        "object": {"const": "embedding"},
        "index": count("Place among the inputs"),
        "embedding": vector,
    }));
    let used = object(json!({
        "prompt_tokens": count("Of the inputs"), "total_tokens": count("The same"),
    }));
    vec![
        (
            "ChatCompletion",
            words("chat.completion", "chatcmpl", chat, false),
        ),
        (
            "ChatChunk",
            words("chat.completion.chunk", "chatcmpl", chat_chunk, true),
        ),
        (
            "Completion",
            words(
                "text_completion",
                "cmpl",
                choice("text", text(), false),
                false,
            ),
        ),
        (
            "CompletionChunk",
            words(
                "text_completion",
                "cmpl",
                choice("text", text(), true),
                true,
            ),
        ),
        (
            "Embeddings",
            object(json!({
                "object": {"const": "list"},
                "data": {"type": "array", "items": embedding},
                "model": {"type": "string"},
                "usage": used,
                "gavel": schema_at("Gavel"),
            })),
        ),
        (
            "Pictures",
            object(json!({
                "created": created(),
                "data": {"type": "array", "items": object(json!({"b64_json": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}}))},
                "output_format": {"const": "png"},
                "size": {"type": "string", "pattern": "^[0-9]+x[0-9]+$"},
                "system_fingerprint": fingerprint(),
                "gavel": schema_at("Gavel"),
            })),
        ),
        (
            "Usage",
            object(json!({
                "prompt_tokens": count("Of the prompts, each counted once"),
                "completion_tokens": count("That were generated and are paid for, those behind a stop text too"),
                "total_tokens": count("Both"),
            })),
        ),
        ("Gavel", ours),
        ("Receipt", receipt),
    ]
}

fn tasks() -> Vec<(&'static str, Value)> {
    let mut with_response = task();
    with_response["response"] = json!({
        "anyOf": [
            schema_at("ChatCompletion"), schema_at("Completion"), schema_at("Embeddings"), schema_at("Pictures"),
            {"type": "null"},
        ],
        "description": "What the request would have been answered; null while there is no result",
    });
    let tensor = object(json!({
        "header": object(json!({"dtype": count("Id of the element type"), "dims": {"type": "array", "items": count("An extent")}})),
        "bytes": {"type": "string", "contentEncoding": "base64", "description": "Little-endian elements; those that are missing at the end are zeros"},
    }));
    let output = json!({"anyOf": [tensor, object(json!({"digest": digest("Of a tensor that is kept nowhere")}))]});
    vec![
        ("Task", object(task())),
        ("TaskWithResponse", object(with_response)),
        ("TaskList", list("Task", json!({}))),
        (
            "TaskPage",
            list(
                "Task",
                json!({
                    "next_cursor": {"type": ["integer", "null"], "description": "`cursor` of the next page"},
                    "has_more": {"type": "boolean"},
                }),
            ),
        ),
        (
            "ReceiptFile",
            object(json!({
                "format": {"const": gavel_node::RECEIPT_FORMAT},
                "receipt": schema_at("Receipt"),
                "inputs": {"type": "array", "items": tensor},
                "outputs": {"type": "array", "items": output},
            })),
        ),
    ]
}
