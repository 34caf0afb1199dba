//! Between what the leader's roles ask for and the jobs in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel_state::{Job, MOST_FAILURES, StateError, Store};
use tokio::time::sleep;

use super::executor::{Desk, FleetExecutor, KEPT, State};
use super::{Came, Spec};
use crate::protection::ProtectionError;
use crate::{Blobs, NodeError, RunKey, RunRecord};

/// Between two looks at who is there, while nothing is under way.
const IDLE: Duration = Duration::from_secs(1);

/// What a dispatcher has to tell.
#[derive(Debug)]
pub enum FleetEvent<'a> {
    /// A run was put up as a job.
    Offered {
        /// The job.
        job: &'a str,
    },
    /// A job came back as a run.
    Done {
        /// The job.
        job: &'a str,
        /// Who did it.
        worker: &'a str,
        /// Times that it was begun.
        tries: u32,
    },
    /// What came back is no run of the job.
    Rejected {
        /// The job.
        job: &'a str,
        /// Who did it.
        worker: &'a str,
        /// What is wrong with it.
        why: &'a str,
    },
    /// A job that nobody could do.
    GivenUp {
        /// The job.
        job: &'a str,
        /// Why not.
        why: &'a str,
    },
    /// Other workers are there than before.
    Workers {
        /// Their names.
        names: &'a [String],
    },
    /// The store or the blobs fail; they are asked again.
    Failed {
        /// Why.
        error: &'a NodeError,
    },
}

/// Puts up what the executor's owner asks for and takes in what comes of it, with a look every `poll` while something is
/// under way. Resolves when this process is the writer no more.
pub async fn dispatch(
    executor: &FleetExecutor,
    store: &dyn Store,
    blobs: &Blobs,
    poll: Duration,
    mut tell: impl FnMut(FleetEvent<'_>),
) -> StateError {
    let mut dispatcher = Dispatcher {
        desk: &executor.desk,
        store,
        blobs,
        names: Vec::new(),
        unasked: BTreeMap::new(),
    };
    let mut told = String::new();
    loop {
        match dispatcher.round(&mut tell).await {
            Ok(()) => told.clear(),
            Err(NodeError::Protection(ProtectionError::State(
                error @ StateError::NotWriter { .. },
            ))) => return error,
            Err(error) if error.to_string() == told => {}
            Err(error) => {
                told = error.to_string();
                tell(FleetEvent::Failed { error: &error });
            }
        }
        let open = executor.desk.entries().values().any(|e| e.is_open());
        let pause = if open { poll } else { IDLE };
        tokio::select! {
            () = executor.desk.wanted.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

struct Dispatcher<'a> {
    desk: &'a Desk,
    store: &'a dyn Store,
    blobs: &'a Blobs,
    names: Vec<String>,
    /// Jobs that are in the store and that nobody here has asked for, since when: those of a leader before this one.
    unasked: BTreeMap<String, Instant>,
}

impl Dispatcher<'_> {
    async fn round(&mut self, tell: &mut impl FnMut(FleetEvent<'_>)) -> Result<(), NodeError> {
        let workers = self.store.workers().await?;
        let names: Vec<_> = workers.iter().map(|w| w.name.clone()).collect();
        self.desk.set_workers(workers);
        if names != self.names {
            tell(FleetEvent::Workers { names: &names });
            self.names = names;
        }
        self.offer(tell).await?;
        let jobs = self.store.jobs().await?;
        for job in &jobs {
            let Ok(spec) = serde_json::from_str::<Spec>(&job.spec) else {
                continue;
            };
            let key = RunKey {
                model_id: spec.model,
                input_digest: spec.input,
            };
            self.collect(key, job, tell).await?;
        }
        self.offered_are_there(&jobs);
        self.tidy(&jobs).await
    }

    /// Puts up what is wanted, once its input can be had.
    async fn offer(&self, tell: &mut impl FnMut(FleetEvent<'_>)) -> Result<(), NodeError> {
        let wanted: Vec<_> = (self.desk.entries().iter())
            .filter(|(_, e)| matches!(e.state, State::Wanted))
            .map(|(key, e)| (*key, e.class, Arc::clone(&e.model), e.inputs.clone()))
            .collect();
        for (key, class, model, inputs) in wanted {
            let digest = &key.input_digest;
            // what the leader kept, the store may have lost
            let there = self.blobs.inputs(digest, &model).await;
            if !matches!(there, Ok(Some(_))) {
                self.blobs.put_inputs(digest, &inputs).await?;
            }
            let spec = Spec::of(&key);
            let (id, text) = (spec.id(), serde_json::json!(spec).to_string());
            self.store.offer(&id, &class.to_string(), &text).await?;
            self.set(&key, State::Offered);
            tell(FleetEvent::Offered { job: &id });
        }
        Ok(())
    }

    fn set(&self, key: &RunKey, state: State) {
        if let Some(entry) = self.desk.entries().get_mut(key) {
            entry.state = state;
        }
    }

    /// Takes in what came of a job that is waited for.
    async fn collect(
        &self,
        key: RunKey,
        job: &Job,
        tell: &mut impl FnMut(FleetEvent<'_>),
    ) -> Result<(), NodeError> {
        let waited_for = (self.desk.entries().get(&key))
            .filter(|e| matches!(e.state, State::Offered))
            .map(|e| (Arc::clone(&e.model), e.inputs.clone()));
        let Some((model, inputs)) = waited_for else {
            return Ok(());
        };
        let id = &job.id;
        if job.is_given_up() {
            let why = job.error.as_deref().unwrap_or("its workers fell silent");
            self.set(&key, State::GivenUp(why.to_owned()));
            tell(FleetEvent::GivenUp { job: id, why });
            return Ok(());
        }
        let Some(result) = &job.result else {
            return Ok(());
        };
        let worker = job.worker.as_deref().unwrap_or_default();
        let run = match serde_json::from_str::<Came>(result) {
            Ok(came) => {
                let run = (self.blobs)
                    .run(&came.trace_root, &model, &inputs, key.input_digest)
                    .await;
                match run {
                    Ok(Some(run)) => as_said(run, &came),
                    Ok(None) => Err("its blob is not there".to_owned()),
                    Err(NodeError::Store(error)) => return Err(error.into()),
                    Err(error) => Err(error.to_string()),
                }
            }
            Err(error) => Err(error.to_string()),
        };
        match run {
            Ok(run) => {
                self.set(&key, State::Done(Arc::new(run)));
                let tries = job.tries;
                tell(FleetEvent::Done {
                    job: id,
                    worker,
                    tries,
                });
            }
            Err(why) => {
                let why = &why;
                tell(FleetEvent::Rejected {
                    job: id,
                    worker,
                    why,
                });
                self.store.forget(id).await?;
                let mut entries = self.desk.entries();
                if let Some(entry) = entries.get_mut(&key) {
                    entry.rejected += 1;
                    entry.state = match entry.rejected < MOST_FAILURES {
                        true => State::Wanted,
                        false => State::GivenUp(why.clone()),
                    };
                    if !entry.is_open() {
                        tell(FleetEvent::GivenUp { job: id, why });
                    }
                }
            }
        }
        Ok(())
    }

    /// A job that somebody took down is put up again.
    fn offered_are_there(&self, jobs: &[Job]) {
        let there: BTreeSet<_> = jobs.iter().map(|job| job.id.as_str()).collect();
        for (key, entry) in self.desk.entries().iter_mut() {
            let gone = !there.contains(Spec::of(key).id().as_str());
            if gone && matches!(entry.state, State::Offered) {
                entry.state = State::Wanted;
            }
        }
    }

    /// Takes down what nobody asks for any more.
    async fn tidy(&mut self, jobs: &[Job]) -> Result<(), NodeError> {
        for (key, run) in self.desk.forget() {
            self.store.forget(&Spec::of(&key).id()).await?;
            if let Some(run) = run {
                self.blobs.remove_run(&run.trace.trace_root()).await?;
            }
        }
        let asked: BTreeSet<_> = (self.desk.entries().keys())
            .map(|key| Spec::of(key).id())
            .collect();
        let unasked = jobs.iter().filter(|job| !asked.contains(&job.id));
        let since: BTreeMap<_, _> = unasked
            .map(|job| {
                let since = self.unasked.get(&job.id).copied();
                (job.id.clone(), since.unwrap_or_else(Instant::now))
            })
            .collect();
        self.unasked = since;
        for (id, since) in &self.unasked {
            if since.elapsed() > KEPT {
                self.store.forget(id).await?;
            }
        }
        Ok(())
    }
}

/// The run, if it ends as its maker said.
fn as_said(run: RunRecord, came: &Came) -> Result<RunRecord, String> {
    match run.trace.output_digest() == came.output_digest {
        true => Ok(run),
        false => Err(format!(
            "its trace ends with {}, and {} was said",
            run.trace.output_digest(),
            came.output_digest
        )),
    }
}
