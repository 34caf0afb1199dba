//! Models that draw in court: a denoising step that is left out is found, with its number and its operator.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{knows, open, trial};
use gavel_dispute::Outcome;
use gavel_model::diffusion::{Diffusion, denoiser_nodes, slots};
use gavel_model::shipped;
use gavel_node::evidence::{JudgeLimits, Sources, build, judge};
use gavel_node::faults::{FaultyExecutor, OneUlp};
use gavel_node::{EngineExecutor, Executor, Fault};
use gavel_numerics::Tensor;
use gavel_trace::{CommitPoint, Digest, FineIndex};

fn drawing(seed: u64) -> (Arc<EngineExecutor>, Digest, Vec<Tensor>) {
    let model = shipped::load("diffusion").unwrap();
    let words = "a red circle on blue";
    let inputs = Diffusion::of(&model).unwrap().task_inputs(words, seed);
    let (executor, id) = common::with_model(model);
    (executor, id, inputs.unwrap())
}

#[test]
fn a_step_that_was_left_out_is_isolated_at_the_first_operator_of_the_network() {
    let (honest, id, inputs) = drawing(7);
    let judge_of = knows(honest.as_ref(), &id, &inputs);
    let model = honest.model(&id).unwrap();
    let first = *denoiser_nodes(&model).first().unwrap();
    assert_eq!(model.graph().nodes[first].name, "stem");
    let points = model.header().commit_points;
    let mut steps = std::collections::BTreeSet::new();
    for seed in 0..3 {
        let liar = FaultyExecutor::new(Arc::clone(&honest), &[Fault::SkippedSteps], seed);
        let provider = knows(&liar, &id, &inputs);
        assert_eq!(provider.run().trace.steps(), model.header().max_steps);
        let agreed = provider.run().trace.leaves().iter();
        let agreed = agreed.zip(judge_of.run().trace.leaves());
        let skipped = agreed.take_while(|(a, b)| a == b).count() as u32 / points;
        assert!(skipped > 0, "the first step is always run");
        let trial = trial(
            open(&provider),
            Some(&provider),
            Some(&judge_of),
            &judge_of,
            false,
        );
        assert_eq!(trial.outcome, Outcome::Upheld);
        let segment = trial.segment.unwrap();
        let at = CommitPoint::at_leaf(segment.leaf_index, points).unwrap();
        assert_eq!(at.step, skipped);
        let place = FineIndex::Op(first as u32 - segment.first_node);
        assert_eq!(trial.place, Some(place));
        steps.insert(skipped);
        let picture = |outputs: &[Arc<Tensor>]| outputs[slots::PICTURE].clone();
        assert_ne!(
            picture(&provider.run().outputs),
            picture(&judge_of.run().outputs)
        );
    }
    assert!(steps.len() > 1, "{steps:?}");
}

#[test]
fn the_evidence_of_a_skipped_step_and_of_other_noise_is_judged() {
    let (honest, id, inputs) = drawing(8);
    let judge_of = knows(honest.as_ref(), &id, &inputs);
    let model = honest.model(&id).unwrap();
    let node = |name: &str| {
        model
            .graph()
            .nodes
            .iter()
            .position(|n| n.name == name)
            .unwrap()
    };
    let other_noise = OneUlp {
        node: node("noise"),
        element: 5,
    };
    let liars = [
        FaultyExecutor::new(Arc::clone(&honest), &[Fault::SkippedSteps], 1),
        FaultyExecutor::one_ulp_at(Arc::clone(&honest), other_noise),
    ];
    for (liar, operator) in liars.iter().zip(["Conv", "Map"]) {
        let provider = knows(liar, &id, &inputs);
        let (facts, rows) = common::isolated(&provider, &judge_of).unwrap();
        let sources = Sources {
            run: judge_of.run(),
            executor: honest.as_ref(),
            committed: None,
            rows: &rows,
            appeal: None,
        };
        let evidence = build(&facts, &sources).unwrap();
        let judged = judge(&evidence, &JudgeLimits::default()).unwrap();
        assert!(!judged.claim_holds());
        assert_eq!(judged.operator, Some(operator));
    }
}

#[test]
fn a_run_is_served_from_its_first_step_alone() {
    let (honest, id, inputs) = drawing(9);
    assert!(honest.serves(&id, &inputs));
    for slot in [slots::STOP, slots::STEP, slots::PICTURE] {
        let ty = inputs[slot].ty().clone();
        let mut odd = inputs.clone();
        odd[slot] = Tensor::from_raw(ty.clone(), &vec![1; ty.elements().unwrap()]).unwrap();
        assert!(!honest.serves(&id, &odd), "slot {slot}");
    }
    // from a later step there are fewer left
    let mut late = inputs.clone();
    late[slots::STEP] = Tensor::i64([1], vec![13]).unwrap();
    assert_eq!(honest.run(&id, &late).unwrap().trace.steps(), 3);
}
