//! The interface over a network that is made up: what clients branch on.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use base64::Engine as _;
use common::{CONTEXT, Fate, WORDS, World, options, question};
use gavel_gateway::{Class, Options, routes};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

#[tokio::test]
async fn every_route_wants_a_key_unless_it_is_public_and_there_are_no_others() {
    let world = World::new(options());
    for route in routes() {
        let path = route.path.replace("{id}", "1");
        for bearer in [
            None,
            Some("Bearer gvk-none"),
            Some("Basic x"),
            Some("Bearer"),
        ] {
            let mut request = axum::http::Request::builder()
                .method(&route.method)
                .uri(&path);
            if let Some(bearer) = bearer {
                request = request.header("authorization", bearer);
            }
            let said = world.send(request.body(Body::empty()).unwrap()).await;
            match route.class {
                Class::Key => assert_eq!(said.error().1, "invalid_api_key", "{path}"),
                Class::Public => assert_eq!(said.status, StatusCode::OK, "{path}"),
            }
        }
    }
    let nobody = axum::http::Request::builder()
        .uri("/v1/secrets")
        .body(Body::empty())
        .unwrap();
    assert_eq!(world.send(nobody).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/v1/secrets").await.error().1, "unknown_url");
    assert_eq!(world.get(CHAT).await.error().0, 405);
}

#[tokio::test]
async fn an_answer_says_the_words_counts_the_tokens_and_has_a_receipt() {
    let world = World::new(options());
    let said = world.post(CHAT, &question()).await;
    let answer = said.ok();
    assert_eq!(answer["choices"][0]["message"]["content"], WORDS);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["object"], "chat.completion");
    let gavel = &answer["gavel"];
    assert_eq!((&gavel["task_id"], &gavel["seed"]), (&json!(1), &json!(7)));
    assert_eq!(gavel["status"], "committed");
    assert_eq!(gavel["receipt"]["task_id"], 1);
    assert_eq!(said.headers["x-gavel-task-id"], "1");
    let receipt = &said.headers["x-gavel-receipt"];
    let receipt = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(receipt)
        .unwrap();
    let receipt: Value = serde_json::from_slice(&receipt).unwrap();
    assert_eq!(receipt, gavel["receipt"]);
    // counts are those of the tokenizer, and one more for the token that ends
    let count = |path: &'static str, body: Value| {
        let world = &world;
        async move { world.post(path, &body).await.ok() }
    };
    let prompt = count(
        "/v1/tokenize",
        json!({"model": "llm@96", "messages": question()["messages"]}),
    )
    .await;
    assert_eq!(answer["usage"]["prompt_tokens"], prompt["count"]);
    let (a, b) = (
        &answer["usage"]["completion_tokens"],
        &answer["usage"]["prompt_tokens"],
    );
    assert_eq!(
        answer["usage"]["total_tokens"],
        a.as_u64().unwrap() + b.as_u64().unwrap()
    );
    let back = count(
        "/v1/detokenize",
        json!({"model": "llm@96", "tokens": prompt["tokens"]}),
    )
    .await;
    assert!(
        back["prompt"].as_str().unwrap().contains("A cat?"),
        "{back}"
    );
    // the same fingerprint wherever the model is named
    let model = world.get("/v1/models/llm@96").await.ok();
    assert_eq!(
        model["gavel"]["system_fingerprint"],
        answer["system_fingerprint"]
    );
    let fingerprint = answer["system_fingerprint"].as_str().unwrap();
    assert!(
        fingerprint.len() == 21 && fingerprint.starts_with("gvl1-"),
        "{fingerprint}"
    );
    // a seed that is not said is drawn, told, and exact in every client
    let drawn = world
        .post(CHAT, &with(question(), "seed", Value::Null))
        .await
        .ok();
    assert!(drawn["gavel"]["seed"].as_u64().unwrap() < 1 << 53);
    let negative = world
        .post(CHAT, &with(question(), "seed", json!(-1)))
        .await
        .ok();
    assert_eq!(negative["gavel"]["seed"], u64::MAX);
}

#[tokio::test]
async fn stop_texts_lengths_and_several_answers() {
    let world = World::new(options());
    let cut = world
        .post(CHAT, &with(question(), "stop", json!(["cat", "\u{2019}"])))
        .await
        .ok();
    assert_eq!(
        cut["choices"][0]["message"]["content"],
        " there was a queen"
    );
    assert_eq!(cut["choices"][0]["finish_reason"], "stop");
    let short = world
        .post(CHAT, &with(question(), "max_tokens", json!(2)))
        .await
        .ok();
    assert_eq!(short["choices"][0]["finish_reason"], "length");
    assert_eq!(short["usage"]["completion_tokens"], 2);
    let three = world
        .post(CHAT, &with(question(), "n", json!(3)))
        .await
        .ok();
    assert_eq!(three["choices"].as_array().unwrap().len(), 3);
    assert_eq!(three["choices"][2]["index"], 2);
    let seeds: Vec<_> = three["gavel"]["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["seed"])
        .collect();
    assert_eq!(seeds, [7, 8, 9]);
    let one = world.post(CHAT, &question()).await.ok();
    assert_eq!(
        three["usage"]["prompt_tokens"],
        one["usage"]["prompt_tokens"]
    );
    let body =
        json!({"model": "llm@96", "prompt": ["Once", [5, 6]], "n": 2, "max_tokens": 3, "seed": 1});
    let texts = world.post("/v1/completions", &body).await.ok();
    assert_eq!(texts["choices"].as_array().unwrap().len(), 4);
    assert_eq!(texts["usage"]["completion_tokens"], 12);
    assert!(WORDS.starts_with(texts["choices"][3]["text"].as_str().unwrap()));
}

#[tokio::test]
async fn a_stream_begins_with_the_role_says_the_same_and_ends_with_the_receipt() {
    let world = World::new(options());
    let stream = with(question(), "stream", json!(true));
    let whole = world.post(CHAT, &question()).await.ok();
    for include in [false, true] {
        let body = match include {
            true => with(
                stream.clone(),
                "stream_options",
                json!({"include_usage": true}),
            ),
            false => stream.clone(),
        };
        let said = world.post(CHAT, &body).await;
        assert_eq!(said.headers["content-type"], "text/event-stream");
        let mut events = said.events();
        assert_eq!(events.pop().unwrap(), "[DONE]");
        let chunks: Vec<Value> = events
            .iter()
            .map(|e| serde_json::from_str(e).unwrap())
            .collect();
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let delta = |chunk: &Value| {
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        };
        let text: String = chunks.iter().filter_map(delta).collect();
        assert_eq!(text, WORDS);
        assert!(chunks.len() > 5, "in pieces");
        let last = chunks.last().unwrap();
        assert_eq!(
            last["gavel"]["receipt"]["task_id"].as_u64(),
            last["gavel"]["task_id"].as_u64()
        );
        assert!(
            chunks[..chunks.len() - 1]
                .iter()
                .all(|chunk| chunk["gavel"].is_null())
        );
        if include {
            assert_eq!(
                (&last["choices"], &last["usage"]),
                (&json!([]), &whole["usage"])
            );
        }
        let finished = chunks
            .iter()
            .filter(|c| c["choices"][0]["finish_reason"] == "stop");
        assert_eq!(finished.count(), 1);
        assert!(
            chunks
                .iter()
                .all(|c| c["system_fingerprint"] == whole["system_fingerprint"])
        );
    }
}

#[tokio::test]
async fn a_stream_is_kept_alive_while_the_task_is_under_way_and_tells_of_its_end() {
    let world = World::new(Options {
        keep_alive: Duration::from_millis(20),
        ..options()
    });
    world.fake.become_of_new(Fate::Open);
    let ends = async {
        while world.fake.posted() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.fake.become_of_all(Fate::Expired);
    };
    let body = with(question(), "stream", json!(true));
    let (said, ()) = tokio::join!(world.post(CHAT, &body), ends);
    assert!(said.text.contains(": keep-alive"), "{}", said.text);
    let events = said.events();
    let error: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    assert_eq!(error["error"]["code"], "no_bid");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let world = World::new(options());
    let long = "word ".repeat(CONTEXT as usize);
    let part = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/"}}]}]);
    for (name, value, code, param) in [
        (
            "messages",
            json!(null),
            "missing_required_parameter",
            "messages",
        ),
        ("messages", json!([]), "invalid_value", "messages"),
        (
            "messages",
            json!([{"role": "user", "content": long}]),
            "context_length_exceeded",
            "messages",
        ),
        (
            "messages",
            json!([{"role": "tool", "content": "x"}]),
            "invalid_value",
            "messages[0].role",
        ),
        (
            "messages",
            json!([{"role": "user", "content": "x", "name": "y"}]),
            "unknown_parameter",
            "messages[0].name",
        ),
        (
            "messages",
            part,
            "unsupported_parameter",
            "messages[0].content[0].type",
        ),
        (
            "max_tokens",
            json!(CONTEXT),
            "context_length_exceeded",
            "messages",
        ),
        ("max_tokens", json!(-1), "invalid_value", "max_tokens"),
        ("max_tokens", json!(1e300), "invalid_value", "max_tokens"),
        ("temperature", json!(2.5), "invalid_value", "temperature"),
        ("temperature", json!("hot"), "invalid_value", "temperature"),
        ("n", json!(0), "invalid_value", "n"),
        ("n", json!(u64::MAX), "invalid_value", "n"),
        ("stop", json!(["a", ""]), "invalid_value", "stop"),
        ("seed", json!(0.5), "invalid_value", "seed"),
        ("logprobs", json!(true), "unsupported_parameter", "logprobs"),
        (
            "tools",
            json!([{"type": "function"}]),
            "unsupported_parameter",
            "tools",
        ),
        (
            "response_format",
            json!({"type": "json_object"}),
            "unsupported_parameter",
            "response_format",
        ),
        (
            "logit_bias",
            json!({"5": 1}),
            "unsupported_parameter",
            "logit_bias",
        ),
        (
            "reasoning_effort",
            json!("low"),
            "unknown_parameter",
            "reasoning_effort",
        ),
        (
            "stream_options",
            json!({"include_usage": true}),
            "invalid_value",
            "stream_options",
        ),
        ("model", json!("diffusion"), "model_not_supported", "model"),
    ] {
        let said = world
            .post(CHAT, &with(question(), name, value.clone()))
            .await;
        let expected = (400, code.to_owned(), Some(param.to_owned()));
        assert_eq!(said.error(), expected, "{name} {value}: {}", said.text);
        assert_eq!(said.headers["x-should-retry"], "false");
    }
    let unknown = world
        .post(CHAT, &with(question(), "model", json!("gpt-5")))
        .await;
    assert_eq!(
        unknown.error(),
        (404, "model_not_found".to_owned(), Some("model".to_owned()))
    );
    assert_eq!(world.fake.posted(), 0, "nothing was paid for");
    let harmless = json!({"user": "u", "metadata": {"a": "b"}, "store": false, "logit_bias": {}, "tools": [], "logprobs": false,
        "response_format": {"type": "text"}, "parallel_tool_calls": true, "frequency_penalty": 0, "service_tier": "auto"});
    let mut body = question();
    body.as_object_mut()
        .unwrap()
        .extend(harmless.as_object().unwrap().clone());
    world.post(CHAT, &body).await.ok();
}

#[tokio::test]
async fn a_request_that_is_repeated_is_the_same_task_also_after_a_restart() {
    let mut world = World::new(options());
    let body = with(question(), "seed", Value::Null);
    let ask = |world: &World, key: usize, body: &Value| {
        let request = world
            .request(key, "POST", CHAT)
            .header("idempotency-key", "k1");
        request.body(Body::from(body.to_string())).unwrap()
    };
    let first = world.send(ask(&world, 1, &body)).await.ok();
    let (one, other) = tokio::join!(
        world.send(ask(&world, 1, &body)),
        world.send(ask(&world, 1, &body))
    );
    assert_eq!((one.ok(), other.ok()), (first.clone(), first.clone()));
    world.restart();
    assert_eq!(world.send(ask(&world, 1, &body)).await.ok(), first);
    assert_eq!(world.fake.posted(), 1);
    let changed = with(body.clone(), "temperature", json!(0.5));
    let refused = world.send(ask(&world, 1, &changed)).await.error();
    assert_eq!(
        (refused.0, refused.1.as_str()),
        (422, "idempotency_key_reused")
    );
    // another key's is another request
    let theirs = world.send(ask(&world, 0, &body)).await.ok();
    assert_eq!(theirs["gavel"]["task_id"], 2);
    let empty = world.request(1, "POST", CHAT).header("idempotency-key", "");
    let empty = world
        .send(empty.body(Body::from(body.to_string())).unwrap())
        .await;
    assert_eq!(empty.error().1, "invalid_idempotency_key");
}

#[tokio::test]
async fn a_budget_ends_in_words_of_its_own_and_what_was_not_spent_comes_back() {
    let world = World::new(options());
    let ask = |n: u64| {
        let request = world.request(0, "POST", CHAT);
        let body = with(question(), "n", json!(n)).to_string();
        world.send(request.body(Body::from(body)).unwrap())
    };
    // a task may cost 12, eight of them 96 of 100
    ask(8).await.ok();
    let refused = ask(1).await;
    assert_eq!(
        (refused.error().0, refused.error().1.as_str()),
        (429, "insufficient_quota")
    );
    assert_eq!(refused.headers["x-should-retry"], "false");
    assert_eq!(world.fake.posted(), 8);
    // they cost 3 and the levy of 2 each in the end
    world.fake.become_of_all(Fate::Settled);
    ask(5).await.ok();
    assert_eq!(ask(1).await.error().1, "insufficient_quota");
    world.fake.become_of_all(Fate::Expired);
    ask(5).await.ok();
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_again() {
    let world = World::new(options());
    let ask = || {
        world.send(
            world
                .request(2, "POST", CHAT)
                .body(Body::from(question().to_string()))
                .unwrap(),
        )
    };
    ask().await.ok();
    ask().await.ok();
    let refused = ask().await;
    assert_eq!(
        (refused.error().0, refused.error().1.as_str()),
        (429, "rate_limit_exceeded")
    );
    let seconds: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=30).contains(&seconds));
    assert_eq!(refused.headers["x-should-retry"], "true");
}

#[tokio::test]
async fn what_the_network_does_not_do_is_told_and_a_posted_task_is_not_paid_twice() {
    let world = World::new(Options {
        wait: Duration::from_millis(50),
        ..options()
    });
    for (fate, status, code, again) in [
        (Fate::Refused, 503, "task_refused", "true"),
        (Fate::Unreachable, 503, "network_unreachable", "true"),
        (Fate::Expired, 503, "no_bid", "false"),
        (Fate::Open, 504, "timeout", "false"),
    ] {
        world.fake.become_of_new(fate);
        let said = world.post(CHAT, &question()).await;
        assert_eq!((said.error().0, said.error().1.as_str()), (status, code));
        assert_eq!(said.headers["x-should-retry"], again, "{code}");
    }
    // the last one goes on
    assert_eq!(world.get("/v1/tasks/2").await.ok()["response"], Value::Null);
    world.fake.become_of_all(Fate::Committed);
    let task = world.get("/v1/tasks/2").await.ok();
    assert_eq!(task["response"]["choices"][0]["message"]["content"], WORDS);
}

#[tokio::test]
async fn tasks_are_posted_listed_followed_and_fetched_by_their_own_key_alone() {
    let world = World::new(options());
    for seed in 0..5 {
        let body = with(question(), "seed", json!(seed));
        let said = world
            .post("/v1/tasks", &json!({"endpoint": CHAT, "body": body}))
            .await;
        assert_eq!(said.status, StatusCode::ACCEPTED, "{}", said.text);
    }
    let mut found = Vec::new();
    let mut path = "/v1/tasks?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.ok();
        found.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t["id"].as_u64().unwrap()),
        );
        match page["next_cursor"].as_u64() {
            Some(cursor) => path = format!("/v1/tasks?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(found, [5, 4, 3, 2, 1]);
    let task = world.get("/v1/tasks/3").await.ok();
    assert_eq!(
        (&task["status"], &task["gavel"]["seed"]),
        (&json!("committed"), &json!(2))
    );
    assert_eq!(task["response"]["id"], "chatcmpl-3");
    assert!(world.get("/v1/tasks/3/receipt").await.ok()["receipt"].is_object());
    world.fake.become_of_all(Fate::Settled);
    let events = world.get("/v1/tasks/3/events").await.events();
    assert!(events.last().unwrap().contains("settled"));
    for path in [
        "/v1/tasks/3",
        "/v1/tasks/3/events",
        "/v1/tasks/3/receipt",
        "/v1/tasks/99",
        "/v1/tasks/x",
    ] {
        let said = world
            .send(world.request(0, "GET", path).body(Body::empty()).unwrap())
            .await;
        assert_eq!(
            (said.error().0, said.error().1.as_str()),
            (404, "task_not_found"),
            "{path}"
        );
    }
    for bad in ["?limit=0", "?limit=101", "?cursor=x", "?page=1"] {
        assert_eq!(
            world.get(&format!("/v1/tasks{bad}")).await.error().0,
            400,
            "{bad}"
        );
    }
    let nested = json!({"endpoint": "/v1/tasks", "body": {}});
    assert_eq!(
        world.post("/v1/tasks", &nested).await.error().2.as_deref(),
        Some("endpoint")
    );
}

#[tokio::test]
async fn pictures_are_drawn_from_known_words() {
    let world = World::new(options());
    let models = world.get("/v1/models").await.ok();
    let size = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|m| m["gavel"]["size"].as_str())
        .unwrap();
    let body = json!({"model": "diffusion", "prompt": "", "n": 2, "size": size, "seed": 3, "response_format": "b64_json"});
    let drawn = world.post("/v1/images/generations", &body).await.ok();
    let png = drawn["data"][1]["b64_json"].as_str().unwrap();
    let png = base64::engine::general_purpose::STANDARD
        .decode(png)
        .unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    for (name, value) in [
        ("size", json!("5x5")),
        ("response_format", json!("url")),
        ("prompt", json!("zzzz")),
        ("style", json!("vivid")),
    ] {
        let said = world
            .post("/v1/images/generations", &with(body.clone(), name, value))
            .await;
        assert_eq!(
            (said.error().0, said.error().2.as_deref()),
            (400, Some(name))
        );
    }
}

#[tokio::test]
async fn hostile_bodies_are_refused_within_bounds() {
    let world = World::new(Options {
        body_time: Duration::from_millis(50),
        ..options()
    });
    let large = "x".repeat((64 << 10) + 1);
    let deep = format!("{{\"a\":{}", "[".repeat(60_000));
    for (body, status, code) in [
        (large.as_str(), 413, "request_too_large"),
        (deep.as_str(), 400, "invalid_json"),
        ("", 400, "invalid_json"),
        ("[1]", 400, "invalid_json"),
        ("{\"model\": \"llm@96\"", 400, "invalid_json"),
        ("\u{feff}{}", 400, "invalid_json"),
    ] {
        let request = world
            .request(1, "POST", CHAT)
            .body(Body::from(body.to_owned()))
            .unwrap();
        let said = world.send(request).await;
        assert_eq!((said.error().0, said.error().1.as_str()), (status, code));
    }
    let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let slow = world
        .request(1, "POST", CHAT)
        .body(Body::from_stream(never))
        .unwrap();
    assert_eq!(world.send(slow).await.error().0, 408);
}
