//! A store that ends with its process: for simulations, demonstrations and tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::{Change, Identity, Job, Lease, StateError, Store, Table};

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
        self.job.id == lease.id && self.job.tries == lease.tries && self.job.result.is_none()
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

    async fn offer(&self, id: &str, spec: &str) -> Result<(), StateError> {
        let mut held = self.held();
        if held.jobs.iter().all(|w| w.job.id != id) {
            let job = Job {
                id: id.to_owned(),
                spec: spec.to_owned(),
                result: None,
                worker: None,
                tries: 0,
            };
            held.jobs.push(Working { job, until: None });
        }
        Ok(())
    }

    async fn lease(&self, worker: &str, seconds: u32) -> Result<Option<Lease>, StateError> {
        let now = Instant::now();
        let mut held = self.held();
        let Some(work) = held.jobs.iter_mut().find(|w| w.is_free(now)) else {
            return Ok(None);
        };
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
        let mut held = self.held();
        let work = held.jobs.iter_mut().find(|w| w.is_of(lease));
        Ok(work.is_some_and(|work| {
            work.until = Some(Instant::now() + Duration::from_secs(seconds.into()));
            true
        }))
    }

    async fn finish(&self, lease: &Lease, result: &str) -> Result<bool, StateError> {
        let mut held = self.held();
        let work = held.jobs.iter_mut().find(|w| w.is_of(lease));
        Ok(work.is_some_and(|work| {
            work.job.result = Some(result.to_owned());
            true
        }))
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StateError> {
        let (now, held) = (Instant::now(), self.held());
        Ok(held.jobs.iter().find(|w| w.job.id == id).map(|work| {
            let mut job = work.job.clone();
            if work.is_free(now) {
                job.worker = None;
            }
            job
        }))
    }

    async fn forget(&self, id: &str) -> Result<(), StateError> {
        self.held().jobs.retain(|w| w.job.id != id);
        Ok(())
    }
}
