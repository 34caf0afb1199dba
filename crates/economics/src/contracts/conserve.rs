//! Money over very many calls of the contracts: after every block the vault's tokens are the sum of its buckets, and every bucket is
//! what the ledger says.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;

use super::buckets::Buckets;
use super::history::{self, Seen};
use super::{Mirror, WorldError};
use crate::agents::Chance;

/// Calls of one history; then another begins, since what is asked after every call grows with what there is.
const HISTORY: u64 = 250;

/// Calls after which everything is asked for, not only read.
const ASKED: u64 = 100;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conserved {
    /// Calls.
    pub calls: u64,
    /// What became of them.
    pub seen: Seen,
}

/// Makes that many random calls, legal ones and others, and compares all balances after each. The same for a seed, whatever the
/// number of threads.
///
/// # Errors
/// Money is missing, or too much, or not where it should be.
pub async fn conserve(
    calls: u64,
    seed: u64,
    threads: Option<NonZero<usize>>,
    each: impl Fn(u64) + Sync,
) -> Result<Conserved, WorldError> {
    let mut start = history::begin().await?;
    let buckets = Buckets::find(&mut start)?;
    let histories = calls.div_ceil(HISTORY);
    let next = AtomicU64::new(0);
    let all = Mutex::new(Ok(Conserved::default()));
    let work = || {
        let begin = start.fork();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= histories {
                return;
            }
            let most = HISTORY.min(calls - number * HISTORY);
            let played = play(begin.fork(), buckets, seed.wrapping_add(number), most);
            let mut all = all.lock().unwrap_or_else(|e| e.into_inner());
            match (&mut *all, played) {
                (Ok(all), Ok(played)) => {
                    all.join(played);
                    each(all.calls);
                }
                (Ok(_), Err(error)) => *all = Err(error),
                (Err(_), _) => return,
            }
        }
    };
    let threads = threads.or_else(|| thread::available_parallelism().ok());
    thread::scope(|scope| {
        for _ in 0..threads.map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    all.into_inner().unwrap_or_else(|e| e.into_inner())
}

fn play(
    mut mirror: Mirror,
    buckets: Buckets,
    seed: u64,
    calls: u64,
) -> Result<Conserved, WorldError> {
    let mut chance = Chance::seed_from_u64(seed);
    let mut seen = Seen::default();
    for call in 0..calls {
        history::go_on(&mut mirror, chance.random(), &mut seen)?;
        buckets.compare(&mirror)?;
        // what is over, too, and by the contracts' own answers
        if call % ASKED == ASKED - 1 {
            mirror.compare()?;
        }
    }
    mirror.compare()?;
    Ok(Conserved { calls, seen })
}

impl Conserved {
    fn join(&mut self, other: Conserved) {
        self.calls += other.calls;
        self.seen.join(other.seen);
    }
}
