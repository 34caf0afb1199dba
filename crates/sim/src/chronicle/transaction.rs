//! Transactions as they stand in the embedded chain.

use gavel_node::{Address, Bytes};
use gavel_settlement::alloy::consensus::{Transaction as _, TxEnvelope};
use gavel_settlement::alloy::eips::eip2718::Decodable2718 as _;
use gavel_settlement::bindings::{
    DevBeacon::DevBeaconCalls, DevToken::DevTokenCalls, IAppealLevels::IAppealLevelsCalls,
    IAudits::IAuditsCalls, ICourt::ICourtCalls, IDemands::IDemandsCalls, ITraps::ITrapsCalls,
    Market::MarketCalls, ProviderPool::ProviderPoolCalls, StakeVault::StakeVaultCalls,
};
use gavel_settlement::chain::Receipt;
use gavel_settlement::{Deployment, ProtocolEvent, SharedChain};

/// A transaction that had an effect.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    /// Who sent it.
    pub(crate) from: Address,
    /// The contract's name for what it does.
    pub(crate) action: &'static str,
    /// Its call data.
    pub(crate) input: Bytes,
    /// Gas used.
    pub(crate) gas: u64,
    /// Block time.
    pub(crate) time: u64,
    /// What it says, in order.
    pub(crate) events: Vec<ProtocolEvent>,
}

/// Transactions of the blocks after `block`, and the newest block.
pub(crate) fn since(
    chain: &SharedChain,
    deployment: &Deployment,
    block: u64,
) -> (Vec<Transaction>, u64) {
    let chain = chain.lock();
    let head = chain.head().number;
    let of_block = |number| {
        // the arena's chain is in memory, where nothing can fail to be read
        let block = chain.block(number).ok()??;
        let receipt = chain.receipt_of(block.transaction?).ok()??;
        receipt
            .success
            .then(|| transaction(deployment, &receipt, block.time))
    };
    ((block + 1..=head).filter_map(of_block).collect(), head)
}

fn transaction(deployment: &Deployment, receipt: &Receipt, time: u64) -> Transaction {
    let events = receipt.logs.iter();
    let input = TxEnvelope::decode_2718(&mut receipt.raw.as_ref())
        .map(|t| t.input().clone())
        .unwrap_or_default();
    Transaction {
        from: receipt.from,
        action: action(deployment, receipt, &input).unwrap_or("other"),
        input,
        gas: receipt.gas_used,
        time,
        events: events
            .map(|entry| ProtocolEvent::decode(deployment, entry.log.address, &entry.log.data))
            .collect(),
    }
}

fn action(deployment: &Deployment, receipt: &Receipt, input: &[u8]) -> Option<&'static str> {
    let selector = *input.first_chunk::<4>()?;
    match receipt.to? {
        to if to == deployment.market => MarketCalls::name_by_selector(selector),
        to if to == deployment.court => ICourtCalls::name_by_selector(selector),
        to if to == deployment.audits => IAuditsCalls::name_by_selector(selector),
        to if to == deployment.appeal_levels => {
            // the court has calls of the same names
            match IAppealLevelsCalls::name_by_selector(selector)? {
                "revealRow" => Some("revealChunkRow"),
                "claimTimeout" => Some("claimAppealTimeout"),
                other => Some(other),
            }
        }
        to if to == deployment.demands => IDemandsCalls::name_by_selector(selector),
        to if to == deployment.traps => ITrapsCalls::name_by_selector(selector),
        to if to == deployment.vault => StakeVaultCalls::name_by_selector(selector),
        to if to == deployment.pool => ProviderPoolCalls::name_by_selector(selector),
        to if to == deployment.beacon => DevBeaconCalls::name_by_selector(selector),
        to if to == deployment.token => DevTokenCalls::name_by_selector(selector),
        _ => None,
    }
}
