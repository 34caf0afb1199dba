//! A market in the abstract: many providers, many tasks, and nothing of a task but its money. What a lie is worth is not put in:
//! it comes out of what is paid and slashed.
//!
//! Deterministic by seed, whatever the number of threads: providers live in [`SHARDS`] markets of their own.

mod books;
mod play;

use std::num::NonZero;
use std::thread;

use gavel_settlement::bindings::Parameters::Params;
use serde::Serialize;

pub use books::Books;

use play::{Market, Tally};

/// Markets that are simulated beside each other.
pub const SHARDS: usize = 16;
/// Providers that try what the others do not do, one in so many: a share that nobody belongs to would never be seen to pay.
const EXPERIMENTS: usize = 100;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The network's numbers.
    pub params: Params,
    /// What every task pays.
    pub price: u128,
    /// What a wrong result is worth to who makes it, its saved cost included.
    pub gain: u128,
    /// Whether challenger, referee and requester are the cheat's friends: all that is not burned of a slash comes back to it.
    pub ring: bool,
    /// Providers.
    pub providers: usize,
    /// Tasks in all.
    pub tasks: u64,
    /// Times at which providers look at what pays, and change.
    pub epochs: u32,
    /// What all chance follows from.
    pub seed: u64,
    /// Threads; as many as the machine has where nothing is said.
    pub threads: Option<NonZero<usize>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Share of the providers that cheat, before the first epoch and after each; those who experiment are not counted.
    pub cheating: Vec<f64>,
    /// What a task brought an honest provider on average.
    pub honest_payoff: f64,
    /// What a task brought a cheat.
    pub cheat_payoff: f64,
    /// Wrong results.
    pub wrong: u64,
    /// Of these, how many were caught.
    pub caught: u64,
    /// Where the money is.
    pub books: Books,
}

impl Scenario {
    fn threads(&self) -> usize {
        let all = thread::available_parallelism();
        self.threads
            .or(all.ok())
            .map_or(1, NonZero::get)
            .min(SHARDS)
    }

    fn markets(&self, cheating: f64) -> Vec<Market> {
        (0..SHARDS)
            .map(|shard| Market::new(self, shard, cheating))
            .collect()
    }

    /// Plays all epochs from a market of which half cheats. After each, a quarter of those who do what has paid less so far change
    /// sides: one epoch alone says little of a rare loss.
    /// `each` is told of every epoch.
    pub fn play(&self, mut each: impl FnMut(u32)) -> Outcome {
        let mut markets = self.markets(0.5);
        let mut cheating = vec![share(&markets)];
        let mut known = Tally::default();
        for epoch in 0..self.epochs {
            let tasks = self.tasks / u64::from(self.epochs.max(1));
            known.join(&self.epoch(&mut markets, epoch, tasks));
            let pays = known.payoff(true) > known.payoff(false);
            for market in &mut markets {
                market.revise(pays);
            }
            cheating.push(share(&markets));
            each(epoch);
        }
        let mut books = Books::default();
        let (mut wrong, mut caught) = (0, 0);
        for market in &markets {
            books.join(market.books());
            wrong += market.wrong;
            caught += market.caught;
        }
        Outcome {
            cheating,
            honest_payoff: known.payoff(false),
            cheat_payoff: known.payoff(true),
            wrong,
            caught,
            books,
        }
    }

    /// What cheating brings on average beyond honesty, per task, in a market of which nine tenths cheat: honesty always brings the same.
    pub fn advantage(&self) -> f64 {
        let mut markets = self.markets(0.9);
        let tally = self.epoch(&mut markets, 0, self.tasks);
        tally.payoff(true) - tally.payoff(false)
    }

    /// The audit rate at which cheating ceases to pay, in parts per million, by false position over what is simulated. The same
    /// chance at every rate: what is found is a sharp edge.
    pub fn kink(&self, mut each: impl FnMut(u32, f64)) -> u32 {
        let mut advantage = |rate: u32| {
            let mut at = self.clone();
            at.params.audit.ratePpm = rate;
            let advantage = at.advantage();
            each(rate, advantage);
            advantage
        };
        let (mut pays, mut loses) = ((0, advantage(0)), (1_000_000, advantage(1_000_000)));
        let mut last = None;
        // within a thousandth
        while loses.0 - pays.0 > 1 && loses.0 - pays.0 > loses.0 / 1_000 {
            let part = pays.1 / (pays.1 - loses.1);
            let rate = pays.0 + (f64::from(loses.0 - pays.0) * part) as u32;
            let rate = rate.clamp(pays.0 + 1, loses.0 - 1);
            let found = advantage(rate);
            let side = found > 0.0;
            // an end that stays twice is given less weight (Illinois), so that both come near
            let again = last == Some(side);
            match side {
                true => {
                    pays = (rate, found);
                    loses.1 *= if again { 0.5 } else { 1.0 };
                }
                false => {
                    loses = (rate, found);
                    pays.1 *= if again { 0.5 } else { 1.0 };
                }
            }
            last = Some(side);
        }
        loses.0
    }

    fn epoch(&self, markets: &mut [Market], epoch: u32, tasks: u64) -> Tally {
        let each = tasks / SHARDS as u64;
        let per_thread = SHARDS.div_ceil(self.threads());
        let tallies: Vec<Tally> = thread::scope(|scope| {
            let workers: Vec<_> = markets
                .chunks_mut(per_thread)
                .map(|markets| {
                    scope.spawn(move || {
                        let mut tally = Tally::default();
                        for market in markets {
                            tally.join(&market.play(epoch, each));
                        }
                        tally
                    })
                })
                .collect();
            // a panic in a worker is one here
            let done = workers.into_iter().map(|worker| match worker.join() {
                Ok(tally) => tally,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            done.collect()
        });
        let mut all = Tally::default();
        for tally in &tallies {
            all.join(tally);
        }
        all
    }
}

/// p* = D / (d (1-r) (R + (1-b) S)) in parts per million, with S what one isolated fault costs a provider with the least stake; `ring`
/// or not says whether what is not burned comes back to the cheat.
pub fn closed_form(scenario: &Scenario) -> f64 {
    let p = &scenario.params;
    let honest = f64::from(p.economics.detectionBps) / 1e4
        * (1.0 - f64::from(p.economics.colludingBps) / 1e4);
    let kept = match scenario.ring {
        true => f64::from(p.court.burnBps) / 1e4,
        false => 1.0,
    };
    let stake = play::fault(p).total() as f64;
    1e6 * scenario.gain as f64 / (honest * (scenario.price as f64 + kept * stake))
}

fn share(markets: &[Market]) -> f64 {
    let (cheats, all) = markets.iter().fold((0, 0), |(cheats, all), market| {
        let (c, a) = market.cheats();
        (cheats + c, all + a)
    });
    cheats as f64 / all.max(1) as f64
}
