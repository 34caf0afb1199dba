//! The other side: the process that reads and runs models.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use gavel_trace::Digest;

use super::wire::{self, Body, Inputs, Packed, Probe, Reply, Request, Served};
use crate::{EngineExecutor, Executor, ExecutorError, RunRecord};

/// Descriptors that [`Probe::Descriptors`] looks at: what is inherited may lie above those that can be opened.
const MOST_LOOKED_AT: u32 = 4096;

/// What a model process is told when it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOptions {
    /// Most bytes of address space.
    pub memory: u64,
    /// Files and folders that it may read.
    pub readable: Vec<PathBuf>,
}

/// Confines this process for the rest of its life, then answers requests until its standard input ends. `load` makes
/// the executor of the models that it is asked for. Nothing else may run in the process before.
///
/// # Errors
/// The process cannot be confined, or its pipes fail.
pub fn serve(
    options: &WorkerOptions,
    load: impl Fn(&[String]) -> Result<(Arc<EngineExecutor>, Vec<Served>), String>,
) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    super::confine::confine(options)?;
    #[cfg(not(target_os = "linux"))]
    return Err(io::Error::other(super::SandboxError::Unsupported));
    #[allow(unreachable_code)]
    let (mut requests, mut replies) = (io::stdin().lock(), io::stdout().lock());
    let mut executor = None;
    loop {
        let (request, body) = match wire::read::<Request>(&mut requests, options.memory) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let mut packed = Packed::default();
        let reply = match request {
            Request::Load { names } => match load(&names) {
                Ok((loaded, served)) => {
                    executor = Some(loaded);
                    Reply::Loaded(served)
                }
                Err(why) => Reply::Failed(why),
            },
            Request::Probe(probe) => Reply::Probed(tried(&probe)),
            other => match &executor {
                Some(executor) => answer(executor, other, &body, &mut packed)
                    .unwrap_or_else(|error| Reply::Failed(error.to_string())),
                None => Reply::Failed("no models were loaded".to_owned()),
            },
        };
        wire::write(&mut replies, &reply, &packed)?;
    }
}

fn answer(
    executor: &EngineExecutor,
    request: Request,
    body: &Body,
    packed: &mut Packed,
) -> Result<Reply, ExecutorError> {
    let run = |of: &Inputs, steps: Option<u32>| -> Result<Arc<RunRecord>, ExecutorError> {
        let run = executor.run(&of.model_id, &body.given(&of.inputs)?)?;
        match steps {
            Some(steps) => executor.extended(run, steps),
            None => Ok(run),
        }
    };
    Ok(match request {
        Request::Model { model_id } => {
            let model = executor.model(&model_id);
            Reply::Model(model.map(|model| Box::new(packed.model(&model))))
        }
        Request::Serves(of) => {
            Reply::Serves(executor.serves(&of.model_id, &body.given(&of.inputs)?))
        }
        Request::Run { of, steps } => {
            let run = run(&of, steps)?;
            Reply::Run {
                outputs: packed.tensors(run.outputs.iter().map(Arc::as_ref)),
                leaves: run.trace.leaves().to_vec(),
                input_digest: run.trace.input_digest,
            }
        }
        Request::Fine { of, steps, leaf } => {
            let fine = executor.fine(&*run(&of, Some(steps))?, leaf)?;
            let digests =
                |tree: &gavel_trace::MerkleTree| -> Vec<Digest> { tree.leaves().to_vec() };
            Reply::Fine {
                tensors: packed.tensors(fine.tensors.iter().map(Arc::as_ref)),
                live: packed.tensors(fine.live.iter().map(Arc::as_ref)),
                op_digests: digests(fine.trace.ops()),
                live_digests: digests(fine.trace.live()),
            }
        }
        Request::LiveBefore { of, steps, leaf } => {
            let live = executor.live_before(&*run(&of, Some(steps))?, leaf)?;
            Reply::Live(packed.tensors(live.iter().map(Arc::as_ref)))
        }
        Request::Load { .. } | Request::Probe(_) => Reply::Failed("answered before".to_owned()),
    })
}

/// How far a probe came. Those that a limit ends do not come back.
fn tried(probe: &Probe) -> Option<String> {
    match probe {
        Probe::Connect => {
            let listener = std::net::UdpSocket::bind("127.0.0.1:0").map(|_| "a socket".to_owned());
            let stream = std::net::TcpStream::connect("127.0.0.1:1").map(|_| "a stream".to_owned());
            // a refused connection is a connection that was tried
            let refused = |e: io::Error| match e.kind() {
                io::ErrorKind::ConnectionRefused => Ok("a connection".to_owned()),
                _ => Err(e),
            };
            listener.or_else(|_| stream.or_else(refused)).ok()
        }
        Probe::Read(path) => {
            let read = std::fs::read(path).ok();
            read.map(|bytes| format!("{} bytes", bytes.len()))
        }
        Probe::Write(path) => {
            let written = std::fs::File::create(path).and_then(|mut file| file.write_all(b"here"));
            written.ok().map(|()| "a file".to_owned())
        }
        Probe::Spawn(path) => {
            let child = std::process::Command::new(path).spawn().ok();
            child.map(|mut child| format!("{:?}", child.wait()))
        }
        Probe::Variable(name) => std::env::var(name).ok(),
        Probe::Descriptors => {
            let open = |n: &u32| std::fs::metadata(format!("/proc/self/fd/{n}")).is_ok();
            let open: Vec<_> = (0..MOST_LOOKED_AT)
                .filter(open)
                .map(|n| n.to_string())
                .collect();
            Some(open.join(" "))
        }
        #[cfg(target_os = "linux")]
        Probe::Signal(process) => super::confine::signals(*process),
        #[cfg(not(target_os = "linux"))]
        Probe::Signal(_) => None,
        Probe::Allocate(bytes) => {
            let taken = vec![1u8; usize::try_from(*bytes).unwrap_or(usize::MAX)];
            Some(format!("{} bytes", std::hint::black_box(taken).len()))
        }
        Probe::Loop => {
            let mut n = 0u64;
            while std::hint::black_box(n) != u64::MAX {
                n = n.wrapping_add(1) & 0xff;
            }
            None
        }
        Probe::Panic => {
            let nothing: Option<String> = std::hint::black_box(None);
            Some(nothing.unwrap_or_else(|| panic!("a model asked for it")))
        }
    }
}
