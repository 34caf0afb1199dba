//! Accounts, storage and code: the newest state, and what takes a block back.
//!
//! The state lies in shards that clones share until one of them writes: a copy of all of it is made in no time, and costs
//! what is written while it lives.

use std::sync::Arc;

use alloy::primitives::map::{B256Map, HashMap};
use alloy::primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use revm::bytecode::Bytecode;
use revm::primitives::AddressMap;
use revm::state::Account;

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
    const NONE: Holding = Holding {
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

/// An account before a block.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct PriorAccount {
    address: Address,
    holding: Holding,
}

/// A slot before a block.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct PriorSlot {
    address: Address,
    slot: U256,
    value: U256,
}

/// What takes a block's effects back: how things were before, and the code that was new.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Undo {
    accounts: Vec<PriorAccount>,
    slots: Vec<PriorSlot>,
    codes: Vec<B256>,
}

impl Undo {
    /// Values in it.
    pub(super) fn len(&self) -> usize {
        self.accounts.len() + self.slots.len() + self.codes.len()
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.accounts.as_slice())
            + size_of_val(self.slots.as_slice())
            + size_of_val(self.codes.as_slice())
    }
}

/// The state of a chain. What is nothing (an empty account, a slot of zero) is not in it.
#[derive(Clone, Debug)]
pub(super) struct World {
    accounts: Sharded<Address, Holding>,
    slots: Sharded<Slot, U256>,
    codes: Arc<B256Map<Bytecode>>,
}

impl Default for World {
    fn default() -> Self {
        World {
            accounts: Sharded::new(ACCOUNT_SHARDS),
            slots: Sharded::new(SLOT_SHARDS),
            codes: Arc::default(),
        }
    }
}

impl World {
    pub(super) fn account(&self, address: &Address) -> Option<&Holding> {
        self.accounts.get(address)
    }

    pub(super) fn slot(&self, slot: &Slot) -> U256 {
        self.slots.get(slot).copied().unwrap_or_default()
    }

    pub(super) fn code(&self, hash: &B256) -> Option<&Bytecode> {
        self.codes.get(hash)
    }

    pub(super) fn set_account(&mut self, address: Address, holding: Holding) {
        match holding == Holding::NONE {
            true => self.accounts.remove(&address),
            false => self.accounts.insert(address, holding),
        };
    }

    pub(super) fn set_slot(&mut self, slot: Slot, value: U256) {
        match value.is_zero() {
            true => self.slots.remove(&slot),
            false => self.slots.insert(slot, value),
        };
    }

    /// Adds code; says whether it is new.
    pub(super) fn add_code(&mut self, hash: B256, code: Bytecode) -> bool {
        let is_new = !self.codes.contains_key(&hash);
        if is_new {
            Arc::make_mut(&mut self.codes).insert(hash, code);
        }
        is_new
    }

    /// Applies what an execution did.
    pub(super) fn commit(&mut self, changes: AddressMap<Account>) -> Undo {
        let mut undo = Undo::default();
        for (address, account) in changes {
            if !account.is_touched() {
                continue;
            }
            let prior = self.account(&address).copied().unwrap_or(Holding::NONE);
            if account.is_selfdestructed() {
                // only in the transaction that created it (EIP-6780): its storage is not here yet
                self.change_account(&mut undo, address, prior, Holding::NONE);
                continue;
            }
            let info = account.info;
            // an account that revm made up may name no code at all
            let code_hash = match info.code_hash.is_zero() {
                true => KECCAK256_EMPTY,
                false => info.code_hash,
            };
            if let Some(code) = info.code.filter(|code| !code.is_empty())
                && self.add_code(code_hash, code)
            {
                undo.codes.push(code_hash);
            }
            let holding = Holding {
                nonce: info.nonce,
                balance: info.balance,
                code_hash,
            };
            self.change_account(&mut undo, address, prior, holding);
            for (slot, value) in account.storage {
                if value.is_changed() {
                    let prior = self.slot(&(address, slot));
                    undo.slots.push(PriorSlot {
                        address,
                        slot,
                        value: prior,
                    });
                    self.set_slot((address, slot), value.present_value());
                }
            }
        }
        undo
    }

    fn change_account(&mut self, undo: &mut Undo, address: Address, prior: Holding, now: Holding) {
        if prior != now {
            undo.accounts.push(PriorAccount {
                address,
                holding: prior,
            });
            self.set_account(address, now);
        }
    }

    /// Takes back the newest block that was not taken back.
    pub(super) fn take_back(&mut self, undo: &Undo) {
        for prior in &undo.accounts {
            self.set_account(prior.address, prior.holding);
        }
        for prior in &undo.slots {
            self.set_slot((prior.address, prior.slot), prior.value);
        }
        if !undo.codes.is_empty() {
            let codes = Arc::make_mut(&mut self.codes);
            undo.codes.iter().for_each(|hash| {
                codes.remove(hash);
            });
        }
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = (&Address, &Holding)> {
        self.accounts.iter()
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (&Slot, &U256)> {
        self.slots.iter()
    }

    /// Code as it was deployed.
    pub(super) fn codes(&self) -> impl Iterator<Item = Bytes> {
        self.codes.values().map(Bytecode::original_bytes)
    }

    pub(super) fn counts(&self) -> [usize; 3] {
        [self.accounts.len(), self.slots.len(), self.codes.len()]
    }

    /// Bytes that its tables take.
    pub(super) fn bytes(&self) -> u64 {
        let codes: usize = self.codes.values().map(Bytecode::len).sum();
        self.accounts.bytes() + self.slots.bytes() + codes as u64
    }
}

trait Shard {
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
struct Sharded<K, V> {
    shards: Box<[Arc<HashMap<K, V>>]>,
}

impl<K: Shard + Eq + std::hash::Hash + Clone, V: Clone> Sharded<K, V> {
    fn new(shards: usize) -> Self {
        let empty = Arc::new(HashMap::default());
        Sharded {
            shards: vec![empty; shards].into(),
        }
    }

    fn place(&self, key: &K) -> usize {
        key.spread() % self.shards.len()
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.shards[self.place(key)].get(key)
    }

    fn insert(&mut self, key: K, value: V) -> Option<V> {
        let place = self.place(&key);
        Arc::make_mut(&mut self.shards[place]).insert(key, value)
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.place(key);
        Arc::make_mut(&mut self.shards[place]).remove(key)
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    fn bytes(&self) -> u64 {
        // a table is at most seven eighths full, and has a byte of control for each place
        let places: usize = self.shards.iter().map(|s| s.capacity() * 8 / 7).sum();
        (places * (size_of::<(K, V)>() + 1)) as u64
    }
}
