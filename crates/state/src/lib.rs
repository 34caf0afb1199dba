//! What a node must not forget: a database with one owner at a time.
//!
//! - [`Store`]: tables of texts under keys, written durably, and [`Jobs`] that are leased.
//! - [`open`]: a file of SQLite, or a PostgreSQL server by URL, for one [`Identity`] and as its only writer.
//! - [`Sqlite`], [`Postgres`], [`Memory`]: the three behind it. They pass the same tests.
//!
//! What the texts mean is its users' affair.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod identity;
mod jobs;
mod lock;
mod memory;
mod place;
mod postgres;
mod sqlite;
mod store;

pub use error::StateError;
pub use identity::Identity;
pub use jobs::{Job, Jobs, Lease, MOST_FAILURES, Worker};
pub use memory::Memory;
pub use place::{default_place, is_url, join, open, open_shared, read};
pub use postgres::Postgres;
pub use sqlite::Sqlite;
pub use store::{Change, Store, Table};
