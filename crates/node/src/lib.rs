//! The roles of the network: requester, provider, watcher, auditor, referee, keeper.
//!
//! - [`Board`]: the protocol's state, mirrored from the chain and shared by a process's roles.
//! - [`Role`]: reads the board, decides with a pure function, acts at most once, keeps nothing.
//! - [`Executor`]: what a party computes with; [`RunKnowledge`]: what it therefore knows in a dispute.
//! - [`faults`]: the liars, one file each.
//! - [`isolate_fault`]: a whole dissection in memory.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod board;
mod committed;
mod error;
mod executor;
pub mod faults;
mod isolate;
mod knowledge;
mod operator;
mod role;

pub use alloy_primitives::{Address, B256, Bytes, U256};
pub use board::Board;
pub use committed::{Committed, ShownSegment, ShownTensor};
pub use error::NodeError;
pub use executor::{
    EngineExecutor, Executor, ExecutorError, Models, RunKey, RunRecord, input_digest,
};
pub use faults::Fault;
pub use isolate::{Isolation, RandomIsolation, isolate_fault, isolate_random};
pub use knowledge::RunKnowledge;
pub use role::{Act, Role};
