//! What may go: blobs that no window of a task or dispute needs any more.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::{Blobs, Found, receipt_name};
use crate::{Board, NodeError};

/// Folders whose blobs belong to tasks.
const FOLDERS: [&str; 5] = ["inputs", "outputs", "receipts", "runs", "segments"];

/// What a store has, by whether it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Blobs that are needed, or too young to tell.
    pub kept: Vec<Found>,
    /// Blobs that nothing needs.
    pub unneeded: Vec<Found>,
}

impl Blobs {
    /// Sorts what the store has. What is younger than `age` is kept whatever the board says: inputs are stored before their
    /// task is posted, and a requester fetches what was settled.
    ///
    /// # Errors
    /// The store cannot be listed.
    pub async fn sort(&self, board: &Board, age: Duration) -> Result<Pruned, NodeError> {
        let needed = Needed::by(board);
        let now = SystemTime::now();
        let mut sorted = Pruned::default();
        for folder in FOLDERS {
            for found in self.store.list(folder).await? {
                let old = now
                    .duration_since(found.written)
                    .is_ok_and(|passed| passed >= age);
                match old && !needed.has(&found.name) {
                    true => sorted.unneeded.push(found),
                    false => sorted.kept.push(found),
                }
            }
        }
        Ok(sorted)
    }

    /// Removes a blob.
    ///
    /// # Errors
    /// The store said no.
    pub async fn remove(&self, found: &Found) -> Result<(), NodeError> {
        self.store.delete(&found.name).await
    }
}

/// Names that open windows need.
struct Needed {
    names: BTreeSet<String>,
    /// Traces whose shown segments are needed.
    roots: BTreeSet<String>,
}

impl Needed {
    fn by(board: &Board) -> Needed {
        let (mut names, mut roots) = (BTreeSet::new(), BTreeSet::new());
        let disputed: BTreeSet<u64> = (board.open_disputes())
            .map(|(_, e)| e.dispute.task)
            .collect();
        for (id, entry) in &board.tasks {
            if entry.task.state.is_final() && !disputed.contains(id) {
                continue;
            }
            names.insert(format!("inputs/{}.json", entry.task.input_digest));
            for attempt in &entry.attempts {
                names.insert(receipt_name(*id, attempt.attempt));
                if let Some(result) = attempt.result {
                    names.insert(format!("outputs/{}.json", result.output_digest));
                    roots.insert(result.trace_root.to_string());
                }
            }
        }
        Needed { names, roots }
    }

    fn has(&self, name: &str) -> bool {
        let of_root = || {
            let (root, _) = name.strip_prefix("segments/")?.rsplit_once('-')?;
            Some(self.roots.contains(root))
        };
        self.names.contains(name) || of_root().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use gavel_trace::Digest;

    use super::*;
    use crate::board::{Attempt, CommittedResult, TaskEntry, TaskState};

    #[tokio::test]
    async fn only_what_no_window_needs_goes() {
        let digest = |n| Digest([n; 32]);
        let mut board = Board::default();
        for (id, state) in [
            (1, TaskState::Settled),
            (2, TaskState::Committed),
            (3, TaskState::Settled),
        ] {
            let mut entry = TaskEntry::default();
            entry.task.state = state;
            entry.task.input_digest = digest(id as u8);
            let result = CommittedResult {
                steps: 1,
                output_digest: digest(10 + id as u8),
                trace_root: digest(20 + id as u8),
            };
            let result = Some(result);
            entry.attempts.push(Attempt {
                result,
                ..Attempt::default()
            });
            board.tasks.insert(id, entry);
        }
        // the third is settled, and an older result of it is still disputed
        let mut dispute = crate::board::blank_dispute();
        dispute.dispute.task = 3;
        board.disputes.insert(1, dispute);
        let blobs = Blobs::memory();
        let names = |n: u8| {
            [
                format!("inputs/{}.json", digest(n)),
                format!("outputs/{}.json", digest(10 + n)),
                receipt_name(n.into(), 0),
                format!("segments/{}-7.json", digest(20 + n)),
            ]
        };
        for name in (1..=4).flat_map(names) {
            blobs.put(&name, "x").await.unwrap();
        }
        let sorted = blobs.sort(&board, Duration::ZERO).await.unwrap();
        let found =
            |list: &[Found]| -> BTreeSet<_> { list.iter().map(|f| f.name.clone()).collect() };
        let gone: BTreeSet<_> = [1, 4].into_iter().flat_map(names).collect();
        assert_eq!(found(&sorted.unneeded), gone);
        assert_eq!(
            found(&sorted.kept),
            [2, 3].into_iter().flat_map(names).collect()
        );
        for blob in &sorted.unneeded {
            blobs.remove(blob).await.unwrap();
        }
        let again = blobs.sort(&board, Duration::ZERO).await.unwrap();
        assert_eq!((again.kept.len(), again.unneeded.len()), (8, 0));
        let young = Blobs::memory();
        young.put("inputs/x.json", "x").await.unwrap();
        let sorted = young.sort(&board, Duration::from_secs(3600)).await.unwrap();
        assert_eq!((sorted.kept.len(), sorted.unneeded.len()), (1, 0));
    }
}
