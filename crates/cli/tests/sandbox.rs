//! Models in a process of their own: the same bits, and nothing that a hostile file could reach.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel_engine::{Engine, EngineOptions};
use gavel_model::{Model, shipped};
use gavel_node::sandbox::{
    Probe, SandboxError, SandboxExecutor, SandboxLimits, SandboxOptions, Served,
};
use gavel_node::{EngineExecutor, Executor, ExecutorError, Models};
use gavel_numerics::{DType, Tensor};

const MEMORY: u64 = 1 << 30;

fn options(models: &[&str], readable: &[&Path]) -> SandboxOptions {
    SandboxOptions {
        program: env!("CARGO_BIN_EXE_gavel").into(),
        arguments: vec!["worker".to_owned()],
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        readable: readable.iter().map(|path| path.to_path_buf()).collect(),
        limits: SandboxLimits {
            memory: MEMORY,
            request: Duration::from_secs(120),
            load: Duration::from_secs(120),
        },
    }
}

fn start(options: SandboxOptions) -> SandboxExecutor {
    SandboxExecutor::start(options).unwrap()
}

fn in_process(model: Model) -> EngineExecutor {
    let mut models = Models::new();
    models.add(model);
    EngineExecutor::new(Engine::new(EngineOptions::default()).unwrap(), models).unwrap()
}

fn digits() -> Model {
    gavel_model::onnx::import(
        shipped::file("digits-small").unwrap(),
        &gavel_model::onnx::ImportOptions::default(),
    )
    .unwrap()
}

/// Inputs of the model's types, of which every one is another.
fn inputs(model: &Model, seed: u32) -> Vec<Tensor> {
    let types = model.graph().inputs.iter();
    let made = types.map(|(_, ty)| {
        assert_eq!(ty.dtype, DType::F32);
        let values =
            (0..ty.elements().unwrap() as u32).map(|i| ((i * 7 + seed) % 11) as f32 / 11.0);
        Tensor::f32(ty.dims.clone(), values.collect()).unwrap()
    });
    made.collect()
}

/// Two executors say the same of a run and all of its segments.
fn same(one: &dyn Executor, other: &dyn Executor, model: &Model, inputs: &[Tensor]) {
    let id = model.model_id();
    assert_eq!(one.serves(&id, inputs), other.serves(&id, inputs));
    let (a, b) = (
        one.run(&id, inputs).unwrap(),
        other.run(&id, inputs).unwrap(),
    );
    assert_eq!(a.trace, b.trace);
    assert_eq!(a.outputs, b.outputs);
    assert_eq!(b.model.header(), model.header());
    for leaf in 0..a.trace.leaves().len() as u64 {
        let (x, y) = (one.fine(&a, leaf).unwrap(), other.fine(&b, leaf).unwrap());
        assert_eq!((&x.tensors, &x.live), (&y.tensors, &y.live), "leaf {leaf}");
        assert_eq!(x.trace, y.trace, "leaf {leaf}");
        assert_eq!(
            one.live_before(&a, leaf).unwrap(),
            other.live_before(&b, leaf).unwrap()
        );
    }
    assert!(matches!(
        other.fine(&b, a.trace.leaves().len() as u64),
        Err(ExecutorError::Leaf { .. })
    ));
}

#[test]
fn what_is_computed_there_is_the_same_bit_for_bit() {
    let model = digits();
    let there = start(options(&["digits-small"], &[]));
    assert_eq!(there.served(), [Served::Model(model.model_id())]);
    let here = in_process(model.clone());
    for seed in 0..3 {
        same(&here, &there, &model, &inputs(&model, seed));
    }
    let nobody = gavel_trace::Digest([9; 32]);
    assert!(there.model(&nobody).is_none());
}

#[test]
fn a_model_in_a_file_is_read_there_and_its_weights_are_looked_up_here() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("net.onnx");
    std::fs::write(&file, shipped::file("digits").unwrap()).unwrap();
    let name = file.to_str().unwrap();
    let there = start(options(&[name], &[&file]));
    let model = gavel_model::onnx::import(
        shipped::file("digits").unwrap(),
        &gavel_model::onnx::ImportOptions::default(),
    )
    .unwrap();
    same(
        &in_process(model.clone()),
        &there,
        &model,
        &inputs(&model, 5),
    );
    // where it may not read the file there is none
    let refused = SandboxExecutor::start(options(&[name], &[]));
    assert!(matches!(refused.map(|_| ()), Err(SandboxError::Refused(_))));
    // what is no model is refused in words
    std::fs::write(&file, b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff").unwrap();
    let refused = SandboxExecutor::start(options(&[name], &[&file])).map(|_| ());
    assert!(
        matches!(refused, Err(SandboxError::Refused(_))),
        "{refused:?}"
    );
}

#[test]
fn a_language_model_answers_the_same_there() {
    use gavel_model::gguf::Gguf;
    use gavel_model::llama;
    let mut import = llama::ImportOptions::default();
    import.context = Some(48);
    let file = shipped::language_file("llm").unwrap();
    let language = gavel_model::Hashing::quiet(|hashing| {
        llama::from_gguf(&Gguf::parse(file)?, &import, hashing)
    })
    .unwrap();
    let model = language.model.clone();
    let there = start(options(&["llm@48"], &[]));
    let here = in_process(model.clone());
    let params = gavel_numerics::kernels::SamplingParams::default();
    let asked = llama::task_inputs(&model, &[1, 40, 41, 42], params).unwrap();
    let id = model.model_id();
    let (a, b) = (
        here.run(&id, &asked).unwrap(),
        there.run(&id, &asked).unwrap(),
    );
    assert_eq!(a.trace, b.trace);
    assert_eq!(a.outputs, b.outputs);
    let leaf = a.trace.leaves().len() as u64 - 1;
    let (x, y) = (here.fine(&a, leaf).unwrap(), there.fine(&b, leaf).unwrap());
    assert_eq!(x.trace, y.trace);
    assert_eq!(x.tensors, y.tensors);
    // a claim of more steps is followed there too
    let steps = (a.trace.steps() + 1).min(model.header().max_steps);
    let (a, b) = (
        here.extended(a, steps).unwrap(),
        there.extended(b, steps).unwrap(),
    );
    assert_eq!(a.trace, b.trace);
}

#[test]
fn nothing_that_a_hostile_model_would_want_can_be_reached() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.json");
    std::fs::write(&key, "the provider's key").unwrap();
    let there = start(options(&["digits-small"], &[]));
    let parent = format!("/proc/{}/environ", std::process::id());
    let out = dir.path().join("out");
    for probe in [
        Probe::Connect,
        Probe::Read(key.clone()),
        Probe::Read(PathBuf::from(parent)),
        Probe::Read("/etc/passwd".into()),
        Probe::Write(out.clone()),
        Probe::Write(key.clone()),
        Probe::Spawn("/bin/true".into()),
        Probe::Variable("PATH".to_owned()),
        Probe::Variable("HOME".to_owned()),
    ] {
        let found = there.probe(probe.clone()).unwrap();
        assert_eq!(found, None, "{probe:?}");
    }
    assert!(std::env::var("PATH").is_ok(), "there was something to see");
    assert!(!out.exists());
    // what it may read, it can: the probe itself works
    let readable = start(options(&["digits-small"], &[&key]));
    let found = readable.probe(Probe::Read(key.clone())).unwrap();
    assert_eq!(found.as_deref(), Some("18 bytes"));
    assert_eq!(readable.probe(Probe::Write(key)).unwrap(), None);
}

#[test]
fn what_this_process_has_open_is_closed_there() {
    use rustix::io::{FdFlags, fcntl_setfd};
    // as a shell leaves one: open across the start of a program
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "the provider's key").unwrap();
    let key = std::fs::File::open(dir.path().join("key")).unwrap();
    fcntl_setfd(&key, FdFlags::empty()).unwrap();
    let there = start(options(&["digits-small"], &[]));
    let found = there.probe(Probe::Descriptors).unwrap();
    assert_eq!(found.as_deref(), Some("0 1 2"));
}

#[test]
fn nobody_is_signalled_from_there() {
    let there = start(options(&["digits-small"], &[]));
    let found = there.probe(Probe::Signal(std::process::id())).unwrap();
    assert_eq!(found, None);
}

#[test]
fn what_takes_too_much_is_ended_and_the_next_request_is_answered() {
    let model = digits();
    let mut limited = options(&["digits-small"], &[]);
    limited.limits.request = Duration::from_secs(3);
    let there = start(limited);
    let before = there.run(&model.model_id(), &inputs(&model, 1)).unwrap();
    let works = |seed| {
        let run = there.run(&model.model_id(), &inputs(&model, seed)).unwrap();
        let here = in_process(model.clone());
        let own = here.run(&model.model_id(), &inputs(&model, seed)).unwrap();
        assert_eq!(run.trace, own.trace);
    };
    assert_eq!(
        there.probe(Probe::Allocate(64 << 20)).unwrap().unwrap(),
        "67108864 bytes"
    );
    match there.probe(Probe::Allocate(4 * MEMORY)) {
        Err(SandboxError::Ended(why)) => assert!(why.contains("memory allocation"), "{why}"),
        other => panic!("{other:?}"),
    }
    works(2);
    let started = Instant::now();
    let looped = there.probe(Probe::Loop);
    assert!(
        matches!(
            looped,
            Err(SandboxError::TooLong(_) | SandboxError::Ended(_))
        ),
        "{looped:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
    works(3);
    match there.probe(Probe::Panic) {
        Err(SandboxError::Ended(why)) => assert!(why.contains("a model asked for it"), "{why}"),
        other => panic!("{other:?}"),
    }
    works(4);
    // what was computed before is still there
    assert!(Arc::ptr_eq(
        &before,
        &there.known_run(&before.key()).unwrap()
    ));
}

/// `cargo test --test sandbox -- --ignored --nocapture` prints what a process of its own costs a task.
#[test]
#[ignore = "a measurement"]
fn what_it_costs() {
    let model = digits();
    let (here, there) = (
        in_process(model.clone()),
        start(options(&["digits-small"], &[])),
    );
    let each = |executor: &dyn Executor, first: u32| {
        let runs: Vec<_> = (first..first + 200)
            .map(|seed| inputs(&model, seed * 13))
            .collect();
        let started = Instant::now();
        for (i, input) in runs.iter().enumerate() {
            let mut input = input.clone();
            let values: Vec<f32> = input[0]
                .as_f32()
                .unwrap()
                .iter()
                .map(|x| x + (first + i as u32) as f32)
                .collect();
            input[0] = Tensor::f32(input[0].dims().to_vec(), values).unwrap();
            executor.run(&model.model_id(), &input).unwrap();
        }
        started.elapsed().as_secs_f64() * 1e6 / runs.len() as f64
    };
    each(&here, 1000);
    each(&there, 1000);
    let (a, b) = (each(&here, 0), each(&there, 0));
    println!(
        "in process {a:.0} µs, in a process of its own {b:.0} µs a run: {:.0} µs more",
        b - a
    );
}
