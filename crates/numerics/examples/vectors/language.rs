//! Vectors of the operators of language models, of the formats of weights, and of N-30 and N-31.
//! What is expected is written here as the specification says it, on whole numbers and f32.

use gavel_numerics::blocks::quantise;
use gavel_numerics::program::{Function, function};
use gavel_numerics::scalar::{exp, gumbel, log, max};
use gavel_numerics::{DType, NumericsError, Op, WeightFormat};
use serde_json::{Value, json};

use super::case::{floats, integers, noise, operator, refused, row, tensor, values};
use super::rules::{c256, l32};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

fn code(name: &str, of: Function, inputs: &[Value], output: Value) -> Result<Value, NumericsError> {
    let code = format!("0x{}", hex::encode(function(of)?.encode()));
    Ok(json!({ "attributes": [], "code": code, "inputs": inputs, "name": name, "output": output }))
}

/// N-30: the logarithm.
pub(crate) fn logarithm() -> Result<Vec<Value>, NumericsError> {
    let mut x = vec![
        0.0,
        -0.0,
        INF,
        -INF,
        NAN,
        1.0,
        -1.0,
        f32::MIN_POSITIVE,
        f32::MAX,
    ];
    x.extend(
        [
            1,
            2,
            0x007f_ffff,
            0x3f35_04f2,
            0x3f35_04f3,
            0x3fb5_04f3,
            0x3fb5_04f4,
        ]
        .map(f32::from_bits),
    );
    x.extend([0x3f7f_ffff, 0x3f80_0001, 0x8000_0001, 0xffff_ffff].map(f32::from_bits));
    x.extend(noise(100, 30).map(|n| f32::from_bits(n >> 1)));
    let y: Vec<f32> = x.iter().map(|&x| log(x)).collect();
    Ok(vec![code("log", Function::Log, &[row(&x)], row(&y))?])
}

/// N-31: Gumbel noise.
pub(crate) fn gumbel_noise() -> Result<Vec<Value>, NumericsError> {
    let mut counters: Vec<[u64; 3]> = vec![[0; 3], [u64::MAX; 3], [1, 0, 0], [0, 1, 0], [0, 0, 1]];
    counters.extend((0..40).map(|token| [0x5eed_5eed_5eed_5eed, 17, token]));
    let column = |c: usize| {
        let words: Vec<i64> = counters.iter().map(|n| n[c].cast_signed()).collect();
        integers(&[words.len() as u64], &words)
    };
    let found: Vec<f32> = counters.iter().map(|&[s, p, t]| gumbel(s, p, t)).collect();
    let inputs = [column(0), column(1), column(2)];
    Ok(vec![code(
        "seed, position, token",
        Function::Gumbel,
        &inputs,
        row(&found),
    )?])
}

pub(crate) fn word(n: i64) -> Value {
    integers(&[1], &[n])
}

pub(crate) fn ids(tokens: &[i32]) -> Value {
    let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
    tensor(DType::I32, &[tokens.len() as u64], &bytes)
}

/// Rows of weights: bytes that make every scale a small number.
fn weights(format: WeightFormat, rows: usize, k: usize, seed: u32) -> Vec<u8> {
    if !format.is_quantised() {
        let plain = values(rows * k, seed);
        let narrow = |x: f32| match format {
            WeightFormat::F16 => gavel_numerics::convert::f32_to_f16(x)
                .to_le_bytes()
                .to_vec(),
            WeightFormat::Bf16 => gavel_numerics::convert::f32_to_bf16(x)
                .to_le_bytes()
                .to_vec(),
            _ => x.to_le_bytes().to_vec(),
        };
        return plain.into_iter().flat_map(narrow).collect();
    }
    let len = rows * k / format.block_values() * format.block_bytes();
    let mut bytes: Vec<u8> = noise(len, seed).map(|n| (n >> 11) as u8).collect();
    for (number, block) in bytes.chunks_exact_mut(format.block_bytes()).enumerate() {
        let scales: &[usize] = match format {
            WeightFormat::Q4_K => &[0, 2],
            WeightFormat::Q6_K => &[208],
            _ => &[0],
        };
        for &at in scales {
            // 2^-9 and a little
            block[at..at + 2].copy_from_slice(&(0x1800 + 37 * number as u16).to_le_bytes());
        }
    }
    bytes
}

fn weight_tensor(format: WeightFormat, rows: usize, bytes: &[u8]) -> Value {
    let (dtype, size) = match format {
        WeightFormat::F32 => (DType::F32, 4),
        _ => (DType::U8, 1),
    };
    tensor(
        dtype,
        &[rows as u64, (bytes.len() / rows / size) as u64],
        bytes,
    )
}

/// The formats of weights: rows as they are read by Embed, products of rows by Linear.
pub(crate) fn formats() -> Vec<Value> {
    let (rows, k) = (2, 512);
    let mut cases = Vec::new();
    for format in WeightFormat::ALL {
        let bytes = weights(format, rows, k, 40 + u32::from(format.id()));
        let row_bytes = bytes.len() / rows;
        let table = weight_tensor(format, rows, &bytes);
        let embed = Op::Embed { format };
        let mut case = |what: &str, tokens: &[i32], position: i64, row: Option<usize>| {
            let bytes = row.map_or(&[][..], |r| &bytes[r * row_bytes..][..row_bytes]);
            let found: Vec<f32> = (0..k).map(|i| format.value(bytes, i)).collect();
            let inputs = [table.clone(), ids(tokens), word(position)];
            let name = format!("{}: {what}", format.name());
            cases.push(operator(
                &name,
                &embed,
                &inputs,
                floats(&[1, k as u64], &found),
            ));
        };
        case("a row", &[0, 1, 0], 1, Some(1));
        case("no such row", &[0, 2], 1, None);
        if format == WeightFormat::Q4_0 {
            case("a negative id", &[-1, 3], 0, None);
            case("no such position", &[1], 1, None);
            case("a negative position", &[1], -1, None);
        }

        let x: Vec<f32> = values(2 * k, 50).iter().map(|x| x * 3.0).collect();
        let mut products = Vec::new();
        for x in x.chunks(k) {
            for row in bytes.chunks(row_bytes) {
                products.push(if format.is_quantised() {
                    format.product(&quantise(x), row, k)
                } else {
                    let w: Vec<f32> = (0..k).map(|i| format.value(row, i)).collect();
                    c256(x, &w)
                });
            }
        }
        let x = if format.is_quantised() {
            let bytes = quantise(&x);
            tensor(DType::U8, &[2, bytes.len() as u64 / 2], &bytes)
        } else {
            floats(&[2, k as u64], &x)
        };
        let name = format!("{}: products", format.name());
        let product = Op::Linear { format };
        cases.push(operator(
            &name,
            &product,
            &[x, table],
            floats(&[2, rows as u64], &products),
        ));
        if !format.is_quantised() {
            continue;
        }
        // every byte of both sides: scales that are not numbers, -128 among the activations
        let all =
            |len: usize, step: usize| -> Vec<u8> { (0..len).map(|i| (i * step) as u8).collect() };
        let (x, w) = (all(k / 32 * 36, 129), all(row_bytes, 77));
        cases.push(operator(
            &format!("{}: any bytes", format.name()),
            &product,
            &[
                tensor(DType::U8, &[1, x.len() as u64], &x),
                weight_tensor(format, 1, &w),
            ],
            floats(&[1, 1], &[format.product(&x, &w, k)]),
        ));
        let extremes = |d: f32| {
            let block = [&d.to_le_bytes()[..], &[0x80; 32]].concat();
            block.repeat(k / 32)
        };
        let x = extremes(1.0);
        cases.push(operator(
            &format!("{}: largest sums", format.name()),
            &product,
            &[
                tensor(DType::U8, &[1, x.len() as u64], &x),
                table_of_largest(format, k),
            ],
            floats(&[1, 1], &[format.product(&x, &largest(format, k), k)]),
        ));
    }
    cases.push(refused(
        "rows that are no whole blocks",
        &Op::Embed {
            format: WeightFormat::Q8_0,
        },
        &[tensor(DType::U8, &[1, 35], &[0; 35]), ids(&[0]), word(0)],
    ));
    cases
}

/// A row of weights as far from zero as its format goes, of scale 1.
fn largest(format: WeightFormat, k: usize) -> Vec<u8> {
    let one = 0x3c00u16.to_le_bytes();
    let block = match format {
        WeightFormat::Q8_0 => [&one[..], &[0x80; 32]].concat(),
        WeightFormat::Q4_0 => [&one[..], &[0; 16]].concat(),
        WeightFormat::Q4_K => [&one[..], &one, &[0xff; 140]].concat(),
        _ => [&[0; 192][..], &[0x80; 16], &one].concat(),
    };
    block.repeat(k / format.block_values())
}

fn table_of_largest(format: WeightFormat, k: usize) -> Value {
    weight_tensor(format, 1, &largest(format, k))
}

/// The operators between embedding and logits.
pub(crate) fn layers() -> Vec<Value> {
    let mut cases = vec![
        rms_norm("RmsNorm", &values(80, 60), &values(80, 61), 1e-5),
        rms_norm("RmsNorm of groups", &values(120, 62), &values(40, 63), 1e-6),
        rms_norm("RmsNorm of zeros", &[0.0; 4], &[1.0; 4], 0.0),
        rms_norm(
            "RmsNorm with an infinity",
            &[1.0, INF, -2.0],
            &[1.0; 3],
            1e-5,
        ),
        quantize("Quantize", &[values(64, 64), values(64, 65)].concat()),
        quantize("Quantize zeros and a tie", &{
            let mut x = [0.0; 64];
            x[32..38].copy_from_slice(&[-127.0, 2.5, 3.5, -0.5, -0.0, 126.5]);
            x
        }),
        quantize("Quantize what is no number", &{
            let mut x = [1.0; 128];
            x[3] = NAN;
            x[40] = -INF;
            x[64..96].fill(1e-40);
            x[96..].fill(-f32::from_bits(1));
            x
        }),
        swiglu(),
    ];
    cases.extend(rope());
    cases.extend(write_row());
    cases.extend(attention());
    cases
}

fn rms_norm(name: &str, x: &[f32], weight: &[f32], epsilon: f32) -> Value {
    let mut y = Vec::new();
    for x in x.chunks(weight.len()) {
        let mut lanes = [0.0f32; 32];
        for (i, x) in x.iter().enumerate() {
            lanes[i % 32] = x.mul_add(*x, lanes[i % 32]);
        }
        // lanes are a row that L32 leaves as it is and folds
        let mean = l32(&lanes) / x.len() as f32;
        let inverse = 1.0 / (mean + epsilon).sqrt();
        y.extend(x.iter().zip(weight).map(|(x, w)| (x * inverse) * w));
    }
    let op = Op::RmsNorm {
        epsilon_bits: epsilon.to_bits(),
    };
    let dims = [1, x.len() as u64];
    operator(
        name,
        &op,
        &[floats(&dims, x), row(weight)],
        floats(&dims, &y),
    )
}

fn quantize(name: &str, x: &[f32]) -> Value {
    let rows = 2;
    let bytes: Vec<u8> = x.chunks(32).flat_map(quantise).collect();
    let output = tensor(DType::U8, &[rows, bytes.len() as u64 / rows], &bytes);
    operator(
        name,
        &Op::Quantize,
        &[floats(&[rows, x.len() as u64 / rows], x)],
        output,
    )
}

fn swiglu() -> Value {
    let mut gate = vec![
        0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 90.0, -90.0, -200.0, 1e-40, -1e-40,
    ];
    gate.extend(values(20, 66).iter().map(|x| x * 12.0));
    let mut up = values(gate.len(), 67);
    up[5] = NAN;
    let y: Vec<f32> = gate
        .iter()
        .zip(&up)
        .map(|(g, u)| (g / (1.0 + exp(-0.0 - g))) * u)
        .collect();
    operator("SwiGlu", &Op::SwiGlu, &[row(&gate), row(&up)], row(&y))
}

fn rope() -> Vec<Value> {
    let (heads, head, context) = (2, 6, 3);
    let mut cases = Vec::new();
    for (halves, rotary) in [(false, 6), (true, 6), (false, 4), (true, 4), (true, 0)] {
        for position in [1, 2, 3, -1, i64::MIN] {
            let (x, table) = (values(heads * head, 68), values(context * rotary, 69));
            let row = usize::try_from(position).ok().filter(|&p| p < context);
            let at = |i: usize| row.map_or(0.0, |r| table[r * rotary + i]);
            let mut y = x.clone();
            for first in (0..heads * head).step_by(head) {
                for j in 0..rotary / 2 {
                    let (a, b) = if halves {
                        (j, j + rotary / 2)
                    } else {
                        (2 * j, 2 * j + 1)
                    };
                    let (a, b) = (first + a, first + b);
                    let (cos, sin) = (at(2 * j), at(2 * j + 1));
                    y[a] = x[a].mul_add(cos, -0.0 - x[b] * sin);
                    y[b] = x[a].mul_add(sin, x[b] * cos);
                }
            }
            let op = Op::Rope {
                head_dim: head as u32,
                halves,
                rotary: rotary as u32,
            };
            let dims = [1, (heads * head) as u64];
            let inputs = [
                floats(&dims, &x),
                floats(&[context as u64, rotary as u64], &table),
                word(position),
            ];
            let kind = if halves { "halves" } else { "neighbours" };
            let name = format!("Rope of {rotary} in {kind} at {position}");
            cases.push(operator(&name, &op, &inputs, floats(&dims, &y)));
        }
    }
    cases
}

fn write_row() -> Vec<Value> {
    let (context, width) = (3, 2);
    let (cache, new) = (values(6, 70), [-0.0, 7.0]);
    [0, 2, 3, -1]
        .map(|position: i64| {
            let mut found = cache.clone();
            if let Some(row) = found.chunks_mut(width).nth(position as usize) {
                row.copy_from_slice(&new);
            }
            let dims = [context, width as u64];
            let inputs = [floats(&dims, &cache), floats(&[1, 2], &new), word(position)];
            operator(
                &format!("WriteRow at {position}"),
                &Op::WriteRow,
                &inputs,
                floats(&dims, &found),
            )
        })
        .into()
}

fn attention() -> Vec<Value> {
    let (head_dim, heads, kv_heads) = (4, 4, 2);
    let scale = 0.5f32;
    let (q, width) = (values(heads * head_dim, 71), kv_heads * head_dim);
    let mut cases = Vec::new();
    for (context, position, window) in [
        (9, 0i64, 0),
        (9, 5, 0),
        (280, 279, 0),
        (280, 279, 40),
        (9, 7, 8),
        (9, 8, 8),
        (9, 9, 2),
        (9, 12, 3),
        (9, -1, 0),
        (9, -1, 5),
    ] {
        let [keys, rows] = [72, 73].map(|seed| values(context * width, seed));
        let at = position.cast_unsigned();
        let last = at.min(context as u64 - 1);
        let first = if window == 0 || at < window {
            0
        } else {
            at - window + 1
        };
        let seen: Vec<usize> = (first..=last).map(|j| j as usize).collect();
        let mut y = Vec::new();
        for head in 0..heads {
            let column = head / (heads / kv_heads) * head_dim;
            let q = &q[head * head_dim..][..head_dim];
            let score = |&j: &usize| scale * c256(q, &keys[j * width + column..][..head_dim]);
            let scores: Vec<f32> = seen.iter().map(score).collect();
            let largest = scores.iter().fold(-INF, |m, &s| max(m, s));
            let weights: Vec<f32> = scores.iter().map(|s| exp(s - largest)).collect();
            let sum = l32(&weights);
            y.extend((0..head_dim).map(|d| {
                let values: Vec<f32> = seen.iter().map(|j| rows[j * width + column + d]).collect();
                c256(&weights, &values) / sum
            }));
        }
        let op = Op::Attention {
            head_dim: head_dim as u32,
            heads: heads as u32,
            kv_heads: kv_heads as u32,
            scale_bits: scale.to_bits(),
            window: window as u32,
        };
        let (dims, cache) = ([1, q.len() as u64], [context as u64, width as u64]);
        let inputs = [
            floats(&dims, &q),
            floats(&cache, &keys),
            floats(&cache, &rows),
            word(position),
        ];
        let name = format!("Attention at {position} with window {window}");
        cases.push(operator(&name, &op, &inputs, floats(&dims, &y)));
    }
    cases
}
