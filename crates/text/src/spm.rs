//! SentencePiece vocabularies: characters merged by the score of what they merge to, bytes for what has no token.

use std::collections::HashMap;

use crate::TextError;
use crate::merge::{Symbol, merge};

/// What stands for a space in a token's text.
pub(crate) const SPACE: char = '\u{2581}';

const NO_TOKEN: u32 = u32::MAX;

/// Tokens that text may become.
pub(crate) struct Spm {
    ids: HashMap<Box<str>, u32>,
    /// By id: the least is merged first.
    ranks: Vec<u32>,
    /// Bytes of the longest token.
    longest: usize,
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
}

impl Spm {
    /// `mergeable` are the ids and texts of the tokens that text may become; `scores` are by id, `bytes` the
    /// tokens of single bytes.
    ///
    /// # Errors
    /// [`TextError::Vocabulary`] for a score that is no number.
    pub(crate) fn new<'a>(
        mergeable: impl Iterator<Item = (u32, &'a str)>,
        scores: &[f32],
        bytes: Box<[Option<u32>; 256]>,
        unknown: Option<u32>,
    ) -> Result<Self, TextError> {
        let ranks = scores
            .iter()
            .map(|&score| {
                if score.is_nan() {
                    return Err(TextError::Vocabulary(
                        "a token's score is not a number".into(),
                    ));
                }
                // -0 and +0 are one score; then bits in the order of the numbers, the greatest first
                let bits = (score + 0.0).to_bits();
                Ok(!if bits >> 31 == 1 {
                    !bits
                } else {
                    bits | 1 << 31
                })
            })
            .collect::<Result<_, _>>()?;
        let ids: HashMap<Box<str>, u32> = mergeable.map(|(id, text)| (text.into(), id)).collect();
        let longest = ids.keys().map(|text| text.len()).max().unwrap_or(0);
        Ok(Self {
            ids,
            ranks,
            longest,
            bytes,
            unknown,
        })
    }

    /// Appends the tokens of a text in which [`SPACE`] stands for spaces.
    ///
    /// # Errors
    /// [`TextError::NoToken`].
    pub(crate) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), TextError> {
        let id_of = |text: &str| self.ids.get(text).copied();
        let characters = text.char_indices().map(|(at, c)| {
            let end = at + c.len_utf8();
            Symbol {
                start: at as u32,
                end: end as u32,
                id: id_of(&text[at..end]).unwrap_or(NO_TOKEN),
            }
        });
        let merged = merge(characters, |left, right| {
            let range = left.start as usize..right.end as usize;
            let id = if range.len() > self.longest {
                None
            } else {
                id_of(&text[range])
            }?;
            Some((self.ranks[id as usize], id))
        });
        for symbol in merged {
            if symbol.id != NO_TOKEN {
                out.push(symbol.id);
                continue;
            }
            for &byte in &text.as_bytes()[symbol.range()] {
                out.push(
                    self.bytes[byte as usize]
                        .or(self.unknown)
                        .ok_or(TextError::NoToken(byte))?,
                );
            }
        }
        Ok(())
    }
}
