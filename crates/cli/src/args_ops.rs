//! What can be said to whoever looks after a machine or a network.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::args::{NetworkArgs, PasswordArgs};
use crate::args_node::{BlobArgs, LoopArgs};

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
    /// Model whose results are run again and judged: file, folder or name of a shipped model; may be given more than once
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// Challenge what is wrong, with a key: what `gavel challenge watch` does
    #[arg(long)]
    pub(crate) challenge: bool,
    /// Key file of the challenger (Web3 Secret Storage)
    #[arg(long, env = "GAVEL_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    /// Look once, tell what there is, and end: status 7 if a result or a dispute is wrong
    #[arg(long, conflicts_with = "challenge")]
    pub(crate) once: bool,
    /// Where operators look: /metrics, /livez, /readyz [default: nowhere]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "once")]
    pub(crate) ops: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) state: crate::args_protection::StateArgs,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    pub(crate) run: LoopArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Only what changes while a process runs: the chain, the deployment, the clock, the blobs
    #[arg(long)]
    pub(crate) quick: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
    /// Key file (Web3 Secret Storage)
    #[arg(long, env = "GAVEL_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    /// Model that is to be served: file, folder or name of a shipped model; may be given more than once
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    /// Protection database that the bundle tells of [default: that of the network and key]
    #[arg(
        long,
        env = "GAVEL_STATE",
        value_name = "PLACE",
        hide_env_values = true
    )]
    pub(crate) state: Option<String>,
    /// Write what a fault report needs into one archive, without secrets; what is in it is listed first
    #[arg(long, value_name = "FILE.tar[.gz]")]
    pub(crate) bundle: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for every command into this folder [default: the page of `gavel` on standard output]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    /// Write what commands print with --json into this folder instead: a page, and a JSON Schema for each
    #[arg(long, value_name = "DIR")]
    pub(crate) schemas: Option<PathBuf>,
}

/// Where models are read and run.
#[derive(Clone, Debug, Args)]
pub(crate) struct SandboxArgs {
    /// Read and run models in a process of their own, without keys, network or other files (Linux)
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) sandbox: SandboxMode,
    /// Most memory of that process, mapped weights among it [default: three quarters of the machine's and the files' size]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..=1 << 24))]
    pub(crate) sandbox_memory: Option<u64>,
    /// Longest time of one run or recomputation there
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) sandbox_seconds: u64,
    /// Another file or folder that it may read: weights that lie beside an ONNX file under a name of their own
    #[arg(long, value_name = "PATH")]
    pub(crate) sandbox_read: Vec<PathBuf>,
}

/// Whether there is a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SandboxMode {
    /// On Linux
    Auto,
    /// Never: the model's file is read where the key is
    Off,
}

/// The process that models run in; started by the program itself.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// Most bytes of address space
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory: u64,
    /// File or folder that it may read
    #[arg(long, value_name = "PATH")]
    pub(crate) read: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// What holds
    Show {
        /// With where each value comes from
        #[arg(long)]
        origin: bool,
    },
    /// Whether the file can be used
    Check,
    /// Write a file to start from
    Init {
        /// Where to [default: $XDG_CONFIG_HOME/gavel/config.toml]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlobsCommand {
    /// Say which blobs no open window of a task or dispute needs any more, or remove them
    Prune(PruneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
    /// Keep what is younger: inputs are stored before their task is posted, and results are fetched after they are settled
    #[arg(long, value_name = "HOURS", default_value_t = 168)]
    pub(crate) older_than: u64,
    /// Remove them
    #[arg(long)]
    pub(crate) delete: bool,
}
