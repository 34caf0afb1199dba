//! The operators of `numerics v1`: names, bounded attributes, shape programs.
//!
//! An operator's identity is its [`Op::id`]; ids are never reused. A model names operators and
//! attributes, never programs: how an element of the output is computed belongs to the numerics
//! version (`spec/numerics.md`).

use crate::WeightFormat;

/// Element type of a tensor. The discriminant is the `dtype` byte of `spec/trace.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum DType {
    /// IEEE-754 binary32.
    F32 = 1,
    /// Two's complement, 64 bits.
    I64 = 2,
    /// Two's complement, 32 bits.
    I32 = 3,
    /// Unsigned byte.
    U8 = 4,
    /// One byte, 0 or 1.
    Bool = 5,
    /// Signed byte.
    I8 = 6,
}

/// Window of a convolution or pooling operator over two spatial axes (`H`, `W`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Window2d {
    /// Kernel extent `[kh, kw]`.
    pub kernel: [u32; 2],
    /// Stride `[sh, sw]`, each >= 1.
    pub strides: [u32; 2],
    /// Dilation `[dh, dw]`, each >= 1.
    pub dilations: [u32; 2],
    /// Padding `[top, left, bottom, right]`; `auto_pad` is resolved at import.
    pub pads: [u32; 4],
}

/// One operator with its bounded attributes. Inputs are positional; weights are inputs like any other.
///
/// f32 attributes are stored as bits so that `Op` is `Eq` and hashes exactly. Fields are the ONNX
/// attributes of the same names.
#[allow(missing_docs)] // fields: the ONNX attributes of the same names
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Op {
    /// `X[N,C,H,W]`, `W[M,C/groups,kh,kw]`, optional `B[M]` -> `[N,M,OH,OW]`; C256 over `(c, kh, kw)`, bias added last.
    Conv2d { window: Window2d, groups: u32 },
    /// `A`, `B`, optional `C` (unidirectionally broadcast) -> `alpha * A' B' + beta * C`; C256 over k.
    Gemm {
        alpha_bits: u32,
        beta_bits: u32,
        trans_a: bool,
        trans_b: bool,
    },
    /// NumPy-style batched matrix product, C256 over k.
    MatMul,
    /// Element-wise with multidirectional broadcasting.
    Add,
    /// Element-wise with multidirectional broadcasting.
    Sub,
    /// Element-wise with multidirectional broadcasting.
    Mul,
    /// Element-wise with multidirectional broadcasting.
    Div,
    /// `max(x, +0)`; NaN stays NaN.
    Relu,
    /// `min(max(x, lo), hi)`.
    Clip { min_bits: u32, max_bits: u32 },
    /// Logistic function.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// e^x.
    Exp,
    /// Softmax along one axis (opset 13 semantics).
    Softmax { axis: u32 },
    /// Maximum over the window; padding never wins.
    MaxPool2d { window: Window2d },
    /// Average over the window.
    AveragePool2d {
        window: Window2d,
        count_include_pad: bool,
    },
    /// Mean over all spatial axes -> `[N,C,1,1]`.
    GlobalAveragePool,
    /// Maximum over all spatial axes -> `[N,C,1,1]`.
    GlobalMaxPool,
    /// `X, scale, bias, mean, var`; inference form.
    BatchNorm { epsilon_bits: u32 },
    /// Reinterpret the row-major elements under a shape fixed at import (Flatten, Reshape, Squeeze, Unsqueeze lower to it).
    Reshape { dims: Vec<u64> },
    /// Permute axes.
    Transpose { perm: Vec<u32> },
    /// Concatenate along one axis.
    Concat { axis: u32 },
    /// Index (i64) of the largest element along one axis; ties take the lowest index; NaN ranks above all numbers.
    ArgMax { axis: u32, keepdims: bool },
    /// The input itself (Dropout at inference lowers to it).
    Identity,
    /// `table`, `tokens i32[T]`, `position i64[1]` -> `[1,d]`: row `tokens[position]`, dequantised.
    Embed { format: WeightFormat },
    /// `X`, `w[g]` -> X: groups of `g` values divided by their root mean square, times `w`.
    RmsNorm { epsilon_bits: u32 },
    /// `X[m,k]` -> `u8[m, k/32*36]`: per 32 values an f32 scale and 32 signed bytes ([`crate::blocks`]).
    Quantize,
    /// `X`, `W` of `n` rows in a weight format -> `[m,n]`. X is `f32[m,k]`, or what Quantize gives where the format is quantised.
    Linear { format: WeightFormat },
    /// `X[1,h*head_dim]`, `table[ctx,rotary]`, `position` -> X with the first `rotary` values of each head rotated in pairs:
    /// neighbours, or `j` and `j + rotary/2` (`halves`).
    Rope {
        head_dim: u32,
        halves: bool,
        rotary: u32,
    },
    /// `cache[ctx,w]`, `row[1,w]`, `position` -> the cache with that row.
    WriteRow,
    /// `Q[1,heads*head_dim]`, `K`, `V [ctx,kv_heads*head_dim]`, `position` -> `[1,heads*head_dim]`: causal attention over the rows
    /// up to `position`, the last `window` of them where that is not 0.
    Attention {
        head_dim: u32,
        heads: u32,
        kv_heads: u32,
        scale_bits: u32,
        window: u32,
    },
    /// `gate`, `up` -> `gate / (1 + exp(-gate)) * up`.
    SwiGlu,
    /// `logits[1,V]`, `tokens`, `position`, `params` -> logits with repetition, frequency and presence penalties.
    Penalties,
    /// `logits[1,V]`, `params` -> logits over the temperature, `-inf` where top-k, top-p or min-p drops a token.
    Filter,
    /// `logits[1,V]`, `position`, `params` -> `i32[1]`: the largest logit plus Gumbel noise of (seed, position, token).
    Sample,
    /// `tokens`, `sampled i32[1]`, `position`, `params` -> tokens with the sampled one behind `position`, unless the prompt has one there.
    AppendToken,
    /// `stop i64[1]`, `tokens`, `position`, `params`, `end i32[e]` -> `i64[1]`: 0 go on, 1 the last step is done, 2 beyond it.
    Stop,
    /// `position` -> `position + 1`.
    Advance,
}
