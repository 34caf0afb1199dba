//! The vault's buckets, read from its storage: a hundred times faster than by asking, so that all of them can be looked at after every
//! block of very many.

use gavel_settlement::alloy::primitives::{B256, U256, keccak256};
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::bindings::DevToken;

use super::compare::{differs, pots};
use super::{Mirror, World, WorldError};
use crate::ledger::{Account, Op, Party};
use crate::market::Stage as _;

/// Slots that are looked through for a variable.
const SLOTS: u64 = 64;
const MASK: u128 = (1 << 96) - 1;

/// Where the vault keeps its mappings and what it has burned. Found by what is known to be in them, so that another variable
/// beside them changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    accounts: u64,
    pots: u64,
    credit: u64,
    burned: u64,
}

impl Buckets {
    /// Looks for them, after some calls that leave something to be found.
    ///
    /// # Errors
    /// The vault keeps its books in another form.
    pub(super) fn find(mirror: &mut Mirror) -> Result<Buckets, WorldError> {
        leave_traces(mirror)?;
        let world = mirror.world();
        let (accounts, ledger) = (mirror.ledger().accounts(), mirror.ledger());
        let known = (0..)
            .zip(accounts)
            .find(|(_, a)| a.free != 0 && a.free > a.locked);
        let paid = (0..).zip(accounts).find(|(_, a)| a.credit != 0);
        let find = |name: &str, holds: &dyn Fn(u64) -> bool| {
            let missing = || WorldError::Answer(format!("no slot of the vault holds its {name}"));
            (0..SLOTS).find(|slot| holds(*slot)).ok_or_else(missing)
        };
        Ok(Buckets {
            accounts: find("accounts", &|slot| {
                known.is_some_and(|(party, ours)| stakes(world, slot, party).0 == ours.free)
            })?,
            pots: find("pots", &|slot| {
                pot(world, slot, pots::AUDIT_POOL) == ledger.pool()
            })?,
            credit: find("credits", &|slot| {
                paid.is_some_and(|(party, ours)| credit(world, slot, party) == ours.credit)
            })?,
            burned: find("burned", &|slot| {
                low(world.storage(world.deployment().vault, U256::from(slot))) == ledger.burned()
            })?,
        })
    }

    /// Whether every bucket that is open holds what the ledger says, and the vault's tokens are the sum of them.
    ///
    /// # Errors
    /// What differs.
    pub(super) fn compare(&self, mirror: &Mirror) -> Result<(), WorldError> {
        let (world, ledger) = (mirror.world(), mirror.ledger());
        let mut sum = 0u128;
        for (party, ours) in (0..).zip(ledger.accounts()) {
            let (free, locked, unbonding) = stakes(world, self.accounts, party);
            let found = [free, locked, unbonding, credit(world, self.credit, party)];
            differs_by(&found, ours, party)?;
            sum += found.iter().sum::<u128>();
        }
        for id in ledger.task_ids() {
            let Some(task) = ledger.task(id) else {
                continue;
            };
            if !task.is_over() {
                let found = pot(world, self.pots, pots::task(id));
                differs("pot of a task", found, task.pot)?;
                sum += found;
            }
            for c in task.challenges.iter().filter(|c| c.bond != 0) {
                let name = pots::challenge(id, c.attempt, world.address(c.by));
                let found = pot(world, self.pots, name);
                differs("bond of a challenge", found, c.bond)?;
                sum += found;
            }
        }
        for id in ledger.dispute_ids() {
            let Some(d) = ledger.dispute(id).filter(|d| d.is_open()) else {
                continue;
            };
            let found = pot(world, self.pots, pots::dispute(id));
            differs("pot of a dispute", found, d.bond)?;
            let appeal = pot(world, self.pots, pots::appeal(id));
            differs("pot of an appeal", appeal, d.appeal_bond)?;
            sum += found + appeal;
        }
        for id in ledger.seal_ids() {
            let Some(seal) = ledger.seal(id).filter(|s| s.pot != 0 || !s.is_used) else {
                continue;
            };
            let found = pot(world, self.pots, mirror.pot_of_seal(id, seal));
            differs("deposit of a trap", found, seal.pot)?;
            sum += found;
        }
        let vault = world.deployment().vault;
        let pool = pot(world, self.pots, pots::AUDIT_POOL);
        differs("audit pool", pool, ledger.pool())?;
        let burned = low(world.storage(vault, U256::from(self.burned)));
        differs("burned", burned, ledger.burned())?;
        let call = DevToken::balanceOfCall { account: vault };
        let held = world.ask(world.deployment().token, call)?;
        differs(
            "the vault's tokens and the sum of its buckets",
            held,
            U256::from(sum + pool + burned),
        )
    }
}

/// A credit, and something burned.
fn leave_traces(mirror: &mut Mirror) -> Result<(), WorldError> {
    let max = mirror.ledger().params().market.maxTaskPrice / 100;
    let post = Op::Post {
        requester: 0,
        class: 0,
        min: max,
        max,
    };
    for key in 1..3 {
        mirror.act(post)?;
        let task = mirror.ledger().task_ids().end - 1;
        if key == 1 {
            mirror.act(Op::Cancel { task, by: 0 })?;
            continue;
        }
        mirror.act(Op::Claim { task, key })?;
        let answer = 0;
        mirror.act(Op::Commit { task, key, answer })?;
        mirror.act(Op::Retract { task, key })?;
    }
    Ok(())
}

fn differs_by(found: &[u128; 4], ours: &Account, party: Party) -> Result<(), WorldError> {
    let wanted = [ours.free, ours.locked, ours.leaving(), ours.credit];
    match *found == wanted {
        true => Ok(()),
        false => differs(
            &format!("account {party} (free, locked, unbonding, credit)"),
            *found,
            wanted,
        ),
    }
}

/// Free, locked and unbonding, as `StakeLedger.Account` packs them.
fn stakes(world: &World, slot: u64, party: Party) -> (u128, u128, u128) {
    let vault = world.deployment().vault;
    let base = U256::from_be_bytes(
        keccak256((world.address(party), U256::from(slot)).abi_encode_params()).0,
    );
    let one = world.storage(vault, base + U256::from(1));
    let two = world.storage(vault, base + U256::from(2));
    let part = |word: U256, bits: usize| (word >> bits).wrapping_to::<u128>() & MASK;
    (part(one, 0), part(one, 96), part(two, 160))
}

fn credit(world: &World, slot: u64, party: Party) -> u128 {
    let place = keccak256((world.address(party), U256::from(slot)).abi_encode_params());
    low(world.storage(world.deployment().vault, U256::from_be_bytes(place.0)))
}

fn pot(world: &World, slot: u64, name: B256) -> u128 {
    let place = keccak256((name, U256::from(slot)).abi_encode_params());
    low(world.storage(world.deployment().vault, U256::from_be_bytes(place.0)))
}

fn low(word: U256) -> u128 {
    word.wrapping_to()
}
