//! What can be said to a drill.

use std::path::PathBuf;

use clap::Args;
use gavel_node::Fault;

#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// Model to rehearse with: file, folder or name of a shipped model
    #[arg(long, value_name = "MODEL", default_value = "digits")]
    pub(crate) model: String,
    /// What is done wrong: one that a dispute convicts (one-ulp, weight, smaller-model, wrong-trace, withhold, lying-referee; of
    /// language models changed-token and cheaper-quantisation, of models that draw skipped-steps)
    #[arg(long, value_name = "KIND", default_value = "one-ulp")]
    pub(crate) fault: Fault,
    /// Everything random in the drill follows from this number
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// JSON-RPC endpoint of the network whose clocks are to be met [default: those that `gavel chain deploy` sets]
    #[arg(long, value_name = "URL", requires = "deployment")]
    pub(crate) rpc: Option<String>,
    /// Deployment file of that network
    #[arg(long, value_name = "FILE", requires = "rpc")]
    pub(crate) deployment: Option<PathBuf>,
}
