//! Group commit: appends are written one by one and synced together, by a thread that does nothing else.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::ChainError;

/// How far the disk is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Records that are on disk.
    records: u64,
    /// Why no more will be.
    failed: Option<String>,
}

/// What of a chain's history is on disk, for whoever must not speak of what is not.
#[derive(Clone, Debug)]
pub struct Disk(Option<watch::Receiver<Progress>>);

impl Disk {
    /// Of a chain that is on no disk, or whose appends are all synced before they return.
    pub(crate) fn none() -> Disk {
        Disk(None)
    }

    /// Waits until the first `records` records of the history are on disk.
    ///
    /// # Errors
    /// They cannot be written: what they hold may be lost.
    pub async fn holds(&self, records: u64) -> Result<(), ChainError> {
        let Some(progress) = &self.0 else {
            return Ok(());
        };
        let mut progress = progress.clone();
        let reached = progress
            .wait_for(|p| p.records >= records || p.failed.is_some())
            .await;
        match reached.as_deref() {
            Ok(p) if p.records >= records => Ok(()),
            Ok(Progress { failed, .. }) => {
                Err(ChainError::Failed(failed.clone().unwrap_or_default()))
            }
            Err(_) => Err(ChainError::Failed("the chain was closed".to_owned())),
        }
    }
}

/// Records on their way to the disk, with the lowest block that each has changed.
#[derive(Debug, Default)]
pub(super) struct UnderWay(VecDeque<(u64, u64)>);

impl UnderWay {
    /// The newest record is this one, which has changed blocks from `block` on; the first `synced` are on disk.
    pub(super) fn add(&mut self, record: u64, block: u64, synced: u64) {
        while self.0.front().is_some_and(|(older, _)| *older <= synced) {
            self.0.pop_front();
        }
        self.0.push_back((record, block));
    }

    /// Records that must be on disk for the blocks up to this one to be as they are now.
    pub(super) fn until(&self, block: u64) -> u64 {
        let newest_first = self.0.iter().rev();
        let mut changes = newest_first.filter(|(_, lowest)| *lowest <= block);
        changes.next().map_or(0, |(record, _)| *record)
    }
}

/// The thread that syncs, as the journal sees it. Dropped, it finishes what was asked and lets the file go.
#[derive(Debug)]
pub(super) struct Syncer {
    asked: Option<Sender<u64>>,
    progress: watch::Receiver<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// A thread that calls `sync` to put on disk what was written before; the first `records` records are there.
    pub(super) fn start(
        sync: impl FnMut() -> io::Result<()> + Send + 'static,
        records: u64,
    ) -> io::Result<Syncer> {
        let (asked, wanted) = channel();
        let (published, progress) = watch::channel(Progress {
            records,
            failed: None,
        });
        let thread = std::thread::Builder::new()
            .name("chain journal".to_owned())
            .spawn(move || sync_all(sync, &wanted, &published))?;
        Ok(Syncer {
            asked: Some(asked),
            progress,
            thread: Some(thread),
        })
    }

    /// Asks that the first `records` records, written already, be synced.
    pub(super) fn ask(&self, records: u64) {
        if let Some(asked) = &self.asked {
            // the thread ends only after a failure, which `failure` tells
            let _ = asked.send(records);
        }
    }

    /// Records that are on disk.
    pub(super) fn synced(&self) -> u64 {
        self.progress.borrow().records
    }

    /// Why nothing more will be synced.
    pub(super) fn failure(&self) -> Option<String> {
        self.progress.borrow().failed.clone()
    }

    pub(super) fn disk(&self) -> Disk {
        Disk(Some(self.progress.clone()))
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.asked = None;
        if let Some(thread) = self.thread.take() {
            // `sync` holds the file, and with it the lock
            let _ = thread.join();
        }
    }
}

/// One sync for all that was asked while the last one ran.
fn sync_all(
    mut sync: impl FnMut() -> io::Result<()>,
    wanted: &Receiver<u64>,
    published: &watch::Sender<Progress>,
) {
    while let Ok(first) = wanted.recv() {
        let records = wanted.try_iter().last().unwrap_or(first);
        match sync() {
            Ok(()) => published.send_modify(|p| p.records = records),
            Err(error) => {
                published.send_modify(|p| p.failed = Some(error.to_string()));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What it says now.
    fn says(disk: &Disk, records: u64) -> Poll<Result<(), ChainError>> {
        let holds = std::pin::pin!(disk.holds(records));
        holds.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn nothing_is_held_while_its_sync_runs_and_the_next_sync_is_for_all_that_waits() {
        let (begins, begun) = channel();
        let (sender, released) = channel();
        let sync = move || {
            begins.send(()).unwrap();
            released.recv().map_err(io::Error::other)
        };
        let syncer = Syncer::start(sync, 0).unwrap();
        // dropped before the syncer, which waits for its thread
        let release = sender;
        let disk = syncer.disk();
        syncer.ask(1);
        begun.recv().unwrap();
        syncer.ask(2);
        syncer.ask(3);
        for records in 1..=3 {
            assert!(says(&disk, records).is_pending(), "{records}");
        }
        release.send(()).unwrap();
        disk.holds(1).await.unwrap();
        begun.recv().unwrap();
        for records in 2..=3 {
            assert!(says(&disk, records).is_pending(), "{records}");
        }
        assert_eq!(syncer.synced(), 1);
        release.send(()).unwrap();
        disk.holds(3).await.unwrap();
        assert!(matches!(says(&disk, 2), Poll::Ready(Ok(()))));
        drop(syncer);
        assert!(begun.try_recv().is_err());
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_it_is_on_disk_and_not_before_it_was_written() {
        let mut file = tempfile::tempfile().unwrap();
        let synced = file.try_clone().unwrap();
        let syncer = Syncer::start(move || synced.sync_data(), 3).unwrap();
        let disk = syncer.disk();
        disk.holds(3).await.unwrap();
        let waiting = tokio::spawn({
            let disk = disk.clone();
            async move { disk.holds(5).await }
        });
        for records in 4..=5 {
            file.write_all(b"record").unwrap();
            syncer.ask(records);
        }
        waiting.await.unwrap().unwrap();
        assert_eq!(syncer.failure(), None);
        drop(syncer);
        disk.holds(5).await.unwrap();
        let closed = disk.holds(6).await.unwrap_err();
        assert!(closed.to_string().contains("closed"), "{closed}");
    }

    #[tokio::test]
    async fn a_disk_that_cannot_sync_is_told_to_all_who_wait() {
        let syncer = Syncer::start(|| Err(io::Error::other("full")), 0).unwrap();
        let disk = syncer.disk();
        syncer.ask(1);
        assert!(matches!(disk.holds(1).await, Err(ChainError::Failed(_))));
        assert!(syncer.failure().is_some());
        syncer.ask(2);
        assert!(disk.holds(2).await.is_err());
    }
}
