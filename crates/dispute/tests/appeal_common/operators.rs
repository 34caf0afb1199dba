//! A small operator of every kind, from a seed.

use gavel_numerics::{DType, Op, Tensor, TensorType, Window2d};

#[path = "../../../settlement/tests/step/language.rs"]
mod language;

use super::From;

/// A small generator of numbers.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// In `0..n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    /// In `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    pub fn float(&mut self) -> f32 {
        self.below(4001) as f32 / 1000.0 - 2.0
    }

    /// Tame values; in some tensors a special one now and then, which would spread to all of a large product.
    pub fn tensor(&mut self, dims: &[u64]) -> Tensor {
        let len = dims.iter().product();
        let special = self.below(3) == 0;
        let mut value = |_| match self.below(64) {
            0 if special => -0.0,
            1 if special => 1.0e-40,
            2 if special => f32::INFINITY,
            3 if special => f32::NAN,
            _ => self.float(),
        };
        let values = (0..len).map(&mut value).collect();
        Tensor::f32(dims, values).unwrap()
    }

    /// Of any element type.
    pub fn any_tensor(&mut self, dtype: DType, dims: &[u64]) -> Tensor {
        let raw: Vec<u64> = (0..dims.iter().product())
            .map(|_| match dtype {
                DType::Bool => self.below(2),
                _ => self.roll() << 32 | self.roll(),
            })
            .collect();
        Tensor::from_raw(TensorType::new(dtype, dims), &raw).unwrap()
    }

    pub fn dtype(&mut self) -> DType {
        DType::from_id(self.between(1, 13) as u8).unwrap()
    }

    pub fn tame_tensor(&mut self, dims: &[u64]) -> Tensor {
        let values = (0..dims.iter().product()).map(|_| self.float()).collect();
        Tensor::f32(dims, values).unwrap()
    }
}

fn window(d: &mut Dice) -> Window2d {
    let side = |d: &mut Dice| d.between(1, 3) as u32;
    let kernel = [side(d), side(d)];
    let pad = |d: &mut Dice, axis: usize| d.below(kernel[axis].into()) as u32;
    Window2d {
        kernel,
        strides: [d.between(1, 2) as u32, 1],
        dilations: [1, d.between(1, 2) as u32],
        pads: [pad(d, 0), pad(d, 1), pad(d, 0), pad(d, 1)],
    }
}

/// Kinds that [`operator`] knows: every id of the table.
pub const KINDS: std::ops::RangeInclusive<u16> = 1..=37;

/// An operator with this id on inputs of its making.
pub fn operator(id: u16, seed: u64) -> (Op, Vec<(Tensor, From)>) {
    let d = &mut Dice(seed);
    let (op, tensors) = make(id, d);
    let from = |d: &mut Dice| match d.below(3) {
        0 => From::Weight,
        1 => From::Op,
        _ => From::Live,
    };
    assert_eq!(op.id(), id);
    let inputs = tensors.into_iter().map(|t| (t, from(d))).collect();
    (op, inputs)
}

fn image(d: &mut Dice) -> [u64; 4] {
    [
        d.between(1, 2),
        2 * d.between(1, 4),
        d.between(6, 9),
        d.between(6, 9),
    ]
}

fn make(id: u16, d: &mut Dice) -> (Op, Vec<Tensor>) {
    let plain = |d: &mut Dice| [d.between(1, 3), d.between(2, 9), d.between(2, 40)];
    let one = |op: Op, d: &mut Dice| {
        let dims = plain(d);
        (op, vec![d.tensor(&dims)])
    };
    let moved = |op: Op, dims: &[u64], d: &mut Dice| {
        let dtype = d.dtype();
        (op, vec![d.any_tensor(dtype, dims)])
    };
    if language::IDS.contains(&id) {
        return language::draw(id, &mut |n| d.below(n));
    }
    match id {
        1 => {
            let [n, c, h, w] = image(d);
            let groups = d.between(1, 2);
            let window = window(d);
            let m = groups * d.between(1, 3);
            let [kh, kw] = window.kernel.map(u64::from);
            let mut inputs = vec![d.tensor(&[n, c, h, w]), d.tensor(&[m, c / groups, kh, kw])];
            if d.below(2) == 0 {
                inputs.push(d.tensor(&[m]));
            }
            let groups = groups as u32;
            (Op::Conv2d { window, groups }, inputs)
        }
        2 => {
            let (m, n, k) = (d.between(1, 4), d.between(1, 90), d.between(1, 700));
            let (trans_a, trans_b) = (d.below(2) == 0, d.below(2) == 0);
            let a = if trans_a { [k, m] } else { [m, k] };
            let b = if trans_b { [n, k] } else { [k, n] };
            let mut inputs = vec![d.tensor(&a), d.tensor(&b)];
            match d.below(3) {
                0 => {}
                1 => inputs.push(d.tensor(&[n])),
                _ => inputs.push(d.tensor(&[m, 1])),
            }
            let op = Op::Gemm {
                alpha_bits: 1.5f32.to_bits(),
                beta_bits: 0.5f32.to_bits(),
                trans_a,
                trans_b,
            };
            (op, inputs)
        }
        3 => {
            let (m, n, k) = (d.between(1, 4), d.between(1, 90), d.between(0, 700));
            let batch = d.between(1, 2);
            (
                Op::MatMul,
                vec![d.tensor(&[batch, m, k]), d.tensor(&[k, n])],
            )
        }
        4..=7 => {
            let op = [Op::Add, Op::Sub, Op::Mul, Op::Div][usize::from(id) - 4].clone();
            let dims = plain(d);
            let other = [dims[1], 1];
            (op, vec![d.tensor(&dims), d.tensor(&other)])
        }
        8 => one(Op::Relu, d),
        9 => one(
            Op::Clip {
                min_bits: (-0.5f32).to_bits(),
                max_bits: 1.0f32.to_bits(),
            },
            d,
        ),
        10 => one(Op::Sigmoid, d),
        11 => one(Op::Tanh, d),
        12 => one(Op::Exp, d),
        13 => {
            let axis = d.below(3) as u32;
            one(Op::Softmax { axis }, d)
        }
        14 | 15 => {
            let dims = image(d);
            let window = window(d);
            let op = match id {
                14 => Op::MaxPool2d { window },
                _ => Op::AveragePool2d {
                    window,
                    count_include_pad: d.below(2) == 0,
                },
            };
            (op, vec![d.tensor(&dims)])
        }
        16 | 17 => {
            let dims = image(d);
            let op = match id {
                16 => Op::GlobalAveragePool,
                _ => Op::GlobalMaxPool,
            };
            (op, vec![d.tensor(&dims)])
        }
        18 => {
            let dims = image(d);
            let mut inputs = vec![d.tensor(&dims)];
            inputs.extend((0..4).map(|_| d.tensor(&dims[1..2])));
            let epsilon_bits = 1.0e-5f32.to_bits();
            (Op::BatchNorm { epsilon_bits }, inputs)
        }
        19 => {
            let dims = plain(d);
            let flat = vec![dims.iter().product()];
            moved(Op::Reshape { dims: flat }, &dims, d)
        }
        20 => {
            let dims = plain(d);
            let perm = vec![2, 0, 1];
            moved(Op::Transpose { perm }, &dims, d)
        }
        21 => {
            let dims = plain(d);
            let (dtype, count) = (d.dtype(), d.between(1, 4));
            let inputs = (0..count).map(|i| d.any_tensor(dtype, &[dims[0], 1 + i, dims[2]]));
            let inputs: Vec<Tensor> = inputs.collect();
            (Op::Concat { axis: 1 }, inputs)
        }
        22 => {
            let (axis, keepdims) = (d.below(3) as u32, d.below(2) == 0);
            one(Op::ArgMax { axis, keepdims }, d)
        }
        _ => {
            let dims = plain(d);
            moved(Op::Identity, &dims, d)
        }
    }
}
