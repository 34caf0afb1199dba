//! Segments are written: from memory, and of others that they take the place of.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy::primitives::B256;
use sha2::{Digest as _, Sha256};

use super::super::snapshot::digest;
use super::super::tables::Tables;
use super::StateError;
use super::key::{self, Key, Probe, Value, sorted};
use super::page::{Group, Located, checksum, push};
use super::segment::{self, Entries, MAGIC, Reference, Segment, UNFINISHED, io_error};

/// A page of data is written when it is as long as this.
const PAGE: usize = 4096;
/// Pages of data in a group.
const GROUP: usize = 32;

/// Where a segment is to be, and when it is no longer wanted.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) folder: PathBuf,
    pub(crate) id: u64,
    pub(crate) stop: Arc<AtomicBool>,
}

/// A segment of what is in memory.
pub(crate) fn of_tables(order: &Order, tables: &Tables) -> Result<Segment, StateError> {
    build(order, 0, sorted(tables).map(Ok))
}

/// A segment of others, the newest first. Where there are none before them, what is nothing is left out.
pub(crate) fn of_segments(
    order: &Order,
    segments: &[Arc<Segment>],
    are_oldest: bool,
) -> Result<Segment, StateError> {
    let tier = segments.iter().map(|s| s.reference.tier).max();
    let kept = merged(segments)
        .filter(|entry| !are_oldest || entry.as_ref().map_or(true, |(_, value)| !value.is_empty()));
    build(order, tier.map_or(0, |tier| tier + 1), kept)
}

/// What these segments say together, the newest first.
pub(super) fn merged(segments: &[Arc<Segment>]) -> Merged {
    let entries = segments.iter().map(|s| Entries::of(Arc::clone(s)));
    Merged(entries.map(Iterator::peekable).collect())
}

pub(super) struct Merged(Vec<Peekable<Entries>>);

impl Iterator for Merged {
    type Item = Result<(Key, Value), StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<Key> = None;
        for segment in &mut self.0 {
            match segment.peek() {
                Some(Ok((key, _))) => least = Some(least.map_or(*key, |least| least.min(*key))),
                Some(Err(_)) => return segment.next(),
                None => {}
            }
        }
        let least = least?;
        let is_it = |entry: &Result<(Key, Value), StateError>| matches!(entry, Ok((key, _)) if *key == least);
        // each that has it goes on, and the newest is heard
        let mut found = None;
        for segment in &mut self.0 {
            let entry = segment.next_if(is_it);
            found = found.or(entry);
        }
        found
    }
}

fn build(
    order: &Order,
    tier: u64,
    entries: impl Iterator<Item = Result<(Key, Value), StateError>>,
) -> Result<Segment, StateError> {
    let path = segment::path(&order.folder, order.id);
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(UNFINISHED);
    let unfinished = Path::new(&unfinished);
    let failed = |e: io::Error| io_error(&path, &e);
    let mut builder = Builder::create(unfinished).map_err(failed)?;
    for entry in entries {
        if order.stop.load(Ordering::Relaxed) {
            return Err(failed(io::ErrorKind::Interrupted.into()));
        }
        let (key, value) = entry?;
        builder.add(key, &value).map_err(failed)?;
    }
    let (length, hash) = builder.finish().map_err(failed)?;
    let named = std::fs::rename(unfinished, &path);
    named
        .and_then(|()| File::open(&order.folder)?.sync_all())
        .map_err(failed)?;
    let reference = Reference {
        id: order.id,
        tier,
        length,
        hash,
    };
    Segment::open(&order.folder, &reference)
}

struct Builder {
    file: BufWriter<File>,
    hash: Sha256,
    length: u64,
    entries: u64,
    last: Key,
    /// The page that is being filled, and the first key in it.
    page: Vec<u8>,
    first: Key,
    /// Of the group that is being filled.
    pages: Vec<Located>,
    probes: Vec<Probe>,
    groups: Vec<Located>,
}

impl Builder {
    fn create(path: &Path) -> io::Result<Builder> {
        let mut builder = Builder {
            file: BufWriter::with_capacity(1 << 16, File::create(path)?),
            hash: Sha256::new(),
            length: 0,
            entries: 0,
            last: Key::ZERO,
            page: Vec::with_capacity(2 * PAGE),
            first: Key::ZERO,
            pages: Vec::new(),
            probes: Vec::new(),
            groups: Vec::new(),
        };
        builder.put(MAGIC)?;
        Ok(builder)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn put_page(&mut self, first: Key, page: &[u8]) -> io::Result<Located> {
        let offset = self.length;
        let length = u32::try_from(page.len()).map_err(io::Error::other)?;
        self.put(&checksum(offset, page).to_le_bytes())?;
        self.put(page)?;
        Ok(Located {
            first,
            offset,
            length,
        })
    }

    fn add(&mut self, key: Key, value: &[u8]) -> io::Result<()> {
        if self.page.is_empty() {
            self.first = key;
        }
        push(&mut self.page, &self.last, &key, value);
        self.probes.push(Probe::of(&key));
        self.last = key;
        self.entries += 1;
        match self.page.len() >= PAGE {
            true => self.end_page(),
            false => Ok(()),
        }
    }

    fn end_page(&mut self) -> io::Result<()> {
        let mut page = std::mem::take(&mut self.page);
        let located = self.put_page(self.first, &page)?;
        self.pages.push(located);
        page.clear();
        self.page = page;
        match self.pages.len() >= GROUP {
            true => self.end_group(),
            false => Ok(()),
        }
    }

    fn end_group(&mut self) -> io::Result<()> {
        let group = Group {
            filter: key::filter(&self.probes).into(),
            pages: std::mem::take(&mut self.pages),
        };
        self.probes.clear();
        let first = group.pages.first().map_or(Key::ZERO, |page| page.first);
        let located = self.put_page(first, &alloy_rlp::encode(&group))?;
        self.groups.push(located);
        Ok(())
    }

    /// Puts the rest of it on disk. Returns its length and hash.
    fn finish(mut self) -> io::Result<(u64, B256)> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        if !self.pages.is_empty() {
            self.end_group()?;
        }
        let groups = alloy_rlp::encode(&self.groups);
        let groups = self.put_page(Key::ZERO, &groups)?;
        let entries = self.entries;
        self.put(&groups.offset.to_le_bytes())?;
        self.put(&groups.length.to_le_bytes())?;
        self.put(&entries.to_le_bytes())?;
        self.file.into_inner()?.sync_all()?;
        Ok((self.length, digest(self.hash)))
    }
}
