//! JSON Schema 2020-12, as far as this project's own schemas use it: a keyword that is not known here fails the test. A library
//! would do, but those that there are change the features of what the program itself is built of.

use regex::Regex;
use serde_json::{Map, Value};

/// Keywords that check nothing.
const NOTES: [&str; 8] = [
    "description",
    "default",
    "contentEncoding",
    "contentMediaType",
    "$schema",
    "$defs",
    "components",
    "title",
];

/// What is wrong with a value by a schema whose references lead into `whole`; empty where nothing is.
pub(crate) fn errors(whole: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    check(whole, schema, value, "", &mut errors);
    errors
}

fn holds(whole: &Value, schema: &Value, value: &Value) -> bool {
    errors(whole, schema, value).is_empty()
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => {
            value.is_u64() || value.is_i64() || value.as_f64().is_some_and(|v| v.fract() == 0.0)
        }
        other => panic!("type {other}"),
    }
}

/// Whether two values are the same, numbers by what they are.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.is_number() && b.is_number() && a.as_f64() == b.as_f64()
}

/// The order of two numbers: exact where both are whole.
fn is_less(a: &Value, b: &Value) -> bool {
    let whole = |v: &Value| v.as_i64().map(i128::from).or(v.as_u64().map(i128::from));
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a < b,
        _ => a.as_f64() < b.as_f64(),
    }
}

fn check(whole: &Value, schema: &Value, value: &Value, place: &str, errors: &mut Vec<String>) {
    let mut wrong = |what: String| errors.push(format!("{place}: {what}"));
    let schema = match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return wrong("nothing may stand here".to_owned()),
        Value::Object(schema) => schema,
        other => panic!("{other} is no schema"),
    };
    let bound = |limit: &Value| limit.as_u64().unwrap() as usize;
    let none = Map::new();
    let properties = schema
        .get("properties")
        .map_or(&none, |p| p.as_object().unwrap());
    let list = |of: &Value| of.as_array().unwrap().clone();
    for (keyword, rule) in schema {
        match keyword.as_str() {
            "type" => {
                let names = if rule.is_array() {
                    list(rule)
                } else {
                    vec![rule.clone()]
                };
                if !names
                    .iter()
                    .any(|name| is_type(name.as_str().unwrap(), value))
                {
                    wrong(format!("{value} is not of type {rule}"));
                }
            }
            "enum" if !list(rule).iter().any(|v| same(v, value)) => {
                wrong(format!("{value} is not one of {rule}"))
            }
            "const" if !same(rule, value) => wrong(format!("{value} is not {rule}")),
            "pattern" => {
                let fits = |text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text);
                if value.as_str().is_some_and(|text| !fits(text)) {
                    wrong(format!("{value} does not match {rule}"));
                }
            }
            "minLength"
                if value
                    .as_str()
                    .is_some_and(|t| t.chars().count() < bound(rule)) =>
            {
                wrong("too short".to_owned())
            }
            "maxLength"
                if value
                    .as_str()
                    .is_some_and(|t| t.chars().count() > bound(rule)) =>
            {
                wrong("too long".to_owned())
            }
            "minItems" if value.as_array().is_some_and(|a| a.len() < bound(rule)) => {
                wrong("too few".to_owned())
            }
            "maxItems" if value.as_array().is_some_and(|a| a.len() > bound(rule)) => {
                wrong("too many".to_owned())
            }
            "minimum" if value.is_number() && is_less(value, rule) => {
                wrong(format!("{value} is less than {rule}"))
            }
            "maximum" if value.is_number() && is_less(rule, value) => {
                wrong(format!("{value} is more than {rule}"))
            }
            "required" => {
                for name in list(rule).iter().filter_map(Value::as_str) {
                    if value.as_object().is_some_and(|o| !o.contains_key(name)) {
                        wrong(format!("{name} is missing"));
                    }
                }
            }
            "anyOf" if !list(rule).iter().any(|s| holds(whole, s, value)) => {
                wrong(format!("{value} is none of the forms"))
            }
            "oneOf" => {
                let fits = list(rule).iter().filter(|s| holds(whole, s, value)).count();
                if fits != 1 {
                    wrong(format!("{value} is {fits} of the forms"));
                }
            }
            "enum" | "const" | "minLength" | "maxLength" | "minItems" | "maxItems" | "minimum"
            | "maximum" | "anyOf" => {}
            "properties" | "additionalProperties" | "items" | "allOf" | "$ref" | "if" | "then" => {}
            other => assert!(NOTES.contains(&other), "this checker does not know {other}"),
        }
    }
    for schema in schema.get("allOf").map(list).unwrap_or_default() {
        check(whole, &schema, value, place, errors);
    }
    if let Some(target) = schema.get("$ref") {
        let target = target.as_str().unwrap().trim_start_matches('#');
        check(whole, whole.pointer(target).unwrap(), value, place, errors);
    }
    if let (Some(condition), Some(then)) = (schema.get("if"), schema.get("then"))
        && holds(whole, condition, value)
    {
        check(whole, then, value, place, errors);
    }
    for (name, part) in value.as_object().into_iter().flatten() {
        let rule = properties
            .get(name)
            .or_else(|| schema.get("additionalProperties"));
        if let Some(rule) = rule {
            check(whole, rule, part, &format!("{place}/{name}"), errors);
        }
    }
    if let Some(rule) = schema.get("items") {
        for (index, part) in value.as_array().into_iter().flatten().enumerate() {
            check(whole, rule, part, &format!("{place}/{index}"), errors);
        }
    }
}
