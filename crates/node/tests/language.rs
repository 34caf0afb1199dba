//! Language models in court: every step of a run is a place that a lie is found at.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{knows, open, trial};
use gavel_dispute::Outcome;
use gavel_model::llama::roles::{FIRST_CACHE, POSITION, STOP};
use gavel_model::llama::{Architecture, Formats, random, task_inputs, tiny, tokens_of};
use gavel_node::evidence::{JudgeLimits, Sources, build, judge};
use gavel_node::faults::{FaultyExecutor, OneUlp};
use gavel_node::{EngineExecutor, Executor, Fault};
use gavel_numerics::kernels::SamplingParams;
use gavel_numerics::{Op, Tensor, WeightFormat};
use gavel_trace::{CommitPoint, Digest, FineIndex};

/// A small model that never says that it is done, and a task of it.
fn language(max_new_tokens: u64) -> (Arc<EngineExecutor>, Digest, Vec<Tensor>) {
    let mut config = tiny(Architecture::Llama);
    config.layers = 2;
    config.end = vec![];
    let formats = Formats::uniform(&config, WeightFormat::Q8_0);
    let model = random(&config, &formats, 5).unwrap().model;
    let params = SamplingParams {
        max_new_tokens,
        seed: 11,
        temperature: 0.9,
        top_k: 20,
        top_p: 0.95,
        ..SamplingParams::default()
    };
    let inputs = task_inputs(&model, &[7, 8, 9], params).unwrap();
    let (executor, id) = common::with_model(model);
    (executor, id, inputs)
}

fn node_of(executor: &EngineExecutor, id: &Digest, op: &Op) -> u32 {
    let model = executor.model(id).unwrap();
    let found = model.graph().nodes.iter().position(|n| n.op == *op);
    found.unwrap() as u32
}

#[test]
fn a_changed_token_is_isolated_where_it_was_appended() {
    let (honest, id, inputs) = language(4);
    let judge = knows(honest.as_ref(), &id, &inputs);
    let (_, answer) = tokens_of(&judge.run().outputs).unwrap();
    assert_eq!(answer.len(), 4);
    let append = node_of(&honest, &id, &Op::AppendToken);
    for seed in 0..4 {
        let liar = FaultyExecutor::new(Arc::clone(&honest), &[Fault::ChangedToken], seed);
        let provider = knows(&liar, &id, &inputs);
        let (_, claimed) = tokens_of(&provider.run().outputs).unwrap();
        let first = answer.iter().zip(&claimed).position(|(a, b)| a != b);
        let trial = trial(
            open(&provider),
            Some(&provider),
            Some(&judge),
            &judge,
            false,
        );
        assert_eq!(trial.outcome, Outcome::Upheld);
        let segment = trial.segment.unwrap();
        let points = judge.run().model.header().commit_points;
        let at = CommitPoint::at_leaf(segment.leaf_index, points).unwrap();
        // the prompt has three tokens: the first answer is appended in step 2
        assert_eq!(at.step as usize, 2 + first.unwrap());
        assert_eq!(
            trial.place,
            Some(FineIndex::Op(append - segment.first_node))
        );
    }
}

#[test]
fn a_cheaper_quantisation_is_isolated_at_the_first_operator() {
    let (honest, id, inputs) = language(3);
    let judge = knows(honest.as_ref(), &id, &inputs);
    let liar = FaultyExecutor::new(Arc::clone(&honest), &[Fault::CheaperQuantisation], 1);
    let provider = knows(&liar, &id, &inputs);
    let trial = trial(
        open(&provider),
        Some(&provider),
        Some(&judge),
        &judge,
        false,
    );
    assert_eq!(trial.outcome, Outcome::Upheld);
    assert_eq!(trial.place, Some(FineIndex::Op(0)));
    assert_eq!(trial.segment.unwrap().leaf_index, 0);
}

#[test]
fn any_operator_of_any_kind_is_isolated_and_its_evidence_judged() {
    let (honest, id, inputs) = language(2);
    let judge_of = knows(honest.as_ref(), &id, &inputs);
    let model = honest.model(&id).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for (node, found) in model.graph().nodes.iter().enumerate() {
        // the last of each kind is the deepest
        let later = &model.graph().nodes[node + 1..];
        if !kinds.insert(found.op.name()) || later.is_empty() {
            continue;
        }
        let elements = found.output.elements().unwrap();
        // rows of a cache beyond the position are never read: take a row that is
        let element = elements / 2 % found.output.dims.last().map_or(1, |&d| d as usize);
        let liar = FaultyExecutor::one_ulp_at(Arc::clone(&honest), OneUlp { node, element });
        let provider = knows(&liar, &id, &inputs);
        if provider.run().trace == judge_of.run().trace {
            continue; // absorbed: by sampling, by a penalty of nothing
        }
        let (facts, rows) = common::isolated(&provider, &judge_of).unwrap();
        let at = CommitPoint::at_leaf(facts.segment.leaf_index, facts.model.commit_points).unwrap();
        let FineIndex::Op(i) = facts.place else {
            panic!("{}: {:?}", found.op.name(), facts.place);
        };
        assert_eq!(
            (facts.segment.first_node + i) as usize,
            node,
            "{} in step {}",
            found.op.name(),
            at.step
        );
        let sources = Sources {
            run: judge_of.run(),
            executor: honest.as_ref(),
            committed: None,
            rows: &rows,
            appeal: None,
        };
        let evidence = build(&facts, &sources).unwrap();
        let judged = judge(&evidence, &JudgeLimits::default()).unwrap();
        assert!(!judged.claim_holds(), "{}", found.op.name());
        assert_eq!(judged.operator, Some(found.op.name()));
    }
    assert!(kinds.len() > 12, "{kinds:?}");
}

#[test]
fn evidence_of_a_later_step_starts_from_the_outputs_before_it() {
    let (honest, id, inputs) = language(3);
    let judge_of = knows(honest.as_ref(), &id, &inputs);
    // the seed makes the token of some step after the first answer wrong
    let points = judge_of.run().model.header().commit_points as usize;
    let liar = (0..16)
        .map(|seed| FaultyExecutor::new(Arc::clone(&honest), &[Fault::ChangedToken], seed))
        .find(|liar| {
            let run = liar.run(&id, &inputs).unwrap();
            let leaves = run.trace.leaves().iter().zip(judge_of.run().trace.leaves());
            // the first answer is appended in step 2
            leaves.take_while(|(a, b)| a == b).count() >= 3 * points
        })
        .unwrap();
    let provider = knows(&liar, &id, &inputs);
    let (facts, _) = common::isolated(&provider, &judge_of).unwrap();
    assert!(facts.segment.leaf_index as usize >= 3 * points);
    // and a run that goes on beyond its end has a state for every step
    let run = judge_of.run();
    let longer = honest
        .extended(Arc::clone(run), run.trace.steps() + 2)
        .unwrap();
    assert_eq!(longer.trace.steps(), run.trace.steps() + 2);
    assert_eq!(longer.outputs[0].as_i64(), Some(&[2][..]));
    assert_eq!(run.outputs[0].as_i64(), Some(&[1][..]));
    assert!(run.outputs.len() > FIRST_CACHE);
}

#[test]
fn a_state_in_the_middle_of_a_run_is_not_served_but_can_be_judged() {
    let (honest, id, inputs) = language(3);
    assert!(honest.serves(&id, &inputs));
    let model = honest.model(&id).unwrap();
    for slot in [STOP, POSITION, FIRST_CACHE] {
        let ty = inputs[slot].ty().clone();
        let mut odd = inputs.clone();
        odd[slot] = Tensor::from_raw(ty.clone(), &vec![1; ty.elements().unwrap()]).unwrap();
        assert!(!honest.serves(&id, &odd), "slot {slot}");
        let plain = honest.engine().run(&model, &odd).unwrap();
        assert_eq!(honest.run(&id, &odd).unwrap().trace, plain.trace);
    }
}
