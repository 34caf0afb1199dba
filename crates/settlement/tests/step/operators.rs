//! Random applications of every operator: small shapes with every attribute drawn, sometimes larger than a chunk.

use gavel_numerics::{DType, Op, Tensor, TensorType, Window2d};

use super::language;
use super::operands::{Rng, Theme, floats};

/// An operator with this id and inputs that its shape program may still refuse (a window in padding alone).
pub(crate) fn draw(rng: &mut Rng, id: u16) -> (Op, Vec<Tensor>) {
    if language::IDS.contains(&id) {
        return language::draw(id, &mut |n| rng.below(n));
    }
    match id {
        1 => conv(rng),
        2 => gemm(rng),
        3 => matmul(rng),
        4..=7 => {
            let op = [Op::Add, Op::Sub, Op::Mul, Op::Div][usize::from(id) - 4].clone();
            let (a, b) = broadcast(rng);
            (op, vec![tensor(rng, &a), tensor(rng, &b)])
        }
        8 | 10..=12 | 16 | 17 => {
            let op = match id {
                8 => Op::Relu,
                10 => Op::Sigmoid,
                11 => Op::Tanh,
                12 => Op::Exp,
                16 => Op::GlobalAveragePool,
                _ => Op::GlobalMaxPool,
            };
            let dims = extents(rng, 4);
            (op, vec![tensor(rng, &dims)])
        }
        9 => {
            let bits = floats(rng, Theme::Special);
            let (min_bits, max_bits) = (canonical(bits[0]), canonical(bits[1]));
            let dims = extents(rng, 2);
            (Op::Clip { min_bits, max_bits }, vec![tensor(rng, &dims)])
        }
        13 | 22 => {
            let rank = 1 + rng.below(4) as usize;
            let dims = extents(rng, rank);
            let axis = rng.below(rank as u64) as u32;
            let keepdims = rng.below(2) == 0;
            let op = if id == 13 {
                Op::Softmax { axis }
            } else {
                Op::ArgMax { axis, keepdims }
            };
            (op, vec![tensor(rng, &dims)])
        }
        14 | 15 => {
            let (window, [h, w]) = window(rng);
            let count_include_pad = rng.below(2) == 0;
            let op = if id == 14 {
                Op::MaxPool2d { window }
            } else {
                Op::AveragePool2d {
                    window,
                    count_include_pad,
                }
            };
            let dims = [1 + rng.below(2), 1 + rng.below(3), h, w];
            (op, vec![tensor(rng, &dims)])
        }
        18 => {
            let rank = 2 + rng.below(3) as usize;
            let dims = extents(rng, rank);
            let epsilon_bits = [1e-5f32, 1e-3, 0.0][rng.below(3) as usize].to_bits();
            let channels = &dims[1..2];
            let shapes = [&dims[..], channels, channels, channels, channels];
            let inputs = shapes.iter().map(|dims| tensor(rng, dims)).collect();
            (Op::BatchNorm { epsilon_bits }, inputs)
        }
        19 => {
            let dims = extents(rng, 3);
            let flat = vec![dims[0], dims[1] * dims[2]];
            (Op::Reshape { dims: flat }, vec![any_tensor(rng, &dims)])
        }
        20 => {
            let rank = 1 + rng.below(5) as usize;
            let mut perm: Vec<u32> = (0..rank as u32).collect();
            for i in (1..rank).rev() {
                perm.swap(i, rng.below(i as u64 + 1) as usize);
            }
            let dims = extents(rng, rank);
            (Op::Transpose { perm }, vec![any_tensor(rng, &dims)])
        }
        21 => concat(rng),
        23 => {
            let dims = extents(rng, 2);
            (Op::Identity, vec![any_tensor(rng, &dims)])
        }
        _ => panic!("no operator has the id {id}"),
    }
}

fn conv(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let (window, [h, w]) = window(rng);
    let groups = 1 + rng.below(3);
    // sometimes deeper than a chunk of 256 taps
    let per_group = [1, 2, 3, 60][rng.below(4) as usize];
    let filters = groups * (1 + rng.below(3));
    let [kh, kw] = window.kernel.map(u64::from);
    let batch = 1 + rng.below(2);
    let x = tensor(rng, &[batch, groups * per_group, h, w]);
    let weights = tensor(rng, &[filters, per_group, kh, kw]);
    let mut inputs = vec![x, weights];
    if rng.below(2) == 0 {
        inputs.push(tensor(rng, &[filters]));
    }
    (
        Op::Conv2d {
            window,
            groups: groups as u32,
        },
        inputs,
    )
}

fn gemm(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let (m, n) = (1 + rng.below(5), 1 + rng.below(300));
    let k = [0, 1, 7, 255, 256, 257, 520][rng.below(7) as usize];
    let (trans_a, trans_b) = (rng.below(2) == 0, rng.below(2) == 0);
    let a = if trans_a { [k, m] } else { [m, k] };
    let b = if trans_b { [n, k] } else { [k, n] };
    let mut inputs = vec![tensor(rng, &a), tensor(rng, &b)];
    let c: [&[u64]; 6] = [&[], &[1], &[n], &[1, n], &[m, 1], &[m, n]];
    if let Some(dims) = c.get(rng.below(8) as usize) {
        inputs.push(tensor(rng, dims));
    }
    let scale = |rng: &mut Rng| [1.0f32, 0.0, -0.5, 1.7][rng.below(4) as usize].to_bits();
    let op = Op::Gemm {
        alpha_bits: scale(rng),
        beta_bits: scale(rng),
        trans_a,
        trans_b,
    };
    (op, inputs)
}

fn matmul(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let (mut a, mut b) = broadcast(rng);
    let k = [1, 5, 257][rng.below(3) as usize];
    a.truncate(2);
    b.truncate(2);
    if a.len() == b.len() {
        a.extend([1 + rng.below(3), k]);
        b.extend([k, 1 + rng.below(300)]);
    } else {
        // a vector on either side
        (a, b) = if rng.below(2) == 0 {
            (vec![k], vec![3, k, 2])
        } else {
            (vec![2, 3, k], vec![k])
        };
    }
    (Op::MatMul, vec![tensor(rng, &a), tensor(rng, &b)])
}

fn concat(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let dims = extents(rng, 3);
    let axis = rng.below(3) as usize;
    let dtype = any_type(rng);
    let inputs = (0..1 + rng.below(6)).map(|i| {
        let mut dims = dims.clone();
        // an input may be empty, but not all of them
        dims[axis] = rng.below(5) + u64::from(i == 0);
        typed(rng, dtype, &dims)
    });
    let inputs = inputs.collect();
    (Op::Concat { axis: axis as u32 }, inputs)
}

/// Extents below 8, and once in a while one that takes the tensor beyond a chunk.
fn extents(rng: &mut Rng, rank: usize) -> Vec<u64> {
    let mut dims: Vec<u64> = (0..rank).map(|_| 1 + rng.below(7)).collect();
    if rng.below(3) == 0 {
        let at = rng.below(rank as u64) as usize;
        dims[at] = 1 + rng.below(200);
    }
    dims
}

/// Two shapes that broadcast: either has some extents of 1, the second lacks some first axes.
fn broadcast(rng: &mut Rng) -> (Vec<u64>, Vec<u64>) {
    let rank = 1 + rng.below(4) as usize;
    let dims = extents(rng, rank);
    let thin = |rng: &mut Rng| -> Vec<u64> {
        dims.iter()
            .map(|&d| if rng.below(3) == 0 { 1 } else { d })
            .collect()
    };
    let (a, b) = (thin(rng), thin(rng));
    let short = rng.below(rank as u64 + 1) as usize;
    let b = if rng.below(2) == 0 {
        b[short..].to_vec()
    } else {
        b
    };
    if rng.below(2) == 0 { (a, b) } else { (b, a) }
}

fn window(rng: &mut Rng) -> (Window2d, [u64; 2]) {
    let mut two = |n: u64, least: u64| [0; 2].map(|_| (least + rng.below(n)) as u32);
    let (kernel, strides, dilations) = (two(4, 1), two(3, 1), two(2, 1));
    let (before, after) = (two(4, 0), two(4, 0));
    let pads = [before[0], before[1], after[0], after[1]];
    let mut input = two(12, 1).map(u64::from);
    for axis in 0..2 {
        let reach = u64::from((kernel[axis] - 1) * dilations[axis] + 1);
        let padding = u64::from(pads[axis] + pads[axis + 2]);
        input[axis] = input[axis].max(reach.saturating_sub(padding)).max(1);
    }
    (
        Window2d {
            kernel,
            strides,
            dilations,
            pads,
        },
        input,
    )
}

fn canonical(word: u64) -> u32 {
    gavel_numerics::scalar::canonical(f32::from_bits(word as u32)).to_bits()
}

/// Floats: in -3..3 with trouble among them, or nothing but trouble.
pub(crate) fn tensor(rng: &mut Rng, dims: &[u64]) -> Tensor {
    let rate = [2, 50, u64::MAX][rng.below(3) as usize];
    let len = dims.iter().product::<u64>();
    let mut trouble = Vec::new();
    let values = (0..len).map(|_| {
        if rng.below(rate) != 0 {
            return ((rng.word() >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * 3.0;
        }
        if trouble.is_empty() {
            trouble = floats(rng, Theme::Special);
        }
        f32::from_bits(trouble.pop().unwrap() as u32)
    });
    let values = values.collect();
    Tensor::f32(dims, values).unwrap()
}

fn any_type(rng: &mut Rng) -> DType {
    let all = [
        DType::F32,
        DType::I64,
        DType::I32,
        DType::U8,
        DType::Bool,
        DType::I8,
    ];
    all[rng.below(6) as usize]
}

fn any_tensor(rng: &mut Rng, dims: &[u64]) -> Tensor {
    let dtype = any_type(rng);
    typed(rng, dtype, dims)
}

fn typed(rng: &mut Rng, dtype: DType, dims: &[u64]) -> Tensor {
    let ty = TensorType::new(dtype, dims);
    let mask = if dtype == DType::Bool { 1 } else { u8::MAX };
    let bytes: Vec<u8> = (0..ty.byte_len().unwrap())
        .map(|_| rng.word() as u8 & mask)
        .collect();
    Tensor::from_le_bytes(ty, &bytes).unwrap()
}
