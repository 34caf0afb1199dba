//! A model that draws, asked in words, and its pictures on a terminal.

use std::io::IsTerminal as _;
use std::sync::Arc;

use anstyle::{RgbColor, Style};
use gavel_model::Model;
use gavel_model::diffusion::{Diffusion, Picture, PromptError, slots};
use gavel_numerics::Tensor;
use gavel_trace::Digest;

use crate::failure::{Context as _, Failure};
use crate::output::Output;

/// Most columns of a picture on a terminal.
const COLUMNS: usize = 64;

/// What a model that draws is asked.
pub(crate) fn inputs(
    name: &str,
    model: &Diffusion,
    prompt: &str,
    seed: u64,
) -> Result<Vec<Tensor>, Failure> {
    model
        .task_inputs(prompt, seed)
        .map_err(|e| refused(name, &e))
}

fn refused(name: &str, error: &PromptError) -> Failure {
    let words: Vec<&str> = error.vocabulary().lines().collect();
    Failure::usage(format!("{name}: {error}")).expected(format!(
        "words of these, in any order\n  {}",
        words.join("\n  ")
    ))
}

/// What was drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drawn {
    /// The picture.
    pub(crate) picture: Picture,
    /// Digest of its tensor in the trace.
    pub(crate) digest: Digest,
}

impl Drawn {
    /// The picture among the outputs of a run of a model that draws.
    pub(crate) fn of(model: &Model, outputs: &[Arc<Tensor>]) -> Option<Drawn> {
        let picture = Diffusion::of(model)?.picture(outputs)?;
        let digest = gavel_engine::digest(outputs.get(slots::PICTURE)?);
        Some(Drawn { picture, digest })
    }

    /// What it is called among others: the first digits of its digest.
    pub(crate) fn name(&self) -> String {
        let [a, b, c, d, ..] = self.digest.0;
        format!("picture {a:02x}{b:02x}{c:02x}{d:02x}")
    }

    /// The PNG.
    pub(crate) fn png(&self) -> Result<Vec<u8>, Failure> {
        self.picture.png().at("the picture")
    }

    /// Shows it to people on a terminal, two rows of pixels in a line.
    pub(crate) fn show(&self, out: Output) {
        if self.picture.width > COLUMNS || !std::io::stdout().is_terminal() {
            return;
        }
        for row in (0..self.picture.height).step_by(2) {
            let cell = |column| {
                let [upper, lower] = [row, (row + 1).min(self.picture.height - 1)].map(|row| {
                    let [r, g, b] = self.picture.colour(row, column);
                    RgbColor(r, g, b)
                });
                let style = Style::new()
                    .fg_color(Some(upper.into()))
                    .bg_color(Some(lower.into()));
                format!("{style}\u{2580}{style:#}")
            };
            let line: String = (0..self.picture.width).map(cell).collect();
            out.line(format!("  {line}"));
        }
    }
}
