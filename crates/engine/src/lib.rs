//! Runs a model's DAG: bits that do not depend on threads, batch or instruction set, and the trace
//! that is committed with them.
//!
//! - [`Engine::run`] and [`Engine::run_batch`] give outputs and the level-1 [`Trace`]; only the
//!   tensors live at a commit point are hashed. A model of several steps is run step by step.
//! - [`Engine::fine_trace`] recomputes one segment of a step from the tensors live before it, for a dispute.
//! - [`Engine::check`] says before a run whether a model stays within the memory bound.
//! - [`lm`] runs language models fast: packed weights, paged caches, many sequences at once.
//! - [`resident`] says how much memory this process has.
//! - [`bind`] orders named tensors as the model's inputs and says what does not fit.
//! - [`NodeObserver`] is the seam by which a test or a demonstration computes with a fault.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod batch;
mod binding;
mod clock;
mod engine;
mod error;
mod exec;
mod hash;
pub mod lm;
mod memory;
mod observer;
mod place;
mod plan;
mod profile;
pub mod resident;
mod retrace;
mod steps;
mod team;
mod trace;

pub use binding::bind;
pub use engine::{Engine, EngineOptions};
pub use error::EngineError;
pub use hash::digest;
pub use observer::NodeObserver;
pub use profile::StepTime;
pub use trace::{FineRun, RunOutput, Timing, Trace};
