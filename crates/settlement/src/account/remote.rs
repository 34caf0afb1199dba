//! Sending through a node that may drop answers, forget transactions, be asked twice, or change its mind about blocks.

use std::future::Future;
use std::time::Duration;

use alloy::network::TransactionBuilder as _;
use alloy::primitives::B256;
use alloy::rpc::json_rpc::RpcError;
use alloy::rpc::types::TransactionRequest;
use alloy::transports::TransportError;

use super::book::Claim;
use super::error::SendError;
use super::fees;
use super::receipts;
use super::resume;
use super::sender::{Intent, Mined, Sender};
use super::submit::{self, Offer};
use crate::transport::is_no_answer;

/// Times that a transaction is signed anew because its nonce was taken by somebody else with the same key.
const SIGN_MAX: u32 = 4;
/// Looks for a receipt after which the node is reminded of the transaction.
const REMIND_EVERY: u32 = 16;

pub(super) async fn execute(sender: &Sender, intent: Intent) -> Result<Mined, SendError> {
    for tries in 0..=SIGN_MAX {
        if tries > 0 {
            tokio::time::sleep(sender.endpoint.patience().pause_after(tries - 1)).await;
        }
        let claim = match start(sender, &intent).await? {
            Some(claim) => claim,
            None => continue,
        };
        if let Some(mined) = wait(&claim).await? {
            return Ok(mined);
        }
    }
    let reason = "its nonce was taken again and again: another process uses this key";
    Err(SendError::Unsent(reason.to_owned()))
}

/// Resumes the transaction of this intent, or sends a new one. `None` where another process was faster with the nonce.
async fn start<'a>(sender: &'a Sender, intent: &Intent) -> Result<Option<Claim<'a>>, SendError> {
    let _turn = sender.turn.lock().await;
    resume::load(sender).await?;
    take_back(sender, intent).await?;
    let resumed = sender.book().resume(intent);
    let resumed = resumed.map(|nonce| Claim { sender, nonce });
    let tended = resume::tend(sender, false).await;
    if let Some(claim) = resumed {
        tended.map_err(|error| still_in_doubt(claim.hash(), error))?;
        return Ok(Some(claim));
    }
    let count = tended.map_err(must_be_known)?;
    // a reorg may have been found just now
    if let Some(nonce) = sender.book().resume(intent) {
        return Ok(Some(Claim { sender, nonce }));
    }
    let fees = fees::first(sender, intent).await?;
    let chain_id = submit::chain_id(sender).await?;
    let nonce = count.max(sender.book().next_nonce());
    resume::note(sender, intent.clone(), chain_id, nonce, fees, true)?;
    let claim = Claim { sender, nonce };
    match submit::offer(sender, nonce).await? {
        Offer::Taken => Ok(Some(claim)),
        Offer::NonceUsed => {
            resume::finish(sender, nonce).await?;
            Ok(None)
        }
        Offer::Refused(reason) => {
            resume::finish(sender, nonce).await?;
            Err(SendError::Refused(reason))
        }
    }
}

/// The same call again while the first is not buried: it is another one, unless the first is in no block any more.
async fn take_back(sender: &Sender, intent: &Intent) -> Result<(), SendError> {
    if sender.endpoint.policy().confirmations == 0 {
        return Ok(());
    }
    let delivered = sender.book().delivered(intent);
    for nonce in delivered {
        let found = receipts::look(sender, nonce).await.map_err(must_be_known)?;
        if let Some(open) = sender.book().open.get_mut(&nonce) {
            open.block = found.and_then(|receipt| receipt.block_number);
        }
    }
    Ok(())
}

fn must_be_known(error: SendError) -> SendError {
    match error {
        SendError::Unresolved { hash, reason } => {
            SendError::Unsent(format!("the fate of {hash} must be known first: {reason}"))
        }
        error => error,
    }
}

fn still_in_doubt(hash: B256, error: SendError) -> SendError {
    match error {
        SendError::Unresolved { .. } => error,
        SendError::Refused(reason) | SendError::Unsent(reason) => {
            SendError::Unresolved { hash, reason }
        }
        error => error,
    }
}

/// Waits for a receipt; now and then, and at last, reminds the node, and raises the price. `None` where the nonce went to another
/// transaction.
async fn wait(claim: &Claim<'_>) -> Result<Option<Mined>, SendError> {
    let (sender, nonce) = (claim.sender, claim.nonce);
    let patience = sender.endpoint.patience();
    for tries in 0..patience.receipt_tries {
        if let Some(receipt) = receipts::look(sender, nonce).await? {
            let open = sender.book().open.get(&nonce).cloned();
            let Some(open) = open else {
                return Ok(None);
            };
            let block = receipt.block_number;
            let mined = receipts::mined(sender, &open, receipt).await;
            if matches!(mined, Err(SendError::Unresolved { .. })) {
                return mined.map(Some);
            }
            if let Some(open) = sender.book().open.get_mut(&nonce) {
                (open.block, open.is_delivered) = (block, true);
            }
            return mined.map(Some);
        }
        // also before it is given up: whoever calls again resumes this transaction, which may have lost its nonce
        let is_due =
            tries % REMIND_EVERY == REMIND_EVERY - 1 || tries + 1 == patience.receipt_tries;
        if is_due && !remind(claim).await? {
            return Ok(None);
        }
        raise(claim).await?;
        tokio::time::sleep(patience.pause_after(tries)).await;
    }
    Err(SendError::Unresolved {
        hash: claim.hash(),
        reason: format!("no receipt after {} tries", patience.receipt_tries),
    })
}

/// False where the nonce went to another transaction.
async fn remind(claim: &Claim<'_>) -> Result<bool, SendError> {
    let (sender, nonce) = (claim.sender, claim.nonce);
    let doubt = |error| still_in_doubt(claim.hash(), error);
    let _turn = sender.turn.lock().await;
    let count = resume::tend(sender, true).await.map_err(doubt)?;
    let is_dead = || {
        sender
            .book()
            .open
            .get(&nonce)
            .is_none_or(|open| open.is_dead)
    };
    if is_dead() || (count > nonce && receipts::is_used_by_another(sender, nonce).await?) {
        resume::finish(sender, nonce).await.map_err(doubt)?;
        return Ok(false);
    }
    Ok(true)
}

/// Raises the price of what stands first in the way, if it has waited for long enough.
async fn raise(claim: &Claim<'_>) -> Result<(), SendError> {
    let (sender, nonce) = (claim.sender, claim.nonce);
    let policy = sender.endpoint.policy();
    let soonest = policy.raise_after / 4;
    let waits = |after: Duration| {
        let book = sender.book();
        let first = book.first_pending(nonce);
        first
            .filter(|open| open.signed.elapsed() >= after)
            .map(|open| (open.record.nonce, open.signed.elapsed()))
    };
    if waits(soonest).is_none() {
        return Ok(());
    }
    let doubt = |error| still_in_doubt(claim.hash(), error);
    let _turn = sender.turn.lock().await;
    let Some((first, waited)) = waits(soonest) else {
        return Ok(());
    };
    let deadline = sender.book().deadline(first);
    let left = fees::left(sender, deadline).await.map_err(doubt)?;
    if waited < policy.raise_after && !fees::is_urgent(&policy, left) {
        return Ok(());
    }
    if let Some(receipt) = receipts::look(sender, first).await? {
        if let Some(open) = sender.book().open.get_mut(&first) {
            open.block = receipt.block_number;
        }
        return Ok(());
    }
    if submit::raise(sender, first).await.map_err(doubt)? {
        match submit::offer(sender, first).await.map_err(doubt)? {
            Offer::NonceUsed => resume::give_up(sender, first).await.map_err(doubt)?,
            Offer::Taken | Offer::Refused(_) => {}
        }
    } else if let Some(open) = sender.book().open.get_mut(&first) {
        // the limit is in the way: look again later
        open.signed = tokio::time::Instant::now();
    }
    Ok(())
}

/// Goes on with what is open, for a sender that has nothing to send now.
pub(super) async fn tend(sender: &Sender, now: bool) -> Result<(), SendError> {
    let _turn = sender.turn.lock().await;
    resume::load(sender).await?;
    if sender.book().open.is_empty() {
        return Ok(());
    }
    resume::tend(sender, now).await.map(|_| ())
}

pub(super) fn request(sender: &Sender, intent: &Intent) -> TransactionRequest {
    let request = TransactionRequest::default()
        .from(sender.address())
        .input(intent.data.clone().into());
    match intent.to {
        Some(to) => request.to(to),
        None => request.into_create(),
    }
}

/// Asks again while the answer is lost; an answer, even a refusal, is an answer.
pub(super) async fn retried<T, F>(sender: &Sender, ask: impl Fn() -> F) -> Result<T, TransportError>
where
    F: Future<Output = Result<T, TransportError>>,
{
    counted(sender, ask).await.0
}

/// The same, and how many tries before the last one were lost.
pub(super) async fn counted<T, F>(
    sender: &Sender,
    ask: impl Fn() -> F,
) -> (Result<T, TransportError>, u32)
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
            answer => return (answer, tries),
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

pub(super) fn unsent(error: TransportError) -> SendError {
    SendError::Unsent(error.to_string())
}

pub(super) fn unresolved(hash: B256, error: TransportError) -> SendError {
    SendError::Unresolved {
        hash,
        reason: error.to_string(),
    }
}

pub(super) fn refusal(error: TransportError, transaction: Option<B256>) -> SendError {
    match error {
        RpcError::ErrorResp(payload) => match payload.as_revert_data() {
            Some(data) => SendError::reverted(&data, transaction),
            None => SendError::Refused(payload.message.to_string()),
        },
        other => unsent(other),
    }
}
