//! `gavel economics`: numbers under which cheating does not pay, and why.

use std::path::Path;

use gavel_economics::{
    Assumptions, Rule, Solution, Unsolvable, Vigilance, beacon_bond_min, broken, rules, solve,
};
use gavel_settlement::DeployOptions;
use gavel_settlement::alloy::primitives::Address;
use gavel_settlement::params::{ParamsFile, refusal};
use serde_json::{Value, json};

use super::params;
use crate::amount::tokens;
use crate::args_economics::{AssumeArgs, EconomicsCommand, ExplainArgs, SolveArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::output::{BAD, DIM, GOOD, Output, paint};

pub(crate) fn run(command: &EconomicsCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        EconomicsCommand::Solve(args) => solve_for(args, out),
        EconomicsCommand::Simulate(args) => super::economics_sim::run(args, out),
        EconomicsCommand::Strategies(args) => super::economics_market::strategies(args, out),
        EconomicsCommand::Report(args) => super::economics_report::run(args, out),
        EconomicsCommand::Explain(args) => explain(args, out),
    }
}

fn solve_for(args: &SolveArgs, out: Output) -> Result<Exit, Failure> {
    let assumed = assumptions(&args.assume)?;
    let solution = solved(&assumed)?;
    let options = DeployOptions::default();
    let file = ParamsFile::new(
        &solution.params,
        options.beacon_period,
        options.timelock_delay,
    );
    if args.toml && !out.is_json() {
        out.line(file.to_toml().trim_end());
        return Ok(Exit::Done);
    }
    shown(&assumed, &solution, out);
    out.json(&json!({
        "assumptions": assumed,
        "decided": solution.decided,
        "rate_one_fault_ppm": solution.rate_one_fault as u64,
        "rate_exposure_ppm": solution.rate_exposure as u64,
        "beacon_bond": beacon_bond_min(&solution.params).to_string(),
        "parameters": file,
        "rules": listed(&solution.rules),
    }))?;
    Ok(Exit::Done)
}

pub(super) fn solved(assumed: &Assumptions) -> Result<Solution, Failure> {
    solve(assumed).map_err(|error| match &error {
        Unsolvable::Assumption { .. } => Failure::usage(error),
        _ => Failure::new(error),
    })
}

fn shown(assumed: &Assumptions, solution: &Solution, out: Output) {
    let p = &solution.params;
    let percent = |ppm: u128| format!("{:.4} %", ppm as f64 / 1e4);
    out.heading("What decides");
    let rows = solution.decided.iter();
    let rows = rows.map(|d| vec![d.what.to_owned(), d.rule.to_owned(), d.because.to_owned()]);
    out.table(&["number", "rule", "because"], rows.collect(), &[]);
    out.heading("Least audit rates");
    out.facts(&[
        ("one fault", percent(solution.rate_one_fault)),
        ("all at once", percent(solution.rate_exposure)),
    ]);
    out.heading("Parameters");
    let hours = |seconds: u32| format!("{:.1} h", f64::from(seconds) / 3_600.0);
    let bond = p.court.providerGasCost + p.court.refereeFee + p.court.freezeCap;
    out.facts(&[
        ("audit rate", percent(p.audit.ratePpm.into())),
        (
            "of newcomers",
            format!(
                "all of the first {}, then {} falling to it over {} tasks; prepaid with {}",
                p.audit.probationTasks,
                percent(p.audit.freshRatePpm.into()),
                p.audit.recordTasks,
                tokens(p.stake.registrationFee)
            ),
        ),
        ("levy", format!("{} a task", tokens(p.market.auditLevy))),
        ("min stake", tokens(p.stake.minStake)),
        (
            "collateral",
            format!(
                "{:.1} % of the ceiling: {} for the dearest task",
                f64::from(p.market.collateralBps) / 100.0,
                tokens(assumed.price.0 * u128::from(p.market.collateralBps) / 10_000),
            ),
        ),
        (
            "exposure cap",
            format!(
                "{:.2} % of the stake, {} tasks of {}",
                f64::from(p.market.maxLockedBps) / 100.0,
                assumed.exposure,
                tokens(assumed.price.0),
            ),
        ),
        ("bond", format!("{} at most", tokens(bond))),
        ("appeal bond", tokens(p.court.appealBond)),
        (
            "beacon bond",
            format!(
                "{} at least, where draws are made of secrets",
                tokens(beacon_bond_min(p))
            ),
        ),
        (
            "fees",
            format!(
                "auditor {}, referee {}",
                tokens(p.audit.fee),
                tokens(p.court.refereeFee)
            ),
        ),
        ("unbonding", hours(p.stake.unbondingSeconds)),
        (
            "correlation",
            format!(
                "{} times the share of all stake that is convicted within {} before or after",
                p.stake.correlationMultiplier,
                hours(p.stake.correlationWindowSeconds / 2)
            ),
        ),
        (
            "split",
            format!(
                "requester {}, challenger {}, referee {}, next attempt {}, burned {} bps",
                p.court.requesterBps,
                p.court.challengerBps,
                p.court.refereeBps,
                p.court.requeueBps,
                p.court.burnBps
            ),
        ),
    ]);
    out.heading("Closest rules");
    table(&closest(&solution.rules, 6), out);
    out.next(
        "gavel economics solve --toml > params.toml && gavel chain params --check params.toml",
    );
}

fn explain(args: &ExplainArgs, out: Output) -> Result<Exit, Failure> {
    let file = match &args.rules.params {
        Some(file) => params::read(file)?,
        None => params::chosen(&args.rules)?,
    };
    let mut params = file.params();
    // as they are judged: with appeal levels, whose rule is checked too
    params.court.appealLevels = Address::repeat_byte(1);
    let all = rules(&params);
    let broken = broken(&params);
    out.heading("Rules");
    table(&closest(&all, all.len()), out);
    match &broken {
        None => out.line(format!(
            "\n{} all {} rules are kept",
            paint(GOOD, "✓"),
            all.len()
        )),
        Some(rule) => {
            let told = refusal(rule.refusal());
            out.line(format!("\n{} {told}", paint(BAD, "✗")));
        }
    }
    let trap_share = Vigilance::of(&params).least_share();
    out.line(format!(
        "checking pays an auditor where {:.1} % of what it audits are traps, with the least deposit",
        trap_share * 100.0
    ));
    out.json(&json!({
        "trap_share": trap_share,
        "kept": broken.is_none(),
        "broken": broken.as_ref().map(one),
        "rules": listed(&all),
    }))?;
    Ok(match broken {
        None => Exit::Done,
        Some(_) => Exit::False,
    })
}

/// Rules that know more and less, the nearest to being broken first; of plain ranges, those that are broken.
fn closest(rules: &[Rule], most: usize) -> Vec<Rule> {
    let mut by_slack: Vec<(f64, Rule)> = rules
        .iter()
        .filter(|rule| rule.rule != "bounds" || !rule.holds())
        .filter_map(|rule| Some((rule.slack()?, rule.clone())))
        .collect();
    by_slack.sort_by(|a, b| a.0.total_cmp(&b.0));
    by_slack.into_iter().take(most).map(|(_, r)| r).collect()
}

fn table(rules: &[Rule], out: Output) {
    let rows = rules.iter().map(|rule| {
        let slack = rule.slack().unwrap_or_default();
        let text = format!("{:.2} %", slack * 100.0);
        vec![
            rule.rule.to_owned(),
            rule.to_string(),
            match rule.holds() {
                true => paint(DIM, text),
                false => paint(BAD, text),
            },
            refusal(rule.refusal()).why.to_owned(),
        ]
    });
    out.table(&["rule", "holds if", "spare", "why"], rows.collect(), &[2]);
}

fn one(rule: &Rule) -> Value {
    let told = refusal(rule.refusal());
    json!({
        "rule": rule.rule,
        "what": rule.what,
        "bound": rule.bound,
        "found": rule.found.to_string(),
        "wanted": rule.wanted.to_string(),
        "slack": rule.slack(),
        "holds": rule.holds(),
        "why": told.why,
        "remedy": told.remedy,
    })
}

fn listed(rules: &[Rule]) -> Vec<Value> {
    rules.iter().map(one).collect()
}

pub(super) fn assumptions(args: &AssumeArgs) -> Result<Assumptions, Failure> {
    let place = args.assume.as_deref().unwrap_or(Path::new("--set"));
    let text = match &args.assume {
        Some(file) => std::fs::read_to_string(file).at(file.display())?,
        None => String::new(),
    };
    let wrong = |place: String, e: toml::de::Error| {
        Failure::new(format!("{place}: {}", e.to_string().trim_end()))
            .expected("keys of `gavel economics solve --json`, under \"assumptions\"")
    };
    let mut table: toml::Table =
        toml::from_str(&text).map_err(|e| wrong(place.display().to_string(), e))?;
    for setting in &args.set {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Failure::usage(format!("--set {setting}")).expected("KEY=VALUE"));
        };
        let value = match value.parse::<i64>() {
            Ok(number) => toml::Value::Integer(number),
            Err(_) => toml::Value::String(value.to_owned()),
        };
        table.insert(key.to_owned(), value);
    }
    (table.try_into()).map_err(|e| wrong(place.display().to_string(), e))
}
