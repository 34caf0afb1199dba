//! One market: whose task it is, whether it is wrong, whether that comes out, and what each gets.

use gavel_settlement::bindings::Parameters::Params;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Books, EXPERIMENTS, SHARDS, Scenario};
use crate::penalty::audit_rate;
use crate::rules::{bond, collateral};

const BPS: u128 = 10_000;
const PPM: u32 = 1_000_000;
/// Multiples of it are spread evenly between whole numbers.
const GOLDEN: f64 = 0.618_033_988_749_895;

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

/// What something brought on average, done in two ways.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    well: (u64, i128),
    badly: (u64, i128),
}

impl Tally {
    fn add(&mut self, badly: bool, payoff: i128) {
        let (times, sum) = match badly {
            true => &mut self.badly,
            false => &mut self.well,
        };
        *times += 1;
        *sum += payoff;
    }

    fn join(&mut self, other: &Tally) {
        for (mine, theirs) in [(&mut self.well, other.well), (&mut self.badly, other.badly)] {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
    }

    /// What it brought.
    pub(super) fn payoff(&self, badly: bool) -> f64 {
        let (times, sum) = match badly {
            true => self.badly,
            false => self.well,
        };
        sum as f64 / times.max(1) as f64
    }

    /// Whether the bad way brings more.
    fn tempts(&self) -> bool {
        self.payoff(true) > self.payoff(false)
    }
}

/// What tasks brought the honest and the cheats, and audits those who look and those who look away.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tallies {
    pub(super) tasks: Tally,
    pub(super) audits: Tally,
}

impl Tallies {
    pub(super) fn join(&mut self, other: &Tallies) {
        self.tasks.join(&other.tasks);
        self.audits.join(&other.audits);
    }
}

/// A provider, which audits too.
#[derive(Clone, Copy, Debug)]
struct Provider {
    cheats: bool,
    /// Whether it says of every result that it is right.
    sleeps: bool,
    /// Results that it has settled.
    settled: u32,
}

/// One market with its providers.
#[derive(Clone, Debug)]
pub(super) struct Market {
    scenario: Scenario,
    shard: usize,
    /// Those at the front experiment, and stay with what they do.
    providers: Vec<Provider>,
    experiments: usize,
    fault: Fault,
    bond: u128,
    stake: u128,
    books: Books,
    pub(super) wrong: u64,
    pub(super) caught: u64,
}

/// How many of a market's providers do what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) cheats: usize,
    pub(super) asleep: usize,
    pub(super) all: usize,
}

/// Numbers by which a task is played.
struct Draws {
    provider: usize,
    auditor: usize,
    /// Of a million.
    audited: u32,
    trap: u32,
    /// Of ten thousand.
    detected: u32,
    colludes: u32,
}

impl Market {
    /// Everybody has a record; who comes later has none.
    pub(super) fn new(scenario: &Scenario, shard: usize, [cheating, sleeping]: [f64; 2]) -> Market {
        let share = |of: usize| of / SHARDS + usize::from(shard < of % SHARDS);
        let many = share(scenario.providers).max(2);
        let experiments = (many / EXPERIMENTS).max(1) * 2;
        let experiments = experiments.min(many);
        let audit = &scenario.params.audit;
        let settled = audit.probationTasks.saturating_add(audit.recordTasks);
        let providers = (0..many).map(|i| {
            // the two choices have nothing to do with each other
            let (cheats, sleeps) = match i.checked_sub(experiments) {
                None => (i % 2 == 0, scenario.may_sleep && i / 2 % 2 == 0),
                Some(i) => (
                    (i as f64) < cheating * (many - experiments) as f64,
                    (i as f64 * GOLDEN).fract() < sleeping,
                ),
            };
            Provider {
                cheats,
                sleeps,
                settled,
            }
        });
        let stake = scenario.params.stake.minStake;
        Market {
            shard,
            providers: providers.collect(),
            experiments,
            fault: fault(&scenario.params),
            bond: bond(&scenario.params.court),
            stake,
            books: Books {
                deposited: stake * many as u128,
                staked: stake * many as u128,
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

    /// Those who experiment are left out.
    pub(super) fn count(&self) -> Count {
        let free = self.providers.get(self.experiments..).unwrap_or_default();
        Count {
            cheats: free.iter().filter(|p| p.cheats).count(),
            asleep: free.iter().filter(|p| p.sleeps).count(),
            all: free.len(),
        }
    }

    /// A quarter of those who do what pays less change sides.
    pub(super) fn revise(&mut self, tasks: &Tally) {
        self.switch(tasks.tempts(), |p| &mut p.cheats);
    }

    /// The same of the auditors, where they may.
    pub(super) fn revise_auditors(&mut self, audits: &Tally) {
        if self.scenario.may_sleep {
            self.switch(audits.tempts(), |p| &mut p.sleeps);
        }
    }

    fn switch(&mut self, to: bool, choice: impl Fn(&mut Provider) -> &mut bool) {
        let free = self.providers.get_mut(self.experiments..);
        let choices = free.unwrap_or_default().iter_mut().map(choice);
        let losing: Vec<&mut bool> = choices.filter(|choice| **choice != to).collect();
        let many = losing.len().div_ceil(4);
        for choice in losing.into_iter().take(many) {
            *choice = to;
        }
    }

    /// Plays tasks, each of a provider that chance names.
    pub(super) fn play(&mut self, epoch: u32, tasks: u64) -> Tallies {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.scenario.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&(self.shard as u64).to_le_bytes());
        seed[16..20].copy_from_slice(&epoch.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(seed);
        let mut tallies = Tallies::default();
        let many = self.providers.len() as u32;
        for _ in 0..tasks {
            // always as many draws, so that chance is the same at every rate
            let (who, whether, how) = (rng.random(), rng.random(), rng.random());
            let ([provider, auditor], [audited, trap]) = (halves(who, many), halves(whether, PPM));
            let [detected, colludes] = halves(how, BPS as u32);
            let draws = Draws {
                provider: provider as usize,
                auditor: auditor as usize,
                audited,
                trap,
                detected,
                colludes,
            };
            self.task(draws, &mut tallies);
        }
        tallies
    }

    /// One task: what it brings its provider beyond an honest machine's cost, and its auditor beyond the fee.
    fn task(&mut self, draws: Draws, tallies: &mut Tallies) {
        let (p, price) = (&self.scenario.params, self.scenario.price);
        let Some(provider) = self.providers.get(draws.provider).copied() else {
            return;
        };
        self.books.paid += price + p.market.auditLevy;
        self.books.pool += p.market.auditLevy;
        // whoever serves it: a price is earned, by the one that is asked next where the result is thrown away
        self.books.earned += price;
        let rate = audit_rate(&p.audit, provider.settled.into());
        let is_audited = u64::from(draws.audited) < rate;
        let is_trap = draws.trap < self.scenario.traps_ppm;
        let is_patient = self.scenario.waits && rate > p.audit.ratePpm.into();
        let lies = provider.cheats && !is_trap && !is_patient;
        let sees = draws.detected < u32::from(p.economics.detectionBps);
        let colludes = draws.colludes < u32::from(p.economics.colludingBps);
        let is_seen = is_audited && self.audit(&draws, is_trap, lies, sees, colludes, tallies);
        let is_caught = lies && is_seen;
        if let Some(own) = self.providers.get_mut(draws.provider) {
            own.settled = match (is_caught, is_seen) {
                // another comes in the place of who is banned
                (true, _) => 0,
                // a trap that was found settles for nobody
                (_, true) => own.settled,
                _ => own.settled.saturating_add(1),
            };
        }
        let (gain, price) = (self.scenario.gain as i128, price as i128);
        let payoff = match (lies, is_caught) {
            (false, _) => price,
            (true, false) => {
                self.wrong += 1;
                price + gain
            }
            (true, true) => {
                self.wrong += 1;
                self.caught += 1;
                gain - self.slash() as i128
            }
        };
        tallies.tasks.add(provider.cheats, payoff);
    }

    /// What a conviction costs the cheat.
    fn slash(&mut self) -> u128 {
        let (taken, burned) = (self.fault.total(), self.fault.burned());
        self.books.burned += burned;
        self.books.shared += taken - burned;
        self.books.leaving += self.stake - taken;
        self.books.deposited += self.stake;
        match self.scenario.ring {
            true => burned,
            false => taken,
        }
    }

    /// Whether the auditor says that the result is wrong.
    fn audit(
        &mut self,
        draws: &Draws,
        is_trap: bool,
        lies: bool,
        sees: bool,
        colludes: bool,
        tallies: &mut Tallies,
    ) -> bool {
        let fee = self.scenario.params.audit.fee;
        self.books.audited += fee;
        match self.books.pool.checked_sub(fee) {
            Some(left) => self.books.pool = left,
            None => {
                self.books.owed += fee - self.books.pool;
                self.books.pool = 0;
            }
        }
        // not by itself
        let place = match draws.auditor == draws.provider {
            true => (draws.auditor + 1) % self.providers.len(),
            false => draws.auditor,
        };
        let sleeps = self.providers.get(place).is_some_and(|p| p.sleeps);
        let says = !sleeps && sees && (is_trap || (lies && !colludes));
        // a check costs what it is paid
        let mut payoff = match sleeps {
            true => 0,
            false => -(fee as i128),
        };
        if is_trap && says {
            let share = self
                .bond
                .checked_shr(self.scenario.friends)
                .unwrap_or_default();
            let finders = u128::from(self.scenario.friends) + 1;
            self.books.sealed += self.bond;
            self.books.shared += share * finders;
            self.books.burned += self.bond - share * finders;
            payoff += share as i128;
        } else if is_trap {
            // its stake is made up again
            let sealers = self.bond / 2;
            self.books.deposited += self.bond;
            self.books.shared += sealers;
            self.books.burned += self.bond - sealers;
            payoff -= self.bond as i128;
        }
        tallies.audits.add(sleeps, payoff);
        says
    }
}

/// Two numbers below `most` of a random one.
fn halves(random: u64, most: u32) -> [u32; 2] {
    [random as u32, (random >> 32) as u32]
        .map(|word| ((u64::from(word) * u64::from(most)) >> 32) as u32)
}
