//! Where every coin goes: the vault's events as transfers between its accounts.
//!
//! The events do not say everything. What they leave out follows from the vault's rules: where a slash goes is
//! said by the event behind it, the levy of a settled task is what its price and refund leave in the pot, a pot
//! that is paid into the vault itself is moved to the pot that the rest of the transaction names.

use std::collections::BTreeMap;

use gavel_node::{Address, B256};
use gavel_settlement::ProtocolEvent;
use gavel_settlement::bindings::{
    IAudits::IAuditsEvents, ICourt::ICourtEvents, ITraps::ITrapsEvents, Market::MarketEvents,
    StakeVault::StakeVaultEvents,
};
use serde::Serialize;

use super::transaction::Transaction;
use super::{id, word};
use crate::pots;

/// A place where coin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Outside the vault.
    Wallet(Address),
    /// Earned and not withdrawn.
    Credit(Address),
    /// Stake that is free or leaving.
    Stake(Address),
    /// Stake locked for a task.
    Collateral(Address, u64),
    /// Escrow of a task.
    Task(u64),
    /// Bond of a challenge that has not become a dispute.
    Challenge(Address, u64),
    /// Pot of a dispute.
    Dispute(u64),
    /// Bond of an appeal.
    Appeal(u64),
    /// Deposits of traps.
    Traps,
    /// The audit pool.
    AuditPool,
    /// Nowhere.
    Burned,
}

/// Why coin moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A task is posted.
    Escrow,
    /// What a task pays for audits.
    Levy,
    /// A provider is paid.
    Price,
    /// Escrow that was not used.
    Refund,
    /// A challenge's bond.
    Bond,
    /// It comes back, or goes to whom it was lost to.
    BondBack,
    /// Bond of an appeal.
    AppealBond,
    /// A provider stakes.
    Stake,
    /// Stake leaves.
    Unbonded,
    /// Paid when registering.
    RegistrationFee,
    /// Locked by a claim.
    Collateral,
    /// Unlocked.
    CollateralBack,
    /// A safety fault.
    Slash,
    /// What a convict loses with the others of its time.
    Correlated,
    /// A liveness fault in a task.
    SlashLiveness,
    /// A liveness fault in a duty.
    Penalty,
    /// A share for who waits for the result.
    Requester,
    /// A share for who found the fault.
    Challenger,
    /// Pay of who ruled.
    Referee,
    /// A share that raises the ceiling of the next attempt.
    Requeue,
    /// A share for who had to appeal.
    Restitution,
    /// Pay of an auditor.
    Audit,
    /// Deposit of a trap, a share of it, or of what passing one costs.
    Trap,
    /// Burned.
    Burned,
    /// A bond whose challenge was never shown.
    Forfeited,
    /// Taken out of the vault.
    Withdrawn,
    /// Of a later version.
    Other,
}

/// One movement of coin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its number, from 1.
    pub n: u64,
    /// How much.
    pub amount: u128,
    /// From where.
    pub from: Account,
    /// To where.
    pub to: Account,
    /// What for.
    pub why: Why,
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
    /// Its time.
    pub time: u64,
    /// The task that it is about.
    pub task: Option<u64>,
    /// The dispute that it is about.
    pub dispute: Option<u64>,
}

/// What every account holds, as far as transfers say. Wallets are outside and may be negative there, so they are not kept.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    vault: Address,
    balances: BTreeMap<Account, u128>,
    /// Challenges by their pots' names.
    challenges: BTreeMap<B256, (u64, Address)>,
    /// Who owns the stake of a provider, and who gets its pay.
    owners: BTreeMap<Address, Address>,
    transfers: u64,
    overdrawn: u64,
}

/// What the rest of a transaction says about its coins.
struct Context<'a> {
    tx: &'a Transaction,
    task: Option<u64>,
    dispute: Option<u64>,
}

impl Ledger {
    /// The books of an empty vault.
    pub fn new(vault: Address) -> Ledger {
        Ledger {
            vault,
            ..Ledger::default()
        }
    }

    /// What an account holds; a wallet holds nothing here.
    pub fn balance(&self, account: &Account) -> u128 {
        self.balances.get(account).copied().unwrap_or(0)
    }

    /// Every account that holds something.
    pub fn balances(&self) -> impl Iterator<Item = (&Account, u128)> {
        self.balances.iter().map(|(account, held)| (account, *held))
    }

    /// Transfers of more than an account held: the books are wrong if there are any.
    pub fn overdrawn(&self) -> u64 {
        self.overdrawn
    }

    /// The transfers of one transaction, in order; `disputed` names the task and attempt of a dispute, `attempt` the running attempt of a task.
    pub fn apply(
        &mut self,
        tx: &Transaction,
        disputed: impl Fn(u64) -> Option<u64>,
        attempt: impl Fn(u64) -> u8,
    ) -> Vec<Transfer> {
        let mut context = context(tx);
        if let (None, Some(dispute)) = (context.task, context.dispute) {
            context.task = disputed(dispute);
        }
        let mut out = Vec::new();
        let mut slashed: Option<(usize, u128)> = None;
        for (at, event) in tx.events.iter().enumerate() {
            match event {
                ProtocolEvent::Court(ICourtEvents::ChallengeCommitted(e)) => {
                    let task = id(e.taskId);
                    let pot = pots::challenge(task, attempt(task), e.challenger);
                    self.challenges.insert(pot, (task, e.challenger));
                }
                ProtocolEvent::Market(MarketEvents::TaskSettled(e)) => {
                    let task = id(e.taskId);
                    let left = self.balance(&Account::Task(task));
                    let about = (Some(task), None);
                    self.push(
                        &mut out,
                        tx,
                        (Account::Task(task), Account::AuditPool),
                        left,
                        Why::Levy,
                        about,
                    );
                }
                ProtocolEvent::Vault(event) => {
                    self.vault(&mut out, &context, at, event, &mut slashed);
                }
                _ => {}
            }
        }
        out
    }

    fn vault(
        &mut self,
        out: &mut Vec<Transfer>,
        context: &Context<'_>,
        at: usize,
        event: &StakeVaultEvents,
        slashed: &mut Option<(usize, u128)>,
    ) {
        use StakeVaultEvents as E;
        let tx = context.tx;
        let none = (None, None);
        match event {
            E::Registered(e) => {
                self.owners.insert(e.provider, e.owner);
            }
            E::Staked(e) => {
                let accounts = (Account::Wallet(tx.from), Account::Stake(e.provider));
                self.push(out, tx, accounts, e.amount, Why::Stake, none);
            }
            E::Unbonded(e) => {
                let owner = self.owners.get(&e.provider).copied().unwrap_or(e.provider);
                let accounts = (Account::Stake(e.provider), Account::Wallet(owner));
                self.push(out, tx, accounts, e.amount, Why::Unbonded, none);
            }
            E::Locked(e) => {
                let task = id(e.taskId);
                let accounts = (
                    Account::Stake(e.provider),
                    Account::Collateral(e.provider, task),
                );
                self.push(
                    out,
                    tx,
                    accounts,
                    e.amount,
                    Why::Collateral,
                    (Some(task), None),
                );
            }
            E::Unlocked(e) => {
                let task = id(e.taskId);
                let accounts = (
                    Account::Collateral(e.provider, task),
                    Account::Stake(e.provider),
                );
                self.push(
                    out,
                    tx,
                    accounts,
                    e.amount,
                    Why::CollateralBack,
                    (Some(task), None),
                );
            }
            E::Slashed(e) => {
                let task = Some(id(e.taskId)).filter(|task| *task != 0);
                let (to, dispute) = slash_goes_to(tx, at, e.safety, e.amount, context.dispute);
                let why = match (e.safety, task) {
                    (true, _) => Why::Slash,
                    (false, Some(_)) => Why::SlashLiveness,
                    (false, None) => Why::Penalty,
                };
                // the collateral of the task first, as the vault does
                let locked = Account::Collateral(e.provider, task.unwrap_or(0));
                let of_lock = self.balance(&locked).min(e.amount);
                let about = (task.or(context.task), dispute);
                self.push(out, tx, (locked, to), of_lock, why, about);
                let rest = (Account::Stake(e.provider), to);
                self.push(out, tx, rest, e.amount - of_lock, why, about);
                // the burning that follows is said by another event
                *slashed = (to == Account::Burned).then_some((at + 1, e.amount));
            }
            E::CorrelatedPenalty(e) => {
                let accounts = (Account::Stake(e.provider), Account::Burned);
                self.push(out, tx, accounts, e.amount, Why::Correlated, none);
                *slashed = Some((at + 1, e.amount));
            }
            E::PotFunded(e) => {
                let (to, task, dispute) = self.pot(&e.pot);
                let why = match to {
                    Account::AuditPool => Why::RegistrationFee,
                    Account::Task(_) => Why::Escrow,
                    Account::Appeal(_) => Why::AppealBond,
                    Account::Traps => Why::Trap,
                    _ => Why::Bond,
                };
                let about = (
                    task.or(context.task).filter(|_| to != Account::AuditPool),
                    dispute,
                );
                self.push(out, tx, (Account::Wallet(e.from), to), e.amount, why, about);
            }
            E::PotPaid(e) => {
                let (from, task, dispute) = self.pot(&e.pot);
                let reason = word(&e.reason);
                let about = (task.or(context.task), dispute.or(context.dispute));
                let raised = about.0.filter(|_| reason == "requeue");
                let to = self.paid_to(tx, from, raised, e.to);
                let why = match reason.as_str() {
                    "price" => Why::Price,
                    "refund" => Why::Refund,
                    "bond" if matches!(to, Account::Dispute(_)) => Why::Bond,
                    "bond" => Why::BondBack,
                    "appeal bond" => Why::AppealBond,
                    "requester" => Why::Requester,
                    "challenger" => Why::Challenger,
                    "referee" => Why::Referee,
                    "requeue" => Why::Requeue,
                    "restitution" => Why::Restitution,
                    "audit" => Why::Audit,
                    _ if from == Account::Traps => Why::Trap,
                    _ => Why::Other,
                };
                self.push(out, tx, (from, to), e.amount, why, about);
                self.forget_challenge(&e.pot, &from);
            }
            E::Burned(e) => {
                if slashed.take() == Some((at, e.amount)) {
                    return;
                }
                let (from, task, dispute) = self.pot(&e.pot);
                let about = (task.or(context.task), dispute.or(context.dispute));
                let why = match from {
                    Account::Challenge(..) => Why::Forfeited,
                    _ => Why::Burned,
                };
                self.push(out, tx, (from, Account::Burned), e.amount, why, about);
                self.forget_challenge(&e.pot, &from);
            }
            E::CreditWithdrawn(e) => {
                let accounts = (Account::Credit(e.account), Account::Wallet(e.to));
                self.push(out, tx, accounts, e.amount, Why::Withdrawn, none);
            }
            _ => {}
        }
    }

    /// Where a pot's payment goes: into credit, or, where the vault pays itself, into another pot.
    fn paid_to(&self, tx: &Transaction, from: Account, task: Option<u64>, to: Address) -> Account {
        if to != self.vault {
            return Account::Credit(to);
        }
        let opened = tx.events.iter().find_map(|event| match event {
            ProtocolEvent::Court(ICourtEvents::DisputeOpened(e)) => Some(id(e.disputeId)),
            _ => None,
        });
        match from {
            Account::Challenge(..) | Account::AuditPool => {
                opened.map_or(Account::Burned, Account::Dispute)
            }
            // a share of a slash, or a bond that the pool had paid
            _ => task.map_or(Account::AuditPool, Account::Task),
        }
    }

    fn pot(&self, pot: &B256) -> (Account, Option<u64>, Option<u64>) {
        match pots::kind(pot) {
            pots::Kind::Task(task) => (Account::Task(task), Some(task), None),
            pots::Kind::Dispute(dispute) => (Account::Dispute(dispute), None, Some(dispute)),
            pots::Kind::Appeal(dispute) => (Account::Appeal(dispute), None, Some(dispute)),
            pots::Kind::Challenge => match self.challenges.get(pot) {
                Some((task, who)) => (Account::Challenge(*who, *task), Some(*task), None),
                None => (Account::Challenge(Address::ZERO, 0), None, None),
            },
            pots::Kind::AuditPool => (Account::AuditPool, None, None),
            pots::Kind::Trap => (Account::Traps, None, None),
            pots::Kind::Burn | pots::Kind::Unknown => (Account::Burned, None, None),
        }
    }

    /// A bond is paid once: an empty pot's name is not met again.
    fn forget_challenge(&mut self, pot: &B256, account: &Account) {
        if matches!(account, Account::Challenge(..)) && self.balance(account) == 0 {
            self.challenges.remove(pot);
        }
    }

    fn push(
        &mut self,
        out: &mut Vec<Transfer>,
        tx: &Transaction,
        (from, to): (Account, Account),
        amount: u128,
        why: Why,
        (task, dispute): (Option<u64>, Option<u64>),
    ) {
        if amount == 0 {
            return;
        }
        if !matches!(from, Account::Wallet(_)) {
            let held = self.balances.entry(from).or_default();
            self.overdrawn += u64::from(*held < amount);
            *held = held.saturating_sub(amount);
            if *held == 0 {
                self.balances.remove(&from);
            }
        }
        if !matches!(to, Account::Wallet(_)) {
            *self.balances.entry(to).or_default() += amount;
        }
        self.transfers += 1;
        out.push(Transfer {
            n: self.transfers,
            amount,
            from,
            to,
            why,
            transaction: tx.hash,
            block: tx.block,
            time: tx.time,
            task,
            dispute,
        });
    }
}

/// Where a slash goes: burned if the next event says so; else a safety fault's into the pot of the dispute that is
/// being decided, a penalty for a false alarm into the audit pool.
fn slash_goes_to(
    tx: &Transaction,
    at: usize,
    safety: bool,
    amount: u128,
    dispute: Option<u64>,
) -> (Account, Option<u64>) {
    let next = tx.events.get(at + 1);
    if let Some(ProtocolEvent::Vault(StakeVaultEvents::Burned(e))) = next
        && e.amount == amount
        && matches!(pots::kind(&e.pot), pots::Kind::Task(_) | pots::Kind::Burn)
    {
        return (Account::Burned, dispute);
    }
    let is_passed =
        |event: &ProtocolEvent| matches!(event, ProtocolEvent::Traps(ITrapsEvents::TrapPassed(_)));
    if tx.events.iter().skip(at).any(is_passed) {
        return (Account::Traps, None);
    }
    match (safety, dispute) {
        (true, Some(dispute)) => (Account::Dispute(dispute), Some(dispute)),
        (true, None) => (Account::Burned, None),
        (false, dispute) => (Account::AuditPool, dispute),
    }
}

fn context(tx: &Transaction) -> Context<'_> {
    let mut context = Context {
        tx,
        task: None,
        dispute: None,
    };
    for event in &tx.events {
        let (task, dispute) = match event {
            ProtocolEvent::Market(event) => (task_of(event), None),
            ProtocolEvent::Court(event) => about(event),
            ProtocolEvent::Audits(event) => (Some(audited(event)), None),
            _ => (None, None),
        };
        context.task = context.task.or(task);
        context.dispute = context.dispute.or(dispute);
    }
    context
}

/// The dispute that a transaction is about.
pub(super) fn dispute_in(tx: &Transaction) -> Option<u64> {
    context(tx).dispute
}

/// The task that an event of the market is about.
pub(super) fn task_of(event: &MarketEvents) -> Option<u64> {
    use MarketEvents as E;
    Some(id(match event {
        E::TaskPosted(e) => e.taskId,
        E::TaskClaimed(e) => e.taskId,
        E::ResultCommitted(e) => e.taskId,
        E::ResultRetracted(e) => e.taskId,
        E::DeadlineMissed(e) => e.taskId,
        E::TaskRequeued(e) => e.taskId,
        E::TaskSettled(e) => e.taskId,
        E::TaskCancelled(e) => e.taskId,
        E::TaskExpired(e) => e.taskId,
        E::ResultReversed(e) => e.taskId,
        E::ModelRegistered(_) => return None,
    }))
}

/// The task that an event of the audits is about.
pub(super) fn audited(event: &IAuditsEvents) -> u64 {
    use IAuditsEvents as E;
    id(match event {
        E::AuditDecided(e) => e.taskId,
        E::AuditorDrawn(e) => e.taskId,
        E::AuditCommitted(e) => e.taskId,
        E::AuditMatched(e) => e.taskId,
        E::AuditMismatched(e) => e.taskId,
        E::AuditFailed(e) => e.taskId,
        E::AuditWaived(e) => e.taskId,
        E::AuditorReleased(e) => e.taskId,
    })
}

/// The task or the dispute that an event of the court is about.
pub(super) fn about(event: &ICourtEvents) -> (Option<u64>, Option<u64>) {
    use ICourtEvents as E;
    let dispute = match event {
        E::ChallengeCommitted(e) => return (Some(id(e.taskId)), None),
        E::ChallengeForfeited(e) => return (Some(id(e.taskId)), None),
        E::DisputeOpened(e) => return (Some(id(e.taskId)), Some(id(e.disputeId))),
        E::RowRevealed(e) => e.disputeId,
        E::Picked(e) => e.disputeId,
        E::SegmentPosted(e) => e.disputeId,
        E::OperatorIsolated(e) => e.disputeId,
        E::RefereeDrawn(e) => e.disputeId,
        E::RefereeMissed(e) => e.disputeId,
        E::Ruled(e) => e.disputeId,
        E::EarlierDivergence(e) => e.disputeId,
        E::Appealed(e) => e.disputeId,
        E::DisputeClosed(e) => e.disputeId,
        E::VerdictPaid(e) => e.disputeId,
    };
    (None, Some(id(dispute)))
}
