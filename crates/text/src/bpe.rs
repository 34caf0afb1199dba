//! Byte-level BPE: bytes of a piece merged by the rank of the pair.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::byte_level::ByteLevel;
use crate::merge::{Symbol, merge};
use crate::pretokenizer::PreTokenizer;

const NO_TOKEN: u32 = u32::MAX;

/// Strings of bytes that occur in merges or are tokens; the first 256 are the single bytes.
pub(crate) struct Bpe {
    split: PreTokenizer,
    symbols: HashMap<Box<[u8]>, u32>,
    /// By symbol.
    tokens: Vec<u32>,
    /// Rank and symbol of what two symbols merge to.
    pairs: HashMap<(u32, u32), (u32, u32)>,
}

impl Bpe {
    /// `mergeable` are the ids and texts of the tokens that text may become, in the byte-level alphabet like
    /// `merges` (`left right`, best first; of two equal ones the first counts).
    pub(crate) fn new<'a>(
        split: PreTokenizer,
        mergeable: impl Iterator<Item = (u32, &'a str)>,
        merges: &[String],
    ) -> Self {
        let alphabet = ByteLevel::new();
        let mut bpe = Self {
            split,
            symbols: HashMap::new(),
            tokens: Vec::new(),
            pairs: HashMap::new(),
        };
        for byte in 0..=255u8 {
            bpe.symbol(&[byte]);
        }
        for (id, text) in mergeable {
            // other characters stand for no bytes, so no text becomes such a token
            if let Some(bytes) = alphabet.decode(text) {
                let symbol = bpe.symbol(&bytes);
                bpe.tokens[symbol as usize] = id;
            }
        }
        for (merge, rank) in merges.iter().zip(0u32..) {
            // a space is never of the alphabet, so the first one parts the pair
            let Some((left, right)) = merge.split_once(' ') else {
                continue;
            };
            let Some((left, right)) = alphabet.decode(left).zip(alphabet.decode(right)) else {
                continue;
            };
            let pair = (bpe.symbol(&left), bpe.symbol(&right));
            let merged = bpe.symbol(&[left, right].concat());
            if let Entry::Vacant(entry) = bpe.pairs.entry(pair) {
                entry.insert((rank, merged));
            }
        }
        bpe
    }

    fn symbol(&mut self, bytes: &[u8]) -> u32 {
        if let Some(&symbol) = self.symbols.get(bytes) {
            return symbol;
        }
        let symbol = self.tokens.len() as u32;
        self.symbols.insert(bytes.into(), symbol);
        self.tokens.push(NO_TOKEN);
        symbol
    }

    /// Appends the tokens of a text.
    pub(crate) fn encode(&self, text: &str, out: &mut Vec<u32>) {
        for piece in self.split.split(text) {
            let piece = &text.as_bytes()[piece];
            if self.split.ignore_merges
                && let Some(&symbol) = self.symbols.get(piece)
                && self.tokens[symbol as usize] != NO_TOKEN
            {
                out.push(self.tokens[symbol as usize]);
                continue;
            }
            let bytes = piece.iter().zip(0u32..).map(|(&byte, at)| Symbol {
                start: at,
                end: at + 1,
                id: u32::from(byte),
            });
            for symbol in merge(bytes, |l, r| self.pairs.get(&(l.id, r.id)).copied()) {
                let token = self.tokens[symbol.id as usize];
                if token != NO_TOKEN {
                    out.push(token);
                    continue;
                }
                // a byte without token is lost, as everywhere in the field
                let bytes = piece[symbol.range()]
                    .iter()
                    .map(|&byte| self.tokens[byte as usize]);
                out.extend(bytes.filter(|&token| token != NO_TOKEN));
            }
        }
    }
}
