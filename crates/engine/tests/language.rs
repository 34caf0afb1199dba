//! The fast runtime of language models has the bits of their step graph run node by node, whatever rows share a pass,
//! on any number of threads and any instruction set.
//!
//! `GAVEL_EXHAUSTIVE=1` draws 10,000 runs and more; `GAVEL_SEED` starts elsewhere.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::sync::Arc;

use gavel_engine::lm::{
    Event, LanguageEngine, LanguageError, LanguageOptions, Scheduler, SequenceOptions, Verdict,
};
use gavel_engine::{Engine, EngineOptions, NodeObserver, RunOutput};
use gavel_model::llama::{
    Architecture, Formats, LanguageModel, LlamaConfig, Rope, prompt_of, random, task_inputs, tiny,
};
use gavel_numerics::kernels::{Isa, SamplingParams};
use gavel_numerics::{Tensor, WeightFormat};
use gavel_trace::CommitPoint;

/// The generator of the draws: SplitMix64.
struct Draw(u64);

impl Draw {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From `low` to `high`, both included.
    fn from(&mut self, low: usize, high: usize) -> usize {
        low + (self.word() % (high - low + 1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.from(0, of.len() - 1)]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.from(1, n) == 1
    }
}

fn config(draw: &mut Draw) -> LlamaConfig {
    let architecture = draw.pick(&Architecture::ALL);
    let base = tiny(architecture);
    let head_dim = draw.pick(&[8, 16, 20, 32, 40, 64]);
    let kv_heads = draw.from(1, 3) as u32;
    let vocabulary = draw.from(3, 150) as u32;
    LlamaConfig {
        context: draw.pick(&[2, 7, 31, 63, 64, 65, 90, 140]),
        vocabulary,
        width: draw.pick(&[32, 48, 64, 256]),
        hidden: draw.pick(&[32, 40, 96, 256]),
        layers: draw.from(1, 5) as u32,
        heads: kv_heads * draw.from(1, 4) as u32,
        kv_heads,
        head_dim,
        window: draw.pick(&[0, 0, 1, 5, 64, 70]),
        bias: draw.one_in(3),
        head_norms: draw.one_in(3),
        tied: draw.one_in(3),
        rope: Rope {
            halves: draw.one_in(2),
            rotary: draw.pick(&[2, head_dim / 4 * 2, head_dim]),
            ..base.rope.clone()
        },
        bos: None,
        end: (0..draw.from(0, 2))
            .map(|_| draw.from(0, vocabulary as usize - 1) as i32)
            .collect(),
        ..base
    }
}

/// A format whose blocks rows of `k` values are made of.
fn format(draw: &mut Draw, k: u32) -> WeightFormat {
    loop {
        let format = draw.pick(&WeightFormat::ALL);
        if (k as usize).is_multiple_of(format.block_values()) {
            return format;
        }
    }
}

fn formats(draw: &mut Draw, config: &LlamaConfig) -> Formats {
    let mut formats = Formats::uniform(config, WeightFormat::F32);
    let (width, query, hidden) = (config.width, config.query_width(), config.hidden);
    formats.embedding = format(draw, width);
    formats.head = format(draw, width);
    let uniform = [width, query, hidden].map(|k| format(draw, k));
    for layer in &mut formats.layers {
        let mixed = draw.one_in(3);
        let mut of = |k: u32, i: usize| match mixed {
            true => format(draw, k),
            false => uniform[i],
        };
        layer.query = of(width, 0);
        layer.key = of(width, 0);
        layer.value = of(width, 0);
        layer.gate = of(width, 0);
        layer.up = of(width, 0);
        layer.output = of(query, 1);
        layer.down = of(hidden, 2);
    }
    formats
}

fn params(draw: &mut Draw, context: usize) -> SamplingParams {
    let greedy = draw.one_in(3);
    SamplingParams {
        max_new_tokens: draw.from(0, context) as u64,
        seed: draw.word(),
        temperature: if greedy {
            0.0
        } else {
            draw.pick(&[0.3, 1.0, 2.0])
        },
        top_k: draw.pick(&[0, 0, 1, 5, 40]),
        top_p: draw.pick(&[1.0, 0.9, 0.3]),
        min_p: draw.pick(&[0.0, 0.05]),
        repetition: draw.pick(&[1.0, 1.1]),
        frequency: draw.pick(&[0.0, 0.2]),
        presence: draw.pick(&[0.0, -0.3]),
        ..SamplingParams::default()
    }
}

/// Keeps the logits of every step.
struct Logits {
    node: usize,
    steps: Vec<Vec<f32>>,
}

impl NodeObserver for Logits {
    fn after_node(&mut self, _item: usize, node: usize, output: &mut Tensor) {
        if node == self.node {
            self.steps.push(output.as_f32().unwrap().to_vec());
        }
    }
}

/// A sequence with what the step graph, run node by node, makes of it.
struct Case {
    prompt: Vec<i32>,
    params: SamplingParams,
    generated: Vec<i32>,
    run: RunOutput,
    logits: Vec<Vec<f32>>,
}

fn case(draw: &mut Draw, oracle: &Engine, model: &LanguageModel) -> Case {
    let config = &model.config;
    let context = config.context as usize;
    let longest = if draw.one_in(4) {
        context
    } else {
        context.min(20)
    };
    let len = draw.from(1, longest);
    let mut prompt: Vec<i32> = (0..len)
        .map(|_| draw.from(0, config.vocabulary as usize - 1) as i32)
        .collect();
    if draw.one_in(10) {
        prompt[len / 2] = draw.pick(&[-1, i32::MIN, i32::MAX, config.vocabulary as i32]);
    }
    let params = params(draw, context);
    let inputs = task_inputs(&model.model, &prompt, params).unwrap();
    let mut observer = Logits {
        node: model.roles.logits_node as usize,
        steps: Vec::new(),
    };
    let run = oracle
        .run_observed(&model.model, &inputs, &mut observer)
        .unwrap();
    let (found, params) = prompt_of(&model.model, &inputs).unwrap();
    assert_eq!((&found, params.prompt_len), (&prompt, len as u64));
    let tokens = run.outputs[2].data();
    let gavel_numerics::Data::I32(tokens) = tokens else {
        unreachable!()
    };
    let known = (run.trace.steps() as usize + 1).max(len);
    Case {
        generated: tokens[len..known].to_vec(),
        prompt,
        params,
        run,
        logits: observer.steps,
    }
}

fn engine(draw: &mut Draw, model: &Arc<LanguageModel>) -> LanguageEngine {
    let mut options = LanguageOptions::default();
    options.threads = draw.from(1, 4);
    options.isa = Some(draw.pick(&Isa::available()));
    options.rows = draw.pick(&[1, 2, 7, 17, 40, 200]);
    LanguageEngine::new(Arc::clone(model), &options, &mut |_| {}).unwrap()
}

fn same(found: &RunOutput, case: &Case) {
    assert_eq!(found.trace.input_digest, case.run.trace.input_digest);
    assert_eq!(found.trace.leaves(), case.run.trace.leaves());
    assert_eq!(found.trace, case.run.trace);
    assert_eq!(found.outputs, case.run.outputs);
}

/// All cases together, coming at random times.
fn together(draw: &mut Draw, engine: &mut LanguageEngine, cases: &[Case]) {
    let mut scheduler = Scheduler::new();
    let mut tokens = vec![Vec::new(); cases.len()];
    let (mut next, mut left) = (0, cases.len());
    while left > 0 {
        while next < cases.len() && (scheduler.is_idle() || draw.one_in(2)) {
            let case = &cases[next];
            let options = SequenceOptions::traced();
            let sequence = engine.open(&case.prompt, case.params, &options).unwrap();
            scheduler.add(engine, next, sequence).unwrap();
            next += 1;
        }
        for event in scheduler.step(engine).unwrap() {
            match event {
                Event::Tokens { key, tokens: new } => tokens[key].extend(new),
                Event::Finished { key, sequence } => {
                    let case = &cases[key];
                    assert_eq!(sequence.generated(), case.generated);
                    assert_eq!(tokens[key], case.generated);
                    same(&engine.finish(*sequence).unwrap().unwrap(), case);
                    left -= 1;
                }
            }
        }
    }
}

/// Claims: the right one, one with another token, one that is too short or too long.
fn claims(draw: &mut Draw, engine: &mut LanguageEngine, case: &Case, vocabulary: u32) {
    let (prompt, params, claim) = (&case.prompt, case.params, &case.generated);
    let right = engine.verify(prompt, claim, params, true).unwrap();
    assert_eq!(right.verdict, Verdict::Match);
    same(&right.run.unwrap(), case);
    if claim.is_empty() {
        return;
    }
    let at = draw.from(0, claim.len() - 1);
    let mut wrong = claim.clone();
    wrong[at] = (wrong[at] + 1) % vocabulary as i32;
    match engine
        .verify(prompt, &wrong, params, false)
        .unwrap()
        .verdict
    {
        Verdict::Differs(found) => {
            assert_eq!(found.index, prompt.len() + at);
            assert_eq!((found.claimed, found.sampled), (wrong[at], claim[at]));
        }
        other => panic!("{other:?}"),
    }
    if claim.len() > 1 {
        let short = &claim[..claim.len() - 1];
        let found = engine.verify(prompt, short, params, false).unwrap();
        assert_eq!(found.verdict, Verdict::GoesOn);
    }
    if prompt.len() + claim.len() < engine.model().config.context as usize {
        let long: Vec<i32> = claim.iter().chain([&0]).copied().collect();
        let found = engine.verify(prompt, &long, params, false).unwrap();
        let end = prompt.len() + claim.len() - 1;
        assert_eq!(found.verdict, Verdict::StopsAt(end));
    }
}

fn logits(engine: &mut LanguageEngine, case: &Case) {
    let tokens: Vec<i32> = case.prompt.iter().chain(&case.generated).copied().collect();
    let steps = case.logits.len();
    let found = engine.logits(&tokens[..steps]).unwrap();
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for (step, expected) in case.logits.iter().enumerate() {
        let row = &found[step * expected.len()..][..expected.len()];
        assert_eq!(bits(row), bits(expected), "logits of step {step}");
    }
}

/// One segment of one step, rebuilt.
fn retraced(draw: &mut Draw, engine: &mut LanguageEngine, oracle: &Engine, case: &Case) {
    let model = Arc::clone(engine.model());
    let leaf = draw.from(0, case.run.trace.leaves().len() - 1);
    let points = model.model.header().commit_points;
    let at = CommitPoint::at_leaf(leaf as u64, points).unwrap();
    let (prompt, params) = (&case.prompt, case.params);
    let live = engine
        .live_before(oracle, prompt, &case.generated, params, at)
        .unwrap();
    let inputs = task_inputs(&model.model, prompt, params).unwrap();
    let expected = oracle.live_before(&model.model, &inputs, at, None).unwrap();
    assert_eq!(live, expected);
    let fine = engine
        .fine_trace(oracle, prompt, &case.generated, params, at)
        .unwrap();
    assert_eq!(fine.trace.live_root(), case.run.trace.leaves()[leaf]);
}

/// A model, some sequences, and `rounds` ways to run them; the number of runs.
fn round(seed: u64, rounds: usize) -> usize {
    let mut draw = Draw(seed);
    let config = config(&mut draw);
    let formats = formats(&mut draw, &config);
    let model = Arc::new(random(&config, &formats, draw.word()).unwrap());
    let oracle = Engine::new(EngineOptions {
        threads: 1,
        ..EngineOptions::default()
    })
    .unwrap();
    let count = draw.from(1, 4);
    let cases: Vec<Case> = (0..count)
        .map(|_| case(&mut draw, &oracle, &model))
        .collect();
    for _ in 0..rounds {
        let mut engine = engine(&mut draw, &model);
        together(&mut draw, &mut engine, &cases);
        let one = draw.from(0, count - 1);
        claims(&mut draw, &mut engine, &cases[one], config.vocabulary);
        logits(&mut engine, &cases[one]);
        if draw.one_in(4) {
            retraced(&mut draw, &mut engine, &oracle, &cases[one]);
        }
    }
    rounds * (count + 2)
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_fast_runtime_has_the_bits_of_the_step_graph() {
    let exhaustive = env("GAVEL_EXHAUSTIVE").is_some_and(|n| n > 0);
    let (least, rounds) = if exhaustive { (10_000, 8) } else { (150, 3) };
    let first = env("GAVEL_SEED").unwrap_or(1);
    let (mut done, mut seed) = (0, first);
    while done < least {
        let run = std::panic::catch_unwind(|| round(seed, rounds));
        match run {
            Ok(runs) => done += runs,
            Err(panic) => {
                eprintln!("GAVEL_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
        seed += 1;
    }
    println!("{done} runs of {} models agree", seed - first);
}

fn small() -> Arc<LanguageModel> {
    let config = LlamaConfig {
        context: 130,
        vocabulary: 50,
        width: 32,
        hidden: 32,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        end: Vec::new(),
        ..tiny(Architecture::Llama)
    };
    let formats = Formats::uniform(&config, WeightFormat::Q8_0);
    Arc::new(random(&config, &formats, 3).unwrap())
}

#[test]
fn tokens_come_one_by_one_and_a_listener_may_end_the_run() {
    let mut options = LanguageOptions::default();
    options.threads = 2;
    let mut engine = LanguageEngine::new(small(), &options, &mut |_| {}).unwrap();
    let params = SamplingParams {
        max_new_tokens: 9,
        ..SamplingParams::default()
    };
    let mut heard = Vec::new();
    let all = engine
        .generate(
            &[1, 2, 3],
            params,
            &SequenceOptions::default(),
            &mut |token| {
                heard.push(token);
                ControlFlow::Continue(())
            },
        )
        .unwrap();
    assert_eq!((heard.len(), &heard), (9, &all.tokens));
    assert!(all.run.is_none());
    let part = engine
        .generate(
            &[1, 2, 3],
            params,
            &SequenceOptions::default(),
            &mut |token| match token == heard[4] {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            },
        )
        .unwrap();
    let first = heard.iter().position(|&token| token == heard[4]).unwrap();
    assert_eq!(part.tokens, heard[..=first]);
}

#[test]
fn a_next_turn_takes_over_what_is_computed() {
    let mut options = LanguageOptions::default();
    options.threads = 1;
    let mut engine = LanguageEngine::new(small(), &options, &mut |_| {}).unwrap();
    let params = SamplingParams {
        max_new_tokens: 6,
        temperature: 1.0,
        repetition: 1.2,
        ..SamplingParams::default()
    };
    let plain = SequenceOptions::default();
    let mut go_on = |_| ControlFlow::Continue(());
    let prompt = [4, 5, 6, 7];
    let first = engine
        .generate(&prompt, params, &plain, &mut go_on)
        .unwrap();
    let whole = [&prompt[..], &first.tokens].concat();
    // longer, the same, shorter, another from its third token on, another altogether
    let longer = [&whole[..], &[9, 9]].concat();
    let turns = [
        &longer[..],
        &whole,
        &whole[..2],
        &[4, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        &[8],
    ];
    for (turn, computed) in turns.into_iter().zip([9, 9, 1, 2, 0]) {
        let mut before = engine.open(&prompt, params, &plain).unwrap();
        while !before.is_finished() {
            engine.advance(&mut [&mut before]).unwrap();
        }
        let mut next = engine.resume(before, turn, params).unwrap();
        assert_eq!(next.steps(), computed, "{turn:?}");
        while !next.is_finished() {
            engine.advance(&mut [&mut next]).unwrap();
        }
        let anew = engine.generate(turn, params, &plain, &mut go_on).unwrap();
        assert_eq!(next.generated(), anew.tokens, "{turn:?}");
    }
    let other = LanguageEngine::new(small(), &options, &mut |_| {}).unwrap();
    let foreign = other.open(&prompt, params, &plain).unwrap();
    let refused = engine.resume(foreign, &prompt, params);
    assert!(matches!(refused, Err(LanguageError::Foreign)));
}

#[test]
fn a_trace_is_had_without_outputs() {
    let mut options = LanguageOptions::default();
    options.threads = 1;
    let mut engine = LanguageEngine::new(small(), &options, &mut |_| {}).unwrap();
    let params = SamplingParams {
        max_new_tokens: 5,
        ..SamplingParams::default()
    };
    let mut go_on = |_| ControlFlow::Continue(());
    let traced = SequenceOptions::traced();
    let whole = engine
        .generate(&[1, 2], params, &traced, &mut go_on)
        .unwrap();
    let (verdict, sequence) = engine.check(&[1, 2], &whole.tokens, params, true).unwrap();
    assert_eq!(verdict, Verdict::Match);
    assert_eq!(
        engine.trace(sequence).unwrap(),
        Some(whole.run.unwrap().trace)
    );
    let (_, sequence) = engine.check(&[1, 2], &whole.tokens, params, false).unwrap();
    assert_eq!(engine.trace(sequence).unwrap(), None);
}

#[test]
fn what_does_not_fit_is_refused_with_words() {
    let model = small();
    let mut options = LanguageOptions::default();
    options.threads = 1;
    // two pages of 64 positions: 2 layers of keys and values of 32
    options.max_cache_bytes = 2 * 64 * 2 * 2 * 32 * 4;
    let mut progress = Vec::new();
    let mut engine = LanguageEngine::new(model, &options, &mut |p| progress.push(p)).unwrap();
    assert_eq!(progress.len(), 2 * 7 + 1);
    assert!(progress.iter().all(|p| p.done <= p.total));
    assert_eq!(progress.last().unwrap().done, engine.weight_bytes());

    let options = SequenceOptions::default();
    let params = SamplingParams::default();
    for len in [0, 131] {
        let refused = engine.open(&vec![1; len], params, &options);
        assert!(
            matches!(refused, Err(LanguageError::Prompt { .. })),
            "{len}"
        );
    }
    let refused = engine.verify(&[1], &[1; 131], params, false);
    assert!(matches!(refused, Err(LanguageError::Steps { .. })));
    for (claimed, steps) in [(130, Some(1)), (130, None), (0, Some(0)), (0, Some(131))] {
        let mut options = SequenceOptions::default();
        (options.claimed, options.steps) = (vec![1; claimed], steps);
        let refused = engine.open(&[1], params, &options);
        assert_eq!(
            matches!(refused, Err(LanguageError::Steps { .. })),
            claimed == 0,
            "{claimed} {steps:?}"
        );
        options.claimed.push(1);
        let refused = engine.open(&[1], params, &options);
        assert!(matches!(refused, Err(LanguageError::Steps { .. })));
    }

    // a sequence that outgrows the cache says so, and gives its pages back
    let endless = engine.generate(&[1], params, &options, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(
        endless,
        Err(LanguageError::CacheFull {
            needed: 1,
            available: 0,
            ..
        })
    ));
    let mut scheduler = Scheduler::new();
    let endless = engine.open(&[1], params, &options).unwrap();
    assert!(matches!(
        scheduler.add(&engine, 0, endless),
        Err(LanguageError::CacheFull { needed: 3, .. })
    ));
    // two that fit one after the other wait for each other
    let params = SamplingParams {
        max_new_tokens: 100,
        ..params
    };
    for key in 1..=2 {
        let sequence = engine.open(&[1], params, &options).unwrap();
        scheduler.add(&engine, key, sequence).unwrap();
    }
    let mut finished = Vec::new();
    while !scheduler.is_idle() {
        for event in scheduler.step(&mut engine).unwrap() {
            if let Event::Finished { key, sequence } = event {
                assert_eq!(sequence.generated().len(), 100);
                finished.push(key);
            }
        }
    }
    assert_eq!(finished, [1, 2]);

    let mut other = LanguageEngine::new(small(), &LanguageOptions::default(), &mut |_| {}).unwrap();
    let mut foreign = other.open(&[1], params, &options).unwrap();
    let refused = engine.advance(&mut [&mut foreign]);
    assert!(matches!(refused, Err(LanguageError::Foreign)));
    assert!(other.advance(&mut [&mut foreign]).is_ok());
}
