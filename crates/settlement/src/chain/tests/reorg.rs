//! After a reorg the dropped blocks never were, but for the clock.

use super::*;

#[test]
fn dropped_blocks_never_were_and_their_transactions_come_back() {
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    let before = seen(&chain);
    let late = [record(5, 0), pay(6, 3), fail(7)];
    let hashes = late.each_ref().map(|raw| chain.submit(raw).unwrap());
    chain.mine().unwrap();
    let now = chain.now();
    assert_eq!(chain.reorg(4).unwrap(), late);
    assert_eq!(chain.now(), now);
    assert_eq!(
        Seen {
            now: before.now,
            ..seen(&chain)
        },
        before
    );
    for hash in hashes {
        assert!(chain.receipt_of(hash).unwrap().is_none());
    }
    // in another order of blocks they have other hashes and the same effects
    for raw in &late {
        chain.submit(raw).unwrap();
    }
    let after = seen(&chain);
    assert_eq!((after.nonce, after.count), (8, U256::from(3)));
    assert_eq!(after.balances, [990, 10].map(U256::from));
    assert_eq!(after.logs.len(), 3);
}

#[test]
fn a_deployed_contract_can_be_dropped_and_what_depends_on_it_fails() {
    let mut chain = Chain::in_memory(genesis());
    let empty = seen(&chain);
    chain.submit(&create(0)).unwrap();
    chain.submit(&record(1, 0)).unwrap();
    let back = chain.reorg(2).unwrap();
    assert_eq!(back.len(), 2);
    assert_eq!(
        Seen {
            now: empty.now,
            ..seen(&chain)
        },
        empty
    );
    assert!(matches!(
        chain.submit(&back[1]),
        Err(ChainError::Nonce { sent: 1, next: 0 })
    ));
    for raw in &back {
        chain.submit(raw).unwrap();
    }
    assert_eq!(
        chain.storage(recorder(), U256::ZERO).unwrap(),
        U256::from(1)
    );
}

#[test]
fn the_blockhash_instruction_forgets_dropped_blocks() {
    let mut chain = Chain::in_memory(genesis());
    chain.submit(&create(0)).unwrap();
    chain.submit(&record(1, 1)).unwrap();
    let old = block(&chain, 2).hash;
    chain.reorg(1).unwrap();
    chain.mine().unwrap();
    let new = block(&chain, 2).hash;
    assert_ne!(new, old);
    let hash = chain.submit(&record(1, 2)).unwrap();
    assert_eq!(word(&receipt(&chain, hash).output, 1), new);
    assert!(chain.block_by_hash(old).unwrap().is_none());
}

#[test]
fn the_genesis_block_is_never_dropped() {
    let mut chain = Chain::in_memory(genesis());
    chain.mine().unwrap();
    let before = seen(&chain);
    for depth in [2, 3, usize::MAX] {
        assert!(matches!(
            chain.reorg(depth),
            Err(ChainError::Reorg { droppable: 1, depth: d, last_final: 0 }) if d == depth as u64
        ));
    }
    assert!(chain.revert_to(0).is_err());
    assert!(chain.revert_to(3).is_err());
    assert_eq!(seen(&chain), before);
    assert!(chain.reorg(0).unwrap().is_empty());
    assert_eq!(seen(&chain), before);
    chain.revert_to(1).unwrap();
    assert_eq!(chain.head().number, 0);
}

#[test]
fn a_snapshot_is_come_back_to() {
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    let (before, snapshot) = (seen(&chain), chain.snapshot());
    chain.submit(&pay(5, 100)).unwrap();
    chain.mine().unwrap();
    chain.revert_to(snapshot).unwrap();
    assert_eq!(
        Seen {
            now: before.now,
            ..seen(&chain)
        },
        before
    );
}

#[test]
fn reorgs_are_durable_one_after_another() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Chain::open(folder.path(), genesis()).unwrap();
    let mut chain = open();
    lived(&mut chain);
    for round in 0..4 {
        chain.submit(&pay(5, 10 + round)).unwrap();
        chain.advance_to(chain.now() + 50).unwrap();
        chain.mine().unwrap();
        chain.reorg(1 + round as usize % 2).unwrap();
        if round % 2 == 0 {
            chain.reorg(1).unwrap();
        }
        let before = seen(&chain);
        assert_eq!(before.nonce, 5);
        drop(chain);
        chain = open();
        assert_eq!(seen(&chain), before, "round {round}");
    }
    chain.submit(&pay(5, 1)).unwrap();
}

#[test]
fn a_reorg_that_is_refused_leaves_the_chain_and_its_journal_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(folder.path(), genesis()).unwrap();
    lived(&mut chain);
    let (before, written) = (seen(&chain), chain.written());
    assert!(matches!(chain.reorg(7), Err(ChainError::Reorg { .. })));
    assert_eq!((seen(&chain), chain.written()), (before, written));
    chain.submit(&pay(5, 1)).unwrap();
    drop(chain);
    let chain = Chain::open(folder.path(), genesis()).unwrap();
    assert_eq!(chain.nonce(key().address()).unwrap(), 6);
}
