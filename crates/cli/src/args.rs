//! The command line: what can be said, with its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An open network for machine-learning inference that nobody has to trust.
#[derive(Debug, Parser)]
#[command(name = "gavel", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// One JSON object on stdout instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole court on this machine: chain, auction, a cheat, its trial, the requeue
    Demo(DemoArgs),
    /// Identity and structure of a model file
    #[command(subcommand)]
    Model(ModelCommand),
    /// Run a model on a picture or tensors and commit to the trace
    Run(RunArgs),
    /// Check an evidence file offline (exit 0: the claim is true, 7: it is false)
    Verify(VerifyArgs),
    /// Measurements: isolation of faults, gas, cost of the trace
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Seeded byzantine runs of the whole court in virtual time
    #[command(subcommand)]
    Sim(SimCommand),
    /// The embedded chain
    #[command(subcommand)]
    Chain(ChainCommand),
    /// Key files (Web3 Secret Storage)
    #[command(subcommand)]
    Key(KeyCommand),
    /// Serve tasks for money
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Post tasks and fetch results
    #[command(subcommand)]
    Task(TaskCommand),
    /// Re-execute results and challenge the wrong ones
    #[command(subcommand)]
    Challenge(ChallengeCommand),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// What somebody does wrong; may be given more than once [default: weight; "none" for an honest run]
    #[arg(long = "fault", value_name = "KIND")]
    pub(crate) faults: Vec<FaultArg>,
    /// Everything random in the demo follows from this number
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Nobody watches: only the random audit can catch the cheat
    #[arg(long)]
    pub(crate) no_watcher: bool,
    /// Share of results audited at random, 0 to 1
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) audit_rate: Option<f64>,
    /// How many providers stake (at least 5)
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(5..=32))]
    pub(crate) providers: u16,
    /// Your own ONNX classifier instead of the shipped digit model
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Pictures to classify (PNG); may be given more than once [default: three shipped digits]
    #[arg(long = "image", value_name = "PNG")]
    pub(crate) images: Vec<PathBuf>,
    /// Keep the chain database and the blobs in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// A way of doing wrong. Each is a real deviation in what a party computes or does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultArg {
    /// Nobody cheats
    None,
    /// One weight of the provider's model is changed
    Weight,
    /// One element of one operator's output is off by one unit in the last place
    OneUlp,
    /// The provider runs a smaller model and makes up the trace
    SmallerModel,
    /// The result is right, the trace is not
    WrongTrace,
    /// The provider takes the task and delivers nothing
    NoResult,
    /// A cheating provider falls silent in the dispute
    Withhold,
    /// An honest result is challenged
    FalseChallenge,
    /// The referee rules the opposite of what it computed
    LyingReferee,
    /// The auditor copies the provider's digests instead of running the model
    LazyAuditor,
    /// A friend of the cheat challenges badly on purpose
    SockPuppet,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err(format!("expected a number from 0 to 1, found {text:?}")),
    }
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
    /// Threads (changes no bit)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Write an evidence file for this operator of the run (index in canonical order)
    #[arg(long, value_name = "OPERATOR", requires = "evidence")]
    pub(crate) operator: Option<u32>,
    /// Where to write the evidence file
    #[arg(long, value_name = "FILE", requires = "operator")]
    pub(crate) evidence: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Evidence file
    pub(crate) evidence: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Falsify operators at random by one ULP and see that each is isolated exactly
    Isolate {
        /// How many random faults
        #[arg(long, default_value_t = 50)]
        faults: u32,
        /// Where they start
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// ONNX file, or the name of a shipped model
        #[arg(long, default_value = "digits")]
        model: String,
    },
    /// Gas of every action, on the real contracts
    Gas,
    /// Share of a run that hashing takes
    Trace {
        /// ONNX file, or the name of a shipped model
        #[arg(long, default_value = "digits")]
        model: String,
        /// Runs to measure
        #[arg(long, default_value_t = 200)]
        runs: u32,
        /// Threads
        #[arg(long, default_value_t = 1)]
        threads: u16,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Byzantine mixes of every role against the real contracts
    Court {
        /// First and last seed, inclusive: A..B
        #[arg(long, default_value = "1..100", value_parser = parse_seeds)]
        seeds: (u64, u64),
        /// Worker threads
        #[arg(long, default_value_t = 2)]
        threads: u16,
    },
}

fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("expected A..B with A <= B, for example 1..1000, found {text:?}");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let first = first.parse().map_err(|_| wrong())?;
    let last = last.trim_start_matches('=').parse().map_err(|_| wrong())?;
    if first > last { Err(wrong()) } else { Ok((first, last)) }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChainCommand {
    /// Run the embedded chain over HTTP JSON-RPC, durable in a directory
    Up {
        /// Chain database (created if absent)
        #[arg(long, value_name = "DIR", default_value = "gavel-chain")]
        data_dir: PathBuf,
        /// Where to listen; loopback
        #[arg(long, default_value = "127.0.0.1:8545")]
        listen: std::net::SocketAddr,
        /// Accounts (addresses) to fund in the genesis block with coin for gas
        #[arg(long = "fund", value_name = "ADDRESS")]
        fund: Vec<String>,
    },
    /// Deploy the contracts through an RPC URL and write the deployment file
    Deploy {
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        key: KeyArgs,
        /// Give each of these accounts development tokens
        #[arg(long = "mint", value_name = "ADDRESS")]
        mint: Vec<String>,
    },
    /// Send the calls that are open to everybody (settle, time-outs, beacon) for as long as it runs
    Keep {
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Head, contracts and balances
    Status {
        #[command(flatten)]
        network: NetworkArgs,
    },
}

/// Which chain and which deployment.
#[derive(Clone, Debug, Args)]
pub(crate) struct NetworkArgs {
    /// JSON-RPC endpoint
    #[arg(long, env = "GAVEL_RPC", default_value = "http://127.0.0.1:8545")]
    pub(crate) rpc: String,
    /// Deployment file written by `gavel chain deploy`
    #[arg(long, env = "GAVEL_DEPLOYMENT", default_value = "gavel-deployment.json")]
    pub(crate) deployment: PathBuf,
    /// Blob store: object_store URL or directory
    #[arg(long, env = "GAVEL_BLOBS", default_value = "gavel-blobs")]
    pub(crate) blobs: String,
}

/// Whose key signs.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyArgs {
    /// Key file (Web3 Secret Storage)
    #[arg(long, env = "GAVEL_KEY", value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// File with the key's password [default: environment variable GAVEL_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key file
    New {
        /// Where to write it; must not exist
        file: PathBuf,
        /// File with the password [default: environment variable GAVEL_PASSWORD]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Print the address of a key file
    Address {
        /// Key file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// Register, stake, and serve a model until stopped
    Run {
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        key: KeyArgs,
        /// ONNX file, or the name of a shipped model
        #[arg(long, default_value = "digits")]
        model: String,
        /// Stake to put down when registering, in whole tokens
        #[arg(long, default_value_t = 1000)]
        stake: u64,
        /// Lowest price to claim at, in whole tokens
        #[arg(long, default_value_t = 1)]
        reserve: u64,
        /// Stop after this many idle rounds (for scripts) [default: never]
        #[arg(long)]
        idle_rounds: Option<u32>,
    },
    /// Standing of a provider
    Show {
        #[command(flatten)]
        network: NetworkArgs,
        /// Provider address
        address: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Post a picture or tensors as a task
    Post {
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        key: KeyArgs,
        /// ONNX file, or the name of a shipped model
        #[arg(long, default_value = "digits")]
        model: String,
        /// PNG, .npy or .npz
        input: PathBuf,
        /// Most to pay, in whole tokens
        #[arg(long, default_value_t = 100)]
        max_price: u64,
        /// Where the auction starts, in whole tokens
        #[arg(long, default_value_t = 1)]
        min_price: u64,
    },
    /// State of one task, with its result when there is one
    Show {
        #[command(flatten)]
        network: NetworkArgs,
        /// Task number
        task: u64,
    },
    /// All tasks
    List {
        #[command(flatten)]
        network: NetworkArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChallengeCommand {
    /// Watch: re-execute every result of a model, challenge the wrong ones, play the disputes
    Run {
        #[command(flatten)]
        network: NetworkArgs,
        #[command(flatten)]
        key: KeyArgs,
        /// ONNX file, or the name of a shipped model
        #[arg(long, default_value = "digits")]
        model: String,
        /// Stop after this many idle rounds (for scripts) [default: never]
        #[arg(long)]
        idle_rounds: Option<u32>,
    },
    /// Disputes and where they stand
    List {
        #[command(flatten)]
        network: NetworkArgs,
    },
}
