//! Why a command failed, in the user's words.

use std::fmt::Display;

use serde_json::json;

/// How a command ends, as the process's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Something went wrong; standard error says what.
    Failed = 1,
    /// The command line itself.
    Usage = 2,
    /// An evidence file holds, and what it shows is that the claim is false.
    False = 7,
}

/// What went wrong, what was expected instead, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    expected: Option<String>,
    hint: Option<String>,
    exit: Exit,
}

impl Failure {
    /// A failure with exit status 1.
    pub(crate) fn new(what: impl Display) -> Self {
        Failure {
            what: what.to_string(),
            expected: None,
            hint: None,
            exit: Exit::Failed,
        }
    }

    /// A command line that cannot be meant: exit status 2.
    pub(crate) fn usage(what: impl Display) -> Self {
        Failure {
            exit: Exit::Usage,
            ..Failure::new(what)
        }
    }

    /// What would have been right.
    pub(crate) fn expected(mut self, expected: impl Display) -> Self {
        self.expected = Some(expected.to_string());
        self
    }

    /// What to do next.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The exit status.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// For people: one or two lines.
    pub(crate) fn text(&self) -> String {
        let mut text = self.what.trim_end().to_owned();
        if let Some(expected) = &self.expected {
            text.push_str(&format!("; expected {expected}"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\nhint: {hint}"));
        }
        text
    }

    /// For programs: `{"error": {what, expected, hint, exit}}`.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({"error": {
            "what": self.what,
            "expected": self.expected,
            "hint": self.hint,
            "exit": self.exit as u8,
        }})
    }
}

/// Adds where it happened to a library's error.
pub(crate) trait Context<T> {
    /// `place: error`.
    fn at(self, place: impl Display) -> Result<T, Failure>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn at(self, place: impl Display) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(format!("{place}: {e}")))
    }
}
