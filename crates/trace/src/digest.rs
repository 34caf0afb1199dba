//! The 32-byte digest and the domain tags that keep one kind of preimage from posing as another.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// `hash_id` of SHA-256 in tensor digests.
pub const HASH_ID_SHA256: u8 = 1;

/// First byte of every preimage (`spec/trace.md`, "Domain tags").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// Chunk of tensor bytes.
    Chunk = 0x00,
    /// Inner node of every Merkle tree.
    Node = 0x01,
    /// Tensor digest.
    Tensor = 0x02,
    /// Trace root.
    TraceRoot = 0x03,
    /// Segment entry of a model.
    Segment = 0x04,
    /// Model header.
    Model = 0x05,
    /// Graph node of a model.
    GraphNode = 0x06,
    /// Audit chunk, salted with the auditor's address.
    AuditChunk = 0x07,
    /// Other model leaves; a sub-tag byte follows.
    ModelLeaf = 0x08,
    /// Family of models.
    Family = 0x09,
    /// Leaf of a trap: no live root.
    Trap = 0x0a,
}

/// A SHA-256 digest. Shown and serialised as `0x` and 64 lower-case hex digits; ordered as bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// 32 zero bytes: the missing leaf `Z_0`.
    pub const ZERO: Digest = Digest([0; 32]);

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is the missing leaf `Z_0`.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Digest(bytes)
    }
}

impl From<Digest> for [u8; 32] {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Digest {
    /// `0x` and 64 digits; with `{:#}` the first 8 digits only, for timelines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        let shown = if f.alternate() { 4 } else { 32 };
        for byte in self.0.iter().take(shown) {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A string that is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hex digits, with or without 0x")]
pub struct ParseDigestError;

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let digits = s.strip_prefix("0x").unwrap_or(s);
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| ParseDigestError)?;
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HexVisitor;
        impl de::Visitor<'_> for HexVisitor {
            type Value = Digest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest: 0x and 64 hex digits")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<Digest, E> {
                s.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(HexVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways() {
        let digest = Digest(core::array::from_fn(|i| i as u8 * 7));
        let text = digest.to_string();
        assert_eq!(text.len(), 66);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        assert_eq!(text[2..].to_uppercase().parse::<Digest>().unwrap(), digest);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert_eq!(format!("{digest:#}"), "0x00070e15");
    }

    #[test]
    fn bad_hex_is_refused() {
        for bad in [
            "",
            "0x",
            "0x12",
            "zz",
            &"0".repeat(63),
            &"0".repeat(66),
            "0x0x",
        ] {
            assert_eq!(bad.parse::<Digest>(), Err(ParseDigestError), "{bad}");
        }
        assert!(serde_json::from_str::<Digest>("12").is_err());
    }
}
