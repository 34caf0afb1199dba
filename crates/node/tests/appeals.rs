//! Appeals between parties on the embedded chain, down to the step that the contract executes.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::network::{STAKE, World, purse, stake, state};
use gavel_model::shipped;
use gavel_node::board::{DisputeState, TaskState};
use gavel_node::faults::{FaultyExecutor, OneUlp};
use gavel_node::roles::{Auditor, Referee, Watcher};
use gavel_node::{Act, Address, Board, Executor, Fault, NodeError, Party, Role, U256};
use gavel_settlement::bindings::{AppealOutcome, ICourt};
use gavel_settlement::dev_params::UNIT;
use gavel_trace::{Digest, MerkleTree};

const AUDITS: u32 = 250_000;

type Roles = Vec<Box<dyn Role>>;

async fn digits() -> World {
    World::of(shipped::load("digits").unwrap(), AUDITS).await
}

async fn staked_with(world: &mut World, name: &str, executor: FaultyExecutor) -> Party {
    let party = world.party_with(name, Arc::new(executor)).await;
    world.join(&party).await;
    party
}

/// Providers that were bought, all of them: each rules the opposite of what it computes.
async fn bribed(world: &mut World, count: usize) -> (Vec<Party>, Roles) {
    let mut judges = Vec::new();
    for i in 0..count {
        judges.push(world.staked(&format!("bribed-{i}")).await);
    }
    let lying = |party: &Party| Box::new(Referee::new(party.clone()).lying(true)) as Box<dyn Role>;
    let roles = judges.iter().map(lying).collect();
    (judges, roles)
}

fn serves(world: &World, party: &Party) -> Box<dyn Role> {
    Box::new(world.provider(party, UNIT))
}

fn all_closed(board: &Board) -> bool {
    !board.disputes.is_empty() && board.open_disputes().next().is_none()
}

fn appealed(board: &Board) -> bool {
    board
        .disputes
        .get(&1)
        .is_some_and(|d| d.dispute.state == DisputeState::Appealed)
}

fn said(acts: &[(String, Act)], what: &str) -> bool {
    acts.iter().any(|(_, act)| act.what.contains(what))
}

fn verdict(board: &Board) -> DisputeState {
    assert_eq!(board.disputes.len(), 1);
    board.disputes[&1].dispute.state
}

/// The last element of a node's output that leaves a mark on the trace when it is off by one unit.
fn falsified(world: &World, node: usize, elements: usize) -> OneUlp {
    let root = |executor: &dyn Executor| {
        let run = executor.run(&world.model, &world.inputs).unwrap();
        run.trace.trace_root()
    };
    let honest = root(world.honest.as_ref());
    let ulps = (0..elements).rev().map(|element| OneUlp { node, element });
    ulps.into_iter()
        .find(|ulp| root(&FaultyExecutor::one_ulp_at(Arc::clone(&world.honest), *ulp)) != honest)
        .unwrap()
}

/// One element of one operator off by one unit in the last place, and every referee bribed.
async fn one_honest_challenger_beats_everyone(model: gavel_model::Model, node: usize) {
    let elements = model.graph().nodes[node].output.elements().unwrap();
    let mut world = World::of(model, AUDITS).await;
    let ulp = falsified(&world, node, elements);
    let cheat = FaultyExecutor::one_ulp_at(Arc::clone(&world.honest), ulp);
    let cheat = staked_with(&mut world, "cheat", cheat).await;
    let (judges, bought) = bribed(&mut world, 2).await;
    let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
    let before = purse(&world, &watcher).await;
    world.post(&requester).await;
    let mut roles: Roles = vec![
        serves(&world, &cheat),
        Box::new(Watcher::new(watcher.clone())),
        world.keeper().await,
    ];
    roles.extend(bought);
    let acts = world.until(&mut roles, all_closed).await;
    assert!(said(&acts, "appeals"), "{ulp:?}");
    let board = world.board().await;
    assert_eq!(verdict(board), DisputeState::Upheld, "{ulp:?}");
    assert!(board.is_tombstoned(&cheat.address()));
    let entry = &board.disputes[&1];
    assert!(!entry.dispute.ruled_guilty);
    assert!(board.is_tombstoned(&entry.dispute.referee), "{ulp:?}");
    let punished = judges.iter().filter(|j| board.is_tombstoned(&j.address()));
    assert_eq!(punished.count(), 1);
    assert!(entry.appeal.decided.is_some(), "{ulp:?}: {acts:#?}");
    assert!(entry.appeal.rounds <= 16, "{}", entry.appeal.rounds);
    assert!(purse(&world, &watcher).await > before, "{ulp:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_operator_of_the_digit_model_falsified_by_one_ulp_is_convicted_with_every_referee_bribed()
 {
    let model = shipped::load("digits").unwrap();
    for node in 0..model.graph().nodes.len() {
        one_honest_challenger_beats_everyone(model.clone(), node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_among_many_of_a_segment_is_convicted_with_every_referee_bribed() {
    for node in [7, 41, 58] {
        one_honest_challenger_beats_everyone(common::tall(), node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everyone_bribed_against_an_honest_provider_the_provider_wins() {
    for (fault, seed) in [Fault::OneUlp, Fault::Weight, Fault::WrongTrace]
        .into_iter()
        .zip(1..)
    {
        let mut world = digits().await;
        let server = world.staked("server").await;
        let (judges, bought) = bribed(&mut world, 2).await;
        let lie = FaultyExecutor::new(Arc::clone(&world.honest), &[fault], seed);
        let accuser = world.party_with("accuser", Arc::new(lie)).await;
        let requester = world.party("requester").await;
        let task = world.post(&requester).await;
        let before = purse(&world, &server).await;
        let mut roles: Roles = vec![
            serves(&world, &server),
            Box::new(Watcher::new(accuser.clone())),
            world.keeper().await,
        ];
        roles.extend(bought);
        world
            .until(&mut roles, |b| state(b, task) == TaskState::Settled)
            .await;
        let board = world.board().await;
        assert_eq!(verdict(board), DisputeState::Cleared, "{fault}");
        assert_eq!(stake(board, &server.address()), STAKE, "{fault}");
        let dispute = &board.disputes[&1].dispute;
        assert!(dispute.ruled_guilty);
        assert!(board.is_tombstoned(&dispute.referee), "{fault}");
        assert!(judges.iter().any(|j| j.address() == dispute.referee));
        assert!(purse(&world, &server).await > before, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cheat_that_appeals_loses_all_the_same_and_its_referee_is_paid() {
    let mut world = digits().await;
    let lie = FaultyExecutor::new(Arc::clone(&world.honest), &[Fault::OneUlp], 1);
    let cheat = staked_with(&mut world, "cheat", lie).await;
    let judge = world.staked("judge").await;
    let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
    world.post(&requester).await;
    let mut roles: Roles = vec![
        serves(&world, &cheat),
        Box::new(Watcher::new(watcher)),
        Box::new(Referee::new(judge.clone())),
        world.keeper().await,
    ];
    let acts = world.until(&mut roles, all_closed).await;
    assert!(said(&acts, "appeals"));
    let board = world.board().await;
    assert_eq!(verdict(board), DisputeState::Upheld);
    assert!(board.is_tombstoned(&cheat.address()));
    assert_eq!(stake(board, &judge.address()), STAKE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_referee_outlives_sides_that_lose_on_purpose() {
    // a right result whose provider falls silent, and a wrong one whose challenger does
    for provider_throws in [true, false] {
        let mut world = digits().await;
        let lie = FaultyExecutor::new(Arc::clone(&world.honest), &[Fault::OneUlp], 1);
        let (server, challenger) = if provider_throws {
            let server = world.staked("server").await;
            (server, world.party_with("friend", Arc::new(lie)).await)
        } else {
            let server = staked_with(&mut world, "server", lie).await;
            (server, world.party("friend").await)
        };
        let judge = world.staked("judge").await;
        let requester = world.party("requester").await;
        world.post(&requester).await;
        let mut roles: Roles = vec![
            Box::new(Referee::new(judge.clone())),
            // if it is drawn as auditor too it agrees: an audit's dispute would overtake this one
            Box::new(Auditor::new(Party {
                executor: Arc::clone(&server.executor),
                ..judge.clone()
            })),
            world.keeper().await,
            serves(&world, &server),
            Box::new(Watcher::new(challenger)),
        ];
        world.until(&mut roles, appealed).await;
        // whoever the ruling spoke for leaves
        roles.remove(if provider_throws { 3 } else { 4 });
        world.until(&mut roles, all_closed).await;
        let board = world.board().await;
        let entry = &board.disputes[&1];
        let game = entry.appeal.game.as_ref().unwrap();
        assert!(game.replay, "{provider_throws}: {entry:#?}");
        let wanted = if provider_throws {
            (DisputeState::Cleared, AppealOutcome::Cleared)
        } else {
            (DisputeState::Upheld, AppealOutcome::Guilty)
        };
        let outcome = entry.appeal.game.as_ref().unwrap().outcome;
        assert_eq!((entry.dispute.state, outcome), wanted);
        assert_eq!(stake(board, &judge.address()), STAKE);
        assert!(!board.is_tombstoned(&judge.address()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_referee_can_be_had_the_levels_decide() {
    let mut world = digits().await;
    let lie = FaultyExecutor::new(Arc::clone(&world.honest), &[Fault::Weight], 1);
    let cheat = staked_with(&mut world, "cheat", lie).await;
    let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
    world.post(&requester).await;
    let mut roles: Roles = vec![
        serves(&world, &cheat),
        Box::new(Watcher::new(watcher)),
        world.keeper().await,
    ];
    world.until(&mut roles, all_closed).await;
    let board = world.board().await;
    assert_eq!(verdict(board), DisputeState::Upheld);
    assert_eq!(board.disputes[&1].dispute.ruled_at, 0);
    assert!(board.is_tombstoned(&cheat.address()));
}

/// A referee that says of every claim that it is wrong at an operator before, where it is right.
struct Earlier(Party);

#[async_trait::async_trait]
impl Role for Earlier {
    fn name(&self) -> &str {
        "pointer"
    }

    fn address(&self) -> Address {
        self.0.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let duties = board.open_disputes();
        let mine = duties.filter(|(_, entry)| entry.dispute.referee == self.address());
        for (id, entry) in mine {
            let d = &entry.dispute;
            let (Some(rows), Some(index)) = (&entry.segment, d.isolated_index.checked_sub(1))
            else {
                continue;
            };
            if d.state != DisputeState::Refereed {
                continue;
            }
            // the first row of a tree of at most sixteen operators is its leaves
            let tree =
                MerkleTree::new(rows.ops_row.len().ilog2() as u8, rows.ops_row.clone()).unwrap();
            let opening = tree.open(index.into()).unwrap();
            let word = |digest: &Digest| digest.0.into();
            let call = ICourt::ruleEarlierCall {
                disputeId: U256::from(id),
                index,
                providerDigest: word(&tree.leaf(index.into()).unwrap()),
                ownDigest: word(&Digest([7; 32])),
                proof: opening.siblings.iter().map(word).collect(),
            };
            return self
                .0
                .act(board, board.contracts.court, call, "points before it")
                .await;
        }
        Ok(None)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_an_earlier_operator_cost_referees_their_stake_and_keep_no_claim_from_court() {
    let model = shipped::load("digits").unwrap();
    let inside = model.segments().iter().find(|s| s.op_count > 1).unwrap();
    let node = (inside.first_node + inside.op_count - 1) as usize;
    let elements = model.graph().nodes[node].output.elements().unwrap();
    let mut world = World::of(model, AUDITS).await;
    let ulp = falsified(&world, node, elements);
    let cheat = FaultyExecutor::one_ulp_at(Arc::clone(&world.honest), ulp);
    let cheat = staked_with(&mut world, "cheat", cheat).await;
    let mut judges = Vec::new();
    for i in 0..3 {
        judges.push(world.staked(&format!("pointer-{i}")).await);
    }
    let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
    world.post(&requester).await;
    let mut roles: Roles = vec![
        serves(&world, &cheat),
        Box::new(Watcher::new(watcher)),
        world.keeper().await,
    ];
    for judge in &judges {
        roles.push(Box::new(Earlier(judge.clone())));
    }
    let acts = world.until(&mut roles, all_closed).await;
    let board = world.board().await;
    assert_eq!(verdict(board), DisputeState::Upheld, "{acts:#?}");
    let d = &board.disputes[&1].dispute;
    assert!(!d.earlier && d.hops == 2);
    assert!(board.is_tombstoned(&cheat.address()));
    // the third was not allowed to point any more, and was late
    let lost = judges.iter().filter(|j| board.is_tombstoned(&j.address()));
    assert_eq!(lost.count(), 2);
}
