//! One receipt: who signed for what, and whether it is what the model gives.

use gavel_node::{ReceiptFile, replay_receipt};
use serde_json::json;

use super::evidence::hex;
use super::proves_nothing;
use crate::args::VerifyArgs;
use crate::commands::engine;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::output::{BAD, GOOD, Output, WARN, paint};

pub(super) fn run(
    place: &str,
    bytes: &[u8],
    args: &VerifyArgs,
    out: Output,
) -> Result<Exit, Failure> {
    let file = ReceiptFile::parse(bytes)
        .at(place)
        .map_err(proves_nothing)?;
    let receipt = &file.receipt;
    let replayed = match &args.model {
        Some(name) => {
            let model = files::model_as(name, &receipt.model_id)?;
            let engine = engine(args.engine)?;
            out.progress(format!("running {name} again"));
            let replayed = replay_receipt(&file, &engine, &model).at(place);
            Some(replayed.map_err(proves_nothing)?)
        }
        None => None,
    };
    out.line(match replayed.map(|found| found.holds) {
        Some(true) => paint(GOOD, "true: the provider signed for what the model gives"),
        Some(false) => paint(BAD, "false: the model gives something else"),
        None => paint(
            WARN,
            "signed by the provider; not run again without --model",
        ),
    });
    out.line("");
    out.facts(&[
        ("provider", hex(&receipt.provider.0)),
        (
            "task",
            format!("{}, attempt {}", receipt.task_id, receipt.attempt),
        ),
        ("chain", receipt.chain_id.to_string()),
        ("market", hex(&receipt.market.0)),
        ("class_id", receipt.class_id.to_string()),
        ("model_id", receipt.model_id.to_string()),
        ("input_digest", receipt.input_digest.to_string()),
        ("output_digest", receipt.output_digest.to_string()),
        ("trace_root", receipt.trace_root.to_string()),
    ]);
    if let Some(found) = replayed {
        out.facts(&[("recomputed", found.trace_root.to_string())]);
    } else {
        out.next(format!("gavel verify {place} --model MODEL"));
    }
    out.json(&json!({
        "kind": "receipt",
        "signed": true,
        "claim": replayed.map(|found| found.holds),
        "recomputed": replayed.map(|found| found.trace_root),
        "receipt": receipt,
    }))?;
    Ok(match replayed {
        Some(found) if !found.holds => Exit::False,
        _ => Exit::Done,
    })
}
