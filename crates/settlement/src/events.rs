//! The protocol's events.

use alloy::primitives::{Address, B256, LogData};
use alloy::sol_types::SolEventInterface;

use crate::bindings::{
    DevToken::DevTokenEvents, IAppealLevels::IAppealLevelsEvents, IAudits::IAuditsEvents,
    IBeacon::IBeaconEvents, ICourt::ICourtEvents, IDemands::IDemandsEvents, ITraps::ITrapsEvents,
    Market::MarketEvents, Parameters::ParametersEvents, ProviderPool::ProviderPoolEvents,
    StakeVault::StakeVaultEvents,
};
use crate::deployment::Deployment;

/// An event, by the contract that emitted it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // parameters are set once in a long while
pub enum ProtocolEvent {
    /// Of the market.
    Market(MarketEvents),
    /// Of the court.
    Court(ICourtEvents),
    /// Of the audits.
    Audits(IAuditsEvents),
    /// Of the appeal levels.
    Appeals(IAppealLevelsEvents),
    /// Of the demands.
    Demands(IDemandsEvents),
    /// Of the traps.
    Traps(ITrapsEvents),
    /// Of the stake vault.
    Vault(StakeVaultEvents),
    /// Of the provider pool.
    Pool(ProviderPoolEvents),
    /// Of the beacon.
    Beacon(IBeaconEvents),
    /// Of the parameters.
    Parameters(ParametersEvents),
    /// Of the asset.
    Token(DevTokenEvents),
    /// Of another contract, or unknown to this version.
    Unknown(LogData),
}

impl ProtocolEvent {
    /// What `data`, emitted at `address`, says.
    pub fn decode(deployment: &Deployment, address: Address, data: &LogData) -> ProtocolEvent {
        fn of<E: SolEventInterface>(
            data: &LogData,
            wrap: impl Fn(E) -> ProtocolEvent,
        ) -> Option<ProtocolEvent> {
            E::decode_raw_log(data.topics(), &data.data).ok().map(wrap)
        }
        let known = match address {
            a if a == deployment.market => of(data, ProtocolEvent::Market),
            a if a == deployment.court => of(data, ProtocolEvent::Court),
            a if a == deployment.audits => of(data, ProtocolEvent::Audits),
            a if a == deployment.appeal_levels => of(data, ProtocolEvent::Appeals),
            a if a == deployment.demands => of(data, ProtocolEvent::Demands),
            a if a == deployment.traps => of(data, ProtocolEvent::Traps),
            a if a == deployment.vault => of(data, ProtocolEvent::Vault),
            a if a == deployment.pool => of(data, ProtocolEvent::Pool),
            a if a == deployment.beacon => of(data, ProtocolEvent::Beacon),
            a if a == deployment.parameters => of(data, ProtocolEvent::Parameters),
            a if a == deployment.token => of(data, ProtocolEvent::Token),
            _ => None,
        };
        known.unwrap_or_else(|| ProtocolEvent::Unknown(data.clone()))
    }
}

/// An event and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Its transaction.
    pub transaction_hash: B256,
    /// Number within the block.
    pub index: u64,
    /// The contract.
    pub address: Address,
    /// What it says.
    pub event: ProtocolEvent,
}
