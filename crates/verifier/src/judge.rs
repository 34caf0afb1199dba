//! Judging an evidence file: everything that hashes decide, then what its bytes say, then the operator itself.

use gavel_dispute::appeal::Explanation;
use gavel_model::{NUMERICS_VERSION, Node, Source};
use gavel_numerics::{NumericsError, Op, Tensor, TensorType};
use gavel_trace::{
    CheckedEvidence, Digest, Evidence, EvidenceError, FineIndex, InputSource, InputTensor,
};

use crate::{Check, NoStep, digest, find_step, read_tensor, recompute};

/// What a reader spends on one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgeLimits {
    /// Most work of the operator, in multiply-adds or element operations.
    pub work: u64,
    /// Most bytes of its output.
    pub output_bytes: u64,
    /// Most batches of an element's run for the step that goes wrong to be looked for: a machine takes its steps one by one.
    pub batches: u64,
}

impl Default for JudgeLimits {
    fn default() -> JudgeLimits {
        JudgeLimits {
            work: 1 << 38,
            output_bytes: 1 << 30,
            batches: 1 << 19,
        }
    }
}

/// Why a file proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// Something that does not hash or open to what it should.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// Another arithmetic.
    #[error(
        "the model is of numerics version {found}, this program computes version {NUMERICS_VERSION}"
    )]
    Numerics {
        /// The model's version.
        found: u32,
    },
    /// Canonical bytes that cannot be read.
    #[error("the bytes of the {what} are not canonical")]
    Bytes {
        /// Which.
        what: &'static str,
    },
    /// An input that is not the one that the model names.
    #[error("input {position} is not what the model reads there")]
    Input {
        /// Its position.
        position: usize,
    },
    /// Another number of inputs than the operator has.
    #[error("the operator reads {expected} tensors, the file holds {found}")]
    Inputs {
        /// What the model says.
        expected: u16,
        /// What the file holds.
        found: usize,
    },
    /// An operator that is too large for the reader.
    #[error("the operator's {what} of {actual} is above the limit of {limit}")]
    TooLarge {
        /// "work" or "output bytes".
        what: &'static str,
        /// Of this operator.
        actual: u64,
        /// The reader's.
        limit: u64,
    },
    /// Operands that the operator refuses.
    #[error(transparent)]
    Operator(#[from] NumericsError),
}

/// What a file shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What was recomputed: an operator's name, or `None` for the copy in a live slot.
    pub operator: Option<&'static str>,
    /// Its node in canonical order.
    pub node: Option<u32>,
    /// The digest that the provider is bound to.
    pub claimed: Digest,
    /// The digest of what the operator gives on the committed inputs.
    pub recomputed: Digest,
    /// Whether the referee's digest is right, if the file holds a ruling.
    pub ruling_holds: Option<bool>,
    /// The arithmetic step that goes wrong, if the file shows the element.
    pub step: Option<Explanation>,
    /// Why there is none, of a false claim.
    pub no_step: Option<NoStep>,
}

impl Judgement {
    /// Whether the provider's claim is true.
    pub fn claim_holds(&self) -> bool {
        self.claimed == self.recomputed
    }
}

/// Replays the dispute of a file. What no hash in it covers stays the reader's: that the task with this model and
/// input, and the commitment with this trace root, are on the chain that the file names.
///
/// # Errors
/// The file proves nothing: it contradicts itself, or the operator cannot be computed from it.
pub fn judge(evidence: &Evidence, limits: &JudgeLimits) -> Result<Judgement, JudgeError> {
    judge_told(evidence, limits, &mut |_| {})
}

/// [`judge`], which tells each check that held, in order, up to the first that does not.
///
/// # Errors
/// As [`judge`].
pub fn judge_told(
    evidence: &Evidence,
    limits: &JudgeLimits,
    tell: &mut dyn FnMut(Check),
) -> Result<Judgement, JudgeError> {
    let checked = evidence.check_openings_told(&mut |held| tell(held.into()))?;
    let found = evidence.model.numerics_version;
    if found != NUMERICS_VERSION {
        return Err(JudgeError::Numerics { found });
    }
    tell(Check::held("numerics version", found));
    let (operator, recomputed) = match evidence.isolated {
        FineIndex::Op(_) => {
            let (name, output) = operator(&checked, limits, tell)?;
            (Some(name), output)
        }
        FineIndex::Live(slot) => (None, copied(&checked, slot, tell)?),
    };
    let holds = evidence.claim_holds(&recomputed);
    let step = (!holds).then(|| find_step(evidence, limits.batches));
    Ok(Judgement {
        operator,
        node: checked.node_index,
        claimed: evidence.claimed_digest,
        recomputed,
        ruling_holds: evidence.ruling_holds(&recomputed),
        no_step: step.as_ref().and_then(|step| step.as_ref().err().copied()),
        step: step.and_then(Result::ok),
    })
}

/// The digest that a live slot must have: that of the value which the model's live list names there.
fn copied(
    checked: &CheckedEvidence<'_>,
    slot: u32,
    tell: &mut dyn FnMut(Check),
) -> Result<Digest, JudgeError> {
    let evidence = checked.evidence;
    let (at, named) = live_entry(&evidence.node.bytes.0)?;
    let fits = match (evidence.inputs.first(), checked.input_digests.first()) {
        (Some(input), Some(digest)) if at == slot && names(evidence, input, named)? => Some(digest),
        _ => None,
    };
    let fits = fits.copied().ok_or(JudgeError::Input { position: 0 })?;
    tell(Check::held(
        "value that the model keeps in the slot",
        said(named),
    ));
    Ok(fits)
}

/// Name and output digest.
fn operator(
    checked: &CheckedEvidence<'_>,
    limits: &JudgeLimits,
    tell: &mut dyn FnMut(Check),
) -> Result<(&'static str, Digest), JudgeError> {
    let evidence = checked.evidence;
    let bytes = &evidence.node.bytes.0;
    let (op, output) = Node::decode(bytes).ok_or(JudgeError::Bytes { what: "node" })?;
    for (position, input) in evidence.inputs.iter().enumerate() {
        let edge = input
            .edge
            .as_ref()
            .and_then(|edge| edge_entry(&edge.bytes.0));
        let edge = edge.ok_or(JudgeError::Bytes { what: "edge" })?;
        if usize::from(edge.inputs) != evidence.inputs.len() {
            return Err(JudgeError::Inputs {
                expected: edge.inputs,
                found: evidence.inputs.len(),
            });
        }
        let here = checked.node_index == Some(edge.node) && usize::from(edge.position) == position;
        if !here || !names(evidence, input, edge.source)? {
            return Err(JudgeError::Input { position });
        }
        let what = format!("input {position}: what the model reads there");
        tell(Check::held(what, said(edge.source)));
    }
    let tensors = (evidence.inputs.iter())
        .map(|input| read_tensor(&input.header, &input.bytes.0))
        .collect::<Option<Vec<_>>>()
        .ok_or(JudgeError::Bytes { what: "inputs" })?;
    let types: Vec<&TensorType> = tensors.iter().map(Tensor::ty).collect();
    if bounded(&op, &types, limits)? != output {
        return Err(JudgeError::Bytes { what: "node" });
    }
    let shape = format!("{:?} {:?}", output.dtype, output.dims);
    tell(Check::held("output's type and shape", shape));
    let operands: Vec<&Tensor> = tensors.iter().collect();
    Ok((op.name(), digest(&recompute(&op, &operands)?)))
}

/// The output's type, if the reader can afford to compute it.
fn bounded(op: &Op, types: &[&TensorType], limits: &JudgeLimits) -> Result<TensorType, JudgeError> {
    let inferred = op.infer_type(types)?;
    for (what, actual, limit) in [
        (
            "output bytes",
            inferred.byte_len()? as u64,
            limits.output_bytes,
        ),
        ("work", op.work(types, &inferred), limits.work),
    ] {
        if actual > limit {
            return Err(JudgeError::TooLarge {
                what,
                actual,
                limit,
            });
        }
    }
    Ok(inferred)
}

/// Whether an input was opened at the value that the model names.
fn names(evidence: &Evidence, input: &InputTensor, named: Source) -> Result<bool, JudgeError> {
    let first = evidence.segment.entry.first_node;
    let opened = match &input.source {
        InputSource::Op { opening } => u32::try_from(opening.index)
            .ok()
            .and_then(|i| first.checked_add(i))
            .map(Source::node),
        InputSource::Live {
            opening,
            list_entry: None,
        } => u32::try_from(opening.index).ok().map(Source::Input),
        InputSource::Live {
            list_entry: Some(entry),
            opening,
        } => {
            let (slot, source) = live_entry(&entry.bytes.0)?;
            (u64::from(slot) == opening.index).then_some(source)
        }
        InputSource::Weight { leaf } => {
            let index = leaf.bytes.0.first_chunk::<4>();
            let whole = leaf.bytes.0.len() == 36 && leaf.opening.index <= u32::MAX.into();
            index
                .filter(|_| whole)
                .map(|index| u32::from_be_bytes(*index))
                .filter(|index| u64::from(*index) == leaf.opening.index)
                .map(Source::Weight)
        }
    };
    Ok(opened == Some(named))
}

/// A source in words.
fn said(source: Source) -> String {
    match source {
        Source::Input(i) => format!("graph input {i}"),
        Source::Weight(i) => format!("weight {i}"),
        Source::Node {
            step_offset: 0,
            node,
            port,
        } => format!("node {node}, port {port}"),
        Source::Node {
            step_offset,
            node,
            port,
        } => format!("node {node}, port {port}, {step_offset} steps before"),
    }
}

/// An entry of the edge table.
pub(crate) struct Edge {
    node: u32,
    position: u16,
    inputs: u16,
    pub(crate) source: Source,
}

pub(crate) fn edge_entry(bytes: &[u8]) -> Option<Edge> {
    let (node, rest) = bytes.split_first_chunk::<4>()?;
    let (position, rest) = rest.split_first_chunk::<2>()?;
    let (inputs, source) = rest.split_first_chunk::<2>()?;
    Some(Edge {
        node: u32::from_be_bytes(*node),
        position: u16::from_be_bytes(*position),
        inputs: u16::from_be_bytes(*inputs),
        source: Source::decode(source)?,
    })
}

pub(crate) fn live_entry(bytes: &[u8]) -> Result<(u32, Source), JudgeError> {
    let wrong = JudgeError::Bytes {
        what: "live list's entry",
    };
    let Some((slot, source)) = bytes.split_first_chunk::<4>() else {
        return Err(wrong);
    };
    let source = Source::decode(source).ok_or(wrong)?;
    Ok((u32::from_be_bytes(*slot), source))
}
