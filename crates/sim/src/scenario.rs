//! What a world is made of: who takes part, with how much, wanting what, doing what wrong. Pure data, from a
//! demo's options or from a seed.

use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::amount::Amount;
use crate::cast;
use gavel_node::Fault;

/// Fewest providers in a world: a cheat, a referee, an auditor, somebody for the retry, and one to spare.
pub const MIN_PROVIDERS: usize = 5;
/// Most parties that do wrong in one world.
pub const MAX_FAULTS: usize = 16;
/// Stake that makes its owner certain to be drawn among ordinary ones.
const OVERWHELMING: Amount = Amount::tokens(1_000_000);
/// Enough for the collateral of a task whose ceiling two convictions have doubled.
const STAKE: Amount = Amount::tokens(3_000);

/// A provider: with it an auditor and a referee on the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSpec {
    /// Name.
    pub name: String,
    /// Stake.
    pub stake: Amount,
    /// Lowest price that it bids at.
    pub reserve: Amount,
    /// What it does wrong.
    pub fault: Option<Fault>,
    /// Most tasks at once.
    pub concurrency: u32,
    /// Whether it audits and rules with the same wrong computation as it serves with; of no matter to the honest.
    pub wrong_on_duty: bool,
    /// Whether it appeals a ruling that contradicts what it computed.
    pub appeals: bool,
}

/// Somebody who challenges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherSpec {
    /// Name.
    pub name: String,
    /// What it does wrong.
    pub fault: Option<Fault>,
    /// Whether it appeals a ruling that contradicts what it computed.
    pub appeals: bool,
}

/// A task to be posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskPlan {
    /// Which of the world's inputs.
    pub input: usize,
    /// Where the auction starts.
    pub min_price: Amount,
    /// Where it ends.
    pub max_price: Amount,
    /// How long the price rises.
    pub ramp_seconds: u32,
    /// Seconds after the world begins.
    pub posted_after: u64,
}

/// A world before it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What all its randomness follows from.
    pub seed: u64,
    /// Providers.
    pub providers: Vec<ProviderSpec>,
    /// Watchers, honest or not.
    pub watchers: Vec<WatcherSpec>,
    /// Tasks.
    pub tasks: Vec<TaskPlan>,
    /// Share of results that are audited, in parts per million.
    pub audit_ppm: u32,
    /// First results of a provider that are audited whatever the beacon says.
    pub probation_tasks: u32,
    /// Chance, in parts per million and tick, that a party's process dies and starts again from nothing.
    pub crash_ppm: u32,
    /// Chance, in parts per million and request, that the chain's answer is lost.
    pub drop_ppm: u32,
    /// Chance, in parts per million and round, that the newest blocks leave the chain.
    pub reorg_ppm: u32,
    /// What the set-up makes sure of, for the reader.
    pub notes: Vec<String>,
}

/// Options of a demo.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoOptions {
    /// What all randomness follows from.
    pub seed: u64,
    /// Who does what wrong; empty for an honest run.
    pub faults: Vec<Fault>,
    /// Whether an honest watcher takes part.
    pub watcher: bool,
    /// Share of results audited.
    pub audit_ppm: Option<u32>,
    /// Providers, cheats among them.
    pub providers: usize,
    /// Inputs to post, one task each.
    pub inputs: usize,
}

/// A demo or a simulation that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// Too many parties that do wrong.
    #[error("{found} faults are more than one world holds ({most})")]
    TooManyFaults {
        /// Asked for.
        found: usize,
        /// Most.
        most: usize,
    },
    /// Nothing to do.
    #[error("a world needs at least one input to post")]
    NoInputs,
}

impl Scenario {
    /// The demo's world: each fault is set up so that it is sure to be seen.
    ///
    /// # Errors
    /// More faults than a world holds, or nothing to post.
    pub fn demo(options: &DemoOptions) -> Result<Scenario, ScenarioError> {
        let faults = with_accomplices(&options.faults);
        if faults.len() > MAX_FAULTS {
            return Err(ScenarioError::TooManyFaults {
                found: faults.len(),
                most: MAX_FAULTS,
            });
        }
        if options.inputs == 0 {
            return Err(ScenarioError::NoInputs);
        }
        let mut notes = Vec::new();
        let mut cast = Cast::default();
        for &fault in &faults {
            cast.add(fault, &mut notes);
        }
        let liars = cast.providers.len();
        let winners = cast.winners;
        let honest = options
            .providers
            .max(MIN_PROVIDERS)
            .saturating_sub(liars)
            .max(3);
        for index in 0..honest {
            cast.providers.push(ProviderSpec {
                name: cast::honest(index),
                stake: STAKE,
                reserve: Amount::tokens(4 + index as u128),
                fault: None,
                concurrency: 1,
                wrong_on_duty: false,
                appeals: true,
            });
        }
        if options.watcher {
            cast.watchers.insert(
                0,
                WatcherSpec {
                    name: cast::WATCHERS[0].to_owned(),
                    fault: None,
                    appeals: true,
                },
            );
        }
        let lazy = faults.contains(&Fault::LazyAuditor);
        if lazy && options.audit_ppm.is_some_and(|ppm| ppm < 1_000_000) {
            notes.push("every result is audited, whatever the rate asked for: a lazy auditor needs an audit".to_owned());
        } else if lazy && options.audit_ppm.is_none() {
            notes.push(
                "every result is audited in this run: a lazy auditor needs an audit".to_owned(),
            );
        }
        let audit_ppm = if lazy {
            1_000_000
        } else {
            options.audit_ppm.unwrap_or(200_000)
        };
        // a task for everybody who wants one, and honest work to see beside it
        let tasks = options.inputs.max(winners + 2);
        Ok(Scenario {
            seed: options.seed,
            providers: cast.providers,
            watchers: cast.watchers,
            tasks: (0..tasks)
                .map(|i| TaskPlan {
                    input: i % options.inputs,
                    min_price: Amount::tokens(1),
                    max_price: Amount::tokens(20),
                    ramp_seconds: 300,
                    posted_after: 0,
                })
                .collect(),
            audit_ppm,
            probation_tasks: 0,
            crash_ppm: 0,
            drop_ppm: 0,
            reorg_ppm: 0,
            notes,
        })
    }

    /// A random world: a mix of faults, prices, stakes, audit rates and crashes. Unless `watched` is false at least
    /// one honest watcher takes part.
    pub fn random(seed: u64, inputs: usize, watched: bool) -> Scenario {
        // a stream of its own, so that the world's other randomness does not shift with this
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        rng.set_stream(1);
        let mut notes = Vec::new();
        let mut cast = Cast::default();
        let count = [0, 1, 1, 1, 2, 2, 3].choose(&mut rng).copied().unwrap_or(1);
        let any: Vec<Fault> = Fault::of_any_model().collect();
        let mut faults: Vec<Fault> = (0..count)
            .filter_map(|_| any.choose(&mut rng).copied())
            .collect();
        if rng.random_bool(0.8) {
            faults = with_accomplices(&faults);
        }
        for &fault in &faults {
            cast.add(fault, &mut notes);
        }
        for provider in &mut cast.providers {
            provider.concurrency = rng.random_range(1..=2);
            provider.wrong_on_duty = rng.random_bool(0.5);
            provider.appeals = rng.random_bool(0.5);
            if provider.stake == OVERWHELMING && rng.random_bool(0.5) {
                provider.stake = STAKE;
            }
        }
        for watcher in &mut cast.watchers {
            watcher.appeals = rng.random_bool(0.5);
        }
        let honest = rng.random_range(3..=5);
        for index in 0..honest {
            cast.providers.push(ProviderSpec {
                name: cast::honest(index),
                stake: Amount::tokens(rng.random_range(3_000..=9_000)),
                reserve: Amount::tokens(rng.random_range(2..=9)),
                fault: None,
                concurrency: rng.random_range(1..=3),
                wrong_on_duty: false,
                appeals: true,
            });
        }
        let watchers = rng.random_range(usize::from(watched)..=2);
        for name in cast::WATCHERS.iter().take(watchers) {
            cast.watchers.push(WatcherSpec {
                name: (*name).to_owned(),
                fault: None,
                appeals: true,
            });
        }
        let tasks = rng.random_range(1..=3);
        Scenario {
            seed,
            tasks: (0..tasks)
                .map(|_| TaskPlan {
                    input: rng.random_range(0..inputs.max(1)),
                    min_price: Amount::tokens(rng.random_range(1..=3)),
                    // below every honest reserve now and then: such a task goes home
                    max_price: Amount::tokens(rng.random_range(4..=30)),
                    ramp_seconds: rng.random_range(60..=600),
                    posted_after: rng.random_range(0..=400),
                })
                .collect(),
            audit_ppm: [130_000, 250_000, 500_000, 1_000_000]
                .choose(&mut rng)
                .copied()
                .unwrap_or(250_000),
            probation_tasks: rng.random_range(0..=1),
            crash_ppm: [0, 0, 20_000, 100_000]
                .choose(&mut rng)
                .copied()
                .unwrap_or(0),
            drop_ppm: [0, 0, 0, 20_000].choose(&mut rng).copied().unwrap_or(0),
            reorg_ppm: [0, 0, 0, 30_000].choose(&mut rng).copied().unwrap_or(0),
            providers: cast.providers,
            watchers: cast.watchers,
            notes,
        }
    }

    /// Every fault in this world.
    pub fn faults(&self) -> Vec<Fault> {
        let providers = self.providers.iter().filter_map(|p| p.fault);
        let watchers = self.watchers.iter().filter_map(|w| w.fault);
        providers.chain(watchers).collect()
    }

    /// Whether somebody honest re-executes every result.
    pub fn is_watched(&self) -> bool {
        self.watchers.iter().any(|w| w.fault.is_none()) || self.audit_ppm >= 1_000_000
    }
}

/// A lying referee needs a case, a sock puppet a friend: the faults with what they need.
fn with_accomplices(faults: &[Fault]) -> Vec<Fault> {
    let mut out = faults.to_vec();
    let cheat = out.iter().any(|f| f.makes_wrong_results());
    let case = cheat || out.contains(&Fault::FalseChallenge);
    let needs = (out.contains(&Fault::SockPuppet) && !cheat)
        || (out.contains(&Fault::LyingReferee) && !case);
    if needs {
        out.insert(0, Fault::Weight);
    }
    out
}

/// Parties that do wrong, set up so that it shows.
#[derive(Default)]
struct Cast {
    providers: Vec<ProviderSpec>,
    watchers: Vec<WatcherSpec>,
    /// Providers that must win a task.
    winners: usize,
    counts: std::collections::BTreeMap<Fault, usize>,
}

impl Cast {
    fn add(&mut self, fault: Fault, notes: &mut Vec<String>) {
        let count = self.counts.entry(fault).or_default();
        let name = cast::liar(fault, *count);
        *count += 1;
        match fault {
            Fault::FalseChallenge | Fault::SockPuppet => self.watchers.push(WatcherSpec {
                name,
                fault: Some(fault),
                appeals: false,
            }),
            Fault::LyingReferee | Fault::LazyAuditor => {
                let duty = if fault == Fault::LyingReferee {
                    "referee"
                } else {
                    "auditor"
                };
                notes.push(format!(
                    "{name} stakes so much that it is all but certain to be drawn as {duty}"
                ));
                self.providers.push(ProviderSpec {
                    name,
                    stake: OVERWHELMING,
                    // never bids
                    reserve: Amount::tokens(1_000_000),
                    fault: Some(fault),
                    concurrency: 1,
                    wrong_on_duty: false,
                    appeals: false,
                });
            }
            _ => {
                notes.push(format!(
                    "{name} asks for the least, so it is sure to win a task"
                ));
                self.winners += 1;
                self.providers.push(ProviderSpec {
                    name,
                    stake: STAKE,
                    reserve: Amount::tokens(1),
                    fault: Some(fault),
                    concurrency: 1,
                    wrong_on_duty: false,
                    appeals: false,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(faults: &[Fault]) -> Scenario {
        Scenario::demo(&DemoOptions {
            seed: 1,
            faults: faults.to_vec(),
            watcher: true,
            audit_ppm: None,
            providers: 5,
            inputs: 3,
        })
        .unwrap()
    }

    #[test]
    fn an_honest_demo_has_nobody_who_does_wrong() {
        let world = demo(&[]);
        assert_eq!(world.providers.len(), 5);
        assert!(world.faults().is_empty());
        assert_eq!(world.tasks.len(), 3);
    }

    #[test]
    fn a_cheat_bids_below_everybody_honest() {
        let world = demo(&[Fault::Weight]);
        let cheat = world.providers.iter().find(|p| p.fault.is_some()).unwrap();
        assert!(
            world
                .providers
                .iter()
                .filter(|p| p.fault.is_none())
                .all(|p| p.reserve > cheat.reserve)
        );
        assert_eq!(world.providers.len(), 5);
    }

    #[test]
    fn a_liar_gets_the_case_it_needs() {
        for lonely in [Fault::LyingReferee, Fault::SockPuppet] {
            assert!(demo(&[lonely]).faults().contains(&Fault::Weight));
        }
        let judged = demo(&[Fault::LyingReferee, Fault::FalseChallenge]);
        assert!(!judged.faults().contains(&Fault::Weight));
    }

    #[test]
    fn there_is_always_somebody_honest_to_judge_and_to_serve() {
        let world = demo(&[Fault::Weight; 6]);
        assert!(world.providers.iter().filter(|p| p.fault.is_none()).count() >= 3);
        assert!(world.tasks.len() >= 8);
        let all = Scenario::demo(&DemoOptions {
            seed: 1,
            faults: vec![Fault::Weight; MAX_FAULTS + 1],
            watcher: true,
            audit_ppm: None,
            providers: 5,
            inputs: 1,
        });
        assert!(matches!(all, Err(ScenarioError::TooManyFaults { .. })));
    }

    #[test]
    fn random_worlds_follow_from_their_seed_and_are_watched() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let world = Scenario::random(seed, 4, true);
            assert_eq!(world, Scenario::random(seed, 4, true));
            assert!(world.watchers.iter().any(|w| w.fault.is_none()));
            assert!(world.providers.iter().filter(|p| p.fault.is_none()).count() >= 3);
            assert!(
                world
                    .tasks
                    .iter()
                    .all(|t| t.input < 4 && t.min_price < t.max_price)
            );
            kinds.extend(world.faults());
        }
        assert_eq!(kinds.len(), Fault::of_any_model().count());
    }
}
