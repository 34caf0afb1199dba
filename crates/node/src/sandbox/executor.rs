//! The executor whose work is done in a process of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gavel_engine::{FineRun, Trace};
use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_trace::{CommitPoint, Digest, FineTrace, Level1};

#[cfg(target_os = "linux")]
use super::process::Process;
use super::wire::{self, Body, Inputs, Packed, Reply, Request};
use super::{Probe, SandboxError, SandboxOptions, Served};
use crate::executor::Cache;
use crate::{Executor, ExecutorError, RunKey, RunRecord};

/// Runs kept here: a dispute asks for one, many times.
const RUNS_KEPT: usize = 64;
/// Segments kept here.
const SEGMENTS_KEPT: usize = 8;

/// An executor that asks a confined process. Where that ends, by a crash or by a limit, the request fails and the next one
/// starts another.
pub struct SandboxExecutor {
    options: SandboxOptions,
    served: Vec<Served>,
    #[cfg(target_os = "linux")]
    process: Mutex<Option<Process>>,
    /// Models by identity, each rebuilt here and identified anew.
    models: Mutex<BTreeMap<Digest, Arc<Model>>>,
    runs: Cache<RunKey, Arc<RunRecord>>,
    longer: Cache<(RunKey, u32), Arc<RunRecord>>,
    segments: Cache<(RunKey, u64), Arc<FineRun>>,
}

impl SandboxExecutor {
    /// Starts a process and has it read its models.
    ///
    /// # Errors
    /// It cannot be started or confined, or refuses a model.
    pub fn start(options: SandboxOptions) -> Result<SandboxExecutor, SandboxError> {
        let mut executor = SandboxExecutor {
            options,
            served: Vec::new(),
            #[cfg(target_os = "linux")]
            process: Mutex::new(None),
            models: Mutex::default(),
            runs: Cache::new(RUNS_KEPT),
            longer: Cache::new(SEGMENTS_KEPT),
            segments: Cache::new(SEGMENTS_KEPT),
        };
        executor.served = executor.loaded()?;
        Ok(executor)
    }

    /// What it serves, in the order of the options' names.
    pub fn served(&self) -> &[Served] {
        &self.served
    }

    /// Has the process try what it must not be able to do. `None`: an error stopped it.
    ///
    /// # Errors
    /// A limit ended the process.
    pub fn probe(&self, probe: Probe) -> Result<Option<String>, SandboxError> {
        match self.ask(&Request::Probe(probe), &Packed::default())? {
            (Reply::Probed(found), _) => Ok(found),
            _ => Err(other("to a probe")),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn loaded(&self) -> Result<Vec<Served>, SandboxError> {
        Err(SandboxError::Unsupported)
    }

    #[cfg(not(target_os = "linux"))]
    fn ask(&self, _request: &Request, _body: &Packed) -> Result<(Reply, Body), SandboxError> {
        Err(SandboxError::Unsupported)
    }

    /// Starts a process, if there is none, and gives what it serves.
    #[cfg(target_os = "linux")]
    fn loaded(&self) -> Result<Vec<Served>, SandboxError> {
        let (process, served) = self.fresh()?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(served)
    }

    #[cfg(target_os = "linux")]
    fn fresh(&self) -> Result<(Process, Vec<Served>), SandboxError> {
        let mut process = Process::start(&self.options)?;
        let names = self.options.models.clone();
        let request = Request::Load { names };
        let load = self.options.limits.load;
        match process.ask(&request, &Packed::default(), load)? {
            (Reply::Loaded(served), _) => Ok((process, served)),
            (Reply::Failed(why), _) => Err(SandboxError::Refused(why)),
            _ => Err(other("when it was to load")),
        }
    }

    #[cfg(target_os = "linux")]
    fn ask(&self, request: &Request, body: &Packed) -> Result<(Reply, Body), SandboxError> {
        let mut held = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let mut process = match held.take() {
            Some(process) => process,
            None => {
                let (process, served) = self.fresh()?;
                if served != self.served {
                    return Err(SandboxError::Answer(
                        "the model's file is another one now".to_owned(),
                    ));
                }
                process
            }
        };
        let (reply, body) = process.ask(request, body, self.options.limits.request)?;
        *held = Some(process);
        match reply {
            Reply::Failed(why) => Err(SandboxError::Refused(why)),
            reply => Ok((reply, body)),
        }
    }

    /// A model, fetched in parts.
    fn fetched(&self, model_id: &Digest) -> Result<Option<Arc<Model>>, ExecutorError> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = models.get(model_id) {
            return Ok(Some(Arc::clone(model)));
        }
        let model_id = *model_id;
        let request = Request::Model { model_id };
        let (parts, body) = match self.ask(&request, &Packed::default())? {
            (Reply::Model(Some(parts)), body) => (*parts, body),
            (Reply::Model(None), _) => return Ok(None),
            _ => return Err(other("for a model").into()),
        };
        let readable = &self.options.readable;
        let model = body.model(parts, |path| {
            match readable.iter().any(|r| path.starts_with(r)) {
                true => gavel_model::map(path),
                false => Err(std::io::ErrorKind::PermissionDenied.into()),
            }
        })?;
        let found = model.model_id();
        if found != model_id {
            let expected = model_id;
            return Err(ExecutorError::Identity { expected, found });
        }
        let model = Arc::new(model);
        models.insert(model_id, Arc::clone(&model));
        Ok(Some(model))
    }

    fn known(&self, model_id: &Digest) -> Result<Arc<Model>, ExecutorError> {
        let model_id = *model_id;
        self.fetched(&model_id)?
            .ok_or(ExecutorError::UnknownModel { model_id })
    }

    fn make_run(
        &self,
        model: Arc<Model>,
        inputs: Vec<Tensor>,
        steps: Option<u32>,
    ) -> Result<Arc<RunRecord>, ExecutorError> {
        let mut packed = Packed::default();
        let of = inputs_of(&model, &inputs, &mut packed);
        let reply = self.ask(&Request::Run { of, steps }, &packed)?;
        let (
            Reply::Run {
                outputs,
                leaves,
                input_digest,
            },
            body,
        ) = reply
        else {
            return Err(other("for a run").into());
        };
        let wanted = crate::input_digest(&model, &inputs)?;
        if input_digest != wanted {
            return Err(wire::wrong("a run of other inputs").into());
        }
        let types = model
            .graph()
            .outputs
            .iter()
            .map(|(_, source)| model.type_of(*source));
        let outputs = body.tensors(&outputs, types)?;
        let level1 = Level1::of_model(model.header(), leaves)?;
        Ok(Arc::new(RunRecord {
            model,
            inputs,
            outputs,
            trace: Trace {
                level1,
                input_digest,
            },
        }))
    }
}

fn inputs_of(model: &Model, inputs: &[Tensor], packed: &mut Packed) -> Inputs {
    Inputs {
        model_id: model.model_id(),
        inputs: packed.tensors(inputs),
    }
}

fn other(when: &str) -> SandboxError {
    SandboxError::Answer(format!("something else {when}"))
}

impl Executor for SandboxExecutor {
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>> {
        self.fetched(model_id).ok().flatten()
    }

    fn known_run(&self, key: &RunKey) -> Option<Arc<RunRecord>> {
        self.runs.get(key)
    }

    fn serves(&self, model_id: &Digest, inputs: &[Tensor]) -> bool {
        let mut packed = Packed::default();
        let of = Inputs {
            model_id: *model_id,
            inputs: packed.tensors(inputs),
        };
        let reply = self.ask(&Request::Serves(of), &packed);
        matches!(reply, Ok((Reply::Serves(true), _)))
    }

    fn run(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError> {
        let model = self.known(model_id)?;
        let key = RunKey {
            model_id: *model_id,
            input_digest: crate::input_digest(&model, inputs)?,
        };
        self.runs
            .get_or_make(key, || self.make_run(model, inputs.to_vec(), None))
    }

    fn extended(&self, run: Arc<RunRecord>, steps: u32) -> Result<Arc<RunRecord>, ExecutorError> {
        if run.trace.steps() >= steps {
            return Ok(run);
        }
        self.longer.get_or_make((run.key(), steps), || {
            self.make_run(Arc::clone(&run.model), run.inputs.clone(), Some(steps))
        })
    }

    fn fine(&self, run: &RunRecord, leaf_index: u64) -> Result<Arc<FineRun>, ExecutorError> {
        let at: CommitPoint = run.commit_point(leaf_index)?;
        self.segments.get_or_make((run.key(), leaf_index), || {
            let mut packed = Packed::default();
            let of = inputs_of(&run.model, &run.inputs, &mut packed);
            let steps = run.trace.steps();
            let leaf = leaf_index;
            let reply = self.ask(&Request::Fine { of, steps, leaf }, &packed)?;
            let (
                Reply::Fine {
                    tensors,
                    live,
                    op_digests,
                    live_digests,
                },
                body,
            ) = reply
            else {
                return Err(other("for a segment").into());
            };
            let (model, header) = (&run.model, run.model.header());
            let missing = || ExecutorError::Leaf { leaf_index };
            let segment = model
                .segments()
                .get(at.segment as usize)
                .ok_or_else(missing)?;
            let nodes: Vec<_> = segment.nodes().map(gavel_model::Source::node).collect();
            let types = |sources: &[gavel_model::Source]| -> Vec<_> {
                sources
                    .iter()
                    .map(|source| model.type_of(*source))
                    .collect()
            };
            let (ops, heights) = (types(&nodes), (header.ops_height, header.live_height));
            let ends = types(&segment.live);
            Ok(Arc::new(FineRun {
                tensors: body.tensors(&tensors, ops.into_iter())?,
                live: body.tensors(&live, ends.into_iter())?,
                trace: FineTrace::new(heights.0, op_digests, heights.1, live_digests)?,
            }))
        })
    }

    fn live_before(
        &self,
        run: &RunRecord,
        leaf_index: u64,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        let at = run.commit_point(leaf_index)?;
        let mut packed = Packed::default();
        let of = inputs_of(&run.model, &run.inputs, &mut packed);
        let (steps, leaf) = (run.trace.steps(), leaf_index);
        let reply = self.ask(&Request::LiveBefore { of, steps, leaf }, &packed)?;
        let (Reply::Live(live), body) = reply else {
            return Err(other("for live tensors").into());
        };
        let missing = || ExecutorError::Leaf { leaf_index };
        let sources = run.model.live_before(at.segment).ok_or_else(missing)?;
        let types: Vec<_> = sources.iter().map(|s| run.model.type_of(*s)).collect();
        Ok(body.tensors(&live, types.into_iter())?)
    }
}
