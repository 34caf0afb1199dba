//! Parameters of the protocol, as far as a party decides by them. Times in seconds, shares in basis
//! points, amounts in units of the asset.

/// One version of the parameters; a task lives under the version in force when it was posted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Auction and task.
    pub market: MarketRules,
    /// Dispute, referee and verdict.
    pub court: CourtRules,
    /// Random audits.
    pub audit: AuditRules,
    /// Stake. The newest version's are in force for every provider.
    pub stake: StakeRules,
}

/// Auction and task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketRules {
    /// Largest price ceiling of a new task.
    pub max_task_price: u128,
    /// Work units per second that a deadline may assume.
    pub min_throughput: u64,
    /// Longest time from claim to deadline.
    pub exec_max: u32,
    /// Least `min_price`, as a share of `max_price`.
    pub price_floor_bps: u16,
    /// Normal claims that one retry claim opens the gate for.
    pub retry_every: u16,
    /// On top of the ceiling, per task.
    pub audit_levy: u128,
    /// From the result to the last second for a challenge.
    pub challenge_window: u32,
    /// After it, for reveals.
    pub reveal_window: u32,
    /// From the result; no reveals inside.
    pub retract_window: u32,
    /// From the end of the retract window to the audit's round.
    pub seed_delay: u32,
    /// Least collateral.
    pub min_collateral: u128,
    /// Collateral as a share of the ceiling.
    pub collateral_bps: u32,
    /// Largest share of the active stake that may be locked.
    pub max_locked_bps: u16,
    /// After this a task that nobody claimed may be expired.
    pub open_lifetime: u32,
    /// A retry that waited longer closes the normal lane.
    pub retry_grace: u32,
    /// After this a retry that nobody claimed may be expired.
    pub retry_lifetime: u32,
}

/// Dispute, referee and verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CourtRules {
    /// Clock of each side at the start, and its cap.
    pub clock_budget: u32,
    /// Gained by each own move.
    pub clock_increment: u32,
    /// From the draw to the ruling's deadline.
    pub referee_seconds: u32,
    /// From the ruling.
    pub appeal_window: u32,
    /// Referee draws beyond the first.
    pub max_redraws: u8,
    /// `ruleEarlier` hops in one chain of disputes.
    pub max_earlier: u8,
    /// What a provider's gas in a dispute is priced at.
    pub provider_gas_cost: u128,
    /// Paid to the referee.
    pub referee_fee: u128,
    /// Bond of an appeal.
    pub appeal_bond: u128,
    /// Seconds that the appeal levels may take.
    pub osp_seconds: u32,
    /// Seconds after a round's time within which its value is counted on.
    pub beacon_slack: u32,
}

/// Random audits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRules {
    /// Share of results that are audited whatever the record, in parts per million.
    pub rate_ppm: u32,
    /// First results of a provider, which are audited always.
    pub probation_tasks: u32,
    /// Share of the first result after them.
    pub fresh_rate_ppm: u32,
    /// Results over which it falls from there to `rate_ppm`.
    pub record_tasks: u32,
    /// From the draw to the commitment's deadline.
    pub commit_seconds: u32,
    /// From the chunk seed to the opening's deadline.
    pub open_seconds: u32,
    /// Auditor draws beyond the first.
    pub max_redraws: u8,
}

/// Stake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StakeRules {
    /// Least stake of an eligible provider.
    pub min_stake: u128,
    /// Paid on top of the stake when registering.
    pub registration_fee: u128,
    /// From the request to the withdrawal.
    pub unbonding_seconds: u32,
}

impl AuditRules {
    /// P-A1: share at which the next result of a provider with `settled` of them is audited, in parts per million.
    pub fn rate_of(&self, settled: u64) -> u32 {
        let Some(record) = settled.checked_sub(self.probation_tasks.into()) else {
            return 1_000_000;
        };
        let all = u64::from(self.record_tasks);
        if record >= all {
            return self.rate_ppm;
        }
        let fall = u64::from(self.fresh_rate_ppm.saturating_sub(self.rate_ppm));
        // at most `fall`, which is a u32
        self.fresh_rate_ppm - (fall * record).div_ceil(all) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_lowers_the_rate_to_the_floor_and_no_further() {
        let rules = AuditRules {
            rate_ppm: 250_000,
            probation_tasks: 3,
            fresh_rate_ppm: 500_000,
            record_tasks: 7,
            ..AuditRules::default()
        };
        // as in contracts/test/unit/AuditRate.t.sol
        let rates: Vec<u32> = (0..12).map(|n| rules.rate_of(n)).collect();
        let line = [
            500_000, 464_285, 428_571, 392_857, 357_142, 321_428, 285_714,
        ];
        assert_eq!(rates[..3], [1_000_000; 3]);
        assert_eq!(rates[3..10], line);
        assert_eq!(rates[10..], [250_000; 2]);
        assert_eq!(rules.rate_of(u64::MAX), 250_000);
    }
}
