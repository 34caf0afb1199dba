//! The leader's executor: it has the models, and others run them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gavel_engine::FineRun;
use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_state::Worker;
use gavel_trace::Digest;
use tokio::sync::Notify;

use crate::{Executor, ExecutorError, RunKey, RunRecord, input_digest};

/// Runs that are kept or waited for at once.
const MOST_RUNS: usize = 64;
/// A run that nobody has asked for in this time is forgotten.
pub(super) const KEPT: Duration = Duration::from_secs(600);

/// Runs are done by workers; what a dispute asks for is computed here, with an executor of the same models.
///
/// A run that is under way is [`ExecutorError::Pending`], which roles take for "not now": they look again at their next tick.
pub struct FleetExecutor {
    local: Arc<dyn Executor>,
    pub(super) desk: Desk,
}

/// What the roles have asked for, and how far it is.
#[derive(Default)]
pub(super) struct Desk {
    entries: Mutex<BTreeMap<RunKey, Entry>>,
    workers: Mutex<Vec<Worker>>,
    pub(super) wanted: Notify,
}

pub(super) struct Entry {
    pub(super) class: Digest,
    pub(super) model: Arc<Model>,
    pub(super) inputs: Vec<Tensor>,
    pub(super) asked: Instant,
    /// Results that were none.
    pub(super) rejected: u32,
    pub(super) state: State,
}

#[derive(Clone)]
pub(super) enum State {
    /// Not in the store yet.
    Wanted,
    Offered,
    Done(Arc<RunRecord>),
    GivenUp(String),
}

impl Entry {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Wanted | State::Offered)
    }
}

impl Desk {
    pub(super) fn entries(&self) -> MutexGuard<'_, BTreeMap<RunKey, Entry>> {
        // no panic leaves it half changed
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_workers(&self, found: Vec<Worker>) {
        *self.workers.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Workers that have a class.
    fn workers_for(&self, class: &Digest) -> usize {
        let (kind, workers) = (class.to_string(), self.workers.lock());
        let workers = workers.unwrap_or_else(PoisonError::into_inner);
        workers.iter().filter(|w| w.kinds.contains(&kind)).count()
    }
}

impl FleetExecutor {
    /// An executor whose runs are done by others. [`dispatch`](super::dispatch) has to run beside it.
    pub fn new(local: Arc<dyn Executor>) -> FleetExecutor {
        FleetExecutor {
            local,
            desk: Desk::default(),
        }
    }
}

impl Executor for FleetExecutor {
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>> {
        self.local.model(model_id)
    }

    fn known_run(&self, key: &RunKey) -> Option<Arc<RunRecord>> {
        let mut entries = self.desk.entries();
        let entry = entries.get_mut(key)?;
        entry.asked = Instant::now();
        match &entry.state {
            State::Done(run) => Some(Arc::clone(run)),
            _ => None,
        }
    }

    fn serves(&self, model_id: &Digest, inputs: &[Tensor]) -> bool {
        self.local.serves(model_id, inputs)
    }

    /// Whether a worker of this class has nothing to do.
    fn has_room(&self, class: &Digest) -> bool {
        let entries = self.desk.entries();
        let open = entries
            .values()
            .filter(|e| e.is_open() && e.class == *class);
        open.count() < self.desk.workers_for(class)
    }

    fn run(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError> {
        self.run_in(model_id, model_id, inputs)
    }

    fn run_in(
        &self,
        class: &Digest,
        model_id: &Digest,
        inputs: &[Tensor],
    ) -> Result<Arc<RunRecord>, ExecutorError> {
        let model_id = *model_id;
        let model = self.local.model(&model_id);
        let model = model.ok_or(ExecutorError::UnknownModel { model_id })?;
        let key = RunKey {
            model_id,
            input_digest: input_digest(&model, inputs)?,
        };
        let pending = ExecutorError::Pending { model_id };
        let mut entries = self.desk.entries();
        if let Some(entry) = entries.get_mut(&key) {
            entry.asked = Instant::now();
            return match &entry.state {
                State::Done(run) => Ok(Arc::clone(run)),
                State::GivenUp(why) => Err(ExecutorError::GivenUp { why: why.clone() }),
                State::Wanted | State::Offered => Err(pending),
            };
        }
        // what does not fit now is asked for again
        let open = entries.values().filter(|e| e.is_open()).count();
        if open < MOST_RUNS {
            let entry = Entry {
                class: *class,
                model,
                inputs: inputs.to_vec(),
                asked: Instant::now(),
                rejected: 0,
                state: State::Wanted,
            };
            entries.insert(key, entry);
            self.desk.wanted.notify_one();
        }
        Err(pending)
    }

    fn extended(&self, run: Arc<RunRecord>, steps: u32) -> Result<Arc<RunRecord>, ExecutorError> {
        self.local.extended(run, steps)
    }

    fn fine(&self, run: &RunRecord, leaf_index: u64) -> Result<Arc<FineRun>, ExecutorError> {
        self.local.fine(run, leaf_index)
    }

    fn live_before(
        &self,
        run: &RunRecord,
        leaf_index: u64,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        self.local.live_before(run, leaf_index)
    }

    fn live_at(&self, run: &RunRecord, leaf_index: u64) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        self.local.live_at(run, leaf_index)
    }
}

impl Desk {
    /// Takes out what nobody asks for any more: what is old, then what is done and too much.
    pub(super) fn forget(&self) -> Vec<(RunKey, Option<Arc<RunRecord>>)> {
        let mut entries = self.entries();
        let mut closed: Vec<_> = entries.iter().filter(|(_, e)| !e.is_open()).collect();
        closed.sort_by_key(|(_, e)| e.asked);
        let too_many = closed.len().saturating_sub(MOST_RUNS);
        let mut gone: Vec<_> = closed.iter().take(too_many).map(|(k, _)| **k).collect();
        let old = entries.iter().filter(|(_, e)| e.asked.elapsed() > KEPT);
        gone.extend(old.map(|(key, _)| *key));
        let taken = gone.into_iter().filter_map(|key| {
            let run = match entries.remove(&key)?.state {
                State::Done(run) => Some(run),
                _ => None,
            };
            Some((key, run))
        });
        taken.collect()
    }
}
