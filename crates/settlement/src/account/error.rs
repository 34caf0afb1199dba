//! Why a send failed.

use alloy::primitives::{B256, Bytes, Selector};

use crate::chain::{CallOutcome, ChainError};
use crate::revert;

/// Why a transaction had no effect, or may yet have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The contract refuses it.
    #[error("reverted: {error}")]
    Reverted {
        /// Name and values: `TooEarlyToSettle(taskId=3, now=5)`; hex where no contract of ours has the error.
        error: String,
        /// The error's first four bytes.
        selector: Option<Selector>,
        /// The transaction, if it got into a block; otherwise nothing was sent.
        transaction: Option<B256>,
    },
    /// The node refuses it (out of coin, say): nothing was sent.
    #[error("refused: {0}")]
    Refused(String),
    /// The node could not be asked: nothing was sent.
    #[error("not sent: {0}")]
    Unsent(String),
    /// It was sent and its fate is not known. Sending the same call again resumes it and does not repeat it.
    #[error("transaction {hash} was sent and is in no block yet: {reason}")]
    Unresolved {
        /// The transaction.
        hash: B256,
        /// What went wrong last.
        reason: String,
    },
}

impl SendError {
    /// Whether sending the same call again is pointless as long as the contracts' state and the clock stay
    /// what they are; otherwise the connection is at fault, and the same call may be sent again safely.
    pub fn is_permanent(&self) -> bool {
        matches!(self, SendError::Reverted { .. } | SendError::Refused(_))
    }

    pub(super) fn reverted(data: &Bytes, transaction: Option<B256>) -> SendError {
        let decoded = revert::decode(data);
        SendError::Reverted {
            error: match &decoded {
                Some(revert) => revert.to_string(),
                None if data.is_empty() => "without a reason".to_owned(),
                None => data.to_string(),
            },
            selector: decoded
                .map(|r| r.selector)
                .or_else(|| data.first_chunk::<4>().map(Selector::from)),
            transaction,
        }
    }

    pub(super) fn failed(outcome: CallOutcome, transaction: Option<B256>) -> SendError {
        match outcome {
            CallOutcome::Reverted(data) => SendError::reverted(&data, transaction),
            CallOutcome::Halted(reason) => SendError::Reverted {
                error: reason,
                selector: None,
                transaction,
            },
            CallOutcome::Returned { .. } => SendError::Refused("it returned and failed".into()),
        }
    }
}

impl From<ChainError> for SendError {
    fn from(error: ChainError) -> SendError {
        match error {
            ChainError::WouldFail(outcome) => SendError::failed(outcome, None),
            ChainError::Failed(_) | ChainError::Archive(_) | ChainError::State(_) => {
                SendError::Unsent(error.to_string())
            }
            other => SendError::Refused(other.to_string()),
        }
    }
}
