use std::collections::BTreeSet;

use gavel_settlement::alloy::json_abi::StateMutability;
use gavel_settlement::artifacts::artifacts;
use proptest::prelude::*;

use super::classify::Contract;
use super::interchange::{ImportError, Interchange, Watermarks, export, import, prune};
use super::*;
use crate::board::{Attempt, Provider, Task, TaskEntry};

fn me() -> Identity {
    Identity {
        chain_id: 31337,
        contract: Address::repeat_byte(0xaa),
        address: Address::repeat_byte(0xbb),
    }
}

fn memory() -> Protection {
    Protection::over(Arc::new(Memory::new(me())))
}

fn subject(kind: Kind, id: u64) -> Subject {
    Subject {
        kind,
        id,
        attempt: 0,
        case: B256::repeat_byte(1),
        answers: B256::ZERO,
    }
}

fn say(kind: Kind, id: u64, value: u8) -> Statement {
    Statement {
        subject: subject(kind, id),
        value: B256::repeat_byte(value),
    }
}

/// Functions that the contracts take from each other only.
fn internal(name: &str) -> &'static [&'static str] {
    match name {
        "Market" => &[
            "auditClosed",
            "auditDecided",
            "challengeCommitted",
            "convict",
            "disputeClosed",
            "disputeOpened",
            "disputeVoided",
        ],
        "ICourt" => &["openForAudit"],
        "IAppealLevels" => &["open"],
        "StakeVault" => &[
            "addDuty",
            "freeze",
            "fundPot",
            "jail",
            "lockTask",
            "movePot",
            "payFromPot",
            "payProvider",
            "penalise",
            "removeDuty",
            "settleTask",
            "slashTask",
            "tombstone",
            "unfreeze",
            "unlockTask",
        ],
        _ => &[],
    }
}

#[test]
fn every_function_of_the_contracts_is_classified_once() {
    let all = [
        ("Market", Contract::Market),
        ("ICourt", Contract::Court),
        ("IAudits", Contract::Audits),
        ("IAppealLevels", Contract::AppealLevels),
        ("IDemands", Contract::Demands),
        ("ITraps", Contract::Traps),
        ("StakeVault", Contract::Vault),
        ("ProviderPool", Contract::Pool),
        ("DevBeacon", Contract::Beacon),
        ("DrandBeacon", Contract::Beacon),
        ("FallbackBeacon", Contract::FallbackBeacon),
        ("CommitRevealBeacon", Contract::SecretBeacon),
        ("DevToken", Contract::Token),
    ];
    for (name, contract) in all {
        let abi = &artifacts()[name].abi;
        let changing: BTreeSet<_> = abi
            .functions()
            .filter(|f| {
                !matches!(
                    f.state_mutability,
                    StateMutability::View | StateMutability::Pure
                )
            })
            .map(|f| f.name.as_str())
            .collect();
        let listed = [contract.statements(), contract.free(), internal(name)].concat();
        let once: BTreeSet<_> = listed.iter().copied().collect();
        assert_eq!(once.len(), listed.len(), "{name}: twice");
        assert_eq!(once, changing, "{name}");
    }
    // the court is called through its interface, and executes the proceedings as itself
    for (whole, part) in [
        ("Court", "ICourt"),
        ("Audits", "IAudits"),
        ("AppealLevels", "IAppealLevels"),
        ("Demands", "IDemands"),
        ("Traps", "ITraps"),
    ] {
        let names = |name| {
            let functions = artifacts()[name].abi.functions();
            let functions = functions.filter(|f| f.state_mutability == StateMutability::NonPayable);
            functions.map(|f| f.name.clone()).collect::<BTreeSet<_>>()
        };
        assert_eq!(names(whole), names(part));
    }
}

#[test]
fn keys_of_rows_are_read_back() {
    for kind in Kind::ALL {
        let subject = subject(kind, u64::MAX);
        assert_eq!(Subject::parse(&subject.key()), Some(subject));
    }
    let key = subject(Kind::Move, 7).key();
    for bad in [
        "",
        "move/7",
        &key[1..],
        &key.replace("000", ""),
        &format!("{key}/"),
    ] {
        assert_eq!(Subject::parse(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn the_same_may_be_said_again_and_nothing_else() {
    let protection = memory();
    for _ in 0..2 {
        protection
            .admit(&say(Kind::Result, 3, 1), 10)
            .await
            .unwrap();
    }
    let refused = protection.admit(&say(Kind::Result, 3, 2), 20).await;
    let refused = refused.unwrap_err().to_string();
    for part in ["result of task 3, attempt 0", "0x0101", "0x0202", "at 10"] {
        assert!(refused.contains(part), "{refused}");
    }
    assert_eq!(protection.refused(), 1);
    assert_eq!(protection.refused_by(Rule::Contradiction), 1);
    // what is said of another attempt, case, claim or kind contradicts nothing
    let mut other = say(Kind::Result, 3, 2);
    other.subject.attempt = 1;
    protection.admit(&other, 20).await.unwrap();
    let mut other = say(Kind::Result, 3, 2);
    other.subject.case = B256::repeat_byte(2);
    protection.admit(&other, 20).await.unwrap();
    protection.admit(&say(Kind::Audit, 3, 2), 20).await.unwrap();
}

#[tokio::test]
async fn what_may_have_been_forgotten_is_not_said() {
    let protection = memory();
    protection.admit(&say(Kind::Claim, 3, 0), 10).await.unwrap();
    protection.admit(&say(Kind::Claim, 5, 0), 10).await.unwrap();
    let below = Watermarks {
        tasks: 5,
        disputes: 0,
    };
    assert_eq!(prune(&**protection.store(), below).await.unwrap(), 1);
    for id in [2, 3] {
        let refused = protection.admit(&say(Kind::Claim, id, 0), 11).await;
        assert!(matches!(
            refused,
            Err(ProtectionError::Forgotten { watermark: 5, .. })
        ));
    }
    protection.admit(&say(Kind::Claim, 5, 0), 11).await.unwrap();
    protection.admit(&say(Kind::Move, 1, 0), 11).await.unwrap();
    // a watermark never falls
    prune(&**protection.store(), Watermarks::default())
        .await
        .unwrap();
    let tasks = watermark(&**protection.store(), Space::Tasks)
        .await
        .unwrap();
    assert_eq!(tasks, 5);
}

#[tokio::test]
async fn contradictions_are_refused_from_whatever_thread_they_come() {
    let protection = Arc::new(memory());
    let tries = (0..16).map(|value| {
        let protection = Arc::clone(&protection);
        tokio::spawn(async move {
            protection
                .admit(&say(Kind::Ruling, 1, value), 1)
                .await
                .is_ok()
        })
    });
    let mut said = 0;
    for outcome in tries.collect::<Vec<_>>() {
        said += usize::from(outcome.await.unwrap());
    }
    assert_eq!(said, 1);
}

#[tokio::test]
async fn the_breaker_stays_open_over_restarts_until_a_person_closes_it() {
    let store: Arc<dyn Store> = Arc::new(Memory::new(me()));
    let protection = Protection::open(Arc::clone(&store)).await.unwrap();
    let mut board = crate::Board::default();
    let late = Attempt {
        provider: me().address,
        ended: Some("deadline".to_owned()),
        ..Attempt::default()
    };
    let entry = TaskEntry {
        attempts: vec![late],
        ..TaskEntry::default()
    };
    let breaker = protection.breaker().unwrap();
    assert!(!breaker.look(&board, &me().address).await);
    board.tasks.insert(3, entry);
    assert!(!breaker.look(&board, &Address::repeat_byte(9)).await);
    assert!(breaker.look(&board, &me().address).await);
    let again = Protection::open(Arc::clone(&store)).await.unwrap();
    let why = again.breaker().unwrap().tripped();
    assert_eq!(why, ["missed the deadline of task 3, attempt 0"]);
    assert_eq!(reset(&*store).await.unwrap(), why);
    // the failure that was seen trips it no more; the next does
    let again = Protection::open(Arc::clone(&store)).await.unwrap();
    let breaker = again.breaker().unwrap();
    assert!(!breaker.look(&board, &me().address).await);
    again.admit(&say(Kind::Result, 3, 1), 1).await.unwrap();
    again.admit(&say(Kind::Result, 3, 2), 1).await.unwrap_err();
    assert!(breaker.is_tripped());
}

#[tokio::test]
async fn a_person_who_closes_the_breaker_has_seen_all_failures() {
    let store: Arc<dyn Store> = Arc::new(Memory::new(me()));
    let breaker = Breaker::load(Arc::clone(&store)).await.unwrap();
    let mut board = crate::Board::default();
    for id in 0..17 {
        let late = Attempt {
            provider: me().address,
            ended: Some("deadline".to_owned()),
            ..Attempt::default()
        };
        let entry = TaskEntry {
            attempts: vec![late],
            ..TaskEntry::default()
        };
        board.tasks.insert(id, entry);
    }
    assert!(breaker.look(&board, &me().address).await);
    assert!(breaker.tripped().len() < 17, "told in few words");
    assert_eq!(reset(&*store).await.unwrap().len(), 17);
    let breaker = Breaker::load(Arc::clone(&store)).await.unwrap();
    assert!(!breaker.look(&board, &me().address).await);
    // refusals that are many are kept by the first few
    for number in 0..17 {
        breaker.trip(&format!("refused {number}")).await;
    }
    assert_eq!(tripped(&*store).await.unwrap().len(), 16);
}

#[tokio::test]
async fn refusals_are_counted_by_their_rule_and_nothing_else_is() {
    let protection = memory();
    let below = Watermarks {
        tasks: 5,
        disputes: 0,
    };
    prune(&**protection.store(), below).await.unwrap();
    let forgotten = protection.admit(&say(Kind::Claim, 1, 0), 1).await;
    forgotten.unwrap_err();
    let counts = || Rule::ALL.map(|rule| protection.refused_by(rule));
    assert_eq!(counts(), [0, 1, 0]);
    // a board that is a block old does not have the task yet
    let none = Address::ZERO;
    let contracts = gavel_settlement::Deployment {
        chain_id: 31337,
        deploy_block: 0,
        numerics_version: 1,
        token: none,
        timelock: none,
        parameters: none,
        beacon: none,
        vault: none,
        pool: none,
        market: me().contract,
        court: none,
        audits: none,
        appeal_levels: none,
        demands: none,
        traps: none,
    };
    let call = gavel_settlement::bindings::Market::claimCall {
        taskId: gavel_settlement::alloy::primitives::U256::from(9),
    };
    let call = gavel_settlement::alloy::sol_types::SolCall::abi_encode(&call);
    let board = crate::Board::default();
    let stale = protection
        .admit_call(&board, &contracts, me().address, contracts.market, &call)
        .await;
    let stale = stale.unwrap_err();
    assert!(
        matches!(
            stale,
            ProtectionError::Unclassified(Unclassified::Subject { .. })
        ),
        "{stale}"
    );
    assert_eq!(counts(), [0, 1, 0]);
    let unknown = protection
        .admit_call(
            &board,
            &contracts,
            me().address,
            Address::repeat_byte(9),
            &call,
        )
        .await;
    unknown.unwrap_err();
    assert_eq!(counts(), [0, 1, 1]);
}

#[test]
fn acts_that_the_database_does_not_have_are_another_process_s() {
    use super::doppelganger::{Verdict, look};
    let mut board = crate::Board::default();
    board.head.time = 10_000;
    let key = me().address;
    assert_eq!(look(&board, &key, &[]), Verdict::Clear);
    board.providers.insert(key, Provider::default());
    assert_eq!(look(&board, &key, &[]), Verdict::Quiet);
    let task = Task {
        exec_seconds: 100,
        ..Task::default()
    };
    let attempt = |deadline| Attempt {
        provider: key,
        deadline,
        ..Attempt::default()
    };
    let entry = |deadline| TaskEntry {
        task: task.clone(),
        attempts: vec![attempt(deadline)],
        ..TaskEntry::default()
    };
    board.tasks.insert(1, entry(6_000));
    assert_eq!(look(&board, &key, &[]), Verdict::Quiet, "long ago");
    board.tasks.insert(2, entry(9_000));
    let foreign = vec!["claim of task 2, attempt 0".to_owned()];
    assert_eq!(look(&board, &key, &[]), Verdict::Foreign(foreign.clone()));
    let own = about_task(Kind::Claim, 2, &task).subject;
    let said = Said {
        value: B256::ZERO,
        at: 8_900,
    };
    assert_eq!(look(&board, &key, &[(own, said)]), Verdict::Clear);
    let another = Subject {
        case: B256::ZERO,
        ..own
    };
    assert_eq!(
        look(&board, &key, &[(another, said)]),
        Verdict::Foreign(foreign)
    );
}

#[tokio::test]
async fn transactions_under_way_are_listed_by_nonce_until_they_are_finished() {
    use gavel_settlement::account::{IntentLog as _, IntentRecord, SignedTransaction};
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("state.db").display().to_string();
    let record = |nonce, tip| IntentRecord {
        nonce,
        to: Some(Address::repeat_byte(1)),
        data: vec![1, 2].into(),
        deadline: Some(9),
        signed: vec![SignedTransaction {
            hash: B256::repeat_byte(2),
            raw: vec![3].into(),
            max_fee: u128::MAX,
            tip,
            signed_at: 5,
        }],
        is_delivered: false,
    };
    let store = gavel_state::open(&place, me()).await.unwrap();
    let log = StoredIntents::new(Arc::clone(&store));
    for put in [record(10, 1), record(9, 1), record(10, 2)] {
        log.put(&put).await.unwrap();
    }
    drop((log, store));
    let log = StoredIntents::new(gavel_state::open(&place, me()).await.unwrap());
    assert_eq!(log.open().await.unwrap(), [record(9, 1), record(10, 2)]);
    log.finish(9).await.unwrap();
    log.finish(9).await.unwrap();
    assert_eq!(log.open().await.unwrap(), [record(10, 2)]);
    let reader = gavel_state::read(&place).await.unwrap().remove(0);
    let refused = StoredIntents::new(reader).put(&record(11, 1)).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, gavel_settlement::account::LogError::Taken(_)),
        "{refused}"
    );
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}

fn any_statement() -> impl Strategy<Value = Statement> {
    (0..Kind::ALL.len(), 0..6u64, 0..2u8)
        .prop_map(|(kind, id, value)| say(Kind::ALL[kind], id, value))
}

proptest! {
    /// What either database would have refused, the merged one refuses; what both would have said, it says.
    #[test]
    fn a_merged_database_refuses_what_either_would(
        ours in prop::collection::vec(any_statement(), 0..12),
        theirs in prop::collection::vec(any_statement(), 0..12),
        pruned in (0..4u64, 0..4u64),
        then in prop::collection::vec(any_statement(), 24),
    ) {
        block_on(async {
            let (a, b) = (memory(), memory());
            for statement in &ours {
                let _ = a.admit(statement, 1).await;
            }
            for statement in &theirs {
                let _ = b.admit(statement, 2).await;
            }
            let below = Watermarks { tasks: pruned.0, disputes: pruned.1 };
            prune(&**b.store(), below).await.unwrap();
            let file = export(&**b.store()).await.unwrap();
            let text = serde_json::to_vec(&file).unwrap();
            let file = Interchange::parse(&text).unwrap();
            let before = export(&**a.store()).await.unwrap();
            let merged = memory();
            import(&**merged.store(), &before).await.unwrap();
            match import(&**merged.store(), &file).await {
                Err(ImportError::Contradictions(all)) => {
                    assert!(!all.is_empty());
                    assert_eq!(export(&**merged.store()).await.unwrap(), before, "half taken in");
                    return;
                }
                other => drop(other.unwrap()),
            }
            let twice = export(&**merged.store()).await.unwrap();
            let again = import(&**merged.store(), &file).await.unwrap();
            assert_eq!(again.new, 0);
            assert_eq!(export(&**merged.store()).await.unwrap(), twice);
            let known = statements(&**merged.store()).await.unwrap();
            for statement in &then {
                let says = merged.admit(statement, 3).await.is_ok();
                // either refusing is enough, unless the other one still has the very row
                let has = known.iter().any(|(s, said)| *s == statement.subject && said.value == statement.value);
                let (by_a, by_b) = (a.admit(statement, 3).await.is_ok(), b.admit(statement, 3).await.is_ok());
                assert_eq!(says, has || (by_a && by_b), "{statement:?}");
            }
        });
    }
}

/// The vectors that other implementations read: files one after the other, then what is said and what becomes of it.
#[tokio::test]
async fn the_vectors_of_the_interchange_format_hold() {
    #[derive(serde::Deserialize)]
    struct Vectors {
        identity: VectorIdentity,
        cases: Vec<Case>,
    }
    #[derive(serde::Deserialize)]
    struct VectorIdentity {
        chain_id: String,
        gavel_contract: Address,
        address: Address,
    }
    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        files: Vec<FileCase>,
        then: Vec<Then>,
    }
    #[derive(serde::Deserialize)]
    struct FileCase {
        taken: bool,
        file: serde_json::Value,
    }
    #[derive(serde::Deserialize)]
    struct Then {
        kind: String,
        id: u64,
        attempt: u8,
        case: B256,
        answers: B256,
        value: B256,
        allowed: bool,
    }
    let text = include_bytes!("../../../../spec/vectors/protection.json");
    let vectors: Vectors = serde_json::from_slice(text).unwrap();
    let identity = Identity {
        chain_id: vectors.identity.chain_id.parse().unwrap(),
        contract: vectors.identity.gavel_contract,
        address: vectors.identity.address,
    };
    assert!(vectors.cases.len() >= 8);
    for case in vectors.cases {
        let protection = Protection::over(Arc::new(Memory::new(identity)));
        for (n, FileCase { taken, file }) in case.files.iter().enumerate() {
            let outcome = match Interchange::parse(file.to_string().as_bytes()) {
                Ok(file) => import(&**protection.store(), &file).await.map(drop),
                Err(e) => Err(e),
            };
            assert_eq!(
                outcome.is_ok(),
                *taken,
                "{}, file {n}: {outcome:?}",
                case.name
            );
        }
        for then in case.then {
            let kind = Kind::ALL.into_iter().find(|k| k.name() == then.kind);
            let Then {
                id,
                attempt,
                case: of,
                answers,
                value,
                ..
            } = then;
            let subject = Subject {
                kind: kind.unwrap(),
                id,
                attempt,
                case: of,
                answers,
            };
            let said = protection.admit(&Statement { subject, value }, 99).await;
            assert_eq!(
                said.is_ok(),
                then.allowed,
                "{}: {subject}: {said:?}",
                case.name
            );
        }
    }
}
