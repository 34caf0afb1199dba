//! Reading a request's fields one by one: what is not read is refused by name, never ignored.

use serde_json::{Map, Value};

use crate::ApiError;

/// The fields that are left of a JSON object.
#[derive(Debug)]
pub struct Fields {
    left: Map<String, Value>,
    /// Where the object stands in the request: "" or "stream_options.".
    place: String,
}

fn wrong(param: &str, expected: impl std::fmt::Display) -> ApiError {
    ApiError::field(
        param,
        "invalid_value",
        format!("`{param}`: expected {expected}"),
    )
}

impl Fields {
    /// Of a request's body.
    ///
    /// # Errors
    /// No JSON object, or one that is nested too deeply.
    pub fn parse(body: &[u8]) -> Result<Fields, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(left)) => Ok(Fields {
                left,
                place: String::new(),
            }),
            Ok(_) => Err(ApiError::request(
                "invalid_json",
                "The body is no JSON object",
            )),
            Err(error) => Err(ApiError::request(
                "invalid_json",
                format!("The body cannot be read as JSON: {error}"),
            )),
        }
    }

    /// Of an object within a request.
    ///
    /// # Errors
    /// Not an object.
    pub fn of(value: Value, place: &str) -> Result<Fields, ApiError> {
        match value {
            Value::Object(left) => Ok(Fields {
                left,
                place: format!("{place}."),
            }),
            _ => Err(wrong(place, "an object")),
        }
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    /// A field as it is; null is absent.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// A field that has to be there.
    ///
    /// # Errors
    /// It is not.
    pub fn needed(&mut self, name: &str) -> Result<Value, ApiError> {
        self.value(name).ok_or_else(|| {
            let param = self.named(name);
            let message = format!("`{param}` is missing");
            ApiError::field(&param, "missing_required_parameter", message)
        })
    }

    /// A text.
    ///
    /// # Errors
    /// Another type.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(&self.named(name), "a string")),
        }
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// Absent, or of another type.
    pub fn needed_text(&mut self, name: &str) -> Result<String, ApiError> {
        match self.needed(name)? {
            Value::String(text) => Ok(text),
            _ => Err(wrong(&self.named(name), "a string")),
        }
    }

    /// True or false; false where absent.
    ///
    /// # Errors
    /// Another type.
    pub fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(wrong(&self.named(name), "true or false")),
        }
    }

    /// A whole number of a range.
    ///
    /// # Errors
    /// Another type, or out of the range.
    pub fn integer(&mut self, name: &str, low: u64, high: u64) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match value.as_u64().filter(|v| (low..=high).contains(v)) {
            Some(value) => Ok(Some(value)),
            None => Err(wrong(
                &self.named(name),
                format!("a whole number from {low} to {high}"),
            )),
        }
    }

    /// A number of a range, or `default`.
    ///
    /// # Errors
    /// Another type, or out of the range.
    pub fn number(
        &mut self,
        name: &str,
        low: f32,
        high: f32,
        default: f32,
    ) -> Result<f32, ApiError> {
        let Some(value) = self.value(name) else {
            return Ok(default);
        };
        let number = value.as_f64().map(|v| v as f32);
        match number.filter(|v| (low..=high).contains(v)) {
            Some(value) => Ok(value),
            None => Err(wrong(
                &self.named(name),
                format!("a number from {low} to {high}"),
            )),
        }
    }

    /// A seed: 64 bits, signed or not.
    ///
    /// # Errors
    /// Another type, or more bits.
    pub fn seed(&mut self) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.value("seed") else {
            return Ok(None);
        };
        let signed = || value.as_i64().map(i64::cast_unsigned);
        match value.as_u64().or_else(signed) {
            Some(seed) => Ok(Some(seed)),
            None => Err(wrong("seed", "a whole number of 64 bits")),
        }
    }

    /// Refuses a field unless it says what happens anyway.
    ///
    /// # Errors
    /// It says something else.
    pub fn only(&mut self, name: &str, allowed: &[Value]) -> Result<(), ApiError> {
        match self.value(name) {
            Some(value) if !allowed.contains(&value) => {
                let param = self.named(name);
                let allowed: Vec<_> = allowed.iter().map(Value::to_string).collect();
                let message = match allowed.is_empty() {
                    true => format!("`{param}` is not supported here"),
                    false => format!(
                        "`{param}` is not supported here but as {}",
                        allowed.join(" or ")
                    ),
                };
                Err(ApiError::field(&param, "unsupported_parameter", message))
            }
            _ => Ok(()),
        }
    }

    /// Takes fields that change no output.
    pub fn harmless(&mut self, names: &[&str]) {
        for name in names {
            self.left.remove(*name);
        }
    }

    /// Refuses whatever is left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(self) -> Result<(), ApiError> {
        // null asks for nothing
        match self.left.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => {
                let param = self.named(name);
                Err(ApiError::field(
                    &param,
                    "unknown_parameter",
                    format!("Unknown parameter: `{param}`"),
                ))
            }
        }
    }
}

/// What is wrong with a field's value.
pub(crate) fn expected(param: &str, expected: impl std::fmt::Display) -> ApiError {
    wrong(param, expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Fields {
        Fields::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_not_read_is_named() {
        let mut fields = of(json!({"a": 1, "b": null, "c": 2}));
        assert_eq!(fields.integer("a", 0, 9).unwrap(), Some(1));
        assert_eq!(fields.end().unwrap_err().param.as_deref(), Some("c"));
        assert!(of(json!({"b": null})).end().is_ok());
    }

    #[test]
    fn numbers_of_all_shapes_are_in_their_range_or_refused() {
        for bad in [
            json!(-1),
            json!(10),
            json!(1.5),
            json!("1"),
            json!([1]),
            json!(1e300),
        ] {
            let error = of(json!({"n": bad})).integer("n", 0, 9).unwrap_err();
            assert_eq!(
                (error.param.as_deref(), error.code),
                (Some("n"), "invalid_value")
            );
            let text = bad.is_string() || bad.is_array();
            let found = of(json!({"n": bad})).number("n", 0.0, 9.0, 1.0);
            assert_eq!(found.is_err(), text || bad != json!(1.5), "{bad}");
        }
        for (seed, bits) in [
            (json!(-1), u64::MAX),
            (json!(u64::MAX), u64::MAX),
            (json!(7), 7),
        ] {
            assert_eq!(of(json!({"seed": seed})).seed().unwrap(), Some(bits));
        }
        assert!(of(json!({"seed": 0.5})).seed().is_err());
    }

    #[test]
    fn a_body_that_is_no_object_or_too_deep_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for body in ["", "[]", "{", "nul", deep.as_str()] {
            assert_eq!(
                Fields::parse(body.as_bytes()).unwrap_err().code,
                "invalid_json"
            );
        }
    }
}
