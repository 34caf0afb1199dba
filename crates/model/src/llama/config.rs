//! What a model of the Llama family is made of, apart from its weights.

use gavel_numerics::WeightFormat;
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Longest context that an importer takes unless it is told another: caches of every layer have this many rows, and
/// the length is part of the identity.
pub const DEFAULT_CONTEXT: u32 = 8192;
/// Longest context of all.
pub const MAX_CONTEXT: u32 = 1 << 20;
const MAX_LAYERS: u32 = 1024;
const MAX_HEAD_DIM: u32 = 1024;
const MAX_EXTENT: u32 = 1 << 24;
const MAX_END_TOKENS: usize = 256;

/// Families that share the step graph; they differ in biases, norms of heads and pairs of the rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Llama 2 and 3, TinyLlama, and what shares their layers.
    Llama,
    /// Mistral 7B: Llama with a sliding window.
    Mistral,
    /// Qwen 2 and 2.5: Llama with biases of q, k and v.
    Qwen2,
    /// Qwen 3: Llama with norms of the heads of q and k.
    Qwen3,
}

impl Architecture {
    /// Every family, in the order of their names.
    pub const ALL: [Architecture; 4] = [
        Architecture::Llama,
        Architecture::Mistral,
        Architecture::Qwen2,
        Architecture::Qwen3,
    ];

    /// Its name in model files.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Mistral => "mistral",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
        }
    }

    /// The family of this name.
    pub fn from_name(name: &str) -> Option<Architecture> {
        Architecture::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// How the frequencies of the rotation are changed for contexts longer than the first training's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All frequencies over `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Frequency `j` over factor `j`; how GGUF files carry the scaling of Llama 3.
    Factors(
        /// One divisor per pair.
        Vec<f32>,
    ),
    /// Llama 3: long waves over `factor`, short ones kept, between them blended.
    Llama3 {
        /// The divisor of long waves.
        factor: f64,
        /// Waves longer than `original_context / low` are long.
        low: f64,
        /// Waves shorter than `original_context / high` are short.
        high: f64,
        /// Context of the first training.
        original_context: u32,
    },
    /// YaRN: frequencies that turn often in the original context kept, those that turn seldom over `factor`, a ramp between.
    Yarn {
        /// The divisor of slow frequencies.
        factor: f64,
        /// Context of the first training.
        original_context: u32,
        /// Turns from which a frequency is kept.
        fast: f64,
        /// Turns up to which it is divided.
        slow: f64,
        /// What cosines and sines are multiplied by.
        magnitude: f64,
    },
}

/// The rotation of queries and keys by their position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rope {
    /// Whether a pair is `(j, j + rotary/2)`; otherwise it is `(2j, 2j+1)`.
    pub halves: bool,
    /// Values of a head that are rotated: the first ones.
    pub rotary: u32,
    /// Pair `j` turns by `base^(-2j/rotary)` a position.
    pub base: f64,
    /// Change of these frequencies.
    pub scaling: RopeScaling,
}

/// What a model of the Llama family is made of, apart from its weights. The asset `config` is this, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlamaConfig {
    /// Family.
    pub architecture: Architecture,
    /// Positions, prompt and answer together: rows of the caches, and most steps of a run.
    pub context: u32,
    /// Tokens.
    pub vocabulary: u32,
    /// Values of the residual.
    pub width: u32,
    /// Values between up and down projection.
    pub hidden: u32,
    /// Layers.
    pub layers: u32,
    /// Heads of queries.
    pub heads: u32,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: u32,
    /// Values of a head.
    pub head_dim: u32,
    /// What norms add to the mean square.
    pub epsilon: f32,
    /// Positions that attention sees, the current one included; 0: all.
    pub window: u32,
    /// Whether q, k and v have biases.
    pub bias: bool,
    /// Whether the heads of q and k are normed.
    pub head_norms: bool,
    /// Whether the table of embeddings is the head's matrix.
    pub tied: bool,
    /// Rotation of queries and keys.
    pub rope: Rope,
    /// Token that starts a text.
    pub bos: Option<i32>,
    /// Tokens that end a run.
    pub end: Vec<i32>,
}

impl LlamaConfig {
    /// Values of all heads of queries.
    pub fn query_width(&self) -> u32 {
        self.heads * self.head_dim
    }

    /// Values of all heads of keys: a row of a cache.
    pub fn kv_width(&self) -> u32 {
        self.kv_heads * self.head_dim
    }

    /// What scores are multiplied by: `1/sqrt(head_dim)`, computed in binary64 and rounded once.
    pub fn attention_scale(&self) -> f32 {
        (1.0 / f64::from(self.head_dim).sqrt()) as f32
    }

    /// Refuses extents that do not fit together or are beyond what any model has, and numbers that are none.
    ///
    /// # Errors
    /// The field, what is allowed, what was found.
    pub fn check(&self) -> Result<(), ModelError> {
        let extents = [
            ("context", self.context, 2, MAX_CONTEXT),
            ("vocabulary", self.vocabulary, 1, MAX_EXTENT),
            ("width", self.width, 1, MAX_EXTENT),
            ("hidden", self.hidden, 1, MAX_EXTENT),
            ("layers", self.layers, 1, MAX_LAYERS),
            ("heads", self.heads, 1, 1 << 13),
            ("kv_heads", self.kv_heads, 1, self.heads),
            ("head_dim", self.head_dim, 1, MAX_HEAD_DIM),
            ("rope.rotary", self.rope.rotary, 2, self.head_dim),
        ];
        for (name, found, least, most) in extents {
            if !(least..=most).contains(&found) {
                return Err(refused(
                    name,
                    format!("{found} is outside {least} to {most}"),
                ));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(refused(
                "kv_heads",
                format!("{} do not divide {} heads", self.kv_heads, self.heads),
            ));
        }
        if !self.rope.rotary.is_multiple_of(2) {
            return Err(refused(
                "rope.rotary",
                format!("{} values are no whole pairs", self.rope.rotary),
            ));
        }
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return Err(refused("epsilon", format!("{}", self.epsilon)));
        }
        let vocabulary = 0..self.vocabulary as i32;
        if self.end.len() > MAX_END_TOKENS {
            return Err(refused(
                "end",
                format!("{} tokens are above {MAX_END_TOKENS}", self.end.len()),
            ));
        }
        if let Some(token) = self
            .end
            .iter()
            .chain(&self.bos)
            .find(|t| !vocabulary.contains(t))
        {
            return Err(refused(
                "bos or end",
                format!(
                    "token {token} is outside of the vocabulary of {}",
                    self.vocabulary
                ),
            ));
        }
        self.rope.check()
    }
}

impl Rope {
    fn check(&self) -> Result<(), ModelError> {
        let positive = |name: &str, x: f64| match x.is_finite() && x > 0.0 {
            true => Ok(()),
            false => Err(refused(name, format!("{x} is not above 0"))),
        };
        positive("rope.base", self.base)?;
        match &self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => positive("rope.scaling.factor", *factor),
            RopeScaling::Factors(factors) => {
                if factors.len() as u64 != u64::from(self.rotary / 2) {
                    return Err(refused(
                        "rope factors",
                        format!("{} of them for {} pairs", factors.len(), self.rotary / 2),
                    ));
                }
                factors
                    .iter()
                    .try_for_each(|&f| positive("rope factors", f.into()))
            }
            RopeScaling::Llama3 {
                factor,
                low,
                high,
                original_context,
            } => {
                positive("rope.scaling.factor", *factor)?;
                positive("rope.scaling.low_freq_factor", *low)?;
                positive(
                    "rope.scaling.high_freq_factor less low_freq_factor",
                    high - low,
                )?;
                positive("rope.scaling.original_context", (*original_context).into())
            }
            RopeScaling::Yarn {
                factor,
                original_context,
                fast,
                slow,
                magnitude,
            } => {
                positive("rope.scaling.factor", *factor)?;
                positive("rope.scaling.original_context", (*original_context).into())?;
                positive("rope.scaling.beta_fast", *fast)?;
                positive("rope.scaling.beta_slow", *slow)?;
                positive("rope.base less 1", self.base - 1.0)?;
                positive("rope.scaling.attention_factor", *magnitude)
            }
        }
    }
}

fn refused(field: &str, reason: String) -> ModelError {
    ModelError::Config {
        field: field.to_owned(),
        reason,
    }
}

/// Formats of the matrices of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerFormats {
    /// Of the projection to queries.
    pub query: WeightFormat,
    /// To keys.
    pub key: WeightFormat,
    /// To values.
    pub value: WeightFormat,
    /// Of what attention gives, back to the residual.
    pub output: WeightFormat,
    /// Of the gate.
    pub gate: WeightFormat,
    /// Up to the hidden values.
    pub up: WeightFormat,
    /// Down to the residual.
    pub down: WeightFormat,
}

impl LayerFormats {
    /// The formats of layer `i`, by the names of its matrices in GGUF files.
    pub(super) fn read(
        i: u32,
        of: impl Fn(&str) -> Result<WeightFormat, ModelError>,
    ) -> Result<LayerFormats, ModelError> {
        let part = |name: &str| of(&format!("blk.{i}.{name}.weight"));
        Ok(LayerFormats {
            query: part("attn_q")?,
            key: part("attn_k")?,
            value: part("attn_v")?,
            output: part("attn_output")?,
            gate: part("ffn_gate")?,
            up: part("ffn_up")?,
            down: part("ffn_down")?,
        })
    }

    /// One format for all.
    pub fn uniform(format: WeightFormat) -> LayerFormats {
        LayerFormats {
            query: format,
            key: format,
            value: format,
            output: format,
            gate: format,
            up: format,
            down: format,
        }
    }
}

/// Formats of a model's matrices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Of the table of embeddings.
    pub embedding: WeightFormat,
    /// Of the layers, in order.
    pub layers: Vec<LayerFormats>,
    /// Of the head; of no meaning where it is tied to the table.
    pub head: WeightFormat,
}

impl Formats {
    /// One format for all matrices of a model.
    pub fn uniform(config: &LlamaConfig, format: WeightFormat) -> Formats {
        Formats {
            embedding: format,
            layers: vec![LayerFormats::uniform(format); config.layers.min(MAX_LAYERS) as usize],
            head: format,
        }
    }
}
