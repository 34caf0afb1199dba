//! The command line: what can be said, with its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gavel_node::Address;

use crate::args_arena::{BenchChainArgs, DemoArgs, SimCommand};
use crate::args_gateway::GatewayCommand;
use crate::args_language::{BenchLlmArgs, ChatArgs, GenerateArgs};
use crate::args_node::{
    AccountCommand, ChallengeCommand, DisputeCommand, ProviderCommand, RegisterArgs, TaskCommand,
};
use crate::args_ops::{
    BlobsCommand, CompletionsArgs, ConfigCommand, DoctorArgs, ManArgs, MonitorArgs, ReferenceArgs,
    WorkerArgs,
};
use crate::args_params::{ParamsArgs, RulesArgs};
use crate::args_up::{ExplorerArgs, UpArgs};
use crate::args_weights::{FetchArgs, PublishArgs};

/// An open network for machine-learning inference that nobody has to trust.
#[derive(Debug, Parser)]
#[command(
    name = "gavel",
    version,
    propagate_version = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 a configuration, deployment or key file, 4 the chain cannot be reached, 5 the contracts refuse, 6 too little coin, credit or stake, 7 the claim is false, 8 refused by protection, 9 not in time, 10 not found, 130 interrupted"
)]
pub(crate) struct Cli {
    /// One JSON object on stdout instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Configuration file [default: $XDG_CONFIG_HOME/gavel/config.toml, if it is there]
    #[arg(long, global = true, env = "GAVEL_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Do not ask before money moves; without a terminal nothing is asked, and what would be needs this
    #[arg(long, short = 'y', global = true)]
    pub(crate) yes: bool,
    /// Store that a model is fetched from which is named by its model_id, 0x…: a directory, or file:, http(s):, s3:, gs:, az:
    #[arg(long, global = true, env = "GAVEL_MODELS_FROM", value_name = "PLACE")]
    pub(crate) models_from: Option<String>,
    /// Folder that such models are kept in [default: $XDG_CACHE_HOME/gavel/models]
    #[arg(long, global = true, env = "GAVEL_MODELS_DIR", value_name = "DIR")]
    pub(crate) models_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole story in virtual time: an auction, a cheat, a dispute, a verdict
    Demo(DemoArgs),
    /// Simulations on the real contracts
    #[command(subcommand)]
    Sim(SimCommand),
    /// Identity and structure of a model file
    #[command(subcommand)]
    Model(ModelCommand),
    /// Run a model on a picture or tensors and commit to the trace
    Run(RunArgs),
    /// Ask a language model, with an answer that anybody can check
    Generate(GenerateArgs),
    /// Draw a picture of a few words, with a result that anybody can check
    GenerateImage(GenerateImageArgs),
    /// Talk with a language model
    Chat(ChatArgs),
    /// Judge a file offline: evidence of a dispute, a receipt, a saved answer
    Verify(VerifyArgs),
    /// Measurements
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Key files (Web3 Secret Storage)
    #[command(subcommand)]
    Key(KeyCommand),
    /// The embedded chain and the contracts on it
    #[command(subcommand)]
    Chain(ChainCommand),
    /// Whether cheating pays under a network's numbers, and numbers under which it does not
    #[command(subcommand)]
    Economics(crate::args_economics::EconomicsCommand),
    /// Where draws come from, and taking part in it
    #[command(subcommand)]
    Beacon(crate::args_beacon::BeaconCommand),
    /// Serve models for pay, and audit and judge others
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Ask for results
    #[command(subcommand)]
    Task(TaskCommand),
    /// The network behind the HTTP interface of OpenAI's clients
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Catch wrong results
    #[command(subcommand)]
    Challenge(ChallengeCommand),
    /// Disputes, and what they come down to
    #[command(subcommand)]
    Dispute(DisputeCommand),
    /// See what happens on a network and what is wrong with it, without a key
    Watch(MonitorArgs),
    /// Whether this machine is ready, line by line, with the fix of what is not
    Doctor(DoctorArgs),
    /// Values that hold where the command line says nothing
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The blob store
    #[command(subcommand)]
    Blobs(BlobsCommand),
    /// Completions of a shell, on standard output
    Completions(CompletionsArgs),
    /// Manual pages
    Man(ManArgs),
    /// Reads and runs models for another process of this program
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// The reference of the command line as Markdown
    #[command(hide = true)]
    Reference(ReferenceArgs),
    /// Wallet, credit and stake
    #[command(subcommand)]
    Account(AccountCommand),
    /// A whole network in this process, and a page that shows it
    Up(UpArgs),
    /// The page of a network: auction, tasks, disputes, money
    Explorer(ExplorerArgs),
    /// What a key has said, so that it never says anything else
    #[command(subcommand)]
    Protection(crate::args_protection::ProtectionCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Print the model_id
    Id(ModelFile),
    /// Operators, shapes, weights, commit points
    Inspect(ModelFile),
    /// Operators of ONNX that are read
    Operators,
    /// Put a model into a network's registry, so that tasks can name it
    Register(RegisterArgs),
    /// Put a model's files into a store, for whoever names it by its model_id
    Publish(PublishArgs),
    /// Fetch a model by its model_id, from where an interruption left it, and check that it is that model
    Fetch(FetchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ModelFile {
    /// ONNX or GGUF file, folder of a language model, or the name of a shipped model: digits, digits-small, digits-mlp, diffusion, llm
    pub(crate) model: String,
    /// Tokens of a language model's context [default: what it was trained for, up to 8192]; part of its identity
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    pub(crate) context: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// ONNX file, or the name of a shipped model: digits, digits-small, digits-mlp
    pub(crate) model: String,
    /// PNG, .npy, or .npz (by input name)
    pub(crate) input: PathBuf,
    /// Seed of a model that draws random numbers: its input `seed`
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Write the first output as .npy, or all of them by name as .npz
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateImageArgs {
    /// What to draw: a few words, or a class [default: nothing is said, and anything may come]
    pub(crate) prompt: Vec<String>,
    /// The noise that the picture is made from: the same seed gives the same picture, on any machine
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// ONNX denoiser with a scheduler, or the shipped model
    #[arg(long, default_value = "diffusion")]
    pub(crate) model: String,
    /// Where the PNG is written
    #[arg(long, short, value_name = "FILE", default_value = "picture.png")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// How a model is run. None of it changes a bit of the result.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct EngineArgs {
    /// Threads [default: 1, and one per CPU for language models]; changes no bit
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Most memory for the run's tensors, weights apart
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub(crate) max_memory: u64,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 the claim is true, 7 it is false, 1 the file proves nothing"
)]
pub(crate) struct VerifyArgs {
    /// Evidence of a dispute, receipt of a result, or saved answer of a language model (JSON)
    pub(crate) file: PathBuf,
    /// Run the task again on this model: file, folder or name of a shipped model
    #[arg(long)]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Falsify operators at random by one ULP and see that each is isolated exactly
    Isolate {
        /// How many random faults
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        faults: u32,
        /// What they are drawn from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// ONNX file, or the name of a shipped model
        #[arg(long, default_value = "digits")]
        model: String,
        #[command(flatten)]
        engine: EngineArgs,
    },
    /// Tokens a second of a language model, beside what the machine can do
    Llm(BenchLlmArgs),
    /// Time of a run, and where it goes operator by operator, beside what the machine can do
    Onnx(BenchOnnxArgs),
    /// Lives of tasks a second on the embedded chain, on disk, with thousands open beside them
    Chain(BenchChainArgs),
    /// Gas of every action, and of a task and a dispute as a whole
    Gas,
    /// Share of a run that hashing takes
    Trace {
        /// ONNX file, or the name of a shipped model
        #[arg(long, default_value = "digits")]
        model: String,
        /// Runs to measure
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        runs: u32,
        #[command(flatten)]
        engine: EngineArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BenchOnnxArgs {
    /// ONNX file, or the name of a shipped model
    pub(crate) model: String,
    /// Inputs: NumPy file or archive [default: made up]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Write the outputs to this NumPy file or archive
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Every step by itself, in order, in place of sums by operator
    #[arg(long)]
    pub(crate) by_node: bool,
    /// Runs to measure
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) runs: u32,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Which chain, which deployment, which blobs.
#[derive(Clone, Debug, Args)]
pub(crate) struct NetworkArgs {
    /// JSON-RPC endpoint
    #[arg(
        long,
        env = "GAVEL_RPC",
        value_name = "URL",
        default_value = "http://127.0.0.1:8545"
    )]
    pub(crate) rpc: String,
    /// Deployment file written by `gavel chain deploy`
    #[arg(
        long,
        env = "GAVEL_DEPLOYMENT",
        value_name = "FILE",
        default_value = "gavel-deployment.json"
    )]
    pub(crate) deployment: PathBuf,
}

/// Whose key signs.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyArgs {
    /// Key file (Web3 Secret Storage)
    #[arg(long, env = "GAVEL_KEY", value_name = "FILE")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

/// What a key file is locked with.
#[derive(Clone, Debug, Args)]
pub(crate) struct PasswordArgs {
    /// File with the password in its first line [default: the variable GAVEL_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key file
    New {
        /// Where to write it; must not exist
        file: PathBuf,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Print the address of a key file
    Address {
        /// Key file
        file: PathBuf,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Store a secret key that is read from standard input or a file, never from the command line
    Import {
        /// Where to write it; must not exist
        file: PathBuf,
        /// File with the secret in hexadecimal; standard input where absent
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Print the secret key: whoever sees it owns the stake
    Export {
        /// Key file
        file: PathBuf,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Key files of a folder, with the addresses that they name
    List {
        /// The folder
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChainCommand {
    /// Run the embedded chain over HTTP JSON-RPC on loopback, durable in a directory
    Up(ChainUpArgs),
    /// Deploy the contracts through an RPC URL and write the deployment file
    Deploy(Box<ChainDeployArgs>),
    /// Write the protocol's parameters as a file to edit, or check one
    Params(ParamsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ChainUpArgs {
    /// Chain database (created if absent)
    #[arg(long, value_name = "DIR", default_value = "gavel-chain")]
    pub(crate) data_dir: PathBuf,
    /// Loopback port; 0 takes a free one
    #[arg(long, default_value_t = 8545)]
    pub(crate) port: u16,
    /// A block at least this often, so that the chain's clock follows the wall's
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) block_seconds: u64,
    /// Seconds of the chain in one second of the wall's, to see windows and deadlines pass
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) speed: u64,
    /// Account to give coin in the genesis block; gas is free here, wallets like to see some
    #[arg(long = "fund", value_name = "ADDRESS")]
    pub(crate) fund: Vec<Address>,
    /// Newest blocks that are kept in memory and could be dropped; older ones are final and read from disk. The same for
    /// the life of a chain, or more
    #[arg(long, value_name = "BLOCKS", default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(16..=1_000_000))]
    pub(crate) recent_blocks: u64,
    /// Blocks and moves of the clock from one snapshot of the chain to the next, at least
    #[arg(long, value_name = "RECORDS", default_value_t = 16_384, value_parser = clap::value_parser!(u64).range(16..))]
    pub(crate) snapshot_records: u64,
    /// Memory for the chain's state, in MiB: what was not written for longest is read from disk
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub(crate) state_memory: u64,
    /// Open the chain from its journal alone, whatever snapshots there are
    #[arg(long)]
    pub(crate) replay_all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChainDeployArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Give this account development tokens; may be given more than once
    #[arg(long = "mint", value_name = "ADDRESS")]
    pub(crate) mint: Vec<Address>,
    /// How many tokens each of them gets
    #[arg(long, value_name = "TOKENS", default_value_t = 100_000)]
    pub(crate) amount: u64,
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
    #[command(flatten)]
    pub(crate) beacon: crate::args_beacon::BeaconArgs,
}
