//! Honest and dishonest parties of a dispute, and the game between them.

use gavel_dispute::*;
use gavel_trace::*;

use super::*;

/// How a party misbehaves. All but the first two make moves that a court may refuse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
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

pub const PROVIDERS: [Manner; 5] = [ByTheRules, LastSecond, Idle, Garbage, WrongLength];
pub const CHALLENGERS: [Manner; 9] = [
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
pub fn act(
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
pub fn play(
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
pub fn assert_isolated(court: &CourtModel, (leaf, place): Error, provider: &Run<'_>) {
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

/// Three segments, one of them large.
pub fn world() -> World {
    World::new(&[(5, 1), (70, 5), (3, 2)], 100, 4)
}
