//! A PostgreSQL server that the processes of an identity share.
//!
//! One of them writes: it holds a session's advisory lock, which the server gives up when the connection dies, and a token
//! that every writing transaction compares with the newest one. The lock says who may begin to write; the token stops a
//! writer that was paused, or whose connection went through a pooler that lost its session, after another took over. A
//! writer that holds on for a time only loses its session, and the lock with it, to the first that asks after that time.
//! A connection that breaks is not made again: whoever was the writer learns of it, and opens anew.

mod jobs;

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use alloy_primitives::Address;
use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTls;
use tokio_postgres::{Client, Config, Row, Transaction};
use url::Url;

use crate::{Change, Identity, StateError, Store, Table};

/// Schemas, each made from the one before; their number is in `gavel_schema`.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE gavel_identity (
        id SERIAL PRIMARY KEY,
        chain_id TEXT NOT NULL, contract TEXT NOT NULL, address TEXT NOT NULL,
        token BIGINT NOT NULL DEFAULT 0,
        UNIQUE (chain_id, contract, address)
    );
    CREATE TABLE gavel_entry (
        identity INTEGER NOT NULL REFERENCES gavel_identity, name TEXT NOT NULL,
        key TEXT COLLATE \"C\" NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (identity, name, key)
    );
    CREATE TABLE gavel_job (
        place BIGSERIAL PRIMARY KEY,
        identity INTEGER NOT NULL REFERENCES gavel_identity, id TEXT NOT NULL,
        spec TEXT NOT NULL, result TEXT, worker TEXT,
        until TIMESTAMPTZ NOT NULL DEFAULT '-infinity', tries INTEGER NOT NULL DEFAULT 0,
        UNIQUE (identity, id)
    );
",
    "
    ALTER TABLE gavel_identity ADD COLUMN until TIMESTAMPTZ;
    ALTER TABLE gavel_job ADD COLUMN kind TEXT NOT NULL DEFAULT '',
        ADD COLUMN failures INTEGER NOT NULL DEFAULT 0, ADD COLUMN error TEXT;
    CREATE INDEX gavel_job_waiting ON gavel_job (identity, place) WHERE result IS NULL;
    CREATE TABLE gavel_worker (
        identity INTEGER NOT NULL REFERENCES gavel_identity, name TEXT NOT NULL,
        kinds TEXT[] NOT NULL, until TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (identity, name)
    );
",
];
const IDENTITIES: &str = "SELECT id, chain_id, contract, address FROM gavel_identity ORDER BY id";
const TAKEN_OVER: &str = "another process has taken over";
/// First half of the advisory locks' keys; the second is the identity, or 0 while the schema is made.
const LOCKS: i32 = 0x6761_7665;
/// The session that has the writer's lock: `$1` and `$2` are its keys.
const HOLDER: &str = "l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid::bigint = $1 AND l.objid::bigint = $2";
/// A server whose default is to answer before it has written must not do so here, and a client that has vanished without
/// a word must not hold the lock for hours.
const SESSION: &str = "SET synchronous_commit = on; SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SET idle_in_transaction_session_timeout = '30s'";

/// A store on a server.
#[derive(Debug)]
pub struct Postgres {
    place: String,
    identity: Identity,
    id: i32,
    client: Mutex<Client>,
    /// 0 while this process is not the writer.
    token: AtomicI64,
}

impl Postgres {
    /// Connects, makes the schema where there is none, and notes the identity where it is new. See [`Store::lead`].
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn connect(url: &str, identity: Identity) -> Result<Postgres, StateError> {
        let (place, mut client) = connect(url).await?;
        let failed = |e: tokio_postgres::Error| StateError::failed(&place, said(&e));
        migrate(&mut client, &place).await?;
        let of = [
            identity.chain_id.to_string(),
            identity.contract.to_string(),
            identity.address.to_string(),
        ];
        let of = [&of[0] as _, &of[1] as _, &of[2] as _];
        let insert = "INSERT INTO gavel_identity (chain_id, contract, address) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING";
        client.execute(insert, &of).await.map_err(failed)?;
        let select = "SELECT id FROM gavel_identity
            WHERE chain_id = $1 AND contract = $2 AND address = $3";
        let id = client.query_one(select, &of).await.map_err(failed)?.get(0);
        Ok(Postgres {
            place,
            identity,
            id,
            client: Mutex::new(client),
            token: AtomicI64::new(0),
        })
    }

    /// Connects as a worker: reads whose jobs there are, and makes nothing. The rights of such a connection may be as few as
    /// `docs/fleet.md` lists. Of several identities one is named by its key.
    ///
    /// # Errors
    /// The server cannot be reached or refuses; no provider has made the schema; several identities, or none, fit.
    pub async fn join(url: &str, address: Option<Address>) -> Result<Postgres, StateError> {
        let (place, client) = connect(url).await?;
        let failed = |e: tokio_postgres::Error| match e.code() {
            Some(&SqlState::UNDEFINED_TABLE) => StateError::Missing {
                place: place.clone(),
            },
            _ => StateError::failed(&place, said(&e)),
        };
        let query = "SELECT COALESCE(MAX(version), 0) FROM gavel_schema";
        let found: i64 = client.query_one(query, &[]).await.map_err(failed)?.get(0);
        let known = MIGRATIONS.len() as i64;
        if found > known {
            return Err(StateError::NewerSchema {
                place,
                found,
                known,
            });
        }
        if found < known {
            let reason = format!(
                "its schema is {found}, and this program needs {known}; a provider of this version makes it"
            );
            return Err(StateError::failed(&place, reason));
        }
        let rows = client.query(IDENTITIES, &[]).await.map_err(failed)?;
        let all = identities(&place, &rows)?;
        let mut fit = all
            .iter()
            .filter(|(_, identity)| address.is_none_or(|a| a == identity.address));
        let (Some((id, identity)), None) = (fit.next(), fit.next()) else {
            let known: Vec<_> = all.iter().map(|(_, i)| i.to_string()).collect();
            let reason = format!(
                "one key's jobs are expected, named by its address where there are several; there are: {}",
                known.join("; ")
            );
            return Err(StateError::failed(&place, reason));
        };
        let (id, identity) = (*id, *identity);
        Ok(Postgres {
            place,
            identity,
            id,
            client: Mutex::new(client),
            token: AtomicI64::new(0),
        })
    }

    /// Whose state a server holds.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn identities(url: &str) -> Result<Vec<Identity>, StateError> {
        let (place, mut client) = connect(url).await?;
        migrate(&mut client, &place).await?;
        let rows = client.query(IDENTITIES, &[]).await;
        let rows = rows.map_err(|e| StateError::failed(&place, said(&e)))?;
        let all = identities(&place, &rows)?;
        Ok(all.into_iter().map(|(_, identity)| identity).collect())
    }

    /// Who writes, in words.
    ///
    /// # Errors
    /// The server fails.
    pub async fn writer(&self) -> Result<Option<String>, StateError> {
        let query = format!(
            "SELECT a.application_name, host(a.client_addr), a.pid
             FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE {HOLDER}"
        );
        let keys: [i64; 2] = [LOCKS.into(), self.id.into()];
        let client = self.client.lock().await;
        let row = client.query_opt(&query, &[&keys[0], &keys[1]]).await;
        let row = row.map_err(|e| self.failed(&e))?;
        Ok(row.map(|row| {
            let (name, host): (String, Option<String>) = (row.get(0), row.get(1));
            let host = host.unwrap_or_else(|| "the server's host".to_owned());
            format!("{name} on {host} (backend {})", row.get::<_, i32>(2))
        }))
    }

    fn failed(&self, error: &tokio_postgres::Error) -> StateError {
        let ended = error.code() == Some(&SqlState::ADMIN_SHUTDOWN);
        match error.is_closed() || ended {
            true => StateError::not_writer(&self.place, "the connection is gone"),
            false => StateError::failed(&self.place, said(error)),
        }
    }

    /// Becomes the writer or stays it, for so many seconds or without an end. Whoever was the writer once and is no more
    /// stays out: what it had in mind may be old.
    async fn lead_for(&self, seconds: Option<f64>) -> Result<bool, StateError> {
        let client = self.client.lock().await;
        let token = self.token.load(Ordering::SeqCst);
        if token != 0 {
            let renew = "UPDATE gavel_identity
                SET until = clock_timestamp() + make_interval(secs => $3)
                WHERE id = $1 AND token = $2";
            let done = client.execute(renew, &[&self.id, &token, &seconds]).await;
            return match done.map_err(|e| self.failed(&e))? {
                0 => Err(StateError::not_writer(&self.place, TAKEN_OVER)),
                _ => Ok(true),
            };
        }
        let lock = "SELECT pg_try_advisory_lock($1, $2)";
        let row = client.query_one(lock, &[&LOCKS, &self.id]).await;
        if !row.map_err(|e| self.failed(&e))?.get::<_, bool>(0) {
            // a holder whose time is over is paused or cut off: with its session ends its lock, and the next call has it
            if seconds.is_some() {
                let end = format!(
                    "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE {HOLDER} AND EXISTS
                     (SELECT 1 FROM gavel_identity WHERE id = $3 AND until < clock_timestamp())"
                );
                let keys: [i64; 2] = [LOCKS.into(), self.id.into()];
                let ended = client.query(&end, &[&keys[0], &keys[1], &self.id]).await;
                ended.map_err(|e| self.failed(&e))?;
            }
            return Ok(false);
        }
        let next = "UPDATE gavel_identity SET token = token + 1,
                until = clock_timestamp() + make_interval(secs => $2)
            WHERE id = $1 RETURNING token";
        let row = client.query_one(next, &[&self.id, &seconds]).await;
        let token = row.map_err(|e| self.failed(&e))?.get(0);
        let old = "DELETE FROM gavel_worker
            WHERE identity = $1 AND until < clock_timestamp() - interval '1 day'";
        let done = client.execute(old, &[&self.id]).await;
        done.map_err(|e| self.failed(&e))?;
        self.token.store(token, Ordering::SeqCst);
        Ok(true)
    }

    /// The token, if this process is or was the writer.
    fn token(&self) -> Result<i64, StateError> {
        match self.token.load(Ordering::SeqCst) {
            0 => Err(StateError::not_writer(
                &self.place,
                "another process does, or may",
            )),
            token => Ok(token),
        }
    }

    /// Fails unless this process is the writer, and keeps it so until the transaction ends: whoever takes over has to wait.
    async fn fence(&self, transaction: &Transaction<'_>) -> Result<(), StateError> {
        let token = self.token()?;
        let query = "SELECT 1 FROM gavel_identity WHERE id = $1 AND token = $2 FOR SHARE";
        let row = transaction.query_opt(query, &[&self.id, &token]).await;
        match row.map_err(|e| self.failed(&e))? {
            Some(_) => Ok(()),
            None => Err(StateError::not_writer(&self.place, TAKEN_OVER)),
        }
    }
}

/// Rows of [`IDENTITIES`].
fn identities(place: &str, rows: &[Row]) -> Result<Vec<(i32, Identity)>, StateError> {
    let parse = |row: &Row| {
        let text = |at| row.get::<_, String>(at);
        let identity = Identity {
            chain_id: text(1).parse().ok()?,
            contract: text(2).parse().ok()?,
            address: text(3).parse().ok()?,
        };
        Some((row.get(0), identity))
    };
    let all: Option<Vec<_>> = rows.iter().map(parse).collect();
    all.ok_or_else(|| StateError::failed(place, "an identity that is none"))
}

/// What went wrong, with the server's own words.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => db.to_string(),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// The URL without its password, for people.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // a URL that cannot have a password has none
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

async fn connect(url: &str) -> Result<(String, Client), StateError> {
    let parsed = Url::parse(url).map_err(|e| StateError::failed("a PostgreSQL URL", e))?;
    let place = shown(&parsed);
    let failed = |e: &tokio_postgres::Error| StateError::failed(&place, said(e));
    let (url, root) = crate::place::without_root(parsed);
    let mut config: Config = url.as_str().parse().map_err(|e| failed(&e))?;
    if config.get_application_name().is_none() {
        config.application_name(format!("gavel {}", std::process::id()));
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(std::time::Duration::from_secs(10));
    }
    // a connection's end ends its task; requests then say that it is closed
    let client = match goes_plain(&config, root.as_deref()) {
        true => {
            let (client, connection) = config.connect(NoTls).await.map_err(|e| failed(&e))?;
            tokio::spawn(connection);
            client
        }
        false => {
            config.ssl_mode(SslMode::Require);
            let tls = crate::place::tls(&place, root.as_deref())?;
            let (client, connection) = config.connect(tls).await.map_err(|e| failed(&e))?;
            tokio::spawn(connection);
            client
        }
    };
    client
        .batch_execute(SESSION)
        .await
        .map_err(|e| failed(&e))?;
    Ok((place, client))
}

/// Whether a connection goes without TLS: where that is asked for, and, unless something else is, where it does not leave
/// this machine.
fn goes_plain(config: &Config, root: Option<&Path>) -> bool {
    let is_here = |host: &Host| match host {
        Host::Tcp(name) => {
            let address = name.parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    match config.get_ssl_mode() {
        SslMode::Disable => true,
        SslMode::Prefer => {
            // addresses are what is connected to, and the hosts their names
            let addresses = config.get_hostaddrs();
            let stays_here = match addresses.is_empty() {
                true => config.get_hosts().iter().all(is_here),
                false => addresses.iter().all(IpAddr::is_loopback),
            };
            root.is_none() && stays_here
        }
        _ => false,
    }
}

async fn migrate(client: &mut Client, place: &str) -> Result<(), StateError> {
    let failed = |e: tokio_postgres::Error| StateError::failed(place, said(&e));
    let known = MIGRATIONS.len() as i64;
    let transaction = client.transaction().await.map_err(failed)?;
    let lock = "SELECT pg_advisory_xact_lock($1, 0)";
    transaction.execute(lock, &[&LOCKS]).await.map_err(failed)?;
    let table = "CREATE TABLE IF NOT EXISTS gavel_schema (version BIGINT NOT NULL)";
    transaction.batch_execute(table).await.map_err(failed)?;
    let query = "SELECT COALESCE(MAX(version), 0) FROM gavel_schema";
    let found: i64 = transaction
        .query_one(query, &[])
        .await
        .map_err(failed)?
        .get(0);
    if found > known {
        return Err(StateError::NewerSchema {
            place: place.to_owned(),
            found,
            known,
        });
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.batch_execute(migration).await.map_err(failed)?;
    }
    if found < known {
        let note = "INSERT INTO gavel_schema VALUES ($1)";
        transaction.execute(note, &[&known]).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

#[async_trait]
impl Store for Postgres {
    fn place(&self) -> &str {
        &self.place
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<String>, StateError> {
        let query = "SELECT value FROM gavel_entry WHERE identity = $1 AND name = $2 AND key = $3";
        let client = self.client.lock().await;
        let row = client
            .query_opt(query, &[&self.id, &table.name(), &key])
            .await;
        Ok(row.map_err(|e| self.failed(&e))?.map(|row| row.get(0)))
    }

    async fn scan(&self, table: Table) -> Result<Vec<(String, String)>, StateError> {
        let query = "SELECT key, value FROM gavel_entry WHERE identity = $1 AND name = $2
            ORDER BY key";
        let client = self.client.lock().await;
        let rows = client.query(query, &[&self.id, &table.name()]).await;
        let rows = rows.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn insert(
        &self,
        table: Table,
        key: &str,
        value: &str,
    ) -> Result<Option<String>, StateError> {
        let mut client = self.client.lock().await;
        let transaction = client.transaction().await.map_err(|e| self.failed(&e))?;
        self.fence(&transaction).await?;
        let insert = "INSERT INTO gavel_entry VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let of = table.name();
        let new = transaction
            .execute(insert, &[&self.id, &of, &key, &value])
            .await;
        let there = match new.map_err(|e| self.failed(&e))? {
            0 => {
                let query =
                    "SELECT value FROM gavel_entry WHERE identity = $1 AND name = $2 AND key = $3";
                let row = transaction.query_one(query, &[&self.id, &of, &key]).await;
                Some(row.map_err(|e| self.failed(&e))?.get(0))
            }
            _ => None,
        };
        transaction.commit().await.map_err(|e| self.failed(&e))?;
        Ok(there)
    }

    async fn write(&self, changes: &[Change]) -> Result<(), StateError> {
        let mut client = self.client.lock().await;
        let transaction = client.transaction().await.map_err(|e| self.failed(&e))?;
        self.fence(&transaction).await?;
        for change in changes {
            let done = match change {
                Change::Put(table, key, value) => {
                    let put = "INSERT INTO gavel_entry VALUES ($1, $2, $3, $4)
                        ON CONFLICT (identity, name, key) DO UPDATE SET value = excluded.value";
                    let of = table.name();
                    transaction.execute(put, &[&self.id, &of, key, value]).await
                }
                Change::Delete(table, key) => {
                    let delete =
                        "DELETE FROM gavel_entry WHERE identity = $1 AND name = $2 AND key = $3";
                    let of = table.name();
                    transaction.execute(delete, &[&self.id, &of, key]).await
                }
            };
            done.map_err(|e| self.failed(&e))?;
        }
        transaction.commit().await.map_err(|e| self.failed(&e))
    }

    async fn lead(&self) -> Result<bool, StateError> {
        self.lead_for(None).await
    }

    async fn hold(&self, seconds: u32) -> Result<bool, StateError> {
        self.lead_for(Some(seconds.into())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_it_is_said_otherwise() {
        for (url, plain, plain_with_root) in [
            ("postgres://h/db?sslmode=disable", true, true),
            ("postgres://h/db?sslmode=require", false, false),
            ("postgres://localhost/db?sslmode=require", false, false),
            ("postgres://h/db?sslmode=prefer", false, false),
            ("postgres://h/db", false, false),
            ("postgres://10.0.0.1/db", false, false),
            ("postgres://localhost/db", true, false),
            ("postgres://127.0.0.1:5433/db?sslmode=prefer", true, false),
            ("postgres://[::1]/db", true, false),
            ("postgres:///db?host=/run/postgresql", true, false),
            ("postgres://localhost,h/db", false, false),
            ("postgres://localhost/db?hostaddr=10.0.0.1", false, false),
            ("postgres://h/db?hostaddr=127.0.0.1", true, false),
        ] {
            let config: Config = url.parse().unwrap();
            assert_eq!(goes_plain(&config, None), plain, "{url}");
            let root = Some(Path::new("ca.pem"));
            assert_eq!(goes_plain(&config, root), plain_with_root, "{url}");
        }
    }
}
