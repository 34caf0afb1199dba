//! A dispute becomes a file that anybody can replay, and the file shows who was right.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{isolated, knows};
use gavel_node::board::Row;
use gavel_node::evidence::{self, DisputeFacts, JudgeError, JudgeLimits, Judgement, Sources};
use gavel_node::faults::{FaultyExecutor, sock_puppet};
use gavel_node::{Committed, Executor, Fault, RunKnowledge};
use gavel_trace::{Digest, Evidence, EvidenceLimits, FineIndex, HexBytes, InputSource, Ruling};

const RESULTS: [Fault; 4] = [
    Fault::Weight,
    Fault::OneUlp,
    Fault::SmallerModel,
    Fault::WrongTrace,
];

fn judged(evidence: &Evidence) -> Judgement {
    let file = evidence.to_json().unwrap();
    let read = Evidence::parse(file.as_bytes(), &EvidenceLimits::default()).unwrap();
    assert_eq!(read, *evidence);
    evidence::judge(&read, &JudgeLimits::default()).unwrap()
}

fn build(
    executor: &dyn Executor,
    knows: &RunKnowledge<'_>,
    facts: &DisputeFacts,
    rows: &[Row],
    committed: Option<&Committed>,
) -> Result<Evidence, evidence::BuildError> {
    let sources = Sources {
        executor,
        run: knows.run(),
        rows,
        committed,
        appeal: None,
    };
    evidence::build(facts, &sources)
}

#[test]
fn whoever_lies_about_a_place_is_shown_up_by_the_file() {
    for name in ["digits", "digits-mlp"] {
        let (honest, id, inputs) = common::shipped(name, 1);
        let judge = knows(honest.as_ref(), &id, &inputs);
        for fault in RESULTS {
            for seed in 0..4 {
                let liar = FaultyExecutor::new(Arc::clone(&honest), &[fault], seed);
                let provider = knows(&liar, &id, &inputs);
                let (mut facts, rows) = isolated(&provider, &judge).unwrap();
                let own = judge.run().clone();
                facts.ruling = Some(Ruling {
                    referee: HexBytes(vec![3; 20]),
                    digest: honest
                        .fine(&own, facts.segment.leaf_index)
                        .unwrap()
                        .trace
                        .digest_at(facts.place)
                        .unwrap(),
                });
                let file = build(honest.as_ref(), &judge, &facts, &rows, None).unwrap();
                let found = judged(&file);
                assert!(!found.claim_holds(), "{name} {fault} {seed}");
                assert_eq!(found.ruling_holds, Some(true));
                assert_eq!(found.operator.is_none(), found.node.is_none());
                assert_eq!(found.claimed, facts.claimed);
                // the liar's own file, where it has tensors to make one from, shows the same
                if let Ok(same) = build(&liar, &provider, &facts, &[], None) {
                    assert!(!judged(&same).claim_holds());
                }
            }
        }
    }
}

#[test]
fn an_honest_provider_can_prove_that_it_was_right() {
    let (honest, id, inputs) = common::shipped("digits", 2);
    let provider = knows(honest.as_ref(), &id, &inputs);
    for fault in RESULTS {
        for seed in 0..4 {
            let liar = FaultyExecutor::new(Arc::clone(&honest), &[fault], seed);
            let challenger = knows(&liar, &id, &inputs);
            let (facts, rows) = isolated(&provider, &challenger).unwrap();
            for rows in [rows.as_slice(), &[]] {
                let file = build(honest.as_ref(), &provider, &facts, rows, None).unwrap();
                assert!(judged(&file).claim_holds(), "{fault} {seed}");
            }
        }
    }
}

#[test]
fn what_a_cheat_computed_rightly_from_its_wrong_inputs_is_true_of_those_inputs() {
    let (honest, id, inputs) = common::shipped("digits", 2);
    let judge = knows(honest.as_ref(), &id, &inputs);
    let mut shown_only = 0;
    for seed in 0..6 {
        let cheat = FaultyExecutor::new(Arc::clone(&honest), &[Fault::Weight], seed);
        let friend = sock_puppet::executor(&cheat, seed + 100);
        let (provider, puppet) = (knows(&cheat, &id, &inputs), knows(&friend, &id, &inputs));
        let (facts, rows) = isolated(&provider, &puppet).unwrap();
        let shown = provider.show(facts.segment.leaf_index).unwrap();
        let committed = shown.check(&judge.run().model, &facts.segment).unwrap();
        let file = build(honest.as_ref(), &judge, &facts, &rows, Some(&committed)).unwrap();
        assert_eq!(judged(&file).claimed, facts.claimed);
        // Without what the cheat showed, nobody else can make a file whose openings hold.
        shown_only += u32::from(build(honest.as_ref(), &judge, &facts, &rows, None).is_err());
    }
    assert!(shown_only > 0);
}

#[test]
fn a_live_slot_and_an_operator_are_both_replayed() {
    let (honest, id, inputs) = common::shipped("digits", 3);
    let judge = knows(honest.as_ref(), &id, &inputs);
    let file = |fault, seed| {
        let liar = FaultyExecutor::new(Arc::clone(&honest), &[fault], seed);
        let provider = knows(&liar, &id, &inputs);
        let (facts, rows) = isolated(&provider, &judge).unwrap();
        build(honest.as_ref(), &judge, &facts, &rows, None).unwrap()
    };
    let slot = file(Fault::WrongTrace, 1);
    assert!(matches!(slot.isolated, FineIndex::Live(_)));
    assert_eq!(judged(&slot).operator, None);
    let op = file(Fault::OneUlp, 1);
    assert!(judged(&op).operator.is_some());
    let small = JudgeLimits {
        work: 1,
        ..JudgeLimits::default()
    };
    assert!(matches!(
        evidence::judge(&op, &small),
        Err(JudgeError::TooLarge { what: "work", .. })
    ));
}

/// Changes that every hash in the file survives: they move true bytes to where they do not belong.
#[test]
fn true_bytes_in_the_wrong_place_prove_nothing() {
    let (honest, id, inputs) = common::shipped("digits", 4);
    let judge = knows(honest.as_ref(), &id, &inputs);
    let model = judge.run().model.clone();
    // an operator with several inputs, one of them a weight
    let node = (model.graph().nodes.iter())
        .position(|n| n.inputs.len() > 1 && n.op.name() == "Conv")
        .unwrap();
    let fault = gavel_node::faults::one_ulp::OneUlp { node, element: 0 };
    let good = (0..64)
        .find_map(|element| {
            let fault = gavel_node::faults::one_ulp::OneUlp { element, ..fault };
            let liar = FaultyExecutor::one_ulp_at(Arc::clone(&honest), fault);
            let provider = knows(&liar, &id, &inputs);
            let (facts, rows) = isolated(&provider, &judge)?;
            (facts.segment.first_node + op(facts.place)? == node as u32)
                .then(|| build(honest.as_ref(), &judge, &facts, &rows, None).unwrap())
        })
        .unwrap();
    let refused = |evidence: &Evidence| evidence::judge(evidence, &JudgeLimits::default());
    assert!(!refused(&good).unwrap().claim_holds());

    let mut fewer = good.clone();
    fewer.inputs.pop();
    assert!(matches!(refused(&fewer), Err(JudgeError::Inputs { .. })));

    let mut swapped = good.clone();
    swapped.inputs.swap(0, 1);
    assert!(matches!(
        refused(&swapped),
        Err(JudgeError::Input { position: 0 })
    ));

    let mut other_edge = good.clone();
    other_edge.inputs[0].edge = other_edge.inputs[1].edge.clone();
    assert!(matches!(
        refused(&other_edge),
        Err(JudgeError::Input { position: 0 })
    ));

    // another weight of the model, with its own leaf
    let mut other_weight = good.clone();
    let at = (good.inputs.iter())
        .position(|input| matches!(input.source, InputSource::Weight { .. }))
        .unwrap();
    let InputSource::Weight { leaf } = &mut other_weight.inputs[at].source else {
        panic!("a weight");
    };
    let other = (0..model.weights().len() as u32)
        .find(|i| u64::from(*i) != leaf.opening.index)
        .unwrap();
    let opened = model.open_weight(other).unwrap();
    (leaf.bytes, leaf.opening) = (HexBytes(opened.bytes), opened.opening);
    let tensor = model.weights()[other as usize].value.tensor();
    let shown = gavel_node::ShownTensor::of(&tensor);
    (
        other_weight.inputs[at].header,
        other_weight.inputs[at].bytes,
    ) = (shown.header, shown.bytes);
    assert!(
        matches!(refused(&other_weight), Err(JudgeError::Input { position }) if position == at)
    );

    let mut other_numerics = good.clone();
    other_numerics.model.numerics_version = 2;
    other_numerics.task.model_id = other_numerics.model.model_id();
    assert!(matches!(
        refused(&other_numerics),
        Err(JudgeError::Numerics { found: 2 })
    ));

    let mut unhashed = good;
    unhashed.ops_root = Digest::ZERO;
    assert!(matches!(refused(&unhashed), Err(JudgeError::Evidence(_))));
}

fn op(place: FineIndex) -> Option<u32> {
    match place {
        FineIndex::Op(i) => Some(i),
        FineIndex::Live(_) => None,
    }
}
