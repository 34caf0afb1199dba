//! The money of the protocol in the abstract: what each call of the contracts moves, to the unit, and nothing of the game's proofs.
//!
//! Time is here only where a price or a lane depends on it, and in the deadlines of auditors and of a trap's finders: that another call
//! comes in its window is for who makes it. Left out is that the owner of a provider may be somebody else, and that a duty keeps stake from
//! leaving. `tests/transitions.rs` plays random histories here and on the contracts, and compares every balance after every call.

mod audits;
mod court;
mod market;
mod traps;
mod types;

use std::collections::{BTreeMap, VecDeque};

use gavel_settlement::bindings::Parameters::Params;

use crate::rules::bond;
use market::Lanes;
pub use traps::{Audited, Seal, SealId, TRAP, Trap, TrapOp};
pub use types::*;

pub(crate) const BPS: u128 = 10_000;
/// Stakes of one provider that may be on their way out at once.
const UNBONDINGS_MAX: usize = 8;

/// A class of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Seconds that a price takes from its floor to its ceiling.
    pub ramp: u64,
    /// Whether the appeal levels know its arithmetic: an appeal about another ends for nobody.
    pub is_judged: bool,
}

/// The books: accounts, pots, lanes.
#[derive(Clone, Debug)]
pub struct Ledger {
    params: Params,
    classes: Vec<Class>,
    now: u64,
    accounts: Vec<Account>,
    tasks: Numbered<Task>,
    disputes: Numbered<Dispute>,
    seals: Numbered<Seal>,
    /// By task and attempt.
    traps: BTreeMap<(TaskId, u8), Trap>,
    lanes: Vec<Lanes>,
    pool: u128,
    burned: u128,
}

impl Ledger {
    /// Empty books.
    pub fn new(params: Params, classes: Vec<Class>, now: u64) -> Ledger {
        Ledger {
            lanes: classes.iter().map(|_| Lanes::default()).collect(),
            params,
            classes,
            now,
            accounts: Vec::new(),
            tasks: Numbered::default(),
            disputes: Numbered::default(),
            seals: Numbered::default(),
            traps: BTreeMap::new(),
            pool: 0,
            burned: 0,
        }
    }

    /// The network's numbers.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The classes of tasks.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// Seconds that a price of a class takes from its floor to its ceiling.
    pub fn ramp(&self, class: u8) -> u64 {
        self.classes.get(usize::from(class)).map_or(0, |c| c.ramp)
    }

    /// The clock.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Moves the clock forward.
    pub fn advance_to(&mut self, time: u64) {
        self.now = self.now.max(time);
    }

    /// One more account.
    pub fn add(&mut self) -> Party {
        self.accounts.push(Account::default());
        (self.accounts.len() - 1) as Party
    }

    /// All accounts, by number.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// A task that is not forgotten.
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(id)
    }

    /// A dispute that is not forgotten.
    pub fn dispute(&self, id: DisputeId) -> Option<&Dispute> {
        self.disputes.get(id)
    }

    /// Numbers of the tasks that are not forgotten.
    pub fn task_ids(&self) -> std::ops::Range<TaskId> {
        self.tasks.ids()
    }

    /// Numbers of the disputes that are not forgotten.
    pub fn dispute_ids(&self) -> std::ops::Range<DisputeId> {
        self.disputes.ids()
    }

    /// The audit pool.
    pub fn pool(&self) -> u128 {
        self.pool
    }

    /// What was burned.
    pub fn burned(&self) -> u128 {
        self.burned
    }

    /// The bond of a challenge.
    pub fn bond(&self) -> u128 {
        bond(&self.params.court)
    }

    /// Forgets what is over, from the oldest on, so that millions of tasks fit.
    pub fn forget(&mut self) {
        self.tasks.forget(|task| {
            let is_whole = |c: &Challenge| c.bond == 0 || c.revealed;
            task.is_over() && task.open_traps == 0 && task.challenges.iter().all(is_whole)
        });
        self.disputes.forget(|dispute| !dispute.is_open());
        self.forget_traps();
    }

    /// Whether all that was brought in is in one place.
    pub fn is_whole(&self) -> bool {
        let brought: u128 = self.accounts.iter().map(|a| a.brought - a.drawn).sum();
        let accounts: u128 = self.accounts.iter().map(Account::held).sum();
        let pot = |t: &Task| t.pot + t.challenges.iter().map(|c| c.bond).sum::<u128>();
        let tasks: u128 = self.tasks.all().map(pot).sum();
        let disputes: u128 = self.disputes.all().map(|d| d.bond + d.appeal_bond).sum();
        let deposits: u128 = self.seals.all().map(|s| s.pot).sum();
        brought == accounts + tasks + disputes + deposits + self.pool + self.burned
    }

    /// One call. Refused ones change nothing.
    ///
    /// # Errors
    /// The contracts' refusal, where it is about anything but time.
    pub fn apply(&mut self, op: Op, fate: Fate) -> Result<Done, Refused> {
        match op {
            Op::Register { key, stake } => self.register(key, stake),
            Op::Stake { key, amount } => self.stake(key, amount),
            Op::Unjail { key } => self.unjail(key),
            Op::Unbond { key, amount } => self.unbond(key, amount),
            Op::Withdraw { key, entry } => self.withdraw(key, entry),
            Op::Draw { by, amount } => self.draw(by, amount),
            Op::Post {
                requester,
                class,
                min,
                max,
            } => self.post(requester, class, min, max),
            Op::Cancel { task, by } => self.cancel(task, by),
            Op::Claim { task, key } => self.claim(task, key),
            Op::Commit { task, key, answer } => self.commit(task, key, answer),
            Op::Retract { task, key } => self.retract(task, key),
            Op::MissDeadline { task } => self.miss_deadline(task),
            Op::Expire { task } => self.expire(task),
            Op::Settle { task } => self.settle(task),
            Op::Reverse { task } => self.reverse(task),
            Op::Decide { task } => self.decide(task, fate),
            Op::AuditCommit {
                task,
                auditor,
                answer,
            } => self.audit_commit(task, auditor, answer, fate),
            Op::AuditOpen { task, auditor } => self.audit_open(task, auditor, fate),
            Op::AuditTimeout { task } => self.audit_timeout(task, fate),
            Op::Challenge { task, by, answer } => self.challenge(task, by, answer),
            Op::Reveal { task, by } => self.reveal(task, by),
            Op::Reclaim { task, attempt, by } => self.reclaim(task, attempt, by),
            Op::PostSegment { dispute } => self.post_segment(dispute),
            Op::Pick { dispute } => self.pick(dispute),
            Op::Timeout { dispute } => self.time_out(dispute),
            Op::DrawReferee { dispute } => self.draw_referee(dispute, fate),
            Op::Rule { dispute, guilty } => self.rule(dispute, guilty),
            Op::RefereeTimeout { dispute } => self.referee_timeout(dispute),
            Op::Appeal { dispute, by } => self.appeal(dispute, by),
            Op::ShowTensor { dispute } => self.show_tensor(dispute),
            Op::AppealTimeout { dispute } => self.appeal_timeout(dispute),
            Op::Finalize { dispute } => self.finalize(dispute),
            Op::CloseMoot { dispute } => self.close_moot(dispute),
            Op::Trap(op) => self.trap_call(op),
        }
    }

    // ---- stake

    fn register(&mut self, key: Party, stake: u128) -> Result<Done, Refused> {
        let fee = self.params.stake.registrationFee;
        let least = self.params.stake.minStake;
        let account = self.account(key)?;
        if account.is_provider {
            return Err(Refused("AlreadyRegistered"));
        }
        if stake < least {
            return Err(Refused("StakeBelowMinimum"));
        }
        account.is_provider = true;
        account.free = stake;
        account.brought += stake + fee;
        account.add(Reason::Levy, -(fee as i128));
        self.pool += fee;
        Ok(Done::Nothing)
    }

    fn stake(&mut self, key: Party, amount: u128) -> Result<Done, Refused> {
        let account = self.registered(key)?;
        if account.tombstoned {
            return Err(Refused("ProviderTombstoned"));
        }
        if amount == 0 {
            return Err(Refused("ZeroAmount"));
        }
        account.free += amount;
        account.brought += amount;
        Ok(Done::Nothing)
    }

    fn unjail(&mut self, key: Party) -> Result<Done, Refused> {
        let account = self.registered(key)?;
        if account.tombstoned {
            return Err(Refused("ProviderTombstoned"));
        }
        if account.jailed_until == 0 {
            return Err(Refused("NotJailed"));
        }
        account.jailed_until = 0;
        Ok(Done::Nothing)
    }

    fn unbond(&mut self, key: Party, amount: u128) -> Result<Done, Refused> {
        let mature = self.now + u64::from(self.params.stake.unbondingSeconds);
        let account = self.registered(key)?;
        if amount == 0 {
            return Err(Refused("ZeroAmount"));
        }
        if amount > account.free {
            return Err(Refused("InsufficientFree"));
        }
        if account.unbonding.len() >= UNBONDINGS_MAX {
            return Err(Refused("TooManyUnbondings"));
        }
        account.free -= amount;
        account.unbonding.push((account.entries, amount, mature));
        account.entries += 1;
        Ok(Done::Nothing)
    }

    fn withdraw(&mut self, key: Party, entry: u64) -> Result<Done, Refused> {
        let account = self.registered(key)?;
        let mut open = account.unbonding.iter();
        let place = open.position(|(number, ..)| *number == entry);
        let place = place.ok_or(Refused("UnknownEntry"))?;
        let (_, amount, _) = account.unbonding.swap_remove(place);
        account.drawn += amount;
        Ok(Done::Nothing)
    }

    fn draw(&mut self, by: Party, amount: u128) -> Result<Done, Refused> {
        let account = self.account(by)?;
        if amount > account.credit {
            return Err(Refused("InsufficientCredit"));
        }
        account.credit -= amount;
        account.drawn += amount;
        Ok(Done::Nothing)
    }

    /// Whether a provider may work, audit and rule.
    pub fn is_eligible(&self, key: Party) -> bool {
        let least = self.params.stake.minStake;
        self.accounts.get(key as usize).is_some_and(|a| {
            let stands = a.is_provider && !a.tombstoned && a.frozen == 0 && a.jailed_until == 0;
            stands && a.free + a.locked >= least
        })
    }

    // ---- money

    fn account(&mut self, party: Party) -> Result<&mut Account, Refused> {
        let found = self.accounts.get_mut(party as usize);
        found.ok_or(Refused("UnknownParty"))
    }

    fn registered(&mut self, key: Party) -> Result<&mut Account, Refused> {
        match self.accounts.get_mut(key as usize) {
            Some(account) if account.is_provider => Ok(account),
            _ => Err(Refused("NotRegistered")),
        }
    }

    /// To a party's credit.
    fn pay(&mut self, to: Party, amount: u128, reason: Reason) {
        if let Some(account) = self.accounts.get_mut(to as usize) {
            account.credit += amount;
            account.add(reason, amount as i128);
        }
    }

    /// From outside.
    fn bring(&mut self, from: Party, amount: u128, reason: Reason) {
        if let Some(account) = self.accounts.get_mut(from as usize) {
            account.brought += amount;
            account.add(reason, -(amount as i128));
        }
    }

    /// Up to an amount of the stake that is not locked.
    fn penalise(&mut self, key: Party, amount: u128) -> u128 {
        let Some(account) = self.accounts.get_mut(key as usize) else {
            return 0;
        };
        let mut taken = amount.min(account.free);
        account.free -= taken;
        for (_, left, _) in &mut account.unbonding {
            let cut = (amount - taken).min(*left);
            *left -= cut;
            taken += cut;
        }
        account.add(Reason::Penalty, -(taken as i128));
        taken
    }
}

/// Records by number, the oldest of which are forgotten.
#[derive(Clone, Debug)]
struct Numbered<T> {
    /// Number of the first that is there.
    first: u64,
    there: VecDeque<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Numbered {
            first: 1,
            there: VecDeque::new(),
        }
    }
}

impl<T> Numbered<T> {
    fn push(&mut self, record: T) -> u64 {
        self.there.push_back(record);
        self.first + self.there.len() as u64 - 1
    }

    fn place(&self, id: u64) -> Option<usize> {
        usize::try_from(id.checked_sub(self.first)?).ok()
    }

    fn get(&self, id: u64) -> Option<&T> {
        self.there.get(self.place(id)?)
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let place = self.place(id)?;
        self.there.get_mut(place)
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        self.there.iter()
    }

    fn ids(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.there.len() as u64
    }

    fn forget(&mut self, is_over: impl Fn(&T) -> bool) {
        while self.there.front().is_some_and(&is_over) {
            self.there.pop_front();
            self.first += 1;
        }
    }
}
