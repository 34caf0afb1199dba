//! `gavel demo`

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gavel_engine::EngineOptions;
use gavel_model::diffusion::Diffusion;
use gavel_model::preprocess::png_to_input;
use gavel_model::{Model, shipped};
use gavel_sim::{DemoOptions, Fault, Input, Scenario, Stages, Workload, run_world, run_world_in};

use crate::args_arena::{DemoArgs, FaultArg};
use crate::commands::bench_trace::made_up_inputs;
use crate::console;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::output::{Output, time};
use crate::prediction::Prediction;
use gavel_model::llama::TOKENIZER_ASSET;

mod language;
mod pictures;

/// The model that is served by default.
const MODEL: &str = "digits";
/// Shipped pictures that are posted by default.
const PICTURES: usize = 3;
/// Characters of a question that are enough to know it by.
const NAME: usize = 40;

pub(crate) fn run(args: &DemoArgs, out: Output) -> Result<Exit, Failure> {
    if let Some(folder) = &args.data_dir {
        unused(folder)?;
    }
    let workload = Arc::new(workload(args)?);
    let kind = Kind::of(workload.model());
    let faults = faults(&args.faults, kind.fault())?;
    if let Some(fault) = faults.iter().find(|fault| !kind.has(**fault)) {
        return Err(kind.refuses(*fault));
    }
    let scenario = Scenario::demo(&DemoOptions {
        seed: args.seed,
        faults: faults.clone(),
        watcher: !args.no_watcher,
        audit_ppm: args.audit_rate.map(|rate| (rate * 1e6).round() as u32),
        providers: args.providers.into(),
        inputs: workload.inputs.len(),
    })
    .map_err(Failure::usage)?;
    console::cast(&scenario, &workload.name, out);
    let start = Instant::now();
    let mut tell = |line: &gavel_sim::timeline::Line| console::line(line, out);
    let report = match &args.data_dir {
        Some(folder) => run_world_in(folder, &scenario, &workload, &mut tell),
        None => run_world(&scenario, &workload, &Stages::default(), &mut tell),
    }
    .at("the arena")?;
    console::end(&report, out);
    if kind == Kind::Draws {
        pictures::deliver(args, &workload, &report, out)?;
    }
    if let Some(folder) = &args.data_dir {
        out.facts(&[(
            "kept",
            format!(
                "chain, deployment, blobs and evidence in {}",
                folder.display()
            ),
        )]);
    }
    out.facts(&[("ran for", time(start.elapsed()))]);
    out.next(first_evidence(args).unwrap_or_else(|| match kind {
        Kind::Speaks => language::next(&faults),
        Kind::Draws => pictures::next(args, &faults),
        Kind::Classifies => next(args, &faults),
    }));
    out.json(&report)?;
    match report.holds() {
        true => Ok(Exit::Done),
        false => Ok(Exit::Failed),
    }
}

/// What a model does, as far as the demo tells it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Classifies,
    Speaks,
    Draws,
}

impl Kind {
    fn of(model: &Model) -> Kind {
        match Diffusion::of(model) {
            Some(_) => Kind::Draws,
            None if model.header().max_steps > 1 => Kind::Speaks,
            None => Kind::Classifies,
        }
    }

    /// What is done wrong by default.
    fn fault(self) -> Fault {
        match self {
            Kind::Classifies => Fault::Weight,
            Kind::Speaks => Fault::ChangedToken,
            Kind::Draws => Fault::SkippedSteps,
        }
    }

    /// Why a fault cannot be that of such a model.
    fn refuses(self, fault: Fault) -> Failure {
        let (what, model, other) = match (fault, self) {
            (Fault::SmallerModel, Kind::Draws) => (
                "there is no smaller model that draws to run instead".to_owned(),
                "diffusion",
                Fault::SkippedSteps,
            ),
            (Fault::SmallerModel, _) => (
                "there is no smaller language model to run instead".to_owned(),
                "llm",
                Fault::CheaperQuantisation,
            ),
            (Fault::SkippedSteps, _) => (
                format!("--fault {fault} is of models that draw"),
                "diffusion",
                fault,
            ),
            _ => (
                format!("--fault {fault} is of language models"),
                "llm",
                fault,
            ),
        };
        Failure::usage(what).hint(format!("gavel demo --model {model} --fault {other}"))
    }

    /// Whether a fault can be that of such a model.
    fn has(self, fault: Fault) -> bool {
        match fault {
            Fault::SmallerModel => self == Kind::Classifies,
            Fault::SkippedSteps => self == Kind::Draws,
            other => self == Kind::Speaks || !other.is_of_language(),
        }
    }
}

/// Refuses a fault that cannot be that of such a model.
pub(super) fn possible(model: &Model, fault: Fault) -> Result<(), Failure> {
    let kind = Kind::of(model);
    match kind.has(fault) {
        true => Ok(()),
        false => Err(kind.refuses(fault)),
    }
}

/// Refuses a place for a new chain that is taken, before anything is told.
fn unused(folder: &Path) -> Result<(), Failure> {
    let there = folder.display();
    let wrong = if folder.exists() && !folder.is_dir() {
        format!("{there} is a file")
    } else if folder.join("chain").symlink_metadata().is_ok() {
        format!("{there} holds a chain already")
    } else {
        return Ok(());
    };
    Err(Failure::new(wrong).expected("a directory that is empty or does not exist"))
}

/// What the flags ask for; a default where they are silent.
fn faults(asked: &[FaultArg], default: Fault) -> Result<Vec<Fault>, Failure> {
    if asked.contains(&FaultArg(None)) && asked.len() > 1 {
        return Err(Failure::usage("--fault none excludes every other fault"));
    }
    if asked.is_empty() {
        return Ok(vec![default]);
    }
    Ok(asked.iter().filter_map(|arg| arg.0).collect())
}

pub(super) fn workload(args: &DemoArgs) -> Result<Workload, Failure> {
    let name = args.model.as_deref().unwrap_or(MODEL);
    let model = files::servable_model(name)?;
    if model.assets().contains_key(TOKENIZER_ASSET) {
        return language::workload(args, name, model);
    }
    if let Some(drawing) = Diffusion::of(&model) {
        return pictures::workload(args, name, model, &drawing);
    }
    if !args.prompts.is_empty() {
        return Err(Failure::usage(format!("{name} takes no --prompt")).expected(
            "a language model (the shipped llm, or a GGUF file) or one that draws (the shipped diffusion)",
        ));
    }
    let max_bytes = EngineOptions::default().max_tensor_bytes;
    let inputs = match args.images.as_slice() {
        [] => default_inputs(&model, name, max_bytes)?,
        images => images
            .iter()
            .map(|path| {
                Ok(Input {
                    name: short(path),
                    tensors: files::inputs(&model, path, max_bytes)?,
                    expected: None,
                })
            })
            .collect::<Result<_, Failure>>()?,
    };
    let label = |model: &Model, outputs: &[Arc<gavel_numerics::Tensor>]| {
        Prediction::of(model, outputs).map(|found| found.name())
    };
    Workload::new(short(Path::new(name)), model, inputs, Box::new(label)).at(name)
}

/// The shipped pictures where the model takes pictures, else values made up.
fn default_inputs(model: &Model, name: &str, max_bytes: u64) -> Result<Vec<Input>, Failure> {
    let pictures: Vec<Input> = shipped::PICTURES
        .iter()
        .take(PICTURES)
        .filter_map(|(file, digit, png)| {
            Some(Input {
                name: (*file).to_owned(),
                tensors: vec![png_to_input(model, png).ok()?],
                expected: shipped::file(name).map(|_| digit.to_string()),
            })
        })
        .collect();
    if !pictures.is_empty() {
        return Ok(pictures);
    }
    Ok(vec![Input {
        name: "values made up".to_owned(),
        tensors: made_up_inputs(model, max_bytes)?,
        expected: None,
    }])
}

/// A question as a name.
fn quoted(prompt: &str) -> String {
    let prompt: String = prompt.chars().filter(|c| !c.is_control()).collect();
    let mut name: String = prompt.chars().take(NAME).collect();
    if name.len() < prompt.len() {
        name.push('\u{2026}');
    }
    format!("\u{201c}{name}\u{201d}")
}

fn short(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    let name = name.to_string_lossy();
    name.chars().filter(|c| !c.is_control()).collect()
}

/// Where evidence was kept, how it is read.
fn first_evidence(args: &DemoArgs) -> Option<String> {
    let files = std::fs::read_dir(args.data_dir.as_ref()?.join("evidence")).ok()?;
    let first = files.filter_map(|file| Some(file.ok()?.path())).min()?;
    Some(format!("gavel verify {}", first.display()))
}

fn next(args: &DemoArgs, faults: &[Fault]) -> String {
    let kinds: Vec<Fault> = Fault::of_any_model()
        .filter(|kind| !faults.contains(kind))
        .collect();
    match (args.no_watcher, kinds.first()) {
        (false, _) if faults == [Fault::Weight] => {
            "gavel demo --no-watcher --audit-rate 1".to_owned()
        }
        (_, Some(kind)) => format!("gavel demo --fault {kind}"),
        (_, None) => "gavel sim court --seeds 1..100".to_owned(),
    }
}
