//! Any bytes as a picture: refused, or an input of exactly the model's type.
#![no_main]

use std::sync::OnceLock;

use gavel_model::{Model, preprocess::png_to_input, shipped};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    static MODEL: OnceLock<Model> = OnceLock::new();
    let model = MODEL.get_or_init(|| shipped::load("digits-mlp").expect("it is shipped"));
    if let Ok(tensor) = png_to_input(model, file) {
        assert_eq!(tensor.ty(), &model.graph().inputs[0].1);
    }
});
