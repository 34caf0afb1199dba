//! `gavel run MODEL INPUT`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gavel_model::Model;
use gavel_model::npy::{write_npy, write_npz};
use gavel_numerics::Tensor;
use serde_json::json;

use super::{engine, max_bytes};
use crate::args::RunArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::output::{BAR, DIM, GOOD, Output, bar, paint, time};
use crate::prediction::{Prediction, label};

/// Scores shown.
const BEST: usize = 5;
/// Values shown of an output that is no classification.
const VALUES: usize = 8;

pub(crate) fn run(args: &RunArgs, out: Output) -> Result<Exit, Failure> {
    let name = &args.model;
    let instead = format!("gavel generate {name} --prompt TEXT");
    let (model, bound) = files::network_for(name, &instead, &args.input)?;
    let engine = engine(args.engine)?;
    let inputs = files::inputs_beside(
        &model,
        &args.input,
        max_bytes(args.engine),
        &bound,
        args.seed,
    )?;
    let start = Instant::now();
    let result = engine.run(&model, &inputs).at(&args.model)?;
    let elapsed = start.elapsed();
    let prediction = Prediction::of(&model, &result.outputs);
    if let Some(path) = &args.output {
        write(path, &model, &result.outputs)?;
    }

    match &prediction {
        Some(found) => show_prediction(&model, found, out),
        None => show_values(&model, &result.outputs, out),
    }
    let types: Vec<_> = inputs.iter().map(|t| t.ty().to_string()).collect();
    let commitment = result.trace.commitment();
    let hashing = result.timing.hashing_share();
    out.line("");
    out.facts(&[
        ("model_id", model.model_id().to_string()),
        (
            "input",
            format!("{} {}", types.join(" "), paint(DIM, args.input.display())),
        ),
        ("output_digest", result.trace.output_digest().to_string()),
        ("trace_root", commitment.trace_root.to_string()),
        (
            "time",
            format!(
                "{}, hashing {:.1} % on top of computing ({}, {} thread{})",
                time(elapsed),
                100.0 * hashing,
                engine.isa().kind(),
                engine.threads(),
                if engine.threads() == 1 { "" } else { "s" },
            ),
        ),
    ]);
    if let Some(path) = &args.output {
        out.facts(&[("written", path.display().to_string())]);
    }
    let (name, input) = (&args.model, args.input.display());
    out.next(match (&prediction, &args.output) {
        (None, None) => format!("gavel run {name} {input} --output all.npz"),
        _ => format!(
            "GAVEL_ISA=scalar gavel run {name} {input}   {}",
            paint(DIM, "the same trace_root, by other instructions")
        ),
    });
    let outputs: Vec<_> = model
        .graph()
        .outputs
        .iter()
        .zip(&result.outputs)
        .map(|((name, _), tensor)| {
            json!({
                "name": name,
                "dtype": format!("{:?}", tensor.dtype()).to_lowercase(),
                "shape": tensor.dims(),
                "digest": gavel_engine::digest(tensor),
            })
        })
        .collect();
    let mut operators = BTreeMap::new();
    for node in &model.graph().nodes {
        *operators.entry(node.op.name()).or_insert(0u32) += 1;
    }
    out.json(&json!({
        "model_id": model.model_id(),
        "operators": operators,
        "prediction": prediction.as_ref().map(|p| p.class),
        "label": prediction.as_ref().and_then(|p| p.label.clone()),
        "scores": prediction.as_ref().map(|p| &p.scores),
        "input_digest": result.trace.input_digest,
        "output_digest": result.trace.output_digest(),
        "trace_root": commitment.trace_root,
        "steps": commitment.steps,
        "commit_points": result.trace.leaves().len(),
        "outputs": outputs,
        "time_ms": elapsed.as_secs_f64() * 1e3,
        "hashing_share": hashing,
        "isa": engine.isa().kind().name(),
        "threads": engine.threads(),
    }))?;
    Ok(Exit::Done)
}

/// The first output, or all of them where the file's name ends in `.npz`.
pub(super) fn write(path: &Path, model: &Model, outputs: &[Arc<Tensor>]) -> Result<(), Failure> {
    if path.extension().is_some_and(|e| e == "npz") {
        let names = model.graph().outputs.iter().map(|(name, _)| name.as_str());
        let named = names.zip(outputs.iter().map(Arc::as_ref));
        return files::write(path, &write_npz(named).at(path.display())?);
    }
    match outputs.first() {
        Some(tensor) => files::write(path, &write_npy(tensor)),
        None => Ok(()),
    }
}

fn show_prediction(model: &Model, found: &Prediction, out: Output) {
    let probable = found.are_probabilities();
    let score = |s: f32| match probable {
        true => format!("{:6.2} %", 100.0 * s),
        false => format!("{s:10.4}"),
    };
    let own = usize::try_from(found.class)
        .ok()
        .and_then(|i| found.scores.get(i));
    let own = own
        .map(|&s| format!("  {}", score(s).trim_start()))
        .unwrap_or_default();
    out.line(format!("{}{own}", paint(GOOD, found.name())));
    let best = found.best(BEST);
    let Some((low, high)) = found
        .scores
        .iter()
        .fold(None, |range: Option<(f32, f32)>, &s| {
            Some(range.map_or((s, s), |(low, high)| (low.min(s), high.max(s))))
        })
    else {
        return;
    };
    let (low, high) = if probable { (0.0, 1.0) } else { (low, high) };
    let names: Vec<String> = best
        .iter()
        .map(|(class, _)| label(model, *class).unwrap_or_else(|| class.to_string()))
        .collect();
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(1);
    out.line("");
    for ((_, s), name) in best.iter().zip(&names) {
        let share = f64::from((s - low) / (high - low));
        out.line(format!(
            "  {name:<width$}  {}  {}",
            paint(BAR, bar(share)),
            score(*s)
        ));
    }
}

fn show_values(model: &Model, outputs: &[Arc<Tensor>], out: Output) {
    for ((name, _), tensor) in model.graph().outputs.iter().zip(outputs) {
        let values: Vec<String> = match (tensor.as_f32(), tensor.as_i64()) {
            (Some(values), _) => values.iter().take(VALUES).map(|v| v.to_string()).collect(),
            (_, Some(values)) => values.iter().take(VALUES).map(|v| v.to_string()).collect(),
            _ => Vec::new(),
        };
        let more = if tensor.len() > values.len() {
            " …"
        } else {
            ""
        };
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        out.line(format!(
            "{name} {} = {}{more}",
            tensor.ty(),
            values.join(" ")
        ));
    }
}
