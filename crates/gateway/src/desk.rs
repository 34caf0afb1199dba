//! Where requests become tasks: paid for within a budget, once for each `Idempotency-Key`, remembered before they are
//! posted, followed to their results.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use gavel_node::board::TaskState;
use gavel_node::input_digest;
use tokio::time::{Instant, sleep, timeout_at};

use crate::ApiError;
use crate::error::IN_DOUBT;
use crate::journal::{Endpoint, Journal, Ticket};
use crate::limits::Caller;
use crate::network::{Answer, Network, NetworkError, TaskView, Wanted};
use crate::served::Bound;

/// Times that a task is posted because the one before was another ticket's.
const POSTS: u32 = 4;
/// Between two looks for what a provider has committed and not yet stored.
const BLOB_PAUSE: Duration = Duration::from_millis(200);

/// One task that a request comes down to.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is run on what.
    pub bound: Bound,
    /// Seed of the task.
    pub seed: u64,
    /// Tokens of the input, of an encoder's task.
    pub tokens: Option<usize>,
}

/// A request as far as its tasks go.
#[derive(Clone, Debug)]
pub struct Request {
    /// What kind of answer is asked for.
    pub endpoint: Endpoint,
    /// `Idempotency-Key`.
    pub idempotency: Option<String>,
    /// SHA-256 of what is asked.
    pub digest: String,
    /// The model by the client's name.
    pub model: String,
    /// Texts before which an answer ends.
    pub stop: Vec<String>,
    /// Whether a vector goes out as base64.
    pub base64: bool,
}

/// A task with its ticket.
#[derive(Clone, Debug)]
pub struct Placed {
    /// What was asked.
    pub ticket: Ticket,
    /// Its number.
    pub task: u64,
}

/// A task that came to a result.
#[derive(Clone, Debug)]
pub struct Done {
    /// Which.
    pub placed: Placed,
    /// Where it stands.
    pub view: TaskView,
    /// The checked result.
    pub answer: Answer,
}

/// What a key's tasks cost.
#[derive(Debug, Default)]
struct Account {
    closed: u128,
    open: Vec<usize>,
}

#[derive(Debug)]
struct Books {
    journal: Journal,
    accounts: HashMap<String, Account>,
    /// Tickets whose tasks may be on their way into the chain, though nobody here waits for them.
    doubtful: BTreeSet<usize>,
}

type Locks = HashMap<(String, String), Weak<tokio::sync::Mutex<()>>>;

/// See the module.
pub struct Desk {
    network: Arc<dyn Network>,
    books: Mutex<Books>,
    locks: Mutex<Locks>,
}

impl Desk {
    /// Over a network that shows all that was posted, with what is remembered. A ticket whose task is not known was about
    /// to be posted when the process ended: the chain says whether it was.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn new(network: Arc<dyn Network>, journal: Journal) -> std::io::Result<Desk> {
        Desk::over(network, journal, true)
    }

    /// [`Desk::new`] over a network in which tasks may yet show that an earlier process has posted: what is not there stays
    /// reserved until it is.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn in_doubt(network: Arc<dyn Network>, journal: Journal) -> std::io::Result<Desk> {
        Desk::over(network, journal, false)
    }

    fn over(
        network: Arc<dyn Network>,
        mut journal: Journal,
        shows_all: bool,
    ) -> std::io::Result<Desk> {
        let mut doubtful = BTreeSet::new();
        for number in 0..journal.tickets().len() {
            let Some(ticket) = journal
                .ticket(number)
                .filter(|t| t.task.is_none() && !t.refused)
            else {
                continue;
            };
            match shown(&*network, &journal, ticket) {
                Some(task) => journal.posted(number, task)?,
                None if shows_all => journal.refused(number)?,
                None => {
                    doubtful.insert(number);
                }
            }
        }
        let mut accounts: HashMap<String, Account> = HashMap::new();
        for (number, ticket) in journal.tickets().iter().enumerate() {
            accounts
                .entry(ticket.key.clone())
                .or_default()
                .open
                .push(number);
        }
        Ok(Desk {
            network,
            books: Mutex::new(Books {
                journal,
                accounts,
                doubtful,
            }),
            locks: Mutex::default(),
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // a panic elsewhere leaves the books whole: each change is one call
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The books, after a look for the tasks of tickets in doubt.
    fn books_now(&self) -> MutexGuard<'_, Books> {
        let mut books = self.books();
        let Books {
            journal, doubtful, ..
        } = &mut *books;
        doubtful.retain(|number| {
            let Some(ticket) = journal.ticket(*number) else {
                return false;
            };
            match shown(&*self.network, journal, ticket) {
                // what cannot be written now stays in doubt
                Some(task) => journal.posted(*number, task).is_err(),
                None => true,
            }
        });
        books
    }

    /// What a key's tasks have cost, those under way at their ceiling.
    pub fn spent(&self, key: &str) -> u128 {
        self.spent_of(&mut self.books(), key)
    }

    fn spent_of(&self, books: &mut Books, key: &str) -> u128 {
        let levy = self.network.prices().levy;
        let Books {
            journal, accounts, ..
        } = books;
        let account = accounts.entry(key.to_owned()).or_default();
        let (mut closed, mut under_way) = (account.closed, 0u128);
        account.open.retain(|number| {
            let Some(ticket) = journal.ticket(*number).filter(|ticket| !ticket.refused) else {
                return false;
            };
            let view = ticket.task.and_then(|id| self.network.task(id));
            match view {
                Some(view) if view.state == TaskState::Settled => {
                    closed = closed.saturating_add(view.price.saturating_add(levy));
                    false
                }
                Some(view) if view.state.is_final() => false,
                _ => {
                    // written by this crate
                    let ceiling = ticket.ceiling.parse().unwrap_or(0);
                    under_way = under_way.saturating_add(ceiling);
                    true
                }
            }
        });
        account.closed = closed;
        closed.saturating_add(under_way)
    }

    /// The seed of a request that was made before, which its repetition has to have again.
    ///
    /// # Errors
    /// The key stands for another request.
    pub fn seed_before(
        &self,
        caller: &Caller,
        idempotency: Option<&str>,
        digest: &str,
    ) -> Result<Option<u64>, ApiError> {
        let Some(idempotency) = idempotency else {
            return Ok(None);
        };
        let books = self.books();
        let before = books.journal.repeated(&caller.name, idempotency);
        let first = before.first().and_then(|n| books.journal.ticket(*n));
        match first {
            Some(ticket) if ticket.request != digest => Err(ApiError::client(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another request",
            )),
            other => Ok(other.map(|ticket| ticket.seed.wrapping_sub(ticket.index.into()))),
        }
    }

    /// Posts what a request asks for, or finds what was posted for it before. Goes on when the caller hangs up.
    ///
    /// # Errors
    /// The budget does not reach, the market refuses, the chain cannot be asked.
    pub async fn place(
        self: &Arc<Self>,
        caller: &Caller,
        request: Request,
        jobs: Vec<Job>,
    ) -> Result<Vec<Placed>, ApiError> {
        let (desk, caller) = (Arc::clone(self), caller.clone());
        let placed = tokio::spawn(async move { desk.place_all(&caller, &request, jobs).await });
        placed.await.map_err(|e| internal(&e))?
    }

    async fn place_all(
        &self,
        caller: &Caller,
        request: &Request,
        jobs: Vec<Job>,
    ) -> Result<Vec<Placed>, ApiError> {
        let lock = (request.idempotency.as_ref()).map(|key| self.lock(&caller.name, key));
        let _held = match &lock {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let digest = &request.digest;
        self.seed_before(caller, request.idempotency.as_deref(), digest)?;
        let numbers = self.admit(caller, request, &jobs)?;
        let mut placed: Vec<Placed> = Vec::new();
        let mut left = numbers.into_iter().zip(jobs);
        while let Some((number, job)) = left.next() {
            let error = match self.post(number, job).await {
                Ok(one) => {
                    placed.push(one);
                    continue;
                }
                Err(error) => error,
            };
            let given_up = left.try_for_each(|(number, _)| self.give_up(number));
            let error = match given_up {
                Ok(()) => error,
                Err(e) => unwritten(&e),
            };
            // what is posted is paid for, and goes on
            return Err(match placed.first() {
                Some(first) => error.of_task(first.task),
                None => error,
            });
        }
        Ok(placed)
    }

    /// Releases what is reserved for a ticket that was never tried.
    fn give_up(&self, number: usize) -> std::io::Result<()> {
        let mut books = self.books();
        let ticket = books.journal.ticket(number);
        let was_tried = ticket.is_none_or(|ticket| ticket.task.is_some());
        match was_tried || books.doubtful.contains(&number) {
            true => Ok(()),
            false => books.journal.refused(number),
        }
    }

    fn lock(&self, key: &str, idempotency: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = locks
            .entry((key.to_owned(), idempotency.to_owned()))
            .or_default();
        lock.upgrade().unwrap_or_else(|| {
            let new = Arc::new(tokio::sync::Mutex::new(()));
            *lock = Arc::downgrade(&new);
            new
        })
    }

    /// Tickets of a request's jobs, written down if they are not yet and the budget reaches.
    fn admit(
        &self,
        caller: &Caller,
        request: &Request,
        jobs: &[Job],
    ) -> Result<Vec<usize>, ApiError> {
        let ceiling = self.network.prices().ceiling();
        let mut digests = Vec::new();
        for job in jobs {
            let digest = input_digest(&job.bound.model, &job.bound.inputs);
            digests.push(digest.map_err(|e| internal(&e))?);
        }
        let mut books = self.books_now();
        let before = request.idempotency.as_ref();
        let before = before.map_or_else(Vec::new, |key| books.journal.repeated(&caller.name, key));
        // of a request that was placed in part any may be missing
        let mut known: HashMap<u32, usize> = HashMap::new();
        for number in before {
            let Some(ticket) = books.journal.ticket(number) else {
                continue;
            };
            let place = usize::try_from(ticket.index).unwrap_or(usize::MAX);
            let same = jobs.get(place).zip(digests.get(place));
            let same = same.is_some_and(|(job, digest)| {
                (job.seed, digest) == (ticket.seed, &ticket.input_digest)
            });
            if !same {
                return Err(ApiError::client(
                    StatusCode::CONFLICT,
                    "idempotency_conflict",
                    "This request came to other tasks when it was made before: the model behind its name has changed",
                ));
            }
            known.insert(ticket.index, number);
        }
        let new = jobs.len().saturating_sub(known.len());
        if let Some(budget) = caller.budget {
            let spent = self.spent_of(&mut books, &caller.name);
            let asked = ceiling.saturating_mul(new as u128);
            if new > 0 && spent.saturating_add(asked) > budget {
                return Err(ApiError::quota(format!(
                    "You exceeded your current quota: key {:?} has spent or reserved {spent} of {budget} units of the asset, and this request may cost {asked}",
                    caller.name
                )));
            }
        }
        let mut numbers = Vec::new();
        for (index, (job, input_digest)) in (0u32..).zip(jobs.iter().zip(digests)) {
            if let Some(number) = known.get(&index) {
                numbers.push(*number);
                continue;
            }
            let ticket = Ticket {
                key: caller.name.clone(),
                idempotency: request.idempotency.clone(),
                request: request.digest.clone(),
                index,
                endpoint: request.endpoint,
                model: request.model.clone(),
                input_digest,
                seed: job.seed,
                tokens: job.tokens,
                base64: request.base64,
                stop: request.stop.clone(),
                ceiling: ceiling.to_string(),
                created: now(),
                task: None,
                refused: false,
            };
            let number = books.journal.add(ticket).map_err(|e| unwritten(&e))?;
            let account = books.accounts.entry(caller.name.clone()).or_default();
            account.open.push(number);
            numbers.push(number);
        }
        Ok(numbers)
    }

    async fn post(&self, number: usize, job: Job) -> Result<Placed, ApiError> {
        let ticket = {
            let mut books = self.books();
            // from here on this call finds out what becomes of it
            books.doubtful.remove(&number);
            books.journal.ticket(number).cloned()
        };
        let ticket = ticket.ok_or_else(|| internal(&"a ticket is gone"))?;
        if let Some(task) = ticket.task {
            return Ok(Placed { ticket, task });
        }
        let wanted = Wanted {
            model: job.bound.model.model_id(),
            family: job.bound.family,
            inputs: job.bound.inputs,
            seed: job.seed,
        };
        for _ in 0..POSTS {
            let task = match self.network.post(&wanted).await {
                Ok(task) => task,
                Err(error) => return Err(self.unposted(number, &error)),
            };
            let noted = {
                let mut books = self.books();
                // an equal post that an earlier process left behind was gone on with, and its ticket has the task
                let is_taken = books.journal.of_task(task).is_some();
                (!is_taken).then(|| books.journal.posted(number, task))
            };
            let is_own = noted.is_some();
            if let Some(noted) = noted {
                noted.map_err(|e| unwritten(&e).of_task(task))?;
            }
            self.network.heard().await;
            if is_own {
                let ticket = Ticket {
                    task: Some(task),
                    ..ticket
                };
                return Ok(Placed { ticket, task });
            }
        }
        let reason = "equal tasks are posted with this key elsewhere".to_owned();
        Err(self.unposted(number, &NetworkError::Unreachable(reason)))
    }

    /// What is to be told of a ticket that has no task. One that may yet get it stays reserved.
    fn unposted(&self, number: usize, error: &NetworkError) -> ApiError {
        let mut books = self.books();
        if matches!(error, NetworkError::Doubtful(_)) {
            books.doubtful.insert(number);
        } else if let Err(e) = books.journal.refused(number) {
            return unwritten(&e);
        }
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        match error {
            NetworkError::Refused(reason) => {
                let message = format!("The network refuses the task: {reason}");
                ApiError::network(unavailable, "task_refused", message)
            }
            NetworkError::Doubtful(reason) => {
                let message = format!(
                    "The task may be on its way, and is then among /v1/tasks; the same Idempotency-Key goes on with it: {reason}"
                );
                ApiError::network(unavailable, IN_DOUBT, message)
            }
            NetworkError::Unreachable(reason) => {
                let message = format!("The network cannot be reached: {reason}");
                ApiError {
                    retry_after: Some(5),
                    ..ApiError::network(unavailable, "network_unreachable", message)
                }
            }
        }
    }

    /// Waits until a task has a result that checks out.
    ///
    /// # Errors
    /// The task is over without one, or the time is.
    pub async fn wait(&self, placed: Placed, until: Instant) -> Result<Done, ApiError> {
        let id = placed.task;
        let mut head = self.network.head();
        loop {
            head.borrow_and_update();
            let view = self.network.task(id);
            if let Some(view) = &view {
                if view.has_result
                    && let Some(answer) = self.answer(id).await?
                {
                    let view = view.clone();
                    return Ok(Done {
                        placed,
                        view,
                        answer,
                    });
                }
                if view.state.is_final() {
                    return Err(over(view).of_task(id));
                }
            }
            let has_result = view.is_some_and(|view| view.has_result);
            let next = async {
                tokio::select! {
                    changed = head.changed() => changed.is_ok(),
                    () = sleep(BLOB_PAUSE), if has_result => true,
                }
            };
            match timeout_at(until, next).await {
                Ok(true) => {}
                Ok(false) => return Err(stopping().of_task(id)),
                Err(_) => return Err(late(id)),
            }
        }
    }

    async fn answer(&self, id: u64) -> Result<Option<Answer>, ApiError> {
        self.network.answer(id).await.map_err(|e| {
            ApiError::network(StatusCode::SERVICE_UNAVAILABLE, "network_unreachable", e).of_task(id)
        })
    }

    /// A task of this caller.
    ///
    /// # Errors
    /// It has none of this number.
    pub fn task(&self, caller: &Caller, id: u64) -> Result<Placed, ApiError> {
        let books = self.books_now();
        match books.journal.of_task(id) {
            Some(ticket) if ticket.key == caller.name => Ok(Placed {
                ticket: ticket.clone(),
                task: id,
            }),
            _ => Err(ApiError::no_task(id)),
        }
    }

    /// The newest tasks of a caller with smaller numbers than `before`.
    pub fn tasks(&self, caller: &Caller, before: Option<u64>, most: usize) -> Vec<Placed> {
        let books = self.books_now();
        let own = books
            .journal
            .tickets()
            .iter()
            .filter(|t| t.key == caller.name);
        let mut found: Vec<Placed> = own
            .filter_map(|ticket| {
                let task = ticket
                    .task
                    .filter(|task| before.is_none_or(|before| *task < before))?;
                Some(Placed {
                    ticket: ticket.clone(),
                    task,
                })
            })
            .collect();
        found.sort_by_key(|placed| std::cmp::Reverse(placed.task));
        found.truncate(most);
        found
    }
}

/// A task of the network that is a ticket's and no other ticket's yet.
fn shown(network: &dyn Network, journal: &Journal, ticket: &Ticket) -> Option<u64> {
    let found = network.posted(&ticket.input_digest, ticket.seed);
    found.into_iter().find(|id| journal.of_task(*id).is_none())
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |passed| passed.as_secs())
}

fn internal(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::network(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error)
}

fn unwritten(error: &std::io::Error) -> ApiError {
    internal(&format!("the journal cannot be written: {error}"))
}

fn stopping() -> ApiError {
    ApiError::network(
        StatusCode::SERVICE_UNAVAILABLE,
        "stopping",
        "The gateway is stopping",
    )
}

fn late(id: u64) -> ApiError {
    let message = format!("No result yet; the task goes on: GET /v1/tasks/{id}");
    ApiError::network(StatusCode::GATEWAY_TIMEOUT, "timeout", message).of_task(id)
}

fn over(view: &TaskView) -> ApiError {
    let (code, message) = match view.state {
        TaskState::Expired => (
            "no_bid",
            "No provider took the task at this price in time; its escrow is back",
        ),
        TaskState::Cancelled => ("task_cancelled", "The task was cancelled"),
        _ => (
            "no_receipt",
            "The task is settled, and its provider shows no outputs or signed no receipt",
        ),
    };
    ApiError::network(StatusCode::SERVICE_UNAVAILABLE, code, message)
}
