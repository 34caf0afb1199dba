//! Where the money of a market is, to the unit.

use serde::{Serialize, Serializer};

/// Sums of money by where they are. What comes in is what is somewhere: [`Books::is_whole`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Brought in as stake.
    #[serde(serialize_with = "units")]
    pub deposited: u128,
    /// Brought in as deposits for traps that were found.
    #[serde(serialize_with = "units")]
    pub sealed: u128,
    /// Brought in as prices and levies.
    #[serde(serialize_with = "units")]
    pub paid: u128,
    /// Stake of providers that are there.
    #[serde(serialize_with = "units")]
    pub staked: u128,
    /// Stake that tombstoned providers may withdraw.
    #[serde(serialize_with = "units")]
    pub leaving: u128,
    /// Prices that were earned.
    #[serde(serialize_with = "units")]
    pub earned: u128,
    /// In the audit pool; what auditors were paid is in `audited`.
    #[serde(serialize_with = "units")]
    pub pool: u128,
    /// Fees of audits.
    #[serde(serialize_with = "units")]
    pub audited: u128,
    /// Shares of slashes (requester, challenger, referee, and what raises the next attempt's price), of penalties and of deposits.
    #[serde(serialize_with = "units")]
    pub shared: u128,
    /// Burned.
    #[serde(serialize_with = "units")]
    pub burned: u128,
    /// Fees that the pool owes, since no levy has come in yet; they are in `audited` too.
    #[serde(serialize_with = "units")]
    pub owed: u128,
}

/// More digits than numbers of JSON have.
fn units<S: Serializer>(units: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(units)
}

impl Books {
    /// Whether all that came in is somewhere, and nothing else is.
    pub fn is_whole(&self) -> bool {
        let here = self.staked
            + self.leaving
            + self.earned
            + self.pool
            + self.audited
            + self.shared
            + self.burned;
        self.deposited + self.sealed + self.paid + self.owed == here
    }

    pub(super) fn join(&mut self, other: &Books) {
        self.deposited += other.deposited;
        self.sealed += other.sealed;
        self.paid += other.paid;
        self.staked += other.staked;
        self.leaving += other.leaving;
        self.earned += other.earned;
        self.pool += other.pool;
        self.audited += other.audited;
        self.shared += other.shared;
        self.burned += other.burned;
        self.owed += other.owed;
    }
}
