//! What can be said about several processes behind one key.

use clap::Args;
use gavel_node::Address;

use crate::args_node::BlobArgs;
use crate::args_ops::SandboxArgs;

/// How a provider shares its work.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct FleetArgs {
    /// Leave runs to `gavel provider work`, and stand by while another process leads; takes --state postgres://...
    #[arg(long)]
    pub(crate) fleet: bool,
    /// Seconds after which another process takes over from a leader that gives no sign of life
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) lead_lease: u32,
}

#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// Where the provider's jobs are: its postgres:// URL
    #[arg(
        long,
        env = "GAVEL_STATE",
        value_name = "PLACE",
        hide_env_values = true
    )]
    pub(crate) state: String,
    /// The provider's key, where the server has several
    #[arg(long)]
    pub(crate) address: Option<Address>,
    /// Model to run: as the provider names it; may be given more than once
    #[arg(long = "model", value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
    /// Its name among the workers [default: host and process]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Seconds after which a job is another's if this process gives no sign of life
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) lease: u32,
    /// Milliseconds between two looks for a job
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) poll: u64,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
}
