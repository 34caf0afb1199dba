//! From assumptions to parameters.
//!
//! A provider with stake `T` has `n` tasks of ceiling `P` open, each with collateral `c`, so that `n c` of the stake is locked: the
//! share `L`. A wrong result gains `D`. With `p' = p d (1-r)`, burned share `b` and slashed share `s` of what is not locked:
//!
//! - one wrong result (P-E1): `p' (R + b (c + s (1-L) T)) >= D`;
//! - all of them at once (P-E2): `p' b s (1-L) T >= n D`, counting only what is not locked, since what is locked is the
//!   collateral of results that may go home by other ways;
//! - a deadline missed costs as much as keeping it: `livenessBps c >= cost`, or a claim is a free option on a task.
//!
//! With a whole task open the second asks for more than the first, whatever the numbers; the first is told beside it, since it is what a
//! single lie is worth. Both rates grow with `L`, so the least collateral that the last one allows is the best, and the larger rate is the one to take.

use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::amount::exact;
use gavel_settlement::bindings::Parameters::Params;
use gavel_settlement::{DevParams, dev_params};
use serde::Serialize;

use crate::rules::{
    audit_rate_min, broken, dispute_seconds_max, registration_fee_min, rules,
    unbonding_seconds_min, verdict_seconds_max,
};
use crate::{Assumptions, Rule};

const BPS: u128 = 10_000;
const PPM: u128 = 1_000_000;
/// Share of the collateral that a missed deadline costs.
const LIVENESS_BPS: u16 = 1_000;

/// Gas of a provider that defends one result to the operator: 16 rows and a segment, by `contracts/snapshots/court.json`.
const DEFENCE_GAS: u128 = 16 * 75_035 + 204_065;
/// Gas of an appeal to its end, all of it one side's: `contracts/snapshots/appeal.json`.
const APPEAL_GAS: u128 = 1_746_021;
/// Gas of a referee: being drawn and ruling.
const REFEREE_GAS: u128 = 329_098 + 183_899;
/// Gas of an auditor: its commitment and its openings.
pub(crate) const AUDITOR_GAS: u128 = 134_264 + 439_134;
/// What is paid for work exceeds its cost by a quarter, so that the work is worth doing.
const MARGIN: (u128, u128) = (5, 4);

/// A number, and the constraint that would be broken first if it were smaller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// Which number, by the contract's name.
    pub what: &'static str,
    /// The constraint, by its name in `spec/protocol.md`.
    pub rule: &'static str,
    /// The constraint in words.
    pub because: &'static str,
}

/// Every number that is solved for, with what decides it. A wrong result on everything open at once asks for more audits than a
/// single one whatever the numbers (see above), so that P-E1 decides none of them.
const DECIDED: [Decided; 11] = [
    Decided {
        what: "ratePpm",
        rule: "P-E2",
        because: EXPOSURE,
    },
    Decided {
        what: "freshRatePpm",
        rule: "P-A1",
        because: "as assumed, and not below the rate of any other",
    },
    Decided {
        what: "collateralBps",
        rule: "P-T6",
        because: "a missed deadline has to cost what the work would have",
    },
    Decided {
        what: "maxLockedBps",
        rule: "P-T4",
        because: "the collateral of everything that may be open at once has to fit",
    },
    Decided {
        what: "minStake",
        rule: "P-T4",
        because: "as assumed: the rate falls as it grows",
    },
    Decided {
        what: "auditLevy",
        rule: "P-A4",
        because: "levies have to pay the audits that they cause",
    },
    Decided {
        what: "registrationFee",
        rule: "P-A4",
        because: "a newcomer has to prepay its audits above the rate of all others",
    },
    Decided {
        what: "freezeCap",
        rule: "P-C2",
        because: "a bond has to pay the longest freeze, up to a tenth of the stake",
    },
    Decided {
        what: "unbondingSeconds",
        rule: "P-V4",
        because: "stake has to outlive every dispute that it may be called for",
    },
    Decided {
        what: "correlationWindowSeconds",
        rule: "P-V6",
        because: "verdicts about wrong results of one moment have to fall in one window",
    },
    Decided {
        what: "correlationMultiplier",
        rule: "P-V6",
        because: "as assumed: one over the share of all stake that an attack loses everything at",
    },
];

const EXPOSURE: &str = "wrong results on everything that is open at once have to lose money";

/// Parameters with what decided them.
#[derive(Clone, Debug)]
pub struct Solution {
    /// Parameters that every rule takes.
    pub params: Params,
    /// What decides each number.
    pub decided: &'static [Decided],
    /// Least audit rate for one wrong result, in parts per million.
    pub rate_one_fault: u128,
    /// Least audit rate for everything open at once.
    pub rate_exposure: u128,
    /// Every rule, with how far it is kept.
    pub rules: Vec<Rule>,
}

/// Why nothing solves the assumptions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsolvable {
    /// An assumption is outside its range.
    #[error("{what} is {found}, expected {expected}")]
    Assumption {
        /// Which, by its key.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// The collateral of everything that may be open is more than the stake.
    #[error(
        "{open} open tasks lock {locked} tokens, a stake of {stake} tokens has no more than nine tenths of it to lock: raise the stake to \
         {least} tokens, or lower exposure or cost"
    )]
    StakeLocked {
        /// Tasks open at once.
        open: u32,
        /// Their collateral.
        locked: String,
        /// The stake.
        stake: String,
        /// The stake that would do.
        least: String,
    },
    /// Even the highest audit rate leaves a cheat with a gain.
    #[error(
        "P-E2: {EXPOSURE}: that takes audits of {rate} ppm of the results, more than the {most} ppm that may be audited; raise the stake to \
         about {stake} tokens, or lower gain, exposure or colluding_bps"
    )]
    RateTooHigh {
        /// The rate that would do.
        rate: u128,
        /// The most that may be.
        most: u32,
        /// Stake at which the rate would be allowed.
        stake: String,
    },
    /// A rule of the contracts that the numbers break all the same.
    #[error("rule {}: {}", .0.rule, .0)]
    Rule(Rule),
}

/// Parameters that make cheating lose money under these assumptions, with the least audits and the least collateral.
///
/// # Errors
/// No parameters do; the constraint that cannot be kept, and what would help.
pub fn solve(a: &Assumptions) -> Result<Solution, Unsolvable> {
    in_range(a)?;
    let (price, stake) = (a.price.0, a.stake.0);
    let open = u128::from(a.exposure);
    let liveness = u128::from(LIVENESS_BPS);

    // collateral: the least at which a missed deadline costs what the work would have
    let collateral = (a.cost.0 * BPS).div_ceil(liveness).max(1);
    let collateral_bps = (collateral * BPS).div_ceil(price);
    let collateral = price * collateral_bps / BPS;
    let locked = collateral * open;
    let most_locked_bps = (locked * BPS).div_ceil(stake).max(1);
    if most_locked_bps > 9_000 {
        return Err(Unsolvable::StakeLocked {
            open: a.exposure,
            locked: exact(locked),
            stake: exact(stake),
            least: exact((locked * BPS).div_ceil(9_000)),
        });
    }

    let mut params = dev_params(DevParams {
        windows: a.windows.into(),
        ..DevParams::default()
    });
    let m = &mut params.market;
    m.maxTaskPrice = price;
    m.priceFloorBps = a.price_floor_bps;
    m.livenessBps = LIVENESS_BPS;
    m.minCollateral = (collateral / 100).max(1);
    m.collateralBps = fits("cost", collateral_bps)?;
    m.maxLockedBps = fits("exposure", most_locked_bps)?;
    params.economics.gainBps = fits("gain", (a.gain.0 * BPS).div_ceil(price).max(1))?;
    params.economics.detectionBps = a.detection_bps;
    params.economics.colludingBps = a.colluding_bps;
    params.stake.minStake = stake;
    params.court.safetySlashBps = a.safety_slash_bps;
    split(&mut params, a.burn_bps);

    let rate_one_fault: u128 = audit_rate_min(&params)
        .and_then(|rate| rate.try_into().ok())
        .unwrap_or(u128::MAX);
    let rate_exposure = exposure_rate(&params);
    let rate = rate_exposure.max(rate_one_fault);
    if rate > u128::from(a.audit_rate_most_ppm) {
        // both rates fall at least as fast as the stake grows
        let grown = U256::from(stake) * U256::from(rate) / U256::from(a.audit_rate_most_ppm);
        return Err(Unsolvable::RateTooHigh {
            rate,
            most: a.audit_rate_most_ppm,
            stake: exact(grown.saturating_to()),
        });
    }
    params.audit.ratePpm = fits("audit_rate_most_ppm", rate)?;
    fees(&mut params, a);
    params.stake.unbondingSeconds = fits("windows", unbonding_seconds_min(&params).into())?;
    params.stake.correlationWindowSeconds =
        fits("windows", (2 * verdict_seconds_max(&params)).into())?;
    params.stake.correlationMultiplier = a.correlation_multiplier;
    if let Some(rule) = broken(&params) {
        return Err(Unsolvable::Rule(rule));
    }
    Ok(Solution {
        rules: rules(&params),
        params,
        decided: &DECIDED,
        rate_one_fault,
        rate_exposure,
    })
}

/// Least rate at which P-E2 holds in the contract's rounding.
fn exposure_rate(p: &Params) -> u128 {
    let locked = u128::from(p.market.maxLockedBps);
    let gain = locked * u128::from(p.economics.gainBps) * BPS / u128::from(p.market.collateralBps);
    let honest =
        u128::from(p.economics.detectionBps) * (BPS - u128::from(p.economics.colludingBps));
    let slash = (BPS - locked) * u128::from(p.court.safetySlashBps) * u128::from(p.court.burnBps);
    let weighed = U256::from(honest) * U256::from(slash);
    if weighed.is_zero() {
        return u128::MAX;
    }
    let scale = U256::from(10u64.pow(18));
    (U256::from(gain) * scale).div_ceil(weighed).saturating_to()
}

/// What is not burned of a slash goes to requester, challenger, referee and next attempt as 2 : 5 : 1 : 2.
fn split(p: &mut Params, burn_bps: u16) {
    let rest = 10_000 - burn_bps;
    let c = &mut p.court;
    c.burnBps = burn_bps;
    c.requesterBps = rest / 5;
    c.refereeBps = rest / 10;
    c.requeueBps = rest / 5;
    c.challengerBps = rest - c.requesterBps - c.refereeBps - c.requeueBps;
}

/// Fees above what the work costs, penalties above the fees, and the bond.
fn fees(p: &mut Params, a: &Assumptions) {
    let gas = |units: u128| (a.gas_price.0 * units).div_ceil(PPM);
    let paid = |cost: u128| (cost * MARGIN.0).div_ceil(MARGIN.1).max(1);
    let frozen = u128::from(dispute_seconds_max(&p.court));
    p.audit.fee = paid(a.cost.0 + gas(AUDITOR_GAS));
    p.audit.penalty = 2 * p.audit.fee;
    p.audit.probationTasks = a.probation_tasks;
    p.audit.freshRatePpm = a.fresh_rate_ppm.max(p.audit.ratePpm);
    p.audit.recordTasks = a.record_tasks;
    p.market.auditLevy = (p.audit.fee * u128::from(p.audit.ratePpm)).div_ceil(PPM);
    p.stake.registrationFee = registration_fee_min(p).saturating_to();
    p.court.refereeFee = paid(a.cost.0 + gas(REFEREE_GAS));
    p.court.refereePenalty = 2 * p.court.refereeFee;
    p.court.providerGasCost = gas(DEFENCE_GAS).max(1);
    p.court.appealBond = gas(APPEAL_GAS).max(1);
    p.court.freezeRate = a.hour.0.div_ceil(3_600).max(1);
    // all of the time that a dispute may take: a bond below that would buy a rival's machine for less than it earns
    p.court.freezeCap = p.court.freezeRate * frozen;
}

fn fits<T: TryFrom<u128>>(what: &'static str, value: u128) -> Result<T, Unsolvable> {
    T::try_from(value).map_err(|_| Unsolvable::Assumption {
        what,
        found: value.to_string(),
        expected: "a number that fits the contract's field",
    })
}

fn in_range(a: &Assumptions) -> Result<(), Unsolvable> {
    let refuse = |what, found: String, expected| {
        Err(Unsolvable::Assumption {
            what,
            found,
            expected,
        })
    };
    // far above any price, and small enough for the sums here
    const MOST: u128 = 1 << 90;
    let amounts = [
        ("price", a.price),
        ("cost", a.cost),
        ("gain", a.gain),
        ("stake", a.stake),
        ("gas_price", a.gas_price),
        ("hour", a.hour),
    ];
    for (what, amount) in amounts {
        if amount.0 > MOST {
            return refuse(what, amount.to_string(), "at most 1237940039 tokens");
        }
    }
    for (what, amount) in [("price", a.price), ("stake", a.stake), ("gain", a.gain)] {
        if amount.0 == 0 {
            return refuse(what, amount.to_string(), "more than nothing");
        }
    }
    if a.exposure == 0 || a.exposure > 1 << 20 {
        return refuse("exposure", a.exposure.to_string(), "1 to 1048576 tasks");
    }
    let shares = [
        (
            "price_floor_bps",
            a.price_floor_bps,
            0,
            10_000,
            "0 to 10000",
        ),
        ("detection_bps", a.detection_bps, 1, 10_000, "1 to 10000"),
        ("colluding_bps", a.colluding_bps, 0, 9_999, "0 to 9999"),
        (
            "burn_bps",
            a.burn_bps,
            5_000,
            10_000,
            "5000 to 10000: challenging oneself must lose money",
        ),
        (
            "safety_slash_bps",
            a.safety_slash_bps,
            1,
            10_000,
            "1 to 10000",
        ),
    ];
    for (what, value, least, most, expected) in shares {
        if !(least..=most).contains(&value) {
            return refuse(what, value.to_string(), expected);
        }
    }
    if a.audit_rate_most_ppm == 0 || a.audit_rate_most_ppm > 1_000_000 {
        let found = a.audit_rate_most_ppm.to_string();
        return refuse("audit_rate_most_ppm", found, "1 to 1000000");
    }
    if a.fresh_rate_ppm > 1_000_000 {
        let found = a.fresh_rate_ppm.to_string();
        return refuse("fresh_rate_ppm", found, "0 to 1000000");
    }
    if a.correlation_multiplier == 0 {
        return refuse("correlation_multiplier", "0".to_owned(), "1 to 65535");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_settlement::amount::TOKEN;
    use gavel_settlement::params::Tokens;

    #[test]
    fn the_rate_is_the_closed_form_of_the_binding_constraint() {
        let a = Assumptions::default();
        let solution = solve(&a).unwrap();
        let (t, d) = (1_000.0, 1.2);
        // ten tokens of collateral each, four of them open
        let locked = 0.04;
        let exposure = 4.0 * d / (0.8 * 0.5 * 0.5 * (1.0 - locked) * t);
        let one = d / (0.8 * (1.0 + 0.5 * (10.0 + 0.5 * (1.0 - locked) * t)));
        assert!((solution.rate_exposure as f64 / 1e6 / exposure - 1.0).abs() < 1e-4);
        assert!((solution.rate_one_fault as f64 / 1e6 / one - 1.0).abs() < 1e-3);
        assert_eq!(
            u128::from(solution.params.audit.ratePpm),
            solution.rate_exposure
        );
    }

    #[test]
    fn less_of_any_number_breaks_the_rule_that_it_was_solved_from() {
        let solution = solve(&Assumptions::default()).unwrap();
        let broken_by = |change: fn(&mut Params)| {
            let mut less = solution.params.clone();
            change(&mut less);
            broken(&less).unwrap().rule
        };
        assert_eq!(broken_by(|p| p.audit.ratePpm -= 1), "P-E2");
        let window = |p: &mut Params| p.stake.correlationWindowSeconds -= 1;
        assert_eq!(broken_by(window), "P-V6");
        assert_eq!(broken_by(|p| p.stake.unbondingSeconds -= 1), "P-V4");
        assert_eq!(broken_by(|p| p.market.auditLevy -= 1), "P-A4");
        assert_eq!(broken_by(|p| p.stake.registrationFee -= 1), "P-A4");
        assert_eq!(broken_by(|p| p.market.maxLockedBps += 1), "P-E2");
    }

    #[test]
    fn what_cannot_be_solved_says_which_constraint_and_what_would_help() {
        let poor = Assumptions {
            stake: Tokens(20 * TOKEN),
            ..Assumptions::default()
        };
        let told = solve(&poor).unwrap_err();
        assert!(
            matches!(&told, Unsolvable::StakeLocked { least, .. } if least.starts_with("44.4")),
            "{told}"
        );
        let thin = Assumptions {
            stake: Tokens(60 * TOKEN),
            audit_rate_most_ppm: 50_000,
            ..Assumptions::default()
        };
        let Err(Unsolvable::RateTooHigh { stake, rate, .. }) = solve(&thin) else {
            panic!("{:?}", solve(&thin));
        };
        assert!(rate > 50_000);
        // what it says would help does
        let helped = Assumptions {
            stake: Tokens(gavel_settlement::amount::parse(&stake).unwrap()),
            ..thin
        };
        solve(&helped).unwrap();
        let burn = Assumptions {
            burn_bps: 4_999,
            ..Assumptions::default()
        };
        assert!(
            solve(&burn)
                .unwrap_err()
                .to_string()
                .starts_with("burn_bps is 4999")
        );
    }
}
