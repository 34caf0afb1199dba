//! What is told of a load.

use gavel_node::B256;
use gavel_settlement::chain::{Retained, SnapshotReport};
use serde::Serialize;

use super::{Latencies, ReadersReport, Submission};

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// How transactions got to the chain.
    pub submission: Submission,
    /// Lives begun and completed.
    pub lives: u64,
    /// Results that were drawn for an audit, which are not settled here.
    pub drawn: u64,
    /// Seconds from the first post to the last settlement.
    pub seconds: f64,
    /// Lives a second.
    pub lives_per_second: f64,
    /// Transactions in that time.
    pub transactions: u64,
    /// Transactions a second.
    pub transactions_per_second: f64,
    /// Tasks that were open all the time.
    pub open: u32,
    /// From a call to its receipt on disk, by action.
    pub latencies: Vec<Latencies>,
    /// Lives that were completed while nobody looked on, from the first settlement.
    pub alone: Rate,
    /// The same with the explorer's clients.
    pub watched: Option<Rate>,
    /// What those clients saw.
    pub readers: Option<ReadersReport>,
    /// What lives leave in memory, from the first settlement until nobody begins one.
    pub growth: Growth,
    /// Snapshots of the chain.
    pub snapshots: Snapshots,
    /// Bytes of the history on disk.
    pub journal_bytes: u64,
    /// Bytes of old blocks on disk.
    pub archive_bytes: u64,
    /// Height and hash of the newest block.
    pub head: (u64, B256),
    /// Seconds that it took to open the chain again.
    pub reopened_seconds: f64,
    /// Records that were replayed for that, beside a snapshot.
    pub reopened_records: u64,
    /// Seconds that it took to open it from its journal alone.
    pub replayed_seconds: f64,
    /// Records that were replayed for that.
    pub replayed_records: u64,
    /// Transactions whose success was answered.
    pub answered: u64,
    /// Whether every life ended, and the chain that was opened again is the one that was closed, with all that was answered in
    /// the blocks that were named. It was closed in order: what a kill leaves is not seen here.
    pub nothing_lost: bool,
}

/// Lives that were completed in a stretch of time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rate {
    /// How many.
    pub lives: u64,
    /// Seconds.
    pub seconds: f64,
    /// Lives a second.
    pub lives_per_second: f64,
    /// Bytes by which this process grew for each, where the system says.
    pub bytes_per_life: Option<u64>,
}

/// What of a chain is in memory after so many lives, and what was before.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Growth {
    /// Lives completed between the two.
    pub lives: u64,
    /// In the beginning.
    pub before: Retained,
    /// In the end.
    pub after: Retained,
}

/// Snapshots that were written under load.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Snapshots {
    /// How many.
    pub written: u64,
    /// Bytes of the last.
    pub bytes: u64,
    /// The longest time for which the chain was stopped for one, in milliseconds.
    pub pause_ms: f64,
    /// The longest time that one took to write, in seconds.
    pub writing_seconds: f64,
}

impl From<&SnapshotReport> for Snapshots {
    fn from(report: &SnapshotReport) -> Snapshots {
        Snapshots {
            written: report.written,
            bytes: report.bytes,
            pause_ms: report.pause.as_secs_f64() * 1000.0,
            writing_seconds: report.writing.as_secs_f64(),
        }
    }
}
