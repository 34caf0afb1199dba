//! One file of SQLite, next to a lock that its writer holds.

mod jobs;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Address;
use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, Transaction, params};

use crate::lock::Lock;
use crate::{Change, Identity, StateError, Store, Table};

/// Schemas, each made from the one before; the number of the last is in `user_version`.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE identity (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        chain_id TEXT NOT NULL, contract TEXT NOT NULL, address TEXT NOT NULL
    ) STRICT;
    CREATE TABLE entries (
        name TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (name, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE jobs (
        place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, result TEXT,
        worker TEXT, until REAL NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0
    ) STRICT;
",
    "
    ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN error TEXT;
    CREATE TABLE workers (
        name TEXT PRIMARY KEY, kinds TEXT NOT NULL, until REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
",
];
/// How long a reader waits for the moment in which a writer ends a journal.
const BUSY: std::time::Duration = std::time::Duration::from_secs(10);

/// A store in one file.
#[derive(Debug)]
pub struct Sqlite {
    place: String,
    identity: Identity,
    connection: Arc<Mutex<Connection>>,
    /// None where the file was opened to read.
    lock: Option<Lock>,
}

impl Sqlite {
    /// Opens a file as its only writer; makes it where there is none, with its folder.
    ///
    /// # Errors
    /// Another process has it, it is another's, or the disk fails.
    pub fn open(path: &Path, identity: Identity) -> Result<Sqlite, StateError> {
        let shown = path.display().to_string();
        let failed = |e: &dyn std::fmt::Display| StateError::failed(&shown, e);
        let path = private(path).map_err(|e| failed(&e))?;
        let lock = Lock::take(&beside(&path)).map_err(|e| failed(&e))?;
        let lock = lock.map_err(|holder| StateError::Taken {
            place: shown.clone(),
            holder,
        })?;
        let mut connection = Connection::open(&path).map_err(|e| failed(&e))?;
        let prepared = prepare(&mut connection, &shown, identity);
        prepared.map_err(|e| e.unwrap_or_else(|e| failed(&e)))?;
        Ok(Sqlite {
            place: shown,
            identity,
            connection: Arc::new(Mutex::new(connection)),
            lock: Some(lock),
        })
    }

    /// Opens a file to read, whoever writes it.
    ///
    /// # Errors
    /// There is none, or the disk fails.
    pub fn read(path: &Path) -> Result<Sqlite, StateError> {
        let place = path.display().to_string();
        if !path.exists() {
            return Err(StateError::Missing { place });
        }
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY)?;
            let schema = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            let identity = identity_of(&connection)?;
            Ok::<_, rusqlite::Error>((connection, schema, identity))
        };
        let (connection, schema, identity) = open().map_err(|e| StateError::failed(&place, e))?;
        let known = MIGRATIONS.len() as i64;
        if schema > known {
            return Err(StateError::NewerSchema {
                place,
                found: schema,
                known,
            });
        }
        let Some(identity) = identity else {
            return Err(StateError::failed(&place, "it belongs to no key"));
        };
        Ok(Sqlite {
            place,
            identity,
            connection: Arc::new(Mutex::new(connection)),
            lock: None,
        })
    }

    /// The schema of a file, and the newest one that this program knows.
    ///
    /// # Errors
    /// There is no file, or it is no database.
    pub fn schema(path: &Path) -> Result<(i64, i64), StateError> {
        let place = path.display().to_string();
        if !path.exists() {
            return Err(StateError::Missing { place });
        }
        let read = || {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(BUSY)?;
            connection.query_row("PRAGMA user_version", [], |row| row.get(0))
        };
        let found = read().map_err(|e| StateError::failed(&place, e))?;
        Ok((found, MIGRATIONS.len() as i64))
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            // a transaction that panicked was rolled back
            work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match done.await {
            Ok(done) => done.map_err(|e| StateError::failed(&self.place, e)),
            Err(e) => Err(StateError::failed(&self.place, e)),
        }
    }

    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        if self.lock.is_none() {
            return Err(StateError::not_writer(&self.place, "it is open to read"));
        }
        self.with(|connection| {
            let transaction = connection.transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
        .await
    }
}

/// The path without links, so that two names of a file share its lock; its folder is made, for its owner alone.
fn private(path: &Path) -> std::io::Result<PathBuf> {
    if path.exists() {
        return path.canonicalize();
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    let path = folder.canonicalize()?.join(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&path)?;
    Ok(path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// `Err(Ok)`: it is not to be used; `Err(Err)`: it cannot be.
fn prepare(
    connection: &mut Connection,
    place: &str,
    identity: Identity,
) -> Result<(), Result<StateError, rusqlite::Error>> {
    connection.busy_timeout(BUSY).map_err(Err)?;
    let mode = |row: &Row<'_>| row.get::<_, String>(0);
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], mode);
    let mode = mode.map_err(Err)?;
    if mode != "wal" {
        let reason = format!("its journal is {mode}; expected wal, which this disk refuses");
        return Err(Ok(StateError::failed(place, reason)));
    }
    connection
        .execute_batch("PRAGMA synchronous = FULL")
        .map_err(Err)?;
    let transaction = connection.transaction().map_err(Err)?;
    let version = transaction.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let version = version.map_err(Err)?;
    let known = MIGRATIONS.len() as i64;
    if version > known {
        return Err(Ok(StateError::NewerSchema {
            place: place.to_owned(),
            found: version,
            known,
        }));
    }
    for migration in MIGRATIONS
        .iter()
        .skip(usize::try_from(version).unwrap_or(0))
    {
        transaction.execute_batch(migration).map_err(Err)?;
    }
    transaction
        .execute_batch(&format!("PRAGMA user_version = {known}"))
        .map_err(Err)?;
    match identity_of(&transaction).map_err(Err)? {
        Some(found) if found != identity => {
            return Err(Ok(StateError::OtherIdentity {
                place: place.to_owned(),
                expected: identity,
                found,
            }));
        }
        Some(_) => {}
        None => {
            let Identity {
                chain_id,
                contract,
                address,
            } = identity;
            let of = params![
                chain_id.to_string(),
                contract.to_string(),
                address.to_string()
            ];
            transaction
                .execute("INSERT INTO identity VALUES (1, ?1, ?2, ?3)", of)
                .map_err(Err)?;
        }
    }
    transaction.commit().map_err(Err)
}

fn identity_of(connection: &Connection) -> rusqlite::Result<Option<Identity>> {
    let query = "SELECT chain_id, contract, address FROM identity";
    connection
        .query_row(query, [], |row| {
            Ok(Identity {
                chain_id: parsed(row, 0)?,
                contract: parsed::<Address>(row, 1)?,
                address: parsed::<Address>(row, 2)?,
            })
        })
        .optional()
}

fn parsed<T: std::str::FromStr>(row: &Row<'_>, at: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(at)?;
    text.parse().map_err(|e: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(e))
    })
}

#[async_trait]
impl Store for Sqlite {
    fn place(&self) -> &str {
        &self.place
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<String>, StateError> {
        let key = key.to_owned();
        self.with(move |c| value_of(c, table, &key)).await
    }

    async fn scan(&self, table: Table) -> Result<Vec<(String, String)>, StateError> {
        self.with(move |c| {
            let query = "SELECT key, value FROM entries WHERE name = ?1 ORDER BY key";
            let mut query = c.prepare(query)?;
            let rows = query.query_map([table.name()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
        .await
    }

    async fn insert(
        &self,
        table: Table,
        key: &str,
        value: &str,
    ) -> Result<Option<String>, StateError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.change(move |t| {
            let new = t.execute(
                "INSERT INTO entries VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![table.name(), key, value],
            )?;
            match new {
                0 => value_of(t, table, &key),
                _ => Ok(None),
            }
        })
        .await
    }

    async fn write(&self, changes: &[Change]) -> Result<(), StateError> {
        let changes = changes.to_vec();
        self.change(move |t| {
            for change in changes {
                match change {
                    Change::Put(table, key, value) => t.execute(
                        "INSERT INTO entries VALUES (?1, ?2, ?3)
                         ON CONFLICT (name, key) DO UPDATE SET value = excluded.value",
                        params![table.name(), key, value],
                    )?,
                    Change::Delete(table, key) => t.execute(
                        "DELETE FROM entries WHERE name = ?1 AND key = ?2",
                        params![table.name(), key],
                    )?,
                };
            }
            Ok(())
        })
        .await
    }

    async fn lead(&self) -> Result<bool, StateError> {
        Ok(self.lock.is_some())
    }

    async fn hold(&self, _seconds: u32) -> Result<bool, StateError> {
        self.lead().await
    }
}

fn value_of(c: &Connection, table: Table, key: &str) -> rusqlite::Result<Option<String>> {
    let query = "SELECT value FROM entries WHERE name = ?1 AND key = ?2";
    c.query_row(query, params![table.name(), key], |row| row.get(0))
        .optional()
}
