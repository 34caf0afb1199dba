//! `gavel bench chain`: lives of tasks a second on the embedded chain.

use std::time::Duration;

use gavel_engine::resident;
use gavel_settlement::chain::Options;
use gavel_sim::load::{LoadOptions, LoadReport, Rate, ReadersReport, Submission, load};
use serde_json::json;
use tempfile::TempDir;

use super::machine;
use crate::args_arena::BenchChainArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::{Output, count};

pub(crate) fn run(args: &BenchChainArgs, out: Output) -> Result<Exit, Failure> {
    if args.explorer_clients > 0 {
        // both ends of a connection are here
        machine::allow_open_files(2 * u64::from(args.explorer_clients) + SPARE)?;
    }
    // beside, and not where a system keeps what is temporary: that may be memory, and what is measured is a disk
    let passing;
    let data_dir = match &args.data_dir {
        Some(folder) => folder.as_path(),
        None => {
            let folder = TempDir::with_prefix_in("gavel-bench-chain-", ".");
            passing = folder.at("a folder for the chains, in the current one")?;
            passing.path()
        }
    };
    let mut reports = Vec::new();
    for submission in [Submission::Direct, Submission::Rpc] {
        let folder = data_dir.join(match submission {
            Submission::Direct => "direct",
            Submission::Rpc => "rpc",
        });
        let options = LoadOptions {
            folder: folder.clone(),
            duration: Duration::from_secs(args.seconds.into()),
            open: args.open,
            pairs: args.pairs,
            submission,
            explorer_clients: args.explorer_clients,
            chain: Options {
                recent_blocks: args.recent_blocks,
                snapshot_records: args.snapshot_records,
                state_memory: args.state_memory << 20,
                replay_all: false,
            },
        };
        let told = async { load(&options, |what| out.progress(what)).await };
        let report = block_on(async { told.await.at(folder.display()) })?;
        show(&report, out);
        reports.push(report);
    }
    let memory = resident::peak_bytes();
    if let Some(bytes) = memory {
        out.facts(&[("memory at most", format!("{} MiB", bytes >> 20))]);
    }
    out.json(&json!({"runs": reports, "peak_rss_bytes": memory}))?;
    let readers = reports.iter().filter_map(|report| report.readers.as_ref());
    if let Some(readers) = readers.into_iter().find(|readers| !readers.is_whole()) {
        let what = readers.wrong.first().map_or("its state", String::as_str);
        return Err(
            Failure::new(format!("a client of the explorer was misled: {what}")).expected(
                "every event after the one before it, and at the end what the interface says",
            ),
        );
    }
    match reports.iter().all(|report| report.nothing_lost) {
        true => Ok(Exit::Done),
        false => Err(Failure::new(
            "the chain that was opened again is not the one that was closed",
        )
        .expected("every task settled, and every answered transaction in its block")),
    }
}

/// Files beside the connections of clients: the load's own connections, the journal, the program.
const SPARE: u64 = 512;

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
                "in {:.2} s, {} records replayed{}: {}, {} transactions that were answered",
                report.reopened_seconds,
                count(report.reopened_records),
                match report.snapshots.written {
                    0 => "",
                    _ => " after a snapshot",
                },
                match report.nothing_lost {
                    true => "the same chain, with all",
                    false => "not the same chain, or without some, of",
                },
                count(report.answered)
            ),
        ),
    ]);
    out.facts(&kept(report));
    if let Some(readers) = &report.readers {
        out.facts(&watched(report, readers));
    }
    out.line("");
}

/// What the chain leaves in memory and on disk.
fn kept(report: &LoadReport) -> Vec<(&'static str, String)> {
    let (growth, snapshots) = (&report.growth, &report.snapshots);
    let lives = growth.lives.max(1) as f64;
    let (before, after) = (&growth.before, &growth.after);
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / lives / 1024.0;
    let rss = report
        .alone
        .bytes_per_life
        .map_or_else(String::new, |bytes| {
            format!("; the process {:.1} KiB", bytes as f64 / 1024.0)
        });
    vec![
        (
            "from the journal alone",
            format!(
                "in {:.2} s, {:.1} times as long: {} records replayed, {} MB",
                report.replayed_seconds,
                report.replayed_seconds / report.reopened_seconds.max(f64::MIN_POSITIVE),
                count(report.replayed_records),
                report.journal_bytes / 1_000_000
            ),
        ),
        (
            "snapshots",
            format!(
                "{} written, the last of {:.1} MB; the chain stood still for {:.2} ms at most, and went on for the {:.2} s that one took",
                snapshots.written,
                snapshots.bytes as f64 / 1e6,
                snapshots.pause_ms,
                snapshots.writing_seconds
            ),
        ),
        (
            "a life adds",
            format!(
                "{:.2} KiB of state ({:.1} slots), {:.2} KiB of blocks and receipts, {:.2} KiB to take them back{rss}",
                each(before.state_bytes, after.state_bytes),
                after.slots.saturating_sub(before.slots) as f64 / lives,
                each(before.block_bytes, after.block_bytes),
                each(before.undo_bytes, after.undo_bytes),
            ),
        ),
        (
            "in memory",
            format!(
                "{} blocks of {}, {:.1} MB with receipts and what takes them back; older blocks: {:.1} MB on disk",
                count(after.blocks),
                count(after.blocks + after.archived),
                (after.block_bytes + after.undo_bytes) as f64 / 1e6,
                report.archive_bytes as f64 / 1e6
            ),
        ),
        (
            "state",
            format!(
                "{:.1} MB in memory, and {:.1} MB of what is on disk: {} values, {:.1} MB, of which {} pages were read",
                after.state_bytes as f64 / 1e6,
                after.cold_cached_bytes as f64 / 1e6,
                count(after.cold_values),
                after.cold_bytes as f64 / 1e6,
                count(after.cold_pages_read),
            ),
        ),
    ]
}

/// What clients of the explorer saw, and what they cost.
fn watched(report: &LoadReport, readers: &ReadersReport) -> Vec<(&'static str, String)> {
    let rate = |rate: Option<Rate>| {
        rate.map_or_else(String::new, |rate| {
            let grown = rate.bytes_per_life;
            let grown = grown.map_or_else(String::new, |bytes| {
                format!(", {:.1} KiB of memory each", bytes as f64 / 1024.0)
            });
            format!(
                "{:.0} lives a second: {} in {:.1} s{grown}",
                rate.lives_per_second,
                count(rate.lives),
                rate.seconds
            )
        })
    };
    let latency = readers.latency.as_ref();
    let latency = latency.map_or_else(String::new, |l| {
        format!(
            "p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, most {:.0} ms ({} times)",
            l.p50,
            l.p95,
            l.p99,
            l.max,
            count(l.count as u64)
        )
    });
    vec![
        ("nobody looking on", rate(Some(report.alone))),
        (
            "explorer's clients",
            format!(
                "{} connected in {:.1} s",
                count(readers.clients.into()),
                readers.connected_seconds
            ),
        ),
        ("with them", rate(report.watched)),
        (
            "events",
            format!(
                "{} made, {} read; {} resets, {} clients came back",
                count(readers.made),
                count(readers.events),
                count(readers.resets),
                count(readers.came_back)
            ),
        ),
        ("block to event", latency),
        (
            "at the end",
            match readers.is_whole() {
                true => "every client has what the interface says".to_owned(),
                false => format!("not what the interface says: {:?}", readers.wrong),
            },
        ),
    ]
}
