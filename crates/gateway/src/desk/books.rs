//! What a desk has to remember and to count: tickets, what each key's cost, and those of which nobody knows yet whether
//! they were posted.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;

use axum::http::StatusCode;
use gavel_node::board::TaskState;
use gavel_node::input_digest;
use gavel_settlement::REORG_DEPTH;
use gavel_trace::Digest;

use super::told::{internal, unwritten};
use super::{Job, Request, now};
use crate::ApiError;
use crate::journal::{Journal, Ticket};
use crate::limits::Caller;
use crate::network::{Network, TaskView};

/// See the module.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) journal: Journal,
    /// Tickets whose tasks may be on their way into the chain, though nobody here waits for them.
    doubtful: BTreeSet<usize>,
    /// Seconds for which what is closed is remembered.
    pub(super) retention: u64,
    /// Tickets whose tasks are over, and the block at which that was seen first.
    over: HashMap<usize, u64>,
    /// The block at which it was last looked for those.
    looked: Option<u64>,
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
        let unresolved = journal.open_tickets().filter(|(_, t)| t.task.is_none());
        let mut unresolved: Vec<usize> = unresolved.map(|(number, _)| number).collect();
        unresolved.sort_unstable();
        for number in unresolved {
            let Some(ticket) = journal.ticket(number) else {
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
        Ok(Books {
            journal,
            doubtful,
            retention: super::RETENTION.as_secs(),
            over: HashMap::new(),
            looked: None,
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
    pub(super) fn spent(&self, network: &dyn Network, key: &str) -> u128 {
        let open = self.journal.open_of(key).map(|(_, ticket)| {
            let view = ticket.task.and_then(|id| network.task(id));
            match view.filter(|view| view.state.is_final()) {
                Some(view) => cost(&view),
                // written by this crate
                None => ticket.ceiling.parse().unwrap_or(0),
            }
        });
        open.fold(self.journal.spent(key), u128::saturating_add)
    }

    /// Closes the tickets whose tasks are over for good, and forgets those that have been closed for long enough.
    pub(super) fn tidy(&mut self, network: &dyn Network, now: u64) -> io::Result<()> {
        let first = network.block();
        if self.looked.replace(first) == Some(first) {
            return Ok(());
        }
        let open = self.journal.open_tickets();
        let over = open.filter_map(|(number, ticket)| {
            let view = ticket.task.and_then(|id| network.task(id))?;
            view.state.is_final().then(|| (number, cost(&view)))
        });
        let mut costs: Vec<(usize, u128)> = over.collect();
        // while it looked there may have been more blocks
        let last = network.block();
        let since = |(number, _): &(usize, u128)| {
            let before = self.over.get(number).copied();
            (*number, before.unwrap_or(last))
        };
        self.over = costs.iter().map(since).collect();
        // a reorg could take back what is newer
        costs.retain(|(number, _)| first.saturating_sub(self.over[number]) >= REORG_DEPTH);
        if !costs.is_empty() {
            self.journal.close(&costs, now)?;
        }
        let due = self.due(now);
        match due.is_empty() {
            true => Ok(()),
            false => self.journal.forget(due),
        }
    }

    /// Tickets that are to be forgotten: a request's all at once, lest its repetition be half of one.
    fn due(&self, now: u64) -> Vec<usize> {
        let Some(until) = now.checked_sub(self.retention) else {
            return Vec::new();
        };
        let journal = &self.journal;
        let closed: Vec<(usize, &Ticket)> = journal.closed_by(until).collect();
        if closed.is_empty() {
            return Vec::new();
        }
        // of equal tasks the known ones tell which is the new one
        let unresolved = journal.open_tickets().filter(|(_, t)| t.task.is_none());
        let unresolved: HashSet<(&Digest, u64)> =
            unresolved.map(|(_, t)| (&t.input_digest, t.seed)).collect();
        let is_due = |ticket: &Ticket| {
            ticket.closed.is_some_and(|closed| closed.at <= until)
                && !unresolved.contains(&(&ticket.input_digest, ticket.seed))
        };
        let is_whole = |ticket: &Ticket| {
            ticket.idempotency.as_ref().is_none_or(|key| {
                let request = journal.repeated(&ticket.key, key).into_iter();
                let mut request = request.filter_map(|number| journal.ticket(number));
                request.all(is_due)
            })
        };
        let due = closed.iter().filter(|(_, t)| is_due(t) && is_whole(t));
        due.map(|(number, _)| *number).collect()
    }

    /// Whether a task is another ticket's than this, or one that was forgotten.
    pub(super) fn is_taken(&self, task: u64, ticket: &Ticket) -> bool {
        task <= ticket.after || self.journal.of_task(task).is_some()
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
        self.tidy(network, now()).map_err(|e| unwritten(&e))?;
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
                after: 0,
                task: None,
                closed: None,
            };
            numbers.push(self.journal.add(ticket).map_err(|e| unwritten(&e))?);
        }
        Ok(numbers)
    }
}

/// What a task that is over has cost.
fn cost(view: &TaskView) -> u128 {
    match view.state {
        TaskState::Settled => view.price.saturating_add(view.levy),
        _ => 0,
    }
}

/// A task of the network that is a ticket's and no other ticket's yet.
fn shown(network: &dyn Network, journal: &Journal, ticket: &Ticket) -> Option<u64> {
    let found = network.posted(&ticket.input_digest, ticket.seed);
    let mut found = found.into_iter().filter(|id| *id > ticket.after);
    found.find(|id| journal.of_task(*id).is_none())
}

#[cfg(test)]
mod tests;
