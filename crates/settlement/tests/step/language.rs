//! Random applications of the operators of language models. `roll(n)` is a number below `n`.

use gavel_numerics::{DType, Op, Tensor, TensorType, WeightFormat};

/// The ids that [`draw`] knows.
pub(crate) const IDS: std::ops::RangeInclusive<u16> = 24..=37;

type Roll<'a> = &'a mut dyn FnMut(u64) -> u64;

/// The operator with this id and inputs that its shape program accepts.
pub(crate) fn draw(id: u16, roll: Roll<'_>) -> (Op, Vec<Tensor>) {
    match id {
        24 => {
            let format = format(roll);
            let (rows, k) = (1 + roll(3), values(format, roll));
            let inputs = vec![
                weights(format, rows, k, roll),
                tokens(rows + 1, roll),
                position(4, roll),
            ];
            (Op::Embed { format }, inputs)
        }
        25 => {
            let (group, groups) = (1 + roll(70), 1 + roll(2));
            let epsilon_bits = [0.0, 1e-5f32][roll(2) as usize].to_bits();
            let inputs = vec![floats(&[1, group * groups], roll), floats(&[group], roll)];
            (Op::RmsNorm { epsilon_bits }, inputs)
        }
        26 => {
            let dims = [1 + roll(2), 32 * (1 + roll(9))];
            (Op::Quantize, vec![floats(&dims, roll)])
        }
        27 => linear(roll),
        28 => rope(roll),
        29 => {
            let (context, width) = (1 + roll(5), 1 + roll(70));
            let inputs = vec![
                floats(&[context, width], roll),
                floats(&[1, width], roll),
                position(context, roll),
            ];
            (Op::WriteRow, inputs)
        }
        30 => attention(roll),
        31 => {
            let dims = [1, 1 + roll(9)];
            (Op::SwiGlu, vec![floats(&dims, roll), floats(&dims, roll)])
        }
        32 => {
            let vocabulary = 1 + roll(9);
            let inputs = vec![
                floats(&[1, vocabulary], roll),
                tokens(vocabulary, roll),
                position(6, roll),
                parameters(roll),
            ];
            (Op::Penalties, inputs)
        }
        33 => {
            let dims = [1, 1 + roll(50)];
            (Op::Filter, vec![floats(&dims, roll), parameters(roll)])
        }
        34 => {
            let dims = [1, 1 + roll(20)];
            (
                Op::Sample,
                vec![floats(&dims, roll), position(6, roll), parameters(roll)],
            )
        }
        35 => {
            let sampled = list(&[7]);
            let inputs = vec![
                tokens(9, roll),
                sampled,
                position(6, roll),
                parameters(roll),
            ];
            (Op::AppendToken, inputs)
        }
        36 => {
            let stop = words(&[[0, 0, 0, 1, 2, u64::MAX][roll(6) as usize]]);
            let end: Vec<i32> = (0..roll(4)).map(|_| roll(9) as i32).collect();
            let inputs = vec![
                stop,
                tokens(9, roll),
                position(6, roll),
                parameters(roll),
                list(&end),
            ];
            (Op::Stop, inputs)
        }
        _ => (Op::Advance, vec![position(9, roll)]),
    }
}

fn format(roll: Roll<'_>) -> WeightFormat {
    WeightFormat::ALL[roll(WeightFormat::ALL.len() as u64) as usize]
}

/// Values of a row: whole blocks.
fn values(format: WeightFormat, roll: Roll<'_>) -> u64 {
    match format.block_values() as u64 {
        1 => 1 + roll(300),
        32 => 32 * (1 + roll(5)),
        block => block,
    }
}

fn linear(roll: Roll<'_>) -> (Op, Vec<Tensor>) {
    let format = format(roll);
    let (m, n, k) = (1 + roll(2), 1 + roll(3), values(format, roll));
    let x = if format.is_quantised() {
        bytes(&[m, k / 32 * 36], roll)
    } else {
        floats(&[m, k], roll)
    };
    (Op::Linear { format }, vec![x, weights(format, n, k, roll)])
}

fn rope(roll: Roll<'_>) -> (Op, Vec<Tensor>) {
    let (rotary, heads, context) = (2 * roll(5), 1 + roll(3), 1 + roll(4));
    let head = (rotary + roll(4)).max(1);
    let inputs = vec![
        floats(&[1, heads * head], roll),
        floats(&[context, rotary], roll),
        position(context, roll),
    ];
    let op = Op::Rope {
        head_dim: head as u32,
        halves: roll(2) == 0,
        rotary: rotary as u32,
    };
    (op, inputs)
}

fn attention(roll: Roll<'_>) -> (Op, Vec<Tensor>) {
    let (head, kv_heads, shared) = (1 + roll(8), 1 + roll(2), 1 + roll(2));
    let context = 1 + roll(10);
    let cache = [context, kv_heads * head];
    let inputs = vec![
        floats(&[1, kv_heads * shared * head], roll),
        floats(&cache, roll),
        floats(&cache, roll),
        position(context, roll),
    ];
    let op = Op::Attention {
        head_dim: head as u32,
        heads: (kv_heads * shared) as u32,
        kv_heads: kv_heads as u32,
        scale_bits: 0.3f32.to_bits(),
        window: if roll(2) == 0 {
            0
        } else {
            1 + roll(context) as u32
        },
    };
    (op, inputs)
}

/// In -3..3; in some tensors what is no number, or nearly none, now and then.
fn floats(dims: &[u64], roll: Roll<'_>) -> Tensor {
    let odd = roll(3) == 0;
    let mut value = |_| match roll(24) {
        0 if odd => f32::NAN,
        1 if odd => f32::NEG_INFINITY,
        2 if odd => -0.0,
        3 if odd => 1e-40,
        4 if odd => 3e38,
        _ => roll(6001) as f32 / 1000.0 - 3.0,
    };
    let values = (0..dims.iter().product()).map(&mut value).collect();
    Tensor::f32(dims, values).unwrap()
}

fn bytes(dims: &[u64], roll: Roll<'_>) -> Tensor {
    let bytes: Vec<u8> = (0..dims.iter().product::<u64>())
        .map(|_| roll(256) as u8)
        .collect();
    Tensor::from_le_bytes(TensorType::new(DType::U8, dims), &bytes).unwrap()
}

fn weights(format: WeightFormat, rows: u64, k: u64, roll: Roll<'_>) -> Tensor {
    match format {
        WeightFormat::F32 => floats(&[rows, k], roll),
        _ => bytes(&[rows, format.row_bytes(k as usize).unwrap() as u64], roll),
    }
}

/// Ids below `n`, some of which are none.
fn tokens(n: u64, roll: Roll<'_>) -> Tensor {
    let count = 2 + roll(6);
    let tokens: Vec<i32> = (0..count)
        .map(|_| roll(n + 1) as i32 - roll(2) as i32)
        .collect();
    list(&tokens)
}

fn list(tokens: &[i32]) -> Tensor {
    let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
    Tensor::from_le_bytes(TensorType::new(DType::I32, [tokens.len() as u64]), &bytes).unwrap()
}

fn words(words: &[u64]) -> Tensor {
    let words = words.iter().map(|w| w.cast_signed()).collect::<Vec<i64>>();
    Tensor::i64([words.len() as u64], words).unwrap()
}

/// Mostly in `0..n`.
fn position(n: u64, roll: Roll<'_>) -> Tensor {
    words(&[match roll(8) {
        0 => n,
        1 => n + 3,
        2 => [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 32][roll(4) as usize],
        _ => roll(n),
    }])
}

fn parameters(roll: Roll<'_>) -> Tensor {
    let seed = roll(1 << 32) << 32 | roll(1 << 32);
    let mut bits = |of: &[f32]| u64::from(of[roll(of.len() as u64) as usize].to_bits());
    let temperature = bits(&[0.0, 0.7, 1.0, f32::NAN, 1e-38]);
    let (top_p, min_p) = (bits(&[1.0, 0.6, 0.0, f32::NAN]), bits(&[0.0, 0.2]));
    let penalties = [bits(&[1.0, 1.3]), bits(&[0.0, 0.5]), bits(&[0.0, 0.25])];
    let mut found = vec![roll(5), roll(4), seed, temperature, roll(4), top_p, min_p];
    found.extend(penalties);
    found.resize(16, 0);
    words(&found)
}
