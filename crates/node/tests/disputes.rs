//! Disputes between parties on the embedded chain, from the wrong result to the verdict.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::network::{STAKE, World, purse, stake, state};
use gavel_model::shipped;
use gavel_node::board::{DisputeState, TaskState};
use gavel_node::evidence::{JudgeLimits, gather, judge};
use gavel_node::faults::{FaultyExecutor, sock_puppet};
use gavel_node::roles::{Auditor, Keeper, Provider, ProviderPolicy, Referee, Watcher};
use gavel_node::{Act, Blobs, Board, Executor, Fault, Party, Role};
use gavel_settlement::dev_params::UNIT;
use gavel_trace::FineIndex;

const RESULTS: [Fault; 4] = [
    Fault::Weight,
    Fault::OneUlp,
    Fault::SmallerModel,
    Fault::WrongTrace,
];
const AUDITS: u32 = 250_000;

type Roles = Vec<Box<dyn Role>>;

async fn world() -> World {
    World::of(shipped::load("digits").unwrap(), AUDITS).await
}

fn lies(world: &World, fault: Fault, seed: u64) -> FaultyExecutor {
    FaultyExecutor::new(Arc::clone(&world.honest), &[fault], seed)
}

/// Somebody with stake who computes with this.
async fn staked_with(world: &mut World, name: &str, executor: FaultyExecutor) -> Party {
    let party = world.party_with(name, Arc::new(executor)).await;
    world.join(&party).await;
    party
}

async fn referees(world: &mut World, count: usize) -> Vec<Party> {
    let mut found = Vec::new();
    for i in 0..count {
        found.push(world.staked(&format!("referee-{i}")).await);
    }
    found
}

fn serves(world: &World, party: &Party) -> Box<dyn Role> {
    Box::new(world.provider(party, UNIT))
}

/// Serves, and takes what a referee says.
fn serves_meekly(world: &World, party: &Party) -> Box<dyn Role> {
    Box::new(Provider::new(party.clone(), meek(world)))
}

fn meek(world: &World) -> ProviderPolicy {
    ProviderPolicy {
        appeals: false,
        ..ProviderPolicy::honest(UNIT, vec![world.model])
    }
}

fn ruling(parties: &[Party]) -> impl Iterator<Item = Box<dyn Role>> {
    let judges = parties.iter().cloned();
    judges.map(|party| Box::new(Referee::new(party)) as Box<dyn Role>)
}

/// How the disputes about a task ended, in their order.
fn ended(board: &Board, task: u64) -> Vec<DisputeState> {
    let about = board.disputes.values().map(|entry| &entry.dispute);
    about.filter(|d| d.task == task).map(|d| d.state).collect()
}

fn all_closed(board: &Board) -> bool {
    !board.disputes.is_empty() && board.open_disputes().next().is_none()
}

/// What evidence of a dispute shows; by default it is the watcher who has it.
async fn shown(world: &mut World, party: &Party, dispute: u64) -> bool {
    let board = world.board().await;
    let evidence = gather(party, board, dispute).await.unwrap().unwrap();
    let found = judge(&evidence, &JudgeLimits::default()).unwrap();
    if let Some(holds) = found.ruling_holds {
        assert!(holds);
    }
    found.claim_holds()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_result_is_upheld_whatever_the_lie_and_the_task_is_served_again() {
    for (fault, seed) in RESULTS.into_iter().zip(3..) {
        let mut world = world().await;
        let lie = lies(&world, fault, seed);
        let liar = staked_with(&mut world, "liar", lie).await;
        let judges = referees(&mut world, 2).await;
        let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
        let task = world.post(&requester).await;
        let mut roles: Roles = vec![
            serves_meekly(&world, &liar),
            Box::new(Watcher::new(watcher.clone())),
            world.keeper().await,
        ];
        roles.extend(ruling(&judges));
        world.until(&mut roles, all_closed).await;
        let board = world.board().await;
        assert_eq!(ended(board, task), [DisputeState::Upheld], "{fault}");
        assert!(board.is_tombstoned(&liar.address()));
        assert!(stake(board, &liar.address()) < STAKE);
        assert!(board.disputes[&1].dispute.isolated_at != 0, "{fault}");
        let first = &board.tasks[&task].attempts[0];
        assert_eq!(first.ended.as_deref(), Some("guilty"));
        // the attempt is gone, the evidence is not
        assert!(!shown(&mut world, &watcher, 1).await, "{fault}");

        roles.push(serves(&world, &judges[0]));
        world
            .until(&mut roles, |b| state(b, task) == TaskState::Settled)
            .await;
        assert_eq!(world.board().await.disputes.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_challenge_is_cleared_and_pays_the_provider() {
    for fault in RESULTS {
        let mut world = world().await;
        let server = world.staked("server").await;
        let judges = referees(&mut world, 2).await;
        let lie = lies(&world, fault, 1);
        let accuser = world.party_with("accuser", Arc::new(lie)).await;
        let requester = world.party("requester").await;
        let task = world.post(&requester).await;
        let mut roles: Roles = vec![
            serves(&world, &server),
            // one that appeals pays for it too: tests/appeals.rs
            Box::new(Watcher::new(accuser.clone()).appeals(false)),
            world.keeper().await,
        ];
        roles.extend(ruling(&judges));
        world
            .until(&mut roles, |b| state(b, task) == TaskState::Settled)
            .await;
        let board = world.board().await;
        assert_eq!(ended(board, task), [DisputeState::Cleared], "{fault}");
        assert_eq!(stake(board, &server.address()), STAKE);
        assert!(!board.disputes[&1].dispute.ruled_guilty);
        assert!(shown(&mut world, &server, 1).await, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cheat_that_falls_silent_loses_by_its_clock() {
    let mut world = world().await;
    let lie = lies(&world, Fault::Weight, 1);
    let liar = staked_with(&mut world, "liar", lie).await;
    let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
    let task = world.post(&requester).await;
    let silent = ProviderPolicy {
        defends: false,
        ..ProviderPolicy::honest(UNIT, vec![world.model])
    };
    let mut roles: Roles = vec![
        Box::new(Provider::new(liar.clone(), silent)),
        Box::new(Watcher::new(watcher)),
    ];
    world.until(&mut roles, all_closed).await;
    let board = world.board().await;
    assert_eq!(ended(board, task), [DisputeState::Upheld]);
    assert_eq!(board.disputes[&1].dispute.isolated_at, 0);
    assert!(board.is_tombstoned(&liar.address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friend_who_challenges_badly_saves_nothing() {
    for fault in [Fault::Weight, Fault::SmallerModel] {
        let mut world = world().await;
        let (cheat, puppet_of) = (lies(&world, fault, 2), lies(&world, fault, 2));
        let friend = sock_puppet::executor(&puppet_of, 7);
        let silent = sock_puppet::falls_silent(&cheat);
        let cheat = staked_with(&mut world, "cheat", cheat).await;
        let judges = referees(&mut world, 3).await;
        let (puppet, watcher, requester) = (
            world.party_with("puppet", Arc::new(friend)).await,
            world.party("watcher").await,
            world.party("requester").await,
        );
        let before = purse(&world, &puppet).await;
        let task = world.post(&requester).await;
        let bad = Watcher::new(puppet.clone()).only_provider(cheat.address());
        let mut roles: Roles = vec![
            serves_meekly(&world, &cheat),
            // the friend is first in everything
            Box::new(bad.silent_after_reveal(silent).appeals(false)),
            Box::new(Watcher::new(watcher.clone())),
            world.keeper().await,
        ];
        roles.extend(ruling(&judges));
        world.until(&mut roles, all_closed).await;
        let board = world.board().await;
        let by = |party: &Party| {
            let mut about = board.disputes.values().map(|entry| &entry.dispute);
            about
                .find(|d| d.task == task && d.challenger == party.address())
                .unwrap()
        };
        let (own, honest) = (by(&puppet), by(&watcher));
        // an honest referee convicts in either dispute, in the friend's by what it passed over
        match own.state {
            DisputeState::Upheld => assert!(own.earlier, "{fault} {own:#?}"),
            _ => assert_eq!(honest.state, DisputeState::Upheld, "{fault}"),
        }
        assert!(board.is_tombstoned(&cheat.address()));
        // the two together have lost: most of what the one pays does not come back to the other
        let gained = purse(&world, &puppet).await.saturating_sub(before);
        let lost = STAKE - stake(world.board().await, &cheat.address());
        assert!(2 * gained < lost, "{fault}: {gained} of {lost}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_finds_another_trace_is_fought_out_by_the_auditor() {
    let mut world = World::of(shipped::load("digits").unwrap(), 1_000_000).await;
    let lie = lies(&world, Fault::OneUlp, 3);
    let liar = staked_with(&mut world, "liar", lie).await;
    let judges = referees(&mut world, 2).await;
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let mut roles: Roles = vec![serves_meekly(&world, &liar), world.keeper().await];
    roles.extend(ruling(&judges));
    for judge in &judges {
        roles.push(Box::new(Auditor::new(judge.clone())));
    }
    world.until(&mut roles, all_closed).await;
    let board = world.board().await;
    assert_eq!(ended(board, task), [DisputeState::Upheld]);
    assert!(board.disputes[&1].by_audit);
    assert!(board.is_tombstoned(&liar.address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_keeps_to_its_means_and_to_whom_it_watches() {
    let mut world = world().await;
    let lie = lies(&world, Fault::Weight, 1);
    let liar = staked_with(&mut world, "liar", lie).await;
    let judges = referees(&mut world, 1).await;
    let (requester, careful, bold, elsewhere) = (
        world.party("requester").await,
        world.party("careful").await,
        world.party("bold").await,
        world.party("elsewhere").await,
    );
    for _ in 0..2 {
        world.post(&requester).await;
    }
    let mut roles: Roles = vec![
        serves_meekly(&world, &liar),
        Box::new(Watcher::new(careful.clone()).at_most(1)),
        Box::new(Watcher::new(bold.clone())),
        Box::new(Watcher::new(elsewhere).only_provider(judges[0].address())),
        world.keeper().await,
    ];
    roles.extend(ruling(&judges));
    let open = |b: &Board, party: &Party| {
        let own = b.challenges.iter();
        let own = own.filter(|((.., challenger), _)| *challenger == party.address());
        let open = own.filter(|(_, challenge)| match challenge.dispute {
            Some(id) => !b.disputes[&id].dispute.state.is_final(),
            None => !challenge.closed,
        });
        open.count()
    };
    world
        .until(&mut roles, |b| {
            assert!(open(b, &careful) <= 1);
            open(b, &bold) == 2
        })
        .await;
    world
        .until(&mut roles, |b| {
            assert!(open(b, &careful) <= 1);
            all_closed(b)
        })
        .await;
    let board = world.board().await;
    assert!(board.is_tombstoned(&liar.address()));
    assert!(board.challenges.len() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bond_of_a_challenge_that_was_overtaken_is_taken_back() {
    let mut world = world().await;
    let lie = lies(&world, Fault::Weight, 1);
    let liar = staked_with(&mut world, "liar", lie).await;
    let judges = referees(&mut world, 1).await;
    let (requester, slow, quick) = (
        world.party("requester").await,
        world.party("slow").await,
        world.party("quick").await,
    );
    let task = world.post(&requester).await;
    let mut slow: Roles = vec![serves(&world, &liar), Box::new(Watcher::new(slow))];
    world.until(&mut slow, |b| b.challenges.len() == 1).await;
    let mut roles: Roles = vec![
        world.keeper().await,
        serves(&world, &liar),
        Box::new(Watcher::new(quick)),
    ];
    roles.extend(ruling(&judges));
    // the verdict ends the attempt before the other has revealed
    world.until(&mut roles, all_closed).await;
    assert_eq!(world.board().await.task(task).unwrap().attempt, 1);
    let acts = world
        .until(&mut slow[1..], |b| b.challenges.values().any(|c| c.closed))
        .await;
    assert!(said(&acts, "takes back its bond"), "{acts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_higher_than_a_row_are_dissected_row_by_row() {
    for (fault, seed) in RESULTS.into_iter().zip(4..) {
        let mut world = World::of(common::tall(), AUDITS).await;
        let lie = lies(&world, fault, seed);
        let liar = staked_with(&mut world, "liar", lie).await;
        let judges = referees(&mut world, 2).await;
        let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
        let task = world.post(&requester).await;
        let mut roles: Roles = vec![
            serves_meekly(&world, &liar),
            Box::new(Watcher::new(watcher.clone())),
            world.keeper().await,
        ];
        roles.extend(ruling(&judges));
        let acts = world.until(&mut roles, all_closed).await;
        assert!(said(&acts, "reveals a row of 16"));
        assert_eq!(
            ended(world.board().await, task),
            [DisputeState::Upheld],
            "{fault}"
        );
        assert!(!shown(&mut world, &watcher, 1).await, "{fault}");
    }
}

/// A cheat and a friend of it between whom the game passes over the cheat's own first error.
fn passed_over(world: &World) -> (FaultyExecutor, FaultyExecutor) {
    let judge = common::knows(world.honest.as_ref(), &world.model, &world.inputs);
    for (seed, friends) in (0..64).flat_map(|seed| (0..8).map(move |friends| (seed, friends))) {
        let cheat = lies(world, Fault::OneUlp, seed);
        let friend = sock_puppet::executor(&cheat, friends);
        let (provider, puppet) = (
            common::knows(&cheat, &world.model, &world.inputs),
            common::knows(&friend, &world.model, &world.inputs),
        );
        let isolated = |challenger| {
            let (facts, _) = common::isolated(&provider, challenger)?;
            Some((facts.segment.leaf_index, facts.place))
        };
        if let (Some((leaf, later)), Some((same, first))) = (isolated(&puppet), isolated(&judge))
            && leaf == same
            && first < later
            && matches!(later, FineIndex::Op(_))
        {
            let friend = sock_puppet::executor(&cheat, friends);
            return (lies(world, Fault::OneUlp, seed), friend);
        }
    }
    panic!("no such pair");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_referee_who_finds_an_earlier_error_rules_on_that() {
    for model in [common::tall(), shipped::load("digits").unwrap()] {
        let mut world = World::of(model, AUDITS).await;
        let (cheat, friend) = passed_over(&world);
        let cheat = staked_with(&mut world, "cheat", cheat).await;
        let judges = referees(&mut world, 3).await;
        let (puppet, requester) = (
            world.party_with("puppet", Arc::new(friend)).await,
            world.party("requester").await,
        );
        let task = world.post(&requester).await;
        let mut roles: Roles = vec![
            serves_meekly(&world, &cheat),
            Box::new(Watcher::new(puppet).appeals(false)),
            world.keeper().await,
        ];
        roles.extend(ruling(&judges));
        let acts = world.until(&mut roles, all_closed).await;
        assert!(said(&acts, "differs already"), "{acts:?}");
        let board = world.board().await;
        assert_eq!(ended(board, task), [DisputeState::Upheld]);
        let found = &board.disputes[&1].dispute;
        assert!(found.earlier && found.hops == 1);
        assert!(board.is_tombstoned(&cheat.address()));
        // no rows lead to the earlier operator: by what the cheat has shown
        assert!(!shown(&mut world, &judges[0], 1).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_referee_plays_its_ruling_about_an_earlier_operator_with_what_is_on_the_chain() {
    let mut world = World::of(common::tall(), AUDITS).await;
    let (cheat, friend) = passed_over(&world);
    let cheat = staked_with(&mut world, "cheat", cheat).await;
    let judge = world.staked("judge").await;
    let (puppet, requester) = (
        world.party_with("puppet", Arc::new(friend)).await,
        world.party("requester").await,
    );
    world.post(&requester).await;
    let mut roles: Roles = vec![
        serves(&world, &cheat),
        Box::new(Watcher::new(puppet).appeals(false)),
        world.keeper().await,
        Box::new(Referee::new(judge.clone())),
    ];
    let appealed = |b: &Board| {
        let first = b.disputes.get(&1);
        first.is_some_and(|d| d.dispute.state == DisputeState::Appealed)
    };
    world.until(&mut roles, appealed).await;
    assert!(world.board().await.disputes[&1].dispute.earlier);
    // the cheat takes back what it had shown
    roles[3] = Box::new(Referee::new(Party {
        blobs: Blobs::memory(),
        ..judge.clone()
    }));
    world.until(&mut roles, all_closed).await;
    let board = world.board().await;
    assert_eq!(board.disputes[&1].dispute.state, DisputeState::Upheld);
    assert!(board.is_tombstoned(&cheat.address()));
    assert!(!board.is_tombstoned(&judge.address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_somebody_ruined_keeps_nobody_from_the_other_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world().await;
    world.blobs = Blobs::directory(folder.path()).unwrap();
    let lie = lies(&world, Fault::Weight, 1);
    let liar = staked_with(&mut world, "liar", lie).await;
    let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
    // two tasks with inputs of their own
    world.post(&requester).await;
    let ruined = world.honest.run(&world.model, &world.inputs).unwrap();
    let ruined = ruined.trace.input_digest;
    let (_, _, png) = shipped::PICTURES[1];
    let model = world.honest.model(&world.model).unwrap();
    world.inputs = vec![gavel_model::preprocess::png_to_input(&model, png).unwrap()];
    let good = world.post(&requester).await;
    let mut serving: Roles = vec![serves_meekly(&world, &liar)];
    world
        .until(&mut serving, |b| {
            b.tasks.values().all(|t| t.task.state.is_committed())
        })
        .await;
    let file = folder.path().join(format!("inputs/{ruined}.json"));
    std::fs::write(file, "[").unwrap();
    // an executor that has not run the first task before, in a process that has not kept its input
    let mut models = gavel_node::Models::new();
    models.add((*model).clone());
    let fresh = gavel_node::EngineExecutor::new(common::engine(), models).unwrap();
    let mut watching = Watcher::new(Party {
        executor: Arc::new(fresh),
        blobs: Blobs::directory(folder.path()).unwrap(),
        ..watcher
    });
    // what is missing is asked for, which keeps nothing else waiting
    let act = watching.tick(world.board().await).await.unwrap().unwrap();
    assert_eq!(act.what, "demands 1 chunk of the input of task 1");
    let act = watching.tick(world.board().await).await.unwrap().unwrap();
    assert_eq!(act.what, format!("commits a challenge of task {good}"));
    assert_eq!(watching.tick(world.board().await).await.unwrap(), None);
    // and said if nobody shows it
    let window = world.board().await.answer_seconds(1);
    world.pass(window + 1).await;
    let mut acts = Vec::new();
    let error = loop {
        match watching.tick(world.board().await).await {
            Ok(act) => acts.push(act.expect("it has something to do or to say").what),
            Err(error) => break error,
        }
    };
    let (reveals, takes) = (
        format!("reveals its challenge of task {good}"),
        "takes back",
    );
    assert!(acts.contains(&reveals), "{acts:?}");
    assert!(acts.iter().any(|act| act.starts_with(takes)), "{acts:?}");
    assert_eq!(error.to_string(), "the input of task 1 cannot be had");
}

/// Who takes part in the test of restarts, and how each is made anew.
async fn parts(world: &mut World, fault: Fault) -> Vec<Box<dyn Fn() -> Box<dyn Role>>> {
    let lie = lies(world, fault, 5);
    let liar = staked_with(world, "liar", lie).await;
    let judges = referees(world, 2).await;
    let (watcher, keeper) = (world.party("watcher").await, world.party("keeper").await);
    let (honest, policy) = (Arc::clone(&world.honest), meek(world));
    let mut parts: Vec<Box<dyn Fn() -> Box<dyn Role>>> = vec![
        Box::new(move || {
            // the liar tells the same lie with a new executor
            let executor = FaultyExecutor::new(Arc::clone(&honest), &[fault], 5);
            let again = Party {
                executor: Arc::new(executor) as Arc<dyn Executor>,
                ..liar.clone()
            };
            Box::new(Provider::new(again, policy.clone()))
        }),
        Box::new(move || Box::new(Watcher::new(watcher.clone()))),
        Box::new(move || Box::new(Keeper::new(keeper.clone()))),
    ];
    for judge in judges {
        parts.push(Box::new(move || Box::new(Referee::new(judge.clone()))));
    }
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn parties_that_are_dropped_after_every_act_play_the_same_game() {
    for fault in [Fault::OneUlp, Fault::WrongTrace] {
        let mut told = Vec::new();
        for restarts in [false, true] {
            let mut world = world().await;
            let parts = parts(&mut world, fault).await;
            let requester = world.party("requester").await;
            let task = world.post(&requester).await;
            let mut roles: Roles = parts.iter().map(|make| make()).collect();
            let mut acts = Vec::new();
            for _ in 0..1_000 {
                if restarts {
                    roles = parts.iter().map(|make| make()).collect();
                }
                let mut acted = false;
                for role in &mut roles {
                    let board = world.mirror.refresh().await.unwrap();
                    if let Some(act) = role.tick(board).await.unwrap() {
                        acts.push((role.name().to_owned(), act.what));
                        acted = true;
                    }
                }
                if all_closed(world.board().await) {
                    break;
                }
                if !acted {
                    world.pass(3).await;
                }
            }
            let board = world.board().await;
            assert_eq!(ended(board, task), [DisputeState::Upheld], "{acts:#?}");
            told.push(acts);
        }
        assert_eq!(told[0], told[1], "{fault}");
    }
}

fn said(acts: &[(String, Act)], word: &str) -> bool {
    acts.iter().any(|(_, act)| act.what.contains(word))
}
