//! `gavel watch`: what happens on a network and what is wrong with it, without a key.

use std::collections::BTreeSet;
use std::time::Duration;

use gavel_node::NodeError;
use gavel_node::board::Board;
use gavel_node::roles::{Alert, Forecasts, Look, Monitor};
use serde_json::json;

use super::operators::{self, Operators};
use super::worker::Secrets;
use super::{challenge, party};
use crate::args::KeyArgs;
use crate::args_node::{PartyArgs, WatchArgs};
use crate::args_ops::MonitorArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::network::{self, block_on};
use crate::output::{BAD, DIM, Output, WARN, paint};

/// Codes of what is wrong, not only worth a look.
const WRONG: [&str; 3] = ["GVL-WATCH-001", "GVL-WATCH-002", "GVL-WATCH-006"];
/// The chain cannot be read.
const UNREACHABLE: &str = "GVL-WATCH-101";
/// A result or a dispute cannot be judged: the model or the blobs fail.
const FAILED: &str = "GVL-WATCH-102";

pub(crate) fn run(args: MonitorArgs, out: Output) -> Result<Exit, Failure> {
    if args.challenge && args.models.is_empty() {
        return Err(
            Failure::usage("--challenge runs results again").expected("--model MODEL as well")
        );
    }
    match (args.challenge, args.key) {
        (true, Some(key)) => {
            let (network, blobs) = (args.network, args.blobs);
            let password = args.password;
            let key = KeyArgs { key, password };
            let party = PartyArgs {
                network,
                key,
                blobs,
                state: args.state,
            };
            block_on(challenge::watch(
                WatchArgs {
                    party,
                    models: args.models,
                    fault: None,
                    sandbox: args.sandbox,
                    run: args.run,
                },
                None,
                args.ops,
                out,
            ))
        }
        (true, None) => Err(Failure::usage("--challenge signs").expected("--key FILE as well")),
        (false, key) => block_on(watch(MonitorArgs { key, ..args }, out)),
    }
}

async fn watch(args: MonitorArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let mut mirror = party::mirror(&network).await?;
    let secrets = Secrets {
        key: args.key.as_deref(),
        password: &args.password,
        state: Some(&args.state),
    };
    secrets.hidden_from(&args.models, &args.sandbox)?;
    let (executor, models) = party::confined(mirror.board(), &args.models, &args.sandbox, out)?;
    let reader = party::reader(&network, executor, party::blobs(&args.blobs.blobs)?);
    let mut monitor = Monitor::new(reader);
    let operators = operators::open_to_readers(args.ops, "monitor", out).await?;
    if let Some(operators) = &operators {
        let codes = Alert::CODES.into_iter().map(|(code, _)| code);
        operators.metrics().may_tell(codes);
    }
    if !args.once {
        told_first(mirror.board(), &args.models, out);
    }
    let ops = operators.as_ref().map(Operators::url);
    out.event(&json!({
        "event": "watching", "block": mirror.board().head.number, "models": models, "ops": ops,
    }));
    let mut stop = std::pin::pin!(network::told_to_stop().at("listening to signals")?);
    let mut last = BTreeSet::new();
    loop {
        let looked = match mirror.refresh().await {
            Ok(board) => Ok(monitor.look(board).await),
            Err(error) => Err(error),
        };
        if let Some(operators) = &operators {
            note(operators, mirror.board(), &looked);
        }
        if args.once {
            return once(looked.map_err(Failure::new)?, out);
        }
        let errors: BTreeSet<(&str, String)> = match &looked {
            Ok(look) => {
                look.alerts.iter().for_each(|alert| tell(alert, out));
                let of = |error: &String| (FAILED, error.clone());
                look.unjudged.iter().map(of).collect()
            }
            Err(error) => BTreeSet::from([(UNREACHABLE, error.to_string())]),
        };
        // an error that stays the same is told once
        for (code, error) in errors.difference(&last) {
            failed(code, error, out);
        }
        last = errors;
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(Duration::from_millis(args.run.poll)) => {}
        }
    }
    if let Some(operators) = operators {
        operators.close().await?;
    }
    Ok(Exit::Done)
}

/// What a look found, for operators.
fn note(operators: &Operators, board: &Board, looked: &Result<Look, NodeError>) {
    let metrics = operators.metrics();
    let Ok(look) = looked else {
        metrics.failed("chain");
        return;
    };
    operators.see(board);
    look.alerts
        .iter()
        .for_each(|alert| metrics.told(alert.code));
    let of = |of, found: &Forecasts| {
        [
            (of, "agree", found.agree),
            (of, "disagree", found.disagree),
            (of, "unknown", found.unknown),
        ]
    };
    let forecasts = [of("results", &look.results), of("disputes", &look.disputes)].concat();
    metrics.see_forecasts(&forecasts, look.unjudged.len());
}

fn told_first(board: &Board, models: &[String], out: Output) {
    let live = board.tasks.values().filter(|t| !t.task.state.is_final());
    out.facts(&[
        ("block", board.head.number.to_string()),
        (
            "tasks",
            format!("{}, {} of them live", board.tasks.len(), live.count()),
        ),
        (
            "disputes",
            format!("{} open", board.open_disputes().count()),
        ),
        ("providers", board.providers.len().to_string()),
        (
            "runs again",
            match models.is_empty() {
                true => "nothing: --model MODEL judges results".to_owned(),
                false => models.join(", "),
            },
        ),
    ]);
    out.line(paint(DIM, "reads only, and signs nothing; stops on Ctrl-C"));
}

fn tell(alert: &Alert, out: Output) {
    let style = match WRONG.contains(&alert.code) {
        true => BAD,
        false => WARN,
    };
    out.line(format!("{} {}", paint(style, alert.code), alert.what));
    out.event(&json!({
        "event": "alert", "code": alert.code, "what": alert.what, "task": alert.task,
        "dispute": alert.dispute, "provider": alert.provider,
    }));
}

/// One look: whatever was found is told before what could not be judged.
fn once(look: Look, out: Output) -> Result<Exit, Failure> {
    look.alerts.iter().for_each(|alert| tell(alert, out));
    look.unjudged
        .iter()
        .for_each(|error| failed(FAILED, error, out));
    if look.alerts.iter().any(|a| WRONG.contains(&a.code)) {
        return Ok(Exit::False);
    }
    match look.unjudged.first() {
        Some(error) => Err(Failure::new(error.clone())),
        None => Ok(Exit::Done),
    }
}

fn failed(code: &str, error: &str, out: Output) {
    out.line(format!("{} {error}", paint(BAD, code)));
    out.event(&json!({"event": "alert", "code": code, "what": error}));
}
