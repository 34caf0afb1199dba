//! `gavel explorer`: the page of any network.

use std::sync::Arc;
use std::time::Duration;

use gavel_explorer::{Catalogue, Options, Server, explorer};
use serde_json::json;

use super::operators::{self, Operators};
use super::party;
use crate::args_up::ExplorerArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files::{self, Servable};
use crate::network::{block_on, told_to_stop};
use crate::output::{DIM, Output, paint};

/// Between two looks at a chain that others make blocks of.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) fn run(args: ExplorerArgs, out: Output) -> Result<Exit, Failure> {
    block_on(show(args, out))
}

async fn show(args: ExplorerArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let mut catalogue = Catalogue::new();
    for (address, name) in &args.names {
        catalogue = catalogue.name(*address, name);
    }
    let mut served = Vec::new();
    for name in &args.models {
        let model = files::servable(name)?;
        if let Servable::Model(model) = &model {
            catalogue = catalogue.with_model(name, Arc::new((**model).clone()));
        }
        served.push(model);
    }
    let options = Options {
        catalogue,
        speed: args.speed,
        ..Options::default()
    };
    let (mut follower, router) = explorer(network.clone(), &options);
    if let (Some(place), false) = (&args.blobs, served.is_empty()) {
        let mirror = party::mirror(&network).await?;
        let (executor, _) = party::executor_of(mirror.board(), &args.models, served)?;
        follower = follower.with_party(party::reader(&network, executor, party::blobs(place)?));
    }
    let server = bind(args.port).await?;
    let url = format!("http://{}", server.address().at("the socket")?);
    out.facts(&[
        ("explorer", url.clone()),
        ("chain", args.network.rpc.clone()),
    ]);
    let mut operators = operators::open_to_readers(args.ops, "explorer", out).await?;
    if let Some(operators) = &mut operators {
        operators.look_at(follower.pulse());
    }
    let ops = operators.as_ref().map(Operators::url);
    out.line(paint(DIM, "it only reads; stops on Ctrl-C"));
    out.event(&json!({"event": "listening", "explorer": url, "ops": ops}));
    let stop = told_to_stop().at("listening to signals")?;
    let reading = tokio::spawn(follower.run(std::future::pending(), PAUSE));
    let served = server.serve(router, stop).await.at("serving");
    reading.abort();
    if let Some(operators) = operators {
        operators.close().await?;
    }
    served.map(|()| Exit::Done)
}

/// A server of the page on this port.
pub(super) async fn bind(port: u16) -> Result<Server, Failure> {
    Server::bind(port).await.map_err(|e| {
        Failure::new(format!("port {port}: {e}")).hint("another one: --port N, or 0 for a free one")
    })
}
