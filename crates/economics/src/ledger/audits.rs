//! The audits' calls.

use super::{AuditPhase, Audited, Done, Fate, Ledger, Party, Reason, Refused, Task, TaskId};
use crate::penalty::audit_rate;

impl Ledger {
    pub(super) fn decide(&mut self, id: TaskId, fate: Fate) -> Result<Done, Refused> {
        let task = self.result(id)?;
        if task.audit != AuditPhase::Undecided {
            return Err(Refused("AlreadyDecided"));
        }
        let is_selected = self.is_audited(id, fate.lot);
        match is_selected {
            true => self.draw_auditor(id, fate.drawn)?,
            false => self.result(id)?.audit = AuditPhase::NotDrawn,
        }
        Ok(Done::Decided(is_selected))
    }

    /// Whether a number below a million has a result audited, by its provider's record.
    pub fn is_audited(&self, id: TaskId, lot: u32) -> bool {
        let provider = self.tasks.get(id).map_or(0, |t| t.provider);
        let account = self.accounts.get(provider as usize);
        let settled = account.map_or(0, |a| a.settled);
        u64::from(lot) < audit_rate(&self.params.audit, settled)
    }

    pub(super) fn audit_commit(
        &mut self,
        id: TaskId,
        auditor: Party,
        answer: u64,
        fate: Fate,
    ) -> Result<Done, Refused> {
        let now = self.now;
        let slack = u64::from(self.params.court.beaconSlack);
        let open = u64::from(self.params.audit.openSeconds);
        let task = self.on_duty(id, auditor, AuditPhase::Drawn, fate)?;
        task.audit = AuditPhase::Committed;
        task.audited.answer = answer;
        task.audited.committed_at = now;
        task.audit_deadline = fate.seed_due + slack + open;
        Ok(Done::Nothing)
    }

    /// Matched: paid. Mismatched: a dispute, whose bond the pool puts up before it pays the fee.
    pub(super) fn audit_open(
        &mut self,
        id: TaskId,
        auditor: Party,
        fate: Fate,
    ) -> Result<Done, Refused> {
        let task = self.on_duty(id, auditor, AuditPhase::Committed, fate)?;
        if fate.seed_at.is_none() {
            return Err(Refused("RoundNotOut"));
        }
        task.audit = AuditPhase::Closed;
        let matches = task.audited.answer == task.answer;
        task.audited.matched = Some(matches);
        let done = match matches {
            true => Done::Nothing,
            false => {
                let bond = self.bond().min(self.pool);
                self.pool -= bond;
                self.open_dispute(id, auditor, bond, true)?
            }
        };
        let fee = self.params.audit.fee.min(self.pool);
        self.pool -= fee;
        self.pay(auditor, fee, Reason::Fee);
        Ok(done)
    }

    pub(super) fn audit_timeout(&mut self, id: TaskId, fate: Fate) -> Result<Done, Refused> {
        let most = self.params.audit.maxRedraws;
        let penalty = self.params.audit.penalty;
        let now = self.now;
        self.result(id)?;
        let deadline = self.audit_deadline(id, fate);
        let task = self.result(id)?;
        if !matches!(task.audit, AuditPhase::Drawn | AuditPhase::Committed) {
            return Err(Refused("WrongAuditState"));
        }
        if now <= deadline {
            return Err(Refused("DeadlineNotPassed"));
        }
        if task.audit == AuditPhase::Committed && fate.seed_at.is_none() {
            return Err(Refused("RoundNotOut"));
        }
        let (auditor, draws) = (task.audited.auditor, task.audit_draws);
        self.burned += self.penalise(auditor, penalty);
        self.draw_auditor(id, fate.drawn.filter(|_| draws <= most))?;
        Ok(Done::Nothing)
    }

    /// The last second of whoever was drawn: a seed that came late leaves it its whole time.
    fn audit_deadline(&self, id: TaskId, fate: Fate) -> u64 {
        let Some(task) = self.tasks.get(id) else {
            return 0;
        };
        let open = u64::from(self.params.audit.openSeconds);
        match (task.audit, fate.seed_at) {
            (AuditPhase::Committed, Some(at)) => task.audit_deadline.max(at + open),
            _ => task.audit_deadline,
        }
    }

    /// Nobody drawn: waived.
    fn draw_auditor(&mut self, id: TaskId, drawn: Option<Party>) -> Result<(), Refused> {
        let deadline = self.now + u64::from(self.params.audit.commitSeconds);
        let task = self.result(id)?;
        match drawn {
            Some(auditor) => {
                task.audit = AuditPhase::Drawn;
                task.audited = Audited {
                    auditor,
                    ..Audited::default()
                };
                task.audit_deadline = deadline;
                task.audit_draws += 1;
            }
            None => task.audit = AuditPhase::Closed,
        }
        Ok(())
    }

    /// The result that an auditor has to speak about now.
    fn on_duty(
        &mut self,
        id: TaskId,
        auditor: Party,
        phase: AuditPhase,
        fate: Fate,
    ) -> Result<&mut Task, Refused> {
        let now = self.now;
        self.result(id)?;
        let deadline = self.audit_deadline(id, fate);
        let task = self.result(id)?;
        if task.audit != phase {
            return Err(Refused("WrongAuditState"));
        }
        if task.audited.auditor != auditor {
            return Err(Refused("NotAuditor"));
        }
        match now > deadline {
            true => Err(Refused("DeadlinePassed")),
            false => Ok(task),
        }
    }

    fn result(&mut self, id: TaskId) -> Result<&mut Task, Refused> {
        let task = self.tasks.get_mut(id).ok_or(Refused("NoResult"))?;
        if !task.has_result() {
            return Err(Refused("NoResult"));
        }
        let key = task.provider as usize;
        if self.accounts.get(key).is_some_and(|a| a.tombstoned) {
            return Err(Refused("ResultIsReversed"));
        }
        self.tasks.get_mut(id).ok_or(Refused("NoResult"))
    }
}
