//! What the contracts say to parameters, before anything is deployed: the constructor itself judges them, on a chain of a
//! moment, and its refusal is put into words.

use alloy::primitives::{Address, Bytes};
use alloy::sol_types::SolValue as _;

use crate::account::{SendError, Sender, dev_key};
use crate::artifacts::{ArtifactError, bytecode};
use crate::bindings::Parameters::Params;
use crate::chain::Genesis;
use crate::{Endpoint, SharedChain};

/// Why parameters cannot be deployed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// A rule that they break.
    #[error(transparent)]
    Refused(ParamsRefusal),
    /// The contract is not among the artifacts.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The constructor could not be asked.
    #[error("asking the constructor: {0}")]
    Unasked(SendError),
}

/// A rule of the contracts that parameters break.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule}: {why}\n  the constructor says {error}\n  {remedy}")]
pub struct ParamsRefusal {
    /// The rule's name in the specification.
    pub rule: &'static str,
    /// What the rule protects.
    pub why: &'static str,
    /// The contract's error with its values.
    pub error: String,
    /// What would keep it.
    pub remedy: &'static str,
}

/// Has the constructor of the parameters judge them.
///
/// # Errors
/// The first rule that they break, in words.
pub async fn check(params: &Params) -> Result<(), ParamsError> {
    // any address but zero will do for the appeal levels: with them their rule is checked too
    let place = Address::repeat_byte(1);
    let mut params = params.clone();
    params.court.appealLevels = place;
    let arguments = (place, place, params).abi_encode_params();
    let code: Bytes = [&bytecode("Parameters")?[..], &arguments].concat().into();
    let chain = SharedChain::in_memory(Genesis::default());
    let judge = Sender::new(dev_key("parameters", 0), Endpoint::in_process(chain));
    match judge.create(code).await {
        Ok(_) => Ok(()),
        Err(SendError::Reverted { error, .. }) => Err(ParamsError::Refused(refusal(error))),
        Err(other) => Err(ParamsError::Unasked(other)),
    }
}

/// A refusal of the constructor, by its text, in words.
pub fn refusal(error: String) -> ParamsRefusal {
    let name = error.split('(').next().unwrap_or_default();
    let (_, rule, why, remedy) = RULES
        .iter()
        .find(|(known, ..)| *known == name)
        .copied()
        .unwrap_or((
            "",
            "unknown",
            "the constructor has a reason that this program has no words for",
            "see contracts/src/lib/ParameterChecks.sol",
        ));
    ParamsRefusal {
        rule,
        why,
        error,
        remedy,
    }
}

/// Errors of the checks: name, rule, what it protects, what to do.
const RULES: [(&str, &str, &str, &str); 16] = [
    (
        "Zero",
        "bounds",
        "a window, share or amount that is nothing switches a protection off",
        "give it a value",
    ),
    (
        "TooLarge",
        "bounds",
        "what is counted in few bytes, or looped over, has a bound",
        "lower it",
    ),
    (
        "SharesSum",
        "P-V1",
        "the shares of a slash are the whole of it",
        "make requester, challenger, referee, requeue and burn add up to 10000 bps",
    ),
    (
        "BurnFloor",
        "P-V1",
        "at least half of a slash is burned, so that challenging oneself loses money",
        "raise burn_bps to 5000 or more, at the cost of the other shares",
    ),
    (
        "RetractNotInsideWindow",
        "P-T7",
        "the retract window closes before challenges are revealed, so that a retract is no free option",
        "make retract_window shorter than challenge_window",
    ),
    (
        "IncrementAboveBudget",
        "P-D5",
        "a clock never exceeds its budget",
        "make clock_increment at most clock_budget",
    ),
    (
        "OspTooShort",
        "P-L11",
        "an appeal has the time that two games below the operator may take",
        "raise osp_seconds, or lower clock_budget or clock_increment",
    ),
    (
        "AuditRateTooLow",
        "P-E1",
        "with the random audits alone, and nobody watching, a wrong result loses money on average",
        "raise rate_ppm, collateral_bps or safety_slash_bps, or lower max_task_price",
    ),
    (
        "ExposureTooHigh",
        "P-E2",
        "cheating on everything that is open at once does not pay either",
        "lower max_locked_bps, or raise collateral_bps, rate_ppm or safety_slash_bps",
    ),
    (
        "UnbondingTooShort",
        "P-V4",
        "stake outlives every task, audit, dispute and appeal that it may be called for",
        "raise unbonding_seconds, or shorten windows and clocks",
    ),
    (
        "CorrelationWindowTooShort",
        "P-V6",
        "wrong results of one moment fall in one window, however long some of them are argued about",
        "raise correlation_window_seconds, or shorten windows and clocks",
    ),
    (
        "CorrelationWindowTooLong",
        "P-V6",
        "the penalty of an attack is due before stake that began to unbond at the verdict may leave",
        "lower correlation_window_seconds below twice unbonding_seconds, or raise unbonding_seconds",
    ),
    (
        "FreshRateTooLow",
        "P-A1",
        "a record lowers the rate of audits, and never below rate_ppm",
        "raise fresh_rate_ppm to rate_ppm or more",
    ),
    (
        "LevyTooLow",
        "P-A4",
        "levies pay the audits that they cause",
        "raise audit_levy to fee x rate_ppm / 1000000 or more",
    ),
    (
        "RegistrationFeeTooLow",
        "P-A4",
        "a newcomer prepays the audits of its probation, and those above rate_ppm after it",
        "raise registration_fee to fee x (probation_tasks + (record_tasks + 1) x (fresh_rate_ppm - rate_ppm) / 2000000) or more",
    ),
    (
        "MinStakeTooLow",
        "P-R2",
        "whoever may be drawn has at least one penalty to lose",
        "raise min_stake to the larger of referee_penalty and penalty",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::artifacts;
    use crate::{DevParams, dev_params};

    async fn refused(change: impl Fn(&mut Params)) -> ParamsRefusal {
        let mut params = dev_params(DevParams::default());
        change(&mut params);
        match check(&params).await {
            Err(ParamsError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn each_rule_that_is_broken_is_told_with_its_values_and_a_remedy() {
        check(&dev_params(DevParams::default())).await.unwrap();
        type Change = fn(&mut Params);
        let cases: [(&str, Change); 16] = [
            ("Zero", |p| p.market.challengeWindow = 0),
            ("TooLarge", |p| p.court.maxRedraws = 9),
            ("SharesSum", |p| p.court.refereeBps += 1),
            ("BurnFloor", |p| {
                p.court.burnBps -= 1;
                p.court.refereeBps += 1;
            }),
            ("RetractNotInsideWindow", |p| {
                p.market.retractWindow = p.market.challengeWindow;
            }),
            ("IncrementAboveBudget", |p| {
                p.court.clockIncrement = p.court.clockBudget + 1;
            }),
            ("OspTooShort", |p| p.court.ospSeconds = 1),
            ("AuditRateTooLow", |p| p.audit.ratePpm = 1),
            ("ExposureTooHigh", |p| p.market.maxLockedBps = 3_000),
            ("UnbondingTooShort", |p| p.stake.unbondingSeconds = 1),
            ("CorrelationWindowTooShort", |p| {
                p.stake.correlationWindowSeconds = 86_400;
            }),
            ("CorrelationWindowTooLong", |p| {
                p.stake.correlationWindowSeconds = 2 * p.stake.unbondingSeconds;
            }),
            ("FreshRateTooLow", |p| {
                p.audit.freshRatePpm = p.audit.ratePpm - 1
            }),
            ("LevyTooLow", |p| p.market.auditLevy = 0),
            ("RegistrationFeeTooLow", |p| p.stake.registrationFee = 0),
            ("MinStakeTooLow", |p| {
                p.audit.penalty = p.stake.minStake + 1;
            }),
        ];
        for (name, change) in cases {
            let told = refused(change).await;
            assert!(told.error.starts_with(&format!("{name}(")), "{told}");
            assert_ne!(told.rule, "unknown", "{told}");
        }
    }

    #[test]
    fn every_error_of_the_constructor_has_words() {
        let abi = &artifacts()["Parameters"].abi;
        for (error, ..) in RULES {
            assert!(abi.errors.contains_key(error), "{error}");
        }
        // what else the contract may say is about who calls it, not about numbers
        let others = [
            "NotGuardian",
            "OwnableInvalidOwner",
            "OwnableUnauthorizedAccount",
            "UnknownVersion",
        ];
        for error in abi.errors.keys() {
            let known = RULES.iter().any(|(name, ..)| name == error);
            assert!(known || others.contains(&error.as_str()), "{error}");
        }
    }
}
