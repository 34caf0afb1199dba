//! Cheating ends where the closed form says, in a market that does not know it.
#![allow(clippy::unwrap_used)]

use std::num::NonZero;

use gavel_economics::sim::{Scenario, closed_form};
use gavel_economics::{Assumptions, solve};
use gavel_settlement::amount::TOKEN;
use gavel_settlement::params::Tokens;

fn scenario(change: impl Fn(&mut Assumptions)) -> Scenario {
    let mut assumed = Assumptions {
        audit_rate_most_ppm: 1_000_000,
        ..Assumptions::default()
    };
    change(&mut assumed);
    let params = solve(&assumed).unwrap().params;
    Scenario {
        price: params.market.maxTaskPrice / 10,
        gain: assumed.gain.0,
        params,
        ring: true,
        providers: 10_000,
        tasks: 4_000_000,
        epochs: 20,
        seed: 7,
        threads: None,
    }
}

#[test]
fn the_kink_is_where_the_closed_form_says() {
    let cases: [(&str, bool, Scenario); 5] = [
        ("defaults", true, scenario(|_| {})),
        ("no friends", false, scenario(|_| {})),
        ("collusion", true, scenario(|a| a.colluding_bps = 5_000)),
        ("blind audits", true, scenario(|a| a.detection_bps = 4_000)),
        ("dear", true, scenario(|a| a.gain = Tokens(9 * TOKEN))),
    ];
    for (name, ring, scenario) in cases {
        // about 20,000 lies are caught at the edge: chance moves it by 0.7 %
        let scenario = Scenario {
            ring,
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

#[test]
fn the_cheating_share_falls_to_nothing_above_the_kink_and_to_everything_below() {
    let base = scenario(|_| {});
    let kink = closed_form(&base);
    for (factor, end) in [(0.9, 1.0), (1.1, 0.0)] {
        let mut at = base.clone();
        at.params.audit.ratePpm = (kink * factor) as u32;
        // one in a hundred experiments: they have to be seen often enough
        at.tasks = 20_000_000;
        at.epochs = 40;
        let outcome = at.play(|_| {});
        assert!((outcome.cheating[0] - 0.5).abs() < 0.01);
        let last = *outcome.cheating.last().unwrap();
        assert!(
            (last - end).abs() < 0.01,
            "at {factor} of the kink: {:?}",
            outcome.cheating
        );
        assert!(outcome.books.is_whole());
        assert!(outcome.caught > 0 && outcome.caught < outcome.wrong);
    }
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
