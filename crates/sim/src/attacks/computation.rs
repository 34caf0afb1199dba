//! Attacks on the arithmetic: what an exact judge sees of them, and what another would let pass.

use std::collections::BTreeSet;
use std::sync::Arc;

use gavel_engine::{Engine, EngineOptions};
use gavel_model::Model;
use gavel_model::llama::{Architecture, Formats, random, task_inputs, tiny, tokens_of};
use gavel_node::{EngineExecutor, Executor, Fault, Models, RunRecord};
use gavel_numerics::kernels::SamplingParams;
use gavel_numerics::{Tensor, WeightFormat};

use super::arena::{Arena, Played, WANDA, watcher};
use super::ledger::{Entry, Outcome, of_world, ours};
use super::{AttackError, Found, Weakened};
use crate::{Input, Workload, WorldError};

/// Seeds that a provider tries.
const SEEDS_TRIED: u64 = 64;
/// Distance that a judge with a tolerance lets pass: what allclose of the usual frameworks does at its defaults.
const TOLERANCE: f32 = 1e-5;

/// A language model small enough to be played by the dozen.
pub(super) fn language() -> Result<Workload, WorldError> {
    let mut config = tiny(Architecture::Llama);
    config.layers = 2;
    let formats = Formats::uniform(&config, WeightFormat::Q8_0);
    let model = random(&config, &formats, 9)?.model;
    let input = Input {
        name: "a prompt".to_owned(),
        tensors: prompt(&model, 1)?,
        expected: None,
    };
    let label = |_: &Model, outputs: &[Arc<Tensor>]| Some(format!("{:?}", tokens_of(outputs)?.1));
    let workload = Workload::new("tiny", model, vec![input], Box::new(label))?;
    Ok(workload.that("answers"))
}

fn prompt(model: &Model, seed: u64) -> Result<Vec<Tensor>, WorldError> {
    let params = SamplingParams {
        max_new_tokens: 6,
        seed,
        temperature: 1.0,
        ..SamplingParams::default()
    };
    Ok(task_inputs(model, &[4, 8, 15], params)?)
}

/// A world in which a cheat of this kind meets an honest watcher, and is convicted.
fn convicted(
    arena: &Arena,
    workload: &Arc<Workload>,
    fault: Fault,
) -> Result<Arc<Played>, AttackError> {
    let scenario = arena.world(
        &[arena.cheat("Mallory", fault)],
        &[watcher(WANDA, None, true)],
    );
    // after probation: the watcher alone
    let params = arena.after_probation();
    let played = arena.play_on(workload, &params, &scenario)?;
    match played
        .report
        .balance("Mallory")
        .is_some_and(|b| b.tombstoned)
    {
        true => Ok(played),
        false => Err(AttackError::Unexpected {
            seed: Some(scenario.seed),
            what: "a conviction",
            found: format!("{:?}", played.report.facts),
        }),
    }
}

/// What a lie brings that its judge lets pass.
fn let_pass(arena: &Arena) -> Vec<Entry> {
    let gain = arena.gain() as i128;
    vec![ours("Mallory", "gain of wrong results", gain)]
}

fn unexpected(what: &'static str, found: impl std::fmt::Debug) -> AttackError {
    AttackError::Unexpected {
        seed: None,
        what,
        found: format!("{found:?}"),
    }
}

fn run_of(workload: &Workload, executor: &dyn Executor) -> Result<Arc<RunRecord>, AttackError> {
    let inputs = workload
        .inputs
        .first()
        .map_or(&[][..], |input| &input.tensors);
    Ok(executor.run(&workload.model().model_id(), inputs)?)
}

pub(super) fn prefill(arena: &Arena) -> Result<Found, AttackError> {
    let workload = arena.language();
    let answer = |run: &RunRecord| {
        tokens_of(&run.outputs)
            .map(|(_, answer)| answer)
            .unwrap_or_default()
    };
    // in how many prompts a cheap machine's answer gives it away
    let (model, honest) = (workload.model(), workload.honest());
    let cheap = workload.liar(Fault::CheaperQuantisation, 1);
    let mut differing = 0;
    for seed in 1..=SEEDS_TRIED {
        let inputs = prompt(model, seed)?;
        let said = answer(&*cheap.run(&model.model_id(), &inputs)?);
        let right = answer(&*honest.run(&model.model_id(), &inputs)?);
        differing += u32::from(said != right);
    }
    if differing == 0 {
        return Err(unexpected(
            "a cheap machine that writes otherwise",
            differing,
        ));
    }
    // the true model proves what another wrote: one token is enough to be convicted of
    let played = convicted(arena, workload, Fault::ChangedToken)?;
    let disputes = played.report.disputes.iter();
    let isolated = disputes
        .filter_map(|d| d.isolated.as_ref())
        .find_map(|i| i.operator.clone());
    if isolated.as_deref() != Some("AppendToken") {
        return Err(unexpected(
            "a dispute that ends at the draw of a token",
            isolated,
        ));
    }
    Ok(Found {
        at: Outcome::sure("convicted", of_world(arena, &played, &["Mallory"])),
        weakened: Weakened::mechanism(
            "a judge that recomputes the layers over prompt and answer, and not the draws",
            Outcome::sure("every layer is right", let_pass(arena)),
        ),
        evidence: vec![
            format!(
                "of {SEEDS_TRIED} answers the cheap machine wrote {differing} otherwise than \
             the model draws them"
            ),
            "the dispute isolated AppendToken: all that came before it, and every layer \
             after it, is what the model computes of these tokens"
                .into(),
        ],
    })
}

pub(super) fn seed_grinding(arena: &Arena) -> Result<Found, AttackError> {
    let workload = arena.language();
    let model = workload.model();
    let honest = workload.honest();
    let first =
        |run: &RunRecord| tokens_of(&run.outputs).and_then(|(_, answer)| answer.first().copied());
    let bound = run_of(workload, &**honest)?;
    let (mut tokens, mut digests) = (BTreeSet::new(), BTreeSet::new());
    for seed in 1..=SEEDS_TRIED {
        let run = honest.run(&model.model_id(), &prompt(model, seed)?)?;
        tokens.extend(first(&run));
        digests.insert(run.trace.input_digest);
    }
    // each seed is another input, so the answer to one is no answer to the task
    if digests.len() as u64 != SEEDS_TRIED || tokens.len() < 2 {
        return Err(unexpected(
            "a digest for each seed, and answers to choose from",
            (digests.len(), tokens),
        ));
    }
    let played = convicted(arena, workload, Fault::ChangedToken)?;
    Ok(Found {
        at: Outcome::sure(
            "the first token is not the draw of the task's seed",
            of_world(arena, &played, &["Mallory"]),
        ),
        weakened: Weakened::mechanism(
            "the provider names the seed: any of its runs is right",
            Outcome::sure("right, and chosen", let_pass(arena)),
        ),
        evidence: vec![format!(
            "{SEEDS_TRIED} seeds gave {} first tokens to choose from, and {} input digests, \
             of which the task binds one ({})",
            tokens.len(),
            digests.len(),
            bound.trace.input_digest
        )],
    })
}

pub(super) fn tolerance_hiding(arena: &Arena) -> Result<Found, AttackError> {
    let workload = arena.digits();
    let honest = run_of(workload, &**workload.honest())?;
    let off = run_of(workload, &*workload.liar(Fault::OneUlp, 1))?;
    let pairs = honest.outputs.iter().zip(&off.outputs);
    let values = pairs.filter_map(|(a, b)| Some((a.as_f32()?, b.as_f32()?)));
    let apart = values
        .flat_map(|(a, b)| a.iter().zip(b))
        .map(|(a, b)| (a - b).abs())
        .fold(0f32, f32::max);
    let same = honest.trace.trace_root() == off.trace.trace_root();
    if same || apart > TOLERANCE {
        return Err(unexpected(
            "a lie inside the tolerance that the trace shows",
            (same, apart),
        ));
    }
    let played = convicted(arena, workload, Fault::OneUlp)?;
    Ok(Found {
        at: Outcome::sure("convicted", of_world(arena, &played, &["Mallory"])),
        weakened: Weakened::mechanism(
            format!("a judge that lets {TOLERANCE:e} pass"),
            Outcome::sure("inside the tolerance", let_pass(arena)),
        ),
        evidence: vec![format!(
            "outputs at most {apart:e} apart; the trace roots differ"
        )],
    })
}

pub(super) fn numeric_drift(arena: &Arena) -> Result<Found, AttackError> {
    let workload = arena.digits();
    let model = workload.model();
    // another machine: more threads, so other pieces of every product
    let engine = Engine::new(EngineOptions {
        threads: 2,
        ..EngineOptions::default()
    })
    .map_err(WorldError::from)?;
    let mut models = Models::new();
    models.add((**model).clone());
    let other = EngineExecutor::new(engine, models)?;
    for input in &workload.inputs {
        let here = workload.honest().run(&model.model_id(), &input.tensors)?;
        let there = other.run(&model.model_id(), &input.tensors)?;
        if here.trace.trace_root() != there.trace.trace_root() {
            return Err(unexpected("the same trace on both machines", &input.name));
        }
    }
    // there is nothing to challenge: whoever does so all the same challenges falsely
    let scenario = arena.world(
        &[],
        &[watcher("Fergus", Some(Fault::FalseChallenge), false)],
    );
    let played = arena.first(
        &arena.solved(),
        &scenario,
        "a challenge that is cleared",
        |r| !r.disputes.is_empty() && r.disputes.iter().all(|d| d.verdict == "cleared"),
    )?;
    // an honest owner whose machine rounds one sum otherwise, and the hunter that lives on such
    let drifting = arena.world(
        &[arena.cheat("Dora", Fault::OneUlp)],
        &[watcher("Fergus", None, true)],
    );
    let weak = arena.first(
        &arena.after_probation(),
        &drifting,
        "a machine that drifts, convicted",
        |r| r.balance("Dora").is_some_and(|b| b.tombstoned),
    )?;
    let entries = of_world(arena, &weak, &["Fergus"]);
    Ok(Found {
        at: Outcome::sure(
            "nothing differs: the challenge fails",
            of_world(arena, &played, &["Fergus"]),
        ),
        weakened: Weakened::mechanism(
            "arithmetic whose order a machine may choose: an honest result differs in its \
             last bit",
            Outcome::sure("an honest machine is convicted", entries),
        ),
        evidence: vec![format!(
            "{} inputs, the same trace with one thread and with two",
            workload.inputs.len()
        )],
    })
}
