//! The auction of a round: retries first, then what demand brings, each to the one of some bidders that asks least.

use rand::Rng as _;

use super::round::{Job, RAMP, Round};
use super::{Broken, Stage};
use crate::agents::{ALL, Work};
use crate::ledger::{Done, Op, Party, TaskId};

/// Providers that look at a task before it is taken by the one that asks least.
const BIDDERS: usize = 3;

impl<S: Stage> Round<'_, S> {
    pub(super) fn claim_retries(&mut self, jobs: &mut Vec<Job>) -> Result<(), Broken> {
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
    pub(super) fn post_and_claim(&mut self, jobs: &mut Vec<Job>) -> Result<Vec<TaskId>, Broken> {
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
            seal: None,
            is_late: breaks,
        }
    }
}
