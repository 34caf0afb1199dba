//! Vocabularies of the `tokenizers` library: `tokenizer.json`, with what `tokenizer_config.json` adds.

use std::collections::HashSet;
use std::sync::OnceLock;

use serde_json::Value;
use tokenizers::{DecoderWrapper, Encoding, ModelWrapper};

use crate::TextError;
use crate::byte_level::ByteLevel;
use crate::pieces::{LeadingSpace, Pieces, Role};
use crate::special::{SpecialToken, SpecialTokens, looks_like_control};
use crate::spm::SPACE;
use crate::tokenizer::{MAX_TOKENS, MAX_VOCABULARY_BYTES, Model, Special, Tokenizer, holds};

/// What `tokenizer_config.json` says that `tokenizer.json` does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenizerConfig {
    /// Text of the token that begins a sequence.
    pub bos_token: Option<String>,
    /// Text of the token that ends one.
    pub eos_token: Option<String>,
    /// The chat template; of several the one named `default`.
    pub chat_template: Option<String>,
}

impl TokenizerConfig {
    /// From the bytes of the file.
    ///
    /// # Errors
    /// [`TextError::Json`] for what is no JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, TextError> {
        let config: serde_json::Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|e| TextError::Json(format!("tokenizer_config.json: {e}")))?;
        // a token is its text, or an object that holds it
        let token = |key: &str| {
            let value = config.get(key)?;
            Some(
                value
                    .as_str()
                    .or_else(|| value.get("content")?.as_str())?
                    .to_owned(),
            )
        };
        let template = config.get("chat_template").and_then(|value| match value {
            Value::Array(named) => {
                named.iter().find(|t| t["name"] == "default")?["template"].as_str()
            }
            other => other.as_str(),
        });
        Ok(Self {
            bos_token: token("bos_token"),
            eos_token: token("eos_token"),
            chat_template: template.map(str::to_owned),
        })
    }
}

/// A `tokenizer.json`.
pub(crate) struct Json {
    tokenizer: tokenizers::Tokenizer,
    /// The same, with the names of control tokens as text; made when first needed.
    as_text: OnceLock<tokenizers::Tokenizer>,
    control: HashSet<u32>,
    unknown: Option<u32>,
}

fn json_error(error: tokenizers::Error) -> TextError {
    TextError::Json(error.to_string())
}

impl Json {
    pub(crate) fn encode(
        &self,
        text: &str,
        special: Special,
        add: bool,
    ) -> Result<Vec<u32>, TextError> {
        if special == Special::Parse {
            return Ok(self
                .tokenizer
                .encode(text, add)
                .map_err(json_error)?
                .get_ids()
                .to_vec());
        }
        let plain = self.encode_plain(text)?;
        let whole = if add {
            self.tokenizer
                .post_process(plain, None, true)
                .map_err(json_error)?
        } else {
            plain
        };
        Ok(whole.get_ids().to_vec())
    }

    /// With the names of control tokens as text.
    fn encode_plain(&self, text: &str) -> Result<Encoding, TextError> {
        let tokenizer = self.as_text.get_or_init(|| {
            let mut tokenizer = self.tokenizer.clone();
            tokenizer.set_encode_special_tokens(true);
            tokenizer
        });
        let plain = tokenizer.encode(text, false).map_err(json_error)?;
        // the model itself may know the name, as a word
        let mut found = plain.get_ids().iter().zip(plain.get_offsets());
        match found.find(|(id, (start, end))| self.is_control(**id, text.get(*start..*end))) {
            Some((&id, _)) => Err(TextError::ControlFromText(
                tokenizer.id_to_token(id).unwrap_or_default(),
            )),
            None => Ok(plain),
        }
    }

    /// Whether a token found in a range of a text steers the model; the unknown one only where the text names it.
    fn is_control(&self, id: u32, found: Option<&str>) -> bool {
        self.control.contains(&id)
            && (Some(id) != self.unknown
                || found.map(str::trim) == self.tokenizer.id_to_token(id).as_deref())
    }

    /// See [`Tokenizer::encode_protected`].
    pub(crate) fn encode_protected(
        &self,
        text: &str,
        protected: &[usize],
    ) -> Result<Vec<u32>, TextError> {
        let whole = self.tokenizer.encode(text, false).map_err(json_error)?;
        let found = whole.get_ids().iter().zip(whole.get_offsets());
        let control = found
            .filter(|(id, (start, end))| self.is_control(**id, text.get(*start..*end)))
            .map(|(&id, &(start, end))| (id, start..end));
        let (bad, good): (Vec<_>, Vec<_>) = control.partition(|(_, range)| holds(protected, range));
        if bad.is_empty() {
            return Ok(whole.get_ids().to_vec());
        }
        // what lies between the control tokens that may be there, as text
        let mut ids = Vec::new();
        let mut done = 0;
        let end = text.len();
        for (id, range) in good
            .into_iter()
            .map(|(id, range)| (Some(id), range))
            .chain([(None, end..end)])
        {
            if done < range.start {
                ids.extend_from_slice(self.encode_plain(&text[done..range.start])?.get_ids());
            }
            ids.extend(id);
            done = range.end;
        }
        Ok(ids)
    }
}

/// How a decoder turns the text of a token into bytes.
struct Decoding {
    byte_level: bool,
    byte_fallback: bool,
    leading_space: LeadingSpace,
}

fn decoding(decoder: Option<&DecoderWrapper>) -> Result<Decoding, TextError> {
    let unsupported = |found: String| {
        TextError::Unsupported {
        what: "decoder",
        found,
        supported: "ByteLevel, Metaspace, Sequence of Replace(\u{2581} by a space), ByteFallback, Fuse, Strip".into(),
    }
    };
    let words = |leading_space| Decoding {
        byte_level: false,
        byte_fallback: false,
        leading_space,
    };
    let described = serde_json::to_value(decoder).map_err(|e| TextError::Json(e.to_string()))?;
    match described["type"].as_str() {
        Some("ByteLevel") => Ok(Decoding {
            byte_level: true,
            ..words(LeadingSpace::Keep)
        }),
        Some("Metaspace") if described["replacement"] == SPACE.to_string() => {
            Ok(words(match described["prepend_scheme"].as_str() {
                Some("never") => LeadingSpace::Keep,
                _ => LeadingSpace::DropFirst,
            }))
        }
        Some("Sequence") => {
            let mut found = words(LeadingSpace::Keep);
            let mut replaces = false;
            let steps = described["decoders"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            for step in steps {
                match step["type"].as_str() {
                    Some("ByteLevel") if steps.len() == 1 => found.byte_level = true,
                    Some("Replace")
                        if step["content"] == " "
                            && step["pattern"]["String"] == SPACE.to_string() =>
                    {
                        replaces = true;
                    }
                    Some("ByteFallback") => found.byte_fallback = true,
                    Some("Fuse") => {}
                    Some("Strip")
                        if step["content"] == " " && step["stop"] == 0 && step["start"] == 1 =>
                    {
                        found.leading_space = LeadingSpace::DropFirst;
                    }
                    _ => return Err(unsupported(step.to_string())),
                }
            }
            if replaces || found.byte_level {
                Ok(found)
            } else {
                Err(unsupported(described.to_string()))
            }
        }
        _ => Err(unsupported(described.to_string())),
    }
}

/// The library's reading of a file that has been parsed: of some text that is no JSON it would panic.
fn read(file: &Value) -> Result<tokenizers::Tokenizer, TextError> {
    let json = serde_json::to_vec(file).map_err(|e| TextError::Json(e.to_string()))?;
    tokenizers::Tokenizer::from_bytes(json).map_err(json_error)
}

/// Makes every added token of the shape of a control token one.
fn mark_control(file: &mut Value) {
    let added = file.get_mut("added_tokens").and_then(Value::as_array_mut);
    for token in added.into_iter().flatten() {
        if token["content"].as_str().is_some_and(looks_like_control) {
            token["special"] = true.into();
        }
    }
}

impl Tokenizer {
    /// The tokenizer of a `tokenizer.json`, whose ids are those that the `tokenizers` library gives. `end_ids`
    /// are ids that end a generation (`eos_token_id` of `config.json` and `generation_config.json`) beside the
    /// EOS token of `config`.
    ///
    /// # Errors
    /// [`TextError::Json`], [`TextError::Unsupported`] or [`TextError::Vocabulary`].
    pub fn from_json(
        json: &[u8],
        config: &TokenizerConfig,
        end_ids: &[u32],
    ) -> Result<Self, TextError> {
        if json.len() > MAX_VOCABULARY_BYTES {
            return Err(TextError::Json(format!(
                "{} bytes (at most {MAX_VOCABULARY_BYTES})",
                json.len()
            )));
        }
        let mut file = serde_json::from_slice(json).map_err(|e| TextError::Json(e.to_string()))?;
        let mut tokenizer = read(&file)?;
        // marked as words that a user defined, but of the shape that only control tokens have: only trusted text may
        // name them, though they are shown
        let added = tokenizer.get_added_tokens_decoder();
        let shown: HashSet<u32> = added
            .iter()
            .filter(|(_, t)| !t.special && looks_like_control(&t.content))
            .map(|(&id, _)| id)
            .collect();
        if !shown.is_empty() {
            mark_control(&mut file);
            tokenizer = read(&file)?;
        }
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(json_error)?;
        tokenizer.set_encode_special_tokens(false);
        let ModelWrapper::BPE(model) = tokenizer.get_model() else {
            let found = match tokenizer.get_model() {
                ModelWrapper::WordPiece(_) => "WordPiece",
                ModelWrapper::WordLevel(_) => "WordLevel",
                _ => "Unigram",
            };
            return Err(TextError::Unsupported {
                what: "tokenizer model",
                found: found.into(),
                supported: "BPE".into(),
            });
        };
        let unknown = model
            .unk_token
            .as_ref()
            .and_then(|token| tokenizer.token_to_id(token));
        let decoding = decoding(tokenizer.get_decoder())?;
        let vocabulary = tokenizer.get_vocab(true);
        let added = tokenizer.get_added_tokens_decoder();
        let size = vocabulary
            .values()
            .chain(added.keys())
            .max()
            .map_or(0, |&id| id as usize + 1);
        if size == 0 || size > MAX_TOKENS {
            return Err(TextError::Vocabulary(format!(
                "ids up to {size} (at most {MAX_TOKENS})"
            )));
        }
        let mut texts = vec![""; size];
        for (text, &id) in &vocabulary {
            texts[id as usize] = text;
        }
        let alphabet = ByteLevel::new();
        let mut pieces = Pieces::new(decoding.leading_space);
        let mut special = Vec::new();
        for (text, id) in texts.into_iter().zip(0u32..) {
            if let Some(token) = added.get(&id) {
                let role = if token.special && !shown.contains(&id) {
                    Role::Control
                } else {
                    Role::Special
                };
                pieces.push(token.content.replace(SPACE, " ").as_bytes(), role);
                special.push(SpecialToken {
                    id,
                    text: token.content.clone(),
                    control: token.special,
                });
                continue;
            }
            let byte = crate::gguf::byte_of(text).filter(|_| decoding.byte_fallback);
            match (byte, alphabet.decode(text).filter(|_| decoding.byte_level)) {
                (Some(byte), _) => pieces.push(&[byte], Role::Text),
                (_, Some(bytes)) => pieces.push(&bytes, Role::Text),
                _ if decoding.byte_level => pieces.push(text.as_bytes(), Role::Text),
                _ => pieces.push(text.replace(SPACE, " ").as_bytes(), Role::Text),
            }
        }
        let role = |what: &str, token: &Option<String>| match token {
            None => Ok(None),
            Some(text) => match tokenizer.token_to_id(text) {
                Some(id) => Ok(Some(id)),
                None => Err(TextError::Vocabulary(format!(
                    "{what} token {text:?} is not in it"
                ))),
            },
        };
        let (bos, eos) = (
            role("BOS", &config.bos_token)?,
            role("EOS", &config.eos_token)?,
        );
        let mut eos_ids: Vec<u32> = end_ids.iter().copied().chain(eos).collect();
        if let Some(&id) = eos_ids.iter().find(|&&id| id as usize >= size) {
            return Err(TextError::UnknownId { id, size });
        }
        eos_ids.sort_unstable();
        eos_ids.dedup();
        let control = special.iter().filter(|t| t.control).map(|t| t.id).collect();
        let special = SpecialTokens::new(special)?;
        Ok(Self {
            model: Model::Json(Box::new(Json {
                tokenizer,
                as_text: OnceLock::new(),
                control,
                unknown,
            })),
            pieces,
            guards: special.guards(),
            special,
            bos,
            eos,
            eos_ids,
            // the file's post-processor adds them
            add_bos: false,
            add_eos: false,
        })
    }
}
