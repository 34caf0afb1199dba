//! A file of state that is written once, in the order of keys, and never changed.
//!
//! `magic || pages || (offset:u64 || length:u32 || entries:u64, all le)`; a page is `crc32:u32 le || bytes`. Pages of data
//! come in groups, each followed by a page with its filter and its index; the last page, which the end of the file names,
//! lists the groups. Who refers to a segment says its length and SHA-256, which are looked at when it is opened; later
//! reads look at the checksums of pages.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use alloy::primitives::B256;
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};

use super::super::snapshot::{digest, hashed};
use super::StateError;
use super::key::{Key, Probe, Value, may_hold};
use super::page::{Cache, Cursor, Group, Located, Page, checksum, that_may_hold};

pub(super) const MAGIC: &[u8; 16] = b"gavel state v1\n\0";
/// Where the list of groups is, its length, and how many entries there are.
pub(super) const TAIL: usize = 8 + 4 + 8;
const NAME: &str = "chain.state-";
/// What the name of one that is being written ends with.
pub(super) const UNFINISHED: &str = ".new";

/// What a segment is known by.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Reference {
    /// Number in its folder.
    pub(crate) id: u64,
    /// How often what is in it was merged.
    pub(crate) tier: u64,
    /// Bytes.
    pub(crate) length: u64,
    /// SHA-256 of all of it.
    pub(crate) hash: B256,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) reference: Reference,
    path: PathBuf,
    file: Mutex<File>,
    groups: Vec<Located>,
    entries: u64,
}

/// The file of a segment.
pub(super) fn path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{NAME}{id}"))
}

/// The number of the segment that a file is named as, and whether it has all of its name.
pub(super) fn id(path: &Path) -> Option<(u64, bool)> {
    let name = path.file_name()?.to_str()?.strip_prefix(NAME)?;
    match name.strip_suffix(UNFINISHED) {
        Some(id) => Some((id.parse().ok()?, false)),
        None => Some((name.parse().ok()?, true)),
    }
}

impl Segment {
    /// Opens a segment, if it is the one that is meant.
    pub(crate) fn open(folder: &Path, reference: &Reference) -> Result<Segment, StateError> {
        let path = path(folder, reference.id);
        let failed = |e: io::Error| io_error(&path, &e);
        let file = File::open(&path).map_err(failed)?;
        let (length, hash) = hashed(&file).map_err(failed)?;
        if (length, digest(hash)) != (reference.length, reference.hash) {
            return Err(StateError::Other { path });
        }
        let mut segment = Segment {
            reference: reference.clone(),
            path,
            file: Mutex::new(file),
            groups: Vec::new(),
            entries: 0,
        };
        let at = length.saturating_sub(TAIL as u64);
        let tail = segment.bytes(at, TAIL)?;
        let read = || {
            let (offset, rest) = tail.split_first_chunk()?;
            let (length, entries) = rest.split_first_chunk()?;
            let entries = u64::from_le_bytes(*entries.first_chunk()?);
            let (offset, length) = (u64::from_le_bytes(*offset), u32::from_le_bytes(*length));
            Some((offset, length, entries))
        };
        let (offset, length, entries) = read().ok_or_else(|| segment.damaged(at))?;
        segment.groups = segment.decoded(offset, length)?;
        segment.entries = entries;
        Ok(segment)
    }

    /// What is written under a key: none where that is up to older segments, empty where it is nothing.
    pub(super) fn get(
        &self,
        key: &Key,
        probe: Probe,
        cache: &Cache,
    ) -> Result<Option<Value>, StateError> {
        let Some(at) = that_may_hold(&self.groups, key) else {
            return Ok(None);
        };
        let page = cache.page((self.reference.id, at.offset), || {
            self.group(at).map(Page::Group)
        })?;
        let Page::Group(group) = &*page else {
            return Err(self.damaged(at.offset));
        };
        if !may_hold(&group.filter, probe) {
            return Ok(None);
        }
        let Some(at) = that_may_hold(&group.pages, key) else {
            return Ok(None);
        };
        let page = cache.page((self.reference.id, at.offset), || {
            self.page(at.offset, at.length).map(Page::Data)
        })?;
        let Page::Data(page) = &*page else {
            return Err(self.damaged(at.offset));
        };
        let mut cursor = Cursor::default();
        while cursor.at < page.len() {
            let value = cursor.next(page).ok_or_else(|| self.damaged(at.offset))?;
            if cursor.key >= *key {
                return Ok((cursor.key == *key).then(|| value.to_vec()));
            }
        }
        Ok(None)
    }

    /// Bytes of its index in memory.
    pub(super) fn index_bytes(&self) -> u64 {
        size_of_val(self.groups.as_slice()) as u64
    }

    /// Accounts and slots in it, with those that are nothing.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    fn group(&self, at: &Located) -> Result<Group, StateError> {
        self.decoded(at.offset, at.length)
    }

    fn decoded<T: Decodable>(&self, offset: u64, length: u32) -> Result<T, StateError> {
        let page = self.page(offset, length)?;
        alloy_rlp::decode_exact(page).map_err(|_| self.damaged(offset))
    }

    fn page(&self, offset: u64, length: u32) -> Result<Vec<u8>, StateError> {
        let mut page = self.bytes(offset, 4 + length as usize)?;
        let bytes = page.split_off(4);
        match page == checksum(offset, &bytes).to_le_bytes() {
            true => Ok(bytes),
            false => Err(self.damaged(offset)),
        }
    }

    fn bytes(&self, offset: u64, length: usize) -> Result<Vec<u8>, StateError> {
        let mut bytes = vec![0; length];
        // a read begins with its seek
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(offset));
        let read = read.and_then(|_| file.read_exact(&mut bytes));
        match read {
            Ok(()) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged(offset)),
            Err(e) => Err(io_error(&self.path, &e)),
        }
    }

    pub(super) fn damaged(&self, offset: u64) -> StateError {
        StateError::Damaged {
            path: self.path.clone(),
            offset,
        }
    }
}

pub(super) fn io_error(path: &Path, error: &dyn std::fmt::Display) -> StateError {
    StateError::Io {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// All that is in a segment, in the order of keys.
pub(super) struct Entries {
    segment: Arc<Segment>,
    groups: usize,
    pages: std::vec::IntoIter<Located>,
    page: Vec<u8>,
    offset: u64,
    cursor: Cursor,
}

impl Entries {
    pub(super) fn of(segment: Arc<Segment>) -> Entries {
        Entries {
            segment,
            groups: 0,
            pages: Vec::new().into_iter(),
            page: Vec::new(),
            offset: 0,
            cursor: Cursor::default(),
        }
    }

    fn step(&mut self) -> Result<Option<(Key, Value)>, StateError> {
        while self.cursor.at == self.page.len() {
            if let Some(next) = self.pages.next() {
                self.page = self.segment.page(next.offset, next.length)?;
                self.offset = next.offset;
                self.cursor = Cursor::default();
            } else if let Some(group) = self.segment.groups.get(self.groups) {
                self.pages = self.segment.group(group)?.pages.into_iter();
                self.groups += 1;
            } else {
                return Ok(None);
            }
        }
        match self.cursor.next(&self.page) {
            Some(value) => Ok(Some((self.cursor.key, value.to_vec()))),
            None => Err(self.segment.damaged(self.offset)),
        }
    }
}

impl Iterator for Entries {
    type Item = Result<(Key, Value), StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
