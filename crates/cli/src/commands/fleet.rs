//! `gavel provider run --fleet` and `gavel provider work`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gavel_node::fleet::{
    FleetEvent, FleetExecutor, WorkOptions, WorkerEvent, dispatch, lead, work,
};
use gavel_node::protection;
use gavel_node::sandbox::{SandboxError, Served};
use gavel_node::{Blobs, Executor};
use gavel_settlement::Account;
use gavel_state::{StateError, Store};
use gavel_trace::Digest;
use serde_json::json;
use tokio::sync::mpsc;

use super::{party, worker};
use crate::args_fleet::{FleetArgs, WorkArgs};
use crate::args_ops::{SandboxArgs, SandboxMode};
use crate::args_protection::StateArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::network;
use crate::output::{BAD, DIM, GOOD, Output, WARN, paint};

/// A process that leads, until it is told that it does so no more.
pub(super) struct Leading {
    pub(super) store: Arc<dyn Store>,
    lost: mpsc::Receiver<StateError>,
    tell: mpsc::Sender<StateError>,
}

impl Leading {
    /// Waits until this process leads.
    pub(super) async fn wait(
        account: &Account,
        args: FleetArgs,
        state: &StateArgs,
        out: Output,
    ) -> Result<Leading, Failure> {
        let place = state.state.as_deref().unwrap_or_default();
        if !gavel_state::is_url(place) {
            return Err(Failure::usage("a fleet shares its database")
                .expected("--state postgres://USER@HOST/DATABASE"));
        }
        let (seconds, identity) = (args.lead_lease, protection::identity(account));
        let failed = super::protection::refused;
        let store = gavel_state::open_shared(place, identity).await;
        let store = store.map_err(failed)?;
        if !store.hold(seconds).await.map_err(failed)? {
            out.line(paint(DIM, "stands by: another process leads"));
            out.event(&json!({"event": "standby", "provider": identity.address}));
            let leads = lead::become_leader(&*store, seconds).await;
            leads.map_err(failed)?;
        }
        out.line("leads");
        out.event(&json!({"event": "leading", "provider": identity.address}));
        let (tell, lost) = mpsc::channel(2);
        let (kept, telling) = (Arc::clone(&store), tell.clone());
        tokio::spawn(async move {
            let error = lead::keep_leading(&*kept, seconds).await;
            // whoever listened has ended
            let _ = telling.send(error).await;
        });
        Ok(Leading { store, lost, tell })
    }

    /// Carries runs to the workers and back, from now on.
    pub(super) fn dispatch(
        &self,
        executor: Arc<FleetExecutor>,
        blobs: Blobs,
        poll: u64,
        out: Output,
    ) {
        let (store, telling) = (Arc::clone(&self.store), self.tell.clone());
        let poll = Duration::from_millis(poll);
        tokio::spawn(async move {
            let error = dispatch(&executor, &*store, &blobs, poll, |e| tell(&e, out)).await;
            let _ = telling.send(error).await;
        });
    }

    /// Resolves, with a failure to end with, when another process leads or may.
    pub(super) async fn lost(&mut self) -> Failure {
        let why = match self.lost.recv().await {
            Some(error) => error.to_string(),
            None => format!("{}: nobody looks after it", self.store.place()),
        };
        Failure::new(format!("{why}; nothing is signed here any more"))
            .ends(Exit::Protected)
            .hint("start it again: it stands by while another process leads")
    }
}

fn tell(event: &FleetEvent<'_>, out: Output) {
    match event {
        FleetEvent::Offered { job } => out.event(&json!({"event": "offered", "job": job})),
        FleetEvent::Done { job, worker, tries } => {
            out.line(format!("{worker} has done {}", paint(DIM, job)));
            out.event(&json!({"event": "ran", "job": job, "worker": worker, "tries": tries}));
        }
        FleetEvent::Rejected { job, worker, why } => {
            out.line(paint(
                BAD,
                format!("{worker} did not do {job}, though it says so: {why}"),
            ));
            out.event(&json!({"event": "rejected", "job": job, "worker": worker, "why": why}));
        }
        FleetEvent::GivenUp { job, why } => {
            out.line(paint(BAD, format!("given up: {job}: {why}")));
            out.event(&json!({"event": "given_up", "job": job, "why": why}));
        }
        FleetEvent::Workers { names } => {
            let none = "no workers: nothing is claimed".to_owned();
            out.line(match names.is_empty() {
                true => paint(WARN, none),
                false => format!("workers: {}", names.join(", ")),
            });
            out.event(&json!({"event": "workers", "workers": names}));
        }
        FleetEvent::Failed { error } => {
            out.line(paint(BAD, format!("{error}; trying again")));
            out.event(&json!({"event": "failed", "error": error.to_string()}));
        }
    }
}

/// `gavel provider work`.
pub(super) async fn run(args: WorkArgs, out: Output) -> Result<Exit, Failure> {
    if !gavel_state::is_url(&args.state) {
        return Err(Failure::usage("workers take jobs from a database server")
            .expected("--state postgres://USER@HOST/DATABASE, as the provider has it"));
    }
    let (executor, classes) = loaded(&args.models, &args.sandbox, out)?;
    let blobs = party::blobs(&args.blobs.blobs)?;
    let options = WorkOptions {
        name: args.name.unwrap_or_else(own_name),
        classes,
        lease_seconds: args.lease,
        poll: Duration::from_millis(args.poll),
    };
    out.facts(&[
        ("worker", options.name.clone()),
        ("runs", args.models.join(", ")),
    ]);
    out.line(paint(
        DIM,
        "SIGTERM ends it after the job that it has; Ctrl-C gives the job back",
    ));
    out.event(&json!({"event": "working", "worker": options.name, "models": options.classes}));
    let draining = Arc::new(AtomicBool::new(false));
    let stop = network::told_to_drain(Arc::clone(&draining), move || {
        out.line("takes no more jobs");
        out.event(&json!({"event": "draining"}));
    });
    let stop = stop.at("listening to signals")?;
    let connect = || gavel_state::join(&args.state, args.address);
    let heard = |event: WorkerEvent<'_>| tell_worker(&event, out);
    work(&options, &executor, &blobs, connect, &draining, stop, heard).await;
    Ok(match draining.load(Ordering::Relaxed) {
        true => Exit::Done,
        false => Exit::Interrupted,
    })
}

fn tell_worker(event: &WorkerEvent<'_>, out: Output) {
    match event {
        WorkerEvent::Began { job, tries } => {
            out.event(&json!({"event": "began", "job": job, "tries": tries}));
        }
        WorkerEvent::Done {
            job,
            trace_root,
            took,
        } => {
            let time = crate::output::time(*took);
            out.line(paint(GOOD, format!("{job} in {time}")));
            out.event(&json!({
                "event": "done", "job": job, "trace_root": trace_root,
                "seconds": took.as_secs_f64(),
            }));
        }
        WorkerEvent::Failed { job, why } => {
            out.line(paint(BAD, format!("{job}: {why}")));
            out.event(&json!({"event": "failed", "job": job, "error": why}));
        }
        WorkerEvent::Returned { job, why } => {
            out.line(paint(WARN, format!("gives {job} back: {why}")));
            out.event(&json!({"event": "returned", "job": job, "why": why}));
        }
        WorkerEvent::Late { job } => {
            out.line(paint(WARN, format!("{job} is another's by now")));
            out.event(&json!({"event": "late", "job": job}));
        }
        WorkerEvent::Unreachable { error } => {
            out.line(paint(BAD, format!("{error}; trying again")));
            out.event(&json!({"event": "unreachable", "error": error.to_string()}));
        }
    }
}

/// The models that it runs, whoever has registered them: it runs what it is asked for by identity.
fn loaded(
    names: &[String],
    args: &SandboxArgs,
    out: Output,
) -> Result<(Arc<dyn Executor>, Vec<Digest>), Failure> {
    let id = |served: &Served| match served {
        Served::Model(id) | Served::Family(id) => *id,
    };
    let here = || {
        let (executor, served) = worker::load(names).map_err(Failure::new)?;
        let executor: Arc<dyn Executor> = executor;
        Ok((executor, served.iter().map(id).collect()))
    };
    if args.sandbox == SandboxMode::Off {
        return here();
    }
    match worker::start(names, args) {
        Err(SandboxError::Unsupported) => {
            out.progress("models run in this process: a sandbox takes Linux");
            here()
        }
        Err(error) => Err(worker::refused(names, &error)),
        Ok(executor) => {
            let classes = executor.served().iter().map(id).collect();
            Ok((Arc::new(executor), classes))
        }
    }
}

/// A name that no other worker has.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.unwrap_or_default();
    let host = match host.trim() {
        "" => "worker",
        host => host,
    };
    format!("{host}-{}", std::process::id())
}
