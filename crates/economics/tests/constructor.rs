//! The constructor of `Parameters` and the rules in Rust refuse the same parameters with the same words, and what is solved is
//! taken by both.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ranges;
use gavel_economics::{Unsolvable, broken, solve};
use gavel_settlement::alloy::primitives::Address;
use gavel_settlement::bindings::Parameters::Params;
use gavel_settlement::params::{ParamsError, check};
use gavel_settlement::{DevParams, Windows, dev_params};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

/// Random parameters for the two judges.
const CASES: u32 = 4_000;

async fn constructor(params: &Params) -> Option<String> {
    match check(params).await {
        Ok(()) => None,
        Err(ParamsError::Refused(refusal)) => Some(refusal.error),
        Err(error) => panic!("{error}"),
    }
}

/// As the judge on the chain gets them: with appeal levels.
fn rust(params: &Params) -> Option<String> {
    let mut params = params.clone();
    params.court.appealLevels = Address::repeat_byte(1);
    broken(&params).map(|rule| rule.refusal())
}

/// A change of one number: which, and how.
fn change() -> impl Strategy<Value = (usize, u64, u8)> {
    (0usize..57, any::<u64>(), any::<u8>())
}

/// The number next to what it was, somewhere near, or anything.
fn moved(now: u128, most: u128, random: u64, how: u8) -> u128 {
    let by = u128::from(random % 1_000);
    let new = match how % 8 {
        0 => 0,
        1 => now.saturating_sub(1),
        2 => now.saturating_add(1),
        3 => now / (1 + by % 20),
        4 => now.saturating_mul(1 + by % 20),
        5 => now.saturating_sub(now / 1_000 * by),
        6 => most - by.min(most),
        _ => u128::from(random),
    };
    new.min(most)
}

macro_rules! nth {
    ($which:expr, $random:expr, $how:expr; $($number:expr => $type:ty),* $(,)?) => {{
        let mut left = $which;
        $(
            if left == 0 {
                $number = moved(u128::from($number), u128::from(<$type>::MAX), $random, $how) as $type;
            }
            left = left.wrapping_sub(1);
        )*
        let _ = left;
    }};
}

fn apply(p: &mut Params, (which, random, how): (usize, u64, u8)) {
    nth!(which, random, how;
        p.market.maxTaskPrice => u128, p.market.minThroughput => u64, p.market.execMax => u32,
        p.market.priceFloorBps => u16, p.market.retryEvery => u16, p.market.auditLevy => u128,
        p.market.challengeWindow => u32, p.market.revealWindow => u32, p.market.retractWindow => u32,
        p.market.seedDelay => u32, p.market.minCollateral => u128, p.market.collateralBps => u32,
        p.market.maxLockedBps => u16, p.market.livenessBps => u16, p.market.jailSeconds => u32,
        p.market.openLifetime => u32, p.market.retryGrace => u32, p.market.retryLifetime => u32,
        p.court.clockBudget => u32, p.court.clockIncrement => u32, p.court.refereeSeconds => u32,
        p.court.appealWindow => u32, p.court.ospSeconds => u32, p.court.beaconSlack => u32,
        p.court.maxRedraws => u8, p.court.maxEarlier => u8, p.court.safetySlashBps => u16,
        p.court.requesterBps => u16, p.court.challengerBps => u16, p.court.refereeBps => u16,
        p.court.requeueBps => u16, p.court.burnBps => u16, p.court.providerGasCost => u128,
        p.court.refereeFee => u128, p.court.freezeRate => u128, p.court.freezeCap => u128,
        p.court.refereePenalty => u128, p.court.appealBond => u128,
        p.audit.ratePpm => u32, p.audit.probationTasks => u32, p.audit.commitSeconds => u32,
        p.audit.openSeconds => u32, p.audit.maxRedraws => u8, p.audit.fee => u128, p.audit.penalty => u128,
        p.audit.freshRatePpm => u32, p.audit.recordTasks => u32, p.stake.correlationWindowSeconds => u32,
        p.stake.correlationMultiplier => u16,
        p.stake.minStake => u128, p.stake.registrationFee => u128, p.stake.unbondingSeconds => u32,
        p.stake.unbondingMargin => u32, p.stake.maxMembers => u32,
        p.economics.gainBps => u32, p.economics.detectionBps => u16, p.economics.colludingBps => u16,
    );
}

fn parameters() -> impl Strategy<Value = Params> {
    let rate = 10_000u32..1_000_000;
    let changes = prop::collection::vec(change(), 0..4);
    // what a single number cannot do: the sum of the shares stays, and one of them moves
    let burned = prop_oneof![9 => Just(5_000u16), 1 => 0u16..=7_500];
    (rate, any::<bool>(), changes, burned).prop_map(|(audit_rate_ppm, fast, changes, burned)| {
        let mut params = dev_params(DevParams {
            audit_rate_ppm,
            windows: if fast { Windows::Fast } else { Windows::Normal },
            ..DevParams::default()
        });
        params.court.challengerBps = params.court.challengerBps + 5_000 - burned;
        params.court.burnBps = burned;
        for one in changes {
            apply(&mut params, one);
        }
        params
    })
}

#[tokio::test]
async fn both_refuse_the_same_random_parameters_with_the_same_words() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(Default::default()),
    );
    let strategy = parameters();
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..CASES {
        let params = strategy.new_tree(&mut runner).unwrap().current();
        let told = constructor(&params).await;
        let ours = rust(&params);
        assert_eq!(told, ours, "{params:#?}");
        let name = told.map_or("taken".to_owned(), |t| {
            t.split('(').next().unwrap().to_owned()
        });
        *seen.entry(name).or_default() += 1;
    }
    // not vacuous: parameters were taken, and every error was met
    for name in [
        "taken",
        "Zero",
        "TooLarge",
        "SharesSum",
        "BurnFloor",
        "RetractNotInsideWindow",
        "IncrementAboveBudget",
        "OspTooShort",
        "AuditRateTooLow",
        "ExposureTooHigh",
        "UnbondingTooShort",
        "CorrelationWindowTooShort",
        "CorrelationWindowTooLong",
        "FreshRateTooLow",
        "LevyTooLow",
        "RegistrationFeeTooLow",
        "MinStakeTooLow",
    ] {
        assert!(seen.contains_key(name), "{name} is missing of {seen:?}");
    }
}

#[tokio::test]
async fn what_is_solved_the_constructor_takes_and_less_it_refuses() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(Default::default()),
    );
    let strategy = common::assumptions(Ranges {
        stake: 1..1_000_000,
        floor: 0..=10_000,
        detection: 1..=10_000,
        colluding: 0..9_000,
        slash: 1..=10_000,
        exposure: 1..64,
    });
    let (mut solved, mut unsolvable) = (0, 0);
    for _ in 0..600 {
        let case = strategy.new_tree(&mut runner).unwrap().current();
        let solution = match solve(&case) {
            Ok(solution) => solution,
            Err(Unsolvable::Rule(rule)) => panic!("{case:?}: {rule}"),
            Err(_) => {
                unsolvable += 1;
                continue;
            }
        };
        solved += 1;
        assert_eq!(constructor(&solution.params).await, None, "{case:?}");
        let mut less = solution.params;
        less.audit.ratePpm -= 1;
        let refused = constructor(&less).await.unwrap();
        // see the solver: a lie on everything open asks for more audits than a single one
        assert!(solution.rate_one_fault <= solution.rate_exposure);
        let named = refused.starts_with("ExposureTooHigh(");
        assert!(named, "{case:?}: {refused}");
    }
    assert!(
        solved > 100 && unsolvable > 20,
        "{solved} solved, {unsolvable} not"
    );
}
