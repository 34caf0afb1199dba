//! A whole chain in one file beside the journal, so that opening replays only what came after it.
//!
//! `magic || length:u64 le || sha256 of the body || body`; the body is pages, `kind:u8 || length:u32 le || items`, and the
//! items RLP. The first says which prefix of the journal it stands for, and the hash of that prefix; the next the segments
//! that hold what of the state was on disk already. A file gets its name when all of it is on disk, and is read again before
//! an older one goes.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{Decodable, Encodable as _, RlpDecodable, RlpEncodable};
use revm::bytecode::Bytecode;
use sha2::{Digest as _, Sha256};

use super::cold::Reference;
use super::history::Recent;
use super::stored;
use super::tables::Holding;
use super::world::{Undo, World};

const MAGIC: &[u8; 16] = b"gavel snapshot 1";
/// Magic, length, hash.
const HEADER: u64 = 16 + 8 + 32;
const NAME: &str = "chain.snapshot-";
/// While it is written. Only the holder of the journal's lock writes.
const UNFINISHED: &str = "chain.snapshot.new";
/// A page is written when it is as long as this.
const PAGE: usize = 1 << 16;
/// Snapshots that are kept: the newest, and one for when it turns out to be damaged.
const KEPT: usize = 2;

/// Kinds of pages.
const PLACE: u8 = 1;
const RECENT: u8 = 2;
const CODES: u8 = 3;
const ACCOUNTS: u8 = 4;
const SLOTS: u8 = 5;
const SEGMENTS: u8 = 6;

/// What a snapshot stands for.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Place {
    /// Bytes of the journal.
    pub(super) offset: u64,
    /// Records in them, the genesis apart.
    pub(super) records: u64,
    /// SHA-256 of them.
    pub(super) prefix: B256,
    /// The clock.
    pub(super) now: u64,
    /// The last block that can no longer be dropped.
    pub(super) last_final: u64,
}

/// A chain as it was at some moment.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    pub(super) place: Place,
    pub(super) recent: Vec<Arc<Recent>>,
    /// What was in memory.
    pub(super) world: World,
    /// The rest of the state, the newest first.
    pub(super) segments: Vec<Reference>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct AccountItem {
    address: Address,
    holding: Holding,
}

#[derive(RlpEncodable, RlpDecodable)]
struct SlotItem {
    address: Address,
    slot: U256,
    value: U256,
}

/// The snapshot of so many records in a folder.
pub(super) fn path(folder: &Path, records: u64) -> PathBuf {
    folder.join(format!("{NAME}{records}"))
}

/// The snapshots in a folder, the newest first.
pub(super) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let records = name.and_then(|name| name.strip_prefix(NAME)?.parse::<u64>().ok());
        found.extend(records.map(|records| (records, path)));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Writes a snapshot, reads it again, and removes those that are no longer needed. Returns its length in bytes.
pub(super) fn write(folder: &Path, frozen: &Frozen) -> io::Result<u64> {
    let unfinished = folder.join(UNFINISHED);
    let mut file = BufWriter::with_capacity(PAGE, File::create(&unfinished)?);
    file.write_all(&[0; HEADER as usize])?;
    let mut pages = Pages {
        file,
        hash: Sha256::new(),
        length: 0,
        kind: PLACE,
        page: Vec::new(),
    };
    frozen.encode(&mut pages)?;
    let (length, hash, mut file) = pages.finish()?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(MAGIC)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(hash.as_slice())?;
    file.sync_all()?;
    let path = path(folder, frozen.place.records);
    std::fs::rename(&unfinished, &path)?;
    File::open(folder)?.sync_all()?;
    check(&path)?;
    for old in list(folder)?.into_iter().skip(KEPT) {
        std::fs::remove_file(old)?;
    }
    Ok(HEADER + length)
}

/// Reads a snapshot, or says why it is none.
pub(super) fn read(path: &Path) -> Result<Frozen, String> {
    read_body(path).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut short".to_owned(),
        _ => error.to_string(),
    })
}

fn read_body(path: &Path) -> io::Result<Frozen> {
    let (mut body, expected) = open(path)?;
    let mut place = None;
    let mut world = World::default();
    let mut recent = Vec::new();
    let mut segments = Vec::new();
    while body.left > 0 {
        let (kind, page) = body.page()?;
        let mut items = page.as_slice();
        while !items.is_empty() {
            let items = &mut items;
            match kind {
                PLACE => place = Some(item::<Place>(items)?),
                RECENT => recent.push(Arc::new(recent_block(items)?)),
                CODES => {
                    let code: Bytes = item(items)?;
                    let hash = keccak256(&code);
                    let code = Bytecode::new_raw_checked(code).map_err(damaged)?;
                    world.add_code(hash, code);
                }
                ACCOUNTS => {
                    let AccountItem { address, holding } = item(items)?;
                    let accounts = &mut world.newest_mut().accounts;
                    accounts.insert(address, holding);
                }
                SLOTS => {
                    let SlotItem {
                        address,
                        slot,
                        value,
                    } = item(items)?;
                    world.newest_mut().slots.insert((address, slot), value);
                }
                SEGMENTS => segments.push(item::<Reference>(items)?),
                other => return Err(damaged(format!("a page of kind {other}"))),
            }
        }
    }
    body.is(expected)?;
    let place = place.ok_or_else(|| bad("it does not say what it stands for"))?;
    if recent.is_empty() {
        return Err(bad("it has no block"));
    }
    Ok(Frozen {
        place,
        recent,
        world,
        segments,
    })
}

/// The numbers of the segments that a snapshot refers to, which is otherwise not looked at.
pub(super) fn segments(path: &Path) -> io::Result<Vec<u64>> {
    let (mut body, _) = open(path)?;
    let mut segments = Vec::new();
    while body.left > 0 {
        let (kind, page) = body.page()?;
        let mut items = page.as_slice();
        match kind {
            PLACE => {}
            SEGMENTS => {
                while !items.is_empty() {
                    segments.push(item::<Reference>(&mut items)?.id);
                }
            }
            _ => break,
        }
    }
    Ok(segments)
}

/// Fails unless the file is what was written.
fn check(path: &Path) -> io::Result<()> {
    let (mut body, expected) = open(path)?;
    io::copy(&mut body, &mut io::sink())?;
    body.is(expected)
}

fn open(path: &Path) -> io::Result<(Body<BufReader<File>>, B256)> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut file = BufReader::with_capacity(PAGE, file);
    let mut header = [0; HEADER as usize];
    file.read_exact(&mut header)?;
    let (magic, rest) = header.split_at(16);
    let (length, hash) = rest.split_at(8);
    if magic != MAGIC {
        return Err(bad("it is no snapshot of this version"));
    }
    let mut left = [0; 8];
    left.copy_from_slice(length);
    let left = u64::from_le_bytes(left);
    if HEADER.checked_add(left) != Some(size) {
        return Err(bad(format!(
            "it has {size} bytes, and says {left} after its header"
        )));
    }
    let body = Body {
        file,
        hash: Sha256::new(),
        left,
    };
    Ok((body, B256::from_slice(hash)))
}

impl Frozen {
    fn encode(&self, pages: &mut Pages) -> io::Result<()> {
        pages.item(PLACE, |out| self.place.encode(out))?;
        for segment in &self.segments {
            pages.item(SEGMENTS, |out| segment.encode(out))?;
        }
        for recent in &self.recent {
            pages.item(RECENT, |out| {
                stored::encode(&recent.block, recent.receipt.as_deref(), out);
                recent.undo.encode(out);
            })?;
        }
        for code in self.world.codes() {
            pages.item(CODES, |out| code.encode(out))?;
        }
        // what is written later is read later, and hides what was before it
        for tables in self.world.not_on_disk() {
            for (address, holding) in tables.accounts.iter() {
                let (address, holding) = (*address, *holding);
                pages.item(ACCOUNTS, |out| AccountItem { address, holding }.encode(out))?;
            }
            for ((address, slot), value) in tables.slots.iter() {
                let item = SlotItem {
                    address: *address,
                    slot: *slot,
                    value: *value,
                };
                pages.item(SLOTS, |out| item.encode(out))?;
            }
        }
        Ok(())
    }
}

fn recent_block(items: &mut &[u8]) -> io::Result<Recent> {
    let (block, receipt) = stored::decode(items).map_err(damaged)?;
    Ok(Recent {
        block,
        receipt: receipt.map(Arc::new),
        undo: item::<Undo>(items)?,
    })
}

fn item<T: Decodable>(items: &mut &[u8]) -> io::Result<T> {
    T::decode(items).map_err(damaged)
}

fn damaged(error: impl std::fmt::Display) -> io::Error {
    bad(format!("it is damaged: {error}"))
}

fn bad(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// A body that is written.
struct Pages {
    file: BufWriter<File>,
    hash: Sha256,
    length: u64,
    kind: u8,
    page: Vec<u8>,
}

impl Pages {
    fn item(&mut self, kind: u8, encode: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        if kind != self.kind || self.page.len() >= PAGE {
            self.turn()?;
            self.kind = kind;
        }
        encode(&mut self.page);
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        let length = u32::try_from(self.page.len()).map_err(bad)?.to_le_bytes();
        for part in [&[self.kind][..], &length, &self.page] {
            self.file.write_all(part)?;
            self.hash.update(part);
            self.length += part.len() as u64;
        }
        self.page.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<(u64, B256, File)> {
        self.turn()?;
        let file = self.file.into_inner()?;
        Ok((self.length, digest(self.hash), file))
    }
}

/// A body that is read.
struct Body<R> {
    file: R,
    hash: Sha256,
    left: u64,
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.by_ref().take(self.left).read(out)?;
        self.hash.update(&out[..read]);
        self.left -= read as u64;
        Ok(read)
    }
}

impl<R: Read> Body<R> {
    fn page(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut kind = [0];
        let mut length = [0; 4];
        self.read_exact(&mut kind)?;
        self.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        let mut page = Vec::new();
        self.take(length.into()).read_to_end(&mut page)?;
        match page.len() == length as usize {
            true => Ok((kind[0], page)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn is(self, expected: B256) -> io::Result<()> {
        match self.left == 0 && digest(self.hash) == expected {
            true => Ok(()),
            false => Err(bad("its checksum is not that of its contents")),
        }
    }
}

/// All that there is to read: its length, and its hash.
pub(super) fn hashed(mut from: impl Read) -> io::Result<(u64, Sha256)> {
    let (mut length, mut hash, mut some) = (0, Sha256::new(), vec![0; PAGE]);
    loop {
        let read = from.read(&mut some)?;
        if read == 0 {
            return Ok((length, hash));
        }
        hash.update(&some[..read]);
        length += read as u64;
    }
}

pub(super) fn digest(hash: Sha256) -> B256 {
    B256::from_slice(hash.finalize().as_slice())
}
