//! Whole networks in virtual time, on the real contracts: the demo's arena and the byzantine runs.
//!
//! - [`Scenario`]: who takes part, wanting what, doing what wrong; from options or from a seed.
//! - [`run_world`]: a scenario on a fork of a deployed chain, to its end.
//! - [`campaign`]: many random worlds, and what the guarantees say about all of them.
//! - [`Report`]: everything that happened, as one object, with the sums that must hold.
//! - [`operator_gas`]: what an appeal about each operator costs, played on chain.
//! - [`attacks`]: the attacks that such networks fall to, and what each costs whom.
//! - [`load`]: how many lives of tasks the embedded chain completes in a second.
//! - [`timeline`]: a world, told to a person while it happens.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod attacks;
mod books;
mod campaign;
pub mod cast;
mod chronicle;
mod error;
mod facts;
mod forgetful;
mod language;
mod level;
pub mod load;
mod lossy;
mod operators;
mod party;
mod reader;
mod recompute;
mod report;
mod scenario;
mod schedule;
mod template;
pub mod timeline;
mod workload;
mod world;

pub use campaign::{CampaignReport, FailingSeed, campaign};
pub use error::WorldError;
pub use gavel_explorer::words::Isolated as IsolatedReport;
pub use gavel_node::Fault;
pub use gavel_settlement::amount::{self, Amount, Change, DECIMALS, TOKEN};
pub use level::{LevelGas, descend};
pub use operators::{OperatorGas, OperatorRow, operator_gas, operator_rows};
pub use report::*;
pub use scenario::{
    DemoOptions, MAX_FAULTS, MIN_PROVIDERS, ProviderSpec, Scenario, ScenarioError, TaskPlan,
    WatcherSpec,
};
pub use template::{Stage, Stages, WorldRules};
pub use workload::{Input, Labeller, Workload};
pub use world::{World, run_world, run_world_in};
