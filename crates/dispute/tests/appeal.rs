//! Whole appeals between honest and dishonest players, over operators of every kind.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod appeal_common;

use appeal_common::operators::{Dice, KINDS, operator};
use appeal_common::players::*;
use appeal_common::*;
use gavel_dispute::appeal::*;
use gavel_trace::*;
use proptest::prelude::*;

/// A world where `lie` is claimed of an operator's output.
fn lying(kind: u16, seed: u64, lie: u64, around: Around) -> Option<(World, Lie)> {
    let (op, inputs) = operator(kind, seed);
    let mut found = None;
    let world = World::new(around, &op, inputs, |truth| {
        found = Lie::make(lie, truth, &mut Dice(seed ^ 77));
        found.as_ref().map_or(Digest::ZERO, Lie::digest)
    });
    found.map(|lie| (world, lie))
}

fn truthful(kind: u16, seed: u64, around: Around) -> World {
    let (op, inputs) = operator(kind, seed);
    World::new(around, &op, inputs, digest_of)
}

fn arounds() -> impl Strategy<Value = Around> {
    prop_oneof![
        Just(SMALL),
        // the first segment: live inputs are the graph's
        Just(Around {
            leaf_index: 0,
            ..SMALL
        }),
        // a later step, and its first segment: live inputs are what the step before gave
        Just(Around {
            leaf_index: 5,
            ..SMALL
        }),
        Just(Around {
            leaf_index: 3,
            ..SMALL
        }),
    ]
}

fn states() -> impl Strategy<Value = States> {
    prop::sample::select(vec![States::True, States::Garbage, States::Forged])
}

fn counts() -> impl Strategy<Value = Count> {
    prop::sample::select(vec![Count::True, Count::Few, Count::Many, Count::Most])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn an_honest_accuser_beats_every_lie(
        kind in KINDS, seed: u64, lie in 0..LIES, around in arounds(), states in states(), count in counts(),
        patience in prop_oneof![3 => Just(100u32), 1 => 0u32..6], reckless: bool, late: bool,
    ) {
        let Some((world, lie)) = lying(kind, seed, lie, around) else {
            return Ok(());
        };
        let mut honest = Honest { case: world.case(&world.truth), late };
        let dice = &mut Dice(seed ^ 5);
        let mut liar = Liar {
            world: &world, lie: &lie, states, count, patience, reckless, late: seed % 3 == 0, dice: Dice(seed ^ 9), cut: None,
        };
        let mut model = AppealModel::open(world.setup(Some(true)), 0);
        let played = play(&mut model, &mut liar, &mut honest, &mut Silent, dice);
        prop_assert_eq!(played.outcome, AppealOutcome::Guilty);
        prop_assert!(!played.replayed, "nothing contradicts the ruling");
    }

    #[test]
    fn an_honest_defender_beats_every_accuser(
        kind in KINDS, seed: u64, around in arounds(), last: bool,
        patience in prop_oneof![3 => Just(100u32), 1 => 0u32..6], late: bool,
    ) {
        let world = truthful(kind, seed, around);
        let mut honest = Honest { case: world.case(&world.truth), late };
        let dice = &mut Dice(seed ^ 5);
        let mut slanderer = Slanderer { world: &world, last, patience, late: seed % 3 == 0, dice: Dice(seed ^ 9) };
        let mut model = AppealModel::open(world.setup(None), 0);
        let played = play(&mut model, &mut honest, &mut slanderer, &mut Silent, dice);
        prop_assert_eq!(played.outcome, AppealOutcome::Cleared);
    }

    /// A friend of the cheat accuses badly; the referee that ruled rightly plays the game again, and wins.
    #[test]
    fn a_referee_is_not_overturned_by_a_bad_accuser(
        kind in KINDS, seed: u64, lie in 0..LIES, states in states(), count in counts(), patience in 0u32..4,
    ) {
        let Some((world, lie)) = lying(kind, seed, lie, SMALL) else {
            return Ok(());
        };
        let mut liar = Liar {
            world: &world, lie: &lie, states, count, patience: 200, reckless: false, late: seed % 3 == 0, dice: Dice(seed ^ 9), cut: None,
        };
        let mut friend = Slanderer { world: &world, last: false, patience, late: seed % 3 == 0, dice: Dice(seed ^ 3) };
        let mut referee = Honest::new(world.case(&world.truth));
        let dice = &mut Dice(seed ^ 5);
        let mut model = AppealModel::open(world.setup(Some(true)), 0);
        let played = play(&mut model, &mut liar, &mut friend, &mut referee, dice);
        prop_assert_eq!(played.outcome, AppealOutcome::Guilty);
    }

    /// A provider that was right defends badly; the referee that cleared it plays the game again, and wins.
    #[test]
    fn a_referee_is_not_overturned_by_a_bad_defender(kind in KINDS, seed: u64, patience in 0u32..4, last: bool) {
        let world = truthful(kind, seed, SMALL);
        let truth = Lie::of(&world.truth);
        let mut idle = Liar {
            world: &world, lie: &truth, states: States::True, count: Count::True, patience, reckless: false,
            late: seed % 3 == 0,
            dice: Dice(seed ^ 9), cut: None,
        };
        let mut accuser = Slanderer { world: &world, last, patience: 100, late: seed % 3 == 0, dice: Dice(seed ^ 3) };
        let mut referee = Honest::new(world.case(&world.truth));
        let dice = &mut Dice(seed ^ 5);
        let mut model = AppealModel::open(world.setup(Some(false)), 0);
        let played = play(&mut model, &mut idle, &mut accuser, &mut referee, dice);
        prop_assert_eq!(played.outcome, AppealOutcome::Cleared);
    }

    /// A referee that ruled wrongly plays again and loses again, either way.
    #[test]
    fn a_lying_referee_loses_twice(kind in KINDS, seed: u64, lie in 0..LIES, states in states(), count in counts()) {
        let dice = &mut Dice(seed ^ 5);
        if let Some((world, lie)) = lying(kind, seed, lie, SMALL) {
            let liar = |salt: u64| Liar {
                world: &world, lie: &lie, states, count, patience: 100, reckless: true, late: seed % 3 == 0, dice: Dice(seed ^ salt), cut: None,
            };
            let mut honest = Honest::new(world.case(&world.truth));
            let mut model = AppealModel::open(world.setup(Some(false)), 0);
            let played = play(&mut model, &mut liar(1), &mut honest, &mut liar(2), dice);
            prop_assert_eq!((played.outcome, played.replayed), (AppealOutcome::Guilty, true));
        }
        let world = truthful(kind, seed, SMALL);
        let slanderer = |salt: u64| Slanderer { world: &world, last: false, patience: 100, late: seed % 3 == 0, dice: Dice(seed ^ salt) };
        let mut honest = Honest::new(world.case(&world.truth));
        let mut model = AppealModel::open(world.setup(Some(true)), 0);
        let played = play(&mut model, &mut honest, &mut slanderer(1), &mut slanderer(2), dice);
        prop_assert_eq!((played.outcome, played.replayed), (AppealOutcome::Cleared, !world.truth.is_empty() || played.replayed));
    }
}

/// Nobody is saved by a second game where the accuser was the referee already.
#[test]
fn an_accusing_referee_has_one_game() {
    let world = truthful(3, 1, SMALL);
    let mut honest = Honest::new(world.case(&world.truth));
    let setup = AppealSetup {
        referee_accuses: true,
        ..world.setup(Some(true))
    };
    let mut model = AppealModel::open(setup, 0);
    let played = play(
        &mut model,
        &mut honest,
        &mut Silent,
        &mut Silent,
        &mut Dice(1),
    );
    assert_eq!(
        (played.outcome, played.replayed),
        (AppealOutcome::Cleared, false)
    );
}

#[test]
fn what_the_levels_cannot_judge_is_void() {
    let world = truthful(3, 1, SMALL);
    let other = ModelHeader {
        numerics_version: 2,
        ..world.header
    };
    let setup = AppealSetup {
        header: other,
        ..world.setup(None)
    };
    let model = AppealModel::open(setup, 0);
    assert_eq!(model.view().phase, AppealPhase::Ended(AppealOutcome::Void));
}
