//! The real contracts, on a chain in this process: the second engine of a [`Market`], with the [`ledger`](crate::ledger) beside them.

mod buckets;
mod choice;
mod compare;
mod conserve;
mod forms;
pub mod history;
mod mirror;
mod traps;
mod world;

use rand::SeedableRng as _;

use crate::agents::Chance;
use crate::market::{Abstract, Broken, Market, Outcome, Round};
use gavel_settlement::amount::TOKEN;

pub use conserve::{Conserved, conserve};
pub use mirror::Mirror;
pub use world::{World, WorldError};

/// Seconds that a task may be run.
const EXEC_SECONDS: u32 = crate::market::EXEC as u32;
/// Most members of a pool that the contracts allow.
const MEMBERS_MAX: u32 = 1_024;

/// What came of a market on the contracts.
#[derive(Clone, Debug)]
pub struct Played {
    /// As of a market in the abstract; every balance was compared after every round.
    pub outcome: Outcome,
    /// Calls that took effect.
    pub calls: u64,
    /// Rounds.
    pub rounds: u64,
}

/// Plays a market, as one shard, on the contracts; `each` is told of tasks posted so far.
///
/// # Errors
/// The contracts refuse a call that there was reason to make, or a balance differs from the ledger's.
pub async fn play(market: &Market, mut each: impl FnMut(u64)) -> Result<Played, Broken> {
    let mut market = market.clone();
    market.params.stake.maxMembers = MEMBERS_MAX;
    let broken = |e: WorldError| Broken::Refused {
        call: "the first calls".to_owned(),
        error: e.to_string(),
    };
    let mirror = Mirror::new(market.ledger(0)).await.map_err(broken)?;
    let chance = Chance::seed_from_u64(market.seed);
    let mut round = Round::new(&market, mirror, market.providers, chance)?;
    let mut rounds = 0;
    while round.posted() < market.tasks {
        round.play()?;
        rounds += 1;
        each(round.posted());
    }
    round.finish()?;
    Ok(Played {
        outcome: round.outcome(),
        calls: round.stage().world().calls(),
        rounds,
    })
}

/// What each kind earned on a task beyond the honest, in tokens, over many markets of this one's size in the abstract: mean and
/// standard deviation.
///
/// # Errors
/// A market could not be played.
pub fn spread(market: &Market, markets: u64) -> Result<Vec<(f64, f64)>, Broken> {
    let mut sums = vec![(0.0, 0.0); market.kinds.len()];
    for number in 0..markets {
        let seed = market.seed.wrapping_add(1_000 + number);
        let stage = Abstract::new(market.ledger(0), !seed);
        let chance = Chance::seed_from_u64(seed);
        let mut round = Round::new(market, stage, market.providers, chance)?;
        while round.posted() < market.tasks {
            round.play()?;
        }
        round.finish()?;
        let outcome = round.outcome();
        for (kind, sum) in sums.iter_mut().enumerate() {
            let earned = outcome.advantage(kind) / TOKEN as f64;
            sum.0 += earned;
            sum.1 += earned * earned;
        }
    }
    let n = markets.max(1) as f64;
    let both = |(sum, squares): &(f64, f64)| {
        let mean = sum / n;
        (mean, (squares / n - mean * mean).max(0.0).sqrt())
    };
    Ok(sums.iter().map(both).collect())
}
