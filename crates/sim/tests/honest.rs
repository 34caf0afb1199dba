//! Worlds in which nobody does wrong.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use gavel_sim::*;

#[test]
fn honest_work_is_paid_and_nothing_else_moves() {
    let report = run(&demo(&[]));
    holds(&report);
    assert!(report.slashes.is_empty() && report.disputes.is_empty());
    assert!(report.role_errors.is_empty(), "{:?}", report.role_errors);
    for task in &report.tasks {
        assert_eq!(task.state, "settled");
        assert_eq!(task.attempts.len(), 1);
        assert!(task.prediction.is_some());
        let attempt = &task.attempts[0];
        assert_eq!(attempt.honest_trace, Some(true));
        assert_eq!(attempt.price, Some(task.paid));
        assert_eq!(attempt.max_price.0, task.paid.0 + task.refund.0);
    }
    let earned: i128 = (report.balances.iter())
        .filter(|b| b.role == "provider")
        .map(|b| b.change.0)
        .sum();
    let paid: u128 = report.tasks.iter().map(|t| t.paid.0).sum();
    // audit fees come on top
    assert!(earned >= paid as i128);
    for action in ["post", "claim", "commit", "settle"] {
        assert_eq!(
            report.gas[action].count as usize,
            report.tasks.len(),
            "{action}"
        );
    }
}

#[test]
fn a_task_that_nobody_serves_goes_home_whole() {
    let mut scenario = demo(&[]);
    for task in &mut scenario.tasks {
        task.max_price = Amount::tokens(2);
    }
    let report = run(&scenario);
    holds(&report);
    assert!(report.tasks.iter().all(|t| t.state == "expired"));
    assert!(report.claims.is_empty());
    assert!(report.balances.iter().all(|b| b.change == Change(0)));
}

#[test]
fn the_facts_see_a_wrong_result_settle_where_nobody_looks() {
    // nobody watches, and the beacon draws no audit of the cheat's result for this seed
    let unseen = (1..40).find_map(|seed| {
        let report = run(&Scenario {
            seed,
            ..scenario(&[Fault::Weight], false, Some(130_000))
        });
        (report.facts.wrong_settled > 0).then_some(report)
    });
    let report = unseen.unwrap();
    // nothing was promised here; where somebody watches, it is
    assert!(!report.watched && report.holds(), "{:?}", report.facts);
    assert!(!report.drew_wrong_settled());
    let watched = Report {
        watched: true,
        ..report.clone()
    };
    assert_eq!(
        watched.broken_guarantees(),
        ["wrong results that settled: 1"]
    );
    let robbed = Report {
        conserved: false,
        ..report.clone()
    };
    assert!(!robbed.holds());
    let cheat = liar(&report, Fault::Weight);
    assert!(report.balance(&cheat).unwrap().change.0 > 0);
}
