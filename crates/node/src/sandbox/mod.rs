//! Models in a process of their own: what comes from a stranger's file is read and run where there is no key.
//!
//! The process has no environment, no network, no file but the model's, a bound on its memory and on the time of each
//! request. It is talked to over its standard input and output ([`wire`]); whoever breaks it gets what it computes wrong, and
//! not what its owner signs with. A party keeps a copy of each model, rebuilt from its parts and identified anew, so that
//! what the process says is a model is one.
//!
//! Linux only: [`SandboxExecutor::start`] says so elsewhere.

#[cfg(target_os = "linux")]
mod confine;
mod executor;
#[cfg(target_os = "linux")]
mod process;
mod wire;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

pub use executor::SandboxExecutor;
pub use wire::{Probe, Served};
pub use worker::{WorkerOptions, serve};

/// What a model process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Most bytes of address space: its model's file, which is mapped, and all of its memory.
    pub memory: u64,
    /// Longest time of one request; the process is ended after it.
    pub request: Duration,
    /// Longest time that reading the models may take.
    pub load: Duration,
}

/// How a model process is started.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The program that [`serve`]s when it is told to.
    pub program: PathBuf,
    /// Its first arguments; those of [`WorkerOptions`] come behind them.
    pub arguments: Vec<String>,
    /// Models, in the words of that program.
    pub models: Vec<String>,
    /// Files and folders that it may read.
    pub readable: Vec<PathBuf>,
    /// What it may use.
    pub limits: SandboxLimits,
}

/// Why a model process has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Not on this system.
    #[error("models run in a process of their own on Linux only")]
    Unsupported,
    /// It could not be started.
    #[error("the model process cannot be started: {0}")]
    Start(std::io::Error),
    /// It was ended because it did not answer in time.
    #[error("the model process was stopped: it took longer than {} s", .0.as_secs())]
    TooLong(Duration),
    /// It ended by itself: a crash, or a limit.
    #[error("the model process ended: {0}")]
    Ended(String),
    /// It said what no process of ours says.
    #[error("the model process answered wrongly: {0}")]
    Answer(String),
    /// It could not do what it was asked.
    #[error("{0}")]
    Refused(String),
}
