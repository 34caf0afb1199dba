//! What a person reads while a world runs.

use std::fmt;

pub use gavel_explorer::words::{duration, isolated, operator_kind, pick, reveal};

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Everyday business.
    Plain,
    /// Something good: a settlement, a match.
    Good,
    /// A fault or a loss.
    Bad,
    /// Under dispute.
    Dispute,
    /// Machinery.
    Quiet,
}

/// One transaction, told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Seconds since the world began.
    pub at: u64,
    /// Who acted.
    pub who: String,
    /// What it did: a sentence without its subject.
    pub what: String,
    /// What followed from it.
    pub details: Vec<String>,
    /// How it is meant.
    pub tone: Tone,
    /// Gas it used.
    pub gas: u64,
    /// The dispute in which it had the contract execute the step that decided.
    pub decided: Option<u64>,
}

/// Seconds as `h:mm:ss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(pub u64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clock(seconds) = self;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        f.pad(&format!("{hours}:{minutes:02}:{:02}", seconds % 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_in_hours_minutes_and_seconds() {
        assert_eq!(Clock(3_725).to_string(), "1:02:05");
    }
}
