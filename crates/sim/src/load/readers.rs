//! Those who look on: an explorer that follows the chain, and clients that hold connections to its events.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gavel_explorer::{Options, Pulse, Server, explorer};
use gavel_settlement::alloy::transports::http::reqwest;
use gavel_settlement::{Network, SharedChain};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle as Task, JoinSet};
use tokio::time::timeout;

use super::latency::{Latencies, Samples};
use super::stream::{Event, Meaning, Seen, Stream};
use crate::WorldError;

/// Between two looks of the explorer at the chain: what `gavel explorer` leaves.
const PAUSE: Duration = Duration::from_millis(500);
/// Far more than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at the chain's head, to know when blocks were made.
const GLANCE: Duration = Duration::from_millis(2);
/// Between a stream that has ended and the next try: what the server asks for.
const RETRY: Duration = Duration::from_secs(2);
/// Lines that a page shows.
const SHOWN: usize = 50;
/// Mistakes that are told.
const TOLD: usize = 10;

/// What the clients saw.
#[derive(Clone, Debug, Serialize)]
pub struct ReadersReport {
    /// Connections that were held at once.
    pub clients: u32,
    /// Seconds until all were connected.
    pub connected_seconds: f64,
    /// Events that the server made.
    pub made: u64,
    /// Events that clients read, of all clients together.
    pub events: u64,
    /// Lines that a client was not told one by one but counted, on average.
    pub skipped: f64,
    /// Times that a client was to read everything again.
    pub resets: u64,
    /// Times that a client was too slow, or lost its connection, and came back.
    pub came_back: u64,
    /// From a block to the event that told it: at each event, of the oldest block that it told.
    pub latency: Option<Latencies>,
    /// What was wrong with what clients read: gaps, repetitions, heads that fall.
    pub wrong: Vec<String>,
    /// Whether all clients have the newest block that the interface has, and one that keeps the newest lines has those of
    /// the interface.
    pub same_as_read: bool,
}

impl ReadersReport {
    /// Whether nothing was missed.
    pub fn is_whole(&self) -> bool {
        self.wrong.is_empty() && self.same_as_read
    }
}

/// An explorer with its clients, at work.
pub(super) struct Readers {
    url: String,
    pulse: Pulse,
    births: Births,
    samples: Arc<Samples>,
    target: watch::Sender<Option<u64>>,
    clients: JoinSet<Result<Client, WorldError>>,
    servers: Vec<Task<()>>,
    connected_seconds: f64,
}

impl Readers {
    /// An explorer of a network, and clients that are all connected.
    pub(super) async fn attach(
        network: &Network,
        chain: &SharedChain,
        clients: u32,
    ) -> Result<Readers, WorldError> {
        let started = Instant::now();
        let (mut follower, router) = explorer(network.clone(), &Options::default());
        follower.refresh().await?;
        let pulse = follower.pulse();
        let server = Server::bind(0).await?;
        let address = server.address()?;
        let servers = vec![
            tokio::spawn(async move {
                // an error shows as connections that are refused
                let _ = server.serve(router, std::future::pending()).await;
            }),
            tokio::spawn(follower.run(std::future::pending(), PAUSE)),
        ];
        let births = Births::watch(chain.clone())?;
        let samples = Arc::new(Samples::default());
        let (target, until) = watch::channel(None);
        let (connected, mut connects) = mpsc::channel(clients.max(1) as usize);
        let mut set = JoinSet::new();
        for i in 0..clients {
            let client = Client {
                authority: address.to_string(),
                seen: Seen::default(),
                page: (i == 0).then(|| Page::of(&address.to_string())),
                births: Arc::clone(&births.seen),
                samples: Arc::clone(&samples),
                came_back: 0,
                wrong: Vec::new(),
            };
            set.spawn(client.run(until.clone(), connected.clone()));
        }
        drop(connected);
        for _ in 0..clients {
            let next = timeout(PATIENCE, connects.recv()).await;
            if !matches!(next, Ok(Some(()))) {
                return Err(WorldError::View("clients cannot connect".to_owned()));
            }
        }
        Ok(Readers {
            url: format!("http://{address}/api/v1"),
            pulse,
            births,
            samples,
            target,
            clients: set,
            servers,
            connected_seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Ends when every client has seen the chain's last block.
    pub(super) async fn finish(mut self, last: u64) -> Result<ReadersReport, WorldError> {
        self.target.send_replace(Some(last));
        let mut ended = Vec::new();
        while let Some(client) = timeout(PATIENCE, self.clients.join_next())
            .await
            .map_err(|_| WorldError::View(format!("clients never see block {last}")))?
        {
            ended.push(client.map_err(|e| WorldError::View(e.to_string()))??);
        }
        let status = get(&format!("{}/status", self.url)).await?;
        let fresh = newest(&self.url).await?;
        let newest_line = fresh.first().and_then(|line| line["n"].as_u64());
        let same_as_read = ended.iter().all(|client| {
            let head = client.seen.head.as_ref();
            let is_there = head.is_some_and(|head| {
                status["head"]["number"] == head.number && status["head"]["hash"] == *head.hash
            });
            is_there
                && (client.seen.line.is_none() || client.seen.line == newest_line)
                && client.page.as_ref().is_none_or(|p| p.shown == fresh)
        });
        for server in &self.servers {
            server.abort();
        }
        for server in self.servers {
            // it lets go of the chain
            let _ = server.await;
        }
        self.births.end();
        let sum = |of: fn(&Client) -> u64| ended.iter().map(of).sum::<u64>();
        let (events, resets, skipped, came_back) = (
            sum(|c| c.seen.events),
            sum(|c| c.seen.resets),
            sum(|c| c.seen.skipped),
            sum(|c| c.came_back),
        );
        let count = ended.len();
        let wrong = ended.iter().flat_map(|client| &client.wrong);
        let wrong = wrong.take(TOLD).cloned().collect();
        drop(ended);
        let samples = Arc::into_inner(self.samples).map(Samples::latencies);
        Ok(ReadersReport {
            clients: count as u32,
            connected_seconds: self.connected_seconds,
            made: self.pulse.vitals().events,
            events,
            skipped: skipped as f64 / count.max(1) as f64,
            resets,
            came_back,
            latency: samples.and_then(|all| all.into_iter().next()),
            wrong,
            same_as_read,
        })
    }
}

/// When blocks were made, as seen by a thread that the load does not hold up.
struct Births {
    seen: Arc<Mutex<Vec<(u64, Instant)>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Births {
    fn watch(chain: SharedChain) -> Result<Births, WorldError> {
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (out, until): (Arc<Mutex<Vec<_>>>, _) = (Arc::clone(&seen), Arc::clone(&stop));
        let look = move || {
            let mut last = None;
            while !until.load(Ordering::Relaxed) {
                let head = chain.lock().head().number;
                if last.replace(head) != Some(head) {
                    let mut seen = out.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push((head, Instant::now()));
                }
                std::thread::sleep(GLANCE);
            }
        };
        let thread = std::thread::Builder::new().spawn(look)?;
        Ok(Births { seen, stop, thread })
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        // it does nothing that could panic
        let _ = self.thread.join();
    }
}

/// The page of one client: the newest lines.
struct Page {
    url: String,
    shown: Vec<Value>,
}

impl Page {
    fn of(authority: &str) -> Page {
        Page {
            url: format!("http://{authority}/api/v1"),
            shown: Vec::new(),
        }
    }

    async fn take(&mut self, event: &Event, meaning: Meaning) -> Result<(), WorldError> {
        match meaning {
            Meaning::ReadAgain => self.shown = newest(&self.url).await?,
            Meaning::Line => {
                let line: Value = serde_json::from_str(&event.data)
                    .map_err(|e| WorldError::View(e.to_string()))?;
                // what was read again may have been further on
                let last = self.shown.first().and_then(|line| line["n"].as_u64());
                if last < line["n"].as_u64() {
                    self.shown.insert(0, line);
                    self.shown.truncate(SHOWN);
                }
            }
            Meaning::Head { .. } | Meaning::Nothing => {}
        }
        Ok(())
    }
}

async fn get(url: &str) -> Result<Value, WorldError> {
    let failed = |e: &dyn std::fmt::Display| WorldError::View(format!("{url}: {e}"));
    let answer = reqwest::get(url).await.map_err(|e| failed(&e))?;
    let bytes = answer.bytes().await.map_err(|e| failed(&e))?;
    serde_json::from_slice(&bytes).map_err(|e| failed(&e))
}

/// The newest lines.
async fn newest(url: &str) -> Result<Vec<Value>, WorldError> {
    let mut answer = get(&format!("{url}/activity?limit={SHOWN}")).await?;
    match answer["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Err(WorldError::View(format!("{url}/activity: no items"))),
    }
}

/// A connection to the events, and what has come of it.
struct Client {
    authority: String,
    seen: Seen,
    page: Option<Page>,
    births: Arc<Mutex<Vec<(u64, Instant)>>>,
    samples: Arc<Samples>,
    came_back: u64,
    wrong: Vec<String>,
}

impl Client {
    /// Reads, and comes back where the stream ends, until the last block has been told.
    async fn run(
        mut self,
        mut until: watch::Receiver<Option<u64>>,
        connected: mpsc::Sender<()>,
    ) -> Result<Client, WorldError> {
        let mut connected = Some(connected);
        loop {
            match self.listen(&mut until, &mut connected).await {
                Ok(()) => return Ok(self),
                Err(reason) => {
                    // a server that is gone is found by whoever waits for the client
                    self.came_back += 1;
                    if self.wrong.len() < TOLD && !reason.is_empty() {
                        self.wrong.push(reason);
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// One connection. An error without words is a connection that was lost.
    async fn listen(
        &mut self,
        until: &mut watch::Receiver<Option<u64>>,
        connected: &mut Option<mpsc::Sender<()>>,
    ) -> Result<(), String> {
        let lost = |_: std::io::Error| String::new();
        let mut socket = TcpStream::connect(&self.authority).await.map_err(lost)?;
        let back = self.seen.last.as_ref();
        let back = back.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n{back}\r\n",
            self.authority
        );
        socket.write_all(request.as_bytes()).await.map_err(lost)?;
        let (mut stream, mut events, mut buffer) = (Stream::new(), Vec::new(), [0; 4096]);
        loop {
            let target = *until.borrow_and_update();
            let head = self.seen.head.as_ref().map(|head| head.number);
            if target.is_some() && target <= head {
                return Ok(());
            }
            let read = tokio::select! {
                read = socket.read(&mut buffer) => read.map_err(lost)?,
                changed = until.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(()),
                },
            };
            if read == 0 {
                return Err(String::new());
            }
            stream.take(buffer.get(..read).unwrap_or_default(), &mut events)?;
            if stream.is_open()
                && let Some(connected) = connected.take()
            {
                // what is new from now on is told
                if let Some(page) = &mut self.page {
                    let read = newest(&page.url).await;
                    page.shown = read.map_err(|e| e.to_string())?;
                }
                let _ = connected.send(()).await;
            }
            for event in events.drain(..) {
                let meaning = self.seen.take(&event)?;
                if let Meaning::Head { first } = meaning {
                    self.measure(first);
                }
                if let Some(page) = &mut self.page {
                    let taken = page.take(&event, meaning).await;
                    taken.map_err(|e| e.to_string())?;
                }
            }
            if stream.has_ended() {
                return Err(String::new());
            }
        }
    }

    fn measure(&self, block: u64) {
        let births = self.births.lock().unwrap_or_else(PoisonError::into_inner);
        let at = births.partition_point(|(number, _)| *number < block);
        if let Some((_, born)) = births.get(at) {
            self.samples.add("block to event", born.elapsed());
        }
    }
}
