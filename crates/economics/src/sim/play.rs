//! One market: whose task it is, whether it is wrong, whether that comes out, and what each gets.

use gavel_settlement::bindings::Parameters::Params;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Books, EXPERIMENTS, SHARDS, Scenario};
use crate::rules::collateral;

const BPS: u128 = 10_000;
const PPM: u32 = 1_000_000;

/// What one wrong result takes of a provider with the least stake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// The task's collateral, all of it.
    collateral: u128,
    /// A share of the stake that is not locked.
    rest: u128,
    burn_bps: u128,
}

impl Fault {
    pub(super) fn total(&self) -> u128 {
        self.collateral + self.rest
    }

    fn burned(&self) -> u128 {
        // the shares of the others are rounded down, and burned is what is left of them
        self.total() - self.total() * (BPS - self.burn_bps) / BPS
    }
}

/// What the vault takes for a safety fault on the dearest task.
pub(super) fn fault(p: &Params) -> Fault {
    let stake = p.stake.minStake;
    let locked: u128 = collateral(&p.market, p.market.maxTaskPrice).saturating_to();
    let locked = locked.min(stake);
    Fault {
        collateral: locked,
        rest: (stake - locked) * u128::from(p.court.safetySlashBps) / BPS,
        burn_bps: u128::from(p.court.burnBps),
    }
}

/// What tasks brought, honest ones and wrong ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    honest: (u64, i128),
    cheats: (u64, i128),
}

impl Tally {
    fn add(&mut self, cheats: bool, payoff: i128) {
        let (tasks, sum) = match cheats {
            true => &mut self.cheats,
            false => &mut self.honest,
        };
        *tasks += 1;
        *sum += payoff;
    }

    pub(super) fn join(&mut self, other: &Tally) {
        for (mine, theirs) in [
            (&mut self.honest, other.honest),
            (&mut self.cheats, other.cheats),
        ] {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
    }

    /// What a task brought on average.
    pub(super) fn payoff(&self, cheats: bool) -> f64 {
        let (tasks, sum) = match cheats {
            true => self.cheats,
            false => self.honest,
        };
        sum as f64 / tasks.max(1) as f64
    }
}

/// One market with its providers.
#[derive(Clone, Debug)]
pub(super) struct Market {
    scenario: Scenario,
    shard: usize,
    /// Whether each provider cheats; those at the front experiment, and stay with what they do.
    cheats: Vec<bool>,
    experiments: usize,
    fault: Fault,
    stake: u128,
    books: Books,
    pub(super) wrong: u64,
    pub(super) caught: u64,
}

impl Market {
    pub(super) fn new(scenario: &Scenario, shard: usize, cheating: f64) -> Market {
        let share = |of: usize| of / SHARDS + usize::from(shard < of % SHARDS);
        let providers = share(scenario.providers).max(2);
        let experiments = (providers / EXPERIMENTS).max(1) * 2;
        let experiments = experiments.min(providers);
        let cheats = (0..providers).map(|i| match i < experiments {
            true => i % 2 == 0,
            false => ((i - experiments) as f64) < cheating * (providers - experiments) as f64,
        });
        let stake = scenario.params.stake.minStake;
        Market {
            shard,
            cheats: cheats.collect(),
            experiments,
            fault: fault(&scenario.params),
            stake,
            books: Books {
                deposited: stake * providers as u128,
                staked: stake * providers as u128,
                ..Books::default()
            },
            wrong: 0,
            caught: 0,
            scenario: scenario.clone(),
        }
    }

    pub(super) fn books(&self) -> &Books {
        &self.books
    }

    /// Cheats and all, those who experiment left out.
    pub(super) fn cheats(&self) -> (usize, usize) {
        let free = self.cheats.get(self.experiments..).unwrap_or_default();
        (free.iter().filter(|c| **c).count(), free.len())
    }

    /// A quarter of those who do what pays less change sides.
    pub(super) fn revise(&mut self, cheating_pays: bool) {
        let free = self.cheats.get_mut(self.experiments..).unwrap_or_default();
        let losing = free.iter().filter(|c| **c != cheating_pays).count();
        let mut left = losing.div_ceil(4);
        for cheats in free.iter_mut().filter(|c| **c != cheating_pays) {
            if left == 0 {
                break;
            }
            *cheats = cheating_pays;
            left -= 1;
        }
    }

    /// Plays tasks, each of a provider that chance names.
    pub(super) fn play(&mut self, epoch: u32, tasks: u64) -> Tally {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.scenario.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&(self.shard as u64).to_le_bytes());
        seed[16..20].copy_from_slice(&epoch.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(seed);
        let mut tally = Tally::default();
        for _ in 0..tasks {
            let provider = rng.random_range(0..self.cheats.len());
            // always as many draws, so that chance is the same at every rate
            let draws = [
                rng.random_range(0..PPM),
                rng.random_range(0..BPS as u32),
                rng.random_range(0..BPS as u32),
            ];
            let cheats = self.cheats.get(provider).is_some_and(|c| *c);
            let payoff = self.task(cheats, draws);
            tally.add(cheats, payoff);
        }
        tally
    }

    /// One task: what it brings its provider beyond an honest machine's cost.
    fn task(&mut self, cheats: bool, [drawn, detected, colludes]: [u32; 3]) -> i128 {
        let p = &self.scenario.params;
        let price = self.scenario.price;
        self.books.paid += price + p.market.auditLevy;
        self.books.pool += p.market.auditLevy;
        let is_audited = drawn < p.audit.ratePpm;
        if is_audited {
            self.books.audited += p.audit.fee;
            match self.books.pool.checked_sub(p.audit.fee) {
                Some(left) => self.books.pool = left,
                None => {
                    self.books.owed += p.audit.fee - self.books.pool;
                    self.books.pool = 0;
                }
            }
        }
        if !cheats {
            self.books.earned += price;
            return price as i128;
        }
        self.wrong += 1;
        let is_caught = is_audited
            && detected < u32::from(p.economics.detectionBps)
            && colludes >= u32::from(p.economics.colludingBps);
        let gain = self.scenario.gain as i128;
        if !is_caught {
            self.books.earned += price;
            return price as i128 + gain;
        }
        self.caught += 1;
        // the price goes to who runs the task again; the cheat leaves, and another comes in its place
        self.books.earned += price;
        let (taken, burned) = (self.fault.total(), self.fault.burned());
        self.books.burned += burned;
        self.books.shared += taken - burned;
        self.books.leaving += self.stake - taken;
        self.books.deposited += self.stake;
        let lost = match self.scenario.ring {
            true => burned,
            false => taken,
        };
        gain - lost as i128
    }
}
