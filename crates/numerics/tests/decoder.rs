//! The vector kernels of language models against the operator programs, by bits: random shapes, windows, positions and
//! sampling parameters, ties at every threshold, special values, every instruction set of this machine, 1 and 3 threads.
#![allow(clippy::unwrap_used)]

mod common;

use common::Threads;
use gavel_numerics::kernels::{
    AttentionRows, AttentionShape, Isa, KV_PAGE, KvShape, PARAMETERS, SamplingParams, Sequential,
    attention, eval, visible,
};
use gavel_numerics::reference::Application;
use gavel_numerics::{Op, Tensor};
use proptest::prelude::*;

/// Values that make trouble.
const SPECIAL: [f32; 12] = [
    0.0,
    -0.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    f32::MIN_POSITIVE,
    1.0e-45,
    -1.0e-40,
    f32::MAX,
    f32::MIN,
    88.9,
    -104.5,
];

/// Deterministic words.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }
}

/// Deterministic values; one in `rate` is special (0: none), and of a few values where `coarse`.
fn values(len: usize, seed: u64, rate: u64, coarse: bool) -> Vec<f32> {
    let mut words = Words(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (0..len)
        .map(|_| {
            let word = words.next();
            match word.checked_rem(rate) {
                Some(0) => SPECIAL[(word >> 32) as usize % SPECIAL.len()],
                _ if coarse => ((word >> 32) % 7) as f32 - 3.0,
                _ => ((word >> 32 & 0xff_ffff) as f32 / (1u32 << 23) as f32 - 1.0) * 3.0,
            }
        })
        .collect()
}

fn tensor(dims: &[u64], seed: u64, rate: u64) -> Tensor {
    let len = dims.iter().product::<u64>() as usize;
    Tensor::f32(dims, values(len, seed, rate, false)).unwrap()
}

fn scalar(word: u64) -> Tensor {
    Tensor::i64([1], vec![word.cast_signed()]).unwrap()
}

fn words(params: SamplingParams) -> Tensor {
    let words: [i64; PARAMETERS] = params.into();
    Tensor::i64([PARAMETERS as u64], words.to_vec()).unwrap()
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
                    let bits = found.raw(i);
                    assert_eq!(bits, Some(want), "{op:?} element {i}, {isa:?}");
                }
                found.clone()
            });
            assert_eq!(first.ty(), found.ty());
            let differs = (0..found.len()).find(|&i| first.raw(i) != found.raw(i));
            assert_eq!(differs, None, "{op:?} {isa:?} x{threads}");
        }
    }
}

fn attention_op(head_dim: u32, heads: u32, kv_heads: u32, window: u32) -> Op {
    Op::Attention {
        head_dim,
        heads,
        kv_heads,
        scale_bits: 0.3f32.to_bits(),
        window,
    }
}

#[test]
fn attention_at_the_edges_of_chunks_pages_and_windows() {
    for (head_dim, heads, kv_heads, context) in [
        (8, 4, 2, 600),
        (40, 1, 1, 300),
        (16, 14, 2, 90),
        (300, 2, 1, 40),
        (64, 8, 1, 70),
    ] {
        let width = u64::from(kv_heads * head_dim);
        let q = tensor(&[1, u64::from(heads * head_dim)], 1, 0);
        for rate in [0, 700] {
            let keys = tensor(&[context, width], 2, rate);
            let cached = tensor(&[context, width], 3, rate);
            for window in [0, 1, 2, 63, 256, 257, 1000] {
                for position in [0, 1, 31, 63, 64, 255, 256, 257, 511, 513, context - 1] {
                    if position < context {
                        let op = attention_op(head_dim, heads, kv_heads, window);
                        check(&op, &[&q, &keys, &cached, &scalar(position)], 3);
                    }
                }
                for position in [context, context + 5, context + 1000, 1 << 40, u64::MAX] {
                    let op = attention_op(head_dim, heads, kv_heads, window);
                    check(&op, &[&q, &keys, &cached, &scalar(position)], 1);
                }
            }
        }
    }
}

/// A cache of `len` positions: its pages, and what [`KvShape::read`] gives back is what was written.
fn cache(kv: KvShape, len: usize, seed: u64, rate: u64) -> Vec<Vec<f32>> {
    let width = kv.row_len();
    let rows = values(2 * len * width, seed, rate, false);
    let mut pages = vec![vec![f32::NAN; kv.page_len()]; len.div_ceil(KV_PAGE)];
    let (mut keys, mut found) = (vec![0.0; width], vec![0.0; width]);
    for (position, rows) in rows.chunks_exact(2 * width).enumerate() {
        let (page, slot) = (&mut pages[position / KV_PAGE], position % KV_PAGE);
        let (key, value) = rows.split_at(width);
        kv.write(page, slot, key, value);
        kv.read(page, slot, &mut keys, &mut found);
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same(&keys, key) && same(&found, value));
    }
    pages
}

/// Rows of several sequences at once have the bits of each row alone.
fn check_rows(shape: AttentionShape, lengths: &[[usize; 2]], window: u64, rate: u64) {
    let row_len = shape.heads * shape.kv.head_dim;
    let caches: Vec<_> = (2..)
        .zip(lengths)
        .map(|(seed, &[before, rows])| cache(shape.kv, before + rows, seed, rate))
        .collect();
    let pages: Vec<Vec<&[f32]>> = caches
        .iter()
        .map(|pages| pages.iter().map(Vec::as_slice).collect())
        .collect();
    let ranges: Vec<Vec<_>> = lengths
        .iter()
        .map(|&[before, rows]| {
            (before..before + rows)
                .map(|position| visible(position as u64, window, before + rows))
                .collect()
        })
        .collect();
    let sequences: Vec<AttentionRows<'_>> = pages
        .iter()
        .zip(&ranges)
        .map(|(pages, ranges)| AttentionRows { pages, ranges })
        .collect();
    let rows: usize = ranges.iter().map(Vec::len).sum();
    let q = values(rows * row_len, 1, rate, false);
    let mut want = vec![0.0; q.len()];
    let single = sequences.iter().flat_map(|sequence| {
        let pages = sequence.pages;
        sequence
            .ranges
            .chunks(1)
            .map(move |ranges| AttentionRows { pages, ranges })
    });
    for ((sequence, q), out) in single
        .zip(q.chunks_exact(row_len))
        .zip(want.chunks_exact_mut(row_len))
    {
        attention(Isa::scalar(), &Sequential, shape, &[sequence], q, out);
    }
    for isa in Isa::available() {
        for threads in [1, 3] {
            let mut found = vec![0.0; q.len()];
            attention(isa, &Threads(threads), shape, &sequences, &q, &mut found);
            let differs = (0..q.len()).find(|&i| found[i].to_bits() != want[i].to_bits());
            assert_eq!(
                differs, None,
                "{shape:?} {lengths:?} {window} {isa:?} x{threads}"
            );
        }
    }
}

#[test]
fn many_rows_are_as_one_at_the_edges_of_chunks_and_pages() {
    for (heads, kv_heads, head_dim) in [(4, 4, 8), (8, 1, 16), (7, 1, 20), (24, 2, 4), (30, 1, 8)] {
        let shape = AttentionShape {
            kv: KvShape { kv_heads, head_dim },
            heads,
            scale: 0.3,
        };
        for window in [0, 1, 30, 64, 256, 300] {
            check_rows(shape, &[[0, 70]], window, 0);
            check_rows(shape, &[[250, 20], [0, 1], [500, 40]], window, 0);
            check_rows(shape, &[[63, 2], [255, 3], [511, 1]], window, 500);
        }
    }
}

fn tokens(len: usize, vocabulary: usize, seed: u64) -> Tensor {
    let mut words = Words(seed | 1);
    let token = |word: u64| word as i32 % (vocabulary as i32 + 1) - 1;
    Tensor::i32(
        [len as u64],
        (0..len).map(|_| token(words.next())).collect(),
    )
    .unwrap()
}

/// Draws from a few numbers that matter and a range.
fn fraction() -> impl Strategy<Value = f32> {
    let matters = vec![
        0.0,
        -0.0,
        1.0,
        2.0,
        -1.0,
        1e-30,
        f32::NAN,
        f32::INFINITY,
        0.999_999_9,
    ];
    prop_oneof![0.0f32..1.0, prop::sample::select(matters)]
}

fn sampling() -> impl Strategy<Value = SamplingParams> {
    let temperature = prop_oneof![
        2 => 0.05f32..3.0,
        1 => prop::sample::select(&[0.0, -0.0, 1.0, -1.0, f32::NAN, f32::INFINITY, 1e-40, 1e30][..])
    ];
    let top_k = prop_oneof![
        0u64..60,
        prop::sample::select(&[0, 1, 40, u64::MAX, 1 << 63][..])
    ];
    let penalty =
        prop::sample::select(&[1.0f32, 0.0, -0.0, 1.3, -0.7, f32::NAN, f32::INFINITY][..]);
    (
        temperature,
        top_k,
        fraction(),
        fraction(),
        [penalty.clone(), penalty.clone(), penalty],
        any::<u64>(),
        [0u64..50, 0u64..50],
    )
        .prop_map(
            |(temperature, top_k, top_p, min_p, penalties, seed, lengths)| {
                let [repetition, frequency, presence] = penalties;
                let [prompt_len, max_new_tokens] = lengths;
                SamplingParams {
                    prompt_len,
                    max_new_tokens,
                    seed,
                    temperature,
                    top_k,
                    top_p,
                    min_p,
                    repetition,
                    frequency,
                    presence,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn element_wise(len in 1u64..200, groups in 1u64..4, epsilon in fraction(), rate in prop_oneof![Just(0u64), Just(9)]) {
        let x = tensor(&[2, groups * len], 1, rate);
        let w = tensor(&[len], 2, rate);
        check(&Op::RmsNorm { epsilon_bits: epsilon.to_bits() }, &[&x, &w], 20);
        let up = tensor(&[2, groups * len], 3, rate);
        check(&Op::SwiGlu, &[&x, &up], 50);
    }

    #[test]
    fn rotations(heads in 1u64..4, dim in 1u32..70, pairs in 0u32..40, halves: bool, position in 0u64..6, rate in prop_oneof![Just(0u64), Just(9)]) {
        let rotary = (2 * pairs).min(dim / 2 * 2);
        let x = tensor(&[1, heads * u64::from(dim)], 1, rate);
        let table = tensor(&[4, u64::from(rotary)], 2, rate);
        let op = Op::Rope { head_dim: dim, halves, rotary };
        let position = scalar(if position > 4 { u64::MAX } else { position });
        check(&op, &[&x, &table, &position], 60);
    }

    #[test]
    fn rows_are_written(context in 1u64..6, width in 1u64..40, position in 0u64..7) {
        let (cache, row) = (tensor(&[context, width], 1, 5), tensor(&[1, width], 2, 5));
        check(&Op::WriteRow, &[&cache, &row, &scalar(position)], 100);
        check(&Op::WriteRow, &[&cache, &row, &scalar(u64::MAX / width)], 100);
    }

    #[test]
    fn attention_on_random_shapes(
        dim in prop_oneof![1u32..70, Just(257)],
        kv_heads in 1u32..4,
        group in 1u32..10,
        context in 1u64..400,
        at: prop::sample::Index,
        window in prop_oneof![Just(0u32), 1u32..300],
        rate in prop_oneof![3 => Just(0u64), 1 => Just(3000)],
    ) {
        let width = u64::from(kv_heads * dim);
        let q = tensor(&[1, width * u64::from(group)], 1, rate);
        let (keys, values) = (tensor(&[context, width], 2, rate), tensor(&[context, width], 3, rate));
        let position = scalar(at.index(context as usize) as u64);
        check(&attention_op(dim, kv_heads * group, kv_heads, window), &[&q, &keys, &values, &position], 3);
    }

    #[test]
    fn many_rows_are_as_one(
        head_dim in 1usize..40,
        kv_heads in 1usize..4,
        group in 1usize..20,
        lengths in prop::collection::vec([0usize..400, 0usize..30], 0..4),
        window in prop_oneof![Just(0u64), 1u64..300],
        rate in prop_oneof![3 => Just(0u64), 1 => Just(3000)],
    ) {
        let shape = AttentionShape {
            kv: KvShape { kv_heads, head_dim },
            heads: kv_heads * group,
            scale: 0.3,
        };
        check_rows(shape, &lengths, window, rate);
    }

    #[test]
    fn from_logits_to_a_token(
        vocabulary in prop_oneof![1usize..300, Just(16), Just(33)],
        params in sampling(),
        coarse: bool,
        rate in prop_oneof![3 => Just(0u64), 1 => Just(40)],
        seed: u64,
        position in prop_oneof![0u64..60, Just(u64::MAX)],
        context in 1usize..60,
    ) {
        let x = values(vocabulary, seed, rate, coarse);
        let logits = Tensor::f32([1, vocabulary as u64], x).unwrap();
        let (tokens, place, params) = (tokens(context + 1, vocabulary, seed), scalar(position), words(params));
        check(&Op::Penalties, &[&logits, &tokens, &place, &params], 40);
        check(&Op::Filter, &[&logits, &params], 30);
        check(&Op::Sample, &[&logits, &place, &params], 1);
        let filtered = eval(Isa::best(), &Threads(1), &Op::Filter, &[&logits, &params]).unwrap();
        check(&Op::Sample, &[&filtered, &place, &params], 1);
    }

    #[test]
    fn bookkeeping_of_a_step(
        params in sampling(),
        position in prop_oneof![0u64..60, Just(u64::MAX), Just(u64::MAX - 1)],
        context in 0usize..60,
        stopped in 0u64..3,
        seed: u64,
    ) {
        let (tokens, place, params) = (tokens(context + 1, 5, seed), scalar(position), words(params));
        let sampled = Tensor::i32([1], vec![-7]).unwrap();
        check(&Op::AppendToken, &[&tokens, &sampled, &place, &params], 100);
        let end = Tensor::i32([seed % 3], vec![3; seed as usize % 3]).unwrap();
        check(&Op::Stop, &[&scalar(stopped), &tokens, &place, &params, &end], 1);
        check(&Op::Advance, &[&place], 1);
    }
}

/// Positions that differ in one bit of a float are told apart where thresholds lie.
#[test]
fn thresholds_fall_on_ties() {
    let mut x = vec![0.0f32; 100];
    for (i, x) in x.iter_mut().enumerate() {
        *x = [1.0, 1.0f32.next_up(), 1.0f32.next_down(), 0.5, -0.0][i % 5];
    }
    let logits = Tensor::f32([1, 100], x).unwrap();
    for k in [1, 19, 20, 21, 39, 40, 41, 60, 79, 80, 81, 99, 100, 101] {
        for top_p in [1.0, 0.0124, 0.25, 0.2498, 0.5, 0.75, 0.9, 0.1] {
            for min_p in [0.0, 0.5, 0.606_530_66, 0.999_999_9, 1.0, 1.1] {
                let params = words(SamplingParams {
                    temperature: 1.0,
                    top_k: k,
                    top_p,
                    min_p,
                    ..SamplingParams::default()
                });
                check(&Op::Filter, &[&logits, &params], 10);
            }
        }
    }
}
