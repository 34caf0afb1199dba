//! A chain whose state does not fit the memory that it may take is the chain that it would be if it did.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::home::Home;
use super::*;

/// What the state may take here: far less than it takes where there is no bound.
const MEMORY: u64 = 256 << 10;

fn options() -> Options {
    Options {
        recent_blocks: 32,
        snapshot_records: u64::MAX,
        state_memory: MEMORY,
        replay_all: false,
    }
}

fn open(folder: &Path) -> Chain {
    let mut chain = Chain::open_with(folder, genesis(), options()).unwrap();
    chain.sync_in_groups().unwrap();
    chain
}

/// One random number after another.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// A bounded chain in a folder, and one in memory to which the same is done.
struct Pair {
    home: Home,
    bounded: Chain,
    free: Chain,
    dice: Dice,
    nonce: u64,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let home = Home::new();
        let mut pair = Pair {
            bounded: open(home.0.path()),
            free: Chain::in_memory(genesis()),
            home,
            dice: Dice(seed),
            nonce: 0,
        };
        pair.submit(&create_writer(0));
        pair
    }

    fn submit(&mut self, raw: &Bytes) {
        let hash = self.bounded.submit(raw).unwrap();
        assert_eq!(self.free.submit(raw).unwrap(), hash);
        assert!(receipt(&self.bounded, hash).success);
        assert_eq!(self.bounded.head(), self.free.head());
        self.nonce += 1;
    }

    /// New slots for the most part, then old ones that get another value, or none.
    fn write(&mut self) {
        let newest = self.nonce * WRITTEN;
        let (base, value) = match self.dice.below(4) {
            0 => (self.dice.below(newest), self.dice.below(3)),
            _ => (newest, 1 + self.dice.below(u64::MAX)),
        };
        let raw = write(self.nonce, base, value);
        self.submit(&raw);
        self.is_bounded();
    }

    fn reorg(&mut self, depth: usize) {
        let dropped = self.bounded.reorg(depth).unwrap();
        assert_eq!(self.free.reorg(depth).unwrap(), dropped);
        self.nonce -= dropped.len() as u64;
        // some come back
        for raw in dropped
            .iter()
            .take(self.dice.below(depth as u64 + 1) as usize)
        {
            self.submit(raw);
        }
    }

    fn is_bounded(&self) {
        let kept = self.bounded.retained();
        // a layer is looked at when a block was written
        let block = WRITTEN * 4 * 128;
        assert!(
            kept.state_bytes + kept.cold_cached_bytes <= MEMORY + block,
            "{kept:?}"
        );
    }

    fn reopened(&mut self) -> Opening {
        let Pair { bounded, home, .. } = self;
        // the lock goes with it
        drop(std::mem::replace(bounded, Chain::in_memory(genesis())));
        *bounded = open(home.0.path());
        bounded.opening().clone()
    }

    fn is_the_same(&self) {
        is_the_same(&self.bounded, &self.free);
    }
}

fn is_the_same(bounded: &Chain, free: &Chain) {
    assert_eq!(bounded.head(), free.head());
    assert!(bounded.world.all() == free.world.all(), "another state");
    let written = free.nonce(key().address()).unwrap() * WRITTEN;
    for n in (0..written + 400).step_by(17) {
        let slot = written_slot(n);
        let found = bounded.storage(writer(), slot).unwrap();
        assert_eq!(found, free.storage(writer(), slot).unwrap(), "{n}");
    }
}

/// The files of segments in a folder.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_segment = |path: &PathBuf| path.to_str().unwrap().contains("chain.state-");
    let mut found: Vec<_> = all.filter(is_segment).collect();
    found.sort();
    found
}

#[test]
fn the_state_takes_no_more_memory_than_it_may_and_is_what_it_would_be() {
    let mut pair = Pair::new(1);
    for round in 0..30 {
        for _ in 0..40 {
            pair.write();
        }
        let depth = 1 + pair.dice.below(30) as usize;
        pair.reorg(depth);
        match round % 5 {
            1 => pair.bounded.saved(),
            2 => assert_eq!(pair.reopened().passed_over, Vec::<String>::new()),
            4 => pair.is_the_same(),
            _ => {}
        }
    }
    pair.is_the_same();
    pair.bounded.settled();
    let (kept, free) = (pair.bounded.retained(), pair.free.retained());
    assert!(free.state_bytes > 8 * MEMORY, "{free:?}");
    assert!(kept.cold_values > 10_000 && kept.cold_bytes > 0, "{kept:?}");
    // so many layers went to the disk that there were merges of merges
    let tiers = pair.bounded.world.cold().references();
    assert!(tiers.iter().any(|segment| segment.tier > 1), "{tiers:?}");
    // and from the journal alone, whatever the bound
    for state_memory in [0, u64::MAX] {
        drop(std::mem::replace(
            &mut pair.bounded,
            Chain::in_memory(genesis()),
        ));
        let options = Options {
            replay_all: true,
            state_memory: match state_memory {
                0 => MEMORY / 2,
                other => other,
            },
            ..options()
        };
        pair.bounded = Chain::open_with(pair.home.0.path(), genesis(), options).unwrap();
        assert_eq!(pair.bounded.opening().from_snapshot, None);
        pair.is_the_same();
    }
    assert_eq!(pair.bounded.retained().cold_values, 0);
}

/// A pair with two snapshots that refer to segments, and a tail.
fn saved(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    for _ in 0..2 {
        for _ in 0..120 {
            pair.write();
        }
        pair.bounded.settled();
        pair.bounded.saved();
    }
    pair.reorg(5);
    assert_eq!(pair.home.snapshots().len(), 2);
    pair
}

#[test]
fn a_snapshot_refers_to_what_is_on_disk_and_does_not_write_it_again() {
    let mut pair = saved(2);
    let report = pair.bounded.snapshots().unwrap();
    let kept = pair.bounded.retained();
    assert!(report.bytes < MEMORY + 200_000, "{report:?}");
    assert!(kept.cold_bytes > 100_000, "{kept:?}");
    let files = |pair: &Pair| segments(pair.home.0.path());
    let before = files(&pair);
    let opening = pair.reopened();
    assert!(opening.from_snapshot.is_some() && opening.passed_over.is_empty());
    assert!(opening.replayed < 20, "{opening:?}");
    pair.is_the_same();
    assert!(before.iter().all(|path| path.exists()));
    // those that no snapshot refers to any more have gone in the end
    for _ in 0..3 {
        for _ in 0..60 {
            pair.write();
        }
        pair.bounded.settled();
        pair.bounded.saved();
    }
    let now = files(&pair);
    let referred = referred(&pair.home);
    assert_eq!(now.len(), referred.len(), "{now:?} {referred:?}");
    assert!(before.iter().any(|path| !path.exists()));
    // the older of the two does as well
    fs::write(&pair.home.snapshots()[0], "").unwrap();
    let opening = pair.reopened();
    assert!(opening.from_snapshot.is_some(), "{opening:?}");
    pair.is_the_same();
}

/// The numbers of the segments that snapshots refer to.
fn referred(home: &Home) -> BTreeSet<u64> {
    let snapshots = home.snapshots();
    let segments = snapshots.iter().map(|path| snapshot::segments(path));
    segments.flat_map(Result::unwrap).collect()
}

#[test]
fn what_a_process_wrote_after_its_last_snapshot_goes_when_the_chain_is_opened() {
    let mut pair = saved(6);
    for _ in 0..60 {
        pair.write();
    }
    pair.bounded.settled();
    let before = segments(pair.home.0.path());
    pair.reopened();
    let there = before.iter().filter(|path| path.exists()).count();
    assert_eq!(there, referred(&pair.home).len());
    assert!(there < before.len(), "{before:?}");
    pair.is_the_same();
}

#[test]
fn damaged_state_on_disk_is_told_of_and_made_again() {
    let mut pair = saved(2);
    let other = saved(7);
    let other = fs::read(&segments(other.home.0.path())[0]).unwrap();
    for damage in 0..3 {
        let path = pair.home.snapshots()[0].clone();
        let id = snapshot::segments(&path).unwrap()[0];
        let file = pair.home.0.path().join(format!("chain.state-{id}"));
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        match damage {
            0 => bytes[middle] ^= 1,
            1 => bytes.truncate(middle),
            // of another chain
            _ => bytes = other.clone(),
        }
        fs::write(&file, bytes).unwrap();
        let opening = pair.reopened();
        let told = &opening.passed_over[0];
        assert!(
            told.contains(file.to_str().unwrap()) && told.contains("damaged"),
            "{told}"
        );
        pair.is_the_same();
        pair.bounded.settled();
        pair.bounded.saved();
        let opening = pair.reopened();
        assert_eq!(opening.passed_over, Vec::<String>::new());
        pair.is_the_same();
    }
}

#[test]
fn state_that_is_damaged_while_the_chain_runs_is_an_error_and_never_an_answer() {
    let mut pair = saved(2);
    pair.bounded.settled();
    for path in segments(pair.home.0.path()) {
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x20);
        fs::write(path, bytes).unwrap();
    }
    let (mut right, mut refused) = (0, 0);
    for n in 0..pair.nonce * WRITTEN {
        let slot = written_slot(n);
        match pair.bounded.storage(writer(), slot) {
            Ok(found) => {
                assert_eq!(found, pair.free.storage(writer(), slot).unwrap());
                right += 1;
            }
            Err(error) => {
                assert!(matches!(
                    error,
                    ChainError::State(StateError::Damaged { .. })
                ));
                refused += 1;
            }
        }
    }
    assert!(right > 0 && refused > 1_000, "{right} {refused}");
    // a transaction that needs it changes nothing; the chain is whole again when it is opened
    let before = pair.bounded.head().clone();
    let raw = write(pair.nonce, WRITTEN, 1);
    let refused = pair.bounded.submit(&raw).unwrap_err().to_string();
    assert!(refused.contains("damaged at byte"), "{refused}");
    assert_eq!(*pair.bounded.head(), before);
    assert!(!pair.reopened().passed_over.is_empty());
    pair.is_the_same();
    pair.submit(&raw);
    pair.is_the_same();
}

#[test]
fn a_fork_keeps_what_it_reads_when_the_chain_goes_on_without_it() {
    let mut pair = saved(2);
    let (mut fork, mut other) = (pair.bounded.fork(), pair.free.fork());
    let nonce = pair.nonce;
    for _ in 0..3 {
        for _ in 0..60 {
            pair.write();
        }
        pair.bounded.settled();
        pair.bounded.saved();
    }
    is_the_same(&fork, &other);
    for (nonce, base) in (nonce..).zip([0, 50, 1_000]) {
        let raw = write(nonce, base, 9);
        fork.submit(&raw).unwrap();
        other.submit(&raw).unwrap();
    }
    is_the_same(&fork, &other);
    fork.reorg(12).unwrap();
    other.reorg(12).unwrap();
    is_the_same(&fork, &other);
    pair.is_the_same();
}

#[test]
fn a_copy_of_the_folder_at_any_moment_is_the_chain_up_to_then() {
    let mut pair = Pair::new(3);
    for moment in 0..24 {
        for _ in 0..10 {
            pair.write();
        }
        if moment % 3 == 0 {
            // under way while the copy is made
            pair.bounded.save();
        }
        let copy = Home::new();
        for entry in fs::read_dir(pair.home.0.path()).unwrap() {
            let path = entry.unwrap().path();
            let to = copy.0.path().join(path.file_name().unwrap());
            // what goes or gets its name meanwhile is not there: as after a crash
            let _ = fs::copy(path, to);
        }
        let mut again = open(copy.0.path());
        is_the_same(&again, &pair.free);
        again.saved();
        drop(again);
        is_the_same(&open(copy.0.path()), &pair.free);
        pair.bounded.keeper.as_mut().unwrap().finish();
    }
}

#[test]
fn a_chain_that_cannot_put_its_state_on_disk_takes_nothing_more_and_loses_nothing() {
    let mut pair = Pair::new(4);
    // a folder in the place of the file that would be written next
    let next = pair
        .bounded
        .spill
        .as_ref()
        .unwrap()
        .live(&pair.bounded.world)
        .next;
    let folder = pair.home.0.path().join(format!("chain.state-{next}.new"));
    fs::create_dir(&folder).unwrap();
    let mut refused = None;
    for _ in 0..2_000 {
        let raw = write(pair.nonce, pair.nonce * WRITTEN, 1);
        match pair.bounded.submit(&raw) {
            Ok(_) => pair.free.submit(&raw).unwrap(),
            Err(error) => {
                refused = Some(error.to_string());
                break;
            }
        };
        pair.nonce += 1;
    }
    let refused = refused.unwrap();
    assert!(refused.contains("chain.state-"), "{refused}");
    pair.is_the_same();
    fs::remove_dir(folder).unwrap();
    pair.reopened();
    pair.is_the_same();
    pair.write();
}
