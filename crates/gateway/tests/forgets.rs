//! What is over is forgotten, and clients are told so; what it has cost is not.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use common::{Fate, PRICES, Said, World, options, question, start_desk};
use gavel_gateway::{Desk, Journal, Network};
use gavel_settlement::REORG_DEPTH;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
/// What a task of the made-up network costs.
const COST: u128 = 3 + PRICES.levy;

/// The same files and chain, and a gateway that remembers nothing that is over.
fn restart(world: &mut World) {
    // the journal is closed first
    world.router = axum::Router::new();
    let journal = Journal::open(&world.folder.path().join("journal")).unwrap();
    let network = Arc::clone(&world.fake) as Arc<dyn Network>;
    let desk = Desk::new(network, journal).unwrap();
    let desk = desk.retaining(Duration::ZERO);
    world.router = start_desk(desk, world.folder.path(), &world.fake, options());
}

async fn ask(world: &World, idempotency: Option<&str>, n: u64) -> Said {
    let mut request = world.request(0, "POST", CHAT);
    if let Some(key) = idempotency {
        request = request.header("idempotency-key", key);
    }
    let mut body = question();
    body["n"] = json!(n);
    let request = request.body(Body::from(body.to_string()));
    world.send(request.unwrap()).await
}

async fn get(world: &World, key: usize, path: &str) -> Said {
    let request = world.request(key, "GET", path).body(Body::empty());
    world.send(request.unwrap()).await
}

/// Numbers of the tasks that are listed.
async fn listed(world: &World) -> Vec<u64> {
    let list = get(world, 0, "/v1/tasks").await.ok();
    let data = list["data"].as_array().unwrap().iter();
    data.map(|task| task["id"].as_u64().unwrap()).collect()
}

/// All tasks are settled, for as many blocks as it takes.
async fn settle(world: &World) {
    world.fake.become_of_all(Fate::Settled);
    listed(world).await;
    for _ in 0..REORG_DEPTH {
        world.fake.become_of_all(Fate::Settled);
    }
}

#[tokio::test]
async fn a_task_that_is_over_is_forgotten_and_its_cost_is_not() {
    let mut world = World::new(options());
    ask(&world, Some("a"), 1).await.ok();
    settle(&world).await;
    assert_eq!(listed(&world).await, [1], "a day has not passed");
    ask(&world, Some("a"), 1).await.ok();
    assert_eq!(world.fake.posted(), 1);

    restart(&mut world);
    let none = listed(&world).await;
    assert_eq!(none, [0u64; 0]);
    for path in ["/v1/tasks/1", "/v1/tasks/1/receipt", "/v1/tasks/1/events"] {
        let said = get(&world, 0, path).await;
        let (status, code, _) = said.error();
        assert_eq!((status, code.as_str()), (410, "task_forgotten"), "{path}");
        assert!(said.text.contains("gavel task show 1"), "{}", said.text);
        assert_eq!(said.headers["x-should-retry"], "false");
        // whoever never had one never had this
        assert_eq!(get(&world, 1, path).await.error().0, 404, "{path}");
    }
    assert_eq!(get(&world, 0, "/v1/tasks/2").await.error().0, 404);

    // its Idempotency-Key is free, and what it stands for now is another task
    let again = ask(&world, Some("a"), 1).await.ok();
    assert_eq!(again["gavel"]["task_id"], 2);
    assert_eq!(listed(&world).await, [2]);
    settle(&world).await;
    assert_eq!(listed(&world).await, [0u64; 0]);

    // an equal post that is found to be one that is forgotten is not the new one's
    world.fake.become_of_new(Fate::Resumed);
    let new = ask(&world, None, 1).await.ok();
    assert_eq!(
        (&new["gavel"]["task_id"], world.fake.posted()),
        (&json!(3), 3)
    );
    settle(&world).await;
    for _ in 0..2 {
        assert_eq!(listed(&world).await, [0u64; 0]);
        let refused = ask(&world, None, 8).await;
        assert_eq!(refused.error().1, "insufficient_quota");
        let spent = format!("spent or reserved {} of 100 units", 3 * COST);
        assert!(refused.text.contains(&spent), "{}", refused.text);
        restart(&mut world);
    }
}

#[tokio::test]
async fn a_request_of_several_tasks_is_forgotten_whole() {
    let mut world = World::new(options());
    restart(&mut world);
    world.fake.become_of_new_after(1, Fate::Open);
    let request = world
        .request(0, "POST", "/v1/tasks")
        .header("idempotency-key", "both");
    let mut body = question();
    body["n"] = json!(2);
    let asked: Value = json!({"endpoint": CHAT, "body": body});
    let request = request.body(Body::from(asked.to_string())).unwrap();
    assert_eq!(world.send(request).await.status, 202);
    world.fake.become_of(1, Fate::Settled);
    listed(&world).await;
    for _ in 0..=REORG_DEPTH {
        world.fake.become_of(1, Fate::Settled);
    }
    assert_eq!(listed(&world).await, [2, 1], "one of them runs on");
    settle(&world).await;
    assert_eq!(listed(&world).await, [0u64; 0]);
}
