//! Files of strangers that once brought a reader down.
#![allow(clippy::unwrap_used)]

use gavel_text::{TextError, Tokenizer, TokenizerConfig};

fn tokenizer_json() -> String {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../spec/vectors/text/awkward.json"
    );
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut cases = file["cases"].as_array().unwrap().iter();
    let json = cases.find_map(|case| case.get("json")).unwrap();
    json.as_str()
        .map_or_else(|| json.to_string(), str::to_owned)
}

fn read(json: &[u8]) -> Result<Tokenizer, TextError> {
    Tokenizer::from_json(json, &TokenizerConfig::default(), &[])
}

#[test]
fn what_is_no_json_is_refused_wherever_it_breaks_off() {
    let json = tokenizer_json();
    assert!(read(json.as_bytes()).is_ok());
    for end in (0..json.len()).step_by(61) {
        assert!(matches!(
            read(&json.as_bytes()[..end]),
            Err(TextError::Json(_))
        ));
    }
    // in the middle of each part: a control character, and half a character
    for part in [
        "\"decoder\":",
        "\"model\":",
        "\"normalizer\":",
        "\"added_tokens\":",
    ] {
        let at = json.find(part).unwrap() + part.len();
        for broken in [&b"{\"type\":\"\0"[..], b"{\"type\":\"\xff\"", b"[[["] {
            let mut bytes = json.as_bytes().to_vec();
            bytes.splice(at..at, broken.iter().copied());
            assert!(matches!(read(&bytes), Err(TextError::Json(_))), "{part}");
        }
    }
}

#[test]
fn json_of_another_shape_is_refused() {
    for json in [
        "null",
        "[]",
        "1",
        "{}",
        "{\"added_tokens\":1}",
        "{\"added_tokens\":[1,{\"content\":\"<s>\"}]}",
    ] {
        assert!(
            matches!(read(json.as_bytes()), Err(TextError::Json(_))),
            "{json}"
        );
    }
}
