//! Many random worlds, and what the guarantees say about all of them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::{Report, Scenario, Stages, Workload, WorldError, run_world};

/// Failing seeds listed in a report.
const LISTED: usize = 100;

/// What a campaign found: sums over its worlds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CampaignReport {
    /// First and last seed.
    pub seeds: (u64, u64),
    /// Worlds run to their end.
    pub runs: u64,
    /// Honest parties that lost stake.
    pub honest_slashed: u64,
    /// Wrong results that settled.
    pub wrong_settled: u64,
    /// Honest parties that lost money.
    pub honest_poorer: u64,
    /// Whether no coin was made or lost in any world.
    pub conserved: bool,
    /// Worlds in which something was still open at the end.
    pub unfinished: u64,
    /// Worlds that could not be run.
    pub broken: u64,
    /// Results that were wrong when committed.
    pub wrong_committed: u64,
    /// Parties that did wrong, by what they did.
    pub faults: BTreeMap<String, u64>,
    /// Tasks by where they ended.
    pub tasks: BTreeMap<String, u64>,
    /// Disputes by verdict.
    pub disputes: BTreeMap<String, u64>,
    /// Audits by outcome.
    pub audits: BTreeMap<String, u64>,
    /// Roles that were dropped and rebuilt.
    pub restarts: u64,
    /// Times that the newest blocks left a chain.
    pub reorgs: u64,
    /// Transactions.
    pub transactions: u64,
    /// Seeds of the worlds in which a guarantee did not hold, with the reasons; the first hundred.
    pub failing: Vec<FailingSeed>,
}

/// A world in which a guarantee did not hold.
#[derive(Clone, Debug, Serialize)]
pub struct FailingSeed {
    /// Its seed.
    pub seed: u64,
    /// What did not hold.
    pub why: Vec<String>,
}

impl CampaignReport {
    /// Whether every guarantee held in every world.
    pub fn holds(&self) -> bool {
        self.failing.is_empty()
    }

    fn add(&mut self, seed: u64, result: Result<Report, WorldError>) {
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                self.broken += 1;
                return self.fail(seed, vec![error.to_string()]);
            }
        };
        self.runs += 1;
        self.conserved &= report.conserved;
        self.unfinished += u64::from(!report.finished);
        self.honest_slashed += u64::from(report.facts.honest_slashed);
        self.wrong_settled += u64::from(report.facts.wrong_settled);
        self.honest_poorer += u64::from(report.facts.honest_poorer);
        self.wrong_committed += u64::from(report.facts.wrong_committed);
        self.restarts += u64::from(report.restarts);
        self.reorgs += u64::from(report.reorgs);
        self.transactions += u64::from(report.transactions);
        let mut count = |of: fn(&mut Self) -> &mut BTreeMap<String, u64>, what: &str| {
            *of(self).entry(what.to_owned()).or_default() += 1;
        };
        for fault in &report.faults {
            count(|s| &mut s.faults, fault.name());
        }
        for task in &report.tasks {
            count(|s| &mut s.tasks, &task.state);
        }
        for dispute in &report.disputes {
            count(|s| &mut s.disputes, &dispute.verdict);
        }
        for audit in &report.audits {
            count(|s| &mut s.audits, &audit.outcome);
        }
        if !report.holds() {
            self.fail(seed, report.broken_guarantees());
        }
    }

    fn fail(&mut self, seed: u64, why: Vec<String>) {
        if self.failing.len() < LISTED {
            self.failing.push(FailingSeed { seed, why });
        }
    }
}

/// Runs the random worlds of these seeds on so many threads. `progress` hears how many are done and how many of them
/// failed.
pub fn campaign(
    seeds: RangeInclusive<u64>,
    threads: usize,
    workload: &Arc<Workload>,
    progress: &(dyn Fn(u64, usize) + Sync),
) -> CampaignReport {
    let (first, last) = seeds.into_inner();
    let stages = Stages::default();
    let next = AtomicU64::new(first);
    let found = Mutex::new((
        0u64,
        CampaignReport {
            seeds: (first, last),
            conserved: true,
            ..CampaignReport::default()
        },
    ));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    // an overflow starts again at 0, below the first seed
                    if seed > last || seed < first {
                        return;
                    }
                    let scenario = Scenario::random(seed, workload.inputs.len(), true);
                    let result = run_world(&scenario, workload, &stages, &mut |_| {});
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.0 += 1;
                    found.1.add(seed, result);
                    progress(found.0, found.1.failing.len());
                    if seed == u64::MAX {
                        return;
                    }
                }
            });
        }
    });
    let (_, mut report) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.failing.sort_by_key(|failing| failing.seed);
    report
}
