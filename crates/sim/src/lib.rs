//! Whole networks in virtual time, on the real contracts: the demo's arena and the byzantine runs.
//!
//! - [`Scenario`]: who takes part, wanting what, doing what wrong; from options or from a seed.
//! - [`Report`]: everything that happened, as one object, with the sums that must hold.
//! - [`timeline`]: the same, told to a person while it happens.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod amount;
pub mod cast;
mod fault;
mod report;
mod scenario;
pub mod timeline;

pub use amount::{Amount, Change, DECIMALS, TOKEN};
pub use fault::{FaultKind, UnknownFault};
pub use report::*;
pub use scenario::{
    DemoOptions, MAX_FAULTS, MIN_PROVIDERS, ProviderSpec, Scenario, ScenarioError, TaskPlan,
    WatcherSpec,
};
