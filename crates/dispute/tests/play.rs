//! Whole games between honest and dishonest parties.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod common;

use common::players::Manner::*;
use common::players::*;
use common::*;
use gavel_dispute::*;
use gavel_trace::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn an_honest_challenger_isolates_the_first_wrong_operator(
        world in worlds(), at: [u64; 3], inside: [u64; 3], count in 1usize..=3, late: bool,
    ) {
        let errors: Vec<Error> = (0..count).map(|i| place(&world, at[i], inside[i])).collect();
        let (truth, lie) = (Run::new(&world, &[]), Run::new(&world, &errors));
        let (honest_knows, liar) = (Knows::only(&truth), Knows::only(&lie));
        let mut court = CourtModel::open(world.setup(&lie), 0);
        let manner = if late { LastSecond } else { ByTheRules };
        let now = play(&mut court, (manner, &liar), (ByTheRules, &honest_knows), at[0]);
        assert_isolated(&court, lie.first_error(), &lie);
        let referee = Knows { own: &truth, provider: Some(&lie), signed: false };
        prop_assert_eq!(judge(&mut court, &referee, now), Outcome::Upheld);
    }

    #[test]
    fn one_signed_move_isolates_the_same_operator(world in worlds(), at: u64, inside: u64) {
        prop_assume!(world.model.trace_height > 0);
        let error = place(&world, at, inside);
        let (truth, lie) = (Run::new(&world, &[]), Run::new(&world, &[error]));
        let knows = Knows { own: &truth, provider: Some(&lie), signed: true };
        let mut court = CourtModel::open(world.setup(&lie), 0);
        let direct = honest(court.view(), Role::Challenger, &knows, 5).unwrap();
        prop_assert!(matches!(direct, Move::IsolateDirect(_)));
        court.apply(Role::Challenger, &direct, 5).unwrap();
        assert_isolated(&court, error, &lie);
        prop_assert_eq!(court.moves(), 1);
        prop_assert_eq!(judge(&mut court, &knows, 6), Outcome::Upheld);
    }

    #[test]
    fn no_manner_of_lying_beats_an_honest_challenger(
        world in worlds(), at: u64, inside: u64, manner in prop::sample::select(&PROVIDERS[..]), dice: u64,
    ) {
        let (truth, lie) = (Run::new(&world, &[]), Run::new(&world, &[place(&world, at, inside)]));
        let (honest_knows, liar) = (Knows::only(&truth), Knows::only(&lie));
        let mut court = CourtModel::open(world.setup(&lie), 0);
        let now = play(&mut court, (manner, &liar), (ByTheRules, &honest_knows), dice);
        prop_assert_eq!(judge(&mut court, &honest_knows, now), Outcome::Upheld);
    }

    #[test]
    fn an_honest_provider_never_loses(
        world in worlds(), at: u64, inside: u64, manner in prop::sample::select(&CHALLENGERS[..]), dice: u64,
        late: bool,
    ) {
        // The challenger's own run is wrong, which is why it (or its lawful moves) disagrees.
        let (truth, wrong) = (Run::new(&world, &[]), Run::new(&world, &[place(&world, at, inside)]));
        let (honest_knows, challenger) = (Knows::only(&truth), Knows::only(&wrong));
        let mut court = CourtModel::open(world.setup(&truth), 0);
        let own = if late { LastSecond } else { ByTheRules };
        let now = play(&mut court, (own, &honest_knows), (manner, &challenger), dice);
        prop_assert_eq!(judge(&mut court, &honest_knows, now), Outcome::Cleared);
    }

    #[test]
    fn a_friend_who_picks_badly_does_not_hide_the_error(
        world in worlds(), at: u64, inside: u64, dice: u64,
        manner in prop::sample::select(vec![Rightmost, Random, Last, EqualChild]),
    ) {
        let (truth, lie) = (Run::new(&world, &[]), Run::new(&world, &[place(&world, at, inside)]));
        let (honest_knows, liar) = (Knows::only(&truth), Knows::only(&lie));
        let mut court = CourtModel::open(world.setup(&lie), 0);
        let now = play(&mut court, (ByTheRules, &liar), (manner, &honest_knows), dice);
        let referee = Knows { own: &truth, provider: Some(&lie), signed: false };
        let (leaf, first) = lie.first_error();
        let isolated = match (&court.view().phase, court.view().segment) {
            (Phase::Isolated { place, .. }, Some(segment)) if segment.leaf_index == leaf => Some(*place),
            _ => None,
        };
        let outcome = judge(&mut court, &referee, now);
        // In the right segment the referee finds the error that was passed over; a place before it
        // is right, and clearing it closes this dispute only.
        if let (Some(FineIndex::Op(at)), FineIndex::Op(first)) = (isolated, first) {
            let expected = if at >= first { Outcome::Upheld } else { Outcome::Cleared };
            prop_assert_eq!(outcome, expected);
        }
        // An honest challenger's own game against the same result still wins.
        let mut fair = CourtModel::open(world.setup(&lie), 0);
        let now = play(&mut fair, (ByTheRules, &liar), (ByTheRules, &honest_knows), dice);
        prop_assert_eq!(judge(&mut fair, &honest_knows, now), Outcome::Upheld);
    }
}

#[test]
fn garbage_in_the_padding_convicts_at_once() {
    let world = world();
    let truth = Run::new(&world, &[]);
    let knows = Knows::only(&truth);
    // Past the last live slot of a segment, and past the last step.
    let slot = Run::new(&world, &[(7, FineIndex::Live(7))]);
    let mut late = Run::new(&world, &[]);
    let mut leaves = late.level1.leaves().to_vec();
    leaves.resize(200, Digest::ZERO);
    leaves.push(Digest([1; 32]));
    late.level1 = MerkleTree::new(world.model.trace_height, leaves).unwrap();
    for lie in [slot, late] {
        let mut court = CourtModel::open(world.setup(&lie), 0);
        play(
            &mut court,
            (ByTheRules, &Knows::only(&lie)),
            (ByTheRules, &knows),
            3,
        );
        assert_eq!(court.view().phase, Phase::Closed(Outcome::Upheld));
    }
}

#[test]
fn honest_operators_with_a_false_leaf_isolate_the_live_slot() {
    // The provider answers with the right operators under a leaf that is not made of them.
    let world = world();
    let (truth, lie) = (
        Run::new(&world, &[]),
        Run::new(&world, &[(1, FineIndex::Op(3))]),
    );
    let (knows, liar) = (Knows::only(&truth), Knows::only(&lie));
    let mut court = CourtModel::open(world.setup(&lie), 0);
    let mut now = 0;
    while !matches!(court.view().phase, Phase::Isolated { .. }) {
        let (side, _) = court.view().turn().unwrap();
        let (role, player) = match side {
            Side::Provider => (Role::Provider, &liar),
            Side::Challenger => (Role::Challenger, &knows),
        };
        let mut sent = act(ByTheRules, court.view(), role, player, now, 0).unwrap();
        if let Move::PostSegment(post) = &mut sent {
            post.ops_row = truth.fine(1).ops_row().unwrap();
        }
        court.apply(role, &sent, now).unwrap();
        now += 1;
    }
    assert!(matches!(
        court.view().phase,
        Phase::Isolated {
            place: FineIndex::Live(0),
            ..
        }
    ));
    assert_eq!(judge(&mut court, &knows, now), Outcome::Upheld);
}

#[test]
fn rounds_are_bounded_by_the_heights() {
    let rounds = |trace_height, ops_height, live_height| {
        max_rounds(&ModelHeader {
            trace_height,
            ops_height,
            live_height,
            ..world().model
        })
    };
    assert_eq!(rounds(0, 0, 0), 1);
    assert_eq!(
        rounds(12, 0, 0),
        4,
        "one level of 4,096 leaves in three rounds"
    );
    assert_eq!(rounds(12, 12, 4), 6);
    assert_eq!(rounds(13, 4, 5), 6);
}
