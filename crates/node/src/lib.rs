//! The roles of the network: requester, provider, watcher, auditor, referee, keeper.
//!
//! - [`Board`]: the protocol's state, mirrored from the chain and shared by a process's roles.
//! - [`Role`]: reads the board, decides with a pure function, acts at most once, keeps nothing.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod board;
mod error;
mod role;

pub use alloy_primitives::{Address, B256, Bytes, U256};
pub use board::Board;
pub use error::NodeError;
pub use role::{Act, Role};
