//! The chain's history on disk: an append-only file of checksummed records behind an exclusive lock.
//!
//! `magic || (length:u32 le || crc32:u32 le || synced:u64 le || payload)*`; the first payload is the genesis, the others
//! events, as JSON. Length and checksum are those of what follows them. Appends are synced, alone or in groups, before
//! anybody is told of them, and each record says how many events were on disk when it was written. So a bad record that
//! no later one vouches for was never acknowledged: it is cut off with what follows it. Any other is corruption, and
//! refused.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::group::{Disk, Syncer};
use super::types::{Event, Genesis};
use crate::rpc;

const MAGIC: &[u8; 16] = b"gavel chain v2\n\0";
const FILE: &str = "chain.journal";
/// Length and checksum.
const HEADER: usize = 8;
/// Events on disk.
const SYNCED: usize = 8;
/// Longest of what follows length and checksum: a transaction in hex, as requests bring it, and room.
pub(super) const MAX_BODY: usize = 4 * rpc::REQUEST_BYTES_MAX;

/// Why the history cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// Not a journal of ours.
    #[error("{0} is not a chain journal of this version")]
    Foreign(PathBuf),
    /// A bad record before the end.
    #[error("{path} is corrupt at byte {offset}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Another chain lives there.
    #[error("{path} holds chain {found}, not {expected}")]
    OtherChain {
        /// The file.
        path: PathBuf,
        /// Chain id asked for.
        expected: u64,
        /// Chain id there.
        found: u64,
    },
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    pub(super) file: File,
    /// Records written, the genesis apart.
    written: u64,
    /// Who syncs, if not every append for itself.
    syncer: Option<Syncer>,
}

impl Journal {
    /// Opens or creates the journal; returns the genesis it starts with and its events.
    pub(super) fn open(
        folder: &Path,
        genesis: &Genesis,
    ) -> Result<(Journal, Genesis, Vec<Event>), JournalError> {
        Journal::open_with(folder, genesis, File::sync_data)
    }

    /// [`open`](Self::open) where `sync` puts on disk what a file holds.
    pub(super) fn open_with(
        folder: &Path,
        genesis: &Genesis,
        sync: impl Fn(&File) -> std::io::Result<()>,
    ) -> Result<(Journal, Genesis, Vec<Event>), JournalError> {
        let path = folder.join(FILE);
        let io = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(io)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked(path)),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        // a crash while creating leaves less than the magic and the genesis record
        let (records, good) = if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            (Vec::new(), 0)
        } else if bytes.starts_with(MAGIC) {
            records(&path, &bytes)?
        } else {
            return Err(JournalError::Foreign(path));
        };
        let mut journal = Journal {
            path: path.clone(),
            file,
            written: 0,
            syncer: None,
        };
        let Some((first, rest)) = records.split_first() else {
            journal.file.set_len(0).map_err(io)?;
            journal.file.seek(SeekFrom::Start(0)).map_err(io)?;
            journal.file.write_all(MAGIC).map_err(io)?;
            journal.write(&json(&path, genesis)?)?;
            sync(&journal.file).map_err(io)?;
            // the folder entry itself must survive
            File::open(folder).and_then(|f| f.sync_all()).map_err(io)?;
            return Ok((journal, genesis.clone(), Vec::new()));
        };
        let stored: Genesis = parse(&path, first)?;
        if stored.chain_id != genesis.chain_id {
            return Err(JournalError::OtherChain {
                path,
                expected: genesis.chain_id,
                found: stored.chain_id,
            });
        }
        let events = rest
            .iter()
            .map(|r| parse(&path, r))
            .collect::<Result<Vec<Event>, _>>()?;
        journal.file.set_len(good).map_err(io)?;
        journal.file.seek(SeekFrom::Start(good)).map_err(io)?;
        // what a killed process wrote can be read and may be on no disk yet, its folder's entry included
        sync(&journal.file).map_err(io)?;
        File::open(folder).and_then(|f| f.sync_all()).map_err(io)?;
        journal.written = events.len() as u64;
        Ok((journal, stored, events))
    }

    /// Appends an event. When this returns it is on disk, or is on its way there if appends are synced in groups.
    pub(super) fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        let payload = json(&self.path, event)?;
        self.write(&payload)?;
        self.written += 1;
        match &self.syncer {
            Some(syncer) => syncer.ask(self.written),
            None => self.file.sync_data().map_err(|e| self.io(e))?,
        }
        Ok(())
    }

    /// From now on appends are synced in groups, by a thread.
    pub(super) fn sync_in_groups(&mut self) -> Result<Disk, JournalError> {
        let file = self.file.try_clone().map_err(|e| self.io(e))?;
        let syncer = Syncer::start(move || file.sync_data(), self.written);
        let syncer = syncer.map_err(|e| self.io(e))?;
        Ok(self.syncer.insert(syncer).disk())
    }

    /// Records written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Records that the syncer has put on disk; all of them where each append is synced.
    pub(super) fn synced(&self) -> u64 {
        self.syncer.as_ref().map_or(self.written, Syncer::synced)
    }

    /// Why what was written may not get to the disk.
    pub(super) fn failure(&self) -> Option<String> {
        self.syncer.as_ref().and_then(Syncer::failure)
    }

    fn io(&self, source: std::io::Error) -> JournalError {
        JournalError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn write(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        let mut record = vec![0; HEADER];
        record.extend(self.synced().to_le_bytes());
        record.extend(payload);
        let body = &record[HEADER..];
        if body.len() > MAX_BODY {
            let length = body.len();
            let too_long = format!("a record of {length} bytes, at most {MAX_BODY} are read again");
            return Err(self.io(std::io::Error::other(too_long)));
        }
        let (length, crc) = (body.len() as u32, crc32fast::hash(body));
        record[..4].copy_from_slice(&length.to_le_bytes());
        record[4..HEADER].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all(&record).map_err(|e| self.io(e))
    }
}

struct Record<'a> {
    offset: u64,
    payload: &'a [u8],
}

/// The whole records of a file and where they end.
fn records<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Vec<Record<'a>>, u64), JournalError> {
    let mut out = Vec::new();
    let mut at = MAGIC.len();
    while at < bytes.len() {
        let rest = &bytes[at..];
        let Some((_, payload)) = whole(rest) else {
            if was_acknowledged(out.len() as u64, rest) {
                return Err(JournalError::Corrupt {
                    path: path.to_owned(),
                    offset: at as u64,
                    reason: "its record is not what was written, and it was acknowledged".into(),
                });
            }
            break;
        };
        out.push(Record {
            offset: at as u64,
            payload,
        });
        at += HEADER + SYNCED + payload.len();
    }
    Ok((out, at as u64))
}

/// The record that these bytes begin with, if it is there as it was written: events on disk before it, and its payload.
fn whole(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    let body = rest.get(..length).filter(|_| length <= MAX_BODY)?;
    let (synced, payload) = body.split_first_chunk()?;
    (crc32fast::hash(body) == u32::from_le_bytes(*crc))
        .then_some((u64::from_le_bytes(*synced), payload))
}

/// Whether a whole record after the bad one that these bytes begin with says that it was on disk. The genesis, record 0,
/// was before any other.
fn was_acknowledged(record: u64, bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|at| whole(&bytes[at..]).is_some_and(|(synced, _)| synced >= record))
}

fn parse<T: serde::de::DeserializeOwned>(
    path: &Path,
    record: &Record<'_>,
) -> Result<T, JournalError> {
    serde_json::from_slice(record.payload).map_err(|e| JournalError::Corrupt {
        path: path.to_owned(),
        offset: record.offset,
        reason: e.to_string(),
    })
}

fn json(path: &Path, value: &impl serde::Serialize) -> Result<Vec<u8>, JournalError> {
    serde_json::to_vec(value).map_err(|e| JournalError::Io {
        path: path.to_owned(),
        source: e.into(),
    })
}
