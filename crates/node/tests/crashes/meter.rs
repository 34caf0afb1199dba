//! Everything that a process does and that outlives it, counted; and its end at any of it.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use gavel_node::Bytes;
use gavel_settlement::account::IntentRecord;
use gavel_settlement::alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use gavel_settlement::alloy::transports::{TransportError, TransportFut};
use gavel_settlement::transport::InProcess;
use gavel_state::{Change, Identity, Job, Jobs, Lease, Sqlite, StateError, Store, Table, Worker};
use object_store::memory::InMemory;
use object_store::path::Path as Name;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use tokio::sync::Notify;

/// The operation that a process dies at, and how much of it still takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) operation: usize,
    pub(crate) cut: Cut,
}

/// Where an operation is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Before,
    /// Of what is made of bytes: a part of them is there.
    Within,
    After,
}

/// What a process unwinds with where it dies and does not wait.
pub(crate) struct Died;

/// An operation that a process did: in whose turn, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) turn: u64,
    pub(crate) what: String,
}

/// What one party's processes did, the one after a crash included.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    told: Mutex<Told>,
    died: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Told {
    turn: u64,
    operations: Vec<Operation>,
    end: Option<End>,
    is_dead: bool,
    /// By nonce, all calls that were signed.
    signed: BTreeMap<u64, Vec<(Option<gavel_node::Address>, Bytes)>>,
    /// By name, all that was written.
    written: BTreeMap<String, Vec<Bytes>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    /// It is the last, as far as it takes effect.
    Last(Cut),
    Dead,
}

impl Meter {
    pub(crate) fn ending(end: Option<End>) -> Arc<Meter> {
        let told = Told {
            end,
            ..Told::default()
        };
        Arc::new(Meter {
            told: Mutex::new(told),
            died: Notify::new(),
        })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// From here on it is another turn: whatever is done in one turn, nobody else acts in between.
    pub(crate) fn turn(&self, turn: u64) {
        self.told().turn = turn;
    }

    /// Another process begins, which does not die.
    pub(crate) fn revive(&self) {
        let mut told = self.told();
        assert!(told.is_dead);
        (told.end, told.is_dead) = (None, false);
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.told().operations.clone()
    }

    pub(crate) fn signed(&self) -> BTreeMap<u64, Vec<(Option<gavel_node::Address>, Bytes)>> {
        self.told().signed.clone()
    }

    pub(crate) fn written(&self) -> BTreeMap<String, Vec<Bytes>> {
        self.told().written.clone()
    }

    fn step(&self, what: String, note: impl FnOnce(&mut Told)) -> Step {
        let mut told = self.told();
        if told.is_dead {
            return Step::Dead;
        }
        let end = told
            .end
            .filter(|end| end.operation == told.operations.len());
        told.is_dead = end.is_some();
        if end.is_some_and(|end| end.cut == Cut::Before) {
            self.died.notify_one();
            return Step::Dead;
        }
        let turn = told.turn;
        told.operations.push(Operation { turn, what });
        note(&mut told);
        end.map_or(Step::Done, |end| Step::Last(end.cut))
    }

    /// Does one thing that outlives the process and notes it, unless the process has ended.
    pub(crate) async fn once<T>(
        &self,
        what: String,
        note: impl FnOnce(&mut Told),
        act: impl Future<Output = T>,
    ) -> T {
        match self.step(what, note) {
            Step::Done => act.await,
            Step::Last(_) => {
                act.await;
                self.died.notify_one();
                std::future::pending().await
            }
            Step::Dead => std::future::pending().await,
        }
    }

    /// [`Meter::once`] of what does not wait: it is told how much of it takes effect, and whoever dies unwinds.
    pub(crate) fn at_once<T>(&self, what: &str, act: impl FnOnce(Cut) -> T) -> T {
        match self.step(what.to_owned(), |_| {}) {
            Step::Done => act(Cut::After),
            Step::Last(cut) => {
                act(cut);
                self.died.notify_one();
                std::panic::resume_unwind(Box::new(Died))
            }
            Step::Dead => std::panic::resume_unwind(Box::new(Died)),
        }
    }

    /// Whether it ended, and no other began.
    pub(crate) fn is_dead(&self) -> bool {
        self.told().is_dead
    }

    /// What comes of it while the process lives.
    pub(crate) async fn alive<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.death() => None,
            done = work => Some(done),
        }
    }

    async fn death(&self) {
        // a word about an earlier process may still be there
        while !self.is_dead() {
            self.died.notified().await;
        }
    }
}

/// A connection to the chain, on which sending counts.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) meter: Arc<Meter>,
    pub(crate) inner: InProcess,
}

impl tower::Service<RequestPacket> for Line {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, c: &mut task::Context<'_>) -> task::Poll<Result<(), TransportError>> {
        self.inner.poll_ready(c)
    }

    fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
        let RequestPacket::Single(request) = &packet else {
            panic!("one request at a time");
        };
        if request.method() != "eth_sendRawTransaction" {
            return self.inner.call(packet);
        }
        let (meter, mut inner) = (Arc::clone(&self.meter), self.inner.clone());
        Box::pin(async move {
            let sent = async { inner.call(packet).await };
            meter.once("sends".to_owned(), |_| {}, sent).await
        })
    }
}

/// The state that a process keeps, where writing counts.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) meter: Arc<Meter>,
    pub(crate) inner: Sqlite,
}

/// What changes say, and the calls that were signed with them.
fn read(changes: &[Change]) -> (String, Vec<IntentRecord>) {
    let (mut what, mut signed) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Put(table, key, value) => {
                what.push(format!("puts {}/{key}", table.name()));
                if *table == Table::Intents {
                    signed.push(serde_json::from_str(value).unwrap());
                }
            }
            Change::Delete(table, key) => what.push(format!("deletes {}/{key}", table.name())),
        }
    }
    (what.join(", "), signed)
}

#[async_trait]
impl Store for Shelf {
    fn place(&self) -> &str {
        self.inner.place()
    }

    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<String>, StateError> {
        self.inner.get(table, key).await
    }

    async fn scan(&self, table: Table) -> Result<Vec<(String, String)>, StateError> {
        self.inner.scan(table).await
    }

    async fn insert(
        &self,
        table: Table,
        key: &str,
        value: &str,
    ) -> Result<Option<String>, StateError> {
        let what = format!("inserts {}/{key}", table.name());
        let written = self.inner.insert(table, key, value);
        self.meter.once(what, |_| {}, written).await
    }

    async fn write(&self, changes: &[Change]) -> Result<(), StateError> {
        let (what, signed) = read(changes);
        let note = |told: &mut Told| {
            for IntentRecord {
                nonce, to, data, ..
            } in signed
            {
                told.signed.entry(nonce).or_default().push((to, data));
            }
        };
        let written = self.inner.write(changes);
        self.meter.once(what, note, written).await
    }

    async fn lead(&self) -> Result<bool, StateError> {
        self.inner.lead().await
    }

    async fn hold(&self, seconds: u32) -> Result<bool, StateError> {
        self.inner.hold(seconds).await
    }
}

/// Nobody here has workers.
#[async_trait]
impl Jobs for Shelf {
    async fn offer(&self, _: &str, _: &str, _: &str) -> Result<(), StateError> {
        unreachable!()
    }

    async fn lease(&self, _: &str, _: &[String], _: u32) -> Result<Option<Lease>, StateError> {
        unreachable!()
    }

    async fn renew(&self, _: &Lease, _: u32) -> Result<bool, StateError> {
        unreachable!()
    }

    async fn finish(&self, _: &Lease, _: &str) -> Result<bool, StateError> {
        unreachable!()
    }

    async fn fail(&self, _: &Lease, _: &str) -> Result<bool, StateError> {
        unreachable!()
    }

    async fn release(&self, _: &Lease) -> Result<bool, StateError> {
        unreachable!()
    }

    async fn job(&self, _: &str) -> Result<Option<Job>, StateError> {
        unreachable!()
    }

    async fn jobs(&self) -> Result<Vec<Job>, StateError> {
        unreachable!()
    }

    async fn forget(&self, _: &str) -> Result<(), StateError> {
        unreachable!()
    }

    async fn appear(&self, _: &str, _: &[String], _: u32) -> Result<(), StateError> {
        unreachable!()
    }

    async fn workers(&self) -> Result<Vec<Worker>, StateError> {
        unreachable!()
    }
}

/// The blobs that everybody shares, where writing counts.
#[derive(Debug)]
pub(crate) struct Yard {
    pub(crate) meter: Arc<Meter>,
    pub(crate) inner: Arc<InMemory>,
}

impl fmt::Display for Yard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

type Stored<T> = object_store::Result<T>;

#[async_trait]
impl ObjectStore for Yard {
    async fn put_opts(&self, at: &Name, what: PutPayload, o: PutOptions) -> Stored<PutResult> {
        let bytes: Vec<u8> = what.iter().flatten().copied().collect();
        let note = |told: &mut Told| {
            let written = told.written.entry(at.to_string()).or_default();
            written.push(bytes.into());
        };
        let put = self.inner.put_opts(at, what, o);
        self.meter.once(format!("stores {at}"), note, put).await
    }

    async fn put_multipart_opts(
        &self,
        _: &Name,
        _: PutMultipartOptions,
    ) -> Stored<Box<dyn MultipartUpload>> {
        unreachable!("blobs are put whole")
    }

    async fn get_opts(&self, at: &Name, o: GetOptions) -> Stored<GetResult> {
        self.inner.get_opts(at, o).await
    }

    async fn get_ranges(&self, at: &Name, ranges: &[Range<u64>]) -> Stored<Vec<bytes::Bytes>> {
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Stored<Name>>,
    ) -> BoxStream<'static, Stored<Name>> {
        unreachable!("roles take nothing away")
    }

    fn list(&self, at: Option<&Name>) -> BoxStream<'static, Stored<ObjectMeta>> {
        self.inner.list(at)
    }

    async fn list_with_delimiter(&self, at: Option<&Name>) -> Stored<ListResult> {
        self.inner.list_with_delimiter(at).await
    }

    async fn copy_opts(&self, _: &Name, _: &Name, _: CopyOptions) -> Stored<()> {
        unreachable!("roles copy nothing")
    }
}
