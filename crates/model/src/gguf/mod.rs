//! GGUF files, versions 2 and 3. Everything in a file is hostile until checked: counts and lengths against what is left
//! of it, tensors against its end and against each other; what is kept of it is a small multiple of its header.
//!
//! Values and tensors stay where they are: in a map of the file, if the caller made one.

#[cfg(test)]
pub(crate) mod build;
mod cursor;
mod tensor;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

pub use tensor::{TensorInfo, TensorKind};

use crate::ModelError;
use cursor::Cursor;
use value::{Kind, Value};

const MAGIC: &[u8; 4] = b"GGUF";
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;
const MAX_KEYS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 16;
const MAX_KEY_BYTES: usize = (1 << 16) - 1;
/// Bytes that an entry takes at least: key of one byte, type, value of one byte.
const LEAST_ENTRY_BYTES: u64 = 8 + 1 + 4 + 1;
const ALIGNMENT: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u32 = 32;
const MAX_ALIGNMENT: u32 = 1 << 20;

/// A GGUF file whose structure has been checked.
#[derive(Clone, Debug)]
pub struct Gguf {
    file: Bytes,
    entries: BTreeMap<String, Entry>,
    tensors: BTreeMap<String, TensorInfo>,
}

#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    at: Range<usize>,
}

impl Gguf {
    /// Checks a file.
    ///
    /// # Errors
    /// What is malformed or above a limit, with the key, tensor or place.
    pub fn parse(file: Bytes) -> Result<Gguf, ModelError> {
        let mut cursor = Cursor::new(&file, 0);
        if cursor.take(4, "the magic")? != MAGIC {
            return Err(ModelError::File("not a GGUF file: no magic".into()));
        }
        let version = cursor.u32("the version")?;
        if VERSIONS.contains(&version.swap_bytes()) {
            return Err(ModelError::File(
                "a GGUF file of big-endian numbers is not supported".into(),
            ));
        }
        if !VERSIONS.contains(&version) {
            return Err(ModelError::File(format!(
                "GGUF version {version} is outside {} to {}",
                VERSIONS.start(),
                VERSIONS.end()
            )));
        }
        let tensor_count = cursor.count("tensors", tensor::LEAST_BYTES, MAX_TENSORS)?;
        let key_count = cursor.count("keys", LEAST_ENTRY_BYTES, MAX_KEYS)?;
        let mut entries = BTreeMap::new();
        for _ in 0..key_count {
            let key = read_key(&mut cursor)?;
            let start = cursor.at() + 4;
            let kind = value::skip(&mut cursor).map_err(|e| at_key(&key, e.to_string()))?;
            let at = start..cursor.at();
            if entries.insert(key.clone(), Entry { kind, at }).is_some() {
                return Err(at_key(&key, "the key is there twice".to_owned()));
            }
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..tensor_count {
            let (name, info) = tensor::read(&mut cursor)?;
            if tensors.contains_key(&name) {
                return Err(ModelError::Tensor {
                    name,
                    reason: "the name is there twice".to_owned(),
                });
            }
            tensors.insert(name, info);
        }
        let end_of_header = cursor.at();
        let mut gguf = Gguf {
            file,
            entries,
            tensors,
        };
        let alignment = gguf.alignment()?;
        gguf.place(end_of_header, alignment)?;
        Ok(gguf)
    }

    fn alignment(&self) -> Result<u64, ModelError> {
        let Some(entry) = self.entries.get(ALIGNMENT) else {
            return Ok(DEFAULT_ALIGNMENT.into());
        };
        let value = self.value(entry);
        match value.integer() {
            Some(n)
                if value.kind == Kind::U32
                    && (1..=i128::from(MAX_ALIGNMENT)).contains(&n)
                    && n.count_ones() == 1 =>
            {
                Ok(n as u64)
            }
            found => Err(at_key(
                ALIGNMENT,
                format!(
                    "expected a power of two up to {MAX_ALIGNMENT} as u32, found {}",
                    match found {
                        Some(n) => format!("{n} as {}", value.describe()),
                        None => value.describe(),
                    }
                ),
            )),
        }
    }

    /// Turns offsets into places of the file; refuses tensors that lie beyond its end, unaligned or in each other.
    fn place(&mut self, end_of_header: usize, alignment: u64) -> Result<(), ModelError> {
        let start = (end_of_header as u64)
            .checked_next_multiple_of(alignment)
            .ok_or_else(|| ModelError::File("the header is too long".into()))?;
        let length = self.file.len() as u64;
        let mut ends: Vec<(u64, u64, &str)> = Vec::with_capacity(self.tensors.len());
        for (name, info) in &mut self.tensors {
            let fail = |reason: String| ModelError::Tensor {
                name: name.clone(),
                reason,
            };
            if !info.at.start.is_multiple_of(alignment) {
                return Err(fail(format!(
                    "offset {} is no multiple of the alignment {alignment}",
                    info.at.start
                )));
            }
            let place = |offset: u64| start.checked_add(offset).filter(|&at| at <= length);
            match (place(info.at.start), place(info.at.end)) {
                (Some(first), Some(end)) => info.at = first..end,
                _ => {
                    return Err(fail(format!(
                        "bytes {} to {} of the data lie beyond the file's end, {length}",
                        info.at.start, info.at.end
                    )));
                }
            }
            ends.push((info.at.start, info.at.end, name));
        }
        ends.sort_unstable();
        match ends.array_windows().find(|[a, b]| b.0 < a.1) {
            None => Ok(()),
            Some([a, b]) => Err(ModelError::Tensor {
                name: b.2.to_owned(),
                reason: format!("its bytes overlap those of {}", a.2),
            }),
        }
    }

    fn value(&self, entry: &Entry) -> Value<'_> {
        Value {
            kind: entry.kind,
            content: &self.file[entry.at.clone()],
        }
    }

    /// A value as `read` takes it; `None` if there is no such key.
    fn get<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        let Some(entry) = self.entries.get(key) else {
            return Ok(None);
        };
        let value = self.value(entry);
        match read(value) {
            Some(found) => Ok(Some(found)),
            None => Err(at_key(
                key,
                format!("expected {expected}, found {}", value.describe()),
            )),
        }
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// An integer of any type that fits.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, ModelError> {
        self.get(key, "an integer of 32 bits without sign", |v| {
            u32::try_from(v.integer()?).ok()
        })
    }

    /// A float, as f64 where the file has f32.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn float(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.get(key, "a float", Value::float)
    }

    /// An integer, a float or a truth value as a number.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.get(key, "a number", |v| {
            let integer = v.integer().map(|n| n as f64);
            integer
                .or_else(|| v.float())
                .or_else(|| v.bool().map(|b| f64::from(u8::from(b))))
        })
    }

    /// A truth value.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, ModelError> {
        self.get(key, "a bool", Value::bool)
    }

    /// A text.
    ///
    /// # Errors
    /// If the key holds something else, or no UTF-8.
    pub fn string(&self, key: &str) -> Result<Option<&str>, ModelError> {
        self.get(key, "a string of UTF-8", |v| utf8(v.string()?))
    }

    /// A list of texts.
    ///
    /// # Errors
    /// If the key holds something else, or no UTF-8.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&str>>, ModelError> {
        self.get(key, "an array of strings of UTF-8", |v| {
            v.strings()?.into_iter().map(utf8).collect()
        })
    }

    /// A list of integers that fit.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i32>>, ModelError> {
        self.get(key, "an array of integers of 32 bits", |v| {
            v.numbers(|v| i32::try_from(v.integer()?).ok())
        })
    }

    /// A list of floats.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>, ModelError> {
        self.get(key, "an array of f32", |v| {
            v.numbers(|v| (v.kind == Kind::F32).then_some(v.float()? as f32))
        })
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

    /// The bytes of a tensor; shared with the file, not copied.
    pub fn bytes(&self, tensor: &TensorInfo) -> Bytes {
        // places of this file by construction; of another file: what is there
        let end = (tensor.at.end as usize).min(self.file.len());
        self.file.slice((tensor.at.start as usize).min(end)..end)
    }

    /// A file of version 3 with the keys that `keep` takes, in order, and no tensors: [`parse`](Self::parse) reads it.
    /// The same keys and values give the same bytes.
    pub fn metadata(&self, keep: impl Fn(&str) -> bool) -> Vec<u8> {
        let kept = self.entries.iter().filter(|(key, _)| keep(key));
        let mut out = MAGIC.to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(0u64.to_le_bytes());
        out.extend((kept.clone().count() as u64).to_le_bytes());
        for (key, entry) in kept {
            out.extend((key.len() as u64).to_le_bytes());
            out.extend(key.as_bytes());
            out.extend((entry.kind as u32).to_le_bytes());
            out.extend(&self.file[entry.at.clone()]);
        }
        out
    }
}

/// The value of a key that must be there.
///
/// # Errors
/// If it is not.
pub fn required<T>(key: &str, value: Option<T>) -> Result<T, ModelError> {
    value.ok_or_else(|| at_key(key, "the key is missing".to_owned()))
}

fn read_key(cursor: &mut Cursor<'_>) -> Result<String, ModelError> {
    let key = cursor.string("a key")?;
    match std::str::from_utf8(key) {
        Ok(text) if (1..=MAX_KEY_BYTES).contains(&text.len()) => Ok(text.to_owned()),
        _ => Err(ModelError::File(format!(
            "a key is UTF-8 of 1 to {MAX_KEY_BYTES} bytes, found {} bytes",
            key.len()
        ))),
    }
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn at_key(key: &str, reason: String) -> ModelError {
    ModelError::Config {
        field: key.to_owned(),
        reason,
    }
}
