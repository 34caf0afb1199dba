//! Tensors whose bytes lie in files beside the model's, as exporters write them by default.
//!
//! What a tensor says of its place is hostile: the name of a file may lead anywhere, and a range may begin or end
//! behind its file.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;

use super::budget;
use super::proto::{GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};
use crate::ModelError;

/// Files that a model's tensors may lie in; some exporters write one for each tensor.
const MAX_FILES: usize = 1 << 12;
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// Where a tensor lies.
struct Place<'a> {
    location: &'a str,
    offset: u64,
    /// Up to the end of the file where the model says nothing.
    length: Option<u64>,
}

fn refused(proto: &TensorProto, reason: String) -> ModelError {
    ModelError::Tensor {
        name: proto.name.clone(),
        reason,
    }
}

/// Where a tensor lies, if not in the model's file.
fn place(proto: &TensorProto) -> Result<Option<Place<'_>>, ModelError> {
    let fail = |reason: &str| refused(proto, reason.to_owned());
    match (proto.data_location, proto.external_data.is_empty()) {
        (0, true) => return Ok(None),
        (0, false) => {
            return Err(fail(
                "it has a place in another file and does not lie there",
            ));
        }
        (EXTERNAL, _) => {}
        (other, _) => {
            return Err(refused(
                proto,
                format!("data location {other} is not known"),
            ));
        }
    }
    let inside = proto.raw_data.len()
        + proto.float_data.len()
        + proto.int32_data.len()
        + proto.int64_data.len()
        + proto.double_data.len()
        + proto.uint64_data.len();
    if inside > 0 {
        return Err(fail("it lies in another file and in the model's as well"));
    }
    // other entries are hints: the checksum of a file says nothing that the model_id does not
    let entry = |key: &str| {
        let mut values = proto.external_data.iter().filter(|entry| entry.key == key);
        let found = values.next().map(|entry| entry.value.as_str());
        match values.next() {
            Some(_) => Err(refused(proto, format!("its {key} is given twice"))),
            None => Ok(found),
        }
    };
    let number = |key: &str| match entry(key)? {
        None => Ok(None),
        Some(text) => match text
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse())
        {
            Some(Ok(value)) => Ok(Some(value)),
            _ => Err(refused(
                proto,
                format!("its {key} {text:?} is no number of bytes"),
            )),
        },
    };
    let location = entry("location")?.ok_or_else(|| fail("it lies in a file without a name"))?;
    if !is_beside(location) {
        return Err(refused(
            proto,
            format!("it lies in {location:?}, which is no file in the folder of the model"),
        ));
    }
    Ok(Some(Place {
        location,
        offset: number("offset")?.unwrap_or(0),
        length: number("length")?,
    }))
}

/// Whether a location is a relative path that leads down and nowhere else, on every system.
fn is_beside(location: &str) -> bool {
    let unfit = |c: char| c == '\\' || c.is_control();
    let drive = location.as_bytes().get(1) == Some(&b':');
    let part = |part: &str| !matches!(part, "" | "." | "..");
    !drive && !location.contains(unfit) && location.split('/').all(part)
}

/// The bytes of a tensor that lies in one of these files; `None` of one in the model's file.
pub(super) fn bytes(
    proto: &TensorProto,
    files: &BTreeMap<String, Bytes>,
) -> Result<Option<Bytes>, ModelError> {
    let Some(place) = place(proto)? else {
        return Ok(None);
    };
    let file = files.get(place.location).ok_or_else(|| {
        let reason = format!("it lies in {:?}, which is not given", place.location);
        refused(proto, reason)
    })?;
    let size = file.len() as u64;
    let end = match place.length {
        Some(length) => place.offset.checked_add(length),
        None => Some(size),
    };
    match end.filter(|&end| place.offset <= end && end <= size) {
        Some(end) => Ok(Some(file.slice(place.offset as usize..end as usize))),
        None => Err(refused(
            proto,
            format!(
                "{} bytes from {} are beyond the end of {:?}, which has {size}",
                place.length.map_or("its".to_owned(), |n| n.to_string()),
                place.offset,
                place.location
            ),
        )),
    }
}

/// Names of the files that tensors of an ONNX file lie in: relative to its folder, of parts that lead down, with `/`
/// between them.
///
/// # Errors
/// What is malformed, a name that may lead elsewhere, and more than 4096 names.
pub fn external_files(file: &Bytes) -> Result<BTreeSet<String>, ModelError> {
    budget::check(file)?;
    let proto = ModelProto::decode(file.clone())?;
    let mut found = Files::default();
    if let Some(graph) = &proto.graph {
        found.graph(graph)?;
    }
    for function in &proto.functions {
        found.nodes(&function.node)?;
        for attribute in &function.attribute_proto {
            found.tensors(attribute.t.as_deref(), attribute.sparse_tensor.as_deref())?;
        }
    }
    Ok(found.0)
}

#[derive(Default)]
struct Files(BTreeSet<String>);

impl Files {
    fn graph(&mut self, graph: &GraphProto) -> Result<(), ModelError> {
        for tensor in &graph.initializer {
            self.tensors(Some(tensor), None)?;
        }
        for tensor in &graph.sparse_initializer {
            self.tensors(None, Some(tensor))?;
        }
        self.nodes(&graph.node)
    }

    /// The decoder bounds how deep graphs lie in each other.
    fn nodes(&mut self, nodes: &[NodeProto]) -> Result<(), ModelError> {
        for attribute in nodes.iter().flat_map(|node| &node.attribute) {
            self.tensors(attribute.t.as_deref(), attribute.sparse_tensor.as_deref())?;
            if let Some(graph) = &attribute.g {
                self.graph(graph)?;
            }
        }
        Ok(())
    }

    fn tensors(
        &mut self,
        dense: Option<&TensorProto>,
        sparse: Option<&SparseTensorProto>,
    ) -> Result<(), ModelError> {
        let parts = sparse.into_iter().flat_map(|s| [&s.values, &s.indices]);
        for tensor in dense.into_iter().chain(parts.flatten()) {
            let Some(place) = place(tensor)? else {
                continue;
            };
            if !self.0.contains(place.location) {
                self.0.insert(place.location.to_owned());
            }
            if self.0.len() > MAX_FILES {
                return Err(ModelError::File(format!(
                    "its tensors lie in more than {MAX_FILES} files"
                )));
            }
        }
        Ok(())
    }
}
