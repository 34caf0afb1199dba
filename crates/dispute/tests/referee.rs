//! What a referee rules, and what becomes of it.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod common;

use common::players::Manner::*;
use common::players::*;
use common::*;
use gavel_dispute::appeal::AppealOutcome;
use gavel_dispute::*;
use gavel_trace::*;

/// Plays to an isolated place: leftmost at level 1, then a later operator of the right segment.
fn pass_over(court: &mut CourtModel, liar: &Knows<'_>, knows: &Knows<'_>) -> u64 {
    let mut now = 0;
    while !matches!(court.view().phase, Phase::Isolated { .. }) {
        let (side, _) = court.view().turn().unwrap();
        let (role, knows, manner) = match side {
            Side::Provider => (Role::Provider, liar, ByTheRules),
            Side::Challenger if court.view().segment.is_none() => {
                (Role::Challenger, knows, ByTheRules)
            }
            Side::Challenger => (Role::Challenger, knows, Rightmost),
        };
        let sent = act(manner, court.view(), role, knows, now, 1).unwrap();
        court.apply(role, &sent, now).unwrap();
        now += 1;
    }
    now
}

#[test]
fn an_operator_passed_over_is_found_by_the_referee() {
    let world = world();
    let lie = Run::new(&world, &[(4, FineIndex::Op(20))]);
    let truth = Run::new(&world, &[]);
    let (knows, liar) = (Knows::only(&truth), Knows::only(&lie));
    let mut court = CourtModel::open(world.setup(&lie), 0);
    let now = pass_over(&mut court, &liar, &knows);
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
    let now = pass_over(&mut court, &liar, &knows);
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
/// operators differ there from the first on, because what they read differs; a ruling about one of them would be overturned.
#[test]
fn a_referee_that_entered_the_segment_otherwise_points_at_nothing_in_it() {
    let world = world();
    let cheat = Run::new(&world, &[(1, FineIndex::Op(0))]);
    let friend = Run::new(&world, &[(1, FineIndex::Op(0)), (4, FineIndex::Op(20))]);
    let truth = Run::new(&world, &[]);
    let mut court = CourtModel::open(world.setup(&cheat), 0);
    let (theirs, own) = (Knows::only(&cheat), Knows::only(&friend));
    let now = play(&mut court, (ByTheRules, &theirs), (ByTheRules, &own), 1);
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
