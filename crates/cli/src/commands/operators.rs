//! What operators look at while a process runs: `--ops ADDRESS`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use gavel_explorer::Pulse;
use gavel_gateway::ops::{self, ExplorerSight, Metrics, Ops};
use gavel_gateway::{Bounds, serve};
use gavel_node::protection::Rule;
use gavel_node::{Address, Board, Mirror, Party, Role, Runner, RunnerEvent, U256};
use gavel_settlement::alloy::providers::Provider as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::party;
use crate::args_node::LoopArgs;
use crate::failure::{Context as _, Failure};
use crate::output::Output;

/// Between two looks at an explorer.
const GLANCE: Duration = Duration::from_secs(1);
/// Between two looks at the purse.
const PURSE: Duration = Duration::from_secs(15);

/// The operators' listener of a process.
pub(super) struct Operators {
    watched: Arc<Ops>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
    looked_after: Vec<JoinHandle<()>>,
}

impl Operators {
    /// Listens, and looks after what the chain's records do not show, until it is closed.
    pub(super) async fn open(
        address: SocketAddr,
        role: &str,
        me: &Party,
    ) -> Result<Operators, Failure> {
        let mut operators = Operators::listen(address, role, me.address()).await?;
        let looking = look_after(me.clone(), Arc::clone(&operators.watched));
        operators.looked_after.push(tokio::spawn(looking));
        Ok(operators)
    }

    async fn listen(address: SocketAddr, role: &str, me: Address) -> Result<Operators, Failure> {
        let listener = bind(address).await?;
        let address = listener.local_addr().at("the socket")?;
        let watched = Arc::new(Ops::new(role, me));
        let (stop, stopped) = watch::channel(false);
        let router = ops::router(Arc::clone(&watched));
        let serving = serve(listener, router, Bounds::default(), told(stopped));
        Ok(Operators {
            address,
            stop,
            serving: tokio::spawn(serving),
            looked_after: Vec::new(),
            watched,
        })
    }

    /// The metrics, for what nobody else sees.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.watched.metrics
    }

    /// The chain was read just now.
    pub(super) fn see(&self, board: &Board) {
        self.watched.see(board);
    }

    /// Looks after an explorer too, which reads the chain for this process.
    pub(super) fn look_at(&mut self, pulse: Pulse) {
        let looking = look_at_explorer(pulse, Arc::clone(&self.watched));
        self.looked_after.push(tokio::spawn(looking));
    }

    /// What operators see, for a task of its own.
    pub(super) fn watched(&self) -> Arc<Ops> {
        Arc::clone(&self.watched)
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A router whose requests are counted.
    pub(super) fn measured(&self, router: Router) -> Router {
        ops::measured(router, Arc::clone(&self.watched))
    }

    /// Resolves when the listener is to be closed.
    pub(super) fn closing(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        told(self.stop.subscribe())
    }

    /// Lets what is under way come to its end.
    pub(super) async fn close(self) -> Result<(), Failure> {
        self.looked_after.iter().for_each(JoinHandle::abort);
        self.stop.send_replace(true);
        self.serving.await.at("serving")?.at("serving")
    }
}

/// [`Operators::open`] where an address was given.
pub(super) async fn open(
    address: Option<SocketAddr>,
    role: &str,
    me: &Party,
    out: Output,
) -> Result<Option<Operators>, Failure> {
    let Some(address) = address else {
        return Ok(None);
    };
    let operators = Operators::open(address, role, me).await?;
    out.facts(&[("operators", format!("{}/metrics", operators.url()))]);
    Ok(Some(operators))
}

/// [`open`] for a process without a key.
pub(super) async fn open_to_readers(
    address: Option<SocketAddr>,
    role: &str,
    out: Output,
) -> Result<Option<Operators>, Failure> {
    let Some(address) = address else {
        return Ok(None);
    };
    let operators = Operators::listen(address, role, Address::ZERO).await?;
    out.facts(&[("operators", format!("{}/metrics", operators.url()))]);
    Ok(Some(operators))
}

/// Counts what a runner tells.
pub(super) fn note(watched: &Ops, event: &RunnerEvent<'_>) {
    match event {
        RunnerEvent::Acted { act, .. } => watched.acted(act),
        RunnerEvent::Failed { .. } => watched.metrics.failed("role"),
        RunnerEvent::Unreachable { .. } => watched.metrics.failed("chain"),
    }
}

/// How an explorer is, and what it has read of the chain.
async fn look_at_explorer(pulse: Pulse, watched: Arc<Ops>) {
    let mut looks = 0;
    let mut ticks = tokio::time::interval(GLANCE);
    loop {
        ticks.tick().await;
        let vitals = pulse.vitals();
        watched.metrics.see_explorer(&ExplorerSight {
            listeners: vitals.listeners,
            delivered: vitals.delivered,
            let_go: vitals.let_go,
            behind: vitals.behind,
            reorgs: vitals.reorgs,
            kept: vitals.kept.to_vec(),
        });
        if let Some(board) = vitals.board.filter(|_| vitals.looks > looks) {
            watched.see(&board);
            looks = vitals.looks;
        }
    }
}

/// Ticks roles as [`party::run_roles_until`] does, with the operators looking on.
pub(super) async fn run_roles(
    stop: impl Future<Output = ()>,
    mirror: Mirror,
    roles: Vec<Box<dyn Role>>,
    args: LoopArgs,
    done: impl Fn(&Board) -> bool,
    operators: Option<&Operators>,
    out: Output,
) {
    let see = |board: &Board| {
        if let Some(operators) = operators {
            operators.watched.see(board);
        }
    };
    see(mirror.board());
    let mut runner = Runner::new(mirror, roles, Duration::from_millis(args.poll));
    let looked = |board: &Board| {
        see(board);
        done(board)
    };
    let tell = |event: RunnerEvent<'_>| {
        if let Some(operators) = operators {
            note(&operators.watched, &event);
        }
        party::tell(&event, out);
    };
    runner.run(stop, looked, tell).await;
}

/// The purse, nodes that contradict each other, refusals to sign, and the breaker.
async fn look_after(me: Party, watched: Arc<Ops>) {
    let network = me.account.network();
    let (token, vault, provider) = (network.token(), network.vault(), network.provider());
    let (mut disagreements, mut refusals) = (0, Rule::ALL.map(|_| 0));
    let mut ticks = tokio::time::interval(PURSE);
    loop {
        ticks.tick().await;
        let found = network.endpoint().disagreements();
        (disagreements..found).for_each(|_| watched.metrics.disagreed());
        disagreements = found;
        for (rule, known) in Rule::ALL.into_iter().zip(&mut refusals) {
            let refused = me.protection.refused_by(rule);
            (*known..refused).for_each(|_| watched.metrics.refused_to_sign(rule.name()));
            *known = refused;
        }
        if let Some(breaker) = me.protection.breaker() {
            watched.metrics.breaker(breaker.is_tripped());
        }
        let tokens = token.balanceOf(me.address()).call().await;
        let credit = vault.credit(me.address()).call().await;
        let coin = provider.get_balance(me.address()).await;
        // a chain that cannot be asked is told by the head's age
        if let (Ok(tokens), Ok(credit), Ok(coin)) = (tokens, credit, coin) {
            let units = |amount: U256| u128::try_from(amount).unwrap_or(u128::MAX);
            watched
                .metrics
                .see_purse(units(tokens), units(coin), units(U256::from(credit)));
        }
    }
}

async fn told(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// A listener's socket.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|e| Failure::new(format!("{address}: {e}")).expected("a free port; 0 takes one"))
}
