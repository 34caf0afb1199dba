//! `gavel bench chain`: lives of tasks a second on the embedded chain.

use std::time::Duration;

use gavel_sim::load::{LoadOptions, LoadReport, Submission, load};
use serde_json::json;

use super::machine::peak_rss_bytes;
use crate::args_arena::BenchChainArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::{Output, count};

pub(crate) fn run(args: &BenchChainArgs, out: Output) -> Result<Exit, Failure> {
    let mut reports = Vec::new();
    for submission in [Submission::Direct, Submission::Rpc] {
        let folder = args.data_dir.join(match submission {
            Submission::Direct => "direct",
            Submission::Rpc => "rpc",
        });
        let options = LoadOptions {
            folder: folder.clone(),
            duration: Duration::from_secs(args.seconds.into()),
            open: args.open,
            pairs: args.pairs,
            submission,
        };
        let told = async { load(&options, |what| out.progress(what)).await };
        let report = block_on(async { told.await.at(folder.display()) })?;
        show(&report, out);
        reports.push(report);
    }
    let memory = peak_rss_bytes();
    if let Some(bytes) = memory {
        out.facts(&[("memory at most", format!("{} MiB", bytes >> 20))]);
    }
    out.json(&json!({"runs": reports, "peak_rss_bytes": memory}))?;
    match reports.iter().all(|report| report.nothing_lost) {
        true => Ok(Exit::Done),
        false => Err(Failure::new(
            "the chain that was opened again is not the one that was closed",
        )
        .expected("every task settled, and every answered transaction in its block")),
    }
}

fn show(report: &LoadReport, out: Output) {
    out.heading(match report.submission {
        Submission::Direct => "Submitted in the process",
        Submission::Rpc => "Submitted by JSON-RPC over HTTP",
    });
    let rows = report.latencies.iter().map(|l| {
        let ms = |time: f64| format!("{time:.2}");
        vec![
            l.action.to_owned(),
            count(l.count as u64),
            ms(l.p50),
            ms(l.p90),
            ms(l.p99),
            ms(l.max),
        ]
    });
    let header = ["action", "times", "p50 ms", "p90 ms", "p99 ms", "most ms"];
    out.table(&header, rows.collect(), &[1, 2, 3, 4, 5]);
    out.line("");
    out.facts(&[
        (
            "whole lives",
            format!(
                "{:.0} a second: {} in {:.1} s, {} open beside them",
                report.lives_per_second,
                count(report.lives),
                report.seconds,
                count(report.open.into())
            ),
        ),
        (
            "transactions",
            format!(
                "{:.0} a second, each on disk before its answer",
                report.transactions_per_second
            ),
        ),
        (
            "opened again",
            format!(
                "in {:.1} s from {} MB: {}, {} transactions that were answered",
                report.reopened_seconds,
                report.journal_bytes / 1_000_000,
                match report.nothing_lost {
                    true => "the same chain, with all",
                    false => "not the same chain, or without some, of",
                },
                count(report.answered)
            ),
        ),
    ]);
    out.line("");
}
