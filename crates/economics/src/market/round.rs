//! One round of a market on a stage: posted, claimed, worked, challenged, audited, disputed, settled.

use rand::Rng as _;

use super::{Broken, Earned, Market, Outcome, Payoff, Stage};
use crate::agents::{ALL, Agent, Audit, Chance, Seen, Work};
use crate::ledger::{Answer, AuditPhase, Done, Op, Party, TaskId, TaskPhase};

/// Seconds from the floor of a price to its ceiling.
pub(super) const RAMP: u64 = 60;
/// Seconds that a task may be run.
pub(crate) const EXEC: u64 = 60;
/// Longest time between two rounds of the beacon that a stage may have.
const BEACON: u64 = 10;
/// Providers that look at a task before it is taken by the one that asks least.
const BIDDERS: usize = 3;
/// The right answer of every task.
pub(super) const RIGHT: Answer = 0;

/// A task that is being worked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) task: TaskId,
    pub(super) key: Party,
    pub(super) work: Work,
    /// Whether its machine broke down.
    is_late: bool,
}

/// A market between two rounds.
pub struct Round<'a, S: Stage> {
    pub(super) market: &'a Market,
    pub(super) stage: S,
    pub(super) chance: Chance,
    requester: Party,
    /// Kind of every account; the requesters' is none.
    kind_of: Vec<Option<u8>>,
    /// What every provider asks, of ten thousand of what a task costs.
    asks: Vec<u32>,
    /// Providers that are not out.
    active: Vec<Party>,
    /// Friend of each kind, which owes nobody anything.
    friends: Vec<Party>,
    /// What the ledger does not know of each kind.
    pub(super) outside: Vec<Payoff>,
    /// Price of each class in the round before.
    prices: Vec<(u128, u64)>,
    stake: u128,
    posted: u64,
    settled: Vec<(f64, u64)>,
    requeued: u64,
    unserved: u64,
    pub(super) disputes: u64,
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
        };
        round.requester = round.add(None)?;
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
        self.work(&jobs)?;
        self.challenge(&jobs)?;
        self.miss_deadlines(&jobs)?;
        self.reveal(&jobs)?;
        self.audit(&jobs)?;
        self.judge(&jobs)?;
        self.settle(&jobs)?;
        for task in open {
            self.unserved += 1;
            let by = self.requester;
            self.act(Op::Cancel { task, by })?;
        }
        self.come_back()?;
        self.stage.end_round().map_err(|e| Broken::Refused {
            call: "the end of a round".to_owned(),
            error: e.to_string(),
        })
    }

    // ---- auction

    fn claim_retries(&mut self, jobs: &mut Vec<Job>) -> Result<(), Broken> {
        let life = u64::from(self.market.params.market.retryLifetime);
        for class in 0..self.market.demand.len() as u8 {
            while let Some(task) = self.stage.retry_head(class) {
                let Some(found) = self.stage.ledger().task(task) else {
                    break;
                };
                let (max, opened) = (found.max, found.opened_at);
                if self.now() > opened + life {
                    self.unserved += 1;
                    self.act(Op::Expire { task })?;
                    continue;
                }
                // the price is what it is: nobody waits for a better one behind the head of a lane
                let bidder = self.bidder(task, max, class);
                let Some((key, _)) = bidder else {
                    break;
                };
                if !self.try_act(Op::Claim { task, key })? {
                    break;
                }
                let job = self.job(task, key);
                jobs.push(job);
            }
        }
        Ok(())
    }

    /// Tasks that nobody took.
    fn post_and_claim(&mut self, jobs: &mut Vec<Job>) -> Result<Vec<TaskId>, Broken> {
        let begin = self.now();
        let mut bids = Vec::new();
        let mut open = Vec::new();
        for class in 0..self.market.demand.len() as u8 {
            let (max, min) = (self.ceiling(class), self.floor(class));
            for _ in 0..self.arrivals(class) {
                let op = Op::Post {
                    requester: self.requester,
                    class,
                    min,
                    max,
                };
                let Done::Task(task) = self.act(op)? else {
                    continue;
                };
                self.posted += 1;
                match self.bidder(task, max, class) {
                    Some((key, asked)) => {
                        let part = asked.saturating_sub(min) * u128::from(RAMP);
                        let wait = part.div_ceil((max - min).max(1)) as u64;
                        bids.push((wait.min(RAMP), task, key, class));
                    }
                    None => open.push(task),
                }
            }
        }
        bids.sort_by_key(|bid| bid.0);
        for (wait, task, key, class) in bids {
            self.advance_to(begin + wait)?;
            let mut claimed = self.try_act(Op::Claim { task, key })?.then_some(key);
            if claimed.is_none() {
                // full since: whoever else is there takes it at this price
                let max = self.ceiling(class);
                if let Some((key, _)) = self.bidder(task, max, class) {
                    claimed = self.try_act(Op::Claim { task, key })?.then_some(key);
                }
            }
            match claimed {
                Some(key) => {
                    let price = self.stage.ledger().task(task).map_or(0, |t| t.price());
                    if let Some(seen) = self.prices.get_mut(usize::from(class)) {
                        seen.0 += price;
                        seen.1 += 1;
                    }
                    let job = self.job(task, key);
                    jobs.push(job);
                }
                None => open.push(task),
            }
        }
        self.advance_to(begin + RAMP)?;
        Ok(open)
    }

    /// Demand falls from what it is at the price of nothing to nothing at the ceiling.
    fn arrivals(&mut self, class: u8) -> u32 {
        let Some(demand) = self.market.demand.get(usize::from(class)) else {
            return 0;
        };
        let ceiling = self.ceiling(class);
        let seen = self.prices.get_mut(usize::from(class));
        let (sum, many) = seen.map(std::mem::take).unwrap_or_default();
        let price = sum.checked_div(u128::from(many)).unwrap_or(ceiling / 4);
        let wanted = 1.0 - price as f64 / ceiling.max(1) as f64;
        let base = self.active.len() as f64 * f64::from(demand.per_hundred) / 100.0;
        let noise = self.chance.random_range(0.9..1.1);
        // a market too small for one task a round has one in some rounds
        let exact = base * wanted * noise;
        exact as u32 + u32::from(self.chance.random::<f64>() < exact.fract())
    }

    /// Of some that could lock the collateral, the one that asks least, and what it asks.
    fn bidder(&mut self, task: TaskId, max: u128, class: u8) -> Option<(Party, u128)> {
        let mut best: Option<(Party, u32)> = None;
        let mut found = 0;
        for _ in 0..4 * BIDDERS {
            let place = self.chance.random_range(0..self.active.len());
            let key = *self.active.get(place)?;
            let asks = *self.asks.get(key as usize)?;
            let ledger = self.stage.ledger();
            let is_out = ledger.task(task)?.excluded.contains(&key);
            if is_out || !ledger.can_lock(key, max) {
                continue;
            }
            if best.is_none_or(|(_, least)| asks < least) {
                best = Some((key, asks));
            }
            found += 1;
            if found == BIDDERS {
                break;
            }
        }
        let (key, asks) = best?;
        Some((key, self.cost(class) * u128::from(asks) / u128::from(ALL)))
    }

    fn job(&mut self, task: TaskId, key: Party) -> Job {
        let work = match self.agent_of(key) {
            Some(agent) => agent.work(&mut self.chance),
            None => Work::HONEST,
        };
        let breaks = self.chance.random_range(0..1_000_000u32) < self.market.accidents_ppm;
        Job {
            task,
            key,
            work,
            is_late: breaks,
        }
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
            let mut answer = RIGHT;
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

    // ---- audits

    fn audit(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        let now = self.now();
        let delay = u64::from(self.market.params.market.seedDelay);
        self.advance_to(now + delay + 2 * BEACON)?;
        let mut due = Vec::new();
        for job in jobs {
            if !self.has_result(job) {
                continue;
            }
            self.act(Op::Decide { task: job.task })?;
            if self.audit_of(job) != AuditPhase::Drawn {
                continue;
            }
            due.push(*job);
            let convicts = |a: &dyn Agent| a.convicts_itself();
            if job.work.is_wrong && self.agent_of(job.key).is_some_and(convicts) {
                self.convict_oneself(job)?;
            }
        }
        let draws = 1 + u32::from(self.market.params.audit.maxRedraws);
        for _ in 0..draws {
            if due.is_empty() {
                break;
            }
            self.audits_of_a_draw(&due)?;
            due.retain(|job| self.audit_of(job) != AuditPhase::Closed);
            if due.is_empty() {
                break;
            }
            // the longest deadline of those who have committed and of those who have not
            let a = &self.market.params.audit;
            let slack = u64::from(self.market.params.court.beaconSlack);
            let wait = u64::from(a.commitSeconds.max(a.openSeconds)) + slack;
            let now = self.now();
            self.advance_to(now + wait + BEACON + 1)?;
            for job in &due {
                self.act(Op::AuditTimeout { task: job.task })?;
            }
            due.retain(|job| self.audit_of(job) == AuditPhase::Drawn);
        }
        Ok(())
    }

    fn audits_of_a_draw(&mut self, due: &[Job]) -> Result<(), Broken> {
        for job in due {
            let Some((auditor, answer)) = self.audited(job) else {
                continue;
            };
            let task = job.task;
            let op = Op::AuditCommit {
                task,
                auditor,
                answer,
            };
            self.act(op)?;
        }
        let now = self.now();
        self.advance_to(now + 2 * BEACON)?;
        for job in due {
            if self.audit_of(job) != AuditPhase::Committed {
                continue;
            }
            let (task, auditor) = (job.task, self.auditor_of(job));
            if matches!(self.act(Op::AuditOpen { task, auditor })?, Done::Dispute(_)) {
                self.disputes += 1;
            }
        }
        Ok(())
    }

    /// Who audits, and what it says; nothing where it will have nothing to open.
    fn audited(&mut self, job: &Job) -> Option<(Party, Answer)> {
        let auditor = self.auditor_of(job);
        let found = self.stage.ledger().task(job.task)?.answer;
        let censors = |a: &dyn Agent| a.censors();
        if job.work.is_wrong && self.agent_of(job.key).is_some_and(censors) {
            let bought = self.market.censoring();
            self.of(job.key, |p| p.trouble -= bought as i128);
            return None;
        }
        let seen = self.seen(job, auditor);
        let conduct = match self.agent_of(auditor) {
            Some(agent) => agent.audit(seen, &mut self.chance),
            None => Audit::Runs,
        };
        self.of(auditor, |p| p.audits += 1);
        // the fee pays run and gas, and a quarter more
        let cost = self.market.params.audit.fee * 4 / 5;
        match conduct {
            Audit::Sleeps => None,
            Audit::Copies => {
                let is_told = self.chance.random_range(0..u32::from(ALL)) < self.market.leaks_bps;
                (seen.by_friend || is_told).then_some((auditor, found))
            }
            Audit::Runs => {
                self.of(auditor, |p| p.costs -= cost as i128);
                let detection = u32::from(self.market.params.economics.detectionBps);
                let sees = self.chance.random_range(0..u32::from(ALL)) < detection;
                match sees {
                    true => Some((auditor, RIGHT)),
                    false => Some((auditor, found)),
                }
            }
        }
    }

    fn convict_oneself(&mut self, job: &Job) -> Result<(), Broken> {
        let kind = self.kind(job.key).map_or(0, usize::from);
        let Some(&by) = self.friends.get(kind) else {
            return Ok(());
        };
        let (task, answer) = (job.task, RIGHT);
        if self.try_act(Op::Challenge { task, by, answer })? {
            self.act(Op::Reveal { task, by })?;
            self.disputes += 1;
        }
        Ok(())
    }

    // ---- the end

    fn settle(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        let m = &self.market.params.market;
        let windows = u64::from(m.challengeWindow) + u64::from(m.revealWindow);
        let now = self.now();
        self.advance_to(now + windows)?;
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

    fn kind(&self, party: Party) -> Option<u8> {
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

    fn has_result(&self, job: &Job) -> bool {
        let task = self.stage.ledger().task(job.task);
        task.is_some_and(|t| t.has_result() && t.provider == job.key)
    }

    fn audit_of(&self, job: &Job) -> AuditPhase {
        let task = self.stage.ledger().task(job.task);
        task.map_or(AuditPhase::Closed, |t| t.audit)
    }

    fn auditor_of(&self, job: &Job) -> Party {
        let task = self.stage.ledger().task(job.task);
        task.map_or(0, |t| t.auditor)
    }

    fn size(&self, dearest: u128, class: u8) -> u128 {
        let demand = self.market.demand.get(usize::from(class));
        dearest * demand.map_or(0, |d| u128::from(d.size_bps)) / u128::from(ALL)
    }

    fn cost(&self, class: u8) -> u128 {
        self.size(self.market.cost, class)
    }

    fn ceiling(&self, class: u8) -> u128 {
        self.size(self.market.params.market.maxTaskPrice, class)
    }

    fn floor(&self, class: u8) -> u128 {
        let floor = u128::from(self.market.params.market.priceFloorBps);
        (self.ceiling(class) * floor).div_ceil(u128::from(ALL))
    }
}
