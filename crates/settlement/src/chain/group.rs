//! Group commit: appends are written one by one and synced together, by a thread that does nothing else.

use std::fs::File;
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

/// The thread that syncs, as the journal sees it. Dropped, it finishes what was asked and lets the file go.
#[derive(Debug)]
pub(super) struct Syncer {
    asked: Option<Sender<u64>>,
    progress: watch::Receiver<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// A thread that syncs `file`, whose first `records` records are on disk.
    pub(super) fn start(file: File, records: u64) -> std::io::Result<Syncer> {
        let (asked, wanted) = channel();
        let (published, progress) = watch::channel(Progress {
            records,
            failed: None,
        });
        let thread = std::thread::Builder::new()
            .name("chain journal".to_owned())
            .spawn(move || sync(&file, &wanted, &published))?;
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
            // it holds the file, and with it the lock
            let _ = thread.join();
        }
    }
}

/// One sync for all that was asked while the last one ran.
fn sync(file: &File, wanted: &Receiver<u64>, published: &watch::Sender<Progress>) {
    while let Ok(first) = wanted.recv() {
        let records = wanted.try_iter().last().unwrap_or(first);
        match file.sync_data() {
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

    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_when_it_is_on_disk_and_not_before_it_was_written() {
        let mut file = tempfile::tempfile().unwrap();
        let syncer = Syncer::start(file.try_clone().unwrap(), 3).unwrap();
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

    #[cfg(unix)]
    #[tokio::test]
    async fn a_disk_that_cannot_sync_is_told_to_all_who_wait() {
        // a pipe takes bytes and has nothing to sync them to
        let (_end, pipe) = std::io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(pipe));
        let syncer = Syncer::start(file, 0).unwrap();
        let disk = syncer.disk();
        syncer.ask(1);
        assert!(matches!(disk.holds(1).await, Err(ChainError::Failed(_))));
        assert!(syncer.failure().is_some());
        syncer.ask(2);
        assert!(disk.holds(2).await.is_err());
    }
}
