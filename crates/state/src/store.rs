//! What a database does, whichever it is.

use std::fmt;

use async_trait::async_trait;

use crate::{Identity, StateError};

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
}

impl Table {
    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Table::Statements => "statements",
            Table::Watermarks => "watermarks",
            Table::Intents => "intents",
            Table::Node => "node",
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

/// Work that any process of an identity may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub id: String,
    /// What is to be done.
    pub spec: String,
    /// What came of it, once it is done.
    pub result: Option<String>,
    /// Who does it or did it; none where nobody has begun, or whoever has it stopped renewing.
    pub worker: Option<String>,
    /// Times that it was begun.
    pub tries: u32,
}

/// The right to do a job until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job's name.
    pub id: String,
    /// What is to be done.
    pub spec: String,
    /// Which beginning of the job this is: an older lease of it counts for nothing.
    pub tries: u32,
}

/// Texts under keys, and jobs. What a call has written is on disk when it returns. A process that has opened a store to
/// write is its only writer; jobs alone may be taken and finished by processes that have opened it beside the writer
/// ([`crate::open_shared`]).
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
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

    /// Tries to become the writer. True where this process is it already.
    ///
    /// # Errors
    /// The database fails.
    async fn lead(&self) -> Result<bool, StateError>;

    /// Puts a job up. One of that name, done or not, stays as it is.
    ///
    /// # Errors
    /// The database fails; this process is not its writer.
    async fn offer(&self, id: &str, spec: &str) -> Result<(), StateError>;

    /// The oldest job that nobody is at, for this many seconds.
    ///
    /// # Errors
    /// The database fails.
    async fn lease(&self, worker: &str, seconds: u32) -> Result<Option<Lease>, StateError>;

    /// Holds on to a job for this many seconds from now. False where it was done or given to somebody else.
    ///
    /// # Errors
    /// The database fails.
    async fn renew(&self, lease: &Lease, seconds: u32) -> Result<bool, StateError>;

    /// Notes what came of a job. False where it was done or given to somebody else: this result is not wanted.
    ///
    /// # Errors
    /// The database fails.
    async fn finish(&self, lease: &Lease, result: &str) -> Result<bool, StateError>;

    /// A job by its name.
    ///
    /// # Errors
    /// The database fails.
    async fn job(&self, id: &str) -> Result<Option<Job>, StateError>;

    /// Takes a job down, done or not.
    ///
    /// # Errors
    /// The database fails; this process is not its writer.
    async fn forget(&self, id: &str) -> Result<(), StateError>;
}
