//! Losses of stake, and where each of their coins goes.

use gavel_explorer::pots;
use gavel_node::{Address, U256};
use gavel_settlement::bindings::StakeVault::StakeVaultEvents;

use super::transaction::Transaction;
use super::{Chronicle, Said, id, word};
use crate::amount::tokens;
use crate::timeline::Tone;
use crate::{Amount, ShareReport, SlashReport};

/// A slash of the transaction at hand, of which this much has no taker yet.
pub(super) struct Splitting {
    slash: usize,
    left: u128,
}

impl Chronicle {
    pub(super) fn vault(&mut self, tx: &Transaction, event: &StakeVaultEvents) -> Vec<Said> {
        match event {
            StakeVaultEvents::Slashed(e) => {
                self.slashed(tx, e.provider, e.taskId, e.safety, e.amount);
            }
            StakeVaultEvents::PotPaid(e) => {
                let what = word(&e.reason);
                // bonds are no part of a slash
                if matches!(pots::kind(&e.pot), pots::Kind::Dispute(_)) && what != "bond" {
                    let to = match what.as_str() {
                        "requeue" => self.requeued_task(),
                        _ => self.name(&e.to),
                    };
                    self.share(to, what, e.amount);
                }
            }
            StakeVaultEvents::Burned(e) => self.burned(&e.pot, e.amount),
            StakeVaultEvents::Tombstoned(e) => {
                let slashes = self.slashes.iter_mut();
                for (_, slash) in slashes.filter(|(who, _)| *who == e.provider) {
                    slash.tombstoned = true;
                }
            }
            StakeVaultEvents::CreditWithdrawn(e) => {
                return vec![Said::Headline(
                    Tone::Quiet,
                    format!("withdraws {} due to it", tokens(e.amount)),
                )];
            }
            StakeVaultEvents::Unjailed(_) => {
                return vec![Said::Headline(
                    Tone::Quiet,
                    "has served its time-out and is back".to_owned(),
                )];
            }
            _ => {}
        }
        Vec::new()
    }

    fn slashed(&mut self, tx: &Transaction, who: Address, task: U256, safety: bool, amount: u128) {
        if amount == 0 {
            return;
        }
        let slash = SlashReport {
            party: self.name(&who),
            task: Some(id(task)).filter(|task| *task != 0),
            kind: if safety { "safety" } else { "liveness" }.to_owned(),
            amount: Amount(amount),
            split: Vec::new(),
            tombstoned: false,
            at: self.at(tx),
        };
        // one that a verdict takes from somebody else in the same transaction
        self.finish_split();
        self.splitting = Some(Splitting {
            slash: self.slashes.len(),
            left: amount,
        });
        self.slashes.push((who, slash));
    }

    /// The task that the slash at hand is about, as a taker.
    fn requeued_task(&self) -> String {
        let of = self
            .splitting
            .as_ref()
            .and_then(|s| self.slashes.get(s.slash));
        let task = of.and_then(|(_, slash)| slash.task).unwrap_or(0);
        format!("task {task}")
    }

    fn share(&mut self, to: String, what: String, amount: u128) {
        let Some(splitting) = &mut self.splitting else {
            return;
        };
        let Some(left) = splitting.left.checked_sub(amount) else {
            return;
        };
        splitting.left = left;
        if let Some((_, slash)) = self.slashes.get_mut(splitting.slash) {
            let amount = Amount(amount);
            slash.split.push(ShareReport { to, what, amount });
        }
    }

    fn burned(&mut self, pot: &gavel_node::B256, amount: u128) {
        let Some(splitting) = &self.splitting else {
            return;
        };
        if splitting.left >= amount {
            return self.share("burned".to_owned(), "burned".to_owned(), amount);
        }
        // what a raised ceiling does not take is burned out of the task's pot, after it was put there
        let Some((_, slash)) = self.slashes.get_mut(splitting.slash) else {
            return;
        };
        if !matches!(pots::kind(pot), pots::Kind::Task(_)) {
            return;
        }
        for share in &mut slash.split {
            match share.what.as_str() {
                "requeue" => share.amount.0 = share.amount.0.saturating_sub(amount),
                "burned" => share.amount.0 += amount,
                _ => {}
            }
        }
    }

    /// What of the slash at hand went into a pot without a word: only the audit pool is refilled so (P-A6).
    pub(super) fn finish_split(&mut self) {
        let left = self.splitting.as_ref().map_or(0, |s| s.left);
        if left > 0 {
            self.share("the audit pool".to_owned(), "pool".to_owned(), left);
        }
        self.splitting = None;
    }

    /// Whether a slash is being handed out in the transaction at hand.
    pub(super) fn is_splitting(&self) -> bool {
        self.splitting.is_some()
    }

    /// The slashes from number `first` on, told.
    pub(super) fn told_slashes(&self, first: usize) -> impl Iterator<Item = String> {
        let mut out = Vec::new();
        for (_, slash) in self.slashes.iter().skip(first) {
            let (who, amount) = (&slash.party, tokens(slash.amount.0));
            out.push(match (slash.kind.as_str(), slash.tombstoned) {
                ("safety", true) => {
                    format!("{who} loses {amount} of its stake and is removed for ever")
                }
                _ => format!("{who} loses {amount} of its stake"),
            });
            for share in &slash.split {
                let part = tokens(share.amount.0);
                out.push(match share.what.as_str() {
                    "burned" => format!("   {part} burned"),
                    "requeue" => {
                        format!("   {part} to raise the price ceiling of {}", share.to)
                    }
                    "requester" => {
                        format!("   {part} to {}, who waits for the result", share.to)
                    }
                    "challenger" => format!("   {part} to {}, who found it", share.to),
                    "referee" => format!("   {part} to {}, who ruled", share.to),
                    "restitution" => format!("   {part} to {}, who appealed", share.to),
                    "pool" => format!("   {part} to the audit pool, which had paid its bond"),
                    other => format!("   {part} to {} ({other})", share.to),
                });
            }
        }
        out.into_iter()
    }
}
