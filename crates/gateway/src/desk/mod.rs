//! Where requests become tasks: paid for within a budget, once for each `Idempotency-Key`, remembered before they are
//! posted, followed to their results.

mod books;
mod told;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use tokio::time::{Instant, sleep, timeout_at};

use crate::ApiError;
use crate::journal::{Endpoint, Journal, Ticket, Trouble};
use crate::limits::Caller;
use crate::network::{Answer, Network, NetworkError, TaskView, Wanted};
use crate::served::Bound;
use books::Books;

/// Times that a task is posted because the one before was another ticket's.
const POSTS: u32 = 4;
/// Between two looks for what a provider has committed and not yet stored.
const BLOB_PAUSE: Duration = Duration::from_millis(200);

/// How long what is over is remembered, where nobody says otherwise.
pub(crate) const RETENTION: Duration = Duration::from_secs(86_400);

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

    fn over(network: Arc<dyn Network>, journal: Journal, shows_all: bool) -> std::io::Result<Desk> {
        Ok(Desk {
            books: Mutex::new(Books::open(&*network, journal, shows_all)?),
            network,
            locks: Mutex::default(),
        })
    }

    /// Remembers what is over for so long, in place of a day: tasks that can be asked for, and the `Idempotency-Key`s of
    /// requests. What its keys have spent it always knows.
    #[must_use]
    pub fn retaining(mut self, retention: Duration) -> Desk {
        let books = self.books.get_mut();
        books.unwrap_or_else(PoisonError::into_inner).retention = retention.as_secs();
        self
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // a panic elsewhere leaves the books whole: each change is one call
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The books, after a look at the chain for what can be added to them.
    fn books_now(&self) -> MutexGuard<'_, Books> {
        let mut books = self.books();
        books.look(&*self.network);
        // what cannot be written now can be later
        let _ = books.tidy(&*self.network, now());
        books
    }

    /// What the file of what it remembers has refused.
    pub fn trouble(&self) -> Trouble {
        self.books().journal.trouble().clone()
    }

    /// What a key's tasks have cost, those under way at their ceiling.
    pub fn spent(&self, key: &str) -> u128 {
        self.books().spent(&*self.network, key)
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
        self.books().seed_before(caller, idempotency, digest)
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
        placed.await.map_err(|e| told::internal(&e))?
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
        let numbers = (self.books()).admit(&*self.network, caller, request, &jobs)?;
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
            let given_up = left.try_for_each(|(number, _)| self.books().give_up(number));
            let error = match given_up {
                Ok(()) => error,
                Err(e) => told::unwritten(&e),
            };
            // what is posted is paid for, and goes on
            return Err(match placed.first() {
                Some(first) => error.of_task(first.task),
                None => error,
            });
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

    async fn post(&self, number: usize, job: Job) -> Result<Placed, ApiError> {
        let ticket = self.books().take(number);
        let ticket = ticket.ok_or_else(|| told::internal(&"a ticket is gone"))?;
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
                let is_taken = books.is_taken(task, &ticket);
                let noted = (!is_taken).then(|| books.journal.posted(number, task));
                if let Some(Err(_)) = &noted {
                    // its task is found again, and not posted once more
                    books.doubt(number);
                }
                noted
            };
            let is_own = noted.is_some();
            if let Some(noted) = noted {
                noted.map_err(|e| told::unwritten(&e).of_task(task))?;
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
            books.doubt(number);
        } else if let Err(e) = books.journal.refused(number) {
            return told::unwritten(&e);
        }
        told::unposted(error)
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
                    return Err(told::over(view).of_task(id));
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
                Ok(false) => return Err(told::stopping().of_task(id)),
                Err(_) => return Err(told::late(id)),
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
    /// It has none of this number, or none any more.
    pub fn task(&self, caller: &Caller, id: u64) -> Result<Placed, ApiError> {
        let books = self.books_now();
        match books.journal.of_task(id) {
            Some(ticket) if ticket.key == caller.name => Ok(Placed {
                ticket: ticket.clone(),
                task: id,
            }),
            None if id <= books.journal.forgotten_through(&caller.name) => {
                Err(ApiError::forgotten(id))
            }
            _ => Err(ApiError::no_task(id)),
        }
    }

    /// The newest tasks of a caller with smaller numbers than `before`, those that are remembered.
    pub fn tasks(&self, caller: &Caller, before: Option<u64>, most: usize) -> Vec<Placed> {
        let books = self.books_now();
        let own = books.journal.tickets().filter(|t| t.key == caller.name);
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
