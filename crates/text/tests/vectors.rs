//! Ids as llama.cpp and the `tokenizers` library give them: the files that `bench/tokenizer_vectors.py` writes.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gavel_text::{GgufVocabulary, Special, Tokenizer, TokenizerConfig};
use serde::Deserialize;

type Ids = Vec<u32>;

#[derive(Deserialize)]
struct File {
    texts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// The metadata, or the name of a case before and what differs.
    gguf: Option<serde_json::Value>,
    /// A `tokenizer.json`.
    json: Option<String>,
    /// Of every text, or empty: then of those that differ from the other case.
    #[serde(default)]
    plain: Vec<Ids>,
    #[serde(default)]
    differing: BTreeMap<usize, Ids>,
    special: BTreeMap<usize, Ids>,
    #[serde(default)]
    prompt: BTreeMap<usize, Ids>,
    ends: Option<Ids>,
    #[serde(default)]
    decoded: BTreeMap<usize, String>,
}

fn files() -> Vec<PathBuf> {
    let shipped =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/text/awkward.json");
    let others = std::env::var_os("GAVEL_TEXT_VECTORS").map(|folder| {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect::<Vec<_>>()
    });
    std::iter::once(shipped)
        .chain(others.into_iter().flatten())
        .collect()
}

fn read(path: &Path) -> File {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Tokenizer and ids of every text as they are, case by case.
fn cases(file: &File) -> Vec<(&Case, Tokenizer, Vec<Ids>)> {
    let mut vocabularies: BTreeMap<&str, (GgufVocabulary, Vec<Ids>)> = BTreeMap::new();
    let mut out = Vec::new();
    for case in &file.cases {
        let like = case
            .gguf
            .as_ref()
            .and_then(|g| Some(&vocabularies[g.get("like")?.as_str()?]));
        let mut plain = like.map_or(&case.plain, |(_, reference)| reference).clone();
        case.differing
            .iter()
            .for_each(|(&i, ids)| plain[i].clone_from(ids));
        let tokenizer = match (&case.gguf, &case.json) {
            (Some(gguf), _) => {
                let vocabulary = match like {
                    Some((vocabulary, _)) => GgufVocabulary {
                        pre: gguf["pre"].as_str().map(str::to_owned),
                        ..vocabulary.clone()
                    },
                    None => serde_json::from_value(gguf.clone()).unwrap(),
                };
                let tokenizer = Tokenizer::from_gguf(&vocabulary)
                    .unwrap_or_else(|e| panic!("{}: {e}", case.name));
                vocabularies.insert(&case.name, (vocabulary, plain.clone()));
                tokenizer
            }
            (None, Some(json)) => {
                Tokenizer::from_json(json.as_bytes(), &TokenizerConfig::default(), &[])
                    .unwrap_or_else(|e| panic!("{}: {e}", case.name))
            }
            _ => panic!("{}: no vocabulary", case.name),
        };
        out.push((case, tokenizer, plain));
    }
    out
}

#[test]
fn gives_the_ids_of_others() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for path in files() {
        let file = read(&path);
        for (case, tokenizer, plain) in cases(&file) {
            let special = |i: usize| case.special.get(&i).unwrap_or(&plain[i]);
            for (i, text) in file.texts.iter().enumerate() {
                let mut check = |what: &str, found: Result<Ids, _>, want: &Ids| {
                    compared += 1;
                    let found: Ids = match found {
                        Ok(found) => found,
                        Err(e) => return wrong.push(format!("{} {text:?} {what}: {e}", case.name)),
                    };
                    if found != *want {
                        wrong.push(format!(
                            "{} {text:?} {what}: {found:?}, not {want:?}",
                            case.name
                        ));
                    }
                };
                check(
                    "as text",
                    tokenizer.encode(text, Special::AsText),
                    &plain[i],
                );
                check("parsed", tokenizer.encode(text, Special::Parse), special(i));
                if i % 10 == 0 && case.json.is_none() {
                    let want = case.prompt.get(&i).unwrap_or(&plain[i]);
                    check(
                        "as prompt",
                        tokenizer.encode_prompt(text, Special::Parse),
                        want,
                    );
                }
            }
            if case.json.is_some() {
                for (i, text) in file.texts.iter().enumerate() {
                    let ids = case.special.get(&i).unwrap_or(&plain[i]);
                    let want = case.decoded.get(&i).unwrap_or(text);
                    assert_eq!(&tokenizer.decode(ids), want, "{} {text:?}", case.name);
                }
            }
            if let Some(ends) = &case.ends {
                assert_eq!(tokenizer.eos_ids(), ends, "{}", case.name);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {compared}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(compared > 5000, "{compared}");
}
