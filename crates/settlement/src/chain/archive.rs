//! Blocks that can no longer be dropped, on disk: a file of SQLite beside the journal, which can be made again from it.
//!
//! One thread writes it, in batches; whoever reads takes its place behind the chain's lock. A row carries a checksum: what was
//! damaged is an error and never an answer.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use alloy::primitives::B256;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::history::Recent;
use super::stored;
use super::types::{Block, Receipt};

const FILE: &str = "chain.archive";
const SCHEMA: &str = "
    PRAGMA user_version = 1;
    CREATE TABLE blocks (
        number INTEGER PRIMARY KEY, hash INTEGER NOT NULL, tx INTEGER, body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX by_hash ON blocks (hash);
    CREATE INDEX by_transaction ON blocks (tx) WHERE tx IS NOT NULL;
";
const VERSION: i64 = 1;
/// Of each connection, in KiB.
const CACHE: i64 = 8192;

/// Why old blocks cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file system, or the database.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A row that is not what was written.
    #[error(
        "{path} is damaged at block {number}: stop the chain, remove the file and start it again: it is made anew from the journal"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The block.
        number: u64,
    },
}

type Row = (Block, Option<Receipt>);

/// The file as those who read it see it: the blocks below a number. Clones share the connection.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    /// Blocks that this handle sees: all below this number.
    blocks: u64,
}

impl Archive {
    /// Opens the file, or makes it where there is none. What is no archive of this version is removed and made anew, and
    /// told of.
    pub(super) fn open(folder: &Path) -> Result<(Archive, Option<String>), ArchiveError> {
        let path = folder.join(FILE);
        let opened = |connection| Archive {
            path: path.clone(),
            connection: Arc::new(Mutex::new(connection)),
            blocks: 0,
        };
        let reason = match connect(&path) {
            Ok(connection) => return Ok((opened(connection), None)),
            Err(Unusable::Foreign(reason)) => reason,
            Err(error) => return Err(io(&path, &error)),
        };
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            match std::fs::remove_file(name) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(&path, &e)),
                _ => {}
            }
        }
        let connection = connect(&path).map_err(|e| io(&path, &e))?;
        let told = format!("{}: {reason}; it is made anew", path.display());
        Ok((opened(connection), Some(told)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // a read that panicked leaves nothing behind
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks that can be read.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(super) fn see(&mut self, blocks: u64) {
        self.blocks = self.blocks.max(blocks);
    }

    /// Blocks in the file, whoever put them there.
    pub(super) fn found(&self) -> Result<u64, ArchiveError> {
        let last = self.connection().query_row(
            "SELECT coalesce(max(number) + 1, 0) FROM blocks",
            [],
            |row| row.get::<_, i64>(0),
        );
        last.map(|n| n.max(0) as u64)
            .map_err(|e| io(&self.path, &e))
    }

    /// Forgets the blocks from `number` on.
    pub(super) fn cut(&mut self, number: u64) -> Result<(), ArchiveError> {
        let cut = self
            .connection()
            .execute("DELETE FROM blocks WHERE number >= ?1", [signed(number)]);
        cut.map_err(|e| io(&self.path, &e))?;
        self.blocks = number;
        Ok(())
    }

    pub(super) fn block(&self, number: u64) -> Result<Option<Row>, ArchiveError> {
        if number >= self.blocks {
            return Ok(None);
        }
        let connection = self.connection();
        let body = connection
            .prepare_cached("SELECT body FROM blocks WHERE number = ?1")
            .and_then(|mut found| {
                found
                    .query_row([signed(number)], |row| row.get::<_, Vec<u8>>(0))
                    .optional()
            })
            .map_err(|e| io(&self.path, &e))?;
        // none is missing
        let body = body.ok_or_else(|| self.damaged(number))?;
        self.read(number, &body).map(Some)
    }

    pub(super) fn block_by_hash(&self, hash: B256) -> Result<Option<Row>, ArchiveError> {
        let query = "SELECT number, body FROM blocks WHERE hash = ?1 AND number < ?2";
        self.find(query, hash, |block| block.hash == hash)
    }

    pub(super) fn of_transaction(&self, hash: B256) -> Result<Option<Row>, ArchiveError> {
        let query = "SELECT number, body FROM blocks WHERE tx = ?1 AND number < ?2";
        self.find(query, hash, |block| block.transaction == Some(hash))
    }

    fn find(
        &self,
        query: &str,
        hash: B256,
        is_it: impl Fn(&Block) -> bool,
    ) -> Result<Option<Row>, ArchiveError> {
        let failed = |e| io(&self.path, &e);
        let connection = self.connection();
        let mut found = connection.prepare_cached(query).map_err(failed)?;
        let mut rows = found
            .query(params![short(hash), signed(self.blocks)])
            .map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let number = row.get::<_, i64>(0).map_err(failed)? as u64;
            let body: Vec<u8> = row.get(1).map_err(failed)?;
            let row = self.read(number, &body)?;
            if is_it(&row.0) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Shows the receipts of these blocks, in their order.
    pub(super) fn receipts(
        &self,
        from: u64,
        to: u64,
        mut see: impl FnMut(&Receipt),
    ) -> Result<(), ArchiveError> {
        let failed = |e| io(&self.path, &e);
        let Some(last) = self.blocks.checked_sub(1) else {
            return Ok(());
        };
        let connection = self.connection();
        let mut found = connection
            .prepare_cached(
                "SELECT number, body FROM blocks
                 WHERE number BETWEEN ?1 AND ?2 AND tx IS NOT NULL ORDER BY number",
            )
            .map_err(failed)?;
        let mut rows = found
            .query([signed(from), signed(to.min(last))])
            .map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let number = row.get::<_, i64>(0).map_err(failed)? as u64;
            let body = row.get_ref(1).map_err(failed)?;
            let body = body.as_blob().map_err(|_| self.damaged(number))?;
            if let (_, Some(receipt)) = self.read(number, body)? {
                see(&receipt);
            }
        }
        Ok(())
    }

    fn read(&self, number: u64, body: &[u8]) -> Result<Row, ArchiveError> {
        let read = || {
            let (crc, mut bytes) = body.split_first_chunk()?;
            let is_whole = crc32fast::hash(bytes) == u32::from_le_bytes(*crc);
            let row = is_whole.then(|| stored::decode(&mut bytes).ok())??;
            (row.0.number == number && bytes.is_empty()).then_some(row)
        };
        read().ok_or_else(|| self.damaged(number))
    }

    fn damaged(&self, number: u64) -> ArchiveError {
        ArchiveError::Damaged {
            path: self.path.clone(),
            number,
        }
    }

    /// A thread that writes what follows.
    pub(super) fn writer(&self) -> Result<Writer, ArchiveError> {
        let connection = connect(&self.path).map_err(|e| io(&self.path, &e))?;
        Writer::start(connection, self.blocks).map_err(|e| io(&self.path, &e))
    }
}

/// What the thread has done.
#[derive(Debug)]
struct Done {
    /// Blocks on disk: all below this number.
    blocks: u64,
    failed: Option<String>,
}

/// The thread that writes, as the chain sees it. Dropped, it finishes what it was given.
#[derive(Debug)]
pub(super) struct Writer {
    sender: Option<Sender<Vec<Arc<Recent>>>>,
    /// Blocks given to it: all below this number.
    given: u64,
    done: Arc<(Mutex<Done>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(connection: Connection, blocks: u64) -> std::io::Result<Writer> {
        let (sender, batches) = channel();
        let done = Done {
            blocks,
            failed: None,
        };
        let done = Arc::new((Mutex::new(done), Condvar::new()));
        let told = Arc::clone(&done);
        let thread = std::thread::Builder::new()
            .name("chain archive".to_owned())
            .spawn(move || write_all(connection, &batches, &told))?;
        Ok(Writer {
            sender: Some(sender),
            given: blocks,
            done,
            thread: Some(thread),
        })
    }

    /// Blocks on disk, or why there will be no more.
    pub(super) fn done(&self) -> Result<u64, String> {
        let done = locked(&self.done.0);
        match &done.failed {
            Some(reason) => Err(reason.clone()),
            None => Ok(done.blocks),
        }
    }

    /// Blocks given to it: all below this number.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Gives it the blocks that follow those that it has.
    pub(super) fn give(&mut self, blocks: Vec<Arc<Recent>>) {
        self.given += blocks.len() as u64;
        if let Some(sender) = &self.sender {
            // the thread ends only after a failure, which `done` tells
            let _ = sender.send(blocks);
        }
    }

    /// Waits until it has done all that it was given, or failed.
    pub(super) fn finish(&self) {
        let done = locked(&self.done.0);
        let given = self.given;
        let _done = self
            .done
            .1
            .wait_while(done, |d| d.blocks < given && d.failed.is_none());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn locked(done: &Mutex<Done>) -> MutexGuard<'_, Done> {
    done.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_all(
    mut connection: Connection,
    batches: &Receiver<Vec<Arc<Recent>>>,
    done: &(Mutex<Done>, Condvar),
) {
    while let Ok(batch) = batches.recv() {
        let written = write(&mut connection, &batch);
        {
            let mut done = locked(&done.0);
            match &written {
                Ok(()) => done.blocks += batch.len() as u64,
                Err(error) => done.failed = Some(format!("{FILE}: {error}")),
            }
        }
        done.1.notify_all();
        if written.is_err() {
            return;
        }
    }
}

fn write(connection: &mut Connection, batch: &[Arc<Recent>]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO blocks (number, hash, tx, body) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let mut body = Vec::new();
        for recent in batch {
            let block = &recent.block;
            body.clear();
            body.extend([0; 4]);
            stored::encode(block, recent.receipt.as_deref(), &mut body);
            let crc = crc32fast::hash(&body[4..]).to_le_bytes();
            body[..4].copy_from_slice(&crc);
            let transaction = block.transaction.map(short);
            insert.execute(params![
                signed(block.number),
                short(block.hash),
                transaction,
                body
            ])?;
        }
    }
    transaction.commit()
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// It is none of ours.
    #[error("{0}")]
    Foreign(String),
    /// It may be one.
    #[error(transparent)]
    Io(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Unusable {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Unusable::Foreign(error.to_string()),
            _ => Unusable::Io(error),
        }
    }
}

fn connect(path: &Path) -> Result<Connection, Unusable> {
    let connection = open(path)?;
    match connection.query_row("PRAGMA user_version", [], |row| row.get(0))? {
        VERSION => Ok(connection),
        other => {
            let reason = format!("its version is {other}, not {VERSION}");
            Err(Unusable::Foreign(reason))
        }
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // a batch is on disk when it is said to be
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    connection.busy_timeout(std::time::Duration::from_secs(60))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;"))?;
    }
    Ok(connection)
}

fn io(path: &Path, error: &dyn std::fmt::Display) -> ArchiveError {
    ArchiveError::Io {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Block numbers end long before the sign does.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Enough of a hash for an index; the body has all of it.
fn short(hash: B256) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}
