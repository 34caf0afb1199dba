//! `gavel economics`: what is solved is what the contracts take, and what is not says why.
#![allow(clippy::unwrap_used)]

mod common;

use common::gavel;
use serde_json::Value;

fn json(arguments: &[&str]) -> (bool, Value, String) {
    let done = gavel(arguments);
    let value = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    (
        done.status.success(),
        value,
        String::from_utf8_lossy(&done.stderr).into_owned(),
    )
}

#[test]
fn solved_parameters_are_a_file_that_the_contracts_take() {
    let dir = tempfile::tempdir().unwrap();
    let assumed = dir.path().join("assumed.toml");
    std::fs::write(&assumed, "stake = 500\nexposure = 2\nwindows = \"fast\"\n").unwrap();
    let assumed = assumed.to_str().unwrap();
    let solved = [
        "economics",
        "solve",
        "--assume",
        assumed,
        "--set",
        "gain=0.5",
    ];
    let text = gavel(&[&solved[..], &["--toml"]].concat());
    assert!(text.status.success());
    let file = dir.path().join("params.toml");
    std::fs::write(&file, &text.stdout).unwrap();
    let (taken, _, told) = json(&[
        "chain",
        "params",
        "--check",
        file.to_str().unwrap(),
        "--json",
    ]);
    assert!(taken, "{told}");

    let (_, shown, _) = json(&[&solved[..], &["--json"]].concat());
    assert_eq!(shown["assumptions"]["gain"], "0.5");
    assert_eq!(shown["assumptions"]["stake"], "500");
    let decided = shown["decided"].as_array().unwrap();
    let by = |what: &str| decided.iter().find(|d| d["what"] == what).unwrap()["rule"].clone();
    assert_eq!(by("ratePpm"), "P-E2");
    assert_eq!(by("correlationWindowSeconds"), "P-V6");
    let rate = shown["parameters"]["audit"]["rate_ppm"].as_u64();
    assert_eq!(rate, shown["rate_exposure_ppm"].as_u64());

    // a rate below it is refused, with the rule named
    let less = std::str::from_utf8(&text.stdout).unwrap().replace(
        &format!("rate_ppm = {}", rate.unwrap()),
        &format!("rate_ppm = {}", rate.unwrap() - 1),
    );
    std::fs::write(&file, less).unwrap();
    let explain = [
        "economics",
        "explain",
        "--params",
        file.to_str().unwrap(),
        "--json",
    ];
    let (kept, told, _) = json(&explain);
    assert!(!kept);
    assert_eq!(told["broken"]["rule"], "P-E2");
    assert!(told["rules"].as_array().unwrap().len() > 60);
}

#[test]
fn what_nothing_solves_names_its_constraint_and_a_remedy() {
    for (setting, expected) in [
        ("stake=60", "P-E2: wrong results on everything"),
        ("stake=20", "raise the stake to 44.4"),
        ("burn_bps=4000", "5000 to 10000"),
        ("stak=60", "unknown field `stak`"),
        ("stake", "KEY=VALUE"),
    ] {
        let (solved, _, told) = json(&["economics", "solve", "--set", setting]);
        assert!(!solved);
        assert!(told.contains(expected), "{setting}: {told}");
    }
}

#[test]
fn a_simulated_market_ends_where_the_closed_form_says() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("curve.csv");
    let csv_path = csv.to_str().unwrap();
    let (done, told, errors) = json(&[
        "economics",
        "simulate",
        "--tasks",
        "2000000",
        "--providers",
        "2000",
        "--json",
        "--csv",
        csv_path,
    ]);
    assert!(done, "{errors}");
    let points = told["points"].as_array().unwrap();
    let last = |point: &Value| {
        let shares = point["outcome"]["cheating"].as_array().unwrap();
        shares.last().unwrap().as_f64().unwrap()
    };
    assert_eq!(points.len(), 11);
    assert_eq!(last(&points[0]), 1.0);
    assert_eq!(last(&points[10]), 0.0);
    // few lies are caught in so small a market: chance moves the edge by two percent
    assert!(told["off"].as_f64().unwrap().abs() < 0.06, "{told}");
    assert!(told["traps_off"].as_f64().unwrap().abs() < 0.03, "{told}");
    let text = std::fs::read_to_string(csv).unwrap();
    assert_eq!(text.lines().count(), 12);
    assert!(text.starts_with("rate_ppm,of_closed_form,cheating_share,"));
}

#[test]
fn every_kind_of_agent_is_told_with_what_it_earns_on_either_engine() {
    let (done, told, errors) = json(&[
        "economics",
        "strategies",
        "--tasks",
        "40000",
        "--providers",
        "2000",
        "--generations",
        "2",
        "--json",
    ]);
    assert!(done, "{errors}");
    let kinds = told["market"]["kinds"].as_array().unwrap();
    assert_eq!(kinds[0]["name"], "honest");
    let earns = |kind: &Value| kind["per_task"].as_f64().unwrap();
    let swap = kinds.iter().find(|k| k["name"] == "model swap").unwrap();
    assert!(earns(swap) < earns(&kinds[0]), "{told}");
    let shares = told["response"]["steps"][1]["shares"].as_array().unwrap();
    assert_eq!(shares.len(), kinds.len());
    let (done, told, errors) = json(&[
        "economics",
        "simulate",
        "--engine",
        "contracts",
        "--tasks",
        "150",
        "--providers",
        "30",
        "--json",
    ]);
    assert!(done, "{errors}");
    assert!(told["calls"].as_u64().unwrap() > 1_000, "{told}");
    assert_eq!(told["kinds"].as_array().unwrap().len(), kinds.len());
    let (done, _, told) = json(&["economics", "simulate", "--engine", "contracts", "--alone"]);
    assert!(!done && told.contains("--engine abstract"), "{told}");
    let (done, _, told) = json(&["economics", "report", "--out", "nowhere"]);
    assert!(!done && told.contains("nowhere/economics.md"), "{told}");
}
