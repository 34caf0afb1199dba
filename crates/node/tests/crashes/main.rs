//! `kill -9` of every process at every point: a whole life of a task (post, claim, a cheat's result, challenge, dispute,
//! ruling, requeue, a second result, settlement), played once by seven processes, and then once more for each thing that one
//! of them does and that outlives it, with an end of that process before it, or after it and before anything is known of it.
//!
//! What outlives a process is counted where it leaves the process: transactions that are sent, writes to the database of its
//! key, blobs. Everything else between two awaits reads, or is memory that the end takes. A process that ends between two
//! such operations of one turn leaves the same files and the same chain wherever it ends there, since nobody else acts in its
//! turn: `after n` stands for all these points, `before n + 1` included. So `before n` is tried for the first
//! operation of a turn and `after n` for every one, and these are all points there are; the turns are those that
//! [`Meter`](meter::Meter) notes.
//!
//! The process that ends is a runtime of its own over a database in a file, with a transaction sender as over HTTP. Ending
//! it drops the runtime with whatever runs on it; another one is made from the files as a new process would be, and looks for a
//! double of itself first.
//!
//! So are lives of disputes that are appealed to the end ([`appeals`]), from the ruling on.
//!
//! Started again at once, everybody's acts are the same to the second, so the chain has to end with the same hash, and what
//! everybody has is the same to the unit. Started again late, when others have acted and time has passed, there has to be the same verdict, nobody
//! honest may have lost anything, and no coin may be made or lost.
#![allow(clippy::unwrap_used)]

mod appeals;
#[path = "../common/mod.rs"]
mod common;
mod meter;
mod process;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::network::{STAKE, World, stake, state};
use gavel_model::{Model, preprocess, shipped};
use gavel_node::board::TaskState;
use gavel_node::faults::OneUlp;
use gavel_node::roles::Order;
use gavel_node::{Address, B256, Board, EngineExecutor, Executor, Mirror, Models};
use gavel_settlement::chain::Genesis;
use gavel_settlement::dev_params::UNIT;
use gavel_settlement::{Deployment, Endpoint, Network, SharedChain, Windows};
use meter::{Cut, End, Meter};
use object_store::memory::InMemory;
use process::{Ground, Part, Process, Seat, Story};
use tokio::runtime::{Builder, Runtime};

/// Everybody, in the order of their turns.
const SEATS: [Seat; 7] = [
    seat("requester", 1, Part::Requester),
    seat("cheat", 2, Part::Cheat),
    seat("watcher", 3, Part::Watcher),
    seat("keeper", 4, Part::Keeper),
    seat("a", 5, Part::Server(5 * UNIT)),
    seat("b", 6, Part::Server(6 * UNIT)),
    seat("c", 7, Part::Server(7 * UNIT)),
];

const fn seat(name: &'static str, key: u32, part: Part) -> Seat {
    Seat { name, key, part }
}

/// Longest pause: four of them are shorter than every window in which something must be said.
const STEP_MOST: u64 = 30;
/// Rounds for which whoever comes back late is away.
const AWAY: u32 = 3;

/// The network before anything happens, or at the moment from which on processes end.
struct Start {
    story: Story,
    ulp: Option<OneUlp>,
    chain: SharedChain,
    deployment: Deployment,
    model: Model,
    order: Order,
    yard: InMemory,
    /// Files of the processes.
    files: tempfile::TempDir,
    posted: Option<u64>,
}

/// What somebody has: wallet, credit, stake.
type Purse = (u128, u128, u128);

/// How a life ended.
#[derive(Debug)]
struct Ended {
    head: B256,
    purses: Vec<Purse>,
    /// Tokens in the vault, and in all.
    vault: u128,
    supply: u128,
    disputes: usize,
    /// What each party did that outlives it.
    operations: Vec<Vec<meter::Operation>>,
}

impl Ended {
    /// Wallets and the vault.
    fn held(&self) -> u128 {
        self.purses.iter().map(|purse| purse.0).sum::<u128>() + self.vault
    }
}

impl Start {
    fn new(story: Story) -> Start {
        let eyes = runtime();
        let model = match story {
            Story::Ruled => shipped::load("digits-small").unwrap(),
            _ => shipped::load("digits").unwrap(),
        };
        let endpoint = Endpoint::in_process(SharedChain::in_memory(Genesis::default()));
        let mut world = eyes.block_on(World::on(
            endpoint,
            model.clone(),
            match story {
                Story::Ruled => 1_000_000,
                _ => 100_000,
            },
            Windows::Normal,
        ));
        for seat in SEATS {
            eyes.block_on(async {
                match seat.part {
                    Part::Cheat | Part::Server(_) => world.staked(seat.name).await,
                    _ => world.party(seat.name).await,
                }
            });
        }
        let (_, _, png) = shipped::PICTURES[0];
        let inputs = vec![preprocess::png_to_input(&model, png).unwrap()];
        let ulp = (story != Story::Ruled).then(|| appeals::falsified(&model, &inputs));
        let order = Order {
            model: model.model_id(),
            family: None,
            inputs,
            seed: 7,
            min_price: UNIT,
            max_price: 10 * UNIT,
            ramp_seconds: 100,
            exec_seconds: None,
        };
        Start {
            story,
            ulp,
            yard: InMemory::new(),
            files: folder(),
            posted: None,
            chain: world.network.embedded().unwrap().clone(),
            deployment: world.network.deployment().clone(),
            model,
            order,
        }
    }

    fn ground(&self) -> Ground {
        let folder = folder();
        copy(self.files.path(), folder.path());
        Ground {
            story: self.story,
            ulp: self.ulp,
            chain: self.chain.fork(),
            deployment: self.deployment.clone(),
            yard: Arc::new(self.yard.fork()),
            folder,
            model: self.model.clone(),
            order: self.order.clone(),
            posted: Arc::new(Mutex::new(self.posted)),
        }
    }

    /// The trace root of an honest run.
    fn honest_root(&self) -> gavel_trace::Digest {
        let mut models = Models::new();
        let id = models.add(self.model.clone());
        let honest = EngineExecutor::new(common::engine(), models).unwrap();
        let run = honest.run(&id, &self.order.inputs).unwrap();
        run.trace.trace_root()
    }
}

/// In memory where that can be had: a disk's syncs are what a power cut is about, not the end of a process.
fn folder() -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.or_else(|_| tempfile::tempdir()).unwrap()
}

/// The files of processes that do not run.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// A life under way.
struct Life {
    ground: Ground,
    processes: Vec<Process>,
    /// Rounds until each of them is started again.
    away: Vec<u32>,
    late: bool,
    mirror: Mirror,
    eyes: Runtime,
    turn: u64,
    failed: String,
}

impl Life {
    fn new(start: &Start, ends: Option<(usize, End)>, late: bool) -> Life {
        let ground = start.ground();
        let processes = SEATS.iter().enumerate().map(|(i, seat)| {
            let end = ends.filter(|(party, _)| *party == i).map(|(_, end)| end);
            Process::new(*seat, Meter::ending(end))
        });
        let network = Network::in_process(ground.chain.clone(), ground.deployment.clone());
        Life {
            processes: processes.collect(),
            away: vec![0; SEATS.len()],
            late,
            mirror: Mirror::new(network),
            eyes: runtime(),
            ground,
            turn: 0,
            failed: String::new(),
        }
    }

    fn board(&mut self) -> &Board {
        self.eyes.block_on(self.mirror.refresh()).unwrap()
    }

    fn nonce(&self, who: Address) -> u64 {
        self.ground.chain.lock().nonce(who).unwrap()
    }

    /// A role's turn. Whether it acted.
    fn turn(&mut self, party: usize, role: usize) -> bool {
        if self.away[party] > 0 {
            return false;
        }
        let who = self.processes[party].address;
        let before = self.nonce(who);
        loop {
            self.turn += 1;
            let process = &mut self.processes[party];
            process.meter.turn(self.turn);
            let board = self.eyes.block_on(self.mirror.refresh()).unwrap();
            match process.tick(&self.ground, board, role) {
                Some(Ok(act)) => return act.is_some(),
                Some(Err(error)) => {
                    self.failed = format!("{}: {error}", process.seat.name);
                    return false;
                }
                None if self.late => {
                    self.away[party] = AWAY;
                    return true;
                }
                // what it was about to do is done: it was its turn
                None if self.nonce(who) > before => return true,
                None => {}
            }
        }
    }

    fn is_over(&mut self) -> bool {
        let posted = *self.ground.posted.lock().unwrap();
        let is_appealed = self.ground.story != Story::Ruled;
        let board = self.board();
        if is_appealed {
            return !board.disputes.is_empty() && board.open_disputes().next().is_none();
        }
        posted.is_some_and(|task| state(board, task) == TaskState::Settled)
            && board.open_disputes().next().is_none()
    }

    fn pass(&mut self, seconds: u64) {
        let chain = &self.ground.chain;
        chain.advance_to(chain.now() + seconds).unwrap();
        chain.mine().unwrap();
        for (process, away) in self.processes.iter_mut().zip(&mut self.away) {
            *away = away.saturating_sub(1);
            self.turn += 1;
            process.meter.turn(self.turn);
            if !process.rests(seconds) && self.late {
                *away = AWAY;
            }
        }
    }

    fn play(&mut self) {
        self.play_until(Life::is_over);
    }

    fn play_until(&mut self, is_over: impl Fn(&mut Life) -> bool) {
        let mut step = 3;
        for _ in 0..2_000 {
            let mut acted = false;
            for party in 0..SEATS.len() {
                for role in 0..self.processes[party].roles() {
                    acted |= self.turn(party, role);
                }
            }
            if is_over(self) {
                return;
            }
            step = if acted { 3 } else { (step + 3).min(STEP_MOST) };
            if !acted {
                self.pass(step);
            }
        }
        panic!(
            "it never came to its end; the last failure: {}",
            self.failed
        );
    }

    /// Everybody stops; what they leave.
    fn leaves(mut self) -> Ground {
        self.processes.iter_mut().for_each(Process::stops);
        self.ground
    }

    /// What is true of every end, and the rest of it.
    fn ended(mut self, honest_root: &gavel_trace::Digest) -> Ended {
        let task = self.ground.posted.lock().unwrap().unwrap();
        let addresses: Vec<_> = self
            .processes
            .iter()
            .map(|process| process.address)
            .collect();
        let network =
            Network::in_process(self.ground.chain.clone(), self.ground.deployment.clone());
        let vault_at = self.ground.deployment.vault;
        let (purses, vault, supply) = {
            let board = self.eyes.block_on(self.mirror.refresh()).unwrap();
            assert_eq!(board.tasks.len(), 1, "it was posted once");
            if self.ground.story == Story::Ruled {
                assert_eq!(board.tasks[&task].task.trace_root, *honest_root);
            }
            let overturned = appeals::judge(board, self.ground.story);
            let balance = |who| {
                let token = network.token();
                let balance = self
                    .eyes
                    .block_on(async { token.balanceOf(who).call().await });
                u128::try_from(balance.unwrap()).unwrap()
            };
            let mut purses = Vec::new();
            for (seat, who) in SEATS.iter().zip(&addresses) {
                let vault = network.vault();
                let credit = self
                    .eyes
                    .block_on(async { vault.credit(*who).call().await });
                let staked = match board.providers.contains_key(who) {
                    true => stake(board, who),
                    false => 0,
                };
                match seat.part {
                    _ if overturned.contains(who) => {
                        assert!(board.is_tombstoned(who) && staked < STAKE);
                    }
                    Part::Cheat => assert!(board.is_tombstoned(who) && staked < STAKE),
                    Part::Server(_) => assert_eq!(staked, STAKE, "{}", seat.name),
                    _ => {}
                }
                purses.push((balance(*who), credit.unwrap(), staked));
            }
            let token = network.token();
            let supply = self
                .eyes
                .block_on(async { token.totalSupply().call().await });
            let supply = u128::try_from(supply.unwrap()).unwrap();
            (purses, balance(vault_at), supply)
        };
        let disputes = self.board().disputes.len();
        let head = self.ground.chain.lock().head().hash;
        let mut operations = Vec::new();
        for process in self.processes {
            let (name, meter) = (process.seat.name, Arc::clone(&process.meter));
            // nothing was signed or shown twice to different effect
            for (nonce, calls) in meter.signed() {
                assert!(
                    calls.iter().all(|call| *call == calls[0]),
                    "{name} signed two things for nonce {nonce}"
                );
            }
            for (blob, written) in meter.written() {
                assert!(
                    written.iter().all(|bytes| *bytes == written[0]),
                    "{name} wrote two things as {blob}"
                );
            }
            operations.push(meter.operations());
        }
        Ended {
            head,
            purses,
            vault,
            supply,
            disputes,
            operations,
        }
    }
}

/// All points at which the processes of a life can end.
fn points(life: &Ended) -> Vec<(usize, End)> {
    let mut points = Vec::new();
    for (party, done) in life.operations.iter().enumerate() {
        for (operation, this) in done.iter().enumerate() {
            let is_first = operation == 0 || done[operation - 1].turn != this.turn;
            let ends = |cut| (party, End { operation, cut });
            points.extend(is_first.then_some(ends(Cut::Before)));
            points.push(ends(Cut::After));
        }
    }
    points
}

/// Plays a life for each point, on all processors, and has each end judged. Says which ones failed.
fn every_point(start: &Start, base: &Ended, late: bool, judge: impl Fn(&Ended) + Sync) {
    let honest_root = start.honest_root();
    let points = points(base);
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((party, end)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut life = Life::new(start, Some((*party, *end)), late);
                life.play();
                judge(&life.ended(&honest_root));
            }));
            if let Err(why) = lived {
                let why = why.downcast_ref::<String>().cloned();
                let at = base.operations[*party].get(end.operation);
                failed.lock().unwrap().push(format!(
                    "{} ended {:?} operation {}, which {}: {}",
                    SEATS[*party].name,
                    end.cut,
                    end.operation,
                    at.map_or("", |operation| &operation.what),
                    why.unwrap_or_default(),
                ));
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} points, {} failed", points.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn undisturbed(start: &Start) -> Ended {
    let mut life = Life::new(start, None, false);
    life.play();
    life.ended(&start.honest_root())
}

/// A life in which everybody does something that can be cut short: who is drawn for what follows from the blocks.
fn ruled() -> (Start, Ended) {
    let mut start = Start::new(Story::Ruled);
    for seed in 0..64 {
        start.order.seed = seed;
        let base = undisturbed(&start);
        if base.operations.iter().all(|done| done.len() > 2) {
            return (start, base);
        }
    }
    panic!("somebody has nothing to do, whoever is drawn");
}

#[test]
fn a_process_that_ends_anywhere_and_starts_again_leaves_the_same_chain() {
    let (start, base) = ruled();
    every_point(&start, &base, false, |ended| {
        assert_eq!(ended.purses, base.purses);
        assert_eq!((ended.vault, ended.supply), (base.vault, base.supply));
        assert_eq!(ended.head, base.head);
    });
}

#[test]
fn nor_does_anybody_honest_lose_where_it_starts_again_late() {
    let (start, base) = ruled();
    every_point(&start, &base, true, |ended| {
        assert_eq!(ended.supply, base.supply);
        assert_eq!(ended.held(), base.held());
    });
}
