//! Files of a real network, and what they come down to. `explorer/wasm/verifier.test.mjs` runs the wasm on the same files.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use gavel_verifier::{Limits, Verdict, verify};
use proptest::prelude::*;
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../explorer/wasm/fixtures")
}

fn fixtures() -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder()).unwrap();
    let files = files.map(|entry| entry.unwrap().path()).map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(path).unwrap())
    });
    files.filter(|(name, _)| name != "verdicts.json").collect()
}

/// Set `GAVEL_BLESS` to write what is found, after a change that is meant.
#[test]
fn every_line_of_every_report_is_pinned() {
    let found: BTreeMap<String, Value> = (fixtures().into_iter())
        .map(|(name, file)| {
            let report = verify(&file, &Limits::page());
            // what a reader spends does not change what it finds
            assert_eq!(report, verify(&file, &Limits::default()), "{name}");
            (name, serde_json::to_value(report).unwrap())
        })
        .collect();
    let pinned = folder().join("verdicts.json");
    if std::env::var_os("GAVEL_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&found).unwrap();
        std::fs::write(&pinned, text + "\n").unwrap();
    }
    let pinned: BTreeMap<String, Value> =
        serde_json::from_slice(&std::fs::read(pinned).unwrap()).unwrap();
    assert_eq!(found, pinned);
}

#[test]
fn the_verdicts_are_those_of_the_disputes() {
    for (name, file) in fixtures() {
        let report = verify(&file, &Limits::page());
        let verdict = match name.split(['-', '.']).collect::<Vec<_>>().as_slice() {
            ["receipt", ..] => Verdict::Signed,
            ["evidence", "true", ..] => Verdict::True,
            _ => Verdict::False,
        };
        assert_eq!(report.verdict, verdict, "{name}: {report:?}");
        let red: Vec<_> = report.checks.iter().filter(|c| !c.ok).collect();
        let wrong = match name.as_str() {
            "evidence-lying-referee.json" => 2,
            _ => usize::from(verdict == Verdict::False),
        };
        assert_eq!(red.len(), wrong, "{name}: {red:?}");
        assert_eq!(
            report.convicts.len(),
            match verdict {
                Verdict::Signed => 0,
                _ => wrong.max(1),
            }
        );
        assert!(
            !report.unchecked.is_empty()
                && report.checks.len()
                    == red.len()
                        + report
                            .checks
                            .iter()
                            .filter(|c| c.expected == c.found)
                            .count()
        );
    }
}

/// A page's limits are refusals, not verdicts.
#[test]
fn what_asks_for_more_than_the_reader_gives_is_not_judged() {
    let file = &fixtures()["evidence-false-weight.json"];
    let limits = Limits::page();
    let mut frugal = limits;
    frugal.judge.work = 1;
    let mut short = limits;
    short.evidence.file_bytes = 1;
    for limits in [frugal, short] {
        let report = verify(file, &limits);
        assert_eq!(report.verdict, Verdict::Unjudged);
        assert!(report.convicts.is_empty() && report.checks.iter().all(|c| c.ok));
    }
    let mut impatient = limits;
    impatient.judge.batches = 0;
    let report = verify(file, &impatient);
    assert_eq!((report.verdict, report.step), (Verdict::False, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_bytes_get_a_report(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..8),
        cut in any::<bool>(),
    ) {
        let fixtures = fixtures();
        let mut file = which.get(&fixtures.values().collect::<Vec<_>>()).to_vec();
        let at = at.index(file.len());
        if cut {
            file.truncate(at);
        }
        let end = (at + bytes.len()).min(file.len());
        file.splice(at..end, bytes);
        let report = verify(&file, &Limits::page());
        prop_assert!(!report.checks.is_empty() || report.verdict == Verdict::Unjudged);
        prop_assert!(serde_json::to_string(&report).is_ok());
    }

    #[test]
    fn a_signature_of_other_bytes_is_nobodys(flip in 0usize..65, bit in 0u8..8) {
        let mut receipt: Value = serde_json::from_slice(&fixtures()["receipt-alone.json"]).unwrap();
        let text = receipt["signature"].as_str().unwrap().to_owned();
        let byte = u8::from_str_radix(&text[2 + 2 * flip..4 + 2 * flip], 16).unwrap() ^ 1 << bit;
        let mut bent = text;
        bent.replace_range(2 + 2 * flip..4 + 2 * flip, &format!("{byte:02x}"));
        receipt["signature"] = bent.into();
        let report = verify(receipt.to_string().as_bytes(), &Limits::page());
        prop_assert_eq!(report.verdict, Verdict::Void);
    }
}
