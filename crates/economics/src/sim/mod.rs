//! A market in the abstract: many providers, many tasks, and nothing of a task but its money. What a lie is worth is not put in:
//! it comes out of what is paid and slashed. Results are audited by the record of who made them, and some are known-answer tasks, which
//! tell auditors that look from those that look away.
//!
//! Deterministic by seed, whatever the number of threads: providers live in [`SHARDS`] markets of their own.

mod books;
mod play;

use std::num::NonZero;
use std::thread;

use gavel_settlement::bindings::Parameters::Params;
use serde::Serialize;

use crate::penalty::set_floor;
use crate::{Assumptions, Solution, Vigilance};

pub use books::Books;

use play::{Market, Tallies, Tally};

/// Markets that are simulated beside each other.
pub const SHARDS: usize = 16;
/// Providers that try what the others do not do, one in so many: a share that nobody belongs to would never be seen to pay.
const EXPERIMENTS: usize = 100;
/// Least change of the auditors' minds in an epoch that is one.
const STILL: f64 = 0.01;

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
    /// Whether cheats work honestly until no record makes their audits rarer; else they cheat from their first task on.
    pub waits: bool,
    /// Share of the tasks that are traps, in parts per million, each with the least deposit.
    pub traps_ppm: u32,
    /// Friends of who sets them, which take a share of each that somebody finds.
    pub friends: u32,
    /// Whether auditors look away where that pays; half of them do to begin with. Else none does.
    pub may_sleep: bool,
    /// Providers, who audit too.
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
    /// Share of the auditors that look away, as often.
    pub sleeping: Vec<f64>,
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
    /// A market under solved parameters in which every price is the floor of the dearest task's, cheats have friends and patience, auditors
    /// may look away, and twice as many results are traps as keep them from it.
    pub fn new(assumed: &Assumptions, solution: &Solution) -> Scenario {
        let params = solution.params.clone();
        let enough = (2.0 * Vigilance::of(&params).edge()).min(0.9);
        Scenario {
            price: assumed.price.0 * u128::from(assumed.price_floor_bps) / 10_000,
            gain: assumed.gain.0,
            params,
            ring: true,
            waits: true,
            traps_ppm: (1e6 * enough) as u32,
            friends: 0,
            may_sleep: true,
            providers: 100_000,
            tasks: 10_000_000,
            epochs: 40,
            seed: 7,
            threads: None,
        }
    }

    fn threads(&self) -> usize {
        let all = thread::available_parallelism();
        self.threads
            .or(all.ok())
            .map_or(1, NonZero::get)
            .min(SHARDS)
    }

    fn markets(&self, cheating: f64, sleeping: f64) -> Vec<Market> {
        (0..SHARDS)
            .map(|shard| Market::new(self, shard, [cheating, sleeping]))
            .collect()
    }

    /// Plays all epochs from a market of which half cheats, and half looks away where it may. After each, a quarter of those who do what
    /// has paid less so far change sides: one epoch alone says little of a rare loss. Auditors make up their minds first.
    /// `each` is told of every epoch.
    pub fn play(&self, mut each: impl FnMut(u32)) -> Outcome {
        let mut markets = self.markets(0.5, if self.may_sleep { 0.5 } else { 0.0 });
        let first = shares(&markets);
        let (mut cheating, mut sleeping) = (vec![first.0], vec![first.1]);
        let mut known = Tallies::default();
        for epoch in 0..self.epochs {
            let tasks = self.tasks / u64::from(self.epochs.max(1));
            known.join(&self.epoch(&mut markets, epoch, tasks));
            for market in &mut markets {
                market.revise_auditors(&known.audits);
            }
            let now = shares(&markets);
            let before = sleeping.last().copied().unwrap_or_default();
            match (now.1 - before).abs() < STILL {
                true => markets.iter_mut().for_each(|m| m.revise(&known.tasks)),
                // what tasks brought under other auditors says nothing of what they will bring
                false => known.tasks = Tally::default(),
            }
            cheating.push(shares(&markets).0);
            sleeping.push(now.1);
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
            sleeping,
            honest_payoff: known.tasks.payoff(false),
            cheat_payoff: known.tasks.payoff(true),
            wrong,
            caught,
            books,
        }
    }

    /// What cheating brings on average beyond honesty, per task, in a market of which nine tenths cheat: honesty always brings the same.
    pub fn advantage(&self) -> f64 {
        let awake = Scenario {
            may_sleep: false,
            ..self.clone()
        };
        let mut markets = awake.markets(0.9, 0.0);
        let tasks = self.epoch(&mut markets, 0, self.tasks).tasks;
        tasks.payoff(true) - tasks.payoff(false)
    }

    /// What looking away brings on average beyond looking, per audit, in an honest market in which half looks away.
    pub fn rest(&self) -> f64 {
        let mut markets = self.markets(0.0, 0.5);
        let audits = self.epoch(&mut markets, 0, self.tasks).audits;
        audits.payoff(true) - audits.payoff(false)
    }

    /// The audit rate at which cheating ceases to pay, in parts per million, by false position over what is simulated. The same
    /// chance at every rate: what is found is a sharp edge.
    pub fn kink(&self, mut each: impl FnMut(u32, f64)) -> u32 {
        edge(|rate| {
            let advantage = self.at_rate(rate).advantage();
            each(rate, advantage);
            advantage
        })
    }

    /// The share of traps among audited results at which looking away ceases to pay, in parts per million.
    pub fn waking(&self, mut each: impl FnMut(u32, f64)) -> u32 {
        edge(|traps_ppm| {
            let at = Scenario {
                traps_ppm,
                ..self.clone()
            };
            let rest = at.rest();
            each(traps_ppm, rest);
            rest
        })
    }

    /// The same with another floor of the audit rate.
    pub fn at_rate(&self, rate_ppm: u32) -> Scenario {
        let mut at = self.clone();
        set_floor(&mut at.params.audit, rate_ppm);
        at
    }

    fn epoch(&self, markets: &mut [Market], epoch: u32, tasks: u64) -> Tallies {
        let each = tasks / SHARDS as u64;
        let per_thread = SHARDS.div_ceil(self.threads());
        let tallies: Vec<Tallies> = thread::scope(|scope| {
            let workers: Vec<_> = markets
                .chunks_mut(per_thread)
                .map(|markets| {
                    scope.spawn(move || {
                        let mut tallies = Tallies::default();
                        for market in markets {
                            tallies.join(&market.play(epoch, each));
                        }
                        tallies
                    })
                })
                .collect();
            // a panic in a worker is one here
            let done = workers.into_iter().map(|worker| match worker.join() {
                Ok(tallies) => tallies,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            done.collect()
        });
        let mut all = Tallies::default();
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

/// The share of traps among audited results at which looking away ceases to pay, by the closed form, in parts per million.
pub fn closed_form_of_traps(scenario: &Scenario) -> f64 {
    let vigilance = Vigilance::of(&scenario.params).with_friends(scenario.friends);
    1e6 * vigilance.edge()
}

/// Where something ceases to pay, of a million, by false position.
fn edge(mut advantage: impl FnMut(u32) -> f64) -> u32 {
    let (mut pays, mut loses) = ((0, advantage(0)), (1_000_000, advantage(1_000_000)));
    let mut last = None;
    // within a thousandth
    while loses.0 - pays.0 > 1 && loses.0 - pays.0 > loses.0 / 1_000 {
        let part = pays.1 / (pays.1 - loses.1);
        let at = pays.0 + (f64::from(loses.0 - pays.0) * part) as u32;
        let at = at.clamp(pays.0 + 1, loses.0 - 1);
        let found = advantage(at);
        let side = found > 0.0;
        // an end that stays twice is given less weight (Illinois), so that both come near
        let again = last == Some(side);
        match side {
            true => {
                pays = (at, found);
                loses.1 *= if again { 0.5 } else { 1.0 };
            }
            false => {
                loses = (at, found);
                pays.1 *= if again { 0.5 } else { 1.0 };
            }
        }
        last = Some(side);
    }
    loses.0
}

/// Of all providers, those that cheat and those that look away.
fn shares(markets: &[Market]) -> (f64, f64) {
    let counts = markets.iter().map(Market::count);
    let sum = counts.fold((0, 0, 0), |sum, c| {
        (sum.0 + c.cheats, sum.1 + c.asleep, sum.2 + c.all)
    });
    let all = sum.2.max(1) as f64;
    (sum.0 as f64 / all, sum.1 as f64 / all)
}
