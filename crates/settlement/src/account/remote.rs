//! Sending through a node that may drop answers, forget transactions, or be asked twice.
//!
//! The node's word about a transaction is one of: it has it, its nonce is taken, it refuses, or nothing was heard. Only
//! the last leaves a doubt; it is resolved by sending the same bytes again, before anything else is sent.

use std::future::Future;

use alloy::consensus::Transaction as _;
use alloy::eips::BlockId;
use alloy::network::TransactionBuilder as _;
use alloy::providers::Provider as _;
use alloy::rpc::json_rpc::RpcError;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::transports::TransportError;

use super::error::SendError;
use super::sender::{Fees, GAS_CAP, Intent, Mined, Sender, Signed};
use crate::endpoint::entry;
use crate::transport::is_no_answer;

/// Times that a transaction is signed anew because its nonce was taken by somebody else with the same key.
const SIGN_MAX: u32 = 4;

/// What a sender has under way.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Nonce after the newest transaction that the node has.
    next_nonce: u64,
    /// Transactions of which nothing was heard, oldest first.
    unresolved: Vec<Signed>,
    /// Transactions that turned out to be with the node after their callers had been told of a doubt: kept, so that
    /// the same call finds them.
    unclaimed: Vec<Signed>,
}

/// Transactions that the node has and whose receipts are being waited for, or were.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    in_flight: u64,
    /// Those whose callers stopped waiting.
    left: Vec<Signed>,
}

/// Notes that a receipt is being waited for. Dropped early, as when the caller gives up, it leaves the transaction to
/// be resumed.
struct Waiting<'a> {
    sender: &'a Sender,
    signed: Signed,
    has_ended: bool,
}

impl<'a> Waiting<'a> {
    fn new(sender: &'a Sender, signed: Signed) -> Self {
        sender.awaited().in_flight += 1;
        Waiting {
            sender,
            signed,
            has_ended: false,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut awaited = self.sender.awaited();
        awaited.in_flight -= 1;
        if !self.has_ended {
            awaited.left.push(self.signed.clone());
        }
    }
}

/// What the node says about a transaction.
enum Answer {
    Taken,
    NonceTaken,
    Refused(String),
}

pub(super) async fn execute(sender: &Sender, intent: Intent) -> Result<Mined, SendError> {
    let mut pending = sender.pending.lock().await;
    let resumed = resume(sender, &mut pending, &intent).await?;
    let signed = match resumed {
        Some(signed) => signed,
        None => submit_new(sender, &mut pending, intent).await?,
    };
    let mut waiting = Waiting::new(sender, signed);
    drop(pending);
    let mined = wait(sender, &waiting.signed).await;
    waiting.has_ended = !matches!(mined, Err(SendError::Unresolved { .. }));
    mined
}

/// Sends what is unresolved again; returns the transaction that has the same intent.
async fn resume(
    sender: &Sender,
    pending: &mut Pending,
    intent: &Intent,
) -> Result<Option<Signed>, SendError> {
    pending.unresolved.append(&mut sender.awaited().left);
    let nonce = |signed: &Signed| signed.envelope.nonce();
    pending.unresolved.sort_by_key(nonce);
    while let Some(signed) = pending.unresolved.first().cloned() {
        let is_same = signed.intent == *intent;
        let answer = submit(sender, &signed).await.map_err(|error| match error {
            SendError::Unresolved { hash, reason } if !is_same => {
                SendError::Unsent(format!("the fate of {hash} must be known first: {reason}"))
            }
            error => error,
        })?;
        pending.unresolved.remove(0);
        match answer {
            Answer::Taken => pending.unclaimed.push(signed),
            // it never will have an effect
            Answer::NonceTaken | Answer::Refused(_) => {}
        }
    }
    let same = pending.unclaimed.iter().position(|s| s.intent == *intent);
    Ok(same.map(|at| pending.unclaimed.remove(at)))
}

async fn submit_new(
    sender: &Sender,
    pending: &mut Pending,
    intent: Intent,
) -> Result<Signed, SendError> {
    let fees = fees(sender, &intent).await?;
    let provider = sender.endpoint.provider();
    let chain_id = retried(sender, || async { provider.get_chain_id().await })
        .await
        .map_err(unsent)?;
    let mut tries = 0;
    loop {
        let nonce = next_nonce(sender, pending).await?;
        let signed = sender.sign(intent.clone(), chain_id, nonce, fees)?;
        // noted before it is sent, so that a caller that stops waiting leaves no doubt behind
        pending.unresolved.push(signed.clone());
        let answer = submit(sender, &signed).await?;
        pending.unresolved.pop();
        match answer {
            Answer::Taken => {
                pending.next_nonce = nonce + 1;
                return Ok(signed);
            }
            Answer::Refused(reason) => return Err(SendError::Refused(reason)),
            Answer::NonceTaken if tries < SIGN_MAX => {
                tokio::time::sleep(sender.endpoint.patience().pause_after(tries)).await;
                tries += 1;
            }
            Answer::NonceTaken => {
                let reason = "its nonce was taken again and again: another process uses this key";
                return Err(SendError::Unsent(reason.to_owned()));
            }
        }
    }
}

/// The chain's count, unless transactions of ours that the node may not count yet are in flight. Asked every time, so
/// that it survives a restart, a reorg, and other users of the key.
async fn next_nonce(sender: &Sender, pending: &Pending) -> Result<u64, SendError> {
    let provider = sender.endpoint.provider();
    let counted = retried(sender, || async {
        provider
            .get_transaction_count(sender.address())
            .pending()
            .await
    })
    .await
    .map_err(unsent)?;
    Ok(if sender.awaited().in_flight > 0 {
        counted.max(pending.next_nonce)
    } else {
        counted
    })
}

/// Gas by estimate with a margin of a quarter, and the node's idea of a fee.
async fn fees(sender: &Sender, intent: &Intent) -> Result<Fees, SendError> {
    let provider = sender.endpoint.provider();
    let request = request(sender, intent);
    let estimated = retried(sender, || async {
        provider
            .estimate_gas(request.clone())
            .block(BlockId::pending())
            .await
    })
    .await
    .map_err(|e| refusal(e, None))?;
    let price = retried(sender, || async { provider.estimate_eip1559_fees().await })
        .await
        .map_err(unsent)?;
    Ok(Fees {
        gas: (estimated + estimated / 4).min(GAS_CAP),
        max: price.max_fee_per_gas,
        tip: price.max_priority_fee_per_gas,
    })
}

fn request(sender: &Sender, intent: &Intent) -> TransactionRequest {
    let request = TransactionRequest::default()
        .from(sender.address())
        .input(intent.data.clone().into());
    match intent.to {
        Some(to) => request.to(to),
        None => request.into_create(),
    }
}

/// Sends signed bytes until the node says something about them.
///
/// # Errors
/// [`SendError::Unresolved`] if it never does.
async fn submit(sender: &Sender, signed: &Signed) -> Result<Answer, SendError> {
    let provider = sender.endpoint.provider();
    let sent = retried(sender, || async {
        let sent = provider.send_raw_transaction(&signed.raw).await;
        sent.map(|pending| *pending.tx_hash())
    })
    .await;
    let error = match sent {
        Ok(_) => return Ok(Answer::Taken),
        Err(RpcError::ErrorResp(error)) if !is_no_answer(&error) => error,
        Err(error) => return Err(unresolved(signed, error)),
    };
    let message = error.message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| message.contains(w));
    if says(&["already known", "already imported", "known transaction"]) {
        return Ok(Answer::Taken);
    }
    if says(&["nonce", "underpriced"]) {
        // it may be ours that took the nonce
        let known = retried(sender, || async {
            provider.get_transaction_by_hash(signed.hash).await
        })
        .await
        .map_err(|e| unresolved(signed, e))?;
        return Ok(match known {
            Some(_) => Answer::Taken,
            None => Answer::NonceTaken,
        });
    }
    Ok(Answer::Refused(error.message.to_string()))
}

/// Waits for the receipt, and now and then reminds the node of the transaction.
async fn wait(sender: &Sender, signed: &Signed) -> Result<Mined, SendError> {
    let (provider, patience) = (sender.endpoint.provider(), sender.endpoint.patience());
    for tries in 0..patience.receipt_tries {
        let receipt = retried(sender, || async {
            provider.get_transaction_receipt(signed.hash).await
        })
        .await
        .map_err(|e| unresolved(signed, e))?;
        if let Some(receipt) = receipt {
            return mined(sender, signed, receipt).await;
        }
        if tries % 16 == 15 {
            // nodes forget; if it is refused now, the receipt that never comes will tell
            let _ = submit(sender, signed).await?;
        }
        tokio::time::sleep(patience.pause_after(tries)).await;
    }
    let reason = format!("no receipt after {} tries", patience.receipt_tries);
    Err(SendError::Unresolved {
        hash: signed.hash,
        reason,
    })
}

async fn mined(
    sender: &Sender,
    signed: &Signed,
    receipt: TransactionReceipt,
) -> Result<Mined, SendError> {
    let (Some(block_number), Some(block_hash)) = (receipt.block_number, receipt.block_hash) else {
        return Err(SendError::Unresolved {
            hash: signed.hash,
            reason: "the node shows a receipt without a block".to_owned(),
        });
    };
    if !receipt.status() {
        return Err(why_it_failed(sender, signed, block_number).await);
    }
    Ok(Mined {
        hash: signed.hash,
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
async fn why_it_failed(sender: &Sender, signed: &Signed, block_number: u64) -> SendError {
    let again = sender
        .endpoint
        .provider()
        .call(request(sender, &signed.intent))
        .block(BlockId::number(block_number))
        .await;
    match again {
        Err(error @ RpcError::ErrorResp(_)) => match refusal(error, Some(signed.hash)) {
            SendError::Refused(reason) => SendError::Reverted {
                error: reason,
                selector: None,
                transaction: Some(signed.hash),
            },
            reverted => reverted,
        },
        _ => SendError::Reverted {
            error: "for a reason the node does not tell".to_owned(),
            selector: None,
            transaction: Some(signed.hash),
        },
    }
}

/// Asks again while the answer is lost; an answer, even a refusal, is an answer.
async fn retried<T, F>(sender: &Sender, ask: impl Fn() -> F) -> Result<T, TransportError>
where
    F: Future<Output = Result<T, TransportError>>,
{
    let patience = sender.endpoint.patience();
    let mut tries = 0;
    loop {
        match ask().await {
            Err(error) if is_lost(&error) && tries + 1 < patience.tries => {
                tokio::time::sleep(patience.pause_after(tries)).await;
                tries += 1;
            }
            answer => return answer,
        }
    }
}

fn is_lost(error: &TransportError) -> bool {
    match error {
        RpcError::ErrorResp(payload) => is_no_answer(payload),
        RpcError::Transport(kind) => !kind.is_non_retryable(),
        RpcError::NullResp | RpcError::DeserError { .. } => true,
        _ => false,
    }
}

fn unsent(error: TransportError) -> SendError {
    SendError::Unsent(error.to_string())
}

fn unresolved(signed: &Signed, error: TransportError) -> SendError {
    SendError::Unresolved {
        hash: signed.hash,
        reason: error.to_string(),
    }
}

fn refusal(error: TransportError, transaction: Option<alloy::primitives::B256>) -> SendError {
    match error {
        RpcError::ErrorResp(payload) => match payload.as_revert_data() {
            Some(data) => SendError::reverted(&data, transaction),
            None => SendError::Refused(payload.message.to_string()),
        },
        other => unsent(other),
    }
}
