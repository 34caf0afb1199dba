//! Known-answer tasks on the embedded chain: who finds a trap is paid out of its deposit, who lets it pass pays, and a
//! trap that nobody sealed is a cheat's.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::network::{World, purse, stake};
use gavel_engine::{FineRun, Trace};
use gavel_model::Model;
use gavel_node::board::{AuditState, TaskState};
use gavel_node::roles::{Auditor, Stage, Trapper, Watcher};
use gavel_node::{Board, Executor, ExecutorError, Party, Role, RunKey, RunRecord};
use gavel_numerics::Tensor;
use gavel_settlement::dev_params::UNIT;
use gavel_trace::{Digest, Level1};

const JACKPOT: u128 = 64 * UNIT;

/// What a lazy auditor computes with: it has the tensors and the leaves of the provider's trace from a friend of the
/// provider, believes them, and so vouches for a trace that it never made.
struct Copying {
    inner: Arc<dyn Executor>,
    leaves: Arc<Mutex<Option<Vec<Digest>>>>,
}

impl Copying {
    fn copied(&self, run: Arc<RunRecord>) -> Arc<RunRecord> {
        let Some(leaves) = self.leaves.lock().unwrap().clone() else {
            return run;
        };
        Arc::new(RunRecord {
            trace: Trace {
                level1: Level1::of_model(run.model.header(), leaves).unwrap(),
                input_digest: run.trace.input_digest,
            },
            ..(*run).clone()
        })
    }
}

impl Executor for Copying {
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>> {
        self.inner.model(model_id)
    }

    fn known_run(&self, key: &RunKey) -> Option<Arc<RunRecord>> {
        self.inner.known_run(key).map(|run| self.copied(run))
    }

    fn run(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError> {
        Ok(self.copied(self.inner.run(model_id, inputs)?))
    }

    fn fine(&self, run: &RunRecord, leaf_index: u64) -> Result<Arc<FineRun>, ExecutorError> {
        self.inner.fine(run, leaf_index)
    }

    fn live_before(
        &self,
        run: &RunRecord,
        leaf_index: u64,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        self.inner.live_before(run, leaf_index)
    }
}

/// The parties to a trap, and the task that it is set on.
struct Set {
    requester: Party,
    provider: Party,
    sealer: Party,
    task: u64,
}

impl Set {
    async fn new(world: &mut World) -> Set {
        let provider = world.staked("provider").await;
        let requester = world.party("requester").await;
        let sealer = world.party("sealer").await;
        let task = world.post(&requester).await;
        Set {
            requester,
            provider,
            sealer,
            task,
        }
    }

    fn trapper(&self) -> Trapper {
        let parties = [&self.requester, &self.provider, &self.sealer].map(Party::clone);
        let [requester, provider, sealer] = parties;
        Trapper::new(requester, provider, sealer, self.task, JACKPOT)
    }

    fn is_over(&self, board: &Board) -> bool {
        self.trapper().stage(board).unwrap() == Stage::Over
            && board
                .traps
                .get(&(self.task, 0))
                .is_none_or(|trap| trap.finders.values().all(|paid| *paid))
    }
}

#[tokio::test]
async fn an_honest_auditor_finds_the_trap_and_is_paid() {
    let mut world = World::new(1_000_000).await;
    let auditor = world.staked("auditor").await;
    let set = Set::new(&mut world).await;
    let before = purse(&world, &auditor).await;
    let staked = stake(world.board().await, &set.provider.address());
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(set.trapper()),
        Box::new(Auditor::new(auditor.clone())),
        world.keeper().await,
    ];
    let acts = world.until(&mut roles, |board| set.is_over(board)).await;
    let board = world.board().await;
    let audit = &board.audits[&(set.task, 0)].audit;
    assert_eq!(audit.state, AuditState::Mismatched, "{acts:#?}");
    assert_eq!(board.task(set.task).unwrap().state, TaskState::Cancelled);
    let trap = &board.traps[&(set.task, 0)];
    assert_eq!(trap.passed_by, None);
    assert_eq!(trap.share, Some(JACKPOT));
    assert_eq!(stake(board, &set.provider.address()), staked);
    assert_eq!(board.providers[&set.provider.address()].frozen, 0);
    assert_eq!(stake(board, &auditor.address()), common::network::STAKE);
    let fee = world
        .network
        .parameters()
        .auditAt(1)
        .call()
        .await
        .unwrap()
        .fee;
    let won = purse(&world, &auditor).await - before;
    assert_eq!(won, JACKPOT + fee, "fee and jackpot");
}

/// The drawn commit point may be the trap's, which nobody can open: then it has nothing to say, and pays for that. The
/// tasks before it are for another draw.
#[tokio::test]
async fn a_lazy_auditor_that_believes_the_provider_pays() {
    for tasks_before in 0..16 {
        if lazy_auditor_says_matched(tasks_before, false).await {
            return;
        }
    }
    panic!("the trap's own leaf was drawn every time");
}

/// Whoever shows the trap is late, or the auditor was: the task settled at the moment at which it could be shown.
#[tokio::test]
async fn a_lazy_auditor_pays_though_the_task_has_settled() {
    for tasks_before in 0..16 {
        if lazy_auditor_says_matched(tasks_before, true).await {
            return;
        }
    }
    panic!("the trap's own leaf was drawn every time");
}

async fn lazy_auditor_says_matched(tasks_before: u32, shown_late: bool) -> bool {
    let mut world = World::new(1_000_000).await;
    let others = world.party("others").await;
    for _ in 0..tasks_before {
        world.post(&others).await;
    }
    let leaves = Arc::new(Mutex::new(None));
    let copying = Copying {
        inner: Arc::clone(&world.honest) as Arc<dyn Executor>,
        leaves: Arc::clone(&leaves),
    };
    let auditor = world.party_with("auditor", Arc::new(copying)).await;
    world.join(&auditor).await;
    let set = Set::new(&mut world).await;
    let before = purse(&world, &set.sealer).await;
    let trapper = set.trapper();
    // what the friend hands over is what will be committed
    let (run, trapped_leaf) = {
        let board = world.board().await;
        trapper.run(board).await.unwrap().unwrap()
    };
    *leaves.lock().unwrap() = Some(run.trace.leaves().to_vec());
    if shown_late {
        let mut roles: Vec<Box<dyn Role>> = vec![Box::new(set.trapper()), world.keeper().await];
        let committed = |board: &Board| board.task(set.task).unwrap().state.is_committed();
        world.until(&mut roles, committed).await;
        let mut roles: Vec<Box<dyn Role>> = vec![
            Box::new(Auditor::new(auditor.clone())),
            world.keeper().await,
        ];
        let settled = |board: &Board| board.task(set.task).unwrap().state == TaskState::Settled;
        world.until(&mut roles, settled).await;
    }
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(trapper),
        Box::new(Auditor::new(auditor.clone())),
        world.keeper().await,
    ];
    let acts = world.until(&mut roles, |board| set.is_over(board)).await;
    let board = world.board().await;
    let audit = &board.audits[&(set.task, 0)].audit;
    if audit.leaf_index == trapped_leaf {
        assert_ne!(audit.state, AuditState::Matched, "{acts:#?}");
        assert!(stake(board, &auditor.address()) < common::network::STAKE);
        return false;
    }
    assert_eq!(audit.state, AuditState::Matched, "{acts:#?}");
    let (who, penalty) = board.traps[&(set.task, 0)].passed_by.unwrap();
    assert_eq!(who, auditor.address());
    assert!(penalty > 0);
    assert_eq!(
        stake(board, &auditor.address()),
        common::network::STAKE - penalty
    );
    // nobody was harmed by a wrong result but who asked for it
    assert_eq!(board.task(set.task).unwrap().state, TaskState::Settled);
    let won = purse(&world, &set.sealer).await - before;
    assert_eq!(won, penalty / 2, "half is the sealer's, half is burned");
    true
}

#[tokio::test]
async fn a_watcher_that_challenges_a_trap_gets_bond_and_jackpot() {
    let mut world = World::new(250_000).await;
    let watcher = world.party("watcher").await;
    let set = Set::new(&mut world).await;
    let before = purse(&world, &watcher).await;
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(set.trapper()),
        Box::new(Watcher::new(watcher.clone())),
        world.keeper().await,
    ];
    let acts = world.until(&mut roles, |board| set.is_over(board)).await;
    let won = purse(&world, &watcher).await - before;
    assert_eq!(won, JACKPOT, "{acts:#?}");
}

/// The sealer takes its deposit back before anything is found: then the wrong result is a cheat's.
#[tokio::test]
async fn a_trap_without_a_seal_is_a_cheat() {
    let mut world = World::new(250_000).await;
    let watcher = world.party("watcher").await;
    let set = Set::new(&mut world).await;
    let mut trapper: Vec<Box<dyn Role>> = vec![Box::new(set.trapper())];
    let committed = |board: &Board| board.task(set.task).unwrap().state.is_committed();
    world.until(&mut trapper, committed).await;
    let (sealer, commitment) = *world.board().await.seals.keys().next().unwrap();
    assert_eq!(sealer, set.sealer.address());
    let call = gavel_settlement::bindings::ITraps::unsealCall { commitment };
    let traps = world.network.deployment().traps;
    set.sealer.account.send(traps, call).await.unwrap();
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(set.trapper()),
        Box::new(Watcher::new(watcher)),
        world.keeper().await,
    ];
    let cheat = set.provider.address();
    world
        .until(&mut roles, |board| board.is_tombstoned(&cheat))
        .await;
}
