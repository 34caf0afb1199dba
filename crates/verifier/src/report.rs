//! What was found out about a file.

use serde::Serialize;

use crate::{Check, StepReport};

/// Kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// What a provider signed, perhaps with the inputs and outputs that it is about.
    Receipt,
    /// A dispute.
    Evidence,
}

/// What a file comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A receipt that its provider signed, about just what lies beside it.
    Signed,
    /// Evidence of a false claim.
    False,
    /// Evidence of a true claim.
    True,
    /// The file proves nothing: something in it is not what it should be.
    Void,
    /// The file asks for more than this reader gives. Nothing was found to be wrong as far as it went.
    Unjudged,
}

/// Whom a file convicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LiableParty {
    /// It did not compute what it claims.
    Provider,
    /// It ruled something else than the operator gives.
    Referee,
    /// It disputed a claim that is true. The file does not name it.
    Challenger,
}

/// A party that a file convicts, by what the file says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Liable {
    /// Its part.
    pub party: LiableParty,
    /// Its address, where the file has it.
    pub address: Option<String>,
}

/// Something that a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What of.
    pub what: &'static str,
    /// What.
    pub says: String,
}

/// What was found out about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `None` for a file of no kind that can be verified.
    pub kind: Option<FileKind>,
    /// What it comes down to.
    pub verdict: Verdict,
    /// The same in one sentence.
    pub says: String,
    /// Whom it convicts.
    pub convicts: Vec<Liable>,
    /// What the file claims.
    pub claims: Vec<Fact>,
    /// What was checked, in order. Nothing is checked after the first that does not hold, but for the parts of a receipt, which do
    /// not depend on each other.
    pub checks: Vec<Check>,
    /// What was not, and what a reader has to see elsewhere.
    pub unchecked: Vec<String>,
    /// The arithmetic step that goes wrong, where the file shows it.
    pub step: Option<StepReport>,
}

impl Report {
    /// A file that proves nothing.
    pub(crate) fn void(kind: Option<FileKind>, checks: Vec<Check>) -> Report {
        Report {
            kind,
            verdict: Verdict::Void,
            says: VOID.to_owned(),
            convicts: Vec::new(),
            claims: Vec::new(),
            checks,
            unchecked: Vec::new(),
            step: None,
        }
    }

    /// A file that is too large for the reader.
    pub(crate) fn unjudged(kind: Option<FileKind>, why: String) -> Report {
        Report {
            kind,
            verdict: Verdict::Unjudged,
            says: format!("not judged here: {why}"),
            convicts: Vec::new(),
            claims: Vec::new(),
            checks: Vec::new(),
            unchecked: vec![format!("{why}: run `gavel verify FILE`")],
            step: None,
        }
    }
}

pub(crate) const VOID: &str = "this file proves nothing";
