//! A network on which a gateway lives, and what its client does in that life.

use std::sync::Arc;

use gavel_gateway::{ApiKey, KeyFile};
use gavel_model::gguf::Gguf;
use gavel_model::llama::{ImportOptions, from_gguf};
use gavel_model::{Hashing, Model, shipped};
use gavel_node::faults::FaultyExecutor;
use gavel_node::roles::{Auditor, Keeper, Provider, ProviderPolicy, Referee, Watcher};
use gavel_node::{
    Address, B256, Blobs, EngineExecutor, Executor, Fault, Mirror, Party, Protection, Role, U256,
};
use gavel_settlement::account::dev_key;
use gavel_settlement::bindings::Market;
use gavel_settlement::chain::Genesis;
use gavel_settlement::dev_params::UNIT;
use gavel_settlement::{
    Account, BeaconChoice, Deployment, Endpoint, Network, SharedChain, Windows,
};
use object_store::memory::InMemory;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::gate::{self, Ask, Gate, Said, Turn};
use crate::meter::{End, Meter, Operation};
use crate::network::{SEED, STAKE, World, stake};

/// Number of the gateway's key, and of those of the others.
pub(crate) const GATE: u32 = 1;
const ANN: u32 = 2;
const BOB: u32 = 3;
const CHEAT: u32 = 4;
const WATCHER: u32 = 5;
const KEEPER: u32 = 6;
const NAMES: [&str; 6] = ["gate", "ann", "bob", "cheat", "watcher", "keeper"];

/// The client's key.
const KEY: &str = "client";
/// What whoever runs the gateway has at first.
const PURSE: u128 = 10_000 * UNIT;
const CEILING: u128 = 10 * UNIT + UNIT / 4;

/// Longest pause: shorter than every window.
const STEP_MOST: u64 = 60;
/// Rounds for which a gateway that comes back late is away.
const AWAY: u32 = 3;

/// What becomes of the tasks of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They are served and settled, one as a stream, and two of one request once the budget allows.
    Served,
    /// Nobody bids for one.
    Expired,
    /// One is cancelled by whoever runs the gateway.
    Cancelled,
    /// A cheat's result is reversed by a verdict, and the task is run again.
    Reversed,
    /// They are served, settled and forgotten, one after the other, until their budget is spent.
    Forgotten,
}

/// What the client does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Asks, and waits for the answer.
    Ask(usize),
    /// Asks for more than the budget has left.
    TooMuch(usize),
    /// Waits until nothing can happen to any task any more.
    Final,
    /// Has providers work from here on.
    Bids,
    /// The gateway ends in good order, and starts again.
    Restart,
}

impl Kind {
    /// What the client's key may spend.
    fn budget(self) -> u128 {
        match self {
            // two tasks under way, and not two more until they have cost less than their ceiling
            Kind::Served => 4 * CEILING - 1,
            // three tasks that have cost half of it, and one under way
            Kind::Forgotten => 3 * CEILING,
            // one task under way, and what came to nothing is paid for by nobody
            _ => 2 * CEILING - 1,
        }
    }

    /// Tasks that its requests come to.
    fn tasks(self) -> usize {
        match self {
            Kind::Served | Kind::Forgotten => 4,
            Kind::Expired | Kind::Cancelled => 2,
            Kind::Reversed => 1,
        }
    }

    fn steps(self) -> Vec<Step> {
        use Step::{Ask, Bids, Final, Restart, TooMuch};
        match self {
            Kind::Served => vec![
                Bids,
                Ask(0),
                Ask(0),
                Ask(1),
                TooMuch(2),
                Final,
                Ask(2),
                Restart,
                Ask(1),
                Final,
                Ask(0),
                Ask(2),
            ],
            Kind::Expired | Kind::Cancelled => {
                vec![Ask(0), Ask(0), Bids, Ask(1), Final, Restart, Ask(0)]
            }
            Kind::Reversed => vec![Bids, Ask(0), Final, Ask(0), Restart, Ask(0)],
            Kind::Forgotten => vec![
                Bids,
                Ask(0),
                Final,
                Ask(1),
                Final,
                Ask(3),
                Final,
                Ask(4),
                Final,
                TooMuch(5),
                Restart,
                TooMuch(6),
            ],
        }
    }
}

/// What the client asks for: by number, always with the same key.
fn ask(number: usize) -> Ask {
    let (idempotency, more) = match number {
        0 => ("plain", json!({})),
        1 => (
            "stream",
            json!({"stream": true, "stream_options": {"include_usage": true}, "seed": 20}),
        ),
        2 => ("several", json!({"n": 2, "seed": 40})),
        _ => (
            ["third", "fourth", "fifth", "sixth"][number - 3],
            json!({"seed": 60 + number}),
        ),
    };
    let mut body = json!({
        "model": "llm@96", "messages": [{"role": "user", "content": "A cat?"}], "max_tokens": 3, "seed": 7,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    Ask {
        path: "/v1/chat/completions",
        idempotency,
        body: body.to_string(),
    }
}

/// The network before anything happens.
pub(crate) struct Start {
    chain: SharedChain,
    deployment: Deployment,
    model: Arc<Model>,
    honest: Arc<EngineExecutor>,
    liar: Arc<FaultyExecutor>,
}

/// What is there whoever lives.
pub(crate) struct Ground {
    pub(crate) chain: SharedChain,
    pub(crate) deployment: Deployment,
    pub(crate) yard: Arc<InMemory>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) model: Arc<Model>,
    pub(crate) honest: Arc<EngineExecutor>,
}

impl Ground {
    pub(crate) fn nonce(&self, who: Address) -> u64 {
        self.chain.lock().nonce(who).unwrap()
    }

    fn network(&self) -> Network {
        Network::in_process(self.chain.clone(), self.deployment.clone())
    }

    pub(crate) fn party(&self, name: &str, account: Account, executor: Arc<dyn Executor>) -> Party {
        Party {
            name: name.to_owned(),
            protection: Protection::for_account(&account),
            account,
            executor,
            blobs: Blobs::over(Arc::clone(&self.yard) as Arc<dyn object_store::ObjectStore>),
        }
    }
}

fn language() -> Model {
    let file = Gguf::parse(shipped::language_file("llm").unwrap()).unwrap();
    let mut options = ImportOptions::default();
    options.context = Some(96);
    let read = Hashing::quiet(|hashing| from_gguf(&file, &options, hashing));
    read.unwrap().model
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

/// In memory where that can be had: the syncs are counted, not waited for.
fn folder() -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.or_else(|_| tempfile::tempdir()).unwrap()
}

impl Start {
    pub(crate) fn new() -> Start {
        let eyes = runtime();
        let endpoint = Endpoint::in_process(SharedChain::in_memory(Genesis::default()));
        let world = World::serving(
            BeaconChoice::Development,
            endpoint,
            language(),
            Vec::new(),
            250_000,
            Windows::Fast,
        );
        let mut world = eyes.block_on(world);
        for (name, key) in NAMES.into_iter().zip(1..) {
            eyes.block_on(async {
                match key {
                    ANN | BOB | CHEAT => world.staked(name).await,
                    _ => world.party(name).await,
                }
            });
        }
        let liar = FaultyExecutor::new(Arc::clone(&world.honest), &[Fault::ChangedToken], 3);
        Start {
            chain: world.network.embedded().unwrap().clone(),
            deployment: world.network.deployment().clone(),
            model: world.honest.model(&world.model).unwrap(),
            liar: Arc::new(liar),
            honest: world.honest,
        }
    }

    fn ground(&self) -> Ground {
        Ground {
            chain: self.chain.fork(),
            deployment: self.deployment.clone(),
            yard: Arc::default(),
            folder: folder(),
            model: Arc::clone(&self.model),
            honest: Arc::clone(&self.honest),
        }
    }
}

/// What somebody has: wallet and credit together, and stake.
pub(crate) type Purse = (u128, u128);

/// How a life ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) head: B256,
    pub(crate) purses: Vec<Purse>,
    /// Tokens in all.
    pub(crate) supply: u128,
    /// Wallets and the vault.
    pub(crate) held: u128,
    /// What the client was told, in order, but for the time of day.
    pub(crate) told: Vec<Said>,
    /// What the key has spent.
    pub(crate) spent: u128,
    /// What the gateway did that outlives it.
    pub(crate) operations: Vec<Operation>,
}

/// A life under way.
pub(crate) struct Life {
    kind: Kind,
    ground: Ground,
    gate: Gate,
    steps: std::vec::IntoIter<Step>,
    step: Option<Step>,
    told: Vec<Said>,
    others: Vec<Box<dyn Role>>,
    servers: Vec<Box<dyn Role>>,
    bids: bool,
    away: u32,
    late: bool,
    mirror: Mirror,
    eyes: Runtime,
    turn: u64,
}

impl Life {
    pub(crate) fn new(start: &Start, kind: Kind, end: Option<End>, late: bool) -> Life {
        let ground = start.ground();
        let mut keys = KeyFile::default();
        let key = ApiKey {
            name: KEY.to_owned(),
            sha256: None,
            account: None,
            budget: Some(kind.budget().to_string()),
            requests_per_minute: 1_000_000,
            max_concurrent: 8,
        };
        let secret = keys.add(key).unwrap();
        keys.save(&ground.folder.path().join("keys.json")).unwrap();
        let class = start.model.model_id();
        let party = |key: u32| {
            let account = Account::new(dev_key(SEED, key), ground.network());
            let executor: Arc<dyn Executor> = match key {
                CHEAT => Arc::clone(&start.liar) as Arc<dyn Executor>,
                _ => Arc::clone(&start.honest) as Arc<dyn Executor>,
            };
            ground.party(NAMES[key as usize - 1], account, executor)
        };
        let provider = |key: u32, reserve: u128| -> Box<dyn Role> {
            let honest = ProviderPolicy::honest(reserve, vec![class]);
            let policy = ProviderPolicy {
                // so that the verdict is the referee's
                appeals: key != CHEAT,
                ..honest
            };
            Box::new(Provider::new(party(key), policy))
        };
        let mut servers = vec![provider(ANN, 5 * UNIT), provider(BOB, 6 * UNIT)];
        if kind == Kind::Reversed {
            servers.push(provider(CHEAT, UNIT));
        }
        let mut others: Vec<Box<dyn Role>> = vec![
            Box::new(Watcher::new(party(WATCHER))),
            Box::new(Keeper::new(party(KEEPER))),
        ];
        for key in [ANN, BOB, CHEAT] {
            // whoever cheats for a price judges others as they deserve
            let judge = Party {
                executor: Arc::clone(&start.honest) as Arc<dyn Executor>,
                ..party(key)
            };
            others.push(Box::new(Auditor::new(judge.clone())));
            others.push(Box::new(Referee::new(judge)));
        }
        Life {
            kind,
            gate: Gate::new(Meter::ending(end), GATE, secret, kind == Kind::Forgotten),
            mirror: Mirror::new(ground.network()),
            ground,
            steps: kind.steps().into_iter(),
            step: None,
            told: Vec::new(),
            others,
            servers,
            bids: false,
            away: 0,
            late,
            eyes: runtime(),
            turn: 0,
        }
    }

    fn refresh(&mut self) -> &gavel_node::Board {
        self.eyes.block_on(self.mirror.refresh()).unwrap()
    }

    fn is_final(&mut self) -> bool {
        let board = self.refresh();
        let mut tasks = board.tasks.values();
        tasks.all(|entry| entry.task.state.is_final()) && board.open_disputes().next().is_none()
    }

    /// The client goes on, where it does not wait. False: it has nothing to do any more.
    fn client(&mut self) -> bool {
        loop {
            let waits = match self.step {
                Some(Step::Ask(_) | Step::TooMuch(_)) => self.gate.asks.is_some(),
                Some(Step::Final) => !self.is_final(),
                _ => false,
            };
            if waits {
                return true;
            }
            self.step = self.steps.next();
            match self.step {
                None => return false,
                Some(Step::Ask(number) | Step::TooMuch(number)) => {
                    self.gate.asks = Some(ask(number));
                }
                Some(Step::Final) => {}
                Some(Step::Bids) => self.bids = true,
                Some(Step::Restart) => self.gate.stops(),
            }
        }
    }

    /// The gateway's turn. Whether it acted.
    fn gate(&mut self) -> bool {
        if self.away > 0 {
            return false;
        }
        let before = self.ground.nonce(self.gate.address);
        loop {
            self.turn += 1;
            self.gate.meter.turn(self.turn);
            let Life {
                gate,
                ground,
                mirror,
                eyes,
                ..
            } = self;
            match gate.turn(ground, mirror, eyes, before) {
                Turn::Done(acted, said) => {
                    self.told.extend(said);
                    return acted;
                }
                Turn::Died if self.late => {
                    self.away = AWAY;
                    return true;
                }
                Turn::Died => {}
            }
        }
    }

    /// Whoever runs the gateway takes back a task for which nobody works.
    fn cancel(&mut self) -> bool {
        if self.kind != Kind::Cancelled || self.bids {
            return false;
        }
        let board = self.refresh();
        let open = board.tasks.iter();
        let mut open = open.filter(|(_, entry)| !entry.task.state.is_final());
        let Some(id) = open.next().map(|(id, _)| *id) else {
            return false;
        };
        let account = Account::new(dev_key(SEED, GATE), self.ground.network());
        let call = Market::cancelCall {
            taskId: U256::from(id),
        };
        let market = self.ground.deployment.market;
        self.eyes.block_on(account.send(market, call)).unwrap();
        true
    }

    fn pass(&mut self, seconds: u64) {
        let chain = &self.ground.chain;
        chain.advance_to(chain.now() + seconds).unwrap();
        chain.mine().unwrap();
        self.away = self.away.saturating_sub(1);
        self.turn += 1;
        self.gate.meter.turn(self.turn);
        if !self.gate.rests(seconds) && self.late {
            self.away = AWAY;
        }
    }

    pub(crate) fn play(&mut self) {
        let mut step = 3;
        for _ in 0..2_000 {
            let goes_on = self.client();
            if !goes_on && self.is_final() {
                return;
            }
            let mut acted = self.gate();
            acted |= self.cancel();
            let Life {
                others,
                servers,
                bids,
                mirror,
                eyes,
                ..
            } = self;
            let roles = servers.iter_mut().filter(|_| *bids).chain(others);
            for role in roles {
                let board = eyes.block_on(mirror.refresh()).unwrap();
                let act = eyes.block_on(role.tick(board));
                acted |= act.is_ok_and(|act| act.is_some());
            }
            step = if acted { 3 } else { (step + 3).min(STEP_MOST) };
            if !acted {
                self.pass(step);
            }
        }
        panic!(
            "it never came to its end: {:?}, told {:?}",
            self.step, self.told
        );
    }

    /// What is true of every end, and the rest of it.
    pub(crate) fn ended(mut self) -> Ended {
        self.gate.stops();
        let meter = Arc::clone(&self.gate.meter);
        for (nonce, calls) in meter.signed() {
            assert!(
                calls.iter().all(|call| *call == calls[0]),
                "two things were signed for nonce {nonce}"
            );
        }
        for (blob, written) in meter.written() {
            assert!(
                written.iter().all(|bytes| *bytes == written[0]),
                "two things were written as {blob}"
            );
        }
        let network = self.ground.network();
        let board = self.eyes.block_on(self.mirror.refresh()).unwrap();
        let of = |who: Address| {
            let (token, vault) = (network.token(), network.vault());
            let wallet = self
                .eyes
                .block_on(async { token.balanceOf(who).call().await });
            let credit = self.eyes.block_on(async { vault.credit(who).call().await });
            (u128::try_from(wallet.unwrap()).unwrap(), credit.unwrap())
        };
        let (mut purses, mut held) = (Vec::new(), of(self.ground.deployment.vault).0);
        for key in 1..=NAMES.len() as u32 {
            let who = dev_key(SEED, key).address();
            let (wallet, credit) = of(who);
            held += wallet;
            let mut staked = 0;
            if let Some(provider) = board.providers.get(&who) {
                staked = stake(board, &who);
                let name = NAMES[key as usize - 1];
                assert_eq!((provider.locked, provider.live_tasks), (0, 0), "{name}");
                let is_punished = key == CHEAT && self.kind == Kind::Reversed;
                assert_eq!(board.is_tombstoned(&who), is_punished, "{name}");
                assert_eq!(staked < STAKE, is_punished, "{name}");
            }
            purses.push((wallet + credit, staked));
        }
        let token = network.token();
        let supply = self
            .eyes
            .block_on(async { token.totalSupply().call().await });
        // each request is as many tasks as it wants answers, and each task is there once
        assert_eq!(board.tasks.len(), self.kind.tasks());
        let (spent, kept) = gate::spent(&self.ground, board, self.ground.folder.path(), KEY);
        match self.kind {
            Kind::Forgotten => assert!(kept < self.kind.tasks(), "nothing was forgotten"),
            _ => assert_eq!(kept, self.kind.tasks()),
        }
        let left = purses[GATE as usize - 1].0;
        match self.kind {
            // what the cheat has lost is the requester's in part
            Kind::Reversed => assert!(left + spent > PURSE, "{left} {spent}"),
            _ => assert_eq!(
                left + spent,
                PURSE,
                "what the key has spent is what was paid"
            ),
        }
        Ended {
            head: self.ground.chain.lock().head().hash,
            purses,
            supply: u128::try_from(supply.unwrap()).unwrap(),
            held,
            told: self.told.iter().map(timeless).collect(),
            spent,
            operations: meter.operations(),
        }
    }
}

/// An answer without the time of day.
fn timeless(said: &Said) -> Said {
    let without = |text: &str| -> String {
        let Ok(mut value) = serde_json::from_str::<Value>(text) else {
            return text.to_owned();
        };
        if let Some(created) = value.get_mut("created") {
            *created = Value::Null;
        }
        value.to_string()
    };
    let lines = said
        .text
        .lines()
        .map(|line| match line.strip_prefix("data: ") {
            Some(data) => format!("data: {}", without(data)),
            None => without(line),
        });
    Said {
        status: said.status,
        text: lines.collect::<Vec<_>>().join("\n"),
    }
}
