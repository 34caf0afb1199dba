//! Where every coin is, asked of the contracts.

use gavel_node::{Address, B256, U256};
use gavel_settlement::alloy::primitives::keccak256;
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::bindings::{DevToken, StakeVault};

use crate::reader::{Reader, units};
use crate::{Amount, Books, Holdings, WorldError};

/// Names of the vault's pots: `contracts/src/lib/Pots.sol`.
pub(crate) mod pots {
    use super::*;

    /// What a pot is for, by the first byte of its name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Kind {
        Burn,
        AuditPool,
        Task(u64),
        Challenge,
        Dispute(u64),
        Appeal(u64),
        Unknown,
    }

    pub(crate) fn kind(id: &B256) -> Kind {
        let number = id.0.last_chunk().map_or(0, |n| u64::from_be_bytes(*n));
        match id.0.first() {
            Some(0) => Kind::Burn,
            Some(1) => Kind::AuditPool,
            Some(2) => Kind::Task(number),
            Some(3) => Kind::Challenge,
            Some(4) => Kind::Dispute(number),
            Some(5) => Kind::Appeal(number),
            _ => Kind::Unknown,
        }
    }

    fn numbered(kind: u8, number: u64) -> B256 {
        let mut id = B256::ZERO;
        id.0[0] = kind;
        id.0[24..].copy_from_slice(&number.to_be_bytes());
        id
    }

    pub(crate) fn audit_pool() -> B256 {
        numbered(1, 0)
    }

    pub(crate) fn task(id: u64) -> B256 {
        numbered(2, id)
    }

    pub(crate) fn challenge(task: u64, attempt: u8, challenger: Address) -> B256 {
        let hash = keccak256((U256::from(task), U256::from(attempt), challenger).abi_encode());
        let mut id = B256::ZERO;
        id.0[0] = 3;
        id.0[1..].copy_from_slice(&hash.0[..31]);
        id
    }

    pub(crate) fn dispute(id: u64) -> B256 {
        numbered(4, id)
    }

    pub(crate) fn appeal(id: u64) -> B256 {
        numbered(5, id)
    }
}

/// What exists: whose wallets and stakes, which pots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extent {
    /// Everybody who may own something.
    pub(crate) holders: Vec<Address>,
    /// Tasks posted.
    pub(crate) tasks: u64,
    /// Disputes opened.
    pub(crate) disputes: u64,
    /// Challenges committed: task, attempt, challenger.
    pub(crate) challenges: Vec<(u64, u8, Address)>,
}

/// What somebody owns.
pub(crate) fn holdings(reader: &Reader, who: Address) -> Result<(Holdings, bool), WorldError> {
    let (vault, token) = (reader.deployment().vault, reader.deployment().token);
    let wallet = reader.ask(token, DevToken::balanceOfCall { account: who })?;
    let credit = reader.ask(vault, StakeVault::creditCall(who))?;
    let stake = reader.ask(vault, StakeVault::providerCall { key: who })?;
    let holdings = Holdings {
        wallet: Amount(units(wallet)),
        credit: Amount(credit),
        free: Amount(stake.free),
        locked: Amount(stake.locked),
        unbonding: Amount(stake.unbonding),
    };
    Ok((holdings, stake.tombstoned))
}

/// The books of the whole system.
pub(crate) fn books(reader: &Reader, extent: &Extent) -> Result<Books, WorldError> {
    let (vault, token) = (reader.deployment().vault, reader.deployment().token);
    let pot = |id: B256| reader.ask(vault, StakeVault::potCall { id });
    let mut books = Books::default();
    for &holder in &extent.holders {
        let (own, _) = holdings(reader, holder)?;
        books.wallets.0 += own.wallet.0;
        books.credits.0 += own.credit.0;
        books.stakes.0 += own.stake().0;
    }
    for task in 1..=extent.tasks {
        books.escrow.0 += pot(pots::task(task))?;
    }
    for dispute in 1..=extent.disputes {
        books.bonds.0 += pot(pots::dispute(dispute))? + pot(pots::appeal(dispute))?;
    }
    for &(task, attempt, challenger) in &extent.challenges {
        books.bonds.0 += pot(pots::challenge(task, attempt, challenger))?;
    }
    books.audit_pool = Amount(pot(pots::audit_pool())?);
    books.burned = Amount(reader.ask(vault, StakeVault::burnedCall {})?);
    let held = reader.ask(token, DevToken::balanceOfCall { account: vault })?;
    books.vault = Amount(units(held));
    books.supply = Amount(units(reader.ask(token, DevToken::totalSupplyCall {})?));
    Ok(books)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pot_says_what_it_is_for() {
        assert_eq!(pots::kind(&B256::ZERO), pots::Kind::Burn);
        assert_eq!(pots::kind(&pots::audit_pool()), pots::Kind::AuditPool);
        assert_eq!(pots::kind(&pots::task(7)), pots::Kind::Task(7));
        assert_eq!(pots::kind(&pots::dispute(300)), pots::Kind::Dispute(300));
        let of = |attempt| pots::challenge(1, attempt, Address::ZERO);
        assert_eq!(pots::kind(&of(0)), pots::Kind::Challenge);
        assert_ne!(of(0), of(1));
    }
}
