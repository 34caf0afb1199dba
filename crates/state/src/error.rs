//! Why a database cannot be had, or does not do as told.

use crate::Identity;

/// Why a database cannot be had, or does not do as told. Nothing was written, or whatever was written is not to be
/// counted on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Somebody else writes it.
    #[error(
        "{place} is in use by {holder}: one key is served by one process, two would be slashed"
    )]
    Taken {
        /// The database.
        place: String,
        /// Who has it, as far as can be told.
        holder: String,
    },
    /// It belongs to another network or key.
    #[error("{place} is the state of {found}; this process acts as {expected}")]
    OtherIdentity {
        /// The database.
        place: String,
        /// Who it was opened for.
        expected: Identity,
        /// Who it belongs to.
        found: Identity,
    },
    /// It was written by a newer version of this program.
    #[error("{place} has schema {found}; this program knows schemas up to {known}")]
    NewerSchema {
        /// The database.
        place: String,
        /// Schema there.
        found: i64,
        /// Newest schema that is known here.
        known: i64,
    },
    /// It was opened to read, or another process has taken over.
    #[error("{place}: this process does not write it, or no longer: {reason}")]
    NotWriter {
        /// The database.
        place: String,
        /// Why not.
        reason: String,
    },
    /// There is no database.
    #[error("{place}: there is no state")]
    Missing {
        /// Where it should be.
        place: String,
    },
    /// It cannot be reached, read or written.
    #[error("{place}: {reason}")]
    Failed {
        /// The database.
        place: String,
        /// Why.
        reason: String,
    },
}

impl StateError {
    pub(crate) fn failed(place: &str, reason: impl std::fmt::Display) -> StateError {
        StateError::Failed {
            place: place.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn not_writer(place: &str, reason: impl std::fmt::Display) -> StateError {
        StateError::NotWriter {
            place: place.to_owned(),
            reason: reason.to_string(),
        }
    }
}
