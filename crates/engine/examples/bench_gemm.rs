//! The C256 matrix product against the order-free one of the `gemm` crate, and both against the
//! fma peak of the same core in the same run. One thread; ratios matter, absolute figures drift.
//!
//! `cargo run --release -p gavel-engine --example bench_gemm [REPEATS]`

use std::hint::black_box;
use std::time::Instant;

use gavel_numerics::Window2d;
use gavel_numerics::kernels::{Bias, ConvShape, Isa, IsaKind, MatRef, Sequential, conv2d, gemm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if cfg!(debug_assertions) {
        // the development profile optimises our kernels and not the peer's
        return Err("this comparison means something with --release only".into());
    }
    let repeats = std::env::args()
        .nth(1)
        .map_or(Ok(15), |arg| arg.parse::<usize>())?
        .max(1);
    let isa = Isa::from_env()?;
    let peak = fma_peak(isa.kind());
    println!(
        "isa {}, fma peak {peak:.1} GFLOP/s, best of {repeats}",
        isa.kind()
    );
    println!(
        "{:>22} {:>8} {:>8} {:>10} {:>10}",
        "M x N x K", "C256", "gemm", "C256/gemm", "C256/peak"
    );
    let shapes = [
        (64, 3136, 576),
        (128, 784, 1152),
        (512, 49, 4608),
        (516, 2112, 2048),
        (132, 768, 768),
        (3144, 96, 576),
        (1, 1000, 2048),
    ];
    for (m, n, k, by_columns) in shapes
        .map(|(m, n, k)| (m, n, k, false))
        .into_iter()
        .chain([(1, 1000, 2048, true), (64, 1024, 1024, true)])
    {
        let a = values(m * k, 1);
        let b = values(k * n, 2);
        let mut out = vec![0.0f32; m * n];
        let flops = 2.0 * (m * n * k) as f64;
        let (mut ours, mut theirs) = (0.0f64, 0.0f64);
        for _ in 0..repeats {
            let start = Instant::now();
            let bm = match by_columns {
                true => MatRef::row_major(&b, n, k).transposed(),
                false => MatRef::row_major(&b, k, n),
            };
            gemm(
                isa,
                &Sequential,
                MatRef::row_major(&a, m, k),
                bm,
                Bias::None,
                &mut out,
            );
            ours = ours.max(flops / start.elapsed().as_secs_f64() / 1e9);
            black_box(&out);
            let start = Instant::now();
            order_free(m, n, k, by_columns, &a, &b, &mut out);
            theirs = theirs.max(flops / start.elapsed().as_secs_f64() / 1e9);
            black_box(&out);
        }
        let (to_gemm, to_peak) = (ours / theirs, ours / peak);
        println!(
            "{:>22} {ours:8.1} {theirs:8.1} {to_gemm:10.2} {to_peak:10.2}",
            format!("{m} x {n} x {k}{}", if by_columns { " B'" } else { "" })
        );
    }
    println!(
        "{:>30} {:>8} {:>10}",
        "conv C x H x W -> M, k, stride", "GFLOP/s", "/peak"
    );
    for (c, hw, m, kernel, stride) in [
        (64, 56, 64, 3, 1),
        (256, 56, 64, 1, 1),
        (128, 28, 128, 3, 1),
        (256, 14, 256, 3, 1),
        (512, 7, 512, 3, 1),
        (3, 224, 64, 7, 2),
    ] {
        let rate = convolution(isa, repeats, c, hw, m, kernel, stride);
        let name = format!("{c} x {hw} x {hw} -> {m}, {kernel}, {stride}");
        println!("{name:>30} {rate:8.1} {:10.2}", rate / peak);
    }
    Ok(())
}

/// Best rate of a convolution with same padding, in GFLOP/s.
fn convolution(
    isa: Isa,
    repeats: usize,
    c: usize,
    hw: usize,
    m: usize,
    kernel: usize,
    stride: usize,
) -> f64 {
    let (k, pad) = (kernel as u32, kernel as u32 / 2);
    let window = Window2d {
        kernel: [k; 2],
        strides: [stride as u32; 2],
        dilations: [1; 2],
        pads: [pad; 4],
    };
    let out_hw = (hw + 2 * (kernel / 2) - kernel) / stride + 1;
    let shape = ConvShape {
        batch: 1,
        channels: c,
        input: [hw; 2],
        filters: m,
        output: [out_hw; 2],
        groups: 1,
    };
    let (x, w, bias) = (
        values(c * hw * hw, 3),
        values(m * c * kernel * kernel, 4),
        values(m, 5),
    );
    let mut out = vec![0.0f32; m * out_hw * out_hw];
    let flops = 2.0 * (out.len() * c * kernel * kernel) as f64;
    let mut best = 0.0f64;
    for _ in 0..repeats {
        let start = Instant::now();
        conv2d(
            isa,
            &Sequential,
            window,
            shape,
            &x,
            &w,
            Some(&bias),
            &mut out,
        );
        best = best.max(flops / start.elapsed().as_secs_f64() / 1e9);
        black_box(&out);
    }
    best
}

/// The `gemm` crate on row-major operands, one thread.
fn order_free(
    m: usize,
    n: usize,
    k: usize,
    by_columns: bool,
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
) {
    assert!(a.len() >= m * k && b.len() >= k * n && out.len() >= m * n);
    let (row_a, row_c) = (k as isize, n as isize);
    let (col_b, row_b) = if by_columns {
        (k as isize, 1)
    } else {
        (1, n as isize)
    };
    // SAFETY: the strides stay inside the slices, whose lengths were checked.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            row_c,
            false,
            a.as_ptr(),
            1,
            row_a,
            b.as_ptr(),
            col_b,
            row_b,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Deterministic values in -1..1.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

/// Twelve independent register-only fma chains: what the core can do at best, in GFLOP/s.
fn fma_peak(kind: IsaKind) -> f64 {
    const ROUNDS: usize = 200_000;
    let mut best = 0.0f64;
    for _ in 0..10 {
        let start = Instant::now();
        let lanes = match kind {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `kind` was taken from an `Isa`, which proves the instructions.
            IsaKind::Avx2 => unsafe { x86::chains_avx2(ROUNDS) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            IsaKind::Avx512 => unsafe { x86::chains_avx512(ROUNDS) },
            _ => chains_scalar(ROUNDS),
        };
        best = best.max((2 * 12 * ROUNDS * lanes) as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}

fn chains_scalar(rounds: usize) -> usize {
    let mut t = [black_box(1.0f32); 12];
    for _ in 0..rounds {
        for x in &mut t {
            *x = x.mul_add(0.999, 0.001);
        }
    }
    black_box(t);
    1
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn chains_avx2(rounds: usize) -> usize {
        let (m, c) = (
            _mm256_set1_ps(black_box(0.999)),
            _mm256_set1_ps(black_box(0.001)),
        );
        let mut t = [_mm256_set1_ps(black_box(1.0)); 12];
        for _ in 0..rounds {
            for x in &mut t {
                *x = _mm256_fmadd_ps(*x, m, c);
            }
        }
        black_box(t);
        8
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn chains_avx512(rounds: usize) -> usize {
        let (m, c) = (
            _mm512_set1_ps(black_box(0.999)),
            _mm512_set1_ps(black_box(0.001)),
        );
        let mut t = [_mm512_set1_ps(black_box(1.0)); 12];
        for _ in 0..rounds {
            for x in &mut t {
                *x = _mm512_fmadd_ps(*x, m, c);
            }
        }
        black_box(t);
        16
    }
}
