//! What was acknowledged is there after a crash; what is not whole is not.

use std::fs;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};

use super::home::Home;
use super::*;
use crate::chain::JournalError;
use crate::chain::journal::MAX_BODY;

/// Where the records of a journal start, and its end.
fn offsets(bytes: &[u8]) -> Vec<usize> {
    let mut all = vec![16];
    while let Some(length) = bytes
        .get(all[all.len() - 1]..)
        .and_then(|b| b.first_chunk())
    {
        all.push(all[all.len() - 1] + 8 + u32::from_le_bytes(*length) as usize);
    }
    assert_eq!(all.last(), Some(&bytes.len()));
    all
}

#[test]
fn a_chain_that_is_opened_again_is_what_it_was_and_goes_on() {
    let (home, before) = Home::lived();
    assert_eq!(before.count, U256::from(2));
    assert_eq!(before.logs.len(), 2);
    assert_eq!(before.balances, [993, 7].map(U256::from));
    for round in 0..3 {
        let mut chain = home.open().unwrap();
        assert_eq!(
            chain.storage(recorder(), U256::ZERO).unwrap(),
            U256::from(2 + round)
        );
        if round == 0 {
            assert_eq!(seen(&chain), before);
        }
        chain.submit(&record(5 + round, 0)).unwrap();
    }
}

#[test]
fn the_clock_alone_is_durable_too() {
    let home = Home::new();
    let later = genesis().time + 86_400;
    home.open().unwrap().advance_to(later).unwrap();
    assert_eq!(home.open().unwrap().now(), later);
}

#[test]
fn the_genesis_of_the_first_opening_stays_and_another_chain_is_refused() {
    let home = Home::new();
    let first = home.open().unwrap().head().hash;
    let other = |chain_id| Genesis {
        chain_id,
        time: 5,
        accounts: Vec::new(),
    };
    let again = Chain::open(home.0.path(), other(31337)).unwrap();
    assert_eq!(again.head().hash, first);
    assert_eq!(again.balance(key().address()).unwrap(), U256::from(1_000));
    drop(again);
    assert!(matches!(
        Chain::open(home.0.path(), other(1)),
        Err(ChainError::Journal(JournalError::OtherChain {
            expected: 1,
            found: 31337,
            ..
        }))
    ));
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let home = Home::new();
    let chain = home.open().unwrap();
    assert!(matches!(
        home.open(),
        Err(ChainError::Journal(JournalError::Locked(_)))
    ));
    // a fork is in memory and holds nothing
    let fork = chain.fork();
    drop(chain);
    home.open().unwrap();
    drop(fork);
}

#[test]
fn an_append_that_is_cut_anywhere_is_dropped_and_can_be_made_again() {
    let (home, before) = Home::lived();
    let mut chain = home.open().unwrap();
    chain.submit(&pay(5, 1)).unwrap();
    let after = seen(&chain);
    drop(chain);
    let whole = home.bytes();
    let offsets = offsets(&whole);
    let last = offsets[offsets.len() - 2];
    for end in last..whole.len() {
        home.put(&whole[..end]);
        let mut chain = home.open().unwrap();
        assert_eq!(seen(&chain), before, "cut at {end}");
        chain.submit(&pay(5, 1)).unwrap();
        drop(chain);
        assert_eq!(home.bytes(), whole, "cut at {end}");
    }
    assert_eq!(seen(&home.open().unwrap()), after);
}

#[test]
fn a_tail_of_zeros_is_an_append_whose_bytes_never_came() {
    let (home, before) = Home::lived();
    let whole = home.bytes();
    for zeros in [1, 7, 8, 9, 16, 4096] {
        home.put(&[&whole[..], &vec![0; zeros]].concat());
        assert_eq!(seen(&home.open().unwrap()), before, "{zeros}");
        assert_eq!(home.bytes(), whole, "{zeros}");
    }
}

#[test]
fn a_start_that_is_cut_anywhere_starts_again() {
    let home = Home::new();
    let first = home.open().unwrap().head().clone();
    let whole = home.bytes();
    for end in 0..whole.len() {
        home.put(&whole[..end]);
        assert_eq!(home.open().unwrap().head(), &first, "cut at {end}");
        assert_eq!(home.bytes(), whole);
    }
}

#[test]
fn one_wrong_byte_before_the_last_record_is_refused_with_its_record_and_nothing_is_cut() {
    let (home, _) = Home::lived();
    let whole = home.bytes();
    let offsets = offsets(&whole);
    let last = offsets.len() - 2;
    for record in 0..last {
        let (start, end) = (offsets[record], offsets[record + 1]);
        // each byte of the header, some of the payload
        for at in (start..start + 16).chain((start + 16..end).step_by(97)) {
            for flip in [0x01, 0x80] {
                let mut bad = whole.clone();
                bad[at] ^= flip;
                home.put(&bad);
                let error = home.open().unwrap_err();
                let ChainError::Journal(JournalError::Corrupt { offset, .. }) = &error else {
                    panic!("byte {at}: {error}");
                };
                assert_eq!(*offset, start as u64, "byte {at}");
                assert_eq!(home.bytes(), bad, "byte {at}");
            }
        }
    }
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let home = Home::new();
    for other in [&b"gavel chain v1\n\0rest"[..], b"{}", &[0; 64]] {
        home.put(other);
        assert!(matches!(
            home.open(),
            Err(ChainError::Journal(JournalError::Foreign(_)))
        ));
        assert_eq!(home.bytes(), other);
    }
}

#[test]
fn a_history_that_does_not_give_the_blocks_it_names_is_refused() {
    let home = Home::new();
    drop(home.open().unwrap());
    let mut journal = home.replayed().0;
    let event = Event::Transaction {
        time: genesis().time + 1,
        raw: create(0),
        block_hash: B256::repeat_byte(1),
    };
    journal.append(&event).unwrap();
    drop(journal);
    assert!(matches!(
        home.open(),
        Err(ChainError::Replay { number: 1, expected, .. }) if expected == B256::repeat_byte(1)
    ));
}

#[test]
fn what_could_not_be_written_is_never_acknowledged() {
    let (home, before) = Home::lived();
    let mut chain = home.open().unwrap();
    chain.stop_writing(home.0.path());
    let raw = pay(5, 1);
    assert!(matches!(chain.submit(&raw), Err(ChainError::Journal(_))));
    // nor when it is asked again, nor anything else
    assert!(matches!(chain.submit(&raw), Err(ChainError::Failed(_))));
    assert!(matches!(chain.mine(), Err(ChainError::Failed(_))));
    assert!(matches!(chain.reorg(1), Err(ChainError::Failed(_))));
    assert!(matches!(
        chain.advance_to(u64::MAX),
        Err(ChainError::Failed(_))
    ));
    assert!(chain.failure().is_some());
    drop(chain);
    assert_eq!(seen(&home.open().unwrap()), before);
}

/// The journal with record `at` saying that so many events were on disk before it.
fn saying(bytes: &[u8], offsets: &[usize], at: usize, synced: u64) -> Vec<u8> {
    let (start, end) = (offsets[at], offsets[at + 1]);
    let mut said = bytes.to_vec();
    said[start + 8..start + 16].copy_from_slice(&synced.to_le_bytes());
    let crc = crc32fast::hash(&said[start + 8..end]);
    said[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    said
}

#[test]
fn of_a_group_that_was_not_acknowledged_any_part_may_be_missing_and_it_is_cut_off() {
    let (home, before) = Home::lived();
    let mut chain = home.open().unwrap();
    let group = home.bytes().len();
    for nonce in 5..8 {
        chain.submit(&pay(nonce, 1)).unwrap();
    }
    drop(chain);
    let whole = home.bytes();
    let offsets = offsets(&whole);
    let first = offsets.iter().position(|at| *at == group).unwrap();
    // the group is records first..first + 3; all were written when those before it were on disk
    let on_disk = first as u64 - 1;
    let mut grouped = whole.clone();
    for record in first..first + 3 {
        grouped = saying(&grouped, &offsets, record, on_disk);
    }
    // the first never came to the disk, the others did
    let mut torn = grouped.clone();
    torn[group..offsets[first + 1]].fill(0);
    home.put(&torn);
    assert_eq!(seen(&home.open().unwrap()), before);
    assert_eq!(home.bytes(), whole[..group]);
    // if a later one says that it had been there, it was acknowledged
    let vouched = saying(&torn, &offsets, first + 2, on_disk + 1);
    home.put(&vouched);
    assert!(matches!(
        home.open(),
        Err(ChainError::Journal(JournalError::Corrupt { offset, .. })) if offset == group as u64
    ));
    assert_eq!(home.bytes(), vouched);
}

#[tokio::test]
async fn a_chain_that_syncs_in_groups_holds_what_it_says() {
    let home = Home::new();
    let mut chain = home.open().unwrap();
    let disk = chain.sync_in_groups().unwrap();
    lived(&mut chain);
    disk.holds(chain.written()).await.unwrap();
    let before = seen(&chain);
    // the syncer has been there, and not only the writes
    assert_eq!(chain.journal.as_ref().unwrap().synced(), chain.written());
    // whoever copies the file now has everything
    let copy = Home::new();
    copy.put(&home.bytes());
    assert_eq!(seen(&copy.open().unwrap()), before);
    // what is written next says so, and vouches for all of it
    chain.submit(&pay(5, 1)).unwrap();
    let bytes = home.bytes();
    let offsets = offsets(&bytes);
    let last = offsets[offsets.len() - 2];
    let vouched = u64::from_le_bytes(*bytes[last + 8..].first_chunk().unwrap());
    assert_eq!(vouched, chain.written() - 1);
    // and the lock goes with the chain
    let after = seen(&chain);
    drop(chain);
    assert_eq!(seen(&home.open().unwrap()), after);
}

/// Whether whoever may be told once this is on disk may be told now.
fn may_be_told(disk: &Disk, shown: Result<u64, ChainError>) -> bool {
    let holds = std::pin::pin!(disk.holds(shown.unwrap()));
    let mut now = Context::from_waker(Waker::noop());
    matches!(holds.poll(&mut now), Poll::Ready(Ok(())))
}

#[tokio::test]
async fn a_block_on_disk_is_told_of_while_later_ones_are_on_their_way_and_no_other() {
    let home = Home::new();
    let mut chain = home.open().unwrap();
    let (begins, begun) = channel();
    let (release, released) = channel::<()>();
    let journal = chain.journal.as_mut().unwrap();
    let sync = move || {
        begins.send(()).map_err(std::io::Error::other)?;
        released.recv().map_err(std::io::Error::other)
    };
    let disk = journal.sync_by(sync).unwrap();
    let told = |chain: &Chain, block| may_be_told(&disk, chain.shown_of(block));

    chain.submit(&create(0)).unwrap();
    begun.recv().unwrap();
    assert!(told(&chain, 0) && !told(&chain, 1));
    release.send(()).unwrap();
    disk.holds(chain.written()).await.unwrap();
    assert!(told(&chain, 1));

    // it is its sync that is waited for, and nobody else's
    chain.submit(&record(1, 0)).unwrap();
    begun.recv().unwrap();
    chain.submit(&record(2, 0)).unwrap();
    chain.advance_to(chain.now() + 1).unwrap();
    assert!(told(&chain, 1) && !told(&chain, 2) && !told(&chain, 3));
    assert!(!may_be_told(&disk, chain.shown()));
    let second = chain.shown_of(2).unwrap();
    release.send(()).unwrap();
    disk.holds(second).await.unwrap();
    assert!(told(&chain, 2) && !told(&chain, 3));
    begun.recv().unwrap();
    release.send(()).unwrap();
    disk.holds(chain.written()).await.unwrap();

    // a block in the place of one that was on disk is another one; so is what has gone, and those below are what they were
    chain.reorg(2).unwrap();
    begun.recv().unwrap();
    assert!(told(&chain, 1) && !told(&chain, 2) && !told(&chain, 3));
    chain.submit(&record(1, 7)).unwrap();
    assert!(told(&chain, 1) && !told(&chain, 2));
    let again = chain.shown_of(2).unwrap();
    assert_eq!(again, chain.written());
    release.send(()).unwrap();
    begun.recv().unwrap();
    // the reorg alone is not enough
    assert!(!told(&chain, 2));
    release.send(()).unwrap();
    disk.holds(again).await.unwrap();
    assert!(told(&chain, 2));
}

#[test]
fn a_history_is_opened_when_what_a_killed_process_wrote_is_on_disk() {
    let (home, _) = Home::lived();
    let whole = home.bytes();
    // what is cut off is cut off on disk as well
    home.put(&[&whole[..], &[0; 9]].concat());
    let length = std::cell::Cell::new(0);
    let sync = |file: &fs::File| {
        length.set(file.metadata()?.len());
        file.sync_data()
    };
    let (mut journal, _) = Journal::open(home.0.path(), &genesis()).unwrap();
    journal.replay_with(|_| Ok(()), sync).unwrap();
    assert_eq!(length.get(), whole.len() as u64);
    drop(journal);
    let full = |_: &fs::File| Err(std::io::Error::other("full"));
    let (mut journal, _) = Journal::open(home.0.path(), &genesis()).unwrap();
    let error = journal.replay_with(|_| Ok(()), full).unwrap_err();
    assert!(
        matches!(error, ChainError::Journal(JournalError::Io { .. })),
        "{error}"
    );
}

#[test]
fn a_record_that_is_too_long_is_not_written_and_is_none() {
    let (home, before) = Home::lived();
    let whole = home.bytes();
    let (mut journal, records) = home.replayed();
    let event = Event::Transaction {
        time: 0,
        raw: vec![0; MAX_BODY / 2].into(),
        block_hash: B256::ZERO,
    };
    assert!(matches!(
        journal.append(&event),
        Err(JournalError::Io { .. })
    ));
    drop(journal);
    assert_eq!(home.bytes(), whole);
    // its checksum is right all the same
    let mut body = records.to_le_bytes().to_vec();
    body.resize(MAX_BODY + 1, b' ');
    let header = [body.len() as u32, crc32fast::hash(&body)].map(u32::to_le_bytes);
    home.put(
        &[&whole, &header.concat(), &body]
            .map(Vec::as_slice)
            .concat(),
    );
    assert_eq!(seen(&home.open().unwrap()), before);
    assert_eq!(home.bytes(), whole);
}
