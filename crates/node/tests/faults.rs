//! Every false result is convicted and no honest one is, whatever the liar computes.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{knows, open, trial};
use gavel_dispute::{CourtModel, Knowledge, Outcome, Policy, Role, SegmentFacts, decide};
use gavel_node::faults::{FaultyExecutor, sock_puppet};
use gavel_node::{Committed, Executor, ExecutorError, Fault, Models, RunKnowledge};
use gavel_trace::FineIndex;

const RESULTS: [Fault; 4] = [
    Fault::Weight,
    Fault::OneUlp,
    Fault::SmallerModel,
    Fault::WrongTrace,
];

#[test]
fn every_false_result_is_convicted() {
    let (honest, id, inputs) = common::shipped("digits", 1);
    let judge = knows(honest.as_ref(), &id, &inputs);
    for faults in (1usize..16).map(|mask| {
        let chosen = RESULTS.into_iter().enumerate();
        let chosen = chosen.filter(|(i, _)| mask >> i & 1 == 1);
        chosen.map(|(_, fault)| fault).collect::<Vec<_>>()
    }) {
        for seed in 0..3 {
            let liar = FaultyExecutor::new(Arc::clone(&honest), &faults, seed);
            let provider = knows(&liar, &id, &inputs);
            assert_ne!(
                provider.run().trace.trace_root(),
                judge.run().trace.trace_root(),
                "{faults:?}"
            );
            let trial = trial(
                open(&provider),
                Some(&provider),
                Some(&judge),
                &judge,
                false,
            );
            assert_eq!(trial.outcome, Outcome::Upheld, "{faults:?} {trial:?}");
            assert!(trial.place.is_some(), "{faults:?} plays to the end");
        }
    }
}

#[test]
fn a_silent_cheat_is_convicted_by_its_clock() {
    let (honest, id, inputs) = common::shipped("digits", 1);
    let judge = knows(honest.as_ref(), &id, &inputs);
    let liar = FaultyExecutor::new(Arc::clone(&honest), &[Fault::Weight], 1);
    let provider = knows(&liar, &id, &inputs);
    let trial = trial(open(&provider), None, Some(&judge), &judge, true);
    assert_eq!((trial.outcome, trial.place), (Outcome::Upheld, None));
}

#[test]
fn an_honest_result_is_cleared_whatever_the_challenger_computes() {
    let (honest, id, inputs) = common::shipped("digits", 2);
    let provider = knows(honest.as_ref(), &id, &inputs);
    for fault in RESULTS {
        for seed in 0..4 {
            let liar = FaultyExecutor::new(Arc::clone(&honest), &[fault], seed);
            let challenger = knows(&liar, &id, &inputs);
            let trial = trial(
                open(&provider),
                Some(&provider),
                Some(&challenger),
                &provider,
                false,
            );
            assert_eq!(trial.outcome, Outcome::Cleared, "{fault} {trial:?}");
        }
    }
}

#[test]
fn a_sock_puppet_clears_its_own_dispute_only() {
    let (honest, id, inputs) = common::shipped("digits", 2);
    let judge = knows(honest.as_ref(), &id, &inputs);
    let (mut cleared, mut silent) = (0, 0);
    for fault in RESULTS {
        for seed in 0..4 {
            let cheat = FaultyExecutor::new(Arc::clone(&honest), &[fault], seed);
            let friend = sock_puppet::executor(&cheat, seed + 100);
            let (provider, puppet) = (knows(&cheat, &id, &inputs), knows(&friend, &id, &inputs));
            let plays = !sock_puppet::falls_silent(&cheat);
            let game = open(&provider);
            let challenger: Option<&dyn Knowledge> = plays.then_some(&puppet as _);
            // A referee that can see what the provider committed rules on that.
            let shown = show_isolated(&game, &provider, &puppet, plays, fault == Fault::WrongTrace);
            let referee = match &shown {
                Some(committed) => knows(honest.as_ref(), &id, &inputs).with_committed(committed),
                None => knows(honest.as_ref(), &id, &inputs),
            };
            let bad = trial(game, Some(&provider), challenger, &referee, false);
            // Where the cheat's own error is in the same segment the referee points at it instead.
            cleared += u32::from(bad.outcome == Outcome::Cleared);
            silent += u32::from(!plays);
            let good = trial(
                open(&provider),
                Some(&provider),
                Some(&judge),
                &judge,
                false,
            );
            assert_eq!(good.outcome, Outcome::Upheld, "{fault} {good:?}");
        }
    }
    assert_eq!(silent, 4);
    assert!(cleared > silent, "{cleared}");
}

/// What the provider shows of the segment that the game between these two gets to.
fn show_isolated(
    game: &CourtModel,
    provider: &RunKnowledge<'_>,
    challenger: &RunKnowledge<'_>,
    plays: bool,
    made_up: bool,
) -> Option<Committed> {
    let (mut game, policy) = (game.clone(), Policy::default());
    while plays && game.view().turn().is_some() {
        for (role, party) in [(Role::Provider, provider), (Role::Challenger, challenger)] {
            if let Some(proposed) = decide(game.view(), role, party, &policy, 0) {
                game.apply(role, &proposed, 0).unwrap();
            }
        }
    }
    let segment = game.view().segment?;
    let shown = provider.show(segment.leaf_index).unwrap();
    let committed = shown.check(&provider.run().model, &segment);
    // Nobody has tensors for a live root that is made up.
    assert!(made_up || committed.is_some());
    let other = SegmentFacts {
        previous_leaf: segment.leaf,
        ..segment
    };
    assert_eq!(shown.check(&provider.run().model, &other), None);
    committed
}

#[test]
fn a_wrong_trace_delivers_the_right_result_and_is_isolated_in_a_live_slot() {
    let (honest, id, inputs) = common::shipped("digits", 3);
    let judge = knows(honest.as_ref(), &id, &inputs);
    for seed in 0..8 {
        let liar = FaultyExecutor::new(Arc::clone(&honest), &[Fault::WrongTrace], seed);
        let provider = knows(&liar, &id, &inputs);
        assert_eq!(provider.run().outputs, judge.run().outputs);
        assert_eq!(
            provider.run().trace.output_digest(),
            judge.run().trace.output_digest()
        );
        let trial = trial(
            open(&provider),
            Some(&provider),
            Some(&judge),
            &judge,
            false,
        );
        assert!(matches!(trial.place, Some(FineIndex::Live(_))), "{trial:?}");
        assert_eq!(trial.outcome, Outcome::Upheld);
    }
}

#[test]
fn a_smaller_model_is_isolated_at_the_first_operator() {
    let (honest, id, inputs) = common::shipped("digits", 4);
    let judge = knows(honest.as_ref(), &id, &inputs);
    let liar = FaultyExecutor::new(Arc::clone(&honest), &[Fault::SmallerModel], 5);
    let provider = knows(&liar, &id, &inputs);
    let small = gavel_model::shipped::load("digits-small").unwrap();
    let delivered = common::engine().run(&small, &inputs).unwrap();
    assert_eq!(provider.run().outputs, delivered.outputs);
    let digests: Vec<_> = delivered
        .outputs
        .iter()
        .map(|t| gavel_engine::digest(t))
        .collect();
    let header = judge.run().model.header();
    assert_eq!(
        provider.run().trace.output_digest(),
        gavel_trace::live_root(header.live_height, &digests).unwrap()
    );
    let trial = trial(
        open(&provider),
        Some(&provider),
        Some(&judge),
        &judge,
        false,
    );
    assert_eq!(trial.place, Some(FineIndex::Op(0)));
    assert_eq!(trial.segment.unwrap().leaf_index, 0);
}

#[test]
fn fine_traces_of_a_liar_fold_to_its_commitment_and_survive_a_restart() {
    let (honest, id, inputs) = common::shipped("digits", 5);
    for fault in RESULTS {
        let make = || FaultyExecutor::new(Arc::clone(&honest), &[fault], 9);
        let (liar, again) = (make(), make());
        let run = liar.run(&id, &inputs).unwrap();
        for leaf in 0..run.trace.leaves().len() as u64 {
            let fine = liar.fine(&run, leaf).unwrap();
            assert_eq!(
                Ok(fine.trace.live_root()),
                run.trace.level1.tree().leaf(leaf),
                "{fault} leaf {leaf}"
            );
            assert_eq!(fine.trace, again.fine(&run, leaf).unwrap().trace);
        }
        assert_eq!(run.trace, again.run(&id, &inputs).unwrap().trace);
    }
}

#[test]
fn an_edited_model_is_not_served_under_the_old_identity() {
    let model = gavel_model::shipped::load("digits-small").unwrap();
    let id = model.model_id();
    let edited = gavel_node::faults::weight::falsified(&model, 1, 0)
        .unwrap()
        .unwrap();
    let mut models = Models::new();
    assert!(matches!(
        models.add_as(&id, edited),
        Err(ExecutorError::Identity { expected, .. }) if expected == id
    ));
    models.add_as(&id, model).unwrap();
    assert_eq!(models.ids().collect::<Vec<_>>(), [&id]);
}

#[test]
fn runs_are_refused_for_models_and_leaves_that_are_not_there() {
    let (honest, id, inputs) = common::shipped("digits-small", 0);
    let other = gavel_trace::Digest([7; 32]);
    assert!(matches!(
        honest.run(&other, &inputs),
        Err(ExecutorError::UnknownModel { model_id }) if model_id == other
    ));
    let run = honest.run(&id, &inputs).unwrap();
    let beyond = run.trace.leaves().len() as u64;
    assert!(honest.fine(&run, beyond).is_err());
    assert!(honest.fine(&run, u64::MAX).is_err());
    assert!(honest.run(&id, &[]).is_err());
    // live tensors at a commit point are those before the next segment
    for leaf in 1..beyond {
        assert_eq!(
            honest.live_at(&run, leaf - 1).unwrap(),
            honest.live_before(&run, leaf).unwrap()
        );
    }
}
