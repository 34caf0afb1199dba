//! What a step of a language model costs beside its products with weights, one thread: attention against the fma peak
//! and against a plain read of the same cache, norms, rotations and sampling against a read of their operands. All in
//! one run; ratios matter, absolute figures drift.
//!
//! `cargo run --release -p gavel-numerics --example bench_attention [REPEATS]`

use std::hint::black_box;
use std::ops::Range;
#[cfg(not(unix))]
use std::time::Instant;

use gavel_numerics::kernels::{
    AttentionRows, AttentionShape, Isa, IsaKind, KV_PAGE, KvShape, RopeShape, SamplingParams,
    Sequential, attention, filter, penalties, rms_norm, rope, sample, swiglu, visible,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let repeats = std::env::args()
        .nth(1)
        .map_or(Ok(15), |arg| arg.parse::<usize>())?
        .max(1);
    let bench = Bench {
        isa: Isa::from_env()?,
        repeats,
    };
    println!("isa {}, best of {repeats}", bench.isa.kind());
    bench.attention();
    bench.element_wise();
    bench.sampling();
    Ok(())
}

/// Seconds that this thread has run: a machine that is busy otherwise does not show.
#[cfg(unix)]
fn now() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists on every Unix, and the structure is there to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[cfg(not(unix))]
fn now() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Seconds that `f` takes; short things are repeated.
fn seconds(mut f: impl FnMut()) -> f64 {
    let mut count = 1;
    loop {
        let start = now();
        (0..count).for_each(|_| f());
        let taken = now() - start;
        if taken > 2e-4 {
            return taken / f64::from(count);
        }
        count *= 4;
    }
}

struct Bench {
    isa: Isa,
    repeats: usize,
}

impl Bench {
    /// Least seconds of each of two things, run by turns.
    fn by_turns(&self, mut a: impl FnMut(), mut b: impl FnMut()) -> (f64, f64) {
        let mut best = (f64::INFINITY, f64::INFINITY);
        for _ in 0..self.repeats {
            best.0 = best.0.min(seconds(&mut a));
            best.1 = best.1.min(seconds(&mut b));
        }
        best
    }

    fn attention(&self) {
        println!(
            "{:>32} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "heads / kv x dim, rows at", "us", "GFLOP/s", "/peak", "GB/s", "/read"
        );
        for (heads, kv_heads, head_dim) in [(32, 4, 64), (32, 8, 128), (14, 2, 64), (32, 32, 128)] {
            for (rows, end) in [
                (512, 512),
                (512, 2048),
                (512, 8192),
                (16, 2048),
                (1, 512),
                (1, 2048),
                (1, 8192),
            ] {
                let shape = AttentionShape {
                    kv: KvShape { kv_heads, head_dim },
                    heads,
                    scale: 0.125,
                };
                self.attend(shape, end - rows..end);
            }
        }
    }

    fn attend(&self, shape: AttentionShape, rows: Range<usize>) {
        let page_len = shape.kv.page_len();
        let cache = Aligned::new(rows.end.div_ceil(KV_PAGE) * page_len);
        let pages: Vec<&[f32]> = cache.values().chunks_exact(page_len).collect();
        let ranges: Vec<_> = rows
            .clone()
            .map(|p| visible(p as u64, 0, rows.end))
            .collect();
        let sequence = AttentionRows {
            pages: &pages,
            ranges: &ranges,
        };
        let q = values(rows.len() * shape.heads * shape.kv.head_dim, 5);
        let mut out = vec![0.0; q.len()];
        const ROUNDS: usize = 20_000;
        let (kind, mut lanes) = (self.isa.kind(), 0);
        let mut attend = || {
            attention(self.isa, &Sequential, shape, &[sequence], &q, &mut out);
            black_box(&out);
        };
        let chains = || lanes = black_box(chains(kind, ROUNDS));
        let (first, peak) = self.by_turns(&mut attend, chains);
        let read = || {
            black_box(read_all(kind, cache.values()));
        };
        let (second, read) = self.by_turns(attend, read);
        let seconds = first.min(second);
        let seen: usize = ranges.iter().map(|r| r.len()).sum();
        let flops = 4.0 * (seen * shape.heads * shape.kv.head_dim) as f64;
        let peak = (2 * 12 * ROUNDS * lanes) as f64 / peak;
        let bytes = 4.0 * cache.values().len() as f64;
        println!(
            "{:>32} {:8.0} {:8.1} {:8.2} {:8.1} {:8.2}",
            format!(
                "{} / {} x {}, {} at {}",
                shape.heads,
                shape.kv.kv_heads,
                shape.kv.head_dim,
                rows.len(),
                rows.end
            ),
            seconds * 1e6,
            flops / seconds / 1e9,
            flops / seconds / peak,
            bytes / seconds / 1e9,
            read / seconds
        );
    }

    fn element_wise(&self) {
        println!("{:>32} {:>8} {:>8}", "values", "ns", "/read");
        let (isa, kind, len) = (self.isa, self.isa.kind(), 4096);
        let (x, w) = (values(len, 1), values(len, 2));
        let mut out = vec![0.0; len];
        let table = values(64, 3);
        let show = |name: &str, (ours, read): (f64, f64)| {
            println!("{:>32} {:8.0} {:8.1}", name, ours * 1e9, ours / read);
        };
        let read = || {
            black_box(read_all(kind, black_box(&x)));
        };
        let best = self.by_turns(|| rms_norm(isa, black_box(&x), &w, 1e-5, &mut out), read);
        show("rms_norm 4096", best);
        let best = self.by_turns(|| swiglu(isa, black_box(&x), &w, &mut out), read);
        show("swiglu 4096", best);
        for halves in [false, true] {
            let shape = RopeShape {
                head_dim: 64,
                halves,
                rotary: 64,
            };
            out.copy_from_slice(&x);
            let best = self.by_turns(|| rope(isa, shape, &table, black_box(&mut out)), read);
            show(
                if halves {
                    "rope 4096, halves"
                } else {
                    "rope 4096"
                },
                best,
            );
        }
    }

    fn sampling(&self) {
        println!("{:>32} {:>8} {:>8}", "sampling", "us", "/read");
        let (isa, kind) = (self.isa, self.isa.kind());
        let greedy = SamplingParams::default();
        let warm = SamplingParams {
            temperature: 0.8,
            seed: 7,
            ..greedy
        };
        let top_k = SamplingParams { top_k: 40, ..warm };
        let top_p = SamplingParams {
            top_p: 0.95,
            ..warm
        };
        let every = SamplingParams {
            top_p: 0.95,
            min_p: 0.05,
            repetition: 1.1,
            ..top_k
        };
        let history: Vec<i32> = (0..2048).map(|i| i * 7919 % 30000).collect();
        for vocabulary in [32_000, 151_936] {
            // of the shape of a model's: probability falls with a power of the rank
            let mut x: Vec<f32> = (1..=vocabulary).map(|n| -1.5 * (n as f32).ln()).collect();
            for (i, v) in values(vocabulary, 9).iter().enumerate() {
                x.swap(
                    i,
                    ((v + 1.0) / 2.0 * vocabulary as f32) as usize % vocabulary,
                );
            }
            let mut y = x.clone();
            for (name, params) in [
                ("greedy", greedy),
                ("temperature", warm),
                ("top-k", top_k),
                ("top-p", top_p),
                ("all, penalties", every),
            ] {
                let (seconds, read) = self.by_turns(
                    || {
                        y.copy_from_slice(&x);
                        penalties(&mut y, &history, &params);
                        filter(isa, &mut y, &params);
                        black_box(sample(isa, &y, 2048, &params));
                    },
                    || {
                        black_box(read_all(kind, black_box(&x)));
                    },
                );
                println!(
                    "{:>32} {:8.1} {:8.1}",
                    format!("{vocabulary}, {name}"),
                    seconds * 1e6,
                    seconds / read
                );
            }
        }
    }
}

/// Values from a multiple of 64 bytes on.
struct Aligned {
    buffer: Vec<f32>,
    skip: usize,
}

impl Aligned {
    fn new(len: usize) -> Aligned {
        let buffer = values(len + 16, 3);
        let skip = buffer.as_ptr().align_offset(64).min(16);
        Aligned { buffer, skip }
    }

    fn values(&self) -> &[f32] {
        &self.buffer[self.skip..self.buffer.len() - 16 + self.skip]
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

/// Twelve independent register-only fma chains: what the core can do at best. Returns the lanes.
fn chains(kind: IsaKind, rounds: usize) -> usize {
    match kind {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `kind` was taken from an `Isa`, which proves the instructions.
        IsaKind::Avx2 => unsafe { x86::chains_avx2(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        IsaKind::Avx512 => unsafe { x86::chains_avx512(rounds) },
        _ => chains_scalar(rounds),
    }
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

/// Reads all of it and returns something that depends on it.
fn read_all(kind: IsaKind, x: &[f32]) -> u32 {
    match kind {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `kind` was taken from an `Isa`, which proves the instructions.
        IsaKind::Avx2 => unsafe { x86::read_avx2(x) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        IsaKind::Avx512 => unsafe { x86::read_avx512(x) },
        _ => read(x),
    }
}

#[inline(always)]
fn read(x: &[f32]) -> u32 {
    let mut bits = [0u32; 128];
    for block in x.as_chunks::<128>().0 {
        for (to, from) in bits.iter_mut().zip(block) {
            *to |= from.to_bits();
        }
    }
    bits.iter().fold(0, |a, b| a | b)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn chains_avx2(rounds: usize) -> usize {
        let m = _mm256_set1_ps(black_box(0.999));
        let mut t = [_mm256_set1_ps(black_box(1.0)); 12];
        for _ in 0..rounds {
            for x in &mut t {
                *x = _mm256_fmadd_ps(*x, m, m);
            }
        }
        black_box(t);
        8
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn chains_avx512(rounds: usize) -> usize {
        let m = _mm512_set1_ps(black_box(0.999));
        let mut t = [_mm512_set1_ps(black_box(1.0)); 12];
        for _ in 0..rounds {
            for x in &mut t {
                *x = _mm512_fmadd_ps(*x, m, m);
            }
        }
        black_box(t);
        16
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn read_avx2(x: &[f32]) -> u32 {
        super::read(x)
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn read_avx512(x: &[f32]) -> u32 {
        super::read(x)
    }
}
