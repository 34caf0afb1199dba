//! Whose state it is.

use std::fmt;

use alloy_primitives::Address;

/// A key on a deployment on a chain: what a database is pinned to when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// EVM chain id.
    pub chain_id: u64,
    /// The market, which stands for its whole deployment.
    pub contract: Address,
    /// The key's address.
    pub address: Address,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity {
            chain_id,
            contract,
            address,
        } = self;
        write!(f, "key {address} at market {contract} on chain {chain_id}")
    }
}
