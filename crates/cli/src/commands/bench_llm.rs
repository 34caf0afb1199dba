//! `gavel bench llm`: how fast a language model is read and answered, beside what the machine can do.

use std::time::{Duration, Instant};

use gavel_engine::Timing;
use gavel_engine::lm::{Sequence, SequenceOptions};
use gavel_model::llama::Matrix;
use gavel_numerics::WeightFormat;
use gavel_numerics::kernels::SamplingParams;
use serde_json::{Value, json};

use super::machine::{Limits, cpu_time};
use crate::args_language::BenchLlmArgs;
use crate::failure::{Exit, Failure};
use crate::language::{Session, rate};
use crate::output::{DIM, Output, count, paint, time};

/// Tokens that warm up.
const WARM: usize = 32;
/// Prompt and answer at which verifying is measured.
const VERIFIED: (usize, usize) = (128, 256);

pub(crate) fn run(args: &BenchLlmArgs, out: Output) -> Result<Exit, Failure> {
    let mut session = Session::open(&args.language)?;
    let (prompt, decode) = sizes(args, &session)?;
    let mut draw = Draw(args.seed, session.model.config.vocabulary);
    let tokens: Vec<i32> = (0..prompt).map(|_| draw.token()).collect();
    out.progress(format!(
        "measuring {prompt} tokens of prompt and {decode} behind them"
    ));
    measured(&mut session, &tokens[..prompt.min(WARM)], 1, false)?;
    let plain = measured(&mut session, &tokens, decode, false)?;
    let traced = measured(&mut session, &tokens, decode, true)?;
    let verified = match args.verify {
        true => Some(verified(&mut session, &mut draw, out)?),
        false => None,
    };
    let rss = gavel_engine::resident::peak_bytes();
    let limits = Limits::measure(session.engine.isa(), session.engine.threads());
    let work = Work::of(&session);
    let report = Report {
        session: &session,
        plain,
        traced,
        verified,
        rss,
        limits,
        work,
    };
    report.show(out);
    out.next(format!(
        "gavel bench llm {} --threads 1 --verify",
        session.name
    ));
    out.json(&report.as_json())?;
    Ok(Exit::Done)
}

/// Tokens of prompt and answer: those asked for, or the usual ones that fit.
fn sizes(args: &BenchLlmArgs, session: &Session) -> Result<(usize, usize), Failure> {
    let context = session.context();
    let decode = args
        .decode
        .map_or((context / 5).clamp(1, 128), |n| n as usize);
    let room = context.saturating_sub(decode);
    let prompt = args.prompt.map_or(room.clamp(1, 512), |n| n as usize);
    match prompt + decode <= context {
        true => Ok((prompt, decode)),
        false => Err(Failure::usage(format!(
            "{prompt} tokens of prompt and {decode} behind them do not fit the context of {context}"
        ))
        .expected("fewer of them, or a longer --context")),
    }
}

/// Tokens without meaning: SplitMix64.
struct Draw(u64, u32);

impl Draw {
    fn token(&mut self) -> i32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % u64::from(self.1.max(1))) as i32
    }
}

/// A part of a run.
#[derive(Clone, Copy, Default)]
struct Phase {
    tokens: usize,
    wall: Duration,
    cpu: Option<Duration>,
    timing: Timing,
}

impl Phase {
    fn rate(&self) -> f64 {
        rate(self.tokens, self.wall)
    }

    /// Hashing's share of the whole.
    fn hashing(&self) -> f64 {
        let hashing = self.timing.hashing.as_secs_f64();
        let all = hashing + self.timing.compute.as_secs_f64();
        if all > 0.0 { hashing / all } else { 0.0 }
    }

    fn cpu_seconds(&self) -> Option<f64> {
        self.cpu.map(|t| t.as_secs_f64())
    }
}

/// Prefill and decode.
#[derive(Clone, Copy)]
struct Both {
    prefill: Phase,
    decode: Phase,
}

/// Runs a prompt and `decode` steps behind it, whatever tokens come.
fn measured(
    session: &mut Session,
    prompt: &[i32],
    decode: usize,
    trace: bool,
) -> Result<Both, Failure> {
    let mut options = SequenceOptions::default();
    options.trace = trace;
    options.steps = Some(prompt.len() + decode);
    let mut sequence = opened(session, prompt, &options)?;
    let prefill = phase(session, &mut sequence, prompt.len())?;
    let decode = phase(session, &mut sequence, prompt.len() + decode)?;
    Ok(Both { prefill, decode })
}

fn opened(
    session: &Session,
    prompt: &[i32],
    options: &SequenceOptions,
) -> Result<Sequence, Failure> {
    let params = SamplingParams::default();
    let opened = session.engine.open(prompt, params, options);
    opened.map_err(|e| session.failed(&e))
}

/// Goes on until so many steps are done.
fn phase(session: &mut Session, sequence: &mut Sequence, steps: usize) -> Result<Phase, Failure> {
    let (before, timing, cpu) = (sequence.steps(), sequence.timing(), cpu_time());
    let start = Instant::now();
    while sequence.steps() < steps && !sequence.is_finished() {
        let advanced = session.engine.advance(&mut [&mut *sequence]);
        advanced.map_err(|e| session.failed(&e))?;
    }
    let wall = start.elapsed();
    let after = sequence.timing();
    Ok(Phase {
        tokens: sequence.steps() - before,
        wall,
        cpu: cpu.zip(cpu_time()).map(|(a, b)| b.saturating_sub(a)),
        timing: Timing {
            compute: after.compute.saturating_sub(timing.compute),
            hashing: after.hashing.saturating_sub(timing.hashing),
            input_hashing: Duration::ZERO,
        },
    })
}

/// Generating and verifying the same tokens, both with their trace.
#[derive(Clone, Copy)]
struct Verified {
    prompt: usize,
    tokens: usize,
    generate: Phase,
    verify: Phase,
}

fn verified(session: &mut Session, draw: &mut Draw, out: Output) -> Result<Verified, Failure> {
    let context = session.context();
    let prompt = VERIFIED.0.min(context / 3).max(1);
    let tokens = VERIFIED.1.min(context - prompt);
    out.progress(format!(
        "generating and verifying {tokens} tokens behind {prompt}"
    ));
    let asked: Vec<i32> = (0..prompt).map(|_| draw.token()).collect();
    let steps = prompt + tokens - 1;
    let mut options = SequenceOptions::traced();
    options.steps = Some(steps);
    let mut sequence = opened(session, &asked, &options)?;
    let generate = phase(session, &mut sequence, steps)?;
    options.claimed = sequence.generated().to_vec();
    let mut sequence = opened(session, &asked, &options)?;
    let verify = phase(session, &mut sequence, steps)?;
    match sequence.difference() {
        None => Ok(Verified {
            prompt,
            tokens,
            generate,
            verify,
        }),
        Some(found) => Err(Failure::new(format!(
            "token {} was generated as {} and verified as {}",
            found.index, found.claimed, found.sampled
        ))),
    }
}

/// Multiplications of a token.
struct Work {
    /// By the matrices of all layers.
    layers: u64,
    /// By the head, which the last token of a prompt alone needs.
    head: u64,
    /// Whether most of them are of bytes.
    int8: bool,
}

impl Work {
    fn of(session: &Session) -> Work {
        let (model, roles) = (&session.model.model, &session.model.roles);
        let values = |matrix: Matrix| {
            let weight = model.weights().get(matrix.weight as usize);
            match weight.map(|w| w.value.ty().dims.as_slice()) {
                Some(&[rows, extent]) if matrix.format == WeightFormat::F32 => rows * extent,
                Some(&[rows, extent]) => {
                    let row = matrix.format.row_values(extent as usize);
                    rows * row.unwrap_or(0) as u64
                }
                _ => 0,
            }
        };
        let all: Vec<Matrix> = roles
            .layers
            .iter()
            .flat_map(|l| [l.query, l.key, l.value, l.output, l.gate, l.up, l.down])
            .collect();
        let quantised = all.iter().filter(|m| m.format.is_quantised());
        let (layers, bytes) = (
            all.iter().copied().map(values).sum(),
            quantised.copied().map(values).sum::<u64>(),
        );
        Work {
            layers,
            head: values(roles.head),
            int8: 2 * bytes > layers,
        }
    }

    /// Multiplications and additions of a prompt.
    fn of_prompt(&self, tokens: usize) -> f64 {
        2.0 * (self.layers as f64 * tokens as f64 + self.head as f64)
    }
}

/// Everything that was measured.
struct Report<'a> {
    session: &'a Session,
    plain: Both,
    traced: Both,
    verified: Option<Verified>,
    rss: Option<u64>,
    limits: Limits,
    work: Work,
}

impl Report<'_> {
    /// Bytes of weights that decoding reads a second.
    fn decode_bytes(&self) -> f64 {
        self.session.engine.weight_bytes() as f64 * self.plain.decode.rate()
    }

    /// Operations that prefill does a second.
    fn prefill_operations(&self) -> f64 {
        let phase = &self.plain.prefill;
        self.work.of_prompt(phase.tokens) / phase.wall.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Kind and value of the limit of prefill.
    fn prefill_limit(&self) -> (&'static str, f64) {
        match self.work.int8 {
            true => ("int8", self.limits.int8),
            false => ("f32", self.limits.float),
        }
    }

    fn show(&self, out: Output) {
        let engine = &self.session.engine;
        let model_id = self.session.model.model.model_id();
        let (kind, limit) = self.prefill_limit();
        let plural = if engine.threads() == 1 { "" } else { "s" };
        out.facts(&[
            (
                "model",
                format!("{} {}", self.session.name, paint(DIM, model_id)),
            ),
            (
                "machine",
                format!(
                    "{}, {} thread{plural}",
                    engine.isa().kind(),
                    engine.threads()
                ),
            ),
            (
                "weights",
                format!("{} bytes read a token", count(engine.weight_bytes())),
            ),
            (
                "memory",
                self.rss.map_or("not known".to_owned(), |n| {
                    format!("{:.0} MB at most", n as f64 / 1e6)
                }),
            ),
        ]);
        out.line("");
        let row = |name: &str, phase: &Phase, of: String| {
            vec![
                name.to_owned(),
                phase.tokens.to_string(),
                time(phase.wall),
                phase.cpu.map_or(String::new(), time),
                format!("{:.1}", phase.rate()),
                of,
            ]
        };
        let hashing = |phase: &Phase| format!("{:.2} % of it hashing", 100.0 * phase.hashing());
        let mut rows = vec![
            row(
                "prefill",
                &self.plain.prefill,
                format!(
                    "{:.1} % of {:.0} Gop/s {kind}",
                    100.0 * self.prefill_operations() / limit,
                    limit / 1e9
                ),
            ),
            row(
                "decode",
                &self.plain.decode,
                format!(
                    "{:.1} % of {:.1} GB/s read",
                    100.0 * self.decode_bytes() / self.limits.read,
                    self.limits.read / 1e9
                ),
            ),
            row(
                "prefill, traced",
                &self.traced.prefill,
                hashing(&self.traced.prefill),
            ),
            row(
                "decode, traced",
                &self.traced.decode,
                hashing(&self.traced.decode),
            ),
        ];
        if let Some(found) = &self.verified {
            rows.push(row(
                "generate",
                &found.generate,
                format!("{} of them sampled", found.tokens),
            ));
            rows.push(row(
                "verify",
                &found.verify,
                format!("{:.3} of generating", found.ratio()),
            ));
        }
        out.table(
            &["", "tokens", "wall", "CPU", "tokens/s", ""],
            rows,
            &[1, 2, 3, 4],
        );
        out.line(paint(
            DIM,
            "Limits are loops of the same instructions and a plain read of memory, measured in this run.",
        ));
    }

    fn as_json(&self) -> Value {
        let engine = &self.session.engine;
        let (kind, limit) = self.prefill_limit();
        let (prefill, decode) = (&self.plain.prefill, &self.plain.decode);
        json!({
            "model": self.session.name,
            "model_id": self.session.model.model.model_id(),
            "context": self.session.context(),
            "isa": engine.isa().kind().name(),
            "threads": engine.threads(),
            "load_seconds": self.session.load.as_secs_f64(),
            "prompt": prefill.tokens,
            "decode": decode.tokens,
            "prefill_tokens_per_second": prefill.rate(),
            "decode_tokens_per_second": decode.rate(),
            "prefill_seconds": prefill.wall.as_secs_f64(),
            "decode_seconds": decode.wall.as_secs_f64(),
            "prefill_cpu_seconds": prefill.cpu_seconds(),
            "decode_cpu_seconds": decode.cpu_seconds(),
            "peak_rss_bytes": self.rss,
            "weight_bytes_per_token": engine.weight_bytes(),
            "traced": {
                "prefill_tokens_per_second": self.traced.prefill.rate(),
                "decode_tokens_per_second": self.traced.decode.rate(),
                "prefill_cpu_seconds": self.traced.prefill.cpu_seconds(),
                "decode_cpu_seconds": self.traced.decode.cpu_seconds(),
                "prefill_hashing_share": self.traced.prefill.hashing(),
                "decode_hashing_share": self.traced.decode.hashing(),
            },
            "limits": {
                "read_bytes_per_second": self.limits.read,
                "int8_operations_per_second": self.limits.int8,
                "f32_operations_per_second": self.limits.float,
            },
            "decode_bytes_per_second": self.decode_bytes(),
            "decode_read_share": self.decode_bytes() / self.limits.read,
            "prefill_operations_per_second": self.prefill_operations(),
            "prefill_limit": kind,
            "prefill_limit_share": self.prefill_operations() / limit,
            "verify": self.verified.as_ref().map(|v| json!({
                "prompt": v.prompt, "tokens": v.tokens,
                "generate_seconds": v.generate.wall.as_secs_f64(),
                "verify_seconds": v.verify.wall.as_secs_f64(),
                "generate_cpu_seconds": v.generate.cpu_seconds(),
                "verify_cpu_seconds": v.verify.cpu_seconds(),
                "ratio": v.ratio(),
            })),
        })
    }
}

impl Verified {
    /// Verifying over generating.
    fn ratio(&self) -> f64 {
        self.verify.wall.as_secs_f64() / self.generate.wall.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}
