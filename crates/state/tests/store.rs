//! What every store promises, on each of them.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use alloy_primitives::Address;
use gavel_state::{
    Change, Identity, Jobs as _, Memory, Postgres, Sqlite, StateError, Store, Table, join, open,
    open_shared, read,
};

fn identity(n: u8) -> Identity {
    Identity {
        chain_id: 31337,
        contract: Address::repeat_byte(0xaa),
        address: Address::repeat_byte(n),
    }
}

fn put(table: Table, key: &str, value: &str) -> Change {
    Change::Put(table, key.to_owned(), value.to_owned())
}

/// What any store does.
async fn keeps_values(store: &dyn Store) {
    let (table, other) = (Table::Statements, Table::Intents);
    assert_eq!(store.insert(table, "b", "1").await.unwrap(), None);
    let there = store.insert(table, "b", "2").await.unwrap();
    assert_eq!(there.as_deref(), Some("1"));
    assert_eq!(store.insert(other, "b", "3").await.unwrap(), None);
    store
        .write(&[
            put(table, "a", "4"),
            put(table, "B", "5"),
            put(table, "ä", "6"),
            Change::Delete(other, "b".to_owned()),
        ])
        .await
        .unwrap();
    let all = store.scan(table).await.unwrap();
    let all: Vec<_> = all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(all, [("B", "5"), ("a", "4"), ("b", "1"), ("ä", "6")]);
    assert_eq!(store.scan(other).await.unwrap(), []);
    assert_eq!(store.get(table, "c").await.unwrap(), None);
    assert_eq!(store.get(table, "a").await.unwrap().as_deref(), Some("4"));
}

/// Kinds of jobs, as a worker says them.
fn kinds(of: &[&str]) -> Vec<String> {
    of.iter().map(|&kind| kind.to_owned()).collect()
}

/// Jobs, for any store.
async fn hands_out_jobs(store: &dyn Store) {
    let all = kinds(&["x", "y"]);
    assert_eq!(store.lease("w", &all, 60).await.unwrap(), None);
    store.offer("one", "x", "run 1").await.unwrap();
    store.offer("two", "y", "run 2").await.unwrap();
    store.offer("one", "x", "another").await.unwrap();
    assert_eq!(store.lease("w", &kinds(&["z"]), 60).await.unwrap(), None);
    let first = store.lease("w", &all, 60).await.unwrap().unwrap();
    assert_eq!((first.id.as_str(), first.spec.as_str()), ("one", "run 1"));
    let none = store.lease("v", &kinds(&["x"]), 60).await.unwrap();
    assert_eq!(none, None, "two is of another kind");
    let second = store.lease("v", &all, 60).await.unwrap().unwrap();
    assert_eq!(second.id, "two");
    assert_eq!(store.lease("v", &all, 60).await.unwrap(), None);
    // its worker falls silent
    assert!(store.renew(&first, 0).await.unwrap());
    let job = store.job("one").await.unwrap().unwrap();
    assert_eq!((job.worker, job.failures), (None, 1));
    let again = store.lease("v", &all, 60).await.unwrap().unwrap();
    assert_eq!((again.id.as_str(), again.tries), ("one", 2));
    assert!(!store.renew(&first, 60).await.unwrap());
    assert!(!store.finish(&first, "late").await.unwrap());
    assert!(!store.fail(&first, "late").await.unwrap());
    assert!(!store.release(&first).await.unwrap());
    assert!(store.finish(&again, "done").await.unwrap());
    assert!(!store.finish(&again, "twice").await.unwrap());
    store.offer("one", "x", "run 1").await.unwrap();
    let job = store.job("one").await.unwrap().unwrap();
    assert_eq!(job.result.as_deref(), Some("done"));
    assert_eq!(job.worker.as_deref(), Some("v"));
    assert_eq!(store.lease("w", &all, 60).await.unwrap(), None);
    let known = store.jobs().await.unwrap();
    let known: Vec<_> = known.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(known, ["one", "two"]);
    store.forget("one").await.unwrap();
    assert_eq!(store.job("one").await.unwrap(), None);
}

/// What cannot be done, for any store.
async fn gives_jobs_up(store: &dyn Store) {
    let of = kinds(&["bad"]);
    let next = || async { store.lease("w", &of, 60).await.unwrap() };
    store.offer("poison", "bad", "run").await.unwrap();
    // a worker that ends says nothing about it
    for _ in 0..4 {
        let lease = next().await.unwrap();
        assert!(store.release(&lease).await.unwrap());
        assert!(!store.renew(&lease, 60).await.unwrap(), "it was given back");
    }
    for failures in 1..=2 {
        let lease = next().await.unwrap();
        assert!(store.fail(&lease, "it cannot be done").await.unwrap());
        assert!(!store.finish(&lease, "but it can").await.unwrap());
        let job = store.job("poison").await.unwrap().unwrap();
        assert_eq!(job.failures, failures);
        assert!(!job.is_given_up());
    }
    // the third one falls silent
    let lease = next().await.unwrap();
    let job = store.job("poison").await.unwrap().unwrap();
    assert!(!job.is_given_up(), "somebody is at it");
    assert!(store.renew(&lease, 0).await.unwrap());
    assert_eq!(next().await, None);
    let job = store.job("poison").await.unwrap().unwrap();
    assert!(job.is_given_up());
    assert_eq!(job.error.as_deref(), Some("it cannot be done"));
    store.forget("poison").await.unwrap();
}

/// Who is there, for any store.
async fn knows_its_workers(store: &dyn Store) {
    store.appear("w", &kinds(&["x"]), 60).await.unwrap();
    store.appear("v", &kinds(&["x", "y"]), 60).await.unwrap();
    let there = store.workers().await.unwrap();
    let names: Vec<_> = there.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["v", "w"]);
    assert_eq!(there[0].kinds, kinds(&["x", "y"]));
    store.appear("v", &kinds(&["y"]), 0).await.unwrap();
    let there = store.workers().await.unwrap();
    assert_eq!((there.len(), there[0].name.as_str()), (1, "w"));
}

/// A store that was opened again.
async fn has_kept_them(store: &dyn Store) {
    assert_eq!(store.scan(Table::Statements).await.unwrap().len(), 4);
    let job = store.job("two").await.unwrap().unwrap();
    assert_eq!(job.worker.as_deref(), Some("v"));
}

#[tokio::test]
async fn memory() {
    let store = Memory::new(identity(1));
    keeps_values(&store).await;
    hands_out_jobs(&store).await;
    gives_jobs_up(&store).await;
    knows_its_workers(&store).await;
}

#[tokio::test]
async fn a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("state.db");
    let place = path.to_str().unwrap();
    let store = open(place, identity(1)).await.unwrap();
    keeps_values(&*store).await;
    hands_out_jobs(&*store).await;
    gives_jobs_up(&*store).await;
    knows_its_workers(&*store).await;
    let reader = read(place).await.unwrap().remove(0);
    assert_eq!(reader.identity(), identity(1));
    has_kept_them(&*reader).await;
    let refused = reader.insert(Table::Node, "a", "b").await.unwrap_err();
    assert!(matches!(refused, StateError::NotWriter { .. }), "{refused}");
    drop(store);
    has_kept_them(&*open(place, identity(1)).await.unwrap()).await;
}

#[tokio::test]
async fn a_server() {
    let Some(server) = common::Server::start() else {
        return;
    };
    let store = open(&server.url(), identity(1)).await.unwrap();
    keeps_values(&*store).await;
    hands_out_jobs(&*store).await;
    gives_jobs_up(&*store).await;
    knows_its_workers(&*store).await;
    let other = open(&server.url(), identity(2)).await.unwrap();
    assert_eq!(other.scan(Table::Statements).await.unwrap(), []);
    assert_eq!(other.job("two").await.unwrap(), None);
    let all = read(&server.url()).await.unwrap();
    let all: Vec<_> = all.iter().map(|s| s.identity()).collect();
    assert_eq!(all, [identity(1), identity(2)]);
    drop((store, other));
    let again = writer_again(&server.url(), identity(1)).await;
    has_kept_them(&*again).await;
}

/// The lock of a connection that was dropped is given up as soon as the server has seen it.
async fn writer_again(url: &str, identity: Identity) -> Arc<dyn Store> {
    let store = open_shared(url, identity).await.unwrap();
    while !store.lead().await.unwrap() {
        tokio::task::yield_now().await;
    }
    store
}

#[test]
fn a_file_has_one_writer_and_one_identity() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = Sqlite::open(&path, identity(1)).unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let refused = Sqlite::open(path, identity(1)).unwrap_err();
        let holder = format!("process {}", std::process::id());
        assert!(matches!(&refused, StateError::Taken { holder: h, .. } if *h == holder));
    }
    drop(store);
    assert!(folder.path().join("state.db.lock").exists());
    let refused = Sqlite::open(&path, identity(2)).unwrap_err();
    let words = refused.to_string();
    assert!(words.contains(&identity(1).to_string()) && words.contains(&identity(2).to_string()));
    Sqlite::open(&path, identity(1)).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(Sqlite::open(&path, identity(1)).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(raw);
    for refused in [Sqlite::open(&path, identity(1)), Sqlite::read(&path)] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, StateError::NewerSchema { found: 99, .. }),
            "{refused}"
        );
    }
    let nowhere = folder.path().join("none.db");
    assert!(matches!(
        Sqlite::read(&nowhere),
        Err(StateError::Missing { .. })
    ));
    assert!(!nowhere.exists());
}

/// Run by the test below in a process of its own: writes rows and says so until it is killed.
#[tokio::test]
#[ignore = "a part of the test that kills it"]
async fn writes_until_killed() {
    let path = std::env::var("GAVEL_TEST_STATE").unwrap();
    let store = Sqlite::open(path.as_ref(), identity(1)).unwrap();
    for n in 0.. {
        let key = format!("{n:06}");
        store.insert(Table::Statements, &key, "v").await.unwrap();
        println!("row {n}");
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_its_rows_and_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    for rows in [1, 3, 20] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_killed", "--ignored", "--nocapture"])
            .env("GAVEL_TEST_STATE", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            said += usize::from(line.unwrap().contains("row "));
            if said == rows {
                break;
            }
        }
        assert_eq!(said, rows);
        assert!(matches!(
            Sqlite::open(&path, identity(1)),
            Err(StateError::Taken { .. })
        ));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Sqlite::open(&path, identity(1)).unwrap();
        assert!(store.scan(Table::Statements).await.unwrap().len() >= rows);
    }
}

#[tokio::test]
async fn a_server_has_one_writer_for_each_identity() {
    let Some(server) = common::Server::start() else {
        return;
    };
    let url = server.url();
    let leader = Postgres::connect(&url, identity(1)).await.unwrap();
    let early = leader.insert(Table::Node, "a", "b").await.unwrap_err();
    assert!(matches!(early, StateError::NotWriter { .. }), "{early}");
    assert!(leader.lead().await.unwrap());
    leader.insert(Table::Node, "a", "b").await.unwrap();
    let refused = open(&url, identity(1)).await.unwrap_err();
    let StateError::Taken { holder, .. } = &refused else {
        panic!("{refused}");
    };
    let name = format!("gavel {}", std::process::id());
    assert!(holder.starts_with(&name), "{holder}");

    // beside the leader there is work, and nothing else
    let follower = open_shared(&url, identity(1)).await.unwrap();
    assert!(!follower.lead().await.unwrap());
    leader.offer("job", "x", "run").await.unwrap();
    let of = kinds(&["x"]);
    let lease = follower.lease("follower", &of, 60).await.unwrap();
    let lease = lease.unwrap();
    assert_eq!(leader.lease("leader", &of, 60).await.unwrap(), None);
    assert!(follower.finish(&lease, "done").await.unwrap());
    for refused in [
        follower.offer("other", "x", "run").await,
        follower.write(&[put(Table::Node, "a", "c")]).await,
        follower.forget("job").await,
    ] {
        assert!(matches!(refused, Err(StateError::NotWriter { .. })));
    }

    // the leader's connection dies
    let (admin, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()";
    admin.execute(kill, &[]).await.unwrap();
    while !follower.lead().await.unwrap() {
        tokio::task::yield_now().await;
    }
    follower.insert(Table::Node, "b", "c").await.unwrap();
    let late = leader.insert(Table::Node, "d", "e").await.unwrap_err();
    assert!(
        !matches!(late, StateError::Taken { .. }),
        "it does not write: {late}"
    );
    assert_eq!(follower.get(Table::Node, "d").await.unwrap(), None);

    // a connection that lost its session without noticing, as behind a pooler
    admin
        .execute("UPDATE gavel_identity SET token = token + 1", &[])
        .await
        .unwrap();
    let late = follower.insert(Table::Node, "f", "g").await.unwrap_err();
    assert!(late.to_string().contains("taken over"), "{late}");
    assert_eq!(follower.get(Table::Node, "f").await.unwrap(), None);
    // which it is told however it asks, though its session and its lock live
    for refused in [follower.lead().await, follower.hold(60).await] {
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("taken over"), "{refused}");
    }
}

#[tokio::test]
async fn a_leader_that_is_silent_for_too_long_is_one_no_more() {
    let Some(server) = common::Server::start() else {
        return;
    };
    let url = server.url();
    let old = open_shared(&url, identity(1)).await.unwrap();
    let new = open_shared(&url, identity(1)).await.unwrap();
    // whoever leads without an end is waited for
    assert!(old.lead().await.unwrap());
    assert!(!new.hold(60).await.unwrap());
    assert!(!new.hold(60).await.unwrap());
    assert!(old.hold(3600).await.unwrap());
    assert!(!new.hold(60).await.unwrap());
    old.insert(Table::Statements, "said", "1").await.unwrap();
    // its connection lives, as that of a stopped process does, and its time runs out
    assert!(old.hold(0).await.unwrap());
    while !new.hold(60).await.unwrap() {
        tokio::task::yield_now().await;
    }
    for refused in [
        old.insert(Table::Statements, "also", "2").await.map(drop),
        old.write(&[put(Table::Intents, "1", "transaction")]).await,
        old.offer("job", "x", "run").await,
        old.lead().await.map(drop),
        old.hold(60).await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, StateError::NotWriter { .. }), "{refused}");
    }
    let said = new.scan(Table::Statements).await.unwrap();
    assert_eq!(said, [("said".to_owned(), "1".to_owned())]);
    assert_eq!(new.scan(Table::Intents).await.unwrap(), []);
    assert!(new.hold(60).await.unwrap());
}

/// The statements of the operators' page.
fn rights_of_a_worker() -> String {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fleet.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```sql\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn a_worker_needs_no_right_to_what_was_said() {
    let Some(server) = common::Server::start() else {
        return;
    };
    let missing = join(&server.url(), None).await.unwrap_err();
    assert!(matches!(missing, StateError::Missing { .. }), "{missing}");
    let leader = open(&server.url(), identity(1)).await.unwrap();
    let connect = |user: &str| server.url().replace("user=gavel", &format!("user={user}"));
    let (admin, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    admin.batch_execute(&rights_of_a_worker()).await.unwrap();

    let worker = join(&connect("worker"), None).await.unwrap();
    assert_eq!(worker.identity(), identity(1));
    leader.offer("job", "x", "run").await.unwrap();
    worker.appear("w", &kinds(&["x"]), 60).await.unwrap();
    worker.appear("w", &kinds(&["x"]), 60).await.unwrap();
    assert_eq!(leader.workers().await.unwrap().len(), 1);
    let lease = worker.lease("w", &kinds(&["x"]), 60).await.unwrap();
    let lease = lease.unwrap();
    assert!(worker.fail(&lease, "no").await.unwrap());
    let lease = worker.lease("w", &kinds(&["x"]), 60).await.unwrap();
    let lease = lease.unwrap();
    assert!(worker.renew(&lease, 60).await.unwrap());
    assert!(worker.release(&lease).await.unwrap());
    let lease = worker.lease("w", &kinds(&["x"]), 60).await.unwrap();
    assert!(worker.finish(&lease.unwrap(), "done").await.unwrap());
    assert!(leader.job("job").await.unwrap().unwrap().result.is_some());

    let (raw, connection) = tokio_postgres::connect(&connect("worker"), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    for forbidden in [
        "SELECT * FROM gavel_entry",
        "INSERT INTO gavel_entry VALUES (1, 'statements', 'a', 'b')",
        "DELETE FROM gavel_entry",
        "UPDATE gavel_identity SET token = token + 1",
        "UPDATE gavel_job SET spec = 'another'",
        "INSERT INTO gavel_job (identity, id, spec) VALUES (1, 'a', 'b')",
        "DELETE FROM gavel_job",
    ] {
        let refused = raw.batch_execute(forbidden).await.unwrap_err();
        let refused = refused.as_db_error().unwrap().message().to_owned();
        assert!(refused.contains("permission denied"), "{refused}");
    }
    // of several keys one has to be named
    let _other = open(&server.url(), identity(2)).await.unwrap();
    let refused = join(&connect("worker"), None).await.unwrap_err();
    assert!(refused.to_string().contains(&identity(2).to_string()));
    let named = join(&connect("worker"), Some(identity(2).address)).await;
    assert_eq!(named.unwrap().identity(), identity(2));
    assert!(join("state.db", None).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().to_str().unwrap().replace('/', "%2F");
    let url = format!("postgres://me:secret@localhost/db?host={host}");
    let refused = open(&url, identity(1)).await.unwrap_err();
    let words = refused.to_string();
    assert!(
        words.contains("localhost") && !words.contains("secret"),
        "{words}"
    );
}
