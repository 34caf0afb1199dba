//! A model: graph, weights, assets, segments, and the identity that all of it opens under.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_numerics::{DType, Tensor, TensorType};
use gavel_trace::{
    Digest, MerkleTree, ModelHeader, ModelLeaf, Opening, SegmentEntry, graph_node_leaf, height,
    model_leaf, segments_tree, tensor_digest,
};

use crate::commit;
use crate::{CommitPolicy, Graph, Hashing, ModelError, Node, Segment, Source, Weight};

/// Most inputs of a node: a step of it must fit a transaction (`spec/protocol.md`, P-L7).
pub const MAX_INPUTS: usize = 256;

/// Most attribute words of a node: an element type and the longest element program. They too must fit.
pub const MAX_ATTRIBUTES: usize = 257;

/// Version of the arithmetic that models refer to.
pub const NUMERICS_VERSION: u32 = 1;
/// Version of the importer's rewriting; part of the identity.
pub const LOWERING_VERSION: u32 = 1;
/// Most nodes of a step graph.
pub const MAX_NODES: usize = 1 << 20;

/// A model that has been checked: its graph is a DAG in canonical order, its types follow from the
/// shape programs, its identity is computed from all of it.
#[derive(Clone, Debug)]
pub struct Model {
    graph: Graph,
    weights: Vec<Weight>,
    assets: BTreeMap<String, Vec<u8>>,
    segments: Vec<Segment>,
    header: ModelHeader,
    model_id: Digest,
    trees: Arc<Trees>,
}

/// The trees of the header's roots.
#[derive(Debug)]
struct Trees {
    nodes: MerkleTree,
    edges: MerkleTree,
    weights: MerkleTree,
    segments: MerkleTree,
    live_lists: Vec<MerkleTree>,
    entries: Vec<SegmentEntry>,
    weight_digests: Vec<Digest>,
    /// First edge of each node.
    first_edge: Vec<u64>,
}

/// Bytes of the model's commitment with the opening of their leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Canonical bytes of the leaf.
    pub bytes: Vec<u8>,
    /// Opening under the root of its kind.
    pub opening: Opening,
}

impl Model {
    /// Checks a graph that runs once, cuts it into segments and computes its identity.
    ///
    /// # Errors
    /// A node that reads what is not there, a type that the shape program does not give, counts above the limits.
    pub fn build(
        graph: Graph,
        weights: Vec<Weight>,
        assets: BTreeMap<String, Vec<u8>>,
        policy: &CommitPolicy,
    ) -> Result<Model, ModelError> {
        Hashing::quiet(|hashing| Model::recurrent(graph, weights, assets, policy, 1, hashing))
    }

    /// [`build`](Self::build) of a graph that runs up to `max_steps` times: with more than one step, output `i` is
    /// input `i` of the next step, and slot 0 is the `i64[1]` that says whether the run is over.
    ///
    /// # Errors
    /// As [`build`](Self::build), and outputs that are no inputs of a next step.
    pub fn recurrent(
        graph: Graph,
        weights: Vec<Weight>,
        assets: BTreeMap<String, Vec<u8>>,
        policy: &CommitPolicy,
        max_steps: u32,
        hashing: &mut Hashing<'_>,
    ) -> Result<Model, ModelError> {
        let work = check(&graph, &weights, max_steps)?;
        let digests = hashing.digests(weights.iter().map(|w| &w.value))?;
        Model::identify(graph, weights, digests, assets, policy, max_steps, &work)
    }

    /// [`build`](Self::build) of a graph whose weights' digests are known.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub(crate) fn of_digests(
        graph: Graph,
        weights: Vec<Weight>,
        digests: Vec<Digest>,
        assets: BTreeMap<String, Vec<u8>>,
        policy: &CommitPolicy,
    ) -> Result<Model, ModelError> {
        let work = check(&graph, &weights, 1)?;
        Model::identify(graph, weights, digests, assets, policy, 1, &work)
    }

    /// Identity of what has been checked.
    fn identify(
        graph: Graph,
        weights: Vec<Weight>,
        weight_digests: Vec<Digest>,
        assets: BTreeMap<String, Vec<u8>>,
        policy: &CommitPolicy,
        max_steps: u32,
        work: &[u64],
    ) -> Result<Model, ModelError> {
        let segments = commit::segments(&graph, work, policy);
        let trees = Trees::new(&graph, weight_digests, &segments)?;
        let live_max = segments
            .iter()
            .map(|s| s.live.len())
            .chain([graph.inputs.len()])
            .max()
            .unwrap_or(1);
        let ops_max = segments.iter().map(|s| s.op_count).max().unwrap_or(1);
        let header = ModelHeader {
            numerics_version: NUMERICS_VERSION,
            lowering_version: LOWERING_VERSION,
            node_count: graph.nodes.len() as u32,
            max_steps,
            commit_points: segments.len() as u32,
            trace_height: height(u64::from(max_steps) * segments.len() as u64),
            ops_height: height(ops_max.into()),
            live_height: height(live_max as u64),
            work: work.iter().fold(0, |n: u64, &w| n.saturating_add(w)),
            nodes_root: trees.nodes.root(),
            edges_root: trees.edges.root(),
            weights_root: trees.weights.root(),
            segments_root: trees.segments.root(),
            assets_root: assets_tree(&assets)?.root(),
        };
        header.check()?;
        Ok(Model {
            graph,
            weights,
            assets,
            segments,
            model_id: header.model_id(),
            header,
            trees: Arc::new(trees),
        })
    }

    /// The same model with one weight replaced; its identity changes with it.
    ///
    /// # Errors
    /// If there is no such weight or the types differ.
    pub fn with_weight(&self, index: usize, tensor: Tensor) -> Result<Model, ModelError> {
        self.with_weights([(index, tensor)])
    }

    /// The same model with these weights replaced; its identity changes with them.
    ///
    /// # Errors
    /// If there is no such weight or the types differ.
    pub fn with_weights(
        &self,
        replaced: impl IntoIterator<Item = (usize, Tensor)>,
    ) -> Result<Model, ModelError> {
        let mut weights = self.weights.clone();
        let mut digests = self.trees.weight_digests.clone();
        for (index, tensor) in replaced {
            let weight = weights
                .get_mut(index)
                .filter(|w| w.value.ty() == tensor.ty())
                .ok_or_else(|| ModelError::Tensor {
                    name: format!("weight {index}"),
                    reason: format!("no weight of type {} there", tensor.ty()),
                })?;
            digests[index] = tensor_digest(tensor.dtype().id(), tensor.dims(), &tensor.le_bytes());
            weight.value = tensor.into();
        }
        let work = check(&self.graph, &weights, self.header.max_steps)?;
        Model::identify(
            self.graph.clone(),
            weights,
            digests,
            self.assets.clone(),
            &self.policy(),
            self.header.max_steps,
            &work,
        )
    }

    /// The cuts of this model, as a policy.
    fn policy(&self) -> CommitPolicy {
        CommitPolicy::After(self.ends())
    }

    /// The last node of each segment.
    pub(crate) fn ends(&self) -> Vec<u32> {
        self.segments
            .iter()
            .map(|s| (s.first_node + s.op_count).saturating_sub(1))
            .collect()
    }

    /// The step graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The weights.
    pub fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// Named files that belong to the model: preprocessing, labels, tokenizer, template.
    pub fn assets(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.assets
    }

    /// Segments in order; segment `c` is closed by commit point `c`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What the identity is the hash of.
    pub fn header(&self) -> &ModelHeader {
        &self.header
    }

    /// The identity.
    pub fn model_id(&self) -> Digest {
        self.model_id
    }

    /// Type of a value.
    pub fn type_of(&self, source: Source) -> Option<&TensorType> {
        type_of(&self.graph, &self.weights, source)
    }

    /// What is live before a segment, in the order of the slots; graph inputs before the first one of a step.
    pub fn live_before(&self, segment: u32) -> Option<Vec<Source>> {
        let before = match segment.checked_sub(1) {
            Some(before) => self.segments.get(before as usize)?.live.clone(),
            None => (0..self.graph.inputs.len() as u32)
                .map(Source::Input)
                .collect(),
        };
        ((segment as usize) < self.segments.len()).then_some(before)
    }

    /// Tensor digest of a weight.
    pub fn weight_digest(&self, index: u32) -> Option<Digest> {
        self.trees.weight_digests.get(index as usize).copied()
    }

    /// Segment entry `c` and its opening under the segments root.
    pub fn open_segment(&self, c: u32) -> Option<(SegmentEntry, Opening)> {
        Some((
            *self.trees.entries.get(c as usize)?,
            self.trees.segments.open(c.into()).ok()?,
        ))
    }

    /// Node `i` under the nodes root.
    pub fn open_node(&self, i: u32) -> Option<Opened> {
        Some(Opened {
            bytes: self.graph.nodes.get(i as usize)?.encode(),
            opening: self.trees.nodes.open(i.into()).ok()?,
        })
    }

    /// Input `position` of node `i` under the edges root.
    pub fn open_edge(&self, i: u32, position: u32) -> Option<Opened> {
        let node = self.graph.nodes.get(i as usize)?;
        let source = *node.inputs.get(position as usize)?;
        let bytes = edge_bytes(i, position, node.inputs.len(), source);
        let index = self.trees.first_edge.get(i as usize)? + u64::from(position);
        Some(Opened {
            bytes,
            opening: self.trees.edges.open(index).ok()?,
        })
    }

    /// Weight `i` under the weights root.
    pub fn open_weight(&self, i: u32) -> Option<Opened> {
        Some(Opened {
            bytes: weight_bytes(i, &self.weight_digest(i)?),
            opening: self.trees.weights.open(i.into()).ok()?,
        })
    }

    /// Slot `j` of segment `c`'s live list under the list's root.
    pub fn open_live(&self, c: u32, j: u32) -> Option<Opened> {
        let source = *self.segments.get(c as usize)?.live.get(j as usize)?;
        Some(Opened {
            bytes: live_bytes(j, source),
            opening: self.trees.live_lists.get(c as usize)?.open(j.into()).ok()?,
        })
    }
}

/// `node:u32 || position:u16 || inputs:u16 || source`: an entry of the edge table.
pub fn edge_bytes(node: u32, position: u32, inputs: usize, source: Source) -> Vec<u8> {
    [
        &node.to_be_bytes()[..],
        &(position as u16).to_be_bytes(),
        &(inputs as u16).to_be_bytes(),
        &source.encode(),
    ]
    .concat()
}

/// `index:u32 || tensor_digest`: an entry of the weight table.
pub fn weight_bytes(index: u32, digest: &Digest) -> Vec<u8> {
    [&index.to_be_bytes()[..], &digest.0].concat()
}

/// `slot:u32 || source`: an entry of a live list.
pub fn live_bytes(slot: u32, source: Source) -> Vec<u8> {
    [&slot.to_be_bytes()[..], &source.encode()].concat()
}

fn type_of<'a>(graph: &'a Graph, weights: &'a [Weight], source: Source) -> Option<&'a TensorType> {
    match source {
        Source::Input(i) => graph.inputs.get(i as usize).map(|(_, ty)| ty),
        Source::Weight(i) => weights.get(i as usize).map(|w| w.value.ty()),
        Source::Node {
            step_offset: 0,
            node,
            port: 0,
        } => graph.nodes.get(node as usize).map(|n| &n.output),
        Source::Node { .. } => None,
    }
}

/// Checks graph and weights; the work of each node.
fn check(graph: &Graph, weights: &[Weight], max_steps: u32) -> Result<Vec<u64>, ModelError> {
    check_limits(graph, weights)?;
    let work = check_nodes(graph, weights)?;
    check_outputs(graph)?;
    if max_steps > 1 {
        check_recurrence(graph, weights)?;
    }
    Ok(work)
}

fn check_limits(graph: &Graph, weights: &[Weight]) -> Result<(), ModelError> {
    let fail = |reason: String| Err(ModelError::File(reason));
    if graph.nodes.is_empty() || graph.outputs.is_empty() {
        return fail(format!(
            "a model has nodes and outputs; found {} and {}",
            graph.nodes.len(),
            graph.outputs.len()
        ));
    }
    for (what, count) in [
        ("nodes", graph.nodes.len()),
        ("weights", weights.len()),
        ("outputs", graph.outputs.len()),
        ("inputs", graph.inputs.len()),
    ] {
        if count > MAX_NODES {
            return fail(format!("{count} {what} are above the limit of {MAX_NODES}"));
        }
    }
    for (name, ty) in &graph.inputs {
        ty.elements().map_err(|e| ModelError::Boundary {
            what: "input",
            name: name.clone(),
            reason: e.to_string(),
        })?;
    }
    Ok(())
}

/// Checks every node and returns its work.
fn check_nodes(graph: &Graph, weights: &[Weight]) -> Result<Vec<u64>, ModelError> {
    graph
        .nodes
        .iter()
        .enumerate()
        .map(|(i, node)| {
            let mut types = Vec::with_capacity(node.inputs.len());
            for &source in &node.inputs {
                let earlier = !matches!(source, Source::Node { node, .. } if node as usize >= i);
                let ty = type_of(graph, weights, source)
                    .filter(|_| earlier)
                    .ok_or_else(|| ModelError::Graph {
                        node: i,
                        reason: format!("reads {source:?}, which is not there before it"),
                    })?;
                types.push(ty);
            }
            if node.inputs.len() > MAX_INPUTS || node.op.attributes().len() > MAX_ATTRIBUTES {
                return Err(ModelError::Graph {
                    node: i,
                    reason: format!(
                        "{} inputs and {} attribute words: at most {MAX_INPUTS} and {MAX_ATTRIBUTES}",
                        node.inputs.len(),
                        node.op.attributes().len(),
                    ),
                });
            }
            let output = node
                .op
                .infer_type(&types)
                .map_err(|source| ModelError::Shape {
                    node: format!("{i} {:?}", node.name),
                    source,
                })?;
            if output != node.output {
                return Err(ModelError::Graph {
                    node: i,
                    reason: format!("declares {}, its shape program gives {output}", node.output),
                });
            }
            Ok(node.op.work(&types, &output))
        })
        .collect()
}

fn check_outputs(graph: &Graph) -> Result<(), ModelError> {
    for (name, source) in &graph.outputs {
        match source {
            Source::Node {
                step_offset: 0,
                node,
                port: 0,
            } if (*node as usize) < graph.nodes.len() => {}
            _ => {
                return Err(ModelError::Boundary {
                    what: "output",
                    name: name.clone(),
                    reason: format!("must be the output of a node, found {source:?}"),
                });
            }
        }
    }
    Ok(())
}

/// Output `i` of a step is input `i` of the next, slot 0 the stop flag.
fn check_recurrence(graph: &Graph, weights: &[Weight]) -> Result<(), ModelError> {
    if graph.inputs.len() != graph.outputs.len() {
        return Err(ModelError::File(format!(
            "outputs are the next step's inputs: found {} outputs and {} inputs",
            graph.outputs.len(),
            graph.inputs.len()
        )));
    }
    let stop = TensorType::new(DType::I64, [1]);
    let mismatch = |name: &String, reason: String| ModelError::Boundary {
        what: "output",
        name: name.clone(),
        reason,
    };
    for ((name, source), (_, expected)) in graph.outputs.iter().zip(&graph.inputs) {
        let found = type_of(graph, weights, *source);
        if found != Some(expected) {
            let found = found.map_or("nothing".to_owned(), TensorType::to_string);
            return Err(mismatch(
                name,
                format!("the next step's input is {expected}, found {found}"),
            ));
        }
    }
    match (&graph.inputs[..], &graph.outputs[..]) {
        ([(_, ty), ..], [(name, _), ..]) if *ty != stop => {
            Err(mismatch(name, format!("slot 0 is {stop}, found {ty}")))
        }
        _ => Ok(()),
    }
}

fn tree(leaves: Vec<Digest>) -> Result<MerkleTree, ModelError> {
    Ok(MerkleTree::new(height(leaves.len() as u64), leaves)?)
}

fn assets_tree(assets: &BTreeMap<String, Vec<u8>>) -> Result<MerkleTree, ModelError> {
    // name and content as tensors of bytes, so that large assets open by chunk
    tree(
        assets
            .iter()
            .map(|(name, content)| {
                let content = tensor_digest(DType::U8.id(), &[content.len() as u64], content);
                let bytes = [
                    &(name.len() as u32).to_be_bytes()[..],
                    name.as_bytes(),
                    &content.0,
                ]
                .concat();
                model_leaf(ModelLeaf::Asset, &bytes)
            })
            .collect(),
    )
}

impl Trees {
    fn new(
        graph: &Graph,
        weight_digests: Vec<Digest>,
        segments: &[Segment],
    ) -> Result<Trees, ModelError> {
        let mut edges = Vec::new();
        let mut first_edge = Vec::with_capacity(graph.nodes.len());
        for (i, node) in graph.nodes.iter().enumerate() {
            first_edge.push(edges.len() as u64);
            for (position, &source) in node.inputs.iter().enumerate() {
                edges.push(model_leaf(
                    ModelLeaf::Edge,
                    &edge_bytes(i as u32, position as u32, node.inputs.len(), source),
                ));
            }
        }
        let weight_leaves = weight_digests
            .iter()
            .enumerate()
            .map(|(i, digest)| model_leaf(ModelLeaf::Weight, &weight_bytes(i as u32, digest)))
            .collect();
        let live_lists = segments
            .iter()
            .map(|s| {
                tree(
                    s.live
                        .iter()
                        .enumerate()
                        .map(|(j, &source)| {
                            model_leaf(ModelLeaf::LiveSlot, &live_bytes(j as u32, source))
                        })
                        .collect(),
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let entries: Vec<SegmentEntry> = segments
            .iter()
            .zip(&live_lists)
            .enumerate()
            .map(|(c, (s, list))| SegmentEntry {
                index: c as u32,
                first_node: s.first_node,
                op_count: s.op_count,
                live_count: s.live.len() as u32,
                live_list_root: list.root(),
            })
            .collect();
        Ok(Trees {
            nodes: tree(
                graph
                    .nodes
                    .iter()
                    .map(|n: &Node| graph_node_leaf(&n.encode()))
                    .collect(),
            )?,
            edges: tree(edges)?,
            weights: tree(weight_leaves)?,
            segments: segments_tree(&entries)?,
            live_lists,
            entries,
            weight_digests,
            first_edge,
        })
    }
}
