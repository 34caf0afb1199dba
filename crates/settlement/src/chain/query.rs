//! Reading the chain.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U256};

use super::types::{Block, LogEntry, Receipt, Retained};
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
    pub(super) fn matches(&self, entry: &LogEntry) -> bool {
        let topics = entry.log.topics();
        (self.addresses.is_empty() || self.addresses.contains(&entry.log.address))
            && self.topics.iter().enumerate().all(|(i, wanted)| {
                wanted.is_empty() || topics.get(i).is_some_and(|t| wanted.contains(t))
            })
    }
}

impl Chain {
    /// A block by height.
    ///
    /// # Errors
    /// It is on disk and cannot be read.
    pub fn block(&self, number: u64) -> Result<Option<Block>, ChainError> {
        Ok(self.history.block(number)?)
    }

    /// A block by hash.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn block_by_hash(&self, hash: B256) -> Result<Option<Block>, ChainError> {
        Ok(self.history.block_by_hash(hash)?)
    }

    /// A transaction's receipt, while its block is in the chain.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn receipt_of(&self, transaction: B256) -> Result<Option<Arc<Receipt>>, ChainError> {
        Ok(self.history.receipt(transaction)?)
    }

    /// Logs of the blocks still in the chain.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn logs(&self, filter: &LogFilter) -> Result<Vec<LogEntry>, ChainError> {
        Ok(self.history.logs(filter)?)
    }

    /// Balance of an account, in wei.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn balance(&self, address: Address) -> Result<U256, ChainError> {
        let account = self.world.account(&address)?;
        Ok(account.map_or(U256::ZERO, |account| account.balance))
    }

    /// Next nonce of an account.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn nonce(&self, address: Address) -> Result<u64, ChainError> {
        let account = self.world.account(&address)?;
        Ok(account.map_or(0, |account| account.nonce))
    }

    /// Code of an account.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        let account = self.world.account(&address)?;
        let code = account.and_then(|account| self.world.code(&account.code_hash));
        Ok(code.map(|code| code.original_bytes()).unwrap_or_default())
    }

    /// A storage slot of an account.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, ChainError> {
        Ok(self.world.slot(&(address, slot))?)
    }

    /// What of the chain is in memory. It takes time in proportion to that.
    pub fn retained(&self) -> Retained {
        let [accounts, slots, codes] = self.world.counts().map(|n| n as u64);
        let cold = self.world.cold();
        let mut retained = Retained {
            accounts,
            slots,
            codes,
            state_bytes: self.world.bytes(),
            cold_cached_bytes: cold.bytes(),
            cold_values: cold.entries(),
            cold_bytes: cold.bytes_on_disk(),
            cold_pages_read: cold.pages_read(),
            archived: self.history.archived(),
            ..Retained::default()
        };
        for recent in self.history.recent() {
            let receipt = recent.receipt.as_deref();
            retained.blocks += 1;
            retained.receipts += u64::from(receipt.is_some());
            retained.undo += recent.undo.len() as u64;
            retained.undo_bytes += recent.undo.bytes() as u64;
            // with a place in each of two tables
            let block = size_of::<Block>() + 2 * (size_of::<(B256, u64)>() + 1);
            retained.block_bytes += (block + receipt.map_or(0, Receipt::bytes)) as u64;
        }
        retained
    }

    /// Gas limit with which a transaction would succeed, or how it fails.
    ///
    /// # Errors
    /// As [`call`](Chain::call).
    pub fn estimate(&self, request: &CallRequest) -> Result<Result<u64, CallOutcome>, ChainError> {
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
