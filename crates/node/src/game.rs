//! A dispute on the board as the game sees it.

use gavel_dispute::{Claim, GameView, Outcome, Phase, Role, SegmentFacts, Side, Tree};
use gavel_trace::{Digest, FineIndex};

use crate::board::{CommittedResult, Dispute, DisputeEntry, DisputeState, Row, SegmentRows};
use crate::evidence::rows_of_segment;
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
        earlier_left: d.hops < board.rules_of(d.task)?.court.max_earlier,
        moot,
    })
}

/// What an address is in a dispute.
pub fn role_of(board: &Board, dispute: &Dispute, address: &Address) -> Role {
    // unset fields of a record are zero, and nobody's
    if address.is_zero() {
        Role::Bystander
    } else if dispute.challenger == *address {
        Role::Challenger
    } else if board.is_side(&dispute.provider, address) {
        Role::Provider
    } else if dispute.referee == *address {
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

/// The root rows of the disputed segment.
pub fn segment_rows(board: &Board, id: u64) -> Option<&SegmentRows> {
    board.disputes.get(&id)?.segment.as_ref()
}

/// Every row that was revealed on the way to the isolated place.
pub(crate) fn rows_to_place(board: &Board, id: u64) -> Vec<Row> {
    let Some(entry) = board.disputes.get(&id) else {
        return Vec::new();
    };
    let model = board.task(entry.dispute.task);
    let model = model.and_then(|task| board.models.get(&task.model));
    let mut rows = entry.rows.clone();
    if let (Some(posted), Some(model)) = (&entry.segment, model) {
        rows.extend(rows_of_segment(&model.header, entry.dispute.leaf, posted));
    }
    rows
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
            earlier: d.earlier,
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
            let of_node = |row: &&Row| row.node == d.node && row.height == d.height;
            let row = entry.rows.iter().rev().find(of_node)?;
            Phase::Pick {
                claim,
                row: row.row.clone(),
                deadline,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::B256;
    use crate::board::{Appeal, Attempt, ModelEntry, Rules, Task, TaskEntry, TaskState};
    use gavel_trace::ModelHeader;

    const PROVIDER: Address = Address::repeat_byte(1);
    const CHALLENGER: Address = Address::repeat_byte(2);
    const REFEREE: Address = Address::repeat_byte(3);

    fn digest(salt: u8) -> Digest {
        Digest([salt; 32])
    }

    fn header() -> ModelHeader {
        ModelHeader {
            numerics_version: 1,
            lowering_version: 1,
            node_count: 40,
            max_steps: 1,
            commit_points: 20,
            trace_height: 5,
            ops_height: 5,
            live_height: 2,
            work: 1,
            nodes_root: digest(10),
            edges_root: digest(11),
            weights_root: digest(12),
            segments_root: digest(13),
            assets_root: digest(14),
        }
    }

    fn entry(state: DisputeState) -> DisputeEntry {
        let dispute = Dispute {
            task: 1,
            attempt: 0,
            provider: PROVIDER,
            challenger: CHALLENGER,
            state,
            turn: Side::Provider,
            turn_started_at: 1_000,
            provider_clock: 50,
            challenger_clock: 70,
            bond: 0,
            node: digest(20),
            height: 5,
            index: 0,
            row_hash: B256::ZERO,
            leaf_index: 7,
            leaf: digest(21),
            previous_leaf: digest(22),
            ops_root: digest(23),
            in_live: false,
            first_node: 3,
            op_count: 17,
            live_count: 2,
            isolated_index: 4,
            claimed_digest: digest(24),
            isolated_at: 0,
            referee: Address::ZERO,
            draws: 0,
            referee_deadline: 1_300,
            ruled_digest: digest(25),
            ruled_guilty: true,
            ruled_at: 1_200,
            opened_at: 900,
            earlier: false,
            hops: 0,
            appealed_at: 0,
        };
        DisputeEntry {
            dispute,
            challenger_root: digest(30),
            rows: Vec::new(),
            segment: None,
            moves: 0,
            by_audit: false,
            appealed_by: None,
            earlier: None,
            appeal: Appeal::default(),
        }
    }

    /// A board with one disputed result.
    fn board(entry: DisputeEntry) -> Board {
        let mut board = Board::default();
        let uri = String::new();
        let header = header();
        let model = header.model_id();
        board.models.insert(model, ModelEntry { header, uri });
        let mut rules = Rules::default();
        (rules.court.appeal_window, rules.court.max_earlier) = (60, 2);
        board.rules.insert(1, rules);
        let result = CommittedResult {
            steps: 1,
            output_digest: digest(31),
            trace_root: digest(32),
        };
        let attempt = Attempt {
            provider: PROVIDER,
            result: Some(result),
            ..Attempt::default()
        };
        let task = Task {
            model,
            state: TaskState::Disputed,
            input_digest: digest(33),
            ..Task::default()
        };
        let task = TaskEntry {
            task,
            rules: 1,
            level1_root: digest(34),
            attempts: vec![attempt],
            ..TaskEntry::default()
        };
        board.tasks.insert(1, task);
        board.beacon.period = 3;
        board.disputes.insert(1, entry);
        board
    }

    fn phase_of(change: impl FnOnce(&mut DisputeEntry), state: DisputeState) -> Option<Phase> {
        let mut entry = entry(state);
        change(&mut entry);
        view(&board(entry), 1).map(|view| view.phase)
    }

    #[test]
    fn a_claim_waits_for_the_provider_and_its_row_for_the_challenger() {
        let claim = Claim {
            tree: Tree::Level1,
            node: digest(20),
            height: 5,
            index: 0,
        };
        let deadline = 1_050;
        assert_eq!(
            phase_of(|_| {}, DisputeState::Level1),
            Some(Phase::Reveal { claim, deadline })
        );
        let row = |node| Row {
            node,
            height: 5,
            row: vec![digest(40); 16],
        };
        let picks = |entry: &mut DisputeEntry| entry.dispute.turn = Side::Challenger;
        let found = phase_of(
            |entry| {
                picks(entry);
                entry.rows = vec![row(digest(19)), row(digest(20))];
            },
            DisputeState::Level1,
        );
        assert_eq!(
            found,
            Some(Phase::Pick {
                claim,
                row: vec![digest(40); 16],
                deadline: 1_070
            })
        );
        // the record is a block ahead of the logs
        assert_eq!(phase_of(picks, DisputeState::Level1), None);
        let stale = |entry: &mut DisputeEntry| {
            picks(entry);
            entry.rows = vec![row(digest(99))];
        };
        assert_eq!(phase_of(stale, DisputeState::Level1), None);
    }

    #[test]
    fn below_level_1_the_first_pick_is_from_both_rows() {
        let rows = SegmentRows {
            ops_root: digest(23),
            previous_leaf: digest(22),
            ops_row: vec![digest(41); 16],
            live_row: vec![digest(42); 4],
        };
        let found = phase_of(
            |entry| {
                (entry.dispute.turn, entry.dispute.height) = (Side::Challenger, 0);
                entry.segment = Some(rows.clone());
            },
            DisputeState::Level2,
        );
        assert_eq!(
            found,
            Some(Phase::PickSegment {
                ops_row: rows.ops_row,
                live_row: rows.live_row,
                deadline: 1_070
            })
        );
        for (in_live, tree) in [(false, Tree::Ops), (true, Tree::Live)] {
            let found = phase_of(|e| e.dispute.in_live = in_live, DisputeState::Level2);
            assert!(matches!(found, Some(Phase::Reveal { claim, .. }) if claim.tree == tree));
        }
        let wanted = phase_of(|_| {}, DisputeState::SegmentWanted);
        assert!(
            matches!(wanted, Some(Phase::SegmentWanted { leaf_index: 7, leaf, .. }) if leaf == digest(20))
        );
    }

    #[test]
    fn a_draw_waits_for_its_round_and_an_end_for_its_window() {
        let mut entry = entry(DisputeState::Isolated);
        entry.dispute.isolated_at = 1_100;
        let mut board = board(entry);
        let ready = |board: &Board| {
            matches!(
                view(board, 1).unwrap().phase,
                Phase::Isolated {
                    beacon_ready: true,
                    place: FineIndex::Op(4),
                    ..
                }
            )
        };
        assert!(!ready(&board));
        let round = board.beacon.round_after(1_100);
        board.beacon.values.insert(round - 1, B256::repeat_byte(1));
        assert!(!ready(&board));
        board.beacon.values.insert(round, B256::repeat_byte(1));
        assert!(ready(&board));
        assert_eq!(view(&board, 1).unwrap().segment.unwrap().op_count, 17);
        let ruled = phase_of(|_| {}, DisputeState::Ruled);
        assert!(matches!(
            ruled,
            Some(Phase::Ruled { appeal_deadline: 1_260, ruled, earlier: false, .. }) if ruled == digest(25)
        ));
        let closed = phase_of(|_| {}, DisputeState::Cleared);
        assert_eq!(closed, Some(Phase::Closed(Outcome::Cleared)));
    }

    #[test]
    fn an_attempt_that_was_left_is_moot_and_still_seen() {
        let mut board = board(entry(DisputeState::Level1));
        assert_eq!(view(&board, 1).unwrap().level1_root, digest(34));
        let task = board.tasks.get_mut(&1).unwrap();
        (task.task.attempt, task.task.state) = (1, TaskState::Open);
        (task.level1_root, task.attempts[0].ended) = (Digest::ZERO, Some("guilty".to_owned()));
        let seen = view(&board, 1).unwrap();
        assert!(seen.moot);
        assert_eq!(seen.steps, 1);
        assert_eq!(view(&board, 2), None);
    }

    #[test]
    fn pointing_at_earlier_operators_comes_to_an_end() {
        let left = [0, 1, 2].map(|hops| {
            let mut entry = entry(DisputeState::Refereed);
            entry.dispute.hops = hops;
            view(&board(entry), 1).unwrap().earlier_left
        });
        assert_eq!(left, [true, true, false]);
    }

    #[test]
    fn everybody_has_one_part() {
        let mut entry = entry(DisputeState::Refereed);
        let board = board(entry.clone());
        let stranger = Address::repeat_byte(9);
        let parts = |d: &Dispute| {
            [PROVIDER, CHALLENGER, REFEREE, stranger, Address::ZERO]
                .map(|who| role_of(&board, d, &who))
        };
        use Role::{Bystander, Challenger, Provider, Referee};
        let none = [Provider, Challenger, Bystander, Bystander, Bystander];
        assert_eq!(parts(&entry.dispute), none);
        entry.dispute.referee = REFEREE;
        let drawn = [Provider, Challenger, Referee, Bystander, Bystander];
        assert_eq!(parts(&entry.dispute), drawn);
    }
}
