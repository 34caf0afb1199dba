//! Where the step graph of a language model keeps what: slots, weights and nodes by their role.

use gavel_numerics::{TensorType, WeightFormat};

/// Slot of the stop flag, `i64[1]`: 0 running, 1 stopped in this step, 2 run beyond the end.
pub const STOP: usize = 0;
/// Slot of the position, `i64[1]`.
pub const POSITION: usize = 1;
/// Slot of the tokens, `i32[context + 1]`: prompt, then what was sampled, then -1.
pub const TOKENS: usize = 2;
/// Slot of the sampling parameters, `i64[16]`.
pub const PARAMS: usize = 3;
/// Slots before the caches.
pub const FIRST_CACHE: usize = 4;

/// Slot of the keys of a layer, `f32[context, kv_heads * head_dim]`.
pub fn keys(layer: usize) -> usize {
    FIRST_CACHE + 2 * layer
}

/// Slot of the values of a layer, of the type of its keys.
pub fn values(layer: usize) -> usize {
    keys(layer) + 1
}

/// A matrix of weights: `n` rows of `k` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Its number among the weights.
    pub weight: u32,
    /// How its rows are stored.
    pub format: WeightFormat,
}

/// Weights and nodes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerRoles {
    /// Weight of the norm before attention, `f32[width]`.
    pub attention_norm: u32,
    /// `[heads * head_dim, width]`
    pub query: Matrix,
    /// Bias of queries.
    pub query_bias: Option<u32>,
    /// `[kv_heads * head_dim, width]`
    pub key: Matrix,
    /// Bias of keys.
    pub key_bias: Option<u32>,
    /// `[kv_heads * head_dim, width]`
    pub value: Matrix,
    /// Bias of values.
    pub value_bias: Option<u32>,
    /// Norm of the heads of queries, `f32[head_dim]`.
    pub query_norm: Option<u32>,
    /// Norm of the heads of keys.
    pub key_norm: Option<u32>,
    /// `[width, heads * head_dim]`
    pub output: Matrix,
    /// Weight of the norm before the feed-forward part, `f32[width]`.
    pub ffn_norm: u32,
    /// `[hidden, width]`
    pub gate: Matrix,
    /// `[hidden, width]`
    pub up: Matrix,
    /// `[width, hidden]`
    pub down: Matrix,
    /// Node that gives the new keys.
    pub keys_node: u32,
    /// Node that gives the new values.
    pub values_node: u32,
    /// Last node of the layer: the residual.
    pub residual_node: u32,
}

/// Weights and nodes of a model of the Llama family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// `[vocabulary, width]`
    pub embedding: Matrix,
    /// Weight of cosines and sines, `f32[context, rotary]`.
    pub rope: u32,
    /// Layers in order.
    pub layers: Vec<LayerRoles>,
    /// Weight of the last norm.
    pub norm: u32,
    /// `[vocabulary, width]`; the table of embeddings itself where it is tied.
    pub head: Matrix,
    /// Weight of the tokens that end a run, `i32[e]`.
    pub end: u32,
    /// Node of the logits, before penalties.
    pub logits_node: u32,
    /// Node of the sampled token.
    pub sample_node: u32,
}

/// What a weight is and where its values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightKind {
    /// A matrix of the file in this format.
    Matrix(WeightFormat),
    /// A vector of the file, as f32.
    Vector,
    /// Cosines and sines, computed.
    Rope,
    /// The tokens that end a run.
    End,
}

/// A weight that the step graph reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightSpec {
    /// Its name as GGUF files have it.
    pub name: String,
    /// What it is.
    pub kind: WeightKind,
    /// Its type.
    pub ty: TensorType,
}
