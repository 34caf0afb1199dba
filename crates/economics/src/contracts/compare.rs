//! Whether the ledger and the contracts have the same money in the same places.

use gavel_settlement::alloy::primitives::{Address, B256, U256, keccak256};
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::bindings::{DevToken, ITraps, Market, StakeVault};

use super::mirror::Mirror;
use super::world::WorldError;
use crate::ledger::{DisputeId, TaskId, TaskPhase};

impl Mirror {
    /// Whether every balance is the same on both sides, and the vault holds the sum of them.
    ///
    /// # Errors
    /// What differs.
    pub fn compare(&self) -> Result<(), WorldError> {
        let vault = self.world.deployment().vault;
        let pot = |name: B256| self.world.ask(vault, StakeVault::potCall { id: name });
        let mut all = 0u128;
        for (party, ours) in (0..).zip(self.ledger.accounts()) {
            let address = self.world.address(party);
            let theirs = self
                .world
                .ask(vault, StakeVault::providerCall { key: address })?;
            let credit = self.world.ask(vault, StakeVault::creditCall(address))?;
            let found = (theirs.free, theirs.locked, theirs.unbonding, credit);
            let wanted = (ours.free, ours.locked, ours.leaving(), ours.credit);
            differs(
                &format!("account {party} (free, locked, unbonding, credit)"),
                found,
                wanted,
            )?;
            let found = (theirs.tombstoned, theirs.frozen, theirs.jailedUntil);
            let wanted = (ours.tombstoned, ours.frozen, ours.jailed_until);
            differs(
                &format!("account {party} (tombstoned, frozen, jail)"),
                found,
                wanted,
            )?;
            let found = (theirs.liveTasks, theirs.settledTasks);
            differs(
                &format!("account {party} (live, settled)"),
                found,
                (ours.live, ours.settled),
            )?;
            all += theirs.free + theirs.locked + theirs.unbonding + credit;
        }
        for id in self.ledger.task_ids() {
            let Some(task) = self.ledger.task(id) else {
                continue;
            };
            let found = pot(pots::task(id))?;
            differs(&format!("pot of task {id}"), found, task.pot)?;
            all += found;
            let standing = self.world.ask(
                self.world.deployment().market,
                Market::standingCall {
                    taskId: U256::from(id),
                },
            )?;
            let found = (standing.state, standing.attempt);
            differs(
                &format!("task {id} (state, attempt)"),
                found,
                (state(task.phase), task.attempt),
            )?;
            for c in &task.challenges {
                let by = self.world.address(c.by);
                let found = pot(pots::challenge(id, c.attempt, by))?;
                // a second commitment takes the place of one that was given back
                let open = task
                    .challenges
                    .iter()
                    .filter(|o| o.by == c.by && o.attempt == c.attempt);
                let wanted: u128 = open.map(|o| o.bond).sum();
                differs(&format!("bond of {} on task {id}", c.by), found, wanted)?;
                all += c.bond;
            }
        }
        for id in self.ledger.dispute_ids() {
            let Some(d) = self.ledger.dispute(id) else {
                continue;
            };
            let found = (pot(pots::dispute(id))?, pot(pots::appeal(id))?);
            let wanted = (if d.is_open() { d.bond } else { 0 }, d.appeal_bond);
            differs(&format!("pots of dispute {id}"), found, wanted)?;
            all += found.0 + found.1;
        }
        for id in self.ledger.seal_ids() {
            let Some(seal) = self.ledger.seal(id) else {
                continue;
            };
            let found = pot(self.pot_of_seal(id, seal))?;
            differs(&format!("deposit {id}"), found, seal.pot)?;
            all += found;
        }
        for (task, attempt, ours) in self.ledger.traps() {
            let call = ITraps::trapOfCall {
                taskId: U256::from(task),
                attempt,
            };
            let theirs = self.world.ask(self.world.deployment().traps, call)?;
            let share = theirs.closed.then_some(theirs.share);
            let found = (theirs.revealedAt, theirs.claimsUntil, theirs.penalised);
            let found = (found, usize::from(theirs.finders), share);
            let wanted = (ours.shown_at, ours.claims_until, ours.is_penalised);
            let wanted = (wanted, ours.finders.len(), ours.share);
            let what = format!("trap in task {task} (times, penalty, finders, share)");
            differs(&what, found, wanted)?;
        }
        let pool = pot(pots::AUDIT_POOL)?;
        differs("audit pool", pool, self.ledger.pool())?;
        let burned = self.world.ask(vault, StakeVault::burnedCall {})?;
        differs("burned", burned, self.ledger.burned())?;
        all += pool + burned;
        let token = self.world.deployment().token;
        let call = DevToken::balanceOfCall { account: vault };
        let held = self.world.ask(token, call)?;
        differs(
            "the vault's tokens and the sum of its buckets",
            held,
            U256::from(all),
        )?;
        match self.ledger.is_whole() {
            true => Ok(()),
            false => Err(WorldError::Differs("the ledger's own books".into())),
        }
    }
}

pub(super) fn differs<T: PartialEq + std::fmt::Debug>(
    what: &str,
    contracts: T,
    ledger: T,
) -> Result<(), WorldError> {
    match contracts == ledger {
        true => Ok(()),
        false => Err(WorldError::Differs(format!(
            "{what}: {contracts:?} on chain, {ledger:?} in the ledger"
        ))),
    }
}

fn state(phase: TaskPhase) -> u8 {
    use gavel_settlement::bindings::TaskState;
    let state = match phase {
        TaskPhase::Open => TaskState::Open,
        TaskPhase::Claimed => TaskState::Claimed,
        TaskPhase::Committed => TaskState::Committed,
        TaskPhase::Disputed => TaskState::Disputed,
        TaskPhase::Settled => TaskState::Settled,
        TaskPhase::Cancelled => TaskState::Cancelled,
        TaskPhase::Expired => TaskState::Expired,
    };
    state.into()
}

/// Names of the vault's pots, as `contracts/src/lib/Pots.sol` makes them.
pub(super) mod pots {
    use super::*;

    pub(in crate::contracts) const AUDIT_POOL: B256 = {
        let mut name = [0; 32];
        name[0] = 1;
        B256::new(name)
    };

    fn numbered(kind: u8, id: u64) -> B256 {
        let mut name = U256::from(id).to_be_bytes::<32>();
        name[0] = kind;
        B256::new(name)
    }

    pub(in crate::contracts) fn task(id: TaskId) -> B256 {
        numbered(2, id)
    }

    fn tagged(kind: u8, hash: B256) -> B256 {
        let mut name = [0; 32];
        name[0] = kind;
        name[1..].copy_from_slice(&hash[..31]);
        B256::new(name)
    }

    pub(in crate::contracts) fn challenge(task: TaskId, attempt: u8, by: Address) -> B256 {
        let of = (U256::from(task), U256::from(attempt), by);
        tagged(3, keccak256(of.abi_encode_params()))
    }

    pub(in crate::contracts) fn trap(sealer: Address, commitment: B256) -> B256 {
        tagged(6, keccak256((sealer, commitment).abi_encode_params()))
    }

    pub(in crate::contracts) fn dispute(id: DisputeId) -> B256 {
        numbered(4, id)
    }

    pub(in crate::contracts) fn appeal(id: DisputeId) -> B256 {
        numbered(5, id)
    }
}
