//! Transactions of the protocol, with what their blocks say about them.

use gavel_node::{Address, B256, Bytes};
use gavel_settlement::ProtocolEvent;

/// A transaction that emitted events of the protocol.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its hash.
    pub hash: B256,
    /// Height of its block.
    pub block: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Time of its block.
    pub time: u64,
    /// Who sent it.
    pub from: Address,
    /// Its call data.
    pub input: Bytes,
    /// Gas that it used, where that was asked for.
    pub gas: Option<u64>,
    /// What it said, in order.
    pub events: Vec<ProtocolEvent>,
}
