//! Metadata of a GGUF file: values stay in the file's bytes until they are asked for.

use super::cursor::Cursor;
use crate::ModelError;

/// Arrays in arrays, at most so deep.
const MAX_DEPTH: usize = 4;

/// Kinds of value, by the numbers that the format gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl Kind {
    const ALL: [Kind; 13] = [
        Kind::U8,
        Kind::I8,
        Kind::U16,
        Kind::I16,
        Kind::U32,
        Kind::I32,
        Kind::F32,
        Kind::Bool,
        Kind::String,
        Kind::Array,
        Kind::U64,
        Kind::I64,
        Kind::F64,
    ];

    fn read(cursor: &mut Cursor<'_>) -> Result<Kind, ModelError> {
        let id = cursor.u32("type of a value")?;
        Kind::ALL
            .into_iter()
            .find(|k| *k as u32 == id)
            .ok_or_else(|| ModelError::File(format!("{id} is no type of a value")))
    }

    /// Bytes of a value of fixed size.
    fn size(self) -> Option<u64> {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => Some(1),
            Kind::U16 | Kind::I16 => Some(2),
            Kind::U32 | Kind::I32 | Kind::F32 => Some(4),
            Kind::U64 | Kind::I64 | Kind::F64 => Some(8),
            Kind::String | Kind::Array => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::U8 => "u8",
            Kind::I8 => "i8",
            Kind::U16 => "u16",
            Kind::I16 => "i16",
            Kind::U32 => "u32",
            Kind::I32 => "i32",
            Kind::F32 => "f32",
            Kind::Bool => "bool",
            Kind::String => "string",
            Kind::Array => "array",
            Kind::U64 => "u64",
            Kind::I64 => "i64",
            Kind::F64 => "f64",
        }
    }
}

/// Checks the value at the cursor and goes behind it; its kind.
pub(super) fn skip(cursor: &mut Cursor<'_>) -> Result<Kind, ModelError> {
    let kind = Kind::read(cursor)?;
    skip_content(cursor, kind, 0)?;
    Ok(kind)
}

fn skip_content(cursor: &mut Cursor<'_>, kind: Kind, depth: usize) -> Result<(), ModelError> {
    match kind {
        Kind::Bool => check_bools(cursor.take(1, "a bool")?),
        Kind::String => cursor.string("a string").map(drop),
        Kind::Array if depth == MAX_DEPTH => Err(ModelError::File(format!(
            "arrays are nested more than {MAX_DEPTH} deep"
        ))),
        Kind::Array => {
            let element = Kind::read(cursor)?;
            let least = match element {
                Kind::String => 8,
                Kind::Array => 12,
                other => other.size().unwrap_or(1),
            };
            let count = cursor.count("elements of an array", least, u64::MAX)?;
            match element.size() {
                Some(size) => {
                    // fits by the count's own check
                    let content = cursor.take(count.saturating_mul(size), "an array")?;
                    match element {
                        Kind::Bool => check_bools(content),
                        _ => Ok(()),
                    }
                }
                None => (0..count).try_for_each(|_| skip_content(cursor, element, depth + 1)),
            }
        }
        other => cursor.take(other.size().unwrap_or(0), "a number").map(drop),
    }
}

fn check_bools(bytes: &[u8]) -> Result<(), ModelError> {
    match bytes.iter().find(|&&b| b > 1) {
        None => Ok(()),
        Some(found) => Err(ModelError::File(format!("a bool is 0 or 1, found {found}"))),
    }
}

/// A value that [`skip`] has checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) kind: Kind,
    /// Its bytes, without its kind.
    pub(super) content: &'a [u8],
}

impl<'a> Value<'a> {
    /// What it is, in words.
    pub(super) fn describe(self) -> String {
        match self.array() {
            Some((element, count, _)) => format!("an array of {count} {}", element.name()),
            None => self.kind.name().to_owned(),
        }
    }

    pub(super) fn bool(self) -> Option<bool> {
        (self.kind == Kind::Bool).then(|| self.content == [1])
    }

    /// A number of any integer type.
    pub(super) fn integer(self) -> Option<i128> {
        integer(self.kind, self.content)
    }

    pub(super) fn float(self) -> Option<f64> {
        float(self.kind, self.content)
    }

    pub(super) fn string(self) -> Option<&'a [u8]> {
        (self.kind == Kind::String).then_some(())?;
        self.content.get(8..)
    }

    fn array(self) -> Option<(Kind, u64, Cursor<'a>)> {
        (self.kind == Kind::Array).then_some(())?;
        let mut cursor = Cursor::new(self.content, 0);
        let kind = Kind::read(&mut cursor).ok()?;
        let count = cursor.u64("").ok()?;
        Some((kind, count, cursor))
    }

    /// The strings of an array of strings.
    pub(super) fn strings(self) -> Option<Vec<&'a [u8]>> {
        let (kind, count, mut cursor) = self.array()?;
        (kind == Kind::String).then_some(())?;
        (0..count).map(|_| cursor.string("").ok()).collect()
    }

    /// The numbers of an array, each as `read` makes it of one value.
    pub(super) fn numbers<T>(self, read: impl Fn(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        let (kind, count, mut cursor) = self.array()?;
        let size = kind.size()?;
        (0..count)
            .map(|_| {
                let content = cursor.take(size, "").ok()?;
                read(Value { kind, content })
            })
            .collect()
    }
}

fn integer(kind: Kind, content: &[u8]) -> Option<i128> {
    Some(match kind {
        Kind::U8 => (*content.first()?).into(),
        Kind::I8 => content.first()?.cast_signed().into(),
        Kind::U16 => u16::from_le_bytes(*content.first_chunk()?).into(),
        Kind::I16 => i16::from_le_bytes(*content.first_chunk()?).into(),
        Kind::U32 => u32::from_le_bytes(*content.first_chunk()?).into(),
        Kind::I32 => i32::from_le_bytes(*content.first_chunk()?).into(),
        Kind::U64 => u64::from_le_bytes(*content.first_chunk()?).into(),
        Kind::I64 => i64::from_le_bytes(*content.first_chunk()?).into(),
        _ => return None,
    })
}

fn float(kind: Kind, content: &[u8]) -> Option<f64> {
    Some(match kind {
        Kind::F32 => f32::from_le_bytes(*content.first_chunk()?).into(),
        Kind::F64 => f64::from_le_bytes(*content.first_chunk()?),
        _ => return None,
    })
}
