//! A model that draws in the demo: words become pictures, and those that settle become files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gavel_model::Model;
use gavel_model::diffusion::Diffusion;
use gavel_node::{Executor as _, Fault};
use gavel_numerics::Tensor;
use gavel_sim::{Input, Report, Workload};

use super::{quoted, short};
use crate::args_arena::DemoArgs;
use crate::failure::{Context as _, Failure};
use crate::files;
use crate::output::Output;
use crate::picture::{self, Drawn};

/// What is asked for by default of the shipped model.
const PROMPTS: [&str; 3] = [
    "a large yellow star on blue",
    "a red heart on white",
    "a small pink flower on green",
];

/// The model with what the flags ask for.
pub(super) fn workload(
    args: &DemoArgs,
    name: &str,
    model: Model,
    drawing: &Diffusion,
) -> Result<Workload, Failure> {
    let default = || {
        let known = PROMPTS.iter().all(|p| drawing.scheduler().read(p).is_ok());
        if known {
            PROMPTS.to_vec()
        } else {
            vec![""; PROMPTS.len()]
        }
    };
    let prompts: Vec<&str> = match args.prompts.as_slice() {
        [] => default(),
        given => given.iter().map(String::as_str).collect(),
    };
    let inputs = prompts.iter().zip(0..).map(|(prompt, i)| {
        Ok(Input {
            name: quoted(prompt),
            tensors: picture::inputs(name, drawing, prompt, args.seed.wrapping_add(i))?,
            expected: None,
        })
    });
    let inputs = inputs.collect::<Result<Vec<_>, Failure>>()?;
    let label = |model: &Model, outputs: &[Arc<Tensor>]| Some(Drawn::of(model, outputs)?.name());
    let workload = Workload::new(short(Path::new(name)), model, inputs, Box::new(label));
    Ok(workload.at(name)?.that("is"))
}

/// Writes what was settled, one file a task, and shows the first.
pub(super) fn deliver(
    args: &DemoArgs,
    workload: &Workload,
    report: &Report,
    out: Output,
) -> Result<(), Failure> {
    let folder = args.data_dir.clone().unwrap_or_default();
    let model = workload.model();
    let mut written = 0;
    for task in report.tasks.iter().filter(|t| t.prediction.is_some()) {
        let drawn = workload.inputs.iter().filter(|i| i.name == task.input);
        let drawn = drawn.map(|input| {
            let run = workload.honest().run(&model.model_id(), &input.tensors);
            Ok(Drawn::of(model, &run.at(&input.name)?.outputs))
        });
        let drawn = drawn.collect::<Result<Vec<_>, Failure>>()?;
        // where another picture than an honest one settled, there is none
        let settled = |drawn: &Drawn| Some(drawn.name()) == task.prediction;
        let Some(drawn) = drawn.into_iter().flatten().find(settled) else {
            continue;
        };
        let path: PathBuf = folder.join(format!("gavel-picture-{}.png", task.id));
        files::write(&path, &drawn.png()?)?;
        if written == 0 {
            out.line("");
            drawn.show(out);
        }
        let told = format!("{}: {}, {}", path.display(), task.input, drawn.name());
        out.facts(&[("written", told)]);
        written += 1;
    }
    Ok(())
}

/// What to try after this.
pub(super) fn next(args: &DemoArgs, faults: &[Fault]) -> String {
    let model = args.model.as_deref().unwrap_or_default();
    let other = match faults.contains(&Fault::SkippedSteps) {
        true => Fault::OneUlp,
        false => Fault::SkippedSteps,
    };
    format!("gavel demo --model {model} --fault {other}")
}
