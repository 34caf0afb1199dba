//! Looking for what became of a nonce.

use alloy::eips::BlockId;
use alloy::primitives::B256;
use alloy::providers::Provider as _;
use alloy::rpc::json_rpc::RpcError;
use alloy::rpc::types::TransactionReceipt;

use super::book::Open;
use super::error::SendError;
use super::remote::{refusal, request, retried, unresolved};
use super::sender::{Intent, Mined, Sender};
use crate::endpoint::entry;

/// Looks that have to agree before a nonce is held for used by somebody else: a node behind a balancer may answer one
/// question from an older block than the other.
const LOOKS: u32 = 3;

fn hashes(sender: &Sender, nonce: u64) -> Vec<B256> {
    let book = sender.book();
    let signed = book.open.get(&nonce).map(|open| &open.record.signed);
    let newest_first = signed.into_iter().flatten().rev();
    newest_first.map(|signed| signed.hash).collect()
}

/// The receipt of whichever transaction of a nonce is in a block.
pub(super) async fn look(
    sender: &Sender,
    nonce: u64,
) -> Result<Option<TransactionReceipt>, SendError> {
    let provider = sender.endpoint.provider();
    for hash in hashes(sender, nonce) {
        let found = retried(sender, || provider.get_transaction_receipt(hash)).await;
        if let Some(receipt) = found.map_err(|e| unresolved(hash, e))? {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

/// Whether the node has any transaction of a nonce, in a block or not.
pub(super) async fn is_known(sender: &Sender, nonce: u64) -> Result<bool, SendError> {
    let provider = sender.endpoint.provider();
    for hash in hashes(sender, nonce) {
        let found = retried(sender, || provider.get_transaction_by_hash(hash)).await;
        if found.map_err(|e| unresolved(hash, e))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a nonce was used, as deep as a reorg reaches, by a transaction that is not ours: ours never will take effect.
pub(super) async fn is_used_by_another(sender: &Sender, nonce: u64) -> Result<bool, SendError> {
    let hash = hashes(sender, nonce).first().copied().unwrap_or_default();
    let depth = sender.endpoint.policy().confirmations;
    let provider = sender.endpoint.provider();
    for tries in 0..LOOKS {
        if tries > 0 {
            tokio::time::sleep(sender.endpoint.patience().pause_after(tries)).await;
        }
        let at = match depth {
            0 => BlockId::latest(),
            depth => {
                let head = retried(sender, || async { provider.get_block_number().await }).await;
                let head = head.map_err(|e| unresolved(hash, e))?;
                BlockId::number(head.saturating_sub(depth))
            }
        };
        let count_at = |at| {
            retried(sender, move || async move {
                let count = provider.get_transaction_count(sender.address());
                count.block_id(at).await
            })
        };
        let count = match count_at(at).await {
            // a node that keeps only the newest state
            Err(RpcError::ErrorResp(_)) => count_at(BlockId::latest()).await,
            count => count,
        };
        if count.map_err(|e| unresolved(hash, e))? <= nonce || look(sender, nonce).await?.is_some()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a receipt says.
pub(super) async fn mined(
    sender: &Sender,
    open: &Open,
    receipt: TransactionReceipt,
) -> Result<Mined, SendError> {
    let hash = receipt.transaction_hash;
    let (Some(block_number), Some(block_hash)) = (receipt.block_number, receipt.block_hash) else {
        return Err(SendError::Unresolved {
            hash,
            reason: "the node shows a receipt without a block".to_owned(),
        });
    };
    if !receipt.status() {
        return Err(why_it_failed(sender, open, hash, block_number).await);
    }
    Ok(Mined {
        hash,
        block_number,
        block_hash,
        gas_used: receipt.gas_used,
        created: receipt.contract_address,
        logs: receipt
            .inner
            .into_logs()
            .into_iter()
            .filter_map(entry)
            .collect(),
    })
}

/// Receipts carry no reason: the call is made again on the state of the block.
async fn why_it_failed(sender: &Sender, open: &Open, hash: B256, block_number: u64) -> SendError {
    let intent = Intent {
        to: open.record.to,
        data: open.record.data.clone(),
        deadline: None,
    };
    let again = sender
        .endpoint
        .provider()
        .call(request(sender, &intent))
        .block(BlockId::number(block_number))
        .await;
    let untold = SendError::Reverted {
        error: "for a reason the node does not tell".to_owned(),
        selector: None,
        transaction: Some(hash),
    };
    match again {
        Err(error @ RpcError::ErrorResp(_)) => match refusal(error, Some(hash)) {
            SendError::Refused(reason) => SendError::Reverted {
                error: reason,
                selector: None,
                transaction: Some(hash),
            },
            reverted => reverted,
        },
        _ => untold,
    }
}
