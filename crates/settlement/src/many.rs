//! Many questions at once. One after the other, each would wait for a node's answer, or for the embedded chain's lock and
//! its disk.

use std::sync::Arc;

use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::eips::eip2718::Decodable2718 as _;
use alloy::network::TransactionResponse as _;
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::Provider as _;
use alloy::rpc::json_rpc::ErrorPayload;
use alloy::rpc::types::TransactionRequest;
use alloy::transports::{TransportError, TransportErrorKind};
use futures_util::{StreamExt as _, stream};

use crate::chain::{Block, CallOutcome, CallRequest, Chain, ChainError, Receipt};
use crate::endpoint::{Endpoint, told};
use crate::rpc::RpcError;

/// Questions that a remote node is asked side by side.
const SIDE_BY_SIDE: usize = 16;
/// Questions that the embedded chain answers before others have their turn at its lock.
const IN_A_ROW: usize = 64;

/// A block with who sent what in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullBlock {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Seconds since the epoch.
    pub time: u64,
    /// Gas of all of it.
    pub gas_used: u64,
    /// Its transactions.
    pub transactions: Vec<Sent>,
}

/// A transaction's sender and input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its hash.
    pub hash: B256,
    /// Who sent it.
    pub from: Address,
    /// What was sent.
    pub input: Bytes,
}

impl Endpoint {
    /// What contracts return to these calls on the newest state, in their order.
    ///
    /// # Errors
    /// What the embedded chain holds cannot be put on disk. A call that fails has its own error.
    pub async fn calls(
        &self,
        calls: Vec<(Address, Bytes)>,
    ) -> Result<Vec<Result<Bytes, TransportError>>, TransportError> {
        let Some(chain) = self.embedded() else {
            let asked = calls.into_iter().map(|(to, data)| {
                let provider = self.provider().clone();
                let request = TransactionRequest::default().to(to).input(data.into());
                async move { provider.call(request).await }
            });
            return Ok(stream::iter(asked).buffered(SIDE_BY_SIDE).collect().await);
        };
        let mut answers = Vec::with_capacity(calls.len());
        for some in calls.chunks(IN_A_ROW) {
            let answer = |chain: &mut Chain| -> Vec<_> {
                some.iter()
                    .map(|(to, data)| call(chain, *to, data))
                    .collect()
            };
            answers.extend(told(chain, answer).await?);
        }
        Ok(answers)
    }

    /// Blocks by height, in the order asked for; none where the chain is shorter.
    ///
    /// # Errors
    /// The node cannot be reached.
    pub async fn full_blocks(
        &self,
        numbers: Vec<u64>,
    ) -> Result<Vec<Option<FullBlock>>, TransportError> {
        let mut blocks = Vec::with_capacity(numbers.len());
        let Some(chain) = self.embedded() else {
            let asked = numbers.into_iter().map(|number| {
                let provider = self.provider().clone();
                async move { provider.get_block_by_number(number.into()).full().await }
            });
            let mut asked = stream::iter(asked).buffered(SIDE_BY_SIDE);
            while let Some(block) = asked.next().await {
                blocks.push(block?.map(of_node));
            }
            return Ok(blocks);
        };
        for some in numbers.chunks(IN_A_ROW) {
            let found = |chain: &mut Chain| -> Vec<_> {
                some.iter()
                    .map(|number| with_receipt(chain, *number))
                    .collect()
            };
            for found in told(chain, found).await? {
                let Some((block, sent)) = found.map_err(TransportErrorKind::custom)? else {
                    blocks.push(None);
                    continue;
                };
                let sent = sent.into_iter().map(|receipt| {
                    let (hash, from) = (receipt.transaction_hash, receipt.from);
                    // it was decoded when it was accepted
                    let envelope = TxEnvelope::decode_2718_exact(&receipt.raw);
                    let envelope = envelope.map_err(TransportErrorKind::custom)?;
                    let input = envelope.input().clone();
                    Ok::<_, TransportError>(Sent { hash, from, input })
                });
                blocks.push(Some(FullBlock {
                    number: block.number,
                    hash: block.hash,
                    time: block.time,
                    gas_used: block.gas_used,
                    transactions: sent.collect::<Result<_, _>>()?,
                }));
            }
        }
        Ok(blocks)
    }
}

/// A block, and what its transaction did.
type WithReceipt = (Block, Option<Arc<Receipt>>);

fn with_receipt(chain: &Chain, number: u64) -> Result<Option<WithReceipt>, ChainError> {
    let Some(block) = chain.block(number)? else {
        return Ok(None);
    };
    let receipt = match block.transaction {
        Some(hash) => chain.receipt_of(hash)?,
        None => None,
    };
    Ok(Some((block, receipt)))
}

fn call(chain: &Chain, to: Address, data: &Bytes) -> Result<Bytes, TransportError> {
    let request = CallRequest {
        to: Some(to),
        data: data.clone(),
        ..CallRequest::default()
    };
    let error = match chain.call(&request) {
        Ok(CallOutcome::Returned { output, .. }) => return Ok(output),
        Ok(failed) => RpcError::failed(failed),
        Err(error) => RpcError::from(error),
    };
    Err(TransportError::ErrorResp(ErrorPayload {
        code: error.code,
        message: error.message.into(),
        data: None,
    }))
}

fn of_node(block: alloy::rpc::types::Block) -> FullBlock {
    let sent = block.transactions.as_transactions().unwrap_or_default();
    let sent = sent.iter().map(|tx| Sent {
        hash: tx.tx_hash(),
        from: tx.from(),
        input: tx.input().clone(),
    });
    FullBlock {
        number: block.header.number,
        hash: block.header.hash,
        time: block.header.timestamp,
        gas_used: block.header.gas_used,
        transactions: sent.collect(),
    }
}
