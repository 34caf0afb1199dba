//! `gavel bench onnx`: how long a run of a network takes, and where the time goes, beside what the machine can do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gavel_engine::{Engine, RunOutput, StepTime};
use gavel_model::{Model, Source};
use gavel_numerics::{Op, Tensor, TensorType};
use serde_json::{Value, json};

use super::bench_trace::made_up_inputs;
use super::machine::{Limits, cpu_time};
use super::run::write;
use super::{engine, max_bytes};
use crate::args::BenchOnnxArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::output::{DIM, Output, paint, time};

/// Runs whose profiles are taken; of each step the shortest time counts.
const PROFILES: usize = 5;
/// Rows of the table.
const ROWS: usize = 16;

pub(crate) fn run(args: &BenchOnnxArgs, out: Output) -> Result<Exit, Failure> {
    let name = &args.model;
    let instead = format!("gavel bench llm {name}");
    let bytes = max_bytes(args.engine);
    let (model, inputs) = match &args.input {
        Some(input) => {
            let (model, bound) = files::network_for(name, &instead, input)?;
            let inputs = files::inputs_beside(&model, input, bytes, &bound, None)?;
            (model, inputs)
        }
        None => {
            let model = files::network(name, &instead)?;
            let inputs = made_up_inputs(&model, bytes)?;
            (model, inputs)
        }
    };
    let engine = engine(args.engine)?;
    out.progress(format!("measuring {} runs", args.runs));
    let (runs, last) = measured(&engine, &model, &inputs, args.runs).at(name)?;
    if let Some(path) = &args.output {
        write(path, &model, &last.outputs)?;
    }
    let steps = profile(&engine, &model, &inputs).at(name)?;
    let report = Report {
        rss: gavel_engine::resident::peak_bytes(),
        limits: Limits::measure(engine.isa(), engine.threads()),
        kinds: match args.by_node {
            true => each(&model, &steps),
            false => kinds(&model, &steps),
        },
        rows: if args.by_node { usize::MAX } else { ROWS },
        engine: &engine,
        model: &model,
        runs,
    };
    report.show(name, out);
    out.next(format!("gavel bench trace --model {name}"));
    out.json(&report.as_json())?;
    Ok(Exit::Done)
}

/// One run.
struct Run {
    /// With the commitment.
    whole: Duration,
    /// In operators.
    compute: Duration,
    hashing: Duration,
    cpu: Option<Duration>,
}

fn measured(
    engine: &Engine,
    model: &Model,
    inputs: &[Tensor],
    count: u32,
) -> Result<(Vec<Run>, RunOutput), gavel_engine::EngineError> {
    // the first run packs weights and warms caches, and is not counted
    let mut last = engine.run(model, inputs)?;
    let mut runs = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (start, cpu) = (Instant::now(), cpu_time());
        last = engine.run(model, inputs)?;
        let whole = start.elapsed();
        runs.push(Run {
            whole,
            compute: whole.saturating_sub(last.timing.hashing + last.timing.input_hashing),
            hashing: last.timing.hashing,
            cpu: cpu.zip(cpu_time()).map(|(a, b)| b.saturating_sub(a)),
        });
    }
    Ok((runs, last))
}

/// The shortest time of each step over some runs.
fn profile(
    engine: &Engine,
    model: &Model,
    inputs: &[Tensor],
) -> Result<Vec<StepTime>, gavel_engine::EngineError> {
    let mut best = engine.profile(model, inputs)?;
    for _ in 1..PROFILES {
        for (best, step) in best.iter_mut().zip(engine.profile(model, inputs)?) {
            best.time = best.time.min(step.time);
        }
    }
    Ok(best)
}

/// Steps of one kind, all together.
#[derive(Default)]
struct Kind {
    steps: usize,
    time: Duration,
    /// Multiplications and additions of products.
    operations: f64,
    /// Bytes that are read and written at least.
    bytes: f64,
}

fn kinds(model: &Model, steps: &[StepTime]) -> Vec<(String, Kind)> {
    let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
    for step in steps {
        let kind = kinds.entry(name_of(model, &step.nodes)).or_default();
        kind.add(model, step);
    }
    let mut kinds: Vec<(String, Kind)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.time));
    kinds
}

impl Kind {
    fn add(&mut self, model: &Model, step: &StepTime) {
        self.steps += 1;
        self.time += step.time;
        let nodes = step.nodes.iter();
        self.operations += nodes.map(|&node| operations(model, node)).sum::<f64>();
        self.bytes += bytes(model, &step.nodes);
    }
}

/// Each step as a kind of its own, called by its last node and what it makes.
fn each(model: &Model, steps: &[StepTime]) -> Vec<(String, Kind)> {
    let named = |step: &StepTime| {
        let mut kind = Kind::default();
        kind.add(model, step);
        let last = step.nodes.last().and_then(|&last| {
            let node = model.graph().nodes.get(last)?;
            Some(format!("{last} {}", node.output))
        });
        let name = name_of(model, &step.nodes);
        (format!("{} {name}", last.unwrap_or_default()), kind)
    };
    steps.iter().map(named).collect()
}

/// Operators of a step, repeated ones once.
fn name_of(model: &Model, nodes: &[usize]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for &node in nodes {
        let name = model.graph().nodes.get(node).map_or("", |n| n.op.name());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" + ")
}

fn operations(model: &Model, node: usize) -> f64 {
    let Some(node) = model.graph().nodes.get(node) else {
        return 0.0;
    };
    let dims = |i: usize| {
        let source = node.inputs.get(i);
        source
            .and_then(|&source| model.type_of(source))
            .map_or(&[][..], |ty| &ty.dims)
    };
    let depth = match &node.op {
        Op::Conv2d { .. } => dims(1).iter().skip(1).product::<u64>(),
        Op::MatMul => dims(0).last().copied().unwrap_or(0),
        Op::Gemm { trans_a, .. } => dims(0).get(usize::from(!trans_a)).copied().unwrap_or(0),
        _ => 0,
    };
    2.0 * depth as f64 * node.output.elements().unwrap_or(0) as f64
}

/// Bytes of what a step reads that is not its own, and of what it makes.
fn bytes(model: &Model, nodes: &[usize]) -> f64 {
    let len = |ty: &TensorType| ty.byte_len().unwrap_or(0) as f64;
    let graph = model.graph();
    let inputs = nodes.iter().filter_map(|&node| graph.nodes.get(node));
    let mut read: Vec<Source> = inputs
        .flat_map(|node| node.inputs.iter().copied())
        .collect();
    read.sort_unstable();
    read.dedup();
    read.retain(|source| {
        !nodes
            .iter()
            .any(|&node| *source == Source::node(node as u32))
    });
    let read = read.iter().filter_map(|&source| model.type_of(source));
    let made = nodes.last().and_then(|&node| graph.nodes.get(node));
    read.map(len).sum::<f64>() + made.map_or(0.0, |node| len(&node.output))
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// Everything that was measured.
struct Report<'a> {
    engine: &'a Engine,
    model: &'a Model,
    runs: Vec<Run>,
    kinds: Vec<(String, Kind)>,
    /// Rows of the table.
    rows: usize,
    rss: Option<u64>,
    limits: Limits,
}

impl Report<'_> {
    /// Seconds that steps take at least: their products at the peak of fma, their bytes at the bandwidth of memory.
    fn least(&self, kind: &Kind) -> f64 {
        (kind.operations / self.limits.float).max(kind.bytes / self.limits.read)
    }

    fn all_steps(&self) -> Duration {
        self.kinds.iter().map(|(_, kind)| kind.time).sum()
    }

    fn show(&self, name: &str, out: Output) {
        let of = |f: fn(&Run) -> Duration| median(self.runs.iter().map(f).collect());
        let (whole, compute, hashing) = (of(|r| r.whole), of(|r| r.compute), of(|r| r.hashing));
        let threads = self.engine.threads();
        out.facts(&[
            (
                "model",
                format!("{name} {}", paint(DIM, self.model.model_id())),
            ),
            (
                "machine",
                format!(
                    "{}, {threads} thread{}, {:.0} GFLOP/s fma, {:.1} GB/s read",
                    self.engine.isa().kind(),
                    if threads == 1 { "" } else { "s" },
                    self.limits.float / 1e9,
                    self.limits.read / 1e9
                ),
            ),
            (
                "run",
                format!(
                    "{} with the commitment, {} without, {} of hashing (medians of {})",
                    time(whole),
                    time(compute),
                    time(hashing),
                    self.runs.len()
                ),
            ),
            (
                "memory",
                self.rss.map_or("not known".to_owned(), |n| {
                    format!("{:.0} MB at most", n as f64 / 1e6)
                }),
            ),
        ]);
        out.line("");
        let all = self.all_steps().as_secs_f64().max(f64::MIN_POSITIVE);
        let rows = self.kinds.iter().take(self.rows).map(|(name, kind)| {
            let seconds = kind.time.as_secs_f64().max(f64::MIN_POSITIVE);
            vec![
                name.clone(),
                kind.steps.to_string(),
                time(kind.time),
                format!("{:.1} %", 100.0 * seconds / all),
                match kind.operations > 0.0 {
                    true => format!("{:.1}", kind.operations / seconds / 1e9),
                    false => String::new(),
                },
                format!("{:.1}", kind.bytes / seconds / 1e9),
                format!("{:.0} %", 100.0 * self.least(kind) / seconds),
            ]
        });
        out.table(
            &[
                "operators",
                "steps",
                "time",
                "share",
                "GFLOP/s",
                "GB/s",
                "of the roofline",
            ],
            rows.collect(),
            &[1, 2, 3, 4, 5, 6],
        );
        out.line(paint(
            DIM,
            "Roofline: products at the peak of fma, bytes as if all came from memory; what caches hold can be faster.",
        ));
    }

    fn as_json(&self) -> Value {
        let ms = |t: Duration| t.as_secs_f64() * 1e3;
        let all = |f: &dyn Fn(&Run) -> Duration| -> Vec<f64> {
            self.runs.iter().map(|run| ms(f(run))).collect()
        };
        let profile = self.kinds.iter().map(|(name, kind)| {
            json!({
                "operators": name,
                "steps": kind.steps,
                "time_ms": ms(kind.time),
                "share": kind.time.as_secs_f64() / self.all_steps().as_secs_f64().max(f64::MIN_POSITIVE),
                "operations": kind.operations,
                "bytes": kind.bytes,
                "of_roofline": self.least(kind) / kind.time.as_secs_f64().max(f64::MIN_POSITIVE),
            })
        });
        json!({
            "model_id": self.model.model_id(),
            "isa": self.engine.isa().kind().name(),
            "threads": self.engine.threads(),
            "run_ms": all(&|run| run.whole),
            "compute_ms": all(&|run| run.compute),
            "hashing_ms": all(&|run| run.hashing),
            "cpu_ms": all(&|run| run.cpu.unwrap_or_default()),
            "peak_rss_bytes": self.rss,
            "fma_per_second": self.limits.float,
            "read_bytes_per_second": self.limits.read,
            "profile": profile.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_one_kind_are_added_up_and_products_counted() {
        let model = gavel_model::shipped::load("digits").unwrap();
        let steps: Vec<StepTime> = (0..model.graph().nodes.len())
            .map(|node| StepTime {
                nodes: vec![node],
                time: Duration::from_millis(1),
            })
            .collect();
        let kinds = kinds(&model, &steps);
        let count: usize = kinds.iter().map(|(_, kind)| kind.steps).sum();
        assert_eq!(count, steps.len());
        for (name, kind) in &kinds {
            let products = ["Conv", "Gemm", "MatMul"].contains(&name.as_str());
            assert_eq!(kind.operations > 0.0, products, "{name}");
            assert!(kind.bytes > 0.0, "{name}");
        }
    }
}
