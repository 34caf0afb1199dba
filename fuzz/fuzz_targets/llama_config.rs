//! Any bytes as `config.json` of a model, as its asset `config`, or as a GGUF file of a model: refused, or a language
//! model whose graph is known again.
#![no_main]

use gavel_model::Hashing;
use gavel_model::gguf::Gguf;
use gavel_model::llama::{
    Formats, HfFiles, ImportOptions, LanguageModel, LlamaConfig, StepGraph, from_gguf, from_hf,
};
use gavel_numerics::WeightFormat;
use libfuzzer_sys::fuzz_target;

/// A graph of more layers or positions is not built.
const MAX_LAYERS: u32 = 64;

fuzz_target!(|file: &[u8]| {
    let options = ImportOptions::default();
    let files = HfFiles {
        config: file.to_vec(),
        ..HfFiles::default()
    };
    Hashing::quiet(|hashing| {
        assert!(from_hf(&files, &options, hashing).is_err(), "no tensors");
        if let Ok(read) = Gguf::parse(file.to_vec().into())
            && let Ok(model) = from_gguf(&read, &options, hashing)
        {
            LanguageModel::from_model(model.model).expect("it is one");
        }
    });
    if let Ok(config) = serde_json::from_slice::<LlamaConfig>(file)
        && config.layers <= MAX_LAYERS
    {
        let formats = Formats::uniform(&config, WeightFormat::F16);
        let _ = StepGraph::new(&config, &formats);
    }
});
