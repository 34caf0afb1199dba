//! Who can change what, asked of the contracts.

use gavel_node::{Address, NodeError};
use gavel_settlement::alloy::primitives::{B256, U256};
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::alloy::rpc::types::Filter;
use gavel_settlement::alloy::sol_types::SolEvent as _;
use gavel_settlement::bindings::GovernanceTimelock::{self, CallScheduled, RoleGranted};
use gavel_settlement::{Network, NetworkError};

/// A change that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: B256,
    pub(crate) ready_at: u64,
    pub(crate) target: Address,
}

/// Who holds which power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    pub(crate) owner: Address,
    pub(crate) guardian: Address,
    /// Seconds that a change waits; `None` where the owner is no timelock.
    pub(crate) delay: Option<u64>,
    pub(crate) proposers: Vec<Address>,
    pub(crate) executors: Vec<Address>,
    /// Those who could give themselves more.
    pub(crate) admins: Vec<Address>,
    pub(crate) pending: Vec<Pending>,
}

fn unread(error: impl std::fmt::Display) -> NodeError {
    NodeError::Read {
        what: "who may change the parameters".to_owned(),
        reason: error.to_string(),
    }
}

impl Trust {
    pub(crate) async fn read(network: &Network) -> Result<Trust, NodeError> {
        let parameters = network.parameters();
        let owner = parameters.owner().call().await.map_err(unread)?;
        let guardian = parameters.guardian().call().await.map_err(unread)?;
        let mut trust = Trust {
            owner,
            guardian,
            delay: None,
            proposers: Vec::new(),
            executors: Vec::new(),
            admins: Vec::new(),
            pending: Vec::new(),
        };
        if owner != network.deployment().timelock {
            return Ok(trust);
        }
        let timelock = GovernanceTimelock::new(owner, network.provider());
        let delay = timelock.getMinDelay().call().await.map_err(unread)?;
        trust.delay = Some(u64::try_from(delay).unwrap_or(u64::MAX));
        let filter = Filter::new()
            .address(owner)
            .from_block(network.deployment().deploy_block);
        let logs = network.provider().get_logs(&filter).await;
        let logs = logs.map_err(NetworkError::from)?;
        let proposer = timelock.PROPOSER_ROLE().call().await.map_err(unread)?;
        let executor = timelock.EXECUTOR_ROLE().call().await.map_err(unread)?;
        let mut granted: Vec<(B256, Address)> = Vec::new();
        for log in &logs {
            if let Ok(e) = RoleGranted::decode_log(&log.inner) {
                granted.push((e.role, e.account));
            }
            if let Ok(e) = CallScheduled::decode_log(&log.inner) {
                let pending = timelock
                    .isOperationPending(e.id)
                    .call()
                    .await
                    .map_err(unread)?;
                let known = trust.pending.iter().any(|p| p.id == e.id);
                if pending && !known {
                    let at: U256 = timelock.getTimestamp(e.id).call().await.map_err(unread)?;
                    trust.pending.push(Pending {
                        id: e.id,
                        ready_at: u64::try_from(at).unwrap_or(u64::MAX),
                        target: e.target,
                    });
                }
            }
        }
        granted.sort();
        granted.dedup();
        for (role, account) in granted {
            // what was granted may have been taken away
            if !timelock
                .hasRole(role, account)
                .call()
                .await
                .map_err(unread)?
            {
                continue;
            }
            match role {
                role if role == proposer => trust.proposers.push(account),
                role if role == executor => trust.executors.push(account),
                B256::ZERO => trust.admins.push(account),
                _ => {}
            }
        }
        Ok(trust)
    }
}
