//! What goes over the pipes: a header in JSON, and the bytes of tensors as they are.
//!
//! `header length: u64 || body length: u64 || header || body`, little-endian. Zeros at the end of a tensor are left out.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use gavel_model::{
    CommitPolicy, Constant, Graph, Hashing, Model, ModelError, Node, Source, Weight, mapped_at,
};
use gavel_numerics::{Tensor, TensorType};
use gavel_trace::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::SandboxError;

/// Bytes of a source.
const SOURCE: usize = 13;
/// Most bytes of a header: the names of a graph's nodes are in it.
const MAX_HEADER: u64 = 64 << 20;

/// A model or family that a process has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Served {
    /// A model.
    Model(Digest),
    /// A family.
    Family(Digest),
}

/// Something that a hostile model would do if it could. The process tries it and says how far it came: how the walls are
/// tested, on the machine that they are to stand on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Open a connection.
    Connect,
    /// Read a file that is not the model's.
    Read(PathBuf),
    /// Write a file.
    Write(PathBuf),
    /// Start a program.
    Spawn(PathBuf),
    /// Look into the environment for a variable.
    Variable(String),
    /// Find open descriptors: what is found are those of its pipes.
    Descriptors,
    /// Signal another process, or have a descriptor signal it. `None`: there are no such calls.
    Signal(u32),
    /// Take so many bytes of memory, and write to all of them.
    Allocate(u64),
    /// Never answer.
    Loop,
    /// Panic.
    Panic,
}

/// What a process is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    Load {
        names: Vec<String>,
    },
    Model {
        model_id: Digest,
    },
    Serves(Inputs),
    /// A run, of so many steps if that is more than it takes by itself.
    Run {
        of: Inputs,
        steps: Option<u32>,
    },
    Fine {
        of: Inputs,
        steps: u32,
        leaf: u64,
    },
    LiveBefore {
        of: Inputs,
        steps: u32,
        leaf: u64,
    },
    Probe(Probe),
}

/// A model and what it is run on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Inputs {
    pub(super) model_id: Digest,
    pub(super) inputs: Vec<Part>,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Loaded(Vec<Served>),
    Model(Option<Box<ModelParts>>),
    Serves(bool),
    Run {
        outputs: Vec<Part>,
        leaves: Vec<Digest>,
        input_digest: Digest,
    },
    Fine {
        tensors: Vec<Part>,
        live: Vec<Part>,
        op_digests: Vec<Digest>,
        live_digests: Vec<Digest>,
    },
    Live(Vec<Part>),
    Failed(String),
    /// How far a probe came; `None`: it was stopped by an error.
    Probed(Option<String>),
}

/// A tensor in the body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    ty: TensorType,
    at: u64,
    len: u64,
}

/// A model taken apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ModelParts {
    inputs: Vec<(String, TensorType)>,
    outputs: Vec<(String, Vec<u8>)>,
    nodes: Vec<NodePart>,
    weights: Vec<WeightPart>,
    assets: Vec<(String, u64, u64)>,
    /// Last node of each segment.
    ends: Vec<u32>,
    max_steps: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct NodePart {
    name: String,
    /// Its canonical bytes; its sources follow them.
    at: u64,
    len: u64,
    inputs: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct WeightPart {
    name: String,
    value: WeightPlace,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum WeightPlace {
    Body(Part),
    /// In a file that both sides may read.
    File {
        ty: TensorType,
        path: PathBuf,
        at: u64,
        len: u64,
    },
}

/// The body of a message that is being written.
#[derive(Debug, Default)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    fn bytes(&mut self, bytes: &[u8]) -> (u64, u64) {
        let at = self.0.len() as u64;
        self.0.extend_from_slice(bytes);
        (at, bytes.len() as u64)
    }

    pub(super) fn tensor(&mut self, tensor: &Tensor) -> Part {
        let bytes = tensor.le_bytes();
        let used = bytes
            .iter()
            .rposition(|&b| b != 0)
            .map_or(0, |last| last + 1);
        let (at, len) = self.bytes(&bytes[..used]);
        Part {
            ty: tensor.ty().clone(),
            at,
            len,
        }
    }

    pub(super) fn tensors<'a>(
        &mut self,
        tensors: impl IntoIterator<Item = &'a Tensor>,
    ) -> Vec<Part> {
        tensors.into_iter().map(|t| self.tensor(t)).collect()
    }

    pub(super) fn model(&mut self, model: &Model) -> ModelParts {
        let graph = model.graph();
        let nodes = graph.nodes.iter().map(|node| {
            let (at, len) = self.bytes(&node.encode());
            for source in &node.inputs {
                self.bytes(&source.encode());
            }
            NodePart {
                name: node.name.clone(),
                at,
                len,
                inputs: node.inputs.len() as u64,
            }
        });
        let nodes = nodes.collect();
        let weights = model.weights().iter().map(|weight| WeightPart {
            name: weight.name.clone(),
            value: self.weight(&weight.value),
        });
        let weights = weights.collect();
        let assets = model.assets().iter().map(|(name, bytes)| {
            let (at, len) = self.bytes(bytes);
            (name.clone(), at, len)
        });
        let assets = assets.collect();
        let last = |s: &gavel_model::Segment| (s.first_node + s.op_count).saturating_sub(1);
        let outputs = graph.outputs.iter();
        ModelParts {
            inputs: graph.inputs.clone(),
            outputs: outputs
                .map(|(name, source)| (name.clone(), source.encode().to_vec()))
                .collect(),
            nodes,
            weights,
            assets,
            ends: model.segments().iter().map(last).collect(),
            max_steps: model.header().max_steps,
        }
    }

    fn weight(&mut self, value: &Constant) -> WeightPlace {
        let ty = value.ty().clone();
        let mapped = value.with_le_bytes(|bytes| Some((mapped_at(bytes)?, bytes.len() as u64)));
        match mapped {
            Some(((path, at), len)) => WeightPlace::File { ty, path, at, len },
            None => {
                let (at, len) = value.with_le_bytes(|bytes| self.bytes(bytes));
                WeightPlace::Body(Part { ty, at, len })
            }
        }
    }
}

/// The body of a message that was read.
#[derive(Debug)]
pub(super) struct Body(Vec<u8>);

impl Body {
    fn bytes(&self, at: u64, len: u64) -> Result<&[u8], SandboxError> {
        let range = at.checked_add(len).and_then(|end| {
            let (at, end) = (usize::try_from(at).ok()?, usize::try_from(end).ok()?);
            self.0.get(at..end)
        });
        range.ok_or_else(|| wrong("bytes beyond the end of the message"))
    }

    /// A tensor of the type that its writer says.
    fn own(&self, part: &Part) -> Result<Tensor, SandboxError> {
        let len = part.ty.byte_len().map_err(wrong)?;
        let mut bytes = self.bytes(part.at, part.len)?.to_vec();
        if bytes.len() > len {
            return Err(wrong("a tensor of more bytes than its type has"));
        }
        bytes.resize(len, 0);
        Tensor::from_le_bytes(part.ty.clone(), &bytes).map_err(wrong)
    }

    /// Tensors whose writer is trusted: what a process is given to run on.
    pub(super) fn given(&self, parts: &[Part]) -> Result<Vec<Tensor>, SandboxError> {
        parts.iter().map(|part| self.own(part)).collect()
    }

    /// Tensors of these types. Nothing is allocated for one of another type: a few bytes may stand for many zeros.
    pub(super) fn tensors<'a>(
        &self,
        parts: &[Part],
        types: impl ExactSizeIterator<Item = Option<&'a TensorType>>,
    ) -> Result<Vec<std::sync::Arc<Tensor>>, SandboxError> {
        if parts.len() != types.len() {
            return Err(wrong("another number of tensors than the model has there"));
        }
        let read = |(part, ty): (&Part, Option<&TensorType>)| match ty == Some(&part.ty) {
            true => self.own(part).map(std::sync::Arc::new),
            false => Err(wrong("a tensor of another type than the model has there")),
        };
        parts.iter().zip(types).map(read).collect()
    }

    /// The model of these parts, identified anew. Weights in files are looked for where `map` has them.
    pub(super) fn model(
        &self,
        parts: ModelParts,
        map: impl Fn(&std::path::Path) -> io::Result<bytes::Bytes>,
    ) -> Result<Model, SandboxError> {
        let nodes = parts.nodes.into_iter().map(|node| self.node(node));
        let outputs = parts.outputs.into_iter().map(|(name, source)| {
            let source = Source::decode(&source).ok_or_else(|| wrong("an output of nothing"))?;
            Ok((name, source))
        });
        let graph = Graph {
            inputs: parts.inputs,
            nodes: nodes.collect::<Result<_, SandboxError>>()?,
            outputs: outputs.collect::<Result<_, SandboxError>>()?,
        };
        let weights = parts.weights.into_iter().map(|weight| {
            Ok(Weight {
                name: weight.name,
                value: self.constant(weight.value, &map)?,
            })
        });
        let weights = weights.collect::<Result<_, SandboxError>>()?;
        let assets = parts.assets.into_iter().map(|(name, at, len)| {
            let bytes = self.bytes(at, len)?.to_vec();
            Ok((name, bytes))
        });
        let assets = assets.collect::<Result<_, SandboxError>>()?;
        let policy = CommitPolicy::After(parts.ends);
        let built: Result<Model, ModelError> = Hashing::quiet(|hashing| {
            Model::recurrent(graph, weights, assets, &policy, parts.max_steps, hashing)
        });
        built.map_err(wrong)
    }

    fn node(&self, part: NodePart) -> Result<Node, SandboxError> {
        let (op, output) = Node::decode(self.bytes(part.at, part.len)?)
            .ok_or_else(|| wrong("a node that is none"))?;
        let len = part.inputs.checked_mul(SOURCE as u64);
        let len = len.ok_or_else(|| wrong("too many sources"))?;
        let sources = self.bytes(part.at + part.len, len)?.chunks(SOURCE);
        let sources =
            sources.map(|s| Source::decode(s).ok_or_else(|| wrong("a source that is none")));
        Ok(Node {
            name: part.name,
            op,
            inputs: sources.collect::<Result<_, _>>()?,
            output,
        })
    }

    fn constant(
        &self,
        place: WeightPlace,
        map: impl Fn(&std::path::Path) -> io::Result<bytes::Bytes>,
    ) -> Result<Constant, SandboxError> {
        let (ty, bytes) = match place {
            WeightPlace::Body(part) => {
                let bytes = self.bytes(part.at, part.len)?;
                (part.ty, bytes::Bytes::copy_from_slice(bytes))
            }
            WeightPlace::File { ty, path, at, len } => {
                let file = map(&path).map_err(|e| wrong(format!("{}: {e}", path.display())))?;
                let end = at.checked_add(len).filter(|&end| end <= file.len() as u64);
                let end = end.ok_or_else(|| wrong("a weight beyond the end of its file"))?;
                (ty, file.slice(at as usize..end as usize))
            }
        };
        Constant::from_le_bytes(ty, bytes).map_err(wrong)
    }
}

pub(super) fn wrong(what: impl ToString) -> SandboxError {
    SandboxError::Answer(what.to_string())
}

/// Writes a message.
pub(super) fn write(to: &mut impl Write, header: &impl Serialize, body: &Packed) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    to.write_all(&(header.len() as u64).to_le_bytes())?;
    to.write_all(&(body.0.len() as u64).to_le_bytes())?;
    to.write_all(&header)?;
    to.write_all(&body.0)?;
    to.flush()
}

/// Reads a message whose body has at most `most` bytes. Memory is taken as they come, not as they are promised.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read, most: u64) -> io::Result<(T, Body)> {
    let mut lengths = [0; 16];
    from.read_exact(&mut lengths)?;
    let (header, body) = lengths.split_at(8);
    let length = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or([0xff; 8]));
    let (header, body) = (length(header), length(body));
    if header > MAX_HEADER || body > most {
        let text = format!("a message of {header} and {body} bytes, of which {most} may come");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let header = exactly(from, header)?;
    let body = exactly(from, body)?;
    Ok((serde_json::from_slice(&header)?, Body(body)))
}

fn exactly(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use gavel_numerics::DType;

    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_cut_short_is_none() {
        let mut body = Packed::default();
        let tensor = Tensor::f32([4], vec![1.5, -0.0, 0.0, 0.0]).unwrap();
        let parts = body.tensors([&tensor]);
        assert_eq!(parts[0].len, 8, "zeros at the end are left out");
        let mut bytes = Vec::new();
        write(&mut bytes, &parts, &body).unwrap();
        let (found, body): (Vec<Part>, _) = read(&mut bytes.as_slice(), 8).unwrap();
        assert_eq!(body.given(&found).unwrap(), std::slice::from_ref(&tensor));
        for end in 0..bytes.len() {
            assert!(read::<Vec<Part>>(&mut &bytes[..end], 8).is_err(), "{end}");
        }
        assert!(read::<Vec<Part>>(&mut bytes.as_slice(), 7).is_err());
        let other = TensorType::new(DType::F32, [5]);
        let types = [Some(&other)];
        assert!(body.tensors(&found, types.into_iter()).is_err());
    }

    #[test]
    fn promises_take_no_memory() {
        // a tensor of 64 GiB in no bytes, and a message of 2^62 bytes
        let ty = TensorType::new(DType::F32, [1 << 34]);
        let part = Part { ty, at: 0, len: 0 };
        let small = TensorType::new(DType::F32, [1]);
        let types = [Some(&small)];
        assert!(
            Body(Vec::new())
                .tensors(&[part], types.into_iter())
                .is_err()
        );
        let mut bytes = 2u64.to_le_bytes().to_vec();
        bytes.extend((1u64 << 62).to_le_bytes());
        bytes.extend(b"[]");
        assert!(read::<Vec<Part>>(&mut bytes.as_slice(), u64::MAX).is_err());
    }
}
