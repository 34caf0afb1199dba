//! Random worlds, crashes and lost answers.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use gavel_sim::*;

#[test]
fn a_block_of_random_worlds_holds() {
    let report = campaign(1..=30, 2, workload(), &|_, _| {});
    assert!(report.holds(), "{:#?}", report.failing);
    assert_eq!((report.runs, report.conserved), (30, true));
    // something happened in them
    assert!(report.wrong_committed > 0 && report.restarts > 0);
    assert!(report.disputes.get("guilty").is_some_and(|n| *n > 0));
}

#[test]
fn where_nobody_watches_the_honest_are_whole_all_the_same() {
    for seed in 1..=15 {
        let report = run(&Scenario::random(seed, workload().inputs.len(), false));
        assert!(report.conserved && report.finished, "seed {seed}");
        let facts = &report.facts;
        assert_eq!(
            (facts.honest_slashed, facts.honest_poorer),
            (0, 0),
            "seed {seed}: {facts:?}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    // one with crashes and lost answers among them
    let chosen = (1..200).map(|seed| Scenario::random(seed, 6, true));
    let rough = chosen.filter(|s| s.crash_ppm > 0 && s.drop_ppm > 0).take(2);
    for scenario in rough.chain([demo(&[Fault::Weight])]) {
        let once = serde_json::to_value(run(&scenario)).unwrap();
        assert_eq!(once, serde_json::to_value(run(&scenario)).unwrap());
    }
}

#[test]
fn roles_that_die_before_every_tick_live_in_the_same_world() {
    for fault in Fault::of_any_model() {
        let steady = run(&demo(&[fault]));
        let shaky = run(&Scenario {
            crash_ppm: 1_000_000,
            ..demo(&[fault])
        });
        holds(&shaky);
        assert!(shaky.restarts > 100);
        // nothing is different but that
        let shaky = Report {
            restarts: 0,
            ..shaky
        };
        let told = |report: &Report| serde_json::to_value(report).unwrap();
        assert_eq!(told(&steady), told(&shaky), "{fault}");
    }
}

#[test]
fn a_connection_that_loses_answers_changes_no_verdict() {
    let report = run(&Scenario {
        drop_ppm: 150_000,
        ..demo(&[Fault::OneUlp])
    });
    holds(&report);
    assert!(report.disputes.iter().any(|d| d.verdict == "guilty"));
}

#[test]
fn blocks_that_leave_the_chain_harm_nobody_honest() {
    for (seed, fault) in [Fault::Weight, Fault::FalseChallenge]
        .into_iter()
        .enumerate()
    {
        let report = run(&Scenario {
            seed: seed as u64,
            reorg_ppm: 200_000,
            ..demo(&[fault])
        });
        holds(&report);
        assert!(report.reorgs > 3, "{}", report.reorgs);
    }
}
