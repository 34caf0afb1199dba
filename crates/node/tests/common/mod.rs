//! Shipped models and pictures, and games between two executors.
#![allow(clippy::unwrap_used, dead_code)]

pub(crate) mod anvil;
pub(crate) mod network;

use std::sync::Arc;

use gavel_dispute::*;
use gavel_engine::{Engine, EngineOptions};
use gavel_model::{CommitPolicy, Graph, Model, Node, Source, Weight, preprocess, shipped};
use gavel_node::board::{Row, SegmentRows};
use gavel_node::evidence::{DisputeFacts, rows_of_segment};
use gavel_node::{EngineExecutor, Executor, Models, RunKnowledge};
use gavel_numerics::{DType, Op, Tensor, TensorType};
use gavel_trace::{Digest, HexBytes, TaskFacts, TraceCommitment};

pub(crate) fn engine() -> Engine {
    Engine::new(EngineOptions {
        threads: 1,
        ..EngineOptions::default()
    })
    .unwrap()
}

/// An honest executor of one shipped model, its identity, and a picture.
pub(crate) fn shipped(name: &str, picture: usize) -> (Arc<EngineExecutor>, Digest, Vec<Tensor>) {
    let model = shipped::load(name).unwrap();
    let (_, _, png) = shipped::PICTURES[picture % shipped::PICTURES.len()];
    let input = preprocess::png_to_input(&model, png).unwrap();
    let (executor, id) = with_model(model);
    (executor, id, vec![input])
}

pub(crate) fn with_model(model: Model) -> (Arc<EngineExecutor>, Digest) {
    let mut models = Models::new();
    let id = models.add(model);
    (Arc::new(EngineExecutor::new(engine(), models).unwrap()), id)
}

/// Knowledge of a run of that task.
pub(crate) fn knows<'a>(
    executor: &'a dyn Executor,
    model_id: &Digest,
    inputs: &[Tensor],
) -> RunKnowledge<'a> {
    RunKnowledge::new(executor, executor.run(model_id, inputs).unwrap())
}

/// A dispute about the provider's run.
pub(crate) fn open(provider: &RunKnowledge<'_>) -> CourtModel {
    let run = provider.run();
    CourtModel::open(
        CourtSetup {
            model: *run.model.header(),
            steps: run.trace.steps(),
            input_digest: run.trace.input_digest,
            level1_root: run.trace.level1.tree().root(),
            clock_budget: 1000,
            clock_increment: 10,
            referee_seconds: 100,
            appeal_window: 100,
            max_earlier: 0,
        },
        0,
    )
}

/// What happened in a dispute.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) outcome: Outcome,
    pub(crate) place: Option<gavel_trace::FineIndex>,
    pub(crate) segment: Option<SegmentFacts>,
    pub(crate) moves: u32,
}

/// Plays a dispute to its end. Whoever has no move loses time until it is late.
pub(crate) fn trial(
    mut court: CourtModel,
    provider: Option<&dyn Knowledge>,
    challenger: Option<&dyn Knowledge>,
    referee: &dyn Knowledge,
    appeals: bool,
) -> Trial {
    let policy = Policy {
        appeal: appeals,
        ..Policy::default()
    };
    let mut now = 0;
    let mut place = None;
    for _ in 0..200 {
        // An appealed dispute is void in this version, so whether anybody appeals is the caller's.
        let parties = [
            (Role::Provider, provider),
            (Role::Challenger, challenger),
            (Role::Referee, Some(referee)),
            (Role::Bystander, Some(referee)),
        ];
        let moved = parties.iter().any(|(role, knowledge)| {
            let Some(knowledge) = knowledge else {
                return false;
            };
            decide(court.view(), *role, *knowledge, &policy, now)
                .is_some_and(|proposed| court.apply(*role, &proposed, now) == Ok(()))
        });
        if let Phase::Isolated { place: at, .. } = court.view().phase {
            place = Some(at);
        }
        if let Phase::Closed(outcome) = court.view().phase {
            let (segment, moves) = (court.view().segment, court.moves());
            return Trial {
                outcome,
                place,
                segment,
                moves,
            };
        }
        now += if moved { 1 } else { 101 };
    }
    panic!("no end: {:?}", court.view().phase);
}

/// A dispute between two runs up to its isolated place, with the rows that the chain's log holds then.
pub(crate) fn isolated(
    provider: &RunKnowledge<'_>,
    challenger: &RunKnowledge<'_>,
) -> Option<(DisputeFacts, Vec<Row>)> {
    let mut court: CourtModel = open(provider);
    let (policy, mut rows) = (Policy::default(), Vec::new());
    while court.view().turn().is_some() {
        let moved = [(Role::Provider, provider), (Role::Challenger, challenger)]
            .into_iter()
            .any(|(role, party)| {
                let Some(proposed) = decide(court.view(), role, party, &policy, 0) else {
                    return false;
                };
                let claim = match &court.view().phase {
                    Phase::Reveal { claim, .. } => Some(*claim),
                    _ => None,
                };
                court.apply(role, &proposed, 0).unwrap();
                match (proposed, claim) {
                    (Move::RevealRow { node, row }, Some(claim)) => rows.push(Row {
                        node,
                        height: claim.height,
                        row,
                    }),
                    (Move::PostSegment(post), _) => {
                        let posted = SegmentRows {
                            ops_root: court.view().segment.unwrap().ops_root,
                            previous_leaf: post.previous_leaf,
                            ops_row: post.ops_row.clone(),
                            live_row: post.live_row.clone(),
                        };
                        let model = &court.view().model;
                        rows.extend(rows_of_segment(model, post.leaf, &posted));
                    }
                    _ => {}
                }
                true
            });
        if !moved {
            return None;
        }
    }
    let view = court.view();
    let Phase::Isolated { place, claimed, .. } = view.phase else {
        return None;
    };
    let facts = DisputeFacts {
        task: TaskFacts {
            chain_id: 1,
            court: HexBytes(vec![1; 20]),
            task_id: 3,
            attempt: 0,
            model_id: view.model.model_id(),
            input_digest: view.input_digest,
            seed: 0,
            provider: HexBytes(vec![2; 20]),
        },
        model: view.model,
        commitment: TraceCommitment::new(view.steps, view.level1_root),
        segment: view.segment?,
        place,
        claimed,
        ruling: None,
        earlier: None,
    };
    Some((facts, rows))
}

/// A model whose trees are all higher than one row: 21 segments, of which the last has 40 operators and 20 outputs.
pub(crate) fn tall() -> Model {
    let ty = TensorType::new(DType::F32, [1, 1, 4, 4]);
    let weight = |i: u32| Weight {
        name: format!("w{i}"),
        value: Tensor::f32([1], vec![0.5 + i as f32 / 64.0])
            .unwrap()
            .into(),
    };
    let node = |i: u32| Node {
        name: format!("n{i}"),
        op: if i.is_multiple_of(2) {
            Op::Add
        } else {
            Op::Mul
        },
        inputs: vec![
            match i.checked_sub(1) {
                None => Source::Input(0),
                Some(before) => Source::node(before),
            },
            Source::Weight(i),
        ],
        output: ty.clone(),
    };
    let graph = Graph {
        inputs: vec![("x".to_owned(), ty.clone())],
        nodes: (0..60).map(node).collect(),
        outputs: (40..60)
            .map(|i| (format!("y{i}"), Source::node(i)))
            .collect(),
    };
    let weights = (0..60).map(weight).collect();
    let cuts = CommitPolicy::After((0..20).collect());
    Model::build(graph, weights, Default::default(), &cuts).unwrap()
}
