//! Requests that are signed in place of a key: taken once, in their time, as they were signed, and not otherwise.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::{Fate, IDENTITY, Said, WALLET, WALLET_SIGNATURE, WORDS, World, options, question};
use gavel_gateway::{Class, routes};
use gavel_node::{Address, ClientRequest};
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::primitives::{U256, hex};
use gavel_settlement::alloy::signers::{SignerSync as _, local::PrivateKeySigner};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const CHAT: &str = "/v1/chat/completions";

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn dora() -> PrivateKeySigner {
    dev_key("dora", 0)
}

/// A request and what is signed of it, each of which may be another than it should.
#[derive(Clone)]
struct Signing {
    account: Address,
    signer: PrivateKeySigner,
    method: String,
    path: String,
    body: Vec<u8>,
    deadline: u64,
    nonce: u64,
    chain_id: u64,
    market: Address,
    gateway: Address,
    signature: Option<Vec<u8>>,
    /// What is sent in place of what was signed.
    sent_method: Option<&'static str>,
    sent_path: Option<&'static str>,
    sent_body: Option<&'static [u8]>,
    sent_deadline: Option<u64>,
}

impl Signing {
    fn of(method: &str, path: &str, body: &str, nonce: u64) -> Signing {
        Signing {
            account: dora().address(),
            signer: dora(),
            method: method.to_owned(),
            path: path.to_owned(),
            body: body.into(),
            deadline: now() + 1800,
            nonce,
            chain_id: IDENTITY.chain_id,
            market: IDENTITY.market,
            gateway: IDENTITY.gateway,
            signature: None,
            sent_method: None,
            sent_path: None,
            sent_body: None,
            sent_deadline: None,
        }
    }

    fn chat(nonce: u64) -> Signing {
        Signing::of("POST", CHAT, &question().to_string(), nonce)
    }

    fn models(nonce: u64) -> Signing {
        Signing::of("GET", "/v1/models", "", nonce)
    }

    fn sign(&self) -> Vec<u8> {
        let route = format!("{} {}", self.method, self.path);
        let asked = ClientRequest {
            chain_id: self.chain_id,
            market: self.market.into(),
            body_digest: Sha256::digest(&self.body).into(),
            route: &route,
            gateway: self.gateway.into(),
            deadline: self.deadline,
            nonce: U256::from(self.nonce).to_be_bytes(),
        };
        let hash = asked.signing_hash();
        self.signer
            .sign_hash_sync(&hash.into())
            .unwrap()
            .as_bytes()
            .to_vec()
    }

    fn request(&self) -> Request<Body> {
        let signature = self.signature.clone().unwrap_or_else(|| self.sign());
        Request::builder()
            .method(self.sent_method.unwrap_or(&self.method))
            .uri(self.sent_path.unwrap_or(&self.path))
            .header("gavel-account", self.account.to_string())
            .header(
                "gavel-body-digest",
                hex::encode_prefixed(Sha256::digest(&self.body)),
            )
            .header(
                "gavel-deadline",
                self.sent_deadline.unwrap_or(self.deadline),
            )
            .header("gavel-nonce", self.nonce)
            .header("gavel-signature", hex::encode_prefixed(signature))
            .body(Body::from(
                self.sent_body
                    .map_or_else(|| self.body.clone(), <[u8]>::to_vec),
            ))
            .unwrap()
    }

    async fn send(&self, world: &World) -> Said {
        world.send(self.request()).await
    }
}

fn message(said: &Said) -> String {
    said.json()["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_signed_request_is_answered_and_is_its_accounts() {
    let world = World::new(options());
    let answer = Signing::chat(1).send(&world).await.ok();
    assert_eq!(answer["choices"][0]["message"]["content"], WORDS);
    let listed = Signing::of("GET", "/v1/tasks?limit=5", "", 2)
        .send(&world)
        .await
        .ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    // nobody else's
    let others = world.get("/v1/tasks").await.ok();
    assert_eq!(others["data"], json!([]));
    // the budget of 100 is that of 8 tasks at 12
    let mut dear = question();
    dear["n"] = json!(8);
    let dear = Signing::of("POST", CHAT, &dear.to_string(), 3)
        .send(&world)
        .await;
    assert_eq!(dear.error().1, "insufficient_quota");
    assert_eq!(world.fake.posted(), 1);
}

#[tokio::test]
async fn every_route_takes_a_signature_unless_it_is_public_and_checks_it() {
    let world = World::new(options());
    for (nonce, route) in (0..).zip(routes()) {
        let path = route.path.replace("{id}", "1");
        let mut signing = Signing::of(route.method.as_str(), &path, "", nonce);
        signing.signature = Some(vec![1; 65]);
        let said = signing.send(&world).await;
        match route.class {
            Class::Key => assert_eq!(said.error().1, "invalid_signature", "{path}"),
            Class::Public => assert_eq!(said.status, StatusCode::OK, "{path}"),
        }
        signing.signature = None;
        let said = signing.send(&world).await;
        assert_ne!(
            said.status,
            StatusCode::UNAUTHORIZED,
            "{path}: {}",
            said.text
        );
        // and once
        let said = signing.send(&world).await;
        match route.class {
            Class::Key => assert_eq!(said.error().1, "nonce_used", "{path}"),
            Class::Public => assert_eq!(said.status, StatusCode::OK, "{path}"),
        }
    }
    let nothing = Signing::of("GET", "/v1/secrets", "", 99).send(&world).await;
    assert_eq!(nothing.error().1, "unknown_url");
}

#[tokio::test]
async fn what_was_not_signed_for_this_request_here_and_now_is_refused_and_says_why() {
    let world = World::new(options());
    let stranger = dev_key("stranger", 0).address().to_string();
    type Change = fn(&mut Signing);
    let cases: [(Change, &str, &str); 15] = [
        (|s| s.chain_id += 1, "invalid_signature", "chain 31337"),
        (
            |s| s.market = Address::ZERO,
            "invalid_signature",
            "market 0x1111",
        ),
        (
            |s| s.gateway = Address::ZERO,
            "invalid_signature",
            "gateway 0x2222",
        ),
        (
            |s| s.sent_method = Some("GET"),
            "invalid_signature",
            "route \"GET /v1/tasks\"",
        ),
        (
            |s| s.sent_path = Some(CHAT),
            "invalid_signature",
            "route \"POST /v1/chat",
        ),
        (
            |s| s.sent_path = Some("/v1/tasks?x=1"),
            "invalid_signature",
            "/v1/tasks?x=1\"",
        ),
        (
            |s| s.sent_body = Some(b"{}"),
            "body_digest_mismatch",
            "signed was 0x",
        ),
        (
            |s| s.sent_body = Some(b""),
            "body_digest_mismatch",
            "0 bytes",
        ),
        (
            |s| s.sent_deadline = Some(s.deadline + 1),
            "invalid_signature",
            "deadline",
        ),
        (
            |s| s.deadline = now() - 10,
            "request_expired",
            "expected a later",
        ),
        (|s| s.deadline = now() + 7200, "deadline_too_far", "at most"),
        (
            |s| s.signer = dev_key("stranger", 0),
            "invalid_signature",
            &stranger[..],
        ),
        (
            |s| s.account = dev_key("stranger", 0).address(),
            "unknown_account",
            "is not known",
        ),
        (
            |s| s.signature = Some(s.sign()[..64].to_vec()),
            "invalid_signature",
            "64 bytes",
        ),
        (
            |s| {
                let mut signature = s.sign();
                signature[64] = 29;
                s.signature = Some(signature);
            },
            "invalid_signature",
            "27 or 28",
        ),
    ];
    let body = json!({"endpoint": CHAT, "body": question()}).to_string();
    let good = Signing::of("POST", "/v1/tasks", &body, 7);
    for (change, code, says) in cases {
        let mut changed = good.clone();
        change(&mut changed);
        let said = changed.send(&world).await;
        let error = said.error();
        assert_eq!((error.0, &*error.1), (401, code), "{}", said.text);
        assert!(message(&said).contains(says), "{says}: {}", said.text);
        assert_eq!(said.headers["x-should-retry"], "false", "{code}");
    }
    // none of it took the nonce
    assert_eq!(world.fake.posted(), 0);
    assert_eq!(good.send(&world).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_other_form_of_a_signature_is_no_signature() {
    let world = World::new(options());
    let mut signing = Signing::chat(1);
    let mut signature = signing.sign();
    let order = U256::from_str_radix(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        16,
    )
    .unwrap();
    let s = order - U256::from_be_slice(&signature[32..64]);
    signature[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    signature[64] = 55 - signature[64];
    signing.signature = Some(signature);
    let said = signing.send(&world).await;
    assert_eq!(said.error().1, "invalid_signature");
    assert!(message(&said).contains("upper half"), "{}", said.text);
    signing.signature = None;
    signing.send(&world).await.ok();
}

#[tokio::test]
async fn headers_that_are_no_signature_are_named() {
    let world = World::new(options());
    for (name, value) in [
        ("gavel-account", "dora"),
        ("gavel-body-digest", "0x00"),
        ("gavel-deadline", "tomorrow"),
        ("gavel-nonce", "-1"),
        ("gavel-signature", "0x"),
    ] {
        let mut request = Signing::models(1).request();
        request.headers_mut().insert(name, value.parse().unwrap());
        let said = world.send(request).await;
        let expected = (400, "invalid_header".to_owned(), Some(name.to_owned()));
        assert_eq!(said.error(), expected);
        let mut request = Signing::models(1).request();
        request.headers_mut().remove(name);
        let said = world.send(request).await;
        assert_eq!(said.error(), expected);
    }
    let mut both = Signing::models(1).request();
    let key = format!("Bearer {}", world.keys[0]);
    both.headers_mut()
        .insert("authorization", key.parse().unwrap());
    assert_eq!(world.send(both).await.error().1, "ambiguous_credentials");
    Signing::models(1).send(&world).await.ok();
}

#[tokio::test]
async fn a_request_is_taken_once_also_after_a_restart() {
    let mut world = World::new(options());
    let signing = Signing::chat(1);
    signing.send(&world).await.ok();
    assert_eq!(signing.send(&world).await.error().1, "nonce_used");
    // whatever came of it
    world.fake.become_of_new(Fate::Refused);
    let refused = Signing::chat(2);
    assert_eq!(refused.send(&world).await.error().1, "task_refused");
    world.fake.become_of_new(Fate::Committed);
    for _ in 0..2 {
        for signing in [&signing, &refused] {
            assert_eq!(signing.send(&world).await.error().1, "nonce_used");
        }
        // the same nonce signed anew for something else
        assert_eq!(
            Signing::models(1).send(&world).await.error().1,
            "nonce_used"
        );
        world.restart();
    }
    assert_eq!(world.fake.posted(), 1);
    // another account has its own
    let mut other = Signing::models(1);
    (other.account, other.signature) = (WALLET, Some(WALLET_SIGNATURE.to_vec()));
    other.send(&world).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_exactly_one_goes_on() {
    let world = World::new(options());
    for round in 0..4 {
        let signing = Signing::chat(round);
        let all = (0..16).map(|_| signing.send(&world));
        let said = futures_util::future::join_all(all).await;
        let went = said
            .iter()
            .filter(|said| said.status == StatusCode::OK)
            .count();
        let used = said.iter().filter(|said| {
            said.status == StatusCode::UNAUTHORIZED && said.error().1 == "nonce_used"
        });
        assert_eq!((went, used.count()), (1, 15), "{round}");
        assert_eq!(world.fake.posted(), round as usize + 1);
    }
}

#[tokio::test]
async fn a_contract_says_whether_it_has_signed_and_a_chain_that_is_away_refuses_nobody() {
    let world = World::new(options());
    let wallet = |nonce, signature: &[u8]| {
        let mut signing = Signing::models(nonce);
        (signing.account, signing.signature) = (WALLET, Some(signature.to_vec()));
        signing
    };
    wallet(1, WALLET_SIGNATURE).send(&world).await.ok();
    let used = wallet(1, WALLET_SIGNATURE).send(&world).await;
    assert_eq!(used.error().1, "nonce_used");
    let refused = wallet(2, b"no").send(&world).await;
    assert_eq!(refused.error().1, "invalid_signature");
    assert!(message(&refused).contains("contract"), "{}", refused.text);
    // a key's signature is not the contract's, unless that says so
    let refused = wallet(2, &Signing::models(2).sign()).send(&world).await;
    assert_eq!(refused.error().1, "invalid_signature");
    world.fake.is_cut_off.store(true, Ordering::SeqCst);
    let away = wallet(2, WALLET_SIGNATURE).send(&world).await;
    assert_eq!(
        (away.error().0, &*away.error().1),
        (503, "network_unreachable")
    );
    assert_eq!(away.headers["x-should-retry"], "true");
    // a key needs no chain
    Signing::models(3).send(&world).await.ok();
    // nothing was taken meanwhile
    world.fake.is_cut_off.store(false, Ordering::SeqCst);
    wallet(2, WALLET_SIGNATURE).send(&world).await.ok();
}

#[tokio::test]
async fn sizes_and_rates_are_those_of_keys() {
    let world = World::new(options());
    let large = "x".repeat(options().max_body + 1);
    let said = Signing::of("POST", CHAT, &large, 1).send(&world).await;
    assert_eq!(said.error().1, "request_too_large");
    // an account has as many nonces in time as its rate allows: one a minute for an hour, and a bucket
    let rare = |nonce| {
        let mut signing = Signing::models(nonce);
        (signing.account, signing.signer) = (dev_key("rare", 0).address(), dev_key("rare", 0));
        signing
    };
    for nonce in 0..61 {
        assert_ne!(
            rare(nonce).send(&world).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let full = rare(61).send(&world).await;
    assert_eq!(full.error().1, "rate_limit_exceeded");
    assert!(full.headers.contains_key("retry-after"));
    Signing::models(1).send(&world).await.ok();
}

#[tokio::test]
async fn an_account_that_is_taken_out_is_refused_at_once_and_a_gateway_says_what_is_signed_for() {
    let world = World::new(options());
    let told: Value = {
        let request = Request::get("/v1/gateway").body(Body::empty()).unwrap();
        world.send(request).await.ok()
    };
    assert_eq!(told["gateway"], json!(IDENTITY.gateway));
    assert_eq!(told["market"], json!(IDENTITY.market));
    assert_eq!(
        (&told["chain_id"], &told["horizon_seconds"]),
        (&json!(31337), &json!(3600))
    );
    Signing::models(1).send(&world).await.ok();
    let path = world.folder.path().join("keys.json");
    let mut file = gavel_gateway::KeyFile::load(&path).unwrap();
    assert!(file.remove("dora"));
    file.save(&path).unwrap();
    // a file is read again when its time changes
    let later = SystemTime::now() + Duration::from_secs(5);
    std::fs::File::open(&path)
        .unwrap()
        .set_modified(later)
        .unwrap();
    let refused = Signing::models(2).send(&world).await;
    assert_eq!(refused.error().1, "unknown_account");
}
