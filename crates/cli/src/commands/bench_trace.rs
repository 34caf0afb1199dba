//! `gavel bench trace`: what the commitment costs.

use std::time::{Duration, Instant};

use gavel_model::Model;
use gavel_numerics::{DType, Tensor};
use serde_json::json;

use super::model::committed_bytes;
use super::{engine, max_bytes};
use crate::args::EngineArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::output::{DIM, Output, WARN, paint, time};

/// Runs below this are mostly overhead: the commitment's budget is stated for longer ones.
const BUDGET_FROM: Duration = Duration::from_millis(5);
const BUDGET_SHARE: f64 = 0.01;

pub(crate) fn run(name: &str, runs: u32, args: EngineArgs, out: Output) -> Result<Exit, Failure> {
    let model = files::network(name, &format!("gavel bench llm {name}"))?;
    let engine = engine(args)?;
    let inputs = made_up_inputs(&model, max_bytes(args))?;
    let mut samples = Vec::with_capacity(runs as usize);
    out.progress(format!("measuring {runs} runs"));
    // the first run warms caches and is not counted
    engine.run(&model, &inputs).at(name)?;
    for _ in 0..runs {
        let start = Instant::now();
        let result = engine.run(&model, &inputs).at(name)?;
        samples.push((start.elapsed(), result.timing));
    }
    let median = |of: fn(&(Duration, gavel_engine::Timing)) -> Duration| {
        let mut all: Vec<Duration> = samples.iter().map(of).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let total = median(|s| s.0);
    let compute = median(|s| s.1.compute);
    let hashing = median(|s| s.1.hashing);
    let input = median(|s| s.1.input_hashing);
    let share = hashing.as_secs_f64() / compute.as_secs_f64().max(f64::MIN_POSITIVE);
    let bytes: u64 = committed_bytes(&model).iter().sum();
    let per_second = |n: u64, t: Duration| n as f64 / t.as_secs_f64().max(f64::MIN_POSITIVE);
    let (hash_rate, work_rate) = (
        per_second(bytes, hashing),
        per_second(model.header().work, compute),
    );

    out.facts(&[
        ("model", format!("{name} {}", paint(DIM, model.model_id()))),
        (
            "machine",
            format!(
                "{}, {} thread{}",
                engine.isa().kind(),
                engine.threads(),
                if engine.threads() == 1 { "" } else { "s" }
            ),
        ),
    ]);
    out.line("");
    out.table(
        &["median of runs", "time", "share of computing", "rate"],
        vec![
            vec![
                "computing".into(),
                time(compute),
                "100.0 %".into(),
                format!("{:.2} G operations/s", work_rate / 1e9),
            ],
            vec![
                "commitment".into(),
                time(hashing),
                format!("{:.1} %", 100.0 * share),
                format!("{:.2} GB/s of {bytes} B", hash_rate / 1e9),
            ],
            vec![
                "input's digest".into(),
                time(input),
                format!(
                    "{:.1} %",
                    100.0 * input.as_secs_f64() / compute.as_secs_f64().max(f64::MIN_POSITIVE)
                ),
                String::new(),
            ],
            vec![
                "whole run".into(),
                time(total),
                String::new(),
                format!("{:.0} runs/s", per_second(1, total)),
            ],
        ],
        &[1, 2],
    );
    let verdict = if compute < BUDGET_FROM {
        format!(
            "The budget of {:.0} % is for runs of {} and more; this one is shorter.",
            100.0 * BUDGET_SHARE,
            time(BUDGET_FROM)
        )
    } else {
        format!("The budget is {:.0} %.", 100.0 * BUDGET_SHARE)
    };
    let over = compute >= BUDGET_FROM && share > BUDGET_SHARE;
    out.line(paint(if over { WARN } else { DIM }, verdict));
    out.next("gavel bench trace --model YOUR.onnx --threads 2");
    out.json(&json!({
        "model_id": model.model_id(),
        "runs": runs,
        "isa": engine.isa().kind().name(),
        "threads": engine.threads(),
        "time_ms": total.as_secs_f64() * 1e3,
        "compute_ms": compute.as_secs_f64() * 1e3,
        "hashing_ms": hashing.as_secs_f64() * 1e3,
        "input_hashing_ms": input.as_secs_f64() * 1e3,
        "hashing_share": share,
        "committed_bytes": bytes,
        "hashing_bytes_per_second": hash_rate,
        "operations_per_second": work_rate,
        "runs_per_second": per_second(1, total),
        "budget_share": BUDGET_SHARE,
        "budget_applies": compute >= BUDGET_FROM,
    }))?;
    Ok(Exit::Done)
}

/// Inputs of the model's types with values in (-1, 1), the same every time.
pub(super) fn made_up_inputs(model: &Model, max_bytes: u64) -> Result<Vec<Tensor>, Failure> {
    made_up_inputs_by(0, model, max_bytes)
}

/// [`made_up_inputs`], others for each seed.
pub(super) fn made_up_inputs_by(
    seed: u64,
    model: &Model,
    max_bytes: u64,
) -> Result<Vec<Tensor>, Failure> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64.wrapping_add(seed);
    let mut inputs = Vec::new();
    let mut left = max_bytes;
    for (name, ty) in &model.graph().inputs {
        let needed = ty.byte_len().at(name)?;
        left = left.checked_sub(needed as u64).ok_or_else(|| {
            Failure::new(format!(
                "input {name:?} {ty} takes {needed} bytes, above the bound"
            ))
            .hint("raise it with --max-memory")
        })?;
        let values: Vec<u64> = (0..ty.elements().at(name)?)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let unit = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
                match ty.dtype {
                    DType::F32 => unit.to_bits().into(),
                    _ => state >> 63,
                }
            })
            .collect();
        inputs.push(Tensor::from_raw(ty.clone(), &values).at(name)?);
    }
    Ok(inputs)
}
