//! Whether cheating pays, as arithmetic: the rules that parameters of a network have to keep, with how far each is kept, and
//! parameters that keep them from what a deployer knows of prices, costs and cheats; and a market of many providers, to see them at work.
//!
//! Pure: nothing here asks a chain. That the contracts' constructor refuses what [`rules`] refuses, with the same error and
//! the same values, is tested on random parameters in `tests/constructor.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agents;
mod assumptions;
pub mod attacks;
mod beacon;
pub mod contracts;
pub mod ledger;
pub mod market;
pub mod penalty;
pub mod report;
mod rules;
pub mod sim;
mod solve;
mod traps;

pub use assumptions::{Assumptions, WindowsChoice};
pub use beacon::{BeaconFlaw, beacon_bond_min, check_beacon, suited};
pub use rules::{Bound, Rule, bond, broken, dispute_seconds_max, rules};
pub use solve::{Decided, Solution, Unsolvable, solve};
pub use traps::{SURE_SHARE, Vigilance};
