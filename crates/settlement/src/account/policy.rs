//! How hard a sender tries: depth, fees, times.

use std::time::Duration;

/// What a sender pays, and when it holds a transaction for done. Of no meaning on the embedded chain in this process, where
/// gas is free and every block final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendPolicy {
    /// Blocks above a transaction's own until it is forgotten: it survives reorgs that are no deeper.
    pub confirmations: u64,
    /// How long a transaction may wait for a block at one price.
    pub raise_after: Duration,
    /// Most wei for a unit of gas.
    pub max_fee: u128,
    /// Most wei for a unit of gas near a deadline.
    pub hard_max_fee: u128,
    /// Seconds before a deadline from which on `hard_max_fee` is the limit and prices rise four times as fast.
    pub urgent_seconds: u64,
    /// Seconds for which the same call resumes a transaction of which its caller heard nothing and that is in a block.
    pub resumable_seconds: u64,
}

const GWEI: u128 = 1_000_000_000;

impl Default for SendPolicy {
    fn default() -> Self {
        SendPolicy {
            confirmations: 0,
            raise_after: Duration::from_secs(20),
            max_fee: 300 * GWEI,
            hard_max_fee: 5_000 * GWEI,
            urgent_seconds: 600,
            resumable_seconds: 600,
        }
    }
}
