//! `gavel verify`: one file, judged without a chain. What kind of file it is says the file itself.

mod evidence;
mod generation;
mod receipt;

use gavel_trace::EvidenceLimits;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::args::VerifyArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::output::Output;

const EXPECTED: &str = "an evidence file, a receipt or a saved answer";

/// By what the kinds of file are told apart.
#[derive(Deserialize)]
struct Kind {
    claimed_digest: Option<IgnoredAny>,
    receipt: Option<IgnoredAny>,
    generation: Option<IgnoredAny>,
}

pub(crate) fn run(args: &VerifyArgs, out: Output) -> Result<Exit, Failure> {
    let limit = EvidenceLimits::default().file_bytes as u64;
    let bytes = files::read(&args.file, limit, EXPECTED)?;
    let place = args.file.display().to_string();
    let kind: Kind = serde_json::from_slice(&bytes)
        .at(&place)
        .map_err(|failure| proves_nothing(failure.expected(EXPECTED)))?;
    match kind {
        Kind {
            receipt: Some(_), ..
        } => receipt::run(&place, &bytes, args, out),
        Kind {
            claimed_digest: Some(_),
            ..
        } => evidence::run(&place, &bytes, out),
        Kind {
            generation: Some(_),
            ..
        } => generation::run(&place, &bytes, args, out),
        _ => Err(proves_nothing(
            Failure::new(format!("{place} is of no kind that can be verified")).expected(EXPECTED),
        )),
    }
}

fn proves_nothing(failure: Failure) -> Failure {
    failure.hint("a file like this proves nothing")
}
