//! Whole games between honest and dishonest parties.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod common;

use common::*;
use gavel_dispute::appeal::AppealOutcome;
use gavel_dispute::*;
use gavel_trace::*;
use proptest::prelude::*;

/// How a party misbehaves. All but the first two make moves that a court may refuse.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// As the rules say, on whatever run it has.
    ByTheRules,
    /// As the rules say, in the last second of its clock.
    LastSecond,
    /// Never moves.
    Idle,
    /// Rows (or picks from rows) of its own making.
    Garbage,
    /// Rows of half or double length, picks past the row's end.
    WrongLength,
    /// A child drawn at random.
    Random,
    /// A child that it knows to be right, if there is one.
    EqualChild,
    /// The rightmost child that differs.
    Rightmost,
    /// The last child: often padding.
    Last,
}
use Manner::*;

const PROVIDERS: [Manner; 5] = [ByTheRules, LastSecond, Idle, Garbage, WrongLength];
const CHALLENGERS: [Manner; 9] = [
    ByTheRules,
    LastSecond,
    Idle,
    Garbage,
    WrongLength,
    Random,
    EqualChild,
    Rightmost,
    Last,
];

/// What a party of that manner sends.
fn act(
    manner: Manner,
    view: &GameView,
    role: Role,
    knows: &Knows<'_>,
    now: u64,
    dice: u64,
) -> Option<Move> {
    let policy = Policy {
        appeal: false,
        isolate_direct: false,
    };
    let lawful = propose(view, role, knows, &policy, now);
    let child = |row: &[Digest], own: Vec<Digest>| match manner {
        Random => (dice % row.len() as u64) as u8,
        EqualChild => row.iter().zip(&own).position(|(a, b)| a == b).unwrap_or(0) as u8,
        Rightmost => row.iter().zip(&own).rposition(|(a, b)| a != b).unwrap_or(0) as u8,
        Last => row.len() as u8 - 1,
        WrongLength => row.len() as u8,
        _ => 0,
    };
    let spoil = |row: &[Digest]| match manner {
        WrongLength if dice.is_multiple_of(2) => row[..row.len() / 2].to_vec(),
        WrongLength => [row, row].concat(),
        Garbage => (0..row.len())
            .map(|i| Digest([dice as u8 ^ i as u8; 32]))
            .collect(),
        _ => row.to_vec(),
    };
    match (&view.phase, manner) {
        (_, ByTheRules | LastSecond) => lawful,
        (_, Idle) => None,
        (Phase::Pick { claim, row, .. }, _) => {
            let own = match claim.tree {
                Tree::Level1 => knows.own.level1.row(claim.height, claim.index),
                Tree::Ops => knows
                    .own
                    .fine(view.segment?.leaf_index)
                    .ops()
                    .row(claim.height, claim.index),
                Tree::Live => knows
                    .own
                    .fine(view.segment?.leaf_index)
                    .live()
                    .row(claim.height, claim.index),
            };
            let child = child(row, own.ok()?);
            let row = if manner == Garbage {
                spoil(row)
            } else {
                row.clone()
            };
            Some(Move::Pick { row, child })
        }
        (
            Phase::PickSegment {
                ops_row, live_row, ..
            },
            _,
        ) => {
            let live = dice.is_multiple_of(3);
            let own = knows.own.fine(view.segment?.leaf_index);
            let (row, own) = if live {
                (live_row, own.live_row().ok()?)
            } else {
                (ops_row, own.ops_row().ok()?)
            };
            let child = child(row, own);
            let ops_row = if manner == Garbage {
                spoil(ops_row)
            } else {
                ops_row.clone()
            };
            Some(Move::PickSegment {
                ops_row,
                live_row: live_row.clone(),
                live,
                child,
            })
        }
        _ => match lawful? {
            Move::RevealRow { node, row } => Some(Move::RevealRow {
                node,
                row: spoil(&row),
            }),
            Move::PostSegment(mut post) => {
                match dice % 3 {
                    0 => post.live_row = spoil(&post.live_row),
                    1 => post.previous_leaf = Digest([3; 32]),
                    _ => post.segment.op_count += 1,
                }
                Some(Move::PostSegment(post))
            }
            other => Some(other),
        },
    }
}

/// Plays until isolation or the end; returns the time.
fn play(
    court: &mut CourtModel,
    provider: (Manner, &Knows<'_>),
    challenger: (Manner, &Knows<'_>),
    mut dice: u64,
) -> u64 {
    let mut now = 0;
    let bound = max_game_seconds(&court.view().model, BUDGET, INCREMENT);
    while let Some((side, deadline)) = court.view().turn() {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let ((manner, knows), role, other, others) = match side {
            Side::Provider => (provider, Role::Provider, Role::Challenger, challenger.1),
            Side::Challenger => (challenger, Role::Challenger, Role::Provider, provider.1),
        };
        let at = if manner == LastSecond {
            deadline
        } else {
            (now + 10).min(deadline)
        };
        let sent = act(manner, court.view(), role, knows, at, dice >> 33);
        let taken = sent.as_ref().map(|sent| court.apply(role, sent, at));
        match taken {
            Some(Ok(())) => now = at,
            refused => {
                if manner == ByTheRules || manner == LastSecond {
                    assert!(
                        refused.is_none(),
                        "{role:?} was refused: {sent:?}: {refused:?}"
                    );
                }
                // Too early for anybody to claim, then not.
                assert_eq!(
                    court.apply(other, &Move::ClaimTimeout, deadline),
                    Err(Refused::TooEarly)
                );
                now = deadline + 1;
                if let Some(sent) = &sent {
                    assert!(
                        court.apply(role, sent, now).is_err(),
                        "moved after its clock ran out"
                    );
                }
                assert_eq!(honest(court.view(), role, knows, now), None, "conceded");
                let claim = honest(court.view(), other, others, now).unwrap();
                assert_eq!(claim, Move::ClaimTimeout);
                court.apply(other, &claim, now).unwrap();
            }
        }
        assert!(now <= bound + 1, "the game took {now} of {bound} seconds");
        assert!(court.moves() <= 2 * max_rounds(&court.view().model));
    }
    if court.view().is_over() {
        let after = Move::RevealRow {
            node: Digest::ZERO,
            row: vec![],
        };
        assert_eq!(court.apply(Role::Provider, &after, now), Err(Refused::Over));
    }
    now
}

/// The first place at which the provider is wrong, as the court isolated it.
fn assert_isolated(court: &CourtModel, (leaf, place): Error, provider: &Run<'_>) {
    match &court.view().phase {
        Phase::Isolated {
            place: found,
            claimed,
            ..
        } => {
            let segment = court.view().segment.unwrap();
            assert_eq!((segment.leaf_index, *found), (leaf, place));
            assert_eq!(provider.fine(leaf).digest_at(place), Ok(*claimed));
        }
        other => panic!("not isolated: {other:?}"),
    }
}

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

fn world() -> World {
    World::new(&[(5, 1), (70, 5), (3, 2)], 100, 4)
}

#[test]
fn an_operator_passed_over_is_found_by_the_referee() {
    let world = world();
    let lie = Run::new(&world, &[(4, FineIndex::Op(20))]);
    let truth = Run::new(&world, &[]);
    let (knows, liar) = (Knows::only(&truth), Knows::only(&lie));
    let mut court = CourtModel::open(world.setup(&lie), 0);
    // Leftmost at level 1, then a later operator of the right segment.
    let mut now = 0;
    while !matches!(court.view().phase, Phase::Isolated { .. }) {
        let (side, _) = court.view().turn().unwrap();
        let (role, knows, manner) = match side {
            Side::Provider => (Role::Provider, &liar, ByTheRules),
            Side::Challenger if court.view().segment.is_none() => {
                (Role::Challenger, &knows, ByTheRules)
            }
            Side::Challenger => (Role::Challenger, &knows, Rightmost),
        };
        let sent = act(manner, court.view(), role, knows, now, 1).unwrap();
        court.apply(role, &sent, now).unwrap();
        now += 1;
    }
    let Phase::Isolated {
        place: FineIndex::Op(at),
        ..
    } = court.view().phase
    else {
        panic!()
    };
    assert!(at > 20);
    let referee = Knows {
        own: &truth,
        provider: Some(&lie),
        signed: false,
    };
    court
        .apply(Role::Bystander, &Move::DrawReferee, now)
        .unwrap();
    let earlier = honest(court.view(), Role::Referee, &referee, now).unwrap();
    assert!(matches!(earlier, Move::RuleEarlier { index: 20, .. }));
    court.apply(Role::Referee, &earlier, now).unwrap();
    let Phase::Ruled {
        place: FineIndex::Op(20),
        claimed,
        ruled,
        earlier: true,
        ..
    } = court.view().phase
    else {
        panic!("{:?}", court.view().phase)
    };
    let there = |run: &Run<'_>| run.fine(4).digest_at(FineIndex::Op(20)).unwrap();
    assert_eq!((claimed, ruled), (there(&lie), there(&truth)));
    // The challenger had agreed to it: only the provider appeals, whose own run says that it is right.
    for (role, knows) in [(Role::Provider, &liar), (Role::Challenger, &knows)] {
        let sent = honest(court.view(), role, knows, now);
        assert_eq!(sent.is_some(), role == Role::Provider);
    }
    assert_eq!(judge(&mut court, &referee, now), Outcome::Upheld);
}

#[test]
fn a_lie_about_an_earlier_operator_leads_back_to_the_challengers_place() {
    let world = world();
    let lie = Run::new(&world, &[(4, FineIndex::Op(20))]);
    let truth = Run::new(&world, &[]);
    let (knows, liar) = (Knows::only(&truth), Knows::only(&lie));
    for outcome in [
        AppealOutcome::Cleared,
        AppealOutcome::Guilty,
        AppealOutcome::Void,
    ] {
        let mut court = CourtModel::open(world.setup(&lie), 0);
        let now = play(&mut court, (ByTheRules, &liar), (ByTheRules, &knows), 1);
        assert_eq!(court.end_appeal(outcome), Err(Refused::NotYours));
        let isolated = court.view().phase.clone();
        court
            .apply(Role::Bystander, &Move::DrawReferee, now)
            .unwrap();
        let fine = lie.fine(4);
        let at = FineIndex::Op(3);
        let earlier = Move::RuleEarlier {
            index: 3,
            provider_digest: fine.digest_at(at).unwrap(),
            own: Digest([3; 32]),
            opening: fine.open(at).unwrap(),
        };
        let equal = Move::RuleEarlier {
            index: 3,
            provider_digest: fine.digest_at(at).unwrap(),
            own: fine.digest_at(at).unwrap(),
            opening: fine.open(at).unwrap(),
        };
        let refused = court.apply(Role::Referee, &equal, now);
        assert_eq!(refused, Err(Refused::Range), "no ruling that it is right");
        court.apply(Role::Referee, &earlier, now).unwrap();
        let challenger = honest(court.view(), Role::Challenger, &knows, now);
        assert_eq!(challenger, None, "it had agreed");
        assert_eq!(
            honest(court.view(), Role::Provider, &liar, now),
            Some(Move::Appeal)
        );
        court.apply(Role::Provider, &Move::Appeal, now).unwrap();
        let claimed = fine.digest_at(at).unwrap();
        let appealed = Appealed {
            place: at,
            claimed,
            guilty: true,
            earlier: true,
        };
        assert_eq!(court.appealed(), Some(appealed));
        assert_eq!(
            court.apply(Role::Provider, &Move::Appeal, now),
            Err(Refused::Over)
        );
        court.end_appeal(outcome).unwrap();
        match outcome {
            AppealOutcome::Guilty => assert_eq!(court.view().phase, Phase::Closed(Outcome::Upheld)),
            AppealOutcome::Void => assert_eq!(court.view().phase, Phase::Closed(Outcome::Void)),
            AppealOutcome::Cleared => {
                assert_eq!(court.view().phase, isolated);
                // One such ruling is all that a dispute has.
                court
                    .apply(Role::Bystander, &Move::DrawReferee, now)
                    .unwrap();
                assert_eq!(
                    court.apply(Role::Referee, &earlier, now),
                    Err(Refused::Range)
                );
                let own = honest(court.view(), Role::Referee, &knows, now).unwrap();
                assert!(matches!(own, Move::Rule { .. }));
                assert_eq!(judge(&mut court, &knows, now), Outcome::Upheld);
            }
        }
    }
}

/// A referee that has no such ruling left rules on the place itself.
#[test]
fn an_earlier_divergence_is_not_proposed_where_none_is_left() {
    let world = world();
    let lie = Run::new(&world, &[(4, FineIndex::Op(20))]);
    let truth = Run::new(&world, &[]);
    let mut court = CourtModel::open(
        CourtSetup {
            max_earlier: 0,
            ..world.setup(&lie)
        },
        0,
    );
    let (knows, liar) = (Knows::only(&truth), Knows::only(&lie));
    let mut now = 0;
    while !matches!(court.view().phase, Phase::Isolated { .. }) {
        let (side, _) = court.view().turn().unwrap();
        let (role, knows, manner) = match side {
            Side::Provider => (Role::Provider, &liar, ByTheRules),
            Side::Challenger if court.view().segment.is_none() => {
                (Role::Challenger, &knows, ByTheRules)
            }
            Side::Challenger => (Role::Challenger, &knows, Rightmost),
        };
        let sent = act(manner, court.view(), role, knows, now, 1).unwrap();
        court.apply(role, &sent, now).unwrap();
        now += 1;
    }
    court
        .apply(Role::Bystander, &Move::DrawReferee, now)
        .unwrap();
    let referee = Knows {
        own: &truth,
        provider: Some(&lie),
        signed: false,
    };
    let ruling = honest(court.view(), Role::Referee, &referee, now).unwrap();
    assert!(matches!(ruling, Move::Rule { .. }), "{ruling:?}");
}

/// A friend of the cheat passes over the cheat's first wrong commit point and disputes a later operator. The referee's own
/// operators differ there from the first on, because what they read differs; pointing at one of them would void the dispute.
#[test]
fn a_referee_that_entered_the_segment_otherwise_points_at_nothing_in_it() {
    let world = world();
    let cheat = Run::new(&world, &[(1, FineIndex::Op(0))]);
    let friend = Run::new(&world, &[(1, FineIndex::Op(0)), (4, FineIndex::Op(20))]);
    let truth = Run::new(&world, &[]);
    let mut court = CourtModel::open(world.setup(&cheat), 0);
    let (theirs, own) = (Knows::only(&cheat), Knows::only(&friend));
    let mut now = 0;
    while !matches!(court.view().phase, Phase::Isolated { .. }) {
        let (side, _) = court.view().turn().unwrap();
        let (role, knows) = match side {
            Side::Provider => (Role::Provider, &theirs),
            Side::Challenger => (Role::Challenger, &own),
        };
        let sent = act(ByTheRules, court.view(), role, knows, now, 1).unwrap();
        court.apply(role, &sent, now).unwrap();
        now += 1;
    }
    assert_isolated(&court, (4, FineIndex::Op(20)), &cheat);
    court
        .apply(Role::Bystander, &Move::DrawReferee, now)
        .unwrap();
    let referee = Knows {
        own: &truth,
        provider: Some(&cheat),
        signed: false,
    };
    let ruling = honest(court.view(), Role::Referee, &referee, now).unwrap();
    assert!(matches!(ruling, Move::Rule { .. }), "{ruling:?}");
}

/// A referee that was handed the provider's tensors and computes one operator on them.
struct Fetches<'a>(Knows<'a>);

impl Knowledge for Fetches<'_> {
    fn level1(&self) -> Option<&MerkleTree> {
        self.0.level1()
    }
    fn fine_trace(&self, leaf_index: u64) -> Option<FineTrace> {
        self.0.fine_trace(leaf_index)
    }
    fn segment(&self, index: u32) -> Option<(SegmentEntry, Opening)> {
        self.0.segment(index)
    }
    fn output_on_committed_inputs(
        &self,
        segment: &SegmentFacts,
        place: FineIndex,
    ) -> Option<Digest> {
        // The provider is right on its own inputs past its one error.
        self.0
            .provider?
            .fine(segment.leaf_index)
            .digest_at(place)
            .ok()
    }
}

#[test]
fn a_referee_rules_on_the_committed_inputs() {
    // A friendly challenger isolates an operator after the error, right on the inputs it was given.
    let world = world();
    let (truth, lie) = (
        Run::new(&world, &[]),
        Run::new(&world, &[(1, FineIndex::Op(3))]),
    );
    let (knows, liar) = (Knows::only(&truth), Knows::only(&lie));
    let mut court = CourtModel::open(world.setup(&lie), 0);
    let now = play(&mut court, (ByTheRules, &liar), (Rightmost, &knows), 1);
    assert_ne!(court.view().segment.unwrap().leaf_index, 1);
    let referee = Fetches(Knows {
        own: &truth,
        provider: Some(&lie),
        signed: false,
    });
    court
        .apply(Role::Bystander, &Move::DrawReferee, now)
        .unwrap();
    let Phase::Refereed { claimed, .. } = court.view().phase else {
        panic!()
    };
    let ruling = propose(
        court.view(),
        Role::Referee,
        &referee,
        &Policy::default(),
        now,
    );
    if let Some(Move::Rule { own, .. }) = ruling {
        assert_eq!(
            own, claimed,
            "no appeal can overturn it; the other challenges run their course"
        );
    } else {
        panic!("no ruling: {ruling:?}");
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
fn a_lying_referee_is_appealed_by_whoever_it_wronged() {
    let world = world();
    let truth = Run::new(&world, &[]);
    let wrong = Run::new(&world, &[(2, FineIndex::Op(1))]);
    for (committed, challenger, loser) in [
        (&truth, &wrong, Role::Provider),
        (&wrong, &truth, Role::Challenger),
    ] {
        let (theirs, own) = (Knows::only(committed), Knows::only(challenger));
        let mut court = CourtModel::open(world.setup(committed), 0);
        let now = play(&mut court, (ByTheRules, &theirs), (ByTheRules, &own), 1);
        court
            .apply(Role::Bystander, &Move::DrawReferee, now)
            .unwrap();
        let Phase::Refereed {
            claimed, deadline, ..
        } = court.view().phase
        else {
            panic!()
        };
        // It convicts the innocent and clears the guilty.
        let own_digest = if loser == Role::Provider {
            Digest([6; 32])
        } else {
            claimed
        };
        let lie = Move::Rule {
            claimed,
            own: own_digest,
        };
        assert_eq!(
            court.apply(Role::Bystander, &lie, now),
            Err(Refused::NotYours)
        );
        assert_eq!(
            court.apply(Role::Referee, &lie, deadline + 1),
            Err(Refused::TooLate)
        );
        court.apply(Role::Referee, &lie, now).unwrap();
        let (winner, knows) = match loser {
            Role::Provider => (Role::Challenger, &theirs),
            _ => (Role::Provider, &own),
        };
        assert_eq!(
            honest(court.view(), winner, &Knows::only(&truth), now),
            None
        );
        assert_eq!(honest(court.view(), loser, knows, now), Some(Move::Appeal));
        assert_eq!(
            court.apply(winner, &Move::Appeal, now),
            Err(Refused::NotYours)
        );
        court.apply(loser, &Move::Appeal, now).unwrap();
        assert_eq!(court.view().phase, Phase::Appealed);
        for role in [Role::Provider, Role::Challenger, Role::Bystander] {
            assert_eq!(honest(court.view(), role, knows, now), None);
        }
        let (outcome, end) = match loser {
            Role::Provider => (AppealOutcome::Cleared, Outcome::Cleared),
            _ => (AppealOutcome::Guilty, Outcome::Upheld),
        };
        court.end_appeal(outcome).unwrap();
        assert_eq!(court.view().phase, Phase::Closed(end));
    }
}

#[test]
fn a_silent_referee_is_replaced() {
    let world = world();
    let (truth, lie) = (
        Run::new(&world, &[]),
        Run::new(&world, &[(0, FineIndex::Op(0))]),
    );
    let (knows, liar) = (Knows::only(&truth), Knows::only(&lie));
    let mut court = CourtModel::open(world.setup(&lie), 0);
    let now = play(&mut court, (ByTheRules, &liar), (ByTheRules, &knows), 1);
    court
        .apply(Role::Bystander, &Move::DrawReferee, now)
        .unwrap();
    let Phase::Refereed { deadline, .. } = court.view().phase else {
        panic!()
    };
    assert_eq!(
        honest(court.view(), Role::Bystander, &knows, deadline),
        None
    );
    assert_eq!(
        honest(court.view(), Role::Referee, &knows, deadline + 1),
        None
    );
    let replace = honest(court.view(), Role::Bystander, &knows, deadline + 1).unwrap();
    assert_eq!(replace, Move::RefereeTimeout);
    court
        .apply(Role::Bystander, &replace, deadline + 1)
        .unwrap();
    assert_eq!(judge(&mut court, &knows, deadline + 2), Outcome::Upheld);
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
