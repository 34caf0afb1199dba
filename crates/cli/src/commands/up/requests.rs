//! What the requester wants: a task now and then.

use async_trait::async_trait;
use gavel_model::diffusion::Diffusion;
use gavel_model::llama::task_inputs;
use gavel_model::preprocess::png_to_input;
use gavel_model::shipped::PICTURES;
use gavel_node::roles::{Order, OrderError, post};
use gavel_node::{Act, Address, Board, Fault, LanguageText, NodeError, Party, Role};
use gavel_numerics::Tensor;
use gavel_numerics::kernels::SamplingParams;
use gavel_trace::Digest;

use super::stage::Stage;
use crate::args_up::UpArgs;
use crate::failure::{Context as _, Failure};
use crate::language::signed;
use crate::network::TOKEN;
use crate::picture;

/// Seconds of the chain between two tasks.
const EVERY: u64 = 45;
/// Tasks under way at once.
const AT_ONCE: usize = 3;
/// Seconds from claim to deadline: the longest that the parameters allow.
const EXEC_SECONDS: u32 = 300;
const QUESTIONS: [&str; 2] = [
    "Tell me a story about a fox.",
    "Once upon a time there was a miller who",
];
const DRAWINGS: [&str; 2] = ["a red heart on white", "a large yellow star on blue"];
/// Tokens of an answer: enough to lie about.
const ANSWER_TOKENS: i64 = 8;

/// What is asked for, again and again.
pub(super) struct Wishes {
    model: Digest,
    inputs: Vec<Vec<Tensor>>,
    most: Option<u64>,
}

impl Wishes {
    /// Pictures of digits; what the fault is about, where it is about another kind of model.
    pub(super) fn of(stage: &Stage, args: &UpArgs) -> Result<Wishes, Failure> {
        let (name, inputs): (&str, Result<Vec<_>, Failure>) = match args.adversary {
            Some(fault) if fault.is_of_language() => ("llm", questions(stage)),
            Some(Fault::SkippedSteps) => ("diffusion", drawings(stage)),
            _ => ("digits", digits(stage)),
        };
        Ok(Wishes {
            model: stage.model(name)?.model_id(),
            inputs: inputs?,
            most: args.tasks,
        })
    }
}

fn digits(stage: &Stage) -> Result<Vec<Vec<Tensor>>, Failure> {
    let model = stage.model("digits")?;
    let each = PICTURES
        .iter()
        .map(|(file, _, png)| Ok(vec![png_to_input(model, png).at(file)?]));
    each.collect()
}

fn questions(stage: &Stage) -> Result<Vec<Vec<Tensor>>, Failure> {
    let model = stage.model("llm")?;
    let text = LanguageText::of(model).at("llm")?;
    let each = QUESTIONS.iter().zip(1..).map(|(question, seed)| {
        let params = SamplingParams {
            max_new_tokens: ANSWER_TOKENS as _,
            seed,
            temperature: 0.7,
            ..SamplingParams::default()
        };
        task_inputs(model, &signed(&text.ask(question).at(question)?), params).at(question)
    });
    each.collect()
}

fn drawings(stage: &Stage) -> Result<Vec<Vec<Tensor>>, Failure> {
    let model = stage.model("diffusion")?;
    let drawing = Diffusion::of(model).ok_or_else(|| Failure::new("diffusion does not draw"))?;
    let each = DRAWINGS.iter().zip(1..);
    each.map(|(words, seed)| picture::inputs("diffusion", &drawing, words, seed))
        .collect()
}

/// Posts what is wished for: one task at a time, a few under way at once. What it has asked for already, the board says.
pub(super) struct Asker {
    party: Party,
    wishes: Wishes,
}

impl Asker {
    pub(super) fn new(party: Party, wishes: Wishes) -> Asker {
        Asker { party, wishes }
    }
}

#[async_trait]
impl Role for Asker {
    fn name(&self) -> &str {
        &self.party.name
    }

    fn address(&self) -> Address {
        self.party.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let me = self.address();
        let own = || {
            board
                .tasks
                .values()
                .map(|entry| &entry.task)
                .filter(|task| task.requester == me)
        };
        let asked = own().count() as u64;
        let under_way = own().filter(|task| !task.state.is_final()).count();
        let last = own().map(|task| task.opened_at).max();
        let waits = last.is_some_and(|last| board.now() < last.saturating_add(EVERY));
        let enough = self.wishes.most.is_some_and(|most| asked >= most);
        if enough || waits || under_way >= AT_ONCE || self.wishes.inputs.is_empty() {
            return Ok(None);
        }
        let at = (asked % self.wishes.inputs.len() as u64) as usize;
        let order = Order {
            model: self.wishes.model,
            family: None,
            inputs: self.wishes.inputs[at].clone(),
            seed: asked,
            min_price: TOKEN,
            max_price: 10 * TOKEN,
            ramp_seconds: 60,
            exec_seconds: Some(EXEC_SECONDS),
        };
        match post(&self.party, board, &order).await {
            Ok((_, act)) => Ok(Some(act)),
            Err(OrderError::Node(error)) => Err(error),
            Err(other) => Err(NodeError::Impossible(other.to_string())),
        }
    }
}
