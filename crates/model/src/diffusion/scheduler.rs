//! How noise is taken out of a picture, step by step: tables that a file brings.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ASSET;
use super::words::{self, Field, PromptError};
use crate::ModelError;

/// Most steps.
const MAX_STEPS: usize = 4096;

/// What the asset says. Step `i` reads `x`, the picture so far (zeros before step 0), and a picture `z` of normal noise:
/// `y = noise[i] * z + x`, then `keep[i] * y + add[i] * denoiser(y, timestep[i], words)` is the picture after it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduler {
    /// What it is called, for people.
    pub kind: String,
    /// What the denoiser is told of the time.
    pub timestep: Vec<f32>,
    /// Noise put in before the denoiser.
    pub noise: Vec<f32>,
    /// Share of the picture that is kept.
    pub keep: Vec<f32>,
    /// Share of what the denoiser finds.
    pub add: Vec<f32>,
    /// From values to pixels.
    pub pixels: Pixels,
    /// What can be said.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Words without a meaning.
    #[serde(default)]
    pub ignored: Vec<String>,
}

/// `pixel = value * scale + offset`, rounded, from 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pixels {
    /// Factor.
    pub scale: f32,
    /// Summand.
    pub offset: f32,
}

impl Scheduler {
    /// The one among a model's assets.
    pub(super) fn of(assets: &BTreeMap<String, Vec<u8>>) -> Result<Scheduler, ModelError> {
        let fail = |reason: String| ModelError::File(format!("asset {ASSET}: {reason}"));
        let text = assets
            .get(ASSET)
            .ok_or_else(|| fail("the model has none".to_owned()))?;
        let found: Scheduler = serde_json::from_slice(text).map_err(|e| fail(e.to_string()))?;
        found.check().map_err(fail)?;
        Ok(found)
    }

    fn check(&self) -> Result<(), String> {
        let steps = self.timestep.len();
        if !(2..=MAX_STEPS).contains(&steps) {
            return Err(format!("{steps} steps, expected 2 to {MAX_STEPS}"));
        }
        for (name, column) in self.columns() {
            if column.len() != steps {
                return Err(format!("{name} has {} of {steps} values", column.len()));
            }
            if let Some(i) = column.iter().position(|x| !x.is_finite()) {
                return Err(format!("{name}[{i}] is {}", column[i]));
            }
        }
        if !self.pixels.scale.is_finite() || !self.pixels.offset.is_finite() {
            return Err("pixels are not finite".to_owned());
        }
        words::check(&self.fields)
    }

    /// The tables by their names.
    pub(super) fn columns(&self) -> [(&'static str, &[f32]); 4] {
        [
            ("timestep", &self.timestep),
            ("noise", &self.noise),
            ("keep", &self.keep),
            ("add", &self.add),
        ]
    }

    /// Steps of a run.
    pub fn steps(&self) -> u32 {
        self.timestep.len() as u32
    }

    /// For each field the place of the word that is said, from 1 on; 0 where none is.
    ///
    /// # Errors
    /// A word that no field has, or two of one field.
    pub fn read(&self, prompt: &str) -> Result<Vec<u64>, PromptError> {
        words::read(&self.fields, &self.ignored, prompt)
    }

    /// What can be said, a field a line.
    pub fn vocabulary(&self) -> String {
        words::vocabulary(&self.fields)
    }

    /// The words at these places; `None` where there are none.
    pub(super) fn said(&self, places: &[u64]) -> Option<String> {
        words::said(&self.fields, places)
    }
}
