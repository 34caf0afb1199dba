//! What a transaction pays.

use alloy::eips::BlockId;
use alloy::providers::Provider as _;

use super::error::SendError;
use super::policy::SendPolicy;
use super::remote::{refusal, request, retried, unsent};
use super::sender::{GAS_CAP, Intent, Sender};

/// Gas and fees of a transaction, in wei.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fees {
    pub(super) gas: u64,
    pub(super) max: u128,
    pub(super) tip: u128,
}

impl Fees {
    /// Never more than the limit.
    fn within(self, limit: u128) -> Fees {
        let max = self.max.min(limit);
        Fees {
            max,
            tip: self.tip.min(max),
            ..self
        }
    }

    /// The price of a replacement: at least an eighth more than before, which is what nodes ask for, and the node's idea of
    /// a price if that is more. `None` where the limit is in the way.
    pub(super) fn raised(self, market: Fees, limit: u128) -> Option<Fees> {
        let eighth = |fee: u128| fee.saturating_add((fee / 8).saturating_add(1));
        let (least_max, least_tip) = (eighth(self.max), eighth(self.tip));
        if least_max > limit {
            return None;
        }
        let raised = Fees {
            gas: self.gas,
            max: market.max.max(least_max),
            tip: market.tip.max(least_tip),
        };
        Some(raised.within(limit))
    }
}

/// Most wei for a unit of gas, `left` seconds before a deadline.
pub(super) fn limit(policy: &SendPolicy, left: Option<u64>) -> u128 {
    match is_urgent(policy, left) {
        true => policy.hard_max_fee.max(policy.max_fee),
        false => policy.max_fee,
    }
}

pub(super) fn is_urgent(policy: &SendPolicy, left: Option<u64>) -> bool {
    left.is_some_and(|left| left <= policy.urgent_seconds)
}

/// Seconds of the chain's time until a deadline; none where there is no deadline.
pub(super) async fn left(sender: &Sender, deadline: Option<u64>) -> Result<Option<u64>, SendError> {
    let Some(deadline) = deadline else {
        return Ok(None);
    };
    let head = sender.endpoint.head().await;
    let head = head.map_err(|e| SendError::Unsent(e.to_string()))?;
    Ok(Some(deadline.saturating_sub(head.time)))
}

/// Gas by estimate with a margin of a quarter, and the node's idea of a fee within the limits.
pub(super) async fn first(sender: &Sender, intent: &Intent) -> Result<Fees, SendError> {
    let provider = sender.endpoint.provider();
    let request = request(sender, intent);
    let estimated = retried(sender, || async {
        provider
            .estimate_gas(request.clone())
            .block(BlockId::pending())
            .await
    })
    .await
    .map_err(|e| refusal(e, None))?;
    let policy = sender.endpoint.policy();
    let market = Fees {
        gas: (estimated + estimated / 4).min(GAS_CAP),
        ..market(sender).await?
    };
    if market.max <= policy.max_fee {
        return Ok(market);
    }
    let left = left(sender, intent.deadline).await?;
    Ok(market.within(limit(&policy, left)))
}

/// The node's idea of a fee.
pub(super) async fn market(sender: &Sender) -> Result<Fees, SendError> {
    let provider = sender.endpoint.provider();
    let price = retried(sender, || async { provider.estimate_eip1559_fees().await })
        .await
        .map_err(unsent)?;
    Ok(Fees {
        gas: 0,
        max: price.max_fee_per_gas,
        tip: price.max_priority_fee_per_gas,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fees(max: u128, tip: u128) -> Fees {
        Fees { gas: 7, max, tip }
    }

    #[test]
    fn a_replacement_costs_an_eighth_more_or_what_the_market_asks() {
        let raised = |market, limit| fees(800, 80).raised(market, limit);
        assert_eq!(raised(fees(0, 0), 10_000), Some(fees(901, 91)));
        assert_eq!(raised(fees(5_000, 40), 10_000), Some(fees(5_000, 91)));
        assert_eq!(
            raised(fees(50_000, 20_000), 10_000),
            Some(fees(10_000, 10_000))
        );
        assert_eq!(raised(fees(50_000, 90), 900), None);
        assert_eq!(fees(0, 0).raised(fees(0, 0), 10), Some(fees(1, 1)));
    }

    #[test]
    fn near_a_deadline_the_limit_gives_way_up_to_the_hard_one() {
        let policy = SendPolicy::default();
        assert_eq!(limit(&policy, None), policy.max_fee);
        assert_eq!(limit(&policy, Some(601)), policy.max_fee);
        assert_eq!(limit(&policy, Some(600)), policy.hard_max_fee);
        assert_eq!(limit(&policy, Some(0)), policy.hard_max_fee);
    }

    proptest! {
        #[test]
        fn a_raise_is_enough_for_nodes_and_never_above_the_limit(
            max in 0..u128::MAX / 4, tip in 0..u128::MAX / 4, market in any::<u128>(), limit in any::<u128>()
        ) {
            let before = fees(max, tip.min(max));
            if let Some(after) = before.raised(fees(market, market / 2), limit) {
                prop_assert!(after.max <= limit && after.tip <= after.max);
                prop_assert!(after.max - before.max > before.max / 8);
                prop_assert!(after.tip - before.tip > before.tip / 8 || after.tip == after.max);
            }
        }
    }
}
