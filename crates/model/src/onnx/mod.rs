//! Import of ONNX files. Everything in a file is hostile until checked: sizes against the file, names,
//! types and shapes against the standard; what is not supported is refused by node and operator.

mod activations;
mod attention;
mod attributes;
mod boundary;
mod budget;
mod build;
mod calls;
mod control;
mod determinant;
mod einsum;
mod elementwise;
mod external;
mod folding;
mod functions;
mod indexing;
mod integers;
mod kept;
mod known;
mod losses;
mod lower;
mod movement;
mod open;
mod optionals;
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
mod sparse;
mod tensor;
mod types;
mod windows;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use gavel_numerics::{Op, Tensor, TensorType};

use crate::{CommitPolicy, Constant, Graph, Model, ModelError, Node, Source, Weight, diffusion};
pub use external::external_files;
pub use open::OnnxFile;
pub use random::SEED;

use attributes::Attributes;
use boundary::{boundary, input_type};
use calls::{Functions, Names};
use kept::{Keeping, Recipe};
use proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfo};

/// Oldest and newest opset of the default domain that the mappings were written against.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;
/// Metadata keys with this prefix become assets: `labels`, `diffusion`, and what else there is `preprocess`.
const METADATA_PREFIX: &str = "gavel.";
/// Graphs inside of nodes that are written out, turn by turn.
const MAX_TURNS: usize = 1 << 14;
/// Most nodes of a graph, loops written out.
const MAX_NODES: usize = 1 << 18;

/// Graphs and functions inside of each other.
const MAX_DEPTH: usize = 64;
/// Longest name of a node in a graph, in bytes: those of nodes inside of others become longer.
const MAX_LABEL: usize = 512;
/// Bytes of tensors that are read, per byte of the files: tensors may share their bytes, and those of a loop or a
/// function are read each time.
const SHARED: u64 = 8;
/// Bytes of tensors beyond that.
const FREE_BYTES: u64 = 256 << 20;

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
    /// What the files hold that tensors lie in, by their names ([`external_files`]).
    pub files: BTreeMap<String, Bytes>,
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
    OnnxFile::parse(file)?.bind(options)
}

/// Names of the operators of the standard that are read, in alphabetical order.
pub fn operators() -> Vec<&'static str> {
    lower::names()
}

/// Whether a domain is that of the standard's operators.
fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
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

struct Importer<'p> {
    options: &'p ImportOptions,
    functions: Functions<'p>,
    names: Names<'p>,
    graph: Graph,
    weights: Vec<Weight>,
    /// Weights by the constant that they are.
    weight_of: HashMap<*const (), u32>,
    folding: folding::Folding,
    keeping: Keeping,
    /// The file's bytes.
    file: Bytes,
    /// Graphs inside of nodes that may yet be written out.
    turns: usize,
    /// Graphs and functions around the node that is being read.
    depth: usize,
    /// Nodes of the file that were read, loops and calls written out.
    read: usize,
    /// Bytes of tensors that may yet be read.
    data: Cell<u64>,
    /// Streams of random numbers that nodes draw from.
    streams: u64,
}

impl<'p> Importer<'p> {
    /// Before the nodes of the graph, of a file of so many bytes.
    fn new(
        proto: &'p ModelProto,
        graph: &'p GraphProto,
        file: Bytes,
        options: &'p ImportOptions,
        keeping: Keeping,
    ) -> Result<Importer<'p>, ModelError> {
        let files = options.files.values().map(|file| file.len() as u64);
        let data = files.fold(file.len() as u64, u64::saturating_add);
        let mut importer = Importer {
            options,
            functions: Functions::new(proto)?,
            names: Names {
                opset: calls::opset(&proto.opset_import)?,
                ..Names::default()
            },
            graph: Graph::default(),
            weights: Vec::new(),
            weight_of: HashMap::new(),
            folding: folding::Folding::default(),
            keeping,
            file,
            turns: MAX_TURNS,
            depth: 0,
            read: 0,
            data: Cell::new(data.saturating_mul(SHARED).saturating_add(FREE_BYTES)),
            streams: 0,
        };
        importer.initializers(graph, true)?;
        // before IR version 4 initializers are listed among the inputs too
        let dense = graph.initializer.iter().map(|t| t.name.as_str());
        let sparse = graph.sparse_initializer.iter().map(sparse::name);
        let initializers: HashSet<&str> = dense.chain(sparse).collect();
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

    fn initializers(&mut self, graph: &GraphProto, outermost: bool) -> Result<(), ModelError> {
        for (i, proto) in graph.initializer.iter().enumerate() {
            let recipe = outermost.then_some(Recipe::Initializer(i));
            let value = self.made(proto, recipe)?;
            self.initializer(&proto.name, value)?;
        }
        for proto in &graph.sparse_initializer {
            let tensor = self.sparse(proto)?;
            self.initializer(sparse::name(proto), tensor.into())?;
        }
        Ok(())
    }

    fn initializer(&mut self, name: &str, value: Constant) -> Result<(), ModelError> {
        self.define(name, Value::Constant(value), || ModelError::Tensor {
            name: name.to_owned(),
            reason: "the name is used twice".into(),
        })
    }

    /// The value of a tensor of the file, or of one beside it.
    fn constant(&mut self, proto: &TensorProto) -> Result<Constant, ModelError> {
        self.made(proto, None)
    }

    fn made(
        &mut self,
        proto: &TensorProto,
        recipe: Option<Recipe>,
    ) -> Result<Constant, ModelError> {
        let recipe = || recipe.or_else(|| Recipe::of_bytes(proto, &self.file));
        let value = self.keeping.get_or_make(recipe, || {
            let external = external::bytes(proto, &self.options.files)?;
            tensor::constant(proto, external.as_ref())
        })?;
        // as many whether they are made or kept
        let left = self.data.get().checked_sub(value.byte_len() as u64);
        self.data.set(left.ok_or_else(|| {
            ModelError::File("its tensors take many times the bytes of its files".into())
        })?);
        Ok(value)
    }

    /// Attributes of a node that is being read.
    fn attributes(&self, node: &'p NodeProto, label: &str) -> Result<Attributes<'p>, ModelError> {
        Attributes::new(node, label, self.names.given.as_ref())
    }

    fn define(
        &mut self,
        name: &str,
        value: Value,
        twice: impl FnOnce() -> ModelError,
    ) -> Result<(), ModelError> {
        if self.names.scope.contains_key(name) {
            return Err(twice());
        }
        let before = self.names.values.insert(name.to_owned(), value);
        self.names.scope.insert(name.to_owned(), before);
        self.names.absent.remove(name);
        Ok(())
    }

    /// Reads nodes; `prefix` comes before their names.
    fn nodes(&mut self, nodes: &'p [NodeProto], prefix: &str) -> Result<(), ModelError> {
        for (i, node) in nodes.iter().enumerate() {
            let label = label(prefix, i, &node.name);
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
                self.names.absent.insert(extra.clone(), reason);
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
        graph: &'p GraphProto,
        given: Vec<Value>,
        label: &str,
    ) -> Result<Vec<Value>, ModelError> {
        self.turns = self.turns.checked_sub(1).ok_or_else(|| {
            ModelError::File(format!(
                "its loops turn more than {MAX_TURNS} times; each turn is written out"
            ))
        })?;
        let outer = std::mem::take(&mut self.names.scope);
        let found = self.nested(label, |importer| importer.inner_values(graph, given, label));
        for (name, before) in std::mem::replace(&mut self.names.scope, outer) {
            match before {
                Some(value) => self.names.values.insert(name, value),
                None => self.names.values.remove(&name),
            };
        }
        found
    }

    /// What a graph or function gives, which is not too deep inside of others.
    fn nested<T>(
        &mut self,
        label: &str,
        read: impl FnOnce(&mut Self) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        if self.depth == MAX_DEPTH {
            return Err(ModelError::File(format!(
                "more than {MAX_DEPTH} graphs and functions are inside of each other at {label}"
            )));
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    fn inner_values(
        &mut self,
        graph: &'p GraphProto,
        given: Vec<Value>,
        label: &str,
    ) -> Result<Vec<Value>, ModelError> {
        self.initializers(graph, false)?;
        let inputs = graph.input.iter();
        let inputs: Vec<&ValueInfo> = inputs
            .filter(|input| !self.names.scope.contains_key(&input.name))
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
        self.nodes(&graph.node, &format!("{label}/"))?;
        graph.output.iter().map(|info| self.output(info)).collect()
    }

    fn output(&self, info: &ValueInfo) -> Result<Value, ModelError> {
        let value = self.names.values.get(&info.name).cloned();
        value.ok_or_else(|| {
            let reason = self.names.absent.get(&info.name).map(String::as_str);
            boundary("output", info, reason.unwrap_or("nothing produces it"))
        })
    }

    /// What an operator gives on constants, if that is little work.
    fn folded(
        &mut self,
        op: &Op,
        constants: &[&Constant],
        types: &[&TensorType],
    ) -> Option<Constant> {
        self.folding.admit(op, types)?;
        let recipe = self.keeping.folded(op, constants);
        let fold = || folding::fold(op, constants).map(Constant::from);
        self.keeping.get_or_make(|| recipe, fold).ok()
    }

    fn run(&mut self, proto: &'p GraphProto) -> Result<(Graph, Vec<Weight>), ModelError> {
        self.nodes(&proto.node, "")?;
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
        let graph = std::mem::take(&mut self.graph);
        Ok(prune::prune(graph, std::mem::take(&mut self.weights)))
    }

    /// The values of a node's outputs, with whatever nodes they take appended to the graph.
    fn lower(&mut self, node: &'p NodeProto, label: &str) -> Result<Vec<Value>, ModelError> {
        let function = self.functions.called(node, label)?;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            inputs.push(match name.as_str() {
                "" => None,
                name if self.is_omitted(name) => None,
                name => Some((
                    name,
                    self.names.values.get(name).cloned().ok_or_else(|| {
                        let absent = self.names.absent.get(name).cloned();
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
        match function {
            Some(function) => self.call(function, node, label, &inputs),
            None if self.names.opset == 0 => Err(ModelError::Node {
                node: label.to_owned(),
                op: node.op_type.clone(),
                reason: "no opset of the default domain is imported".into(),
            }),
            None => lower::lower(self, node, label, &inputs),
        }
    }

    /// Whether a name is that of an input that the call of this function leaves out.
    fn is_omitted(&self, name: &str) -> bool {
        self.names.omitted.contains(name) && !self.names.values.contains_key(name)
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

/// The name of node `i` of a graph, for people.
fn label(prefix: &str, i: usize, name: &str) -> String {
    /// The end of a name.
    fn end(name: &str) -> &str {
        let from = name.len().saturating_sub(MAX_LABEL);
        let from = (from..=name.len()).find(|&i| name.is_char_boundary(i));
        &name[from.unwrap_or_default()..]
    }
    let label = match name {
        "" => format!("{prefix}#{i}"),
        name => format!("{prefix}{}", end(name)),
    };
    end(&label).to_owned()
}

fn unsupported(label: &str, op: String) -> ModelError {
    ModelError::Unsupported {
        node: label.to_owned(),
        op,
        supported: lower::supported(),
    }
}

#[cfg(test)]
mod calls_tests;
#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod external_tests;
#[cfg(test)]
mod operators_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod types_tests;
