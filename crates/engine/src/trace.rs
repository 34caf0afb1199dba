//! What a run leaves behind to be committed and disputed.

use std::sync::Arc;
use std::time::Duration;

use gavel_numerics::Tensor;
use gavel_trace::{Digest, FineTrace, Level1, TraceCommitment};

/// Level 1 of a run: the live root at every (step, commit point), and both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The level-1 tree.
    pub level1: Level1,
    /// Live root of the graph inputs: what the task binds.
    pub input_digest: Digest,
}

impl Trace {
    /// Steps that were run.
    pub fn steps(&self) -> u32 {
        self.level1.steps()
    }

    /// Live roots in the order of (step, commit point).
    pub fn leaves(&self) -> &[Digest] {
        self.level1.tree().leaves()
    }

    /// What goes on chain: steps, level-1 root and trace root.
    pub fn commitment(&self) -> TraceCommitment {
        self.level1.commitment()
    }

    /// `H(0x03 || steps || level1_root)`.
    pub fn trace_root(&self) -> Digest {
        self.commitment().trace_root
    }

    /// Live root of the graph outputs: the last leaf.
    pub fn output_digest(&self) -> Digest {
        self.level1.output_digest()
    }
}

/// Where the time of a run went. Of a batch, the share of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// In operators.
    pub compute: Duration,
    /// In the digests of live tensors (the commitment).
    pub hashing: Duration,
    /// In the input's own digest, which is no part of the commitment's cost.
    pub input_hashing: Duration,
}

impl Timing {
    /// Hashing over computing, as a fraction; 0 when nothing was computed.
    pub fn hashing_share(&self) -> f64 {
        let compute = self.compute.as_secs_f64();
        if compute > 0.0 {
            self.hashing.as_secs_f64() / compute
        } else {
            0.0
        }
    }
}

/// The result of one item.
#[derive(Clone, Debug)]
pub struct RunOutput {
    /// The graph outputs, in declared order.
    pub outputs: Vec<Arc<Tensor>>,
    /// What is committed with them.
    pub trace: Trace,
    /// Where the time went.
    pub timing: Timing,
}

/// One segment recomputed from the tensors that were live before it.
#[derive(Clone, Debug)]
pub struct FineRun {
    /// Output of every node of the segment, in canonical order.
    pub tensors: Vec<Arc<Tensor>>,
    /// The live tensors at its end, in live-list order.
    pub live: Vec<Arc<Tensor>>,
    /// Their digests as the segment's fine trace.
    pub trace: FineTrace,
}
