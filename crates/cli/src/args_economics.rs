//! Words of `gavel economics`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args_params::RulesArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum EconomicsCommand {
    /// Parameters under which cheating loses money, from prices, costs and what is assumed about cheats
    Solve(SolveArgs),
    /// Every rule that parameters have to keep, with how far each is kept
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SolveArgs {
    /// File of assumptions (TOML); keys that it does not name have defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) assume: Option<PathBuf>,
    /// One assumption, over the file's: stake=500, exposure=8
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Write nothing but the parameters, as the file that `gavel chain deploy --params` takes
    #[arg(long)]
    pub(crate) toml: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
}
