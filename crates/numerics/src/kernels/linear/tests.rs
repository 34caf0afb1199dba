//! Products against their plain definition, by bits: random shapes, formats, special values, splits, every instruction
//! set.

use proptest::prelude::*;

use super::*;
use crate::blocks::quantise;
use crate::kernels::tests::Threads;
use crate::scalar::canonical;

/// A generator of words.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

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
    1.0,
    -1.0,
    1.0e-36,
];

/// Values of which one in `rate` is special (0: none); now and then a block of zeros.
fn values(random: &mut Random, len: usize, rate: u64) -> Vec<f32> {
    let mut out: Vec<f32> = (0..len)
        .map(|_| match random.next().checked_rem(rate) {
            Some(0) => SPECIAL[random.below(SPECIAL.len() as u64) as usize],
            _ => (random.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0) * 3.0,
        })
        .collect();
    for block in out.chunks_mut(32) {
        if random.below(16) == 0 {
            block.fill(0.0);
        }
    }
    out
}

/// Rows of weights: random bytes, with scales that are mostly ordinary numbers.
fn weights(random: &mut Random, format: WeightFormat, bytes: usize, rate: u64) -> Vec<u8> {
    let mut out: Vec<u8> = (0..bytes).map(|_| random.next() as u8).collect();
    let scales: &[usize] = match format {
        WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16 => &[0],
        WeightFormat::Q8_0 | WeightFormat::Q4_0 => &[0],
        WeightFormat::Q4_K => &[0, 2],
        WeightFormat::Q6_K => &[208],
    };
    for block in out.chunks_exact_mut(format.block_bytes()) {
        for &at in scales {
            let special = random.next().checked_rem(rate) == Some(0);
            let value = values(random, 1, u64::from(special))[0] / 8.0;
            match format {
                WeightFormat::F32 => block.copy_from_slice(&value.to_le_bytes()),
                WeightFormat::Bf16 => block.copy_from_slice(&value.to_le_bytes()[2..]),
                _ => {
                    let half = crate::convert::f32_to_f16(value);
                    block[at..at + 2].copy_from_slice(&half.to_le_bytes());
                }
            }
        }
    }
    out
}

/// The definition: element by element.
fn definition(format: WeightFormat, m: usize, n: usize, k: usize, x: &[f32], w: &[u8]) -> Vec<u32> {
    let row_bytes = format.row_bytes(k).unwrap();
    let mut out = Vec::new();
    for x in x.chunks_exact(k).take(m) {
        let blocks = quantise(x);
        for w in w.chunks_exact(row_bytes).take(n) {
            let value = if format.is_quantised() {
                format.product(&blocks, w, k)
            } else {
                let mut total = 0.0f32;
                for (chunk, x) in x.chunks(256).enumerate() {
                    let mut t = 0.0f32;
                    for (i, &x) in x.iter().enumerate() {
                        t = x.mul_add(format.value(w, chunk * 256 + i), t);
                    }
                    total = if chunk == 0 { t } else { total + t };
                }
                canonical(total)
            };
            out.push(value.to_bits());
        }
    }
    out
}

/// A product in rectangles: rows cut in `row_cuts`, panels in `panel_cuts`.
fn in_parts(isa: Isa, w: &PackedMatrix, x: &Activations, rows: usize, panels: usize) -> Vec<u32> {
    let mut out = vec![f32::NAN; x.m() * w.n()];
    let shared = SharedRows::new(&mut out, w.n());
    let cut = |len: usize, parts: usize, i: usize| len * i / parts..len * (i + 1) / parts;
    std::thread::scope(|scope| {
        for r in 0..rows {
            let shared = &shared;
            scope.spawn(move || {
                for p in (0..panels).rev() {
                    let (rows, panels) = (cut(x.m(), rows, r), cut(w.panels(), panels, p));
                    linear(isa, w, x, rows, panels, shared);
                }
            });
        }
    });
    out.iter().map(|v| v.to_bits()).collect()
}

fn check(format: WeightFormat, m: usize, n: usize, k: usize, seed: u64, rate: u64) {
    let mut random = Random(seed);
    let x = values(&mut random, m * k, rate);
    let bytes = n * format.row_bytes(k).unwrap();
    let rows = weights(&mut random, format, bytes, rate);
    let want = definition(format, m, n, k, &x, &rows);
    let w = PackedMatrix::pack(&Threads(2), format, n, k, &rows).unwrap();
    for isa in Isa::available() {
        let mut a = Activations::new();
        a.resize(m, k, format.is_quantised());
        a.set_rows(isa, &Threads(2), &x);
        if format.is_quantised() {
            let bytes: Vec<u8> = x.chunks_exact(k).flat_map(quantise).collect();
            assert_eq!(a.to_quantised(), bytes, "{isa:?} quantises");
        }
        let mut out = vec![0.0; m * n];
        linear_all(isa, &Threads(3), &w, &a, &mut out);
        let found: Vec<u32> = out.iter().map(|v| v.to_bits()).collect();
        let place = |found: &[u32]| found.iter().zip(&want).position(|(a, b)| a != b);
        let at = place(&found);
        assert_eq!(at, None, "{format:?} {m}x{n}x{k} {isa:?} seed {seed}");
        let (rows, panels) = (1 + random.below(4) as usize, 1 + random.below(3) as usize);
        let at = place(&in_parts(isa, &w, &a, rows, panels));
        assert_eq!(
            at, None,
            "{format:?} {m}x{n}x{k} {isa:?} in {rows}x{panels}"
        );
    }
    let mut row = vec![0.0; k];
    let i = random.below(n as u64) as usize;
    w.row(i, &mut row);
    let row_bytes = format.row_bytes(k).unwrap();
    for (j, value) in row.iter().enumerate() {
        let want = format.value(&rows[i * row_bytes..][..row_bytes], j);
        assert_eq!(
            value.to_bits(),
            want.to_bits(),
            "{format:?} row {i} value {j}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn products_have_the_bits_of_their_definition(
        format in prop::sample::select(&WeightFormat::ALL[..]),
        m in 1usize..21,
        n in 1usize..100,
        blocks in 1usize..7,
        odd in 0usize..31,
        seed: u64,
        rate in prop::sample::select(&[0u64, 5, 60, 1000][..]),
    ) {
        let k = match format.block_values() {
            1 => blocks * 120 + odd,
            32 => blocks * 32 * (1 + odd % 6),
            _ => blocks * 256,
        };
        check(format, m, n, k, seed, rate);
    }
}

#[test]
fn deep_products_cross_chunks_and_blocks_of_rows() {
    for format in WeightFormat::ALL {
        check(format, 7, 40, 5632, 1, 0);
        check(format, 150, 33, 1024, 2, 5000);
    }
}

#[test]
fn the_largest_bytes_are_multiplied_exactly() {
    let k = 256;
    for format in [
        WeightFormat::Q8_0,
        WeightFormat::Q4_0,
        WeightFormat::Q4_K,
        WeightFormat::Q6_K,
    ] {
        for (byte, q) in [
            (0x80, -128i8),
            (0x7f, -127),
            (0x80, 127),
            (0xff, -128),
            (0, -128),
        ] {
            let one = crate::convert::f32_to_f16(1.0).to_le_bytes();
            let mut row = vec![byte; format.row_bytes(k).unwrap()];
            for block in row.chunks_exact_mut(format.block_bytes()) {
                let at = if format == WeightFormat::Q6_K { 208 } else { 0 };
                block[at..at + 2].copy_from_slice(&one);
                if format == WeightFormat::Q4_K {
                    block[2..4].copy_from_slice(&one);
                }
            }
            let block = [&1.0f32.to_le_bytes()[..], &[q as u8; 32]].concat();
            let x = block.repeat(k / 32);
            let w = PackedMatrix::pack(&Threads(1), format, 1, k, &row).unwrap();
            let a = Activations::from_quantised(1, k, &x);
            assert_eq!(a.to_quantised(), x);
            let want = format.product(&x, &row, k);
            for isa in Isa::available() {
                let mut out = [0.0];
                linear_all(isa, &Threads(1), &w, &a, &mut out);
                assert_eq!(
                    out[0].to_bits(),
                    want.to_bits(),
                    "{format:?} {byte} {q} {isa:?}"
                );
            }
        }
    }
}

/// Instruction sets that [`Isa`] reaches only on machines without better ones.
#[cfg(target_arch = "x86_64")]
#[test]
fn avx512_without_vnni_has_the_same_bits() {
    let Some(token) = super::avx512::NarrowAvx512::<false>::detect() else {
        eprintln!("skipped: this CPU has no AVX-512BW");
        return;
    };
    for format in WeightFormat::ALL {
        let (m, n, k) = (8, 70, 512);
        let mut random = Random(9);
        let x = values(&mut random, m * k, 100);
        let bytes = n * format.row_bytes(k).unwrap();
        let rows = weights(&mut random, format, bytes, 100);
        let w = PackedMatrix::pack(&Threads(1), format, n, k, &rows).unwrap();
        let mut a = Activations::new();
        a.resize(m, k, format.is_quantised());
        a.set_rows(Isa::best(), &Threads(1), &x);
        let mut out = vec![0.0; m * n];
        let shared = SharedRows::new(&mut out, n);
        let part = Part {
            w: &w,
            x: &a,
            rows: 0..m,
            panels: 0..w.panels(),
            out: shared.claim(0..m, 0..n),
        };
        super::avx512::run(token, part);
        drop(shared);
        let found: Vec<u32> = out.iter().map(|v| v.to_bits()).collect();
        assert_eq!(found, definition(format, m, n, k, &x, &rows), "{format:?}");
    }
}

#[test]
#[should_panic(expected = "written twice")]
fn an_element_is_not_written_twice() {
    let w = PackedMatrix::new(WeightFormat::F32, 64, 4).unwrap();
    let mut x = Activations::new();
    x.resize(3, 4, false);
    let mut out = [0.0; 192];
    let shared = SharedRows::new(&mut out, 64);
    linear(Isa::scalar(), &w, &x, 0..2, 0..1, &shared);
    linear(Isa::scalar(), &w, &x, 0..2, 1..2, &shared);
    linear(Isa::scalar(), &w, &x, 2..3, 0..2, &shared);
    linear(Isa::scalar(), &w, &x, 1..2, 1..2, &shared);
}

#[test]
fn rows_that_are_no_whole_blocks_are_refused() {
    for format in WeightFormat::ALL {
        assert!(PackedMatrix::new(format, 1, 0).is_err());
        assert_eq!(
            PackedMatrix::new(format, 1, 33).is_err(),
            format.is_quantised()
        );
        assert!(PackedMatrix::pack(&Threads(1), format, 2, 256, &[0; 7]).is_err());
        assert!(PackedMatrix::new(format, usize::MAX / 8, 256).is_err());
    }
}
