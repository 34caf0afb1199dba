//! Accounts, storage and code: the newest state, and what takes a block back.
//!
//! It lies in layers, each of which hides what those after it say: what was written last, in memory; what was written before
//! that, in memory and on its way to the disk or there; and what was not written for long, on disk alone.

use std::sync::Arc;

use alloy::primitives::map::B256Map;
use alloy::primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use revm::bytecode::Bytecode;
use revm::primitives::AddressMap;
use revm::state::Account;

use super::cold::{Cold, Segment, StateError};
use super::tables::{Holding, Slot, Tables};

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

/// What a block makes of the state, and what takes it back.
#[derive(Debug, Default)]
pub(super) struct Changes {
    accounts: Vec<(Address, Holding)>,
    slots: Vec<(Slot, U256)>,
    codes: Vec<(B256, Bytecode)>,
    undo: Undo,
}

impl Changes {
    fn account(&mut self, address: Address, prior: Holding, now: Holding) {
        if prior != now {
            self.undo.accounts.push(PriorAccount {
                address,
                holding: prior,
            });
            self.accounts.push((address, now));
        }
    }
}

/// What was written before the newest layer was begun.
#[derive(Clone, Debug)]
struct Older {
    tables: Tables,
    is_on_disk: bool,
}

/// The state of a chain. What is nothing (an empty account, a slot of zero) is in it only where it hides something.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    newest: Tables,
    older: Option<Older>,
    cold: Cold,
    codes: Arc<B256Map<Bytecode>>,
}

impl World {
    pub(super) fn account(&self, address: &Address) -> Result<Option<Holding>, StateError> {
        let of = |tables: &Tables| tables.accounts.get(address).copied();
        let found = match self.in_memory(of) {
            Some(holding) => Some(holding),
            None => self.cold.account(address)?,
        };
        Ok(found.filter(|holding| *holding != Holding::NONE))
    }

    pub(super) fn slot(&self, slot: &Slot) -> Result<U256, StateError> {
        match self.in_memory(|tables| tables.slots.get(slot).copied()) {
            Some(value) => Ok(value),
            None => Ok(self.cold.slot(slot)?.unwrap_or_default()),
        }
    }

    fn in_memory<T>(&self, of: impl Fn(&Tables) -> Option<T>) -> Option<T> {
        let older = || self.older.as_ref().and_then(|older| of(&older.tables));
        of(&self.newest).or_else(older)
    }

    pub(super) fn code(&self, hash: &B256) -> Option<&Bytecode> {
        self.codes.get(hash)
    }

    pub(super) fn set_account(&mut self, address: Address, holding: Holding) {
        match holding == Holding::NONE && !self.hides_something() {
            true => self.newest.accounts.remove(&address),
            false => self.newest.accounts.insert(address, holding),
        }
    }

    pub(super) fn set_slot(&mut self, slot: Slot, value: U256) {
        match value.is_zero() && !self.hides_something() {
            true => self.newest.slots.remove(&slot),
            false => self.newest.slots.insert(slot, value),
        }
    }

    /// Whether there is anything under the newest layer.
    fn hides_something(&self) -> bool {
        self.older.is_some() || !self.cold.segments().is_empty()
    }

    /// Adds code; says whether it is new.
    pub(super) fn add_code(&mut self, hash: B256, code: Bytecode) -> bool {
        let is_new = !self.codes.contains_key(&hash);
        if is_new {
            Arc::make_mut(&mut self.codes).insert(hash, code);
        }
        is_new
    }

    /// What an execution makes of it; nothing of that is applied.
    pub(super) fn changes(&self, touched: AddressMap<Account>) -> Result<Changes, StateError> {
        let mut changes = Changes::default();
        for (address, account) in touched {
            if !account.is_touched() {
                continue;
            }
            let prior = self.account(&address)?.unwrap_or(Holding::NONE);
            if account.is_selfdestructed() {
                // only in the transaction that created it (EIP-6780): its storage is not here yet
                changes.account(address, prior, Holding::NONE);
                continue;
            }
            let info = account.info;
            // an account that revm made up may name no code at all
            let code_hash = match info.code_hash.is_zero() {
                true => KECCAK256_EMPTY,
                false => info.code_hash,
            };
            if let Some(code) = info.code.filter(|code| !code.is_empty())
                && !self.codes.contains_key(&code_hash)
            {
                changes.codes.push((code_hash, code));
            }
            let holding = Holding {
                nonce: info.nonce,
                balance: info.balance,
                code_hash,
            };
            changes.account(address, prior, holding);
            for (slot, value) in account.storage {
                if value.is_changed() {
                    changes.undo.slots.push(PriorSlot {
                        address,
                        slot,
                        value: self.slot(&(address, slot))?,
                    });
                    let slot = (address, slot);
                    changes.slots.push((slot, value.present_value()));
                }
            }
        }
        Ok(changes)
    }

    /// Applies what a block changes.
    pub(super) fn commit(&mut self, changes: Changes) -> Undo {
        let mut undo = changes.undo;
        for (hash, code) in changes.codes {
            if self.add_code(hash, code) {
                undo.codes.push(hash);
            }
        }
        for (address, holding) in changes.accounts {
            self.set_account(address, holding);
        }
        for (slot, value) in changes.slots {
            self.set_slot(slot, value);
        }
        undo
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

    /// The layer that writes go to.
    pub(super) fn newest(&self) -> &Tables {
        &self.newest
    }

    /// The same, to put things into that hide what is under it even where they are nothing.
    pub(super) fn newest_mut(&mut self) -> &mut Tables {
        &mut self.newest
    }

    /// Layers that are in memory alone, the older first.
    pub(super) fn not_on_disk(&self) -> impl Iterator<Item = &Tables> {
        let older = self.older.iter().filter(|older| !older.is_on_disk);
        older.map(|older| &older.tables).chain([&self.newest])
    }

    /// Begins a new layer. What the newest was is returned, to be [taken in](Self::take_in) as a segment; what was under it
    /// must be on disk, and leaves memory.
    pub(super) fn age(&mut self) -> Tables {
        let tables = std::mem::take(&mut self.newest);
        self.older = Some(Older {
            tables: tables.clone(),
            is_on_disk: false,
        });
        tables
    }

    /// Puts a segment in the place of those with these ids; without any, it is of the older layer in memory.
    pub(super) fn take_in(&mut self, segment: Segment, of: &[u64]) {
        if let (Some(older), []) = (&mut self.older, of) {
            older.is_on_disk = true;
        }
        self.cold.take_in(segment, of);
    }

    pub(super) fn cold(&self) -> &Cold {
        &self.cold
    }

    pub(super) fn set_cold(&mut self, cold: Cold) {
        self.cold = cold;
    }

    /// Code as it was deployed.
    pub(super) fn codes(&self) -> impl Iterator<Item = Bytes> {
        self.codes.values().map(Bytecode::original_bytes)
    }

    /// Every account and slot that is something.
    #[cfg(test)]
    pub(super) fn all(&self) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
        self.cold.all(self.tables())
    }

    fn tables(&self) -> impl Iterator<Item = &Tables> {
        let older = self.older.as_ref().map(|older| &older.tables);
        older.into_iter().chain([&self.newest])
    }

    /// Accounts, slots and codes in memory.
    pub(super) fn counts(&self) -> [usize; 3] {
        let accounts = self.tables().map(|tables| tables.accounts.len()).sum();
        let slots = self.tables().map(|tables| tables.slots.len()).sum();
        [accounts, slots, self.codes.len()]
    }

    /// Bytes that its tables take.
    pub(super) fn bytes(&self) -> u64 {
        let codes: usize = self.codes.values().map(Bytecode::len).sum();
        self.tables().map(Tables::bytes).sum::<u64>() + codes as u64
    }
}
