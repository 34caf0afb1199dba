//! Random applications of every operator: small shapes with every attribute drawn, sometimes larger than a chunk.

use gavel_numerics::element::Step;
use gavel_numerics::{
    Beyond, Combine, DType, Op, Reduction, Tensor, TensorType, ViewAxis, Window2d,
};

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
        38 => map(rng),
        39 => view(rng),
        40 => {
            let rank = 1 + rng.below(3) as usize;
            let (dims, axis) = (extents(rng, rank), rng.below(rank as u64) as u32);
            let integers = rng.below(2) == 0;
            let kind = Reduction::from_id(rng.below(4)).unwrap();
            let input = match integers {
                true => of_type(rng, DType::I64, &dims),
                false => tensor(rng, &dims),
            };
            let op = Op::Reduce {
                kind,
                axis,
                integers,
            };
            (op, vec![input])
        }
        41 => {
            let rank = 1 + rng.below(3) as usize;
            let (dims, axis) = (extents(rng, rank), rng.below(rank as u64) as usize);
            let len = dims[axis] as i64;
            let shape = extents(rng, 2);
            let count = shape.iter().product::<u64>();
            // some beyond both ends
            let indices = (0..count).map(|_| rng.below(2 * len as u64 + 3) as i64 - len - 1);
            let indices = Tensor::i64(shape, indices.collect()).unwrap();
            let axis = axis as u32;
            (Op::Gather { axis }, vec![any_tensor(rng, &dims), indices])
        }
        42 => {
            let rank = 1 + rng.below(3) as usize;
            let dims = extents(rng, rank);
            let combine = Combine::from_id(rng.below(5)).unwrap();
            let replaces = combine == Combine::Replace;
            let integers = !replaces && rng.below(2) == 0;
            let dtype = match (replaces, integers) {
                (true, _) => any_type(rng),
                (false, true) => DType::I64,
                (false, false) => DType::F32,
            };
            let count = rng.below(6);
            let rows = dims[0];
            let indices = (0..count).map(|_| rng.below(2 * rows + 3) as i64 - rows as i64 - 1);
            let indices = Tensor::i64([count], indices.collect()).unwrap();
            let data = of_type(rng, dtype, &dims);
            let updates = of_type(rng, dtype, &[&[count], &dims[1..]].concat());
            let op = Op::Scatter { combine, integers };
            (op, vec![data, indices, updates])
        }
        43 | 44 => {
            let rank = 1 + rng.below(3) as usize;
            let (dims, axis) = (extents(rng, rank), rng.below(rank as u64) as u32);
            let integers = rng.below(2) == 0;
            let input = match integers {
                true => of_type(rng, DType::I64, &dims),
                false => tensor(rng, &dims),
            };
            let op = if id == 43 {
                let count = 1 + rng.below(dims[axis as usize]);
                let largest = rng.below(2) == 0;
                Op::TopK {
                    axis,
                    count,
                    largest,
                    integers,
                }
            } else {
                let kind = Reduction::from_id(rng.below(4)).unwrap();
                Op::Accumulate {
                    kind,
                    axis,
                    integers,
                }
            };
            (op, vec![input])
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
    DType::ALL[rng.below(DType::ALL.len() as u64) as usize]
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

/// An element program on three inputs that broadcast: awkward words, slots that are written more than once or never.
fn map(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let shapes: [[&[u64]; 3]; 4] = [
        [&[], &[], &[]],
        [&[4], &[1], &[4]],
        [&[2, 3, 4], &[3, 1], &[4]],
        [&[1, 2, 1], &[3, 1, 2], &[2, 2]],
    ];
    let shape = shapes[rng.below(4) as usize];
    let mut dtype = || any_type(rng);
    let (output, types) = (dtype(), [dtype(), dtype(), dtype()]);
    let inputs = (0..3).map(|i| of_type(rng, types[i], shape[i])).collect();
    let mut code = Vec::new();
    while code.len() < 12 {
        let mut byte = |n: u64| rng.below(n) as u8;
        let opcode = [0x10, 0x30, 0x40, 0x50, 0x60][usize::from(byte(5))] + byte(16);
        let (d, a, b) = (byte(4), byte(4), byte(4));
        let immediate = [0, 1, 8, 32, 0x7fc0_0001, 0x3f80_0000][usize::from(byte(6))];
        // the fields that an instruction does not have are 0
        for [a, b] in [[a, b], [a, 0], [0, b], [0, 0]] {
            for immediate in [immediate, u32::from(b), 0] {
                let [i0, i1, i2, i3] = immediate.to_be_bytes();
                let word = u64::from_be_bytes([opcode, d, a, b, i0, i1, i2, i3]);
                if Step::decode(word, 3).is_some() {
                    code.push(word);
                }
            }
        }
    }
    code.truncate(12);
    (
        Op::Map {
            dtype: output,
            code,
        },
        inputs,
    )
}

/// Any bits of a type.
fn of_type(rng: &mut Rng, dtype: DType, dims: &[u64]) -> Tensor {
    if dtype == DType::F32 {
        return tensor(rng, dims);
    }
    let ty = TensorType::new(dtype, dims);
    let bits = if dtype == DType::Bool {
        1
    } else {
        8 * dtype.size()
    };
    let raw: Vec<u64> = (0..ty.elements().unwrap())
        .map(|_| match rng.below(3) {
            0 => rng.below(5),
            1 => u64::MAX - rng.below(5),
            _ => rng.below(u64::MAX),
        })
        .map(|word| word & (u64::MAX >> (64 - bits)))
        .collect();
    Tensor::from_raw(ty, &raw).unwrap()
}

fn view(rng: &mut Rng) -> (Op, Vec<Tensor>) {
    let rank = 1 + rng.below(3) as usize;
    let dims = extents(rng, rank);
    let axes = dims.iter().map(|&len| {
        let beyond = Beyond::from_id(rng.below(4)).unwrap();
        let wraps = matches!(beyond, Beyond::Reflect | Beyond::Wrap);
        let signed = |n: u64, rng: &mut Rng| match wraps {
            true => rng.below(n) as i64,
            false => rng.below(2 * n) as i64 - n as i64,
        };
        ViewAxis {
            extent: 1 + rng.below(2 * len + 2),
            start: signed(len + 3, rng),
            step: signed(3, rng),
            beyond,
        }
    });
    let axes = axes.collect();
    let input = any_tensor(rng, &dims);
    let bits = match input.dtype() {
        DType::Bool => 1,
        dtype => 8 * dtype.size(),
    };
    let fill = rng.below(u64::MAX) & (u64::MAX >> (64 - bits));
    (Op::View { fill, axes }, vec![input])
}
