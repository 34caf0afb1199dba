//! The protocol on a chain: typed contracts and events.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use alloy::providers::{DynProvider, Provider as _};
use alloy::transports::TransportError;

use crate::bindings::{
    DevToken::{self, DevTokenInstance},
    IAppealLevels::{self, IAppealLevelsInstance},
    IAudits::{self, IAuditsInstance},
    IBeacon::{self, IBeaconInstance},
    ICourt::{self, ICourtInstance},
    IDemands::{self, IDemandsInstance},
    ITraps::{self, ITrapsInstance},
    Market::{self, MarketInstance},
    Parameters::{self, ParametersInstance},
    ProviderPool::{self, ProviderPoolInstance},
    StakeVault::{self, StakeVaultInstance},
};
use crate::chain::{Block, LogEntry};
use crate::deployment::Deployment;
use crate::endpoint::Endpoint;
use crate::events::{LoggedEvent, ProtocolEvent};
use crate::shared::SharedChain;

/// A block's identity and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Seconds since the epoch.
    pub time: u64,
}

impl From<&Block> for Head {
    fn from(block: &Block) -> Head {
        Head {
            number: block.number,
            hash: block.hash,
            time: block.time,
        }
    }
}

/// Why the network cannot be used or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not a URL.
    #[error("{0} is no URL")]
    Url(String),
    /// Another chain than the deployment's.
    #[error("the deployment is on chain {expected}, the node serves chain {found}")]
    OtherChain {
        /// The deployment's chain id.
        expected: u64,
        /// The node's.
        found: u64,
    },
    /// Nothing at an address.
    #[error("there is no contract at the {what}'s address {address} on chain {chain_id}")]
    NoCode {
        /// Which contract.
        what: &'static str,
        /// Its address.
        address: Address,
        /// The chain.
        chain_id: u64,
    },
    /// A node without blocks.
    #[error("the node has no newest block")]
    NoHead,
    /// Several nodes do not tell the same.
    #[error(transparent)]
    Disagreement(#[from] crate::quorum::Disagreement),
    /// The node cannot be reached, or said no.
    #[error(transparent)]
    Rpc(#[from] TransportError),
}

/// One deployment on one chain. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Network {
    endpoint: Endpoint,
    deployment: Arc<Deployment>,
}

impl Network {
    /// A deployment on the embedded chain.
    pub fn in_process(chain: SharedChain, deployment: Deployment) -> Network {
        Network::new(Endpoint::in_process(chain), deployment)
    }

    /// A deployment behind an HTTP JSON-RPC address, after checking that it is there.
    ///
    /// # Errors
    /// The node cannot be reached, serves another chain, or has no code at one of the addresses.
    pub async fn connect(rpc_url: &str, deployment: Deployment) -> Result<Network, NetworkError> {
        let network = Network::new(Endpoint::http(rpc_url)?, deployment);
        network.check().await?;
        Ok(network)
    }

    /// A deployment behind an endpoint, unchecked.
    pub fn new(endpoint: Endpoint, deployment: Deployment) -> Network {
        Network {
            endpoint,
            deployment: Arc::new(deployment),
        }
    }

    /// Confirms that the deployment is on this chain.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn check(&self) -> Result<(), NetworkError> {
        let (expected, found) = (self.deployment.chain_id, self.endpoint.chain_id().await?);
        if expected != found {
            return Err(NetworkError::OtherChain { expected, found });
        }
        let contracts = self.deployment.protocol();
        for (what, address) in contracts
            .into_iter()
            .chain([("token", self.deployment.token)])
        {
            if self.provider().get_code_at(address).await?.is_empty() {
                return Err(NetworkError::NoCode {
                    what,
                    address,
                    chain_id: found,
                });
            }
        }
        Ok(())
    }

    /// Addresses.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The connection.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The alloy provider, for what is not wrapped here.
    pub fn provider(&self) -> DynProvider {
        self.endpoint.provider().clone()
    }

    /// The embedded chain, if the network runs on it.
    pub fn embedded(&self) -> Option<&SharedChain> {
        self.endpoint.embedded()
    }

    /// Model registry, tasks and auction.
    pub fn market(&self) -> MarketInstance<DynProvider> {
        Market::new(self.deployment.market, self.provider())
    }

    /// Challenges, disputes and verdicts.
    pub fn court(&self) -> ICourtInstance<DynProvider> {
        ICourt::new(self.deployment.court, self.provider())
    }

    /// Random challenges.
    pub fn audits(&self) -> IAuditsInstance<DynProvider> {
        IAudits::new(self.deployment.audits, self.provider())
    }

    /// The levels below the operator.
    pub fn appeal_levels(&self) -> IAppealLevelsInstance<DynProvider> {
        IAppealLevels::new(self.deployment.appeal_levels, self.provider())
    }

    /// Inputs that are shown on chain.
    pub fn demands(&self) -> IDemandsInstance<DynProvider> {
        IDemands::new(self.deployment.demands, self.provider())
    }

    /// Known-answer tasks.
    pub fn traps(&self) -> ITrapsInstance<DynProvider> {
        ITraps::new(self.deployment.traps, self.provider())
    }

    /// Stake, pots and credit.
    pub fn vault(&self) -> StakeVaultInstance<DynProvider> {
        StakeVault::new(self.deployment.vault, self.provider())
    }

    /// Who serves a model as auditor and referee.
    pub fn pool(&self) -> ProviderPoolInstance<DynProvider> {
        ProviderPool::new(self.deployment.pool, self.provider())
    }

    /// Public randomness.
    pub fn beacon(&self) -> IBeaconInstance<DynProvider> {
        IBeacon::new(self.deployment.beacon, self.provider())
    }

    /// The protocol's numbers.
    pub fn parameters(&self) -> ParametersInstance<DynProvider> {
        Parameters::new(self.deployment.parameters, self.provider())
    }

    /// The asset.
    pub fn token(&self) -> DevTokenInstance<DynProvider> {
        DevToken::new(self.deployment.token, self.provider())
    }

    /// The newest block.
    ///
    /// # Errors
    /// The node cannot be reached.
    pub async fn head(&self) -> Result<Head, NetworkError> {
        self.endpoint.head().await
    }

    /// A block; none where the chain is shorter.
    ///
    /// # Errors
    /// The node cannot be reached.
    pub async fn block(&self, number: u64) -> Result<Option<Head>, NetworkError> {
        self.endpoint.block(number).await
    }

    /// Events of the protocol's contracts in blocks `from..=to`, in chain order.
    ///
    /// # Errors
    /// The node cannot be reached, or refuses the range.
    pub async fn logs(&self, from: u64, to: u64) -> Result<Vec<LoggedEvent>, NetworkError> {
        let addresses = self
            .deployment
            .protocol()
            .into_iter()
            .map(|(_, a)| a)
            .collect();
        let logs = self.endpoint.logs(addresses, from, to).await?;
        Ok(logs.iter().map(|entry| self.event(entry)).collect())
    }

    pub(crate) fn event(&self, entry: &LogEntry) -> LoggedEvent {
        LoggedEvent {
            block_number: entry.block_number,
            block_hash: entry.block_hash,
            transaction_hash: entry.transaction_hash,
            index: entry.index,
            address: entry.log.address,
            event: ProtocolEvent::decode(&self.deployment, entry.log.address, &entry.log.data),
        }
    }
}
