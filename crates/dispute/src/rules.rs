//! What every proposed move must satisfy, each with the reason.

use crate::{
    GameView, Knowledge, Move, Phase, Role, Side, Tree,
    decide::{fine, leftmost, own_row, starts_alike},
};
use gavel_trace::{CommitPoint, Digest, FineIndex, Opening, fold, row_len};

/// A proposed move and everything that it is judged by.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The dispute.
    pub view: &'a GameView,
    /// Who proposes.
    pub role: Role,
    /// What is proposed.
    pub proposed: &'a Move,
    /// What the proposer can compute.
    pub knowledge: &'a dyn Knowledge,
    /// Chain time, seconds.
    pub now: u64,
}

/// One rule of good play.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Short name.
    pub id: &'static str,
    /// What it demands.
    pub demands: &'static str,
    /// What is lost without it.
    pub because: &'static str,
    /// Whether a proposed move satisfies it; true where it does not apply.
    pub holds: fn(&Situation<'_>) -> bool,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.id, self.demands)
    }
}

/// The rules that a situation breaks.
pub fn broken_rules(situation: &Situation<'_>) -> Vec<&'static Rule> {
    RULES
        .iter()
        .filter(|rule| !(rule.holds)(situation))
        .collect()
}

/// All rules.
pub const RULES: &[Rule] = &[
    Rule {
        id: "not-after-the-end",
        demands: "no move in a dispute that is closed or appealed",
        because: "the court refuses it and the gas is lost",
        holds: |s| !s.view.is_over() && s.view.phase != Phase::Appealed,
    },
    Rule {
        id: "moot-is-closed",
        demands: "a moot dispute is closed and nothing else; only a moot one is closed",
        because: "moves in a moot dispute cost gas and decide nothing",
        holds: |s| s.view.moot == (*s.proposed == Move::CloseMoot),
    },
    Rule {
        id: "in-turn",
        demands: "reveals and picks come from the side to move; a direct isolation from the challenger at the root of level 1",
        because: "a move out of turn is refused, and one that raced a reorg would answer another claim",
        holds: in_turn,
    },
    Rule {
        id: "in-time",
        demands: "no game move after the mover's clock ran out, no ruling after its deadline, no appeal after its window",
        because: "the court refuses it; whoever still sends it has missed that it lost the turn",
        holds: in_time,
    },
    Rule {
        id: "timeout-is-late",
        demands: "a timeout is claimed only after the deadline, and not by the side or referee that let it pass",
        because: "an early claim is refused; claiming one's own timeout concedes the game",
        holds: timeout_is_late,
    },
    Rule {
        id: "reveal-folds",
        demands: "a revealed row has the length of its height and folds to the claim",
        because: "any other row is refused while the clock runs",
        holds: |s| match (s.proposed, &s.view.phase) {
            (Move::RevealRow { node, row }, Phase::Reveal { claim, .. }) => {
                *node == claim.node && claim.is_answered_by(row)
            }
            (Move::RevealRow { .. }, _) => false,
            _ => true,
        },
    },
    Rule {
        id: "segment-binds",
        demands: "a posted segment is the one that the leaf names, its live row folds to the leaf, and the leaf before it opens",
        because: "a fine trace that is not tied to both its ends is refused, and the clock runs on",
        holds: segment_binds,
    },
    Rule {
        id: "pick-answers-the-row",
        demands: "a pick repeats the row that waits on chain and stays inside it",
        because: "the court authenticates rows by their hash; another row is another claim",
        holds: pick_answers,
    },
    Rule {
        id: "never-an-equal-child",
        demands: "the picked child differs from the party's own",
        because: "picking what one agrees with isolates an operator that is right, and loses the bond",
        holds: |s| picked(s).is_none_or(|(theirs, own, child)| theirs.get(child) != own.get(child)),
    },
    Rule {
        id: "leftmost-only",
        demands: "everything left of the picked child agrees with the party's own run",
        because: "the isolated operator's inputs count as agreed; past an earlier error its output proves nothing",
        holds: |s| {
            picked(s).is_none_or(|(theirs, own, child)| {
                leftmost(&theirs, &own).is_some_and(|first| usize::from(first) == child)
            })
        },
    },
    Rule {
        id: "operators-first",
        demands: "a live slot is picked only when the whole ops row agrees",
        because: "operators precede live slots in canonical order: a slot that copies a wrong operator is not the first error",
        holds: |s| match s.proposed {
            Move::PickSegment {
                ops_row,
                live: true,
                ..
            } => fine(s.view, s.knowledge)
                .and_then(|own| own.ops_row().ok())
                .is_some_and(|own| own == *ops_row),
            _ => true,
        },
    },
    Rule {
        id: "never-empty-padding",
        demands: "no pick of an empty subtree past the last leaf",
        because: "padding that is zero is right by definition: the court clears the provider at once",
        holds: |s| match (s.proposed, &s.view.phase) {
            (Move::Pick { row, child }, Phase::Pick { claim, .. }) => {
                let count = s.view.leaf_count(claim.tree);
                claim.child(row, usize::from(*child)).is_some_and(|picked| {
                    !(picked.is_empty_subtree() && count.is_none_or(|n| picked.is_padding(n)))
                })
            }
            _ => true,
        },
    },
    Rule {
        id: "agreed-inputs",
        demands: "below level 1 a challenger plays only from the live root that it agrees with",
        because: "its own fine trace starts from its own live tensors; other inputs make every digest differ",
        holds: agreed_inputs,
    },
    Rule {
        id: "direct-is-opened",
        demands: "a direct isolation opens leaf, previous leaf, segment and claim under the committed roots, at a place that differs after inputs that agree",
        because: "the court refuses an opening that does not hold, and a claim that is right loses the bond",
        holds: direct_is_opened,
    },
    Rule {
        id: "direct-is-first",
        demands: "a direct isolation names the first place that differs in the provider's signed fine trace",
        because: "it stands for all the rounds that it skips, and must isolate what they would have",
        holds: |s| match s.proposed {
            Move::IsolateDirect(direct) => {
                let theirs = s.knowledge.provider_signed(direct.leaf_index);
                let own = s.knowledge.fine_trace(direct.leaf_index);
                let first = theirs
                    .zip(own)
                    .and_then(|(theirs, own)| theirs.fine.first_difference(&own));
                first == Some(direct.place)
            }
            _ => true,
        },
    },
    Rule {
        id: "draw-when-due",
        demands: "a referee is drawn only when the beacon's round is out",
        because: "an early draw is refused; its value cannot exist yet",
        holds: |s| match s.proposed {
            Move::DrawReferee => matches!(
                s.view.phase,
                Phase::Isolated {
                    beacon_ready: true,
                    ..
                }
            ),
            _ => true,
        },
    },
    Rule {
        id: "ruling-is-computed",
        demands: "only the drawn referee rules, on the isolated claim, with the digest that it computed on the committed inputs",
        because: "a referee that is overturned is slashed like a provider",
        holds: ruling_is_computed,
    },
    Rule {
        id: "earlier-is-first",
        demands: "an earlier divergence is still allowed, lies before the isolated operator, opens under the ops root, carries the referee's own digest, differs from it, and nothing before it does",
        because: "the referee accuses there itself, and is slashed like a provider where it is wrong",
        holds: earlier_is_first,
    },
    Rule {
        id: "appeal-what-is-wrong",
        demands: "only the losing side appeals, and only a ruling that its own recomputation contradicts",
        because: "an appeal costs a bond, and a ruling that is right stands",
        holds: appeal_what_is_wrong,
    },
    Rule {
        id: "finalise-after-the-window",
        demands: "a ruling is made final only after its appeal window",
        because: "before that it is refused",
        holds: |s| match s.proposed {
            Move::Finalize => {
                matches!(s.view.phase, Phase::Ruled { appeal_deadline, .. } if s.now > appeal_deadline)
            }
            _ => true,
        },
    },
];

fn is_game_move(proposed: &Move) -> bool {
    matches!(
        proposed,
        Move::RevealRow { .. }
            | Move::Pick { .. }
            | Move::PostSegment(_)
            | Move::PickSegment { .. }
            | Move::IsolateDirect(_)
    )
}

fn in_turn(s: &Situation<'_>) -> bool {
    let fits = |side: Side| s.role.side() == Some(side);
    match (s.proposed, &s.view.phase) {
        (Move::RevealRow { .. }, Phase::Reveal { .. })
        | (Move::PostSegment(_), Phase::SegmentWanted { .. }) => fits(Side::Provider),
        (Move::Pick { .. }, Phase::Pick { .. })
        | (Move::PickSegment { .. }, Phase::PickSegment { .. }) => fits(Side::Challenger),
        (Move::IsolateDirect(_), Phase::Reveal { claim, .. } | Phase::Pick { claim, .. }) => {
            fits(Side::Challenger) && *claim == s.view.level1_claim()
        }
        (other, _) => !is_game_move(other),
    }
}

fn in_time(s: &Situation<'_>) -> bool {
    match (s.proposed, &s.view.phase) {
        (Move::Rule { .. } | Move::RuleEarlier { .. }, Phase::Refereed { deadline, .. }) => {
            s.now <= *deadline
        }
        (
            Move::Appeal,
            Phase::Ruled {
                appeal_deadline, ..
            },
        ) => s.now <= *appeal_deadline,
        (proposed, _) if is_game_move(proposed) => {
            s.view.turn().is_some_and(|(_, deadline)| s.now <= deadline)
        }
        _ => true,
    }
}

fn timeout_is_late(s: &Situation<'_>) -> bool {
    match s.proposed {
        Move::ClaimTimeout => s
            .view
            .turn()
            .is_some_and(|(side, deadline)| s.now > deadline && s.role.side() != Some(side)),
        Move::RefereeTimeout => {
            let late = matches!(s.view.phase, Phase::Refereed { deadline, .. } if s.now > deadline);
            late && s.role != Role::Referee
        }
        _ => true,
    }
}

/// Rows and index of a pick, in the tree that it is made in; `None` for other moves. A pick that the
/// party has no own row for yields rows that satisfy no rule.
fn picked(s: &Situation<'_>) -> Option<(Vec<Digest>, Vec<Digest>, usize)> {
    let nothing = || (Vec::new(), Vec::new(), 0);
    match (s.proposed, &s.view.phase) {
        (Move::Pick { row, child }, Phase::Pick { claim, .. }) => {
            let own = own_row(s.view, claim, s.knowledge);
            Some(own.map_or_else(nothing, |own| (row.clone(), own, usize::from(*child))))
        }
        (
            Move::PickSegment {
                ops_row,
                live_row,
                live,
                child,
            },
            _,
        ) => {
            let own = fine(s.view, s.knowledge);
            let (theirs, own) = match live {
                false => (ops_row, own.and_then(|own| own.ops_row().ok())),
                true => (live_row, own.and_then(|own| own.live_row().ok())),
            };
            Some(own.map_or_else(nothing, |own| (theirs.clone(), own, usize::from(*child))))
        }
        _ => None,
    }
}

fn pick_answers(s: &Situation<'_>) -> bool {
    match (s.proposed, &s.view.phase) {
        (Move::Pick { row, child }, Phase::Pick { row: waiting, .. }) => {
            row == waiting && usize::from(*child) < row.len()
        }
        (
            Move::PickSegment {
                ops_row,
                live_row,
                live,
                child,
            },
            Phase::PickSegment {
                ops_row: ops,
                live_row: lives,
                ..
            },
        ) => {
            let row = if *live { lives } else { ops };
            ops_row == ops && live_row == lives && usize::from(*child) < row.len()
        }
        (Move::Pick { .. } | Move::PickSegment { .. }, _) => false,
        _ => true,
    }
}

/// The leaf before a disputed one opens where it should, or is the input digest.
pub(crate) fn previous_opens(
    view: &GameView,
    leaf_index: u64,
    previous_leaf: &Digest,
    opening: Option<&Opening>,
) -> bool {
    match (leaf_index.checked_sub(1), opening) {
        (None, None) => *previous_leaf == view.input_digest,
        (Some(before), Some(opening)) => {
            opening.index == before
                && opening.verify(view.model.trace_height, previous_leaf, &view.level1_root)
        }
        _ => false,
    }
}

/// A segment entry opens at the place that a leaf of level 1 names.
pub(crate) fn segment_opens(
    view: &GameView,
    leaf_index: u64,
    segment: &gavel_trace::SegmentEntry,
    opening: &Opening,
) -> bool {
    CommitPoint::at_leaf(leaf_index, view.model.commit_points).is_some_and(|at| {
        segment.index == at.segment
            && opening.index == u64::from(at.segment)
            && opening.verify(
                view.segments_height(),
                &segment.leaf(),
                &view.model.segments_root,
            )
    })
}

fn segment_binds(s: &Situation<'_>) -> bool {
    let Move::PostSegment(post) = s.proposed else {
        return true;
    };
    let Phase::SegmentWanted {
        leaf_index, leaf, ..
    } = &s.view.phase
    else {
        return false;
    };
    let model = &s.view.model;
    post.leaf == *leaf
        && post.live_row.len() == row_len(model.live_height)
        && fold(&post.live_row) == Ok(*leaf)
        && post.ops_row.len() == row_len(model.ops_height)
        && previous_opens(
            s.view,
            *leaf_index,
            &post.previous_leaf,
            post.previous_opening.as_ref(),
        )
        && segment_opens(s.view, *leaf_index, &post.segment, &post.segment_opening)
}

fn agreed_inputs(s: &Situation<'_>) -> bool {
    let below = match (s.proposed, &s.view.phase) {
        (Move::PickSegment { .. }, _) => true,
        (Move::Pick { .. }, Phase::Pick { claim, .. }) => claim.tree != Tree::Level1,
        _ => false,
    };
    if !below {
        return true;
    }
    let Some(segment) = s.view.segment else {
        return false;
    };
    let own = match segment.leaf_index.checked_sub(1) {
        None => Some(s.view.input_digest),
        Some(before) => s.knowledge.level1().and_then(|own| own.leaf(before).ok()),
    };
    own == Some(segment.previous_leaf)
}

fn direct_is_opened(s: &Situation<'_>) -> bool {
    let Move::IsolateDirect(direct) = s.proposed else {
        return true;
    };
    let (view, model) = (s.view, &s.view.model);
    let (place_height, root, place) = match direct.place {
        FineIndex::Op(i) => (model.ops_height, &direct.ops_root, u64::from(i)),
        FineIndex::Live(j) => (model.live_height, &direct.leaf, u64::from(j)),
    };
    let opens = direct.leaf_opening.index == direct.leaf_index
        && direct
            .leaf_opening
            .verify(model.trace_height, &direct.leaf, &view.level1_root)
        && direct.claimed_opening.index == place
        && direct
            .claimed_opening
            .verify(place_height, &direct.claimed, root)
        && previous_opens(
            view,
            direct.leaf_index,
            &direct.previous_leaf,
            direct.previous_opening.as_ref(),
        )
        && segment_opens(
            view,
            direct.leaf_index,
            &direct.segment,
            &direct.segment_opening,
        );
    let own = s.knowledge.level1();
    let agreed = match (direct.leaf_index.checked_sub(1), own) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(own)) => own.leaf(before) == Ok(direct.previous_leaf),
    };
    let differs = s
        .knowledge
        .fine_trace(direct.leaf_index)
        .and_then(|own| own.digest_at(direct.place).ok())
        .is_some_and(|own| own != direct.claimed);
    opens && agreed && differs
}

fn recomputed(s: &Situation<'_>, place: FineIndex) -> Option<Digest> {
    s.knowledge
        .output_on_committed_inputs(&s.view.segment?, place)
}

fn ruling_is_computed(s: &Situation<'_>) -> bool {
    match (s.proposed, &s.view.phase) {
        (
            Move::Rule { claimed, own },
            Phase::Refereed {
                place,
                claimed: disputed,
                ..
            },
        ) => s.role == Role::Referee && claimed == disputed && recomputed(s, *place) == Some(*own),
        (Move::RuleEarlier { .. }, Phase::Refereed { .. }) => s.role == Role::Referee,
        (Move::Rule { .. } | Move::RuleEarlier { .. }, _) => false,
        _ => true,
    }
}

fn earlier_is_first(s: &Situation<'_>) -> bool {
    let Move::RuleEarlier {
        index,
        provider_digest,
        own,
        opening,
    } = s.proposed
    else {
        return true;
    };
    let (
        Phase::Refereed {
            place: FineIndex::Op(isolated),
            ..
        },
        Some(segment),
    ) = (&s.view.phase, s.view.segment)
    else {
        return false;
    };
    if !s.view.earlier_left || !starts_alike(s.view, &segment, s.knowledge) {
        return false;
    }
    let computed = s.knowledge.fine_trace(segment.leaf_index);
    let own_there = (computed.as_ref()).and_then(|fine| fine.digest_at(FineIndex::Op(*index)).ok());
    let first = s
        .knowledge
        .provider_fine(segment.leaf_index)
        .filter(|theirs| theirs.ops_root() == segment.ops_root)
        .zip(computed)
        .and_then(|(theirs, own)| theirs.first_difference(&own));
    index < isolated
        && own_there == Some(*own)
        && first == Some(FineIndex::Op(*index))
        && opening.index == u64::from(*index)
        && opening.verify(s.view.model.ops_height, provider_digest, &segment.ops_root)
}

fn appeal_what_is_wrong(s: &Situation<'_>) -> bool {
    if *s.proposed != Move::Appeal {
        return true;
    }
    let Phase::Ruled {
        place,
        claimed,
        ruled,
        ..
    } = &s.view.phase
    else {
        return false;
    };
    let own = recomputed(s, *place);
    match s.role {
        Role::Provider => ruled != claimed && own == Some(*claimed),
        Role::Challenger => ruled == claimed && own.is_some_and(|own| own != *claimed),
        Role::Referee | Role::Bystander => false,
    }
}
