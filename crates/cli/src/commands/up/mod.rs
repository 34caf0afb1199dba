//! `gavel up`: a whole network in one process, and the page that shows it.

mod cast;
mod clients;
mod requests;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use gavel_explorer::{Catalogue, Options, Scene, explorer};
use gavel_gateway::NodeNetwork;
use gavel_gateway::ops::Ops;
use gavel_node::{Board, Mirror, Runner, RunnerEvent};
use serde_json::json;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::operators::{self, Operators};
use super::{chain, explorer as page};
use crate::args_up::UpArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::network::{block_on, told_to_stop};
use crate::output::{BAD, DIM, GOOD, Output, paint};
use cast::{Cast, Member};
use stage::Stage;

/// Between two looks of a role at the chain, while there is nothing to do.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) fn run(args: UpArgs, out: Output) -> Result<Exit, Failure> {
    block_on(up(args, out))
}

async fn up(args: UpArgs, out: Output) -> Result<Exit, Failure> {
    let server = page::bind(args.port).await?;
    let url = format!("http://{}", server.address().at("the socket")?);
    out.progress("a chain, the contracts, the shipped models");
    let stage = Stage::open(args.data_dir.as_deref(), args.adversary).await?;
    let mut cast = Cast::new(&stage, &args)?;
    out.progress("keys, tokens, stakes");
    stage.supply(&cast).await?;
    stage.join(&cast).await?;

    let mut catalogue = Catalogue::new().name(stage.deployer(), "deployer");
    for member in &cast.members {
        catalogue = catalogue.name(member.party.address(), &member.party.name);
    }
    for (name, model) in &stage.models {
        catalogue = catalogue.with_model(*name, Arc::clone(model));
    }
    let options = Options {
        catalogue,
        speed: args.speed,
        scene: Some(Scene {
            adversary: args.adversary.map(|fault| fault.name().to_owned()),
            sentence: args.adversary.map(|fault| fault.sentence().to_owned()),
        }),
        ..Options::default()
    };
    let (follower, router) = explorer(stage.network.clone(), &options);
    let follower = follower.with_party(stage.reader());
    let mut mirror = stage.mirror();
    let board = mirror.refresh().await.at("reading the chain")?;
    let gate = cast.gate();
    let gate = gate.ok_or_else(|| Failure::new("nobody is at the gate"))?;
    let (clients, api) = clients::clients(&stage, gate, board)?;
    // what is unknown under /v1 is for the gateway to refuse, everything else is a page
    let api = any(move |request: Request| api.clone().oneshot(request));
    let router = Router::new()
        .route("/v1/{*rest}", api)
        .fallback_service(router);
    let mut facts = vec![
        ("open", paint(GOOD, &url)),
        ("OpenAI's clients", format!("{url}/v1, any key")),
    ];
    facts.extend(cast.told());
    facts.push((
        "clock",
        format!("{} s of the chain in one of yours", args.speed),
    ));
    out.facts(&facts);
    let mut operators = operators::open_to_readers(args.ops, "up", out).await?;
    if let Some(operators) = &mut operators {
        operators.look_at(follower.pulse());
    }
    let watched = operators.as_ref().map(Operators::watched);
    out.line(paint(DIM, "stops on Ctrl-C"));
    out.event(&json!({
        "event": "up", "explorer": url, "api": format!("{url}/v1"), "adversary": args.adversary, "speed": args.speed,
        "ops": operators.as_ref().map(Operators::url),
        "deployment": stage.network.deployment(),
        "parties": cast.members.iter().map(|member| json!({
            "name": member.party.name, "address": member.party.address(),
        })).collect::<Vec<_>>(),
    }));

    let mut running: JoinSet<Result<(), Failure>> = JoinSet::new();
    let clock = chain::follow_the_wall(
        stage.chain.clone(),
        chain::block_seconds(args.speed),
        args.speed,
    );
    running.spawn(async move { Err(Failure::new(clock.await)) });
    running.spawn(async move {
        follower.run(std::future::pending(), PAUSE / 2).await;
        Ok(())
    });
    for member in cast.members.drain(..) {
        let watches = member.party.name == cast::GATE;
        let seen = watches.then(|| Arc::clone(&clients));
        running.spawn(play(member, seen, stage.mirror(), watched.clone(), out));
    }
    let stop = told_to_stop().at("listening to signals")?;
    let served = tokio::select! {
        served = server.serve(router, stop) => served.at("serving"),
        Some(ended) = running.join_next() => match ended {
            Ok(ended) => ended,
            Err(error) => Err(Failure::new(error)),
        },
    };
    running.shutdown().await;
    if let Some(operators) = operators {
        operators.close().await?;
    }
    served.map(|()| Exit::Done)
}

/// One member's roles, for as long as the network is up.
async fn play(
    member: Member,
    seen: Option<Arc<NodeNetwork>>,
    mirror: Mirror,
    watched: Option<Arc<Ops>>,
    out: Output,
) -> Result<(), Failure> {
    let mut runner = Runner::new(mirror, member.roles, PAUSE);
    let tell = |event: RunnerEvent<'_>| {
        if let Some(watched) = &watched {
            operators::note(watched, &event);
        }
        tell(&event, out);
    };
    let see = |board: &Board| {
        if let Some(network) = &seen {
            network.see(board);
        }
        false
    };
    runner.run(std::future::pending(), see, tell).await;
    Ok(())
}

fn tell(event: &RunnerEvent<'_>, out: Output) {
    match event {
        RunnerEvent::Acted { name, act } => {
            out.line(format!("{name} {}", act.what));
            out.event(&json!({
                "event": "acted", "who": name, "what": act.what, "transaction": act.transaction, "gas": act.gas,
            }));
        }
        RunnerEvent::Failed { name, error } => {
            out.line(format!("{name} {}", paint(BAD, error)));
            out.event(&json!({"event": "failed", "who": name, "error": error.to_string()}));
        }
        RunnerEvent::Unreachable { error } => {
            out.line(paint(BAD, format!("the chain cannot be read: {error}")));
            out.event(&json!({"event": "unreachable", "error": error.to_string()}));
        }
    }
}
