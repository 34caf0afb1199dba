//! The audits' calls.

use super::{AuditPhase, Done, Fate, Ledger, Party, Reason, Refused, Task, TaskId};

impl Ledger {
    pub(super) fn decide(&mut self, id: TaskId, fate: Fate) -> Result<Done, Refused> {
        let task = self.result(id)?;
        if task.audit != AuditPhase::Undecided {
            return Err(Refused("AlreadyDecided"));
        }
        match fate.is_selected {
            true => self.draw_auditor(id, fate.drawn),
            false => {
                task.audit = AuditPhase::NotDrawn;
                Ok(Done::Nothing)
            }
        }
    }

    pub(super) fn audit_commit(
        &mut self,
        id: TaskId,
        auditor: Party,
        answer: u64,
    ) -> Result<Done, Refused> {
        let task = self.result(id)?;
        if task.audit != AuditPhase::Drawn {
            return Err(Refused("WrongAuditState"));
        }
        if task.auditor != auditor {
            return Err(Refused("NotAuditor"));
        }
        task.audit = AuditPhase::Committed;
        task.audit_answer = answer;
        Ok(Done::Nothing)
    }

    /// Matched: paid. Mismatched: a dispute, whose bond the pool puts up before it pays the fee.
    pub(super) fn audit_open(&mut self, id: TaskId, auditor: Party) -> Result<Done, Refused> {
        let task = self.result(id)?;
        if task.audit != AuditPhase::Committed {
            return Err(Refused("WrongAuditState"));
        }
        if task.auditor != auditor {
            return Err(Refused("NotAuditor"));
        }
        task.audit = AuditPhase::Closed;
        let matches = task.audit_answer == task.answer;
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
        let task = self.result(id)?;
        if !matches!(task.audit, AuditPhase::Drawn | AuditPhase::Committed) {
            return Err(Refused("WrongAuditState"));
        }
        let (auditor, draws) = (task.auditor, task.audit_draws);
        self.burned += self.penalise(auditor, penalty);
        self.draw_auditor(id, fate.drawn.filter(|_| draws <= most))
    }

    /// Nobody drawn: waived.
    fn draw_auditor(&mut self, id: TaskId, drawn: Option<Party>) -> Result<Done, Refused> {
        let task = self.result(id)?;
        match drawn {
            Some(auditor) => {
                task.audit = AuditPhase::Drawn;
                task.auditor = auditor;
                task.audit_draws += 1;
            }
            None => task.audit = AuditPhase::Closed,
        }
        Ok(Done::Nothing)
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
