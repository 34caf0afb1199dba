//! What can be said to whoever sets a trap.

use std::path::PathBuf;

use clap::Args;

use crate::args_node::{LoopArgs, TaskPostArgs};

/// Three keys: the task's is the requester's.
#[derive(Debug, Args)]
pub(crate) struct TrapArgs {
    #[command(flatten)]
    pub(crate) post: TaskPostArgs,
    /// Key file of the provider that commits the wrong result; it is registered, and no other process runs it
    #[arg(long, value_name = "FILE")]
    pub(crate) provider_key: PathBuf,
    /// File with that key's password [default: the variable GAVEL_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub(crate) provider_password_file: Option<PathBuf>,
    /// Key file of whoever deposits the jackpot
    #[arg(long, value_name = "FILE")]
    pub(crate) sealer_key: PathBuf,
    /// File with that key's password [default: the variable GAVEL_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub(crate) sealer_password_file: Option<PathBuf>,
    /// Deposit for those who find it, in tokens, with up to 18 decimals [default: the least]
    #[arg(long, value_name = "TOKENS", value_parser = crate::amount::parse)]
    pub(crate) jackpot: Option<u128>,
    #[command(flatten)]
    pub(crate) run: LoopArgs,
}
