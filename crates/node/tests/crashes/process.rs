//! One party's process: a runtime of its own with all that runs on it, made from the party's files, ended in no order.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gavel_model::Model;
use gavel_node::faults::{FaultyExecutor, OneUlp};
use gavel_node::protection::doppelganger::{self, Verdict};
use gavel_node::protection::{self, StoredIntents};
use gavel_node::roles::{
    Auditor, Keeper, Order, Provider, ProviderPolicy, Referee, Requester, Watcher, post,
};
use gavel_node::{
    Act, Address, Blobs, Board, EngineExecutor, Executor, Fault, Models, NodeError, Party,
    Protection, Role,
};
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::rpc::client::RpcClient;
use gavel_settlement::dev_params::UNIT;
use gavel_settlement::transport::InProcess;
use gavel_settlement::{Account, Deployment, Endpoint, Network, SendPolicy, SharedChain};
use gavel_state::{Sqlite, Store};
use object_store::memory::InMemory;
use tokio::runtime::{Builder, Runtime};

use crate::common;
use crate::common::network::SEED;
use crate::meter::{Line, Meter, Shelf, Yard};

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Cheat,
    /// Works from this price on.
    Server(u128),
    Watcher,
    Keeper,
    Requester,
}

/// Who takes part: a name, the number of its key, what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) name: &'static str,
    pub(crate) key: u32,
    pub(crate) part: Part,
}

/// What becomes of the dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    /// The referee's ruling stands, and the task is run again and settled.
    Ruled,
    /// The referee lies for the cheat, and is overturned on appeal, by the one step that the contract executes.
    Overturned,
    /// The cheat appeals a true ruling, down to that step, which confirms it.
    Confirmed,
}

/// What is there whoever lives.
pub(crate) struct Ground {
    pub(crate) story: Story,
    /// What the cheat's machine gets wrong, where it is not drawn.
    pub(crate) ulp: Option<OneUlp>,
    pub(crate) chain: SharedChain,
    pub(crate) deployment: Deployment,
    pub(crate) yard: Arc<InMemory>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) model: Model,
    pub(crate) order: Order,
    /// The task that was put up, once whoever put it up has read its number.
    pub(crate) posted: Arc<Mutex<Option<u64>>>,
}

pub(crate) struct Process {
    pub(crate) seat: Seat,
    pub(crate) meter: Arc<Meter>,
    pub(crate) address: Address,
    life: Option<(Vec<Box<dyn Role>>, Runtime)>,
}

impl Process {
    pub(crate) fn new(seat: Seat, meter: Arc<Meter>) -> Process {
        Process {
            seat,
            meter,
            address: dev_key(SEED, seat.key).address(),
            life: None,
        }
    }

    pub(crate) fn roles(&self) -> usize {
        match self.seat.part {
            Part::Server(_) => 3,
            _ => 1,
        }
    }

    /// Starts it where it does not run. False: it died meanwhile.
    fn starts(&mut self, ground: &Ground, board: &Board) -> bool {
        if self.life.is_some() {
            return true;
        }
        // its clock stands still but where it waits: nothing here takes the time that it takes
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let begins = begin(self.seat, ground, board, &self.meter);
        match runtime.block_on(self.meter.alive(begins)) {
            Some(roles) => self.life = Some((roles, runtime)),
            None => self.ends(),
        }
        self.life.is_some()
    }

    /// Asks a role to act. None: it died.
    pub(crate) fn tick(
        &mut self,
        ground: &Ground,
        board: &Board,
        role: usize,
    ) -> Option<Result<Option<Act>, NodeError>> {
        if !self.starts(ground, board) {
            return None;
        }
        let (roles, runtime) = self.life.as_mut().unwrap();
        let ticked = runtime.block_on(self.meter.alive(roles[role].tick(board)));
        if ticked.is_none() {
            self.ends();
        }
        ticked
    }

    /// Time passes, in which what it does beside its roles goes on. False: it died.
    pub(crate) fn rests(&mut self, seconds: u64) -> bool {
        let Some((_, runtime)) = &self.life else {
            return true;
        };
        let pause = tokio::time::Duration::from_secs(seconds);
        let lives = runtime.block_on(async { self.meter.alive(tokio::time::sleep(pause)).await });
        if lives.is_none() {
            self.ends();
        }
        lives.is_some()
    }

    /// As a process that is told to stop.
    pub(crate) fn stops(&mut self) {
        self.life = None;
    }

    /// Nothing of it is left but its files.
    fn ends(&mut self) {
        self.life = None;
        self.meter.revive();
    }
}

fn state(folder: &Path, seat: Seat) -> std::path::PathBuf {
    folder.join(seat.name).join("state.db")
}

/// What a process does before it acts.
async fn begin(
    seat: Seat,
    ground: &Ground,
    board: &Board,
    meter: &Arc<Meter>,
) -> Vec<Box<dyn Role>> {
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
    let network = Network::new(endpoint, ground.deployment.clone());
    let account = Account::new(dev_key(SEED, seat.key), network);
    let identity = protection::identity(&account);
    let store: Arc<dyn Store> = Arc::new(Shelf {
        meter: Arc::clone(meter),
        inner: Sqlite::open(&state(ground.folder.path(), seat), identity).unwrap(),
    });
    let rows = protection::statements(&*store).await.unwrap();
    let verdict = doppelganger::look(board, &account.address(), &rows);
    assert!(
        !matches!(verdict, Verdict::Foreign(_)),
        "{} takes itself for another: {verdict:?}",
        seat.name
    );
    doppelganger::started(&*store).await.unwrap();
    let guarded = Protection::open(Arc::clone(&store)).await.unwrap();
    let mut models = Models::new();
    let class = models.add(ground.model.clone());
    let honest = Arc::new(EngineExecutor::new(common::engine(), models).unwrap());
    let executor: Arc<dyn Executor> = match seat.part {
        Part::Cheat => Arc::new(match ground.ulp {
            Some(ulp) => FaultyExecutor::one_ulp_at(honest, ulp),
            None => FaultyExecutor::new(honest, &[Fault::OneUlp], 3),
        }),
        _ => honest,
    };
    let party = Party {
        name: seat.name.to_owned(),
        account: account.with_log(Arc::new(StoredIntents::new(store))),
        executor,
        blobs: Blobs::over(Arc::new(Yard {
            meter: Arc::clone(meter),
            inner: Arc::clone(&ground.yard),
        })),
        protection: Arc::new(guarded),
    };
    match seat.part {
        Part::Cheat => {
            let policy = ProviderPolicy {
                // else the verdict is the referee's
                appeals: ground.story == Story::Confirmed,
                ..ProviderPolicy::honest(UNIT, vec![class])
            };
            vec![Box::new(Provider::new(party, policy))]
        }
        Part::Server(reserve) => {
            let policy = ProviderPolicy::honest(reserve, vec![class]);
            vec![
                Box::new(Provider::new(party.clone(), policy)),
                Box::new(Auditor::new(party.clone())),
                Box::new(Referee::new(party).lying(ground.story == Story::Overturned)),
            ]
        }
        Part::Watcher => vec![Box::new(Watcher::new(party))],
        Part::Keeper => vec![Box::new(Keeper::new(party))],
        Part::Requester => vec![Box::new(Asks {
            role: Requester::new(party.clone()),
            party,
            order: ground.order.clone(),
            posted: Arc::clone(&ground.posted),
        })],
    }
}

/// `gavel task post --wait`, given again until somebody has read the task's number.
struct Asks {
    party: Party,
    role: Requester,
    order: Order,
    posted: Arc<Mutex<Option<u64>>>,
}

#[async_trait]
impl Role for Asks {
    fn name(&self) -> &str {
        &self.party.name
    }

    fn address(&self) -> Address {
        self.party.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        if self.posted.lock().unwrap().is_some() {
            return self.role.tick(board).await;
        }
        let (task, act) = post(&self.party, board, &self.order).await.unwrap();
        *self.posted.lock().unwrap() = Some(task);
        self.party.account.heard().await?;
        Ok(Some(act))
    }
}
