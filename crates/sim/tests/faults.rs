//! One world per way of doing wrong: who did it pays, everybody else is whole, nothing wrong settles.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use gavel_sim::*;

/// A cheat whose result is challenged by the watcher and convicted.
fn convicted(fault: Fault) -> Report {
    let report = run(&demo(&[fault]));
    holds(&report);
    let cheat = liar(&report, fault);
    assert_eq!(report.facts.wrong_committed, 1);
    let dispute = guilty(&report);
    assert_eq!(dispute.provider, cheat);
    assert_eq!(losers(&report), [cheat.as_str()]);
    let slash = &report.slashes[0];
    assert!(slash.kind == "safety" && slash.tombstoned);
    let of = |what: &str| slash.split.iter().find(|s| s.what == what);
    assert_eq!(of("requester").unwrap().to, cast::REQUESTER);
    assert_eq!(of("challenger").unwrap().to, cast::WATCHERS[0]);
    // at least half of it is burned
    assert!(of("burned").unwrap().amount.0 * 2 >= slash.amount.0);
    assert!(report.balance(&cheat).unwrap().tombstoned);
    assert!(report.balance(cast::WATCHERS[0]).unwrap().change.0 > 0);
    // the task goes back to the auction, first in line, and is served
    let task = report.tasks.iter().find(|t| t.id == dispute.task).unwrap();
    assert_eq!(task.state, "settled");
    let outcomes: Vec<&str> = task.attempts.iter().map(|a| a.outcome.as_str()).collect();
    assert_eq!(outcomes, ["guilty", "settled"]);
    let mut again = report.claims.iter();
    let again = again.find(|c| c.task == task.id && c.attempt == 1);
    assert!(again.unwrap().retry_lane);
    report
}

fn guilty(report: &Report) -> &DisputeReport {
    let mut disputes = report.disputes.iter();
    disputes.find(|d| d.verdict == "guilty").unwrap()
}

fn isolated(report: &Report) -> &IsolatedReport {
    let ruled = guilty(report);
    assert!(ruled.ruling.as_ref().unwrap().guilty);
    assert!(ruled.rounds >= 1 && !ruled.moves.is_empty());
    ruled.isolated.as_ref().unwrap()
}

#[test]
fn weight() {
    let report = convicted(Fault::Weight);
    assert!(isolated(&report).operator.is_some());
    assert!(report.slashes[0].split.iter().any(|s| s.what == "referee"));
}

#[test]
fn one_ulp() {
    let report = convicted(Fault::OneUlp);
    assert!(isolated(&report).node.is_some());
}

#[test]
fn smaller_model() {
    let report = convicted(Fault::SmallerModel);
    assert!(!isolated(&report).name.is_empty());
}

#[test]
fn wrong_trace() {
    let report = convicted(Fault::WrongTrace);
    // the label is right: only the trace betrays it
    let mut attempts = report.tasks.iter().flat_map(|t| &t.attempts);
    let wrong = attempts.find(|a| a.honest_trace == Some(false));
    assert!(wrong.unwrap().prediction.is_some());
    assert!(isolated(&report).live_slot.is_some());
}

#[test]
fn withhold() {
    let report = convicted(Fault::Withhold);
    let dispute = guilty(&report);
    assert_eq!(dispute.reason, "timeout");
    assert!(dispute.ruling.is_none());
}

#[test]
fn no_result() {
    let report = run(&demo(&[Fault::NoResult]));
    holds(&report);
    let idler = liar(&report, Fault::NoResult);
    assert_eq!(losers(&report), [idler.as_str()]);
    let slash = &report.slashes[0];
    assert!(slash.kind == "liveness" && !slash.tombstoned);
    // nobody gains by making somebody late
    assert!(slash.split.iter().all(|s| s.to == "burned"));
    assert!(report.disputes.is_empty());
    assert!(report.tasks.iter().all(|t| t.state == "settled"));
}

#[test]
fn false_challenge() {
    let report = run(&demo(&[Fault::FalseChallenge]));
    holds(&report);
    let accuser = liar(&report, Fault::FalseChallenge);
    assert!(!report.disputes.is_empty());
    assert!(report.disputes.iter().all(|d| d.verdict == "cleared"));
    assert!(report.slashes.is_empty());
    let lost = report.balance(&accuser).unwrap().change.0;
    let bonds: i128 = report.challenges.iter().map(|c| c.bond.0 as i128).sum();
    assert_eq!(-lost, bonds);
    assert!(report.tasks.iter().all(|t| t.state == "settled"));
}

#[test]
fn lying_referee() {
    // an audit of the same result would convict the cheat before the appeal's window is over
    let seeds = (1..=16).map(|seed| Scenario {
        seed,
        ..demo(&[Fault::LyingReferee])
    });
    let mut worlds = seeds.map(|scenario| run(&scenario)).inspect(holds);
    let report = worlds
        .find(|report| report.disputes.iter().all(|d| !d.by_audit))
        .unwrap();
    let judge = liar(&report, Fault::LyingReferee);
    let mut disputes = report.disputes.iter();
    let ruled = disputes.find(|d| d.referees.contains(&judge)).unwrap();
    // it clears a cheat; the watcher appeals, and a step that the contract executes says otherwise
    assert!(!ruled.ruling.as_ref().unwrap().guilty);
    assert_eq!(
        (ruled.verdict.as_str(), ruled.reason.as_str()),
        ("guilty", "appeal")
    );
    assert_eq!(ruled.appeal.as_deref(), Some(cast::WATCHERS[0]));
    assert!(ruled.step.as_ref().unwrap().contains("claimed 0x"));
    assert!((1..=16).contains(&ruled.appeal_rounds));
    // cheat and referee are removed for ever, and the watcher gets a part of both stakes
    let cheat = liar(&report, Fault::Weight);
    let mut wanted = [cheat.as_str(), judge.as_str()];
    wanted.sort();
    assert_eq!(losers(&report), wanted);
    assert!(
        report
            .slashes
            .iter()
            .all(|s| s.tombstoned && s.kind == "safety")
    );
    let to_watcher = |of: &str| {
        let mut slash = report.slashes.iter().filter(|s| s.party == of);
        let split = &slash.next().unwrap().split;
        split.iter().any(|share| share.to == cast::WATCHERS[0])
    };
    assert!(to_watcher(&cheat) && to_watcher(&judge));
}

#[test]
fn a_referee_that_lies_about_an_honest_provider() {
    let report = run(&demo(&[Fault::LyingReferee, Fault::FalseChallenge]));
    holds(&report);
    let judge = liar(&report, Fault::LyingReferee);
    let mut disputes = report.disputes.iter();
    let ruled = disputes.find(|d| d.referees.contains(&judge)).unwrap();
    assert!(ruled.ruling.as_ref().unwrap().guilty);
    assert_eq!(
        (ruled.verdict.as_str(), ruled.reason.as_str()),
        ("cleared", "appeal")
    );
    assert_eq!(ruled.appeal.as_deref(), Some(ruled.provider.as_str()));
    assert_eq!(losers(&report), [judge.as_str()]);
}

#[test]
fn lazy_auditor() {
    let report = run(&demo(&[Fault::LazyAuditor]));
    holds(&report);
    let lazy = liar(&report, Fault::LazyAuditor);
    let own = |s: &SlashReport| s.party == lazy && s.kind == "liveness";
    assert!(!report.slashes.is_empty() && report.slashes.iter().all(own));
    // somebody else audits in its place
    let mut audits = report.audits.iter().filter(|a| a.auditors.contains(&lazy));
    assert!(audits.clone().count() > 0);
    assert!(audits.all(|a| a.outcome == "matched" && a.auditors.len() > 1));
}

#[test]
fn sock_puppet() {
    let report = run(&demo(&[Fault::SockPuppet, Fault::Weight]));
    holds(&report);
    // a dispute that another verdict overtook says nothing about the task any more
    assert!(report.tasks.iter().all(|t| t.state == "settled"));
    let cheat = liar(&report, Fault::Weight);
    let friend = liar(&report, Fault::SockPuppet);
    let against = |who: &str| {
        let mut disputes = report.disputes.iter().filter(|d| d.provider == cheat);
        let found = disputes.find(|d| d.challenger == who);
        found.map(|d| d.verdict.as_str())
    };
    // the friend's dispute clears the cheat or comes too late; the watcher's convicts it
    assert_eq!(against(cast::WATCHERS[0]), Some("guilty"));
    assert!(matches!(against(&friend), Some("cleared" | "void")));
    assert_eq!(losers(&report), [cheat.as_str()]);
    assert!(report.balance(&friend).unwrap().change.0 <= 0);
}

#[test]
fn friends_of_every_kind_of_cheat_do_not_save_it() {
    for fault in Fault::of_any_model() {
        if !fault.makes_wrong_results() {
            continue;
        }
        let report = run(&demo(&[fault, Fault::SockPuppet]));
        holds(&report);
        let cheat = liar(&report, fault);
        assert!(report.balance(&cheat).unwrap().tombstoned, "{fault}");
    }
}

#[test]
fn several_at_once() {
    use Fault::*;
    for faults in [
        &[Weight, OneUlp, NoResult][..],
        &[SmallerModel, LazyAuditor, FalseChallenge],
        &[Withhold, LyingReferee, SockPuppet],
        &[FalseChallenge, LyingReferee],
    ] {
        holds(&run(&demo(faults)));
    }
}

#[test]
fn the_random_audit_alone_catches_a_cheat() {
    let report = run(&scenario(&[Fault::Weight], false, Some(1_000_000)));
    holds(&report);
    assert!(report.challenges.is_empty());
    let dispute = guilty(&report);
    assert!(dispute.by_audit);
    assert_eq!(losers(&report), [liar(&report, Fault::Weight).as_str()]);
    let mut audits = report.audits.iter();
    let audit = audits.find(|a| a.outcome == "mismatched").unwrap();
    assert_eq!(audit.dispute, Some(dispute.id));
}
