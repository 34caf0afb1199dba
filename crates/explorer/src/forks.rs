//! The two values where the sides of a dispute part, computed again from what is in the blob store.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_dispute::appeal::Explanation;
use gavel_node::Party;
use gavel_node::board::Board;
use gavel_node::evidence::{JudgeLimits, gather, judge};
use gavel_trace::Digest;
use serde_json::{Value, json};

use crate::state::{Fork, Shared, State};

/// Looks for disputes whose values are not known yet.
pub(crate) struct Forks {
    party: Party,
    tries: Tries,
}

impl std::fmt::Debug for Forks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forks").finish_non_exhaustive()
    }
}

/// Where a dispute stands: what its values are computed from changes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    claimed: Digest,
    moves: usize,
}

/// A dispute whose values are to be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    id: u64,
    claimed: Digest,
    decided: Option<u64>,
}

/// Looks at disputes whose values could not be had, by dispute.
#[derive(Clone, Debug, Default)]
struct Tries(BTreeMap<u64, (Position, u32)>);

impl Tries {
    /// Whether a look is a try. A try costs a whole inference, and blobs may come late: the first look at a position is
    /// one, the second, the fourth, the eighth and so on.
    fn is_due(&mut self, id: u64, at: Position) -> bool {
        let (position, looks) = self.0.entry(id).or_insert((at, 0));
        if *position != at {
            (*position, *looks) = (at, 0);
        }
        *looks = looks.saturating_add(1);
        looks.is_power_of_two()
    }

    fn wanted(&mut self, state: &State) -> Vec<Wanted> {
        let disputes = &state.index.disputes;
        self.0.retain(|id, _| disputes.contains_key(id));
        let mut wanted = Vec::new();
        for (id, tale) in disputes {
            let Some(claimed) = tale.isolated.map(|place| place.claimed) else {
                continue;
            };
            let decided = decided(&state.board, *id);
            let fork = state.forks.get(id);
            let is_known = fork.is_some_and(|fork| {
                fork.claimed == claimed
                    && (tale.appeal.is_none() || fork.shown["element"].is_u64())
                    && fork.explains(decided)
            });
            let at = Position {
                claimed,
                moves: tale.moves.len(),
            };
            if is_known {
                self.0.remove(id);
            } else if self.is_due(*id, at) {
                let id = *id;
                wanted.push(Wanted {
                    id,
                    claimed,
                    decided,
                });
            }
        }
        wanted
    }
}

impl Fork {
    /// Whether the batch that the contract has executed is the one shown, or was known when this was computed.
    fn explains(&self, decided: Option<u64>) -> bool {
        decided.is_none()
            || self.decided == decided
            || self.shown["step"]["batch"].as_u64() == decided
    }
}

/// The batch by which the contract has decided a dispute's appeal.
fn decided(board: &Board, id: u64) -> Option<u64> {
    let (_, step) = board.disputes.get(&id)?.appeal.decided.as_ref()?;
    Some(step.batch)
}

impl Forks {
    pub(crate) fn new(party: Party) -> Forks {
        Forks {
            party,
            tries: Tries::default(),
        }
    }

    /// Computes what is missing, one dispute at a time.
    pub(crate) async fn look(&mut self, shared: &Shared) {
        let (board, wanted) = {
            let state = shared.read();
            (Arc::clone(&state.board), self.tries.wanted(&state))
        };
        for Wanted {
            id,
            claimed,
            decided,
        } in wanted
        {
            // what cannot be computed is not shown; it may become known with the next move
            let Ok(Some(evidence)) = gather(&self.party, &board, id).await else {
                continue;
            };
            let judged =
                tokio::task::spawn_blocking(move || judge(&evidence, &JudgeLimits::default()));
            let Ok(Ok(judgement)) = judged.await else {
                continue;
            };
            let holds = judgement.claim_holds();
            let shown = match &judgement.step {
                Some(step) => element(step),
                None => json!({
                    "source": "computed", "element": null, "coordinates": [], "dtype": null,
                    "claimed": {"bits": judgement.claimed, "text": "this digest"},
                    "computed": {"bits": judgement.recomputed, "text": if holds { "the same digest" } else { "another digest" }},
                }),
            };
            let fork = Fork {
                claimed,
                decided,
                shown,
            };
            show(shared, id, fork);
        }
    }
}

/// Puts values into the answers, unless the chain has gone another way while they were computed.
fn show(shared: &Shared, id: u64, fork: Fork) {
    let mut state = shared.write();
    let State { index, forks, .. } = &mut *state;
    forks.retain(|id, _| index.disputes.contains_key(id));
    let place = index.disputes.get(&id).and_then(|tale| tale.isolated);
    if place.is_none_or(|place| place.claimed != fork.claimed) {
        return;
    }
    let is_new = forks.get(&id).is_none_or(|old| old.shown != fork.shown);
    forks.insert(id, fork);
    if is_new {
        state.version += 1;
        shared.bus.send("values", &json!({ "dispute": id }));
    }
}

/// An element that differs, and the step that makes it differ.
fn element(step: &Explanation) -> Value {
    let value = |bits: u64| json!({"bits": format!("{bits:#x}"), "text": crate::words::number(step.dtype, bits)});
    json!({
        "source": "computed", "element": step.element, "coordinates": step.coordinates,
        "dtype": format!("{:?}", step.dtype).to_lowercase(),
        "claimed": value(step.claimed), "computed": value(step.value),
        "step": {
            "text": step.to_string(),
            "instruction": format!("{:?}", step.deciding.opcode),
            "operands": step.deciding.operands.iter().map(|bits| format!("{bits:#x}")).collect::<Vec<_>>(),
            "result": format!("{:#x}", step.deciding.result),
            "batch": step.batch,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries_of(tries: &mut Tries, at: Position, looks: u32) -> Vec<u32> {
        (1..=looks).filter(|_| tries.is_due(1, at)).collect()
    }

    #[test]
    fn a_place_is_never_given_up_and_a_move_makes_it_new() {
        let mut tries = Tries::default();
        let at = |moves| Position {
            claimed: Digest([7; 32]),
            moves,
        };
        assert_eq!(tries_of(&mut tries, at(3), 70), [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(tries_of(&mut tries, at(4), 3), [1, 2]);
        // a reorg may take a dispute back to where it was
        assert_eq!(tries_of(&mut tries, at(3), 3), [1, 2]);
    }

    #[test]
    fn an_executed_batch_is_explained_once() {
        let fork = |decided, batch: u64| Fork {
            claimed: Digest([7; 32]),
            decided,
            shown: json!({ "step": { "batch": batch } }),
        };
        assert!(fork(None, 3).explains(None));
        assert!(fork(None, 3).explains(Some(3)));
        assert!(!fork(None, 3).explains(Some(4)));
        assert!(fork(Some(4), 3).explains(Some(4)));
        assert!(!fork(Some(4), 3).explains(Some(5)));
    }
}
