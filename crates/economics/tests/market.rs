//! A market of many kinds of agents, played on the ledger.
#![allow(clippy::unwrap_used)]

use std::num::NonZero;
use std::sync::Arc;

use gavel_economics::agents::{self, Agent, Kind};
use gavel_economics::market::Market;
use gavel_economics::{Assumptions, solve};

fn kinds(honest: f64) -> Vec<Kind> {
    let all = agents::all();
    let rest = (1.0 - honest) / (all.len() - 1) as f64;
    let kind = |(i, agent): (usize, Arc<dyn Agent>)| Kind {
        agent,
        share: if i == 0 { honest } else { rest },
    };
    all.into_iter().enumerate().map(kind).collect()
}

fn market(honest: f64) -> Market {
    let assumed = Assumptions::default();
    let solution = solve(&assumed).unwrap();
    Market {
        tasks: 200_000,
        providers: 8_000,
        ..Market::new(&assumed, &solution, kinds(honest))
    }
}

#[test]
fn nobody_earns_more_than_the_honest_at_the_solved_parameters() {
    let played = market(0.8).play(|_| {}).unwrap();
    for (i, kind) in played.kinds.iter().enumerate().skip(1) {
        assert!(
            kind.payoff.tasks > 500,
            "{}: {}",
            kind.name,
            kind.payoff.tasks
        );
        assert!(played.advantage(i) < 0.0, "{} earns more", kind.name);
    }
    // and it is no market in which nothing happens
    assert!(played.requeued > 0 && played.disputes > 0 && played.settled > played.posted / 2);
}

#[test]
fn audits_that_are_too_rare_make_cheats_of_them_all() {
    let mut rare = market(0.8);
    rare.params.audit.ratePpm = 100;
    rare.params.audit.probationTasks = 0;
    let response = rare.respond(12, |_, _| {}).unwrap();
    let last = response.last().unwrap();
    assert!(last.shares[0] < 0.2, "{last:?}");
    let solved = market(0.5).respond(12, |_, _| {}).unwrap();
    let last = solved.last().unwrap();
    assert!(last.shares[0] > 0.85, "{last:?}");
}

#[test]
fn an_agent_that_loses_at_the_solved_rate_gains_where_nobody_looks() {
    let solved = market(0.9);
    let mut blind = solved.clone();
    blind.params.audit.ratePpm = 100;
    blind.params.audit.probationTasks = 0;
    for agent in [
        Arc::new(agents::ModelSwap) as Arc<dyn Agent>,
        Arc::new(agents::Sybil),
        Arc::new(agents::Ring),
    ] {
        assert!(
            solved.profits(agent.clone()).unwrap() < 0.0,
            "{}",
            agent.name()
        );
        assert!(
            blind.profits(agent.clone()).unwrap() > 0.0,
            "{}",
            agent.name()
        );
    }
}

#[test]
fn what_comes_out_does_not_depend_on_the_threads() {
    let on = |threads| {
        let base = market(0.8);
        Market {
            threads: NonZero::new(threads),
            tasks: 20_000,
            providers: 2_000,
            ..base
        }
        .play(|_| {})
        .unwrap()
    };
    assert_eq!(on(1), on(3));
}
