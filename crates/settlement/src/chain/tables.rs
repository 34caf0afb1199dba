//! Accounts and storage in memory, in shards that clones share until one of them writes: a copy of all of it is made in no
//! time, and costs what is written while it lives.

use std::sync::Arc;

use alloy::primitives::map::HashMap;
use alloy::primitives::{Address, B256, KECCAK256_EMPTY, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// Shards of the storage: so many that to copy one takes no time, so few that the list of them takes none either.
const SLOT_SHARDS: usize = 1024;
const ACCOUNT_SHARDS: usize = 64;

/// Storage slot of an account.
pub(super) type Slot = (Address, U256);

/// What an account has beside storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Holding {
    pub(super) nonce: u64,
    pub(super) balance: U256,
    pub(super) code_hash: B256,
}

impl Holding {
    /// Nothing, as an account that never was (EIP-161).
    pub(super) const NONE: Holding = Holding {
        nonce: 0,
        balance: U256::ZERO,
        code_hash: KECCAK256_EMPTY,
    };

    pub(super) fn of(balance: U256) -> Holding {
        Holding {
            balance,
            ..Holding::NONE
        }
    }
}

/// A part of the state. What is there and is nothing hides what an older part says.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) accounts: Sharded<Address, Holding>,
    pub(super) slots: Sharded<Slot, U256>,
}

impl Default for Tables {
    fn default() -> Self {
        Tables {
            accounts: Sharded::new(ACCOUNT_SHARDS),
            slots: Sharded::new(SLOT_SHARDS),
        }
    }
}

impl Tables {
    /// Bytes that they take.
    pub(super) fn bytes(&self) -> u64 {
        self.accounts.bytes() + self.slots.bytes()
    }
}

pub(super) trait Shard {
    /// A number that spreads well.
    fn spread(&self) -> usize;
}

impl Shard for Address {
    fn spread(&self) -> usize {
        usize::from(self.0[19]) | usize::from(self.0[18]) << 8
    }
}

impl Shard for Slot {
    fn spread(&self) -> usize {
        // members of a struct, and neighbours in a list, are written together: sixteen of them lie in one shard
        let [low, ..] = self.1.as_limbs();
        (low >> 4) as usize ^ self.0.spread()
    }
}

/// A map whose clones share what neither has changed.
#[derive(Clone, Debug)]
pub(super) struct Sharded<K, V> {
    shards: Box<[Arc<HashMap<K, V>>]>,
    /// What all shards have room for.
    room: usize,
}

impl<K: Shard + Eq + std::hash::Hash + Clone, V: Clone> Sharded<K, V> {
    fn new(shards: usize) -> Self {
        let empty = Arc::new(HashMap::default());
        Sharded {
            shards: vec![empty; shards].into(),
            room: 0,
        }
    }

    fn place(&self, key: &K) -> usize {
        key.spread() % self.shards.len()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.shards[self.place(key)].get(key)
    }

    fn change(&mut self, place: usize, change: impl FnOnce(&mut HashMap<K, V>)) {
        let before = self.shards[place].capacity();
        let shard = Arc::make_mut(&mut self.shards[place]);
        change(shard);
        self.room = self.room + shard.capacity() - before;
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.change(self.place(&key), |shard| {
            shard.insert(key, value);
        });
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.change(self.place(key), |shard| {
            shard.remove(key);
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    fn bytes(&self) -> u64 {
        // a table is at most seven eighths full, and has a byte of control for each place
        (self.room * 8 / 7 * (size_of::<(K, V)>() + 1)) as u64
    }
}
