//! The two values where the sides of a dispute part, computed again from what is in the blob store.

use std::collections::BTreeMap;

use gavel_dispute::appeal::Explanation;
use gavel_node::Party;
use gavel_node::evidence::{JudgeLimits, gather, judge};
use gavel_trace::Digest;
use serde_json::{Value, json};

use crate::state::{Fork, Shared};

/// Times that the values of one claim are tried to be had.
const TRIES: u32 = 40;

/// Looks for disputes whose values are not known yet.
#[derive(Clone)]
pub(crate) struct Forks {
    party: Party,
    /// Tries by dispute and claim.
    tried: BTreeMap<(u64, Digest), u32>,
}

impl std::fmt::Debug for Forks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forks").finish_non_exhaustive()
    }
}

impl Forks {
    pub(crate) fn new(party: Party) -> Forks {
        Forks {
            party,
            tried: BTreeMap::new(),
        }
    }

    /// Computes what is missing, one dispute at a time.
    pub(crate) async fn look(&mut self, shared: &Shared) {
        let (board, wanted) = {
            let state = shared.read();
            let isolated = state.index.disputes.iter().filter_map(|(id, tale)| {
                let claimed = tale.isolated?.claimed;
                let known = state.forks.get(id).is_some_and(|fork| {
                    fork.claimed == claimed
                        && (tale.appeal.is_none() || fork.shown["element"].is_u64())
                });
                let tries = self.tried.get(&(*id, claimed)).copied().unwrap_or(0);
                (!known && tries < TRIES).then_some((*id, claimed))
            });
            (state.board.clone(), isolated.collect::<Vec<_>>())
        };
        for (id, claimed) in wanted {
            *self.tried.entry((id, claimed)).or_default() += 1;
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
            let mut state = shared.write();
            let before = state.forks.insert(
                id,
                Fork {
                    claimed,
                    shown: shown.clone(),
                },
            );
            if before.is_none_or(|before| before.shown != shown) {
                state.version += 1;
                shared.bus.send("values", &json!({ "dispute": id }));
            }
        }
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
