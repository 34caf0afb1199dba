//! JSON as Python writes it: `", "` and `": "`, and characters as they are.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Nested lists and maps; bounds the stack.
const MAX_DEPTH: usize = 64;
/// Spaces of one level.
const MAX_INDENT: usize = 16;

/// The text of a value; every 64 bytes of it cost fuel.
pub(super) fn dumps(
    state: &State<'_, '_>,
    value: &Value,
    indent: Option<usize>,
) -> Result<String, Error> {
    if indent > Some(MAX_INDENT) {
        return Err(refuse(format!("tojson: indent is at most {MAX_INDENT}")));
    }
    let mut writer = Writer {
        state,
        indent,
        out: String::new(),
        paid: 0,
    };
    writer.value(value, 0)?;
    Ok(writer.out)
}

fn refuse(why: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

struct Writer<'a, 't, 'e> {
    state: &'a State<'t, 'e>,
    indent: Option<usize>,
    out: String,
    /// Bytes of `out` that are paid for.
    paid: usize,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(refuse(format!("tojson: more than {MAX_DEPTH} levels")));
        }
        self.state
            .consume_fuel(1 + (self.out.len() - self.paid) as u64 / 64)?;
        self.paid = self.out.len();
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self
                .out
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&value.to_string()),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Map => {
                self.out.push('{');
                let mut empty = true;
                for key in value.try_iter()?.checked() {
                    let key = key?;
                    self.before(empty, depth);
                    empty = false;
                    match key.as_str() {
                        Some(text) => self.string(text),
                        None => self.string(&key.to_string()),
                    }
                    self.out.push_str(": ");
                    self.value(&value.get_item(&key)?, depth + 1)?;
                }
                self.after(empty, '}', depth);
            }
            ValueKind::Seq | ValueKind::Iterable => {
                self.out.push('[');
                let mut empty = true;
                for item in value.try_iter()?.checked() {
                    self.before(empty, depth);
                    empty = false;
                    self.value(&item?, depth + 1)?;
                }
                self.after(empty, ']', depth);
            }
            other => {
                return Err(refuse(format!(
                    "tojson: a value of type {other} has no JSON"
                )));
            }
        }
        Ok(())
    }

    /// What comes before an item of a list or map.
    fn before(&mut self, first: bool, depth: usize) {
        if !first {
            self.out
                .push_str(if self.indent.is_some() { "," } else { ", " });
        }
        self.line(depth + 1);
    }

    /// What comes after the last one.
    fn after(&mut self, empty: bool, close: char, depth: usize) {
        if !empty {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' => {
                    // writing to a string does not fail
                    let _ = write!(self.out, "\\u{:04x}", c as u32);
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}
