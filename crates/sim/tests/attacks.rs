//! One test per attack: it loses money under the solver's parameters, and pays where the one thing that stops it is weakened.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use gavel_sim::attacks::{Arena, Attack, AttackReport, Outcome, Side, page};

static ARENA: LazyLock<Arena> = LazyLock::new(|| Arena::new().unwrap());

fn holds(attack: Attack) -> AttackReport {
    let report = attack.run(&ARENA).unwrap();
    let told = serde_json::to_string_pretty(&report).unwrap();
    if std::env::var_os("GAVEL_TELL").is_some() {
        println!("{told}");
    }
    assert!(!report.solved.pays(), "it pays: {told}");
    assert!(report.weakened.outcome.pays(), "it never pays: {told}");
    assert!(report.holds);
    for outcome in [&report.solved, &report.weakened.outcome] {
        let chances: f64 = outcome.branches.iter().map(|b| b.chance).sum();
        assert!((chances - 1.0).abs() < 1e-9);
        let mut entries = outcome.branches.iter().flat_map(|b| &b.entries);
        assert!(entries.any(|e| e.side == Side::Attacker), "{told}");
    }
    report
}

/// Who is attacked ends no poorer under the solver's parameters, and poorer under the weakened ones.
fn is_whole(report: &AttackReport, who: &str) {
    let sum = |outcome: &Outcome| -> i128 {
        let entries = outcome.branches.iter().flat_map(|b| &b.entries);
        entries.filter(|e| e.who == who).map(|e| e.change.0).sum()
    };
    assert!(sum(&report.solved) >= 0, "{report:?}");
    assert!(sum(&report.weakened.outcome) < 0, "{report:?}");
}

/// The constructor's error for the weakened parameters.
fn refused(report: &AttackReport, error: &str) {
    let refusal = report.weakened.refused.as_deref().unwrap_or_default();
    assert!(refusal.starts_with(error), "{refusal}");
}

#[test]
fn withhold_input() {
    holds(Attack::WithholdInput);
}

#[test]
fn withhold_trace() {
    refused(&holds(Attack::WithholdTrace), "AuditRateTooLow(");
}

#[test]
fn unwatched_cheat() {
    refused(&holds(Attack::UnwatchedCheat), "AuditRateTooLow(");
}

#[test]
fn self_challenge() {
    refused(&holds(Attack::SelfChallenge), "BurnFloor(");
}

#[test]
fn griefing() {
    is_whole(&holds(Attack::Griefing), "Ada");
}

#[test]
fn delay() {
    is_whole(&holds(Attack::Delay), "Ada");
}

#[test]
fn lose_on_purpose() {
    holds(Attack::LoseOnPurpose);
}

#[test]
fn exhaustion() {
    is_whole(&holds(Attack::Exhaustion), "Ada");
}

#[test]
fn lazy_auditor() {
    holds(Attack::LazyAuditor);
}

#[test]
fn copying_auditor() {
    holds(Attack::CopyingAuditor);
}

#[test]
fn audit_collusion() {
    refused(&holds(Attack::AuditCollusion), "AuditRateTooLow(");
}

#[test]
fn framing_referee() {
    is_whole(&holds(Attack::FramingReferee), "Ada");
}

#[test]
fn prefill() {
    holds(Attack::Prefill);
}

#[test]
fn seed_grinding() {
    holds(Attack::SeedGrinding);
}

#[test]
fn beacon_last_revealer() {
    holds(Attack::BeaconLastRevealer);
}

#[test]
fn tolerance_hiding() {
    holds(Attack::ToleranceHiding);
}

#[test]
fn numeric_drift() {
    assert!(holds(Attack::NumericDrift).solved.victims.0 >= 0);
}

#[test]
fn sybil_reentry() {
    refused(&holds(Attack::SybilReentry), "AuditRateTooLow(");
}

#[test]
fn stake_reuse() {
    // with all of the stake locked, P-E1 is broken too, and found first
    refused(&holds(Attack::StakeReuse), "AuditRateTooLow(");
}

#[test]
fn bribed_referee() {
    is_whole(&holds(Attack::BribedReferee), "Wanda");
}

#[test]
fn referee_bug() {
    is_whole(&holds(Attack::RefereeBug), "Ada");
}

#[test]
fn prompt_privacy() {
    holds(Attack::PromptPrivacy);
}

#[test]
fn the_page_says_what_is_found() {
    let reports: Vec<AttackReport> = (Attack::ALL.iter())
        .map(|attack| attack.run(&ARENA).unwrap())
        .collect();
    let found = page(&ARENA, &reports);
    if std::env::var_os("GAVEL_TELL").is_some() {
        println!("{found}");
    }
    let told = include_str!("../../../docs/attacks.md");
    let renew = "run `gavel sim attacks --page docs/attacks.md`";
    for (found, told) in found.lines().zip(told.lines()) {
        assert_eq!(found, told, "{renew}");
    }
    assert_eq!(found.lines().count(), told.lines().count(), "{renew}");
}

#[test]
fn every_attack_has_its_test_and_its_row_in_the_threat_model() {
    let tests = include_str!("attacks.rs");
    let model = include_str!("../../../docs/threat-model.md");
    for attack in Attack::ALL {
        assert!(tests.contains(&format!("fn {attack}()")), "{attack}");
        assert!(
            model.contains(&format!("(attacks.md#{attack})")),
            "{attack}"
        );
        assert_eq!(attack.name().parse(), Ok(*attack));
    }
}
