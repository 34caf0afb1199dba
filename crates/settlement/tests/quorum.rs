//! Several nodes of one chain, of which some fail, lag or lie.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::task;

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use alloy::sol_types::SolCall as _;
use alloy::transports::{BoxTransport, TransportError, TransportErrorKind, TransportFut};
use common::SEED;
use gavel_settlement::account::{IntentLog as _, MemoryLog, dev_key};
use gavel_settlement::bindings::DevToken;
use gavel_settlement::chain::Genesis;
use gavel_settlement::transport::InProcess;
use gavel_settlement::{
    Account, Deployment, Disagreement, Endpoint, Head, Network, Question, SendError, SharedChain,
    Witness,
};

/// What a node is like now.
#[derive(Clone)]
enum Mood {
    Good(SharedChain),
    Dead,
    /// Answers from one chain, and takes transactions for nobody.
    Lies(SharedChain),
    /// As good as the first, but counts transactions as the second does.
    Miscounts(SharedChain, SharedChain),
}

#[derive(Clone)]
struct Node {
    mood: Arc<Mutex<Mood>>,
    asked: Arc<Mutex<u32>>,
}

impl Node {
    fn good(chain: &SharedChain) -> Node {
        Node {
            mood: Arc::new(Mutex::new(Mood::Good(chain.clone()))),
            asked: Arc::default(),
        }
    }

    fn is_now(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

impl tower::Service<RequestPacket> for Node {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), TransportError>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
        *self.asked.lock().unwrap() += 1;
        match self.mood.lock().unwrap().clone() {
            Mood::Good(chain) => InProcess::new(chain).call(packet),
            Mood::Lies(chain) => InProcess::new(chain.fork()).call(packet),
            Mood::Miscounts(chain, counts) => {
                let mut requests = packet.requests().iter();
                let is_count = requests.any(|r| r.method() == "eth_getTransactionCount");
                InProcess::new(if is_count { counts } else { chain }).call(packet)
            }
            Mood::Dead => Box::pin(async { Err(TransportErrorKind::custom_str("dead")) }),
        }
    }
}

struct Scene {
    chain: SharedChain,
    deployment: Deployment,
    nodes: [Node; 3],
    network: Network,
}

async fn scene() -> Scene {
    let chain = SharedChain::in_memory(Genesis::default());
    let deployment = common::deployed(&Endpoint::in_process(chain.clone())).await;
    let nodes = [(); 3].map(|()| Node::good(&chain));
    let named = ["a", "b", "c"].into_iter().zip(&nodes);
    let witness = |(name, node): (&str, &Node)| Witness::new(name, BoxTransport::new(node.clone()));
    let endpoint = Endpoint::quorum(named.map(witness).collect());
    let network = Network::new(endpoint, deployment.clone());
    Scene {
        chain,
        deployment,
        nodes,
        network,
    }
}

impl Scene {
    fn balance(&self) -> Question {
        let call = DevToken::balanceOfCall {
            account: dev_key(SEED, 0).address(),
        };
        Question {
            to: self.deployment.token,
            data: call.abi_encode().into(),
            what: "the balance".to_owned(),
        }
    }

    async fn confirm(&self, head: Head) -> Result<(), Disagreement> {
        let endpoint = self.network.endpoint();
        let confirmed = endpoint.confirm(head, &[self.balance()]).await;
        confirmed.map(|answers| assert_eq!(answers.unwrap().len(), 1))
    }

    async fn pay(&self) {
        let payer = Account::new(dev_key(SEED, 0), self.network.clone());
        let call = DevToken::transferCall {
            to: Address::repeat_byte(7),
            value: U256::from(1),
        };
        payer.send(self.deployment.token, call).await.unwrap();
    }

    /// The chain as somebody tells it who left out the newest block and put another in.
    fn other(&self) -> SharedChain {
        let other = self.chain.fork();
        other.reorg(1).unwrap();
        other.advance_to(other.now() + 1_000).unwrap();
        other.mine().unwrap();
        other
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_three_may_fail_or_lie_and_two_may_not() {
    let scene = scene().await;
    scene.pay().await;
    let head = scene.network.head().await.unwrap();
    scene.confirm(head).await.unwrap();
    for mood in [Mood::Dead, Mood::Lies(scene.other())] {
        for one in 0..3 {
            scene.nodes[one].is_now(mood.clone());
            scene.confirm(head).await.unwrap();
            for other in (0..3).filter(|other| *other != one) {
                scene.nodes[other].is_now(Mood::Dead);
                let refused = scene.confirm(head).await.unwrap_err();
                assert_eq!((refused.needed, refused.answers.len()), (2, 3));
                scene.nodes[other].is_now(Mood::Good(scene.chain.clone()));
            }
            scene.nodes[one].is_now(Mood::Good(scene.chain.clone()));
        }
    }
    assert_eq!(scene.network.endpoint().disagreements(), 12);
    scene.confirm(head).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_disagreement_names_the_nodes_and_what_they_say() {
    let scene = scene().await;
    scene.pay().await;
    let head = scene.network.head().await.unwrap();
    let other = scene.other();
    let lie = other.lock().head().hash;
    scene.nodes[1].is_now(Mood::Lies(other));
    scene.nodes[2].is_now(Mood::Dead);
    let told = scene.confirm(head).await.unwrap_err().to_string();
    for part in [
        format!("about block {}", head.number),
        format!("a says {}", head.hash),
        format!("b says {lie}"),
        "c says nothing (dead)".to_owned(),
    ] {
        assert!(told.contains(&part), "{told}");
    }
    // who decided on what only a minority says is told so
    scene.nodes[2].is_now(Mood::Good(scene.chain.clone()));
    let minority = Head { hash: lie, ..head };
    let told = scene.confirm(minority).await.unwrap_err();
    assert_eq!((told.needed, told.answers.len()), (2, 3));
    let told = told.to_string();
    let majority = format!(
        "which is {lie} where it was decided and {} for the majority, 2 of 3 must",
        head.hash
    );
    for part in [
        majority,
        format!("a says {}", head.hash),
        format!("b says {lie}"),
        format!("c says {}", head.hash),
    ] {
        assert!(told.contains(&part), "{told}");
    }
    let unknown = Head {
        hash: B256::repeat_byte(1),
        number: head.number + 5,
        ..head
    };
    let told = scene.confirm(unknown).await.unwrap_err();
    assert!(told.to_string().contains("no such block"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_majority_must_have_the_contract_s_answer_as_well() {
    let scene = scene().await;
    scene.pay().await;
    let head = scene.network.head().await.unwrap();
    // a node that has the block and not its state any more has no vote
    let broken = scene.chain.fork();
    let payer = Account::new(
        dev_key(SEED, 0),
        Network::in_process(broken.clone(), scene.deployment.clone()),
    );
    let call = DevToken::transferCall {
        to: Address::repeat_byte(7),
        value: U256::from(9),
    };
    payer.send(scene.deployment.token, call).await.unwrap();
    scene.nodes[0].is_now(Mood::Lies(broken.clone()));
    scene.confirm(head).await.unwrap();
    scene.nodes[2].is_now(Mood::Dead);
    let told = scene.confirm(head).await.unwrap_err().to_string();
    assert!(told.contains("the balance at block"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn reads_go_on_where_nodes_die_and_writes_need_only_one_that_lives() {
    let scene = scene().await;
    let head = || async { scene.network.head().await.unwrap().number };
    let before = head().await;
    let asked = |i: usize| *scene.nodes[i].asked.lock().unwrap();
    let idle = asked(1);
    head().await;
    assert_eq!(asked(1), idle);
    scene.nodes[0].is_now(Mood::Dead);
    assert_eq!(head().await, before);
    // who answered is asked first from now on
    let dead = asked(0);
    head().await;
    assert_eq!(asked(0), dead);
    scene.nodes[1].is_now(Mood::Dead);
    scene.pay().await;
    assert_eq!(head().await, before + 1);
    // all of them are told
    scene.nodes[0].is_now(Mood::Good(scene.chain.clone()));
    scene.nodes[1].is_now(Mood::Good(scene.chain.clone()));
    let told = [asked(0), asked(1)];
    scene.pay().await;
    assert!(asked(0) > told[0] && asked(1) > told[1]);
    assert_eq!(head().await, before + 2);
}

#[tokio::test(start_paused = true)]
async fn who_told_something_else_than_the_majority_is_not_asked_first_any_more() {
    let scene = scene().await;
    scene.pay().await;
    let head = scene.network.head().await.unwrap();
    let asked = |i: usize| *scene.nodes[i].asked.lock().unwrap();
    let other = scene.other();
    scene.nodes[0].is_now(Mood::Lies(other.clone()));
    assert_ne!(scene.network.head().await.unwrap(), head);
    scene.confirm(head).await.unwrap();
    let liar = asked(0);
    assert_eq!(scene.network.head().await.unwrap(), head);
    assert_eq!(asked(0), liar);
    // who agrees stays, whoever else lies
    scene.nodes[0].is_now(Mood::Good(scene.chain.clone()));
    scene.nodes[2].is_now(Mood::Lies(other));
    scene.confirm(head).await.unwrap();
    let others = [asked(0), asked(2)];
    assert_eq!(scene.network.head().await.unwrap(), head);
    assert_eq!([asked(0), asked(2)], others);
}

#[tokio::test(start_paused = true)]
async fn the_next_nonce_is_not_the_word_of_one_node() {
    let scene = scene().await;
    let payer = Account::new(
        dev_key(SEED, 0),
        Network::in_process(scene.chain.clone(), scene.deployment.clone()),
    );
    let call = DevToken::transferCall {
        to: Address::repeat_byte(7),
        value: U256::from(1),
    };
    let behind = scene.chain.fork();
    let ahead = scene.chain.fork();
    let payer_ahead = Account::new(
        dev_key(SEED, 0),
        Network::in_process(ahead.clone(), scene.deployment.clone()),
    );
    for _ in 0..3 {
        let sent = payer.send(scene.deployment.token, call.clone()).await;
        sent.unwrap();
    }
    for _ in 0..9 {
        let sent = payer_ahead.send(scene.deployment.token, call.clone()).await;
        sent.unwrap();
    }
    for counts in [behind, ahead] {
        let mood = Mood::Miscounts(scene.chain.clone(), counts);
        scene.nodes[0].is_now(mood);
        scene.pay().await;
    }
    let token = scene.network.token();
    let paid = token.balanceOf(Address::repeat_byte(7)).call().await;
    assert_eq!(paid.unwrap(), U256::from(5));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_far_ahead_of_the_nodes_is_an_error_that_says_so() {
    let scene = scene().await;
    let log = Arc::new(MemoryLog::default());
    let send = |value: u64| {
        let payer = Account::new(dev_key(SEED, 0), scene.network.clone());
        let payer = payer.with_log(Arc::clone(&log) as _);
        let token = scene.deployment.token;
        let call = DevToken::transferCall {
            to: Address::repeat_byte(7),
            value: U256::from(value),
        };
        async move { payer.send(token, call).await }
    };
    send(1).await.unwrap();
    let mut record = log.open().await.unwrap().remove(0);
    record.nonce += 100;
    log.put(&record).await.unwrap();
    let before = scene.network.head().await.unwrap();
    let error = send(2).await.unwrap_err();
    assert!(matches!(error, SendError::Unsent(_)), "{error}");
    for part in [
        format!("nonce {} is open", record.nonce),
        "99 are missing, and at most 64".to_owned(),
    ] {
        assert!(error.to_string().contains(&part), "{error}");
    }
    assert_eq!(scene.network.head().await.unwrap(), before);
}

#[tokio::test]
async fn several_addresses_make_a_quorum_and_their_secrets_are_not_shown() {
    let one = Endpoint::http("http://127.0.0.1:1").unwrap();
    let two = Endpoint::http("http://127.0.0.1:1/v3/secret, http://me:word@127.0.0.1:2").unwrap();
    let head = Head {
        number: 1,
        hash: B256::ZERO,
        time: 1,
    };
    assert_eq!(one.confirm(head, &[]).await.unwrap(), None);
    let told = two.confirm(head, &[]).await.unwrap_err();
    let names: Vec<_> = told.answers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let told = told.to_string();
    assert!(!told.contains("secret") && !told.contains("word"), "{told}");
    let wrong = Endpoint::http("http://127.0.0.1:1,,").unwrap_err();
    assert!(wrong.to_string().contains("no URL"), "{wrong}");
}
