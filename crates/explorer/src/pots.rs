//! Names of the vault's pots: `contracts/src/lib/Pots.sol`.

use gavel_node::{Address, B256, U256};
use gavel_settlement::alloy::primitives::keccak256;
use gavel_settlement::alloy::sol_types::SolValue as _;

/// What a pot is for, by the first byte of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No pot: what is sent there is burned.
    Burn,
    /// Levies and registration fees.
    AuditPool,
    /// Escrow of a task.
    Task(u64),
    /// Bond of a challenge.
    Challenge,
    /// Money of a dispute.
    Dispute(u64),
    /// Bond of the appeal in a dispute.
    Appeal(u64),
    /// Deposit of a trap.
    Trap,
    /// Of a later version.
    Unknown,
}

/// What a pot is for.
pub fn kind(id: &B256) -> Kind {
    let number = id.0.last_chunk().map_or(0, |n| u64::from_be_bytes(*n));
    match id.0.first() {
        Some(0) => Kind::Burn,
        Some(1) => Kind::AuditPool,
        Some(2) => Kind::Task(number),
        Some(3) => Kind::Challenge,
        Some(4) => Kind::Dispute(number),
        Some(5) => Kind::Appeal(number),
        Some(6) => Kind::Trap,
        _ => Kind::Unknown,
    }
}

fn numbered(kind: u8, number: u64) -> B256 {
    let mut id = B256::ZERO;
    id.0[0] = kind;
    id.0[24..].copy_from_slice(&number.to_be_bytes());
    id
}

/// The audit pool.
pub fn audit_pool() -> B256 {
    numbered(1, 0)
}

/// Escrow of a task.
pub fn task(id: u64) -> B256 {
    numbered(2, id)
}

/// Bond of a challenge.
pub fn challenge(task: u64, attempt: u8, challenger: Address) -> B256 {
    let hash = keccak256((U256::from(task), U256::from(attempt), challenger).abi_encode());
    let mut id = B256::ZERO;
    id.0[0] = 3;
    id.0[1..].copy_from_slice(&hash.0[..31]);
    id
}

/// Money of a dispute.
pub fn dispute(id: u64) -> B256 {
    numbered(4, id)
}

/// Bond of the appeal in a dispute.
pub fn appeal(id: u64) -> B256 {
    numbered(5, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pot_says_what_it_is_for() {
        assert_eq!(kind(&B256::ZERO), Kind::Burn);
        assert_eq!(kind(&audit_pool()), Kind::AuditPool);
        assert_eq!(kind(&task(7)), Kind::Task(7));
        assert_eq!(kind(&dispute(300)), Kind::Dispute(300));
        let of = |attempt| challenge(1, attempt, Address::ZERO);
        assert_eq!(kind(&of(0)), Kind::Challenge);
        assert_ne!(of(0), of(1));
    }
}
