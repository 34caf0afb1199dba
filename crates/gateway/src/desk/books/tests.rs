//! Whatever is closed, forgotten, written anew and read again: a key has spent what a book that forgets nothing says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gavel_model::Model;
use gavel_node::{Address, B256, ReceiptFile};
use gavel_settlement::WalletVerdict;
use proptest::prelude::*;
use tokio::sync::watch;

use super::*;
use crate::journal::Endpoint;
use crate::network::{Answer, Identity, NetworkError, Prices, Wanted};

const CEILING: u128 = 1000;
const RETENTION: u64 = 100;
const KEYS: [&str; 3] = ["ann", "bob", "cyd"];

/// A chain on which equal tasks can be posted by many.
struct Chain {
    tasks: Mutex<BTreeMap<u64, (Digest, u64, TaskView)>>,
    levy: Mutex<u128>,
    head: watch::Sender<u64>,
}

impl Chain {
    fn new() -> Chain {
        Chain {
            tasks: Mutex::default(),
            levy: Mutex::new(1),
            head: watch::Sender::new(1),
        }
    }

    fn put(&self, ticket: &Ticket) -> u64 {
        let mut tasks = self.tasks.lock().unwrap();
        let id = tasks.len() as u64 + 1;
        let view = TaskView {
            state: TaskState::Open,
            attempt: 0,
            model: Digest([0; 32]),
            provider: None,
            price: 0,
            levy: *self.levy.lock().unwrap(),
            has_result: false,
            challenge_until: None,
        };
        tasks.insert(id, (ticket.input_digest, ticket.seed, view));
        id
    }

    fn end(&self, id: u64, state: TaskState, price: u128) {
        let mut tasks = self.tasks.lock().unwrap();
        let (.., view) = tasks.get_mut(&id).unwrap();
        (view.state, view.price) = (state, price);
    }
}

#[async_trait]
impl Network for Chain {
    async fn post(&self, _: &Wanted) -> Result<u64, NetworkError> {
        unreachable!()
    }

    async fn heard(&self) {}

    fn task(&self, id: u64) -> Option<TaskView> {
        let tasks = self.tasks.lock().unwrap();
        tasks.get(&id).map(|(.., view)| view.clone())
    }

    fn posted(&self, input_digest: &Digest, seed: u64) -> Vec<u64> {
        let tasks = self.tasks.lock().unwrap();
        let equal = tasks.iter();
        let equal = equal.filter(|(_, (d, s, _))| (d, *s) == (input_digest, seed));
        equal.map(|(id, _)| *id).collect()
    }

    async fn answer(&self, _: u64) -> Result<Option<Answer>, NetworkError> {
        unreachable!()
    }

    async fn receipt_file(&self, _: u64) -> Result<Option<ReceiptFile>, NetworkError> {
        unreachable!()
    }

    fn block(&self) -> u64 {
        *self.head.borrow()
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    fn model(&self, _: &Digest) -> Option<Arc<Model>> {
        unreachable!()
    }

    fn prices(&self) -> Prices {
        unreachable!()
    }

    fn identity(&self) -> Identity {
        unreachable!()
    }

    async fn wallet_says(
        &self,
        _: Address,
        _: B256,
        _: &[u8],
    ) -> Result<WalletVerdict, NetworkError> {
        unreachable!()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A key asks for so many equal tasks, with an `Idempotency-Key` or without.
    Ask(usize, Option<u8>, u32),
    /// The nth ticket without a task gets one.
    Post(usize),
    /// It gets one, and the process ends before it knows.
    Lose(usize),
    /// The market refuses it.
    Refuse(usize),
    /// The nth task that is not over ends so, at this price.
    End(usize, bool, u128),
    /// Tasks posted from here on pay another levy.
    Levy(u128),
    /// Blocks and seconds pass.
    Pass(u64, u64),
    /// The process ends and another goes on.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..KEYS.len(), proptest::option::of(0..2u8), 1..3u32)
            .prop_map(|(key, idempotency, count)| Step::Ask(key, idempotency, count)),
        5 => any::<usize>().prop_map(Step::Post),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => any::<usize>().prop_map(Step::Refuse),
        4 => (any::<usize>(), any::<bool>(), 0..CEILING).prop_map(|(n, settled, price)| Step::End(n, settled, price)),
        1 => (0..9u128).prop_map(Step::Levy),
        4 => (0..20u64, 0..150u64).prop_map(|(blocks, seconds)| Step::Pass(blocks, seconds)),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..120)
}

/// What a book that forgets nothing has of a ticket.
#[derive(Clone, Copy, Debug)]
struct Kept {
    key: usize,
    number: usize,
    task: Option<u64>,
    /// Its task is in the chain, and the process does not know.
    is_lost: bool,
    is_refused: bool,
}

impl Kept {
    fn cost(&self, chain: &Chain) -> u128 {
        if self.is_refused {
            return 0;
        }
        let known = self.task.filter(|_| !self.is_lost);
        match known.and_then(|id| chain.task(id)) {
            Some(view) if view.state == TaskState::Settled => view.price + view.levy,
            Some(view) if view.state.is_final() => 0,
            _ => CEILING,
        }
    }
}

/// Both books.
struct Both<'a> {
    path: &'a Path,
    chain: Chain,
    now: u64,
    books: Option<Books>,
    kept: Vec<Kept>,
    most: usize,
}

impl Both<'_> {
    fn new(path: &Path) -> Both<'_> {
        let mut both = Both {
            path,
            chain: Chain::new(),
            now: 1000,
            books: None,
            kept: Vec::new(),
            most: 0,
        };
        both.open();
        both
    }

    fn open(&mut self) {
        let journal = Journal::open(self.path).unwrap().with_slack(8);
        let mut books = Books::open(&self.chain, journal, true).unwrap();
        books.retention = RETENTION;
        self.books = Some(books);
    }

    fn books(&mut self) -> &mut Books {
        self.books.as_mut().unwrap()
    }

    /// The nth of those that are as wanted.
    fn nth(&self, n: usize, wanted: impl Fn(&Kept) -> bool) -> Option<usize> {
        let found = self.kept.iter().enumerate().filter(|(_, k)| wanted(k));
        let found: Vec<usize> = found.map(|(place, _)| place).collect();
        (!found.is_empty()).then(|| found[n % found.len()])
    }

    fn step(&mut self, step: Step) {
        let waits = |kept: &Kept| kept.task.is_none() && !kept.is_refused;
        match step {
            Step::Ask(key, idempotency, count) => {
                let idempotency = idempotency.map(|n| n.to_string());
                let known = idempotency.as_ref().is_some_and(|idempotency| {
                    !self
                        .books()
                        .journal
                        .repeated(KEYS[key], idempotency)
                        .is_empty()
                });
                for index in (0..count).filter(|_| !known) {
                    let ticket = Ticket {
                        key: KEYS[key].to_owned(),
                        idempotency: idempotency.clone(),
                        request: "00".to_owned(),
                        index,
                        endpoint: Endpoint::Chat,
                        model: "llm".to_owned(),
                        // all of a key are equal
                        input_digest: Digest([key as u8; 32]),
                        seed: 7,
                        tokens: None,
                        base64: false,
                        stop: Vec::new(),
                        ceiling: CEILING.to_string(),
                        created: self.now,
                        after: 0,
                        task: None,
                        closed: None,
                    };
                    let number = self.books().journal.add(ticket).unwrap();
                    self.kept.push(Kept {
                        key,
                        number,
                        task: None,
                        is_lost: false,
                        is_refused: false,
                    });
                }
            }
            Step::Post(n) => {
                let Some(place) = self.nth(n, waits) else {
                    return;
                };
                let number = self.kept[place].number;
                let ticket = self.books().journal.ticket(number).unwrap().clone();
                let task = self.chain.put(&ticket);
                assert!(!self.books().is_taken(task, &ticket));
                self.books().journal.posted(number, task).unwrap();
                self.kept[place].task = Some(task);
            }
            Step::Lose(n) => {
                let Some(place) = self.nth(n, waits) else {
                    return;
                };
                let number = self.kept[place].number;
                let ticket = self.books().journal.ticket(number).unwrap().clone();
                self.kept[place].task = Some(self.chain.put(&ticket));
                self.kept[place].is_lost = true;
            }
            Step::Refuse(n) => {
                if let Some(place) = self.nth(n, waits) {
                    let number = self.kept[place].number;
                    self.books().journal.refused(number).unwrap();
                    self.kept[place].is_refused = true;
                }
            }
            Step::End(n, settled, price) => {
                let chain = &self.chain;
                let runs = |kept: &Kept| {
                    let view = kept.task.and_then(|id| chain.task(id));
                    view.is_some_and(|view| !view.state.is_final())
                };
                if let Some(place) = self.nth(n, runs) {
                    let state = match settled {
                        true => TaskState::Settled,
                        false => TaskState::Expired,
                    };
                    chain.end(self.kept[place].task.unwrap(), state, price);
                }
            }
            Step::Levy(levy) => *self.chain.levy.lock().unwrap() = levy,
            Step::Pass(blocks, seconds) => {
                self.chain.head.send_modify(|head| *head += blocks);
                self.now += seconds;
            }
            Step::Restart => {
                self.books = None;
                self.open();
                for kept in &mut self.kept {
                    kept.is_refused |= kept.task.is_none();
                    kept.is_lost = false;
                }
                // of equal ones either may have been given the task
                for kept in &mut self.kept {
                    let journal = &self.books.as_ref().unwrap().journal;
                    if let Some(task) = kept.task
                        && let Some(number) = journal.number_of(task)
                    {
                        kept.number = number;
                    }
                }
            }
        }
    }

    fn check(&mut self) {
        let (now, chain) = (self.now, &self.chain);
        let books = self.books.as_mut().unwrap();
        books.tidy(chain, now).unwrap();
        for (key, name) in KEYS.iter().enumerate() {
            let of = self.kept.iter().filter(|kept| kept.key == key);
            let all: u128 = of.map(|kept| kept.cost(chain)).sum();
            assert_eq!(books.spent(chain, name), all, "{name}: {:?}", self.kept);
        }
        let tasks = self.kept.iter().filter(|kept| kept.task.is_some());
        let forgotten =
            tasks.count() - books.journal.tickets().filter(|t| t.task.is_some()).count();
        self.most = self.most.max(forgotten);
    }
}

fn play(steps: Vec<Step>) -> usize {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    let path = folder.path().join("journal");
    let mut both = Both::new(&path);
    for step in steps {
        both.step(step);
        both.check();
    }
    both.most
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_key_has_spent_what_a_book_that_forgets_nothing_says(steps in steps()) {
        play(steps);
    }
}

/// A task that is over is closed when no reorg can change that any more, forgotten when its time has passed, and with all
/// of its request.
#[test]
fn a_request_is_forgotten_whole_and_not_before_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut both = Both::new(&path);
    let mut play = |step: Step| {
        both.step(step);
        both.check();
        let journal = &both.books.as_ref().unwrap().journal;
        let closed = journal.tickets().filter(|t| t.closed.is_some()).count();
        (closed, both.most)
    };
    play(Step::Ask(0, Some(0), 2));
    play(Step::Post(0));
    play(Step::Post(0));
    play(Step::End(0, true, 10));
    assert_eq!(play(Step::Pass(1, 1)), (0, 0));
    assert_eq!(play(Step::Pass(REORG_DEPTH - 1, 1)), (0, 0));
    assert_eq!(play(Step::Pass(1, 0)), (1, 0));
    // the other one of the request runs on
    assert_eq!(play(Step::Pass(1, RETENTION + 1)), (1, 0));
    play(Step::End(0, false, 0));
    play(Step::Pass(1, 0));
    assert_eq!(play(Step::Pass(REORG_DEPTH, 0)), (2, 0));
    // while an equal one may be on its way it is not known which is whose
    play(Step::Ask(0, None, 1));
    assert_eq!(play(Step::Pass(1, RETENTION)), (2, 0));
    play(Step::Restart);
    assert_eq!(play(Step::Pass(1, 0)), (0, 2));
    // and then the old ones are not the new one's
    play(Step::Ask(0, None, 1));
    assert_eq!(play(Step::Restart), (0, 2));
    assert_eq!(play(Step::Pass(9, 0)), (0, 2));
}
