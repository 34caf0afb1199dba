//! Several processes behind one key: the one that has it decides, signs and sends; others, which need not have it, run models.
//!
//! - [`lead`]: who acts with the key, one at a time.
//! - [`FleetExecutor`]: what the leader computes with; runs are jobs in the store, and [`dispatch`] carries them there and
//!   back.
//! - [`work`]: takes jobs.
//!
//! What a worker says of a run is checked as far as that can be without running it; that it is a run on these inputs it is
//! trusted with.

mod dispatch;
mod executor;
pub mod lead;
mod worker;

use gavel_trace::Digest;
use serde::{Deserialize, Serialize};

pub use dispatch::{FleetEvent, dispatch};
pub use executor::FleetExecutor;
pub use worker::{WorkOptions, WorkerEvent, work};

use crate::RunKey;

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    model: Digest,
    input: Digest,
}

impl Spec {
    fn of(key: &RunKey) -> Spec {
        Spec {
            model: key.model_id,
            input: key.input_digest,
        }
    }

    /// Name of its job: whoever needs the run again finds the same.
    fn id(&self) -> String {
        format!("run/{}/{}", self.model, self.input)
    }
}

/// What a worker says of a run; the run itself is a blob under its trace root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Came {
    trace_root: Digest,
    output_digest: Digest,
}
