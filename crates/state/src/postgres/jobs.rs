//! Jobs on a server.

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Postgres;
use crate::{Job, Jobs, Lease, MOST_FAILURES, StateError, Worker};

/// A lease that ran out is a failure that nobody has noted.
const JOB: &str = "SELECT id, kind, spec, result, tries, error,
        failures + CASE WHEN result IS NULL AND worker IS NOT NULL AND until <= clock_timestamp()
            THEN 1 ELSE 0 END,
        CASE WHEN result IS NOT NULL OR until > clock_timestamp() THEN worker END
    FROM gavel_job WHERE identity = $1";
/// The job is of the lease that asks: its name, and which beginning of it.
const HELD: &str =
    "WHERE identity = $1 AND id = $2 AND tries = $3 AND result IS NULL AND worker IS NOT NULL";

fn job(row: &Row) -> Job {
    Job {
        id: row.get(0),
        kind: row.get(1),
        spec: row.get(2),
        result: row.get(3),
        tries: row.get::<_, i32>(4).unsigned_abs(),
        error: row.get(5),
        failures: row.get::<_, i32>(6).unsigned_abs(),
        worker: row.get(7),
    }
}

impl Postgres {
    /// Changes the job of a lease, if it is still of that lease.
    async fn set(
        &self,
        lease: &Lease,
        change: &str,
        value: Option<&(dyn ToSql + Sync)>,
    ) -> Result<bool, StateError> {
        let query = format!("UPDATE gavel_job SET {change} {HELD}");
        let tries = lease.tries as i32;
        let mut of: Vec<&(dyn ToSql + Sync)> = vec![&self.id, &lease.id, &tries];
        of.extend(value);
        let client = self.client.lock().await;
        let done = client.execute(&query, &of).await;
        Ok(done.map_err(|e| self.failed(&e))? == 1)
    }
}

#[async_trait]
impl Jobs for Postgres {
    async fn offer(&self, id: &str, kind: &str, spec: &str) -> Result<(), StateError> {
        let mut client = self.client.lock().await;
        let transaction = client.transaction().await.map_err(|e| self.failed(&e))?;
        self.fence(&transaction).await?;
        let insert = "INSERT INTO gavel_job (identity, id, kind, spec) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING";
        let done = transaction
            .execute(insert, &[&self.id, &id, &kind, &spec])
            .await;
        done.map_err(|e| self.failed(&e))?;
        transaction.commit().await.map_err(|e| self.failed(&e))
    }

    async fn lease(
        &self,
        worker: &str,
        kinds: &[String],
        seconds: u32,
    ) -> Result<Option<Lease>, StateError> {
        let query = "UPDATE gavel_job SET worker = $2, tries = tries + 1,
                failures = failures + (worker IS NOT NULL)::int,
                until = clock_timestamp() + make_interval(secs => $3)
            WHERE place = (SELECT place FROM gavel_job
                WHERE identity = $1 AND result IS NULL AND until <= clock_timestamp()
                    AND kind = ANY($4) AND failures + (worker IS NOT NULL)::int < $5
                ORDER BY place LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING id, spec, tries";
        let (seconds, most) = (f64::from(seconds), MOST_FAILURES as i32);
        let of: [&(dyn ToSql + Sync); 5] = [&self.id, &worker, &seconds, &kinds, &most];
        let client = self.client.lock().await;
        let row = client.query_opt(query, &of).await;
        let row = row.map_err(|e| self.failed(&e))?;
        Ok(row.map(|row| Lease {
            id: row.get(0),
            spec: row.get(1),
            tries: row.get::<_, i32>(2).unsigned_abs(),
        }))
    }

    async fn renew(&self, lease: &Lease, seconds: u32) -> Result<bool, StateError> {
        let change = "until = clock_timestamp() + make_interval(secs => $4)";
        self.set(lease, change, Some(&f64::from(seconds))).await
    }

    async fn finish(&self, lease: &Lease, result: &str) -> Result<bool, StateError> {
        self.set(lease, "result = $4", Some(&result)).await
    }

    async fn fail(&self, lease: &Lease, why: &str) -> Result<bool, StateError> {
        let change =
            "worker = NULL, until = '-infinity', failures = failures + 1, error = $4::text";
        self.set(lease, change, Some(&why)).await
    }

    async fn release(&self, lease: &Lease) -> Result<bool, StateError> {
        let change = "worker = NULL, until = '-infinity'";
        self.set(lease, change, None).await
    }

    async fn job(&self, id: &str) -> Result<Option<Job>, StateError> {
        let query = format!("{JOB} AND id = $2");
        let client = self.client.lock().await;
        let row = client.query_opt(&query, &[&self.id, &id]).await;
        Ok(row.map_err(|e| self.failed(&e))?.as_ref().map(job))
    }

    async fn jobs(&self) -> Result<Vec<Job>, StateError> {
        let query = format!("{JOB} ORDER BY place");
        let client = self.client.lock().await;
        let rows = client.query(&query, &[&self.id]).await;
        Ok(rows.map_err(|e| self.failed(&e))?.iter().map(job).collect())
    }

    async fn forget(&self, id: &str) -> Result<(), StateError> {
        let mut client = self.client.lock().await;
        let transaction = client.transaction().await.map_err(|e| self.failed(&e))?;
        self.fence(&transaction).await?;
        let delete = "DELETE FROM gavel_job WHERE identity = $1 AND id = $2";
        let done = transaction.execute(delete, &[&self.id, &id]).await;
        done.map_err(|e| self.failed(&e))?;
        transaction.commit().await.map_err(|e| self.failed(&e))
    }

    async fn appear(&self, worker: &str, kinds: &[String], seconds: u32) -> Result<(), StateError> {
        let query = "INSERT INTO gavel_worker (identity, name, kinds, until)
            VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
            ON CONFLICT (identity, name) DO UPDATE
                SET kinds = excluded.kinds, until = excluded.until";
        let seconds = f64::from(seconds);
        let of: [&(dyn ToSql + Sync); 4] = [&self.id, &worker, &kinds, &seconds];
        let client = self.client.lock().await;
        let done = client.execute(query, &of).await;
        done.map(drop).map_err(|e| self.failed(&e))
    }

    async fn workers(&self) -> Result<Vec<Worker>, StateError> {
        let query = "SELECT name, kinds FROM gavel_worker
            WHERE identity = $1 AND until > clock_timestamp() ORDER BY name";
        let client = self.client.lock().await;
        let rows = client.query(query, &[&self.id]).await;
        let rows = rows.map_err(|e| self.failed(&e))?;
        let worker = |row: &Row| Worker {
            name: row.get(0),
            kinds: row.get(1),
        };
        Ok(rows.iter().map(worker).collect())
    }
}
