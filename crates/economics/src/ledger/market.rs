//! The market's calls: posting, claiming, committing, and the ways back to the auction.

use std::collections::VecDeque;

use super::{
    AuditPhase, Audited, BPS, Challenge, Done, Ledger, Numbered, Party, Reason, Refused, Task,
    TaskId, TaskPhase,
};
use crate::rules::collateral;

/// Attempts are numbered 0 to this; a task that fails once more expires.
const ATTEMPT_MAX: u8 = 31;

/// Retries of a class: one FIFO for each attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes(Vec<VecDeque<TaskId>>);

impl Lanes {
    fn enqueue(&mut self, attempt: u8, task: TaskId) {
        let place = usize::from(attempt);
        if self.0.len() <= place {
            self.0.resize_with(place + 1, VecDeque::new);
        }
        if let Some(lane) = self.0.get_mut(place) {
            lane.push_back(task);
        }
    }

    /// Head of the highest lane; entries that left by another door are dropped on the way.
    fn front(&mut self, tasks: &Numbered<Task>) -> Option<TaskId> {
        for (attempt, lane) in self.0.iter_mut().enumerate().rev() {
            while let Some(&task) = lane.front() {
                let waits = tasks.get(task).is_some_and(|t| {
                    t.phase == TaskPhase::Open && usize::from(t.attempt) == attempt
                });
                if waits {
                    return Some(task);
                }
                lane.pop_front();
            }
        }
        None
    }
}

impl Ledger {
    pub(super) fn post(
        &mut self,
        requester: Party,
        class: u8,
        min: u128,
        max: u128,
    ) -> Result<Done, Refused> {
        let m = &self.params.market;
        let floor = (max * u128::from(m.priceFloorBps)).div_ceil(BPS);
        if max == 0 || min > max || min < floor || max > m.maxTaskPrice {
            return Err(Refused("PriceOutOfRange"));
        }
        let levy = m.auditLevy;
        let known = self.classes.get(usize::from(class));
        let ramp = known.ok_or(Refused("UnknownModel"))?.ramp;
        self.bring(requester, max, Reason::Price);
        self.bring(requester, levy, Reason::Levy);
        let id = self.tasks.push(Task {
            requester,
            class,
            phase: TaskPhase::Open,
            attempt: 0,
            opened_at: self.now,
            min,
            max,
            ramp,
            claimed_at: 0,
            committed_at: 0,
            provider: 0,
            collateral: 0,
            pot: max + levy,
            answer: 0,
            is_challenged: false,
            is_voided: false,
            disputes: 0,
            audit: AuditPhase::Undecided,
            audited: Audited::default(),
            audit_deadline: 0,
            audit_draws: 0,
            open_traps: 0,
            challenges: Vec::new(),
            excluded: Vec::new(),
            slashed: Vec::new(),
        });
        Ok(Done::Task(id))
    }

    pub(super) fn cancel(&mut self, id: TaskId, by: Party) -> Result<Done, Refused> {
        let task = self.in_phase(id, TaskPhase::Open)?;
        if task.requester != by {
            return Err(Refused("NotRequester"));
        }
        self.send_home(id, TaskPhase::Cancelled)
    }

    pub(super) fn claim(&mut self, id: TaskId, key: Party) -> Result<Done, Refused> {
        self.in_phase(id, TaskPhase::Open)?;
        let credit = self.pass_gate(id, key)?;
        let (now, task) = (self.now, self.in_phase(id, TaskPhase::Open)?);
        let (class, max) = (task.class, task.max);
        let excluded = task.excluded.contains(&key);
        self.check_lock(key, max)?;
        if excluded {
            return Err(Refused("ExcludedFromTask"));
        }
        let collateral = self.collateral_of(max);
        let account = self.account(key)?;
        if let Some(credit) = credit {
            account.retry_credit.retain(|(c, _)| *c != class);
            account.retry_credit.push((class, credit));
        }
        account.free -= collateral;
        account.locked += collateral;
        account.live += 1;
        let task = self.in_phase(id, TaskPhase::Open)?;
        task.collateral = collateral;
        task.phase = TaskPhase::Claimed;
        task.claimed_at = now;
        task.provider = key;
        Ok(Done::Nothing)
    }

    pub(super) fn commit(&mut self, id: TaskId, key: Party, answer: u64) -> Result<Done, Refused> {
        let now = self.now;
        self.in_phase(id, TaskPhase::Claimed)?;
        self.registered(key)?;
        let task = self.in_phase(id, TaskPhase::Claimed)?;
        if task.provider != key {
            return Err(Refused("NotProvider"));
        }
        task.phase = TaskPhase::Committed;
        task.committed_at = now;
        task.answer = answer;
        task.audit = AuditPhase::Undecided;
        task.audited = Audited::default();
        task.audit_draws = 0;
        Ok(Done::Nothing)
    }

    pub(super) fn retract(&mut self, id: TaskId, key: Party) -> Result<Done, Refused> {
        self.in_phase(id, TaskPhase::Committed)?;
        self.registered(key)?;
        let task = self.in_phase(id, TaskPhase::Committed)?;
        if task.provider != key {
            return Err(Refused("NotProvider"));
        }
        if task.is_challenged {
            return Err(Refused("AlreadyChallenged"));
        }
        self.slash_liveness(id);
        self.requeue(id, 0)
    }

    pub(super) fn miss_deadline(&mut self, id: TaskId) -> Result<Done, Refused> {
        let key = self.in_phase(id, TaskPhase::Claimed)?.provider;
        self.slash_liveness(id);
        let until = self.now + u64::from(self.params.market.jailSeconds);
        let account = self.account(key)?;
        account.jailed_until = account.jailed_until.max(until);
        self.requeue(id, 0)
    }

    pub(super) fn expire(&mut self, id: TaskId) -> Result<Done, Refused> {
        self.in_phase(id, TaskPhase::Open)?;
        self.send_home(id, TaskPhase::Expired)
    }

    pub(super) fn settle(&mut self, id: TaskId) -> Result<Done, Refused> {
        let task = self.in_phase(id, TaskPhase::Committed)?;
        if !task.is_audit_over() {
            return Err(Refused("AuditOpen"));
        }
        let (key, requester, price, max) = (task.provider, task.requester, task.price(), task.max);
        if self.account(key)?.tombstoned {
            return Err(Refused("ProviderTombstoned"));
        }
        let task = self.in_phase(id, TaskPhase::Committed)?;
        let levy = task.pot - max;
        task.pot = 0;
        task.phase = TaskPhase::Settled;
        self.pool += levy;
        self.unlock(id);
        self.account(key)?.settled += 1;
        self.pay(key, price, Reason::Price);
        self.pay(requester, max - price, Reason::Price);
        Ok(Done::Nothing)
    }

    pub(super) fn reverse(&mut self, id: TaskId) -> Result<Done, Refused> {
        let task = self.tasks.get_mut(id).ok_or(Refused("UnknownTask"))?;
        if !task.is_served() {
            return Err(Refused("NotUnderJudgement"));
        }
        let (key, has_result) = (task.provider, task.has_result());
        if !self.account(key)?.tombstoned {
            return Err(Refused("ProviderNotTombstoned"));
        }
        if has_result {
            self.burned += self.take_collateral(id, BPS, Reason::Slash);
        }
        self.requeue(id, 0)
    }

    /// The retry that a claim in a class has to look at.
    pub fn retry_head(&mut self, class: u8) -> Option<TaskId> {
        let lanes = self.lanes.get_mut(usize::from(class))?;
        lanes.front(&self.tasks)
    }

    /// Whether a provider could lock the collateral of a task with this ceiling.
    pub fn can_lock(&self, key: Party, max: u128) -> bool {
        self.check_lock(key, max).is_ok()
    }

    // ---- inside

    fn check_lock(&self, key: Party, max: u128) -> Result<(), Refused> {
        let found = self.accounts.get(key as usize);
        let a = found.filter(|a| a.is_provider);
        let a = a.ok_or(Refused("NotRegistered"))?;
        let collateral = self.collateral_of(max);
        if a.tombstoned {
            return Err(Refused("ProviderTombstoned"));
        }
        if a.frozen != 0 {
            return Err(Refused("ProviderFrozen"));
        }
        if a.jailed_until != 0 {
            return Err(Refused("ProviderJailed"));
        }
        if a.free < collateral {
            return Err(Refused("InsufficientFree"));
        }
        let stake = a.free + a.locked;
        if stake < self.params.stake.minStake {
            return Err(Refused("StakeTooLow"));
        }
        if a.locked + collateral > stake * u128::from(self.params.market.maxLockedBps) / BPS {
            return Err(Refused("ExposureCap"));
        }
        Ok(())
    }

    /// Collateral of a task with this ceiling.
    pub fn collateral_of(&self, max: u128) -> u128 {
        collateral(&self.params.market, max).saturating_to()
    }

    /// P-T5: a claim of another task of the class costs a retry taken before. What the claimer may do after it, where that changes.
    fn pass_gate(&mut self, id: TaskId, key: Party) -> Result<Option<u16>, Refused> {
        let class = self.in_phase(id, TaskPhase::Open)?.class;
        let Some(head) = self.retry_head(class) else {
            return Ok(None);
        };
        let m = &self.params.market;
        if head == id {
            return Ok(Some(m.retryEvery));
        }
        let (grace, life) = (u64::from(m.retryGrace), u64::from(m.retryLifetime));
        let Some(waiting) = self.tasks.get(head) else {
            return Ok(None);
        };
        let waited = self.now - waiting.opened_at;
        let is_owed = waited > grace && waited <= life && !waiting.excluded.contains(&key);
        if !is_owed || self.check_lock(key, waiting.max).is_err() {
            return Ok(None);
        }
        let credits = &self.account(key)?.retry_credit;
        match credits.iter().find(|(c, _)| *c == class) {
            Some((_, left)) if *left > 0 => Ok(Some(left - 1)),
            _ => Err(Refused("RetryWaits")),
        }
    }

    /// Back to the auction, at the last price, with a ceiling raised by what a slash paid.
    pub(super) fn requeue(&mut self, id: TaskId, raise: u128) -> Result<Done, Refused> {
        self.unlock(id);
        self.end_attempt(id);
        let now = self.now;
        let task = self.tasks.get_mut(id).ok_or(Refused("UnknownTask"))?;
        task.min = task.price();
        task.max += raise;
        task.opened_at = now;
        task.disputes = 0;
        task.is_challenged = false;
        task.is_voided = false;
        task.phase = TaskPhase::Open;
        task.excluded.push(task.provider);
        if task.attempt == ATTEMPT_MAX {
            return self.send_home(id, TaskPhase::Expired);
        }
        task.attempt += 1;
        let (class, attempt) = (task.class, task.attempt);
        if let Some(lanes) = self.lanes.get_mut(usize::from(class)) {
            lanes.enqueue(attempt, id);
        }
        Ok(Done::Nothing)
    }

    fn send_home(&mut self, id: TaskId, phase: TaskPhase) -> Result<Done, Refused> {
        let levy = self.params.market.auditLevy;
        let task = self.tasks.get_mut(id).ok_or(Refused("UnknownTask"))?;
        task.phase = phase;
        let (requester, pot) = (task.requester, std::mem::take(&mut task.pot));
        self.pay(requester, pot - levy, Reason::Price);
        self.pay(requester, levy, Reason::Levy);
        Ok(Done::Nothing)
    }

    fn unlock(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        let (key, collateral) = (task.provider, std::mem::take(&mut task.collateral));
        if let Some(account) = self.accounts.get_mut(key as usize) {
            account.live -= 1;
            account.locked -= collateral;
            account.free += collateral;
        }
    }

    fn slash_liveness(&mut self, id: TaskId) {
        let share = u128::from(self.params.market.livenessBps);
        self.burned += self.take_collateral(id, share, Reason::Penalty);
    }

    /// A share of a task's collateral.
    pub(super) fn take_collateral(&mut self, id: TaskId, bps: u128, reason: Reason) -> u128 {
        let Some(task) = self.tasks.get_mut(id) else {
            return 0;
        };
        let taken = task.collateral * bps / BPS;
        task.collateral -= taken;
        let key = task.provider;
        if let Some(account) = self.accounts.get_mut(key as usize) {
            account.locked -= taken;
            account.add(reason, -(taken as i128));
        }
        taken
    }

    pub(super) fn in_phase(&mut self, id: TaskId, phase: TaskPhase) -> Result<&mut Task, Refused> {
        let task = self.tasks.get_mut(id).ok_or(Refused("UnknownTask"))?;
        match task.phase == phase {
            true => Ok(task),
            false => Err(Refused("WrongState")),
        }
    }

    // ---- challenges

    pub(super) fn challenge(
        &mut self,
        id: TaskId,
        by: Party,
        answer: u64,
    ) -> Result<Done, Refused> {
        let (bond, at) = (self.bond(), self.now);
        let task = self
            .tasks
            .get_mut(id)
            .ok_or(Refused("NothingToChallenge"))?;
        if !task.has_result() {
            return Err(Refused("NothingToChallenge"));
        }
        if task.provider == by {
            return Err(Refused("OwnTask"));
        }
        let attempt = task.attempt;
        let mine = |c: &Challenge| c.attempt == attempt && c.by == by;
        if task
            .challenges
            .iter()
            .any(|c| mine(c) && (c.bond != 0 || c.revealed))
        {
            return Err(Refused("AlreadyCommitted"));
        }
        task.is_challenged = true;
        task.challenges.push(Challenge {
            attempt,
            by,
            at,
            answer,
            bond,
            revealed: false,
        });
        self.bring(by, bond, Reason::Bond);
        Ok(Done::Nothing)
    }

    pub(super) fn reveal(&mut self, id: TaskId, by: Party) -> Result<Done, Refused> {
        let task = self
            .tasks
            .get_mut(id)
            .ok_or(Refused("NothingToChallenge"))?;
        if !task.has_result() {
            return Err(Refused("NothingToChallenge"));
        }
        let (attempt, answer) = (task.attempt, task.answer);
        let mut own = task.challenges.iter_mut();
        let own = own.find(|c| c.attempt == attempt && c.by == by && (c.bond != 0 || c.revealed));
        let own = own.ok_or(Refused("NoSuchCommitment"))?;
        if own.revealed {
            return Err(Refused("AlreadyRevealed"));
        }
        if own.answer == answer {
            return Err(Refused("SameTrace"));
        }
        own.revealed = true;
        let bond = std::mem::take(&mut own.bond);
        self.open_dispute(id, by, bond, false)
    }

    pub(super) fn reclaim(&mut self, id: TaskId, attempt: u8, by: Party) -> Result<Done, Refused> {
        let task = self.tasks.get_mut(id).ok_or(Refused("NoSuchCommitment"))?;
        let judged = task.has_result() || task.phase == TaskPhase::Settled;
        let stands = judged && task.attempt == attempt;
        let mut own = task.challenges.iter_mut();
        let own = own.find(|c| c.attempt == attempt && c.by == by && (c.bond != 0 || c.revealed));
        let own = own.ok_or(Refused("NoSuchCommitment"))?;
        if own.revealed {
            return Err(Refused("AlreadyRevealed"));
        }
        let bond = std::mem::take(&mut own.bond);
        match stands {
            true => self.burned += bond,
            false => self.pay(by, bond, Reason::Bond),
        }
        Ok(Done::Nothing)
    }
}
