//! One evidence file, judged without a chain.

use gavel_node::evidence::{JudgeLimits, Judgement, judge};
use gavel_trace::{Evidence, EvidenceLimits, FineIndex};
use serde_json::json;

use super::proves_nothing;
use crate::failure::{Context as _, Exit, Failure};
use crate::output::{BAD, GOOD, Output, paint};

pub(super) fn run(place: &str, bytes: &[u8], out: Output) -> Result<Exit, Failure> {
    let evidence = Evidence::parse(bytes, &EvidenceLimits::default())
        .at(place)
        .map_err(proves_nothing)?;
    let found = judge(&evidence, &JudgeLimits::default())
        .at(place)
        .map_err(proves_nothing)?;
    show(&evidence, &found, out);
    out.json(&json!({
        "claim": found.claim_holds(),
        "claimed": found.claimed,
        "recomputed": found.recomputed,
        "operator": found.operator,
        "node": found.node,
        "ruling": found.ruling_holds,
        "step": found.step.as_ref().map(crate::commands::dispute::step_json),
        "task": evidence.task,
        "trace_root": evidence.commitment.trace_root,
        "leaf_index": evidence.leaf_index,
        "isolated": evidence.isolated,
    }))?;
    Ok(match found.claim_holds() {
        true => Exit::Done,
        false => Exit::False,
    })
}

fn show(evidence: &Evidence, found: &Judgement, out: Output) {
    let verdict = match found.claim_holds() {
        true => paint(GOOD, "true: the provider computed this rightly"),
        false => paint(BAD, "false: the provider did not compute what it claims"),
    };
    out.line(verdict);
    out.line("");
    let place = match (evidence.isolated, found.operator, found.node) {
        (FineIndex::Op(_), Some(operator), Some(node)) => format!("node {node}, {operator}"),
        (FineIndex::Op(i), ..) => format!("operator {i}"),
        (FineIndex::Live(slot), ..) => format!("live slot {slot}: a copy"),
    };
    let inputs: usize = evidence.inputs.iter().map(|i| i.bytes.0.len()).sum();
    let task = &evidence.task;
    out.facts(&[
        ("place", format!("{place}, at leaf {}", evidence.leaf_index)),
        (
            "inputs",
            format!("{}, {inputs} bytes", evidence.inputs.len()),
        ),
        ("claimed", found.claimed.to_string()),
        ("recomputed", found.recomputed.to_string()),
    ]);
    if let Some(holds) = found.ruling_holds {
        let holds = if holds { "right" } else { "wrong" };
        out.facts(&[("ruling", holds.to_owned())]);
    }
    if let Some(step) = &found.step {
        out.facts(&[
            ("step", format!("{}: {}", step.place(), step.deciding)),
            ("element", step.outcome()),
        ]);
    }
    out.line("\nOn the chain that this is about, see for yourself:");
    out.facts(&[
        ("chain", task.chain_id.to_string()),
        ("court", hex(&task.court.0)),
        (
            "task",
            format!("{}, attempt {}", task.task_id, task.attempt),
        ),
        ("provider", hex(&task.provider.0)),
        ("model_id", task.model_id.to_string()),
        ("input_digest", task.input_digest.to_string()),
        ("trace_root", evidence.commitment.trace_root.to_string()),
    ]);
}

pub(super) fn hex(address: &[u8]) -> String {
    gavel_node::Address::try_from(address).map_or_else(|_| "?".to_owned(), |a| a.to_string())
}
