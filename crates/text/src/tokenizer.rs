//! A tokenizer of either origin.

use std::ops::Range;

use crate::TextError;
use crate::bpe::Bpe;
use crate::json::Json;
use crate::pieces::{DecodeStream, Pieces, Role};
use crate::special::{Fragment, SpecialTokens};
use crate::spm::{SPACE, Spm};

/// Bytes of text that are tokenized at once.
pub const MAX_TEXT: usize = 8 << 20;
/// Tokens of a vocabulary.
pub const MAX_TOKENS: usize = 1 << 20;
/// Bytes of all texts of a vocabulary.
pub(crate) const MAX_VOCABULARY_BYTES: usize = 128 << 20;

/// What becomes of the names of control tokens in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// They are text like any other: for what users say.
    AsText,
    /// They are control tokens: for what a chat template writes.
    Parse,
}

/// The rules of a vocabulary.
pub(crate) enum Model {
    /// SentencePiece.
    Spm {
        /// Merges.
        model: Spm,
        /// Text at the start or after a special token is given a leading space.
        add_space_prefix: bool,
    },
    /// Byte-level BPE.
    Bpe(Bpe),
    /// A `tokenizer.json`.
    Json(Box<Json>),
}

/// Text to tokens and back.
pub struct Tokenizer {
    pub(crate) model: Model,
    pub(crate) pieces: Pieces,
    pub(crate) special: SpecialTokens,
    /// See [`crate::chat`].
    pub(crate) guards: Vec<char>,
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    pub(crate) eos_ids: Vec<u32>,
    pub(crate) add_bos: bool,
    pub(crate) add_eos: bool,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocabulary_size", &self.vocabulary_size())
            .field("bos", &self.bos)
            .field("eos_ids", &self.eos_ids)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// The tokens of a text, nothing added.
    ///
    /// # Errors
    /// [`TextError::TooLong`], [`TextError::NoToken`] or [`TextError::ControlFromText`].
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>, TextError> {
        check_length(text)?;
        match &self.model {
            Model::Json(json) => json.encode(text, special, false),
            _ => self.encode_where(text, |_| special == Special::Parse),
        }
    }

    /// The tokens of a text that starts a sequence: with BOS before it and EOS after it, where the vocabulary
    /// says so.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_prompt(&self, text: &str, special: Special) -> Result<Vec<u32>, TextError> {
        check_length(text)?;
        if let Model::Json(json) = &self.model {
            return json.encode(text, special, true);
        }
        let mut ids: Vec<u32> = self.bos.filter(|_| self.add_bos).into_iter().collect();
        ids.extend(self.encode(text, special)?);
        ids.extend(self.eos.filter(|_| self.add_eos));
        Ok(ids)
    }

    /// The tokens of a text in which control tokens are read, except where one would contain a character that
    /// begins at one of the bytes `protected` (in order).
    pub(crate) fn encode_protected(
        &self,
        text: &str,
        protected: &[usize],
    ) -> Result<Vec<u32>, TextError> {
        check_length(text)?;
        match &self.model {
            Model::Json(json) => json.encode_protected(text, protected),
            _ => self.encode_where(text, |range| !holds(protected, range)),
        }
    }

    fn encode_where(
        &self,
        text: &str,
        control: impl Fn(&Range<usize>) -> bool,
    ) -> Result<Vec<u32>, TextError> {
        let mut ids = Vec::new();
        let mut after_special = true;
        for fragment in self.special.cut(text, control)? {
            match (fragment, &self.model) {
                (Fragment::Token(id), _) => {
                    ids.push(id);
                    after_special = true;
                }
                (
                    Fragment::Text(range),
                    Model::Spm {
                        model,
                        add_space_prefix,
                    },
                ) => {
                    let mut spaced = String::with_capacity(2 * range.len());
                    if *add_space_prefix && after_special {
                        spaced.push(SPACE);
                    }
                    spaced.extend(
                        text[range]
                            .chars()
                            .map(|c| if c == ' ' { SPACE } else { c }),
                    );
                    model.encode(&spaced, &mut ids)?;
                    after_special = false;
                }
                (Fragment::Text(range), Model::Bpe(model)) => model.encode(&text[range], &mut ids),
                (Fragment::Text(_), Model::Json(_)) => {}
            }
        }
        Ok(ids)
    }

    /// Text of the tokens of a whole text. Control tokens and ids outside the vocabulary are no text; bytes that
    /// are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = self.decode_stream(&[]);
        let mut text: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
        text.extend(stream.flush());
        text
    }

    /// A decoder of what follows the tokens of `before`: a prompt, or nothing.
    pub fn decode_stream<'a>(&'a self, before: &[u32]) -> DecodeStream<'a> {
        DecodeStream::new(&self.pieces, before)
    }

    /// Characters of which every control token's name has one.
    pub(crate) fn guards(&self) -> &[char] {
        &self.guards
    }

    /// How many ids there are: 0 to one less.
    pub fn vocabulary_size(&self) -> usize {
        self.pieces.len()
    }

    /// What a token adds to a text, the name of a control token too; `None` outside the vocabulary. Not always
    /// UTF-8.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.pieces.get(id)
    }

    /// Whether a token steers the model and is no text.
    pub fn is_control(&self, id: u32) -> bool {
        self.pieces.role(id) == Some(Role::Control)
    }

    /// What begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// What ends a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// All that end a generation, in order.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    /// Whether a sequence begins with [`Tokenizer::bos`].
    pub fn adds_bos(&self) -> bool {
        self.add_bos && self.bos.is_some()
    }
}

/// Whether one of `protected` (in order) is in a range.
pub(crate) fn holds(protected: &[usize], range: &Range<usize>) -> bool {
    let first = protected.partition_point(|&at| at < range.start);
    protected.get(first).is_some_and(|&at| at < range.end)
}

fn check_length(text: &str) -> Result<(), TextError> {
    if text.len() > MAX_TEXT {
        return Err(TextError::TooLong {
            bytes: text.len(),
            limit: MAX_TEXT,
        });
    }
    Ok(())
}
