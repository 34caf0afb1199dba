//! Text in and out of language models: tokenizers and chat templates. Pure: bytes and values in, values out.
//!
//! - [`Tokenizer`]: text to tokens and back, from a `tokenizer.json` or from [`GgufVocabulary`].
//! - [`DecodeStream`]: tokens to text, one by one.
//! - [`ChatTemplate`]: messages to text or tokens, by a program that cannot do harm.
//!
//! What is exact against what, and where it deviates on purpose: `spec/text.md`.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bpe;
mod byte_level;
mod chat;
mod error;
mod gguf;
mod json;
mod merge;
mod pieces;
mod pretokenizer;
mod special;
mod spm;
mod template;
mod tokenizer;
mod unicode;

pub use error::TextError;
pub use gguf::GgufVocabulary;
pub use json::TokenizerConfig;
pub use pieces::DecodeStream;
pub use template::{
    ChatTemplate, Conversation, DateTime, MAX_MESSAGES, MAX_TEMPLATE, Message, Role,
};
pub use tokenizer::{MAX_TEXT, MAX_TOKENS, Special, Tokenizer};
