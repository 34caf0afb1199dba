//! What a plan has to know of a graph: who reads what, and what must exist.

use std::borrow::Cow;

use gavel_model::{Model, Node, Source};
use gavel_numerics::DType;

/// A graph under construction of its plan.
pub(super) struct Readers<'a> {
    pub(super) model: &'a Model,
    /// By node: the nodes that read it, once for each operand.
    readers: Vec<Vec<usize>>,
    /// By node: whether a commit point or an output needs it.
    kept: Vec<bool>,
    /// By node: its segment.
    segment: Vec<usize>,
    /// By node: whether a step has it.
    pub(super) taken: Vec<bool>,
}

impl<'a> Readers<'a> {
    pub(super) fn new(model: &'a Model) -> Readers<'a> {
        let graph = model.graph();
        let count = graph.nodes.len();
        let mut readers = vec![Vec::new(); count];
        for (index, node) in graph.nodes.iter().enumerate() {
            for source in &node.inputs {
                if let Some(read) = node_of(source) {
                    readers[read].push(index);
                }
            }
        }
        let mut kept = vec![false; count];
        let live = model.segments().iter().flat_map(|segment| &segment.live);
        for source in live.chain(graph.outputs.iter().map(|(_, source)| source)) {
            if let Some(node) = node_of(source) {
                kept[node] = true;
            }
        }
        let mut segment = vec![0; count];
        for (number, of) in model.segments().iter().enumerate() {
            for node in of.nodes() {
                segment[node as usize] = number;
            }
        }
        Readers {
            model,
            readers,
            kept,
            segment,
            taken: vec![false; count],
        }
    }

    pub(super) fn node(&self, index: usize) -> &'a Node {
        &self.model.graph().nodes[index]
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a Node> {
        self.model.graph().nodes.get(index)
    }

    /// Whether these nodes may be one step: of one segment, of no step so far, and nobody else reads the values of any but the
    /// last.
    pub(super) fn is_closed(&self, nodes: &[usize]) -> bool {
        let Some((last, inner)) = nodes.split_last() else {
            return false;
        };
        let together =
            |&node: &usize| !self.taken[node] && self.segment[node] == self.segment[*last];
        let hidden = |&node: &usize| {
            !self.kept[node]
                && self.readers[node]
                    .iter()
                    .all(|reader| nodes.contains(reader))
        };
        nodes.iter().all(together) && inner.iter().all(hidden)
    }

    /// The nodes that read a node's value, each once, if it need not exist for anybody else and all are of its segment and of no
    /// step so far.
    pub(super) fn only(&self, index: usize) -> Option<Vec<usize>> {
        if self.kept[index] {
            return None;
        }
        let mut readers = self.readers[index].clone();
        readers.dedup();
        let mine =
            |&reader: &usize| self.segment[reader] == self.segment[index] && !self.taken[reader];
        (!readers.is_empty() && readers.iter().all(mine)).then_some(readers)
    }

    /// The node that reads a node's value, if there is one, which reads it once, and nothing else needs it.
    pub(super) fn single(&self, index: usize) -> Option<usize> {
        match self.readers[index].as_slice() {
            &[reader] if !self.kept[index] => Some(reader),
            _ => None,
        }
    }

    /// Extents of a value.
    pub(super) fn dims(&self, source: Source) -> Option<&'a [u64]> {
        self.model.type_of(source).map(|ty| ty.dims.as_slice())
    }

    pub(super) fn is_f32(&self, source: Source) -> bool {
        (self.model.type_of(source)).is_some_and(|ty| ty.dtype == DType::F32)
    }

    /// A weight of one element.
    pub(super) fn scalar(&self, source: Source) -> Option<f32> {
        let is_one = self.model.type_of(source)?.elements() == Ok(1);
        is_one.then(|| self.weight(source)?.first().copied())?
    }

    /// The elements of a weight of f32.
    pub(super) fn weight(&self, source: Source) -> Option<Cow<'a, [f32]>> {
        match source {
            Source::Weight(i) => self.model.weights().get(i as usize)?.value.as_f32(),
            Source::Input(_) | Source::Node { .. } => None,
        }
    }
}

/// The node whose value a source is.
pub(super) fn node_of(source: &Source) -> Option<usize> {
    match *source {
        Source::Node {
            step_offset: 0,
            node,
            port: 0,
        } => Some(node as usize),
        _ => None,
    }
}
