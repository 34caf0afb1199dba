//! When state leaves memory for the disk, and by whom: a thread each, from a copy that is made in no time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::cold::{self, Order, Segment, StateError};
use super::world::World;

/// The state's memory goes in four: to the newest layer, to the one before it, to what was read from the disk, and to indexes
/// and copies of what is being written.
const SHARES: u64 = 4;
/// So many segments of a tier become one of the next: what is written is so written once more for each tier.
const FAN: usize = 4;
/// Segments that there may be before the chain waits until there are fewer.
const MANY: usize = 64;

type Written = JoinHandle<Result<Segment, StateError>>;

/// A segment that is being written.
#[derive(Debug)]
struct Job {
    id: u64,
    /// The segments that it takes the place of; none where it is of what was in memory.
    of: Vec<u64>,
    thread: Written,
}

/// Segments that a chain may have, beside those that a snapshot refers to.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) ids: Vec<u64>,
    /// All from this on.
    pub(super) next: u64,
}

/// Bounds what a chain's state takes of memory. Dropped, it lets go of what is being written.
#[derive(Debug)]
pub(super) struct Spill {
    folder: PathBuf,
    /// Bytes of the newest layer.
    limit: u64,
    next: u64,
    layer: Option<Job>,
    merge: Option<Job>,
    stop: Arc<AtomicBool>,
    failed: Option<String>,
}

/// Bytes of the pages in memory: what was read, but for the values that were found.
pub(super) fn cache_bytes(state_memory: u64) -> u64 {
    let share = state_memory / SHARES;
    share - share / 4
}

impl Spill {
    /// Of the chain in a folder, whose state takes so many bytes.
    pub(super) fn open(folder: &Path, state_memory: u64) -> io::Result<Spill> {
        Ok(Spill {
            folder: folder.to_owned(),
            limit: state_memory / SHARES,
            next: cold::tidy(folder)?,
            layer: None,
            merge: None,
            stop: Arc::default(),
            failed: None,
        })
    }

    /// Why nothing more leaves memory.
    pub(super) fn failure(&self) -> Option<String> {
        self.failed.clone()
    }

    /// Takes in what is written, and begins to write what is due. After a failure nothing moves, and the chain takes nothing
    /// more.
    pub(super) fn tend(&mut self, world: &mut World) {
        let is_done = |job: &mut Job| job.thread.is_finished();
        if let Some(job) = self.layer.take_if(is_done) {
            self.take_in(world, job);
        }
        if let Some(job) = self.merge.take_if(is_done) {
            self.take_in(world, job);
        }
        if world.newest().bytes() <= self.limit || self.failed.is_some() {
            return;
        }
        // one layer at most is on its way
        self.settle_layer(world);
        if world.cold().segments().len() > MANY
            && let Some(job) = self.merge.take()
        {
            self.take_in(world, job);
        }
        if self.failed.is_none() {
            let tables = world.age();
            self.layer = self.start(Vec::new(), move |order| cold::of_tables(order, &tables));
        }
    }

    /// Waits for the layer that is on its way.
    fn settle_layer(&mut self, world: &mut World) {
        if let Some(job) = self.layer.take() {
            self.take_in(world, job);
        }
    }

    /// Waits until there is nothing to write.
    #[cfg(test)]
    pub(super) fn settle(&mut self, world: &mut World) {
        self.settle_layer(world);
        while let Some(job) = self.merge.take() {
            self.take_in(world, job);
        }
    }

    fn take_in(&mut self, world: &mut World, job: Job) {
        match job.thread.join() {
            Ok(Ok(segment)) => world.take_in(segment, &job.of),
            Ok(Err(error)) => self.failed = Some(error.to_string()),
            Err(_) => self.failed = Some("the thread that wrote state panicked".to_owned()),
        }
        if self.merge.is_none() && self.failed.is_none() {
            self.merge_when_due(world);
        }
    }

    /// Merges the segments of the lowest tier that has enough of them. They are neighbours: tiers only grow with age.
    fn merge_when_due(&mut self, world: &World) {
        let segments = world.cold().segments();
        let mut tiers = segments.chunk_by(|a, b| a.reference.tier == b.reference.tier);
        let Some(due) = tiers.find(|tier| tier.len() >= FAN) else {
            return;
        };
        let id = |segment: &Arc<Segment>| segment.reference.id;
        let are_oldest = due.last().map(id) == segments.last().map(id);
        let (of, due) = (due.iter().map(id).collect(), due.to_vec());
        self.merge = self.start(of, move |order| cold::of_segments(order, &due, are_oldest));
    }

    fn start(
        &mut self,
        of: Vec<u64>,
        write: impl FnOnce(&Order) -> Result<Segment, StateError> + Send + 'static,
    ) -> Option<Job> {
        let id = self.next;
        self.next += 1;
        let order = Order {
            folder: self.folder.clone(),
            id,
            stop: Arc::clone(&self.stop),
        };
        let thread = std::thread::Builder::new().name("chain state".to_owned());
        match thread.spawn(move || write(&order)) {
            Ok(thread) => Some(Job { id, of, thread }),
            Err(error) => {
                self.failed = Some(error.to_string());
                None
            }
        }
    }

    pub(super) fn live(&self, world: &World) -> Live {
        let ids = world.cold().segments().iter().map(|s| s.reference.id);
        let written = self.layer.iter().chain(&self.merge).map(|job| job.id);
        Live {
            ids: ids.chain(written).collect(),
            next: self.next,
        }
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        // no snapshot refers to it: it is made again
        self.stop.store(true, Ordering::Relaxed);
        for job in self.layer.take().into_iter().chain(self.merge.take()) {
            let _ = job.thread.join();
        }
    }
}
