//! The disputes of a round, played to their ends side by side.

use std::collections::HashMap;

use super::round::{Job, Round};
use super::{Broken, Stage};
use crate::ledger::{DisputeId, DisputePhase, Op, Party, TaskId, TaskPhase};

/// Longest wait for a round of the beacon.
const BEACON: u64 = 20;

/// The round's results by their tasks.
type Docket<'a> = HashMap<TaskId, &'a Job>;

impl<S: Stage> Round<'_, S> {
    /// Every dispute that is open, to its end; then the results of those who were banned go back.
    pub(super) fn judge(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        let ids = self.stage.ledger().dispute_ids();
        let open: Vec<DisputeId> = ids.filter(|id| self.is_open(*id)).collect();
        if !open.is_empty() {
            let began = self.now();
            let docket: Docket = jobs.iter().map(|job| (job.task, job)).collect();
            self.play_games(&open, &docket)?;
            self.play_appeals(&open, &docket)?;
            self.close_moot(&open)?;
            self.count_frozen(&open, &docket, began);
        }
        self.reverse(jobs)
    }

    /// Dissection, referee, ruling, appeal window.
    fn play_games(&mut self, open: &[DisputeId], docket: &Docket) -> Result<(), Broken> {
        for &dispute in open {
            let (wrong, provider) = self.about(dispute, docket);
            let defends = self.agent_of(provider).is_some_and(|a| a.defends_lies());
            if !wrong || defends {
                self.act(Op::PostSegment { dispute })?;
                // who challenges a right result lets the clock run: that freezes longest
                if wrong {
                    self.act(Op::Pick { dispute })?;
                }
            }
        }
        self.draw_referees(open)?;
        for &dispute in open {
            if self.phase(dispute) == Some(DisputePhase::Refereed) {
                let (wrong, _) = self.about(dispute, docket);
                let truly = self.referee_rules_truly(dispute, docket);
                let guilty = wrong == truly;
                self.act(Op::Rule { dispute, guilty })?;
            }
        }
        // an honest loser appeals
        for &dispute in open {
            if self.phase(dispute) != Some(DisputePhase::Ruled) {
                continue;
            }
            let (wrong, provider) = self.about(dispute, docket);
            let Some(d) = self.stage.ledger().dispute(dispute) else {
                continue;
            };
            let (ruling, challenger) = (d.ruling, d.challenger);
            let by = match ruling {
                Some(false) if wrong => challenger,
                Some(true) if !wrong => provider,
                _ => continue,
            };
            self.act(Op::Appeal { dispute, by })?;
        }
        let c = &self.market.params.court;
        let wait = u64::from(c.clockBudget.max(c.appealWindow));
        let now = self.now();
        self.advance_to(now + wait + 1)?;
        for &dispute in open {
            let op = match self.phase(dispute) {
                Some(DisputePhase::SegmentWanted | DisputePhase::PickWanted) => {
                    Op::Timeout { dispute }
                }
                Some(DisputePhase::Ruled) => Op::Finalize { dispute },
                _ => continue,
            };
            if self.stands(dispute) {
                let requeued = self.end(op, dispute)?;
                self.count_requeues(requeued);
            }
        }
        Ok(())
    }

    fn draw_referees(&mut self, open: &[DisputeId]) -> Result<(), Broken> {
        let now = self.now();
        self.advance_to(now + BEACON)?;
        for &dispute in open {
            if self.phase(dispute) == Some(DisputePhase::Isolated) && self.stands(dispute) {
                self.act(Op::DrawReferee { dispute })?;
            }
        }
        Ok(())
    }

    /// Whoever is right shows its tensor or points to the wrong one; whoever is not lets its clock run out, in the game and in
    /// the referee's.
    fn play_appeals(&mut self, open: &[DisputeId], docket: &Docket) -> Result<(), Broken> {
        let clock = u64::from(self.market.params.court.clockBudget);
        for _ in 0..2 {
            let pending = |round: &Self, id: DisputeId| matches!(round.phase(id), Some(DisputePhase::Appealed(game)) if game.outcome.is_none());
            if !open.iter().any(|id| pending(self, *id)) {
                break;
            }
            for &dispute in open {
                let (wrong, _) = self.about(dispute, docket);
                if pending(self, dispute) && !wrong {
                    self.act(Op::ShowTensor { dispute })?;
                }
            }
            let now = self.now();
            self.advance_to(now + clock + 1)?;
            for &dispute in open {
                if pending(self, dispute) {
                    self.act(Op::AppealTimeout { dispute })?;
                }
            }
        }
        for &dispute in open {
            let appealed = matches!(self.phase(dispute), Some(DisputePhase::Appealed(_)));
            if appealed && self.stands(dispute) {
                let requeued = self.end(Op::Finalize { dispute }, dispute)?;
                self.count_requeues(requeued);
            }
        }
        Ok(())
    }

    fn close_moot(&mut self, open: &[DisputeId]) -> Result<(), Broken> {
        for &dispute in open {
            if self.is_open(dispute) && !self.stands(dispute) {
                self.act(Op::CloseMoot { dispute })?;
            }
        }
        Ok(())
    }

    fn reverse(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        for job in jobs {
            let ledger = self.stage.ledger();
            let Some(task) = ledger.task(job.task) else {
                continue;
            };
            let banned = ledger.accounts().get(job.key as usize);
            let is_banned = banned.is_some_and(|a| a.tombstoned);
            if is_banned && task.provider == job.key && task.is_served() {
                self.act(Op::Reverse { task: job.task })?;
                self.count_requeues(1);
            }
        }
        // a banned referee has results of its own, and those may be disputed by others
        let ids = self.stage.ledger().dispute_ids();
        let moot: Vec<DisputeId> = ids.filter(|id| self.is_open(*id)).collect();
        self.close_moot(&moot)
    }

    /// What a machine that stood still under an accusation that came to nothing would have earned.
    fn count_frozen(&mut self, open: &[DisputeId], docket: &Docket, began: u64) {
        let (rate, now) = (self.market.params.court.freezeRate, self.now());
        for &dispute in open {
            let (wrong, provider) = self.about(dispute, docket);
            if !wrong {
                let idle = rate * u128::from(now - began);
                self.of(provider, |p| p.trouble -= idle as i128);
            }
        }
    }

    /// Makes the call that ends a dispute; one where its task went back to the auction.
    fn end(&mut self, op: Op, dispute: DisputeId) -> Result<u64, Broken> {
        self.act(op)?;
        let ledger = self.stage.ledger();
        let task = ledger.dispute(dispute).and_then(|d| ledger.task(d.task));
        let is_back = task.is_some_and(|t| t.phase == TaskPhase::Open);
        Ok(u64::from(is_back))
    }

    fn referee_rules_truly(&self, dispute: DisputeId, docket: &Docket) -> bool {
        let Some(d) = self.stage.ledger().dispute(dispute) else {
            return true;
        };
        let job = docket.get(&d.task);
        let Some((job, agent)) = job.zip(self.agent_of(d.referee)) else {
            return true;
        };
        agent.rules_truly(self.seen(job, d.referee))
    }

    /// Whether the disputed result is wrong, and whose it is.
    fn about(&self, dispute: DisputeId, docket: &Docket) -> (bool, Party) {
        let Some(d) = self.stage.ledger().dispute(dispute) else {
            return (false, 0);
        };
        let job = docket.get(&d.task).filter(|job| job.key == d.provider);
        (job.is_some_and(|job| job.work.is_wrong), d.provider)
    }

    fn phase(&self, dispute: DisputeId) -> Option<DisputePhase> {
        self.stage.ledger().dispute(dispute).map(|d| d.phase)
    }

    fn is_open(&self, dispute: DisputeId) -> bool {
        let d = self.stage.ledger().dispute(dispute);
        d.is_some_and(|d| d.is_open())
    }

    fn stands(&self, dispute: DisputeId) -> bool {
        let ledger = self.stage.ledger();
        ledger.dispute(dispute).is_some_and(|d| ledger.stands(d))
    }
}
