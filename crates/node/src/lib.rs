//! The roles of the network: requester, provider, watcher, auditor, referee, keeper.
//!
//! - [`Board`]: the protocol's state, mirrored from the chain ([`Mirror`]) and shared by a process's roles.
//! - [`Party`]: what a role acts with: a key, an executor, a blob store.
//! - [`Role`]: reads the board, decides with a pure function, acts at most once, keeps nothing.
//! - [`Executor`]: what a party computes with; [`RunKnowledge`]: what it therefore knows in a dispute.
//! - [`protection`]: what keeps a key from saying two different things.
//! - [`faults`]: the liars.
//! - [`fleet`]: several processes behind one key.
//! - [`game`], [`evidence`]: a dispute as the game sees it, and as one file that anybody can replay.
//! - [`appeal`]: the same below the operator, down to the step that the contract executes.
//! - [`sandbox`]: an executor whose models are read and run in a confined process.
//! - [`weights`]: a model's files by its identity, from a store behind a URL.
//! - [`isolate_fault`]: a whole dissection in memory.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod appeal;
mod availability;
mod blobs;
pub mod board;
mod committed;
mod error;
pub mod evidence;
mod executor;
pub mod faults;
mod finder;
pub mod fleet;
pub mod game;
mod isolate;
mod knowledge;
mod language;
mod operator;
mod party;
mod play;
pub mod protection;
mod receipt;
mod role;
pub mod roles;
mod runner;
pub mod sandbox;
pub mod weights;

pub use alloy_primitives::{Address, B256, Bytes, U256};
pub use blobs::{Blobs, Found, Pruned};
pub use board::{Board, Mirror};
pub use committed::{Committed, ShownSegment};
pub use error::NodeError;
pub use executor::{
    EngineExecutor, Executor, ExecutorError, Models, RunKey, RunRecord, input_digest,
};
pub use faults::Fault;
pub use gavel_verifier::{
    ClientRequest, Outputs, RECEIPT_FORMAT, ReceiptError, ReceiptFile, ShownTensor, SignatureError,
    SignedReceipt, recover,
};
pub use isolate::{Isolation, RandomIsolation, isolate_fault, isolate_random};
pub use knowledge::RunKnowledge;
pub use language::{LanguageText, LanguageTextError, Spoken};
pub use party::Party;
pub use play::{defend, planned, play};
pub use protection::Protection;
pub use receipt::{ReplayError, Replayed, replay_receipt};
pub use role::{Act, Role};
pub use runner::{Runner, RunnerEvent};
