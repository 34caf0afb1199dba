//! The explorer over whole worlds of the simulator: real contracts, real roles, every fault of the catalogue.
#![allow(clippy::unwrap_used)]

mod fixtures;
mod following;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use gavel_explorer::index::ledger::Account as Pot;
use gavel_explorer::{Catalogue, Follower, Options, explorer};
use gavel_node::{Address, Blobs, EngineExecutor, Fault, Party, Protection, U256};
use gavel_settlement::account::dev_key;
use gavel_settlement::bindings::StakeVault::providerCall;
use gavel_settlement::{Account, Network};
use gavel_sim::{DemoOptions, Report, Scenario, Stage, Stages, Workload, World};
use serde_json::Value;
use tower::ServiceExt as _;

static STAGES: LazyLock<Stages> = LazyLock::new(Stages::default);
static WORKLOAD: LazyLock<Arc<Workload>> =
    LazyLock::new(|| Arc::new(Workload::shipped("digits-small").unwrap()));

/// A world that has been played, and an explorer of it.
struct Told {
    stage: Stage,
    report: Report,
    options: Options,
    party: Party,
    follower: Follower,
    router: Router,
}

async fn told(faults: &[Fault], watcher: bool) -> Told {
    told_from(1, faults, watcher).await
}

async fn told_from(seed: u64, faults: &[Fault], watcher: bool) -> Told {
    let scenario = Scenario::demo(&DemoOptions {
        seed,
        faults: faults.to_vec(),
        watcher,
        audit_ppm: None,
        providers: 5,
        inputs: 2,
    });
    told_of(&scenario.unwrap()).await
}

async fn told_of(scenario: &Scenario) -> Told {
    let workload = Arc::clone(&WORKLOAD);
    let stage = STAGES
        .fork(scenario.into(), workload.model())
        .await
        .unwrap();
    let blobs = Blobs::memory();
    let open = World::open(
        scenario.clone(),
        Arc::clone(&workload),
        stage.clone(),
        blobs.clone(),
    );
    let report = open.await.unwrap().run(&mut |_| {}).await.unwrap();
    let network = Network::in_process(stage.chain.clone(), stage.deployment.clone());
    let mut catalogue = Catalogue::new().with_model("digits-small", Arc::clone(workload.model()));
    for party in &report.parties {
        catalogue = catalogue.name(party.address.parse().unwrap(), &party.name);
    }
    let options = Options {
        catalogue,
        ..Options::default()
    };
    let (follower, router) = explorer(network.clone(), &options);
    let executor: Arc<EngineExecutor> = Arc::clone(workload.honest());
    let account = Account::new(dev_key("reader", 0), network);
    let party = Party {
        name: "reader".to_owned(),
        protection: Protection::for_account(&account),
        account,
        executor,
        blobs,
    };
    let mut follower = follower.with_party(party.clone());
    follower.refresh().await.unwrap();
    Told {
        stage,
        report,
        options,
        party,
        follower,
        router,
    }
}

impl Told {
    /// Another explorer of the same world, that has read nothing.
    fn again(&self, network: Network) -> Told {
        let (follower, router) = explorer(network, &self.options);
        Told {
            stage: self.stage.clone(),
            report: self.report.clone(),
            options: self.options.clone(),
            party: self.party.clone(),
            follower,
            router,
        }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let request = Request::get(format!("/api/v1{path}"))
            .body(Body::empty())
            .unwrap();
        let response = self.send(request).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    async fn disputes(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for summary in self.get("/disputes").await["items"].as_array().unwrap() {
            all.push(self.get(&format!("/disputes/{}", summary["id"])).await);
        }
        all
    }
}

fn units(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// What a list of transfers leaves in an account.
fn left(money: &Value, kind: &str) -> i128 {
    let moved = |end: &str| -> i128 {
        let own = list(money).iter().filter(|t| t[end]["kind"] == kind);
        own.map(|t| units(&t["amount"]) as i128).sum()
    };
    moved("to") - moved("from")
}

/// Every coin of every pot, as the books have it, against what the contracts say.
async fn conserved(told: &Told) {
    let network = Network::in_process(told.stage.chain.clone(), told.stage.deployment.clone());
    let vault = network.vault();
    let status = told.get("/status").await;
    assert_eq!(
        units(&status["burned"]),
        vault.burned().call().await.unwrap()
    );
    let pool = gavel_explorer::pots::audit_pool();
    assert_eq!(
        units(&status["audit_pool"]),
        vault.pot(pool).call().await.unwrap()
    );
    for task in list(&told.get("/tasks?limit=200").await["items"]) {
        let id = task["id"].as_u64().unwrap();
        let shown = told.get(&format!("/tasks/{id}")).await;
        let totals = &shown["totals"];
        let pot = vault
            .pot(gavel_explorer::pots::task(id))
            .call()
            .await
            .unwrap();
        assert_eq!(units(&totals["in_escrow"]), pot, "task {id}");
        assert_eq!(left(&shown["money"], "task"), pot as i128, "task {id}");
        let out = ["paid", "refunded", "levy", "burned", "in_escrow"];
        let out: u128 = out.iter().map(|name| units(&totals[*name])).sum();
        assert_eq!(units(&totals["escrowed"]), out, "task {id}");
    }
    for party in &told.report.parties {
        let who: Address = party.address.parse().unwrap();
        let account = told.get(&format!("/accounts/{who}")).await;
        assert_eq!(
            units(&account["credit"]),
            vault.credit(who).call().await.unwrap(),
            "{}",
            party.name
        );
    }
    for dispute in told.disputes().await {
        let id = &dispute["id"];
        // an audit's bond is the pool's, which may have nothing
        if dispute["by_audit"] == false {
            assert!(!list(&dispute["money"]).is_empty(), "dispute {id}");
        }
        // a closed dispute's pots are empty
        for pot in ["dispute", "challenge", "appeal"] {
            assert_eq!(left(&dispute["money"], pot), 0, "{pot} of dispute {id}");
        }
        for slash in list(&dispute["slashes"]) {
            let shares = list(&slash["split"]);
            let split: u128 = shares.iter().map(|share| units(&share["amount"])).sum();
            assert_eq!(units(&slash["amount"]), split, "dispute {id}");
            // what is left in a pot has no taker
            for share in shares {
                let to = share["to"]["kind"].as_str().unwrap();
                assert!(!matches!(to, "dispute" | "appeal"), "{id}: {slash}");
            }
        }
    }
    in_the_vault(told, &network).await;
}

/// The books as a whole against what the vault has and says that providers have.
async fn in_the_vault(told: &Told, network: &Network) {
    let books = told.follower.books();
    assert_eq!(books.overdrawn(), 0);
    let vault = told.stage.deployment.vault;
    let held = network.token().balanceOf(vault).call().await.unwrap();
    let sum: u128 = books.balances().map(|(_, held)| held).sum();
    assert_eq!(U256::from(sum), held);
    let mut staked = 0;
    for party in &told.report.parties {
        let who: Address = party.address.parse().unwrap();
        let asked = network.vault();
        let provider = asked.call_builder(&providerCall { key: who });
        let provider = provider.call().await.unwrap();
        let own = books.balances().filter(|(account, _)| match account {
            Pot::Stake(owner) | Pot::Collateral(owner, _) => *owner == who,
            _ => false,
        });
        let own: u128 = own.map(|(_, held)| held).sum();
        let known = provider.free + provider.locked + provider.unbonding;
        assert_eq!(own, known, "{}", party.name);
        staked += known;
    }
    assert!(staked > 0);
}

/// What a stranger asks of a dispute's page.
fn answers(dispute: &Value) {
    let id = &dispute["id"];
    let accusation = dispute["accusation"]["text"].as_str().unwrap();
    for who in ["provider", "challenger"] {
        let name = dispute[who]["name"].as_str().unwrap();
        assert!(accusation.contains(name), "{id}: {accusation}");
    }
    let outcome = &dispute["outcome"];
    assert!(dispute["turn"].is_null() && !outcome["text"].as_str().unwrap().is_empty());
    assert!(
        list(&dispute["clocks"]["sides"])
            .iter()
            .all(|side| side["running"] == false)
    );
    assert!(!list(&dispute["moves"]).is_empty());
    // rounds close in: each lies in the one before where they are of one tree
    let rounds = list(&dispute["rounds"]);
    for pair in rounds
        .windows(2)
        .filter(|pair| pair[0]["level"] == pair[1]["level"])
    {
        let at = |round: &Value, end: &str| round["disputed"][end]["leaf"].as_u64().unwrap();
        assert!(at(&pair[0], "first") <= at(&pair[1], "first"), "{id}");
        assert!(at(&pair[1], "last") <= at(&pair[0], "last"), "{id}");
    }
    if !dispute["isolated"].is_null() {
        assert!(!dispute["isolated"]["name"].as_str().unwrap().is_empty());
        assert!(dispute["isolated"]["claimed_digest"].is_string());
    }
    if let Some(ruling) = dispute["ruling"].as_object() {
        assert!(ruling["by"]["name"].is_string());
        assert_ne!(dispute["fork"]["text"], Value::Null, "{id}");
    }
    if outcome["verdict"] == "guilty" {
        assert!(units(&outcome["provider_lost"]) > 0);
    }
}

#[tokio::test]
async fn every_fault_gives_pages_that_answer_and_books_that_add_up() {
    for fault in Fault::of_any_model() {
        let told = told(&[fault], true).await;
        conserved(&told).await;
        let disputes = told.disputes().await;
        assert_eq!(disputes.len(), told.report.disputes.len(), "{fault}");
        for (shown, known) in disputes.iter().rev().zip(&told.report.disputes) {
            answers(shown);
            assert_eq!(
                shown["outcome"]["verdict"],
                known.verdict.as_str(),
                "{fault}"
            );
            assert_eq!(shown["provider"]["name"], known.provider.as_str());
            assert_eq!(shown["challenger"]["name"], known.challenger.as_str());
            if let Some(isolated) = &known.isolated
                && shown["isolated"]["earlier"] == false
            {
                assert_eq!(shown["isolated"]["name"], isolated.name.as_str(), "{fault}");
            }
        }
    }
}

#[tokio::test]
async fn the_values_at_a_fork_are_shown() {
    let told = told(&[Fault::OneUlp], true).await;
    let disputes = told.disputes().await;
    let guilty = disputes.iter().find(|d| d["verdict"] == "guilty").unwrap();
    let fork = &guilty["fork"];
    assert_eq!(fork["source"], "computed");
    assert_ne!(fork["claimed"]["bits"], fork["computed"]["bits"], "{fork}");
    let element = fork["element"].as_u64().unwrap();
    let text = fork["text"].as_str().unwrap();
    assert!(text.contains(&format!("element {element}: ")), "{text}");
    assert!(text.contains(guilty["provider"]["name"].as_str().unwrap()));
    // the step that gives the one value and not the other, with what goes into it
    let step = &fork["step"];
    assert!(!list(&step["operands"]).is_empty(), "{step}");
    assert!(!step["text"].as_str().unwrap().is_empty());
    assert!(!step["instruction"].as_str().unwrap().is_empty());
    assert!(step["batch"].is_u64() && step["result"].is_string());
}

#[tokio::test]
async fn requests_that_are_wrong_are_told_what_is() {
    let told = told(&[], false).await;
    for (path, status, code) in [
        ("/api/v1/tasks/99", 404u16, "not_found"),
        ("/api/v1/tasks/x", 400u16, "bad_request"),
        ("/api/v1/tasks?limit=0", 400u16, "bad_request"),
        ("/api/v1/tasks?limit=1000", 400u16, "bad_request"),
        ("/api/v1/tasks?before=x", 400u16, "bad_request"),
        ("/api/v1/providers/0x12", 400u16, "bad_request"),
        ("/api/v1/models/0x12", 400u16, "bad_request"),
        ("/api/v1/tasks/%ff", 400u16, "bad_request"),
        ("/api/v1/models/%ff/graph", 400u16, "bad_request"),
        ("/api/v1/audits/1/%ff", 400u16, "bad_request"),
        ("/api/v1/nothing", 404u16, "not_found"),
    ] {
        let response = told
            .send(Request::get(path).body(Body::empty()).unwrap())
            .await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert!(
            response
                .headers()
                .contains_key(header::CONTENT_SECURITY_POLICY)
        );
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], code, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder()
            .method(method)
            .uri("/api/v1/tasks")
            .body(Body::empty());
        assert_eq!(
            told.send(request.unwrap()).await.status(),
            StatusCode::METHOD_NOT_ALLOWED,
            "{method}"
        );
    }
}

#[tokio::test]
async fn who_has_an_answer_is_not_sent_it_again() {
    let told = told(&[], false).await;
    let graph = format!("/api/v1/models/{}/graph", WORKLOAD.model().model_id());
    let (open, picture) = (format!("{graph}?expand=all"), format!("{graph}.svg"));
    let mut tags = Vec::new();
    for path in [
        "/api/v1/tasks",
        graph.as_str(),
        open.as_str(),
        picture.as_str(),
    ] {
        let first = told.send(Request::get(path).body(Body::empty()).unwrap());
        let first = first.await;
        assert_eq!(first.status(), StatusCode::OK, "{path}");
        let tag = first.headers()[header::ETAG].clone();
        let again = Request::get(path).header(header::IF_NONE_MATCH, tag.clone());
        let again = told.send(again.body(Body::empty()).unwrap()).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        tags.push(tag);
    }
    assert_ne!(tags[1], tags[2], "two drawings of one model");
}

#[tokio::test]
async fn every_route_answers_and_every_page_of_a_list_comes_once() {
    let told = told(&[Fault::LyingReferee], true).await;
    let model = told.get("/models").await["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        "/status",
        "/activity",
        "/auction",
        "/tasks",
        "/tasks/1",
        "/providers",
        "/models",
        "/disputes",
        "/audits",
        "/parameters",
        "/trust",
        "/search?q=1",
        "/search?q=mallory",
    ] {
        assert!(told.get(path).await.is_object(), "{path}");
    }
    let status = told.get("/status").await;
    assert_eq!(status["asset"]["symbol"], "dGVL");
    assert_eq!(status["asset"]["decimals"], 18);
    // nothing is said of the beacon of a network that is not known to be a play
    let trust = told.get("/trust").await;
    let mut statements = list(&trust["statements"]).iter();
    let beacon = statements.find(|s| s["title"].as_str().unwrap().contains("beacon"));
    assert!(beacon.unwrap()["ok"].is_null());
    assert!(
        told.get(&format!("/models/{model}")).await["has_graph"]
            .as_bool()
            .unwrap()
    );
    let graph = told.get(&format!("/models/{model}/graph?expand=all")).await;
    assert!(!list(&graph["nodes"]).is_empty() && !list(&graph["edges"]).is_empty());
    let mut seen = Vec::new();
    let mut path = "/activity?limit=7".to_owned();
    loop {
        let page = told.get(&path).await;
        seen.extend(
            list(&page["items"])
                .iter()
                .map(|line| line["n"].as_u64().unwrap()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/activity?limit=7&before={next}"),
            None => break,
        }
    }
    let wanted: Vec<u64> = (1..=seen.len() as u64).rev().collect();
    assert_eq!(seen, wanted);
}
