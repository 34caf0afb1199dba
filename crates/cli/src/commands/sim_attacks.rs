//! `gavel sim attacks`

use std::path::Path;
use std::time::Instant;

use gavel_sim::attacks::{Arena, Attack, AttackReport, Branch, page};
use serde_json::json;

use crate::failure::{Context as _, Exit, Failure};
use crate::output::{BAD, DIM, GOOD, Output, paint, time};

pub(super) fn run(names: &[Attack], file: Option<&Path>, out: Output) -> Result<Exit, Failure> {
    let wanted = match names {
        [] => Attack::ALL,
        some => some,
    };
    let start = Instant::now();
    let arena = Arena::new().at("gavel sim attacks")?;
    let mut reports = Vec::new();
    for (done, attack) in wanted.iter().enumerate() {
        out.progress(format!("{} of {}: {attack}", done + 1, wanted.len()));
        reports.push(attack.run(&arena).at(attack)?);
    }
    if !names.is_empty() {
        reports.iter().for_each(|report| told(report, out));
    }
    table(&reports, out);
    out.facts(&[("ran for", time(start.elapsed()))]);
    if let Some(file) = file {
        std::fs::write(file, page(&arena, &reports)).at(file.display())?;
    }
    let broken = reports.iter().filter(|report| !report.holds);
    let broken: Vec<&AttackReport> = broken.collect();
    for report in &broken {
        let why = match report.solved.pays() {
            true => "it pays",
            false => "it pays in no case: what should stop it is not what does",
        };
        out.line(format!("{} {}: {why}", paint(BAD, "✗"), report.attack));
    }
    match reports.first().filter(|_| names.is_empty()) {
        Some(first) => out.next(format!("gavel sim attacks {}", first.attack)),
        None => out.next("gavel sim attacks"),
    }
    out.json(&json!({
        "attacks": reports,
        "holds": broken.is_empty(),
    }))?;
    Ok(match broken.is_empty() {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

fn table(reports: &[AttackReport], out: Output) {
    out.heading("What attacks bring, in tokens");
    let rows = reports.iter().map(|report| {
        let then = &report.weakened.outcome;
        vec![
            report.attack.to_string(),
            report.solved.attacker.to_string(),
            report.solved.victims.to_string(),
            report.weakened.what.clone(),
            then.attacker.to_string(),
            match report.holds {
                true => paint(GOOD, "unprofitable"),
                false => paint(BAD, "broken"),
            },
        ]
    });
    let header = [
        "attack",
        "ring",
        "others",
        "weakened",
        "ring then",
        "verdict",
    ];
    out.table(&header, rows.collect(), &[1, 2, 4]);
}

/// One attack with its ledgers.
fn told(report: &AttackReport, out: Output) {
    out.heading(report.attack.name());
    out.facts(&[
        ("against", report.row.to_owned()),
        ("played", report.played.to_owned()),
        ("stopped by", report.stopped_by.to_owned()),
    ]);
    for evidence in &report.evidence {
        out.facts(&[("seen", evidence.clone())]);
    }
    let weakened = &report.weakened;
    for branch in &report.solved.branches {
        ledger(&format!("solved, {}", branch.case), branch, out);
    }
    out.facts(&[("weakened", weakened.what.clone())]);
    if let Some(refused) = &weakened.refused {
        out.facts(&[("constructor", format!("refuses it: {refused}"))]);
    }
    for branch in &weakened.outcome.branches {
        ledger(&format!("weakened, {}", branch.case), branch, out);
    }
}

fn ledger(title: &str, branch: &Branch, out: Output) {
    out.line(format!(
        "\n{} {}",
        title,
        paint(
            DIM,
            format!("with a chance of {:.4} %", branch.chance * 100.0)
        )
    ));
    let rows = branch.entries.iter().map(|entry| {
        let side = serde_json::to_value(entry.side).unwrap_or_default();
        vec![
            side.as_str().unwrap_or_default().to_owned(),
            entry.who.clone(),
            entry.what.clone(),
            entry.change.to_string(),
        ]
    });
    out.table(&["side", "who", "what", "tokens"], rows.collect(), &[3]);
}
