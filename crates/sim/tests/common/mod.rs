//! Worlds for the tests: one workload and one set of stages for all of them.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::{Arc, LazyLock};

use gavel_sim::*;

static STAGES: LazyLock<Stages> = LazyLock::new(Stages::default);
static WORKLOAD: LazyLock<Arc<Workload>> =
    LazyLock::new(|| Arc::new(Workload::shipped("digits-small").unwrap()));

pub(crate) fn workload() -> &'static Arc<Workload> {
    &WORKLOAD
}

/// Runs a scenario to its end.
pub(crate) fn run(scenario: &Scenario) -> Report {
    run_world(scenario, &WORKLOAD, &STAGES, &mut |line| {
        if std::env::var_os("GAVEL_TELL").is_some() {
            println!(
                "{:>6} {:<8} {} {:?}",
                line.at, line.who, line.what, line.details
            );
        }
    })
    .unwrap()
}

/// The same, with what is told of it.
pub(crate) fn told(scenario: &Scenario) -> (Report, Vec<timeline::Line>) {
    let mut lines = Vec::new();
    let mut tell = |line: &timeline::Line| lines.push(line.clone());
    let report = run_world(scenario, &WORKLOAD, &STAGES, &mut tell).unwrap();
    (report, lines)
}

/// A demo with these faults, a watcher and the default audit rate.
pub(crate) fn demo(faults: &[Fault]) -> Scenario {
    scenario(faults, true, None)
}

pub(crate) fn scenario(faults: &[Fault], watcher: bool, audit_ppm: Option<u32>) -> Scenario {
    Scenario::demo(&DemoOptions {
        seed: 1,
        faults: faults.to_vec(),
        watcher,
        audit_ppm,
        providers: 5,
        inputs: 2,
    })
    .unwrap()
}

/// Everything that must hold whoever does what.
pub(crate) fn holds(report: &Report) {
    assert!(
        report.holds(),
        "seed {} with {:?}: {:?}; errors {:?}",
        report.seed,
        report.faults,
        report.broken_guarantees(),
        report.role_errors
    );
    for slash in &report.slashes {
        let split: u128 = slash.split.iter().map(|s| s.amount.0).sum();
        assert_eq!(split, slash.amount.0, "{slash:?}");
    }
}

/// The party with a fault.
pub(crate) fn liar(report: &Report, fault: Fault) -> String {
    let found = report.parties.iter().find(|p| p.faults.contains(&fault));
    found.unwrap().name.clone()
}

/// Names of everybody who lost stake.
pub(crate) fn losers(report: &Report) -> Vec<&str> {
    let mut names: Vec<&str> = report.slashes.iter().map(|s| s.party.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
