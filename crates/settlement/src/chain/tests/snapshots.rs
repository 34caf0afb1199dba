//! Snapshots: what is whole is used, what is not is passed over and told of; and what stays in memory is bounded.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::home::Home;
use super::*;

/// A folder with two snapshots and a tail after them, and what was seen at the end.
struct Saved {
    home: Home,
    before: Seen,
    /// The newest first, with their contents.
    snapshots: Vec<(PathBuf, Vec<u8>)>,
    /// Records in each.
    records: [u64; 2],
}

impl Saved {
    fn new() -> Saved {
        let home = Home::new();
        let mut chain = home.open_small();
        lived(&mut chain);
        chain.saved();
        let older = chain.written();
        for nonce in 5..16 {
            chain.submit(&record(nonce, 0)).unwrap();
        }
        chain.settled();
        chain.saved();
        let newer = chain.written();
        // across the boundary, and back
        chain.reorg(3).unwrap();
        chain.submit(&pay(13, 1)).unwrap();
        let before = seen(&chain);
        assert!(chain.retained().archived > 0);
        drop(chain);
        let files = home.snapshots().into_iter();
        let snapshots: Vec<_> = files
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        assert_eq!(snapshots.len(), 2);
        Saved {
            home,
            before,
            snapshots,
            records: [newer, older],
        }
    }

    /// Opens it and compares; returns how it was opened.
    fn opened(&self) -> Opening {
        let chain = self.home.open_small();
        assert_eq!(seen(&chain), self.before);
        chain.opening().clone()
    }
}

#[test]
fn the_newest_snapshot_is_opened_and_what_came_after_it_replayed() {
    let saved = Saved::new();
    let opening = saved.opened();
    assert_eq!(opening.from_snapshot, Some(saved.records[0]));
    assert_eq!(opening.replayed, 2);
    assert!(opening.passed_over.is_empty(), "{opening:?}");
    // and it goes on
    let mut chain = saved.home.open_small();
    chain.submit(&record(14, 3)).unwrap();
    chain.saved();
    let before = seen(&chain);
    drop(chain);
    let chain = saved.home.open_small();
    assert_eq!((seen(&chain), chain.opening().replayed), (before, 0));
    assert_eq!(saved.home.snapshots().len(), 2);
}

#[test]
fn without_snapshots_or_when_told_to_all_is_replayed_to_the_same() {
    let saved = Saved::new();
    let options = Options {
        recent_blocks: 6,
        replay_all: true,
        ..Options::default()
    };
    let chain = Chain::open_with(saved.home.0.path(), genesis(), options).unwrap();
    assert_eq!(chain.opening().from_snapshot, None);
    assert_eq!(chain.opening().replayed, chain.written());
    assert_eq!(seen(&chain), saved.before);
    drop(chain);
    for path in saved.home.snapshots() {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(saved.opened().from_snapshot, None);
}

#[test]
fn a_snapshot_that_is_cut_anywhere_is_none_and_the_one_before_it_is_opened() {
    let saved = Saved::new();
    let (path, whole) = &saved.snapshots[0];
    assert!(snapshot::read(path).is_ok());
    for end in 0..whole.len() {
        fs::write(path, &whole[..end]).unwrap();
        assert!(snapshot::read(path).is_err(), "cut at {end}");
        if end % 97 == 0 {
            let opening = saved.opened();
            assert_eq!(opening.from_snapshot, Some(saved.records[1]), "{end}");
            let [told] = &opening.passed_over[..] else {
                panic!("{opening:?}");
            };
            assert!(told.starts_with(path.to_str().unwrap()), "{told}");
        }
    }
    // nor is one that is longer
    fs::write(path, [&whole[..], &[0]].concat()).unwrap();
    assert_eq!(saved.opened().from_snapshot, Some(saved.records[1]));
}

#[test]
fn a_write_that_did_not_get_to_its_name_leaves_the_chain_as_it_was() {
    let saved = Saved::new();
    let (path, whole) = &saved.snapshots[0];
    let unfinished = saved.home.0.path().join("chain.snapshot.new");
    // the name was not on disk yet when the power went
    fs::remove_file(path).unwrap();
    for end in (0..whole.len()).step_by(211).chain([whole.len()]) {
        fs::write(&unfinished, &whole[..end]).unwrap();
        let opening = saved.opened();
        assert_eq!(opening.from_snapshot, Some(saved.records[1]), "{end}");
        assert!(opening.passed_over.is_empty(), "{opening:?}");
    }
    // what is left of it is in nobody's way
    let mut chain = saved.home.open_small();
    chain.saved();
    drop(chain);
    assert!(!unfinished.exists());
    assert_eq!(saved.opened().replayed, 0);
}

#[test]
fn damage_to_both_leaves_the_journal() {
    let saved = Saved::new();
    for (path, bytes) in &saved.snapshots {
        fs::write(path, &bytes[1..]).unwrap();
    }
    let opening = saved.opened();
    assert_eq!(
        (opening.from_snapshot, opening.passed_over.len()),
        (None, 2)
    );
}

#[test]
fn a_snapshot_of_another_history_is_passed_over() {
    let saved = Saved::new();
    let other = Home::new();
    let mut chain = other.open_small();
    for nonce in 0..9 {
        chain.submit(&pay(nonce, 1)).unwrap();
    }
    let before = seen(&chain);
    drop(chain);
    let (path, bytes) = &saved.snapshots[1];
    fs::write(other.0.path().join(path.file_name().unwrap()), bytes).unwrap();
    let chain = other.open_small();
    assert_eq!(seen(&chain), before);
    let [told] = &chain.opening().passed_over[..] else {
        panic!("{:?}", chain.opening());
    };
    assert!(told.contains("does not begin as"), "{told}");
}

#[test]
fn a_snapshot_whose_journal_was_cut_is_passed_over() {
    let saved = Saved::new();
    // as if the group that it was made after had never come to the disk
    let mut chain = Home::open_small(&saved.home);
    let expected = {
        chain.reorg(1).unwrap();
        seen(&chain)
    };
    chain.saved();
    let whole = saved.home.bytes();
    drop(chain);
    saved.home.put(&whole[..whole.len() - 1]);
    let chain = saved.home.open_small();
    assert_eq!(chain.opening().passed_over.len(), 1);
    assert_eq!(seen(&chain), saved.before);
    assert_ne!(saved.before, expected);
}

#[test]
fn older_blocks_that_are_gone_are_made_again_from_the_journal() {
    let saved = Saved::new();
    let archive = saved.home.0.path().join("chain.archive");
    let whole = fs::read(&archive).unwrap();
    fs::remove_file(&archive).unwrap();
    let opening = saved.opened();
    assert_eq!(opening.from_snapshot, Some(saved.records[1]));
    assert!(
        opening.passed_over[0].contains("older blocks"),
        "{opening:?}"
    );
    // nor is anything else taken for them
    for other in [&b"something else"[..], &whole[..whole.len() / 2]] {
        fs::write(&archive, other).unwrap();
        let chain = saved.home.open_small();
        assert_eq!(seen(&chain), saved.before);
    }
}

#[test]
fn a_reorg_into_what_is_final_is_refused_in_words() {
    let home = Home::new();
    let mut chain = home.open_small();
    for nonce in 0..20 {
        chain.submit(&pay(nonce, 1)).unwrap();
    }
    let error = chain.reorg(7).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot drop 7 blocks: 6 can be dropped, blocks up to 14 are final"
    );
    chain.reorg(4).unwrap();
    assert!(matches!(
        chain.reorg(3),
        Err(ChainError::Reorg {
            droppable: 2,
            last_final: 14,
            ..
        })
    ));
    assert_eq!(chain.reorg(2).unwrap(), [pay(14, 1), pay(15, 1)]);
    let before = seen(&chain);
    drop(chain);
    assert_eq!(seen(&home.open_small()), before);
}

#[test]
fn forks_read_what_is_on_disk_and_do_not_see_what_comes_after() {
    let home = Home::new();
    let mut chain = home.open_small();
    lived(&mut chain);
    for nonce in 5..30 {
        chain.submit(&record(nonce, 0)).unwrap();
    }
    chain.settled();
    let before = seen(&chain);
    let mut fork = chain.fork();
    for nonce in 30..60 {
        chain.submit(&record(nonce, 0)).unwrap();
        fork.submit(&pay(nonce, 0)).unwrap();
    }
    chain.settled();
    let (of_chain, of_fork) = (seen(&chain), seen(&fork));
    let height = before.blocks.len();
    assert_eq!(of_fork.blocks[..height], of_chain.blocks[..height]);
    assert_ne!(of_fork.blocks[height..], of_chain.blocks[height..]);
    fork.reorg(30).unwrap();
    assert_eq!(
        Seen {
            now: before.now,
            ..seen(&fork)
        },
        before
    );
}

#[test]
fn what_stays_in_memory_does_not_grow_with_history() {
    let home = Home::new();
    let options = Options {
        recent_blocks: 64,
        snapshot_records: 100,
        ..Options::default()
    };
    let open = || Chain::open_with(home.0.path(), genesis(), options).unwrap();
    let mut chain = open();
    chain.submit(&create(0)).unwrap();
    let mut nonce = 1;
    let mut counts = Vec::new();
    for _ in 0..4 {
        for _ in 0..300 {
            chain.submit(&record(nonce, nonce)).unwrap();
            nonce += 1;
        }
        // with what is on its way to the disk, never more than this
        assert!(chain.retained().blocks <= 64 + 17 * 4 + 1);
        chain.settled();
        counts.push(chain.retained());
    }
    for kept in &counts {
        assert!((65..65 + 8).contains(&kept.blocks), "{kept:?}");
        assert!(
            kept.receipts <= kept.blocks && kept.undo <= 2 * kept.blocks,
            "{kept:?}"
        );
        assert_eq!((kept.accounts, kept.slots, kept.codes), (2, 1, 1));
    }
    assert!(counts[3].archived > 1_000, "{:?}", counts[3]);
    let before = seen(&chain);
    let keeper = chain.keeper.as_mut().unwrap();
    keeper.finish();
    let report = chain.snapshots().unwrap();
    assert_eq!(report.failed, None);
    assert!(report.written > 1, "{report:?}");
    drop(chain);
    let chain = open();
    assert_eq!(seen(&chain), before);
    let opening = chain.opening();
    assert!(opening.from_snapshot.is_some() && opening.replayed < before.blocks.len() as u64);
    assert!(chain.retained().blocks <= 64 + 17 * 4 + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn flipped_bits_of_snapshots_never_change_what_opens(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8, any::<bool>()), 1..6),
    ) {
        let saved = Saved::new();
        for (at, flip, newest) in &flips {
            let (path, _) = &saved.snapshots[usize::from(!newest)];
            let mut bytes = fs::read(path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            fs::write(path, bytes).unwrap();
        }
        // one that was flipped back is whole
        let damaged = saved.snapshots.iter().filter(|(path, whole)| fs::read(path).unwrap() != *whole);
        let damaged: Vec<_> = damaged.map(|(path, _)| path).collect();
        let opening = saved.opened();
        let told = opening.passed_over.len();
        prop_assert_eq!(told, match saved.snapshots[0].1 == fs::read(&saved.snapshots[0].0).unwrap() {
            true => 0,
            false => damaged.len(),
        });
        // whole again: used, or passed over for want of older blocks that are being made again
        for (path, bytes) in &saved.snapshots {
            fs::write(path, bytes).unwrap();
        }
        saved.opened();
    }
}

#[test]
fn old_blocks_that_were_damaged_are_an_error_and_never_an_answer() {
    let saved = Saved::new();
    let archive = rusqlite::Connection::open(saved.home.0.path().join("chain.archive")).unwrap();
    archive
        .execute(
            "UPDATE blocks SET body = substr(body, 1, length(body) - 1) WHERE number = 2",
            [],
        )
        .unwrap();
    drop(archive);
    let chain = saved.home.open_small();
    let hash = saved.before.blocks[2].transaction.unwrap();
    for error in [
        chain.block(2).unwrap_err(),
        chain.receipt_of(hash).unwrap_err(),
        chain.logs(&everything()).unwrap_err(),
        chain
            .block_by_hash(saved.before.blocks[2].hash)
            .unwrap_err(),
    ] {
        let told = error.to_string();
        assert!(told.contains("damaged at block 2"), "{told}");
    }
    assert_eq!(chain.block(1).unwrap().unwrap(), saved.before.blocks[1]);
}
