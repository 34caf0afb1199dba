//! What convictions cost beyond the first slash, and how a record lowers the rate of audits: the twins of
//! `contracts/src/stake/CorrelatedSlashing.sol` and `contracts/src/audits/AuditRate.sol`.

use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::Parameters::AuditParams;

/// A provider's first safety slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// When.
    pub at: u64,
    /// Its whole stake before anything was taken.
    pub stake: u128,
    /// Stake of everyone who was not convicted, right after.
    pub active_after: u128,
}

/// Convictions within half a window of one of them, as a part of all stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attack {
    /// Stakes of the convicted.
    pub slashed: u128,
    /// Theirs, and what everyone else had after the last of them.
    pub total: u128,
}

impl Attack {
    /// The attack that a conviction at `at` is part of. `convictions` are in their order, this one among them, up to any
    /// moment after its half window.
    pub fn of(at: u64, half_window: u64, convictions: &[Conviction]) -> Attack {
        let last = at.saturating_add(half_window);
        let first = at.saturating_sub(half_window);
        let until = convictions.iter().filter(|c| c.at <= last);
        let active = until.clone().next_back().map_or(0, |c| c.active_after);
        let slashed = until.filter(|c| c.at >= first).map(|c| c.stake).sum();
        Attack {
            slashed,
            total: slashed + active,
        }
    }

    /// What is taken of an amount of which a convict has it left: `multiplier` times the attack's share of all stake, at most all.
    pub fn takes(&self, multiplier: u16, amount: u128) -> u128 {
        if self.total == 0 {
            return 0;
        }
        let total = U256::from(self.total);
        let part = (U256::from(multiplier) * U256::from(self.slashed)).min(total);
        // part <= total
        (U256::from(amount) * part / total).saturating_to()
    }
}

/// Rate at which the next result of a provider with `settled` of them is audited, in parts per million. The parameters keep
/// `ratePpm <= freshRatePpm`.
pub fn audit_rate(rules: &AuditParams, settled: u64) -> u64 {
    let Some(record) = settled.checked_sub(rules.probationTasks.into()) else {
        return 1_000_000;
    };
    let all = u64::from(rules.recordTasks);
    if record >= all {
        return rules.ratePpm.into();
    }
    let fall = u64::from(rules.freshRatePpm) - u64::from(rules.ratePpm);
    u64::from(rules.freshRatePpm) - (fall * record).div_ceil(all)
}

/// Audits at another floor: who is new is never audited less.
pub fn set_floor(rules: &mut AuditParams, rate_ppm: u32) {
    rules.ratePpm = rate_ppm;
    rules.freshRatePpm = rules.freshRatePpm.max(rate_ppm);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: u64, stake: u128, active_after: u128) -> Conviction {
        Conviction {
            at,
            stake,
            active_after,
        }
    }

    #[test]
    fn an_accident_is_cheap_and_a_third_is_everything() {
        let one = Attack::of(10, 5, &[at(10, 1_000, 99_000)]);
        assert_eq!(one.takes(3, 500), 15);
        let third = Attack::of(10, 5, &[at(10, 1_000, 2_000)]);
        assert_eq!(third.takes(3, 500), 500);
        let most = Attack::of(10, 5, &[at(10, 1_000, 10)]);
        assert_eq!(most.takes(3, 500), 500);
    }

    #[test]
    fn the_window_has_both_ends_in_it() {
        let all = [
            at(5, 10, 70),
            at(10, 10, 60),
            at(15, 10, 50),
            at(16, 10, 40),
        ];
        assert_eq!(
            Attack::of(10, 5, &all),
            Attack {
                slashed: 30,
                total: 80
            }
        );
        assert_eq!(
            Attack::of(5, 5, &all),
            Attack {
                slashed: 20,
                total: 80
            }
        );
        assert_eq!(
            Attack::of(16, 5, &all),
            Attack {
                slashed: 20,
                total: 60
            }
        );
    }

    #[test]
    fn nothing_of_nothing_is_nothing() {
        assert_eq!(Attack::of(3, 9, &[at(3, 0, 0)]).takes(3, 0), 0);
    }
}
