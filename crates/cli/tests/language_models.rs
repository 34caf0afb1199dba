//! Language models by name, file and folder: what they are said to be, and which are refused in which words.
#![allow(clippy::unwrap_used)]

mod common;

use common::{gavel, gavel_in, json, root, text};

const FIXTURE: &str = "crates/model/tests/fixtures/tiny-qwen3-Q8_0.gguf";

#[test]
fn a_language_model_is_shown_by_configuration_formats_and_cost() {
    let object = json(&["model", "inspect", "llm"]);
    assert_eq!(
        object["model_id"],
        json(&["model", "id", "llm"])["model_id"]
    );
    let by_file = json(&["model", "id", "models/tales-q8_0.gguf"]);
    assert_eq!(object["model_id"], by_file["model_id"]);
    let language = &object["language"];
    assert_eq!(language["config"]["architecture"], "llama");
    assert_eq!(object["max_steps"], language["config"]["context"]);
    assert_eq!(language["tokenizer"], "byte-level BPE, split as gpt-2");
    let read: u64 = language["matrices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(language["weight_bytes_per_token"], read);
    let config = &language["config"];
    let row = 4 * config["kv_heads"].as_u64().unwrap() * config["head_dim"].as_u64().unwrap();
    let cache = 2 * config["layers"].as_u64().unwrap() * row;
    assert_eq!(language["cache_bytes_per_token"], cache);
    assert!(language["hashed_bytes_per_token"].as_u64().unwrap() > cache);
    let shown = text(&gavel(&["model", "inspect", "llm"]).stdout);
    for word in [
        "model_id",
        "Matrices",
        "Q8_0",
        "Commit points",
        "layer 1",
        "gavel generate llm",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(shown.lines().all(|l| l.chars().count() <= 120), "{shown}");
}

#[test]
fn the_context_is_part_of_the_identity() {
    let id = |args: &[&str]| json(&[&["model", "id"][..], args].concat())["model_id"].clone();
    let own = id(&["llm"]);
    assert_eq!(own, id(&["llm", "--context", "512"]));
    assert_ne!(own, id(&["llm", "--context", "64"]));
    let other = gavel(&["model", "id", "digits", "--context", "64"]);
    assert!(text(&other.stderr).contains("digits is no language model; expected a GGUF file"));
}

#[test]
fn files_that_are_no_language_model_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(root().join(FIXTURE)).unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("cut.gguf"), &whole[..whole.len() - 100]).unwrap();
    std::fs::write(at("head.gguf"), &whole[..40]).unwrap();
    std::fs::write(at("empty.gguf"), b"").unwrap();
    std::fs::write(at("magic.gguf"), b"GGUF").unwrap();
    // the type of a tensor is the word behind its extents
    let mut kind = whole.clone();
    let name = b"blk.0.attn_k.weight";
    let found = kind.windows(name.len()).position(|w| w == name).unwrap();
    let word = found + name.len() + 4 + 2 * 8;
    assert_eq!(kind[word..word + 4], 8u32.to_le_bytes());
    kind[word..word + 4].copy_from_slice(&6u32.to_le_bytes());
    std::fs::write(at("q5.gguf"), kind).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::create_dir(at("half")).unwrap();
    std::fs::write(at("half/config.json"), b"{}").unwrap();
    std::fs::write(at("model.safetensors"), b"").unwrap();
    for (name, words) in [
        ("absent.gguf", &["there is no such file", "a GGUF file"][..]),
        ("cut.gguf", &["beyond the file's end", "fetch it again"]),
        ("head.gguf", &["head.gguf: "]),
        ("empty.gguf", &["the file holds no graph"]),
        ("magic.gguf", &["magic.gguf: "]),
        ("q5.gguf", &["blk.0.attn_k.weight", "type Q5_0", "Q8_0"]),
        (
            "folder",
            &[
                "folder is a directory without config.json",
                "model.safetensors",
            ],
        ),
        ("half", &["half/model.safetensors: there is no such file"]),
        ("model.safetensors", &["holds weights alone", "the folder"]),
    ] {
        let output = gavel_in(dir.path(), &["model", "id", name]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {stderr}");
        assert!(stderr.starts_with("error: "), "{name}: {stderr}");
        for word in words {
            assert!(
                stderr.contains(word),
                "{name}: {word:?} is not in {stderr:?}"
            );
        }
    }
}
