//! `gavel economics simulate`: what becomes of cheating in a market in which everybody does what pays.

use std::fmt::Write as _;

use gavel_economics::sim::{Scenario, closed_form, closed_form_of_traps};
use serde_json::json;

use super::economics::{assumptions, solved};
use crate::args_economics::{Engine, SimulateArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::output::{BAR, Output, bar, paint};

/// Audit rates that are tried, in percent of the closed form.
const RATES: [u32; 11] = [50, 80, 90, 95, 98, 100, 102, 105, 110, 120, 200];

pub(crate) fn run(args: &SimulateArgs, out: Output) -> Result<Exit, Failure> {
    match args.engine {
        Engine::Abstract => curve(args, out),
        Engine::Contracts => super::economics_market::on_contracts(args, out),
    }
}

fn curve(args: &SimulateArgs, out: Output) -> Result<Exit, Failure> {
    let assumed = assumptions(&args.assume)?;
    let solution = solved(&assumed)?;
    let solved_rate = solution.params.audit.ratePpm;
    let new = Scenario::new(&assumed, &solution);
    let base = Scenario {
        ring: !args.alone,
        providers: args.providers.map_or(new.providers, |many| many as usize),
        tasks: args.tasks.unwrap_or(new.tasks),
        epochs: args.epochs,
        seed: args.seed,
        ..new
    };
    let expected = closed_form(&base);
    let mut points = Vec::new();
    for (done, percent) in RATES.iter().enumerate() {
        let rate = expected * f64::from(*percent) / 100.0;
        // no rate is above all results
        let rate = (rate.round() as u32).min(1_000_000);
        let outcome = base.at_rate(rate).play(|_| {});
        if !outcome.books.is_whole() {
            return Err(Failure::new(format!(
                "the books do not add up: {:?}",
                outcome.books
            )));
        }
        out.progress(format!("{} of {} markets", done + 1, RATES.len()));
        points.push((*percent, rate, outcome));
    }
    out.progress("looking for the kink");
    let kink = base.kink(|_, _| {});
    let off = f64::from(kink) / expected - 1.0;
    out.progress("looking for where auditors wake");
    let audited = Scenario {
        // every one of them is looked at
        tasks: base.tasks / 5,
        ..base.at_rate(1_000_000)
    };
    let (waking, wakes_at) = (audited.waking(|_, _| {}), closed_form_of_traps(&audited));
    let waking_off = f64::from(waking) / wakes_at - 1.0;

    let share = |cheating: &[f64]| cheating.last().copied().unwrap_or_default();
    out.heading("Cheating, by audit rate");
    let rows = points.iter().map(|(percent, rate, outcome)| {
        let cheating = share(&outcome.cheating);
        vec![
            format!("{:.4} %", f64::from(*rate) / 1e4),
            format!("{percent} %"),
            format!("{:.1} %", cheating * 100.0),
            paint(BAR, bar(cheating)),
            format!("{} of {}", outcome.caught, outcome.wrong),
        ]
    });
    let header = ["audit rate", "of p*", "cheat in the end", "", "caught"];
    out.table(&header, rows.collect(), &[0, 1, 2, 4]);
    out.heading("The kink, and the share of traps among audited results at which auditors look");
    out.facts(&[
        ("closed form", format!("{:.4} %", expected / 1e4)),
        (
            "simulated",
            format!("{:.4} % ({:+.2} %)", f64::from(kink) / 1e4, off * 100.0),
        ),
        (
            "solved rate",
            format!(
                "{:.4} %: everything open at once has to lose too",
                f64::from(solved_rate) / 1e4
            ),
        ),
        ("traps, closed form", format!("{:.4} %", wakes_at / 1e4)),
        (
            "traps, simulated",
            format!(
                "{:.4} % ({:+.2} %)",
                f64::from(waking) / 1e4,
                waking_off * 100.0
            ),
        ),
    ]);
    if let Some(file) = &args.csv {
        let mut csv = String::from(
            "rate_ppm,of_closed_form,cheating_share,wrong,caught,honest_payoff,cheat_payoff\n",
        );
        for (percent, rate, outcome) in &points {
            let _ = writeln!(
                csv,
                "{rate},{},{},{},{},{},{}",
                f64::from(*percent) / 100.0,
                share(&outcome.cheating),
                outcome.wrong,
                outcome.caught,
                outcome.honest_payoff,
                outcome.cheat_payoff,
            );
        }
        std::fs::write(file, csv).at(file.display())?;
    }
    let points = points.iter().map(|(percent, rate, outcome)| {
        json!({"of_closed_form": f64::from(*percent) / 100.0, "rate_ppm": rate, "outcome": outcome})
    });
    out.json(&json!({
        "closed_form_ppm": expected,
        "kink_ppm": kink,
        "off": off,
        "solved_ppm": solved_rate,
        "traps_closed_form_ppm": wakes_at,
        "traps_ppm": waking,
        "traps_off": waking_off,
        "points": points.collect::<Vec<_>>(),
    }))?;
    Ok(Exit::Done)
}
