//! An arena for people: the timeline while it happens, and what came of it.

use gavel_sim::timeline::{Clock, Line, Tone, duration};
use gavel_sim::{DisputeReport, Report, Scenario};

use crate::output::{BAD, DIM, GOOD, HEAD, Output, WARN, count, paint};

/// Width of the column of names.
const NAMES: usize = 8;

/// Who takes part, and what was arranged.
pub(crate) fn cast(scenario: &Scenario, model: &str, out: Output) {
    let providers = scenario.providers.iter();
    let honest: Vec<String> = providers
        .clone()
        .filter(|p| p.fault.is_none())
        .map(|p| format!("{} {}", p.name, p.reserve))
        .collect();
    let liars = providers
        .filter_map(|p| Some((&p.name, p.fault?)))
        .chain(
            scenario
                .watchers
                .iter()
                .filter_map(|w| Some((&w.name, w.fault?))),
        )
        .map(|(name, fault)| format!("{name} {}", fault.sentence()));
    let watcher = scenario.watchers.iter().find(|w| w.fault.is_none());
    out.heading("Who takes part");
    out.facts(&[
        (
            "model",
            format!("{model}, served by {} providers", scenario.providers.len()),
        ),
        (
            "bidding",
            format!("{} tokens, and honest", honest.join(", ")),
        ),
        (
            "watching",
            watcher.map_or_else(
                || "nobody: only the random audit can catch a cheat".to_owned(),
                |w| format!("{} runs every task too, and may challenge", w.name),
            ),
        ),
    ]);
    for liar in liars {
        out.facts(&[("doing wrong", paint(BAD, liar))]);
    }
    for note in &scenario.notes {
        out.facts(&[("arranged", paint(DIM, note))]);
    }
    let rate = f64::from(scenario.audit_ppm) / 1e4;
    out.facts(&[
        (
            "audits",
            format!("{rate} % of the results, drawn by a beacon after they are committed"),
        ),
        (
            "clock",
            "virtual: hours pass in moments; contracts and models are the real ones".to_owned(),
        ),
    ]);
    out.heading("What happens");
}

/// A transaction, as it happens. Machinery is left out.
pub(crate) fn line(line: &Line, out: Output) {
    if line.tone == Tone::Quiet {
        return;
    }
    let at = paint(DIM, Clock(line.at));
    let who = paint(HEAD, format!("{:<NAMES$}", line.who));
    let what = match line.tone {
        Tone::Good => paint(GOOD, &line.what),
        Tone::Bad => paint(BAD, &line.what),
        Tone::Dispute => paint(WARN, &line.what),
        Tone::Plain | Tone::Quiet => line.what.clone(),
    };
    out.line(format!("{at:<7}  {who} {what}"));
    for detail in &line.details {
        out.line(format!("{:7}  {:NAMES$} {}", "", "", paint(DIM, detail)));
    }
}

/// Disputes, balances, and what the guarantees say.
pub(crate) fn end(report: &Report, out: Output) {
    if !report.disputes.is_empty() {
        out.heading("Disputes");
        for dispute in &report.disputes {
            out.line(told(dispute, report.model.max_steps > 1));
        }
    }
    out.heading("Who has what, in tokens");
    let rows = report.balances.iter().map(|b| {
        let note = match (b.tombstoned, wrongs(report, &b.party)) {
            (true, _) => "removed for ever".to_owned(),
            (false, Some(wrong)) => wrong,
            (false, None) => String::new(),
        };
        vec![
            b.party.clone(),
            b.role.clone(),
            b.before.total().to_string(),
            b.after.total().to_string(),
            b.change.to_string(),
            b.after.stake().to_string(),
            note,
        ]
    });
    out.table(
        &["party", "role", "before", "after", "change", "stake", ""],
        rows.collect(),
        &[2, 3, 4, 5],
    );
    out.line("");
    out.facts(&[
        ("burned", format!("{} tokens", report.burned)),
        (
            "time",
            format!(
                "{} of the world's, {} transactions",
                duration(report.virtual_seconds),
                count(report.transactions.into())
            ),
        ),
    ]);
    out.line(format!("\n{}", verdict(report)));
}

fn wrongs(report: &Report, name: &str) -> Option<String> {
    let party = report.parties.iter().find(|p| p.name == name)?;
    let fault = party.faults.first()?;
    Some(fault.name().to_owned())
}

fn told(dispute: &DisputeReport, has_steps: bool) -> String {
    let who = match dispute.by_audit {
        true => format!("auditor {}", dispute.challenger),
        false => dispute.challenger.clone(),
    };
    let verdict = match dispute.verdict.as_str() {
        "guilty" => paint(BAD, format!("{} is guilty", dispute.provider)),
        "cleared" => paint(GOOD, format!("{} is cleared", dispute.provider)),
        other => paint(WARN, other),
    };
    let place = match &dispute.isolated {
        Some(found) => {
            let below = match (dispute.appeal_rounds, &dispute.step) {
                (0, _) => String::new(),
                (rounds, Some(_)) => format!(", the step in {rounds} more"),
                (rounds, None) => format!(", {rounds} more on appeal"),
            };
            let step = match has_steps {
                true => format!(" of step {}", found.step),
                false => String::new(),
            };
            let name = &found.name;
            format!("found {name}{step} in {} rounds{below}", dispute.rounds)
        }
        None => format!("ended after {} rounds ({})", dispute.rounds, dispute.reason),
    };
    format!(
        "{} {who} against {} about task {}: {place}; {verdict} {}",
        dispute.id,
        dispute.provider,
        dispute.task,
        paint(
            DIM,
            format!(
                "({} transactions, {} gas)",
                dispute.moves.len(),
                count(dispute.gas)
            )
        )
    )
}

fn verdict(report: &Report) -> String {
    let broken = report.broken_guarantees();
    if !broken.is_empty() {
        return paint(
            BAD,
            format!("a guarantee did not hold: {}", broken.join("; ")),
        );
    }
    if report.facts.wrong_settled > 0 {
        return paint(WARN, unseen(report));
    }
    let wrong = report.facts.wrong_committed;
    let caught = match wrong {
        0 => "no wrong result was delivered".to_owned(),
        1 => "the one wrong result did not settle".to_owned(),
        n => format!("none of the {n} wrong results settled"),
    };
    paint(
        GOOD,
        format!("{caught}, no honest party lost a coin, and every coin is accounted for"),
    )
}

/// What settled where nobody watched: nothing was promised there.
fn unseen(report: &Report) -> String {
    let wrong = report.facts.wrong_settled;
    let (it, results) = match wrong {
        1 => ("it", "result"),
        _ => ("them", "results"),
    };
    let audit = match report.drew_wrong_settled() {
        false => format!("the beacon did not draw {it}"),
        true => format!("the audit did not stop {it}"),
    };
    format!("nobody watched, and {audit}: {wrong} wrong {results} settled")
}
