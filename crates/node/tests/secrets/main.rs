//! Draws by secrets that participants commit to and reveal: on the embedded chain, with a clock that the test moves.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../crashes/meter.rs"]
mod meter;
mod mortal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use common::network::{STAKE, World, purse, stake, state};
use gavel_model::shipped;
use gavel_node::board::{AuditState, BeaconScheme, DisputeState, TaskState};
use gavel_node::roles::{Auditor, Monitor, Participant, Referee, Requester, Step, standing};
use gavel_node::{Act, Address, B256, Board, NodeError, Party, Role, U256};
use gavel_settlement::alloy::primitives::keccak256;
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::bindings::CommitRevealBeacon;
use gavel_settlement::chain::Genesis;
use gavel_settlement::dev_params::{UNIT, Windows};
use gavel_settlement::{
    BeaconChoice, CommitRevealChoice, Endpoint, Network, SendError, SharedChain,
};
use gavel_state::Table;

const ROUNDS: CommitRevealChoice = CommitRevealChoice {
    period: 200,
    quorum: 2,
    bond: 50 * UNIT,
};
/// What everybody has in the beginning.
const PURSE: u128 = 10_000 * UNIT;

async fn world(audit_ppm: u32) -> World {
    let endpoint = Endpoint::in_process(SharedChain::in_memory(Genesis::default()));
    let model = shipped::load("digits-small").unwrap();
    let beacon = BeaconChoice::CommitReveal(ROUNDS);
    World::drawn_by(beacon, endpoint, model, audit_ppm, Windows::Fast).await
}

/// Lets these participants end, and sees that they have their bonds back and keep no secret.
async fn end(world: &mut World, parties: &[Party], roles: &mut [Box<dyn Role>], flag: &AtomicBool) {
    flag.store(true, Ordering::Relaxed);
    let rounds = world.board().await.beacon.secrets.unwrap();
    for _ in 0..100 {
        let mut acted = false;
        for role in roles.iter_mut() {
            acted |= role.tick(world.board().await).await.unwrap().is_some();
        }
        let mut joined = false;
        for party in parties {
            let who = party.address();
            joined |= standing(&world.network, &rounds, who, 2)
                .await
                .unwrap()
                .joined;
        }
        if !joined {
            break;
        }
        if !acted {
            world.pass(30).await;
        }
    }
    world.pass(3 * ROUNDS.period).await;
    for (party, role) in parties.iter().zip(roles) {
        assert!(role.tick(world.board().await).await.unwrap().is_none());
        assert_eq!(purse(world, party).await, PURSE, "{}", party.name);
        let kept = party.protection.store().scan(Table::Secrets).await.unwrap();
        assert_eq!(kept, [], "forgotten");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audits_and_referees_are_drawn_by_secrets_and_the_bonds_come_back() {
    let mut world = world(1_000_000).await;
    let (cheat, honest) = world.cheat_among_three().await;
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.resigned(&cheat)),
        Box::new(Requester::new(requester.clone())),
        world.keeper().await,
    ];
    for party in &honest {
        roles.push(Box::new(world.provider(party, 4 * UNIT)));
        roles.push(Box::new(Auditor::new(party.clone())));
        roles.push(Box::new(Referee::new(party.clone())));
    }
    let ending = Arc::new(AtomicBool::new(false));
    let mut parties = Vec::new();
    for name in ["one", "two", "three"] {
        let party = world.party(name).await;
        let role = Participant::new(party.clone())
            .ending(Arc::clone(&ending))
            .leaving();
        roles.push(Box::new(role));
        parties.push(party);
    }
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    let board = world.board().await.clone();
    assert_eq!(board.beacon.scheme, BeaconScheme::CommitReveal);
    let audit = &board.audits[&(task, 0)].audit;
    assert_eq!(audit.state, AuditState::Mismatched);
    assert_eq!(
        board.dispute(audit.dispute).unwrap().state,
        DisputeState::Upheld
    );
    assert!(board.is_tombstoned(&cheat.address()));
    for party in &honest {
        assert!(stake(&board, &party.address()) >= STAKE);
    }
    // one for the audit, one for its chunk, one for the referee, and the same of the attempt after
    assert!(board.beacon.values.len() >= 4, "{:?}", board.beacon.values);
    let rounds = board.beacon.secrets.unwrap();
    let contract = CommitRevealBeacon::new(rounds.address, world.network.provider());
    for round in board.beacon.values.keys() {
        let at = contract.publishedAt(*round).call().await.unwrap();
        assert!(at >= rounds.time_of(*round) && at <= rounds.closes(*round));
        let found = contract.rounds(*round).call().await.unwrap();
        assert_eq!((found.commits, found.reveals), (3, 3), "round {round}");
    }
    let mut participants = roles.split_off(roles.len() - 3);
    end(&mut world, &parties, &mut participants, &ending).await;
}

/// Commits, and never reveals.
struct Withholder {
    inner: Participant,
    network: Network,
}

#[async_trait]
impl Role for Withholder {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn address(&self) -> Address {
        self.inner.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let (rounds, now) = (board.beacon.secrets.unwrap(), board.now());
        let open = rounds.round_after(now);
        let standing = standing(&self.network, &rounds, self.address(), open).await?;
        match standing.step(&rounds, &[], now, true, false) {
            Step::Reveal(_) => Ok(None),
            Step::Out(withheld) => {
                // an honest role that was away says so, and goes on with nothing
                let told = self.inner.tick(board).await.unwrap_err();
                assert!(matches!(told, NodeError::SecretWithheld { round } if round == withheld));
                Ok(None)
            }
            _ => self.inner.tick(board).await,
        }
    }
}

fn is_selected(value: B256, task: u64, rate: u32) -> bool {
    let drawn = keccak256((value, U256::from(task), U256::ZERO).abi_encode());
    U256::from_be_bytes(drawn.0) % U256::from(1_000_000) < U256::from(rate)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withholds_loses_its_bond_and_everything_due_is_audited() {
    const RATE: u32 = 100_000;
    let mut world = world(RATE).await;
    let (served, other) = (world.staked("served").await, world.staked("other").await);
    let requester = world.party("requester").await;
    let ending = Arc::new(AtomicBool::new(false));
    let mut parties = Vec::new();
    let mut honest: Vec<Box<dyn Role>> = Vec::new();
    for name in ["one", "two"] {
        let party = world.party(name).await;
        let role = Participant::new(party.clone())
            .ending(Arc::clone(&ending))
            .leaving();
        honest.push(Box::new(role));
        parties.push(party);
    }
    let withholder = world.party("withholder").await;
    // from the beginning of a round, so that both results are decided about by the same
    let rounds = world.board().await.beacon.secrets.unwrap();
    let now = world.board().await.now();
    let begins = rounds.time_of(rounds.round_after(now));
    world.pass(begins - now).await;
    let tasks = [world.post(&requester).await, world.post(&requester).await];
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.provider(&served, UNIT)),
        Box::new(world.provider(&other, UNIT)),
        Box::new(Auditor::new(served.clone())),
        Box::new(Auditor::new(other.clone())),
        world.keeper().await,
        Box::new(Withholder {
            inner: Participant::new(withholder.clone()),
            network: world.network.clone(),
        }),
    ];
    roles.append(&mut honest);
    let committed = |b: &Board| tasks.iter().all(|t| state(b, *t) == TaskState::Committed);
    world.until(&mut roles, committed).await;
    let board = world.board().await;
    let due = tasks.map(|task| board.audit_round(task).unwrap());
    assert_eq!(due[0], due[1]);
    let settled = |b: &Board| tasks.iter().all(|t| state(b, *t) == TaskState::Settled);
    world.until(&mut roles, settled).await;

    let board = world.board().await.clone();
    let contract = CommitRevealBeacon::new(rounds.address, world.network.provider());
    assert!(contract.spoiled(due[0]).call().await.unwrap());
    let found = contract.rounds(due[0]).call().await.unwrap();
    assert_eq!((found.commits, found.reveals), (3, 2));
    assert!(!board.beacon.values.contains_key(&due[0]));
    // the next round's value draws, and takes nobody out of the lottery
    let value = board.beacon_value(due[0]).unwrap();
    assert_eq!(board.beacon.values[&(due[0] + 1)], value);
    assert!(!tasks.iter().all(|task| is_selected(value, *task, RATE)));
    for task in tasks {
        let audit = &board.audits[&(task, 0)].audit;
        assert_eq!(audit.state, AuditState::Matched, "task {task}");
    }
    for party in [&served, &other] {
        assert_eq!(stake(&board, &party.address()), STAKE);
    }
    let mut honest = roles.split_off(6);
    end(&mut world, &parties, &mut honest, &ending).await;
    // its bond stays where it is, for ever
    let leave = CommitRevealBeacon::leaveCall {};
    let refused = withholder.account.send(rounds.address, leave).await;
    let Err(SendError::Reverted { error, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(error.contains("WithheldSecret"), "{error}");
    assert_eq!(purse(&world, &withholder).await, PURSE - ROUNDS.bond);
    let token = world.network.token();
    let left = token.balanceOf(rounds.address).call().await.unwrap();
    assert_eq!(left, U256::from(ROUNDS.bond));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_part_without_the_bond_in_too_short_rounds_or_where_there_are_none() {
    let mut world = world(250_000).await;
    let poor = world.party("poor").await;
    let patient = world.party("patient").await;
    let away = gavel_settlement::bindings::DevToken::transferCall {
        to: patient.address(),
        value: U256::from(PURSE - ROUNDS.bond + 1),
    };
    let token = world.network.deployment().token;
    poor.account.send(token, away).await.unwrap();
    let told = Participant::new(poor.clone())
        .tick(world.board().await)
        .await;
    let told = told.unwrap_err().to_string();
    assert!(
        told.contains("the bond of the beacon is 50 tokens"),
        "{told}"
    );
    let mut slow = Participant::new(patient).with_least_reveal(ROUNDS.period + 1);
    let told = slow
        .tick(world.board().await)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("is 200 s") && told.contains("with 201 s"),
        "{told}"
    );
    let mut world = World::new(250_000).await;
    let party = world.party("eager").await;
    let told = Participant::new(party).tick(world.board().await).await;
    assert!(matches!(told, Err(NodeError::NoSecrets { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_that_waits_for_participants_is_told_once() {
    let mut world = world(250_000).await;
    let (served, requester) = (world.staked("served").await, world.party("requester").await);
    let task = world.post(&requester).await;
    let mut roles: Vec<Box<dyn Role>> = vec![Box::new(world.provider(&served, UNIT))];
    let committed = |b: &Board| state(b, task) == TaskState::Committed;
    world.until(&mut roles, committed).await;
    let mut monitor = Monitor::new(requester);
    let round = world.board().await.audit_round(task).unwrap();
    let due = world.board().await.beacon.time_of(round);
    for (after, told) in [(15, 0), (16, 1), (600, 0)] {
        let now = world.board().await.now();
        world.pass(due + after - now).await;
        let alerts = monitor.look(world.board().await).await.alerts;
        let of_round = alerts.iter().filter(|a| a.code == "GVL-WATCH-009");
        assert_eq!(of_round.count(), told, "{after}: {alerts:?}");
    }
}
