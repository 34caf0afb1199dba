//! What hashes decide about an evidence file.

use super::{Evidence, EvidenceError, InputSource, OpenedBytes, OpenedSegment};
use crate::{CommitPoint, Digest, FineIndex, ModelLeaf, TraceError, height};

/// An evidence file whose every opening holds, with what the caller needs to recompute the operator.
///
/// Left to the caller, who can read the model's bytes: that each edge (or the live slot's entry) names
/// the value that its input was opened at, through the live list's entry for values from before, that all inputs of the node are there, and the operator itself.
#[derive(Clone, Debug)]
pub struct CheckedEvidence<'a> {
    /// The file.
    pub evidence: &'a Evidence,
    /// Step and segment of the disputed leaf.
    pub commit_point: CommitPoint,
    /// Canonical index of the isolated node; `None` for a live slot.
    pub node_index: Option<u32>,
    /// Tensor digests of the inputs, computed from their bytes.
    pub input_digests: Vec<Digest>,
}

fn under(
    what: &'static str,
    leaf: Digest,
    opened: &OpenedBytes,
    root: &Digest,
) -> Result<(), TraceError> {
    let found = opened.opening.siblings.len();
    let height = u8::try_from(found).unwrap_or(u8::MAX);
    opened
        .opening
        .check(what, height, opened.opening.index, &leaf, root)
}

fn at_index(what: &'static str, opened: &OpenedBytes, expected: u64) -> Result<(), TraceError> {
    let found = opened.opening.index;
    if found == expected {
        Ok(())
    } else {
        Err(TraceError::OpeningIndex {
            what,
            expected,
            found,
        })
    }
}

fn equal(what: &'static str, expected: Digest, found: Digest) -> Result<(), TraceError> {
    if expected == found {
        Ok(())
    } else {
        Err(TraceError::Mismatch {
            what,
            expected,
            found,
        })
    }
}

impl Evidence {
    /// Checks every digest and opening of the file: from the task and the commitment down to the
    /// isolated operator, its bytes under the model's identity, and its inputs.
    pub fn check_openings(&self) -> Result<CheckedEvidence<'_>, EvidenceError> {
        if self.format != super::EVIDENCE_FORMAT {
            return Err(EvidenceError::Format { found: self.format });
        }
        if [&self.task.court, &self.task.provider]
            .into_iter()
            .any(|a| a.0.len() != 20)
        {
            return Err(TraceError::Inconsistent("an address has 20 bytes").into());
        }
        if self
            .ruling
            .as_ref()
            .is_some_and(|r| r.referee.0.len() != 20)
        {
            return Err(TraceError::Inconsistent("an address has 20 bytes").into());
        }
        let commit_point = self.check_leaf()?;
        self.check_segment(commit_point)?;
        let node_index = self.check_claim()?;
        let input_digests = self.check_inputs()?;
        self.check_element()?;
        Ok(CheckedEvidence {
            evidence: self,
            commit_point,
            node_index,
            input_digests,
        })
    }

    /// Task and model to the disputed leaf and the agreed one before it.
    fn check_leaf(&self) -> Result<CommitPoint, TraceError> {
        let model = &self.model;
        model.check()?;
        equal("model header", self.task.model_id, model.model_id())?;
        if self.commitment.steps == 0 || self.commitment.steps > model.max_steps {
            let steps = self.commitment.steps;
            return Err(TraceError::Steps {
                steps,
                max_steps: model.max_steps,
            });
        }
        if !self.commitment.is_consistent() {
            return Err(TraceError::Inconsistent(
                "trace root is not that of its steps and level-1 root",
            ));
        }
        let leaves = u64::from(self.commitment.steps) * u64::from(model.commit_points);
        let inside = self.leaf_index < leaves;
        let commit_point = CommitPoint::at_leaf(self.leaf_index, model.commit_points)
            .filter(|_| inside)
            .ok_or(TraceError::Inconsistent(
                "disputed leaf lies past the last step",
            ))?;
        let (root, height) = (&self.commitment.level1_root, model.trace_height);
        self.leaf_opening
            .check("disputed leaf", height, self.leaf_index, &self.leaf, root)?;
        match (self.leaf_index.checked_sub(1), &self.previous_opening) {
            (None, None) => equal(
                "previous leaf of leaf 0",
                self.task.input_digest,
                self.previous_leaf,
            )?,
            (Some(index), Some(opening)) => {
                opening.check("previous leaf", height, index, &self.previous_leaf, root)?;
            }
            (None, Some(_)) => {
                return Err(TraceError::Inconsistent(
                    "leaf 0 has no leaf before it to open",
                ));
            }
            (Some(_), None) => {
                return Err(TraceError::Inconsistent("the previous leaf is not opened"));
            }
        }
        Ok(commit_point)
    }

    fn check_segment(&self, at: CommitPoint) -> Result<(), TraceError> {
        self.segment_at(&self.segment, at.segment)?;
        match (at.segment.checked_sub(1), &self.previous_segment) {
            (None, None) => Ok(()),
            (Some(before), Some(segment)) => self.segment_at(segment, before),
            (None, Some(_)) => Err(TraceError::Inconsistent(
                "the first segment of a step has no segment before it to open",
            )),
            (Some(_), None) => Err(TraceError::Inconsistent("the segment before is not opened")),
        }
    }

    fn segment_at(&self, opened: &OpenedSegment, number: u32) -> Result<(), TraceError> {
        let (model, segment) = (&self.model, &opened.entry);
        let table = height(u64::from(model.commit_points));
        let (index, leaf) = (u64::from(number), segment.leaf());
        opened
            .opening
            .check("segment", table, index, &leaf, &model.segments_root)?;
        if segment.index != number {
            return Err(TraceError::Inconsistent(
                "segment entry has another number than its place",
            ));
        }
        let end = u64::from(segment.first_node) + u64::from(segment.op_count);
        if end > u64::from(model.node_count)
            || height(segment.op_count.into()) > model.ops_height
            || height(segment.live_count.into()) > model.live_height
        {
            return Err(TraceError::Inconsistent(
                "segment does not fit the model's counts and heights",
            ));
        }
        Ok(())
    }

    /// The live list's entry that names the value in a slot of the agreed live root.
    fn check_list_entry(&self, slot: u64, entry: Option<&OpenedBytes>) -> Result<(), TraceError> {
        match (&self.previous_segment, entry) {
            (None, None) => Ok(()),
            (Some(segment), Some(entry)) => {
                let leaf = entry.model_leaf(ModelLeaf::LiveSlot);
                under("live list", leaf, entry, &segment.entry.live_list_root)?;
                at_index("live list", entry, slot)
            }
            (Some(_), None) => Err(TraceError::Inconsistent(
                "a live input has no entry of the live list before",
            )),
            (None, Some(_)) => Err(TraceError::Inconsistent("graph inputs have no live list")),
        }
    }

    /// The claimed digest under its root, and what it is the claim of.
    fn check_claim(&self) -> Result<Option<u32>, TraceError> {
        let (model, segment, claimed) = (&self.model, &self.segment.entry, &self.claimed_digest);
        match self.isolated {
            FineIndex::Op(i) => {
                if i >= segment.op_count {
                    return Err(TraceError::Inconsistent(
                        "isolated operator lies outside its segment",
                    ));
                }
                let height = model.ops_height;
                self.claimed_opening.check(
                    "claimed digest",
                    height,
                    i.into(),
                    claimed,
                    &self.ops_root,
                )?;
                let node = segment.first_node + i;
                under(
                    "node",
                    self.node.graph_node_leaf(),
                    &self.node,
                    &model.nodes_root,
                )?;
                at_index("node", &self.node, node.into())?;
                Ok(Some(node))
            }
            FineIndex::Live(j) => {
                if j >= segment.live_count {
                    return Err(TraceError::Inconsistent(
                        "isolated live slot lies outside its segment",
                    ));
                }
                let height = model.live_height;
                self.claimed_opening.check(
                    "claimed digest",
                    height,
                    j.into(),
                    claimed,
                    &self.leaf,
                )?;
                let leaf = self.node.model_leaf(ModelLeaf::LiveSlot);
                under("live slot", leaf, &self.node, &segment.live_list_root)?;
                at_index("live slot", &self.node, j.into())?;
                Ok(None)
            }
        }
    }

    /// The element under the claimed digest.
    fn check_element(&self) -> Result<(), TraceError> {
        let Some(claimed) = &self.element else {
            return Ok(());
        };
        if matches!(self.isolated, FineIndex::Live(_)) {
            return Err(TraceError::Inconsistent(
                "a live slot is a copy, and has no element to be computed",
            ));
        }
        let found = claimed.chunk_opening().tensor_digest()?;
        equal("claimed output", self.claimed_digest, found)?;
        if claimed.value().is_none() {
            return Err(TraceError::Inconsistent(
                "the claimed element is not in its chunk",
            ));
        }
        Ok(())
    }

    fn check_inputs(&self) -> Result<Vec<Digest>, TraceError> {
        let model = &self.model;
        // An operator reads what came before it; a live slot may hold any operator of the segment.
        let (readable, copy) = match self.isolated {
            FineIndex::Op(i) => (i, false),
            FineIndex::Live(_) => (self.segment.entry.op_count, true),
        };
        if copy && self.inputs.len() != 1 {
            return Err(TraceError::Inconsistent(
                "a live slot is the copy of one value",
            ));
        }
        let mut digests = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let digest = input.header.digest_bytes(&input.bytes.0)?;
            match &input.source {
                InputSource::Op { opening } => {
                    if opening.index >= readable.into() {
                        return Err(TraceError::Inconsistent(
                            "an operator reads only earlier operators",
                        ));
                    }
                    let height = model.ops_height;
                    opening.check(
                        "operator input",
                        height,
                        opening.index,
                        &digest,
                        &self.ops_root,
                    )?;
                }
                InputSource::Live {
                    opening,
                    list_entry,
                } => {
                    self.check_list_entry(opening.index, list_entry.as_ref())?;
                    let height = model.live_height;
                    opening.check(
                        "live input",
                        height,
                        opening.index,
                        &digest,
                        &self.previous_leaf,
                    )?;
                }
                InputSource::Weight { leaf } => {
                    if copy {
                        return Err(TraceError::Inconsistent("weights are never live"));
                    }
                    under(
                        "weight",
                        leaf.model_leaf(ModelLeaf::Weight),
                        leaf,
                        &model.weights_root,
                    )?;
                    let found = leaf
                        .bytes
                        .0
                        .last_chunk()
                        .copied()
                        .map(Digest)
                        .unwrap_or_default();
                    equal("weight's digest in its leaf", digest, found)?;
                }
            }
            match (&input.edge, copy) {
                (Some(edge), false) => under(
                    "edge",
                    edge.model_leaf(ModelLeaf::Edge),
                    edge,
                    &model.edges_root,
                )?,
                (None, true) => {}
                (None, false) => {
                    return Err(TraceError::Inconsistent("an operator's input has no edge"));
                }
                (Some(_), true) => return Err(TraceError::Inconsistent("a live slot has no edge")),
            }
            digests.push(digest);
        }
        Ok(digests)
    }
}
