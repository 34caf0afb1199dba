//! What a run's outputs say: a class, an answer, or a picture.

use std::sync::Arc;

use gavel_model::Model;
use gavel_model::llama::TOKENIZER_ASSET;
use gavel_node::LanguageText;
use gavel_numerics::Tensor;
use serde_json::{Value, json};

use crate::output::{GOOD, Output, harmless, paint};
use crate::picture::Drawn;

/// What outputs say to people.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// The class of a classifier.
    Class(String),
    /// The answer of a language model.
    Text(String),
    /// The picture of a model that draws.
    Picture(Box<Drawn>),
    /// Nothing: numbers.
    Nothing,
}

impl Said {
    /// By the outputs of a run of the model.
    pub(crate) fn of(model: &Model, outputs: &[Arc<Tensor>]) -> Said {
        if speaks(model) {
            let text = LanguageText::of(model).ok();
            let answer = text.and_then(|text| text.answer(outputs));
            return answer.map_or(Said::Nothing, Said::Text);
        }
        if let Some(drawn) = Drawn::of(model, outputs) {
            return Said::Picture(Box::new(drawn));
        }
        match Prediction::of(model, outputs) {
            Some(found) => Said::Class(found.name()),
            None => Said::Nothing,
        }
    }

    /// For people.
    pub(crate) fn show(&self, out: Output) {
        match self {
            Said::Class(name) => out.facts(&[("prediction", paint(GOOD, name))]),
            Said::Text(text) => out.line(format!("\n{}", harmless(text))),
            Said::Picture(drawn) => {
                out.facts(&[("picture", drawn.digest.to_string())]);
                drawn.show(out);
            }
            Said::Nothing => {}
        }
    }

    /// For programs: `prediction`, `text` and `picture_digest`.
    pub(crate) fn add_to(&self, object: &mut Value) {
        let (class, text, picture) = match self {
            Said::Class(name) => (Some(name), None, None),
            Said::Text(text) => (None, Some(text), None),
            Said::Picture(drawn) => (None, None, Some(drawn.digest)),
            Said::Nothing => (None, None, None),
        };
        object["prediction"] = json!(class);
        object["text"] = json!(text);
        object["picture_digest"] = json!(picture);
    }
}

/// Whether a model answers in words.
pub(crate) fn speaks(model: &Model) -> bool {
    model.header().max_steps > 1 && model.assets().contains_key(TOKENIZER_ASSET)
}

/// The class that a model names, with its scores.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prediction {
    /// Number of the class.
    pub(crate) class: u64,
    /// Its label, where the model has one.
    pub(crate) label: Option<String>,
    /// One score per class, in order; empty where the model gives only the class.
    pub(crate) scores: Vec<f32>,
}

impl Prediction {
    /// The prediction of a model with a single int64 output (the class), a single row of f32 scores, or
    /// both; of several rows of scores none can be meant, and where there are other outputs the row is no scores: an encoder
    /// gives a row for the text beside one for each token.
    pub(crate) fn of(model: &Model, outputs: &[Arc<Tensor>]) -> Option<Prediction> {
        let known =
            |t: &Arc<Tensor>| scores(t).is_some() || t.as_i64().is_some_and(|c| c.len() == 1);
        if !outputs.iter().all(known) {
            return None;
        }
        let scores = outputs.iter().find_map(|t| scores(t));
        let named = outputs.iter().find_map(|t| match t.as_i64() {
            Some(&[class]) => u64::try_from(class).ok(),
            _ => None,
        });
        let class = match (named, scores) {
            (Some(class), _) => class,
            (None, Some(scores)) => largest(scores)?,
            (None, None) => return None,
        };
        Some(Prediction {
            class,
            label: label(model, class),
            scores: scores.map(<[f32]>::to_vec).unwrap_or_default(),
        })
    }

    /// The label, or the number where there is none.
    pub(crate) fn name(&self) -> String {
        self.label
            .clone()
            .unwrap_or_else(|| format!("class {}", self.class))
    }

    /// Whether the scores are probabilities.
    pub(crate) fn are_probabilities(&self) -> bool {
        let sum: f32 = self.scores.iter().sum();
        self.scores.iter().all(|s| (0.0..=1.0).contains(s)) && (sum - 1.0).abs() < 1e-3
    }

    /// The `count` best classes, best first, ties by number.
    pub(crate) fn best(&self, count: usize) -> Vec<(u64, f32)> {
        let mut ranked: Vec<(u64, f32)> = (0..).zip(self.scores.iter().copied()).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.truncate(count);
        ranked
    }
}

/// One row of at least two f32.
fn scores(tensor: &Tensor) -> Option<&[f32]> {
    let (&classes, rows) = tensor.dims().split_last()?;
    let one_row = rows.iter().all(|&d| d == 1);
    tensor.as_f32().filter(|_| one_row && classes >= 2)
}

/// The lowest index of the largest score, as `ArgMax` has it: NaN above all.
fn largest(scores: &[f32]) -> Option<u64> {
    let rank = |s: f32| if s.is_nan() { f32::INFINITY } else { s };
    let mut best: Option<(u64, f32)> = None;
    for (i, &score) in (0..).zip(scores) {
        if best.is_none_or(|(_, b)| rank(score) > rank(b) || score.is_nan() && !b.is_nan()) {
            best = Some((i, score));
        }
    }
    best.map(|(i, _)| i)
}

/// The line of the `labels` asset.
pub(crate) fn label(model: &Model, class: u64) -> Option<String> {
    let text = std::str::from_utf8(model.assets().get("labels")?).ok()?;
    let line = text.lines().nth(usize::try_from(class).ok()?)?;
    // labels come from a stranger's file and go to a terminal
    Some(line.chars().filter(|c| !c.is_control()).take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(outputs: Vec<Tensor>) -> Option<Prediction> {
        let model = gavel_model::shipped::load("digits-mlp").ok()?;
        let outputs: Vec<_> = outputs.into_iter().map(Arc::new).collect();
        Prediction::of(&model, &outputs)
    }

    fn row(dims: &[u64], values: &[f32]) -> Tensor {
        Tensor::f32(dims, values.to_vec()).unwrap()
    }

    #[test]
    fn the_class_output_wins_and_scores_decide_without_one() {
        let scores = row(&[1, 3], &[0.25, 0.5, 0.25]);
        let class = Tensor::i64([1], vec![2]).unwrap();
        assert_eq!(of(vec![scores.clone(), class.clone()]).unwrap().class, 2);
        assert!(of(vec![class]).unwrap().scores.is_empty());
        let found = of(vec![scores]).unwrap();
        assert_eq!((found.class, found.label.as_deref()), (1, Some("1")));
        assert_eq!(found.best(2), [(1, 0.5), (0, 0.25)]);
        assert!(found.are_probabilities());
    }

    #[test]
    fn what_is_no_row_of_scores_is_no_prediction() {
        assert_eq!(of(vec![row(&[2, 2], &[0.0; 4])]), None);
        let pooled = row(&[1, 2], &[0.5, 0.25]);
        assert_eq!(of(vec![row(&[1, 3, 2], &[0.0; 6]), pooled]), None);
        assert_eq!(of(vec![row(&[1, 1], &[0.0])]), None);
        assert_eq!(of(vec![Tensor::i64([1], vec![-1]).unwrap()]), None);
    }

    #[test]
    fn ties_take_the_lowest_index_and_nan_ranks_first() {
        assert_eq!(largest(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(largest(&[1.0, f32::INFINITY, f32::NAN, f32::NAN]), Some(2));
        assert_eq!(largest(&[f32::NEG_INFINITY; 2]), Some(0));
        assert_eq!(largest(&[]), None);
    }
}
