//! `gavel sim`

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Instant;

use gavel_sim::{CampaignReport, Workload, campaign};

use crate::args_arena::SimCommand;
use crate::failure::{Context as _, Exit, Failure};
use crate::output::{BAD, GOOD, Output, count, paint, time};

/// The model of random worlds: the smallest that has everything.
const MODEL: &str = "digits-small";

pub(crate) fn run(command: &SimCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        SimCommand::Court { seeds, threads } => court(*seeds, (*threads).into(), out),
        SimCommand::Attacks { names, page } => super::sim_attacks::run(names, page.as_deref(), out),
    }
}

fn court((first, last): (u64, u64), threads: usize, out: Output) -> Result<Exit, Failure> {
    let workload = Arc::new(Workload::shipped(MODEL).at(MODEL)?);
    let total = (last - first).saturating_add(1);
    out.progress(format!(
        "{} worlds of random parties, faults, crashes and prices on {threads} threads",
        count(total)
    ));
    let live = std::io::stderr().is_terminal();
    let start = Instant::now();
    let progress = |done: u64, failing: usize| {
        if live {
            eprint!(
                "\r{} of {} worlds, {failing} failing ",
                count(done),
                count(total)
            );
        }
    };
    let report = campaign(first..=last, threads, &workload, &progress);
    if live {
        eprintln!();
    }
    show(&report, out);
    out.facts(&[("ran for", time(start.elapsed()))]);
    out.next(match report.failing.first() {
        Some(failing) => format!("gavel sim court --seeds {0}..{0} --json", failing.seed),
        None => format!(
            "gavel sim court --seeds {}..{}",
            last.saturating_add(1),
            last.saturating_add(total)
        ),
    });
    out.json(&report)?;
    match report.holds() {
        true => Ok(Exit::Done),
        false => Ok(Exit::Failed),
    }
}

fn show(report: &CampaignReport, out: Output) {
    let zero = |n: u64| paint(if n == 0 { GOOD } else { BAD }, count(n));
    let sums = |of: &std::collections::BTreeMap<String, u64>| {
        let parts = of.iter().map(|(name, n)| format!("{name} {}", count(*n)));
        parts.collect::<Vec<_>>().join(", ")
    };
    let conserved = match report.conserved {
        true => paint(GOOD, "to the unit, in every world"),
        false => paint(BAD, "no"),
    };
    out.facts(&[
        ("worlds", count(report.runs)),
        ("honest slashed", zero(report.honest_slashed)),
        (
            "wrong settled",
            format!(
                "{} of {} that were committed",
                zero(report.wrong_settled),
                count(report.wrong_committed)
            ),
        ),
        ("honest poorer", zero(report.honest_poorer)),
        ("unfinished", zero(report.unfinished + report.broken)),
        ("conserved", conserved),
        ("faults", sums(&report.faults)),
        ("tasks", sums(&report.tasks)),
        ("disputes", sums(&report.disputes)),
        ("audits", sums(&report.audits)),
        ("restarts", count(report.restarts)),
        ("reorgs", count(report.reorgs)),
    ]);
    for failing in &report.failing {
        out.line(format!(
            "{} {}",
            paint(BAD, format!("seed {}:", failing.seed)),
            failing.why.join("; ")
        ));
    }
}
