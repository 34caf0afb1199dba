//! Every rule refuses the move that it was written against, and none is there for show.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod common;

use common::*;
use gavel_dispute::*;
use gavel_trace::*;
use std::collections::BTreeSet;

fn broken(
    view: &GameView,
    role: Role,
    proposed: &Move,
    knows: &dyn Knowledge,
    now: u64,
) -> BTreeSet<&'static str> {
    let situation = Situation {
        view,
        role,
        proposed,
        knowledge: knows,
        now,
    };
    broken_rules(&situation)
        .into_iter()
        .map(|rule| rule.id)
        .collect()
}

/// Views of one game in every phase, by the rules, with the honest move in each.
struct Game<'a> {
    knows: Knows<'a>,
    liar: Knows<'a>,
    at: Vec<(GameView, Role, Move)>,
}

fn record<'a>(truth: &'a Run<'a>, lie: &'a Run<'a>) -> Game<'a> {
    let knows = Knows {
        own: truth,
        provider: Some(lie),
        signed: false,
    };
    let liar = Knows::only(lie);
    let mut court = CourtModel::open(truth.world.setup(lie), 0);
    let mut at = Vec::new();
    let mut now = 0;
    while !court.view().is_over() {
        let (role, player) = match (&court.view().phase, court.view().turn()) {
            (_, Some((Side::Provider, _))) => (Role::Provider, &liar),
            (_, Some((Side::Challenger, _))) => (Role::Challenger, &knows),
            (Phase::Refereed { .. }, _) => (Role::Referee, &knows),
            (
                Phase::Ruled {
                    appeal_deadline, ..
                },
                _,
            ) => {
                now = appeal_deadline + 1;
                (Role::Bystander, &knows)
            }
            _ => (Role::Bystander, &knows),
        };
        let proposed = honest(court.view(), role, player, now).unwrap();
        at.push((court.view().clone(), role, proposed.clone()));
        court.apply(role, &proposed, now).unwrap();
    }
    at.push((court.view().clone(), Role::Bystander, Move::CloseMoot));
    Game { knows, liar, at }
}

impl Game<'_> {
    fn when(&self, what: impl Fn(&Phase) -> bool) -> (GameView, Move) {
        let (view, _, proposed) = self.at.iter().find(|(view, ..)| what(&view.phase)).unwrap();
        (view.clone(), proposed.clone())
    }
}

fn world() -> World {
    World::new(&[(5, 1), (70, 5), (3, 2)], 100, 4)
}

#[test]
fn each_rule_has_a_move_that_only_it_can_stop() {
    let world = world();
    let truth = Run::new(&world, &[]);
    let lie = Run::new(&world, &[(4, FineIndex::Op(20))]);
    let game = record(&truth, &lie);
    let (knows, liar) = (&game.knows, &game.liar);
    let mut seen = BTreeSet::new();
    let mut expect = |id: &'static str,
                      view: &GameView,
                      role: Role,
                      proposed: &Move,
                      player: &dyn Knowledge,
                      now: u64| {
        let found = broken(view, role, proposed, player, now);
        assert!(
            found.contains(id),
            "{id} let {proposed:?} pass; broken: {found:?}"
        );
        seen.insert(id);
    };

    let (reveal, row) = game.when(|p| matches!(p, Phase::Reveal { .. }));
    expect("in-turn", &reveal, Role::Challenger, &row, knows, 1);
    expect("in-turn", &reveal, Role::Bystander, &row, liar, 1);
    expect("in-time", &reveal, Role::Provider, &row, liar, 100_000);
    expect(
        "timeout-is-late",
        &reveal,
        Role::Challenger,
        &Move::ClaimTimeout,
        knows,
        1,
    );
    expect(
        "timeout-is-late",
        &reveal,
        Role::Provider,
        &Move::ClaimTimeout,
        liar,
        100_000,
    );
    expect(
        "timeout-is-late",
        &reveal,
        Role::Bystander,
        &Move::RefereeTimeout,
        knows,
        100_000,
    );
    let moot = GameView {
        moot: true,
        ..reveal.clone()
    };
    expect("moot-is-closed", &moot, Role::Provider, &row, liar, 1);
    expect(
        "moot-is-closed",
        &reveal,
        Role::Provider,
        &Move::CloseMoot,
        liar,
        1,
    );
    if let Move::RevealRow { node, row } = &row {
        let short = Move::RevealRow {
            node: *node,
            row: row[..8].to_vec(),
        };
        expect("reveal-folds", &reveal, Role::Provider, &short, liar, 1);
        let other = Move::RevealRow {
            node: Digest::ZERO,
            row: row.clone(),
        };
        expect("reveal-folds", &reveal, Role::Provider, &other, liar, 1);
        let own = Move::RevealRow {
            node: *node,
            row: truth.level1.row(truth.level1.height(), 0).unwrap(),
        };
        expect("reveal-folds", &reveal, Role::Provider, &own, knows, 1);
    }

    let (pick, lawful) = game.when(|p| matches!(p, Phase::Pick { .. }));
    if let (Move::Pick { row, child }, Phase::Pick { claim, .. }) = (&lawful, &pick.phase) {
        let at = |child| Move::Pick {
            row: row.clone(),
            child,
        };
        let own = truth.level1.row(claim.height, claim.index).unwrap();
        let equal = (0..16).find(|i| own[*i] == row[*i]).unwrap() as u8;
        expect(
            "never-an-equal-child",
            &pick,
            Role::Challenger,
            &at(equal),
            knows,
            1,
        );
        expect(
            "leftmost-only",
            &pick,
            Role::Challenger,
            &at(equal),
            knows,
            1,
        );
        expect(
            "never-empty-padding",
            &pick,
            Role::Challenger,
            &at(15),
            knows,
            1,
        );
        expect(
            "pick-answers-the-row",
            &pick,
            Role::Challenger,
            &at(16),
            knows,
            1,
        );
        let mut other = row.clone();
        other[usize::from(*child)] = Digest::ZERO;
        let other = Move::Pick {
            row: other,
            child: *child,
        };
        expect(
            "pick-answers-the-row",
            &pick,
            Role::Challenger,
            &other,
            knows,
            1,
        );
    }

    let (wanted, lawful) = game.when(|p| matches!(p, Phase::SegmentWanted { .. }));
    if let Move::PostSegment(post) = &lawful {
        let changes: [fn(&mut PostSegment); 8] = [
            |p| p.leaf = Digest::ZERO,
            |p| p.previous_leaf = Digest::ZERO,
            |p| p.previous_opening = None,
            |p| p.previous_opening.as_mut().unwrap().index += 1,
            |p| p.segment.op_count += 1,
            |p| p.segment_opening.index = 0,
            |p| p.live_row.swap(0, 1),
            |p| p.ops_row.truncate(8),
        ];
        for change in changes {
            let mut post = post.clone();
            change(&mut post);
            let post = Move::PostSegment(post);
            expect("segment-binds", &wanted, Role::Provider, &post, liar, 1);
        }
    }

    let (segment, lawful) = game.when(|p| matches!(p, Phase::PickSegment { .. }));
    if let Move::PickSegment {
        ops_row,
        live_row,
        live: false,
        child,
    } = &lawful
    {
        let with = |live, child| {
            let (ops_row, live_row) = (ops_row.clone(), live_row.clone());
            Move::PickSegment {
                ops_row,
                live_row,
                live,
                child,
            }
        };
        expect(
            "operators-first",
            &segment,
            Role::Challenger,
            &with(true, 0),
            knows,
            1,
        );
        expect(
            "leftmost-only",
            &segment,
            Role::Challenger,
            &with(false, child + 1),
            knows,
            1,
        );
        // A challenger whose own run left the committed one before this segment.
        let astray = Run::new(&world, &[(2, FineIndex::Op(0))]);
        expect(
            "agreed-inputs",
            &segment,
            Role::Challenger,
            &lawful,
            &Knows::only(&astray),
            1,
        );
    }

    let signed = Knows {
        own: &truth,
        provider: Some(&lie),
        signed: true,
    };
    let direct = honest(&reveal, Role::Challenger, &signed, 1).unwrap();
    let (deeper, _) = game.when(|p| matches!(p, Phase::Reveal { claim, .. } if claim.height < 9));
    expect("in-turn", &deeper, Role::Challenger, &direct, &signed, 1);
    if let Move::IsolateDirect(direct) = &direct {
        let changes: [fn(&mut IsolateDirect); 8] = [
            |d| d.leaf = Digest::ZERO,
            |d| d.leaf_index += 1,
            |d| d.previous_opening = None,
            |d| d.segment.first_node += 1,
            |d| d.ops_root = Digest::ZERO,
            |d| d.place = FineIndex::Op(0),
            |d| d.claimed = Digest::ZERO,
            |d| d.claimed_opening.index += 1,
        ];
        for change in changes {
            let mut direct = direct.clone();
            change(&mut direct);
            let direct = Move::IsolateDirect(direct);
            expect(
                "direct-is-opened",
                &reveal,
                Role::Challenger,
                &direct,
                &signed,
                1,
            );
        }
        // Rightly opened, but at a place where the provider is right.
        let fine = lie.fine(4);
        let mut early = direct.clone();
        early.place = FineIndex::Op(3);
        early.claimed = fine.digest_at(early.place).unwrap();
        early.claimed_opening = fine.open(early.place).unwrap();
        let early = Move::IsolateDirect(early);
        expect(
            "direct-is-opened",
            &reveal,
            Role::Challenger,
            &early,
            &signed,
            1,
        );
        // Rightly opened, and wrong, but not the first wrong place.
        let mut later = direct.clone();
        later.place = FineIndex::Op(40);
        later.claimed = fine.digest_at(later.place).unwrap();
        later.claimed_opening = fine.open(later.place).unwrap();
        let later = Move::IsolateDirect(later);
        expect(
            "direct-is-first",
            &reveal,
            Role::Challenger,
            &later,
            &signed,
            1,
        );
    }

    let (isolated, _) = game.when(|p| matches!(p, Phase::Isolated { .. }));
    let mut early = isolated.clone();
    if let Phase::Isolated { beacon_ready, .. } = &mut early.phase {
        *beacon_ready = false;
    }
    expect(
        "draw-when-due",
        &early,
        Role::Bystander,
        &Move::DrawReferee,
        knows,
        1,
    );
    assert_eq!(honest(&early, Role::Bystander, knows, 1), None);

    let (refereed, lawful) = game.when(|p| matches!(p, Phase::Refereed { .. }));
    expect(
        "ruling-is-computed",
        &refereed,
        Role::Provider,
        &lawful,
        knows,
        1,
    );
    expect("in-time", &refereed, Role::Referee, &lawful, knows, 100_000);
    if let Move::Rule { claimed, own } = lawful {
        let wrong = Move::Rule {
            claimed,
            own: claimed,
        };
        expect(
            "ruling-is-computed",
            &refereed,
            Role::Referee,
            &wrong,
            knows,
            1,
        );
        let other = Move::Rule { claimed: own, own };
        expect(
            "ruling-is-computed",
            &refereed,
            Role::Referee,
            &other,
            knows,
            1,
        );
    }
    // The challenger passed over the first error: the referee's ruling on it breaks nothing, but for what is changed.
    let mut passed = refereed.clone();
    if let Phase::Refereed { place, claimed, .. } = &mut passed.phase {
        *place = FineIndex::Op(40);
        *claimed = lie.fine(4).digest_at(*place).unwrap();
    }
    let at = |run: &Run<'_>, index| run.fine(4).digest_at(FineIndex::Op(index)).unwrap();
    let first = Move::RuleEarlier {
        index: 20,
        provider_digest: at(&lie, 20),
        own: at(&truth, 20),
        opening: lie.fine(4).open(FineIndex::Op(20)).unwrap(),
    };
    assert!(broken(&passed, Role::Referee, &first, knows, 1).is_empty());
    let mut spent = passed.clone();
    spent.earlier_left = false;
    expect("earlier-is-first", &spent, Role::Referee, &first, knows, 1);
    let mut other = first.clone();
    if let Move::RuleEarlier { own, .. } = &mut other {
        *own = Digest::ZERO;
    }
    expect("earlier-is-first", &passed, Role::Referee, &other, knows, 1);
    for index in [0, 19, 20, 21] {
        let fine = lie.fine(4);
        let earlier = Move::RuleEarlier {
            index,
            provider_digest: fine.digest_at(FineIndex::Op(index)).unwrap(),
            own: truth.fine(4).digest_at(FineIndex::Op(index)).unwrap(),
            opening: fine.open(FineIndex::Op(index)).unwrap(),
        };
        expect(
            "earlier-is-first",
            &refereed,
            Role::Referee,
            &earlier,
            knows,
            1,
        );
    }

    let (ruled, finalize) = game.when(|p| matches!(p, Phase::Ruled { .. }));
    expect(
        "finalise-after-the-window",
        &ruled,
        Role::Bystander,
        &finalize,
        knows,
        1,
    );
    for (role, player) in [
        (Role::Challenger, knows),
        (Role::Bystander, knows),
        (Role::Provider, knows),
    ] {
        // The ruling is right: nobody appeals it, not even a provider whose recomputation shows it.
        expect(
            "appeal-what-is-wrong",
            &ruled,
            role,
            &Move::Appeal,
            player,
            1,
        );
    }
    expect(
        "in-time",
        &ruled,
        Role::Provider,
        &Move::Appeal,
        liar,
        100_000,
    );

    let (over, _) = game.when(|p| matches!(p, Phase::Closed(_)));
    for (_, role, proposed) in &game.at {
        expect("not-after-the-end", &over, *role, proposed, knows, 1);
    }

    let all: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(all.len(), RULES.len(), "two rules share a name");
    assert_eq!(seen, all, "rules without a test");
}

#[test]
fn nobody_moves_without_knowing() {
    struct Nothing;
    impl Knowledge for Nothing {
        fn level1(&self) -> Option<&MerkleTree> {
            None
        }
        fn fine_trace(&self, _: u64) -> Option<FineTrace> {
            None
        }
        fn segment(&self, _: u32) -> Option<(SegmentEntry, Opening)> {
            None
        }
    }
    let world = world();
    let (truth, lie) = (
        Run::new(&world, &[]),
        Run::new(&world, &[(4, FineIndex::Op(20))]),
    );
    for (view, ..) in record(&truth, &lie).at {
        for role in [
            Role::Provider,
            Role::Challenger,
            Role::Referee,
            Role::Bystander,
        ] {
            let proposed = honest(&view, role, &Nothing, 1);
            let housekeeping = matches!(proposed, None | Some(Move::DrawReferee));
            assert!(housekeeping, "{role:?} moved blindly: {proposed:?}");
        }
    }
}

#[test]
fn impossible_snapshots_get_no_move() {
    let world = world();
    let (truth, lie) = (
        Run::new(&world, &[]),
        Run::new(&world, &[(4, FineIndex::Op(20))]),
    );
    for (view, role, _) in record(&truth, &lie).at {
        for change in [
            |v: &mut GameView| v.steps = 0,
            |v: &mut GameView| v.steps = 101,
            |v: &mut GameView| v.model.commit_points = 0,
            |v: &mut GameView| v.model.trace_height = 200,
            |v: &mut GameView| v.model.ops_height = 99,
        ] {
            let mut view = view.clone();
            change(&mut view);
            assert_eq!(
                decide(&view, role, &Knows::only(&truth), &Policy::default(), 1),
                None
            );
        }
    }
}
