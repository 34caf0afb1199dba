//! Text to tokens and back: nothing lost, in one piece or token by token, in time that grows with the text.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use gavel_text::{GgufVocabulary, MAX_TEXT, Special, TextError, Tokenizer, TokenizerConfig};
use proptest::prelude::*;

static TOKENIZERS: LazyLock<Vec<(String, Tokenizer)>> = LazyLock::new(|| {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../spec/vectors/text/awkward.json"
    );
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let bpe = cases.iter().find(|c| c["name"] == "bpe-default").unwrap();
    let tokenizer = |case: &serde_json::Value| {
        if let Some(json) = case["json"].as_str() {
            return Tokenizer::from_json(json.as_bytes(), &TokenizerConfig::default(), &[])
                .unwrap();
        }
        let mut gguf = case["gguf"].clone();
        if let Some(pre) = gguf["like"]
            .as_str()
            .and(gguf["pre"].as_str())
            .map(str::to_owned)
        {
            gguf = bpe["gguf"].clone();
            gguf["pre"] = pre.into();
        }
        let vocabulary: GgufVocabulary = serde_json::from_value(gguf).unwrap();
        Tokenizer::from_gguf(&vocabulary).unwrap()
    };
    cases
        .iter()
        .map(|case| (case["name"].as_str().unwrap().to_owned(), tokenizer(case)))
        .collect()
});

/// Whether a vocabulary keeps a text as it is: the character that stands for a space comes back as one.
fn keeps(name: &str, text: &str) -> bool {
    !name.contains("spm") || !text.contains('\u{2581}')
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.decode_stream(&[]);
    let mut text: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
    text.extend(stream.flush());
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn decoding_gives_the_text_back(text in "(?s)[ a-z'0-9\n\t]{0,30}\\PC{0,20}.{0,10}") {
        for (name, tokenizer) in TOKENIZERS.iter().filter(|(name, _)| keeps(name, &text)) {
            let ids = tokenizer.encode(&text, Special::AsText).unwrap();
            prop_assert_eq!(&tokenizer.decode(&ids), &text, "{}", name);
        }
    }

    #[test]
    fn a_stream_gives_what_decoding_at_once_gives(ids in prop::collection::vec(0u32..1000, 0..40), cut in 0usize..40) {
        for (name, tokenizer) in TOKENIZERS.iter() {
            let whole = tokenizer.decode(&ids);
            prop_assert_eq!(&streamed(tokenizer, &ids), &whole, "{}", name);
            // a text and what follows it are the whole, unless a character is cut in two
            let (before, after) = ids.split_at(cut.min(ids.len()));
            let mut stream = tokenizer.decode_stream(before);
            let mut rest: String = after.iter().filter_map(|&id| stream.push(id)).collect();
            rest.extend(stream.flush());
            let joined = tokenizer.decode(before) + &rest;
            if !joined.contains('\u{fffd}') && !before.is_empty() && !tokenizer.decode(before).is_empty() {
                prop_assert_eq!(joined, whole, "{}", name);
            }
        }
    }
}

#[test]
fn a_stream_holds_incomplete_characters_back() {
    let (_, tokenizer) = TOKENIZERS.iter().find(|(name, _)| name == "spm").unwrap();
    let byte = |b: u8| {
        let name = format!("<0x{b:02X}>");
        (0..)
            .find(|&id| {
                tokenizer
                    .encode("\u{1f9ff}", Special::AsText)
                    .unwrap()
                    .contains(&id)
                    && tokenizer.token_bytes(id) == Some(&[b])
            })
            .unwrap_or_else(|| panic!("{name}"))
    };
    let ids: Vec<u32> = "\u{1f9ff}".bytes().map(byte).collect();
    let mut stream = tokenizer.decode_stream(&[]);
    assert_eq!(
        ids[..3]
            .iter()
            .map(|&id| stream.push(id))
            .collect::<Vec<_>>(),
        [None, None, None]
    );
    assert_eq!(stream.push(ids[3]).unwrap(), "\u{1f9ff}");
    assert_eq!(stream.flush(), None);
    assert_eq!(stream.push(ids[0]), None);
    assert_eq!(stream.flush().unwrap(), "\u{fffd}");
    // ids outside the vocabulary are no text
    assert_eq!(stream.push(u32::MAX), None);
    assert_eq!(tokenizer.decode(&[u32::MAX, 1]), "");
}

#[test]
fn long_texts_take_time_in_proportion() {
    // a quadratic merge or split of a megabyte would not end within a test run's patience
    let long = ["a", " "].map(|unit| (unit, 1 << 20));
    let others = [
        "\n", "9", "é", " a", "'s ", "\u{301}", "A", "-", "😀", "aA", "\r\n \t",
    ]
    .map(|unit| (unit, 1 << 16));
    for (unit, length) in long.into_iter().chain(others) {
        let text = unit.repeat(length / unit.len());
        for (name, tokenizer) in TOKENIZERS.iter().filter(|(name, _)| {
            [
                "spm",
                "bpe-llama-bpe",
                "bpe-tekken",
                "bpe-default",
                "json-byte-level",
            ]
            .contains(&name.as_str())
        }) {
            let ids = tokenizer.encode(&text, Special::AsText).unwrap();
            assert_eq!(tokenizer.decode(&ids), text, "{name} {unit:?}");
        }
    }
}

#[test]
fn a_text_beyond_the_limit_is_refused() {
    let text = "a".repeat(MAX_TEXT + 1);
    for (_, tokenizer) in TOKENIZERS.iter() {
        assert!(matches!(
            tokenizer.encode(&text, Special::AsText),
            Err(TextError::TooLong { .. })
        ));
    }
}

#[test]
fn vocabularies_that_contradict_themselves_are_refused() {
    let base = || GgufVocabulary {
        model: "llama".into(),
        tokens: ["<unk>", "<s>", "</s>", "a"].map(str::to_owned).into(),
        scores: vec![0.0; 4],
        token_types: vec![2, 3, 3, 1],
        ..GgufVocabulary::default()
    };
    assert!(Tokenizer::from_gguf(&base()).is_ok());
    let refused = |change: &dyn Fn(&mut GgufVocabulary), say: &str| {
        let mut vocabulary = base();
        change(&mut vocabulary);
        let error = Tokenizer::from_gguf(&vocabulary).unwrap_err().to_string();
        assert!(error.contains(say), "{error}");
    };
    refused(&|v| v.model = "t5".into(), "supported: llama, gpt2");
    refused(
        &|v| (v.model, v.pre) = ("gpt2".into(), Some("viking".into())),
        "qwen2",
    );
    refused(&|v| v.tokens.clear(), "0 tokens");
    refused(&|v| v.tokens[3] = "<s>".into(), "twice");
    refused(&|v| v.scores.truncate(2), "2 scores");
    refused(&|v| v.token_types.truncate(1), "1 token types");
    refused(&|v| v.scores[1] = f32::NAN, "not a number");
    // without bytes a letter is unknown, without an unknown token an error
    let mut vocabulary = base();
    vocabulary.add_space_prefix = Some(false);
    let encode = |v: &GgufVocabulary| {
        Tokenizer::from_gguf(v)
            .unwrap()
            .encode("ab", Special::AsText)
    };
    assert_eq!(encode(&vocabulary).unwrap(), [3, 0]);
    vocabulary.unknown = Some(9);
    vocabulary.tokens[0] = "x".into();
    assert!(encode(&vocabulary).is_ok(), "a bad id leaves the default");
    for bytes in [
        &b"{}"[..],
        b"",
        b"[1]",
        b"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}}",
    ] {
        assert!(Tokenizer::from_json(bytes, &TokenizerConfig::default(), &[]).is_err());
    }
}

#[test]
fn tokenizer_config_is_read() {
    let config = TokenizerConfig::parse(
        br#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": [{"name": "tool", "template": "x"}, {"name": "default", "template": "y"}]}"#,
    )
    .unwrap();
    assert_eq!(config.bos_token.as_deref(), Some("<s>"));
    assert_eq!(config.eos_token.as_deref(), Some("</s>"));
    assert_eq!(config.chat_template.as_deref(), Some("y"));
    assert_eq!(
        TokenizerConfig::parse(b"{}").unwrap(),
        TokenizerConfig::default()
    );
    assert!(TokenizerConfig::parse(b"[]").is_err());
}
