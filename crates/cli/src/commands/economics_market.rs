//! `gavel economics strategies`, and `simulate --engine contracts`: markets of all kinds of agents.

use gavel_economics::contracts;
use gavel_economics::market::{Broken, Market, Outcome};
use gavel_economics::report::kinds;
use gavel_settlement::amount::TOKEN;
use serde_json::json;

use super::economics::{assumptions, solved};
use crate::args_economics::{SimulateArgs, StrategiesArgs};
use crate::failure::{Exit, Failure};
use crate::network::block_on;
use crate::output::{GOOD, Output, paint};

/// Share of the honest on the contracts: few tasks have to show every kind.
const HONEST: f64 = 0.5;
/// Markets in the abstract that one on the contracts is held against.
const MARKETS: u64 = 64;

pub(crate) fn strategies(args: &StrategiesArgs, out: Output) -> Result<Exit, Failure> {
    let assumed = assumptions(&args.assume)?;
    let solution = solved(&assumed)?;
    let market = Market {
        tasks: args.tasks,
        providers: args.providers as usize,
        seed: args.seed,
        ..Market::new(&assumed, &solution, kinds(f64::from(args.honest) / 100.0))
    };
    let told = |tasks: u64| out.progress(format!("{tasks} of {} tasks", args.tasks));
    let played = market.play(told).map_err(broken)?;
    out.heading("What every kind earns");
    let rows = played.kinds.iter().enumerate().map(|(i, kind)| {
        let p = &kind.payoff;
        vec![
            kind.name.to_owned(),
            p.tasks.to_string(),
            format!("{} of {}", p.caught, p.wrong),
            format!("{:+.3}", p.per_task() / TOKEN as f64),
            beyond(&played, i),
            kind.about.to_owned(),
        ]
    });
    let header = [
        "kind",
        "tasks",
        "banned",
        "on a task",
        "beyond the honest",
        "what it does",
    ];
    out.table(&header, rows.collect(), &[1, 2, 3, 4]);
    let traps = played.traps;
    out.line(format!(
        "{} results were traps: {} were found, {} passed by an auditor",
        traps.set, traps.found, traps.passed
    ));
    let mut response = None;
    if args.generations > 0 {
        let smaller = Market {
            tasks: args.tasks / 10,
            ..market
        };
        let told = |generation: usize, step: &gavel_economics::market::Step| {
            let honest = step.shares.first().copied().unwrap_or_default();
            out.progress(format!(
                "generation {generation}: {:.1} % honest",
                honest * 100.0
            ));
        };
        let found = smaller
            .respond(args.generations as usize, told)
            .map_err(broken)?;
        out.heading("Shares when all do what pays");
        if let Some(last) = found.last() {
            let rows = found.names.iter().zip(&last.shares);
            let rows = rows
                .map(|(name, share)| vec![(*name).to_owned(), format!("{:.1} %", share * 100.0)]);
            out.table(&["kind", "share"], rows.collect(), &[1]);
        }
        let rest = match found.is_still {
            true => "nobody wants to switch; one in a hundred of every kind tries all the same"
                .to_owned(),
            false => format!("shares still move after {} generations", found.steps.len()),
        };
        out.line(rest);
        response = Some(found);
    }
    out.json(&json!({"market": played, "response": response}))?;
    Ok(Exit::Done)
}

pub(crate) fn on_contracts(args: &SimulateArgs, out: Output) -> Result<Exit, Failure> {
    if args.alone || args.csv.is_some() {
        return Err(
            Failure::usage("--alone and --csv are about the curve of the abstract engine")
                .expected("--engine abstract with them"),
        );
    }
    let assumed = assumptions(&args.assume)?;
    let solution = solved(&assumed)?;
    let market = Market {
        tasks: args.tasks.unwrap_or(2_000),
        providers: args.providers.unwrap_or(110) as usize,
        seed: args.seed,
        ..Market::new(&assumed, &solution, kinds(HONEST))
    };
    if market.providers > 1_000 {
        return Err(
            Failure::usage(format!("--providers {} on the contracts", market.providers))
                .expected("at most 1000: a pool has 1024 places"),
        );
    }
    let told = |tasks| out.progress(format!("{tasks} of {} tasks", market.tasks));
    let played = block_on(async { contracts::play(&market, told).await.map_err(broken) })?;
    out.progress(format!("{MARKETS} markets of that size in the abstract"));
    let abstracts = contracts::spread(&market, MARKETS).map_err(broken)?;
    out.heading("What every kind earns on a task beyond the honest, in tokens");
    let kinds = played.outcome.kinds.iter().enumerate().zip(&abstracts);
    let rows = kinds.clone().map(|((i, kind), (mean, spread))| {
        let found = played.outcome.advantage(i) / TOKEN as f64;
        vec![
            kind.name.to_owned(),
            kind.payoff.tasks.to_string(),
            beyond(&played.outcome, i),
            format!("{mean:+.3}"),
            format!("{spread:.3}"),
            match i {
                0 => String::new(),
                _ => format!("{:+.1}", (found - mean) / spread.max(1e-9)),
            },
        ]
    });
    let header = [
        "kind",
        "tasks",
        "contracts",
        "abstract",
        "spread",
        "difference in spreads",
    ];
    out.table(&header, rows.collect(), &[1, 2, 3, 4, 5]);
    out.line(format!(
        "\n{} {} calls; every balance is the ledger's, to the unit",
        paint(GOOD, "✓"),
        played.calls
    ));
    let kinds = kinds.map(|((i, kind), (mean, spread))| {
        json!({
            "name": kind.name,
            "tasks": kind.payoff.tasks,
            "contracts": played.outcome.advantage(i) / TOKEN as f64,
            "abstract": mean,
            "spread": spread,
        })
    });
    out.json(&json!({
        "engine": "contracts",
        "calls": played.calls,
        "rounds": played.rounds,
        "kinds": kinds.collect::<Vec<_>>(),
        "outcome": played.outcome,
    }))?;
    Ok(Exit::Done)
}

/// In tokens a task.
fn beyond(played: &Outcome, kind: usize) -> String {
    let earned = played.advantage(kind) / TOKEN as f64;
    match kind {
        0 => String::new(),
        _ => format!("{earned:+.3}"),
    }
}

fn broken(error: Broken) -> Failure {
    Failure::new(error).expected("books that add up: this is a fault of the program")
}
