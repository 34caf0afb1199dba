//! Accounts and slots as they are on disk: keys of one length whose order keeps an account's slots together, and values that
//! are empty where there is nothing.

use alloy::primitives::{Address, FixedBytes, U256};
use alloy_rlp::Decodable as _;
use sha2::{Digest as _, Sha256};

use super::super::tables::{Holding, Slot, Tables};

/// Kind, address, slot.
pub(crate) type Key = FixedBytes<53>;
/// Empty where the key's account or slot is nothing.
pub(crate) type Value = Vec<u8>;

const ACCOUNT: u8 = 0;
const SLOT: u8 = 1;

fn key(kind: u8, address: &Address, slot: U256) -> Key {
    let mut key = Key::ZERO;
    key[0] = kind;
    key[1..21].copy_from_slice(address.as_slice());
    key[21..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

pub(super) fn of_account(address: &Address) -> Key {
    key(ACCOUNT, address, U256::ZERO)
}

pub(super) fn of_slot((address, slot): &Slot) -> Key {
    key(SLOT, address, *slot)
}

fn holding_value(holding: &Holding) -> Value {
    match *holding == Holding::NONE {
        true => Value::new(),
        false => alloy_rlp::encode(holding),
    }
}

/// The account of a value; none where it is not one.
pub(super) fn holding(mut value: &[u8]) -> Option<Holding> {
    match value.is_empty() {
        true => Some(Holding::NONE),
        false => Holding::decode(&mut value)
            .ok()
            .filter(|_| value.is_empty()),
    }
}

/// The word of a value; none where it is not one.
pub(super) fn word(value: &[u8]) -> Option<U256> {
    U256::try_from_be_slice(value)
}

/// All of it, in the order of keys.
pub(super) fn sorted(tables: &Tables) -> impl Iterator<Item = (Key, Value)> {
    let mut accounts: Vec<_> = tables.accounts.iter().collect();
    accounts.sort_unstable_by_key(|(address, _)| *address);
    let mut slots: Vec<_> = tables.slots.iter().collect();
    slots.sort_unstable_by_key(|(slot, _)| *slot);
    let accounts = accounts.into_iter();
    let accounts = accounts.map(|(address, holding)| (of_account(address), holding_value(holding)));
    let slots = slots.into_iter();
    accounts.chain(slots.map(|(slot, value)| (of_slot(slot), value.to_be_bytes_trimmed_vec())))
}

/// What a filter asks of a key: where its bits are. Of a hash that nobody finds many keys to, so that no contract can make a
/// filter useless.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    start: u64,
    stride: u64,
}

/// Bits of a filter for each key, and how many of them a key sets: one in a hundred keys that are not there seems to be.
const BITS: usize = 10;
const PLACES: u64 = 7;

impl Probe {
    pub(super) fn of(key: &Key) -> Probe {
        let hash = Sha256::digest(key);
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&hash[at..at + 8]);
            u64::from_le_bytes(word)
        };
        Probe {
            start: word(0),
            stride: word(8) | 1,
        }
    }

    fn places(self, bits: u64) -> impl Iterator<Item = (usize, u8)> {
        let place = move |i| self.start.wrapping_add(self.stride.wrapping_mul(i)) % bits;
        (0..PLACES)
            .map(place)
            .map(|bit| ((bit / 8) as usize, 1 << (bit % 8)))
    }
}

/// A Bloom filter of these keys.
pub(super) fn filter(keys: &[Probe]) -> Vec<u8> {
    let mut filter = vec![0; (keys.len() * BITS).div_ceil(8).max(8)];
    let bits = filter.len() as u64 * 8;
    for (byte, bit) in keys.iter().flat_map(|key| key.places(bits)) {
        filter[byte] |= bit;
    }
    filter
}

/// Whether a key may be one of those that a filter was made of.
pub(super) fn may_hold(filter: &[u8], key: Probe) -> bool {
    let bits = filter.len() as u64 * 8;
    bits > 0 && key.places(bits).all(|(byte, bit)| filter[byte] & bit != 0)
}
