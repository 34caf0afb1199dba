//! What every role is: a name, an address, and a tick that acts at most once.

use async_trait::async_trait;
use std::fmt;

use crate::{Address, B256, Board, NodeError};

/// A transaction that a role made, said the way a person would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// A sentence without the actor: "claims task 3 at 2.5".
    pub what: String,
    /// The transaction.
    pub transaction: B256,
    /// Gas that it used.
    pub gas: u64,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// A party: reads the board, decides with a pure function, acts at most once.
///
/// A role keeps nothing that it could not compute again (`docs/decisions/0005-roles-keep-no-state.md`):
/// dropping it between any two ticks and building another with the same key loses nothing. Caches are
/// allowed, memories are not.
#[async_trait]
pub trait Role: Send {
    /// Name for timelines: "provider-2".
    fn name(&self) -> &str;

    /// The account that it acts with.
    fn address(&self) -> Address;

    /// Looks at `board` and acts at most once. `None`: nothing to do now.
    ///
    /// A transaction that reverts because somebody else acted first, or because the board was a block
    /// old, is no error and no act.
    ///
    /// # Errors
    /// What the next tick may not heal by itself: the chain cannot be reached, a blob is corrupt, a
    /// model cannot be run. The role may be ticked again.
    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError>;
}

/// What a role tries in one tick, one thing after the other, until one of them is an act. What fails stands in the
/// way of nothing else (a task that somebody made unreadable must not keep anybody from the others); it is reported
/// if nothing was done.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failed: Option<NodeError>,
}

impl Attempts {
    /// The act, if that is what came of it.
    pub(crate) fn act(&mut self, outcome: Result<Option<Act>, NodeError>) -> Option<Act> {
        match outcome {
            Ok(act) => act,
            Err(error) if error.is_pending() => None,
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
    }

    /// What comes of a tick without an act.
    pub(crate) fn nothing(self) -> Result<Option<Act>, NodeError> {
        self.failed.map_or(Ok(None), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stands_in_the_way_of_no_act_and_is_told_if_there_is_none() {
        let failed = |what: &str| Err(NodeError::Sign(what.to_owned()));
        let act = Act {
            what: "acts".to_owned(),
            transaction: B256::ZERO,
            gas: 1,
        };
        let mut attempts = Attempts::default();
        assert_eq!(attempts.act(failed("first")), None);
        assert_eq!(attempts.act(Ok(None)), None);
        assert_eq!(attempts.act(Ok(Some(act.clone()))), Some(act));
        assert_eq!(attempts.act(failed("second")), None);
        let told = attempts.nothing().unwrap_err().to_string();
        assert!(told.contains("first"), "{told}");
        assert!(matches!(Attempts::default().nothing(), Ok(None)));
    }
}
