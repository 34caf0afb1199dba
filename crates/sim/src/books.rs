//! Where every coin is, asked of the contracts.

use gavel_explorer::pots;
use gavel_node::{Address, B256};
use gavel_settlement::bindings::{DevToken, StakeVault};

use crate::reader::{Reader, units};
use crate::{Amount, Books, Holdings, WorldError};

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
