//! The vocabulary that a GGUF file carries in its metadata.

use serde::{Deserialize, Serialize};

use crate::TextError;
use crate::bpe::Bpe;
use crate::byte_level::ByteLevel;
use crate::pieces::{LeadingSpace, Pieces, Role};
use crate::pretokenizer::PreTokenizer;
use crate::special::{SpecialToken, SpecialTokens, looks_like_control};
use crate::spm::{SPACE, Spm};
use crate::tokenizer::{MAX_TOKENS, MAX_VOCABULARY_BYTES, Model, Tokenizer};

/// What the metadata keys `tokenizer.*` say, each named after its key.
///
/// `None` and an empty list mean that the key is absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GgufVocabulary {
    /// `tokenizer.ggml.model`: `llama` (SentencePiece) or `gpt2` (byte-level BPE).
    pub model: String,
    /// `tokenizer.ggml.pre`: the pre-tokenizer of a `gpt2` vocabulary.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`: texts by id.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`: by id; of a `llama` vocabulary.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`: by id; 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`: `left right`, best first; of a `gpt2` vocabulary.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`
    pub eos: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`
    pub eot: Option<u32>,
    /// `tokenizer.ggml.eom_token_id`
    pub eom: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.chat_template`
    pub chat_template: Option<String>,
}

const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;
const NORMAL: i32 = 1;

/// Texts of tokens that end a generation whatever the file says of them.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
    // padding, repository and file marks of code completion
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// Texts of other tokens that steer the model whatever the file says of them: code completion.
const MARKS: &[&str] = &[
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<｜fim▁begin｜>",
    "<PRE>",
    "▁<PRE>",
    "<|code_prefix|>",
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<｜fim▁hole｜>",
    "<SUF>",
    "▁<SUF>",
    "<|code_suffix|>",
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<｜fim▁end｜>",
    "<MID>",
    "▁<MID>",
    "<|code_middle|>",
];

/// Control tokens that are shown when decoded: the channels of one family of models.
const SHOWN: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

/// One token as it is used.
struct Token<'a> {
    id: u32,
    text: &'a str,
    kind: i32,
}

impl Token<'_> {
    /// Only trusted text may name it.
    fn is_control(&self) -> bool {
        matches!(self.kind, CONTROL | UNKNOWN)
            || self.kind == USER_DEFINED && looks_like_control(self.text)
    }

    fn role(&self) -> Role {
        match self.kind {
            _ if SHOWN.contains(&self.text) => Role::Special,
            CONTROL | UNKNOWN => Role::Control,
            USER_DEFINED => Role::Special,
            _ => Role::Text,
        }
    }
}

/// `<0x0A>` and the like.
pub(crate) fn byte_of(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok())?
}

impl GgufVocabulary {
    fn check(&self) -> Result<(), TextError> {
        let refuse = |why: String| Err(TextError::Vocabulary(why));
        let count = self.tokens.len();
        let bytes: usize = self
            .tokens
            .iter()
            .chain(&self.merges)
            .map(String::len)
            .sum();
        if count == 0 || count > MAX_TOKENS || self.merges.len() > 4 * MAX_TOKENS {
            return refuse(format!(
                "{count} tokens and {} merges (at most {MAX_TOKENS} and {})",
                self.merges.len(),
                4 * MAX_TOKENS
            ));
        }
        if bytes > MAX_VOCABULARY_BYTES {
            return refuse(format!(
                "{bytes} bytes of text (at most {MAX_VOCABULARY_BYTES})"
            ));
        }
        for (what, length) in [
            ("scores", self.scores.len()),
            ("token types", self.token_types.len()),
        ] {
            if length != 0 && length < count {
                return refuse(format!("{length} {what} for {count} tokens"));
            }
        }
        Ok(())
    }
}

impl Tokenizer {
    /// The tokenizer of a GGUF file's vocabulary: the same ids as llama.cpp gives, except that text never
    /// becomes a control token (`spec/text.md`).
    ///
    /// # Errors
    /// [`TextError::Unsupported`] names what is read; [`TextError::Vocabulary`] for one that contradicts itself.
    pub fn from_gguf(vocabulary: &GgufVocabulary) -> Result<Self, TextError> {
        vocabulary.check()?;
        let spm = match vocabulary.model.as_str() {
            "llama" => true,
            "gpt2" => false,
            other => {
                return Err(TextError::Unsupported {
                    what: "tokenizer model",
                    found: other.into(),
                    supported: "llama, gpt2".into(),
                });
            }
        };
        let count = vocabulary.tokens.len();
        let known = |id: Option<u32>| id.filter(|&id| (id as usize) < count);
        let role =
            |id: Option<u32>, default: u32| known(id).or(known(Some(default).filter(|_| spm)));
        let (bos, eos) = (role(vocabulary.bos, 1), role(vocabulary.eos, 2));
        let unknown = role(vocabulary.unknown, 0);

        let mut tokens: Vec<Token<'_>> = Vec::with_capacity(count);
        let mut seen = std::collections::HashSet::with_capacity(count);
        for (text, id) in vocabulary.tokens.iter().zip(0u32..) {
            if !text.is_empty() && !seen.insert(text.as_str()) {
                return Err(TextError::Vocabulary(format!(
                    "token {id} {text:?} is there twice"
                )));
            }
            let kind = vocabulary
                .token_types
                .get(id as usize)
                .copied()
                .unwrap_or(NORMAL);
            let steers = ENDS.contains(&text.as_str()) || MARKS.contains(&text.as_str());
            tokens.push(Token {
                id,
                text,
                kind: if steers { CONTROL } else { kind },
            });
        }
        let text_of_ends = |t: &Token<'_>| ENDS.contains(&t.text);
        let mut eos_ids: Vec<u32> = tokens
            .iter()
            .filter(|t| text_of_ends(t))
            .map(|t| t.id)
            .collect();
        // where a turn ends otherwise, <|end|> only ends a channel
        let has = |text: &str| seen.contains(text);
        if has("<|return|>") && has("<|call|>") || has("<|calls|>") && has("<|flush|>") {
            eos_ids.retain(|&id| tokens[id as usize].text != "<|end|>");
        }
        eos_ids.extend(
            [eos, known(vocabulary.eot), known(vocabulary.eom)]
                .into_iter()
                .flatten(),
        );
        eos_ids.sort_unstable();
        eos_ids.dedup();

        let special = tokens
            .iter()
            .filter(|t| !t.text.is_empty() && matches!(t.kind, CONTROL | UNKNOWN | USER_DEFINED))
            .map(|t| SpecialToken {
                id: t.id,
                text: t.text.into(),
                control: t.is_control(),
            })
            .collect();
        // text becomes neither a control token nor, except byte by byte, the token of a byte
        let mergeable = || {
            tokens
                .iter()
                .filter(|t| !t.text.is_empty() && !t.is_control() && t.kind != BYTE)
                .map(|t| (t.id, t.text))
        };
        let (model, add_bos) = if spm {
            let mut bytes = Box::new([None; 256]);
            let single = |t: &Token<'_>| t.text.len() == 1 && t.text.is_ascii() && !t.is_control();
            for token in tokens.iter().filter(|t| single(t)) {
                bytes[token.text.as_bytes()[0] as usize] = Some(token.id);
            }
            for token in &tokens {
                if let Some(byte) = byte_of(token.text) {
                    bytes[byte as usize] = Some(token.id);
                }
            }
            let scores = if vocabulary.scores.is_empty() {
                vec![0.0; count]
            } else {
                vocabulary.scores.clone()
            };
            let model = Spm::new(mergeable(), &scores, bytes, unknown)?;
            let add_space_prefix = vocabulary.add_space_prefix.unwrap_or(true);
            (
                Model::Spm {
                    model,
                    add_space_prefix,
                },
                true,
            )
        } else {
            let split = PreTokenizer::named(vocabulary.pre.as_deref())?;
            let add_bos = split.add_bos;
            (
                Model::Bpe(Bpe::new(split, mergeable(), &vocabulary.merges)),
                add_bos,
            )
        };
        let special = SpecialTokens::new(special)?;
        Ok(Self {
            pieces: pieces(&tokens, &model),
            model,
            guards: special.guards(),
            special,
            bos,
            eos,
            eos_ids,
            add_bos: vocabulary.add_bos.unwrap_or(add_bos),
            add_eos: vocabulary.add_eos.unwrap_or(false),
        })
    }
}

fn pieces(tokens: &[Token<'_>], model: &Model) -> Pieces {
    let alphabet = ByteLevel::new();
    let mut pieces = Pieces::new(match model {
        Model::Spm {
            add_space_prefix: true,
            ..
        } => LeadingSpace::DropAfterSpecial,
        _ => LeadingSpace::Keep,
    });
    for token in tokens {
        let role = token.role();
        match (role, token.kind, model) {
            (Role::Text, BYTE, _) => {
                let byte = byte_of(token.text);
                pieces.push(byte.as_slice(), role);
            }
            (Role::Text, NORMAL, Model::Spm { .. }) => {
                pieces.push(token.text.replace(SPACE, " ").as_bytes(), role);
            }
            (Role::Text, NORMAL, _) => match alphabet.decode(token.text) {
                Some(bytes) => pieces.push(&bytes, role),
                None => pieces.push(token.text.as_bytes(), role),
            },
            // unused ones are no text
            (Role::Text, ..) => pieces.push(&[], role),
            _ => pieces.push(token.text.as_bytes(), role),
        }
    }
    pieces
}
