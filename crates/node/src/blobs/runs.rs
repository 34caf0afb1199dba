//! Runs that one process of an identity hands to another, under their trace roots.

use std::sync::Arc;

use gavel_engine::{Trace, digest};
use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_trace::{Digest, Level1, live_root};
use gavel_verifier::ShownTensor;
use serde::{Deserialize, Serialize};

use super::{Blobs, NO_TENSORS, bytes_of, corrupt};
use crate::{NodeError, RunRecord};

/// Most bytes of a leaf: its digest in hexadecimal, and what goes with it.
const PER_LEAF: u64 = 80;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandedRun {
    outputs: Vec<ShownTensor>,
    leaves: Vec<Digest>,
}

fn name(trace_root: &Digest) -> String {
    format!("runs/{trace_root}.json")
}

impl Blobs {
    /// Stores what a run came to.
    ///
    /// # Errors
    /// The store said no.
    pub async fn put_run(&self, run: &RunRecord) -> Result<(), NodeError> {
        let handed = HandedRun {
            outputs: run
                .outputs
                .iter()
                .map(|t| ShownTensor::trimmed(t))
                .collect(),
            leaves: run.trace.leaves().to_vec(),
        };
        self.put(&name(&run.trace.trace_root()), &handed).await
    }

    /// The run of a model that a trace root binds, or none. That it is a run on these inputs is what its maker says; whatever
    /// can be told without running it is checked: types, the root, that the outputs are those that it ends with, and that a
    /// model of several steps stopped.
    ///
    /// # Errors
    /// The store said no, or the blob is not what its name says.
    pub async fn run(
        &self,
        trace_root: &Digest,
        model: &Arc<Model>,
        inputs: &[Tensor],
        input_digest: Digest,
    ) -> Result<Option<RunRecord>, NodeError> {
        let (name, header) = (name(trace_root), model.header());
        let sources = model.graph().outputs.iter().map(|(_, source)| *source);
        let types = || sources.clone().filter_map(|source| model.type_of(source));
        let leaves = u64::from(header.max_steps) * u64::from(header.commit_points);
        let most = bytes_of(types()).saturating_add(leaves.saturating_mul(PER_LEAF));
        let Some(handed) = self.get::<HandedRun>(&name, most).await? else {
            return Ok(None);
        };
        let wrong = |reason: &str| corrupt(&name, reason);
        let outputs = ShownTensor::tensors(&handed.outputs, types());
        let outputs = outputs.filter(|outputs| outputs.len() == sources.len());
        let outputs = outputs.ok_or_else(|| wrong(NO_TENSORS))?;
        let level1 = Level1::of_model(header, handed.leaves)?;
        if level1.commitment().trace_root != *trace_root {
            return Err(wrong("its leaves have another root"));
        }
        let digests: Vec<Digest> = outputs.iter().map(digest).collect();
        if live_root(header.live_height, &digests)? != level1.output_digest() {
            return Err(wrong("its outputs are not those that its trace ends with"));
        }
        let stopped =
            || Ok::<_, gavel_numerics::NumericsError>(digest(&Tensor::i64([1], vec![1])?));
        let unstopped = header.max_steps > 1
            && digests.first() != Some(&stopped().map_err(|e| corrupt(&name, e))?);
        if unstopped {
            return Err(wrong("it ends before the model stopped"));
        }
        Ok(Some(RunRecord {
            model: Arc::clone(model),
            inputs: inputs.to_vec(),
            outputs: outputs.into_iter().map(Arc::new).collect(),
            trace: Trace {
                level1,
                input_digest,
            },
        }))
    }

    /// Removes a run that nobody waits for.
    ///
    /// # Errors
    /// The store said no.
    pub async fn remove_run(&self, trace_root: &Digest) -> Result<(), NodeError> {
        self.store.delete(&name(trace_root)).await
    }
}
