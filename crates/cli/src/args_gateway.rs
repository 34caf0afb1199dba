//! What can be said to the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use gavel_settlement::alloy::primitives::{Address, U256};

use crate::args::KeyArgs;
use crate::args_node::{AuctionArgs, LoopArgs, PartyArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Serve OpenAI's clients: each request is a task in the auction
    #[command(
        after_help = "base_url http://127.0.0.1:4280/v1, and a key of `gavel gateway key new`"
    )]
    Run(Box<GatewayServeArgs>),
    /// Sign a request in place of a key, and print the headers that say so; asks nobody
    #[command(
        after_help = "gavel gateway sign URL --gateway ADDRESS --key ann.json --body ask.json | curl -H @- --data-binary @ask.json URL"
    )]
    Sign(Box<GatewaySignArgs>),
    /// Keys of the gateway's clients
    #[command(subcommand)]
    Key(GatewayKeyCommand),
}

#[derive(Debug, Args)]
pub(crate) struct GatewayServeArgs {
    #[command(flatten)]
    pub(crate) party: PartyArgs,
    /// Model to offer: file, folder or name of a shipped model, with @TOKENS behind a language model for a context of its
    /// own, @NAME=LOW..HIGH behind an ONNX encoder for a family; may be given more than once
    #[arg(long = "model", value_name = "MODEL", required = true)]
    pub(crate) models: Vec<String>,
    /// Where clients are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4280")]
    pub(crate) listen: SocketAddr,
    /// Where operators look: /metrics, /livez, /readyz
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4281")]
    pub(crate) ops: SocketAddr,
    #[command(flatten)]
    pub(crate) keys: ApiKeysArgs,
    /// Serve whoever asks, without a key; on loopback alone
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// Which key asked for which task; beside it, with .nonces behind its name, is what signed requests were taken
    #[arg(long, value_name = "FILE", default_value = "gavel-gateway.journal")]
    pub(crate) journal: PathBuf,
    #[command(flatten)]
    pub(crate) auction: AuctionArgs,
    /// Longest time that a client waits for a result; the task goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) wait: u64,
    /// Most bytes of a request
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1024..=1 << 28))]
    pub(crate) max_body: u32,
    /// Requests that may wait for others of their keys
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) queue: u16,
    /// How long a task that is over can still be asked for, and the Idempotency-Key of its request holds
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(60..=31_536_000))]
    pub(crate) retain: u64,
    /// How far away the deadline of a signed request may be
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) horizon: u64,
    #[command(flatten)]
    pub(crate) run: LoopArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GatewaySignArgs {
    /// Where the request goes: path and query are signed as they stand here
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Account that the gateway posts tasks with: the requester of `gavel gateway run`, or see GET /v1/gateway
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Address,
    /// Deployment file of the gateway's network
    #[arg(
        long,
        env = "GAVEL_DEPLOYMENT",
        value_name = "FILE",
        default_value = "gavel-deployment.json"
    )]
    pub(crate) deployment: PathBuf,
    /// The request's body, which is sent byte for byte; - is standard input [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
    /// The request's method [default: POST with a body, GET without]
    #[arg(long, value_parser = method)]
    pub(crate) method: Option<String>,
    /// Seconds in which it may be sent; a gateway allows so many (`--horizon`)
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) valid_for: u64,
    /// A number that the account has not used yet, decimal or 0x and hexadecimal [default: a random one]
    #[arg(long, value_name = "N")]
    pub(crate) nonce: Option<U256>,
    /// The account that asks, where that is a contract and the key its owner's [default: the key's]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) account: Option<Address>,
    /// Print a curl command in place of the headers
    #[arg(long)]
    pub(crate) curl: bool,
}

fn method(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic());
    match is_word {
        true => Ok(text.to_ascii_uppercase()),
        false => Err("expected a method of HTTP: GET, POST".to_owned()),
    }
}

/// The file of API keys.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApiKeysArgs {
    /// File with the hashes of the clients' keys
    #[arg(
        long = "api-keys",
        env = "GAVEL_API_KEYS",
        value_name = "FILE",
        default_value = "gavel-api-keys.json"
    )]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayKeyCommand {
    /// Make a key, which is shown once and kept nowhere; or let an account sign requests in place of one
    New {
        /// Whose it is
        #[arg(long)]
        name: String,
        /// Make no key: this account, of a key or a contract, signs its requests
        #[arg(long, value_name = "ADDRESS")]
        account: Option<Address>,
        /// The most that its tasks may cost together, in tokens [default: no bound]
        #[arg(long, value_name = "TOKENS")]
        budget: Option<u64>,
        /// Requests a minute
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Requests at once
        #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
        concurrency: u32,
        #[command(flatten)]
        keys: ApiKeysArgs,
    },
    /// Names, accounts and bounds of the keys
    List(ApiKeysArgs),
    /// Take a key or an account out of force; a gateway that runs obeys at once
    Revoke {
        /// Whose it is
        name: String,
        #[command(flatten)]
        keys: ApiKeysArgs,
    },
}
