//! Matrix product and convolution against triple loops, by bits, at block-edge sizes, on every
//! instruction set of this machine and in 1, 2 and 3 threads.

use super::*;
use crate::Window2d;

/// Runs parts on `0` threads, the last part first.
pub(super) struct Threads(pub(super) usize);

impl Parallel for Threads {
    fn workers(&self) -> usize {
        self.0
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for worker in 0..self.0 {
                scope.spawn(move || {
                    (0..parts)
                        .rev()
                        .filter(|i| i % self.0 == worker)
                        .for_each(part);
                });
            }
        });
    }
}

/// Every way to run a kernel here; says so when an instruction set is absent.
pub(super) fn ways() -> Vec<(Isa, Threads)> {
    for kind in IsaKind::ALL {
        if Isa::new(kind).is_err() {
            eprintln!("skipped: this CPU has no {kind}");
        }
    }
    let isas = Isa::available();
    isas.iter()
        .flat_map(|&isa| [1, 2, 3].map(|n| (isa, Threads(n))))
        .collect()
}

/// Values of period 251 with signed zeros, tiny and large ones among them.
pub(super) fn pattern(len: usize, seed: usize) -> Vec<f32> {
    (0..len)
        .map(|i| match (i + seed) % 251 {
            0 => -0.0,
            1 => 1.0e-39,
            2 => -3.0e5,
            p => ((p * 7919 + seed * 31) % 1009) as f32 / 503.0 - 1.0,
        })
        .collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

/// The order of the arithmetic, spelled out.
fn c256(k: usize, a: impl Fn(usize) -> f32, b: impl Fn(usize) -> f32, bias: Option<f32>) -> f32 {
    let mut total = 0.0f32;
    for chunk in 0..k.div_ceil(256) {
        let mut t = 0.0f32;
        for i in chunk * 256..(chunk * 256 + 256).min(k) {
            t = a(i).mul_add(b(i), t);
        }
        total = if chunk == 0 { t } else { total + t };
    }
    let value = bias.map_or(total, |b| total + b);
    if value.is_nan() {
        f32::from_bits(0x7fc0_0000)
    } else {
        value
    }
}

fn check_gemm(m: usize, n: usize, k: usize, trans_a: bool, trans_b: bool, bias: usize) {
    let (a, b) = (pattern(m * k, 3), pattern(k * n, 5));
    let (row, column) = (pattern(m, 7), pattern(n, 11));
    let at = |i: usize, p: usize| if trans_a { a[p * m + i] } else { a[i * k + p] };
    let bt = |p: usize, j: usize| if trans_b { b[j * k + p] } else { b[p * n + j] };
    let mut want = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let add = [None, Some(row[i]), Some(column[j])][bias];
            want[i * n + j] = c256(k, |p| at(i, p), |p| bt(p, j), add);
        }
    }
    let av = if trans_a {
        MatRef::row_major(&a, k, m).transposed()
    } else {
        MatRef::row_major(&a, m, k)
    };
    let bv = if trans_b {
        MatRef::row_major(&b, n, k).transposed()
    } else {
        MatRef::row_major(&b, k, n)
    };
    let add = [Bias::None, Bias::PerRow(&row), Bias::PerColumn(&column)][bias];
    for (isa, threads) in ways() {
        let mut out = vec![f32::NAN; m * n];
        gemm(isa, &threads, av, bv, add, &mut out);
        assert_eq!(
            bits(&out),
            bits(&want),
            "{m}x{n}x{k} {trans_a} {trans_b} {bias} {isa:?} x{}",
            threads.0
        );
    }
}

#[test]
fn gemm_has_the_bits_of_the_triple_loop_at_block_edges() {
    for (m, n, k) in [
        (1, 1, 1),
        (1, 1, 0),
        (0, 3, 2),
        (3, 0, 2),
        (2, 3, 0),
        (1, 33, 257),
        (1, 100, 300),
        (2, 16, 255),
        (4, 15, 256),
        (5, 17, 257),
        (6, 32, 512),
        (7, 31, 513),
        (11, 64, 64),
        (12, 33, 16),
        (13, 65, 31),
        (24, 193, 40),
        (25, 400, 9),
        (37, 97, 300),
    ] {
        check_gemm(m, n, k, false, false, 0);
        check_gemm(m, n, k, (m + k) % 2 == 0, true, 1);
        check_gemm(m, n, k, true, (n + k) % 2 == 0, 2);
    }
}

#[test]
fn gemm_shows_one_nan_whatever_made_it() {
    let a = [0.0f32, f32::INFINITY, f32::from_bits(0xffc0_1234), 1.0];
    let b = [f32::INFINITY, f32::NEG_INFINITY, 1.0, -1.0];
    for (isa, threads) in ways() {
        let mut out = [0.0f32; 4];
        gemm(
            isa,
            &threads,
            MatRef::row_major(&a, 2, 2),
            MatRef::row_major(&b, 2, 2),
            Bias::None,
            &mut out,
        );
        assert_eq!(
            bits(&out),
            [0x7fc0_0000, 0x7fc0_0000, 0x7fc0_0000, 0x7fc0_0000],
            "{isa:?}"
        );
    }
}

fn check_conv(window: Window2d, shape: ConvShape) {
    let ConvShape {
        batch,
        channels,
        input: [h, w],
        filters,
        output: [oh, ow],
        groups,
    } = shape;
    let [kh, kw] = window.kernel.map(|k| k as usize);
    let (cg, mg) = (channels / groups, filters / groups);
    let x = pattern(batch * channels * h * w, 1);
    let wt = pattern(filters * cg * kh * kw, 2);
    let bias = pattern(filters, 4);
    let mut want = Vec::new();
    for n in 0..batch {
        for m in 0..filters {
            for oy in 0..oh {
                for ox in 0..ow {
                    let tap = |k: usize| {
                        let (c, ky, kx) = (k / (kh * kw), k / kw % kh, k % kw);
                        let y = oy * window.strides[0] as usize + ky * window.dilations[0] as usize;
                        let xx =
                            ox * window.strides[1] as usize + kx * window.dilations[1] as usize;
                        let y = y.wrapping_sub(window.pads[0] as usize);
                        let xx = xx.wrapping_sub(window.pads[1] as usize);
                        if y >= h || xx >= w {
                            return 0.0;
                        }
                        x[((n * channels + m / mg * cg + c) * h + y) * w + xx]
                    };
                    let depth = cg * kh * kw;
                    want.push(c256(depth, |k| wt[m * depth + k], tap, Some(bias[m])));
                }
            }
        }
    }
    for (isa, threads) in ways() {
        let mut out = vec![f32::NAN; want.len()];
        conv2d(isa, &threads, window, shape, &x, &wt, Some(&bias), &mut out);
        assert_eq!(
            bits(&out),
            bits(&want),
            "{window:?} {shape:?} {isa:?} x{}",
            threads.0
        );
    }
}

fn window(kernel: [u32; 2], strides: [u32; 2], dilations: [u32; 2], pads: [u32; 4]) -> Window2d {
    Window2d {
        kernel,
        strides,
        dilations,
        pads,
    }
}

/// The output extents of the shape program (floor).
fn extents(window: &Window2d, input: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|i| {
        let padded = input[i] + (window.pads[i] + window.pads[i + 2]) as usize;
        let reach = (window.dilations[i] * (window.kernel[i] - 1) + 1) as usize;
        (padded - reach) / window.strides[i] as usize + 1
    })
}

#[test]
fn conv_has_the_bits_of_the_loops_at_odd_geometries() {
    for (win, input) in [
        (window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1]), [7, 7]),
        (window([1, 1], [1, 1], [1, 1], [0, 0, 0, 0]), [5, 9]),
        (window([3, 3], [2, 2], [1, 1], [0, 0, 1, 1]), [10, 13]),
        (window([5, 2], [1, 3], [2, 1], [4, 0, 3, 2]), [9, 20]),
        (window([7, 7], [2, 2], [1, 1], [3, 3, 3, 3]), [33, 37]),
        (window([2, 3], [3, 2], [1, 4], [1, 5, 0, 6]), [6, 4]),
        (window([1, 3], [1, 1], [1, 2], [0, 2, 0, 2]), [1, 40]),
    ] {
        let output = extents(&win, input);
        for (batch, channels, filters, groups) in [
            (1, 3, 13, 1),
            (2, 4, 4, 4),
            (1, 6, 12, 3),
            (3, 4, 8, 2),
            (1, 2, 1, 1),
        ] {
            check_conv(
                win,
                ConvShape {
                    batch,
                    channels,
                    input,
                    filters,
                    output,
                    groups,
                },
            );
        }
    }
}

#[test]
fn conv_deeper_than_a_chunk_adds_chunk_sums_in_order() {
    let win = window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1]);
    for (channels, filters, groups) in [(32, 9, 1), (64, 2, 1), (64, 4, 2)] {
        check_conv(
            win,
            ConvShape {
                batch: 2,
                channels,
                input: [6, 6],
                filters,
                output: [6, 6],
                groups,
            },
        );
    }
}
