//! The interface described for machines: OpenAPI 3.1, made of the routes themselves, so that none can be missing.

mod answers;
mod errors;
pub(crate) mod operations;
mod requests;

use axum::Json;
use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::routes::{Class, Route, routes};
use crate::signed::SIGNATURE_HEADER;

/// What a route does, takes and answers.
pub(crate) struct Operation {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    body: Option<&'static str>,
    /// Status, what it means, headers, media types.
    answer: (u16, &'static str, Value, Value),
    refusals: &'static [u16],
}

impl Operation {
    /// Answers 200 with a schema.
    fn new(
        id: &'static str,
        tag: &'static str,
        summary: &'static str,
        schema: &'static str,
    ) -> Operation {
        let content = json!({"application/json": {"schema": schema_at(schema)}});
        Operation {
            id,
            tag,
            summary,
            description: "",
            parameters: Vec::new(),
            body: None,
            answer: (200, "What was asked for", json!({}), content),
            refusals: &[],
        }
    }

    fn says(self, description: &'static str) -> Operation {
        Operation {
            description,
            ..self
        }
    }

    fn takes(self, parameters: Vec<Value>) -> Operation {
        Operation { parameters, ..self }
    }

    /// A body of this schema, with the header that makes a repetition the same request.
    fn reads(self, schema: &'static str) -> Operation {
        Operation {
            body: Some(schema),
            ..self
        }
    }

    fn answers(mut self, status: u16, meaning: &'static str, headers: &[&str]) -> Operation {
        let refer = |name: &&str| {
            let header = json!({"$ref": format!("#/components/headers/{name}")});
            ((*name).to_owned(), header)
        };
        let headers: Map<String, Value> = headers.iter().map(refer).collect();
        (self.answer.0, self.answer.1, self.answer.2) = (status, meaning, headers.into());
        self
    }

    /// May answer, or answers, as server-sent events whose data have this schema.
    fn streams(mut self, schema: &'static str, events: &'static str) -> Operation {
        self.answer.3["text/event-stream"] = json!({
            "schema": {"type": "string", "description": events},
            "x-event-data": schema_at(schema),
        });
        self
    }

    fn only_streams(mut self) -> Operation {
        if let Some(content) = self.answer.3.as_object_mut() {
            content.remove("application/json");
        }
        self
    }

    /// Beside those that every route has.
    fn refuses(self, refusals: &'static [u16]) -> Operation {
        Operation { refusals, ..self }
    }

    fn object(self, class: Class) -> Value {
        let (status, meaning, headers, content) = self.answer;
        let mut responses = Map::new();
        responses.insert(
            status.to_string(),
            json!({"description": meaning, "headers": headers, "content": content}),
        );
        let of_class: &[u16] = match class {
            // a signed request is read whole before anybody knows whose it is
            Class::Key => &[400, 401, 403, 408, 413, 429, 500, 503],
            Class::Public => &[],
        };
        for status in of_class.iter().chain(self.refusals) {
            let name = errors::name(*status);
            let response = json!({"$ref": format!("#/components/responses/{name}")});
            responses.insert(status.to_string(), response);
        }
        let mut object = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "responses": responses,
            "security": match class {
                Class::Key => json!([{"key": []}, {"signature": []}, {}]),
                Class::Public => json!([]),
            },
        });
        if !self.description.is_empty() {
            object["description"] = self.description.into();
        }
        if !self.parameters.is_empty() {
            object["parameters"] = self.parameters.into();
        }
        if let Some(schema) = self.body {
            let content = json!({"application/json": {"schema": schema_at(schema)}});
            object["requestBody"] = json!({"required": true, "content": content});
        }
        object
    }
}

fn schema_at(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

pub(crate) async fn serve() -> Json<Value> {
    Json(document())
}

/// The document that a gateway serves at `/openapi.json`.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for Route {
        method,
        path,
        class,
        operation,
        ..
    } in routes()
    {
        let name = match method {
            Method::POST => "post",
            _ => "get",
        };
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[name] = operation().object(class);
    }
    let mut schemas = Map::new();
    for (name, schema) in [answers::schemas(), requests::schemas(), errors::schemas()].concat() {
        schemas.insert(name.to_owned(), schema);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gavel gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            "description": "The interface of OpenAI's clients over a network of staked providers: each answer is a task in an auction and comes with a receipt that `gavel verify` judges. What the network adds is under the key `gavel`. A field that would change the answer and cannot be honoured is refused by name; null asks for nothing, wherever it stands. A path that is not listed is a 404 `unknown_url`, a method that is not is a 405 `method_not_allowed`, both in the form of the other errors; what is no HTTP, or has headers of more than 16 KiB, is refused without a body.",
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "models", "description": "What can be asked"},
            {"name": "answers", "description": "Requests whose answers are waited for"},
            {"name": "tokens", "description": "What a text is to a model"},
            {"name": "tasks", "description": "Requests whose answers are fetched later, and where all of a key's tasks stand"},
            {"name": "gateway", "description": "The gateway itself"},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `gavel gateway key new`. A gateway that runs with `--no-auth` wants none, and serves programs of its own machine alone.",
                },
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": SIGNATURE_HEADER,
                    "description": "In place of a key, the signature of an account that the gateway knows: EIP-712, domain (`Gavel`, `1`, chain, market), type `Request(bytes32 bodyDigest,string route,address gateway,uint64 deadline,uint256 nonce)`. `route` is the method, a space, path and query as they are sent; `GET /v1/gateway` has chain, market and gateway. Four more headers come with it: `gavel-account`, `gavel-body-digest` (SHA-256 of the body, of nothing where there is none; 0x and 64 digits), `gavel-deadline` (seconds since the epoch), `gavel-nonce` (decimal, or 0x and hex). An account that is a contract is asked by ERC-1271. Each nonce of an account is taken once. `gavel gateway sign` makes the headers.",
                },
            },
            "headers": errors::headers(),
            "responses": errors::responses(),
            "schemas": schemas,
        },
    })
}
