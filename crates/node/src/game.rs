//! A dispute on the board as the game sees it.

use gavel_dispute::{Claim, GameView, Outcome, Phase, Role, SegmentFacts, Side, Tree};
use gavel_trace::{Digest, FineIndex};

use crate::board::{CommittedResult, Dispute, DisputeEntry, DisputeState, SegmentRows};
use crate::{Address, Board};

/// Snapshot of a dispute for [`gavel_dispute::decide`]; `None` where the board does not hold all of it.
pub fn view(board: &Board, id: u64) -> Option<GameView> {
    let entry = board.disputes.get(&id)?;
    let d = &entry.dispute;
    let task = board.tasks.get(&d.task)?;
    let moot = board.is_moot(d);
    // An attempt that was left has taken its roots along, and a moot dispute is only closed.
    let level1_root = match moot {
        true => Digest::ZERO,
        false => task.level1_root,
    };
    Some(GameView {
        model: board.models.get(&task.task.model)?.header,
        steps: result_of(board, d)?.steps,
        input_digest: task.task.input_digest,
        level1_root,
        segment: segment(d),
        phase: phase(board, id, entry)?,
        moot,
    })
}

/// What an address is in a dispute.
pub fn role_of(board: &Board, dispute: &Dispute, address: &Address) -> Role {
    if dispute.challenger == *address {
        Role::Challenger
    } else if board.is_side(&dispute.provider, address) {
        Role::Provider
    } else if dispute.referee == *address && *address != Address::ZERO {
        Role::Referee
    } else {
        Role::Bystander
    }
}

/// The result that a dispute is about.
pub fn result_of(board: &Board, dispute: &Dispute) -> Option<CommittedResult> {
    let attempts = &board.tasks.get(&dispute.task)?.attempts;
    let attempt = attempts.iter().find(|a| a.attempt == dispute.attempt)?;
    attempt.result
}

/// The disputes that referees' pointing at earlier operators led here through, this one first.
pub fn ancestry(board: &Board, id: u64) -> impl Iterator<Item = (u64, &DisputeEntry)> {
    let at = |id: u64| board.disputes.get(&id).map(|entry| (id, entry));
    // a parent was opened before its child, so this ends
    std::iter::successors(at(id), move |(id, entry)| {
        at(entry.parent).filter(|(parent, _)| parent < id)
    })
}

/// Whether no referee of this dispute may point at an earlier operator any more.
pub fn earlier_is_exhausted(board: &Board, id: u64) -> bool {
    let hops = ancestry(board, id).count().saturating_sub(1);
    let rules = board
        .dispute(id)
        .and_then(|dispute| board.rules_of(dispute.task));
    rules.is_none_or(|rules| hops >= usize::from(rules.court.max_earlier))
}

/// The root rows of the disputed segment, posted here or in the dispute that led here.
pub fn segment_rows(board: &Board, id: u64) -> Option<&SegmentRows> {
    ancestry(board, id).find_map(|(_, entry)| entry.segment.as_ref())
}

/// The isolated place.
pub fn place(dispute: &Dispute) -> FineIndex {
    match dispute.in_live {
        false => FineIndex::Op(dispute.isolated_index),
        true => FineIndex::Live(dispute.isolated_index),
    }
}

/// The disputed segment, once the provider's fine trace is bound.
pub fn segment(d: &Dispute) -> Option<SegmentFacts> {
    let bound = d.state == DisputeState::Level2 || d.isolated_at != 0;
    bound.then_some(SegmentFacts {
        leaf_index: d.leaf_index,
        leaf: d.leaf,
        previous_leaf: d.previous_leaf,
        first_node: d.first_node,
        op_count: d.op_count,
        live_count: d.live_count,
        ops_root: d.ops_root,
    })
}

fn phase(board: &Board, id: u64, entry: &DisputeEntry) -> Option<Phase> {
    let d = &entry.dispute;
    let clock = match d.turn {
        Side::Provider => d.provider_clock,
        Side::Challenger => d.challenger_clock,
    };
    let deadline = d.turn_started_at.saturating_add(clock.into());
    let (place, claimed) = (place(d), d.claimed_digest);
    Some(match d.state {
        DisputeState::Level1 => dissecting(entry, Tree::Level1, deadline)?,
        DisputeState::SegmentWanted => Phase::SegmentWanted {
            leaf_index: d.leaf_index,
            leaf: d.node,
            deadline,
        },
        DisputeState::Level2 if d.turn == Side::Challenger && d.height == 0 => {
            let rows = segment_rows(board, id)?;
            Phase::PickSegment {
                ops_row: rows.ops_row.clone(),
                live_row: rows.live_row.clone(),
                deadline,
            }
        }
        DisputeState::Level2 => {
            let tree = if d.in_live { Tree::Live } else { Tree::Ops };
            dissecting(entry, tree, deadline)?
        }
        DisputeState::Isolated => Phase::Isolated {
            place,
            claimed,
            beacon_ready: {
                let round = board.beacon.round_after(d.isolated_at);
                board.beacon_value(round).is_some()
            },
        },
        DisputeState::Refereed => Phase::Refereed {
            place,
            claimed,
            deadline: d.referee_deadline,
        },
        DisputeState::Ruled => Phase::Ruled {
            place,
            claimed,
            ruled: d.ruled_digest,
            appeal_deadline: {
                let window = board.rules_of(d.task)?.court.appeal_window;
                d.ruled_at.saturating_add(window.into())
            },
        },
        DisputeState::Appealed => Phase::Appealed,
        DisputeState::Upheld => Phase::Closed(Outcome::Upheld),
        DisputeState::Cleared => Phase::Closed(Outcome::Cleared),
        DisputeState::Void => Phase::Closed(Outcome::Void),
    })
}

/// A claim that waits for its row, or a row that waits for a pick.
fn dissecting(entry: &DisputeEntry, tree: Tree, deadline: u64) -> Option<Phase> {
    let d = &entry.dispute;
    let claim = Claim {
        tree,
        node: d.node,
        height: d.height,
        index: d.index,
    };
    Some(match d.turn {
        Side::Provider => Phase::Reveal { claim, deadline },
        Side::Challenger => {
            let row = entry.row.as_ref().filter(|row| row.node == d.node)?;
            Phase::Pick {
                claim,
                row: row.row.clone(),
                deadline,
            }
        }
    })
}
