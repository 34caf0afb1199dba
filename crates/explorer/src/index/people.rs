//! What addresses have done: providers' records, audits, everybody's coins.

use std::collections::VecDeque;
use std::sync::Arc;

use gavel_node::Address;
use gavel_settlement::bindings::IAudits::IAuditsEvents;
use gavel_settlement::bindings::StakeVault::StakeVaultEvents;

use super::ledger::{Account, Transfer, audited};
use super::told::Telling;
use super::transaction::Transaction;
use super::{AuditTale, AuditorTale, Index, Person, Slash, Tone, id, word};
use gavel_settlement::amount::tokens;

/// Puts something in front of a list that has a longest length.
fn remember<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    list.push_front(item);
    list.truncate(most);
}

impl Index {
    pub(super) fn person(&mut self, who: &Address) -> &mut Person {
        self.people.entry(*who).or_default()
    }

    pub(super) fn name_task(&mut self, who: &Address, task: u64) {
        let most = self.limits.per_provider;
        let tasks = &mut self.person(who).tasks;
        if !tasks.contains(&task) {
            remember(tasks, task, most);
        }
    }

    pub(super) fn name_dispute(&mut self, who: &Address, dispute: u64) {
        let most = self.limits.per_provider;
        let disputes = &mut self.person(who).disputes;
        if !disputes.contains(&dispute) {
            remember(disputes, dispute, most);
        }
    }

    /// Files a transfer with whose coin it is.
    pub(super) fn file(&mut self, transfer: &Arc<Transfer>) {
        let most = self.limits.transfers;
        let owner = |account: &Account| match account {
            Account::Wallet(who)
            | Account::Credit(who)
            | Account::Stake(who)
            | Account::Collateral(who, _)
            | Account::Challenge(who, _) => Some(*who),
            _ => None,
        };
        if let Account::Credit(who) = transfer.to {
            self.person(&who).earned += transfer.amount;
        }
        let (from, to) = (owner(&transfer.from), owner(&transfer.to));
        for who in from.into_iter().chain(to.filter(|to| Some(*to) != from)) {
            remember(&mut self.person(&who).money, Arc::clone(transfer), most);
        }
    }

    pub(super) fn note_slash(&mut self, slash: &Slash) {
        let most = self.limits.per_provider;
        let person = self.person(&slash.party);
        person.slashed += slash.amount;
        remember(&mut person.slashes, slash.clone(), most);
    }

    pub(super) fn vault(
        &mut self,
        tx: &Transaction,
        event: &StakeVaultEvents,
        telling: &mut Telling,
    ) {
        use StakeVaultEvents as E;
        match event {
            E::Registered(e) => {
                self.person(&e.provider).is_provider = true;
                telling.touch_provider(&e.provider);
                telling.headline(Tone::Plain, "registers as a provider".to_owned());
            }
            E::Staked(e) => {
                telling.touch_provider(&e.provider);
                let who = self.name(&e.provider);
                telling.headline(
                    Tone::Plain,
                    format!("stakes {} for {who}", tokens(e.amount)),
                );
            }
            E::UnbondRequested(e) => {
                telling.touch_provider(&e.provider);
                telling.headline(
                    Tone::Plain,
                    format!("asks for {} of its stake back", tokens(e.amount)),
                );
            }
            E::Unbonded(e) => {
                telling.touch_provider(&e.provider);
                telling.headline(
                    Tone::Plain,
                    format!("takes {} of its stake out", tokens(e.amount)),
                );
            }
            E::Tombstoned(e) => {
                let dispute = super::ledger::dispute_in(tx);
                let person = self.person(&e.provider);
                person.tombstoned_at = Some(tx.time);
                person.tombstoned_by = dispute;
                telling.touch_provider(&e.provider);
                telling.detail(format!("{} is removed for ever", self.name(&e.provider)));
            }
            E::CorrelatedPenalty(e) => {
                telling.touch_provider(&e.provider);
                telling.headline(
                    Tone::Plain,
                    format!(
                        "has {} pay with the others that were convicted at about its time",
                        self.name(&e.provider)
                    ),
                );
            }
            E::Frozen(e) => telling.touch_provider(&e.provider),
            E::Jailed(e) => telling.touch_provider(&e.provider),
            E::Unjailed(e) => {
                self.person(&e.provider).jailed_for = None;
                telling.touch_provider(&e.provider);
                telling.headline(
                    Tone::Quiet,
                    "has served its time-out and is back".to_owned(),
                );
            }
            E::CreditWithdrawn(e) => {
                telling.headline(
                    Tone::Quiet,
                    format!("withdraws {} due to it", tokens(e.amount)),
                );
            }
            _ => {}
        }
    }

    pub(super) fn audit(&mut self, tx: &Transaction, event: &IAuditsEvents, telling: &mut Telling) {
        use IAuditsEvents as E;
        let task = audited(event);
        let attempt = match event {
            E::AuditDecided(e) => e.attempt,
            E::AuditorReleased(e) => e.attempt,
            _ => self.tasks.get(&task).map_or(0, |t| t.running_attempt()),
        };
        telling.touch_task(task);
        telling.touch(format!("audit/{task}/{attempt}"));
        let key = (task, attempt);
        match event {
            E::AuditDecided(e) => {
                let tale = self.tasks.get(&task).and_then(|t| t.attempts.last());
                let provider = tale.map_or(Address::ZERO, |a| a.provider);
                let person = self.person(&provider);
                person.audited += u64::from(e.selected);
                let settled_before = person.settled;
                let decided = AuditTale {
                    provider,
                    round: e.round,
                    selected: e.selected,
                    auditors: Vec::new(),
                    leaf: None,
                    dispute: None,
                    settled_before,
                };
                self.audits.insert(key, decided);
                let verb = if e.selected {
                    "is to be audited"
                } else {
                    "is not audited"
                };
                let tone = if e.selected { Tone::Plain } else { Tone::Quiet };
                let what = format!("looks at the beacon: task {task} {verb}");
                self.step(tx, task, "audit", &what, None);
                telling.headline(tone, what);
            }
            E::AuditorDrawn(e) => {
                let auditor = AuditorTale {
                    party: e.auditor,
                    drawn_at: tx.time,
                    deadline: e.deadline,
                    outcome: "waiting",
                    penalty: 0,
                    fee: 0,
                    reason: None,
                };
                if let Some(audit) = self.audits.get_mut(&key) {
                    audit.leaf = Some(e.leafIndex);
                    audit.auditors.push(auditor);
                }
                telling.touch_provider(&e.auditor);
                telling.detail(format!(
                    "{} is drawn, by stake, to run it again",
                    self.name(&e.auditor)
                ));
            }
            E::AuditCommitted(_) => {
                self.auditor(key, |auditor| auditor.outcome = "committed");
                let what =
                    format!("has run task {task} again and commits to what it found, still hidden");
                self.step(tx, task, "audit", &what, None);
                telling.headline(Tone::Plain, what);
            }
            E::AuditMatched(e) => {
                let fee = e.fee;
                self.auditor(key, |auditor| {
                    (auditor.outcome, auditor.fee) = ("matched", fee)
                });
                self.person(&e.auditor).audits_done += 1;
                let what = format!(
                    "opens its audit of task {task}: every digest is the same; it is paid {}",
                    tokens(fee)
                );
                self.step(tx, task, "audit", &what, None);
                telling.headline(Tone::Good, what);
            }
            E::AuditMismatched(e) => {
                let dispute = id(e.disputeId);
                self.auditor(key, |auditor| auditor.outcome = "mismatched");
                self.person(&e.auditor).audits_done += 1;
                if let Some(audit) = self.audits.get_mut(&key) {
                    audit.dispute = Some(dispute);
                }
                if let Some(tale) = self.disputes.get_mut(&dispute) {
                    tale.by_audit = true;
                }
                let what = format!("opens its audit of task {task}: it found something else");
                self.step(tx, task, "audit", &what, Some(dispute));
                telling.headline(Tone::Dispute, what);
            }
            E::AuditFailed(e) => {
                let (penalty, reason) = (e.penalty, word(&e.reason));
                let why = match reason.as_str() {
                    "open" => "cannot show the tensors behind its digests",
                    "input" => "cannot have the input",
                    _ => "has not answered",
                };
                self.auditor(key, |auditor| {
                    auditor.outcome = "failed";
                    auditor.penalty = penalty;
                    auditor.reason = Some(why.to_owned());
                });
                // nobody is to blame for an input that was taken away
                self.person(&e.auditor).audits_failed += u64::from(reason != "input");
                let who = self.name(&e.auditor);
                let what = format!("ends the turn of auditor {who} at task {task}: it {why}");
                self.step(tx, task, "audit", &what, None);
                telling.touch_provider(&e.auditor);
                telling.headline(Tone::Bad, what);
            }
            E::AuditWaived(_) => {
                let what = format!("nobody is left to audit task {task}: the audit is waived");
                self.step(tx, task, "audit", &what, None);
                telling.detail(what);
            }
            E::AuditorReleased(e) => {
                self.auditor(key, |auditor| {
                    if auditor.outcome != "mismatched" {
                        auditor.outcome = "released";
                    }
                });
                telling.touch_provider(&e.auditor);
                telling.headline(
                    Tone::Quiet,
                    format!("ends the duty of auditor {}", self.name(&e.auditor)),
                );
            }
        }
    }

    fn auditor(&mut self, key: (u64, u8), change: impl FnOnce(&mut AuditorTale)) {
        if let Some(auditor) = self
            .audits
            .get_mut(&key)
            .and_then(|a| a.auditors.last_mut())
        {
            change(auditor);
        }
    }
}
