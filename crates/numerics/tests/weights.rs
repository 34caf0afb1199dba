//! Products with stored weights, quantisation and embedding against the operator programs, by bits: random bytes as weights
//! and as quantised activations, special values, every format and instruction set of this machine, 1 and 3 threads.
#![allow(clippy::unwrap_used)]

mod common;

use common::Threads;
use gavel_numerics::blocks::{ACTIVATION_BLOCK, ACTIVATION_BYTES};
use gavel_numerics::kernels::{Isa, eval};
use gavel_numerics::reference::Application;
use gavel_numerics::{DType, Op, Tensor, TensorType, WeightFormat};
use proptest::prelude::*;

/// Deterministic words.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Values that make trouble.
const SPECIAL: [f32; 10] = [
    0.0,
    -0.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    f32::MIN_POSITIVE,
    1.0e-45,
    3.0e-37,
    f32::MAX,
    1.0,
];

/// One value in `rate` is special (0: none).
fn values(words: &mut Words, len: usize, rate: u64) -> Vec<f32> {
    (0..len)
        .map(|_| match words.next().checked_rem(rate) {
            Some(0) => SPECIAL[words.next() as usize % SPECIAL.len()],
            _ => (words.next() & 0xff_ffff) as f32 / (1u32 << 23) as f32 - 1.0,
        })
        .collect()
}

fn bytes(dims: [usize; 2], bytes: &[u8]) -> Tensor {
    Tensor::from_le_bytes(TensorType::new(DType::U8, dims.map(|d| d as u64)), bytes).unwrap()
}

/// A matrix of random bits: scales are any number, also none.
fn weights(words: &mut Words, format: WeightFormat, n: usize, k: usize) -> Tensor {
    if format == WeightFormat::F32 {
        return Tensor::f32([n as u64, k as u64], values(words, n * k, 9)).unwrap();
    }
    let width = format.row_bytes(k).unwrap();
    bytes([n, width], &words.bytes(n * width))
}

/// Quantised activations of random bytes; with `least`, -128 among them.
fn quantised(words: &mut Words, m: usize, k: usize, least: bool) -> Tensor {
    let mut out = words.bytes(m * k / ACTIVATION_BLOCK * ACTIVATION_BYTES);
    for block in out.chunks_exact_mut(ACTIVATION_BYTES) {
        if !words.next().is_multiple_of(4) {
            let scale = values(words, 1, 5)[0];
            block[..4].copy_from_slice(&scale.to_le_bytes());
        }
        for q in &mut block[4..] {
            if !least && *q == 0x80 {
                *q = 0x81;
            }
        }
    }
    bytes([m, out.len() / m], &out)
}

/// Compares `op` on `inputs` in every way this machine has with the reference interpreter, at about `sample` elements.
fn check(op: &Op, inputs: &[&Tensor], sample: usize) {
    let reference = Application::new(op, inputs).unwrap();
    let mut wanted: Option<Tensor> = None;
    for isa in Isa::available() {
        for threads in [1, 3] {
            let found = eval(isa, &Threads(threads), op, inputs).unwrap();
            let first = wanted.get_or_insert_with(|| {
                let len = found.len();
                let step = (len / sample) | 1;
                for i in (0..len).step_by(step).chain(len.checked_sub(1)) {
                    let want = reference.element(i as u64).unwrap();
                    assert_eq!(found.raw(i), Some(want), "{op:?} element {i}, {isa:?}");
                }
                found.clone()
            });
            assert_eq!(first.ty(), found.ty());
            let differs = (0..found.len()).find(|&i| first.raw(i) != found.raw(i));
            assert_eq!(differs, None, "{op:?} {isa:?} x{threads}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_of_random_bytes(
        format in prop::sample::select(&WeightFormat::ALL[..]),
        m in 1usize..10,
        n in 0usize..70,
        blocks in 1usize..4,
        odd in 0usize..32,
        least: bool,
        seed in 1u64..,
    ) {
        let mut words = Words(seed);
        let k = match format.block_values() {
            1 => blocks * 130 + odd,
            size => blocks * size,
        };
        let w = weights(&mut words, format, n, k);
        let x = match format.is_quantised() {
            true => quantised(&mut words, m, k, least),
            false => Tensor::f32([m as u64, k as u64], values(&mut words, m * k, 200)).unwrap(),
        };
        check(&Op::Linear { format }, &[&x, &w], 40);
    }

    #[test]
    fn quantised_rows(
        m in 0u64..4,
        blocks in 1u64..20,
        rate in prop::sample::select(&[0u64, 3, 40, 400][..]),
        shift in -140i32..100,
        seed in 1u64..,
    ) {
        let k = blocks * ACTIVATION_BLOCK as u64;
        let mut x = values(&mut Words(seed), (m * k) as usize, rate);
        // also where 127 over the largest is infinite, and where the quotient is a subnormal number
        let factor = (f64::from(shift)).exp2();
        for x in &mut x {
            *x = (f64::from(*x) * factor) as f32;
        }
        let x = Tensor::f32([m, k], x).unwrap();
        check(&Op::Quantize, &[&x], 150);
    }

    #[test]
    fn embedded_tokens(
        format in prop::sample::select(&WeightFormat::ALL[..]),
        n in 0usize..9,
        id in -2i32..10,
        position in -1i64..5,
        seed in 1u64..,
    ) {
        let k = format.block_values().max(7);
        let table = weights(&mut Words(seed), format, n, k);
        let ids: Vec<u8> = [1, id, 3].iter().flat_map(|id| id.to_le_bytes()).collect();
        let tokens = Tensor::from_le_bytes(TensorType::new(DType::I32, [3]), &ids).unwrap();
        let position = Tensor::i64([1], vec![position]).unwrap();
        check(&Op::Embed { format }, &[&table, &tokens, &position], 60);
    }
}

/// Deep enough for every path of the fast kernels: chunks, several tiles of rows, a panel that is not full.
#[test]
fn deep_and_tall_products() {
    for format in WeightFormat::ALL {
        let (m, n, k) = (53, 45, 2048);
        let mut words = Words(7);
        let w = weights(&mut words, format, n, k);
        let x = match format.is_quantised() {
            true => quantised(&mut words, m, k, false),
            false => Tensor::f32([m as u64, k as u64], values(&mut words, m * k, 0)).unwrap(),
        };
        check(&Op::Linear { format }, &[&x, &w], 20);
    }
}
