//! The operators of language models as rows of [`crate::operator_rows`]: shapes of a model of a billion parameters and a
//! context of 2,048 positions, the last of which is computed.

use gavel_numerics::{DType, NumericsError, Op, Tensor, TensorType, WeightFormat};
use rand::Rng as _;
use rand_chacha::ChaCha12Rng;

use crate::OperatorRow;

const CONTEXT: u64 = 2048;
const WIDTH: u64 = 2048;
const HIDDEN: u64 = 5632;
const HEAD: u64 = 64;
const HEADS: u64 = 32;
const KV_HEADS: u64 = 4;
const VOCABULARY: u64 = 32_000;
/// Rows of the embedding table: a lookup costs the same in a longer one, but for the tree's height.
const ROWS: u64 = 2048;
/// Rows of a matrix of weights, for the same reason.
const OUT: u64 = 256;

fn f32(dims: &[u64]) -> TensorType {
    TensorType::new(DType::F32, dims)
}

fn weights(format: WeightFormat, rows: u64, k: u64) -> TensorType {
    match format {
        WeightFormat::F32 => f32(&[rows, k]),
        _ => {
            let blocks = k / format.block_values() as u64;
            TensorType::new(DType::U8, [rows, blocks * format.block_bytes() as u64])
        }
    }
}

pub(crate) fn rows() -> Vec<OperatorRow> {
    let position = || TensorType::new(DType::I64, [1]);
    let params = || TensorType::new(DType::I64, [16]);
    let tokens = || TensorType::new(DType::I32, [CONTEXT + 1]);
    let logits = || f32(&[1, VOCABULARY]);
    let row = |name, op, inputs| OperatorRow { name, op, inputs };
    let linear = |name, format: WeightFormat, k: u64| {
        let x = match format.is_quantised() {
            true => TensorType::new(DType::U8, [1, k / 32 * 36]),
            false => f32(&[1, k]),
        };
        row(
            name,
            Op::Linear { format },
            vec![x, weights(format, OUT, k)],
        )
    };
    let epsilon_bits = 1e-5f32.to_bits();
    let cache = || f32(&[CONTEXT, KV_HEADS * HEAD]);
    vec![
        row(
            "Embed Q4_K",
            Op::Embed {
                format: WeightFormat::Q4_K,
            },
            vec![
                weights(WeightFormat::Q4_K, ROWS, WIDTH),
                tokens(),
                position(),
            ],
        ),
        row(
            "RmsNorm",
            Op::RmsNorm { epsilon_bits },
            vec![f32(&[1, WIDTH]), f32(&[WIDTH])],
        ),
        row("Quantize", Op::Quantize, vec![f32(&[1, WIDTH])]),
        linear("Linear F32", WeightFormat::F32, WIDTH),
        linear("Linear F16", WeightFormat::F16, WIDTH),
        linear("Linear BF16", WeightFormat::Bf16, WIDTH),
        linear("Linear Q8_0", WeightFormat::Q8_0, HIDDEN),
        linear("Linear Q4_0", WeightFormat::Q4_0, HIDDEN),
        linear("Linear Q4_K", WeightFormat::Q4_K, HIDDEN),
        linear("Linear Q6_K", WeightFormat::Q6_K, HIDDEN),
        row(
            "Rope",
            Op::Rope {
                head_dim: HEAD as u32,
                halves: true,
                rotary: HEAD as u32,
            },
            vec![f32(&[1, HEADS * HEAD]), f32(&[CONTEXT, HEAD]), position()],
        ),
        row(
            "WriteRow",
            Op::WriteRow,
            vec![cache(), f32(&[1, KV_HEADS * HEAD]), position()],
        ),
        row(
            "Attention over 2,048",
            Op::Attention {
                head_dim: HEAD as u32,
                heads: HEADS as u32,
                kv_heads: KV_HEADS as u32,
                scale_bits: 0.125f32.to_bits(),
                window: 0,
            },
            vec![f32(&[1, HEADS * HEAD]), cache(), cache(), position()],
        ),
        row(
            "SwiGlu",
            Op::SwiGlu,
            vec![f32(&[1, HIDDEN]), f32(&[1, HIDDEN])],
        ),
        row(
            "Penalties",
            Op::Penalties,
            vec![logits(), tokens(), position(), params()],
        ),
        row("Filter 32,000", Op::Filter, vec![logits(), params()]),
        row(
            "Sample 32,000",
            Op::Sample,
            vec![logits(), position(), params()],
        ),
        row(
            "AppendToken",
            Op::AppendToken,
            vec![
                tokens(),
                TensorType::new(DType::I32, [1]),
                position(),
                params(),
            ],
        ),
        row(
            "Stop",
            Op::Stop,
            vec![
                position(),
                tokens(),
                position(),
                params(),
                TensorType::new(DType::I32, [4]),
            ],
        ),
        row("Advance", Op::Advance, vec![position()]),
    ]
}

/// Values of an input that is not of f32.
pub(crate) fn integers(
    op: &Op,
    input: usize,
    ty: &TensorType,
    rng: &mut ChaCha12Rng,
) -> Result<Tensor, NumericsError> {
    let len = ty.dims.iter().product::<u64>();
    let words: Vec<u64> = match (ty.dtype, len) {
        (DType::I64, 16) => parameters().into(),
        // a run that has not stopped
        (DType::I64, _) if matches!(op, Op::Stop) && input == 0 => vec![0],
        (DType::I64, 1) => vec![CONTEXT - 1],
        (DType::I64, _) => (0..len).collect(),
        (DType::I32, _) => (0..len).map(|_| rng.random_range(0..ROWS)).collect(),
        // bytes that are no zeros, which are the cheap ones, and whose scales are small numbers
        _ => (0..len)
            .map(|_| u64::from(rng.random::<u8>() & 0x3f | 1))
            .collect(),
    };
    Tensor::from_raw(ty.clone(), &words)
}

/// A prompt of three tokens, with every penalty and filter in use.
fn parameters() -> [u64; 16] {
    let bits = |x: f32| u64::from(x.to_bits());
    let mut words = [0; 16];
    words[..10].copy_from_slice(&[
        3,
        4096,
        0x5eed_5eed_5eed_5eed,
        bits(0.8),
        40,
        bits(0.95),
        bits(0.05),
        bits(1.1),
        bits(0.1),
        bits(0.2),
    ]);
    words
}
