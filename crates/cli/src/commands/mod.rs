//! One module per verb.

mod account;
mod beacon;
mod beacon_role;
mod bench_chain;
mod bench_gas;
mod bench_isolate;
mod bench_llm;
mod bench_onnx;
mod bench_trace;
mod blobs;
mod bundle;
mod by_hand;
mod calibrate;
mod chain;
mod challenge;
mod chat;
mod config;
mod demo;
mod dispute;
mod doctor;
mod drill;
mod economics;
mod economics_market;
mod economics_report;
mod economics_sim;
mod explorer;
mod fleet;
mod gateway;
mod gateway_sign;
mod generate;
mod generate_image;
mod key;
mod machine;
mod manual;
mod model;
mod monitor;
mod operators;
mod params;
mod party;
mod protection;
mod provider;
mod register;
mod run;
mod schemas;
mod setup;
mod sim;
mod sim_attacks;
mod stake;
mod task;
mod trap;
mod up;
mod verify;
mod worker;

use std::sync::Arc;

pub(crate) use worker::identity;

use gavel_engine::{Engine, EngineOptions};
use gavel_model::Model;
use gavel_node::{EngineExecutor, Models};

use crate::args::{BenchCommand, Command, EngineArgs, ModelCommand};
use crate::failure::{Context as _, Exit, Failure};
use crate::output::Output;

/// Runs one command.
pub(crate) fn run(command: Command, out: Output) -> Result<Exit, Failure> {
    match command {
        Command::Model(ModelCommand::Id(args)) => model::id(&args, out),
        Command::Model(ModelCommand::Inspect(args)) => model::inspect(&args, out),
        Command::Model(ModelCommand::Operators) => model::operators(out),
        Command::Model(ModelCommand::Register(args)) => register::run(args, out),
        Command::Economics(command) => economics::run(&command, out),
        Command::Model(ModelCommand::Publish(args)) => model::publish(&args, out),
        Command::Model(ModelCommand::Fetch(args)) => model::fetch(&args, out),
        Command::Run(args) => run::run(&args, out),
        Command::Chat(args) => chat::run(&args, out),
        Command::Generate(args) => generate::run(&args, out),
        Command::GenerateImage(args) => generate_image::run(&args, out),
        Command::Verify(args) => verify::run(&args, out),
        Command::Bench(BenchCommand::Isolate {
            faults,
            seed,
            model,
            engine,
        }) => bench_isolate::run(&model, faults, seed, engine, out),
        Command::Bench(BenchCommand::Llm(args)) => bench_llm::run(&args, out),
        Command::Bench(BenchCommand::Onnx(args)) => bench_onnx::run(&args, out),
        Command::Bench(BenchCommand::Chain(args)) => bench_chain::run(&args, out),
        Command::Bench(BenchCommand::Gas) => bench_gas::run(out),
        Command::Demo(args) => demo::run(&args, out),
        Command::Sim(command) => sim::run(&command, out),
        Command::Key(command) => key::run(&command, out),
        Command::Chain(command) => chain::run(command, out),
        Command::Beacon(command) => beacon_role::run(command, out),
        Command::Provider(command) => provider::run(command, out),
        Command::Task(command) => task::run(command, out),
        Command::Challenge(command) => challenge::run(command, out),
        Command::Dispute(command) => dispute::run(command, out),
        Command::Gateway(command) => gateway::run(command, out),
        Command::Account(command) => account::run(command, out),
        Command::Up(args) => up::run(args, out),
        Command::Explorer(args) => explorer::run(args, out),
        Command::Watch(args) => monitor::run(args, out),
        Command::Config(command) => config::run(command, out),
        Command::Blobs(command) => blobs::run(command, out),
        Command::Doctor(args) => doctor::run(args, out),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::pages(&args, out),
        Command::Worker(args) => worker::run(args),
        Command::Reference(args) => manual::reference(&args),
        Command::Protection(command) => protection::run(command, out),
        Command::Bench(BenchCommand::Trace {
            model,
            runs,
            engine,
        }) => bench_trace::run(&model, runs, engine, out),
    }
}

/// The engine that the flags and `GAVEL_ISA` ask for.
fn engine(args: EngineArgs) -> Result<Engine, Failure> {
    Engine::new(EngineOptions {
        threads: args.threads.map_or(1, usize::from),
        isa: None,
        max_tensor_bytes: max_bytes(args),
    })
    .at("GAVEL_ISA and --threads")
}

fn max_bytes(args: EngineArgs) -> u64 {
    args.max_memory << 20
}

/// The honest executor of one model.
fn executor(name: &str, model: &Model, args: EngineArgs) -> Result<Arc<EngineExecutor>, Failure> {
    let mut models = Models::new();
    models.add(model.clone());
    EngineExecutor::new(engine(args)?, models)
        .map(Arc::new)
        .at(name)
}
