//! The executor of a party that cheats: consistent in its own lie.

use std::sync::Arc;

use gavel_engine::FineRun;
use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_trace::{CommitPoint, Digest};

use super::falsify::{Deviation, MachineError};
use super::one_ulp::OneUlp;
use super::{Fault, smaller_model, wrong_trace};
use crate::executor::Cache;
use crate::{EngineExecutor, Executor, ExecutorError, RunKey, RunRecord, input_digest};

/// Runs kept: a liar serves few tasks.
const RUNS_KEPT: usize = 32;
/// Segments kept.
const SEGMENTS_KEPT: usize = 8;

/// Computes like [`EngineExecutor`], with faults. The same seed gives the same lie on the same task, also
/// after a restart.
///
/// Faults of computation ([`Fault::Weight`], [`Fault::OneUlp`] and those of certain models) give the run that a machine with that
/// fault would have, fine traces included: its owner can play a dispute to the end. Where the trace is
/// made up ([`Fault::SmallerModel`], [`Fault::WrongTrace`]) the fine traces are made up to fold to it.
/// Faults combine in the order of [`Fault::ALL`]; those that are not about results change nothing here.
pub struct FaultyExecutor {
    honest: Arc<EngineExecutor>,
    faults: Vec<Fault>,
    seed: u64,
    /// An element demanded by whoever made the executor, instead of one drawn from the seed.
    ulp: Option<OneUlp>,
    /// Seed of one more wrong element, with which a friend of the cheat differs from the cheat.
    friend: Option<u64>,
    runs: Cache<RunKey, Arc<Lie>>,
    segments: Cache<(RunKey, u64), Arc<FineRun>>,
}

/// One run with its faults.
struct Lie {
    record: Arc<RunRecord>,
    deviation: Deviation,
    /// Leaf and live slot of a wrong trace.
    bent: Option<(u64, usize)>,
}

impl FaultyExecutor {
    /// An executor that computes with `honest`'s engine and models, and with these faults.
    pub fn new(honest: Arc<EngineExecutor>, faults: &[Fault], seed: u64) -> FaultyExecutor {
        let faults = Fault::ALL
            .into_iter()
            .filter(|fault| fault.falsifies_result() && faults.contains(fault))
            .collect();
        FaultyExecutor {
            honest,
            faults,
            seed,
            ulp: None,
            friend: None,
            runs: Cache::new(RUNS_KEPT),
            segments: Cache::new(SEGMENTS_KEPT),
        }
    }

    /// An executor whose machine gets one given element of one node wrong, absorbed or not.
    pub fn one_ulp_at(honest: Arc<EngineExecutor>, ulp: OneUlp) -> FaultyExecutor {
        FaultyExecutor {
            ulp: Some(ulp),
            ..FaultyExecutor::new(honest, &[], 0)
        }
    }

    /// This executor's runs with one more element wrong: what a sock puppet pretends to have computed. A game
    /// between the two isolates an operator that the cheat has computed rightly, from its own wrong inputs. Where the
    /// trace is made up ([`Fault::SmallerModel`]) another one is made up.
    pub(super) fn friend(&self, seed: u64) -> FaultyExecutor {
        FaultyExecutor {
            ulp: self.ulp,
            friend: Some(seed),
            ..FaultyExecutor::new(Arc::clone(&self.honest), &self.faults, self.seed)
        }
    }

    /// Its faults, those that falsify results.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    fn lie(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<Lie>, ExecutorError> {
        let model = self.honest.known(model_id)?;
        let key = RunKey {
            model_id: *model_id,
            input_digest: input_digest(&model, inputs)?,
        };
        self.runs
            .get_or_make(key, || Ok(Arc::new(self.make(model, inputs, key)?)))
    }

    fn make(
        &self,
        model: Arc<Model>,
        inputs: &[Tensor],
        key: RunKey,
    ) -> Result<Lie, ExecutorError> {
        let mut deviation = Deviation::none(Arc::clone(&model));
        if let Some(ulp) = self.ulp {
            deviation = deviation.and(MachineError::Ulp(ulp));
        }
        if self.has(Fault::SmallerModel) {
            let seed = self.seed_of(&key);
            let record = smaller_model::run(&self.honest, &model, inputs, key.input_digest, seed)?;
            return Ok(Lie {
                record: Arc::new(record),
                deviation,
                bent: None,
            });
        }
        for fault in [
            Fault::CheaperQuantisation,
            Fault::Weight,
            Fault::OneUlp,
            Fault::ChangedToken,
            Fault::SkippedSteps,
        ] {
            if self.has(fault) {
                deviation = deviation.with(fault, &self.honest, inputs, self.seed)?;
            }
        }
        if let Some(seed) = self.friend {
            deviation = deviation.with(Fault::OneUlp, &self.honest, inputs, seed)?;
        }
        let output = deviation.run(&self.honest, inputs)?;
        let mut trace = output.trace;
        let bent = match self.has(Fault::WrongTrace) {
            true => wrong_trace::place(&model, self.seed),
            false => None,
        };
        if let Some((leaf, slot)) = bent {
            let at = CommitPoint::at_leaf(leaf, model.header().commit_points)
                .ok_or(ExecutorError::Leaf { leaf_index: leaf })?;
            let fine = deviation.fine(&self.honest, inputs, at)?;
            let live = fine.trace.live().leaves();
            trace = wrong_trace::bend(&model, &trace, (leaf, slot), live)?;
        }
        let record = Arc::new(RunRecord {
            model,
            inputs: inputs.to_vec(),
            outputs: output.outputs,
            trace,
        });
        Ok(Lie {
            record,
            deviation,
            bent,
        })
    }

    /// Digests that are made up differ from task to task.
    fn seed_of(&self, key: &RunKey) -> u64 {
        let (words, _) = key.input_digest.0.as_chunks::<8>();
        words
            .iter()
            .fold(self.seed ^ self.friend.unwrap_or(0), |seed, w| {
                super::draw(seed, u64::from_be_bytes(*w))
            })
    }
}

impl Executor for FaultyExecutor {
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>> {
        self.honest.model(model_id)
    }

    fn known_run(&self, key: &RunKey) -> Option<Arc<RunRecord>> {
        self.runs.get(key).map(|lie| Arc::clone(&lie.record))
    }

    fn serves(&self, model_id: &Digest, inputs: &[Tensor]) -> bool {
        self.honest.serves(model_id, inputs)
    }

    fn run(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError> {
        Ok(Arc::clone(&self.lie(model_id, inputs)?.record))
    }

    fn fine(&self, run: &RunRecord, leaf_index: u64) -> Result<Arc<FineRun>, ExecutorError> {
        let at = run.commit_point(leaf_index)?;
        let key = run.key();
        self.segments.get_or_make((key, leaf_index), || {
            if self.has(Fault::SmallerModel) {
                let fine = smaller_model::fine(run, at.segment as usize, self.seed_of(&key))?;
                return Ok(Arc::new(fine));
            }
            let lie = self.lie(&key.model_id, &run.inputs)?;
            let fine = lie.deviation.fine(&self.honest, &run.inputs, at)?;
            Ok(Arc::new(match lie.bent {
                Some((leaf, slot)) if leaf == leaf_index => {
                    wrong_trace::bend_fine(&run.model, &fine, slot)?
                }
                _ => fine,
            }))
        })
    }

    fn live_before(
        &self,
        run: &RunRecord,
        leaf_index: u64,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        let at = run.commit_point(leaf_index)?;
        let lie = self.lie(&run.model.model_id(), &run.inputs)?;
        lie.deviation.live_before(&self.honest, &run.inputs, at)
    }
}
