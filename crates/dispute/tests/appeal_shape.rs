//! Disputes at the size of a language model of a billion parameters, from the trace root to the step: how many rounds
//! they take, and what the degree of each level is chosen by.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod appeal_common;

use appeal_common::operators::Dice;
use appeal_common::*;
use gavel_dispute::appeal::*;
use gavel_dispute::*;
use gavel_numerics::{Op, Tensor};
use gavel_trace::*;

/// One side's view of a trace that is right, or wrong from one operator on.
struct Party<'a> {
    world: &'a World,
    level1: MerkleTree,
    fine: FineTrace,
}

impl<'a> Party<'a> {
    fn new(world: &'a World, steps: u32, lies: bool) -> Party<'a> {
        let (around, header) = (&world.around, &world.header);
        let after = 1 << 40 | u64::from(lies) << 41;
        let mut ops = world.ops.clone();
        if !lies {
            ops[around.op as usize] = digest_of(&world.truth);
            for (i, later) in ops.iter_mut().enumerate().skip(around.op as usize + 1) {
                *later = number(after + i as u64);
            }
        }
        let live = (0..world.segment.live_count).map(|j| number(after + u64::from(j)));
        let fine = FineTrace::new(header.ops_height, ops, header.live_height, live.collect());
        let fine = fine.unwrap();
        let leaf = |i| match i {
            i if i + 1 == around.leaf_index => world.segment.previous_leaf,
            i if i == around.leaf_index => fine.live_root(),
            i if i > around.leaf_index => number(after + i),
            i => number(i),
        };
        let leaves = u64::from(steps) * u64::from(header.commit_points);
        let leaves = (0..leaves).map(leaf).collect();
        Party {
            world,
            level1: MerkleTree::new(header.trace_height, leaves).unwrap(),
            fine,
        }
    }
}

impl Knowledge for Party<'_> {
    fn level1(&self) -> Option<&MerkleTree> {
        Some(&self.level1)
    }
    fn fine_trace(&self, leaf_index: u64) -> Option<FineTrace> {
        (leaf_index == self.world.around.leaf_index).then(|| self.fine.clone())
    }
    fn segment(&self, index: u32) -> Option<(SegmentEntry, Opening)> {
        let entry = *self.world.entries.get(index as usize)?;
        Some((entry, self.world.table.open(index.into()).ok()?))
    }
}

/// Rounds of a dispute, by level.
#[derive(Debug, Default)]
struct Rounds {
    trace: u32,
    chunk: u32,
    state: u32,
    batches: u64,
    /// Most that a step of this operator shows, of a few batches.
    step_bytes: usize,
}

impl Rounds {
    fn all(&self) -> u32 {
        self.trace + self.chunk + self.state
    }
}

/// From the trace root to the operator.
fn isolate(world: &World, steps: u32) -> (CourtModel, u32) {
    let (liar, honest) = (
        Party::new(world, steps, true),
        Party::new(world, steps, false),
    );
    let setup = CourtSetup {
        model: world.header,
        steps,
        input_digest: number(5),
        level1_root: liar.level1.root(),
        clock_budget: BUDGET,
        clock_increment: INCREMENT,
        referee_seconds: 100,
        appeal_window: 100,
        max_earlier: 1,
    };
    let mut court = CourtModel::open(setup, 0);
    let policy = Policy::default();
    while let Some((side, _)) = court.view().turn() {
        let (role, knows) = match side {
            Side::Provider => (Role::Provider, &liar),
            Side::Challenger => (Role::Challenger, &honest),
        };
        let sent = decide(court.view(), role, knows, &policy, 1).unwrap();
        court.apply(role, &sent, 1).unwrap();
    }
    let rounds = court.moves() / 2;
    for (role, knows) in [
        (Role::Bystander, &honest),
        (Role::Referee, &honest),
        (Role::Provider, &liar),
    ] {
        let sent = decide(court.view(), role, knows, &policy, 1).unwrap();
        court.apply(role, &sent, 1).unwrap();
    }
    (court, rounds)
}

/// The whole dispute: the provider claims a tensor with one element falsified, and appeals.
fn whole_dispute(world: &World, claimed: &Tensor, steps: u32) -> Rounds {
    let (mut court, trace) = isolate(world, steps);
    let appealed = court.appealed().unwrap();
    assert_eq!(appealed.place, FineIndex::Op(world.around.op));
    let segment = court.view().segment.unwrap();
    let mut model = AppealModel::open(
        AppealSetup {
            segment,
            claimed: appealed.claimed,
            ..world.setup(Some(appealed.guilty))
        },
        1,
    );
    let opened = model.view().clone();
    let mut rounds = play(world, &mut model, claimed);
    rounds.step_bytes = step_bytes(world, &opened, rounds.batches / 2);
    assert_eq!(
        model.view().phase,
        AppealPhase::Ended(AppealOutcome::Guilty)
    );
    court.end_appeal(AppealOutcome::Guilty).unwrap();
    assert_eq!(court.view().phase, Phase::Closed(Outcome::Upheld));
    Rounds { trace, ..rounds }
}

/// The appeal alone, both sides by [`decide_appeal`].
fn play(world: &World, model: &mut AppealModel, claimed: &Tensor) -> Rounds {
    let (liar, honest) = (world.case(claimed), world.case(&world.truth));
    let mut rounds = Rounds::default();
    while let Some(turn) = model.view().turn() {
        let view = model.view();
        let accuses = decide_appeal(view, AppealRole::Accuser, Some(&honest), 1);
        let (role, sent) = match accuses {
            Some(sent) => (AppealRole::Accuser, sent),
            None => (turn, decide_appeal(view, turn, Some(&liar), 1).unwrap()),
        };
        match &sent {
            AppealMove::PickChunk { .. } | AppealMove::PickElement { .. } => rounds.chunk += 1,
            AppealMove::PickState { .. } => rounds.state += 1,
            AppealMove::Step { proof, .. } => {
                let data = proof
                    .chunks
                    .iter()
                    .map(|c| c.data.len() + 32 * c.proof.len());
                rounds.step_bytes = data.sum();
            }
            AppealMove::RevealStates { batches, .. } if rounds.batches == 0 => {
                rounds.batches = *batches;
            }
            _ => {}
        }
        model.apply(role, &sent, 1).unwrap();
    }
    assert_eq!(model.rounds(), rounds.chunk + rounds.state);
    rounds
}

/// Bytes that the batch after so many shows: machine, program, chunks, openings.
fn step_bytes(world: &World, view: &AppealView, batch: u64) -> usize {
    let honest = world.case(&world.truth);
    let Case::Operator(case) = &honest else {
        unreachable!()
    };
    let element = world.truth.len() as u64 / 2;
    let run = Run {
        element,
        value: 0,
        start: Execution::new(case, element).unwrap().hash(batch),
        end: number(1),
        first_batch: batch,
        batches: Some(1),
    };
    let at = AppealView {
        phase: AppealPhase::Step { run },
        ..view.clone()
    };
    let step = decide_appeal(&at, AppealRole::Accuser, Some(&honest), 1);
    let Some(AppealMove::Step { proof, .. }) = step else {
        panic!("{step:?}")
    };
    let operand = |o: &OperandProof| o.edge_proof.len() + o.at.proof.len() + o.at.list_proof.len();
    let digests = proof.operands.iter().map(operand).sum::<usize>() + proof.program_proof.len();
    let chunk = |c: &ChunkProof| c.data.len() + 32 * c.proof.len();
    let chunks = proof.chunks.iter().map(chunk).sum::<usize>();
    proof.machine.len() + proof.program.len() + 32 * digests + chunks
}

fn random(dims: &[u64], seed: u64) -> Tensor {
    let mut dice = Dice(seed);
    let len = dims.iter().product();
    let values = (0..len).map(|_| dice.below(4001) as f32 / 4000.0 - 0.5);
    Tensor::f32(dims, values.collect()).unwrap()
}

/// One element off by one unit in the last place.
fn one_ulp(tensor: &Tensor, at: usize) -> Tensor {
    let mut bytes = tensor.le_bytes().into_owned();
    bytes[4 * at] ^= 1;
    Tensor::from_le_bytes(tensor.ty().clone(), &bytes).unwrap()
}

fn billion(op_count: u32, op: u32) -> Around {
    Around {
        max_steps: 1000,
        commit_points: 23,
        leaf_index: 517 * 23 + 11,
        op_count,
        op,
    }
}

fn product(around: Around, depth: u64, columns: u64, at: usize) -> (World, Tensor) {
    let inputs = vec![
        (random(&[1, depth], 1), From::Op),
        (random(&[depth, columns], 2), From::Weight),
    ];
    let mut claimed = None;
    let world = World::new(around, &Op::MatMul, inputs, |truth| {
        let lie = one_ulp(truth, at);
        digest_of(claimed.insert(lie))
    });
    (world, claimed.unwrap())
}

fn softmax(around: Around, positions: u64) -> (World, Tensor) {
    let inputs = vec![(random(&[1, positions], 3), From::Op)];
    let mut claimed = None;
    let world = World::new(around, &Op::Softmax { axis: 1 }, inputs, |truth| {
        let lie = one_ulp(truth, positions as usize / 2);
        digest_of(claimed.insert(lie))
    });
    (world, claimed.unwrap())
}

/// Batches of an element of the operators below.
const RUNS: [u64; 5] = [355, 355, 130, 464, 14_753];

/// A dispute about one ULP in a model of a billion parameters, at 1,000 steps. The operators' tree of height 17 is one that no
/// such model has: its 23 segments have some forty operators each.
#[test]
fn one_ulp_in_a_billion_parameters() {
    let tall = billion(100_000, 77_777);
    let real = billion(44, 31);
    println!("| operator | ops | trace | chunks | states | rounds | batches | bytes of a step |");
    let (mut rounds, mut runs) = (Vec::new(), Vec::new());
    for (name, around, world) in [
        (
            "MatMul 1x5632 by 5632x2048",
            tall,
            product(tall, 5632, 2048, 1234),
        ),
        (
            "MatMul 1x5632 by 5632x2048",
            real,
            product(real, 5632, 2048, 1234),
        ),
        (
            "logits 1x2048 by 2048x32000",
            real,
            product(real, 2048, 32_000, 29_871),
        ),
        ("Softmax over 1,000", real, softmax(real, 1000)),
        ("Softmax over 32,000", real, softmax(real, 32_000)),
    ] {
        let (world, claimed) = world;
        let found = whole_dispute(&world, &claimed, 1000);
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
            around.op_count,
            found.trace,
            found.chunk,
            found.state,
            found.all(),
            found.batches,
            found.step_bytes
        );
        rounds.push(found.all());
        runs.push(found.batches);
    }
    assert_eq!(rounds, [13, 10, 11, 10, 12]);
    assert_eq!(runs, RUNS);
    assert!(rounds[1..].iter().all(|rounds| *rounds <= 12));
}

/// Gas of a round with so many digests: calldata of both moves, the log, the fixed part of two transactions.
fn round_gas(digests: u64) -> u64 {
    let (calldata, log, fixed) = (16, 8, 60_000);
    32 * digests * (2 * calldata + log) + fixed
}

/// Gas of dissecting a run into single batches.
fn run_gas(degree: u64, mut batches: u64) -> u64 {
    let mut gas = 0;
    while batches > 1 {
        let parts = batches.min(degree);
        gas += round_gas(parts - 1);
        batches = batches.div_ceil(parts);
    }
    gas
}

#[test]
fn degrees_are_those_of_the_cost_model() {
    let powers = || (1..10).map(|bits| 1u64 << bits);
    // a row is folded, at 330 gas for a node, and takes the game as many levels down as its length has bits
    let per_level = |k: &u64| (round_gas(*k) + 330 * (k - 1)) / u64::from(k.ilog2());
    assert_eq!(powers().min_by_key(per_level), Some(row_len(32) as u64));
    let all_runs = |k: &u64| RUNS.iter().map(|run| run_gas(*k, *run)).sum::<u64>();
    assert_eq!(powers().min_by_key(all_runs), Some(MAX_PARTS));
}
