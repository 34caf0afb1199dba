//! Why a role could not do its work.

use gavel_settlement::{NetworkError, SendError};

use crate::ExecutorError;

/// Why a role could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A trace that contradicts itself.
    #[error(transparent)]
    Trace(#[from] gavel_trace::TraceError),
    /// The model could not be run.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The chain cannot be asked.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The chain cannot be asked for a record.
    #[error("{what} cannot be read: {reason}")]
    Read {
        /// Which record.
        what: String,
        /// Why.
        reason: String,
    },
    /// It would contradict what this key has said, or that cannot be told.
    #[error(transparent)]
    Protection(#[from] crate::protection::ProtectionError),
    /// A transaction whose fate is not known, or that was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The blob store said no.
    #[error("blob store: {0}")]
    Store(#[from] object_store::Error),
    /// A blob that is not what its name says.
    #[error("blob {name} is corrupt: {reason}")]
    Blob {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The inputs of a task are not in the blob store, or are not what the task binds.
    #[error("the input of task {task} cannot be had")]
    InputUnavailable {
        /// The task.
        task: u64,
    },
    /// A round of the beacon is due, and its value is not to be had.
    #[error("round {round} of the beacon is due: {reason}")]
    Beacon {
        /// Which.
        round: u64,
        /// Why.
        reason: String,
    },
    /// Nobody takes part in this beacon: its values are not made of secrets.
    #[error("the beacon at {address} is not made of secrets, so that nobody takes part in it")]
    NoSecrets {
        /// The beacon.
        address: crate::Address,
    },
    /// Whoever takes part puts up a bond, which is not there.
    #[error("the bond of the beacon is {bond} tokens, the wallet has {found}")]
    BeaconBond {
        /// The bond, in tokens.
        bond: String,
        /// In the wallet.
        found: String,
    },
    /// Too little time to reveal in.
    #[error(
        "a round of the beacon is {period} s, and a secret that is not revealed within it costs the bond: this role takes part with {least} s and more"
    )]
    ShortRounds {
        /// Seconds of a round.
        period: u64,
        /// Seconds that this role asks for.
        least: u64,
    },
    /// A secret was withheld.
    #[error(
        "this key did not reveal its secret of round {round} of the beacon in time: its bond is lost, and it takes part no more"
    )]
    SecretWithheld {
        /// The round.
        round: u64,
    },
    /// The key did not sign.
    #[error("the key did not sign: {0}")]
    Sign(String),
    /// A contract that says what its interface excludes.
    #[error("the chain says {0}, which its contracts never do")]
    Impossible(String),
    /// No evidence of a dispute can be made here.
    #[error("no evidence: {0}")]
    Evidence(#[from] crate::evidence::BuildError),
}

impl From<gavel_state::StateError> for NodeError {
    fn from(error: gavel_state::StateError) -> NodeError {
        NodeError::Protection(error.into())
    }
}

impl NodeError {
    /// Whether it is none: what was asked for is under way, and will be there at a later tick.
    pub fn is_pending(&self) -> bool {
        matches!(self, NodeError::Executor(ExecutorError::Pending { .. }))
    }
}
