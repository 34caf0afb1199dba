//! Appeals about every operator, played on chain to the executed step, within their bounds and as the snapshot has them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use gavel_sim::{OperatorGas, OperatorRow, operator_gas, operator_rows};

/// EIP-7825: most gas of one transaction.
const TRANSACTION_CAP: u64 = 1 << 24;
/// Bounds of one step and of a whole appeal.
const STEP_MAX: u64 = 2_000_000;
const APPEAL_MAX: u64 = 3_000_000;

/// `GAVEL_BLESS=1` writes the snapshot anew.
#[test]
fn every_operator_is_judged_by_a_step_and_costs_what_the_snapshot_says() {
    let rows = operator_rows();
    let (first, second) = rows.split_at(rows.len() / 2);
    let play = |rows: &[OperatorRow]| -> Vec<OperatorGas> {
        rows.iter().map(|row| operator_gas(row).unwrap()).collect()
    };
    let found = std::thread::scope(|scope| {
        let first = scope.spawn(|| play(first));
        let second = play(second);
        [first.join().unwrap(), second].concat()
    });
    let ids: BTreeSet<u16> = rows.iter().map(|row| row.op.id()).collect();
    assert_eq!(ids, (1..gavel_numerics::program::TABLE_LEN).collect());
    for gas in &found {
        assert!(gas.step <= STEP_MAX && gas.dearest <= STEP_MAX, "{gas:?}");
        assert!(gas.appeal <= APPEAL_MAX && gas.rounds <= 8, "{gas:?}");
        assert!(TRANSACTION_CAP / gas.step.max(gas.dearest) >= 8);
    }
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/snapshots/operators.json");
    let lines: Vec<String> = found
        .iter()
        .map(|gas| format!("  {}", serde_json::to_string(gas).unwrap()))
        .collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    if std::env::var_os("GAVEL_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        kept == text,
        "the gas of appeals has changed: GAVEL_BLESS=1 cargo test -p gavel-sim --test operators, and look at the difference"
    );
}
