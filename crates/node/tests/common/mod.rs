//! Shipped models and pictures, and games between two executors.
#![allow(clippy::unwrap_used, dead_code)]

pub(crate) mod network;

use std::sync::Arc;

use gavel_dispute::*;
use gavel_engine::{Engine, EngineOptions};
use gavel_model::{Model, preprocess, shipped};
use gavel_node::{EngineExecutor, Executor, Models, RunKnowledge};
use gavel_numerics::Tensor;
use gavel_trace::Digest;

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
    (Arc::new(EngineExecutor::new(engine(), models)), id)
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
