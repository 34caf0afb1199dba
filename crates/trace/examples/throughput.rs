//! Throughput of the tensor digest against plain SHA-256, in one run, one thread.
//!
//! `cargo run --release -p gavel-trace --example throughput [MIB]`
//!
//! A chunk of 1 KiB costs 17 compressions for its leaf and 2 for its share of the tree, against 16
//! for the bytes alone: 16/19 = 0.84 is the ratio of one stream. Two interleaved streams do better.

use gavel_trace::{Digest, node, tensor_digest};
use sha2::{Digest as _, Sha256};
use std::{hint::black_box, time::Instant};

fn best_of<T>(rounds: u32, mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn main() {
    let mib: usize = std::env::args()
        .nth(1)
        .and_then(|a| a.parse().ok())
        .unwrap_or(16);
    let len = mib.clamp(1, 1024) << 20;
    let bytes: Vec<u8> = (0..len).map(|i| ((i * 31) >> 5) as u8).collect();
    let plain = best_of(7, || Sha256::digest(black_box(&bytes)));
    let tree = best_of(7, || tensor_digest(4, &[len as u64], black_box(&bytes)));
    let count = 100_000;
    let (l, r) = (Digest([1; 32]), Digest([2; 32]));
    let nodes = best_of(7, || (0..count).fold(l, |left, _| node(&left, &r)));
    let generic = best_of(7, || {
        (0..count).fold(l, |left, _| {
            let hasher = Sha256::new()
                .chain_update([1])
                .chain_update(left.0)
                .chain_update(r.0);
            Digest(hasher.finalize().into())
        })
    });
    let gb = |seconds: f64| len as f64 / seconds / 1e9;
    println!("plain SHA-256   {:6.2} GB/s", gb(plain));
    println!(
        "tensor digest   {:6.2} GB/s   ratio {:.3} (one stream allows 0.842)",
        gb(tree),
        plain / tree
    );
    println!(
        "node            {:6.1} ns     {:.2}x the generic hasher",
        nodes / f64::from(count) * 1e9,
        generic / nodes
    );
}
