//! `gavel dispute explain`: what a dispute came down to, in words.

use gavel_dispute::appeal::Explanation;
use gavel_node::board::DisputeEntry;
use gavel_node::evidence::{JudgeLimits, Judgement, gather, judge};
use gavel_node::game;
use gavel_sim::timeline::isolated;
use gavel_trace::Evidence;
use serde_json::{Value, json};

use super::party;
use crate::args_node::{DisputeCommand, ExplainArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::Output;

/// Loads that people are shown.
const LOADS: usize = 4;

pub(crate) fn run(command: DisputeCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        DisputeCommand::Explain(args) => block_on(explain(args, out)),
    }
}

async fn explain(args: ExplainArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let id = args.id;
    let Some(entry) = board.disputes.get(&id) else {
        return Err(Failure::new(format!("there is no dispute {id}")).hint("gavel challenge list"));
    };
    let (executor, _) = party::executor(board, std::slice::from_ref(&args.model))?;
    let me = party::reader(&network, executor, party::blobs(&args.blobs.blobs)?);
    let what = format!("dispute {id}");
    let d = &entry.dispute;
    let model = board
        .task(d.task)
        .and_then(|task| me.executor.model(&task.model));
    let place = model.filter(|_| d.isolated_at != 0).map(|model| {
        let points = u64::from(model.header().commit_points.max(1));
        let (step, segment) = (d.leaf_index / points, d.leaf_index % points);
        isolated(&model, step as u32, segment as u32, game::place(d))
    });
    let evidence = gather(&me, board, id).await.at(&what)?;
    let judged = match &evidence {
        Some(evidence) => Some(judge(evidence, &JudgeLimits::default()).at(&what)?),
        None => None,
    };
    let found = judged.as_ref().and_then(|j| j.step.as_ref());

    out.facts(&[
        ("dispute", format!("{id}: {}", super::task::word(&d.state))),
        ("task", format!("{}, attempt {}", d.task, d.attempt)),
        ("provider", d.provider.to_string()),
        ("challenger", d.challenger.to_string()),
        (
            "moves",
            format!(
                "{}, and {} rounds below the operator",
                entry.moves, entry.appeal.rounds
            ),
        ),
        ("ruling", ruling(entry)),
    ]);
    let Some(place) = place else {
        out.line("\nNo operator was isolated: it ended, or stands, before that.");
        out.json(
            &json!({"dispute": super::task::dispute(board, id), "place": null, "step": null}),
        )?;
        return Ok(Exit::Done);
    };
    out.facts(&[("place", format!("{}, in step {}", place.name, place.step))]);
    match (&judged, found) {
        (Some(judged), _) if judged.claim_holds() => {
            out.line("\nThe provider computed this place rightly.");
        }
        (Some(_), Some(step)) => show(&place.name, place.step, step, entry, out),
        (Some(judged), None) => {
            out.line("\nThe provider's output there is wrong; it has shown no more of it than its digest.");
            digests(judged, out);
        }
        (None, _) => {
            out.line("\nThe task's input is not in the blob store: nothing can be computed again.")
        }
    }
    if evidence.is_some() {
        out.next(format!(
            "gavel challenge evidence {id} --model {}",
            args.model
        ));
    }
    out.json(&json!({
        "dispute": super::task::dispute(board, id),
        "place": place,
        "claim": judged.as_ref().map(Judgement::claim_holds),
        "executed_on_chain": entry.appeal.decided.is_some(),
        "step": found.map(|step| step_json(step, evidence.as_ref())),
    }))?;
    Ok(Exit::Done)
}

fn ruling(entry: &DisputeEntry) -> String {
    let d = &entry.dispute;
    let said = match (d.ruled_at, d.ruled_guilty) {
        (0, _) => return "none".to_owned(),
        (_, true) => "guilty",
        (_, false) => "cleared",
    };
    format!("{said}, by {}", d.referee)
}

fn show(place: &str, number: u32, step: &Explanation, entry: &DisputeEntry, out: Output) {
    let executed = match &entry.appeal.decided {
        Some((_, batch)) => format!("Batch {} was executed by the contract. ", batch.batch),
        None => "Nothing was executed on chain: this is computed here. ".to_owned(),
    };
    out.line(format!("\n{executed}It comes down to"));
    out.line(format!("  step {number}, {place}, {step}"));
    for load in step.loads.iter().rev().take(LOADS).rev() {
        out.line(format!(
            "  input {}, element {}: {:#010x}",
            load.input, load.element, load.bits
        ));
    }
    out.facts(&[
        ("claimed", format!("{:#010x}", step.claimed)),
        ("computed", format!("{:#010x}", step.value)),
    ]);
}

fn digests(judged: &Judgement, out: Output) {
    out.facts(&[
        ("claimed", judged.claimed.to_string()),
        ("computed", judged.recomputed.to_string()),
    ]);
}

/// The step for programs; bits in hex.
pub(super) fn step_json(step: &Explanation, evidence: Option<&Evidence>) -> Value {
    let hex = |bits: u64| format!("{bits:#x}");
    json!({
        "words": step.to_string(),
        "element": step.element,
        "coordinates": step.coordinates,
        "batch": step.batch,
        "block": step.block(),
        "tap": step.tap,
        "instruction": format!("{:?}", step.deciding.opcode),
        "operands": step.deciding.operands.iter().map(|bits| hex(*bits)).collect::<Vec<_>>(),
        "result": hex(step.deciding.result),
        "claimed": hex(step.claimed),
        "computed": hex(step.value),
        "loads": step.loads.iter().map(|load| json!({
            "input": load.input, "element": load.element, "bits": hex(load.bits),
        })).collect::<Vec<_>>(),
        "dtype": evidence.and_then(|e| e.element.as_ref()).map(|e| e.header.dtype),
    })
}
