//! `gavel challenge drill`: a dispute rehearsed on a chain in memory, and this machine's times beside a network's clocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel_engine::{Engine, EngineOptions};
use gavel_model::Model;
use gavel_node::{EngineExecutor, Executor, Fault, Models};
use gavel_numerics::Tensor;
use gavel_settlement::{DevParams, dev_params};
use gavel_sim::{DemoOptions, DisputeReport, Report, Scenario, Stages, run_world};
use serde_json::json;

use super::{demo, party};
use crate::args::NetworkArgs;
use crate::args_arena::{DemoArgs, FaultArg};
use crate::args_drill::DrillArgs;
use crate::console;
use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::{BAD, GOOD, Output, paint, time};

/// Seconds that a network gives for what a challenger, an auditor or a referee has to do.
struct Clocks {
    challenge: u32,
    audit: u32,
    moves: u32,
    ruling: u32,
}

/// How long this machine takes for what everything in a dispute is made of.
struct Times {
    /// The task, once more.
    run: Duration,
    /// A segment operator by operator, the longest of some.
    segment: Duration,
}

/// Something that has to be done in time.
struct Phase {
    what: &'static str,
    took: Duration,
    of: u32,
}

impl Phase {
    fn fits(&self) -> bool {
        self.took <= Duration::from_secs(self.of.into())
    }
}

pub(crate) fn run(args: &DrillArgs, out: Output) -> Result<Exit, Failure> {
    if !(args.fault.makes_wrong_results() || args.fault == Fault::LyingReferee) {
        return Err(
            Failure::usage(format!("{} is nothing that a dispute convicts", args.fault))
                .expected("a fault with which somebody delivers or rules what is wrong")
                .hint(format!("gavel demo --fault {} shows it", args.fault)),
        );
    }
    let clocks = clocks(args)?;
    let workload = Arc::new(demo::workload(&DemoArgs {
        faults: vec![FaultArg(Some(args.fault))],
        seed: args.seed,
        no_watcher: false,
        audit_rate: None,
        providers: 5,
        model: Some(args.model.clone()),
        prompts: Vec::new(),
        max_tokens: 24,
        images: Vec::new(),
        data_dir: None,
    })?);
    demo::possible(workload.model(), args.fault)?;
    let scenario = Scenario::demo(&DemoOptions {
        seed: args.seed,
        faults: vec![args.fault],
        watcher: true,
        audit_ppm: None,
        providers: 5,
        inputs: workload.inputs.len(),
    })
    .map_err(Failure::usage)?;
    console::cast(&scenario, &workload.name, out);
    let mut tell = |line: &gavel_sim::timeline::Line| console::line(line, out);
    let report = run_world(&scenario, &workload, &Stages::default(), &mut tell).at("the arena")?;
    let first = workload.inputs.first();
    let inputs = first.map_or(&[][..], |input| &input.tensors);
    let phases = phases(&times(workload.model(), inputs)?, &clocks);
    tell_end(args, &scenario, &report, &phases, out)
}

/// What came of it. Success is that everybody who did wrong was convicted, in less time than the clocks give.
fn tell_end(
    args: &DrillArgs,
    scenario: &Scenario,
    report: &Report,
    phases: &[Phase],
    out: Output,
) -> Result<Exit, Failure> {
    let liars: Vec<&str> = scenario
        .providers
        .iter()
        .filter(|provider| provider.fault.is_some())
        .map(|provider| provider.name.as_str())
        .collect();
    let is_gone = |name: &&str| report.balance(name).is_some_and(|b| b.tombstoned);
    let convicted = !liars.is_empty() && liars.iter().all(is_gone) && report.holds();
    let about = |dispute: &&DisputeReport| liars.contains(&dispute.provider.as_str());
    let dispute = report.disputes.iter().find(about);
    let found = dispute.and_then(|dispute| dispute.isolated.as_ref());
    let fits = phases.iter().all(Phase::fits);
    let word = |good, yes: &str, no: &str| match good {
        true => paint(GOOD, yes),
        false => paint(BAD, no),
    };
    out.heading("The drill");
    let detected = dispute.is_some();
    out.facts(&[
        (
            "fault",
            format!("{} {}", liars.join(", "), args.fault.sentence()),
        ),
        (
            "detected",
            word(detected, "yes", "no: nobody challenged it"),
        ),
        ("convicted", word(convicted, "yes", "no")),
    ]);
    if let Some(dispute) = dispute {
        let place = found.map_or_else(
            || "nothing: the provider fell silent first".to_owned(),
            |found| {
                let operator = found.operator.as_deref().unwrap_or("node");
                format!("{operator} {}", found.name)
            },
        );
        out.facts(&[
            ("isolated", place),
            (
                "moves",
                format!("{}, {} gas", dispute.moves.len(), dispute.gas),
            ),
        ]);
    }
    for phase in phases {
        let took = word(phase.fits(), &time(phase.took), &time(phase.took));
        out.line(format!(
            "your machine {} in {took} of {} s",
            phase.what, phase.of
        ));
    }
    let phases: Vec<_> = phases
        .iter()
        .map(|phase| {
            json!({"phase": phase.what, "seconds": phase.took.as_secs_f64(), "of_seconds": phase.of, "fits": phase.fits()})
        })
        .collect();
    out.json(&json!({
        "model": args.model, "fault": args.fault, "seed": args.seed, "who": liars,
        "detected": detected, "convicted": convicted, "in_time": fits,
        "isolated": found, "dispute": dispute, "broken": report.broken_guarantees(), "phases": phases,
    }))?;
    match convicted && fits {
        true => Ok(Exit::Done),
        false => Ok(Exit::Failed),
    }
}

/// Measured on an executor that has computed nothing yet.
fn times(model: &Model, inputs: &[Tensor]) -> Result<Times, Failure> {
    let mut models = Models::new();
    let id = models.add(model.clone());
    let engine = Engine::new(EngineOptions::default()).at("GAVEL_ISA")?;
    let executor = EngineExecutor::new(engine, models).at("the model")?;
    let start = Instant::now();
    let run = executor.run(&id, inputs).at("the task")?;
    let took = start.elapsed();
    let leaves = model.segments().len() as u64 * u64::from(run.trace.steps());
    let mut segment = Duration::ZERO;
    for leaf in [0, leaves / 2, leaves.saturating_sub(1)] {
        let start = Instant::now();
        executor.fine(&run, leaf).at("a segment of the task")?;
        segment = segment.max(start.elapsed());
    }
    Ok(Times { run: took, segment })
}

fn phases(times: &Times, clocks: &Clocks) -> Vec<Phase> {
    let phase = |what, took, of| Phase { what, took, of };
    let ruling = times.run + times.segment;
    vec![
        phase("runs a task again", times.run, clocks.challenge),
        phase("audits a result", times.run, clocks.audit),
        phase("answers a reveal", times.segment, clocks.moves),
        phase("rules as a referee", ruling, clocks.ruling),
    ]
}

/// Of the network that the flags name, else those that a deployment begins with.
fn clocks(args: &DrillArgs) -> Result<Clocks, Failure> {
    let (Some(rpc), Some(deployment)) = (&args.rpc, &args.deployment) else {
        let params = dev_params(DevParams::default());
        return Ok(Clocks {
            challenge: params.market.challengeWindow,
            audit: params.audit.commitSeconds,
            moves: params.court.clockBudget,
            ruling: params.court.refereeSeconds,
        });
    };
    let args = NetworkArgs {
        rpc: rpc.clone(),
        deployment: deployment.clone(),
    };
    block_on(async {
        let network = party::network(&args).await?;
        let mirror = party::mirror(&network).await?;
        let rules = mirror.board().newest_rules().ok_or_else(|| {
            Failure::new("the network has no parameters yet").expected("a finished deployment")
        })?;
        Ok(Clocks {
            challenge: rules.market.challenge_window,
            audit: rules.audit.commit_seconds,
            moves: rules.court.clock_budget,
            ruling: rules.court.referee_seconds,
        })
    })
}
