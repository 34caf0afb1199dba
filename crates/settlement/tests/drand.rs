//! quicknet's published rounds: verified here, fetched from relays of every kind, verified on the embedded chain.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use alloy::hex;
use alloy::primitives::{B256, U256};
use alloy::sol_types::SolValue as _;
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use gavel_settlement::account::dev_key;
use gavel_settlement::bindings::DrandBeacon;
use gavel_settlement::chain::Genesis;
use gavel_settlement::drand::{
    BeaconSource as _, DrandError, DrandNetwork, HttpSource, QUICKNET_CHAIN, QUICKNET_KEY,
    SourceError,
};
use gavel_settlement::{Endpoint, Sender, SharedChain, artifacts};
use proptest::prelude::*;
use serde::Deserialize;

const VECTORS: &str = include_str!("../../../spec/vectors/beacon/quicknet.json");

#[derive(Deserialize)]
struct Vectors {
    chain_hash: String,
    genesis: u64,
    period: u64,
    public_key: String,
    public_key_point: [U256; 8],
    rounds: Vec<Round>,
}

#[derive(Clone, Deserialize)]
struct Round {
    round: u64,
    signature: String,
    randomness: String,
    point: [U256; 4],
}

impl Round {
    fn bytes(&self) -> Vec<u8> {
        hex::decode(&self.signature).unwrap()
    }

    fn json(&self) -> String {
        let Round {
            round,
            signature,
            randomness,
            ..
        } = self;
        format!(r#"{{"round":{round},"randomness":"{randomness}","signature":"{signature}"}}"#)
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).unwrap()
}

fn quicknet() -> DrandNetwork {
    DrandNetwork::quicknet().unwrap()
}

#[test]
fn published_rounds_verify() {
    let (vectors, network) = (vectors(), quicknet());
    assert_eq!(
        (vectors.genesis, vectors.period),
        (network.genesis, network.period)
    );
    assert_eq!(vectors.public_key, QUICKNET_KEY);
    assert_eq!(vectors.chain_hash, QUICKNET_CHAIN);
    assert_eq!(network.words(), vectors.public_key_point);
    assert_eq!(vectors.rounds.len(), 6);
    for round in &vectors.rounds {
        let found = network.verify(round.round, &round.bytes()).unwrap();
        assert_eq!(found.point, round.point);
        assert_eq!(found.randomness, round.randomness.parse::<B256>().unwrap());
    }
}

#[test]
fn keys_are_read_from_a_contract_as_they_were_given_to_it() {
    let network = quicknet();
    let words = network.words();
    let again = DrandNetwork::from_words(&words, network.genesis, network.period).unwrap();
    assert_eq!(again, network);
    assert!(again.is_quicknet());
    let refused = |words: [U256; 8]| {
        DrandNetwork::from_words(&words, 1, 3)
            .unwrap_err()
            .to_string()
    };
    let with = |i: usize, word: U256| {
        let mut words = words;
        words[i] = word;
        refused(words)
    };
    assert!(with(7, words[7] ^ U256::ONE).contains("off the curve"));
    assert!(with(0, U256::MAX).contains("below the prime"));
    assert!(refused([U256::ZERO; 8]).contains("G2"));
    // on the curve, and not in the subgroup
    let y: [U256; 4] = [
        "0x18c6b864ae17dc9da64203ffefb96630",
        "0x6425a7bc6aeb7c75247438372716284a4173830420cd476ba1a365b95bfcec38",
        "0x172e93db764a8400a7d5071b6b6f5de0",
        "0xda2f0f4a063119abca014006b7c40a2cfe291a1924e65db0d6d0fcfbf3bf3d5c",
    ]
    .map(|word| word.parse().unwrap());
    let zero = U256::ZERO;
    let out = [zero, U256::from(2), zero, zero, y[0], y[1], y[2], y[3]];
    assert!(refused(out).contains("subgroup"));
    assert!(DrandNetwork::new(&[0xc0; 96], 1, 3).is_err());
    assert_eq!(
        DrandNetwork::new(&hex::decode(QUICKNET_KEY).unwrap(), 1, 0),
        Err(DrandError::ZeroPeriod)
    );
}

#[test]
fn other_signatures_are_refused() {
    let (rounds, network) = (vectors().rounds, quicknet());
    let (first, second) = (&rounds[0], &rounds[1]);
    let wrong = DrandError::WrongSignature {
        round: second.round,
    };
    assert_eq!(
        network.verify(second.round, &first.bytes()),
        Err(wrong.clone())
    );
    // the other root of y
    let mut negated = second.bytes();
    negated[0] ^= 0x20;
    assert_eq!(network.verify(second.round, &negated), Err(wrong));
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    for bytes in [&infinity[..], &second.bytes()[..47], &[], &[0xff; 48]] {
        let refused = network.verify(second.round, bytes);
        assert!(
            matches!(refused, Err(DrandError::Point { .. })),
            "{refused:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_bit_is_refused(at in 0usize..6, bit in 0usize..384) {
        let round = &vectors().rounds[at];
        let mut bytes = round.bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(quicknet().verify(round.round, &bytes).is_err());
    }
}

/// A relay of quicknet under `/good`, and bad ones beside it.
async fn relays() -> SocketAddr {
    async fn answer(Path((kind, round)): Path<(String, u64)>) -> Response {
        let rounds = vectors().rounds;
        let Some(found) = rounds.iter().find(|r| r.round == round) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let other = rounds.iter().find(|r| r.round != round).unwrap();
        match kind.as_str() {
            "good" => found.json().into_response(),
            "terse" => {
                format!(r#"{{"round":{round},"signature":"{}"}}"#, found.signature).into_response()
            }
            "other" => other.json().into_response(),
            "forged" => found
                .json()
                .replace(&found.signature, &other.signature)
                .into_response(),
            "mixed" => found
                .json()
                .replace(&found.randomness, &other.randomness)
                .into_response(),
            "garbage" => "<html>".into_response(),
            "huge" => " ".repeat(1 << 20).into_response(),
            // declares no length and never ends by itself
            "endless" => Body::from_stream(futures_util::stream::repeat_with(|| {
                Ok::<_, std::io::Error>(vec![b' '; 1024])
            }))
            .into_response(),
            _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
    let router = Router::new().route("/{kind}/public/{round}", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_come_from_the_first_relay_that_has_a_good_one() {
    let (at, network, round) = (relays().await, quicknet(), vectors().rounds[3].clone());
    // nobody listens there
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let base = |kind: &str| format!("http://{at}/{kind}");
    for kind in ["good", "good/", "terse"] {
        let source = HttpSource::new(&[base(kind)]).unwrap();
        let found = source.round(&network, round.round).await.unwrap();
        assert_eq!(found.randomness, round.randomness.parse::<B256>().unwrap());
        assert_eq!(found.point, round.point);
    }
    let bad = [
        ("other", "answers round 1"),
        ("forged", "not the network's signature"),
        ("mixed", "randomness is not the hash"),
        ("garbage", "answers no round"),
        ("huge", "more than 4096 bytes"),
        ("endless", "more than 4096 bytes"),
        ("broken", "500"),
    ];
    let mut all = vec![format!("http://{nobody}/good")];
    for (kind, why) in bad {
        let source = HttpSource::new(&[base(kind)]).unwrap();
        let refused = source.round(&network, round.round).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{kind}: {refused}");
        all.push(base(kind));
    }
    let source = HttpSource::new(&[base("good")]).unwrap();
    let missing = source.round(&network, 7).await.unwrap_err();
    assert!(missing.to_string().contains("has it not"), "{missing}");
    // all of them before the good one
    all.push(base("good"));
    let found = HttpSource::new(&all)
        .unwrap()
        .round(&network, round.round)
        .await;
    assert_eq!(found.unwrap().point, round.point);
    // and none
    all.pop();
    let refused = HttpSource::new(&all)
        .unwrap()
        .round(&network, round.round)
        .await;
    let Err(SourceError::Nowhere { reasons, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reasons.len(), all.len(), "{reasons:?}");
}

#[test]
fn what_is_no_relay_is_refused() {
    assert!(HttpSource::new::<&str>(&[]).is_err());
    for url in ["relay", "ftp://relay.example/x", ""] {
        assert!(HttpSource::new(&[url]).is_err(), "{url}");
    }
    HttpSource::quicknet().unwrap();
}

#[tokio::test]
async fn the_embedded_chain_verifies_quicknet() {
    let genesis = Genesis {
        time: 1_800_000_000,
        ..Genesis::default()
    };
    let endpoint = Endpoint::in_process(SharedChain::in_memory(genesis));
    let anyone = Sender::new(dev_key("drand", 0), endpoint.clone());
    let network = quicknet();
    let arguments = (network.words(), network.genesis, network.period, 15u64).abi_encode_params();
    let code = [&artifacts::bytecode("DrandBeacon").unwrap()[..], &arguments].concat();
    let created = anyone.create(code.into()).await.unwrap();
    let contract = DrandBeacon::new(created.created.unwrap(), endpoint.provider().clone());
    assert_eq!(contract.publicKey().call().await.unwrap(), network.words());
    for round in vectors().rounds {
        let found = network.verify(round.round, &round.bytes()).unwrap();
        let call = contract.publish(round.round, found.point);
        anyone
            .send(*contract.address(), call.calldata().clone())
            .await
            .unwrap();
        let value = contract.valueOf(round.round).call().await.unwrap();
        assert_eq!(value, found.randomness);
    }
}
