//! The models of a gateway: how a request becomes a task's inputs, and a task's outputs an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_model::Model;
use gavel_model::diffusion::Diffusion;
use gavel_model::family::Family;
use gavel_model::llama::{TOKENIZER_ASSET, task_inputs};
use gavel_node::{LanguageText, LanguageTextError};
use gavel_numerics::kernels::SamplingParams;
use gavel_numerics::{DType, Tensor, TensorType};
use gavel_text::{Message, Special, Tokenizer};
use gavel_trace::Digest;
use sha2::{Digest as _, Sha256};

use crate::ApiError;

/// A model that clients may name.
pub struct Served {
    /// Its name.
    pub name: String,
    /// Identity of the model or family: the class of its tasks.
    pub class: Digest,
    /// What it is asked and answers.
    pub kind: Kind,
    fingerprint: String,
}

/// What a model is asked and answers.
pub enum Kind {
    /// Text, with text.
    Language(Box<Language>),
    /// A few words, with a picture.
    Pictures(Box<Diffusion>),
    /// Text, with a vector.
    Encoder(Box<Encoder>),
}

/// A language model.
pub struct Language {
    /// Tokenizer and template.
    pub text: LanguageText,
    /// Tokens of prompt and answer together.
    pub context: usize,
    model: Arc<Model>,
}

/// An encoder of texts.
pub struct Encoder {
    /// What turns texts into tokens, where the gateway has it.
    pub tokenizer: Option<Tokenizer>,
    source: Source,
    /// Most tokens.
    most: usize,
}

enum Source {
    Model(Arc<Model>),
    Family(Arc<Family>),
}

/// Inputs of a task, and the model that they are of.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Model.
    pub model: Arc<Model>,
    /// The family that it is of.
    pub family: Option<Digest>,
    /// Inputs.
    pub inputs: Vec<Tensor>,
}

/// Why a model cannot be offered to clients.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServedError {
    /// Neither a language model, nor one that draws, nor an encoder.
    #[error(
        "{0} is neither a language model, nor one that draws, nor an encoder of token ids: it has no place in OpenAI's interface"
    )]
    Kind(String),
    /// Its tokenizer cannot be used.
    #[error("{name}: {source}")]
    Text {
        /// The model.
        name: String,
        /// Why.
        source: Box<LanguageTextError>,
    },
}

const IDS: &str = "input_ids";
const MASK: &str = "attention_mask";
const TYPES: &str = "token_type_ids";
/// Longest text that an encoder without a bound of its own is asked for.
const MOST_ENCODED: usize = 8192;

impl Served {
    /// A model by this name.
    ///
    /// # Errors
    /// See [`ServedError`].
    pub fn model(
        name: &str,
        model: Arc<Model>,
        tokenizer: Option<(Tokenizer, &[u8])>,
    ) -> Result<Served, ServedError> {
        let class = model.model_id();
        let is_language =
            model.header().max_steps > 1 && model.assets().contains_key(TOKENIZER_ASSET);
        let kind = if is_language {
            let text = LanguageText::of(&model).map_err(|source| ServedError::Text {
                name: name.to_owned(),
                source: Box::new(source),
            })?;
            Kind::Language(Box::new(Language {
                text,
                context: model.header().max_steps as usize,
                model,
            }))
        } else if let Some(pictures) = Diffusion::of(&model) {
            Kind::Pictures(Box::new(pictures))
        } else {
            let named = model.graph().inputs.iter();
            let ids = named.clone().find(|(name, _)| name == IDS);
            let known = named.clone().all(|(name, _)| is_encoder_input(name));
            let most = match ids.map(|(_, ty)| ty.dims.as_slice()) {
                Some(&[1, most]) if known => most as usize,
                _ => return Err(ServedError::Kind(name.to_owned())),
            };
            return Ok(Served::encoder(name, Source::Model(model), most, tokenizer));
        };
        Ok(Served {
            name: name.to_owned(),
            class,
            fingerprint: fingerprint(&class, None),
            kind,
        })
    }

    /// A family by this name.
    ///
    /// # Errors
    /// See [`ServedError`].
    pub fn family(
        name: &str,
        family: Arc<Family>,
        tokenizer: Option<(Tokenizer, &[u8])>,
    ) -> Result<Served, ServedError> {
        let inputs: Vec<&str> = family.inputs().collect();
        if !inputs.contains(&IDS) || !inputs.iter().all(|name| is_encoder_input(name)) {
            return Err(ServedError::Kind(name.to_owned()));
        }
        Ok(Served::encoder(
            name,
            Source::Family(family),
            MOST_ENCODED,
            tokenizer,
        ))
    }

    fn encoder(
        name: &str,
        source: Source,
        most: usize,
        tokenizer: Option<(Tokenizer, &[u8])>,
    ) -> Served {
        let class = match &source {
            Source::Model(model) => model.model_id(),
            Source::Family(family) => family.id(),
        };
        Served {
            name: name.to_owned(),
            class,
            // a tokenizer beside the file is not in the identity of the model
            fingerprint: fingerprint(&class, tokenizer.as_ref().map(|(_, file)| *file)),
            kind: Kind::Encoder(Box::new(Encoder {
                tokenizer: tokenizer.map(|(tokenizer, _)| tokenizer),
                source,
                most,
            })),
        }
    }

    /// `system_fingerprint`: the same one and the same request give the same bytes.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// As it is called in the list of models.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Language(_) => "language",
            Kind::Pictures(_) => "pictures",
            Kind::Encoder(_) => "encoder",
        }
    }

    /// Tokens that it takes, where it takes tokens.
    pub fn context(&self) -> Option<usize> {
        match &self.kind {
            Kind::Language(language) => Some(language.context),
            Kind::Encoder(encoder) => Some(encoder.most),
            Kind::Pictures(_) => None,
        }
    }

    /// What turns texts into tokens.
    ///
    /// # Errors
    /// It has nothing of the kind.
    pub fn tokenizer(&self) -> Result<&Tokenizer, ApiError> {
        let found = match &self.kind {
            Kind::Language(language) => Some(language.text.tokenizer()),
            Kind::Encoder(encoder) => encoder.tokenizer.as_ref(),
            Kind::Pictures(_) => None,
        };
        found.ok_or_else(|| self.unfit("has no tokenizer here"))
    }

    /// A request that the model is not for.
    pub fn unfit(&self, what: &str) -> ApiError {
        ApiError::field(
            "model",
            "model_not_supported",
            format!("The model `{}` {what}", self.name),
        )
    }

    /// The language model that it is.
    ///
    /// # Errors
    /// It is none.
    pub fn language(&self) -> Result<&Language, ApiError> {
        match &self.kind {
            Kind::Language(language) => Ok(language),
            _ => Err(self.unfit("does not answer in words")),
        }
    }

    /// The model that draws that it is.
    ///
    /// # Errors
    /// It is none.
    pub fn pictures(&self) -> Result<&Diffusion, ApiError> {
        match &self.kind {
            Kind::Pictures(pictures) => Ok(pictures),
            _ => Err(self.unfit("draws no pictures")),
        }
    }

    /// The encoder that it is.
    ///
    /// # Errors
    /// It is none.
    pub fn embedding(&self) -> Result<&Encoder, ApiError> {
        match &self.kind {
            Kind::Encoder(encoder) => Ok(encoder),
            _ => Err(self.unfit("gives no embeddings")),
        }
    }
}

fn is_encoder_input(name: &str) -> bool {
    [IDS, MASK, TYPES].contains(&name)
}

/// `gvl1-` and 16 digits of a hash: the model's identity binds graph, weights, tokenizer, template and numerics.
fn fingerprint(class: &Digest, tokenizer: Option<&[u8]>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"gavel fingerprint 1");
    hasher.update(class.0);
    hasher.update(tokenizer.unwrap_or_default());
    let hash = Digest(hasher.finalize().into()).to_string();
    format!(
        "gvl1-{}",
        hash.trim_start_matches("0x").get(..16).unwrap_or_default()
    )
}

impl Language {
    /// Tokens of a conversation up to where the model answers.
    ///
    /// # Errors
    /// A model without a template, or one that refuses the conversation.
    pub fn conversation(&self, messages: &[Message]) -> Result<Vec<u32>, ApiError> {
        let tokens = self.text.conversation(messages);
        tokens.map_err(|e| refused("messages", &e))
    }

    /// Tokens of a text to be gone on with.
    ///
    /// # Errors
    /// A text that is too long.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>, ApiError> {
        self.text.prompt(text).map_err(|e| refused("prompt", &e))
    }

    /// Inputs of a task; the room that is left bounds the answer where nothing else does.
    ///
    /// # Errors
    /// Prompt and answer do not fit the context.
    pub fn bind(
        &self,
        param: &str,
        prompt: &[u32],
        most: Option<u64>,
        params: SamplingParams,
    ) -> Result<Bound, ApiError> {
        let (context, length) = (self.context, prompt.len());
        if length == 0 {
            let message = format!("`{param}` has no tokens");
            return Err(ApiError::field(param, "invalid_value", message));
        }
        let room = context.saturating_sub(length) as u64;
        let most = most.unwrap_or(room);
        if room == 0 || most > room {
            let message = format!(
                "This model's maximum context length is {context} tokens. However, you requested {} tokens ({length} in the {param}, {} in the completion)",
                length as u64 + most.max(1),
                most.max(1),
            );
            return Err(ApiError::field(param, "context_length_exceeded", message));
        }
        let vocabulary = self.text.tokenizer().vocabulary_size();
        if let Some(unknown) = prompt.iter().find(|t| **t as usize >= vocabulary) {
            let message =
                format!("`{param}`: token {unknown} is not in the vocabulary of {vocabulary}");
            return Err(ApiError::field(param, "invalid_value", message));
        }
        let params = SamplingParams {
            max_new_tokens: most,
            ..params
        };
        let signed: Vec<i32> = prompt.iter().map(|t| t.cast_signed()).collect();
        let inputs = task_inputs(&self.model, &signed, params);
        let inputs = inputs.map_err(|e| ApiError::field(param, "invalid_value", e))?;
        Ok(Bound {
            model: Arc::clone(&self.model),
            family: None,
            inputs,
        })
    }
}

fn refused(param: &str, error: &LanguageTextError) -> ApiError {
    let code = match error {
        LanguageTextError::Missing(_) => "model_not_supported",
        _ => "invalid_value",
    };
    ApiError::field(param, code, format!("`{param}`: {error}"))
}

impl Encoder {
    /// Tokens of a text, with those that the model expects around it.
    ///
    /// # Errors
    /// No tokenizer here, or a text that is too long.
    pub fn tokens(&self, served: &Served, text: &str) -> Result<Vec<u32>, ApiError> {
        let tokens = served.tokenizer()?.encode_prompt(text, Special::AsText);
        tokens.map_err(|e| ApiError::field("input", "invalid_value", format!("`input`: {e}")))
    }

    /// Inputs of a task. Where the model has no binding of this length, the next longer one that it has, the rest masked.
    ///
    /// # Errors
    /// More tokens than it takes.
    pub fn bind(&self, tokens: &[u32]) -> Result<Bound, ApiError> {
        let (model, family) = match &self.source {
            Source::Model(model) => (Arc::clone(model), None),
            Source::Family(family) => {
                let index = self
                    .binding(family, tokens.len())
                    .ok_or_else(|| self.too_long(tokens.len()))?;
                let model = family.binding(index);
                let model = model.map_err(|e| ApiError::field("input", "invalid_value", e))?;
                (Arc::new(model), Some(family.id()))
            }
        };
        let is_masked = model.graph().inputs.iter().any(|(name, _)| name == MASK);
        let mut inputs = Vec::new();
        for (name, ty) in &model.graph().inputs {
            let length = ty.dims.last().map_or(0, |d| *d as usize);
            if tokens.is_empty() || tokens.len() > length || tokens.len() < length && !is_masked {
                return Err(self.too_long(tokens.len()));
            }
            let value = |i: usize| match (name.as_str(), tokens.get(i)) {
                (IDS, Some(token)) => u64::from(*token),
                (MASK, Some(_)) => 1,
                _ => 0,
            };
            let raw: Vec<u64> = (0..length).map(value).collect();
            let tensor = Tensor::from_raw(ty.clone(), &raw);
            inputs.push(tensor.map_err(|e| ApiError::field("input", "invalid_value", e))?);
        }
        Ok(Bound {
            model,
            family,
            inputs,
        })
    }

    fn binding(&self, family: &Family, length: usize) -> Option<u32> {
        let inputs: Vec<&str> = family.inputs().collect();
        let of = |length: usize| {
            let shape = |name: &&str| ((*name).to_owned(), vec![1, length as u64]);
            let shapes: BTreeMap<_, _> = inputs.iter().map(shape).collect();
            family.binding_of(&shapes).ok()
        };
        match inputs.contains(&MASK) {
            true => (length..=self.most).find_map(of),
            false => of(length),
        }
    }

    fn too_long(&self, length: usize) -> ApiError {
        let message = format!(
            "`input` has {length} tokens, which is none of the lengths that this model takes"
        );
        ApiError::field("input", "context_length_exceeded", message)
    }
}

/// The vector of a text in an encoder's outputs: the first output with one row for the text, else the mean of the rows of its
/// tokens.
pub fn embedding(outputs: &[Tensor], tokens: usize) -> Option<Vec<f32>> {
    let is_row = |ty: &TensorType| ty.dtype == DType::F32 && matches!(ty.dims[..], [1, _]);
    if let Some(row) = outputs.iter().find(|tensor| is_row(tensor.ty())) {
        return row.as_f32().map(<[f32]>::to_vec);
    }
    let rows = outputs.iter().find_map(|tensor| match tensor.dims() {
        &[1, rows, width] if rows as usize >= tokens => Some((tensor.as_f32()?, width as usize)),
        _ => None,
    });
    let (values, width) = rows.filter(|(_, width)| *width > 0 && tokens > 0)?;
    let mut sum = vec![0.0f32; width];
    for row in values.chunks_exact(width).take(tokens) {
        for (total, value) in sum.iter_mut().zip(row) {
            *total += value;
        }
    }
    Some(sum.into_iter().map(|total| total / tokens as f32).collect())
}
