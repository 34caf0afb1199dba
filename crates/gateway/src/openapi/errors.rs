//! What a client is told when it does not get what it asked for.

use serde_json::{Map, Value, json};

use super::schema_at;

struct Refusal {
    status: u16,
    name: &'static str,
    meaning: &'static str,
    codes: &'static [&'static str],
}

const REFUSALS: [Refusal; 14] = [
    Refusal {
        status: 400,
        name: "BadRequest",
        meaning: "The request cannot be honoured as it is; `param` names the field or the header",
        codes: &[
            "invalid_value",
            "missing_required_parameter",
            "unknown_parameter",
            "unsupported_parameter",
            "model_not_supported",
            "context_length_exceeded",
            "invalid_json",
            "invalid_idempotency_key",
            "incomplete_body",
            "invalid_header",
            "ambiguous_credentials",
        ],
    },
    Refusal {
        status: 401,
        name: "Unauthorized",
        meaning: "No key, or one that is not known; or a signature that does not hold for this request here and now: the message says what was expected. A request that was signed is sent again with another nonce",
        codes: &[
            "invalid_api_key",
            "unknown_account",
            "request_expired",
            "deadline_too_far",
            "nonce_used",
            "invalid_signature",
            "body_digest_mismatch",
        ],
    },
    Refusal {
        status: 403,
        name: "Forbidden",
        meaning: "A gateway without keys serves programs of its own machine alone, and no pages of a browser",
        codes: &["foreign_page"],
    },
    Refusal {
        status: 404,
        name: "NotFound",
        meaning: "No such model, no such task of this key, or no such path",
        codes: &["model_not_found", "task_not_found", "unknown_url"],
    },
    Refusal {
        status: 405,
        name: "MethodNotAllowed",
        meaning: "The path does not take this method",
        codes: &["method_not_allowed"],
    },
    Refusal {
        status: 408,
        name: "RequestTimeout",
        meaning: "The request came in too slowly",
        codes: &["request_timeout"],
    },
    Refusal {
        status: 409,
        name: "Conflict",
        meaning: "The task has no result yet; or the model behind the name has changed since the request was made first",
        codes: &["no_receipt", "idempotency_conflict"],
    },
    Refusal {
        status: 410,
        name: "Gone",
        meaning: "The task is not remembered any more, if it was one of this key: it has been over for longer than this gateway remembers tasks",
        codes: &["task_forgotten"],
    },
    Refusal {
        status: 413,
        name: "ContentTooLarge",
        meaning: "The request has too many bytes",
        codes: &["request_too_large"],
    },
    Refusal {
        status: 422,
        name: "UnprocessableContent",
        meaning: "The Idempotency-Key stands for another request",
        codes: &["idempotency_key_reused"],
    },
    Refusal {
        status: 429,
        name: "TooManyRequests",
        meaning: "Too many requests in a time or at once; or, as `insufficient_quota`, the key's budget is spent or reserved, and asking again does not help",
        codes: &[
            "rate_limit_exceeded",
            "concurrency_limit_exceeded",
            "queue_full",
            "insufficient_quota",
        ],
    },
    Refusal {
        status: 500,
        name: "InternalError",
        meaning: "Something broke in the gateway, or its journal or its nonces cannot be written",
        codes: &["internal_error"],
    },
    Refusal {
        status: 502,
        name: "BadGateway",
        meaning: "The result is what was committed, and no answer of this model",
        codes: &["unreadable_result"],
    },
    Refusal {
        status: 503,
        name: "ServiceUnavailable",
        meaning: "Nothing was posted; or, where the error has a task, that task is over without an answer or cannot be read now; or, as `task_in_doubt`, the task may be on its way",
        codes: &[
            "task_refused",
            "network_unreachable",
            "stopping",
            "task_in_doubt",
            "no_bid",
            "task_cancelled",
            "no_receipt",
        ],
    },
];

/// The one whose task goes on.
const LATE: Refusal = Refusal {
    status: 504,
    name: "GatewayTimeout",
    meaning: "No result yet; the task goes on, and is fetched by its number",
    codes: &["timeout"],
};

fn refusals() -> impl Iterator<Item = &'static Refusal> {
    REFUSALS.iter().chain([&LATE])
}

/// A status as a component.
pub(super) fn name(status: u16) -> &'static str {
    let found = refusals().find(|refusal| refusal.status == status);
    found.map_or("InternalError", |refusal| refusal.name)
}

fn header(name: &str) -> (String, Value) {
    let refer = json!({"$ref": format!("#/components/headers/{name}")});
    (name.to_owned(), refer)
}

pub(super) fn responses() -> Value {
    let response = |refusal: &Refusal| {
        let mut headers = vec!["X-Should-Retry"];
        headers.extend(match refusal.status {
            401 => ["WWW-Authenticate"].as_slice(),
            429 => &["Retry-After"],
            503 => &["Retry-After", "X-Gavel-Task-Id"],
            400..=499 if refusal.status != 409 => &[],
            _ => &["X-Gavel-Task-Id"],
        });
        let headers: Map<String, Value> = headers.into_iter().map(header).collect();
        let codes =
            json!({"properties": {"error": {"properties": {"code": {"enum": refusal.codes}}}}});
        let schema = json!({"allOf": [schema_at("Error"), codes]});
        let object = json!({
            "description": refusal.meaning,
            "headers": headers,
            "content": {"application/json": {"schema": schema}},
        });
        (refusal.name.to_owned(), object)
    };
    refusals().map(response).collect::<Map<_, _>>().into()
}

pub(super) fn headers() -> Value {
    json!({
        "X-Gavel-Task-Id": {
            "description": "Number of the (first) task of the request",
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
        },
        "X-Gavel-Receipt": {
            "description": "The receipt of the (first) task: base64url of its JSON, a `Receipt`",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
        },
        "X-Should-Retry": {
            "description": "Whether the same request may go well when it is sent again without being paid for twice; OpenAI's clients obey it",
            "schema": {"enum": ["true", "false"]},
        },
        "Retry-After": {
            "description": "Seconds after which it may be asked again; absent where that does not help",
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
        },
        "WWW-Authenticate": {
            "description": "How to say who asks",
            "schema": {"const": "Bearer realm=\"gavel\""},
        },
    })
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![(
        "Error",
        json!({
            "type": "object",
            "required": ["error"],
            "additionalProperties": false,
            "properties": {"error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "additionalProperties": false,
                "properties": {
                    "message": {"type": "string", "description": "For people"},
                    "type": {"enum": ["invalid_request_error", "authentication_error", "rate_limit_error", "insufficient_quota", "api_error"]},
                    "param": {"type": ["string", "null"], "description": "Field of the request that is at fault"},
                    "code": {"type": "string", "description": "For programs"},
                    "gavel": {
                        "type": "object",
                        "description": "A task that was posted, and is paid for",
                        "required": ["task_id"],
                        "additionalProperties": false,
                        "properties": {"task_id": {"type": "integer", "minimum": 1}},
                    },
                },
            }},
        }),
    )]
}
