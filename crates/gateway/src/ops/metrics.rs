//! The metrics of a process: one list, whatever the process does.

use std::sync::atomic::{AtomicU64, Ordering};

use gavel_node::board::{DisputeState, TaskState};
use gavel_node::{Act, Address, Board};
use gavel_settlement::amount::TOKEN;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// One whole token or coin; metrics show amounts in these, the interfaces exact ones.
const WHOLE: f64 = TOKEN as f64;
/// Bounds of the histograms, in seconds.
const SECONDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0,
];
/// First words of what roles do; others are counted together.
const KINDS: [&str; 20] = [
    "appeals",
    "claims",
    "closes",
    "commits",
    "draws",
    "expires",
    "finalizes",
    "isolates",
    "joins",
    "opens",
    "picks",
    "posts",
    "publishes",
    "registers",
    "reports",
    "reveals",
    "reverses",
    "rules",
    "settles",
    "shows",
];

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// What begins every name.
const PREFIX: &str = "gavel";

/// How a metric is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// How often a value lay below each of some bounds.
    Histogram,
}

/// A metric by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// As Prometheus has it.
    pub name: String,
    /// How it is read.
    pub kind: Kind,
    /// What it counts.
    pub help: &'static str,
}

/// How an explorer is: the counts are of all its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplorerSight {
    /// Connections that listen to its events.
    pub listeners: usize,
    /// Events given to connections.
    pub delivered: u64,
    /// Connections that were too slow.
    pub let_go: u64,
    /// Blocks that it has not read yet.
    pub behind: u64,
    /// Reorgs that it followed.
    pub reorgs: u64,
    /// Histories that it keeps, by what they are of.
    pub kept: Vec<(&'static str, usize)>,
}

/// See the module.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    list: Vec<Described>,
    head_block: Gauge,
    head_age: Gauge<f64, AtomicU64>,
    /// Seconds since the epoch; 0 before the first block.
    head_time: AtomicU64,
    acts: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    gas: Counter,
    tasks: Family<Labels, Gauge>,
    without_bid: Gauge,
    disputes: Family<Labels, Gauge>,
    clock: Gauge<f64, AtomicU64>,
    wallet: Gauge<f64, AtomicU64>,
    coin: Gauge<f64, AtomicU64>,
    credit: Gauge<f64, AtomicU64>,
    stake: Gauges,
    stake_missing: Gauge<f64, AtomicU64>,
    breaker: Gauge,
    protection: Family<Labels, Counter>,
    disagreements: Counter,
    underfunded: Gauge,
    forecasts: Family<Labels, Gauge>,
    unjudged: Gauge,
    alerts: Family<Labels, Counter>,
    listeners: Gauge,
    events: Counter,
    let_go: Counter,
    behind: Gauge,
    reorgs: Counter,
    kept: Family<Labels, Gauge>,
    requests: Family<Labels, Counter>,
    request_seconds: Family<Labels, Histogram>,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

fn label(name: &'static str, value: impl Into<String>) -> Labels {
    vec![(name, value.into())]
}

fn word(state: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(state).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

impl Metrics {
    /// Of a process in this role: "gateway", "provider", "watcher".
    pub fn new(role: &str) -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix(PREFIX),
            list: Vec::new(),
            head_block: Gauge::default(),
            head_age: Gauge::default(),
            head_time: AtomicU64::new(0),
            acts: Family::default(),
            errors: Family::default(),
            gas: Counter::default(),
            tasks: Family::default(),
            without_bid: Gauge::default(),
            disputes: Family::default(),
            clock: Gauge::default(),
            wallet: Gauge::default(),
            coin: Gauge::default(),
            credit: Gauge::default(),
            stake: Family::default(),
            stake_missing: Gauge::default(),
            breaker: Gauge::default(),
            protection: Family::default(),
            disagreements: Counter::default(),
            underfunded: Gauge::default(),
            forecasts: Family::default(),
            unjudged: Gauge::default(),
            alerts: Family::default(),
            listeners: Gauge::default(),
            events: Counter::default(),
            let_go: Counter::default(),
            behind: Gauge::default(),
            reorgs: Counter::default(),
            kept: Family::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(histogram),
        };
        metrics.clock.set(1.0);
        metrics.register(role);
        metrics
    }

    fn add(&mut self, kind: Kind, name: &str, help: &'static str, metric: impl Metric) {
        let ending = match kind {
            Kind::Counter => "_total",
            _ => "",
        };
        let name_ = format!("{PREFIX}_{name}{ending}");
        self.list.push(Described {
            name: name_,
            kind,
            help,
        });
        self.registry.register(name, help, metric);
    }

    fn register(&mut self, role: &str) {
        let build = Family::<Labels, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let labels = vec![("version", version), ("role", role.to_owned())];
        build.get_or_create(&labels).set(1);
        self.add(
            Kind::Gauge,
            "build_info",
            "Version and role of the process",
            build,
        );
        self.add(
            Kind::Gauge,
            "chain_head_block",
            "Newest block that was read",
            self.head_block.clone(),
        );
        self.add(
            Kind::Gauge,
            "chain_head_age_seconds",
            "Age of the newest block that was read",
            self.head_age.clone(),
        );
        self.add(
            Kind::Counter,
            "acts",
            "Transactions of this process, by what they do",
            self.acts.clone(),
        );
        self.add(
            Kind::Counter,
            "errors",
            "What went wrong, by where: chain, role or journal",
            self.errors.clone(),
        );
        self.add(
            Kind::Counter,
            "gas_used",
            "Gas of this process's transactions",
            self.gas.clone(),
        );
        self.add(
            Kind::Gauge,
            "tasks",
            "Tasks on the chain, by state",
            self.tasks.clone(),
        );
        self.add(
            Kind::Gauge,
            "tasks_without_bid",
            "Open tasks whose price has stopped rising",
            self.without_bid.clone(),
        );
        self.add(
            Kind::Gauge,
            "disputes",
            "Disputes on the chain, by state",
            self.disputes.clone(),
        );
        self.add(Kind::Gauge, "dispute_clock_remaining_ratio", "Least share of its clock that is left to this process where it is to move; 1 where it is not", self.clock.clone());
        self.add(
            Kind::Gauge,
            "wallet_tokens",
            "The asset in this process's wallet",
            self.wallet.clone(),
        );
        self.add(
            Kind::Gauge,
            "wallet_coins",
            "Coin for gas in this process's wallet",
            self.coin.clone(),
        );
        self.add(
            Kind::Gauge,
            "unclaimed_credit_tokens",
            "What this process may withdraw from the vault",
            self.credit.clone(),
        );
        self.add(
            Kind::Gauge,
            "stake_tokens",
            "This process's stake: free, locked or unbonding",
            self.stake.clone(),
        );
        self.add(
            Kind::Gauge,
            "stake_missing_tokens",
            "What this provider's stake lacks to the minimum",
            self.stake_missing.clone(),
        );
        self.add(
            Kind::Gauge,
            "breaker_open",
            "1 while this process has stopped bidding after failures of its own",
            self.breaker.clone(),
        );
        self.add(
            Kind::Counter,
            "protection_refusals",
            "What this process's memory kept it from signing, by rule",
            self.protection.clone(),
        );
        self.add(
            Kind::Counter,
            "rpc_disagreements",
            "Answers in which this process's RPC nodes contradicted each other",
            self.disagreements.clone(),
        );
        self.add(
            Kind::Gauge,
            "providers_below_minimum",
            "Providers that were not removed and whose stake is below the minimum",
            self.underfunded.clone(),
        );
        self.add(
            Kind::Gauge,
            "watch_forecasts",
            "Results and open disputes on the chain, by what this process computes of them",
            self.forecasts.clone(),
        );
        self.add(
            Kind::Gauge,
            "watch_unjudged",
            "Results and disputes that this process could not judge at its last look",
            self.unjudged.clone(),
        );
        self.add(
            Kind::Counter,
            "watch_alerts",
            "What this process told of, by code",
            self.alerts.clone(),
        );
        self.add(
            Kind::Gauge,
            "explorer_clients",
            "Connections that listen to the explorer's events",
            self.listeners.clone(),
        );
        self.add(
            Kind::Counter,
            "explorer_events",
            "Events given to connections",
            self.events.clone(),
        );
        self.add(
            Kind::Counter,
            "explorer_clients_let_go",
            "Connections that were ended because they were too slow",
            self.let_go.clone(),
        );
        self.add(
            Kind::Gauge,
            "explorer_behind_blocks",
            "Blocks of the chain that the explorer has not read yet",
            self.behind.clone(),
        );
        self.add(
            Kind::Counter,
            "explorer_reorgs",
            "Reorgs that the explorer has followed",
            self.reorgs.clone(),
        );
        self.add(
            Kind::Gauge,
            "explorer_kept",
            "Histories that the explorer keeps, by what they are of",
            self.kept.clone(),
        );
        self.add(
            Kind::Counter,
            "http_requests",
            "Requests of clients, by route and status",
            self.requests.clone(),
        );
        self.add(
            Kind::Histogram,
            "http_request_seconds",
            "From a request to the head of its answer, by route",
            self.request_seconds.clone(),
        );
    }

    /// Takes what was read of the chain; `me` is this process's key, `wall` the time in seconds since the epoch.
    pub fn see(&self, board: &Board, me: &Address, wall: u64) {
        self.head_block
            .set(i64::try_from(board.head.number).unwrap_or(i64::MAX));
        self.head_time.store(board.head.time, Ordering::Relaxed);
        self.pass(wall);
        let states = [
            TaskState::Open,
            TaskState::Claimed,
            TaskState::Committed,
            TaskState::Disputed,
            TaskState::Settled,
            TaskState::Cancelled,
            TaskState::Expired,
        ];
        for state in states {
            let count = board
                .tasks
                .values()
                .filter(|entry| entry.task.state == state)
                .count();
            self.tasks
                .get_or_create(&label("state", word(&state)))
                .set(count as i64);
        }
        let risen = board
            .tasks
            .values()
            .map(|entry| &entry.task)
            .filter(|task| {
                let top = task.opened_at.saturating_add(task.ramp_seconds.into());
                task.state == TaskState::Open && board.head.time > top
            });
        self.without_bid.set(risen.count() as i64);
        self.see_disputes(board, me);
        let least = board
            .newest_rules()
            .map_or(0, |rules| rules.stake.min_stake);
        let below = board.providers.values().filter(|provider| {
            !provider.tombstoned && provider.free.saturating_add(provider.locked) < least
        });
        self.underfunded.set(below.count() as i64);
        if let Some(provider) = board.providers.get(me) {
            let parts = [
                ("free", provider.free),
                ("locked", provider.locked),
                ("unbonding", provider.unbonding),
            ];
            for (state, amount) in parts {
                self.stake
                    .get_or_create(&label("state", state))
                    .set(amount as f64 / WHOLE);
            }
            let missing = least.saturating_sub(provider.free.saturating_add(provider.locked));
            self.stake_missing.set(missing as f64 / WHOLE);
        }
    }

    /// It is this second now, whether the chain could be read or not.
    pub fn pass(&self, wall: u64) {
        let head = self.head_time.load(Ordering::Relaxed);
        if head > 0 {
            self.head_age.set(wall.saturating_sub(head) as f64);
        }
    }

    /// What a watcher without a key computes of results and of open disputes, by the words of its forecasts, and how many of
    /// them it could not judge.
    pub fn see_forecasts(
        &self,
        forecasts: &[(&'static str, &'static str, usize)],
        unjudged: usize,
    ) {
        for (of, forecast, count) in forecasts {
            let labels = vec![
                ("of", (*of).to_owned()),
                ("forecast", (*forecast).to_owned()),
            ];
            self.forecasts.get_or_create(&labels).set(*count as i64);
        }
        self.unjudged.set(unjudged as i64);
    }

    /// A watcher that may tell these things has told none of them yet.
    pub fn may_tell(&self, codes: impl IntoIterator<Item = &'static str>) {
        for code in codes {
            let _ = self.alerts.get_or_create(&label("code", code));
        }
    }

    /// A watcher has told something.
    pub fn told(&self, code: &str) {
        self.alerts.get_or_create(&label("code", code)).inc();
    }

    /// How an explorer is.
    pub fn see_explorer(&self, sight: &ExplorerSight) {
        self.listeners.set(sight.listeners as i64);
        self.behind.set(sight.behind as i64);
        for (counter, now) in [
            (&self.events, sight.delivered),
            (&self.let_go, sight.let_go),
            (&self.reorgs, sight.reorgs),
        ] {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        for (of, count) in &sight.kept {
            self.kept
                .get_or_create(&label("of", *of))
                .set(*count as i64);
        }
    }

    fn see_disputes(&self, board: &Board, me: &Address) {
        let states = [
            DisputeState::Level1,
            DisputeState::SegmentWanted,
            DisputeState::Level2,
            DisputeState::Isolated,
            DisputeState::Refereed,
            DisputeState::Ruled,
            DisputeState::Appealed,
            DisputeState::Upheld,
            DisputeState::Cleared,
            DisputeState::Void,
        ];
        for state in states {
            let count = board
                .disputes
                .values()
                .filter(|entry| entry.dispute.state == state)
                .count();
            self.disputes
                .get_or_create(&label("state", word(&state)))
                .set(count as i64);
        }
        let budget = board
            .newest_rules()
            .map_or(1, |rules| rules.court.clock_budget.max(1));
        let left = board.disputes.values().filter_map(|entry| {
            let dispute = &entry.dispute;
            let (mover, clock) = match dispute.turn {
                gavel_dispute::Side::Provider => (dispute.provider, dispute.provider_clock),
                gavel_dispute::Side::Challenger => (dispute.challenger, dispute.challenger_clock),
            };
            let moves = matches!(
                dispute.state,
                DisputeState::Level1 | DisputeState::SegmentWanted | DisputeState::Level2
            );
            let passed = board.head.time.saturating_sub(dispute.turn_started_at) as f64;
            let left = (f64::from(clock) - passed).max(0.0) / f64::from(budget);
            (moves && mover == *me).then_some(left)
        });
        self.clock.set(left.fold(1.0, f64::min));
    }

    /// What is in the wallet and the vault for this process, in units.
    pub fn see_purse(&self, tokens: u128, coin: u128, credit: u128) {
        self.wallet.set(tokens as f64 / WHOLE);
        self.coin.set(coin as f64 / WHOLE);
        self.credit.set(credit as f64 / WHOLE);
    }

    /// A transaction was made.
    pub fn acted(&self, act: &Act) {
        let first = act.what.split_whitespace().next().unwrap_or_default();
        let kind = KINDS
            .iter()
            .find(|kind| **kind == first)
            .unwrap_or(&"other");
        self.acts.get_or_create(&label("kind", *kind)).inc();
        self.gas.inc_by(act.gas);
    }

    /// Something went wrong: on the way to the "chain", in a "role", or with the "journal" of a gateway.
    pub fn failed(&self, kind: &'static str) {
        self.errors.get_or_create(&label("kind", kind)).inc();
    }

    /// Whether the process has stopped bidding after failures of its own.
    pub fn breaker(&self, is_open: bool) {
        self.breaker.set(is_open.into());
    }

    /// The process's memory kept it from signing something, by this rule.
    pub fn refused_to_sign(&self, rule: &str) {
        self.protection.get_or_create(&label("rule", rule)).inc();
    }

    /// The process's RPC nodes contradicted each other.
    pub fn disagreed(&self) {
        self.disagreements.inc();
    }

    /// A request was answered.
    pub fn answered(&self, route: &str, status: u16, seconds: f64) {
        let labels = vec![("route", route.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.request_seconds
            .get_or_create(&label("route", route))
            .observe(seconds);
    }

    /// All metrics.
    pub fn list(&self) -> &[Described] {
        &self.list
    }

    /// All of it, as Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // writing to a string does not fail
        let _ = encode(&mut text, &self.registry);
        text
    }
}
