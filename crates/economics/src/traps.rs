//! Whether checking pays: known-answer tasks (`spec/protocol.md`, "Traps").

use gavel_settlement::bindings::Parameters::Params;

use crate::rules::bond;

/// Share of a jackpot that an auditor can count on, whatever friends the sealer has among the finders.
pub const SURE_SHARE: f64 = 0.25;

/// What an auditor is up against, in one unit of money.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vigilance {
    /// Deposit of a trap.
    pub jackpot: f64,
    /// What the auditor pays that lets a trap pass.
    pub penalty: f64,
    /// What it costs to run one result again.
    pub check: f64,
    /// Share of what is wrong that a check finds.
    pub detection: f64,
}

impl Vigilance {
    /// Under these parameters, with the least deposit; a check costs what an audit is paid.
    pub fn of(params: &Params) -> Vigilance {
        let bond = bond(&params.court) as f64;
        Vigilance {
            jackpot: bond,
            penalty: bond,
            check: params.audit.fee as f64,
            detection: f64::from(params.economics.detectionBps) / 1e4,
        }
    }

    /// The jackpot at what a finder gets of it where the sealer has so many friends among the finders.
    pub fn with_friends(self, friends: u32) -> Vigilance {
        Vigilance {
            jackpot: self.jackpot / 2f64.powi(friends.min(1_000) as i32),
            ..self
        }
    }

    /// Least share of traps among audited results at which checking pays with the jackpot as it stands.
    pub fn edge(&self) -> f64 {
        self.check / (self.detection * (self.jackpot + self.penalty))
    }

    /// Least share of traps among audited results at which checking pays more than saying "matched":
    /// `f d (J + S) > C`, the jackpot counted at [`SURE_SHARE`]. Above 1 nothing keeps anybody awake.
    pub fn least_share(&self) -> f64 {
        self.check / (self.detection * (self.jackpot * SURE_SHARE + self.penalty))
    }

    /// Whether an auditor stays awake with this share of traps.
    pub fn awake(&self, share: f64) -> bool {
        share * self.detection * (self.jackpot * SURE_SHARE + self.penalty) > self.check
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An auditor's account over many results: those who set a trap and those who did not.
    fn account(v: &Vigilance, traps: u32, results: u32, checks: bool) -> f64 {
        let (traps, results) = (f64::from(traps), f64::from(results));
        match checks {
            true => {
                let found = traps * v.detection;
                found * v.jackpot * SURE_SHARE - (traps - found) * v.penalty - results * v.check
            }
            false => -traps * v.penalty,
        }
    }

    proptest! {
        #[test]
        fn awake_is_when_the_account_of_checking_is_better(
            jackpot in 1.0..100.0f64,
            penalty in 1.0..100.0f64,
            check in 0.01..10.0f64,
            detection in 0.01..=1.0f64,
            traps in 0u32..1_000,
        ) {
            let v = Vigilance { jackpot, penalty, check, detection };
            let better = account(&v, traps, 1_000, true) - account(&v, traps, 1_000, false);
            let share = f64::from(traps) / 1_000.0;
            // away from where both are the same
            prop_assume!(better.abs() > 1e-6);
            prop_assert_eq!(v.awake(share), better > 0.0);
            prop_assert_eq!(v.awake(share), share > v.least_share());
        }
    }

    #[test]
    fn the_development_network_keeps_its_auditors_awake_with_one_trap_in_a_few() {
        use gavel_settlement::{DevParams, Windows, dev_params};
        let params = dev_params(DevParams {
            audit_rate_ppm: 250_000,
            probation_tasks: 3,
            windows: Windows::Fast,
            record_tasks: 0,
        });
        let v = Vigilance::of(&params);
        let least = v.least_share();
        assert!((0.05..0.5).contains(&least), "{least}");
        assert!(v.awake(least * 1.01) && !v.awake(least * 0.99));
    }

    #[test]
    fn the_share_is_what_one_and_two_friends_leave() {
        // a sealer that is m of m + 1 finders gets back m / 2^m of its deposit, at most half
        let back = |m: i32| f64::from(m) / 2f64.powi(m);
        let most = (0..20).map(back).fold(0.0, f64::max);
        assert_eq!((most, back(1), back(2)), (0.5, 0.5, 0.5));
        assert_eq!(2f64.powi(-2), SURE_SHARE);
    }
}
