//! One place of a segment: where its inputs come from, and what it gives.

use std::borrow::Cow;
use std::sync::Arc;

use gavel_model::{Model, Source};
use gavel_numerics::Tensor;
use gavel_trace::FineIndex;

/// Where a value that a place reads is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Output of an operator of the segment.
    Op(u32),
    /// Slot of what is live before the segment.
    Live(u32),
    /// A weight of the model.
    Weight(u32),
}

/// The values of one segment: what it starts from and what its operators gave.
#[derive(Clone, Copy)]
pub(crate) struct SegmentValues<'a> {
    /// The model.
    pub(crate) model: &'a Model,
    /// The segment.
    pub(crate) segment: u32,
    /// Tensors live before it, in live-list order.
    pub(crate) live_before: &'a [Arc<Tensor>],
    /// Outputs of its operators, in canonical order.
    pub(crate) ops: &'a [Arc<Tensor>],
}

impl<'a> SegmentValues<'a> {
    /// Where the segment finds a value.
    pub(crate) fn locate(&self, source: Source) -> Option<Location> {
        let segments = self.model.segments();
        let own = segments.get(self.segment as usize)?;
        match source {
            Source::Weight(i) => return Some(Location::Weight(i)),
            Source::Node {
                step_offset: 0,
                node,
                port: 0,
            } if own.nodes().contains(&node) => return Some(Location::Op(node - own.first_node)),
            _ => {}
        }
        let before = self.segment.checked_sub(1);
        let slot = match before {
            Some(before) => {
                let live = &segments.get(before as usize)?.live;
                live.iter().position(|value| *value == source)?
            }
            None => match source {
                Source::Input(i) => i as usize,
                _ => return None,
            },
        };
        u32::try_from(slot).ok().map(Location::Live)
    }

    /// The tensor at a location.
    pub(crate) fn value(&self, at: Location) -> Option<Arc<Tensor>> {
        match at {
            Location::Op(i) => self.ops.get(i as usize).cloned(),
            Location::Live(slot) => self.live_before.get(slot as usize).cloned(),
            Location::Weight(i) => {
                let weight = self.model.weights().get(i as usize)?;
                Some(weight.value.tensor())
            }
        }
    }

    /// What a place reads, in order: the inputs of an operator, the one value that a live slot copies.
    pub(crate) fn sources(&self, place: FineIndex) -> Option<Cow<'a, [Source]>> {
        let own = self.model.segments().get(self.segment as usize)?;
        match place {
            FineIndex::Op(i) => {
                let node = own.nodes().nth(i as usize)?;
                let node = self.model.graph().nodes.get(node as usize)?;
                Some(Cow::Borrowed(&node.inputs))
            }
            FineIndex::Live(j) => Some(Cow::Owned(vec![*own.live.get(j as usize)?])),
        }
    }
}
