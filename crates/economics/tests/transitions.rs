//! Random small histories, on the contracts and in the ledger: after every call every balance is the same, and what the one refuses
//! the other refuses with the same error.
#![allow(clippy::unwrap_used)]

use gavel_economics::contracts::history::{Draws, Seen, begin, go_on};
use gavel_economics::market::Stage as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const HISTORIES: u32 = 200;

#[tokio::test]
async fn the_ledger_and_the_contracts_move_the_same_money() {
    let start = begin().await.unwrap();
    let config = Config {
        cases: HISTORIES,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let strategy = prop::collection::vec(any::<Draws>(), 60..160);
    let seen = std::cell::RefCell::new(Seen::default());
    let played = runner.run(&strategy, |history| {
        let mut mirror = start.fork();
        let seen = &mut *seen.borrow_mut();
        for draws in history {
            go_on(&mut mirror, draws, seen)
                .and_then(|()| mirror.compare())
                .map_err(|e| TestCaseError::fail(e.to_string()))?;
        }
        // what every account has gained is what its entries say
        for account in mirror.ledger().accounts() {
            prop_assert_eq!(account.gained(), account.flows.iter().sum::<i128>());
        }
        Ok(())
    });
    let Seen {
        done,
        refused,
        notable,
    } = seen.into_inner();
    println!("done {done:?}\nrefused {refused:?}\nof these {notable:#?}");
    played.unwrap();
    // not vacuous: every call took effect
    for op in [
        "Stake",
        "Unjail",
        "Unbond",
        "Draw",
        "Post",
        "Cancel",
        "Claim",
        "Commit",
        "Retract",
        "MissDeadline",
        "Expire",
        "Settle",
        "Reverse",
        "Decide",
        "AuditCommit",
        "AuditOpen",
        "AuditTimeout",
        "Challenge",
        "Reveal",
        "Reclaim",
        "PostSegment",
        "Pick",
        "Timeout",
        "DrawReferee",
        "Rule",
        "RefereeTimeout",
        "Appeal",
        "ShowTensor",
        "AppealTimeout",
        "Finalize",
        "CloseMoot",
        "SealTrap",
        "UnsealTrap",
        "RevealTrap",
        "PenaliseTrap",
        "EnterTrap",
        "ShowTrap",
        "CloseTrap",
        "CollectTrap",
    ] {
        assert!(done.contains_key(op), "{op} never took effect: {done:?}");
    }
    assert!(refused.len() > 20, "{refused:?}");
    // audits by every part of the line, and seeds that come in time, late and not at all
    for what in [
        "Decide taken: no record",
        "Decide taken: a short record",
        "Decide taken: a whole record",
        "AuditOpen taken: a seed in time",
        "AuditOpen taken: a late seed, past the first deadline",
        "AuditOpen refused: no seed",
        "AuditTimeout taken: a seed in time",
        "AuditTimeout taken: a late seed, past the first deadline",
        "AuditTimeout refused: a late seed, past the first deadline",
        "AuditTimeout refused: no seed",
        "RevealTrap taken: a settled task",
    ] {
        let many = notable.get(what).copied().unwrap_or_default();
        assert!(many >= 3, "{what}: {many} times in {notable:?}");
    }
}
