//! The demo, the byzantine runs and the gas they use, as the commands print them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{gavel, json, text};

#[test]
fn a_demo_tells_its_story_to_people() {
    let output = gavel(&["demo"]);
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colours outside a terminal");
    for part in [
        "Mallory runs the model with one weight changed",
        "Mallory  wins task 1 at 1.19 tokens",
        "delivers task 1: it shows 1",
        "challenges the result",
        "at commit point 1: everything before it is agreed",
        "found: the two disagree about",
        "draws the referee of dispute 1",
        "gives another digest: guilty",
        "burned",
        "from the retry lane, before all new ones",
        "removed for ever",
        "the one wrong result did not settle, no honest party lost a coin",
        "next: gavel demo",
    ] {
        assert!(stdout.contains(part), "{part:?} is missing:\n{stdout}");
    }
    // two runs differ in nothing but the line that says how long it took
    let told = |stdout: &str| -> Vec<String> {
        let lines = stdout.lines().filter(|l| !l.starts_with("ran for"));
        lines.map(str::to_owned).collect()
    };
    let again = text(&gavel(&["demo"]).stdout);
    assert_eq!(told(&stdout), told(&again));
}

#[test]
fn a_demo_gives_programs_one_object() {
    let object = json(&["demo", "--fault", "one-ulp", "--seed", "3"]);
    assert_eq!(object["format"], 1);
    assert_eq!(object["seed"], 3);
    assert_eq!(object["faults"], serde_json::json!(["one-ulp"]));
    assert_eq!(object["conserved"], true);
    assert_eq!(object["finished"], true);
    for zero in ["honest_slashed", "wrong_settled", "honest_poorer"] {
        assert_eq!(object["facts"][zero], 0, "{zero}");
    }
    assert_eq!(object["facts"]["wrong_committed"], 1);
    let dispute = &object["disputes"][0];
    assert_eq!(dispute["verdict"], "guilty");
    assert!(dispute["isolated"]["name"].is_string());
    assert!(dispute["moves"].as_array().unwrap().len() > 4);
    for key in [
        "tasks",
        "claims",
        "challenges",
        "audits",
        "slashes",
        "balances",
    ] {
        assert!(object[key].is_array(), "{key}");
    }
    let slash = &object["slashes"][0];
    let units = |v: &serde_json::Value| v.as_str().unwrap().parse::<u128>().unwrap();
    let split = slash["split"].as_array().unwrap().iter();
    let split: u128 = split.map(|s| units(&s["amount"])).sum();
    assert_eq!(split, units(&slash["amount"]));
}

#[test]
fn with_nobody_watching_the_audit_catches_the_cheat() {
    let object = json(&["demo", "--no-watcher", "--audit-rate", "1"]);
    assert_eq!(object["challenges"], serde_json::json!([]));
    let disputes = object["disputes"].as_array().unwrap();
    let convicted = disputes.iter().find(|d| d["verdict"] == "guilty").unwrap();
    assert_eq!(convicted["by_audit"], true);
}

#[test]
fn where_nobody_watches_and_the_audit_misses_nothing_was_promised() {
    let unseen = (16..60).find_map(|seed| {
        let seed = seed.to_string();
        let args = [
            "demo",
            "--no-watcher",
            "--audit-rate",
            "0.1",
            "--seed",
            &seed,
        ];
        let output = gavel(&args);
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{stdout}");
        stdout
            .contains("wrong result settled")
            .then_some((seed, stdout))
    });
    let (seed, stdout) = unseen.unwrap();
    let told = "nobody watched, and the beacon did not draw it: 1 wrong result settled";
    assert!(stdout.contains(told), "{stdout}");
    assert!(!stdout.contains("guarantee"), "{stdout}");
    let object = json(&[
        "demo",
        "--no-watcher",
        "--audit-rate",
        "0.1",
        "--seed",
        &seed,
    ]);
    assert_eq!(object["facts"]["wrong_settled"], 1);
    assert!(object.get("watched").is_none());
}

#[test]
fn a_place_for_the_chain_that_is_taken_is_refused_before_anything_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (file, used) = (dir.path().join("file"), dir.path().join("used"));
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir_all(used.join("chain")).unwrap();
    for (taken, why) in [(file, "is a file"), (used, "holds a chain already")] {
        let output = gavel(&["demo", "--data-dir", taken.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(why), "{stderr}");
    }
}

#[test]
fn a_share_of_audits_is_checked_where_it_is_asked_for() {
    for rate in ["0", "0.000009", "-1", "NaN", "1.01", "half"] {
        let rate = format!("--audit-rate={rate}");
        for args in [
            &["demo", &rate][..],
            &["chain", "deploy", "--key", "none.json", &rate],
        ] {
            let output = gavel(args);
            assert_eq!(output.status.code(), Some(2), "{args:?}");
            assert_eq!(text(&output.stdout), "");
            let stderr = text(&output.stderr);
            assert!(stderr.contains("a share from 0.00001 to 1"), "{stderr}");
        }
    }
    for rate in ["0.00001", "1"] {
        let output = gavel(&["demo", "--fault", "none", "--audit-rate", rate]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn a_demo_with_a_file_of_ones_own_stays_on_disk_and_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("kept");
    let folder = folder.to_str().unwrap();
    let args = [
        "demo",
        "--model",
        "models/digits-mlp.onnx",
        "--image",
        "models/images/digit-3-a.png",
        "--data-dir",
        folder,
    ];
    let object = json(&args);
    assert_eq!(object["model"]["name"], "digits-mlp.onnx");
    assert_eq!(object["tasks"][0]["prediction"], "3");
    for kept in ["chain", "blobs/inputs", "gavel-deployment.json"] {
        assert!(dir.path().join("kept").join(kept).exists(), "{kept}");
    }
    let again = gavel(&args);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("holds a chain already"));
}

#[test]
fn random_worlds_are_summed_up() {
    let object = json(&["sim", "court", "--seeds", "1..4"]);
    assert_eq!(object["runs"], 4);
    assert_eq!(object["conserved"], true);
    for zero in [
        "honest_slashed",
        "wrong_settled",
        "honest_poorer",
        "unfinished",
        "broken",
    ] {
        assert_eq!(object[zero], 0, "{zero}");
    }
    assert_eq!(object["failing"], serde_json::json!([]));
    assert!(object["faults"].is_object() && object["wrong_committed"].is_u64());
}

#[test]
fn attacks_are_played_for_what_they_bring() {
    let object = json(&["sim", "attacks", "griefing", "sybil_reentry"]);
    assert_eq!(object["holds"], true);
    let attacks = object["attacks"].as_array().unwrap();
    assert_eq!(attacks.len(), 2);
    for attack in attacks {
        let units = |v: &serde_json::Value| v.as_str().unwrap().parse::<i128>().unwrap();
        let (solved, weakened) = (&attack["solved"], &attack["weakened"]);
        assert!(units(&solved["attacker"]) < 0 && units(&weakened["attacker"]) > 0);
        // one case each: the ledger adds up to the unit
        for outcome in [solved, weakened] {
            for (side, sum) in [("attacker", "attacker"), ("victim", "victims")] {
                let entries = outcome["branches"][0]["entries"].as_array().unwrap();
                let of_side = entries.iter().filter(|e| e["side"] == side);
                let all: i128 = of_side.map(|e| units(&e["change"])).sum();
                assert_eq!(all, units(&outcome[sum]));
            }
        }
    }
    let refused = attacks[1]["weakened"]["refused"].as_str().unwrap();
    assert!(refused.starts_with("AuditRateTooLow("), "{refused}");
    let output = gavel(&["sim", "attacks", "self_challenge"]);
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    for part in ["stake slashed", "refuses it: BurnFloor", "unprofitable"] {
        assert!(stdout.contains(part), "{part:?} is missing:\n{stdout}");
    }
}

#[test]
fn gas_is_summed_for_a_task_and_a_dispute() {
    let object = json(&["bench", "gas"]);
    let actions = &object["actions"];
    let parts = object["task"]["actions"].as_array().unwrap();
    for action in parts {
        assert!(actions[action.as_str().unwrap()]["mean"].as_u64().unwrap() > 20_000);
    }
    assert!(object["task"]["gas"].as_u64().unwrap() > 80_000);
    assert_eq!(object["dispute"]["verdict"], "guilty");
    let moves = object["dispute"]["moves"].as_array().unwrap().iter();
    let sum: u64 = moves.map(|m| m["gas"].as_u64().unwrap()).sum();
    assert_eq!(object["dispute"]["gas"], sum);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for args in [
        &["demo", "--fault", "none", "--fault", "weight"][..],
        &["demo", "--fault", "kindness"],
        &["demo", "--audit-rate", "2"],
        &["demo", "--providers", "4"],
        &["sim", "court", "--seeds", "9..3"],
        &["sim", "attacks", "kindness"],
    ] {
        assert_eq!(gavel(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_language_model_answers_through_the_market_and_its_liars_are_caught() {
    for fault in ["changed-token", "cheaper-quantisation"] {
        let object = json(&[
            "demo",
            "--model",
            "llm",
            "--prompt",
            "Tell me a story about a fox.",
            "--max-tokens",
            "8",
            "--fault",
            fault,
        ]);
        assert_eq!(object["conserved"], true);
        for zero in ["honest_slashed", "wrong_settled", "honest_poorer"] {
            assert_eq!(object["facts"][zero], 0, "{fault} {zero}");
        }
        assert_eq!(object["facts"]["wrong_committed"], 1, "{fault}");
        let dispute = &object["disputes"][0];
        assert_eq!(dispute["verdict"], "guilty", "{fault}");
        let operator = match fault {
            "changed-token" => "AppendToken",
            _ => "Embed",
        };
        assert_eq!(dispute["isolated"]["operator"], operator);
        for task in object["tasks"].as_array().unwrap() {
            assert_eq!(task["state"], "settled");
            let answer = task["prediction"].as_str().unwrap();
            assert!(
                answer.starts_with('\u{201c}') && answer.len() > 12,
                "{answer}"
            );
        }
    }
}

#[test]
fn lies_of_language_models_need_one_and_prompts_too() {
    let refused = |args: &[&str], part: &str| {
        let output = gavel(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(part), "{args:?}: {stderr}");
    };
    refused(
        &["demo", "--fault", "changed-token"],
        "is of language models",
    );
    refused(&["demo", "--prompt", "hello"], "takes no --prompt");
    let smaller = ["demo", "--model", "llm", "--fault", "smaller-model"];
    refused(&smaller, "no smaller language model");
}
