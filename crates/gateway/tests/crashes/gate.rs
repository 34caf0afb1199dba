//! A gateway's process: a runtime of its own with all that runs on it, made from its files, ended in no order.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use gavel_gateway::{
    Access, Auction, Desk, FileMedium, Gateway, Journal, Medium, Network, NodeNetwork, Nonces,
    Options, Served, is_settled, router,
};
use gavel_node::protection::doppelganger::{self, Verdict};
use gavel_node::protection::{self, StoredIntents};
use gavel_node::roles::Requester;
use gavel_node::{Address, Blobs, Board, Executor, Mirror, Party, Protection, Role};
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::rpc::client::RpcClient;
use gavel_settlement::dev_params::UNIT;
use gavel_settlement::transport::InProcess;
use gavel_settlement::{Account, Endpoint, SendPolicy};
use gavel_state::{Sqlite, Store};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::life::Ground;
use crate::meter::{Cut, Died, Line, Meter, Shelf, Yard};
use crate::network::SEED;

/// Longer than any life, in the gateway's own time.
const EVER: Duration = Duration::from_secs(1 << 30);
const OPTIONS: Options = Options {
    max_body: 64 << 10,
    body_time: EVER,
    wait: EVER,
    keep_alive: EVER,
    queue: 64,
    horizon: Duration::from_secs(300),
};
const AUCTION: Auction = Auction {
    min_price: UNIT,
    max_price: 10 * UNIT,
    ramp_seconds: 100,
    exec_seconds: None,
};

/// A file, where writing and syncing count, and so does all that puts another in its place.
#[derive(Debug)]
struct Disk {
    meter: Arc<Meter>,
    inner: Box<dyn Medium>,
    /// It is written under another name.
    is_new: bool,
}

impl Disk {
    fn once<T>(&self, what: [&'static str; 2], act: impl FnOnce(Cut) -> T) -> T {
        self.meter.at_once(what[usize::from(self.is_new)], act)
    }
}

impl Read for Disk {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read(bytes)
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let meter = Arc::clone(&self.meter);
        let what = ["writes a line", "writes the new journal"][usize::from(self.is_new)];
        meter.at_once(what, |cut| match cut {
            Cut::Within => self.inner.write(&bytes[..bytes.len() / 2]),
            _ => self.inner.write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Disk {
    fn sync(&self) -> io::Result<()> {
        let what = ["syncs the journal", "syncs the new journal"];
        self.once(what, |_| self.inner.sync())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let what = ["cuts the journal", "cuts the new journal"];
        self.once(what, |_| self.inner.cut(bytes))
    }

    fn beside(&self) -> io::Result<Box<dyn Medium>> {
        let inner = self
            .meter
            .at_once("makes a new journal", |_| self.inner.beside())?;
        Ok(Box::new(Disk {
            meter: Arc::clone(&self.meter),
            inner,
            is_new: true,
        }))
    }

    fn take_name(&self) -> io::Result<()> {
        self.meter
            .at_once("renames the new journal", |_| self.inner.take_name())
    }

    fn sync_name(&self) -> io::Result<()> {
        self.meter
            .at_once("syncs the folder", |_| self.inner.sync_name())
    }
}

/// Something that a client asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) path: &'static str,
    pub(crate) idempotency: &'static str,
    pub(crate) body: String,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) text: String,
}

struct Running {
    runtime: Runtime,
    network: Arc<NodeNetwork>,
    requester: Requester,
    router: axum::Router,
    asked: Option<JoinHandle<Said>>,
}

/// The gateway with a client that waits for one answer at a time, and asks again where it gets none.
pub(crate) struct Gate {
    pub(crate) meter: Arc<Meter>,
    pub(crate) address: Address,
    pub(crate) secret: String,
    /// What the client waits for.
    pub(crate) asks: Option<Ask>,
    /// It remembers nothing that is over, and no line that it does not need.
    forgets: bool,
    life: Option<Running>,
}

/// What a turn came to.
pub(crate) enum Turn {
    Died,
    /// Whether it acted, and what the client was told.
    Done(bool, Option<Said>),
}

impl Gate {
    pub(crate) fn new(meter: Arc<Meter>, key: u32, secret: String, forgets: bool) -> Gate {
        Gate {
            meter,
            address: dev_key(SEED, key).address(),
            secret,
            asks: None,
            forgets,
            life: None,
        }
    }

    /// Starts it where it does not run. False: it died meanwhile.
    fn starts(&mut self, ground: &Ground, mirror: &mut Mirror, eyes: &Runtime) -> bool {
        if self.life.is_some() {
            return true;
        }
        // its clock stands still but where it waits
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let board = eyes.block_on(mirror.refresh()).unwrap();
        let began = self.lives(&runtime, begin(ground, board, &self.meter));
        // what an earlier process has sent is in the chain now
        let board = eyes.block_on(mirror.refresh()).unwrap();
        let opened = began.and_then(|party| {
            let (meter, forgets) = (&self.meter, self.forgets);
            let open = async { open(ground, board, party, meter, forgets) };
            self.lives(&runtime, open)
        });
        let Some((network, requester, router)) = opened else {
            self.ends();
            return false;
        };
        self.life = Some(Running {
            runtime,
            network,
            requester,
            router,
            asked: None,
        });
        true
    }

    /// What comes of it while the process lives.
    fn lives<T>(&self, runtime: &Runtime, work: impl Future<Output = T>) -> Option<T> {
        let alive = AssertUnwindSafe(|| runtime.block_on(self.meter.alive(work)));
        let done = match catch_unwind(alive) {
            Ok(done) => done,
            Err(died) if died.is::<Died>() => None,
            Err(panic) => resume_unwind(panic),
        };
        // what was at work beside it may have died in the same moment
        done.filter(|_| !self.meter.is_dead())
    }

    /// It looks at the chain and does all that can be done now. `before`: its transactions when its turn began; where
    /// there are more, its role has acted.
    pub(crate) fn turn(
        &mut self,
        ground: &Ground,
        mirror: &mut Mirror,
        eyes: &Runtime,
        before: u64,
    ) -> Turn {
        if !self.starts(ground, mirror, eyes) {
            return Turn::Died;
        }
        let Some(mut life) = self.life.take() else {
            return Turn::Died;
        };
        if let (None, Some(ask)) = (&life.asked, &self.asks) {
            let asked = answered(
                life.router.clone(),
                self.secret.clone(),
                ask.clone(),
                Arc::clone(&self.meter),
            );
            life.asked = Some(life.runtime.spawn(asked));
        }
        let board = eyes.block_on(mirror.refresh()).unwrap();
        let has_acted = ground.nonce(self.address) > before;
        let Running {
            runtime,
            network,
            requester,
            ..
        } = &mut life;
        let work = async {
            network.see(board);
            if !has_acted {
                let _ = requester.tick(board).await.unwrap();
            }
            // the clock moves once nothing is left to do
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        if self.lives(runtime, work).is_none() {
            drop(life);
            self.ends();
            return Turn::Died;
        }
        let mut said = None;
        if life.asked.as_ref().is_some_and(JoinHandle::is_finished) {
            let asked = life.asked.take().unwrap();
            said = Some(life.runtime.block_on(asked).unwrap());
            self.asks = None;
        }
        self.life = Some(life);
        let acted = said.is_some() || ground.nonce(self.address) > before;
        Turn::Done(acted, said)
    }

    /// Time passes, in which what it does beside its roles goes on. False: it died.
    pub(crate) fn rests(&mut self, seconds: u64) -> bool {
        let Some(life) = &self.life else {
            return true;
        };
        let pause = async { tokio::time::sleep(Duration::from_secs(seconds)).await };
        let rested = self.lives(&life.runtime, pause);
        if rested.is_none() {
            self.ends();
        }
        rested.is_some()
    }

    /// Nothing of it is left but its files.
    fn ends(&mut self) {
        self.life = None;
        self.meter.revive();
    }

    /// As [`Gate::ends`], on purpose.
    pub(crate) fn stops(&mut self) {
        self.life = None;
    }
}

/// An answer that a client has got.
async fn answered(router: axum::Router, secret: String, ask: Ask, meter: Arc<Meter>) -> Said {
    let request = Request::builder()
        .method("POST")
        .uri(ask.path)
        .header(header::AUTHORIZATION, format!("Bearer {secret}"))
        .header("idempotency-key", ask.idempotency);
    let request = request.body(Body::from(ask.body)).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let said = Said {
        status,
        text: String::from_utf8(body.to_vec()).unwrap(),
    };
    meter
        .once("answers".to_owned(), |_| {}, async { said })
        .await
}

/// What the process does before it listens: as `gavel gateway run`.
async fn begin(ground: &Ground, board: &Board, meter: &Arc<Meter>) -> Party {
    let line = Line {
        meter: Arc::clone(meter),
        inner: InProcess::new(ground.chain.clone()),
    };
    // as over HTTP
    let policy = SendPolicy {
        confirmations: gavel_settlement::REORG_DEPTH,
        ..SendPolicy::default()
    };
    let endpoint = Endpoint::over(RpcClient::new(line, true)).with_policy(policy);
    let network = gavel_settlement::Network::new(endpoint, ground.deployment.clone());
    let account = Account::new(dev_key(SEED, crate::life::GATE), network);
    let identity = protection::identity(&account);
    let file = ground.folder.path().join("state.db");
    let store: Arc<dyn Store> = Arc::new(Shelf {
        meter: Arc::clone(meter),
        inner: Sqlite::open(&file, identity).unwrap(),
    });
    let rows = protection::statements(&*store).await.unwrap();
    let verdict = doppelganger::look(board, &account.address(), &rows);
    assert!(!matches!(verdict, Verdict::Foreign(_)), "{verdict:?}");
    doppelganger::started(&*store).await.unwrap();
    let guarded = Protection::open(Arc::clone(&store)).await.unwrap();
    let party = Party {
        name: "gate".to_owned(),
        account: account.with_log(Arc::new(StoredIntents::new(store))),
        executor: Arc::clone(&ground.honest) as Arc<dyn Executor>,
        blobs: Blobs::over(Arc::new(Yard {
            meter: Arc::clone(meter),
            inner: Arc::clone(&ground.yard),
        })),
        protection: Arc::new(guarded),
    };
    assert!(is_settled(&party).await);
    party
}

fn open(
    ground: &Ground,
    board: &Board,
    party: Party,
    meter: &Arc<Meter>,
    forgets: bool,
) -> (Arc<NodeNetwork>, Requester, axum::Router) {
    let requester = Requester::new(party.clone());
    let behind = Arc::new(NodeNetwork::new(party, AUCTION, Vec::new(), board));
    let network: Arc<dyn Network> = Arc::clone(&behind) as Arc<dyn Network>;
    let folder = ground.folder.path();
    let file = FileMedium::locked(&folder.join("journal")).unwrap();
    let disk = Disk {
        meter: Arc::clone(meter),
        inner: Box::new(file),
        is_new: false,
    };
    let mut journal = Journal::on(Box::new(disk)).unwrap();
    if forgets {
        journal = journal.with_slack(0);
    }
    let mut desk = Desk::new(Arc::clone(&network), journal).unwrap();
    if forgets {
        desk = desk.retaining(Duration::ZERO);
    }
    let desk = Arc::new(desk);
    let access = Access::keys(&folder.join("keys.json"), Nonces::memory()).unwrap();
    let served = Served::model("llm@96", Arc::clone(&ground.model), None).unwrap();
    let gateway = Gateway::new(network, desk, vec![served], access, OPTIONS);
    (behind, requester, router(Arc::new(gateway)))
}

/// What a key has spent, by the files alone, and how many of its tasks are remembered there.
pub(crate) fn spent(ground: &Ground, board: &Board, folder: &Path, key: &str) -> (u128, usize) {
    let network =
        gavel_settlement::Network::in_process(ground.chain.clone(), ground.deployment.clone());
    let account = Account::new(dev_key(SEED, crate::life::GATE), network);
    let party = ground.party(
        "gate",
        account,
        Arc::clone(&ground.honest) as Arc<dyn Executor>,
    );
    let network: Arc<dyn Network> = Arc::new(NodeNetwork::new(party, AUCTION, Vec::new(), board));
    let journal = Journal::open(&folder.join("journal")).unwrap();
    let mut told: Vec<u64> = Vec::new();
    for ticket in journal.tickets() {
        assert!(
            ticket.task.is_some(),
            "nothing is known of a ticket: {ticket:?}"
        );
        told.extend(ticket.task);
    }
    told.sort_unstable();
    // those of which nothing is remembered came before
    let forgotten = journal.forgotten_through(key);
    let newer = |ids: &[u64]| -> Vec<u64> {
        let ids = ids.iter().copied();
        ids.filter(|id| *id > forgotten).collect()
    };
    let posted: Vec<u64> = board.tasks.keys().copied().collect();
    assert_eq!(newer(&told), newer(&posted), "each task has one ticket");
    let desk = Desk::new(network, journal).unwrap();
    (desk.spent(key), told.len())
}
