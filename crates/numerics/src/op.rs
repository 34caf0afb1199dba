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
    /// Two's complement, 16 bits.
    I16 = 7,
    /// Unsigned, 16 bits.
    U16 = 8,
    /// Unsigned, 32 bits.
    U32 = 9,
    /// Unsigned, 64 bits.
    U64 = 10,
    /// IEEE-754 binary16: moved and converted, not computed with.
    F16 = 11,
    /// The upper half of binary32; as F16.
    BF16 = 12,
    /// IEEE-754 binary64; as F16.
    F64 = 13,
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

/// How [`Op::View`] walks along one axis: element `i` of the output is at `start + i * step` of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ViewAxis {
    /// Extent of the output.
    pub extent: u64,
    /// Place of the first element.
    pub start: i64,
    /// From one to the next; 0 repeats, below 0 walks backwards.
    pub step: i64,
    /// What is there beyond the input's ends.
    pub beyond: Beyond,
}

/// What lies beyond the ends of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Beyond {
    /// A constant.
    Fill = 0,
    /// The first or the last element.
    Edge = 1,
    /// The axis backwards, its ends not repeated.
    Reflect = 2,
    /// The axis again.
    Wrap = 3,
}

/// What [`Op::Reduce`] makes of the elements along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Reduction {
    /// Sum of f32 in order L32 (N-11), of i64 modulo 2^64.
    Sum = 0,
    /// Product in order, from 1.
    Product = 1,
    /// N-12 of f32; of i64 the largest, `-2^63` of none.
    Max = 2,
    /// N-5 of f32 from `inf`; of i64 the least, `2^63 - 1` of none.
    Min = 3,
}

/// What [`Op::Scatter`] makes of an element and an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Combine {
    /// The update.
    Replace = 0,
    /// Their sum.
    Add = 1,
    /// Their product.
    Mul = 2,
    /// The larger (N-4).
    Max = 3,
    /// The lesser (N-5).
    Min = 4,
}

impl Combine {
    /// The kind with this number.
    pub fn from_id(id: u64) -> Option<Combine> {
        use Combine::{Add, Max, Min, Mul, Replace};
        [Replace, Add, Mul, Max, Min]
            .into_iter()
            .find(|&kind| kind as u64 == id)
    }
}

impl Reduction {
    /// The kind with this number.
    pub fn from_id(id: u64) -> Option<Reduction> {
        use Reduction::{Max, Min, Product, Sum};
        [Sum, Product, Max, Min]
            .into_iter()
            .find(|&kind| kind as u64 == id)
    }
}

impl Beyond {
    /// The kind with this number.
    pub fn from_id(id: u64) -> Option<Beyond> {
        [Beyond::Fill, Beyond::Edge, Beyond::Reflect, Beyond::Wrap]
            .into_iter()
            .find(|&beyond| beyond as u64 == id)
    }
}

impl ViewAxis {
    /// The one element of a scalar.
    pub const SCALAR: ViewAxis = ViewAxis {
        extent: 1,
        start: 0,
        step: 1,
        beyond: Beyond::Fill,
    };

    /// Place of the first element, where all lie behind each other inside of an axis of `len`.
    pub fn consecutive(&self, len: u64) -> Option<u64> {
        let first = u64::try_from(self.start).ok()?;
        let fits = first.checked_add(self.extent).is_some_and(|end| end <= len);
        (self.step == 1 && fits).then_some(first)
    }

    /// All of an axis, as it is.
    pub fn whole(extent: u64) -> ViewAxis {
        ViewAxis {
            extent,
            start: 0,
            step: 1,
            beyond: Beyond::Fill,
        }
    }

    /// Place of element `i` in an axis of `len` elements; `None` where the constant stands.
    pub fn place(&self, i: u64, len: u64) -> Option<u64> {
        let at = self
            .start
            .wrapping_add(self.step.wrapping_mul(i.cast_signed()));
        let inside = u64::try_from(at).ok().filter(|&at| at < len);
        let last = len.saturating_sub(1);
        match self.beyond {
            Beyond::Fill => inside,
            Beyond::Edge if at < 0 => Some(0),
            Beyond::Edge => Some(inside.unwrap_or(last)),
            Beyond::Reflect => {
                let at = at.cast_unsigned().checked_rem(2 * last).unwrap_or(0);
                Some(if at < len { at } else { 2 * last - at })
            }
            Beyond::Wrap => Some(at.cast_unsigned().checked_rem(len).unwrap_or(0)),
        }
    }
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
    /// Element by element over inputs that broadcast: what a program of [`crate::element`] computes, as an element of `dtype`.
    Map { dtype: DType, code: Vec<u64> },
    /// A slice, a repetition, a padded or reversed tensor: axis by axis. `fill` are the bits of a constant, zero-extended.
    View { fill: u64, axes: Vec<ViewAxis> },
    /// One element of f32, or of i64 (`integers`), for all along an axis, which keeps extent 1.
    Reduce {
        kind: Reduction,
        axis: u32,
        integers: bool,
    },
    /// `data`, `indices i64` -> data with the axis replaced by the indices' axes; -1 is the last element. 0 where there is none.
    Gather { axis: u32 },
    /// `data[r, ..]`, `indices i64[k]`, `updates[k, ..]` -> data, each update combined in turn with the row of its index; -1 is the last
    /// row, an index that no row has changes nothing. Elements are f32 or i64 (`integers`); those that are replaced of any type.
    Scatter { combine: Combine, integers: bool },
    /// X, f32 or i64 (`integers`) -> `i64`, `count` along the axis: places of the largest or least elements in order. NaN is above all
    /// numbers, of equal ones the first comes first.
    TopK {
        axis: u32,
        count: u64,
        largest: bool,
        integers: bool,
    },
    /// X, f32 or i64 (`integers`) -> what a reduction gives of the elements along the axis up to each, in order.
    Accumulate {
        kind: Reduction,
        axis: u32,
        integers: bool,
    },
}
