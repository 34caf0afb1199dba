//! Any bytes as an ONNX file: refused, or a model that runs within its bound.
#![no_main]

use std::sync::OnceLock;

use gavel_engine::{Engine, EngineOptions};
use gavel_model::onnx::{ImportOptions, external_files, import};
use gavel_numerics::Tensor;
use libfuzzer_sys::fuzz_target;

/// A model with more work than this is imported but not run.
const MAX_WORK: u64 = 1 << 20;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let options = EngineOptions {
            threads: 1,
            isa: None,
            max_tensor_bytes: 16 << 20,
        };
        Engine::new(options).expect("one thread and any instruction set")
    })
}

fuzz_target!(|file: &[u8]| {
    let Ok(names) = external_files(&file.to_vec().into()) else {
        return;
    };
    let mut options = ImportOptions::default();
    // what lies in other files is in the same bytes
    let beside = names.into_iter().map(|name| (name, file.to_vec().into()));
    options.files = beside.collect();
    let Ok(model) = import(file, &options) else {
        return;
    };
    // the same bytes are the same model
    let again = import(file, &options).expect("it imported before");
    assert_eq!(model.model_id(), again.model_id());
    if model.header().work > MAX_WORK {
        return;
    }
    let inputs: Option<Vec<Tensor>> = model
        .graph()
        .inputs
        .iter()
        .map(|(_, ty)| {
            let elements = ty.elements().ok().filter(|&n| n < 1 << 16)?;
            Tensor::from_raw(ty.clone(), &vec![0; elements]).ok()
        })
        .collect();
    if let Some(inputs) = inputs {
        let _ = engine().run(&model, &inputs);
    }
});
