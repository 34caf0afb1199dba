//! Any bytes as `tokenizer.json`, or as the vocabulary of a GGUF file written as JSON, and a text: refused, or a
//! tokenizer that encodes within its limits and decodes what it encoded.
#![no_main]

use gavel_text::{GgufVocabulary, Special, Tokenizer, TokenizerConfig};
use libfuzzer_sys::fuzz_target;

/// What is tokenized behind the file's own bytes.
const AWKWARD: &str = "<s> a\u{300}\u{1f468}\u{200d}\u{1f469}\0 \r\n\t  12345 l'\u{5b57}\u{fffd}</s><|im_end|>";

fuzz_target!(|file: &[u8]| {
    let from_json = Tokenizer::from_json(file, &TokenizerConfig::default(), &[]);
    let from_gguf = serde_json::from_slice::<GgufVocabulary>(file)
        .ok()
        .and_then(|vocabulary| Tokenizer::from_gguf(&vocabulary).ok());
    for tokenizer in from_json.ok().into_iter().chain(from_gguf) {
        let text = format!("{}{AWKWARD}", String::from_utf8_lossy(file));
        for special in [Special::AsText, Special::Parse] {
            let Ok(ids) = tokenizer.encode(&text, special) else {
                continue;
            };
            let size = tokenizer.vocabulary_size();
            assert!(ids.iter().all(|&id| (id as usize) < size));
            let whole = tokenizer.decode(&ids);
            let mut stream = tokenizer.decode_stream(&[]);
            let mut parts: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
            parts.extend(stream.flush());
            assert_eq!(parts, whole);
        }
        let _ = tokenizer.decode(&[0, u32::MAX, tokenizer.vocabulary_size() as u32]);
    }
});
