//! A language model in the demo: questions instead of pictures.

use std::path::Path;
use std::sync::Arc;

use gavel_model::Model;
use gavel_model::llama::task_inputs;
use gavel_node::{Fault, LanguageText};
use gavel_numerics::Tensor;
use gavel_numerics::kernels::SamplingParams;
use gavel_sim::{Input, Workload};

use super::{quoted, short};
use crate::args_arena::DemoArgs;
use crate::failure::{Context as _, Failure};
use crate::language::signed;

/// What is asked by default.
const PROMPTS: [&str; 3] = [
    "Tell me a story about a fox and a lantern.",
    "Once upon a time there was a miller who",
    "What did the old sailor see?",
];

/// The model with the questions of the flags.
pub(super) fn workload(args: &DemoArgs, name: &str, model: Model) -> Result<Workload, Failure> {
    let text = LanguageText::of(&model).at(name)?;
    let prompts: Vec<&str> = match args.prompts.as_slice() {
        [] => PROMPTS.to_vec(),
        given => given.iter().map(String::as_str).collect(),
    };
    let inputs = prompts.iter().zip(0..).map(|(prompt, i)| {
        let tokens = text.ask(prompt).at(name)?;
        let params = SamplingParams {
            max_new_tokens: args.max_tokens.into(),
            seed: args.seed.wrapping_add(i),
            temperature: 0.7,
            top_p: 0.9,
            ..SamplingParams::default()
        };
        Ok(Input {
            name: quoted(prompt),
            tensors: task_inputs(&model, &signed(&tokens), params).at(name)?,
            expected: None,
        })
    });
    let inputs = inputs.collect::<Result<Vec<_>, Failure>>()?;
    let label = move |_: &Model, outputs: &[Arc<Tensor>]| {
        let answer = text.answer(outputs)?;
        let words: Vec<&str> = answer.split_whitespace().collect();
        Some(format!("\u{201c}{}\u{201d}", printable(&words.join(" "))))
    };
    let workload = Workload::new(short(Path::new(name)), model, inputs, Box::new(label));
    Ok(workload.at(name)?.that("says"))
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// What to try after this.
pub(super) fn next(faults: &[Fault]) -> String {
    let other = match faults.contains(&Fault::CheaperQuantisation) {
        true => Fault::LyingReferee,
        false => Fault::CheaperQuantisation,
    };
    format!("gavel demo --model llm --fault {other}")
}
