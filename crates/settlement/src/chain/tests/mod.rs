//! A contract of a few opcodes and one key, on chains that are closed, cut, forked and reorganised.

mod clock;
mod durability;
mod home;
mod random;
mod refusals;
mod reorg;
mod snapshots;
mod spill;

use std::path::Path;

use alloy::consensus::{SignableTransaction as _, TxEip1559};
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::primitives::{Address, TxKind, U256, hex};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;

use super::*;
use crate::account::dev_key;

/// Counts its calls in slot 0 and logs, under the count, what the instructions say: TIMESTAMP, BLOCKHASH of the
/// block in the first word of the input, PREVRANDAO and NUMBER; it returns the same. Input of one byte reverts.
const RECORDER: [u8; 64] = hex!(
    // copies the rest and returns it
    "6034600c60003960346000f3"
    // one byte of input: revert
    "366001 14602e57"
    // the count
    "600054600101 80600055"
    // the words
    "42600052 60003540602052 44604052 43606052"
    "60806000a1 60806000f3"
    "5b60006000fd"
);

/// Gives so many slots as the third word of the input says the value of the second: the slots whose numbers are the hashes
/// of the first and of what follows it.
const WRITER: [u8; 47] = hex!(
    // copies the rest and returns it
    "6023600c60003960236000f3"
    // while slots are left
    "604035 5b 8015602157 60019003"
    // the next to the value
    "80600035016000 52 602035 6020600020 55 600356"
    "5b00"
);
/// Slots that one call of the writer writes here.
const WRITTEN: u64 = 24;

/// What of a chain is seen from outside, for comparing two of them.
#[derive(Debug, PartialEq)]
struct Seen {
    now: u64,
    blocks: Vec<Block>,
    receipts: Vec<Receipt>,
    logs: Vec<LogEntry>,
    nonce: u64,
    balances: Vec<U256>,
    code: Bytes,
    count: U256,
    last_final: u64,
    /// Every account, slot and code.
    state: B256,
}

impl Chain {
    /// From now on its journal, which is in this folder, cannot be written to: a handle for reading stands for a full disk.
    pub(crate) fn stop_writing(&mut self, folder: &Path) {
        let file = std::fs::File::open(folder.join("chain.journal")).unwrap();
        self.journal.as_mut().unwrap().file = file;
    }

    /// Writes a snapshot and waits for it.
    fn saved(&mut self) {
        self.save();
        let keeper = self.keeper.as_mut().unwrap();
        keeper.finish();
        assert_eq!(keeper.report().failed, None);
    }

    /// Waits until all that is final is on disk, and state that is due, and lets go of it.
    fn settled(&mut self) {
        self.history.settle();
        if let Some(spill) = &mut self.spill {
            spill.settle(&mut self.world);
        }
    }
}

pub(crate) fn key() -> PrivateKeySigner {
    dev_key("chain tests", 0)
}

pub(crate) fn friend() -> Address {
    dev_key("chain tests", 1).address()
}

pub(crate) fn recorder() -> Address {
    key().address().create(0)
}

pub(crate) fn genesis() -> Genesis {
    Genesis {
        accounts: vec![(key().address(), U256::from(1_000))],
        ..Genesis::default()
    }
}

pub(crate) fn unsigned(nonce: u64, to: TxKind, input: impl Into<Bytes>) -> TxEip1559 {
    TxEip1559 {
        chain_id: 31337,
        nonce,
        gas_limit: 1_000_000,
        to,
        input: input.into(),
        ..TxEip1559::default()
    }
}

pub(crate) fn sealed(transaction: TxEip1559) -> Bytes {
    let signature = key().sign_hash_sync(&transaction.signature_hash()).unwrap();
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    envelope.encoded_2718().into()
}

pub(crate) fn create(nonce: u64) -> Bytes {
    sealed(unsigned(nonce, TxKind::Create, RECORDER))
}

/// Asks the recorder for the hash of block `about`.
pub(crate) fn record(nonce: u64, about: u64) -> Bytes {
    let word = U256::from(about).to_be_bytes::<32>();
    sealed(unsigned(nonce, TxKind::Call(recorder()), word))
}

fn create_writer(nonce: u64) -> Bytes {
    sealed(unsigned(nonce, TxKind::Create, WRITER))
}

/// The writer that the key's first transaction creates.
fn writer() -> Address {
    key().address().create(0)
}

/// Gives [`WRITTEN`] slots from number `base` on a value.
fn write(nonce: u64, base: u64, value: u64) -> Bytes {
    write_to(writer(), nonce, base, value)
}

fn write_to(writer: Address, nonce: u64, base: u64, value: u64) -> Bytes {
    let words = [base, value, WRITTEN].map(|word| U256::from(word).to_be_bytes::<32>());
    sealed(unsigned(nonce, TxKind::Call(writer), words.concat()))
}

/// Where the writer's slot of a number is.
fn written_slot(number: u64) -> U256 {
    keccak256(U256::from(number).to_be_bytes::<32>()).into()
}

pub(crate) fn pay(nonce: u64, wei: u64) -> Bytes {
    sealed(TxEip1559 {
        value: U256::from(wei),
        ..unsigned(nonce, TxKind::Call(friend()), Bytes::new())
    })
}

pub(crate) fn fail(nonce: u64) -> Bytes {
    sealed(unsigned(nonce, TxKind::Call(recorder()), [0]))
}

pub(crate) fn receipt(chain: &Chain, transaction: B256) -> Receipt {
    let receipt = chain.receipt_of(transaction).unwrap().unwrap();
    Arc::unwrap_or_clone(receipt)
}

fn block(chain: &Chain, number: u64) -> Block {
    chain.block(number).unwrap().unwrap()
}

fn everything() -> LogFilter {
    LogFilter {
        to_block: u64::MAX,
        ..LogFilter::default()
    }
}

fn seen(chain: &Chain) -> Seen {
    let numbers = 0..=chain.head().number;
    let blocks: Vec<_> = numbers.map(|n| chain.block(n).unwrap().unwrap()).collect();
    let hashes = blocks.iter().filter_map(|b| b.transaction);
    Seen {
        now: chain.now(),
        receipts: hashes.map(|hash| receipt(chain, hash)).collect(),
        blocks,
        logs: chain.logs(&everything()).unwrap(),
        nonce: chain.nonce(key().address()).unwrap(),
        balances: [key().address(), friend()]
            .map(|a| chain.balance(a).unwrap())
            .to_vec(),
        code: chain.code(recorder()).unwrap(),
        count: chain.storage(recorder(), U256::ZERO).unwrap(),
        last_final: chain.history.last_final(),
        state: state(&chain.world),
    }
}

/// A digest of all that a state holds.
fn state(world: &World) -> B256 {
    let values = world.all().into_iter().map(|item| format!("{item:?}"));
    let codes = world.codes().map(|code| code.to_string());
    let mut items: Vec<String> = values.chain(codes).collect();
    items.sort_unstable();
    keccak256(items.concat())
}

/// A creation, calls, a payment, a transaction that reverts, an empty block, and a clock that moved.
pub(crate) fn lived(chain: &mut Chain) {
    chain.submit(&create(0)).unwrap();
    chain.submit(&record(1, 0)).unwrap();
    chain.submit(&pay(2, 7)).unwrap();
    let reverted = chain.submit(&fail(3)).unwrap();
    assert!(!receipt(chain, reverted).success);
    chain.advance_to(chain.now() + 500).unwrap();
    chain.mine().unwrap();
    chain.submit(&record(4, 1)).unwrap();
}

fn word(data: &[u8], i: usize) -> B256 {
    B256::from_slice(&data[32 * i..][..32])
}

fn number(data: &[u8], i: usize) -> u64 {
    U256::from_be_bytes(word(data, i).0).to()
}
