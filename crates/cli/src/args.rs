//! The command line: what can be said, with its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// An open network for machine-learning inference that nobody has to trust.
#[derive(Debug, Parser)]
#[command(
    name = "gavel",
    version,
    propagate_version = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 7 the evidence shows a false claim"
)]
pub(crate) struct Cli {
    /// One JSON object on stdout instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Identity and structure of a model file
    #[command(subcommand)]
    Model(ModelCommand),
    /// Run a model on a picture or tensors and commit to the trace
    Run(RunArgs),
    /// Measurements
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Print the model_id
    Id(ModelFile),
    /// Operators, shapes, weights, commit points
    Inspect(ModelFile),
}

#[derive(Debug, Args)]
pub(crate) struct ModelFile {
    /// ONNX file, or the name of a shipped model: digits, digits-small, digits-mlp
    pub(crate) model: String,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// ONNX file, or the name of a shipped model: digits, digits-small, digits-mlp
    pub(crate) model: String,
    /// PNG, .npy, or .npz (by input name)
    pub(crate) input: PathBuf,
    /// Write the first output as .npy
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// How a model is run. None of it changes a bit of the result.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct EngineArgs {
    /// Threads (changes no bit)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Most memory for the run's tensors, weights apart
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub(crate) max_memory: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Share of a run that hashing takes
    Trace {
        /// ONNX file, or the name of a shipped model
        #[arg(long, default_value = "digits")]
        model: String,
        /// Runs to measure
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        runs: u32,
        #[command(flatten)]
        engine: EngineArgs,
    },
}
