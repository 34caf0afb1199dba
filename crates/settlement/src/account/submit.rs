//! Handing signed bytes to a node, and what its answer means.
//!
//! The node's word about a transaction is one of: it has it, it wants a better price, its nonce is wrong, it refuses, or
//! nothing was heard. Only the last leaves a doubt; it is resolved by looking, and by sending the same bytes again.

use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::eips::eip2718::Decodable2718 as _;
use alloy::providers::Provider as _;
use alloy::rpc::json_rpc::RpcError;

use super::book::{Open, machine_time};
use super::error::SendError;
use super::fees::{self, Fees};
use super::intents::{LogError, SignedTransaction};
use super::receipts;
use super::remote::{counted, retried, unresolved, unsent};
use super::resume;
use super::sender::{Intent, Sender};
use crate::transport::{has_it, is_no_answer};

/// Times that a price is raised at once because the node wants more.
const RAISES_MAX: u32 = 6;

/// What became of an offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// A node has the transaction, or a block.
    Taken,
    /// The nonce was used by a transaction that is not ours.
    NonceUsed,
    /// The node does not want it.
    Refused(String),
}

/// What the node says about signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Has,
    Price,
    Nonce,
    Busy,
    Refuses,
}

/// Nodes say it in words alone; these are those of geth, erigon, nethermind, reth and anvil.
fn word(message: &str) -> Word {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| message.contains(w));
    if has_it(&message) {
        Word::Has
    } else if says(&[
        "underpriced",
        "less than block base fee",
        "fee too low",
        "feetoolow",
        "gas price too low",
    ]) {
        Word::Price
    } else if says(&["nonce"]) {
        Word::Nonce
    } else if says(&["pool is full", "pool overflow", "too many pending"]) {
        Word::Busy
    } else {
        Word::Refuses
    }
}

/// Writes the record of a nonce to the log and sends its newest transaction until the node says something about it.
///
/// # Errors
/// [`SendError::Unresolved`] if it never does; [`SendError::Unsent`] where the log fails before anything was sent.
pub(super) async fn offer(sender: &Sender, nonce: u64) -> Result<Offer, SendError> {
    // tries of which nothing was heard: they may have arrived
    let mut lost = 0;
    for _ in 0..=RAISES_MAX {
        let Some(open) = sender.book().open.get(&nonce).cloned() else {
            return Ok(Offer::NonceUsed);
        };
        let Some(newest) = open.newest().cloned() else {
            return Ok(Offer::NonceUsed);
        };
        log(sender, &open).await?;
        let provider = sender.endpoint.provider();
        let (sent, unheard) = counted(sender, || async {
            let sent = provider.send_raw_transaction(&newest.raw).await;
            sent.map(|pending| *pending.tx_hash())
        })
        .await;
        lost += unheard;
        let message = match sent {
            Ok(_) => return Ok(taken(sender, nonce)),
            Err(RpcError::ErrorResp(error)) if !is_no_answer(&error) => error.message,
            Err(error) => return Err(unresolved(newest.hash, error)),
        };
        match word(&message) {
            Word::Has => return Ok(taken(sender, nonce)),
            Word::Busy => return Err(in_doubt(&newest, message)),
            Word::Nonce => return wrong_nonce(sender, nonce, &newest, &message).await,
            // what arrived is refused the second time for the coin or the place that it took itself
            Word::Price | Word::Refuses
                if lost > 0 && receipts::is_known(sender, nonce).await? =>
            {
                return Ok(taken(sender, nonce));
            }
            // another process waits there with this key
            Word::Price if !open.was_heard && resume::count(sender).await? > nonce => {
                return Ok(Offer::NonceUsed);
            }
            Word::Price if raise(sender, nonce).await? => {}
            // an earlier transaction of the record waits there
            Word::Price | Word::Refuses if open.was_heard => return Ok(taken(sender, nonce)),
            Word::Price | Word::Refuses => return Ok(Offer::Refused(message.to_string())),
        }
    }
    let open = sender.book().open.get(&nonce).cloned();
    Err(match open.as_ref().and_then(Open::newest) {
        Some(newest) => in_doubt(newest, "the node wants an ever higher price"),
        None => SendError::Unsent("its record was lost".to_owned()),
    })
}

fn taken(sender: &Sender, nonce: u64) -> Offer {
    if let Some(open) = sender.book().open.get_mut(&nonce) {
        open.was_heard = true;
    }
    Offer::Taken
}

fn in_doubt(signed: &SignedTransaction, reason: impl Into<String>) -> SendError {
    SendError::Unresolved {
        hash: signed.hash,
        reason: reason.into(),
    }
}

async fn log(sender: &Sender, open: &Open) -> Result<(), SendError> {
    if open.is_logged {
        return Ok(());
    }
    let nonce = open.record.nonce;
    match sender.log.put(&open.record).await {
        Ok(()) => {
            if let Some(open) = sender.book().open.get_mut(&nonce) {
                open.is_logged = true;
            }
            Ok(())
        }
        Err(error) if open.record.signed.len() == 1 => Err(log_failed(error)),
        Err(error) => {
            // what was sent before is in the log; the replacement is not sent
            if let Some(open) = sender.book().open.get_mut(&nonce) {
                open.record.signed.pop();
                open.is_logged = true;
            }
            Err(match open.record.signed.first() {
                Some(first) => in_doubt(first, error.to_string()),
                None => log_failed(error),
            })
        }
    }
}

pub(super) fn log_failed(error: LogError) -> SendError {
    match error {
        LogError::Taken(_) => SendError::Refused(error.to_string()),
        LogError::Store(_) => SendError::Unsent(error.to_string()),
    }
}

/// Too low: it may be ours that used it. Too high: an earlier one is missing, and is sent before the next try.
async fn wrong_nonce(
    sender: &Sender,
    nonce: u64,
    newest: &SignedTransaction,
    message: &str,
) -> Result<Offer, SendError> {
    if receipts::is_known(sender, nonce).await? {
        return Ok(taken(sender, nonce));
    }
    match receipts::is_used_by_another(sender, nonce).await? {
        true => Ok(Offer::NonceUsed),
        false => Err(in_doubt(newest, message)),
    }
}

/// Signs a transaction for an open nonce again, dearer; false where the limit is in the way. It is not sent yet.
pub(super) async fn raise(sender: &Sender, nonce: u64) -> Result<bool, SendError> {
    let (open, deadline) = {
        let book = sender.book();
        (book.open.get(&nonce).cloned(), book.deadline(nonce))
    };
    let Some(open) = open else {
        return Ok(false);
    };
    let Some(newest) = open.newest() else {
        return Ok(false);
    };
    let envelope = TxEnvelope::decode_2718(&mut newest.raw.as_ref()).map_err(|e| {
        SendError::Unsent(format!("transaction {} is unreadable: {e}", newest.hash))
    })?;
    let before = Fees {
        gas: envelope.gas_limit(),
        max: newest.max_fee,
        tip: newest.tip,
    };
    let left = fees::left(sender, deadline).await?;
    let limit = fees::limit(&sender.endpoint.policy(), left);
    let Some(after) = before.raised(fees::market(sender).await?, limit) else {
        return Ok(false);
    };
    let intent = Intent {
        to: open.record.to,
        data: open.record.data.clone(),
        deadline: open.record.deadline,
    };
    let chain_id = envelope.chain_id().unwrap_or(chain_id(sender).await?);
    let signed = sender.sign(intent, chain_id, nonce, after)?;
    if let Some(open) = sender.book().open.get_mut(&nonce) {
        open.record.signed.push(signed.noted(after));
        open.is_logged = false;
        open.signed = tokio::time::Instant::now();
    }
    Ok(true)
}

/// The chain's id, asked for once.
pub(super) async fn chain_id(sender: &Sender) -> Result<u64, SendError> {
    if let Some(known) = sender.chain_id.get() {
        return Ok(*known);
    }
    let provider = sender.endpoint.provider();
    let asked = retried(sender, || async { provider.get_chain_id().await }).await;
    let id = asked.map_err(unsent)?;
    Ok(*sender.chain_id.get_or_init(|| id))
}

impl super::sender::Signed {
    /// As the log has it.
    pub(super) fn noted(&self, fees: Fees) -> SignedTransaction {
        SignedTransaction {
            hash: self.hash,
            raw: self.raw.clone(),
            max_fee: fees.max,
            tip: fees.tip,
            signed_at: machine_time(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_understood() {
        for (message, meant) in [
            ("already known", Word::Has),
            ("transaction already imported", Word::Has),
            ("AlreadyKnown, already known", Word::Has),
            ("known transaction: 0x12", Word::Has),
            ("unknown transaction type", Word::Refuses),
            ("nonce too low: next nonce 5, tx nonce 4", Word::Nonce),
            ("nonce too high", Word::Nonce),
            ("OldNonce", Word::Nonce),
            ("replacement transaction underpriced", Word::Price),
            (
                "transaction underpriced: tip needed 1, tip permitted 0",
                Word::Price,
            ),
            (
                "max fee per gas less than block base fee: address 0x0",
                Word::Price,
            ),
            ("FeeTooLow, EffectivePriorityFeePerGas too low", Word::Price),
            ("txpool is full", Word::Busy),
            ("insufficient funds for gas * price + value", Word::Refuses),
            ("exceeds block gas limit", Word::Refuses),
        ] {
            assert_eq!(word(message), meant, "{message}");
        }
    }
}
