//! One line of a report.

use gavel_trace::{EvidenceError, HeldCheck, TraceError};
use serde::Serialize;

use crate::JudgeError;

/// Something that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl Check {
    /// Compares two things that are said in words or digits.
    pub fn compare(
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Check {
        let (expected, found) = (expected.to_string(), found.to_string());
        Check {
            what: what.into(),
            ok: expected == found,
            expected,
            found,
        }
    }

    /// Something that was found to be what it should be.
    pub fn held(what: impl Into<String>, found: impl ToString) -> Check {
        let found = found.to_string();
        Check {
            what: what.into(),
            ok: true,
            expected: found.clone(),
            found,
        }
    }

    /// Something that was not.
    pub fn broken(what: impl Into<String>, expected: impl ToString, found: impl ToString) -> Check {
        Check {
            what: what.into(),
            ok: false,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    pub(crate) fn of_evidence(error: &EvidenceError) -> Check {
        match error {
            EvidenceError::Trace(error) => Check::of_trace(error),
            other => Check::broken("shape of the file", "an evidence file", other),
        }
    }

    pub(crate) fn of_trace(error: &TraceError) -> Check {
        match error {
            TraceError::Mismatch {
                what,
                expected,
                found,
            } => Check::broken(*what, expected, found),
            TraceError::OpeningIndex {
                what,
                expected,
                found,
            } => Check::broken(
                *what,
                format!("opened at {expected}"),
                format!("opened at {found}"),
            ),
            TraceError::OpeningLength {
                what,
                height,
                found,
            } => Check::broken(
                *what,
                format!("{height} siblings"),
                format!("{found} siblings"),
            ),
            TraceError::Steps { steps, max_steps } => {
                Check::broken("steps", format!("1 to {max_steps}"), steps)
            }
            TraceError::TensorBytes { expected, actual } => Check::broken(
                "size of a tensor",
                format!("{expected} bytes"),
                format!("{actual} bytes"),
            ),
            other => Check::broken("parts of the file", "parts that fit together", other),
        }
    }

    pub(crate) fn of_judge(error: &JudgeError) -> Check {
        match error {
            JudgeError::Evidence(error) => Check::of_evidence(error),
            JudgeError::Numerics { found } => {
                Check::broken("numerics version", gavel_model::NUMERICS_VERSION, found)
            }
            JudgeError::Inputs { expected, found } => {
                Check::broken("inputs of the operator", expected, found)
            }
            JudgeError::Input { position } => Check::broken(
                format!("input {position}: what the model reads there"),
                "the value that the edge table names",
                "another value",
            ),
            JudgeError::Bytes { what } => {
                Check::broken(format!("bytes of the {what}"), "canonical bytes", "others")
            }
            other => Check::broken("operator", "operands that it takes", other),
        }
    }
}

impl From<HeldCheck> for Check {
    fn from(held: HeldCheck) -> Check {
        let what = match held.input {
            Some(position) => format!("input {position}: {}", held.what),
            None => held.what.to_owned(),
        };
        Check::held(what, held.digest)
    }
}
