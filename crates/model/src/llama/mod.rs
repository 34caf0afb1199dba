//! Language models of the Llama family: configuration, canonical step graph, and which weight is what
//! (`spec/model.md`, "Language models").

mod config;
mod from_gguf;
mod from_hf;
#[cfg(test)]
mod gguf_tests;
mod graph;
#[cfg(test)]
mod hf_tests;
mod load;
mod random;
pub mod roles;
mod rope;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use gavel_numerics::{Op, Tensor};

pub use config::{
    Architecture, DEFAULT_CONTEXT, Formats, LayerFormats, LlamaConfig, MAX_CONTEXT, Rope,
    RopeScaling,
};
pub use from_gguf::{from_gguf, gguf_config};
pub use from_hf::{HfFiles, from_hf};
pub use graph::StepGraph;
pub use random::{random, tiny};
pub use roles::{LayerRoles, Matrix, Roles, WeightKind, WeightSpec};
pub use task::{params_of, prompt_of, task_inputs, tokens_of};

use crate::{Hashing, Model, ModelError, Weight};

/// Segments of a step unless an importer is told another number.
pub const DEFAULT_SEGMENTS: u32 = 4;
/// Name of the asset that is the configuration.
pub const CONFIG_ASSET: &str = "config";
/// Name of the asset with what a text becomes tokens by.
pub const TOKENIZER_ASSET: &str = "tokenizer";
/// Name of the asset that says of a tokenizer's file what it does not say itself: `tokenizer_config.json`.
pub const TOKENIZER_CONFIG_ASSET: &str = "tokenizer_config";
/// Name of the asset with the template that a conversation becomes a text by.
pub const CHAT_TEMPLATE_ASSET: &str = "chat_template";
/// Largest `config` asset that is read.
const MAX_CONFIG_BYTES: usize = 1 << 20;

/// How to read a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Positions of a run, at most those that the model was trained for; `None`: as many, up to [`DEFAULT_CONTEXT`].
    pub context: Option<u32>,
    /// Segments of a step.
    pub segments: u32,
}

impl Default for ImportOptions {
    fn default() -> ImportOptions {
        ImportOptions {
            context: None,
            segments: DEFAULT_SEGMENTS,
        }
    }
}

impl ImportOptions {
    fn context(&self, trained: u32) -> Result<u32, ModelError> {
        match self.context {
            None => Ok(trained.min(DEFAULT_CONTEXT)),
            Some(asked) if asked <= trained => Ok(asked),
            Some(asked) => Err(ModelError::Config {
                field: "context".to_owned(),
                reason: format!("{asked} positions asked for, the model has {trained}"),
            }),
        }
    }
}

/// A model of the Llama family, and what is what in it.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    /// Graph, weights and identity.
    pub model: Model,
    /// Extents and numbers.
    pub config: LlamaConfig,
    /// Which weight and which node is what.
    pub roles: Roles,
}

impl LanguageModel {
    /// Builds the model whose file tensors `load` gives; the table of the rotation and the end tokens follow from
    /// the configuration. The asset `config` is added to `assets`.
    ///
    /// # Errors
    /// A configuration that does not fit together, a tensor that `load` refuses or that has another type than its role's.
    pub fn new(
        config: LlamaConfig,
        formats: &Formats,
        mut assets: BTreeMap<String, Vec<u8>>,
        segments: u32,
        hashing: &mut Hashing<'_>,
        mut load: impl FnMut(&WeightSpec) -> Result<Tensor, ModelError>,
    ) -> Result<LanguageModel, ModelError> {
        let step = StepGraph::new(&config, formats)?;
        let policy = step.commits(segments);
        let mut weights = Vec::with_capacity(step.weights.len());
        for spec in &step.weights {
            let wrong = |reason: String| ModelError::Tensor {
                name: spec.name.clone(),
                reason,
            };
            let tensor = match spec.kind {
                WeightKind::Rope => Tensor::f32(spec.ty.dims.clone(), rope::table(&config))
                    .map_err(|e| wrong(e.to_string()))?,
                WeightKind::End => end_tokens(&config).map_err(|e| wrong(e.to_string()))?,
                WeightKind::Matrix(_) | WeightKind::Vector => load(spec)?,
            };
            if *tensor.ty() != spec.ty {
                return Err(wrong(format!(
                    "expected {}, found {}",
                    spec.ty,
                    tensor.ty()
                )));
            }
            weights.push(Weight {
                name: spec.name.clone(),
                value: tensor.into(),
            });
        }
        assets.insert(CONFIG_ASSET.to_owned(), config_text(&config)?);
        let model = Model::recurrent(
            step.graph,
            weights,
            assets,
            &policy,
            config.context,
            hashing,
        )?;
        Ok(LanguageModel {
            model,
            config,
            roles: step.roles,
        })
    }

    /// The language model that `model` is, by its asset `config`: its graph must be the canonical one.
    ///
    /// # Errors
    /// If it has no such asset, or another graph.
    pub fn from_model(model: Model) -> Result<LanguageModel, ModelError> {
        let config = model
            .assets()
            .get(CONFIG_ASSET)
            .filter(|text| text.len() <= MAX_CONFIG_BYTES)
            .and_then(|text| serde_json::from_slice::<LlamaConfig>(text).ok())
            .ok_or_else(|| ModelError::File("no language model: it has no asset config".into()))?;
        let other = || ModelError::File("its graph is not the one of its asset config".into());
        let step = StepGraph::new(&config, &formats(&model, &config).ok_or_else(other)?)?;
        let nodes = model.graph().nodes.iter();
        let same_nodes = nodes.len() == step.graph.nodes.len()
            && nodes
                .zip(&step.graph.nodes)
                .all(|(a, b)| a.op == b.op && a.inputs == b.inputs && a.output == b.output);
        let sources = |graph: &crate::Graph| graph.outputs.iter().map(|o| o.1).collect::<Vec<_>>();
        let types = |graph: &crate::Graph| {
            let types = graph.inputs.iter().map(|i| i.1.clone());
            types.collect::<Vec<_>>()
        };
        let weights = model.weights().iter();
        let same_weights = weights.len() == step.weights.len()
            && weights
                .zip(&step.weights)
                .all(|(a, b)| *a.value.ty() == b.ty);
        if !same_nodes
            || !same_weights
            || model.header().max_steps != config.context
            || sources(model.graph()) != sources(&step.graph)
            || types(model.graph()) != types(&step.graph)
        {
            return Err(other());
        }
        Ok(LanguageModel {
            model,
            config,
            roles: step.roles,
        })
    }
}

/// Formats of a model's matrices: the embedding's, then those of its products in order.
fn formats(model: &Model, config: &LlamaConfig) -> Option<Formats> {
    let mut found = model.graph().nodes.iter().filter_map(|n| match n.op {
        Op::Embed { format } | Op::Linear { format } => Some(format),
        _ => None,
    });
    let embedding = found.next()?;
    let mut layers = Vec::new();
    for _ in 0..config.layers {
        layers.push(LayerFormats {
            query: found.next()?,
            key: found.next()?,
            value: found.next()?,
            output: found.next()?,
            gate: found.next()?,
            up: found.next()?,
            down: found.next()?,
        });
    }
    Some(Formats {
        embedding,
        layers,
        head: found.next()?,
    })
}

/// The tokens that end a run; -1, which no sampled token is, where there are none.
fn end_tokens(config: &LlamaConfig) -> Result<Tensor, gavel_numerics::NumericsError> {
    let mut end = config.end.clone();
    if end.is_empty() {
        end.push(-1);
    }
    Tensor::i32([end.len() as u64], end)
}

fn config_text(config: &LlamaConfig) -> Result<Vec<u8>, ModelError> {
    serde_json::to_vec(config).map_err(|e| ModelError::File(format!("asset config: {e}")))
}
