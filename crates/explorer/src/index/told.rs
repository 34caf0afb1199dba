//! Sentences about a transaction.

use gavel_node::Address;

use super::ledger::{Account, Why};
use super::transaction::Transaction;
use super::{Index, Line, Slash, Tone};
use gavel_settlement::amount::tokens;

/// A line that is being put together from a transaction's events.
#[derive(Debug, Default)]
pub(super) struct Telling {
    headline: Option<(Tone, String)>,
    details: Vec<String>,
    touches: Vec<String>,
}

impl Telling {
    /// What the sender did: the first is the line's, others are details.
    pub(super) fn headline(&mut self, tone: Tone, what: String) {
        match self.headline {
            None => self.headline = Some((tone, what)),
            Some(_) => self.details.push(what),
        }
    }

    /// What followed.
    pub(super) fn detail(&mut self, what: String) {
        self.details.push(what);
    }

    /// A page that changes.
    pub(super) fn touch(&mut self, page: String) {
        if !self.touches.contains(&page) {
            self.touches.push(page);
        }
    }

    pub(super) fn touch_task(&mut self, task: u64) {
        self.touch(format!("task/{task}"));
    }

    pub(super) fn touch_dispute(&mut self, dispute: u64) {
        self.touch(format!("dispute/{dispute}"));
    }

    pub(super) fn touch_provider(&mut self, provider: &Address) {
        self.touch(format!("provider/{provider:#x}"));
    }

    pub(super) fn line(self, n: u64, tx: &Transaction) -> Line {
        let (tone, what) = self
            .headline
            .unwrap_or_else(|| (Tone::Quiet, "calls the contracts".to_owned()));
        Line {
            n,
            block: tx.block,
            time: tx.time,
            transaction: tx.hash,
            who: tx.from,
            what,
            details: self.details,
            tone,
            touches: self.touches,
        }
    }
}

impl Index {
    pub(super) fn tell_slash(&self, slash: &Slash, telling: &mut Telling) {
        let (who, amount) = (self.name(&slash.party), tokens(slash.amount));
        telling.touch_provider(&slash.party);
        telling.detail(match slash.why {
            Why::Slash => format!("{who} loses {amount} of its stake for good"),
            Why::Correlated => {
                format!("{who} loses {amount} more, with all who were convicted at about its time")
            }
            _ => format!("{who} loses {amount} of its stake"),
        });
        for share in &slash.split {
            let (part, to) = (tokens(share.amount), self.account_label(&share.to));
            telling.detail(match share.why {
                Why::Burned => format!("   {part} burned"),
                Why::Requeue => format!("   {part} into the {to}, to raise its ceiling"),
                Why::Requester => format!("   {part} to {to}, which waits for the result"),
                Why::Challenger => format!("   {part} to {to}, for finding it"),
                Why::Referee => format!("   {part} to {to}, for the ruling"),
                Why::Restitution => format!("   {part} to {to}, which had to appeal"),
                _ => format!("   {part} to {to}"),
            });
        }
    }

    /// What people call an account.
    pub(crate) fn account_label(&self, account: &Account) -> String {
        let name = |who: &Address| self.name(who);
        match account {
            Account::Wallet(who) => format!("{}'s wallet", name(who)),
            Account::Credit(who) => format!("{}'s credit", name(who)),
            Account::Stake(who) => format!("{}'s stake", name(who)),
            Account::Collateral(who, task) => format!("{}'s collateral for task {task}", name(who)),
            Account::Task(task) => format!("escrow of task {task}"),
            Account::Challenge(who, task) => format!("{}'s bond for task {task}", name(who)),
            Account::Dispute(dispute) => format!("pot of dispute {dispute}"),
            Account::Appeal(dispute) => format!("appeal bond of dispute {dispute}"),
            Account::AuditPool => "audit pool".to_owned(),
            Account::Traps => "deposits of traps".to_owned(),
            Account::Burned => "burned".to_owned(),
        }
    }
}
