//! The document of the interface: whole, as it is kept, and as the gateway behaves. What the gateway says in the other tests is
//! held against it too (`common/openapi.rs`).
#![allow(clippy::unwrap_used)]

mod common;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::{World, openapi, options, question};
use gavel_gateway::{Class, document, routes};
use serde_json::{Value, json};

#[tokio::test]
async fn the_document_has_every_route_with_its_class_and_no_other() {
    let document = document();
    let mut written = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let class = match operation["security"].as_array().unwrap().is_empty() {
                true => Class::Public,
                false => Class::Key,
            };
            let responses = operation["responses"].as_object().unwrap();
            assert_eq!(class == Class::Key, responses.contains_key("401"), "{path}");
            written.push((path.clone(), method.to_uppercase(), class == Class::Key));
        }
    }
    let of = |route: gavel_gateway::Route| {
        let is_private = route.class == Class::Key;
        (route.path.to_owned(), route.method.to_string(), is_private)
    };
    let mut routes: Vec<_> = routes().into_iter().map(of).collect();
    routes.sort();
    written.sort();
    assert_eq!(written, routes);
    let world = World::new(options());
    let asked = Request::get("/openapi.json").body(Body::empty()).unwrap();
    assert_eq!(world.send(asked).await.ok(), document);
    // what is referred to is there
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let place = part.split('"').next().unwrap();
        assert!(document.pointer(place).is_some(), "{place}");
    }
}

#[test]
fn the_kept_document_is_the_served_one() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let path = format!("{root}/docs/reference/openapi.json");
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("GAVEL_RENEW").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "renew it: GAVEL_RENEW=1 cargo test -p gavel-gateway --test openapi"
    );
}

/// Values of all kinds, at and beyond the bounds of a field's schema.
fn values(schema: &Value) -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(-1),
        json!(0),
        json!(1),
        json!(2),
        json!(0.5),
        json!(1e300),
        json!("x"),
        json!("auto"),
        json!([]),
        json!(["a"]),
        json!([1]),
        json!(["a", ""]),
        json!([[1], "a"]),
        json!({}),
        json!({"include_usage": true}),
        json!({"type": "text"}),
        json!([{"role": "user", "content": "x"}]),
        json!([{"role": "tool", "content": "x"}]),
        json!([{"role": "user", "content": [{"type": "text", "text": "x"}]}]),
        json!(vec!["a"; 5]),
        json!(vec![1; 9]),
        json!(vec!["a"; 9]),
        json!([{"role": "user", "content": "x", "name": "y"}]),
        json!(u64::MAX),
        json!(i64::MIN),
    ];
    let mut schemas = vec![schema];
    schemas.extend(schema["anyOf"].as_array().into_iter().flatten());
    for schema in schemas {
        values.extend(schema["enum"].as_array().into_iter().flatten().cloned());
        for (bound, step) in [("minimum", -1i64), ("maximum", 1)] {
            let bound = &schema[bound];
            values.extend((!bound.is_null()).then(|| bound.clone()));
            values.extend(
                bound
                    .as_i64()
                    .and_then(|b| b.checked_add(step))
                    .map(Value::from),
            );
            values.extend(
                bound
                    .as_f64()
                    .filter(|b| b.abs() < 1e15)
                    .map(|b| json!(b + step as f64 * 0.25)),
            );
        }
    }
    values
}

#[tokio::test]
async fn the_gateway_refuses_just_the_fields_that_the_document_does_not_describe() {
    let completion = json!({"model": "llm@96", "prompt": "Once"});
    let picture = json!({"model": "diffusion", "prompt": "", "seed": 3});
    let tokens = json!({"model": "llm@96", "tokens": [5, 6]});
    let text = json!({"model": "llm@96", "prompt": "Once"});
    let world = World::new(options());
    let mut compared = 0;
    for (path, base) in [
        ("/v1/chat/completions", question()),
        ("/v1/completions", completion),
        ("/v1/images/generations", picture),
        ("/v1/tokenize", text),
        ("/v1/detokenize", tokens),
    ] {
        let schema = openapi::request(path).unwrap();
        assert_eq!(openapi::wrong(schema, &base), None, "{path}");
        let name = schema["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let fields = document()["components"]["schemas"][name]["properties"].clone();
        let mut fields = fields.as_object().unwrap().clone();
        fields.insert("surprise".to_owned(), json!({}));
        for (field, of_field) in fields {
            for value in values(&of_field) {
                let mut body = base.clone();
                body[&field] = value.clone();
                let said = world.post(path, &body).await;
                let described = openapi::wrong(schema, &body);
                let known_elsewhere = match said.status.as_u16() {
                    400 => {
                        let (_, code, param) = said.error();
                        let is_own = param.as_deref().is_some_and(|p| {
                            // a text and a conversation exclude each other
                            p == field
                                || path == "/v1/tokenize" && p == "prompt"
                                || p.starts_with(&format!("{field}["))
                                || p.starts_with(&format!("{field}."))
                        });
                        // tokens, words and sizes are the model's matter
                        let is_models = ["context_length_exceeded", "model_not_supported"]
                            .contains(&code.as_str())
                            || path.contains("images")
                                && ["prompt", "size"].contains(&field.as_str())
                                && value.is_string();
                        assert!(is_own || is_models, "{path} {field} {value}: {}", said.text);
                        is_models
                    }
                    404 => field == "model",
                    _ => false,
                };
                if known_elsewhere {
                    continue;
                }
                let is_taken = said.status.is_success();
                // null asks for nothing
                let null_of_unknown = value.is_null() && field == "surprise";
                assert!(
                    is_taken == described.is_none() || null_of_unknown,
                    "{path} {field} {value}: {} {}, by the document {described:?}",
                    said.status,
                    said.text
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 1500, "{compared}");
}

#[tokio::test]
async fn a_name_that_cannot_be_read_is_refused_like_everything_else() {
    let world = World::new(options());
    for path in [
        "/v1/models/%ff",
        "/v1/tasks/%ff",
        "/v1/tasks/%ff/events",
        "/v1/tasks/%ff/receipt",
    ] {
        let said = world.get(path).await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST);
        assert_eq!(said.error().1, "invalid_value", "{path}");
    }
}
