//! What of the log a running sender has in mind: which nonces are open, and who waits for them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::primitives::B256;
use tokio::time::Instant;

use super::intents::{IntentRecord, SignedTransaction};
use super::sender::{Intent, Sender};

/// Open records by nonce.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) is_loaded: bool,
    pub(super) open: BTreeMap<u64, Open>,
    /// When the depth of mined transactions was looked at last.
    pub(super) settled: Option<Instant>,
}

/// A record and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) record: IntentRecord,
    /// The log holds the record as it is here.
    pub(super) is_logged: bool,
    /// A node said that it has a transaction of the record, or may have said it to a process that ended.
    pub(super) was_heard: bool,
    /// A caller waits for it.
    pub(super) is_claimed: bool,
    /// A caller was told how it ended. If a reorg takes that back, the same call resumes it.
    pub(super) is_delivered: bool,
    /// Its nonce was used by a transaction that is not in the record.
    pub(super) is_dead: bool,
    /// Height of the block that its receipt showed last; none once that block has left the chain.
    pub(super) block: Option<u64>,
    /// When the newest transaction was signed.
    pub(super) signed: Instant,
}

impl Open {
    pub(super) fn new(record: IntentRecord) -> Open {
        Open {
            record,
            is_logged: false,
            was_heard: false,
            is_claimed: false,
            is_delivered: false,
            is_dead: false,
            block: None,
            signed: Instant::now(),
        }
    }

    pub(super) fn newest(&self) -> Option<&SignedTransaction> {
        self.record.signed.last()
    }

    fn does(&self, intent: &Intent) -> bool {
        self.record.to == intent.to && self.record.data == intent.data
    }

    /// Whether it waits for a block, as far as is known.
    fn is_pending(&self) -> bool {
        !self.is_dead && self.block.is_none()
    }
}

impl Book {
    /// The open record of a call whose caller was told of a doubt, or left; it is claimed now.
    pub(super) fn resume(&mut self, intent: &Intent) -> Option<u64> {
        let is_left = |open: &&mut Open| {
            let is_done = open.is_delivered && open.block.is_some();
            open.does(intent) && !open.is_claimed && !is_done && !open.is_dead
        };
        let open = self.open.values_mut().find(is_left)?;
        open.is_claimed = true;
        open.record.deadline = intent.deadline.or(open.record.deadline);
        Some(open.record.nonce)
    }

    /// Delivered records of a call: it is done, unless a reorg took it back.
    pub(super) fn delivered(&self, intent: &Intent) -> Vec<u64> {
        let done = self.open.iter();
        done.filter(|(_, open)| open.is_delivered && open.does(intent))
            .map(|(nonce, _)| *nonce)
            .collect()
    }

    /// The nonce after the open ones.
    pub(super) fn next_nonce(&self) -> u64 {
        self.open.last_key_value().map_or(0, |(nonce, _)| nonce + 1)
    }

    /// Nonces that nobody signed for, between the chain's count and an open record.
    pub(super) fn gaps(&self, count: u64) -> Vec<u64> {
        let waits = |(nonce, open): &(&u64, &Open)| **nonce >= count && !open.is_dead;
        let last = self
            .open
            .iter()
            .filter(waits)
            .map(|(nonce, _)| *nonce)
            .last();
        let between = count..last.unwrap_or(count);
        between
            .filter(|nonce| !self.open.contains_key(nonce))
            .collect()
    }

    /// The transaction that stands first in the way of a nonce, its own included.
    pub(super) fn first_pending(&self, nonce: u64) -> Option<&Open> {
        self.open
            .range(..=nonce)
            .map(|(_, o)| o)
            .find(|o| o.is_pending())
    }

    /// The nearest deadline of what waits at a nonce and behind it.
    pub(super) fn deadline(&self, nonce: u64) -> Option<u64> {
        let behind = self.open.range(nonce..).map(|(_, open)| open);
        behind
            .filter(|o| o.is_pending())
            .filter_map(|o| o.record.deadline)
            .min()
    }
}

/// A caller that waits for a nonce. Dropped, it leaves the transaction to be resumed.
pub(super) struct Claim<'a> {
    pub(super) sender: &'a Sender,
    pub(super) nonce: u64,
}

impl Claim<'_> {
    /// Hash of the newest transaction.
    pub(super) fn hash(&self) -> B256 {
        let book = self.sender.book();
        let newest = book.open.get(&self.nonce).and_then(Open::newest);
        newest.map_or(B256::ZERO, |signed| signed.hash)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut book = self.sender.book();
        if let Some(open) = book.open.get_mut(&self.nonce) {
            open.is_claimed = false;
            if open.record.signed.len() == 1 && !open.is_logged {
                // not in the log, so it was not sent either
                book.open.remove(&self.nonce);
            }
        }
    }
}

/// Seconds since the epoch by this machine's clock.
pub(super) fn machine_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}
