//! Why a vocabulary, a template or a text is refused.

/// What is wrong with a vocabulary, a template or a text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A kind of vocabulary, pre-tokenizer or decoder that is not implemented.
    #[error("{what} {found:?} is not supported (supported: {supported})")]
    Unsupported {
        /// `tokenizer model`, `pre-tokenizer`, `decoder`.
        what: &'static str,
        /// What the file says.
        found: String,
        /// What would have been read.
        supported: String,
    },
    /// A vocabulary that contradicts itself or a limit.
    #[error("vocabulary: {0}")]
    Vocabulary(String),
    /// A file of the `tokenizers` library that it does not read, or a text that it does not split.
    #[error("tokenizer.json: {0}")]
    Json(String),
    /// A text beyond the limit.
    #[error("text of {bytes} bytes: at most {limit} are tokenized at once")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A byte that no token stands for, in a vocabulary without an unknown token.
    #[error("the vocabulary has no token for byte {0:#04x}, and no unknown token")]
    NoToken(u8),
    /// Plain text that a vocabulary's own rules turn into a control token.
    #[error("plain text became the control token {0:?}")]
    ControlFromText(String),
    /// An id outside the vocabulary.
    #[error("token {id} is not in the vocabulary of {size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        size: usize,
    },
    /// A chat template that does not parse or render.
    #[error("chat template{}: {reason}", .line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Template {
        /// Line of the template, from 1, where it is known.
        line: Option<usize>,
        /// The engine's or the template's own words.
        reason: String,
    },
    /// A conversation beyond a limit.
    #[error("conversation: {0}")]
    Conversation(String),
}
