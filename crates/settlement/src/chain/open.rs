//! How a chain begins: in memory, or from what is in a folder.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::archive::Archive;
use super::cold::{Cache, Cold};
use super::group::UnderWay;
use super::history::{History, Recent};
use super::journal::{Journal, JournalError};
use super::keeper::{self, Keeper, SnapshotReport};
use super::snapshot::{self, Frozen};
use super::spill::{self, Spill};
use super::tables::Holding;
use super::types::{Block, Options};
use super::world::{Undo, World};
use super::{BLOCK_SECONDS, Chain, ChainError, Genesis};

/// How a chain was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Records of the history that a snapshot stood for; none without one.
    pub from_snapshot: Option<u64>,
    /// Records that were replayed.
    pub replayed: u64,
    /// Time that it took.
    pub time: Duration,
    /// What could not be used and was done without, each with the reason.
    pub passed_over: Vec<String>,
}

impl Chain {
    /// A chain that lives in memory.
    pub fn in_memory(genesis: Genesis) -> Chain {
        Chain::of(genesis, None)
    }

    /// The first block, in memory unless there is an archive for what follows.
    fn of(genesis: Genesis, archive: Option<Archive>) -> Chain {
        let mut world = World::default();
        for (address, balance) in &genesis.accounts {
            world.set_account(*address, Holding::of(*balance));
        }
        let first = Recent {
            block: Block::genesis(&genesis),
            receipt: None,
            undo: Undo::default(),
        };
        Chain {
            now: genesis.time,
            block_seconds: BLOCK_SECONDS,
            genesis,
            world,
            history: History::new([Arc::new(first)], 0, archive),
            keeper: None,
            spill: None,
            journal: None,
            under_way: UnderWay::default(),
            opening: Opening::default(),
            failed: None,
        }
    }

    /// Opens the chain in `folder`, or starts one there with `genesis`. The folder is locked for this process.
    ///
    /// # Errors
    /// The folder is in use or unreadable, its journal is corrupt before its end, or it holds another chain.
    pub fn open(folder: &Path, genesis: Genesis) -> Result<Chain, ChainError> {
        Chain::open_with(folder, genesis, Options::default())
    }

    /// [`open`](Self::open) with other numbers.
    ///
    /// # Errors
    /// As [`open`](Self::open), and a history that drops more blocks than `options` let it.
    pub fn open_with(
        folder: &Path,
        genesis: Genesis,
        options: Options,
    ) -> Result<Chain, ChainError> {
        let started = Instant::now();
        let (mut journal, genesis) = Journal::open(folder, &genesis)?;
        let (mut archive, told) = Archive::open(folder)?;
        let mut opening = Opening {
            passed_over: told.into_iter().collect(),
            ..Opening::default()
        };
        let failed = |source| JournalError::Io {
            path: folder.to_owned(),
            source,
        };
        let spill = Spill::open(folder, options.state_memory).map_err(failed)?;
        let cache = Arc::new(Cache::new(spill::cache_bytes(options.state_memory)));
        let (mut newest, mut stale) = (None, Vec::new());
        let listed = snapshot::list(folder).map_err(failed)?;
        for path in listed.into_iter().filter(|_| !options.replay_all) {
            match usable(&path, &mut journal, &archive, &cache)? {
                Ok(frozen) => {
                    newest = Some((path, frozen));
                    break;
                }
                Err(reason) => {
                    let told = format!("{}: {reason}", path.display());
                    opening.passed_over.push(told);
                    stale.push(path);
                }
            }
        }
        let mut last = (0, 0, 0);
        let mut chain = match newest {
            None => {
                archive.cut(0)?;
                let mut chain = Chain::of(genesis, Some(archive));
                chain.world.set_cold(Cold::new(Vec::new(), cache));
                chain
            }
            Some((path, frozen)) => {
                let place = &frozen.place;
                opening.from_snapshot = Some(place.records);
                let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
                last = (place.records, place.offset, bytes);
                Chain::from_snapshot(genesis, frozen, archive)?
            }
        };
        chain.history.keep(options.recent_blocks)?;
        // what a process that was killed had written since its last snapshot is made again
        keeper::sweep(folder, spill.live(&chain.world)).map_err(failed)?;
        chain.spill = Some(spill);
        journal.replay(|event| {
            opening.replayed += 1;
            chain.apply(&event)
        })?;
        let (records, offset, bytes) = last;
        let every = options.snapshot_records;
        let (folder, last) = (folder.to_owned(), (records, offset));
        chain.keeper = Some(Keeper::new(folder, every, last, bytes, stale));
        chain.journal = Some(journal);
        opening.time = started.elapsed();
        chain.opening = opening;
        Ok(chain)
    }

    fn from_snapshot(
        genesis: Genesis,
        frozen: Frozen,
        mut archive: Archive,
    ) -> Result<Chain, ChainError> {
        // what is made after the snapshot is made again
        archive.cut(frozen.first())?;
        let Frozen {
            place,
            recent,
            world,
            ..
        } = frozen;
        Ok(Chain {
            now: place.now,
            world,
            history: History::new(recent, place.last_final, Some(archive)),
            ..Chain::of(genesis, None)
        })
    }

    /// How the chain was opened.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// What became of the snapshots written since; none of a chain in memory.
    pub fn snapshots(&self) -> Option<SnapshotReport> {
        self.keeper.as_ref().map(Keeper::report)
    }
}

/// The snapshot in a file if everything that it leans on is there, with the journal set to go on from it; or why it is not
/// used.
fn usable(
    path: &Path,
    journal: &mut Journal,
    archive: &Archive,
    cache: &Arc<Cache>,
) -> Result<Result<Frozen, String>, ChainError> {
    let mut frozen = match snapshot::read(path) {
        Ok(frozen) => frozen,
        Err(reason) => return Ok(Err(reason)),
    };
    let place = frozen.place.clone();
    if let Err(reason) = frozen.stands_on(archive)? {
        return Ok(Err(reason));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    match Cold::open(folder, &frozen.segments, Arc::clone(cache)) {
        Ok(cold) => frozen.world.set_cold(cold),
        Err(reason) => return Ok(Err(reason.to_string())),
    }
    match journal.skip(place.offset, place.records, place.prefix)? {
        true => Ok(Ok(frozen)),
        false => Ok(Err(
            "the journal does not begin as the one that it is of".to_owned()
        )),
    }
}

impl Frozen {
    /// Number of its first block.
    fn first(&self) -> u64 {
        self.recent.first().map_or(0, |recent| recent.block.number)
    }

    /// Whether its blocks are a chain, and go on where the archive has another; or why not.
    fn stands_on(&self, archive: &Archive) -> Result<Result<(), String>, ChainError> {
        let of_one_chain = self.recent.windows(2).all(|pair| {
            let [before, after] = [&pair[0].block, &pair[1].block];
            after.number == before.number + 1 && after.parent == before.hash
        });
        let last = self.recent.last().map_or(0, |recent| recent.block.number);
        if !of_one_chain || !(self.first()..=last).contains(&self.place.last_final) {
            return Ok(Err("its blocks are no chain".to_owned()));
        }
        let Some(before) = self.first().checked_sub(1) else {
            return Ok(Ok(()));
        };
        let found = archive.found()?;
        if found <= before {
            let missing = format!("it needs {} older blocks, and {found} are kept", before + 1);
            return Ok(Err(missing));
        }
        let mut archive = archive.clone();
        archive.see(found);
        Ok(match archive.block(before) {
            Ok(Some((block, _))) if block.hash == self.recent[0].block.parent => Ok(()),
            Ok(_) => Err("the older blocks that are kept are of another chain".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }
}
