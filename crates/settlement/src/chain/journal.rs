//! The chain's history on disk: an append-only file of checksummed records behind an exclusive lock.
//!
//! `magic || (length:u32 le || crc32:u32 le || payload)*`; the first payload is the genesis, the others events,
//! as JSON. An append is one write and one fsync, so a torn tail is a record that was never
//! acknowledged: it is cut off. A bad record with a good one after it is corruption, and refused.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt as _;

use super::types::{Event, Genesis};

const MAGIC: &[u8; 16] = b"gavel chain v1\n\0";
const FILE: &str = "chain.journal";
/// Length and checksum.
const HEADER: usize = 8;
/// A record larger than any transaction the chain accepts.
const MAX_RECORD: usize = 1 << 24;

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
}

impl Journal {
    /// Opens or creates the journal; returns the genesis it starts with and its events.
    pub(super) fn open(
        folder: &Path,
        genesis: &Genesis,
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
        if !file.try_lock_exclusive().map_err(io)? {
            return Err(JournalError::Locked(path));
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
        };
        let Some((first, rest)) = records.split_first() else {
            journal.file.set_len(0).map_err(io)?;
            journal.file.seek(SeekFrom::Start(0)).map_err(io)?;
            journal.file.write_all(MAGIC).map_err(io)?;
            journal.write(&json(&path, genesis)?)?;
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
        Ok((journal, stored, events))
    }

    /// Appends an event; when this returns it is on disk.
    pub(super) fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        let payload = json(&self.path, event)?;
        self.write(&payload)
    }

    fn write(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        let io = |source| JournalError::Io {
            path: self.path.clone(),
            source,
        };
        let mut record = Vec::with_capacity(payload.len() + 8);
        record.extend((payload.len() as u32).to_le_bytes());
        record.extend(crc32fast::hash(payload).to_le_bytes());
        record.extend(payload);
        self.file.write_all(&record).map_err(io)?;
        self.file.sync_data().map_err(io)
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
        let Some(payload) = whole(rest) else {
            if is_torn(rest) {
                break;
            }
            return Err(JournalError::Corrupt {
                path: path.to_owned(),
                offset: at as u64,
                reason: "its record is not what was written, and it is not the last".into(),
            });
        };
        out.push(Record {
            offset: at as u64,
            payload,
        });
        at += HEADER + payload.len();
    }
    Ok((out, at as u64))
}

/// The payload of the record that these bytes begin with, if it is there as it was written.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize)?;
    // no payload is empty: zeros are space that was allotted and never written
    (!payload.is_empty() && crc32fast::hash(payload) == u32::from_le_bytes(*crc)).then_some(payload)
}

/// Whether a bad record that these bytes begin with can be an append that was cut short.
fn is_torn(bytes: &[u8]) -> bool {
    let Some((length, _)) = bytes.split_first_chunk() else {
        return true;
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 {
        return bytes.iter().all(|b| *b == 0);
    }
    // a wrong length can reach past records that are whole; the text of a payload never looks like one
    length <= MAX_RECORD
        && HEADER + length >= bytes.len()
        && (1..bytes.len()).all(|at| whole(&bytes[at..]).is_none())
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
