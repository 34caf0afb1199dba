//! Random audits.

use gavel_settlement::bindings::IAudits::IAuditsEvents;

use super::{Chronicle, Said, id, plain, word};
use crate::amount::tokens;
use crate::timeline::Tone;
use crate::{AuditReport, Fault};

impl Chronicle {
    pub(super) fn audits(&mut self, event: &IAuditsEvents) -> Vec<Said> {
        match event {
            IAuditsEvents::AuditDecided(e) => {
                let outcome = if e.selected { "open" } else { "not drawn" };
                self.audits.push(AuditReport {
                    task: id(e.taskId),
                    attempt: e.attempt,
                    selected: e.selected,
                    auditors: Vec::new(),
                    outcome: outcome.to_owned(),
                    dispute: None,
                });
                let (tone, verb) = match e.selected {
                    true => (Tone::Plain, "is to be audited"),
                    false => (Tone::Quiet, "is not audited"),
                };
                vec![Said::Headline(
                    tone,
                    format!("looks at the beacon: task {} {verb}", e.taskId),
                )]
            }
            IAuditsEvents::AuditorDrawn(e) => {
                let auditor = self.name(&e.auditor);
                self.audit(id(e.taskId), |a| a.auditors.push(auditor.clone()));
                vec![Said::Detail(format!(
                    "{auditor} is drawn, by stake, to run it again"
                ))]
            }
            IAuditsEvents::AuditCommitted(e) if self.has_fault(&e.auditor, Fault::LazyAuditor) => {
                vec![Said::Headline(
                    Tone::Bad,
                    format!(
                        "commits to the provider's digests of task {}, which it has not run; nobody knows that yet",
                        e.taskId
                    ),
                )]
            }
            IAuditsEvents::AuditCommitted(e) => plain(format!(
                "has run task {} again and commits to what it found, still hidden",
                e.taskId
            )),
            IAuditsEvents::AuditMatched(e) => {
                self.audit(id(e.taskId), |a| a.outcome = "matched".to_owned());
                vec![Said::Headline(
                    Tone::Good,
                    format!(
                        "opens its audit of task {}: every digest is the same; it is paid {}",
                        e.taskId,
                        tokens(e.fee)
                    ),
                )]
            }
            IAuditsEvents::AuditMismatched(e) => {
                let dispute = id(e.disputeId);
                self.audit(id(e.taskId), |a| {
                    a.outcome = "mismatched".to_owned();
                    a.dispute = Some(dispute);
                });
                self.opened_by_audit(dispute);
                vec![Said::Headline(
                    Tone::Dispute,
                    format!(
                        "opens its audit of task {}: it found something else",
                        e.taskId
                    ),
                )]
            }
            IAuditsEvents::AuditFailed(e) => {
                self.audit(id(e.taskId), |a| a.outcome = "failed".to_owned());
                let why = match word(&e.reason).as_str() {
                    "open" => "cannot show the tensors behind its digests",
                    _ => "has not answered",
                };
                vec![Said::Headline(
                    Tone::Bad,
                    format!(
                        "ends the turn of auditor {} at task {}: it {why}",
                        self.name(&e.auditor),
                        e.taskId
                    ),
                )]
            }
            IAuditsEvents::AuditWaived(e) => {
                self.audit(id(e.taskId), |a| a.outcome = "waived".to_owned());
                vec![Said::Detail(format!(
                    "nobody is left to audit task {}: the audit is waived",
                    e.taskId
                ))]
            }
            IAuditsEvents::AuditorReleased(e) => vec![Said::Headline(
                Tone::Quiet,
                format!("ends the duty of auditor {}", self.name(&e.auditor)),
            )],
        }
    }

    /// The newest audit of a task.
    fn audit(&mut self, task: u64, change: impl FnOnce(&mut AuditReport)) {
        if let Some(audit) = self.audits.iter_mut().rev().find(|a| a.task == task) {
            change(audit);
        }
    }
}
