//! Words of `gavel economics`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args_params::RulesArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum EconomicsCommand {
    /// Parameters under which cheating loses money, from prices, costs and what is assumed about cheats
    Solve(SolveArgs),
    /// Markets of many providers who do what pays, at audit rates around the solved one
    Simulate(SimulateArgs),
    /// Every rule that parameters have to keep, with how far each is kept
    Explain(ExplainArgs),
}

/// What is assumed.
#[derive(Debug, Args)]
pub(crate) struct AssumeArgs {
    /// File of assumptions (TOML); keys that it does not name have defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) assume: Option<PathBuf>,
    /// One assumption, over the file's: stake=500, exposure=8
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub(crate) assume: AssumeArgs,
    /// Tasks of each market
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000_000))]
    pub(crate) tasks: u64,
    /// Providers of each market
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub(crate) providers: u32,
    /// Times at which providers look at what pays
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) epochs: u32,
    /// What all chance follows from
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Cheats without friends: nothing of a slash comes back to them
    #[arg(long)]
    pub(crate) alone: bool,
    /// Write the points of the curve to a file of comma-separated values
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SolveArgs {
    #[command(flatten)]
    pub(crate) assume: AssumeArgs,
    /// Write nothing but the parameters, as the file that `gavel chain deploy --params` takes
    #[arg(long)]
    pub(crate) toml: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
}
