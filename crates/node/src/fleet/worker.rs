//! Whoever runs models for a leader. It has no key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gavel_state::{Lease, StateError, Store};
use gavel_trace::Digest;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Came, Spec};
use crate::{Blobs, Executor, NodeError, RunRecord};

/// Pause after something failed; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest of those pauses.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Times that the store is asked to take a result.
const ATTEMPTS: u32 = 6;

/// How a worker works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkOptions {
    /// Its name among the workers: one of its own.
    pub name: String,
    /// Classes that it serves.
    pub classes: Vec<Digest>,
    /// For how long a job is its own without a sign of life.
    pub lease_seconds: u32,
    /// Between two looks at the store while there is nothing to do.
    pub poll: Duration,
}

/// What a worker has to tell.
#[derive(Debug)]
pub enum WorkerEvent<'a> {
    /// It has a job.
    Began {
        /// The job.
        job: &'a str,
        /// Times that it was begun, by anybody.
        tries: u32,
    },
    /// It has done a job.
    Done {
        /// The job.
        job: &'a str,
        /// What the run is bound by.
        trace_root: Digest,
        /// How long it took.
        took: Duration,
    },
    /// It cannot do a job.
    Failed {
        /// The job.
        job: &'a str,
        /// Why not.
        why: &'a str,
    },
    /// It gave a job back.
    Returned {
        /// The job.
        job: &'a str,
        /// Why.
        why: &'a str,
    },
    /// What it did came too late: the job is somebody else's.
    Late {
        /// The job.
        job: &'a str,
    },
    /// The store cannot be asked; it will be again.
    Unreachable {
        /// Why.
        error: &'a StateError,
    },
}

/// How a job ends here.
enum End {
    Done(Arc<RunRecord>),
    /// It cannot be done.
    Failed(String),
    /// It cannot be done now, which is not its fault.
    Returned(String),
}

/// Takes jobs, one at a time. With `draining` set it ends after the job that it has; when `stop` resolves at once, and the
/// job goes back. `connect` is asked again whenever the store is lost.
pub async fn work<C: Future<Output = Result<Arc<dyn Store>, StateError>>>(
    options: &WorkOptions,
    executor: &Arc<dyn Executor>,
    blobs: &Blobs,
    connect: impl Fn() -> C,
    draining: &AtomicBool,
    stop: impl Future<Output = ()>,
    mut tell: impl FnMut(WorkerEvent<'_>),
) {
    let mut worker = Worker {
        kinds: options.classes.iter().map(Digest::to_string).collect(),
        options,
        executor,
        blobs,
        connect,
        store: None,
    };
    let (mut stop, mut pause, mut told) = (std::pin::pin!(stop), PAUSE, String::new());
    while !draining.load(Ordering::Relaxed) {
        let looked = tokio::select! {
            biased;
            () = &mut stop => break,
            looked = worker.look() => looked,
        };
        let rest = match looked {
            Ok(Some(lease)) => {
                told.clear();
                let done = worker.job(&lease, stop.as_mut(), &mut tell).await;
                match done {
                    Some(true) => {
                        pause = PAUSE;
                        continue;
                    }
                    // others may have what is missing here
                    Some(false) => grown(&mut pause),
                    None => break,
                }
            }
            Ok(None) => {
                told.clear();
                options.poll
            }
            Err(error) => {
                worker.store = None;
                if error.to_string() != told {
                    told = error.to_string();
                    tell(WorkerEvent::Unreachable { error: &error });
                }
                grown(&mut pause)
            }
        };
        tokio::select! {
            () = &mut stop => break,
            () = sleep(rest) => {}
        }
    }
    // so that nobody counts on it; where that fails its time runs out
    let _ = worker.appear(0).await;
}

fn grown(pause: &mut Duration) -> Duration {
    let now = *pause;
    *pause = (2 * now).min(PAUSE_MAX);
    now
}

struct Worker<'a, F> {
    options: &'a WorkOptions,
    kinds: Vec<String>,
    executor: &'a Arc<dyn Executor>,
    blobs: &'a Blobs,
    connect: F,
    store: Option<Arc<dyn Store>>,
}

impl<C, F> Worker<'_, F>
where
    C: Future<Output = Result<Arc<dyn Store>, StateError>>,
    F: Fn() -> C,
{
    async fn store(&mut self) -> Result<Arc<dyn Store>, StateError> {
        match &self.store {
            Some(store) => Ok(Arc::clone(store)),
            None => {
                let store = (self.connect)().await?;
                Ok(Arc::clone(self.store.insert(store)))
            }
        }
    }

    async fn appear(&mut self, seconds: u32) -> Result<(), StateError> {
        let store = self.store().await?;
        let done = store.appear(&self.options.name, &self.kinds, seconds).await;
        if done.is_err() {
            self.store = None;
        }
        done
    }

    async fn look(&mut self) -> Result<Option<Lease>, StateError> {
        let seconds = self.options.lease_seconds;
        self.appear(seconds).await?;
        let store = self.store().await?;
        store.lease(&self.options.name, &self.kinds, seconds).await
    }

    /// Does a job; whether it was done. `None`: it was told to stop.
    async fn job(
        &mut self,
        lease: &Lease,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
        tell: &mut impl FnMut(WorkerEvent<'_>),
    ) -> Option<bool> {
        let (id, began) = (lease.id.as_str(), Instant::now());
        tell(WorkerEvent::Began {
            job: id,
            tries: lease.tries,
        });
        let (executor, blobs) = (self.executor, self.blobs);
        let mut end = std::pin::pin!(end_of(lease, executor, blobs));
        let beat = Duration::from_secs(self.options.lease_seconds.into()) / 3;
        let end = loop {
            tokio::select! {
                () = &mut stop => {
                    let why = "this worker was told to stop";
                    tell(WorkerEvent::Returned { job: id, why });
                    let _ = self.note(lease, &End::Returned(String::new())).await;
                    return None;
                }
                end = &mut end => break end,
                // a store that is lost for a moment may be back before the lease is over
                () = sleep(beat) => { self.renew(lease).await; }
            }
        };
        match &end {
            End::Done(_) => {}
            End::Failed(why) => tell(WorkerEvent::Failed { job: id, why }),
            End::Returned(why) => tell(WorkerEvent::Returned { job: id, why }),
        }
        match (self.note(lease, &end).await, &end) {
            (Ok(true), End::Done(run)) => tell(WorkerEvent::Done {
                job: id,
                trace_root: run.trace.trace_root(),
                took: began.elapsed(),
            }),
            (Ok(true), _) => {}
            (Ok(false), _) => tell(WorkerEvent::Late { job: id }),
            (Err(error), _) => tell(WorkerEvent::Unreachable { error: &error }),
        }
        Some(matches!(end, End::Done(_)))
    }

    async fn renew(&mut self, lease: &Lease) {
        let seconds = self.options.lease_seconds;
        if self.appear(seconds).await.is_ok()
            && let Ok(store) = self.store().await
        {
            // a job that is somebody else's by now is run to its end all the same: a run cannot be stopped
            let _ = store.renew(lease, seconds).await;
        }
    }

    /// Tells the store how a job ended.
    async fn note(&mut self, lease: &Lease, end: &End) -> Result<bool, StateError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let noted = match self.store().await {
                Ok(store) => match end {
                    End::Done(run) => {
                        let came = Came {
                            trace_root: run.trace.trace_root(),
                            output_digest: run.trace.output_digest(),
                        };
                        let text = serde_json::json!(came).to_string();
                        store.finish(lease, &text).await
                    }
                    End::Failed(why) => store.fail(lease, why).await,
                    End::Returned(_) => store.release(lease).await,
                },
                Err(error) => Err(error),
            };
            match noted {
                Err(_) if attempt < ATTEMPTS => self.store = None,
                other => return other,
            }
            sleep(grown(&mut pause)).await;
        }
        unreachable!("the last attempt returns")
    }
}

async fn end_of(lease: &Lease, executor: &Arc<dyn Executor>, blobs: &Blobs) -> End {
    let run = match run(lease, executor, blobs).await {
        Ok(run) => run,
        Err(end) => return end,
    };
    // the run is there before anybody is told of it
    match blobs.put_run(&run).await {
        Ok(()) => End::Done(run),
        Err(error) => End::Returned(error.to_string()),
    }
}

async fn run(
    lease: &Lease,
    executor: &Arc<dyn Executor>,
    blobs: &Blobs,
) -> Result<Arc<RunRecord>, End> {
    let failed = |why: &dyn std::fmt::Display| End::Failed(why.to_string());
    let spec: Spec = serde_json::from_str(&lease.spec).map_err(|e| failed(&e))?;
    let model = executor.model(&spec.model);
    let model = model.ok_or_else(|| failed(&format!("no model {} here", spec.model)))?;
    let inputs = match blobs.inputs(&spec.input, &model).await {
        Ok(Some(inputs)) => inputs,
        Ok(None) => return Err(failed(&"its input is not among the blobs")),
        Err(error @ NodeError::Store(_)) => return Err(End::Returned(error.to_string())),
        Err(error) => return Err(failed(&error)),
    };
    let (tell, told) = oneshot::channel();
    let executor = Arc::clone(executor);
    // a thread of its own: the end of the process does not wait for it
    let spawned = std::thread::Builder::new()
        .name("job".to_owned())
        .spawn(move || tell.send(executor.run(&spec.model, &inputs)));
    spawned.map_err(|e| End::Returned(e.to_string()))?;
    match told.await {
        Ok(run) => run.map_err(|e| failed(&e)),
        Err(_) => Err(failed(&"the run panicked")),
    }
}
