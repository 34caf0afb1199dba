//! Appeals, move by move.

use gavel_dispute::appeal::Explanation;
use gavel_settlement::bindings::IAppealLevels::{
    AppealEnded, AppealOpened, IAppealLevelsEvents, StatesRevealed,
};
use gavel_settlement::bindings::{AppealOutcome, AppealPhase};

use super::{Chronicle, Said, id};
use crate::timeline::Tone;

/// A headline about a dispute.
fn headline(what: impl Into<String>) -> Vec<Said> {
    vec![Said::Headline(Tone::Dispute, what.into())]
}

impl Chronicle {
    pub(super) fn appeals(&mut self, event: &IAppealLevelsEvents) -> Vec<Said> {
        use IAppealLevelsEvents as E;
        let (dispute, round) = match event {
            E::AppealOpened(e) => (e.disputeId, false),
            E::TensorOpened(e) => (e.disputeId, false),
            E::ChunkRowRevealed(e) => (e.disputeId, false),
            E::ChunkPicked(e) => (e.disputeId, true),
            E::ChunkRevealed(e) => (e.disputeId, false),
            E::ElementPicked(e) => (e.disputeId, true),
            E::StatesRevealed(e) => (e.disputeId, false),
            E::StatePicked(e) => (e.disputeId, true),
            E::StepExecuted(e) => (e.disputeId, false),
            E::SlotResolved(e) => (e.disputeId, false),
            E::AppealEnded(e) => (e.disputeId, false),
        };
        self.dispute(id(dispute), |tale| {
            tale.report.appeal_rounds += u32::from(round);
        });
        match event {
            E::AppealOpened(e) => self.appeal_opened(e),
            E::TensorOpened(_) => headline("opens the output that it stands by"),
            E::ChunkRowRevealed(e) => headline(format!(
                "reveals {} digests of parts of that output",
                e.row.len()
            )),
            E::ChunkPicked(e) if e.height == 0 => {
                headline(format!("disagrees first in part {} of it", e.index))
            }
            E::ChunkPicked(_) => headline("disagrees with one of them"),
            E::ChunkRevealed(e) => headline(format!(
                "shows the {} bytes of part {}",
                e.chunk.len(),
                e.index
            )),
            E::ElementPicked(e) => headline(format!(
                "disagrees with element {}, claimed to be {:#x}",
                e.element, e.value
            )),
            E::StatesRevealed(e) => states(e),
            E::StatePicked(e) if e.batches == 1 => headline(format!(
                "disagrees with batch {} of its steps",
                e.firstBatch
            )),
            E::StatePicked(e) => headline(format!(
                "disagrees within batches {} to {}",
                e.firstBatch,
                (e.firstBatch + e.batches).saturating_sub(1)
            )),
            E::StepExecuted(e) if e.claimed == e.computed => headline(format!(
                "has the contract execute batch {}: it ends as claimed",
                e.batch
            )),
            E::StepExecuted(e) => {
                self.decided.push(id(e.disputeId));
                headline(format!(
                    "has the contract execute batch {}: it does not end as claimed",
                    e.batch
                ))
            }
            E::SlotResolved(e) if e.claimed == e.found => {
                headline("shows what the slot copies: it is what was claimed")
            }
            E::SlotResolved(_) => {
                headline("shows what the slot copies: it is not what was claimed")
            }
            E::AppealEnded(e) => appeal_ended(e),
        }
    }

    /// Notes the step that decided a dispute, and tells it.
    pub(crate) fn step(&mut self, dispute: u64, step: &Explanation) -> Vec<String> {
        let Some(tale) = self.disputes.get_mut(&dispute) else {
            return Vec::new();
        };
        let place = tale.report.isolated.as_ref();
        let (number, name) = place.map_or((0, ""), |place| (place.step, place.name.as_str()));
        let words = format!("step {number}, {name}, {step}");
        tale.report.step = Some(words.clone());
        vec![words]
    }

    fn appeal_opened(&self, e: &AppealOpened) -> Vec<Said> {
        let (defender, accuser) = (self.name(&e.defender), self.name(&e.accuser));
        let what = match AppealPhase::try_from(e.phase) {
            Ok(AppealPhase::Ended) => {
                return vec![Said::Detail(
                    "the appeal levels have no rule for this place".to_owned(),
                )];
            }
            _ if e.replay => format!(
                "the referee may play once more for its ruling: {defender} stands by the output, {accuser} disputes it"
            ),
            _ => {
                format!("{defender} stands by the output, {accuser} disputes it, down to one step")
            }
        };
        vec![Said::Detail(what)]
    }
}

fn states(e: &StatesRevealed) -> Vec<Said> {
    let inside = e.states.len();
    headline(match inside {
        0 => format!("says that it takes {} batch of steps", e.batches),
        _ => format!(
            "gives {inside} states of the machine within batches {} to {}",
            e.firstBatch,
            (e.firstBatch + e.batches).saturating_sub(1)
        ),
    })
}

fn appeal_ended(e: &AppealEnded) -> Vec<Said> {
    let late = super::word(&e.reason) == "timeout";
    let headline = late.then(|| {
        let what = format!(
            "ends the appeal game of dispute {}: the side to move has let its clock run out",
            e.disputeId
        );
        Said::Headline(Tone::Dispute, what)
    });
    let what = match AppealOutcome::try_from(e.outcome) {
        Ok(AppealOutcome::Guilty) => "on appeal the provider is guilty",
        Ok(AppealOutcome::Cleared) => "on appeal the provider is cleared",
        Ok(AppealOutcome::Void) => "the appeal has no outcome",
        _ => "this game goes against the ruling",
    };
    let outcome = Said::Detail(what.to_owned());
    headline.into_iter().chain([outcome]).collect()
}
