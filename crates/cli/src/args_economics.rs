//! Words of `gavel economics`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::args_params::RulesArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum EconomicsCommand {
    /// Parameters under which cheating loses money, from prices, costs and what is assumed about cheats
    Solve(SolveArgs),
    /// Markets of many providers who do what pays, at audit rates around the solved one
    Simulate(SimulateArgs),
    /// What every kind of cheat earns beside the honest, and who is left when all do what pays
    Strategies(StrategiesArgs),
    /// Simulate all of docs/economics.md again: its tables, plots and files of numbers
    Report(ReportArgs),
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
    /// What the market is played on
    #[arg(long, value_enum, default_value_t = Engine::Abstract)]
    pub(crate) engine: Engine,
    /// Tasks of each market [default: 10000000, on the contracts 2000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(100..=10_000_000_000))]
    pub(crate) tasks: Option<u64>,
    /// Providers of each market [default: 100000, on the contracts 110]
    #[arg(long, value_parser = clap::value_parser!(u32).range(20..=10_000_000))]
    pub(crate) providers: Option<u32>,
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

/// What a market is played on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// The money of the protocol alone: honest and wrong results at audit rates around the solved one
    Abstract,
    /// The contracts, on a chain in this process: every kind of agent, beside the same in the abstract
    Contracts,
}

#[derive(Debug, Args)]
pub(crate) struct StrategiesArgs {
    #[command(flatten)]
    pub(crate) assume: AssumeArgs,
    /// Tasks of the market
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000_000))]
    pub(crate) tasks: u64,
    /// Providers of the market
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub(crate) providers: u32,
    /// Share of the providers that is honest to begin with, in percent; the other kinds share the rest
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=99))]
    pub(crate) honest: u8,
    /// Most generations in which shares follow what pays, each of a tenth of the tasks
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) generations: u32,
    /// What all chance follows from
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Folder of the documents: economics.md in it, with a place for each table
    #[arg(long, value_name = "DIR", default_value = "docs")]
    pub(crate) out: PathBuf,
    /// Write nothing; fail if a file is not what is simulated
    #[arg(long)]
    pub(crate) check: bool,
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
