//! The gateway's document, held against what the gateway says and takes.

use std::sync::LazyLock;

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(gavel_gateway::document);

/// What is wrong with a value, by a schema of the document; `None` where nothing is.
pub(crate) fn wrong(schema: &Value, value: &Value) -> Option<String> {
    let errors = super::schema::errors(&DOCUMENT, schema, value);
    (!errors.is_empty()).then(|| errors.join("; "))
}

/// The operation at a path, `None` where there is none.
pub(crate) fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap();
    let is = |template: &str| {
        let (mut named, mut given) = (template.split('/'), path.split('/'));
        loop {
            match (named.next(), given.next()) {
                (None, None) => return true,
                (Some(name), Some(part)) if name == part || name.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let item = paths.iter().find(|(template, _)| is(template))?.1;
    item.get(method.to_lowercase())
}

/// A component that something refers to, or the thing itself.
fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(place) => DOCUMENT.pointer(&place[1..]).unwrap(),
        None => value,
    }
}

/// The schema of a request's body.
pub(crate) fn request(path: &str) -> Option<&'static Value> {
    operation("POST", path)?.pointer("/requestBody/content/application~1json/schema")
}

/// Whether an answer is one that the document describes.
pub(crate) fn check(method: &str, path: &str, status: StatusCode, headers: &HeaderMap, text: &str) {
    let place = format!("{method} {path}: {status}");
    let number = status.as_u16().to_string();
    let response = match (operation(method, path), status) {
        // a key comes first, then the path
        (None, StatusCode::UNAUTHORIZED) => &DOCUMENT["components"]["responses"]["Unauthorized"],
        (None, StatusCode::NOT_FOUND) => &DOCUMENT["components"]["responses"]["NotFound"],
        (None, StatusCode::METHOD_NOT_ALLOWED) => {
            &DOCUMENT["components"]["responses"]["MethodNotAllowed"]
        }
        (None, _) => panic!("{place} of no operation"),
        (Some(operation), _) => resolved(&operation["responses"][number.as_str()]),
    };
    assert!(
        response.is_object(),
        "{place} is not in the document: {text}"
    );
    let described = response["headers"].as_object().unwrap();
    for name in [
        "x-gavel-task-id",
        "x-gavel-receipt",
        "x-should-retry",
        "retry-after",
        "www-authenticate",
    ] {
        let header = described
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some(value) = headers.get(name) else {
            continue;
        };
        let (_, header) =
            header.unwrap_or_else(|| panic!("{place}: {name} is not in the document"));
        let value = json!(value.to_str().unwrap());
        assert_eq!(
            wrong(&resolved(header)["schema"], &value),
            None,
            "{place}: {name}"
        );
    }
    let kind = headers["content-type"].to_str().unwrap();
    let content = &response["content"][kind];
    assert!(
        content.is_object(),
        "{place}: {kind} is not in the document"
    );
    let error = json!({"$ref": "#/components/schemas/Error"});
    if kind == "text/event-stream" {
        for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            if data == "[DONE]" {
                continue;
            }
            let event: Value = serde_json::from_str(data).unwrap();
            let schema = match event.get("error") {
                Some(_) => &error,
                None => &content["x-event-data"],
            };
            assert_eq!(wrong(schema, &event), None, "{place}: {event}");
        }
    } else {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(wrong(&content["schema"], &value), None, "{place}: {value}");
    }
}
