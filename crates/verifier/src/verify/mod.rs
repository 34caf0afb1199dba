//! One file, whatever it is.

mod evidence;
mod receipt;

use gavel_trace::EvidenceLimits;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{Check, Fact, FileKind, JudgeLimits, ReceiptError, ReceiptFile, Report};

/// What a reader spends on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the file, and inputs of its operator.
    pub evidence: EvidenceLimits,
    /// Most work of a replay.
    pub judge: JudgeLimits,
    /// Most bytes of the inputs, and of the outputs, beside a receipt, the zeros that the file leaves out among them.
    pub tensor_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            evidence: EvidenceLimits::default(),
            judge: JudgeLimits::default(),
            tensor_bytes: 4 << 30,
        }
    }
}

impl Limits {
    /// What a page gives: seconds of one thread, and a part of the 4 GiB that WebAssembly addresses.
    pub fn page() -> Limits {
        Limits {
            evidence: EvidenceLimits {
                file_bytes: 256 << 20,
                ..EvidenceLimits::default()
            },
            judge: JudgeLimits {
                work: 1 << 30,
                output_bytes: 256 << 20,
                batches: 1 << 16,
            },
            tensor_bytes: 256 << 20,
        }
    }
}

/// By what the kinds of file are told apart.
#[derive(Deserialize)]
struct Kind {
    claimed_digest: Option<IgnoredAny>,
    receipt: Option<IgnoredAny>,
    signature: Option<IgnoredAny>,
}

/// Finds out all that a file shows by itself. Never fails: of a file that is none it says so.
pub fn verify(file: &[u8], limits: &Limits) -> Report {
    let most = limits.evidence.file_bytes;
    if file.len() > most {
        let why = format!("a file of {} bytes, above the limit of {most}", file.len());
        return Report::unjudged(None, why);
    }
    const EXPECTED: &str = "a receipt or an evidence file, as JSON";
    match serde_json::from_slice(file) {
        Err(error) => Report::void(None, vec![Check::broken("kind of file", EXPECTED, error)]),
        Ok(Kind {
            receipt: Some(_), ..
        }) => match ReceiptFile::read(file) {
            Ok(read) => receipt::report(&read.receipt, Some((&read.inputs, &read.outputs)), limits),
            Err(error) => no_receipt(&error),
        },
        Ok(Kind {
            claimed_digest: Some(_),
            ..
        }) => evidence::report(file, limits),
        Ok(Kind {
            signature: Some(_), ..
        }) => match serde_json::from_slice(file) {
            Ok(alone) => receipt::report(&alone, None, limits),
            Err(error) => no_receipt(&error.into()),
        },
        Ok(_) => Report::void(
            None,
            vec![Check::broken(
                "kind of file",
                EXPECTED,
                "JSON of another kind",
            )],
        ),
    }
}

fn no_receipt(error: &ReceiptError) -> Report {
    let check = match error {
        ReceiptError::Format { found } => {
            Check::broken("format of the file", crate::RECEIPT_FORMAT, found)
        }
        other => Check::broken("shape of the file", "a receipt", other),
    };
    Report::void(Some(FileKind::Receipt), vec![check])
}

fn fact(what: &'static str, says: impl ToString) -> Fact {
    Fact {
        what,
        says: says.to_string(),
    }
}
