//! When snapshots are written, and by whom: a thread each, from a copy of the chain that is made in no time.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::cold;
use super::snapshot::{self, Frozen};
use super::spill::Live;

/// A snapshot is written when the history has grown by the length of the last one over this: so the tail that is replayed
/// stays in proportion to what is read, and so does what is written to what is kept.
const SHARE: u64 = 2;

/// What became of the snapshots that this process has written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotReport {
    /// How many.
    pub written: u64,
    /// Records of the history that the newest one stands for.
    pub records: u64,
    /// Its length.
    pub bytes: u64,
    /// The longest time for which the chain was stopped for one.
    pub pause: Duration,
    /// The longest time that one took to write, while the chain went on.
    pub writing: Duration,
    /// Why the last one could not be written. The chain does not need it.
    pub failed: Option<String>,
}

struct Written {
    records: u64,
    bytes: u64,
    time: Duration,
}

/// Writes snapshots now and then. Dropped, it finishes the one that is under way.
#[derive(Debug)]
pub(super) struct Keeper {
    folder: PathBuf,
    /// Records from one to the next, at least.
    every: u64,
    /// Where the last one began: records, and bytes of the journal.
    last: (u64, u64),
    /// Snapshots that were passed over: they go when there is another.
    stale: Vec<PathBuf>,
    thread: Option<JoinHandle<Result<Written, String>>>,
    report: SnapshotReport,
}

impl Keeper {
    /// Of a chain whose newest snapshot has so many bytes, and stands for so many records and bytes of its journal.
    pub(super) fn new(
        folder: PathBuf,
        every: u64,
        last: (u64, u64),
        bytes: u64,
        stale: Vec<PathBuf>,
    ) -> Keeper {
        Keeper {
            folder,
            every,
            last,
            stale,
            thread: None,
            report: SnapshotReport {
                records: last.0,
                bytes,
                ..SnapshotReport::default()
            },
        }
    }

    pub(super) fn report(&self) -> SnapshotReport {
        self.report.clone()
    }

    /// Whether one should be written of a history of so many records and bytes.
    pub(super) fn is_due(&mut self, records: u64, bytes: u64) -> bool {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish();
        }
        self.thread.is_none()
            && records >= self.last.0.saturating_add(self.every)
            && bytes >= self.last.1 + self.report.bytes / SHARE
    }

    /// Writes one, in a thread. What `journal` holds is on disk before it is. Segments that then nobody refers to, and that
    /// are not `live`, go.
    pub(super) fn start(&mut self, frozen: Frozen, live: Live, journal: File, asked: Instant) {
        self.last = (frozen.place.records, frozen.place.offset);
        let folder = self.folder.clone();
        let write = move || {
            let start = Instant::now();
            let records = frozen.place.records;
            let written = journal
                .sync_data()
                .and_then(|()| snapshot::write(&folder, &frozen))
                .and_then(|bytes| sweep(&folder, live).map(|()| bytes));
            let bytes = written.map_err(|e| format!("{}: {e}", folder.display()))?;
            Ok(Written {
                records,
                bytes,
                time: start.elapsed(),
            })
        };
        let thread = std::thread::Builder::new().name("chain snapshot".to_owned());
        match thread.spawn(write) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self.report.failed = Some(error.to_string()),
        }
        self.report.pause = self.report.pause.max(asked.elapsed());
    }

    /// Waits for the one that is under way.
    pub(super) fn finish(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let report = &mut self.report;
        match thread.join() {
            Ok(Ok(written)) => {
                report.written += 1;
                report.records = written.records;
                report.bytes = written.bytes;
                report.writing = report.writing.max(written.time);
                report.failed = None;
                let written = snapshot::path(&self.folder, written.records);
                for path in self.stale.drain(..).filter(|path| *path != written) {
                    // one that is still there is passed over again
                    let _ = std::fs::remove_file(path);
                }
            }
            Ok(Err(error)) => report.failed = Some(error),
            Err(_) => report.failed = Some("the thread that wrote it panicked".to_owned()),
        }
    }
}

/// Removes the segments that no snapshot refers to and that are not live.
pub(super) fn sweep(folder: &Path, live: Live) -> io::Result<()> {
    let mut kept: HashSet<u64> = live.ids.into_iter().collect();
    for path in snapshot::list(folder)? {
        match snapshot::segments(&path) {
            Ok(segments) => kept.extend(segments),
            // it is passed over, and goes; what it refers to goes with the next sweep
            Err(_) => return Ok(()),
        }
    }
    cold::sweep(folder, live.next, &kept)
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.finish();
    }
}
