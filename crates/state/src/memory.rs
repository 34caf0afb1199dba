//! A store that ends with its process: for simulations, demonstrations and tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::{Change, Identity, Job, Jobs, Lease, MOST_FAILURES, StateError, Store, Table, Worker};

/// A store that ends with its process.
#[derive(Debug)]
pub struct Memory {
    identity: Identity,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    values: BTreeMap<(Table, String), String>,
    jobs: Vec<Working>,
    workers: BTreeMap<String, (Vec<String>, Instant)>,
}

#[derive(Debug)]
struct Working {
    job: Job,
    until: Option<Instant>,
}

impl Working {
    fn is_free(&self, now: Instant) -> bool {
        self.job.result.is_none() && self.until.is_none_or(|until| until <= now)
    }

    fn is_of(&self, lease: &Lease) -> bool {
        let job = &self.job;
        let held = job.result.is_none() && job.worker.is_some();
        job.id == lease.id && job.tries == lease.tries && held
    }

    /// As it is now: a lease that ran out is a failure.
    fn seen(&self, now: Instant) -> Job {
        let mut job = self.job.clone();
        if self.is_free(now) && job.worker.take().is_some() {
            job.failures += 1;
        }
        job
    }

    fn give_back(&mut self) {
        (self.job.worker, self.until) = (None, None);
    }
}

impl Memory {
    /// An empty store.
    pub fn new(identity: Identity) -> Memory {
        Memory {
            identity,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // no panic leaves it half changed
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    fn place(&self) -> &str {
        "memory"
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<String>, StateError> {
        Ok(self.held().values.get(&(table, key.to_owned())).cloned())
    }

    async fn scan(&self, table: Table) -> Result<Vec<(String, String)>, StateError> {
        let held = self.held();
        let all = held.values.iter().filter(|((of, _), _)| *of == table);
        Ok(all.map(|((_, key), v)| (key.clone(), v.clone())).collect())
    }

    async fn insert(
        &self,
        table: Table,
        key: &str,
        value: &str,
    ) -> Result<Option<String>, StateError> {
        let mut held = self.held();
        let key = (table, key.to_owned());
        if let Some(there) = held.values.get(&key) {
            return Ok(Some(there.clone()));
        }
        held.values.insert(key, value.to_owned());
        Ok(None)
    }

    async fn write(&self, changes: &[Change]) -> Result<(), StateError> {
        let mut held = self.held();
        for change in changes {
            match change.clone() {
                Change::Put(table, key, value) => held.values.insert((table, key), value),
                Change::Delete(table, key) => held.values.remove(&(table, key)),
            };
        }
        Ok(())
    }

    async fn lead(&self) -> Result<bool, StateError> {
        Ok(true)
    }

    async fn hold(&self, _seconds: u32) -> Result<bool, StateError> {
        Ok(true)
    }
}

impl Memory {
    /// Changes the job of a lease, if it is still of that lease.
    fn set(&self, lease: &Lease, change: impl FnOnce(&mut Working)) -> bool {
        let mut held = self.held();
        let work = held.jobs.iter_mut().find(|w| w.is_of(lease));
        work.map(change).is_some()
    }
}

#[async_trait]
impl Jobs for Memory {
    async fn offer(&self, id: &str, kind: &str, spec: &str) -> Result<(), StateError> {
        let mut held = self.held();
        if held.jobs.iter().all(|w| w.job.id != id) {
            let job = Job {
                id: id.to_owned(),
                kind: kind.to_owned(),
                spec: spec.to_owned(),
                result: None,
                worker: None,
                tries: 0,
                failures: 0,
                error: None,
            };
            held.jobs.push(Working { job, until: None });
        }
        Ok(())
    }

    async fn lease(
        &self,
        worker: &str,
        kinds: &[String],
        seconds: u32,
    ) -> Result<Option<Lease>, StateError> {
        let now = Instant::now();
        let mut held = self.held();
        let wanted = |w: &&mut Working| {
            let fit = kinds.contains(&w.job.kind) && w.is_free(now);
            fit && w.seen(now).failures < MOST_FAILURES
        };
        let Some(work) = held.jobs.iter_mut().find(wanted) else {
            return Ok(None);
        };
        work.job = work.seen(now);
        work.job.tries += 1;
        work.job.worker = Some(worker.to_owned());
        work.until = Some(now + Duration::from_secs(seconds.into()));
        Ok(Some(Lease {
            id: work.job.id.clone(),
            spec: work.job.spec.clone(),
            tries: work.job.tries,
        }))
    }

    async fn renew(&self, lease: &Lease, seconds: u32) -> Result<bool, StateError> {
        let until = Instant::now() + Duration::from_secs(seconds.into());
        Ok(self.set(lease, |work| work.until = Some(until)))
    }

    async fn finish(&self, lease: &Lease, result: &str) -> Result<bool, StateError> {
        Ok(self.set(lease, |work| work.job.result = Some(result.to_owned())))
    }

    async fn fail(&self, lease: &Lease, why: &str) -> Result<bool, StateError> {
        Ok(self.set(lease, |work| {
            work.give_back();
            work.job.failures += 1;
            work.job.error = Some(why.to_owned());
        }))
    }

    async fn release(&self, lease: &Lease) -> Result<bool, StateError> {
        Ok(self.set(lease, Working::give_back))
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StateError> {
        let (now, held) = (Instant::now(), self.held());
        let work = held.jobs.iter().find(|w| w.job.id == id);
        Ok(work.map(|work| work.seen(now)))
    }

    async fn jobs(&self) -> Result<Vec<Job>, StateError> {
        let now = Instant::now();
        Ok(self.held().jobs.iter().map(|w| w.seen(now)).collect())
    }

    async fn forget(&self, id: &str) -> Result<(), StateError> {
        self.held().jobs.retain(|w| w.job.id != id);
        Ok(())
    }

    async fn appear(&self, worker: &str, kinds: &[String], seconds: u32) -> Result<(), StateError> {
        let until = Instant::now() + Duration::from_secs(seconds.into());
        let there = (kinds.to_vec(), until);
        self.held().workers.insert(worker.to_owned(), there);
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<Worker>, StateError> {
        let (now, held) = (Instant::now(), self.held());
        let there = held.workers.iter().filter(|(_, (_, until))| *until > now);
        let worker = |(name, (kinds, _)): (&String, &(Vec<String>, Instant))| Worker {
            name: name.clone(),
            kinds: kinds.clone(),
        };
        Ok(there.map(worker).collect())
    }
}
