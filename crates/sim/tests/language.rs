//! A language model through the whole market: every step of an answer can be disputed.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::holds;
use gavel_model::Model;
use gavel_model::llama::{Architecture, Formats, random, task_inputs, tiny, tokens_of};
use gavel_numerics::kernels::SamplingParams;
use gavel_numerics::{Tensor, WeightFormat};
use gavel_sim::{DemoOptions, Fault, Input, Report, Scenario, Stages, Workload, run_world};

fn workload() -> Arc<Workload> {
    let mut config = tiny(Architecture::Llama);
    config.layers = 2;
    let formats = Formats::uniform(&config, WeightFormat::Q8_0);
    let model = random(&config, &formats, 9).unwrap().model;
    let input = |prompt: &[i32], seed| Input {
        name: format!("{prompt:?}"),
        tensors: task_inputs(
            &model,
            prompt,
            SamplingParams {
                max_new_tokens: 6,
                seed,
                temperature: 1.0,
                ..SamplingParams::default()
            },
        )
        .unwrap(),
        expected: None,
    };
    let inputs = vec![input(&[4, 8, 15], 1), input(&[16, 23], 2)];
    let label = |_: &Model, outputs: &[Arc<Tensor>]| Some(format!("{:?}", tokens_of(outputs)?.1));
    let workload = Workload::new("tiny", model, inputs, Box::new(label)).unwrap();
    Arc::new(workload.that("answers"))
}

fn run(faults: &[Fault], seed: u64) -> Report {
    let workload = workload();
    let scenario = Scenario::demo(&DemoOptions {
        seed,
        faults: faults.to_vec(),
        watcher: true,
        audit_ppm: None,
        providers: 5,
        inputs: workload.inputs.len(),
    })
    .unwrap();
    run_world(&scenario, &workload, &Stages::default(), &mut |_| {}).unwrap()
}

#[test]
fn answers_are_served_and_settled() {
    let report = run(&[], 3);
    holds(&report);
    assert_eq!(report.facts.wrong_committed, 0);
    for task in &report.tasks {
        assert_eq!(task.state, "settled");
        assert!(task.prediction.as_ref().unwrap().starts_with('['));
    }
}

#[test]
fn a_cheaper_quantisation_and_a_changed_token_are_convicted() {
    for fault in [Fault::CheaperQuantisation, Fault::ChangedToken] {
        let report = run(&[fault], 4);
        holds(&report);
        assert!(report.facts.wrong_committed > 0, "{fault}");
        let cheat = report.parties.iter().find(|p| p.faults == [fault]).unwrap();
        assert!(
            report.balance(&cheat.name).unwrap().tombstoned,
            "{fault}: {:?}",
            report.disputes
        );
    }
}

#[test]
fn a_bought_referee_does_not_save_the_cheat() {
    let report = run(&[Fault::ChangedToken, Fault::LyingReferee], 5);
    holds(&report);
    for fault in [Fault::ChangedToken, Fault::LyingReferee] {
        let liar = report.parties.iter().find(|p| p.faults == [fault]).unwrap();
        assert!(report.balance(&liar.name).unwrap().tombstoned, "{fault}");
    }
}
