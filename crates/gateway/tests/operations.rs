//! What operators are given fits together: the list of metrics, the dashboard, the alerts and their runbooks.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use gavel_gateway::ops::{self, Kind, Metrics, Ops};
use gavel_node::{Act, Address, B256, Board};
use tower::ServiceExt as _;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Names of ours in an expression.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("gavel_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_list_of_metrics_is_that_of_the_program() {
    let metrics = Metrics::new("test");
    let row = |m: &ops::Described| {
        format!(
            "| `{}` | {} | {} |",
            m.name,
            format!("{:?}", m.kind).to_lowercase(),
            m.help
        )
    };
    let rows: Vec<String> = metrics.list().iter().map(row).collect();
    let reference = read("docs/reference/metrics.md");
    let written: Vec<&str> = reference
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert_eq!(written, rows, "docs/reference/metrics.md");
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are_and_every_alert_has_its_runbook() {
    let metrics = Metrics::new("test");
    let mut known = BTreeSet::new();
    for metric in metrics.list() {
        known.insert(metric.name.clone());
        if metric.kind == Kind::Histogram {
            known.insert(format!("{}_bucket", metric.name));
        }
    }
    let alerts = read("ops/prometheus/alerts.yml");
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("ops/grafana/gavel.json")).unwrap();
    let mut used = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let found = names(target["expr"].as_str().unwrap());
            assert!(!found.is_empty(), "{target}");
            used.extend(found);
        }
    }
    let expressions = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    used.extend(expressions.flat_map(names));
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let of = |key: &str| -> Vec<String> {
        let lines = alerts
            .lines()
            .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key));
        lines.map(|rest| rest.trim().to_owned()).collect()
    };
    let (alerts, runbooks) = (of("alert:"), of("runbook:"));
    assert_eq!((alerts.len(), runbooks.len()), (13, 13));
    for (alert, runbook) in alerts.iter().zip(&runbooks) {
        assert!(
            read(runbook).starts_with(&format!("# {alert}\n")),
            "{runbook}"
        );
    }
}

#[tokio::test]
async fn the_listener_shows_what_happened_and_is_ready_once_the_chain_was_read() {
    let watched = Arc::new(Ops::new("test", Address::ZERO));
    let ask = |path: &'static str| {
        let router = ops::router(Arc::clone(&watched));
        async move {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = router.oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    };
    assert_eq!(ask("/livez").await.0, 200);
    assert_eq!(ask("/readyz").await.0, 503);
    let mut board = Board::default();
    board.head.number = 42;
    watched.see(&board);
    for what in ["claims task 3 at 2.5", "does something new"] {
        let act = Act {
            what: what.to_owned(),
            transaction: B256::ZERO,
            gas: 21,
        };
        watched.acted(&act);
    }
    watched.metrics.failed("chain");
    watched.metrics.may_tell(["GVL-WATCH-001", "GVL-WATCH-002"]);
    watched.metrics.told("GVL-WATCH-002");
    watched
        .metrics
        .see_forecasts(&[("results", "agree", 3), ("disputes", "disagree", 1)], 2);
    for delivered in [7, 9] {
        watched.metrics.see_explorer(&ops::ExplorerSight {
            listeners: 5,
            delivered,
            kept: vec![("tasks", 11)],
            ..ops::ExplorerSight::default()
        });
    }
    let (status, verbose) = ask("/readyz?verbose").await;
    assert!(status == 200 && verbose.starts_with("[+]"), "{verbose}");
    let text = ask("/metrics").await.1;
    for line in [
        "gavel_chain_head_block 42",
        "gavel_acts_total{kind=\"claims\"} 1",
        "gavel_acts_total{kind=\"other\"} 1",
        "gavel_gas_used_total 42",
        "gavel_errors_total{kind=\"chain\"} 1",
        "gavel_tasks{state=\"open\"} 0",
        // a rise from nothing is seen only where there was nothing before
        "gavel_watch_alerts_total{code=\"GVL-WATCH-001\"} 0",
        "gavel_watch_alerts_total{code=\"GVL-WATCH-002\"} 1",
        "gavel_watch_forecasts{of=\"results\",forecast=\"agree\"} 3",
        "gavel_watch_forecasts{of=\"disputes\",forecast=\"disagree\"} 1",
        "gavel_watch_unjudged 2",
        "gavel_explorer_clients 5",
        "gavel_explorer_events_total 9",
        "gavel_explorer_kept{of=\"tasks\"} 11",
        "gavel_dispute_clock_remaining_ratio 1.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_no_longer_reads_the_chain_is_not_ready_and_its_head_grows_old() {
    let watched = Arc::new(Ops::new("test", Address::ZERO));
    let ask = |path: &'static str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        ops::router(Arc::clone(&watched)).oneshot(request)
    };
    let mut board = Board::default();
    board.head.time = 1;
    watched.see(&board);
    assert_eq!(ask("/readyz").await.unwrap().status().as_u16(), 200);
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    assert_eq!(ask("/readyz").await.unwrap().status().as_u16(), 503);
    // the age is that of the moment at which it is asked for, not of the last look
    let age = |metrics: &Metrics| {
        let text = metrics.text();
        let line = text.lines().find_map(|line| {
            let rest = line.strip_prefix("gavel_chain_head_age_seconds ")?;
            rest.parse::<f64>().ok()
        });
        line.unwrap()
    };
    watched.metrics.pass(31);
    assert_eq!(age(&watched.metrics), 30.0);
    ask("/metrics").await.unwrap();
    assert!(age(&watched.metrics) > 30.0);
}
