//! The audits of a round: decided, drawn, done by whoever is drawn, and drawn again where that fails.

use rand::Rng as _;

use super::round::{BEACON, Job, RIGHT, Round};
use super::{Broken, Stage};
use crate::agents::{ALL, Agent, Audit};
use crate::ledger::{Answer, AuditPhase, Done, Op, Party};

impl<S: Stage> Round<'_, S> {
    pub(super) fn audit(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        let now = self.now();
        let delay = u64::from(self.market.params.market.seedDelay);
        self.advance_to(now + delay + 2 * BEACON)?;
        let mut due = Vec::new();
        for job in jobs {
            if !self.has_result(job) {
                continue;
            }
            self.act(Op::Decide { task: job.task })?;
            if self.audit_of(job) != AuditPhase::Drawn {
                continue;
            }
            due.push(*job);
            let convicts = |a: &dyn Agent| a.convicts_itself();
            if job.work.is_wrong && self.agent_of(job.key).is_some_and(convicts) {
                self.convict_oneself(job)?;
            }
        }
        let draws = 1 + u32::from(self.market.params.audit.maxRedraws);
        for _ in 0..draws {
            if due.is_empty() {
                break;
            }
            self.audits_of_a_draw(&due)?;
            self.show_found(&due)?;
            // a trap that was found has no result any more
            due.retain(|job| self.audit_of(job) != AuditPhase::Closed && self.has_result(job));
            if due.is_empty() {
                break;
            }
            // the longest deadline of those who have committed and of those who have not
            let a = &self.market.params.audit;
            let slack = u64::from(self.market.params.court.beaconSlack);
            let wait = u64::from(a.commitSeconds.max(a.openSeconds)) + slack;
            let now = self.now();
            self.advance_to(now + wait + BEACON + 1)?;
            for job in &due {
                self.act(Op::AuditTimeout { task: job.task })?;
            }
            due.retain(|job| self.audit_of(job) == AuditPhase::Drawn);
        }
        Ok(())
    }

    fn audits_of_a_draw(&mut self, due: &[Job]) -> Result<(), Broken> {
        for job in due {
            let Some((auditor, answer)) = self.audited(job) else {
                continue;
            };
            let task = job.task;
            let op = Op::AuditCommit {
                task,
                auditor,
                answer,
            };
            self.act(op)?;
        }
        let now = self.now();
        self.advance_to(now + 2 * BEACON)?;
        for job in due {
            if self.audit_of(job) != AuditPhase::Committed {
                continue;
            }
            let (task, auditor) = (job.task, self.auditor_of(job));
            if matches!(self.act(Op::AuditOpen { task, auditor })?, Done::Dispute(_)) {
                self.disputes += 1;
            }
        }
        Ok(())
    }

    /// Who audits, and what it says; nothing where it will have nothing to open.
    fn audited(&mut self, job: &Job) -> Option<(Party, Answer)> {
        let auditor = self.auditor_of(job);
        let found = self.stage.ledger().task(job.task)?.answer;
        let censors = |a: &dyn Agent| a.censors();
        if job.work.is_wrong && self.agent_of(job.key).is_some_and(censors) {
            let bought = self.market.censoring();
            self.of(job.key, |p| p.trouble -= bought as i128);
            return None;
        }
        let seen = self.seen(job, auditor);
        let conduct = match self.agent_of(auditor) {
            Some(agent) => agent.audit(seen, &mut self.chance),
            None => Audit::Runs,
        };
        self.of(auditor, |p| p.audits += 1);
        // the fee pays run and gas, and a quarter more
        let cost = self.market.params.audit.fee * 4 / 5;
        // whoever sets a trap has its provider hand over all that it is asked for
        let is_told = match conduct {
            Audit::Copies | Audit::Believes => {
                let leaks = self.chance.random_range(0..u32::from(ALL)) < self.market.leaks_bps;
                leaks || seen.by_friend || job.seal.is_some()
            }
            _ => false,
        };
        match conduct {
            Audit::Sleeps => None,
            Audit::Copies => is_told.then_some((auditor, found)),
            Audit::Believes if is_told => Some((auditor, found)),
            Audit::Runs | Audit::Believes => {
                self.of(auditor, |p| p.checks -= cost as i128);
                let detection = u32::from(self.market.params.economics.detectionBps);
                let sees = self.chance.random_range(0..u32::from(ALL)) < detection;
                match sees {
                    true => Some((auditor, RIGHT)),
                    false => Some((auditor, found)),
                }
            }
        }
    }

    fn convict_oneself(&mut self, job: &Job) -> Result<(), Broken> {
        let kind = self.kind(job.key).map_or(0, usize::from);
        let Some(&by) = self.friends.get(kind) else {
            return Ok(());
        };
        let (task, answer) = (job.task, RIGHT);
        if self.try_act(Op::Challenge { task, by, answer })? {
            self.act(Op::Reveal { task, by })?;
            self.disputes += 1;
        }
        Ok(())
    }
}
