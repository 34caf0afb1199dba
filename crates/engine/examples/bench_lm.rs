//! Prefill and decode of a GGUF file: `cargo run --release -p gavel-engine --example bench_lm -- FILE [threads] [prompt]
//! [decode] [repeats]`. Runs with and without a trace alternate.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use gavel_engine::lm::{LanguageEngine, LanguageOptions, Phase, SequenceOptions};
use gavel_engine::resident;
use gavel_model::llama::{ImportOptions, from_gguf};
use gavel_model::{Hashing, gguf::Gguf, map};
use gavel_numerics::kernels::{SamplingParams, Sequential};

fn rss() -> f64 {
    resident::peak_bytes().map_or(0.0, |bytes| bytes as f64 / f64::from(1 << 30))
}

/// Seconds that the processor has given to all threads of this process; a busy machine does not show in it.
fn cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let spent = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<f64>().ok()
    });
    spent.sum::<f64>() / 1e9
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).map_or(default, |a| a.parse().unwrap());
    let (threads, prompt, decode, repeats) =
        (number(1, 1), number(2, 512), number(3, 128), number(4, 3));
    let start = Instant::now();
    let bytes = map(args[0].as_ref()).unwrap();
    let mut import = ImportOptions::default();
    import.context = Some(2048);
    let mut hashing = Hashing {
        parallel: &Sequential,
        progress: &mut |_| {},
    };
    let model = from_gguf(&Gguf::parse(bytes).unwrap(), &import, &mut hashing).unwrap();
    let read = start.elapsed();
    println!(
        "read and hashed in {:.2} s, rss {:.2} GiB",
        read.as_secs_f64(),
        rss()
    );
    let mut options = LanguageOptions::default();
    options.threads = threads;
    let start = Instant::now();
    let mut engine = LanguageEngine::new(Arc::new(model), &options, &mut |_| {}).unwrap();
    println!(
        "packed in {:.2} s, rss {:.2} GiB",
        start.elapsed().as_secs_f64(),
        rss()
    );
    let vocabulary = engine.model().config.vocabulary as usize;
    let tokens: Vec<i32> = (0..prompt)
        .map(|i| ((i * 7919 + 13) % vocabulary) as i32)
        .collect();
    let params = SamplingParams {
        max_new_tokens: decode as u64,
        ..SamplingParams::default()
    };
    for _ in 0..repeats {
        for trace in [false, true] {
            let mut options = SequenceOptions::default();
            options.trace = trace;
            let mut sequence = engine.open(&tokens, params, &options).unwrap();
            engine.take_phases();
            let (start, on) = (Instant::now(), cpu());
            while sequence.steps() < prompt {
                engine.advance(&mut [&mut sequence]).unwrap();
            }
            let prefill = start.elapsed().as_secs_f64();
            let hashed = sequence.timing().hashing.as_secs_f64();
            report(
                "prefill",
                trace,
                prompt,
                [prefill, cpu() - on],
                hashed,
                &mut engine,
            );
            let (start, on) = (Instant::now(), cpu());
            while !sequence.is_finished() {
                engine.advance(&mut [&mut sequence]).unwrap();
            }
            let spent = start.elapsed().as_secs_f64();
            let hashed = sequence.timing().hashing.as_secs_f64() - hashed;
            report(
                "decode ",
                trace,
                decode.saturating_sub(1),
                [spent, cpu() - on],
                hashed,
                &mut engine,
            );
        }
    }
    let (start, on) = (Instant::now(), cpu());
    let options = SequenceOptions::default();
    let made = engine
        .generate(
            &tokens,
            params,
            &options,
            &mut |_| ControlFlow::Continue(()),
        )
        .unwrap();
    let generate = [start.elapsed().as_secs_f64(), cpu() - on];
    let (start, on) = (Instant::now(), cpu());
    let checked = engine.verify(&tokens, &made.tokens, params, false).unwrap();
    let verify = [start.elapsed().as_secs_f64(), cpu() - on];
    println!(
        "verify {:?}: {:.3} of generating ({:.3} by processor time); rss {:.2} GiB",
        checked.verdict,
        verify[0] / generate[0],
        verify[1] / generate[1],
        rss()
    );
}

fn report(
    what: &str,
    trace: bool,
    rows: usize,
    [spent, on]: [f64; 2],
    hashed: f64,
    engine: &mut LanguageEngine,
) {
    let phases = engine.take_phases();
    let share = |i: usize| 100.0 * phases[i].as_secs_f64() / spent;
    let shares: Vec<String> = Phase::ALL
        .iter()
        .enumerate()
        .map(|(i, phase)| format!("{} {:.1}%", phase.name(), share(i)))
        .collect();
    println!(
        "{what} trace {} {:7.1} tok/s ({:.1} by processor time), weights {:.1} GB/s, hashing {:.2}% | {}",
        u8::from(trace),
        rows as f64 / spent,
        rows as f64 / on,
        rows as f64 / spent * engine.weight_bytes() as f64 / 1e9,
        100.0 * hashed / spent,
        shares.join(", ")
    );
}
