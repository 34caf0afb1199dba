//! A market of many kinds of agents, played on the ledger.
#![allow(clippy::unwrap_used)]

use std::num::NonZero;
use std::sync::Arc;

use gavel_economics::agents::{self, Agent, Kind};
use gavel_economics::market::{Market, Traps};
use gavel_economics::{Assumptions, Vigilance, penalty, solve};

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
        // what it saves is small beside the prizes of those who find lies: its own market tells
        if kind.name == agents::BelievingAuditor.name() {
            continue;
        }
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
    let traps = played.traps;
    assert!(
        traps.found > 50 && traps.passed > 5 && traps.set > 2 * traps.found,
        "{traps:?}"
    );
}

/// Half honest auditors, half that believe whoever hands over its tensors, everything audited; and nobody cheats.
fn believing(traps: Traps, leaks_bps: u32) -> Market {
    let mut market = market(0.5);
    market.kinds = vec![
        Kind {
            agent: Arc::new(agents::Honest),
            share: 0.5,
        },
        Kind {
            agent: Arc::new(agents::BelievingAuditor),
            share: 0.5,
        },
    ];
    // everything is audited, and levies pay it
    penalty::set_floor(&mut market.params.audit, 1_000_000);
    market.params.market.auditLevy = market.params.audit.fee;
    Market {
        traps,
        leaks_bps,
        accidents_ppm: 0,
        ..market
    }
}

/// What an audit brings the believing beyond the honest, and what it costs to run one.
fn rest(market: &Market) -> (f64, f64) {
    let played = market.play(|_| {}).unwrap();
    let [honest, believing] = [0, 1].map(|i| played.kinds[i].payoff);
    let each = |sum: i128, audits: u64| sum as f64 / audits as f64;
    (
        each(believing.duties(), believing.audits) - each(honest.duties(), honest.audits),
        -each(honest.checks, honest.audits),
    )
}

#[test]
fn believing_ceases_to_pay_where_the_closed_form_says() {
    for friends in [0, 2] {
        let at = |share: f64| {
            let traps = Traps {
                share_ppm: (1e6 * share) as u32,
                friends,
            };
            rest(&believing(traps, 10_000))
        };
        let (saved, check) = at(0.0);
        assert!((saved / check - 1.0).abs() < 1e-9, "{saved} of {check}");
        let params = believing(Traps::default(), 0).params;
        let vigilance = Vigilance {
            check,
            ..Vigilance::of(&params).with_friends(friends.into())
        };
        let expected = vigilance.edge();
        // two points near the edge, and the line through them
        let (low, high) = (0.8 * expected, 1.2 * expected);
        let (pays, loses) = (at(low).0, at(high).0);
        assert!(pays > 0.0 && loses < 0.0, "{pays} and {loses}");
        let found = low + (high - low) * pays / (pays - loses);
        let off = 100.0 * (found / expected - 1.0);
        println!("{friends} friends: {found:.4}, closed form {expected:.4}, {off:+.2} %");
        assert!(off.abs() < 2.0, "{found} is not {expected}");
    }
}

#[test]
fn traps_keep_auditors_awake_and_without_them_they_believe() {
    let with = believing(Traps::default(), 2_000);
    let enough = Traps::enough(&with.params, 2_000);
    let respond = |traps| {
        let market = Market {
            traps,
            tasks: 60_000,
            ..with.clone()
        };
        let response = market.respond(40, |_, _| {}).unwrap();
        response.last().unwrap().shares[0]
    };
    let (awake, without) = (respond(enough), respond(Traps::default()));
    println!("honest: {awake:.3} with traps, {without:.3} without");
    assert!(awake > 0.9 && without < 0.1, "{awake} and {without}");
}

#[test]
fn audits_that_are_too_rare_make_cheats_of_them_all() {
    let mut rare = market(0.8);
    rare.params.audit.ratePpm = 100;
    rare.params.audit.probationTasks = 0;
    rare.params.audit.recordTasks = 0;
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
    blind.params.audit.recordTasks = 0;
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
