//! safetensors files: a length, a JSON header, and the bytes of tensors without a gap. Everything is checked against
//! the file; tensors stay where they are.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::ModelError;

/// Longest header.
const MAX_HEADER: u64 = 100 << 20;
const MAX_RANK: usize = 8;
/// Largest index of a model in several files.
const MAX_INDEX: usize = 100 << 20;
/// The entry of the header that is no tensor.
const METADATA: &str = "__metadata__";
/// Types of tensor and the bytes of an element.
const TYPES: &[(&str, u64)] = &[
    ("BOOL", 1),
    ("U8", 1),
    ("I8", 1),
    ("F8_E4M3", 1),
    ("F8_E5M2", 1),
    ("F8_E8M0", 1),
    ("U16", 2),
    ("I16", 2),
    ("F16", 2),
    ("BF16", 2),
    ("U32", 4),
    ("I32", 4),
    ("F32", 4),
    ("U64", 8),
    ("I64", 8),
    ("F64", 8),
];

/// A safetensors file whose structure has been checked.
#[derive(Clone, Debug)]
pub struct Safetensors {
    file: Bytes,
    tensors: BTreeMap<String, TensorInfo>,
}

/// What a file says of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Type of an element, by the format's name.
    pub dtype: &'static str,
    /// Extents, outermost first.
    pub dims: Vec<u64>,
    /// Its place in the file.
    at: Range<usize>,
}

impl Safetensors {
    /// Checks a file.
    ///
    /// # Errors
    /// What is malformed or above a limit, with the tensor.
    pub fn parse(file: Bytes) -> Result<Safetensors, ModelError> {
        let fail = |reason: String| ModelError::File(format!("safetensors: {reason}"));
        let (length, rest) = file
            .split_first_chunk()
            .map(|(length, rest)| (u64::from_le_bytes(*length), rest))
            .ok_or_else(|| fail("the file is shorter than its first number".into()))?;
        let header = usize::try_from(length)
            .ok()
            .filter(|_| length <= MAX_HEADER)
            .and_then(|length| rest.get(..length))
            .ok_or_else(|| {
                fail(format!(
                    "a header of {length} bytes: at most {MAX_HEADER}, and {} are left",
                    rest.len()
                ))
            })?;
        let Header(entries) =
            serde_json::from_slice(header).map_err(|e| fail(format!("header: {e}")))?;
        let data = 8 + header.len();
        let size = (file.len() - data) as u64;
        let mut tensors = BTreeMap::new();
        let mut places = Vec::with_capacity(entries.len());
        for (name, entry) in entries {
            let info = entry.check(&name, data, size)?;
            places.push((entry.data_offsets[0], entry.data_offsets[1], name.clone()));
            tensors.insert(name, info);
        }
        // every byte of the data belongs to one tensor
        places.sort_unstable();
        let mut at = 0;
        for (first, end, name) in places {
            if first != at {
                return Err(ModelError::Tensor {
                    name,
                    reason: format!(
                        "it starts at {first} of the data, the one before ends at {at}"
                    ),
                });
            }
            at = end;
        }
        if at != size {
            return Err(fail(format!("tensors end at {at}, the data at {size}")));
        }
        Ok(Safetensors { file, tensors })
    }

    /// Names and descriptions of the tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors
            .iter()
            .map(|(name, info)| (name.as_str(), info))
    }

    /// What the file says of a tensor.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// The bytes of one of this file's tensors; shared with the file, not copied.
    pub fn bytes(&self, tensor: &TensorInfo) -> Bytes {
        let end = tensor.at.end.min(self.file.len());
        self.file.slice(tensor.at.start.min(end)..end)
    }
}

/// Names of the files that an index (`model.safetensors.index.json`) spreads a model over: plain names of files beside it.
///
/// # Errors
/// If it is no index, or a name leads elsewhere.
pub fn shards(index: &[u8]) -> Result<Vec<String>, ModelError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let fail = |reason: String| ModelError::File(format!("index of shards: {reason}"));
    if index.len() > MAX_INDEX {
        return Err(fail(format!("{} bytes are above {MAX_INDEX}", index.len())));
    }
    let index: Index = serde_json::from_slice(index).map_err(|e| fail(e.to_string()))?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort_unstable();
    names.dedup();
    let plain = |name: &str| {
        name.ends_with(".safetensors")
            && !name.starts_with('.')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    match names.iter().find(|name| !plain(name)) {
        None => Ok(names),
        Some(name) => Err(fail(format!("{name:?} is no plain name of a file"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl Entry {
    /// Checks it against data of `size` bytes that start at `data` of the file.
    fn check(&self, name: &str, data: usize, size: u64) -> Result<TensorInfo, ModelError> {
        let fail = |reason: String| ModelError::Tensor {
            name: name.to_owned(),
            reason,
        };
        let &(dtype, element) = TYPES
            .iter()
            .find(|(known, _)| *known == self.dtype)
            .ok_or_else(|| fail(format!("{:?} is no type of tensor", self.dtype)))?;
        if self.shape.len() > MAX_RANK {
            return Err(fail(format!(
                "rank {} is above {MAX_RANK}",
                self.shape.len()
            )));
        }
        let [first, end] = self.data_offsets;
        if first > end || end > size {
            return Err(fail(format!(
                "bytes {first} to {end} are no part of data of {size} bytes"
            )));
        }
        let bytes = self
            .shape
            .iter()
            .try_fold(element, |n, &d| n.checked_mul(d));
        if bytes != Some(end - first) {
            return Err(fail(format!(
                "{dtype} of extents {:?} does not take the {} bytes that it has",
                self.shape,
                end - first
            )));
        }
        Ok(TensorInfo {
            dtype,
            dims: self.shape.clone(),
            // within the file, whose length is a usize
            at: data + first as usize..data + end as usize,
        })
    }
}

/// The header's tensors; a name that is there twice is refused.
struct Header(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let entry = map.next_value()?;
                    if entries.insert(name.clone(), entry).is_some() {
                        return Err(A::Error::custom(format!("{name} is there twice")));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
