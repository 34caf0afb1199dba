//! Going on with what is open: after a restart, after a reorg, after a node forgot.

use std::time::Duration;

use alloy::primitives::Bytes;
use tokio::time::Instant;

use super::book::{Open, machine_time};
use super::error::SendError;
use super::fees::{self, Fees};
use super::intents::IntentRecord;
use super::receipts;
use super::remote::{retried, unsent};
use super::sender::{Intent, Sender};
use super::submit::{self, Offer, log_failed};

/// How often the depth of mined transactions is looked at.
const SETTLE_EVERY: Duration = Duration::from_secs(2);
/// Gas of a transfer to oneself.
const TRANSFER_GAS: u64 = 21_000;
/// Most missing nonces that are filled.
const GAPS_MAX: usize = 64;

/// Reads the log, once.
pub(super) async fn load(sender: &Sender) -> Result<(), SendError> {
    if sender.book().is_loaded {
        return Ok(());
    }
    let records = sender.log.open().await.map_err(log_failed)?;
    let mut book = sender.book();
    for record in records {
        let open = Open {
            is_logged: true,
            was_heard: true,
            is_delivered: record.is_delivered,
            ..Open::new(record)
        };
        book.open.insert(open.record.nonce, open);
    }
    book.is_loaded = true;
    Ok(())
}

/// Sends again what the node does not have, in the order of nonces; returns the node's count of transactions, those in its
/// pool included. `now`: the depth of what is mined is looked at, however recently it was.
pub(super) async fn tend(sender: &Sender, now: bool) -> Result<u64, SendError> {
    settle(sender, now).await?;
    let count = count(sender).await?;
    fill(sender, count).await?;
    for nonce in lacking(sender, count) {
        match submit::offer(sender, nonce).await? {
            Offer::Taken => {}
            Offer::NonceUsed => give_up(sender, nonce).await?,
            Offer::Refused(reason) => refused(sender, nonce, reason).await?,
        }
    }
    Ok(count)
}

/// The node's count of this key's transactions, those in its pool included; of several nodes' counts the median. Asked every
/// time, so that it survives a restart, a reorg, and other users of the key.
pub(super) async fn count(sender: &Sender) -> Result<u64, SendError> {
    let count = retried(sender, || sender.endpoint.count_of(sender.address()));
    count.await.map_err(unsent)
}

/// Open nonces whose transactions the node does not have: all of them, since it takes none without those before it.
fn lacking(sender: &Sender, count: u64) -> Vec<u64> {
    let mut book = sender.book();
    // what the count covers is in a block or a pool, or its nonce is somebody else's: a receipt will tell
    let lacking = book.open.range_mut(count..);
    lacking
        .map(|(nonce, open)| {
            // if it was in a block, that has left the chain: it is pending again
            open.block = None;
            *nonce
        })
        .collect()
}

/// A transfer of nothing to oneself for each nonce that was lost, so that those behind it get into a block.
async fn fill(sender: &Sender, count: u64) -> Result<(), SendError> {
    let gaps = sender.book().gaps(count);
    let Some(first) = gaps.first() else {
        return Ok(());
    };
    if gaps.len() > GAPS_MAX {
        let (missing, next) = (gaps.len(), sender.book().next_nonce());
        return Err(SendError::Unsent(format!(
            "the node counts {count} transactions of {}, and one with nonce {} is open: of those between, from {first} on, \
             {missing} are missing, and at most {GAPS_MAX} are filled; the node is far behind, or the list of signed \
             transactions is of another chain",
            sender.address(),
            next.saturating_sub(1),
        )));
    }
    let chain_id = submit::chain_id(sender).await?;
    let market = Fees {
        gas: TRANSFER_GAS,
        ..fees::market(sender).await?
    };
    for nonce in gaps {
        let intent = Intent {
            to: Some(sender.address()),
            data: Bytes::new(),
            deadline: None,
        };
        note(sender, intent, chain_id, nonce, market, false)?;
    }
    Ok(())
}

/// Signs and puts into the book; nothing is sent.
pub(super) fn note(
    sender: &Sender,
    intent: Intent,
    chain_id: u64,
    nonce: u64,
    fees: Fees,
    is_claimed: bool,
) -> Result<(), SendError> {
    let signed = sender.sign(intent.clone(), chain_id, nonce, fees)?;
    let record = IntentRecord {
        nonce,
        to: intent.to,
        data: intent.data,
        deadline: intent.deadline,
        signed: vec![signed.noted(fees)],
        is_delivered: false,
    };
    let open = Open {
        is_claimed,
        ..Open::new(record)
    };
    sender.book().open.insert(nonce, open);
    Ok(())
}

/// Forgets what is buried deep enough.
async fn settle(sender: &Sender, now: bool) -> Result<(), SendError> {
    let policy = sender.endpoint.policy();
    if policy.confirmations == 0 {
        for nonce in of(sender, |open| open.is_delivered) {
            finish(sender, nonce).await?;
        }
    }
    let is_due = now
        || sender
            .book()
            .settled
            .is_none_or(|at| at.elapsed() >= SETTLE_EVERY);
    let old = machine_time().saturating_sub(policy.resumable_seconds);
    let is_left = |open: &Open| {
        let signed_at = open.newest().map_or(0, |signed| signed.signed_at);
        open.is_delivered || (!open.is_claimed && signed_at <= old)
    };
    let left = of(sender, is_left);
    if left.is_empty() || !is_due {
        return Ok(());
    }
    let head = sender.endpoint.head().await;
    let head = head.map_err(|e| SendError::Unsent(e.to_string()))?.number;
    for nonce in left {
        let known = sender.book().open.get(&nonce).and_then(|open| open.block);
        let is_buried = |block: u64| block.saturating_add(policy.confirmations) <= head;
        if known.is_some_and(|block| !is_buried(block)) {
            continue;
        }
        let block = receipts::look(sender, nonce)
            .await?
            .and_then(|r| r.block_number);
        if block.is_some_and(is_buried)
            || (block.is_none() && receipts::is_used_by_another(sender, nonce).await?)
        {
            finish(sender, nonce).await?;
        } else if let Some(open) = sender.book().open.get_mut(&nonce) {
            open.block = block;
        }
    }
    sender.book().settled = Some(Instant::now());
    Ok(())
}

/// Notes in the log that the callers of what is delivered know of it.
pub(super) async fn heard(sender: &Sender) -> Result<(), SendError> {
    let _turn = sender.turn.lock().await;
    for nonce in of(sender, |open| open.is_delivered) {
        if sender.endpoint.policy().confirmations == 0 {
            finish(sender, nonce).await?;
            continue;
        }
        let record = sender.book().open.get_mut(&nonce).map(|open| {
            open.record.is_delivered = true;
            open.record.clone()
        });
        if let Some(record) = record {
            sender.log.put(&record).await.map_err(log_failed)?;
        }
    }
    Ok(())
}

fn of(sender: &Sender, is: impl Fn(&Open) -> bool) -> Vec<u64> {
    let book = sender.book();
    let found = book.open.iter().filter(|(_, open)| is(open));
    found.map(|(nonce, _)| *nonce).collect()
}

/// Takes a record from log and book.
pub(super) async fn finish(sender: &Sender, nonce: u64) -> Result<(), SendError> {
    sender.log.finish(nonce).await.map_err(log_failed)?;
    sender.book().open.remove(&nonce);
    Ok(())
}

/// Nothing will come of a record. Its caller, if one waits, signs anew.
pub(super) async fn give_up(sender: &Sender, nonce: u64) -> Result<(), SendError> {
    let waited_for = match sender.book().open.get_mut(&nonce) {
        Some(open) => {
            open.is_dead = true;
            open.is_claimed
        }
        None => false,
    };
    match waited_for {
        true => Ok(()),
        false => finish(sender, nonce).await,
    }
}

/// The node refuses what it was given before, or what was given to it by a process that ended.
async fn refused(sender: &Sender, nonce: u64, reason: String) -> Result<(), SendError> {
    let hash = {
        let book = sender.book();
        book.open.get(&nonce).and_then(Open::newest).map(|s| s.hash)
    };
    Err(SendError::Unresolved {
        hash: hash.unwrap_or_default(),
        reason: format!("refused: {reason}"),
    })
}
