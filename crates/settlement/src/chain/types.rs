//! Blocks, receipts, requests and errors of the embedded chain.

use alloy::primitives::{Address, B256, Bytes, Log, U256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use serde::{Deserialize, Serialize};

use super::{ArchiveError, JournalError, StateError};

/// How a chain starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Chain id.
    pub chain_id: u64,
    /// Time of the genesis block, in seconds since the epoch.
    pub time: u64,
    /// Accounts that own coin from the start, in wei.
    pub accounts: Vec<(Address, U256)>,
}

impl Default for Genesis {
    fn default() -> Self {
        Genesis {
            chain_id: 31337,
            time: 1_700_000_000,
            accounts: Vec::new(),
        }
    }
}

/// What of a chain on disk is in memory, and how often it is saved as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Newest blocks that are in memory with their receipts, and can be dropped by a reorg; older ones are final and are
    /// read from disk. A history is opened with the number that it was made with, or a larger one.
    pub recent_blocks: u64,
    /// Records of the history (blocks, moves of the clock) from one snapshot to the next, at least.
    pub snapshot_records: u64,
    /// Bytes that the state takes in memory, about: what was not written for longest is on disk alone. Any number does for any
    /// history.
    pub state_memory: u64,
    /// Replays all of the history on opening, whatever snapshots there are: an audit of them.
    pub replay_all: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            recent_blocks: 4096,
            snapshot_records: 16_384,
            state_memory: 512 << 20,
            replay_all: false,
        }
    }
}

/// What of a chain is in memory, by kind: how many, and about how many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retained {
    /// Blocks.
    pub blocks: u64,
    /// Their receipts, with logs and transactions.
    pub receipts: u64,
    /// Bytes of blocks and receipts.
    pub block_bytes: u64,
    /// Values that take blocks back.
    pub undo: u64,
    /// Their bytes.
    pub undo_bytes: u64,
    /// Accounts. Those that were written again since they began to go to the disk are counted twice, and slots as well.
    pub accounts: u64,
    /// Storage slots of all accounts.
    pub slots: u64,
    /// Contracts' codes.
    pub codes: u64,
    /// Bytes of accounts, slots and codes.
    pub state_bytes: u64,
    /// Bytes of what is in memory of the state on disk: pages that were read last, and where to find others.
    pub cold_cached_bytes: u64,
    /// Accounts and slots on disk; those that were written again since are counted again.
    pub cold_values: u64,
    /// Bytes of state on disk.
    pub cold_bytes: u64,
    /// Pages of it that were read.
    pub cold_pages_read: u64,
    /// Blocks on disk, beyond those in memory.
    pub archived: u64,
}

/// What happened to the chain; its history is a list of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A transaction in a block of its own.
    Transaction {
        /// Block time.
        time: u64,
        /// EIP-2718 bytes.
        raw: Bytes,
        /// Hash of its block; checked on replay.
        block_hash: B256,
    },
    /// The clock moved.
    Clock {
        /// To this time.
        time: u64,
    },
    /// A block without transactions.
    Mine {
        /// Block time.
        time: u64,
    },
    /// The newest blocks were dropped.
    Reorg {
        /// How many.
        depth: u64,
    },
}

/// A block: at most one transaction.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub struct Block {
    /// Height.
    pub number: u64,
    /// Keccak of number, time, parent, transaction, gas and state effects.
    pub hash: B256,
    /// Hash of the block before.
    pub parent: B256,
    /// Seconds since the epoch; never before its parent's.
    pub time: u64,
    /// Gas its transaction used.
    pub gas_used: u64,
    /// Its transaction.
    pub transaction: Option<B256>,
}

impl Block {
    pub(super) fn genesis(genesis: &Genesis) -> Block {
        let accounts: Vec<u8> = genesis
            .accounts
            .iter()
            .flat_map(|(a, b)| [a.as_slice(), &b.to_be_bytes::<32>()].concat())
            .collect();
        let hash = keccak256(
            [
                &genesis.chain_id.to_be_bytes()[..],
                &genesis.time.to_be_bytes(),
                &accounts,
            ]
            .concat(),
        );
        Block {
            number: 0,
            hash,
            parent: B256::ZERO,
            time: genesis.time,
            transaction: None,
            gas_used: 0,
        }
    }

    /// The block after `parent`; `effects` digests what its transaction did.
    pub(super) fn after(parent: &Block, time: u64, effects: B256, gas_used: u64) -> Block {
        let number = parent.number + 1;
        let header = [
            &number.to_be_bytes()[..],
            &time.to_be_bytes(),
            parent.hash.as_slice(),
            effects.as_slice(),
            &gas_used.to_be_bytes(),
        ]
        .concat();
        Block {
            number,
            hash: keccak256(header),
            parent: parent.hash,
            time,
            transaction: None,
            gas_used,
        }
    }

    /// The randomness opcode's value in the block after this one: development only.
    pub(super) fn randomness(&self) -> B256 {
        keccak256([self.hash.as_slice(), b"randomness"].concat())
    }
}

/// A log with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The log.
    pub log: Log,
    /// Its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Its transaction.
    pub transaction_hash: B256,
    /// Number within the block.
    pub index: u64,
}

impl LogEntry {
    pub(super) fn of(block: &Block, transaction_hash: B256, index: u64, log: Log) -> LogEntry {
        LogEntry {
            log,
            block_number: block.number,
            block_hash: block.hash,
            transaction_hash,
            index,
        }
    }
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Keccak of its bytes.
    pub transaction_hash: B256,
    /// Its bytes.
    pub raw: Bytes,
    /// Block height.
    pub block_number: u64,
    /// Block hash.
    pub block_hash: B256,
    /// Sender.
    pub from: Address,
    /// Recipient; none for a creation.
    pub to: Option<Address>,
    /// Contract created.
    pub created: Option<Address>,
    /// Whether it succeeded.
    pub success: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Returned or revert data.
    pub output: Bytes,
    /// Why it failed without revert data (out of gas, say).
    pub halted: Option<String>,
    /// Logs.
    pub logs: Vec<LogEntry>,
}

impl Receipt {
    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let log = |entry: &LogEntry| {
            size_of::<LogEntry>() + size_of_val(entry.log.topics()) + entry.log.data.data.len()
        };
        let logs: usize = self.logs.iter().map(log).sum();
        size_of::<Receipt>() + self.raw.len() + self.output.len() + logs
    }
}

/// A call that changes nothing.
#[derive(Clone, Debug, Default)]
pub struct CallRequest {
    /// Sender.
    pub from: Address,
    /// Recipient; none for a creation.
    pub to: Option<Address>,
    /// Input.
    pub data: Bytes,
    /// Wei.
    pub value: U256,
    /// Gas limit; the transaction cap where absent.
    pub gas: Option<u64>,
}

/// Outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It returned.
    Returned {
        /// Output.
        output: Bytes,
        /// Gas used.
        gas_used: u64,
    },
    /// It reverted with this data.
    Reverted(Bytes),
    /// It ran out of gas or failed otherwise.
    Halted(String),
}

/// Why the chain refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Bytes that are no transaction.
    #[error("transaction cannot be decoded: {0}")]
    Decode(String),
    /// Bad signature.
    #[error("transaction is not signed properly: {0}")]
    Signature(String),
    /// Gas, chain id, balance, kind of transaction.
    #[error("transaction refused: {0}")]
    Refused(String),
    /// Not the sender's next nonce. The words are those other nodes use.
    #[error("nonce too {}: next nonce {next}, transaction nonce {sent}", if sent < next { "low" } else { "high" })]
    Nonce {
        /// The transaction's.
        sent: u64,
        /// The sender's next.
        next: u64,
    },
    /// It would fail, and was to be kept only if it succeeds.
    #[error("the transaction would fail: {0:?}")]
    WouldFail(CallOutcome),
    /// A reorg that would drop what is final.
    #[error(
        "cannot drop {depth} blocks: {droppable} can be dropped, blocks up to {last_final} are final"
    )]
    Reorg {
        /// Asked for.
        depth: u64,
        /// How many can be dropped.
        droppable: u64,
        /// The last block that cannot.
        last_final: u64,
    },
    /// A history with a reorg deeper than what is kept.
    #[error(
        "its history drops {depth} blocks where {droppable} can be dropped: open it with as many recent blocks as it was made with"
    )]
    Forgotten {
        /// In the journal.
        depth: u64,
        /// How many can be dropped.
        droppable: u64,
    },
    /// A time that no clock shows.
    #[error("the clock ends at {last}")]
    Time {
        /// The latest that can be set.
        last: u64,
    },
    /// The journal does not reproduce what it says.
    #[error("block {number} replays to {found}, the journal says {expected}")]
    Replay {
        /// Height.
        number: u64,
        /// In the journal.
        expected: B256,
        /// Found.
        found: B256,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An earlier write failed.
    #[error("the chain stopped accepting writes: {0}; restart it to recover what was acknowledged")]
    Failed(String),
    /// Blocks that are no longer in memory.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// State that is no longer in memory.
    #[error(transparent)]
    State(#[from] StateError),
}
