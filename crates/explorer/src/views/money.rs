//! Transfers, accounts and slashes.

use std::sync::Arc;

use gavel_node::Address;
use serde_json::{Value, json};

use super::{Page, View, amount, listed};
use crate::index::Slash;
use crate::index::ledger::{Account, Transfer, Why};
use gavel_settlement::amount::tokens;

impl View<'_> {
    pub(super) fn account(&self, account: &Account) -> Value {
        let (kind, who, id) = match account {
            Account::Wallet(who) => ("wallet", Some(who), None),
            Account::Credit(who) => ("credit", Some(who), None),
            Account::Stake(who) => ("stake", Some(who), None),
            Account::Collateral(who, task) => ("collateral", Some(who), Some(*task)),
            Account::Task(task) => ("task", None, Some(*task)),
            Account::Challenge(who, task) => ("challenge", Some(who), Some(*task)),
            Account::Dispute(dispute) => ("dispute", None, Some(*dispute)),
            Account::Appeal(dispute) => ("appeal", None, Some(*dispute)),
            Account::AuditPool => ("audit_pool", None, None),
            Account::Traps => ("traps", None, None),
            Account::Burned => ("burned", None, None),
        };
        json!({
            "kind": kind, "address": who, "id": id,
            "name": who.and_then(|who| self.shared.catalogue.name_of(who)),
            "label": self.index().account_label(account),
        })
    }

    pub(super) fn transfer(&self, t: &Transfer) -> Value {
        json!({
            "n": t.n, "amount": amount(t.amount), "from": self.account(&t.from), "to": self.account(&t.to),
            "why": t.why, "text": self.told(t), "transaction": t.transaction, "block": t.block,
            "time": t.time, "task": t.task, "dispute": t.dispute,
        })
    }

    pub(super) fn money<'t>(
        &self,
        transfers: impl IntoIterator<Item = &'t Arc<Transfer>>,
    ) -> Vec<Value> {
        transfers.into_iter().map(|t| self.transfer(t)).collect()
    }

    /// A transfer as a sentence.
    fn told(&self, t: &Transfer) -> String {
        let coin = tokens(t.amount);
        let from = self.index().account_label(&t.from);
        let to = self.index().account_label(&t.to);
        let who = |account: &Account| match account {
            Account::Wallet(who)
            | Account::Credit(who)
            | Account::Stake(who)
            | Account::Collateral(who, _)
            | Account::Challenge(who, _) => self.index().name(who),
            other => self.index().account_label(other),
        };
        match t.why {
            Why::Escrow => format!(
                "{} puts {coin} into the {to}: the ceiling and the audit levy",
                who(&t.from)
            ),
            Why::Levy => format!("{coin} of levy go from the {from} into the audit pool"),
            Why::Price => format!("{} is paid {coin} from the {from}", who(&t.to)),
            Why::Refund => format!("{coin} of the {from} go back to {}", who(&t.to)),
            Why::Bond => match t.to {
                Account::Dispute(_) => format!("{from}, {coin}, goes into the {to}"),
                _ => format!("{} puts up a bond of {coin}", who(&t.from)),
            },
            Why::BondBack => format!("{} gets {coin} of bond from the {from}", who(&t.to)),
            Why::AppealBond => match t.to {
                Account::Appeal(_) => format!("{} puts up {coin} to appeal", who(&t.from)),
                _ => format!("{} gets the appeal's bond of {coin}", who(&t.to)),
            },
            Why::Stake => format!("{} stakes {coin} for {}", who(&t.from), who(&t.to)),
            Why::Unbonded => format!("{coin} of {from} go to {to}"),
            Why::RegistrationFee => format!(
                "{} pays {coin} to register, into the audit pool",
                who(&t.from)
            ),
            Why::Collateral => format!("{coin} of {from} are locked for a task"),
            Why::CollateralBack => format!("{} has {coin} of collateral back", who(&t.to)),
            Why::Slash => format!("{coin} of {from} are slashed"),
            Why::Correlated => {
                format!("{coin} of {from} are burned: others were convicted at about the same time")
            }
            Why::SlashLiveness => {
                format!("{coin} of {from} are slashed: nothing was delivered, or it was taken back")
            }
            Why::Penalty => {
                format!("{coin} of {from} are taken: a duty was not done, or an alarm was false")
            }
            Why::Requester => format!("{coin} to {}, which waits for the result", who(&t.to)),
            Why::Challenger => format!("{coin} to {}, for finding the fault", who(&t.to)),
            Why::Referee => format!("{coin} to {}, for the ruling", who(&t.to)),
            Why::Requeue => format!("{coin} into the {to}, to raise its ceiling"),
            Why::Restitution => format!("{coin} to {}, which had to appeal", who(&t.to)),
            Why::Trap => match t.to {
                Account::Traps => format!("{} deposits {coin} for a trap", who(&t.from)),
                _ => format!("{} gets {coin} of a trap", who(&t.to)),
            },
            Why::Audit => format!("{} is paid {coin} for an audit", who(&t.to)),
            Why::Burned => format!("{coin} of the {from} are burned"),
            Why::Forfeited => format!("{from}, {coin}, is burned: the challenge was never shown"),
            Why::Withdrawn => format!("{} withdraws {coin}", who(&t.from)),
            Why::Other => format!("{coin} from {from} to {to}"),
        }
    }

    pub(super) fn slash(&self, slash: &Slash) -> Value {
        let split = slash.split.iter().map(|share| {
            json!({"to": self.account(&share.to), "amount": amount(share.amount), "why": share.why})
        });
        json!({
            "party": self.party(&slash.party), "amount": amount(slash.amount), "transaction": slash.transaction,
            "split": split.collect::<Vec<_>>(),
        })
    }

    /// What a coin list of an address shows, newest first.
    pub(super) fn money_of(&self, who: &Address, page: Page) -> Value {
        let empty = std::collections::VecDeque::new();
        let own = self.index().people.get(who).map_or(&empty, |p| &p.money);
        let shown = own
            .iter()
            .filter(|t| page.before.is_none_or(|before| t.n < before));
        let shown = shown.take(page.limit).map(|t| (t.n, self.transfer(t)));
        listed(shown.collect(), page, own.len(), |n| {
            own.back().is_some_and(|last| last.n < n)
        })
    }
}
