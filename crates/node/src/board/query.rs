//! What decisions ask of a board. The formulas are the contracts' own (`spec/protocol.md`), with the
//! board's time for the block's.

use gavel_trace::Digest;

use crate::{Address, B256};

use super::{Board, Dispute, DisputeEntry, Provider, Rules, Task, TaskEntry, TaskState};

impl Board {
    /// Time that decisions count on, in seconds since the epoch.
    pub fn now(&self) -> u64 {
        self.head.time
    }

    /// The newest parameters.
    pub fn newest_rules(&self) -> Option<&Rules> {
        self.rules.last_key_value().map(|(_, rules)| rules)
    }

    /// A task's record.
    pub fn task(&self, id: u64) -> Option<&Task> {
        self.tasks.get(&id).map(|entry| &entry.task)
    }

    /// The parameters that a task lives under.
    pub fn rules_of(&self, task: u64) -> Option<&Rules> {
        self.rules.get(&self.tasks.get(&task)?.rules)
    }

    /// A dispute's record.
    pub fn dispute(&self, id: u64) -> Option<&Dispute> {
        self.disputes.get(&id).map(|entry| &entry.dispute)
    }

    /// Disputes that are not final, oldest first.
    pub fn open_disputes(&self) -> impl Iterator<Item = (u64, &DisputeEntry)> {
        self.disputes
            .iter()
            .filter(|(_, entry)| !entry.dispute.state.is_final())
            .map(|(id, entry)| (*id, entry))
    }

    /// P-C3, P-K6: the task has left the attempt that a dispute is about, or the result was shown to be a trap before a
    /// referee was drawn.
    pub fn is_moot(&self, dispute: &Dispute) -> bool {
        let by_trap = || {
            let key = (dispute.task, dispute.attempt);
            dispute.draws == 0 && self.traps.contains_key(&key)
        };
        self.task(dispute.task)
            .is_none_or(|task| task.attempt != dispute.attempt || !task.state.is_committed())
            || by_trap()
    }

    /// P-M4: a model was shown to be a binding of a family.
    pub fn is_binding(&self, family: &Digest, model: &Digest) -> bool {
        let family = self.families.get(family);
        family.is_some_and(|family| family.shown.contains(model))
    }

    // ---- auction

    /// P-T2: price of a claim at the board's time.
    pub fn price_now(&self, task: &Task) -> u128 {
        price_at(task, self.now())
    }

    /// P-T5: last second before anyone may expire an open task.
    pub fn expires_at(&self, id: u64) -> Option<u64> {
        let (task, rules) = (self.task(id)?, self.rules_of(id)?);
        let life = match task.attempt {
            0 => rules.market.open_lifetime,
            _ => rules.market.retry_lifetime,
        };
        Some(task.opened_at.saturating_add(life.into()))
    }

    /// P-T5: the task that `claimRetry` would hand out: highest attempt first, then first come.
    pub fn retry_head(&self, class: &Digest) -> Option<(u64, &TaskEntry)> {
        self.tasks
            .iter()
            .filter(|(id, entry)| {
                let task = &entry.task;
                task.state == TaskState::Open
                    && task.attempt > 0
                    && task.class == *class
                    && self.expires_at(**id).is_some_and(|last| self.now() <= last)
            })
            .min_by_key(|(_, entry)| (u8::MAX - entry.task.attempt, entry.enqueued))
            .map(|(id, entry)| (*id, entry))
    }

    /// P-T4: a provider of the same owner has had an attempt at this task.
    pub fn is_excluded(&self, id: u64, provider: &Address) -> bool {
        let (Some(entry), Some(standing)) = (self.tasks.get(&id), self.providers.get(provider))
        else {
            return false;
        };
        let ended = entry.attempts.iter().filter(|a| a.ended.is_some());
        ended
            .filter_map(|a| self.providers.get(&a.provider))
            .any(|past| past.owner == standing.owner)
    }

    /// Collateral that a claim of the task locks.
    pub fn collateral_of(&self, id: u64) -> Option<u128> {
        let (task, rules) = (self.task(id)?, &self.rules_of(id)?.market);
        let share = task
            .max_price
            .saturating_mul(rules.collateral_bps.into())
            .checked_div(10_000)?;
        Some(share.max(rules.min_collateral))
    }

    /// Whether a provider may be drawn and may claim: registered, not frozen, jailed or tombstoned,
    /// with the least stake.
    pub fn is_eligible(&self, provider: &Address) -> bool {
        let least = self.newest_rules().map_or(0, |r| r.stake.min_stake);
        self.providers
            .get(provider)
            .is_some_and(|p| in_good_standing(p) && active(p) >= least)
    }

    /// P-T4: whether a claim of the task by this provider would pass the vault and the exclusions.
    pub fn can_claim(&self, id: u64, provider: &Address) -> bool {
        let (Some(p), Some(rules), Some(collateral)) = (
            self.providers.get(provider),
            self.rules_of(id),
            self.collateral_of(id),
        ) else {
            return false;
        };
        let most = active(p).saturating_mul(rules.market.max_locked_bps.into()) / 10_000;
        self.is_eligible(provider)
            && p.live_tasks < p.max_concurrency
            && p.free >= collateral
            && p.locked.saturating_add(collateral) <= most
            && !self.is_excluded(id, provider)
    }

    // ---- result

    /// P-C1: last second at which a challenge of the task's result may be committed.
    pub fn challenge_deadline(&self, id: u64) -> Option<u64> {
        let (committed_at, rules) = self.judged(id)?;
        let window = rules.market.challenge_window;
        Some(committed_at.saturating_add(window.into()).saturating_sub(1))
    }

    /// P-C1: first and last second at which a challenge may be revealed.
    pub fn reveal_window(&self, id: u64) -> Option<(u64, u64)> {
        let (committed_at, rules) = self.judged(id)?;
        let market = &rules.market;
        let first = committed_at.saturating_add(market.retract_window.into());
        let windows = u64::from(market.challenge_window) + u64::from(market.reveal_window);
        Some((
            first,
            committed_at.saturating_add(windows).saturating_sub(1),
        ))
    }

    /// P-T8: first second at which an undisputed result whose audit is closed may settle.
    pub fn settleable_at(&self, id: u64) -> Option<u64> {
        let (_, last_reveal) = self.reveal_window(id)?;
        Some(last_reveal.saturating_add(1))
    }

    /// Whether `settle` passes now.
    pub fn can_settle(&self, id: u64) -> bool {
        self.task(id).is_some_and(|task| {
            task.state == TaskState::Committed
                && task.audit_closed
                && !self.is_tombstoned(&task.provider)
                && self
                    .settleable_at(id)
                    .is_some_and(|first| self.now() >= first)
        })
    }

    /// P-A1: the beacon round that decides about the audit of the task's current result.
    pub fn audit_round(&self, id: u64) -> Option<u64> {
        let (committed_at, rules) = self.judged(id)?;
        let market = &rules.market;
        let delay = u64::from(market.retract_window) + u64::from(market.seed_delay);
        Some(self.beacon.round_after(committed_at.saturating_add(delay)))
    }

    /// Whether a provider is removed for ever.
    pub fn is_tombstoned(&self, provider: &Address) -> bool {
        self.providers.get(provider).is_some_and(|p| p.tombstoned)
    }

    /// Whether an address is a provider's key, owner or payout.
    pub fn is_side(&self, provider: &Address, address: &Address) -> bool {
        provider == address
            || self
                .providers
                .get(provider)
                .is_some_and(|p| p.owner == *address || p.payout == *address)
    }

    /// A published value of the beacon.
    pub fn beacon_value(&self, round: u64) -> Option<B256> {
        self.beacon.value(round)
    }

    /// When the task's result came, and the rules it is judged by.
    fn judged(&self, id: u64) -> Option<(u64, &Rules)> {
        let task = self.task(id).filter(|task| task.state.is_committed())?;
        Some((task.committed_at, self.rules_of(id)?))
    }
}

/// P-T2: min + (max - min) * min(1, elapsed / ramp), rounded down.
fn price_at(task: &Task, time: u64) -> u128 {
    let (elapsed, ramp) = (
        time.saturating_sub(task.opened_at),
        u64::from(task.ramp_seconds),
    );
    if elapsed >= ramp {
        return task.max_price;
    }
    let range = task.max_price.saturating_sub(task.min_price);
    // amounts are below 2^96 and times below 2^32, so the product fits
    let risen = range.saturating_mul(elapsed.into()) / u128::from(ramp);
    task.min_price.saturating_add(risen)
}

fn in_good_standing(p: &Provider) -> bool {
    !p.tombstoned && p.frozen == 0 && p.jailed_until == 0
}

fn active(p: &Provider) -> u128 {
    p.free.saturating_add(p.locked)
}
