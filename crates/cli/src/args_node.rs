//! What can be said to the roles that run as processes against one chain.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use gavel_gateway::Auction;
use gavel_node::{Address, Fault};

use crate::args::{KeyArgs, NetworkArgs};
use crate::args_language::{PromptArgs, SamplingArgs};
use crate::args_ops::SandboxArgs;
use crate::args_setup::{CalibrateArgs, ProviderInitArgs};
use crate::args_trap::TrapArgs;
use crate::failure::Failure;
use crate::network::TOKEN;

/// Where blobs are: inputs, outputs, shown segments.
#[derive(Clone, Debug, Args)]
pub(crate) struct BlobArgs {
    /// Directory of the blob store that the network's parties share
    #[arg(
        long,
        env = "GAVEL_BLOBS",
        value_name = "PLACE",
        default_value = "gavel-blobs"
    )]
    pub(crate) blobs: String,
}

/// A party: a chain, a key, blobs.
#[derive(Clone, Debug, Args)]
pub(crate) struct PartyArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
    #[command(flatten)]
    pub(crate) state: crate::args_protection::StateArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Model file, folder of a language model, or the name of a shipped model; FILE@NAME=LOW..HIGH is a family
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Where the file may be had
    #[arg(long, default_value = "")]
    pub(crate) uri: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// Make a folder with a key, its password and a configuration, and say what to do next; what is there stays as it is
    Init(ProviderInitArgs),
    /// Measure what a task of a model takes here, and say what to ask for it and how much to promise
    Calibrate(CalibrateArgs),
    /// Stake, bid, serve, audit, judge, and defend one's results, until interrupted
    Run(ProviderRunArgs),
    /// Take no new work, finish what is owed, leave the pools, and end when nothing is owed any more
    Drain(ProviderRunArgs),
    /// Run models for a provider that runs with --fleet, on a machine that has no key, until interrupted
    Work(crate::args_fleet::WorkArgs),
    /// Add to the stake of a provider
    Stake(StakeArgs),
    /// Ask for a part of the free stake; it may be withdrawn when the unbonding time has passed
    Unstake(StakeArgs),
    /// Take out the stake whose unbonding time has passed
    Withdraw {
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Who is registered, with stake and standing
    List(NetworkArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StakeArgs {
    /// Tokens, with up to 18 decimals
    #[arg(value_parser = crate::amount::parse)]
    pub(crate) amount: u128,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ProviderRunArgs {
    #[command(flatten)]
    pub(crate) party: PartyArgs,
    /// Model to serve: file, folder or name of a shipped model, with @TOKENS behind a language model for a context of its
    /// own, @NAME=LOW..HIGH behind an ONNX file for a family; may be given more than once
    #[arg(long = "model", value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,
    /// Stake to register with, in tokens; a provider that is registered keeps what it has
    #[arg(long, value_name = "TOKENS", default_value_t = 1_000)]
    pub(crate) stake: u64,
    /// Lowest price to work for, in tokens, with up to 18 decimals
    #[arg(long, value_name = "TOKENS", value_parser = crate::amount::parse, default_value = "1")]
    pub(crate) reserve: u128,
    /// Shortest time from claim to deadline to take a task with, in seconds: a late result costs stake
    #[arg(long, value_name = "SECONDS", default_value_t = gavel_node::roles::LEAST_EXEC_SECONDS)]
    pub(crate) least_exec: u32,
    /// Most tasks at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) concurrency: u32,
    /// Leave what is open to anybody (beacon rounds, timeouts, settlement) to others
    #[arg(long)]
    pub(crate) no_keeper: bool,
    #[command(flatten)]
    pub(crate) relays: crate::args_beacon::RelayArgs,
    #[command(flatten)]
    pub(crate) secrets: crate::args_beacon::JoinBeaconArgs,
    /// Claim again after a failure of this provider's own: what tripped its circuit breaker is repaired
    #[arg(long)]
    pub(crate) reset_breaker: bool,
    /// Where operators look: /metrics, /livez, /readyz [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ops: Option<SocketAddr>,
    /// Do wrong, to see what a network makes of it
    #[arg(long = "fault", value_name = "KIND")]
    pub(crate) faults: Vec<Fault>,
    #[command(flatten)]
    pub(crate) fleet: crate::args_fleet::FleetArgs,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    pub(crate) run: LoopArgs,
}

/// How a process looks at the chain.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LoopArgs {
    /// Milliseconds between two looks at the chain while there is nothing to do
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) poll: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Put a task up for auction; the ceiling and the audit levy go into escrow
    Post {
        #[command(flatten)]
        post: TaskPostArgs,
        /// Wait until the task is settled, cancelled or expired
        #[arg(long)]
        wait: bool,
    },
    /// Set a trap: have a result committed that is wrong on purpose, see whether it is found, and share out the deposit
    Trap(Box<TrapArgs>),
    /// Tasks and where they stand
    List(NetworkArgs),
    /// One task with all its attempts, audits and disputes
    Show {
        /// Task id
        id: u64,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// The output of a task, checked against what was committed
    Result {
        /// Task id
        id: u64,
        /// Model of the task: file, folder or name of a shipped model
        #[arg(long)]
        model: String,
        /// Write the first output as .npy, the answer of a language model as text, or a picture as .png
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Write what the provider signed, with inputs and outputs, for `gavel verify`
        #[arg(long, value_name = "FILE.json")]
        receipt: Option<PathBuf>,
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        blobs: BlobArgs,
    },
    /// Wait until a task is settled, cancelled or expired
    Wait {
        /// Task id
        id: u64,
        /// Longest time to wait, in seconds [default: no end]
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        run: LoopArgs,
    },
    /// Take an open task back; the escrow becomes credit
    Cancel {
        /// Task id
        id: u64,
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        key: KeyArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TaskPostArgs {
    /// Model file, folder of a language model, or the name of a shipped model
    pub(crate) model: String,
    /// PNG, .npy, or .npz (by input name); language models and models that draw take --prompt instead
    #[arg(conflicts_with_all = ["prompt", "system", "chat", "raw"])]
    pub(crate) input: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) party: PartyArgs,
    #[command(flatten)]
    pub(crate) prompt: PromptArgs,
    #[command(flatten)]
    pub(crate) auction: AuctionArgs,
    /// Seed of the task's randomness
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// What is offered for a task.
#[derive(Debug, Args)]
pub(crate) struct AuctionArgs {
    /// Price at which the auction starts, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 1)]
    pub(crate) min_price: u64,
    /// Price at which it ends, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 10)]
    pub(crate) max_price: u64,
    /// Seconds that the price takes to rise
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) ramp: u32,
    /// Seconds from claim to deadline
    #[arg(long, value_name = "SECONDS")]
    pub(crate) exec: Option<u32>,
}

impl AuctionArgs {
    /// In units of the asset; a price that falls is refused.
    pub(crate) fn offer(&self) -> Result<Auction, Failure> {
        let (min, max) = (self.min_price, self.max_price);
        if min > max {
            return Err(
                Failure::usage(format!("--min-price {min} is above --max-price {max}"))
                    .expected("a price that rises"),
            );
        }
        Ok(Auction {
            min_price: u128::from(min) * TOKEN,
            max_price: u128::from(max) * TOKEN,
            ramp_seconds: self.ramp,
            exec_seconds: self.exec,
        })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChallengeCommand {
    /// Run every result again, challenge the wrong ones, and see the disputes through, until interrupted
    Watch {
        #[command(flatten)]
        watch: WatchArgs,
        /// Where operators look: /metrics, /livez, /readyz [default: nowhere]
        #[arg(long, value_name = "ADDRESS")]
        ops: Option<SocketAddr>,
    },
    /// Run one task's result again, challenge it if it is wrong, and see the dispute through
    Task {
        /// Task id
        id: u64,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Challenge one result by hand: commit, and reveal as soon as that is due
    Open {
        /// Task id
        id: u64,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Make the next move of this key in a dispute
    Move {
        /// Dispute id
        id: u64,
        /// Say the move and send nothing
        #[arg(long)]
        dry_run: bool,
        /// Model of the task: file, folder or name of a shipped model
        #[arg(long)]
        model: String,
        #[command(flatten)]
        sandbox: SandboxArgs,
        #[command(flatten)]
        party: PartyArgs,
    },
    /// Rehearse a dispute without risk: a fault of your choice against your model on this machine, on a chain in memory
    Drill(crate::args_drill::DrillArgs),
    /// Disputes and where they stand: `gavel dispute list`
    #[command(hide = true)]
    List(NetworkArgs),
    /// Write what a dispute came down to into one file that `gavel verify` judges offline
    Evidence(EvidenceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceArgs {
    /// Dispute id
    pub(crate) id: u64,
    /// Model of the task: file, folder or name of a shipped model
    #[arg(long)]
    pub(crate) model: String,
    /// Where to write it [default: dispute-ID.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) party: PartyArgs,
    /// Model to run again: file, folder or name of a shipped model; may be given more than once
    #[arg(long = "model", value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,
    /// Do wrong, to see what a network makes of it
    #[arg(long, value_name = "KIND")]
    pub(crate) fault: Option<Fault>,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
    #[command(flatten)]
    pub(crate) run: LoopArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DisputeCommand {
    /// Disputes and where they stand
    List(NetworkArgs),
    /// One dispute: the sides, whose move it is and how long they have, what was isolated and ruled
    Show {
        /// Dispute id
        id: u64,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// The operator, the element and the arithmetic step that a dispute comes down to, in words
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Dispute id
    pub(crate) id: u64,
    /// Model of the task: file, folder or name of a shipped model
    #[arg(long)]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Wallet, credit and stake of an address
    Show {
        /// Whose
        address: Address,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Take all credit out of the vault
    Withdraw {
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        key: KeyArgs,
    },
}
