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
    let token = 1e18;
    for kind in &played.kinds {
        let p = &kind.payoff;
        println!(
            "{:16} {:7} tasks {:6} wrong {:5} caught {:6} audits: {:8.4} a task = prices {:.3} fees {:.3} rewards {:.3} bonds {:.3} slashes {:.3} penalties {:.3} levies {:.3} costs {:.3} gains {:.3} trouble {:.3}",
            kind.name,
            p.tasks,
            p.wrong,
            p.caught,
            p.audits,
            p.per_task() / token,
            p.prices as f64 / token / p.tasks as f64,
            p.fees as f64 / token / p.tasks as f64,
            p.rewards as f64 / token / p.tasks as f64,
            p.bonds as f64 / token / p.tasks as f64,
            p.slashes as f64 / token / p.tasks as f64,
            p.penalties as f64 / token / p.tasks as f64,
            p.levies as f64 / token / p.tasks as f64,
            p.costs as f64 / token / p.tasks as f64,
            p.gains as f64 / token / p.tasks as f64,
            p.trouble as f64 / token / p.tasks as f64,
        );
    }
    println!(
        "{:?} {} {} {} {}",
        played.prices, played.posted, played.settled, played.requeued, played.unserved
    );
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
    println!("{:?}\n{last:?}", solved.names);
    assert!(last.shares[0] > 0.85, "{last:?}");
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
