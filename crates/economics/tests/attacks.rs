//! Attacks with a closed form: they lose money at whatever the solver finds, and pay where the one number that stops them is weakened
//! beyond its bound.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::Ranges;
use gavel_economics::attacks::ClosedForm;
use gavel_economics::{Assumptions, broken, solve};
use gavel_settlement::amount::TOKEN;
use gavel_settlement::params::Tokens;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRng, TestRunner};

/// Assumptions that are tried; about half of them have a solution.
const CASES: u32 = 3_000;
/// Rounding of shares to basis points and of rates to parts per million.
const ROUNDING: f64 = 1e-3;

fn assumptions() -> impl Strategy<Value = Assumptions> {
    let ranges = Ranges {
        stake: 1..100_000,
        floor: 0..=5_000,
        detection: 2_000..=10_000,
        colluding: 0..7_000,
        slash: 1_000..=10_000,
        exposure: 1..32,
    };
    let rest = (0u128..3_000, 0u32..6);
    (common::assumptions(ranges), rest).prop_map(|(world, (hour, probation_tasks))| Assumptions {
        hour: Tokens(hour * TOKEN / 1_000),
        probation_tasks,
        ..world
    })
}

#[test]
fn no_attack_pays_at_solved_parameters_and_each_does_beyond_its_bound() {
    let rng = TestRng::deterministic_rng(Default::default());
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = assumptions();
    let mut weakened = BTreeMap::<ClosedForm, (u32, u32)>::new();
    let mut solved = 0;
    for _ in 0..CASES {
        let world = strategy.new_tree(&mut runner).unwrap().current();
        let Ok(solution) = solve(&world) else {
            continue;
        };
        solved += 1;
        for attack in ClosedForm::ALL {
            let (params, gain) = (&solution.params, world.gain.0 as f64);
            let brings = attack.advantage(params, &world, 1.0);
            assert!(
                brings <= gain * ROUNDING,
                "{attack:?} brings {brings} units at {world:?}"
            );
            let (found, bound) = (attack.found(params, &world), attack.bound(params, &world));
            let sign = if attack.wants_more() { -1.0 } else { 1.0 };
            let at = |value: f64| {
                let (mut params, mut world) = (params.clone(), world.clone());
                attack.set(&mut params, &mut world, value);
                let draws = match attack {
                    ClosedForm::BeaconRedraws => value,
                    _ => 1.0,
                };
                (attack.advantage(&params, &world, draws), params)
            };
            // the solved number is on the right side of its bound
            assert!(
                sign * (found - bound) <= bound.abs() * ROUNDING,
                "{attack:?}: {found}, bound {bound} at {world:?}"
            );
            // a share of fewer than twenty basis points cannot be weakened by a tenth
            let coarse = match attack {
                ClosedForm::SelfChallenge
                | ClosedForm::Collusion
                | ClosedForm::StakeReuse
                | ClosedForm::Reentry => 20e-4,
                ClosedForm::Unaudited => 20e-6,
                _ => 0.0,
            };
            let beyond = bound * (1.0 + 0.1 * sign);
            let is_share = coarse > 0.0;
            if !bound.is_finite() || bound <= coarse || (is_share && beyond > 1.0) {
                // the other numbers suffice by themselves
                continue;
            }
            let (pays, params) = at(beyond);
            assert!(
                pays > 0.0,
                "{attack:?} brings {pays} units beyond {bound} at {world:?}"
            );
            let (loses, _) = at(bound * (1.0 - 0.1 * sign));
            assert!(
                loses < 0.0,
                "{attack:?} brings {loses} units within {bound} at {world:?}"
            );
            let seen = weakened.entry(attack).or_default();
            seen.0 += 1;
            seen.1 += u32::from(broken(&params).is_some());
        }
    }
    println!(
        "{solved} of {CASES} solved; weakened, of these refused by the constructor: {weakened:#?}"
    );
    assert!(solved > 500);
    for attack in ClosedForm::ALL {
        assert!(weakened[&attack].0 > 50, "{attack:?} of {weakened:?}");
    }
}
