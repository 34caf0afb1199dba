//! Import of ONNX files. Everything in a file is hostile until checked: sizes against the file, names,
//! types and shapes against the standard; what is not supported is refused by node and operator.

mod activations;
mod attention;
mod attributes;
mod budget;
mod build;
mod control;
mod einsum;
mod elementwise;
mod folding;
mod functions;
mod indexing;
mod integers;
mod known;
mod losses;
mod lower;
mod movement;
mod pictures;
mod plain;
mod pools;
mod proto;
mod prune;
mod quantized;
pub(crate) mod random;
mod recurrent;
mod reductions;
mod resize;
mod sampling;
mod signal;
mod tensor;
mod types;
mod windows;

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use gavel_numerics::{DType, Op, Tensor, TensorType};
use prost::Message as _;

use crate::{CommitPolicy, Constant, Graph, Model, ModelError, Node, Source, Weight, diffusion};
pub use random::SEED;

use proto::{GraphProto, ModelProto, NodeProto, ValueInfo};

/// Oldest and newest opset of the default domain that the mappings were written against.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;
/// Metadata keys with this prefix become assets: `labels`, `diffusion`, and what else there is `preprocess`.
const METADATA_PREFIX: &str = "gavel.";
/// Graphs inside of nodes that are written out, turn by turn.
const MAX_TURNS: usize = 1 << 14;
/// Most nodes of a graph, loops written out.
const MAX_NODES: usize = 1 << 18;

/// How to read a file.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Values of symbolic dimensions by name. An unnamed or unbound leading dimension of an input is 1.
    pub dimensions: BTreeMap<String, u64>,
    /// Shapes of inputs by name, for extents that the file leaves open.
    pub shapes: BTreeMap<String, Vec<u64>>,
    /// Values of inputs by name: what shapes depend on is part of the model.
    pub values: BTreeMap<String, Tensor>,
    /// Where to commit.
    pub commit: CommitPolicy,
}

/// Reads an ONNX file.
///
/// # Errors
/// What is malformed or not supported, with the node, tensor or dimension it concerns.
pub fn import(file: &[u8], options: &ImportOptions) -> Result<Model, ModelError> {
    import_shared(Bytes::copy_from_slice(file), options)
}

/// [`import`] of bytes that are not copied.
///
/// # Errors
/// As [`import`].
pub fn import_shared(file: Bytes, options: &ImportOptions) -> Result<Model, ModelError> {
    budget::check(&file)?;
    let proto = ModelProto::decode(file)?;
    let graph = proto
        .graph
        .as_ref()
        .ok_or_else(|| ModelError::File("the file holds no graph".into()))?;
    if !proto.functions.is_empty() {
        return Err(ModelError::File(
            "model-local functions are not supported".into(),
        ));
    }
    let importer = Importer::new(opset(&proto)?, graph, options)?;
    let (graph, weights) = importer.run(graph)?;
    let assets = assets(&proto);
    match assets.contains_key(diffusion::ASSET) {
        true => diffusion::model(graph, weights, assets, &options.commit),
        false => Model::build(graph, weights, assets, &options.commit),
    }
}

/// Names of the operators of the standard that are read, in alphabetical order.
pub fn operators() -> Vec<&'static str> {
    lower::names()
}

fn opset(proto: &ModelProto) -> Result<i64, ModelError> {
    let version = proto
        .opset_import
        .iter()
        .find(|o| o.domain.is_empty() || o.domain == "ai.onnx")
        .map(|o| o.version);
    match version {
        Some(v) if OPSETS.contains(&v) => Ok(v),
        Some(v) => Err(ModelError::File(format!(
            "opset {v} is outside {} to {}",
            OPSETS.start(),
            OPSETS.end()
        ))),
        None => Err(ModelError::File(
            "the file names no opset of the default domain".into(),
        )),
    }
}

/// `gavel.*` metadata as assets: `labels`, `diffusion`, and `preprocess` (key=value lines).
fn assets(proto: &ModelProto) -> BTreeMap<String, Vec<u8>> {
    let entries: BTreeMap<&str, &str> = proto
        .metadata_props
        .iter()
        .filter_map(|e| Some((e.key.strip_prefix(METADATA_PREFIX)?, e.value.as_str())))
        .collect();
    let mut assets = BTreeMap::new();
    let mut lines = String::new();
    for (key, value) in entries {
        if key == "labels" || key == diffusion::ASSET {
            assets.insert(key.to_owned(), value.as_bytes().to_vec());
        } else {
            lines.push_str(&format!("{key}={value}\n"));
        }
    }
    if !lines.is_empty() {
        assets.insert("preprocess".to_owned(), lines.into_bytes());
    }
    assets
}

/// What a name stands for while the graph is read.
#[derive(Clone)]
enum Value {
    /// Known at import.
    Constant(Constant),
    /// Computed by the task.
    Dynamic(Source),
}

struct Importer {
    opset: i64,
    values: HashMap<String, Value>,
    graph: Graph,
    weights: Vec<Weight>,
    /// Weights by the constant that they are.
    weight_of: HashMap<*const (), u32>,
    folding: folding::Folding,
    /// Names of the graph that is being read, and what they stood for outside of it.
    scope: HashMap<String, Option<Value>>,
    /// Outputs that are not given, with the reason.
    absent: HashMap<String, String>,
    /// Graphs inside of nodes that may yet be written out.
    turns: usize,
    /// Nodes of the file that were read, loops written out.
    read: usize,
    /// Streams of random numbers that nodes draw from.
    streams: u64,
}

impl Importer {
    fn new(
        opset: i64,
        graph: &GraphProto,
        options: &ImportOptions,
    ) -> Result<Importer, ModelError> {
        let mut importer = Importer {
            opset,
            values: HashMap::new(),
            graph: Graph::default(),
            weights: Vec::new(),
            weight_of: HashMap::new(),
            folding: folding::Folding::default(),
            scope: HashMap::new(),
            absent: HashMap::new(),
            turns: MAX_TURNS,
            read: 0,
            streams: 0,
        };
        importer.initializers(graph)?;
        // before IR version 4 initializers are listed among the inputs too
        let initializers: HashSet<&str> =
            graph.initializer.iter().map(|t| t.name.as_str()).collect();
        for info in graph
            .input
            .iter()
            .filter(|i| !initializers.contains(i.name.as_str()))
        {
            if let Some(value) = options.values.get(&info.name) {
                let value = Value::Constant(value.clone().into());
                importer.define(&info.name, value, || {
                    boundary("input", info, "the name is used twice")
                })?;
                continue;
            }
            let ty = input_type(info, options)?;
            let source = Source::Input(importer.graph.inputs.len() as u32);
            importer.define(&info.name, Value::Dynamic(source), || {
                boundary("input", info, "the name is used twice")
            })?;
            importer.graph.inputs.push((info.name.clone(), ty));
        }
        Ok(importer)
    }

    fn initializers(&mut self, graph: &GraphProto) -> Result<(), ModelError> {
        if !graph.sparse_initializer.is_empty() {
            return Err(ModelError::File(
                "sparse initializers are not supported".into(),
            ));
        }
        for proto in &graph.initializer {
            let value = Value::Constant(tensor::constant(proto)?);
            self.define(&proto.name, value, || ModelError::Tensor {
                name: proto.name.clone(),
                reason: "the name is used twice".into(),
            })?;
        }
        Ok(())
    }

    fn define(
        &mut self,
        name: &str,
        value: Value,
        twice: impl FnOnce() -> ModelError,
    ) -> Result<(), ModelError> {
        if self.scope.contains_key(name) {
            return Err(twice());
        }
        let before = self.values.insert(name.to_owned(), value);
        self.scope.insert(name.to_owned(), before);
        self.absent.remove(name);
        Ok(())
    }

    /// Reads the nodes of a graph; `prefix` comes before their names.
    fn nodes(&mut self, proto: &GraphProto, prefix: &str) -> Result<(), ModelError> {
        for (i, node) in proto.node.iter().enumerate() {
            let label = match node.name.as_str() {
                "" => format!("{prefix}#{i}"),
                name => format!("{prefix}{name}"),
            };
            let fail = |reason: String| ModelError::Node {
                node: label.clone(),
                op: node.op_type.clone(),
                reason,
            };
            self.read += 1;
            let values = self.lower(node, &label)?;
            if self.graph.nodes.len().max(self.read) > MAX_NODES {
                return Err(fail(format!("the graph has more than {MAX_NODES} nodes")));
            }
            if node.output.iter().all(String::is_empty) {
                return Err(fail("it has no output".into()));
            }
            for extra in node.output.iter().skip(values.len()) {
                let reason = format!("output {extra} of {label} ({}) is not given", node.op_type);
                self.absent.insert(extra.clone(), reason);
            }
            for (output, value) in node.output.iter().zip(values) {
                if !output.is_empty() {
                    self.define(output, value, || {
                        fail(format!("output {output} is defined twice"))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// What a graph inside of a node gives for the values of its inputs; it sees the names around it.
    fn inner(
        &mut self,
        graph: &GraphProto,
        given: Vec<Value>,
        label: &str,
    ) -> Result<Vec<Value>, ModelError> {
        self.turns = self.turns.checked_sub(1).ok_or_else(|| {
            ModelError::File(format!(
                "its loops turn more than {MAX_TURNS} times; each turn is written out"
            ))
        })?;
        let outer = std::mem::take(&mut self.scope);
        let found = self.inner_values(graph, given, label);
        for (name, before) in std::mem::replace(&mut self.scope, outer) {
            match before {
                Some(value) => self.values.insert(name, value),
                None => self.values.remove(&name),
            };
        }
        found
    }

    fn inner_values(
        &mut self,
        graph: &GraphProto,
        given: Vec<Value>,
        label: &str,
    ) -> Result<Vec<Value>, ModelError> {
        self.initializers(graph)?;
        let inputs = graph.input.iter();
        let inputs: Vec<&ValueInfo> = inputs
            .filter(|input| !self.scope.contains_key(&input.name))
            .collect();
        if inputs.len() != given.len() {
            return Err(ModelError::File(format!(
                "the graph in {label} takes {} inputs, its node gives {}",
                inputs.len(),
                given.len()
            )));
        }
        for (info, value) in inputs.into_iter().zip(given) {
            self.define(&info.name, value, || {
                boundary("input", info, "the name is used twice")
            })?;
        }
        self.nodes(graph, &format!("{label}/"))?;
        graph.output.iter().map(|info| self.output(info)).collect()
    }

    fn output(&self, info: &ValueInfo) -> Result<Value, ModelError> {
        let value = self.values.get(&info.name).cloned();
        value.ok_or_else(|| {
            let reason = self.absent.get(&info.name).map(String::as_str);
            boundary("output", info, reason.unwrap_or("nothing produces it"))
        })
    }

    fn run(mut self, proto: &GraphProto) -> Result<(Graph, Vec<Weight>), ModelError> {
        self.nodes(proto, "")?;
        for info in &proto.output {
            let value = self.output(info)?;
            let source = match value {
                Value::Dynamic(source @ Source::Node { .. }) => source,
                // an output is always a node's, so that the trace shows it
                Value::Dynamic(_) | Value::Constant(_) => {
                    let source = self.source(&info.name, &value);
                    let types = [self.type_of(source).clone()];
                    self.push(
                        info.name.clone(),
                        Op::Identity,
                        vec![source],
                        &types.iter().collect::<Vec<_>>(),
                    )?
                }
            };
            self.graph.outputs.push((info.name.clone(), source));
        }
        Ok(prune::prune(self.graph, self.weights))
    }

    /// The values of a node's outputs, with whatever nodes they take appended to the graph.
    fn lower(&mut self, node: &NodeProto, label: &str) -> Result<Vec<Value>, ModelError> {
        if !node.domain.is_empty() && node.domain != "ai.onnx" {
            return Err(unsupported(
                label,
                format!("{}.{}", node.domain, node.op_type),
            ));
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            inputs.push(match name.as_str() {
                "" => None,
                name => Some((
                    name,
                    self.values.get(name).cloned().ok_or_else(|| {
                        let absent = self.absent.get(name).cloned();
                        ModelError::Node {
                            node: label.to_owned(),
                            op: node.op_type.clone(),
                            reason: absent.unwrap_or_else(|| {
                                format!(
                                    "input {name} is not produced before it (missing, unordered, or a cycle)"
                                )
                            }),
                        }
                    })?,
                )),
            });
        }
        lower::lower(self, node, label, &inputs)
    }

    /// Name and type of the first input of the graph that a value is computed from.
    fn input_behind(&self, source: Source) -> Option<&(String, TensorType)> {
        let mut first = None;
        let (mut seen, mut rest) = (HashSet::new(), vec![source]);
        while let Some(source) = rest.pop() {
            match source {
                Source::Input(i) => first = Some(first.map_or(i, |first: u32| first.min(i))),
                Source::Node { node, .. } if seen.insert(node) => {
                    let node = self.graph.nodes.get(node as usize);
                    rest.extend(node.iter().flat_map(|node| &node.inputs));
                }
                Source::Weight(_) | Source::Node { .. } => {}
            }
        }
        self.graph.inputs.get(first? as usize)
    }

    fn type_of(&self, source: Source) -> &TensorType {
        match source {
            Source::Input(i) => &self.graph.inputs[i as usize].1,
            Source::Weight(i) => self.weights[i as usize].value.ty(),
            Source::Node { node, .. } => &self.graph.nodes[node as usize].output,
        }
    }

    /// Where a value lives; a constant becomes a weight at its first use.
    fn source(&mut self, name: &str, value: &Value) -> Source {
        match value {
            Value::Dynamic(source) => *source,
            Value::Constant(value) => {
                let next = self.weights.len() as u32;
                let index = *self.weight_of.entry(value.address()).or_insert(next);
                if index == next {
                    self.weights.push(Weight {
                        name: name.to_owned(),
                        value: value.clone(),
                    });
                }
                Source::Weight(index)
            }
        }
    }

    /// Appends a node whose type the shape program gives.
    fn push(
        &mut self,
        name: String,
        op: Op,
        inputs: Vec<Source>,
        types: &[&TensorType],
    ) -> Result<Source, ModelError> {
        let output = op.infer_type(types).map_err(|source| ModelError::Shape {
            node: name.clone(),
            source,
        })?;
        let index = self.graph.nodes.len() as u32;
        self.graph.nodes.push(Node {
            name,
            op,
            inputs,
            output,
        });
        Ok(Source::node(index))
    }
}

fn unsupported(label: &str, op: String) -> ModelError {
    ModelError::Unsupported {
        node: label.to_owned(),
        op,
        supported: lower::supported(),
    }
}

fn boundary(what: &'static str, info: &ValueInfo, reason: &str) -> ModelError {
    ModelError::Boundary {
        what,
        name: info.name.clone(),
        reason: reason.to_owned(),
    }
}

fn input_type(info: &ValueInfo, options: &ImportOptions) -> Result<TensorType, ModelError> {
    let fail = |reason: String| ModelError::Boundary {
        what: "input",
        name: info.name.clone(),
        reason,
    };
    let ty = info
        .r#type
        .as_ref()
        .and_then(|t| t.tensor_type.as_ref())
        .ok_or_else(|| fail("only tensors are supported".into()))?;
    let dtype: DType = tensor::dtype(ty.elem_type).ok_or_else(|| {
        fail(format!(
            "element type {} is not supported",
            tensor::type_name(ty.elem_type)
        ))
    })?;
    let given = options.shapes.get(&info.name);
    let shape = match (&ty.shape, given) {
        (Some(shape), _) => shape,
        (None, Some(given)) => return typed(info, dtype, given.clone()),
        (None, None) => return Err(fail("its shape is not declared".into())),
    };
    let given = given.filter(|given| given.len() == shape.dim.len());
    let dims = shape
        .dim
        .iter()
        .enumerate()
        .map(|(axis, dim)| {
            let name = dim.dim_param.as_deref().filter(|n| !n.is_empty());
            match (dim.dim_value, name.and_then(|n| options.dimensions.get(n))) {
                (_, Some(&bound)) => Ok(bound),
                (Some(value), None) if value > 0 => Ok(value as u64),
                (_, None) if given.is_some() => Ok(given.map_or(0, |given| given[axis])),
                (Some(0), None) if axis > 0 || shape.dim.len() == 1 => Ok(0),
                // a batch of one: strangers' tasks are batched by the engine, not by the model
                _ if axis == 0 => Ok(1),
                _ => Err(fail(format!(
                    "dimension {axis} ({}) has no value; bind it by name: MODEL@{}=128",
                    name.unwrap_or("unnamed"),
                    name.unwrap_or("NAME")
                ))),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    typed(info, dtype, dims)
}

fn typed(info: &ValueInfo, dtype: DType, dims: Vec<u64>) -> Result<TensorType, ModelError> {
    let ty = TensorType::new(dtype, dims);
    ty.elements()
        .map_err(|e| boundary("input", info, &e.to_string()))?;
    Ok(ty)
}

#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod operators_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod types_tests;
