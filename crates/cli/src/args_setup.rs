//! What can be said to set up a provider and to find out what its machine is worth.

use std::path::PathBuf;

use clap::Args;

use crate::args::{EngineArgs, NetworkArgs};
use crate::args_node::BlobArgs;

#[derive(Debug, Args)]
pub(crate) struct ProviderInitArgs {
    /// Folder for the key, its password and the configuration; made if absent
    #[arg(default_value = "gavel-provider", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
    /// Model to serve; may be given more than once [default: the registered ones that are found]
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) models: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// Model to serve: file, folder or name of a shipped model, or its model_id; may be given more than once
    #[arg(long = "model", value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,
    /// What the machine costs, in tokens of the network's asset an hour: hire or depreciation, power, your time
    #[arg(long, value_name = "TOKENS", value_parser = crate::amount::parse, default_value = "1")]
    pub(crate) cost_per_hour: u128,
    /// Share of the time that it is expected to have work, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) utilisation: u32,
    /// What is to be earned on top of the cost, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) margin: u32,
    /// Runs to measure
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(3..=10_000))]
    pub(crate) runs: u32,
    /// Write reserve, concurrency and least_exec into the [provider] table of the configuration file; nothing else of it changes
    #[arg(long)]
    pub(crate) write: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}
