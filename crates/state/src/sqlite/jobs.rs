//! Jobs in a file, whose one writer hands them out to itself.

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, params};

use super::Sqlite;
use crate::{Job, Jobs, Lease, MOST_FAILURES, StateError, Worker};

/// A lease that ran out is a failure that nobody has noted.
const JOB: &str = "SELECT id, kind, spec, result, tries, error,
        failures + (result IS NULL AND worker IS NOT NULL AND until <= ?1),
        CASE WHEN result IS NOT NULL OR until > ?1 THEN worker END
    FROM jobs";
/// The job is of the lease that asks.
const HELD: &str = "WHERE id = ?1 AND tries = ?2 AND result IS NULL AND worker IS NOT NULL";

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        id: row.get(0)?,
        kind: row.get(1)?,
        spec: row.get(2)?,
        result: row.get(3)?,
        tries: row.get(4)?,
        error: row.get(5)?,
        failures: row.get(6)?,
        worker: row.get(7)?,
    })
}

/// A file has one host and one writer, so its host's clock will do.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |d| d.as_secs_f64())
}

impl Sqlite {
    /// Changes the job of a lease, if it is still of that lease.
    async fn set(
        &self,
        lease: &Lease,
        change: &str,
        value: impl rusqlite::ToSql + Send + 'static,
    ) -> Result<bool, StateError> {
        let (lease, query) = (lease.clone(), format!("UPDATE jobs SET {change} {HELD}"));
        self.change(move |t| Ok(t.execute(&query, params![lease.id, lease.tries, value])? == 1))
            .await
    }
}

#[async_trait]
impl Jobs for Sqlite {
    async fn offer(&self, id: &str, kind: &str, spec: &str) -> Result<(), StateError> {
        let (id, kind, spec) = (id.to_owned(), kind.to_owned(), spec.to_owned());
        self.change(move |t| {
            let query =
                "INSERT INTO jobs (id, kind, spec) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            t.execute(query, params![id, kind, spec]).map(drop)
        })
        .await
    }

    async fn lease(
        &self,
        worker: &str,
        kinds: &[String],
        seconds: u32,
    ) -> Result<Option<Lease>, StateError> {
        let (worker, kinds) = (worker.to_owned(), kinds.to_vec());
        self.change(move |t| {
            let now = now();
            let mut free = t.prepare(
                "SELECT place, kind FROM jobs WHERE result IS NULL AND until <= ?1
                    AND failures + (worker IS NOT NULL) < ?2 ORDER BY place",
            )?;
            let mut free = free.query(params![now, MOST_FAILURES])?;
            let place: i64 = loop {
                match free.next()? {
                    Some(row) if kinds.contains(&row.get(1)?) => break row.get(0)?,
                    Some(_) => {}
                    None => return Ok(None),
                }
            };
            t.query_row(
                "UPDATE jobs SET failures = failures + (worker IS NOT NULL), worker = ?1,
                    until = ?2, tries = tries + 1 WHERE place = ?3 RETURNING id, spec, tries",
                params![worker, now + f64::from(seconds), place],
                |row| {
                    Ok(Lease {
                        id: row.get(0)?,
                        spec: row.get(1)?,
                        tries: row.get(2)?,
                    })
                },
            )
            .optional()
        })
        .await
    }

    async fn renew(&self, lease: &Lease, seconds: u32) -> Result<bool, StateError> {
        let until = now() + f64::from(seconds);
        self.set(lease, "until = ?3", until).await
    }

    async fn finish(&self, lease: &Lease, result: &str) -> Result<bool, StateError> {
        self.set(lease, "result = ?3", result.to_owned()).await
    }

    async fn fail(&self, lease: &Lease, why: &str) -> Result<bool, StateError> {
        let change = "worker = NULL, until = 0, failures = failures + 1, error = ?3";
        self.set(lease, change, why.to_owned()).await
    }

    async fn release(&self, lease: &Lease) -> Result<bool, StateError> {
        self.set(lease, "worker = NULL, until = ?3", 0.0).await
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StateError> {
        let id = id.to_owned();
        self.with(move |c| {
            c.query_row(&format!("{JOB} WHERE id = ?2"), params![now(), id], job)
                .optional()
        })
        .await
    }

    async fn jobs(&self) -> Result<Vec<Job>, StateError> {
        self.with(move |c| {
            let mut query = c.prepare(&format!("{JOB} ORDER BY place"))?;
            query.query_map([now()], job)?.collect()
        })
        .await
    }

    async fn forget(&self, id: &str) -> Result<(), StateError> {
        let id = id.to_owned();
        self.change(move |t| t.execute("DELETE FROM jobs WHERE id = ?1", [id]).map(drop))
            .await
    }

    async fn appear(&self, worker: &str, kinds: &[String], seconds: u32) -> Result<(), StateError> {
        // kinds are words, and a file has no arrays
        let (worker, kinds) = (worker.to_owned(), kinds.join(" "));
        self.change(move |t| {
            let query = "INSERT INTO workers VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE
                SET kinds = excluded.kinds, until = excluded.until";
            let until = now() + f64::from(seconds);
            t.execute(query, params![worker, kinds, until]).map(drop)
        })
        .await
    }

    async fn workers(&self) -> Result<Vec<Worker>, StateError> {
        self.with(move |c| {
            let query = "SELECT name, kinds FROM workers WHERE until > ?1 ORDER BY name";
            let mut query = c.prepare(query)?;
            let workers = query.query_map([now()], |row| {
                let kinds: String = row.get(1)?;
                Ok(Worker {
                    name: row.get(0)?,
                    kinds: kinds.split_whitespace().map(str::to_owned).collect(),
                })
            })?;
            workers.collect()
        })
        .await
    }
}
