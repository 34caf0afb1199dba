//! What hashes decide about an evidence file.

use super::{Evidence, EvidenceError, InputSource, OpenedBytes, OpenedSegment};
use crate::{
    CommitPoint, Digest, FineIndex, ModelLeaf, Opening, TraceCommitment, TraceError, height,
};

/// One check that held: two ways lead to the same digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldCheck {
    /// What was checked.
    pub what: &'static str,
    /// Position of the input that it is about.
    pub input: Option<usize>,
    /// The digest.
    pub digest: Digest,
}

/// Tells somebody what held, check by check.
struct Held<'a> {
    tell: &'a mut dyn FnMut(HeldCheck),
    input: Option<usize>,
}

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

impl Held<'_> {
    fn tell(&mut self, what: &'static str, digest: Digest) {
        let input = self.input;
        (self.tell)(HeldCheck {
            what,
            input,
            digest,
        });
    }

    fn equal(
        &mut self,
        what: &'static str,
        expected: Digest,
        found: Digest,
    ) -> Result<(), TraceError> {
        if expected != found {
            return Err(TraceError::Mismatch {
                what,
                expected,
                found,
            });
        }
        self.tell(what, found);
        Ok(())
    }

    /// [`Opening::check`].
    fn opens(
        &mut self,
        what: &'static str,
        opening: &Opening,
        (height, index): (u8, u64),
        leaf: &Digest,
        root: &Digest,
    ) -> Result<(), TraceError> {
        opening.check(what, height, index, leaf, root)?;
        self.tell(what, *root);
        Ok(())
    }

    fn under(
        &mut self,
        what: &'static str,
        leaf: Digest,
        opened: &OpenedBytes,
        root: &Digest,
    ) -> Result<(), TraceError> {
        let found = opened.opening.siblings.len();
        let height = u8::try_from(found).unwrap_or(u8::MAX);
        let place = (height, opened.opening.index);
        self.opens(what, &opened.opening, place, &leaf, root)
    }
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

impl Evidence {
    /// Checks every digest and opening of the file: from the task and the commitment down to the
    /// isolated operator, its bytes under the model's identity, and its inputs.
    pub fn check_openings(&self) -> Result<CheckedEvidence<'_>, EvidenceError> {
        self.check_openings_told(&mut |_| {})
    }

    /// [`check_openings`](Self::check_openings), which tells each check that held, in order, up to the first that does not.
    pub fn check_openings_told(
        &self,
        tell: &mut dyn FnMut(HeldCheck),
    ) -> Result<CheckedEvidence<'_>, EvidenceError> {
        let held = &mut Held { tell, input: None };
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
        let commit_point = self.check_leaf(held)?;
        self.check_segment(commit_point, held)?;
        let node_index = self.check_claim(held)?;
        let input_digests = self.check_inputs(held)?;
        self.check_element(held)?;
        Ok(CheckedEvidence {
            evidence: self,
            commit_point,
            node_index,
            input_digests,
        })
    }

    /// Task and model to the disputed leaf and the agreed one before it.
    fn check_leaf(&self, held: &mut Held<'_>) -> Result<CommitPoint, TraceError> {
        let model = &self.model;
        model.check()?;
        held.equal("model header", self.task.model_id, model.model_id())?;
        if self.commitment.steps == 0 || self.commitment.steps > model.max_steps {
            let steps = self.commitment.steps;
            return Err(TraceError::Steps {
                steps,
                max_steps: model.max_steps,
            });
        }
        let (steps, level1_root) = (self.commitment.steps, self.commitment.level1_root);
        let commitment = TraceCommitment::new(steps, level1_root);
        held.equal(
            "trace root of the steps and the level-1 root",
            self.commitment.trace_root,
            commitment.trace_root,
        )?;
        let leaves = u64::from(self.commitment.steps) * u64::from(model.commit_points);
        let inside = self.leaf_index < leaves;
        let commit_point = CommitPoint::at_leaf(self.leaf_index, model.commit_points)
            .filter(|_| inside)
            .ok_or(TraceError::Inconsistent(
                "disputed leaf lies past the last step",
            ))?;
        let (root, height) = (&self.commitment.level1_root, model.trace_height);
        held.opens(
            "disputed leaf",
            &self.leaf_opening,
            (height, self.leaf_index),
            &self.leaf,
            root,
        )?;
        match (self.leaf_index.checked_sub(1), &self.previous_opening) {
            (None, None) => held.equal(
                "previous leaf of leaf 0",
                self.task.input_digest,
                self.previous_leaf,
            )?,
            (Some(index), Some(opening)) => {
                held.opens(
                    "previous leaf",
                    opening,
                    (height, index),
                    &self.previous_leaf,
                    root,
                )?;
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

    fn check_segment(&self, at: CommitPoint, held: &mut Held<'_>) -> Result<(), TraceError> {
        self.segment_at(&self.segment, at.segment, held)?;
        match (at.segment.checked_sub(1), &self.previous_segment) {
            (None, None) => Ok(()),
            (Some(before), Some(segment)) => self.segment_at(segment, before, held),
            (None, Some(_)) => Err(TraceError::Inconsistent(
                "the first segment of a step has no segment before it to open",
            )),
            (Some(_), None) => Err(TraceError::Inconsistent("the segment before is not opened")),
        }
    }

    fn segment_at(
        &self,
        opened: &OpenedSegment,
        number: u32,
        held: &mut Held<'_>,
    ) -> Result<(), TraceError> {
        let (model, segment) = (&self.model, &opened.entry);
        let table = height(u64::from(model.commit_points));
        let (index, leaf) = (u64::from(number), segment.leaf());
        held.opens(
            "segment",
            &opened.opening,
            (table, index),
            &leaf,
            &model.segments_root,
        )?;
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
    fn check_list_entry(
        &self,
        slot: u64,
        entry: Option<&OpenedBytes>,
        held: &mut Held<'_>,
    ) -> Result<(), TraceError> {
        match (&self.previous_segment, entry) {
            (None, None) => Ok(()),
            (Some(segment), Some(entry)) => {
                let leaf = entry.model_leaf(ModelLeaf::LiveSlot);
                held.under("live list", leaf, entry, &segment.entry.live_list_root)?;
                at_index("live list", entry, slot)
            }
            (Some(_), None) => Err(TraceError::Inconsistent(
                "a live input has no entry of the live list before",
            )),
            (None, Some(_)) => Err(TraceError::Inconsistent("graph inputs have no live list")),
        }
    }

    /// The claimed digest under its root, and what it is the claim of.
    fn check_claim(&self, held: &mut Held<'_>) -> Result<Option<u32>, TraceError> {
        let (model, segment, claimed) = (&self.model, &self.segment.entry, &self.claimed_digest);
        match self.isolated {
            FineIndex::Op(i) => {
                if i >= segment.op_count {
                    return Err(TraceError::Inconsistent(
                        "isolated operator lies outside its segment",
                    ));
                }
                let height = model.ops_height;
                held.opens(
                    "claimed digest",
                    &self.claimed_opening,
                    (height, i.into()),
                    claimed,
                    &self.ops_root,
                )?;
                let node = segment.first_node + i;
                held.under(
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
                held.opens(
                    "claimed digest",
                    &self.claimed_opening,
                    (height, j.into()),
                    claimed,
                    &self.leaf,
                )?;
                let leaf = self.node.model_leaf(ModelLeaf::LiveSlot);
                held.under("live slot", leaf, &self.node, &segment.live_list_root)?;
                at_index("live slot", &self.node, j.into())?;
                Ok(None)
            }
        }
    }

    /// The element under the claimed digest.
    fn check_element(&self, held: &mut Held<'_>) -> Result<(), TraceError> {
        let Some(claimed) = &self.element else {
            return Ok(());
        };
        if matches!(self.isolated, FineIndex::Live(_)) {
            return Err(TraceError::Inconsistent(
                "a live slot is a copy, and has no element to be computed",
            ));
        }
        let found = claimed.chunk_opening().tensor_digest()?;
        held.equal("claimed output", self.claimed_digest, found)?;
        if claimed.value().is_none() {
            return Err(TraceError::Inconsistent(
                "the claimed element is not in its chunk",
            ));
        }
        Ok(())
    }

    fn check_inputs(&self, held: &mut Held<'_>) -> Result<Vec<Digest>, TraceError> {
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
        for (position, input) in self.inputs.iter().enumerate() {
            held.input = Some(position);
            let digest = input.header.digest_bytes(&input.bytes.0)?;
            match &input.source {
                InputSource::Op { opening } => {
                    if opening.index >= readable.into() {
                        return Err(TraceError::Inconsistent(
                            "an operator reads only earlier operators",
                        ));
                    }
                    let height = model.ops_height;
                    held.opens(
                        "operator input",
                        opening,
                        (height, opening.index),
                        &digest,
                        &self.ops_root,
                    )?;
                }
                InputSource::Live {
                    opening,
                    list_entry,
                } => {
                    self.check_list_entry(opening.index, list_entry.as_ref(), held)?;
                    let height = model.live_height;
                    held.opens(
                        "live input",
                        opening,
                        (height, opening.index),
                        &digest,
                        &self.previous_leaf,
                    )?;
                }
                InputSource::Weight { leaf } => {
                    if copy {
                        return Err(TraceError::Inconsistent("weights are never live"));
                    }
                    held.under(
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
                    held.equal("weight's digest in its leaf", digest, found)?;
                }
            }
            match (&input.edge, copy) {
                (Some(edge), false) => held.under(
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
        held.input = None;
        Ok(digests)
    }
}
