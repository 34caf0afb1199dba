//! Draws by a drand network: of one member, whose secret the test holds, on the embedded chain with a clock that the test moves.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use ark_bls12_381::{Fr, G1Affine, G1Projective, G2Affine, g1};
use ark_ec::AffineRepr as _;
use ark_ec::hashing::HashToCurve as _;
use ark_ec::hashing::curve_maps::wb::WBMap;
use ark_ec::hashing::map_to_curve_hasher::MapToCurveBasedHasher;
use ark_ff::field_hashers::DefaultFieldHasher;
use ark_serialize::CanonicalSerialize as _;
use async_trait::async_trait;
use sha2_for_ark::{Digest as _, Sha256};

use common::network::{STAKE, World, purse, stake, state};
use gavel_model::shipped;
use gavel_node::board::{AuditState, BeaconScheme, DisputeState, TaskState};
use gavel_node::roles::{
    Auditor, Chore, Keeper, Participant, Referee, Requester, chores, standing,
};
use gavel_node::{Act, Address, B256, Board, NodeError, Role};
use gavel_settlement::bindings::{CommitRevealBeacon, DrandBeacon, FallbackBeacon};
use gavel_settlement::chain::Genesis;
use gavel_settlement::dev_params::{UNIT, Windows};
use gavel_settlement::drand::{BeaconSource, DrandNetwork, DrandRound, SourceError};
use gavel_settlement::{BeaconChoice, CommitRevealChoice, Endpoint, SendError, SharedChain};

const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
const PERIOD: u64 = 3;
/// Time of round 1, before the chain begins.
const GENESIS: u64 = 1_600_000_000;

/// A network of one member.
#[derive(Clone, Copy, Debug)]
struct Signer {
    secret: Fr,
}

impl Signer {
    fn new(secret: u64) -> Signer {
        Signer {
            secret: Fr::from(secret),
        }
    }

    fn network(&self) -> DrandNetwork {
        let key: G2Affine = (G2Affine::generator() * self.secret).into();
        let mut bytes = Vec::new();
        key.serialize_compressed(&mut bytes).unwrap();
        DrandNetwork::new(&bytes, GENESIS, PERIOD).unwrap()
    }

    fn sign(&self, round: u64) -> Vec<u8> {
        let hasher = MapToCurveBasedHasher::<
            G1Projective,
            DefaultFieldHasher<Sha256, 128>,
            WBMap<g1::Config>,
        >::new(DST)
        .unwrap();
        let message = hasher.hash(&Sha256::digest(round.to_be_bytes())).unwrap();
        let signature: G1Affine = (message * self.secret).into();
        let mut bytes = Vec::new();
        signature.serialize_compressed(&mut bytes).unwrap();
        bytes
    }

    fn value(&self, round: u64) -> B256 {
        B256::from_slice(&Sha256::digest(self.sign(round)))
    }
}

#[async_trait]
impl BeaconSource for Signer {
    async fn round(&self, network: &DrandNetwork, round: u64) -> Result<DrandRound, SourceError> {
        assert_eq!(*network, self.network(), "the contract's own");
        Ok(network.verify(round, &self.sign(round)).unwrap())
    }
}

/// Nobody has any round.
struct Outage;

#[async_trait]
impl BeaconSource for Outage {
    async fn round(&self, _: &DrandNetwork, round: u64) -> Result<DrandRound, SourceError> {
        let reasons = vec!["relay.example has it not".to_owned()];
        Err(SourceError::Nowhere { round, reasons })
    }
}

/// A keeper that fetches while the chain's clock stands still.
struct Patient(Keeper);

#[async_trait]
impl Role for Patient {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn address(&self) -> Address {
        self.0.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        for _ in 0..6_000 {
            let act = self.0.tick(board).await?;
            let fetches = chores(board).iter().any(|c| matches!(c, Chore::Publish(_)));
            if act.is_some() || !fetches {
                return Ok(act);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a round was never fetched")
    }
}

async fn world(signer: &Signer, audit_ppm: u32) -> World {
    let beacon = BeaconChoice::Drand {
        network: Box::new(signer.network()),
        drift: 15,
    };
    let endpoint = Endpoint::in_process(SharedChain::in_memory(Genesis::default()));
    let model = shipped::load("digits-small").unwrap();
    World::drawn_by(beacon, endpoint, model, audit_ppm, Windows::Fast).await
}

/// Every value on the chain is the network's.
fn all_signed(signer: &Signer, board: &Board) -> usize {
    for (round, value) in &board.beacon.values {
        assert_eq!(*value, signer.value(*round), "round {round}");
        assert!(board.now() >= board.beacon.time_of(*round));
    }
    board.beacon.values.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn audits_and_referees_are_drawn_by_the_networks_rounds() {
    let signer = Signer::new(0x6761_7665_6c00);
    let mut world = world(&signer, 1_000_000).await;
    let (cheat, honest) = world.cheat_among_three().await;
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let keeper = Keeper::new(world.party("keeper").await).with_source(Arc::new(signer));
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.resigned(&cheat)),
        Box::new(Requester::new(requester.clone())),
        Box::new(Patient(keeper)),
    ];
    for party in &honest {
        roles.push(Box::new(world.provider(party, 4 * UNIT)));
        roles.push(Box::new(Auditor::new(party.clone())));
        roles.push(Box::new(Referee::new(party.clone())));
    }
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    let board = world.board().await;
    assert_eq!(board.beacon.scheme, BeaconScheme::Drand);
    assert_eq!((board.beacon.period, board.beacon.drift), (PERIOD, 15));
    let audit = &board.audits[&(task, 0)].audit;
    assert_eq!(audit.state, AuditState::Mismatched);
    let dispute = board.dispute(audit.dispute).unwrap();
    assert_eq!(dispute.state, DisputeState::Upheld);
    assert!(board.is_tombstoned(&cheat.address()));
    // one for the audit, one for its chunk, one for the referee, and the same of the attempt after
    assert!(all_signed(&signer, board) >= 4, "{:?}", board.beacon.values);
    let seed = board.beacon.round_after(audit.committed_at);
    assert!(board.beacon.time_of(seed) > audit.committed_at + 15);
    assert!(board.beacon_value(seed).is_some());
    for party in &honest {
        assert!(stake(board, &party.address()) >= STAKE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_stops_nothing_else_and_ends() {
    let signer = Signer::new(77);
    let mut world = world(&signer, 1_000_000).await;
    let (served, other) = (world.staked("served").await, world.staked("other").await);
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let mut roles: Vec<Box<dyn Role>> = vec![Box::new(world.provider(&served, UNIT))];
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Committed)
        .await;
    world.pass(3_600).await;

    // a task that nobody claims is there to be expired meanwhile
    let slow = world.post(&requester).await;
    world.pass(3_600).await;
    let party = world.party("keeper").await;
    let mut keeper = Keeper::new(party.clone()).with_source(Arc::new(Outage));
    let mut told = None;
    for _ in 0..1_000 {
        match keeper.tick(world.board().await).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => {
                told = Some(error.to_string());
                break;
            }
        }
    }
    let told = told.unwrap();
    assert!(told.contains("relay.example has it not"), "{told}");
    assert_eq!(state(world.board().await, slow), TaskState::Expired);
    assert_eq!(all_signed(&signer, world.board().await), 0);

    // hours late, the same round decides: nobody had another draw by it
    let decides = world.board().await.audit_round(task).unwrap();
    let keeper = Keeper::new(party).with_source(Arc::new(signer));
    roles.push(Box::new(Patient(keeper)));
    roles.push(Box::new(Auditor::new(other.clone())));
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    let board = world.board().await;
    assert_eq!(board.beacon_value(decides), Some(signer.value(decides)));
    let audit = &board.audits[&(task, 0)].audit;
    assert_eq!(audit.state, AuditState::Matched);
    assert_eq!(stake(board, &other.address()), STAKE);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_publishes_what_the_network_has_not_signed() {
    let (signer, other) = (Signer::new(5), Signer::new(6));
    let mut world = world(&signer, 1_000_000).await;
    let anyone = world.party("anyone").await;
    let beacon = world.network.deployment().beacon;
    let now = world.board().await.now();
    let newest = (now - GENESIS) / PERIOD + 1;
    let publish = |by: Signer, signed: u64, round: u64| {
        let found = by.network().verify(signed, &by.sign(signed)).unwrap();
        let call = DrandBeacon::publishCall {
            round,
            signature: found.point,
        };
        let account = anyone.account.clone();
        async move {
            match account.send(beacon, call).await {
                Ok(_) => "published".to_owned(),
                Err(SendError::Reverted { error, .. }) => error,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let said = publish(other, newest, newest).await;
    assert!(said.contains("WrongSignature"), "{said}");
    let said = publish(signer, newest - 1, newest).await;
    assert!(said.contains("WrongSignature"), "{said}");
    let early = newest + 1_000;
    let said = publish(signer, early, early).await;
    assert!(said.contains("TooEarly"), "{said}");
    assert_eq!(publish(signer, newest, newest).await, "published");
    let said = publish(signer, newest, newest).await;
    assert!(said.contains("AlreadyPublished"), "{said}");
    let board = world.board().await;
    assert_eq!(all_signed(&signer, board), 1);
}

/// A keeper whose source has nothing, and who goes on with the rest.
struct Deaf(Keeper);

#[async_trait]
impl Role for Deaf {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn address(&self) -> Address {
        self.0.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        match self.0.tick(board).await {
            Err(NodeError::Beacon { .. }) => Ok(None),
            other => other,
        }
    }
}

const SLACK: u64 = 90;

#[tokio::test(flavor = "multi_thread")]
async fn secrets_draw_where_drand_is_silent_and_nowhere_else() {
    let signer = Signer::new(0xfa11_bac0);
    let beacon = BeaconChoice::Fallback {
        network: Box::new(signer.network()),
        drift: 15,
        slack: SLACK,
        other: CommitRevealChoice {
            period: 200,
            quorum: 2,
            bond: 50 * UNIT,
        },
    };
    let endpoint = Endpoint::in_process(SharedChain::in_memory(Genesis::default()));
    let model = shipped::load("digits-small").unwrap();
    let mut world = World::drawn_by(beacon, endpoint, model, 1_000_000, Windows::Fast).await;
    let (served, other) = (world.staked("served").await, world.staked("other").await);
    let requester = world.party("requester").await;
    let keeper = world.party("keeper").await;
    let mut parties = Vec::new();
    let mut participants: Vec<Box<dyn Role>> = Vec::new();
    for name in ["one", "two"] {
        let party = world.party(name).await;
        participants.push(Box::new(Participant::new(party.clone())));
        parties.push(party);
    }
    let source = Arc::new(signer);
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(Patient(Keeper::new(keeper.clone()).with_source(source))),
        Box::new(world.provider(&served, UNIT)),
        Box::new(Auditor::new(other.clone())),
    ];
    roles.append(&mut participants);
    let first = world.post(&requester).await;
    world
        .until(&mut roles, |b| state(b, first) == TaskState::Settled)
        .await;
    let board = world.board().await.clone();
    assert_eq!(board.beacon.scheme, BeaconScheme::Fallback);
    assert_eq!(board.beacon.slack, SLACK);
    // one for the audit, one for its chunk; nobody had to commit to anything
    assert!(all_signed(&signer, &board) >= 2);
    let rounds = board.beacon.secrets.unwrap();
    for party in &parties {
        let open = rounds.round_after(board.now());
        let found = standing(&world.network, &rounds, party.address(), open).await;
        let found = found.unwrap();
        assert_eq!((found.joined, found.round), (true, 0));
    }
    let known: Vec<u64> = board.beacon.values.keys().copied().collect();

    // drand falls silent
    roles[0] = Box::new(Deaf(Keeper::new(keeper).with_source(Arc::new(Outage))));
    let second = world.post(&requester).await;
    world
        .until(&mut roles, |b| state(b, second) == TaskState::Settled)
        .await;
    let board = world.board().await.clone();
    assert_eq!(board.audits[&(second, 0)].audit.state, AuditState::Matched);
    let new = board.beacon.values.iter();
    let new: Vec<_> = new.filter(|(round, _)| !known.contains(round)).collect();
    assert!(new.len() >= 2, "{new:?}");
    let secrets = CommitRevealBeacon::new(rounds.address, world.network.provider());
    let whole = FallbackBeacon::new(board.contracts.beacon, world.network.provider());
    for (round, value) in new {
        let fallback = board.beacon.fallback_of(*round).unwrap();
        assert_ne!(*value, signer.value(*round), "round {round}");
        let drawn = secrets.valueOf(fallback).call().await.unwrap();
        assert_eq!(*value, drawn, "round {round}");
        // what decided began after drand's last second
        assert!(rounds.time_of(fallback) > board.beacon.time_of(*round) + SLACK);
        let at = whole.publishedAt(*round).call().await.unwrap();
        assert!(at >= rounds.time_of(fallback));
        assert!(!whole.spoiled(*round).call().await.unwrap());
    }
    for party in &parties {
        assert_eq!(
            purse(&world, party).await,
            10_000 * UNIT - 50 * UNIT,
            "its bond alone"
        );
    }
    assert_eq!(stake(&board, &served.address()), STAKE);
}
