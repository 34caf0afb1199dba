//! The executor whose work is done in a process of its own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gavel_engine::{FineRun, Trace};
use gavel_model::Model;
use gavel_numerics::{Tensor, TensorType};
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
        match self.ask(&Request::Probe(probe), &Packed::default(), 0)? {
            (Reply::Probed(found), _) => Ok(found),
            _ => Err(other("to a probe")),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn loaded(&self) -> Result<Vec<Served>, SandboxError> {
        Err(SandboxError::Unsupported)
    }

    #[cfg(not(target_os = "linux"))]
    fn ask(
        &self,
        _request: &Request,
        _body: &Packed,
        _most: u64,
    ) -> Result<(Reply, Body), SandboxError> {
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
        match process.ask(&request, &Packed::default(), 0, load)? {
            (Reply::Loaded(served), _) => Ok((process, served)),
            (Reply::Failed(why), _) => Err(SandboxError::Refused(why)),
            _ => Err(other("when it was to load")),
        }
    }

    /// Asks for an answer of at most `most` bytes of tensors: what a process promises takes no more memory here.
    #[cfg(target_os = "linux")]
    fn ask(
        &self,
        request: &Request,
        body: &Packed,
        most: u64,
    ) -> Result<(Reply, Body), SandboxError> {
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
        let (reply, body) = process.ask(request, body, most, self.options.limits.request)?;
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
        // its weights, where they are not those of a file
        let most = self.options.limits.memory;
        let (parts, body) = match self.ask(&request, &Packed::default(), most)? {
            (Reply::Model(Some(parts)), body) => (*parts, body),
            (Reply::Model(None), _) => return Ok(None),
            _ => return Err(other("for a model").into()),
        };
        let readable = &self.options.readable;
        let model = body.model(parts, |path| gavel_model::map(&allowed(path, readable)?))?;
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
        let outputs = model.graph().outputs.iter();
        let types: Vec<_> = outputs.map(|(_, source)| model.type_of(*source)).collect();
        let reply = self.ask(&Request::Run { of, steps }, &packed, bytes_of(&types)?)?;
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
        let outputs = body.tensors(&outputs, types.into_iter())?;
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

/// Where a file really is, if that is one that the process may read, or in a folder that it may.
fn allowed(path: &Path, readable: &[PathBuf]) -> io::Result<PathBuf> {
    let file = path.canonicalize()?;
    let inside = |r: &PathBuf| r.canonicalize().is_ok_and(|r| file.starts_with(r));
    match file.is_file() && readable.iter().any(inside) {
        true => Ok(file),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Bytes that tensors of these types have, all in all.
fn bytes_of(types: &[Option<&TensorType>]) -> Result<u64, SandboxError> {
    let mut all = 0u64;
    for ty in types {
        let ty = ty.ok_or_else(|| wire::wrong("a tensor of no type"))?;
        let bytes = ty.byte_len().map_err(wire::wrong)?;
        all = all.saturating_add(bytes as u64);
    }
    Ok(all)
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
        let reply = self.ask(&Request::Serves(of), &packed, 0);
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
            let most = bytes_of(&ops)?.saturating_add(bytes_of(&ends)?);
            let reply = self.ask(&Request::Fine { of, steps, leaf }, &packed, most)?;
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
        let missing = || ExecutorError::Leaf { leaf_index };
        let sources = run.model.live_before(at.segment).ok_or_else(missing)?;
        let types: Vec<_> = sources.iter().map(|s| run.model.type_of(*s)).collect();
        let most = bytes_of(&types)?;
        let reply = self.ask(&Request::LiveBefore { of, steps, leaf }, &packed, most)?;
        let (Reply::Live(live), body) = reply else {
            return Err(other("for live tensors").into());
        };
        Ok(body.tensors(&live, types.into_iter())?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sandbox::SandboxLimits;

    /// A process that says what is in a file, whatever it is asked.
    fn saying(file: &Path, answers: &[(&str, &[u8])]) -> SandboxExecutor {
        let mut bytes = Vec::new();
        for (header, body) in answers {
            bytes.extend((header.len() as u64).to_le_bytes());
            bytes.extend((body.len() as u64).to_le_bytes());
            bytes.extend(header.as_bytes());
            bytes.extend(*body);
        }
        std::fs::write(file, bytes).unwrap();
        let says = format!("/bin/cat '{}'; exec /bin/cat >/dev/null", file.display());
        let limit = Duration::from_secs(60);
        SandboxExecutor::start(SandboxOptions {
            program: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), says],
            models: Vec::new(),
            readable: Vec::new(),
            limits: SandboxLimits {
                memory: 1 << 30,
                request: limit,
                load: limit,
            },
        })
        .unwrap()
    }

    #[test]
    fn an_answer_of_more_bytes_than_it_may_have_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("answers");
        let loaded: (&str, &[u8]) = (r#"{"loaded":[]}"#, b"");
        let nobody = Digest([9; 32]);
        let said = |body: &'static [u8]| {
            let there = saying(&file, &[loaded, (r#"{"serves":true}"#, body)]);
            there.serves(&nobody, &[])
        };
        assert!(said(b""));
        assert!(!said(b"x"));
        let probed = |body: &'static [u8]| {
            let there = saying(&file, &[loaded, (r#"{"probed":"far"}"#, body)]);
            there.probe(Probe::Connect)
        };
        assert_eq!(probed(b"").unwrap().as_deref(), Some("far"));
        assert!(matches!(probed(b"x"), Err(SandboxError::Answer(_))));
    }

    #[test]
    fn bytes_of_a_segment_are_those_of_its_types() {
        use gavel_numerics::DType;
        let (a, b) = (
            TensorType::new(DType::F32, [3, 4]),
            TensorType::new(DType::F32, [5]),
        );
        assert_eq!(bytes_of(&[Some(&a), Some(&b)]).unwrap(), 68);
        assert_eq!(bytes_of(&[]).unwrap(), 0);
        assert!(bytes_of(&[None]).is_err());
    }

    #[test]
    fn a_weight_is_looked_for_where_the_process_may_read_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        std::fs::create_dir(place("model")).unwrap();
        for name in ["model/weights", "key", "net.onnx"] {
            std::fs::write(place(name), "").unwrap();
        }
        std::os::unix::fs::symlink(place("key"), place("model/link")).unwrap();
        let readable = [place("model"), place("net.onnx"), place("gone")];
        let may = |name: &str| allowed(&place(name), &readable).is_ok();
        assert!(may("model/weights"));
        assert!(may("model/../model/weights"));
        assert!(may("net.onnx"));
        assert!(!may("key"));
        assert!(!may("model/../key"));
        assert!(!may("model/link"));
        assert!(!may("model"), "no regular file");
        assert!(!may("model/absent"));
    }
}
