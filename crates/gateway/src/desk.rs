//! Where requests become tasks: paid for within a budget, once for each `Idempotency-Key`, remembered before they are
//! posted, followed to their results.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use gavel_node::board::TaskState;
use gavel_node::input_digest;
use tokio::time::{Instant, sleep, timeout_at};

use crate::ApiError;
use crate::journal::{Endpoint, Journal, Ticket};
use crate::limits::Caller;
use crate::network::{Answer, Network, NetworkError, TaskView, Wanted};
use crate::served::Bound;

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
}

type Locks = HashMap<(String, String), Weak<tokio::sync::Mutex<()>>>;

/// See the module.
pub struct Desk {
    network: Arc<dyn Network>,
    books: Mutex<Books>,
    locks: Mutex<Locks>,
}

impl Desk {
    /// Over a network, with what is remembered. A ticket whose task is not known was about to be posted when the process
    /// ended: the chain says whether it was.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn new(network: Arc<dyn Network>, mut journal: Journal) -> std::io::Result<Desk> {
        for number in 0..journal.tickets().len() {
            let Some(ticket) = journal
                .ticket(number)
                .filter(|t| t.task.is_none() && !t.refused)
            else {
                continue;
            };
            let found = network.posted(&ticket.input_digest, ticket.seed);
            let own = found.into_iter().find(|id| journal.of_task(*id).is_none());
            match own {
                Some(task) => journal.posted(number, task)?,
                None => journal.refused(number)?,
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
            books: Mutex::new(Books { journal, accounts }),
            locks: Mutex::default(),
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // a panic elsewhere leaves the books whole: each change is one call
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a key's tasks have cost, those under way at their ceiling.
    pub fn spent(&self, key: &str) -> u128 {
        self.spent_of(&mut self.books(), key)
    }

    fn spent_of(&self, books: &mut Books, key: &str) -> u128 {
        let levy = self.network.prices().levy;
        let Books { journal, accounts } = books;
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
            other => Ok(other.map(|ticket| ticket.seed)),
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
        let mut placed = Vec::new();
        for (number, job) in numbers.into_iter().zip(jobs) {
            placed.push(self.post(number, job).await?);
        }
        Ok(placed)
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
        let mut books = self.books();
        let before = request.idempotency.as_ref();
        let mut numbers =
            before.map_or_else(Vec::new, |key| books.journal.repeated(&caller.name, key));
        numbers.truncate(jobs.len());
        let new = jobs.len() - numbers.len();
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
        for (index, job) in (0u32..).zip(jobs).skip(numbers.len()) {
            let input_digest = input_digest(&job.bound.model, &job.bound.inputs);
            let ticket = Ticket {
                key: caller.name.clone(),
                idempotency: request.idempotency.clone(),
                request: request.digest.clone(),
                index,
                endpoint: request.endpoint,
                model: request.model.clone(),
                input_digest: input_digest.map_err(|e| internal(&e))?,
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
        let ticket = self.books().journal.ticket(number).cloned();
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
        match self.network.post(&wanted).await {
            Ok(task) => {
                self.books()
                    .journal
                    .posted(number, task)
                    .map_err(|e| unwritten(&e).of_task(task))?;
                let ticket = Ticket {
                    task: Some(task),
                    ..ticket
                };
                Ok(Placed { ticket, task })
            }
            Err(NetworkError::Refused(reason)) => {
                self.books()
                    .journal
                    .refused(number)
                    .map_err(|e| unwritten(&e))?;
                let message = format!("The network refuses the task: {reason}");
                Err(ApiError::network(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "task_refused",
                    message,
                ))
            }
            Err(NetworkError::Unreachable(reason)) => {
                let message = format!("The network cannot be reached: {reason}");
                let error = ApiError::network(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "network_unreachable",
                    message,
                );
                Err(ApiError {
                    retry_after: Some(5),
                    ..error
                })
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
        let books = self.books();
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
        let books = self.books();
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
