//! What a development network may choose, and what the constructor of `Parameters` says to it.
#![allow(clippy::unwrap_used)]

use alloy::primitives::{Address, Bytes};
use alloy::sol_types::SolValue as _;
use gavel_settlement::account::dev_key;
use gavel_settlement::artifacts::bytecode;
use gavel_settlement::bindings::Parameters::Params;
use gavel_settlement::chain::Genesis;
use gavel_settlement::{DevParams, Endpoint, SendError, Sender, SharedChain, Windows, dev_params};

struct Judge(Sender);

impl Judge {
    fn new() -> Judge {
        let chain = SharedChain::in_memory(Genesis::default());
        let endpoint = Endpoint::in_process(chain);
        Judge(Sender::new(dev_key("params tests", 0), endpoint))
    }

    /// The error that the constructor refuses these with.
    async fn refusal(&self, params: &Params) -> Option<String> {
        let place = Address::repeat_byte(1);
        let arguments = (place, place, params.clone()).abi_encode_params();
        let code = bytecode("Parameters").unwrap();
        let code: Bytes = [&code[..], &arguments].concat().into();
        match self.0.create(code).await {
            Ok(mined) => {
                assert!(mined.created.is_some());
                None
            }
            Err(SendError::Reverted { error, .. }) => Some(error),
            Err(error) => panic!("{error}"),
        }
    }
}

const WINDOWS: [Windows; 2] = [Windows::Normal, Windows::Fast];

fn chosen(audit_rate_ppm: u32, probation_tasks: u32, windows: Windows) -> DevParams {
    DevParams {
        audit_rate_ppm,
        probation_tasks,
        record_tasks: probation_tasks / 2,
        windows,
    }
}

#[tokio::test]
async fn every_choice_from_one_to_a_hundred_percent_deploys() {
    let judge = Judge::new();
    for percent in 1..=100 {
        for probation in [0, 1, 3, 4, 50, 1_000] {
            for windows in WINDOWS {
                let choice = chosen(percent * 10_000, probation, windows);
                let refusal = judge.refusal(&dev_params(choice)).await;
                assert_eq!(refusal, None, "{choice:?}");
            }
        }
    }
}

#[tokio::test]
async fn rates_between_whole_percents_deploy_too() {
    let judge = Judge::new();
    // around the rate below which collateral must grow, and a spread of others
    for rate in (208_320..208_345).chain((10_001..1_000_000).step_by(7_919)) {
        let choice = chosen(rate, 3, Windows::Fast);
        assert_eq!(judge.refusal(&dev_params(choice)).await, None, "{choice:?}");
    }
}

#[tokio::test]
async fn a_rate_that_no_collateral_makes_up_for_is_refused_by_its_rule() {
    let judge = Judge::new();
    for (rate, error) in [
        (0, "AuditRateTooLow(ratePpm=0, leastPpm=3)"),
        (2, "AuditRateTooLow(ratePpm=2, leastPpm=3)"),
        (3, "ExposureTooHigh("),
        (1_000_001, "TooLarge(what=ratePpm, "),
    ] {
        for windows in WINDOWS {
            let params = dev_params(chosen(rate, 3, windows));
            let refusal = judge.refusal(&params).await.unwrap();
            assert!(refusal.starts_with(error), "{rate}: {refusal}");
        }
    }
    assert_eq!(
        judge
            .refusal(&dev_params(chosen(4, 3, Windows::Fast)))
            .await,
        None
    );
}

#[tokio::test]
async fn a_rate_that_is_too_low_for_its_collateral_is_refused_by_its_rule() {
    let judge = Judge::new();
    for percent in 1..=100 {
        for windows in WINDOWS {
            let mut params = dev_params(chosen(percent * 10_000, 3, windows));
            // exposure binds first: twelve percent less than the least rate of this collateral
            params.audit.ratePpm = params.audit.ratePpm.min(208_334) * 22 / 25;
            let refusal = judge.refusal(&params).await.unwrap();
            assert!(
                refusal.starts_with("ExposureTooHigh("),
                "{percent} %: {refusal}"
            );
            // and with nothing at risk beyond one task, a lie must still not pay on average
            params.audit.ratePpm /= 100;
            let refusal = judge.refusal(&params).await.unwrap();
            assert!(
                refusal.starts_with("AuditRateTooLow("),
                "{percent} %: {refusal}"
            );
        }
    }
}

#[tokio::test]
async fn the_rules_that_choices_lean_on_are_there() {
    let judge = Judge::new();
    type Break = fn(&mut Params);
    let broken: [(&str, Break); 5] = [
        ("RegistrationFeeTooLow(", |p| p.audit.probationTasks = 4),
        ("LevyTooLow(", |p| p.audit.ratePpm = 250_001),
        ("UnbondingTooShort(", |p| p.stake.unbondingSeconds /= 20),
        ("RetractNotInsideWindow(", |p| {
            p.market.retractWindow = p.market.challengeWindow
        }),
        ("MinStakeTooLow(", |p| p.stake.minStake = 1),
    ];
    for (error, breaks) in broken {
        let mut params = dev_params(DevParams::default());
        assert_eq!(judge.refusal(&params).await, None);
        breaks(&mut params);
        let refusal = judge.refusal(&params).await.unwrap();
        assert!(refusal.starts_with(error), "{refusal}");
    }
}
