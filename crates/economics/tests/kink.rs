//! Cheating ends where the closed form says, in a market that does not know it.
#![allow(clippy::unwrap_used)]

use std::num::NonZero;

use gavel_economics::sim::{Scenario, closed_form, closed_form_of_traps};
use gavel_economics::{Assumptions, solve};
use gavel_settlement::amount::TOKEN;
use gavel_settlement::params::Tokens;

fn scenario(change: impl Fn(&mut Assumptions)) -> Scenario {
    let mut assumed = Assumptions {
        audit_rate_most_ppm: 1_000_000,
        ..Assumptions::default()
    };
    change(&mut assumed);
    Scenario {
        providers: 10_000,
        tasks: 4_000_000,
        epochs: 20,
        ..Scenario::new(&assumed, &solve(&assumed).unwrap())
    }
}

/// With records and traps, as parameters are solved; and with other numbers of either.
#[test]
fn the_kink_is_where_the_closed_form_says() {
    let with = |mut scenario: Scenario, change: fn(&mut Scenario)| {
        change(&mut scenario);
        scenario
    };
    let base = || scenario(|_| {});
    let cases: [(&str, Scenario); 8] = [
        ("defaults", base()),
        ("no friends", with(base(), |s| s.ring = false)),
        ("collusion", scenario(|a| a.colluding_bps = 5_000)),
        ("blind audits", scenario(|a| a.detection_bps = 4_000)),
        ("dear", scenario(|a| a.gain = Tokens(9 * TOKEN))),
        ("long records", scenario(|a| a.record_tasks = 100)),
        (
            "no records",
            scenario(|a| (a.record_tasks, a.probation_tasks) = (0, 0)),
        ),
        ("no traps", with(base(), |s| s.traps_ppm = 0)),
    ];
    for (name, scenario) in cases {
        // about 20,000 lies are caught at the edge: chance moves it by 0.7 %
        let scenario = Scenario {
            tasks: 8_000_000,
            ..scenario
        };
        let expected = closed_form(&scenario);
        let found = f64::from(scenario.kink(|_, _| {}));
        let off = 100.0 * (found / expected - 1.0);
        println!("{name}: {found} ppm, closed form {expected:.1}, {off:+.2} %");
        assert!(off.abs() < 2.0, "{name}: {found} is not {expected}");
    }
}

/// Whoever cheats from its first task on is audited more than the floor says: below p* it loses, where the patient gain.
#[test]
fn a_record_makes_only_the_patient_gain() {
    let patient = scenario(|_| {});
    let eager = Scenario {
        waits: false,
        ..patient.clone()
    };
    let below = (closed_form(&patient) * 0.8) as u32;
    assert!(patient.at_rate(below).advantage() > 0.0);
    assert!(eager.at_rate(below).advantage() < 0.0);
}

#[test]
fn auditors_wake_where_the_closed_form_says() {
    let all = |friends, change: fn(&mut Assumptions)| Scenario {
        friends,
        ..scenario(change).at_rate(1_000_000)
    };
    let cases = [
        ("no friends", all(0, |_| {})),
        ("a friend", all(1, |_| {})),
        ("two friends", all(2, |_| {})),
        ("blind audits", all(0, |a| a.detection_bps = 4_000)),
        ("dear checks", all(0, |a| a.cost = Tokens(2 * TOKEN))),
    ];
    for (name, scenario) in cases {
        let expected = closed_form_of_traps(&scenario);
        let found = f64::from(scenario.waking(|_, _| {}));
        let off = 100.0 * (found / expected - 1.0);
        println!("{name}: {found} ppm, closed form {expected:.1}, {off:+.2} %");
        assert!(off.abs() < 2.0, "{name}: {found} is not {expected}");
    }
}

/// With the traps that a scenario has by itself: they have to be enough to keep auditors looking, whatever a check finds.
#[test]
fn the_cheating_share_falls_to_nothing_above_the_kink_and_to_everything_below() {
    let cases = [
        ("defaults", scenario(|_| {})),
        ("collusion", scenario(|a| a.colluding_bps = 4_000)),
        ("blind audits", scenario(|a| a.detection_bps = 5_000)),
        (
            "blind audits, long records",
            scenario(|a| (a.detection_bps, a.record_tasks) = (4_000, 60)),
        ),
    ];
    for (name, base) in cases {
        let kink = closed_form(&base);
        for (factor, end) in [(0.9, 1.0), (1.1, 0.0)] {
            let at = Scenario {
                // one in a hundred experiments: they have to be seen often enough
                tasks: 20_000_000,
                epochs: 40,
                ..base.at_rate((kink * factor) as u32)
            };
            let outcome = at.play(|_| {});
            assert!((outcome.cheating[0] - 0.5).abs() < 0.01);
            assert!((outcome.sleeping[0] - 0.5).abs() < 0.01);
            let last = *outcome.cheating.last().unwrap();
            assert!(
                (last - end).abs() < 0.01,
                "{name}, at {factor} of the kink: {:?}",
                outcome.cheating
            );
            let asleep = *outcome.sleeping.last().unwrap();
            assert!(asleep < 0.01, "{name}: {:?}", outcome.sleeping);
            assert!(outcome.books.is_whole());
            assert!(outcome.books.sealed > 0);
            assert!(outcome.caught > 0 && outcome.caught < outcome.wrong);
        }
    }
}

/// Nobody looks where looking is not worth it, and then no audit rate keeps anybody honest.
#[test]
fn without_traps_auditors_look_away_and_all_cheat() {
    let base = scenario(|_| {});
    let rate = (closed_form(&base) * 1.1) as u32;
    let at = Scenario {
        traps_ppm: 0,
        tasks: 20_000_000,
        epochs: 40,
        ..base.at_rate(rate)
    };
    let outcome = at.play(|_| {});
    assert!(*outcome.sleeping.last().unwrap() > 0.99, "{outcome:?}");
    assert!(*outcome.cheating.last().unwrap() > 0.99, "{outcome:?}");
    assert!(outcome.books.is_whole());
}

#[test]
fn the_outcome_does_not_depend_on_the_threads() {
    let base = Scenario {
        tasks: 100_000,
        ..scenario(|_| {})
    };
    let on = |threads| {
        let threads = NonZero::new(threads);
        Scenario {
            threads,
            ..base.clone()
        }
        .play(|_| {})
    };
    assert_eq!(on(1), on(5));
    let other = Scenario {
        seed: 8,
        ..base.clone()
    }
    .play(|_| {});
    assert_ne!(on(1), other);
}
