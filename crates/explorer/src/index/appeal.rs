//! Appeals, move by move.

use gavel_settlement::bindings::AppealOutcome;
use gavel_settlement::bindings::IAppealLevels::IAppealLevelsEvents;

use super::told::Telling;
use super::transaction::Transaction;
use super::{Index, Level, Shown, Tone, digest, id, word};

impl Index {
    pub(super) fn appeal(
        &mut self,
        tx: &Transaction,
        event: &IAppealLevelsEvents,
        telling: &mut Telling,
    ) {
        use IAppealLevelsEvents as E;
        let dispute = id(match event {
            E::AppealOpened(e) => e.disputeId,
            E::TensorOpened(e) => e.disputeId,
            E::ChunkRowRevealed(e) => e.disputeId,
            E::ChunkPicked(e) => e.disputeId,
            E::ChunkRevealed(e) => e.disputeId,
            E::ElementPicked(e) => e.disputeId,
            E::StatesRevealed(e) => e.disputeId,
            E::StatePicked(e) => e.disputeId,
            E::StepExecuted(e) => e.disputeId,
            E::SlotResolved(e) => e.disputeId,
            E::AppealEnded(e) => e.disputeId,
        });
        telling.touch_dispute(dispute);
        let opened = match event {
            E::AppealOpened(e) => Some(format!(
                "{} stands by the output, {} disputes it, down to one step",
                self.name(&e.defender),
                self.name(&e.accuser)
            )),
            _ => None,
        };
        let Some(tale) = self.tale(dispute) else {
            return;
        };
        let (defends, accuses) = match tale.ruling.as_ref().is_some_and(|r| r.earlier) {
            true => ("provider", "referee"),
            false => ("provider", "challenger"),
        };
        let (side, kind, level, what, digests) = match event {
            E::AppealOpened(_) => {
                tale.turn_since = tx.time;
                if let Some(what) = opened {
                    telling.detail(what);
                }
                return;
            }
            E::TensorOpened(_) => (
                defends,
                "open_tensor",
                Level::Chunks,
                "opens the output that it stands by".to_owned(),
                Vec::new(),
            ),
            E::ChunkRowRevealed(e) => {
                tale.round += 1;
                let row = e.row.iter().enumerate().map(|(i, value)| Shown {
                    digest: digest(value),
                    first: i as u64,
                    last: i as u64,
                    picked: false,
                });
                let what = format!("reveals {} digests of parts of that output", e.row.len());
                (defends, "reveal_chunks", Level::Chunks, what, row.collect())
            }
            E::ChunkPicked(e) => {
                tale.mark(e.childIndex.into());
                let what = match e.height {
                    0 => format!("disagrees first in part {} of it", e.index),
                    _ => "disagrees with one of them".to_owned(),
                };
                (accuses, "pick_chunk", Level::Chunks, what, Vec::new())
            }
            E::ChunkRevealed(e) => {
                tale.round += 1;
                let what = format!("shows the {} bytes of part {}", e.chunk.len(), e.index);
                (defends, "reveal_chunk", Level::Chunks, what, Vec::new())
            }
            E::ElementPicked(e) => {
                let what = format!(
                    "disagrees with element {}, claimed to be {:#x}",
                    e.element, e.value
                );
                (accuses, "pick_element", Level::Element, what, Vec::new())
            }
            E::StatesRevealed(e) => {
                tale.round += 1;
                let last = (e.firstBatch + e.batches).saturating_sub(1);
                let what = match e.states.len() {
                    0 => format!("says that it takes {} batch of steps", e.batches),
                    n => format!(
                        "gives {n} states of the machine within batches {} to {last}",
                        e.firstBatch
                    ),
                };
                let states = e.states.iter().enumerate().map(|(i, value)| Shown {
                    digest: digest(value),
                    first: i as u64,
                    last: i as u64,
                    picked: false,
                });
                (
                    defends,
                    "reveal_states",
                    Level::States,
                    what,
                    states.collect(),
                )
            }
            E::StatePicked(e) => {
                tale.mark(e.part.into());
                let last = (e.firstBatch + e.batches).saturating_sub(1);
                let what = match e.batches {
                    1 => format!("disagrees with batch {} of its steps", e.firstBatch),
                    _ => format!("disagrees within batches {} to {last}", e.firstBatch),
                };
                (accuses, "pick_state", Level::States, what, Vec::new())
            }
            E::StepExecuted(e) => {
                let end = match e.claimed == e.computed {
                    true => "it ends as claimed",
                    false => "it does not end as claimed",
                };
                let what = format!("has the contract execute batch {}: {end}", e.batch);
                (accuses, "execute_step", Level::States, what, Vec::new())
            }
            E::SlotResolved(e) => {
                let found = match e.claimed == e.found {
                    true => "it is what was claimed",
                    false => "it is not what was claimed",
                };
                let what = format!("shows what the slot copies: {found}");
                (accuses, "resolve_slot", Level::Live, what, Vec::new())
            }
            E::AppealEnded(e) => {
                let late = if word(&e.reason) == "timeout" {
                    ": a clock has run out"
                } else {
                    ""
                };
                let what = match AppealOutcome::try_from(e.outcome) {
                    Ok(AppealOutcome::Guilty) => "on appeal the provider is guilty",
                    Ok(AppealOutcome::Cleared) => "on appeal the provider is cleared",
                    Ok(AppealOutcome::Void) => "the appeal has no outcome",
                    _ => "this game goes against the ruling; the referee may play it again",
                };
                let what = format!("{what}{late}");
                tale.push(tx, "anyone", "appeal_ended", &what);
                telling.headline(Tone::Dispute, what);
                return;
            }
        };
        let side = match (tx.from == tale.provider, tx.from == tale.challenger) {
            (true, _) => "provider",
            (_, true) => "challenger",
            _ if tale.draws.iter().any(|d| d.party == tx.from) => "referee",
            _ => side,
        };
        let used = tale.used(tx);
        let own = tale.push(tx, side, kind, &what);
        own.level = Some(level);
        (own.digests, own.used) = (digests, used);
        telling.headline(Tone::Dispute, what);
    }
}
