//! A market: demand by class, an auction, retries, audits, disputes, and providers of several [kinds](crate::agents), on any
//! [`Stage`]. Money moves by the rules of the [`ledger`](crate::ledger) alone; nothing of what comes out is put in.
//!
//! Time goes in rounds: tasks are posted and claimed, worked, challenged and audited, disputed to the end, settled; what has to be done
//! again waits in the retry lane of the next round. Deterministic by seed, whatever the number of threads: providers live in
//! [`SHARDS`] markets of their own.

mod auction;
mod audits;
mod disputes;
mod respond;
mod round;
mod stage;
mod tally;
mod traps;

use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use gavel_settlement::bindings::Parameters::Params;
use rand::SeedableRng as _;
use serde::Serialize;

use crate::agents::{Agent, Chance, Kind};
use crate::ledger::{Class, Ledger};
use crate::{Assumptions, Solution};
pub use respond::{Response, Step};
pub(crate) use round::EXEC;
pub use round::Round;
pub use stage::{Abstract, Stage};
pub use tally::{Earned, Payoff};
pub use traps::{Trapped, Traps};

/// Markets that are simulated beside each other.
pub const SHARDS: usize = 16;
/// Gas of a block, which a censor has to buy.
const BLOCK_GAS: u128 = 60_000_000;
/// Seconds between blocks.
const BLOCK_SECONDS: u128 = 12;
/// When a market begins.
const GENESIS: u64 = 1_700_000_000;

/// A class of tasks, and who wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Its ceiling as a share of the dearest task's, of ten thousand; cost and gain go with it.
    pub size_bps: u16,
    /// Tasks a round for a hundred providers, at the price of nothing; at the ceiling's nobody asks.
    pub per_hundred: u32,
    /// Whether the appeal levels know its arithmetic.
    pub is_judged: bool,
}

/// What is played.
#[derive(Clone, Debug)]
pub struct Market {
    /// The network's numbers.
    pub params: Params,
    /// What running the dearest task costs.
    pub cost: u128,
    /// What a wrong result of the dearest task is worth.
    pub gain: u128,
    /// What a million of gas costs.
    pub gas_price: u128,
    /// Providers that hand their tensors to any auditor that asks, of ten thousand.
    pub leaks_bps: u32,
    /// Honest machines that break down, of a million tasks.
    pub accidents_ppm: u32,
    /// Known-answer tasks.
    pub traps: Traps,
    /// Classes of tasks.
    pub demand: Vec<Demand>,
    /// Kinds of agents with their shares; those of no share are left out.
    pub kinds: Vec<Kind>,
    /// Providers.
    pub providers: usize,
    /// Tasks in all, at least; the round in which they are reached is played to its end.
    pub tasks: u64,
    /// What all chance follows from.
    pub seed: u64,
    /// Threads; as many as the machine has where nothing is said.
    pub threads: Option<NonZero<usize>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// What each kind earned.
    pub kinds: Vec<Earned>,
    /// Tasks posted.
    pub posted: u64,
    /// Tasks settled.
    pub settled: u64,
    /// Times that a task went back to the auction.
    pub requeued: u64,
    /// Tasks that nobody took at any price, or in time.
    pub unserved: u64,
    /// Disputes.
    pub disputes: u64,
    /// Known-answer tasks.
    pub traps: Trapped,
    /// Settled tasks of each class, and their average price in units.
    pub prices: Vec<(u64, f64)>,
    /// Money burned, in units.
    #[serde(serialize_with = "units")]
    pub burned: u128,
}

fn units<S: serde::Serializer>(units: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(units)
}

impl Market {
    /// A market under solved parameters: a dear class and one of a quarter of its size, and traps enough to keep auditors awake.
    pub fn new(assumed: &Assumptions, solution: &Solution, kinds: Vec<Kind>) -> Market {
        Market {
            params: solution.params.clone(),
            cost: assumed.cost.0,
            gain: assumed.gain.0,
            gas_price: assumed.gas_price.0,
            leaks_bps: assumed.colluding_bps.into(),
            accidents_ppm: 1_000,
            traps: Traps::enough(&solution.params, assumed.colluding_bps.into()),
            demand: vec![
                Demand {
                    size_bps: 10_000,
                    per_hundred: 150,
                    is_judged: true,
                },
                Demand {
                    size_bps: 2_500,
                    per_hundred: 150,
                    is_judged: true,
                },
            ],
            kinds,
            providers: 10_000,
            tasks: 1_000_000,
            seed: 7,
            threads: None,
        }
    }

    /// What an agent earns on a task beyond honesty, where one provider in a hundred is of its kind and all others honest, in
    /// units of the asset.
    ///
    /// # Errors
    /// The books refused a call that the market had reason to make.
    pub fn profits(&self, agent: Arc<dyn Agent>) -> Result<f64, Broken> {
        let honest: Arc<dyn Agent> = Arc::new(crate::agents::Honest);
        let kinds = vec![
            Kind {
                agent: honest,
                share: 0.99,
            },
            Kind { agent, share: 0.01 },
        ];
        let market = Market {
            kinds,
            ..self.clone()
        };
        let played = market.play(|_| {})?;
        let per_task = |i: usize| played.kinds.get(i).map_or(0.0, |k| k.payoff.per_task());
        Ok(per_task(1) - per_task(0))
    }

    /// Plays all shards; `each` is told of tasks posted so far.
    ///
    /// # Errors
    /// The books refused a call that the market had reason to make, or do not add up.
    pub fn play(&self, each: impl Fn(u64) + Sync) -> Result<Outcome, Broken> {
        let threads = self
            .threads
            .or_else(|| thread::available_parallelism().ok());
        let threads = threads.map_or(1, NonZero::get).min(SHARDS);
        let next = std::sync::atomic::AtomicUsize::new(0);
        let posted = std::sync::atomic::AtomicU64::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let shard = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if shard >= SHARDS {
                    return Ok(done);
                }
                let outcome = self.shard(shard)?;
                let so_far = outcome.posted
                    + posted.fetch_add(outcome.posted, std::sync::atomic::Ordering::Relaxed);
                each(so_far);
                done.push((shard, outcome));
            }
        };
        let all: Vec<Result<Vec<(usize, Outcome)>, Broken>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let done = workers.into_iter().map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            done.collect()
        });
        let mut shards = Vec::new();
        for done in all {
            shards.extend(done?);
        }
        shards.sort_by_key(|(shard, _)| *shard);
        let mut shards = shards.into_iter().map(|(_, outcome)| outcome);
        let first = shards.next().ok_or(Broken::Empty)?;
        Ok(shards.fold(first, Outcome::join))
    }

    fn shard(&self, shard: usize) -> Result<Outcome, Broken> {
        let share = |of: u64| of / SHARDS as u64 + u64::from((shard as u64) < of % SHARDS as u64);
        let seed = self
            .seed
            .wrapping_mul(0x9e37_79b9)
            .wrapping_add(shard as u64);
        let stage = Abstract::new(self.ledger(GENESIS), !seed);
        let providers = share(self.providers as u64).max(4) as usize;
        let mut round = Round::new(self, stage, providers, Chance::seed_from_u64(seed))?;
        let tasks = share(self.tasks);
        while round.posted() < tasks {
            round.play()?;
        }
        round.finish()?;
        if !round.stage().ledger().is_whole() {
            return Err(Broken::Books);
        }
        Ok(round.outcome())
    }

    /// Empty books for this market.
    pub fn ledger(&self, now: u64) -> Ledger {
        Ledger::new(self.params.clone(), self.classes(), now)
    }

    fn classes(&self) -> Vec<Class> {
        let class = |d: &Demand| Class {
            ramp: round::RAMP,
            is_judged: d.is_judged,
        };
        self.demand.iter().map(class).collect()
    }

    /// What a censor pays to keep a deadline from being met.
    fn censoring(&self) -> u128 {
        let blocks = u128::from(self.params.audit.commitSeconds).div_ceil(BLOCK_SECONDS);
        blocks * BLOCK_GAS / 1_000_000 * self.gas_price
    }
}

/// Why a market could not be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A call was refused that should have been taken.
    #[error("the books refused {call}: {error}")]
    Refused {
        /// The call.
        call: String,
        /// Why.
        error: String,
    },
    /// Money came from nowhere, or went there.
    #[error("the books do not add up")]
    Books,
    /// Nobody takes part.
    #[error("a market needs a kind of agents with a share, and a class of tasks")]
    Empty,
}

impl Outcome {
    fn join(mut self, other: Outcome) -> Outcome {
        // the same kinds in the same order
        for (mine, theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            mine.payoff.join(&theirs.payoff);
        }
        for (mine, theirs) in self.prices.iter_mut().zip(&other.prices) {
            let (a, b) = (mine.0 as f64, theirs.0 as f64);
            mine.1 = (mine.1 * a + theirs.1 * b) / (a + b).max(1.0);
            mine.0 += theirs.0;
        }
        self.posted += other.posted;
        self.settled += other.settled;
        self.requeued += other.requeued;
        self.unserved += other.unserved;
        self.disputes += other.disputes;
        self.traps.join(other.traps);
        self.burned += other.burned;
        self
    }

    /// What a kind earned on a task beyond the honest, in units.
    pub fn advantage(&self, kind: usize) -> f64 {
        let per_task = |i: usize| self.kinds.get(i).map_or(0.0, |k| k.payoff.per_task());
        per_task(kind) - per_task(0)
    }
}
