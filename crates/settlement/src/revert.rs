//! Revert data in words: the error's name with its values, found in the ABIs of all artifacts.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use alloy::dyn_abi::{DynSolValue, ErrorExt as _};
use alloy::json_abi::{Error, Param};
use alloy::primitives::{Selector, hex};
use alloy::sol_types::{Panic, Revert as RevertString, SolError as _};

use crate::artifacts::artifacts;

/// A decoded contract error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revert {
    /// The error's name.
    pub name: String,
    /// Its first four bytes.
    pub selector: Selector,
    /// Its values with their names: `taskId=3, now=17`.
    pub values: String,
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.values)
    }
}

/// The error that revert data encodes; `None` if no contract of ours has it.
///
/// ```
/// use alloy::sol_types::SolError as _;
/// use gavel_settlement::{bindings::DevBeacon, revert};
///
/// let data = DevBeacon::AlreadyPublished { round: 7 }.abi_encode();
/// assert_eq!(revert::decode(&data).unwrap().to_string(), "AlreadyPublished(round=7)");
/// ```
pub fn decode(data: &[u8]) -> Option<Revert> {
    let selector = Selector::from(data.first_chunk::<4>()?);
    if let Ok(error) = RevertString::abi_decode(data) {
        return Some(Revert {
            name: "Error".to_owned(),
            selector,
            values: format!("{:?}", error.reason),
        });
    }
    if let Ok(panic) = Panic::abi_decode(data) {
        return Some(Revert {
            name: "Panic".to_owned(),
            selector,
            values: format!("{:#x}", panic.code),
        });
    }
    let error = errors().get(&selector)?;
    let values = error.decode_error(data).ok()?.body;
    Some(Revert {
        name: error.name.clone(),
        selector,
        values: named(&error.inputs, &values),
    })
}

fn named(params: &[Param], values: &[DynSolValue]) -> String {
    let each = params.iter().zip(values).map(|(param, value)| {
        let is_short_text = param.ty == "bytes32";
        match param.name.as_str() {
            "" => shown(value, is_short_text),
            name => format!("{name}={}", shown(value, is_short_text)),
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

fn shown(value: &DynSolValue, is_short_text: bool) -> String {
    match value {
        DynSolValue::Bool(b) => b.to_string(),
        DynSolValue::Int(i, _) => i.to_string(),
        DynSolValue::Uint(u, _) => u.to_string(),
        DynSolValue::Address(a) => a.to_string(),
        DynSolValue::String(s) => format!("{s:?}"),
        DynSolValue::Bytes(b) => hex::encode_prefixed(b),
        DynSolValue::FixedBytes(word, size) => {
            let bytes = word.get(..*size).unwrap_or_default();
            let text: Vec<u8> = bytes.iter().copied().take_while(|b| *b != 0).collect();
            let rest_is_zero = bytes[text.len()..].iter().all(|b| *b == 0);
            match std::str::from_utf8(&text) {
                // contracts name things in left-aligned words
                Ok(text)
                    if is_short_text
                        && rest_is_zero
                        && !text.is_empty()
                        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') =>
                {
                    text.to_owned()
                }
                _ => hex::encode_prefixed(bytes),
            }
        }
        DynSolValue::Array(v) | DynSolValue::FixedArray(v) | DynSolValue::Tuple(v) => {
            let inner: Vec<String> = v.iter().map(|v| shown(v, false)).collect();
            format!("[{}]", inner.join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn errors() -> &'static HashMap<Selector, Error> {
    static ALL: OnceLock<HashMap<Selector, Error>> = OnceLock::new();
    ALL.get_or_init(|| {
        artifacts()
            .values()
            .flat_map(|artifact| artifact.abi.errors())
            .map(|error| (error.selector(), error.clone()))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;
    use crate::bindings::WiringCheck;

    #[test]
    fn values_carry_their_names_and_words_are_text() {
        let data = WiringCheck::WiringMismatch {
            what: alloy::primitives::FixedBytes::right_padding_from(b"vault.court"),
            expected: Address::ZERO,
            found: Address::with_last_byte(1),
        }
        .abi_encode();
        assert_eq!(
            decode(&data).unwrap().to_string(),
            "WiringMismatch(what=vault.court, expected=0x0000000000000000000000000000000000000000, \
             found=0x0000000000000000000000000000000000000001)"
        );
    }

    #[test]
    fn strings_and_panics_are_errors_too_and_garbage_is_none() {
        let text = RevertString::from("no").abi_encode();
        assert_eq!(decode(&text).unwrap().to_string(), "Error(\"no\")");
        let panic = Panic::from(alloy::sol_types::PanicKind::UnderOverflow).abi_encode();
        assert_eq!(decode(&panic).unwrap().to_string(), "Panic(0x11)");
        assert_eq!(decode(&[1, 2, 3]), None);
        assert_eq!(decode(&[0xff; 40]), None);
    }
}
