//! What a file says of the isolated place, as a case of the appeal levels.

use std::sync::Arc;

use gavel_dispute::appeal::{
    Case, NodeFacts, Operand, OperatorCase, SegmentOpening, SlotProof, Source, SourceKind,
    SourceOpening,
};
use gavel_model::Node;
use gavel_numerics::Tensor;
use gavel_trace::{Digest, Evidence, FineIndex, InputSource, InputTensor, OpenedSegment};

use crate::judge::{edge_entry, live_entry};
use crate::{digest, read_tensor, recompute};

/// The case that a file makes, with the output computed on its inputs; `None` where its bytes are not what they should be.
pub fn of_evidence(evidence: &Evidence) -> Option<Case> {
    let before = evidence.previous_segment.as_ref().map(segment);
    if let FineIndex::Live(_) = evidence.isolated {
        let (_, source) = live_entry(&evidence.node.bytes.0).ok()?;
        let input = evidence.inputs.first()?;
        return Some(Case::Slot(Box::new(SlotProof {
            segment: segment(&evidence.segment),
            list_proof: evidence.node.opening.siblings.clone(),
            before,
            at: opening(input, source),
            digest: digest(&read_tensor(&input.header, &input.bytes.0)?),
        })));
    }
    let (op, output) = Node::decode(&evidence.node.bytes.0)?;
    let operands = evidence.inputs.iter().map(|input| {
        let edge = input.edge.as_ref()?;
        Some(Operand {
            edge_index: edge.opening.index.try_into().ok()?,
            edge_proof: edge.opening.siblings.clone(),
            at: opening(input, edge_entry(&edge.bytes.0)?.source),
            tensor: Arc::new(read_tensor(&input.header, &input.bytes.0)?),
        })
    });
    let operands: Vec<Operand> = operands.collect::<Option<_>>()?;
    let inputs: Vec<&Tensor> = operands.iter().map(|o| o.tensor.as_ref()).collect();
    let computed = recompute(&op, &inputs).ok()?;
    Some(Case::Operator(Box::new(OperatorCase {
        node: NodeFacts {
            op: op.id(),
            attributes: op.attributes(),
            dtype: output.dtype.id(),
            dims: output.dims,
        },
        node_proof: evidence.node.opening.siblings.clone(),
        operands,
        before,
        output: Arc::new(computed),
    })))
}

fn segment(opened: &OpenedSegment) -> SegmentOpening {
    SegmentOpening {
        entry: opened.entry,
        proof: opened.opening.siblings.clone(),
    }
}

fn opening(input: &InputTensor, named: gavel_model::Source) -> SourceOpening {
    let list = |proof: &[Digest]| proof.to_vec();
    let (slot, proof, list_proof) = match &input.source {
        InputSource::Op { opening } => (0, &opening.siblings, Vec::new()),
        InputSource::Weight { leaf } => (0, &leaf.opening.siblings, Vec::new()),
        InputSource::Live {
            opening,
            list_entry,
        } => (
            opening.index,
            &opening.siblings,
            list_entry
                .as_ref()
                .map_or_else(Vec::new, |entry| list(&entry.opening.siblings)),
        ),
    };
    SourceOpening {
        source: source(named),
        // a live tree has at most 2^32 leaves
        slot: slot as u32,
        proof: proof.clone(),
        list_proof,
    }
}

fn source(named: gavel_model::Source) -> Source {
    let (kind, step_offset, index, port) = match named {
        gavel_model::Source::Input(index) => (SourceKind::Input, 0, index, 0),
        gavel_model::Source::Weight(index) => (SourceKind::Weight, 0, index, 0),
        gavel_model::Source::Node {
            step_offset,
            node,
            port,
        } => (SourceKind::Node, step_offset, node, port),
    };
    Source {
        kind,
        step_offset,
        index,
        port,
    }
}
