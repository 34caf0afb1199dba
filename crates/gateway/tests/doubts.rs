//! Posts that go wrong halfway, or whose fate nobody knows: nothing is paid twice and no money is lost.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::StatusCode;
use common::{Fate, PRICES, World, options, question, start_with};
use gavel_gateway::{Caller, Desk, Journal, Medium, Network};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

#[tokio::test]
async fn a_request_that_is_posted_in_part_says_so_and_is_gone_on_with() {
    let world = World::new(options());
    let ask = |again: bool, n: u64| {
        let mut request = world.request(0, "POST", CHAT);
        if again {
            request = request.header("idempotency-key", "part");
        }
        let body = with(with(question(), "n", json!(n)), "seed", Value::Null);
        world.send(request.body(Body::from(body.to_string())).unwrap())
    };
    world.fake.become_of_new_after(1, Fate::Refused);
    let said = ask(true, 3).await;
    assert_eq!(said.error().1, "task_refused");
    assert_eq!(said.headers["x-should-retry"], "false", "one is paid for");
    assert_eq!(said.headers["x-gavel-task-id"], "1");
    assert_eq!(said.json()["error"]["gavel"]["task_id"], 1);
    // with the key it goes on with the first one, by the seed that was drawn
    world.fake.become_of_new(Fate::Committed);
    let answer = ask(true, 3).await.ok();
    assert_eq!(world.fake.posted(), 3);
    let told = answer["gavel"]["choices"].as_array().unwrap();
    let seeds: Vec<u64> = told.iter().map(|c| c["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [seeds[0], seeds[0] + 1, seeds[0] + 2]);
    assert_eq!(answer["gavel"]["task_id"], 1);
    // of 100 three are reserved at 12 each: nothing of what was not posted
    ask(false, 5).await.ok();
    assert_eq!(ask(false, 1).await.error().1, "insufficient_quota");
}

#[tokio::test]
async fn a_post_in_doubt_keeps_its_money_and_is_found_when_it_shows() {
    let mut world = World::new(options());
    let ask = |world: &World, key: &str| {
        let request = world
            .request(0, "POST", CHAT)
            .header("idempotency-key", key);
        request.body(Body::from(question().to_string())).unwrap()
    };
    world.fake.become_of_new(Fate::Doubtful);
    let said = world.send(ask(&world, "a")).await;
    assert_eq!(said.error().1, "task_in_doubt");
    assert_eq!(said.headers["x-should-retry"], "false");
    // it was posted: the request goes on with it
    world.fake.become_of_new(Fate::Committed);
    world.fake.become_of_all(Fate::Committed);
    let answer = world.send(ask(&world, "a")).await.ok();
    assert_eq!(answer["gavel"]["task_id"], 1);
    assert_eq!(world.fake.posted(), 1);
    // another one was lost: it holds 12 of 100 as the first does, so six more find their money
    world.fake.become_of_new(Fate::Lost);
    let said = world.send(ask(&world, "b")).await;
    assert_eq!(said.error().1, "task_in_doubt");
    world.fake.become_of_new(Fate::Committed);
    let many = |n: u64| {
        let body = with(with(question(), "n", json!(n)), "seed", json!(100));
        let request = world.request(0, "POST", CHAT);
        request.body(Body::from(body.to_string())).unwrap()
    };
    assert_eq!(world.send(many(7)).await.error().1, "insufficient_quota");
    world.send(many(6)).await.ok();
    // what cannot be asked for was not sent, and is reserved no longer
    world.fake.become_of_all(Fate::Expired);
    world.fake.become_of_new(Fate::Unreachable);
    for key in ["c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        let said = world.send(ask(&world, key)).await;
        assert_eq!(said.error().1, "network_unreachable");
        assert_eq!(said.headers["x-should-retry"], "true");
    }
    // after a restart on a chain that shows all, what is not there was never posted
    world.restart();
    world.fake.become_of_new(Fate::Committed);
    let answer = world.send(ask(&world, "b")).await.ok();
    assert_eq!(answer["gavel"]["task_id"], 8);
}

#[tokio::test]
async fn looking_at_tasks_counts_as_asking() {
    let world = World::new(options());
    for path in ["/v1/tasks", "/v1/tasks/1", "/v1/tasks/1/receipt"] {
        let request = world.request(2, "GET", path).body(Body::empty()).unwrap();
        let said = world.send(request).await;
        let is_third = path.ends_with("receipt");
        let is_refused = said.status == StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(is_refused, is_third, "{path}");
    }
}

#[tokio::test]
async fn a_repeated_request_that_would_be_another_task_is_refused() {
    let mut world = World::new(options());
    let ask = |world: &World| {
        let request = world
            .request(1, "POST", CHAT)
            .header("idempotency-key", "k");
        request.body(Body::from(question().to_string())).unwrap()
    };
    world.send(ask(&world)).await.ok();
    // as if another model stood behind the name when it was asked
    let path = world.folder.path().join("journal");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"seed\":7", "\"seed\":8")).unwrap();
    world.restart();
    let refused = world.send(ask(&world)).await.error();
    assert_eq!(
        (refused.0, refused.1.as_str()),
        (409, "idempotency_conflict")
    );
    assert_eq!(world.fake.posted(), 1);
}

#[tokio::test]
async fn after_a_restart_what_may_be_on_its_way_is_waited_for() {
    let mut world = World::new(options());
    world.fake.become_of_new(Fate::Lost);
    let request = world.request(0, "POST", CHAT);
    let request = request.body(Body::from(question().to_string())).unwrap();
    assert_eq!(world.send(request).await.error().1, "task_in_doubt");
    // the process ends
    world.router = axum::Router::new();
    let journal = Journal::open(&world.folder.path().join("journal")).unwrap();
    let network: Arc<dyn Network> = Arc::clone(&world.fake) as Arc<dyn Network>;
    let desk = Desk::in_doubt(network, journal).unwrap();
    let ann = Caller {
        name: "ann".to_owned(),
        budget: None,
        requests_per_minute: 1,
        max_concurrent: 1,
    };
    assert_eq!(desk.spent("ann"), PRICES.ceiling(), "it stays reserved");
    assert!(desk.task(&ann, 1).is_err());
    world.fake.arrive();
    assert_eq!(desk.task(&ann, 1).unwrap().task, 1);
}

#[tokio::test]
async fn a_task_that_is_another_ticket_s_is_posted_again() {
    let world = World::new(options());
    let ask = |key: usize| {
        let request = world.request(key, "POST", CHAT);
        world.send(request.body(Body::from(question().to_string())).unwrap())
    };
    assert_eq!(ask(1).await.ok()["gavel"]["task_id"], 1);
    world.fake.become_of_new(Fate::Resumed);
    assert_eq!(ask(0).await.ok()["gavel"]["task_id"], 2);
    assert_eq!(world.fake.posted(), 2);
}

/// A disk that takes no line about a task that was posted.
#[derive(Debug)]
struct Forgetful {
    file: File,
    forgets: Arc<AtomicBool>,
}

impl Read for Forgetful {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes)
    }
}

impl Write for Forgetful {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let forgets = self.forgets.load(Ordering::SeqCst) && bytes.starts_with(b"{\"posted\"");
        match forgets {
            true => Err(io::Error::other("full")),
            false => self.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Forgetful {
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn beside(&self) -> io::Result<Box<dyn Medium>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn take_name(&self) -> io::Result<()> {
        unreachable!()
    }

    fn sync_name(&self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_task_that_cannot_be_written_down_is_found_again_and_not_posted_once_more() {
    let mut world = World::new(options());
    world.router = axum::Router::new();
    let forgets = Arc::new(AtomicBool::new(true));
    let medium = Forgetful {
        file: tempfile::tempfile().unwrap(),
        forgets: Arc::clone(&forgets),
    };
    let journal = Journal::on(Box::new(medium)).unwrap();
    world.router = start_with(journal, world.folder.path(), &world.fake, options());
    let ask = || {
        let request = world
            .request(0, "POST", CHAT)
            .header("idempotency-key", "a");
        world.send(request.body(Body::from(question().to_string())).unwrap())
    };
    let said = ask().await;
    assert_eq!(said.error().1, "internal_error");
    assert_eq!(said.headers["x-gavel-task-id"], "1");
    forgets.store(false, Ordering::SeqCst);
    assert_eq!(ask().await.ok()["gavel"]["task_id"], 1);
    assert_eq!(world.fake.posted(), 1);
}
