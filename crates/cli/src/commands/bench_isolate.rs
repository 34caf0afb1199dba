//! `gavel bench isolate`: faults of one unit in the last place, each found by playing the whole game.

use std::collections::BTreeMap;
use std::time::Instant;

use gavel_dispute::{CourtModel, CourtSetup, Knowledge, Phase, Policy, Role, Side, decide};
use gavel_model::preprocess::png_to_input;
use gavel_model::{Model, shipped};
use gavel_node::isolate_random;
use gavel_numerics::Tensor;
use gavel_trace::{
    Digest, FineTrace, Level1, MerkleTree, ModelHeader, Opening, SegmentEntry, height,
};
use serde_json::json;

use super::bench_trace::made_up_inputs;
use super::{executor, max_bytes};
use crate::args::EngineArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;

use crate::output::{BAD, GOOD, Output, count, paint, time};

/// Leaves of the level whose rounds are stated by the specification.
const LEVEL_LEAVES: u32 = 4096;

/// What was seen of one operator.
#[derive(Default)]
struct Seen {
    faults: u32,
    exact: u32,
}

pub(crate) fn run(
    name: &str,
    faults: u32,
    seed: u64,
    args: EngineArgs,
    out: Output,
) -> Result<Exit, Failure> {
    let model = files::network(name, &format!("gavel demo --model {name}"))?;
    let executor = executor(name, &model, args)?;
    let inputs = inputs(&model, max_bytes(args))?;
    out.progress(format!(
        "falsifying {faults} elements of {name}, one at a time"
    ));
    let start = Instant::now();
    let (mut absorbed, mut rounds, mut moves) = (0u64, Vec::new(), Vec::new());
    let mut seen: BTreeMap<usize, Seen> = BTreeMap::new();
    for fault in 0..u64::from(faults) {
        let input = &inputs[fault as usize % inputs.len()];
        let found = isolate_random(
            &executor,
            &model.model_id(),
            input,
            seed.rotate_left(32) ^ fault,
        )
        .at(name)?;
        absorbed += found.absorbed.len() as u64;
        rounds.push(found.isolation.rounds);
        moves.push(found.isolation.moves);
        let of_node = seen.entry(found.isolation.node).or_default();
        of_node.faults += 1;
        of_node.exact += u32::from(found.isolation.exact);
    }
    let elapsed = start.elapsed();
    let isolated: u32 = seen.values().map(|s| s.exact).sum();
    let level = level_rounds(LEVEL_LEAVES, seed)?;

    let rows = seen.iter().map(|(node, s)| {
        let op = model.graph().nodes.get(*node).map_or("", |n| n.op.name());
        vec![
            node.to_string(),
            op.to_owned(),
            s.faults.to_string(),
            s.exact.to_string(),
        ]
    });
    out.table(
        &["#", "operator", "faults of one ULP", "isolated exactly"],
        rows.collect(),
        &[0, 2, 3],
    );
    out.line("");
    let verdict = paint(
        if isolated == faults { GOOD } else { BAD },
        format!("{isolated} of {faults}"),
    );
    out.facts(&[
        (
            "isolated",
            format!(
                "{verdict} to exactly the falsified operator, in {}",
                time(elapsed)
            ),
        ),
        (
            "rounds",
            format!(
                "{} at most, {:.2} on average (reveal and pick, both levels)",
                most(&rounds),
                mean(&rounds)
            ),
        ),
        (
            "absorbed",
            format!(
                "{} more changed nothing that is committed, so there was nothing to dispute",
                count(absorbed)
            ),
        ),
        (
            "one level",
            format!(
                "of {} leaves takes {level} rounds",
                count(LEVEL_LEAVES.into())
            ),
        ),
    ]);
    out.next(format!(
        "gavel bench isolate --faults {} --seed {}",
        faults.saturating_mul(10),
        seed.wrapping_add(1)
    ));
    out.json(&json!({
        "model_id": model.model_id(),
        "faults": faults,
        "seed": seed,
        "isolated": isolated,
        "absorbed": absorbed,
        "rounds": {"max": most(&rounds), "mean": mean(&rounds)},
        "moves": {"max": most(&moves), "mean": mean(&moves)},
        "level": {"leaves": LEVEL_LEAVES, "rounds": level},
        "time_ms": elapsed.as_secs_f64() * 1e3,
    }))?;
    match isolated == faults {
        true => Ok(Exit::Done),
        false => Err(Failure::new(format!(
            "{} faults were not isolated to their operator",
            faults - isolated
        ))),
    }
}

fn most(values: &[u32]) -> u32 {
    values.iter().copied().max().unwrap_or(0)
}

fn mean(values: &[u32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64
}

/// Pictures where the model takes one, else values made up.
fn inputs(model: &Model, max_bytes: u64) -> Result<Vec<Vec<Tensor>>, Failure> {
    let pictures: Vec<Vec<Tensor>> = shipped::PICTURES
        .iter()
        .filter_map(|(_, _, png)| png_to_input(model, png).ok())
        .map(|tensor| vec![tensor])
        .collect();
    match pictures.is_empty() {
        false => Ok(pictures),
        true => Ok(vec![made_up_inputs(model, max_bytes)?]),
    }
}

/// A party that has a level-1 tree and has not come further.
struct Level(Level1);

impl Knowledge for Level {
    fn level1(&self) -> Option<&MerkleTree> {
        Some(self.0.tree())
    }

    fn fine_trace(&self, _leaf_index: u64) -> Option<FineTrace> {
        None
    }

    fn segment(&self, _index: u32) -> Option<(SegmentEntry, Opening)> {
        None
    }
}

/// Rounds in which the game descends one level of `leaves` leaves to the first one that differs.
fn level_rounds(leaves: u32, seed: u64) -> Result<u32, Failure> {
    let digest = |i: u32| gavel_trace::tensor_digest(1, &[1], &i.to_be_bytes());
    let wrong = (seed % u64::from(leaves)) as u32;
    let tree = |first_wrong: u32| {
        let leaves = (0..leaves).map(|i| digest(if i >= first_wrong { i + leaves } else { i }));
        Level1::new(leaves.len() as u32, 1, leaves.collect()).map(Level)
    };
    let (provider, challenger) = (tree(wrong).at("level")?, tree(leaves).at("level")?);
    let mut court = CourtModel::open(
        CourtSetup {
            model: header(leaves),
            steps: 1,
            input_digest: Digest::ZERO,
            level1_root: provider.0.tree().root(),
            clock_budget: u32::MAX,
            clock_increment: 0,
            referee_seconds: u32::MAX,
            appeal_window: u32::MAX,
            max_earlier: 0,
        },
        0,
    );
    let policy = Policy::default();
    while let Some((side, _)) = court.view().turn() {
        if let Phase::SegmentWanted { leaf_index, .. } = court.view().phase {
            return match leaf_index == u64::from(wrong) {
                true => Ok(court.moves().div_ceil(2)),
                false => Err(Failure::new(format!(
                    "leaf {leaf_index} was isolated, {wrong} differs"
                ))),
            };
        }
        let (role, knowledge) = match side {
            Side::Provider => (Role::Provider, &provider),
            Side::Challenger => (Role::Challenger, &challenger),
        };
        let moved = decide(court.view(), role, knowledge, &policy, 0);
        match moved.map(|next| court.apply(role, &next, 0)) {
            Some(Ok(())) => {}
            Some(Err(refused)) => {
                return Err(Failure::new(format!("the game refused a move: {refused}")));
            }
            None => break,
        }
    }
    Err(Failure::new("the game ended before a leaf was isolated"))
}

/// A model with that many commit points and nothing else.
fn header(commit_points: u32) -> ModelHeader {
    ModelHeader {
        numerics_version: 1,
        lowering_version: 1,
        node_count: commit_points,
        max_steps: 1,
        commit_points,
        trace_height: height(commit_points.into()),
        ops_height: 0,
        live_height: 0,
        work: 0,
        nodes_root: Digest::ZERO,
        edges_root: Digest::ZERO,
        weights_root: Digest::ZERO,
        segments_root: Digest::ZERO,
        assets_root: Digest::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_4096_leaves_takes_three_rounds() {
        for seed in [0, 1, 17, 4095, u64::MAX] {
            assert_eq!(level_rounds(4096, seed).unwrap(), 3);
        }
        assert_eq!(level_rounds(16, 5).unwrap(), 1);
        assert_eq!(level_rounds(17, 16).unwrap(), 2);
    }
}
