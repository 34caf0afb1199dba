//! `gavel demo`

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gavel_engine::EngineOptions;
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

/// The model that is served by default.
const MODEL: &str = "digits";
/// Shipped pictures that are posted by default.
const PICTURES: usize = 3;

pub(crate) fn run(args: &DemoArgs, out: Output) -> Result<Exit, Failure> {
    if let Some(folder) = &args.data_dir {
        unused(folder)?;
    }
    let workload = Arc::new(workload(args)?);
    let speaks = workload.model().header().max_steps > 1;
    let default = if speaks {
        Fault::ChangedToken
    } else {
        Fault::Weight
    };
    let faults = faults(&args.faults, default)?;
    let language = faults
        .iter()
        .find(|f| Fault::of_any_model().all(|any| any != **f));
    if let Some(fault) = language.filter(|_| !speaks) {
        return Err(
            Failure::usage(format!("--fault {fault} is of language models"))
                .hint(format!("gavel demo --model llm --fault {fault}")),
        );
    }
    if speaks && faults.contains(&Fault::SmallerModel) {
        return Err(
            Failure::usage("there is no smaller language model to run instead")
                .hint("gavel demo --model llm --fault cheaper-quantisation"),
        );
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
    out.next(first_evidence(args).unwrap_or_else(|| match speaks {
        true => language::next(&faults),
        false => next(args, &faults),
    }));
    out.json(&report)?;
    match report.holds() {
        true => Ok(Exit::Done),
        false => Ok(Exit::Failed),
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

fn workload(args: &DemoArgs) -> Result<Workload, Failure> {
    let name = args.model.as_deref().unwrap_or(MODEL);
    let model = files::servable_model(name)?;
    if model.assets().contains_key(TOKENIZER_ASSET) {
        return language::workload(args, name, model);
    }
    if !args.prompts.is_empty() {
        return Err(Failure::usage(format!("{name} takes no --prompt"))
            .expected("a language model: the shipped llm, or a GGUF file"));
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
