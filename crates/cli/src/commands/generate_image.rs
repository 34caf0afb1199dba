//! `gavel generate-image PROMPT`

use std::time::Instant;

use gavel_engine::NodeObserver;
use gavel_model::diffusion::Diffusion;
use gavel_numerics::Tensor;
use serde_json::json;

use super::engine;
use crate::args::GenerateImageArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::meter::Meter;
use crate::output::{DIM, Output, paint, time};
use crate::picture::{self, Drawn};

/// Tells how far a run is.
struct Steps {
    meter: Meter,
    of: u32,
}

impl NodeObserver for Steps {
    fn begin_step(&mut self, step: u32) {
        self.meter.show(step.into(), self.of.into());
    }

    fn sees_nodes(&self) -> bool {
        false
    }

    fn after_node(&mut self, _item: usize, _node: usize, _output: &mut Tensor) {}
}

pub(crate) fn run(args: &GenerateImageArgs, out: Output) -> Result<Exit, Failure> {
    let name = &args.model;
    let model = files::network(name, &format!("gavel generate {name} --prompt TEXT"))?;
    let drawing = Diffusion::of(&model).ok_or_else(|| {
        Failure::usage(format!("{name} draws nothing"))
            .expected("the shipped diffusion, or an ONNX denoiser with a scheduler")
    })?;
    let prompt = args.prompt.join(" ");
    let inputs = picture::inputs(name, &drawing, &prompt, args.seed)?;
    let said = drawing.task_of(&inputs).map(|(said, _)| said);
    let said = said.unwrap_or_default();
    let engine = engine(args.engine)?;
    let mut steps = Steps {
        meter: Meter::new(format!("drawing with {name}")),
        of: drawing.scheduler().steps(),
    };
    let start = Instant::now();
    let result = engine.run_observed(&model, &inputs, &mut steps).at(name)?;
    let elapsed = start.elapsed();
    drop(steps);
    let drawn = Drawn::of(&model, &result.outputs)
        .ok_or_else(|| Failure::new(format!("{name} gave no picture")))?;
    files::write(&args.output, &drawn.png()?)?;

    drawn.show(out);
    let commitment = result.trace.commitment();
    let hashing = result.timing.hashing_share();
    let written = args.output.display();
    out.facts(&[
        ("written", written.to_string()),
        ("prompt", format!("{said:?}, seed {}", args.seed)),
        ("picture", drawn.digest.to_string()),
        ("model_id", model.model_id().to_string()),
        ("trace_root", commitment.trace_root.to_string()),
        (
            "time",
            format!(
                "{} for {} denoising steps, hashing {:.1} % on top of computing ({}, {} thread{})",
                time(elapsed),
                commitment.steps,
                100.0 * hashing,
                engine.isa().kind(),
                engine.threads(),
                if engine.threads() == 1 { "" } else { "s" },
            ),
        ),
    ]);
    out.next(format!(
        "gavel demo --model {name} --prompt {said:?} --seed {}   {}",
        args.seed,
        paint(DIM, "the same picture from a market, past a cheat")
    ));
    out.json(&json!({
        "model": name,
        "model_id": model.model_id(),
        "prompt": said,
        "seed": args.seed,
        "written": args.output,
        "width": drawn.picture.width,
        "height": drawn.picture.height,
        "picture_digest": drawn.digest,
        "input_digest": result.trace.input_digest,
        "output_digest": result.trace.output_digest(),
        "trace_root": commitment.trace_root,
        "steps": commitment.steps,
        "time_ms": elapsed.as_secs_f64() * 1e3,
        "hashing_share": hashing,
        "isa": engine.isa().kind().name(),
        "threads": engine.threads(),
    }))?;
    Ok(Exit::Done)
}
