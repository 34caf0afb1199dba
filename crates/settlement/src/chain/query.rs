//! Reading the chain.

use alloy::primitives::{Address, B256, Bytes, U256};
use revm::DatabaseRef as _;

use super::types::{Block, LogEntry, Receipt};
use super::types::{CallOutcome, CallRequest};
use super::{Chain, ChainError, execute::TRANSACTION_GAS_CAP};

/// Which logs.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// First block.
    pub from_block: u64,
    /// Last block.
    pub to_block: u64,
    /// Any of these addresses; all where empty.
    pub addresses: Vec<Address>,
    /// For each topic position any of these; all where empty.
    pub topics: Vec<Vec<B256>>,
}

impl LogFilter {
    fn matches(&self, entry: &LogEntry) -> bool {
        let topics = entry.log.topics();
        (self.addresses.is_empty() || self.addresses.contains(&entry.log.address))
            && self.topics.iter().enumerate().all(|(i, wanted)| {
                wanted.is_empty() || topics.get(i).is_some_and(|t| wanted.contains(t))
            })
    }
}

impl Chain {
    /// A block by height.
    pub fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    /// A block by hash.
    pub fn block_by_hash(&self, hash: B256) -> Option<&Block> {
        self.blocks.iter().rev().find(|b| b.hash == hash)
    }

    /// A transaction's receipt, while its block is in the chain.
    pub fn receipt_of(&self, transaction: B256) -> Option<&Receipt> {
        self.receipts.get(&transaction)
    }

    /// Logs of the blocks still in the chain.
    pub fn logs(&self, filter: &LogFilter) -> Vec<&LogEntry> {
        self.blocks
            .iter()
            .skip(usize::try_from(filter.from_block).unwrap_or(usize::MAX))
            .take_while(|block| block.number <= filter.to_block)
            .filter_map(|b| self.receipts.get(&b.transaction?))
            .flat_map(|r| r.logs.iter())
            .filter(|l| filter.matches(l))
            .collect()
    }

    /// Code of an account.
    pub fn code(&self, address: Address) -> Bytes {
        let info = self.state.basic_ref(address).ok().flatten();
        let code = info.and_then(|i| {
            i.code
                .or_else(|| self.state.code_by_hash_ref(i.code_hash).ok())
        });
        code.map(|c| c.original_bytes()).unwrap_or_default()
    }

    /// A storage slot of an account.
    pub fn storage(&self, address: Address, slot: U256) -> U256 {
        self.state.storage_ref(address, slot).unwrap_or_default()
    }

    /// Gas limit with which a transaction would succeed, or how it fails.
    ///
    /// # Errors
    /// As [`call`](Chain::call).
    pub fn estimate(
        &mut self,
        request: &CallRequest,
    ) -> Result<Result<u64, CallOutcome>, ChainError> {
        let call = CallRequest {
            gas: None,
            ..request.clone()
        };
        let spent = match self.call(&call)? {
            CallOutcome::Returned { gas_used, .. } => gas_used,
            failed => return Ok(Err(failed)),
        };
        // what is spent before refunds, and what EIP-150 keeps back in nested calls; where that does not do, the cap
        let limit = (spent + spent / 4 + 30_000).min(TRANSACTION_GAS_CAP);
        let call = CallRequest {
            gas: Some(limit),
            ..call
        };
        Ok(Ok(match self.call(&call)? {
            CallOutcome::Returned { .. } => limit,
            _ => TRANSACTION_GAS_CAP,
        }))
    }
}
