//! Virtual time: when nobody has anything to do, the clock goes on to when somebody may.

use gavel_node::Board;
use gavel_node::board::{AuditState, DisputeState, TaskState};

/// Longest step while a price rises: bids come close to what the bidder asked for.
const AUCTION_STEP: u64 = 5;
/// Longest step at all; shorter than every window, so that an unlisted moment is not missed by much.
const STEP_MAX: u64 = 60;

/// How far the clock goes on when nobody acted. `idle` rounds have passed without an act, this one included;
/// `planned` is when the next task is to be posted.
pub(crate) fn step(board: &Board, idle: u32, planned: Option<u64>) -> u64 {
    let now = board.now();
    let rising = board.tasks.values().any(|entry| {
        let task = &entry.task;
        let top = task.opened_at.saturating_add(task.ramp_seconds.into());
        task.state == TaskState::Open && now <= top
    });
    let most = if rising { AUCTION_STEP } else { STEP_MAX };
    let growing = 1u64 << idle.min(16);
    let next = moments(board).chain(planned).filter(|at| *at > now).min();
    let until_next = next.map_or(most, |at| at - now);
    // with nothing to wait for but a far moment, walk towards it faster and faster
    growing
        .min(if quiet(board) { u64::MAX } else { most })
        .min(until_next)
        .max(1)
}

/// Nothing is going on but tasks that nobody takes.
fn quiet(board: &Board) -> bool {
    let settled = |state: TaskState| state == TaskState::Open || state.is_final();
    let now = board.now();
    board.open_disputes().next().is_none()
        && board.tasks.values().all(|entry| {
            let task = &entry.task;
            settled(task.state) && now > task.opened_at.saturating_add(task.ramp_seconds.into())
        })
}

/// Moments at which something may become possible.
fn moments(board: &Board) -> impl Iterator<Item = u64> {
    let mut at = Vec::new();
    for (id, entry) in &board.tasks {
        let task = &entry.task;
        match task.state {
            TaskState::Open => at.extend(board.expires_at(*id).map(|last| last + 1)),
            TaskState::Claimed => at.push(task.deadline + 1),
            _ => {
                at.extend(board.reveal_window(*id).map(|(first, _)| first));
                at.extend(board.challenge_deadline(*id).map(|last| last + 1));
                at.extend(board.settleable_at(*id));
                at.extend(board.audit_round(*id).map(|r| board.beacon.time_of(r)));
            }
        }
    }
    for (_, entry) in board.open_disputes() {
        let dispute = &entry.dispute;
        let beacon = |time| board.beacon.time_of(board.beacon.round_after(time));
        match dispute.state {
            DisputeState::Isolated => at.push(beacon(dispute.isolated_at)),
            DisputeState::Refereed => at.push(dispute.referee_deadline + 1),
            DisputeState::Ruled => {
                let window = board
                    .rules_of(dispute.task)
                    .map_or(0, |r| r.court.appeal_window);
                at.push(dispute.ruled_at + u64::from(window) + 1);
            }
            DisputeState::Appealed => {
                at.extend(entry.appeal.game.as_ref().map(|game| game.deadline() + 1));
            }
            _ => {
                let clock = dispute.provider_clock.min(dispute.challenger_clock);
                at.push(dispute.turn_started_at + u64::from(clock) + 1);
            }
        }
    }
    for entry in board.audits.values() {
        let audit = &entry.audit;
        match audit.state {
            AuditState::Drawn => at.push(audit.deadline + 1),
            AuditState::Committed => {
                let round = board.beacon.round_after(audit.committed_at);
                at.extend([audit.deadline + 1, board.beacon.time_of(round)]);
            }
            _ => {}
        }
    }
    at.extend(board.providers.values().map(|p| p.jailed_until));
    at.into_iter()
}

/// Everything that was begun has ended: tasks, disputes, challenges, audits.
pub(crate) fn is_over(board: &Board) -> bool {
    board
        .tasks
        .values()
        .all(|entry| entry.task.state.is_final())
        && board.open_disputes().next().is_none()
        && board
            .challenges
            .values()
            .all(|c| c.closed || c.dispute.is_some())
        && board.audits.values().all(|entry| !entry.audit.on_duty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_node::board::{Head, MarketRules, Rules, Task, TaskEntry};

    const NOW: u64 = 1_000_000;

    fn board(task: Task) -> Board {
        let mut board = Board {
            head: Head {
                time: NOW,
                ..Head::default()
            },
            ..Board::default()
        };
        let market = MarketRules {
            open_lifetime: 86_400,
            ..MarketRules::default()
        };
        board.rules.insert(
            1,
            Rules {
                market,
                ..Rules::default()
            },
        );
        board.tasks.insert(
            1,
            TaskEntry {
                task,
                rules: 1,
                ..TaskEntry::default()
            },
        );
        board
    }

    #[test]
    fn steps_grow_and_stop_at_the_next_moment() {
        let claimed = board(Task {
            state: TaskState::Claimed,
            deadline: NOW + 39,
            ..Task::default()
        });
        let steps = [1, 2, 3, 4, 5, 6, 7].map(|idle| step(&claimed, idle, None));
        assert_eq!(steps, [2, 4, 8, 16, 32, 40, 40]);
        assert_eq!(step(&claimed, 9, Some(NOW + 3)), 3);
        // what is due already does not stop the clock
        assert_eq!(step(&claimed, 1, Some(NOW)), 2);
        assert!(!is_over(&claimed));
    }

    #[test]
    fn a_rising_price_is_followed_closely_and_a_forgotten_task_is_not() {
        let open = |opened_at| {
            board(Task {
                state: TaskState::Open,
                opened_at,
                ramp_seconds: 300,
                ..Task::default()
            })
        };
        assert_eq!(step(&open(NOW - 10), 30, None), AUCTION_STEP);
        let expires = NOW - 50_000 + 86_400 + 1;
        assert_eq!(step(&open(NOW - 50_000), 30, None), expires - NOW);
    }

    #[test]
    fn a_world_is_over_when_all_that_was_begun_has_ended() {
        let settled = board(Task {
            state: TaskState::Settled,
            ..Task::default()
        });
        assert!(is_over(&settled) && is_over(&Board::default()));
    }
}
