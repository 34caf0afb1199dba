//! Blocks and receipts as they are kept on disk: RLP, with nothing twice.

use alloy::primitives::{Address, Bytes, Log};
use alloy_rlp::{Decodable, Encodable as _, RlpDecodable, RlpEncodable};

use super::types::{Block, LogEntry, Receipt};

/// What a receipt says that its block does not. Lists of one or none stand for what may be absent.
#[derive(RlpEncodable, RlpDecodable)]
struct Body {
    raw: Bytes,
    from: Address,
    to: Vec<Address>,
    created: Vec<Address>,
    success: bool,
    output: Bytes,
    halted: Vec<String>,
    logs: Vec<Log>,
}

/// A block, and the receipt of its transaction if it has one.
pub(super) fn encode(block: &Block, receipt: Option<&Receipt>, out: &mut Vec<u8>) {
    block.encode(out);
    let Some(receipt) = receipt else { return };
    let body = Body {
        raw: receipt.raw.clone(),
        from: receipt.from,
        to: receipt.to.into_iter().collect(),
        created: receipt.created.into_iter().collect(),
        success: receipt.success,
        output: receipt.output.clone(),
        halted: receipt.halted.iter().cloned().collect(),
        logs: receipt.logs.iter().map(|entry| entry.log.clone()).collect(),
    };
    body.encode(out);
}

/// The block that `bytes` begins with, and its receipt.
pub(super) fn decode(bytes: &mut &[u8]) -> alloy_rlp::Result<(Block, Option<Receipt>)> {
    let block = Block::decode(bytes)?;
    let Some(transaction_hash) = block.transaction else {
        return Ok((block, None));
    };
    let body = Body::decode(bytes)?;
    let logs = body.logs.into_iter().enumerate();
    let receipt = Receipt {
        transaction_hash,
        raw: body.raw,
        block_number: block.number,
        block_hash: block.hash,
        from: body.from,
        to: body.to.first().copied(),
        created: body.created.first().copied(),
        success: body.success,
        gas_used: block.gas_used,
        output: body.output,
        halted: body.halted.into_iter().next(),
        logs: logs
            .map(|(index, log)| LogEntry::of(&block, transaction_hash, index as u64, log))
            .collect(),
    };
    Ok((block, Some(receipt)))
}
