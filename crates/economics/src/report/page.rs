//! Tables, files and plots of a report.

use std::fmt::Write as _;

use gavel_settlement::amount::exact;

use super::plots::{edges_chart, kink_chart, shares_chart, strategies_chart};
use super::{Edge, File, Report, ReportError, tokens};
use crate::market::Response;

const PAGE: &str = "economics.md";
const IMAGES: &str = "images/economics";
const END: &str = "<!-- end -->";

/// All files of a report, its tables put into the page that is there.
///
/// # Errors
/// The page has no place for a table, or a plot cannot be drawn.
pub fn fill(page: &str, report: &Report) -> Result<Vec<File>, ReportError> {
    let tables: [(&'static str, String); 11] = [
        ("assumptions", assumptions(report)),
        ("curve", curve(report)),
        ("edges", edges(&report.figures.edges)),
        ("vigilance", vigilance(report)),
        ("traps", edges(&report.figures.waking)),
        ("exposure", exposure(report)),
        ("strategies", strategies(report)),
        ("ledger", payoffs(report)),
        ("equilibrium", equilibrium(report)),
        ("engines", engines(report)),
        ("market", market(report)),
    ];
    let mut text = page.to_owned();
    for (name, table) in &tables {
        text = put(&text, name, table)?;
    }
    let image = |name: &str, text: String| File {
        path: format!("{IMAGES}/{name}"),
        text,
    };
    Ok(vec![
        File {
            path: PAGE.to_owned(),
            text,
        },
        image("kink.svg", kink_chart(report)?),
        image("kink.csv", kink_csv(report)),
        image("edges.svg", edges_chart(report)?),
        image("edges.csv", edges_csv(report)),
        image("strategies.svg", strategies_chart(report)?),
        image("strategies.csv", strategies_csv(report)),
        image(
            "equilibrium.svg",
            shares_chart(
                "Shares of the kinds at the solved audit rate",
                &report.solved,
            )?,
        ),
        image(
            "equilibrium-weak.svg",
            shares_chart("Shares of the kinds at a twentieth of p*", &report.weak)?,
        ),
        image("equilibrium.csv", shares_csv(report)),
    ])
}

/// Between its marks, whatever was there before.
fn put(page: &str, name: &'static str, table: &str) -> Result<String, ReportError> {
    let mark = format!("<!-- table: {name} -->\n");
    let none = ReportError::NoPlace(name);
    let Some((before, rest)) = page.split_once(&mark) else {
        return Err(none);
    };
    let Some((_, after)) = rest.split_once(END) else {
        return Err(none);
    };
    Ok(format!("{before}{mark}{table}{END}{after}"))
}

fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "| {} |", header.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(header.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn ppm(rate: f64) -> String {
    format!("{:.4} %", rate / 1e4)
}

// ---- tables

fn assumptions(report: &Report) -> String {
    let (a, p) = (&report.assumed, &report.solution.params);
    let share = |bps: u16| format!("{} %", f64::from(bps) / 100.0);
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    table(
        &["what", "how much"],
        [
            row(
                "ceiling of the dearest task",
                format!("{} tokens", exact(a.price.0)),
            ),
            row(
                "R, what a cheat forgoes of it: the floor of the price",
                format!(
                    "{} tokens",
                    exact(a.price.0 * u128::from(a.price_floor_bps) / 10_000)
                ),
            ),
            row(
                "cost of an honest run",
                format!("{} tokens", exact(a.cost.0)),
            ),
            row(
                "D, worth of a wrong result, the cost saved included",
                format!("{} tokens", exact(a.gain.0)),
            ),
            row(
                "stake of a provider",
                format!("{} tokens", exact(a.stake.0)),
            ),
            row("tasks of that size open at once", a.exposure.to_string()),
            row("d, detection of an honest audit", share(a.detection_bps)),
            row(
                "r, colluding share of the audit capacity",
                share(a.colluding_bps),
            ),
            row("burned of a slash; b is the rest", share(a.burn_bps)),
            row(
                "taken of the stake that is not locked",
                share(a.safety_slash_bps),
            ),
            row("solved: audit rate", ppm(f64::from(p.audit.ratePpm))),
            row(
                "solved: levy on every task",
                format!("{} tokens", exact(p.market.auditLevy)),
            ),
            row(
                "solved: fee of an audit",
                format!("{} tokens", exact(p.audit.fee)),
            ),
        ],
    )
}

fn curve(report: &Report) -> String {
    let rows = report.figures.curve.iter().map(|point| {
        vec![
            ppm(f64::from(point.rate_ppm)),
            format!("{} %", point.percent),
            percent(point.cheating),
            percent(point.sleeping),
            format!("{} of {}", point.caught, point.wrong),
        ]
    });
    table(
        &[
            "audit rate",
            "of p*",
            "cheat in the end",
            "look away in the end",
            "caught",
        ],
        rows,
    )
}

fn vigilance(report: &Report) -> String {
    let all = report.figures.vigilance.iter();
    let rows = all.map(|(of, share, asleep, cheat)| {
        vec![
            ppm(f64::from(*share)),
            format!("{of} %"),
            percent(*asleep),
            percent(*cheat),
        ]
    });
    table(
        &[
            "traps among results",
            "of f*",
            "look away in the end",
            "cheat in the end",
        ],
        rows,
    )
}

fn edges(edges: &[Edge]) -> String {
    let rows = edges.iter().map(|edge| {
        vec![
            format!("{} = {}", edge.what, edge.value),
            ppm(edge.expected_ppm),
            ppm(f64::from(edge.found_ppm)),
            format!("{:+.2} %", edge.off() * 100.0),
        ]
    });
    table(&["changed", "closed form", "simulated", "off"], rows)
}

fn exposure(report: &Report) -> String {
    let rows = report
        .figures
        .exposure
        .iter()
        .map(|(open, one, all)| vec![open.to_string(), ppm(*one as f64), ppm(*all as f64)]);
    table(
        &[
            "open at once",
            "for one lie (P-E1)",
            "for lies on all of them (P-E2)",
        ],
        rows,
    )
}

fn strategies(report: &Report) -> String {
    let kinds = report.played.kinds.iter().enumerate();
    let rows = kinds.map(|(i, kind)| {
        let p = &kind.payoff;
        vec![
            kind.name.to_owned(),
            kind.about.to_owned(),
            p.tasks.to_string(),
            format!("{} of {}", p.caught, p.wrong),
            format!("{:+.3}", tokens(p.per_task())),
            match i {
                0 => String::new(),
                _ => format!("{:+.3}", tokens(report.played.advantage(i))),
            },
        ]
    });
    table(
        &[
            "kind",
            "what it does",
            "tasks",
            "banned for wrong results",
            "earns on a task",
            "beyond the honest",
        ],
        rows,
    )
}

fn payoffs(report: &Report) -> String {
    let rows = report.played.kinds.iter().map(|kind| {
        let p = &kind.payoff;
        let each = |sum: i128| {
            let value = tokens(sum as f64 / p.tasks.max(1) as f64);
            match format!("{value:+.3}").as_str() {
                "+0.000" | "-0.000" => "0".to_owned(),
                text => text.to_owned(),
            }
        };
        vec![
            kind.name.to_owned(),
            each(p.prices + p.hired),
            each(p.gains),
            each(p.fees),
            each(p.rewards),
            each(p.bonds),
            each(p.costs + p.checks),
            each(p.slashes),
            each(p.penalties),
            each(p.levies),
            each(p.trouble),
        ]
    });
    table(
        &[
            "kind",
            "prices",
            "lies",
            "audit and referee fees",
            "shares of slashes and jackpots",
            "bonds",
            "costs",
            "slashes",
            "penalties",
            "registrations",
            "idle time, bought blocks",
        ],
        rows,
    )
}

fn market(report: &Report) -> String {
    let (m, o) = (&report.market, &report.played);
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    let mut rows = vec![
        row("providers", m.providers.to_string()),
        row("tasks posted", o.posted.to_string()),
        row("settled", o.settled.to_string()),
        row(
            "times that a task went back to the auction",
            o.requeued.to_string(),
        ),
        row("given up: no bid, or none in time", o.unserved.to_string()),
        row("disputes", o.disputes.to_string()),
        row(
            "traps: set, found, let pass by an auditor",
            format!("{}, {}, {}", o.traps.set, o.traps.found, o.traps.passed),
        ),
        row("burned", format!("{:.0} tokens", tokens(o.burned as f64))),
    ];
    for (i, (many, price)) in o.prices.iter().enumerate() {
        let size = m.demand.get(i).map_or(0, |d| d.size_bps);
        let what = format!(
            "average price of tasks of {} % of the largest size",
            f64::from(size) / 100.0
        );
        rows.push(row(
            &what,
            format!("{:.3} tokens ({many} tasks)", tokens(*price)),
        ));
    }
    table(&["what", "how many"], rows)
}

fn equilibrium(report: &Report) -> String {
    let last = |response: &Response, i: usize| {
        let step = response.last();
        let share = step
            .and_then(|s| s.shares.get(i).copied())
            .unwrap_or_default();
        let gain = step
            .and_then(|s| s.advantages.get(i).copied())
            .unwrap_or_default();
        (percent(share), format!("{:+.3}", tokens(gain)))
    };
    let rows = report.solved.names.iter().enumerate().map(|(i, name)| {
        let (solved, weak) = (last(&report.solved, i), last(&report.weak, i));
        vec![(*name).to_owned(), solved.0, solved.1, weak.0, weak.1]
    });
    table(
        &[
            "kind",
            "share at the solved rate",
            "beyond the honest",
            "share at a twentieth of p*",
            "beyond the honest",
        ],
        rows,
    )
}

fn engines(report: &Report) -> String {
    let on_chain = &report.contracts.outcome;
    let kinds = on_chain.kinds.iter().enumerate();
    let rows = kinds.map(|(i, kind)| {
        let (mean, spread) = report.small.get(i).copied().unwrap_or_default();
        let found = tokens(on_chain.advantage(i));
        vec![
            kind.name.to_owned(),
            kind.payoff.tasks.to_string(),
            format!("{found:+.3}"),
            format!("{mean:+.3}"),
            format!("{spread:.3}"),
            match i {
                0 => String::new(),
                _ => format!("{:+.1}", (found - mean) / spread.max(1e-9)),
            },
        ]
    });
    let mut out = table(
        &[
            "kind",
            "tasks",
            "contracts",
            "abstract, on average",
            "spread of one market",
            "difference in spreads",
        ],
        rows,
    );
    let _ = writeln!(
        out,
        "\n{} tasks, {} calls that took effect, {} rounds; every balance of every account and pot was compared with the ledger's after every round: difference 0 units.",
        on_chain.posted, report.contracts.calls, report.contracts.rounds
    );
    out
}

// ---- files of comma-separated values

fn kink_csv(report: &Report) -> String {
    let mut out = String::from("rate_ppm,of_closed_form,cheating_share,wrong,caught\n");
    for p in &report.figures.curve {
        let part = f64::from(p.percent) / 100.0;
        let _ = writeln!(
            out,
            "{},{part},{:.6},{},{}",
            p.rate_ppm, p.cheating, p.wrong, p.caught
        );
    }
    out
}

fn edges_csv(report: &Report) -> String {
    let mut out = String::from("changed,value,closed_form_ppm,simulated_ppm,off\n");
    for e in report.figures.edges.iter().chain(&report.figures.waking) {
        let off = e.off();
        let _ = writeln!(
            out,
            "{},{},{:.2},{},{off:.5}",
            e.what, e.value, e.expected_ppm, e.found_ppm
        );
    }
    out
}

fn strategies_csv(report: &Report) -> String {
    let mut out = String::from(
        "kind,share,tasks,wrong,caught,audits,false_challenges,names,prices,gains,fees,rewards,bonds,costs,slashes,penalties,registrations,trouble,per_task,beyond_honest\n",
    );
    for (i, kind) in report.played.kinds.iter().enumerate() {
        let p = &kind.payoff;
        let _ = write!(
            out,
            "{},{:.4},{},{},{},{},{},{}",
            kind.name, kind.share, p.tasks, p.wrong, p.caught, p.audits, p.challenges, p.names
        );
        for sum in [
            p.prices + p.hired,
            p.gains,
            p.fees,
            p.rewards,
            p.bonds,
            p.costs + p.checks,
            p.slashes,
            p.penalties,
            p.levies,
            p.trouble,
        ] {
            let _ = write!(out, ",{:.6}", tokens(sum as f64 / p.tasks.max(1) as f64));
        }
        let beyond = tokens(report.played.advantage(i));
        let _ = writeln!(out, ",{:.6},{beyond:.6}", tokens(p.per_task()));
    }
    out
}

fn shares_csv(report: &Report) -> String {
    let mut out = String::from("rate,generation,kind,share,beyond_honest\n");
    for (rate, response) in [("solved", &report.solved), ("weak", &report.weak)] {
        for (generation, step) in response.steps.iter().enumerate() {
            let both = step.shares.iter().zip(&step.advantages);
            for (name, (share, gain)) in response.names.iter().zip(both) {
                let gain = tokens(*gain);
                let _ = writeln!(out, "{rate},{generation},{name},{share:.5},{gain:.5}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_that_was_there() {
        let page = "a\n<!-- table: curve -->\nold\n<!-- end -->\nb\n<!-- end -->\n";
        let filled = put(page, "curve", "| new |\n").unwrap();
        assert_eq!(
            filled,
            "a\n<!-- table: curve -->\n| new |\n<!-- end -->\nb\n<!-- end -->\n"
        );
        assert_eq!(put(&filled, "curve", "| new |\n").unwrap(), filled);
        assert!(matches!(
            put(page, "edges", ""),
            Err(ReportError::NoPlace("edges"))
        ));
        assert!(matches!(
            put("<!-- table: curve -->\n", "curve", ""),
            Err(ReportError::NoPlace(_))
        ));
    }
}
