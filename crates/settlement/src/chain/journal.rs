//! The chain's history on disk: an append-only file of checksummed records behind an exclusive lock.
//!
//! `magic || (length:u32 le || crc32:u32 le || synced:u64 le || payload)*`; the first payload is the genesis, the others
//! events, as JSON. Length and checksum are those of what follows them. Appends are synced, alone or in groups, before
//! anybody is told of them, and each record says how many events were on disk when it was written. So a bad record that
//! no later one vouches for was never acknowledged: it is cut off with what follows it. Any other is corruption, and
//! refused.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use sha2::{Digest as _, Sha256};

use super::ChainError;
use super::group::{Disk, Syncer};
use super::snapshot::{digest, hashed};
use super::types::{Event, Genesis};
use crate::rpc;

const MAGIC: &[u8; 16] = b"gavel chain v2\n\0";
const FILE: &str = "chain.journal";
/// Length and checksum.
const HEADER: usize = 8;
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

/// How far a journal is read or written.
#[derive(Clone, Debug, Default)]
struct Mark {
    /// In bytes.
    offset: u64,
    /// In records, the genesis apart.
    records: u64,
    /// Of those bytes.
    hash: Sha256,
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    pub(super) file: File,
    at: Mark,
    /// Who syncs, if not every append for itself.
    syncer: Option<Syncer>,
}

impl Journal {
    /// Opens or creates the journal; returns the genesis it starts with. What follows is there to be
    /// [replayed](Self::replay), from where [`skip`](Self::skip) goes on.
    pub(super) fn open(
        folder: &Path,
        genesis: &Genesis,
    ) -> Result<(Journal, Genesis), JournalError> {
        let path = folder.join(FILE);
        let io = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(io)?;
        let file = OpenOptions::new()
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
        let mut magic = Vec::new();
        let mut start = (&file).take(MAGIC.len() as u64);
        start.read_to_end(&mut magic).map_err(io)?;
        if !MAGIC.starts_with(&magic) {
            return Err(JournalError::Foreign(path));
        }
        let mut journal = Journal {
            path: path.clone(),
            file,
            at: Mark::default(),
            syncer: None,
        };
        journal.pass(MAGIC);
        // a crash while creating leaves less than the magic and the genesis record
        let first = match magic.len() < MAGIC.len() {
            true => None,
            false => journal.reader()?.next(&journal)?,
        };
        let Some(first) = first else {
            journal.create(genesis)?;
            return Ok((journal, genesis.clone()));
        };
        let stored: Genesis = journal.parse(&first.payload)?;
        if stored.chain_id != genesis.chain_id {
            return Err(JournalError::OtherChain {
                path,
                expected: genesis.chain_id,
                found: stored.chain_id,
            });
        }
        journal.pass(&first.bytes);
        Ok((journal, stored))
    }

    fn create(&mut self, genesis: &Genesis) -> Result<(), JournalError> {
        self.at = Mark::default();
        self.cut()?;
        self.file.write_all(MAGIC).map_err(|e| self.io(e))?;
        self.pass(MAGIC);
        let genesis = json(&self.path, genesis)?;
        self.write(&genesis)
    }

    /// Goes on where this many bytes and records end, if the hash of those bytes is this one; otherwise stays.
    pub(super) fn skip(
        &mut self,
        offset: u64,
        records: u64,
        prefix: B256,
    ) -> Result<bool, JournalError> {
        let mut file = self.file.try_clone().map_err(|e| self.io(e))?;
        let read = file.seek(SeekFrom::Start(0));
        let read = read.and_then(|_| hashed(file.take(offset)));
        let (length, hash) = read.map_err(|e| self.io(e))?;
        let is_it = length == offset && digest(hash.clone()) == prefix;
        if is_it {
            self.at = Mark {
                offset,
                records,
                hash,
            };
        }
        Ok(is_it)
    }

    /// Shows all events that follow, cuts off what was never acknowledged, and puts the rest on disk. Only then can events
    /// be appended.
    pub(super) fn replay(
        &mut self,
        see: impl FnMut(Event) -> Result<(), ChainError>,
    ) -> Result<(), ChainError> {
        self.replay_with(see, File::sync_data)
    }

    /// [`replay`](Self::replay) where `sync` puts on disk what a file holds.
    pub(super) fn replay_with(
        &mut self,
        mut see: impl FnMut(Event) -> Result<(), ChainError>,
        sync: impl Fn(&File) -> std::io::Result<()>,
    ) -> Result<(), ChainError> {
        let mut records = self.reader()?;
        while let Some(record) = records.next(self)? {
            see(self.parse(&record.payload)?)?;
            self.pass(&record.bytes);
            self.at.records += 1;
        }
        self.cut()?;
        // what a killed process wrote can be read and may be on no disk yet, its folder's entry included
        let synced = sync(&self.file).and_then(|()| {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        });
        Ok(synced.map_err(|e| self.io(e))?)
    }

    /// The file ends here.
    fn cut(&mut self) -> Result<(), JournalError> {
        let cut = self.file.set_len(self.at.offset);
        let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.at.offset)));
        cut.map(|_| ()).map_err(|e| self.io(e))
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.at.offset += bytes.len() as u64;
        self.at.hash.update(bytes);
    }

    fn reader(&self) -> Result<Records, JournalError> {
        let mut file = self.file.try_clone().map_err(|e| self.io(e))?;
        let start = file.seek(SeekFrom::Start(self.at.offset));
        start.map_err(|e| self.io(e))?;
        Ok(Records(BufReader::with_capacity(1 << 16, file)))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, payload: &[u8]) -> Result<T, JournalError> {
        serde_json::from_slice(payload).map_err(|e| self.corrupt(e.to_string()))
    }

    fn corrupt(&self, reason: String) -> JournalError {
        JournalError::Corrupt {
            path: self.path.clone(),
            offset: self.at.offset,
            reason,
        }
    }

    /// Appends an event. When this returns it is on disk, or is on its way there if appends are synced in groups.
    pub(super) fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        let payload = json(&self.path, event)?;
        self.write(&payload)?;
        self.at.records += 1;
        match &self.syncer {
            Some(syncer) => syncer.ask(self.at.records),
            None => self.file.sync_data().map_err(|e| self.io(e))?,
        }
        Ok(())
    }

    /// From now on appends are synced in groups, by a thread.
    pub(super) fn sync_in_groups(&mut self) -> Result<Disk, JournalError> {
        let file = self.file.try_clone().map_err(|e| self.io(e))?;
        self.sync_by(move || file.sync_data())
    }

    pub(super) fn sync_by(
        &mut self,
        sync: impl FnMut() -> std::io::Result<()> + Send + 'static,
    ) -> Result<Disk, JournalError> {
        let syncer = Syncer::start(sync, self.at.records);
        let syncer = syncer.map_err(|e| self.io(e))?;
        Ok(self.syncer.insert(syncer).disk())
    }

    /// Records written so far.
    pub(super) fn written(&self) -> u64 {
        self.at.records
    }

    /// Bytes written so far.
    pub(super) fn length(&self) -> u64 {
        self.at.offset
    }

    /// Bytes written so far, and their hash.
    pub(super) fn prefix(&self) -> (u64, B256) {
        (self.at.offset, digest(self.at.hash.clone()))
    }

    /// Records that the syncer has put on disk; all of them where each append is synced.
    pub(super) fn synced(&self) -> u64 {
        self.syncer.as_ref().map_or(self.at.records, Syncer::synced)
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
        self.file.write_all(&record).map_err(|e| self.io(e))?;
        self.pass(&record);
        Ok(())
    }
}

/// A record as it is in the file, and what it says.
struct Record {
    bytes: Vec<u8>,
    payload: Vec<u8>,
}

/// The records from some place on.
struct Records(BufReader<File>);

impl Records {
    /// The next record, if it is whole. None where the journal ends, or with a record that nobody was told of.
    fn next(&mut self, journal: &Journal) -> Result<Option<Record>, JournalError> {
        let failed = |e| journal.io(e);
        let mut bytes = Vec::new();
        let header = self.0.by_ref().take(HEADER as u64).read_to_end(&mut bytes);
        header.map_err(failed)?;
        if let Some(length) = bytes.first_chunk().filter(|_| bytes.len() == HEADER) {
            let length = u32::from_le_bytes(*length) as usize;
            let mut body = self.0.by_ref().take(length.min(MAX_BODY) as u64);
            body.read_to_end(&mut bytes).map_err(failed)?;
        }
        if let Some((_, payload)) = whole(&bytes) {
            let payload = payload.to_vec();
            return Ok(Some(Record { bytes, payload }));
        }
        if !bytes.is_empty() {
            self.0.read_to_end(&mut bytes).map_err(failed)?;
            // the genesis is a record too
            let record = match journal.at.offset == MAGIC.len() as u64 {
                true => 0,
                false => journal.at.records + 1,
            };
            if was_acknowledged(record, &bytes) {
                let reason = "its record is not what was written, and it was acknowledged";
                return Err(journal.corrupt(reason.into()));
            }
        }
        Ok(None)
    }
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

fn json(path: &Path, value: &impl serde::Serialize) -> Result<Vec<u8>, JournalError> {
    serde_json::to_vec(value).map_err(|e| JournalError::Io {
        path: path.to_owned(),
        source: e.into(),
    })
}
