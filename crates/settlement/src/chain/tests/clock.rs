//! Time, and what contracts see of it; forks, which have a time of their own.

use super::*;

#[test]
fn the_clock_never_goes_back_and_block_times_only_grow() {
    let mut chain = Chain::in_memory(genesis());
    chain.submit(&create(0)).unwrap();
    let jumps = [0, 1, 1, 10_000, 9_999, 0, 10_001];
    for (nonce, jump) in (1..).zip(jumps) {
        let now = chain.now();
        chain.advance_to(genesis().time + jump).unwrap();
        assert_eq!(chain.now(), now.max(genesis().time + jump));
        chain.submit(&record(nonce, 0)).unwrap();
        chain.mine().unwrap();
    }
    for pair in seen(&chain).blocks.windows(2) {
        assert!(pair[0].time < pair[1].time);
        assert_eq!(
            (pair[1].number, pair[1].parent),
            (pair[0].number + 1, pair[0].hash)
        );
    }
    assert_eq!(chain.now(), chain.head().time);
}

#[test]
fn a_block_by_a_time_is_one_record_that_moves_the_clock_and_replays_the_same() {
    let home = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(home.path(), genesis()).unwrap();
    chain.share_seconds();
    lived(&mut chain);
    let (records, now, height) = (chain.written(), chain.now(), chain.head().number);
    for (later, time) in [
        (60, now + 60),
        (60, now + 60),
        (0, now + 60),
        (90, now + 90),
    ] {
        chain.mine_by(now + later).unwrap();
        assert_eq!((chain.now(), chain.head().time), (time, time));
    }
    assert_eq!(chain.written(), records + 4);
    assert!(matches!(
        chain.mine_by(LAST_TIME + 1),
        Err(ChainError::Time { last: LAST_TIME })
    ));
    // the clock stays where a dropped block has moved it
    chain.reorg(2).unwrap();
    assert_eq!((chain.now(), chain.head().number), (now + 90, height + 2));
    let before = seen(&chain);
    drop(chain);
    assert_eq!(seen(&Chain::open(home.path(), genesis()).unwrap()), before);
}

#[test]
fn the_clock_ends_before_its_number_does() {
    let mut chain = Chain::in_memory(genesis());
    let before = seen(&chain);
    assert!(matches!(
        chain.advance_to(u64::MAX),
        Err(ChainError::Time { .. })
    ));
    assert_eq!(seen(&chain), before);
    chain.advance_to(LAST_TIME).unwrap();
    for _ in 0..3 {
        chain.mine().unwrap();
    }
    assert!(chain.head().time > LAST_TIME);
}

#[test]
fn contracts_see_time_height_hashes_and_randomness() {
    let mut chain = Chain::in_memory(genesis());
    chain.submit(&create(0)).unwrap();
    let later = chain.now() + 12_345;
    chain.advance_to(later).unwrap();
    let mut drawn = Vec::new();
    for nonce in 1..=3 {
        let hash = chain.submit(&record(nonce, nonce)).unwrap();
        let receipt = receipt(&chain, hash);
        let block = block(&chain, receipt.block_number);
        let logged = &receipt.logs[0].log.data.data;
        assert_eq!(logged, &receipt.output);
        assert_eq!(number(logged, 0), block.time);
        assert_eq!(word(logged, 1), chain.block(nonce).unwrap().unwrap().hash);
        assert_eq!(number(logged, 3), block.number);
        assert_eq!(receipt.logs[0].block_hash, block.hash);
        drawn.push(word(logged, 2));
    }
    assert_eq!(block(&chain, 2).time, later);
    drawn.dedup();
    assert_eq!(drawn.len(), 3);
    assert!(!drawn.contains(&B256::ZERO));
}

#[test]
fn only_the_last_256_blocks_have_a_hash_for_contracts() {
    let mut chain = Chain::in_memory(genesis());
    chain.submit(&create(0)).unwrap();
    for _ in 0..256 {
        chain.mine().unwrap();
    }
    let next = chain.head().number + 1;
    for (about, is_known) in [
        (next - 256, true),
        (next - 257, false),
        (next, false),
        (next + 9, false),
    ] {
        let called = chain.call(&asks(about)).unwrap();
        let CallOutcome::Returned { output, .. } = called else {
            panic!("{called:?}");
        };
        let known = chain.block(about).unwrap();
        let known = known.map_or(B256::ZERO, |b| b.hash);
        assert_eq!(
            word(&output, 1),
            if is_known { known } else { B256::ZERO },
            "{about}"
        );
    }
}

fn asks(about: u64) -> CallRequest {
    CallRequest {
        to: Some(recorder()),
        data: U256::from(about).to_be_bytes::<32>().into(),
        ..CallRequest::default()
    }
}

#[test]
fn a_call_sees_the_clock_and_leaves_nothing() {
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    chain.advance_to(chain.now() + 77).unwrap();
    let before = seen(&chain);
    let CallOutcome::Returned { output, .. } = chain.call(&asks(0)).unwrap() else {
        panic!("it failed");
    };
    assert_eq!(
        (number(&output, 0), number(&output, 3)),
        (before.now, chain.head().number + 1)
    );
    assert_eq!(seen(&chain), before);
    // what a call promises is what the transaction then sees
    let hash = chain.submit(&record(5, 0)).unwrap();
    assert_eq!(receipt(&chain, hash).output, output);
}

#[test]
fn an_estimate_is_enough_and_a_failing_call_has_none() {
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    let gas = chain.estimate(&asks(0)).unwrap().unwrap();
    assert!(gas < 200_000);
    let word = U256::ZERO.to_be_bytes::<32>();
    let raw = sealed(TxEip1559 {
        gas_limit: gas,
        ..unsigned(5, TxKind::Call(recorder()), word)
    });
    let hash = chain.submit(&raw).unwrap();
    assert!(receipt(&chain, hash).success);
    let failing = CallRequest {
        data: Bytes::from_static(&[0]),
        ..asks(0)
    };
    assert_eq!(
        chain.estimate(&failing).unwrap(),
        Err(CallOutcome::Reverted(Bytes::new()))
    );
}

#[test]
fn forks_start_alike_and_do_not_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(folder.path(), genesis()).unwrap();
    lived(&mut chain);
    let before = seen(&chain);
    let (mut one, mut two) = (chain.fork(), chain.fork());
    one.submit(&pay(5, 1)).unwrap();
    two.reorg(3).unwrap();
    two.advance_to(two.now() + 5).unwrap();
    assert_eq!(seen(&chain), before);
    chain.submit(&record(5, 0)).unwrap();
    assert_eq!(one.storage(recorder(), U256::ZERO).unwrap(), U256::from(2));
    assert_eq!(one.reorg(1).unwrap(), [pay(5, 1)]);
    assert_eq!(
        Seen {
            now: before.now,
            ..seen(&one)
        },
        before
    );
    let after = seen(&chain);
    drop(chain);
    assert_eq!(seen(&Chain::open(folder.path(), genesis()).unwrap()), after);
}

#[test]
fn blocks_that_share_a_second_have_the_time_of_the_clock_and_replay_the_same() {
    let home = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(home.path(), genesis()).unwrap();
    chain.share_seconds();
    lived(&mut chain);
    let now = chain.now();
    for nonce in 5..9 {
        chain.submit(&pay(nonce, 1)).unwrap();
        assert_eq!((chain.head().time, chain.now()), (now, now));
    }
    chain.advance_to(now + 7).unwrap();
    chain.submit(&pay(9, 1)).unwrap();
    assert_eq!(chain.head().time, now + 7);
    let before = seen(&chain);
    drop(chain);
    assert_eq!(seen(&Chain::open(home.path(), genesis()).unwrap()), before);
}
