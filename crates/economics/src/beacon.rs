//! Numbers of a commit-reveal beacon: what withholding a secret has to cost, and how soon a value has to come.
//!
//! Whoever reveals last knows the value first. If it withholds, all that the round was to decide about is audited, by auditors
//! that the next round draws: with chance `r`, the colluding share, by a friend. What that is worth to a ring whose result an
//! honest auditor was drawn for is at most all that one name can win and lose: with everything open that its stake `T` allows,
//! `n` tasks of ceiling `P` that gain `D` each, `W = n (D + P) + T`. So the bond is to be above `r W` (P-B4).
//!
//! The contract cannot check that: it knows no parameters, which change while its bond stays. Nor does it know whose stake is
//! larger than the least: a network of larger stakes takes a larger bond.

use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::amount::exact;
use gavel_settlement::bindings::Parameters::Params;
use gavel_settlement::{BeaconChoice, CommitRevealChoice};

use crate::rules::collateral;

const BPS: u64 = 10_000;
/// One more than the constructor asks for: two friends are soon found.
const QUORUM: u32 = 3;

/// Why a beacon would not do what it is for. Each names its rule in `spec/protocol.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BeaconFlaw {
    /// Rounds of no length.
    #[error("P-B1: a round of secrets is 0 s: there is no time to commit in, nor to reveal")]
    ZeroPeriod,
    /// Too few make a value.
    #[error(
        "P-B3: a quorum of {quorum}: who takes part alone chooses the value, so that it takes two or more"
    )]
    QuorumTooSmall {
        /// The quorum.
        quorum: u32,
    },
    /// Withholding pays.
    #[error(
        "P-B4: the bond is {} tokens, and withholding a secret may be worth {} to a ring that has one of its results audited by \
         somebody honest: {colluding_bps} bps of what one name can win and lose at most, {} tokens",
        exact(*bond), exact(*least), exact(*worth)
    )]
    BondTooSmall {
        /// The bond.
        bond: u128,
        /// The least that is enough.
        least: u128,
        /// What one name can win and lose.
        worth: u128,
        /// Chance that the next draw is a friend.
        colluding_bps: u16,
    },
    /// Values come too late.
    #[error(
        "P-V4: stake has to outlive its disputes, which count on a value within beacon_slack = {slack} s of a round's time; \
         where one secret is withheld it comes {latest} s after"
    )]
    TooSlow {
        /// Seconds from a round's time to its value.
        latest: u64,
        /// Seconds that the parameters allow.
        slack: u64,
    },
    /// drand has no time.
    #[error(
        "P-B5: drand's value of a round counts for {slack} s after the round's time, less than the {period} s from one round to the next"
    )]
    NoTimeForDrand {
        /// The slack.
        slack: u64,
        /// Seconds between drand's rounds.
        period: u64,
    },
}

/// W: what one name can win and lose at most by one round.
fn worth(p: &Params) -> U256 {
    let dearest = U256::from(p.market.maxTaskPrice);
    let locked = collateral(&p.market, p.market.maxTaskPrice).max(U256::from(1));
    let most_locked = U256::from(p.market.maxLockedBps.max(1));
    // who may claim the dearest task has at least so much
    let stake = (locked * U256::from(BPS)).div_ceil(most_locked);
    let stake = stake.max(U256::from(p.stake.minStake));
    let open = (stake * most_locked / U256::from(BPS) / locked).max(U256::from(1));
    let gain = (dearest * U256::from(p.economics.gainBps)).div_ceil(U256::from(BPS));
    open * (gain + dearest) + stake
}

/// The least bond at which nobody gains by withholding a secret.
pub fn beacon_bond_min(p: &Params) -> u128 {
    let redrawn = worth(p) * U256::from(p.economics.colludingBps) / U256::from(BPS);
    (redrawn + U256::from(1)).saturating_to()
}

/// Numbers that suit these parameters, and for a beacon behind drand the slack: rounds as long as a value may take, one
/// withheld secret included.
pub fn suited(p: &Params, behind_drand: bool) -> (CommitRevealChoice, u64) {
    let allowed = u64::from(p.court.beaconSlack);
    let rounds = if behind_drand { 4 } else { 2 };
    let period = (allowed / rounds).max(1);
    let choice = CommitRevealChoice {
        period,
        quorum: QUORUM,
        bond: beacon_bond_min(p),
    };
    (choice, allowed.saturating_sub(3 * period))
}

/// Whether a beacon does what it is for under these parameters.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_beacon(choice: &BeaconChoice, p: &Params) -> Result<(), BeaconFlaw> {
    let (secrets, latest) = match choice {
        BeaconChoice::Development | BeaconChoice::Drand { .. } => return Ok(()),
        // its own secrets, and those of the next round
        BeaconChoice::CommitReveal(secrets) => (secrets, secrets.period.saturating_mul(2)),
        // up to a period until the round begins that nobody could know while drand counted
        BeaconChoice::Fallback {
            network,
            slack,
            other,
            ..
        } => {
            if *slack < network.period {
                let (slack, period) = (*slack, network.period);
                return Err(BeaconFlaw::NoTimeForDrand { slack, period });
            }
            (other, slack.saturating_add(other.period.saturating_mul(3)))
        }
    };
    if secrets.period == 0 {
        return Err(BeaconFlaw::ZeroPeriod);
    }
    if secrets.quorum < 2 {
        let quorum = secrets.quorum;
        return Err(BeaconFlaw::QuorumTooSmall { quorum });
    }
    let least = beacon_bond_min(p);
    if secrets.bond < least {
        return Err(BeaconFlaw::BondTooSmall {
            bond: secrets.bond,
            least,
            worth: worth(p).saturating_to(),
            colluding_bps: p.economics.colludingBps,
        });
    }
    let slack = u64::from(p.court.beaconSlack);
    if latest > slack {
        return Err(BeaconFlaw::TooSlow { latest, slack });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gavel_settlement::drand::DrandNetwork;
    use gavel_settlement::{DevParams, Windows, dev_params};
    use proptest::prelude::*;

    use super::*;
    use crate::{Assumptions, solve};

    fn networks() -> Vec<Params> {
        let windows = [Windows::Fast, Windows::Normal];
        let dev = windows.map(|windows| {
            dev_params(DevParams {
                windows,
                ..DevParams::default()
            })
        });
        let solved = solve(&Assumptions::default()).unwrap().params;
        dev.into_iter().chain([solved]).collect()
    }

    fn fallback(slack: u64, other: CommitRevealChoice) -> BeaconChoice {
        BeaconChoice::Fallback {
            network: Box::new(DrandNetwork::quicknet().unwrap()),
            drift: 15,
            slack,
            other,
        }
    }

    #[test]
    fn what_is_suited_is_taken_and_one_less_of_anything_is_not() {
        for params in networks() {
            let (alone, _) = suited(&params, false);
            let (behind, slack) = suited(&params, true);
            assert_eq!(
                check_beacon(&BeaconChoice::CommitReveal(alone), &params),
                Ok(())
            );
            assert_eq!(check_beacon(&fallback(slack, behind), &params), Ok(()));
            let refused = |change: &dyn Fn(&mut CommitRevealChoice)| {
                let mut choice = alone;
                change(&mut choice);
                let alone = check_beacon(&BeaconChoice::CommitReveal(choice), &params).unwrap_err();
                let mut choice = behind;
                change(&mut choice);
                let behind = check_beacon(&fallback(slack, choice), &params).unwrap_err();
                let told = [alone, behind].map(|flaw| flaw.to_string()[..4].to_owned());
                assert_eq!(told[0], told[1]);
                told[0].clone()
            };
            assert_eq!(refused(&|c| c.bond -= 1), "P-B4");
            assert_eq!(refused(&|c| c.quorum = 1), "P-B3");
            assert_eq!(refused(&|c| c.period = 0), "P-B1");
            assert_eq!(refused(&|c| c.period *= 2), "P-V4");
            let late = check_beacon(&fallback(slack + 4, behind), &params);
            assert!(matches!(late, Err(BeaconFlaw::TooSlow { .. })));
            let never = check_beacon(&fallback(2, behind), &params);
            assert!(matches!(never, Err(BeaconFlaw::NoTimeForDrand { .. })));
        }
    }

    #[test]
    fn the_bond_outweighs_the_colluding_share_of_all_that_a_name_has() {
        // four tasks of 10 tokens that gain 1.2 each, and a stake of 1000: a fifth of 1044.8
        let params = solve(&Assumptions::default()).unwrap().params;
        let tokens = |tenths: u128| tenths * 10u128.pow(17);
        assert_eq!(worth(&params), U256::from(tokens(10_448)));
        assert_eq!(
            beacon_bond_min(&params),
            tokens(2_089) + 6 * 10u128.pow(16) + 1
        );
    }

    proptest! {
        /// Withhold or reveal, with everything that one name has at stake: never better, whatever of it the round decides about.
        #[test]
        fn withholding_loses_money(caught in 1u32..=4, price in 0u128..=10, lost in 0u128..=1_000) {
            let params = solve(&Assumptions::default()).unwrap().params;
            let unit = 10u128.pow(18);
            let (gain, lost) = (unit * 12 / 10, lost * unit);
            let escapes = u128::from(caught) * (gain + price * unit) + lost;
            let redrawn = escapes * u128::from(params.economics.colludingBps) / 10_000;
            prop_assert!(redrawn < beacon_bond_min(&params));
        }
    }
}
