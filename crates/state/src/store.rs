//! What a database does, whichever it is.

use std::fmt;

use async_trait::async_trait;

use crate::{Identity, Jobs, StateError};

/// A name space of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// What was said under the key, and may not be said otherwise.
    Statements,
    /// Below which ids what was said has been forgotten.
    Watermarks,
    /// Transactions under way.
    Intents,
    /// Standing of the node: its circuit breaker.
    Node,
    /// Secrets that were committed to and are still to be shown.
    Secrets,
}

impl Table {
    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Table::Statements => "statements",
            Table::Watermarks => "watermarks",
            Table::Intents => "intents",
            Table::Node => "node",
            Table::Secrets => "secrets",
        }
    }
}

/// One change of a [`Store::write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A value, in place of the one under its key if there is one.
    Put(Table, String, String),
    /// No value under this key any more.
    Delete(Table, String),
}

/// Texts under keys, and jobs. What a call has written is on disk when it returns. A process that has opened a store to
/// write is its only writer; jobs alone may be taken and finished by processes that have opened it beside the writer
/// ([`crate::open_shared`]).
#[async_trait]
pub trait Store: Jobs + fmt::Debug {
    /// Where it is, for people; without passwords.
    fn place(&self) -> &str;

    /// Whose it is.
    fn identity(&self) -> Identity;

    /// The value under a key.
    ///
    /// # Errors
    /// The database fails.
    async fn get(&self, table: Table, key: &str) -> Result<Option<String>, StateError>;

    /// All of a table, by ascending key (bytewise).
    ///
    /// # Errors
    /// The database fails.
    async fn scan(&self, table: Table) -> Result<Vec<(String, String)>, StateError>;

    /// Writes a value where there is none. Where there is one, nothing is written and it is given.
    ///
    /// # Errors
    /// The database fails; this process is not its writer.
    async fn insert(
        &self,
        table: Table,
        key: &str,
        value: &str,
    ) -> Result<Option<String>, StateError>;

    /// Makes all these changes, or none.
    ///
    /// # Errors
    /// The database fails; this process is not its writer.
    async fn write(&self, changes: &[Change]) -> Result<(), StateError>;

    /// Tries to become the writer, or makes sure that this process still is, with no end.
    ///
    /// # Errors
    /// The database fails; this process was the writer and another has taken over.
    async fn lead(&self) -> Result<bool, StateError>;

    /// As [`Store::lead`], for this many seconds of the database's clock: after them another process that calls this may
    /// take over, whether or not this one is still connected. The writer calls it again in time.
    ///
    /// # Errors
    /// As [`Store::lead`].
    async fn hold(&self, seconds: u32) -> Result<bool, StateError>;
}
