//! What can be said to language models.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;
use gavel_numerics::kernels::SamplingParams;

/// Which language model, and how it is run.
#[derive(Clone, Debug, Args)]
pub(crate) struct LanguageArgs {
    /// GGUF file, folder with config.json and model.safetensors, or the shipped model: llm
    pub(crate) model: String,
    /// Tokens of the context [default: what the model was trained for, up to 8192]; part of its identity
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    pub(crate) context: Option<u32>,
    /// Threads [default: one per CPU]; changes no bit
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

/// How tokens are chosen. The same values and seed give the same answer, on any machine.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) max_tokens: u32,
    /// Divides the logits; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.8, allow_negative_numbers = true, value_parser = within(0.0..=100.0))]
    pub(crate) temperature: f32,
    /// Keeps the K likeliest tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 40)]
    pub(crate) top_k: u32,
    /// Keeps the likeliest tokens that have probability P together; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true, value_parser = within(0.0..=1.0))]
    pub(crate) top_p: f32,
    /// Keeps tokens with at least P times the probability of the likeliest
    #[arg(long, value_name = "P", default_value_t = 0.05, allow_negative_numbers = true, value_parser = within(0.0..=1.0))]
    pub(crate) min_p: f32,
    /// Divides logits of tokens that are there already; 1 does nothing
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true, value_parser = within(0.01..=100.0))]
    pub(crate) repeat_penalty: f32,
    /// Taken off a logit for every time that its token is there
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true, value_parser = within(-100.0..=100.0))]
    pub(crate) frequency_penalty: f32,
    /// Taken off the logit of a token that is there
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true, value_parser = within(-100.0..=100.0))]
    pub(crate) presence_penalty: f32,
}

impl SamplingArgs {
    /// As the model takes them.
    pub(crate) fn params(&self, seed: u64) -> SamplingParams {
        SamplingParams {
            prompt_len: 0,
            max_new_tokens: self.max_tokens.into(),
            seed,
            temperature: self.temperature,
            top_k: self.top_k.into(),
            top_p: self.top_p,
            min_p: self.min_p,
            repetition: self.repeat_penalty,
            frequency: self.frequency_penalty,
            presence: self.presence_penalty,
        }
    }
}

/// A number of a range.
fn within(range: RangeInclusive<f32>) -> impl Fn(&str) -> Result<f32, String> + Clone {
    move |text| match text.parse::<f32>() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(format!(
            "expected a number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// What the model is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct PromptArgs {
    /// What to answer, or to go on with [default: standard input]
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// What the model is told to be, before a question
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub(crate) system: Option<String>,
    /// Answer the prompt as a question, by the model's chat template [default where it has one]
    #[arg(long, conflicts_with = "raw")]
    pub(crate) chat: bool,
    /// Go on with the prompt as it is
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The text goes to standard output as it comes, the rest to standard error. --json prints an object per token and a last one with everything."
)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) language: LanguageArgs,
    #[command(flatten)]
    pub(crate) prompt: PromptArgs,
    /// Prompt as a JSON array of token ids
    #[arg(long, value_name = "FILE", hide_short_help = true, conflicts_with_all = ["prompt", "system", "chat", "raw"])]
    pub(crate) prompt_tokens: Option<PathBuf>,
    /// Generate nothing: write the logits after each token of the prompt, little-endian f32
    #[arg(
        long,
        value_name = "FILE",
        hide_short_help = true,
        conflicts_with = "save"
    )]
    pub(crate) logits: Option<PathBuf>,
    /// Write the answer with all that `gavel verify` needs to check it
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// What the choice of tokens is drawn from
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "/clear starts anew, /quit or the end of the input ends, Ctrl-C stops an answer"
)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) language: LanguageArgs,
    /// What the model is told to be
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// What the choice of tokens is drawn from
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BenchLlmArgs {
    #[command(flatten)]
    pub(crate) language: LanguageArgs,
    /// Tokens of the prompt: prefill [default: 512, or what fits the context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) prompt: Option<u32>,
    /// Tokens behind it, one by one: decode [default: 128, or a fifth of the context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) decode: Option<u32>,
    /// What the tokens of the prompt are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Also what verifying costs beside generating, at a prompt of 128 and 256 tokens
    #[arg(long)]
    pub(crate) verify: bool,
}
