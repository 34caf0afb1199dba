//! What people are told of those who do wrong.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use gavel_sim::timeline::Line;
use gavel_sim::*;

fn by<'a>(lines: &'a [Line], who: &str, what: &str) -> Vec<&'a Line> {
    let own = lines.iter().filter(|line| line.who == who);
    own.filter(|line| line.what.contains(what)).collect()
}

fn has(line: &Line, detail: &str) -> bool {
    line.details.iter().any(|d| d.contains(detail))
}

#[test]
fn a_referee_that_means_to_lie_is_called_a_liar_where_its_ruling_is_wrong() {
    let (mut lies, mut right) = (0, 0);
    for (seed, cheat) in (0..8).flat_map(|s| [(s, Fault::Weight), (s, Fault::OneUlp)]) {
        let (report, lines) = told(&Scenario {
            seed,
            ..demo(&[cheat, Fault::SockPuppet, Fault::LyingReferee])
        });
        let judge = liar(&report, Fault::LyingReferee);
        let friend = liar(&report, Fault::SockPuppet);
        let places = report.disputes.iter().filter_map(|d| d.isolated.as_ref());
        let mut places: Vec<_> = places.map(|place| &place.name).collect();
        places.dedup();
        if places.len() < 2 {
            // the friend lies about the very operator that the cheat got wrong
            continue;
        }
        for dispute in &report.disputes {
            let Some(ruling) = dispute.ruling.as_ref().filter(|r| r.referee == judge) else {
                continue;
            };
            // the watcher finds what the cheat got wrong, its friend what it computed rightly from wrong inputs
            let is_guilty = dispute.challenger != friend;
            let rulings = by(&lines, &judge, "rules:");
            let told = rulings.iter().find(|line| line.at == ruling.at).unwrap();
            let called = has(told, "it computed the opposite; nobody else knows");
            assert_eq!(
                called,
                ruling.guilty != is_guilty,
                "{seed} {cheat}: {told:?}"
            );
            lies += u32::from(called);
            right += u32::from(!called);
        }
    }
    assert!(lies > 0 && right > 0, "{lies} {right}");
}

#[test]
fn a_referee_that_lies_about_a_trace_with_nothing_behind_it_is_called_a_liar() {
    for cheat in [Fault::SmallerModel, Fault::WrongTrace] {
        let (report, lines) = told(&demo(&[cheat, Fault::LyingReferee]));
        let rulings = by(&lines, &liar(&report, Fault::LyingReferee), "rules:");
        assert!(!rulings.is_empty(), "{cheat}");
        for told in rulings {
            assert!(told.what.ends_with("cleared"), "{cheat}: {told:?}");
            assert!(has(told, "it computed the opposite"), "{cheat}: {told:?}");
        }
    }
}

#[test]
fn challenges_are_told_as_what_they_are() {
    for (fault, what, lie) in [
        (
            Fault::FalseChallenge,
            "though it is right",
            "an honest run finds what the provider found",
        ),
        (
            Fault::SockPuppet,
            "of its friend Mallory, badly on purpose",
            "it wants a verdict that clears Mallory",
        ),
    ] {
        let (report, lines) = told(&demo(&[fault]));
        let liar = liar(&report, fault);
        let [challenge] = by(&lines, &liar, "challenges ")[..] else {
            panic!("{fault}: not one challenge");
        };
        assert!(challenge.what.contains(what), "{challenge:?}");
        assert!(has(challenge, lie), "{challenge:?}");
        assert!(by(&lines, &liar, "has run").is_empty());
    }
    let (_, lines) = told(&demo(&[Fault::SockPuppet]));
    let [honest] = by(&lines, cast::WATCHERS[0], "has run task")[..] else {
        panic!("the watcher challenges once");
    };
    assert!(honest.what.contains("finds something else"));
    assert_eq!(honest.details.len(), 1);
}

#[test]
fn a_lazy_auditor_is_not_said_to_have_run_anything() {
    let (report, lines) = told(&demo(&[Fault::LazyAuditor]));
    let lazy = liar(&report, Fault::LazyAuditor);
    assert!(!by(&lines, &lazy, "which it has not run").is_empty());
    assert!(by(&lines, &lazy, "has run task").is_empty());
}
