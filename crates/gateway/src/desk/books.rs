//! What a desk has to remember and to count: tickets, what each key's cost, and those of which nobody knows yet whether
//! they were posted.

use std::collections::{BTreeSet, HashMap};
use std::io;

use axum::http::StatusCode;
use gavel_node::board::TaskState;
use gavel_node::input_digest;

use super::told::{internal, unwritten};
use super::{Job, Request, now};
use crate::ApiError;
use crate::journal::{Journal, Ticket};
use crate::limits::Caller;
use crate::network::Network;

/// What a key's tasks cost.
#[derive(Debug, Default)]
struct Account {
    closed: u128,
    open: Vec<usize>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) journal: Journal,
    accounts: HashMap<String, Account>,
    /// Tickets whose tasks may be on their way into the chain, though nobody here waits for them.
    doubtful: BTreeSet<usize>,
}

impl Books {
    /// With what is remembered. A ticket whose task is not known was about to be posted when the process ended: the chain
    /// says whether it was, where it shows all that was posted.
    pub(super) fn open(
        network: &dyn Network,
        mut journal: Journal,
        shows_all: bool,
    ) -> io::Result<Books> {
        let mut doubtful = BTreeSet::new();
        for number in 0..journal.tickets().len() {
            let Some(ticket) = journal
                .ticket(number)
                .filter(|t| t.task.is_none() && !t.refused)
            else {
                continue;
            };
            match shown(network, &journal, ticket) {
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
        Ok(Books {
            journal,
            accounts,
            doubtful,
        })
    }

    /// Looks for the tasks of tickets in doubt.
    pub(super) fn look(&mut self, network: &dyn Network) {
        let Books {
            journal, doubtful, ..
        } = self;
        doubtful.retain(|number| {
            let Some(ticket) = journal.ticket(*number) else {
                return false;
            };
            match shown(network, journal, ticket) {
                // what cannot be written now stays in doubt
                Some(task) => journal.posted(*number, task).is_err(),
                None => true,
            }
        });
    }

    /// Somebody finds out now what becomes of a ticket.
    pub(super) fn take(&mut self, number: usize) -> Option<Ticket> {
        self.doubtful.remove(&number);
        self.journal.ticket(number).cloned()
    }

    /// Its task may be on its way, and nobody waits for it.
    pub(super) fn doubt(&mut self, number: usize) {
        self.doubtful.insert(number);
    }

    /// Releases what is reserved for a ticket that was never tried.
    pub(super) fn give_up(&mut self, number: usize) -> io::Result<()> {
        let ticket = self.journal.ticket(number);
        let was_tried = ticket.is_none_or(|ticket| ticket.task.is_some());
        match was_tried || self.doubtful.contains(&number) {
            true => Ok(()),
            false => self.journal.refused(number),
        }
    }

    /// What a key's tasks have cost, those under way at their ceiling.
    pub(super) fn spent(&mut self, network: &dyn Network, key: &str) -> u128 {
        let levy = network.prices().levy;
        let Books {
            journal, accounts, ..
        } = self;
        let account = accounts.entry(key.to_owned()).or_default();
        let (mut closed, mut under_way) = (account.closed, 0u128);
        account.open.retain(|number| {
            let Some(ticket) = journal.ticket(*number).filter(|ticket| !ticket.refused) else {
                return false;
            };
            let view = ticket.task.and_then(|id| network.task(id));
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
    pub(super) fn seed_before(
        &self,
        caller: &Caller,
        idempotency: Option<&str>,
        digest: &str,
    ) -> Result<Option<u64>, ApiError> {
        let Some(idempotency) = idempotency else {
            return Ok(None);
        };
        let before = self.journal.repeated(&caller.name, idempotency);
        let first = before.first().and_then(|n| self.journal.ticket(*n));
        match first {
            Some(ticket) if ticket.request != digest => Err(ApiError::client(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another request",
            )),
            other => Ok(other.map(|ticket| ticket.seed.wrapping_sub(ticket.index.into()))),
        }
    }

    /// Tickets of a request's jobs, written down if they are not yet and the budget reaches.
    pub(super) fn admit(
        &mut self,
        network: &dyn Network,
        caller: &Caller,
        request: &Request,
        jobs: &[Job],
    ) -> Result<Vec<usize>, ApiError> {
        let ceiling = network.prices().ceiling();
        let mut digests = Vec::new();
        for job in jobs {
            let digest = input_digest(&job.bound.model, &job.bound.inputs);
            digests.push(digest.map_err(|e| internal(&e))?);
        }
        self.look(network);
        let before = request.idempotency.as_ref();
        let before = before.map_or_else(Vec::new, |key| self.journal.repeated(&caller.name, key));
        // of a request that was placed in part any may be missing
        let mut known: HashMap<u32, usize> = HashMap::new();
        for number in before {
            let Some(ticket) = self.journal.ticket(number) else {
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
            let spent = self.spent(network, &caller.name);
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
            let number = self.journal.add(ticket).map_err(|e| unwritten(&e))?;
            let account = self.accounts.entry(caller.name.clone()).or_default();
            account.open.push(number);
            numbers.push(number);
        }
        Ok(numbers)
    }
}

/// A task of the network that is a ticket's and no other ticket's yet.
fn shown(network: &dyn Network, journal: &Journal, ticket: &Ticket) -> Option<u64> {
    let found = network.posted(&ticket.input_digest, ticket.seed);
    found.into_iter().find(|id| journal.of_task(*id).is_none())
}
