//! Blocks, receipts, logs and transactions as JSON-RPC shows them.

use alloy::consensus::TxEnvelope;
use alloy::consensus::transaction::SignerRecoverable as _;
use alloy::eips::eip2718::Decodable2718 as _;
use alloy::primitives::{Address, B64, B256, Bloom, U64, logs_bloom};
use serde_json::{Value, json};

use super::RpcError;
use crate::chain::{Block, Chain, LogEntry, Receipt};

const BLOCK_GAS_LIMIT: u64 = 60_000_000;

pub(super) fn hex(number: u64) -> Value {
    json!(U64::from(number))
}

/// A block; `full` shows its transaction instead of its hash. Fields of a consensus that the embedded chain
/// does not have are zero.
pub(super) fn block(chain: &Chain, block: &Block, full: bool) -> Result<Value, RpcError> {
    let receipt = match block.transaction {
        Some(hash) => chain.receipt_of(hash)?,
        None => None,
    };
    let transactions = match &receipt {
        Some(receipt) if full => vec![transaction(block, receipt)?],
        _ => block.transaction.iter().map(|hash| json!(hash)).collect(),
    };
    let bloom = receipt.as_deref().map_or(Bloom::ZERO, bloom);
    Ok(json!({
        "number": hex(block.number), "hash": block.hash, "parentHash": block.parent,
        "timestamp": hex(block.time), "gasUsed": hex(block.gas_used), "gasLimit": hex(BLOCK_GAS_LIMIT),
        "logsBloom": bloom, "transactions": transactions, "baseFeePerGas": "0x0",
        "sha3Uncles": B256::ZERO, "uncles": [], "miner": Address::ZERO, "stateRoot": B256::ZERO,
        "transactionsRoot": B256::ZERO, "receiptsRoot": B256::ZERO, "difficulty": "0x0",
        "totalDifficulty": "0x0", "extraData": "0x", "mixHash": B256::ZERO, "nonce": B64::ZERO, "size": "0x0",
    }))
}

fn bloom(receipt: &Receipt) -> Bloom {
    logs_bloom(receipt.logs.iter().map(|entry| &entry.log))
}

pub(super) fn receipt(receipt: &Receipt) -> Value {
    // the first byte of a typed transaction is its type; a legacy one begins with an RLP list
    let kind = receipt.raw.first().copied().filter(|b| *b < 0x80);
    json!({
        "transactionHash": receipt.transaction_hash, "transactionIndex": "0x0",
        "blockHash": receipt.block_hash, "blockNumber": hex(receipt.block_number),
        "from": receipt.from, "to": receipt.to, "contractAddress": receipt.created,
        "gasUsed": hex(receipt.gas_used), "cumulativeGasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": "0x0", "type": hex(kind.unwrap_or(0).into()),
        "status": hex(receipt.success.into()), "logsBloom": bloom(receipt),
        "logs": receipt.logs.iter().map(log).collect::<Vec<_>>(),
    })
}

pub(super) fn log(entry: &LogEntry) -> Value {
    json!({
        "address": entry.log.address, "topics": entry.log.topics(), "data": entry.log.data.data,
        "blockNumber": hex(entry.block_number), "blockHash": entry.block_hash,
        "transactionHash": entry.transaction_hash, "transactionIndex": "0x0",
        "logIndex": hex(entry.index), "removed": false,
    })
}

pub(super) fn transaction(block: &Block, receipt: &Receipt) -> Result<Value, RpcError> {
    // it was decoded when it was accepted
    let broken = |e: String| RpcError::new(-32603, e);
    let envelope =
        TxEnvelope::decode_2718_exact(&receipt.raw).map_err(|e| broken(e.to_string()))?;
    let transaction = alloy::rpc::types::Transaction {
        inner: envelope
            .try_into_recovered()
            .map_err(|e| broken(e.to_string()))?,
        block_hash: Some(receipt.block_hash),
        block_number: Some(receipt.block_number),
        transaction_index: Some(0),
        effective_gas_price: Some(0),
        block_timestamp: Some(block.time),
    };
    serde_json::to_value(transaction).map_err(|e| broken(e.to_string()))
}
