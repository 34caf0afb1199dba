//! `gavel bench gas`: what every action costs on chain, over an honest and a disputed world.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_sim::{
    DemoOptions, Fault, GasReport, OperatorGas, Report, Scenario, Stages, Workload, descend,
    operator_gas, operator_rows, run_world,
};
use serde_json::json;

use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::{Output, count};

const MODEL: &str = "digits";
/// Commit points of the level that is descended, and the one that is wrong.
const LEAVES: u32 = 4_096;
const WRONG: u32 = 2_741;
/// EIP-7825: most gas of one transaction.
const TRANSACTION_CAP: u64 = 1 << 24;
/// What every task pays for.
const TASK: [&str; 4] = ["post", "claim", "commit", "settle"];

pub(crate) fn run(out: Output) -> Result<Exit, Failure> {
    let workload = Arc::new(Workload::shipped(MODEL).at(MODEL)?);
    let world = |faults: Vec<Fault>| -> Result<Report, Failure> {
        let scenario = Scenario::demo(&DemoOptions {
            seed: 1,
            faults,
            watcher: true,
            audit_ppm: None,
            providers: 5,
            inputs: workload.inputs.len(),
        })
        .map_err(Failure::new)?;
        run_world(&scenario, &workload, &Stages::default(), &mut |_| {}).at("the arena")
    };
    out.progress("an honest and a disputed world");
    let level = block_on(async { descend(LEAVES, WRONG).await.at("the level") })?;
    let (honest, disputed) = (world(Vec::new())?, world(vec![Fault::Weight])?);
    let mut all: BTreeMap<&str, GasReport> = BTreeMap::new();
    for (action, gas) in honest.gas.iter().chain(&disputed.gas) {
        merge(all.entry(action).or_default(), gas);
    }
    let rows = all.iter().map(|(action, gas)| {
        vec![
            (*action).to_owned(),
            gas.count.to_string(),
            count(gas.min),
            count(mean(gas)),
            count(gas.max),
        ]
    });
    out.table(
        &["action", "times", "least", "mean", "most"],
        rows.collect(),
        &[1, 2, 3, 4],
    );
    let task: u64 = TASK
        .iter()
        .filter_map(|action| honest.gas.get(*action))
        .map(mean)
        .sum();
    let dispute = disputed.disputes.first();
    let (gas, moves) = dispute.map_or((0, 0), |d| (d.gas, d.moves.len()));
    let challenge = disputed.gas.get("commitChallenge").map_or(0, mean);
    out.line("");
    out.facts(&[
        (
            "a task",
            format!("{} gas: {}", count(task), TASK.join(" + ")),
        ),
        (
            "a dispute",
            format!(
                "{} gas in {moves} transactions, and {} for the challenge",
                count(gas),
                count(challenge)
            ),
        ),
    ]);
    out.facts(&[(
        "a level",
        format!(
            "{} gas: {} commit points, {} rounds of reveal and pick",
            count(level.gas),
            count(level.leaves.into()),
            level.rounds
        ),
    )]);
    let operators = operators(out)?;
    out.next("gavel demo --fault lying-referee");
    out.json(&json!({
        "actions": all.iter().map(|(action, gas)| (*action, json!({
            "count": gas.count, "min": gas.min, "mean": mean(gas), "max": gas.max, "total": gas.total,
        }))).collect::<BTreeMap<_, _>>(),
        "level": level,
        "operators": operators,
        "transaction_cap": TRANSACTION_CAP,
        "task": {"actions": TASK, "gas": task},
        "dispute": {
            "gas": gas,
            "with_challenge": gas + challenge,
            "moves": dispute.map(|d| d.moves.iter().map(|m| json!({"who": m.who, "what": m.what, "gas": m.gas})).collect::<Vec<_>>()),
            "rounds": dispute.map(|d| d.rounds),
            "verdict": dispute.map(|d| &d.verdict),
        },
    }))?;
    Ok(Exit::Done)
}

/// An appeal about each operator, played on chain to the executed step.
fn operators(out: Output) -> Result<Vec<OperatorGas>, Failure> {
    let all = operator_rows();
    let mut found = Vec::new();
    for (i, row) in all.iter().enumerate() {
        out.progress(format!("appeal {} of {}: {}", i + 1, all.len(), row.name));
        found.push(operator_gas(row).at(row.name)?);
    }
    out.line("");
    out.heading("Appeals, from the operator to the executed step");
    let rows = found.iter().map(|o| {
        vec![
            o.name.clone(),
            o.batches.to_string(),
            o.rounds.to_string(),
            count(o.step),
            count(o.dearest),
            count(o.appeal),
        ]
    });
    out.table(
        &[
            "operator",
            "batches",
            "rounds",
            "step",
            "dearest step",
            "whole appeal",
        ],
        rows.collect(),
        &[1, 2, 3, 4, 5],
    );
    let dearest = found
        .iter()
        .map(|o| o.step.max(o.dearest))
        .max()
        .unwrap_or(0);
    out.line("");
    out.facts(&[(
        "the cap",
        format!(
            "{} gas a transaction: {:.0} times the dearest step",
            count(TRANSACTION_CAP),
            TRANSACTION_CAP as f64 / dearest.max(1) as f64
        ),
    )]);
    Ok(found)
}

fn merge(into: &mut GasReport, other: &GasReport) {
    into.min = match into.count {
        0 => other.min,
        _ => into.min.min(other.min),
    };
    into.max = into.max.max(other.max);
    into.count += other.count;
    into.total += other.total;
}

fn mean(gas: &GasReport) -> u64 {
    gas.total / u64::from(gas.count.max(1))
}
