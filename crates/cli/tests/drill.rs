//! A rehearsed dispute.
#![allow(clippy::unwrap_used)]

mod common;

use common::{gavel, json, text};

#[test]
fn a_drill_convicts_what_is_wrong_and_tells_what_it_takes() {
    for fault in ["one-ulp", "withhold", "lying-referee"] {
        let found = json(&["challenge", "drill", "--fault", fault]);
        assert_eq!(found["convicted"], true, "{fault}: {found}");
        assert_eq!(found["detected"], true, "{fault}");
        for phase in found["phases"].as_array().unwrap() {
            assert!(phase["seconds"].as_f64().unwrap() > 0.0, "{phase}");
            assert!(phase["of_seconds"].as_u64().unwrap() >= 300, "{phase}");
        }
        assert_eq!(found["isolated"].is_object(), fault != "withhold");
    }
    let told = text(&gavel(&["challenge", "drill"]).stdout);
    for part in [
        "challenges the result",
        "convicted     yes",
        "answers a reveal in",
    ] {
        assert!(told.contains(part), "{part:?} is missing:\n{told}");
    }
}

#[test]
fn a_drill_refuses_what_no_dispute_convicts_or_the_model_cannot_do() {
    for (fault, said) in [
        ("no-result", "that a dispute convicts"),
        ("changed-token", "language models"),
    ] {
        let refused = gavel(&["challenge", "drill", "--fault", fault]);
        assert_eq!(refused.status.code(), Some(2), "{fault}");
        assert!(text(&refused.stderr).contains(said), "{fault}");
    }
}
