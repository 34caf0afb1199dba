//! Byte strings in JSON: hex where people read them, base64 where they are long.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Bytes that serialise as `0x` hex.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct HexBytes(pub Vec<u8>);

/// Bytes that serialise as standard base64.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Base64Bytes(pub Vec<u8>);

struct TextVisitor<F>(&'static str, F);

impl<T, F: Fn(&str) -> Option<T>> de::Visitor<'_> for TextVisitor<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).ok_or_else(|| E::custom(format_args!("expected {}", self.0)))
    }
}

impl fmt::Display for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(&self.0))
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let decode = |text: &str| hex::decode(text.strip_prefix("0x")?).ok().map(HexBytes);
        deserializer.deserialize_str(TextVisitor("0x and an even number of hex digits", decode))
    }
}

impl Serialize for Base64Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let decode = |text: &str| STANDARD.decode(text).ok().map(Base64Bytes);
        deserializer.deserialize_str(TextVisitor("standard base64", decode))
    }
}
