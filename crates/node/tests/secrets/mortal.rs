//! A participant over files, which dies between any two operations that outlive it and is started again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gavel_node::board::TaskState;
use gavel_node::protection::{self, StoredIntents};
use gavel_node::roles::{Participant, standing};
use gavel_node::{
    Act, Address, B256, Blobs, Board, Mirror, NodeError, Party, Protection, Role, U256,
};
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::rpc::client::RpcClient;
use gavel_settlement::alloy::sol_types::SolCall as _;
use gavel_settlement::bindings::CommitRevealBeacon;
use gavel_settlement::dev_params::UNIT;
use gavel_settlement::transport::InProcess;
use gavel_settlement::{Account, Deployment, Endpoint, Network, SendPolicy, SharedChain};
use gavel_state::{Sqlite, Store, Table};
use tokio::runtime::{Builder, Runtime};

use crate::common::network::{SEED, state};
use crate::meter::{Cut, End, Line, Meter, Operation, Shelf};
use crate::{PURSE, common, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_outlives_its_database_and_is_committed_to_no_more_once_it_may_be_known() {
    let start = start().await;
    let network = Network::in_process(start.chain.clone(), start.deployment.clone());
    let mut mirror = Mirror::new(network.clone());
    let (executor, ..) = common::shipped("digits-small", 0);
    let party = |key: u32| {
        let account = Account::new(dev_key(SEED, key), network.clone());
        Party {
            name: format!("party {key}"),
            protection: Protection::for_account(&account),
            account,
            executor: Arc::clone(&executor) as _,
            blobs: Blobs::memory(),
        }
    };
    let rounds = mirror.refresh().await.unwrap().beacon.secrets.unwrap();
    // a reorg has undone a commitment whose secret was shown: others could choose theirs by it
    let burnt = party(MORTAL);
    let key = format!("{:020}", start.awaited);
    let row = format!(r#"{{"secret":"{:#x}","shown":true}}"#, B256::repeat_byte(7));
    let store = Arc::clone(burnt.protection.store());
    store.insert(Table::Secrets, &key, &row).await.unwrap();
    let mut burnt = Participant::new(burnt);
    let mut other = Participant::new(party(OTHER));
    let who = [burnt.address(), other.address()];
    let committed = async |who: Address| {
        let found = standing(&network, &rounds, who, 2).await.unwrap();
        (found.round, found.revealed)
    };
    let open = |now: u64| rounds.round_after(now);
    while open(start.chain.now()) == start.awaited {
        let mut acted = false;
        for role in [&mut burnt, &mut other] {
            let board = mirror.refresh().await.unwrap();
            acted |= role.tick(board).await.unwrap().is_some();
        }
        if !acted {
            start.chain.advance_to(start.chain.now() + 20).unwrap();
        }
    }
    assert_eq!(committed(who[0]).await, (0, false));
    assert_eq!(committed(who[1]).await, (start.awaited, false));
    // nobody else took part, so the next round draws; after it every database is lost
    let next = start.awaited + 1;
    while open(start.chain.now()) == next {
        for role in [&mut burnt, &mut other] {
            let board = mirror.refresh().await.unwrap();
            role.tick(board).await.unwrap();
        }
        start.chain.advance_to(start.chain.now() + 20).unwrap();
    }
    for who in who {
        assert_eq!(committed(who).await, (next, false));
    }
    for key in [MORTAL, OTHER] {
        let mut again = Participant::new(party(key));
        let board = mirror.refresh().await.unwrap();
        let act = again.tick(board).await.unwrap().unwrap();
        assert_eq!(
            act.what,
            format!("reveals its secret of round {next} of the beacon")
        );
    }
    let board = mirror.refresh().await.unwrap();
    assert!(board.beacon.values.contains_key(&next));
    assert!(board.beacon_value(start.awaited).is_some());
}

/// The network at a moment at which somebody waits for a round, and whoever takes part.
struct Start {
    chain: SharedChain,
    deployment: Deployment,
    awaited: u64,
    task: u64,
}

/// Key of whoever dies, and of whoever takes part beside it.
const MORTAL: u32 = 3;
const OTHER: u32 = 4;
/// Turns for which whoever comes back late is away.
const AWAY: u32 = 3;

async fn start() -> Start {
    let mut world = world(1_000_000).await;
    let served = world.staked("served").await;
    let requester = world.party("requester").await;
    let mortal = world.party("mortal").await;
    assert_eq!(mortal.address(), dev_key(SEED, MORTAL).address());
    let other = world.party("other").await;
    assert_eq!(other.address(), dev_key(SEED, OTHER).address());
    let rounds = world.board().await.beacon.secrets.unwrap();
    let now = world.board().await.now();
    world
        .pass(rounds.time_of(rounds.round_after(now)) - now)
        .await;
    let task = world.post(&requester).await;
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.provider(&served, UNIT)),
        Box::new(Participant::new(other)),
    ];
    let committed = |b: &Board| state(b, task) == TaskState::Committed;
    world.until(&mut roles, committed).await;
    Start {
        awaited: world.board().await.audit_round(task).unwrap(),
        chain: world.network.embedded().unwrap().clone(),
        deployment: world.network.deployment().clone(),
        task,
    }
}

/// A participant as a process over files, which dies and is started again.
struct Mortal {
    meter: Arc<Meter>,
    chain: SharedChain,
    deployment: Deployment,
    folder: tempfile::TempDir,
    ending: Arc<AtomicBool>,
    life: Option<(Participant, Runtime)>,
}

impl Mortal {
    async fn begin(&self) -> Participant {
        let line = Line {
            meter: Arc::clone(&self.meter),
            inner: InProcess::new(self.chain.clone()),
        };
        let policy = SendPolicy {
            confirmations: gavel_settlement::REORG_DEPTH,
            ..SendPolicy::default()
        };
        let endpoint = Endpoint::over(RpcClient::new(line, true)).with_policy(policy);
        let network = Network::new(endpoint, self.deployment.clone());
        let account = Account::new(dev_key(SEED, MORTAL), network);
        let identity = protection::identity(&account);
        let store: Arc<dyn Store> = Arc::new(Shelf {
            meter: Arc::clone(&self.meter),
            inner: Sqlite::open(&self.folder.path().join("state.db"), identity).unwrap(),
        });
        let guarded = Protection::open(Arc::clone(&store)).await.unwrap();
        let (executor, ..) = common::shipped("digits-small", 0);
        let party = Party {
            name: "mortal".to_owned(),
            account: account.with_log(Arc::new(StoredIntents::new(store))),
            executor,
            blobs: Blobs::memory(),
            protection: Arc::new(guarded),
        };
        Participant::new(party)
            .ending(Arc::clone(&self.ending))
            .leaving()
    }

    fn dies(&mut self) {
        self.life = None;
        self.meter.revive();
    }

    /// None: it died.
    fn tick(&mut self, board: &Board) -> Option<Result<Option<Act>, NodeError>> {
        if self.life.is_none() {
            let mut builder = Builder::new_current_thread();
            let runtime = builder.enable_time().start_paused(true).build().unwrap();
            match runtime.block_on(self.meter.alive(self.begin())) {
                Some(role) => self.life = Some((role, runtime)),
                None => {
                    drop(runtime);
                    self.dies();
                    return None;
                }
            }
        }
        let (role, runtime) = self.life.as_mut().unwrap();
        let ticked = runtime.block_on(self.meter.alive(role.tick(board)));
        if ticked.is_none() {
            self.dies();
        }
        ticked
    }

    /// Time passes. False: it died.
    fn rests(&mut self, seconds: u64) -> bool {
        let Some((_, runtime)) = &self.life else {
            return true;
        };
        let pause = tokio::time::Duration::from_secs(seconds);
        let lives = runtime.block_on(async { self.meter.alive(tokio::time::sleep(pause)).await });
        if lives.is_none() {
            self.dies();
        }
        lives.is_some()
    }
}

/// Plays until the awaited round has its value and the mortal its bond; gives what the mortal did.
fn play(start: &Start, end: Option<End>, late: bool) -> Vec<Operation> {
    let eyes = Builder::new_current_thread().build().unwrap();
    let chain = start.chain.fork();
    let network = Network::in_process(chain.clone(), start.deployment.clone());
    let mut mirror = Mirror::new(network.clone());
    let mut mortal = Mortal {
        meter: Meter::ending(end),
        chain: chain.clone(),
        deployment: start.deployment.clone(),
        folder: tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap(),
        ending: Arc::default(),
        life: None,
    };
    let account = Account::new(dev_key(SEED, OTHER), network.clone());
    let (executor, ..) = common::shipped("digits-small", 0);
    let mut other = Participant::new(Party {
        name: "other".to_owned(),
        protection: Protection::for_account(&account),
        account,
        executor,
        blobs: Blobs::memory(),
    });
    let me = dev_key(SEED, MORTAL).address();
    let rounds = eyes
        .block_on(mirror.refresh())
        .unwrap()
        .beacon
        .secrets
        .unwrap();
    let joined = || {
        let found = eyes.block_on(standing(&network, &rounds, me, 2)).unwrap();
        (found.joined, found.round)
    };
    let (mut away, mut failed) = (0, String::new());
    for turn in 0..400 {
        let board = eyes.block_on(mirror.refresh()).unwrap();
        let mut acted = eyes.block_on(other.tick(board)).unwrap().is_some();
        if away == 0 {
            mortal.meter.turn(turn);
            let board = eyes.block_on(mirror.refresh()).unwrap();
            match mortal.tick(board) {
                Some(Ok(act)) => acted |= act.is_some(),
                Some(Err(error)) => failed = error.to_string(),
                None => away = if late { AWAY } else { 0 },
            }
        }
        let board = eyes.block_on(mirror.refresh()).unwrap();
        let valued = board.beacon_value(start.awaited).is_some();
        mortal.ending.store(valued, Ordering::Relaxed);
        let (is_in, last) = joined();
        let over = valued && !is_in;
        // it takes a while to forget, and to bury transactions
        if over && board.now() > rounds.time_of(start.awaited + 4) {
            let board = board.clone();
            assert!(
                board.beacon.values.contains_key(&start.awaited),
                "not spoiled"
            );
            assert_eq!(last, 0, "it has left");
            let wallet = network.token();
            let wallet = eyes.block_on(async { wallet.balanceOf(me).call().await });
            assert_eq!(wallet.unwrap(), U256::from(PURSE));
            assert_eq!(state(&board, start.task), TaskState::Committed);
            while mortal.tick(&board).is_none() {}
            drop(mortal.life);
            let identity = gavel_state::Identity {
                chain_id: start.deployment.chain_id,
                contract: start.deployment.market,
                address: me,
            };
            let store = Sqlite::open(&mortal.folder.path().join("state.db"), identity).unwrap();
            assert_eq!(eyes.block_on(store.scan(Table::Secrets)).unwrap(), []);
            one_secret_a_round(&mortal.meter);
            return mortal.meter.operations();
        }
        if !acted {
            chain.advance_to(chain.now() + 20).unwrap();
            chain.mine().unwrap();
            away = away.saturating_sub(1);
            mortal.meter.turn(turn);
            if !mortal.rests(20) && late {
                away = AWAY;
            }
        }
    }
    panic!("it never came to its end; {end:?}, the last failure: {failed}");
}

/// Whatever was signed: of no round two commitments, and of no nonce two calls.
fn one_secret_a_round(meter: &Meter) {
    let mut commitments = BTreeMap::new();
    let mut reveals = 0;
    for (nonce, calls) in meter.signed() {
        assert!(calls.iter().all(|call| *call == calls[0]), "nonce {nonce}");
        let call = &calls[0].1;
        if let Ok(commit) = CommitRevealBeacon::commitCall::abi_decode(call) {
            let one = *commitments.entry(commit.round).or_insert(commit.commitment);
            assert_eq!(one, commit.commitment, "round {}", commit.round);
        }
        reveals += usize::from(CommitRevealBeacon::revealCall::abi_decode(call).is_ok());
    }
    assert!(!commitments.is_empty() && reveals > 0);
}

#[test]
fn a_participant_survives_its_end_at_every_operation() {
    let start = {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(start())
    };
    let undisturbed = play(&start, None, false);
    let is_row = |o: &Operation| o.what.starts_with("inserts secrets/");
    let row = undisturbed.iter().position(is_row).unwrap();
    let commits = undisturbed[row..]
        .iter()
        .filter(|o| o.what == "sends")
        .count();
    assert_eq!(
        commits, 3,
        "commitment, reveal and leaving come after the row: {undisturbed:#?}"
    );
    for operation in 0..undisturbed.len() {
        for cut in [Cut::Before, Cut::After] {
            for late in [false, true] {
                play(&start, Some(End { operation, cut }), late);
            }
        }
    }
    println!("ended at {} operations", undisturbed.len());
}
