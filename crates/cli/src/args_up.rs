//! What can be said to the commands that show a network in a browser.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use gavel_node::Fault;

use crate::args::NetworkArgs;

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Somebody who does wrong, to see what the network makes of it
    #[arg(long, value_name = "FAULT")]
    pub(crate) adversary: Option<Fault>,
    /// Seconds of the chain in one second of the wall's
    #[arg(long, value_name = "FACTOR", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) speed: u64,
    /// Loopback port; 0 takes a free one
    #[arg(long, default_value_t = 4280)]
    pub(crate) port: u16,
    /// Tasks that the requester posts, one every now and then [default: without end]
    #[arg(long, value_name = "N")]
    pub(crate) tasks: Option<u64>,
    /// Keep chain and blobs here, to go on from later [default: in memory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where operators look: /metrics, /livez, /readyz [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ops: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplorerArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Loopback port; 0 takes a free one
    #[arg(long, default_value_t = 4280)]
    pub(crate) port: u16,
    /// Model to draw and to compute disputed values with: file, folder or name of a shipped model; may be given more than once
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// Blob store of the network's parties, for the values at a fork
    #[arg(long, env = "GAVEL_BLOBS", value_name = "PLACE")]
    pub(crate) blobs: Option<String>,
    /// What to call an address
    #[arg(long = "name", value_name = "ADDRESS=NAME", value_parser = parse_name)]
    pub(crate) names: Vec<(gavel_node::Address, String)>,
    /// Seconds of the chain in one second of the wall's, where the chain's clock runs fast
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) speed: u64,
    /// Where operators look: /metrics, /livez, /readyz [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ops: Option<SocketAddr>,
}

fn parse_name(text: &str) -> Result<(gavel_node::Address, String), String> {
    let (address, name) = text.split_once('=').ok_or("expected ADDRESS=NAME")?;
    let address = address
        .parse()
        .map_err(|_| format!("{address} is no address"))?;
    match name.is_empty() {
        true => Err("expected ADDRESS=NAME".to_owned()),
        false => Ok((address, name.to_owned())),
    }
}
