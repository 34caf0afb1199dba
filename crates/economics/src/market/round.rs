//! One round of a market on a stage: posted, claimed, worked, challenged, audited, disputed, settled.

use rand::Rng as _;

use super::traps::{Shown, Trapped};
use super::{Broken, Earned, Market, Outcome, Payoff, Stage};
use crate::agents::{ALL, Agent, Chance, Seen, Work};
use crate::ledger::{Answer, AuditPhase, Done, Op, Party, SealId, TRAP, TaskId, TaskPhase};

/// Seconds from the floor of a price to its ceiling.
pub(super) const RAMP: u64 = 60;
/// Seconds that a task may be run: whoever claims first commits when all have claimed, and deposits for traps are sealed.
pub(crate) const EXEC: u64 = RAMP + 2;
/// Longest time between two rounds of the beacon that a stage may have.
pub(super) const BEACON: u64 = 10;
/// The right answer of every task.
pub(super) const RIGHT: Answer = 0;

/// A task that is being worked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) task: TaskId,
    pub(super) key: Party,
    pub(super) work: Work,
    /// The deposit behind it, where its result is to be wrong on purpose.
    pub(super) seal: Option<SealId>,
    /// Whether its machine broke down.
    pub(super) is_late: bool,
}

/// A market between two rounds.
pub struct Round<'a, S: Stage> {
    pub(super) market: &'a Market,
    pub(super) stage: S,
    pub(super) chance: Chance,
    pub(super) requester: Party,
    /// Who puts up deposits for traps.
    pub(super) sealer: Party,
    pub(super) sealer_friends: Vec<Party>,
    /// Kind of every account; requester, sealer and its friends have none.
    kind_of: Vec<Option<u8>>,
    /// What every provider asks, of ten thousand of what a task costs.
    pub(super) asks: Vec<u32>,
    /// Providers that are not out.
    pub(super) active: Vec<Party>,
    /// Friend of each kind, which owes nobody anything.
    pub(super) friends: Vec<Party>,
    /// What the ledger does not know of each kind.
    pub(super) outside: Vec<Payoff>,
    /// Price of each class in the round before.
    pub(super) prices: Vec<(u128, u64)>,
    stake: u128,
    pub(super) posted: u64,
    settled: Vec<(f64, u64)>,
    requeued: u64,
    pub(super) unserved: u64,
    pub(super) disputes: u64,
    pub(super) trapped: Trapped,
    /// Traps whose finders are not paid.
    pub(super) shown: Vec<Shown>,
}

impl<'a, S: Stage> Round<'a, S> {
    /// Registers the providers of each kind by its share.
    ///
    /// # Errors
    /// The stage refused one.
    pub fn new(
        market: &'a Market,
        stage: S,
        providers: usize,
        chance: Chance,
    ) -> Result<Round<'a, S>, Broken> {
        let mut round = Round {
            market,
            stage,
            chance,
            requester: 0,
            sealer: 0,
            sealer_friends: Vec::new(),
            kind_of: Vec::new(),
            asks: Vec::new(),
            active: Vec::new(),
            friends: Vec::new(),
            outside: vec![Payoff::default(); market.kinds.len()],
            prices: vec![(0, 0); market.demand.len()],
            stake: market.params.stake.minStake,
            posted: 0,
            settled: vec![(0.0, 0); market.demand.len()],
            requeued: 0,
            unserved: 0,
            disputes: 0,
            trapped: Trapped::default(),
            shown: Vec::new(),
        };
        round.requester = round.add(None)?;
        round.sealer = round.add(None)?;
        for _ in 0..market.traps.friends {
            let friend = round.add(None)?;
            round.sealer_friends.push(friend);
        }
        for kind in 0..market.kinds.len() {
            let friend = round.add(Some(kind as u8))?;
            round.friends.push(friend);
        }
        let (mut left, mut shares) = (providers, 1.0);
        for (kind, of) in market.kinds.iter().enumerate() {
            // the last gets what rounding left
            let many =
                (left as f64 * (of.share / f64::max(shares, 1e-9)).min(1.0)).round() as usize;
            shares -= of.share;
            left -= many;
            for _ in 0..many {
                round.enter(kind as u8)?;
            }
        }
        if round.active.is_empty() || market.demand.is_empty() {
            return Err(Broken::Empty);
        }
        Ok(round)
    }

    /// What it is played on.
    pub fn stage(&self) -> &S {
        &self.stage
    }

    /// Tasks posted so far.
    pub fn posted(&self) -> u64 {
        self.posted
    }

    /// One round.
    ///
    /// # Errors
    /// The stage refused a call that there was reason to make.
    pub fn play(&mut self) -> Result<(), Broken> {
        let mut jobs = Vec::new();
        self.claim_retries(&mut jobs)?;
        let open = self.post_and_claim(&mut jobs)?;
        self.seal(&mut jobs)?;
        self.work(&jobs)?;
        self.challenge(&jobs)?;
        self.miss_deadlines(&jobs)?;
        self.reveal(&jobs)?;
        self.audit(&jobs)?;
        self.show_found(&jobs)?;
        self.judge(&jobs)?;
        self.settle(&jobs)?;
        for task in open {
            self.unserved += 1;
            let by = self.requester;
            self.act(Op::Cancel { task, by })?;
        }
        self.come_back()?;
        self.end_round()
    }

    pub(super) fn end_round(&mut self) -> Result<(), Broken> {
        self.stage.end_round().map_err(|e| Broken::Refused {
            call: "the end of a round".to_owned(),
            error: e.to_string(),
        })
    }

    // ---- results

    fn work(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        for job in jobs {
            let class = self.stage.ledger().task(job.task).map_or(0, |t| t.class);
            let (cost, gain) = (self.cost(class), self.size(self.market.gain, class));
            self.of(job.key, |p| {
                p.tasks += 1;
                p.costs -= cost as i128;
            });
            if job.is_late {
                continue;
            }
            let mut answer = match job.seal {
                Some(_) => TRAP | job.task,
                None => RIGHT,
            };
            if job.work.is_wrong {
                answer = job.task;
                let gained = gain * u128::from(job.work.gain_bps) / u128::from(ALL);
                self.of(job.key, |p| {
                    p.wrong += 1;
                    p.gains += gained as i128;
                });
            }
            let (task, key) = (job.task, job.key);
            self.act(Op::Commit { task, key, answer })?;
        }
        Ok(())
    }

    /// False challenges: each griefer picks a right result of somebody else's.
    fn challenge(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        for job in jobs {
            let Some(agent) = self.agent_of(job.key) else {
                continue;
            };
            if !agent.challenges_falsely(&mut self.chance) {
                continue;
            }
            let victim = jobs[self.chance.random_range(0..jobs.len())];
            if victim.key == job.key || victim.work.is_wrong || victim.is_late {
                continue;
            }
            let (task, by) = (victim.task, job.key);
            let answer = RIGHT + 1;
            if self.try_act(Op::Challenge { task, by, answer })? {
                self.of(by, |p| p.challenges += 1);
            }
        }
        Ok(())
    }

    fn miss_deadlines(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        let late = jobs.iter().filter(|job| job.is_late);
        for (i, job) in late.enumerate() {
            if i == 0 {
                let now = self.now();
                self.advance_to(now + EXEC + 1)?;
            }
            self.act(Op::MissDeadline { task: job.task })?;
            self.requeued += 1;
        }
        Ok(())
    }

    fn reveal(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        let wait = u64::from(self.market.params.market.retractWindow);
        let now = self.now();
        self.advance_to(now + wait)?;
        for job in jobs {
            let task = job.task;
            let due = self.stage.ledger().task(task).map_or(Vec::new(), |t| {
                let due = t
                    .challenges
                    .iter()
                    .filter(|c| c.attempt == t.attempt && !c.revealed);
                due.map(|c| c.by).collect()
            });
            for by in due {
                self.act(Op::Reveal { task, by })?;
                self.disputes += 1;
            }
        }
        Ok(())
    }

    // ---- the end

    fn settle(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        let m = &self.market.params.market;
        let windows = u64::from(m.challengeWindow) + u64::from(m.revealWindow);
        let now = self.now();
        self.advance_to(now + windows)?;
        self.end_traps(jobs)?;
        for job in jobs {
            let Some(task) = self.stage.ledger().task(job.task) else {
                continue;
            };
            // one that is back at the auction waits for the next round
            if task.phase != TaskPhase::Committed || task.provider != job.key {
                continue;
            }
            let (price, class) = (task.price(), usize::from(task.class));
            self.act(Op::Settle { task: job.task })?;
            if let Some(settled) = self.settled.get_mut(class) {
                settled.0 += price as f64;
                settled.1 += 1;
            }
        }
        Ok(())
    }

    /// Jails end, stakes are made up, and who is banned leaves or comes back.
    fn come_back(&mut self) -> Result<(), Broken> {
        let now = self.now();
        let mut banned = Vec::new();
        let active = std::mem::take(&mut self.active);
        for key in active {
            let Some(account) = self.stage.ledger().accounts().get(key as usize) else {
                continue;
            };
            let (jail, stake) = (account.jailed_until, account.free + account.locked);
            if account.tombstoned {
                banned.push(key);
                continue;
            }
            self.active.push(key);
            if jail != 0 && now >= jail {
                self.act(Op::Unjail { key })?;
            }
            if stake < self.stake {
                let amount = self.stake - stake;
                self.act(Op::Stake { key, amount })?;
            }
        }
        for key in banned {
            self.of(key, |p| p.caught += 1);
            let Some(kind) = self.kind(key) else {
                continue;
            };
            let returns = self.agent_of(key).is_some_and(|a| a.returns());
            // whoever leaves for good makes room for another of its kind, so that the shares are what was asked for
            self.enter(kind)?;
            if returns {
                self.of(key, |p| p.names += 1);
            }
        }
        Ok(())
    }

    /// Puts together what the ledger and the kinds know.
    pub fn outcome(&self) -> Outcome {
        let ledger = self.stage.ledger();
        let mut payoffs = self.outside.clone();
        for (account, kind) in ledger.accounts().iter().zip(&self.kind_of) {
            let payoff = kind.and_then(|kind| payoffs.get_mut(usize::from(kind)));
            if let Some(payoff) = payoff {
                payoff.add_account(account);
            }
        }
        let kinds = self.market.kinds.iter().zip(payoffs);
        let earned = kinds.map(|(kind, payoff)| Earned {
            name: kind.agent.name(),
            about: kind.agent.about(),
            share: kind.share,
            payoff,
        });
        let average = |(sum, many): &(f64, u64)| (*many, sum / (*many).max(1) as f64);
        Outcome {
            kinds: earned.collect(),
            posted: self.posted,
            settled: self.settled.iter().map(|s| s.1).sum(),
            requeued: self.requeued,
            unserved: self.unserved,
            disputes: self.disputes,
            traps: self.trapped,
            prices: self.settled.iter().map(average).collect(),
            burned: ledger.burned(),
        }
    }

    // ---- helpers

    pub(super) fn act(&mut self, op: Op) -> Result<Done, Broken> {
        self.stage.act(op).map_err(|e| Broken::Refused {
            call: format!("{op:?}"),
            error: e.to_string(),
        })
    }

    /// Whether the call was taken; a refusal is an answer, too.
    pub(super) fn try_act(&mut self, op: Op) -> Result<bool, Broken> {
        match self.stage.act(op) {
            Ok(_) => Ok(true),
            Err(e) if S::is_refusal(&e) => Ok(false),
            Err(e) => Err(Broken::Refused {
                call: format!("{op:?}"),
                error: e.to_string(),
            }),
        }
    }

    pub(super) fn advance_to(&mut self, time: u64) -> Result<(), Broken> {
        self.stage.advance_to(time).map_err(|e| Broken::Refused {
            call: format!("the clock to {time}"),
            error: e.to_string(),
        })
    }

    pub(super) fn now(&self) -> u64 {
        self.stage.ledger().now()
    }

    pub(super) fn count_requeues(&mut self, many: u64) {
        self.requeued += many;
    }

    fn add(&mut self, kind: Option<u8>) -> Result<Party, Broken> {
        let party = self.stage.add().map_err(|e| Broken::Refused {
            call: "an account".to_owned(),
            error: e.to_string(),
        })?;
        self.kind_of.push(kind);
        let asks = self.chance.random_range(11_000..30_000);
        self.asks.push(asks);
        Ok(party)
    }

    fn enter(&mut self, kind: u8) -> Result<(), Broken> {
        let key = self.add(Some(kind))?;
        let stake = self.stake;
        self.act(Op::Register { key, stake })?;
        self.active.push(key);
        Ok(())
    }

    pub(super) fn kind(&self, party: Party) -> Option<u8> {
        self.kind_of.get(party as usize).copied().flatten()
    }

    pub(super) fn agent_of(&self, party: Party) -> Option<&'a dyn Agent> {
        let kind = self.kind(party)?;
        let market: &'a Market = self.market;
        Some(market.kinds.get(usize::from(kind))?.agent.as_ref())
    }

    pub(super) fn seen(&self, job: &Job, by: Party) -> Seen {
        let is_ring = self.agent_of(by).is_some_and(|a| a.is_ring());
        Seen {
            is_wrong: job.work.is_wrong,
            by_friend: is_ring && self.kind(by) == self.kind(job.key),
        }
    }

    /// The books of a party's kind that the ledger does not keep.
    pub(super) fn of(&mut self, party: Party, change: impl FnOnce(&mut Payoff)) {
        let kind = self.kind(party);
        let payoff = kind.and_then(|kind| self.outside.get_mut(usize::from(kind)));
        if let Some(payoff) = payoff {
            change(payoff);
        }
    }

    pub(super) fn has_result(&self, job: &Job) -> bool {
        let task = self.stage.ledger().task(job.task);
        task.is_some_and(|t| t.has_result() && t.provider == job.key)
    }

    pub(super) fn audit_of(&self, job: &Job) -> AuditPhase {
        let task = self.stage.ledger().task(job.task);
        task.map_or(AuditPhase::Closed, |t| t.audit)
    }

    pub(super) fn auditor_of(&self, job: &Job) -> Party {
        let task = self.stage.ledger().task(job.task);
        task.map_or(0, |t| t.audited.auditor)
    }

    fn size(&self, dearest: u128, class: u8) -> u128 {
        let demand = self.market.demand.get(usize::from(class));
        dearest * demand.map_or(0, |d| u128::from(d.size_bps)) / u128::from(ALL)
    }

    pub(super) fn cost(&self, class: u8) -> u128 {
        self.size(self.market.cost, class)
    }

    pub(super) fn ceiling(&self, class: u8) -> u128 {
        self.size(self.market.params.market.maxTaskPrice, class)
    }

    pub(super) fn floor(&self, class: u8) -> u128 {
        let floor = u128::from(self.market.params.market.priceFloorBps);
        (self.ceiling(class) * floor).div_ceil(u128::from(ALL))
    }
}
