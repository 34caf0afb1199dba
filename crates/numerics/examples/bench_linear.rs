//! Products with stored weights beside the machine's limits, measured in the same run: one thread, thread time, the best of
//! many slices. `cargo run --release --example bench_linear -p gavel-numerics [FORMAT,..] [ROWS,..] [N x K,..] [hot]`; `-` is the default
//!
//! A line: GFLOP/s (2 per multiplication) and its share of the peak (int8 dots for quantised formats, else f32 fma), GB/s
//! of weights and its share of the read bandwidth.

#[cfg(unix)]
fn main() {
    bench::main();
}

#[cfg(not(unix))]
fn main() {
    eprintln!("the bench reads a thread's time as Unix gives it");
}

#[cfg(unix)]
mod bench {
    use std::hint::black_box;

    use gavel_numerics::WeightFormat;
    use gavel_numerics::kernels::{Activations, Isa, PackedMatrix, Sequential, linear_all};
    use rustix::time::{ClockId, clock_gettime};

    /// Bytes of weights that no cache holds.
    const COLD: usize = 192 << 20;

    fn seconds() -> f64 {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
    }

    /// The best of `runs` times of `body`.
    fn best(runs: usize, mut body: impl FnMut(usize)) -> f64 {
        (0..runs)
            .map(|run| {
                let start = seconds();
                body(run);
                seconds() - start
            })
            .fold(f64::INFINITY, f64::min)
    }

    /// Peaks in Gop/s and GB/s.
    struct Peaks {
        fma: f64,
        dots: f64,
        read: f64,
    }

    #[cfg(target_arch = "x86_64")]
    mod peak {
        use std::arch::x86_64::*;

        pub(super) const STEPS: usize = 1 << 20;

        /// 12 chains of `STEPS` fma's of 16 lanes.
        #[target_feature(enable = "avx512f")]
        pub(super) fn fma() -> f32 {
            let x = _mm512_set1_ps(std::hint::black_box(0.5));
            let mut t = [x; 12];
            for (i, t) in t.iter_mut().enumerate() {
                *t = _mm512_set1_ps(std::hint::black_box(i as f32));
            }
            for _ in 0..STEPS {
                t = t.map(|t| _mm512_fmadd_ps(t, x, x));
            }
            t.iter().map(|&t| _mm512_reduce_add_ps(t)).sum()
        }

        /// 16 chains of `STEPS` dots of 16 x 4 bytes.
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub(super) fn dots() -> i32 {
            let x = _mm512_set1_epi32(std::hint::black_box(0x0102_0304));
            let mut t = [x; 16];
            for _ in 0..STEPS {
                for t in &mut t {
                    *t = _mm512_dpbusd_epi32(*t, x, x);
                }
            }
            t.iter()
                .map(|&t| _mm512_reduce_add_epi32(t))
                .fold(0, i32::wrapping_add)
        }

        /// Reads every line.
        #[target_feature(enable = "avx512f")]
        pub(super) fn read(bytes: &[u64]) -> i64 {
            let mut t = [_mm512_setzero_si512(); 8];
            for lines in bytes.chunks_exact(64) {
                for (t, line) in t.iter_mut().zip(lines.chunks_exact(8)) {
                    // SAFETY: a line has 64 bytes.
                    *t = _mm512_xor_si512(*t, unsafe { _mm512_loadu_si512(line.as_ptr().cast()) });
                }
            }
            t.iter()
                .map(|&t| _mm512_reduce_add_epi64(t))
                .fold(0, i64::wrapping_add)
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn peaks(memory: &[u64]) -> Peaks {
        if !(is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")) {
            eprintln!("no AVX-512 VNNI here: shares of peaks are left out");
            return Peaks {
                fma: f64::NAN,
                dots: f64::NAN,
                read: f64::NAN,
            };
        }
        let ops = (peak::STEPS * 16 * 2) as f64 * 1e-9;
        // SAFETY: the features are there.
        unsafe {
            let fma = best(20, |_| {
                black_box(peak::fma());
            });
            let dots = best(20, |_| {
                black_box(peak::dots());
            });
            let slices: Vec<_> = memory.chunks(COLD / 8 / 8).collect();
            let read = best(32, |run| {
                black_box(peak::read(slices[run % slices.len()]));
            });
            Peaks {
                fma: 12.0 * ops / fma,
                dots: 64.0 * ops / dots,
                read: (COLD / 8) as f64 * 1e-9 / read,
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn peaks(_: &[u64]) -> Peaks {
        Peaks {
            fma: f64::NAN,
            dots: f64::NAN,
            read: f64::NAN,
        }
    }

    /// Bytes without pattern, every scale a small number.
    fn rows(format: WeightFormat, n: usize, k: usize) -> Vec<u8> {
        let mut state = 1u64;
        let bytes = n * format.row_bytes(k).expect("whole blocks");
        let mut out: Vec<u8> = (0..bytes)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        for block in out.chunks_exact_mut(format.block_bytes()) {
            let scales: &[usize] = match format {
                WeightFormat::F32 => {
                    block[3] = 0x3c;
                    continue;
                }
                WeightFormat::Q4_K => &[0, 2],
                WeightFormat::Q6_K => &[208],
                _ => &[0],
            };
            for &at in scales {
                block[at + 1] = 0x24;
            }
        }
        out
    }

    /// Bytes that no cache holds, on huge pages where there are some.
    fn memory() -> memmap2::MmapMut {
        let mut memory = memmap2::MmapMut::map_anon(COLD).expect("memory");
        #[cfg(target_os = "linux")]
        memory.advise(memmap2::Advice::HugePage).ok();
        memory.fill(1);
        memory
    }

    fn shapes(text: &str) -> Vec<(usize, usize)> {
        text.split(',')
            .map(|shape| {
                let (n, k) = shape.split_once('x').expect("NxK");
                (n.parse().expect("N"), k.parse().expect("K"))
            })
            .collect()
    }

    pub(super) fn main() {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let arg = |i: usize, otherwise: &str| match args.get(i).map(String::as_str) {
            Some(text) if text != "-" => text.to_owned(),
            _ => otherwise.to_owned(),
        };
        let formats: Vec<_> = arg(0, "F16,Q8_0,Q4_0,Q4_K,Q6_K")
            .split(',')
            .map(|name| {
                let known = WeightFormat::ALL.into_iter().find(|f| f.name() == name);
                known.expect("a format")
            })
            .collect();
        let sizes: Vec<usize> = arg(1, "1,4,16,64,512")
            .split(',')
            .map(|m| m.parse().expect("rows"))
            .collect();
        let shapes = shapes(&arg(2, "2048x2048,256x2048,5632x2048,2048x5632,32000x2048"));
        let hot = arg(3, "cold") == "hot";
        let isa = Isa::from_env().expect("an instruction set");
        let memory = memory();
        let memory = bytemuck::cast_slice::<u8, u64>(&memory);
        println!("{isa:?}");
        for format in formats {
            for &(n, k) in &shapes {
                let rows = rows(format, n, k);
                let pack =
                    || PackedMatrix::pack(&Sequential, format, n, k, &rows).expect("a matrix");
                let copies = if hot { 1 } else { COLD / rows.len() + 1 };
                let copies: Vec<PackedMatrix> = (0..copies).map(|_| pack()).collect();
                for &m in &sizes {
                    let mut x = Activations::new();
                    x.resize(m, k, format.is_quantised());
                    let values: Vec<f32> =
                        (0..m * k).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
                    x.set_rows(isa, &Sequential, &values);
                    let mut out = vec![0.0f32; m * n];
                    let flops = (2 * m * n * k) as f64 * 1e-9;
                    let runs = ((200.0 / flops) as usize).clamp(5, 400).max(copies.len());
                    let peaks = peaks(memory);
                    // a slice of some 100 us at least: reading the clock takes time too
                    let calls = (0.01 / flops).ceil() as usize;
                    let time = best(runs, |run| {
                        for call in 0..calls {
                            let w = &copies[(run * calls + call) % copies.len()];
                            linear_all(isa, &Sequential, w, &x, &mut out);
                            black_box(&out);
                        }
                    }) / calls as f64;
                    let (rate, bytes) = (flops / time, rows.len() as f64 * 1e-9 / time);
                    let peak = if format.is_quantised() {
                        peaks.dots
                    } else {
                        peaks.fma
                    };
                    println!(
                        "{:5} {n:5} x {k:4} m {m:3}: {rate:7.1} GFLOP/s, {:5.1} % of {peak:4.0}; {bytes:5.1} GB/s, {:5.1} % of {:4.1}",
                        format.name(),
                        100.0 * rate / peak,
                        100.0 * bytes / peaks.read,
                        peaks.read,
                    );
                }
            }
        }
    }
}
