//! A model file becomes a canonical DAG with an identity that every part of it opens under
//! (`spec/model.md`). Pure: bytes in, model out; only [`map`], [`mapped_at`], [`page_out`], [`open_language_model`],
//! [`hf_folder`] and [`files_beside`] touch files.
//!
//! - [`Graph`], [`Node`], [`Source`], [`Constant`]: the step graph and its weights.
//! - [`Model`]: graph, weights, assets and segments, checked, with its `model_id` and openings.
//! - [`onnx`]: import of ONNX files.
//! - [`family`]: a model with open dimensions, as the set of its bindings.
//! - [`gguf`], [`safetensors`]: files of language models.
//! - [`llama`]: language models of the Llama family.
//! - [`diffusion`]: models that draw pictures, step by step.
//! - [`preprocess`]: from a PNG to the model's input.
//! - [`npy`]: NumPy's array files.
//! - [`shipped`]: the models that come with the project.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod commit;
mod constant;
pub mod diffusion;
mod error;
pub mod family;
mod file;
pub mod gguf;
mod graph;
mod hash;
pub mod llama;
mod model;
#[cfg(not(target_family = "wasm"))]
pub mod npy;
pub mod onnx;
mod open;
pub mod preprocess;
pub mod safetensors;
pub mod shipped;
#[cfg(test)]
mod test_run;

pub use commit::{CommitPolicy, Cuts};
pub use constant::Constant;
pub use error::ModelError;
pub use file::{map, mapped_at, page_out};
pub use graph::{Graph, Node, Segment, Source, Weight};
pub use hash::{Hashing, Progress};
pub use model::{
    LOWERING_VERSION, MAX_ATTRIBUTES, MAX_INPUTS, MAX_NODES, Model, NUMERICS_VERSION, Opened,
    edge_bytes, live_bytes, weight_bytes,
};
pub use open::{files_beside, hf_folder, hf_names, open_language_model};
