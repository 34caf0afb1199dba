//! Tokens that are found in a text before anything else: control tokens and those that a user defined.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::TextError;

/// How many of them a vocabulary may have, and how many bytes all together.
const MAX_TOKENS: usize = 1 << 16;
const MAX_BYTES: usize = 1 << 20;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct SpecialToken {
    /// Its id.
    pub(crate) id: u32,
    /// Its text, not empty.
    pub(crate) text: String,
    /// It steers the model, so only trusted text may name it.
    pub(crate) control: bool,
}

/// Whether a token's text has the shape that only control tokens have, whatever its file says of it.
pub(crate) fn looks_like_control(text: &str) -> bool {
    text.starts_with("<|") && text.ends_with("|>")
}

/// What a text falls into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fragment {
    /// Text yet to be tokenized.
    Text(Range<usize>),
    /// A special token.
    Token(u32),
}

/// Finder of the special tokens of a vocabulary.
pub(crate) struct SpecialTokens {
    /// Longest first, then by id.
    tokens: Vec<SpecialToken>,
    finder: Option<AhoCorasick>,
}

impl SpecialTokens {
    /// # Errors
    /// [`TextError::Vocabulary`] beyond a limit.
    pub(crate) fn new(mut tokens: Vec<SpecialToken>) -> Result<Self, TextError> {
        let bytes: usize = tokens.iter().map(|t| t.text.len()).sum();
        if tokens.len() > MAX_TOKENS || bytes > MAX_BYTES {
            return Err(TextError::Vocabulary(format!(
                "{} special tokens of {bytes} bytes (at most {MAX_TOKENS} of {MAX_BYTES})",
                tokens.len()
            )));
        }
        tokens.sort_by(|a, b| b.text.len().cmp(&a.text.len()).then(a.id.cmp(&b.id)));
        let finder = if tokens.is_empty() {
            None
        } else {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .build(tokens.iter().map(|t| &t.text));
            Some(built.map_err(|e| TextError::Vocabulary(e.to_string()))?)
        };
        Ok(Self { tokens, finder })
    }

    /// See [`crate::chat::guards`].
    pub(crate) fn guards(&self) -> Vec<char> {
        crate::chat::guards(
            self.tokens
                .iter()
                .filter(|t| t.control)
                .map(|t| t.text.as_str()),
        )
    }

    /// Cuts a text at them: longer tokens win over shorter ones, of one token the leftmost.
    ///
    /// `control` says whether a control token may be found in a range.
    ///
    /// # Errors
    /// [`TextError::Vocabulary`] where more of them overlap than any honest vocabulary makes.
    pub(crate) fn cut(
        &self,
        text: &str,
        control: impl Fn(&Range<usize>) -> bool,
    ) -> Result<Vec<Fragment>, TextError> {
        let mut found = Vec::new();
        // overlapping matches of nested tokens are the only thing here that is not linear
        let limit = 8 * text.len() + 1024;
        if let Some(finder) = &self.finder {
            for (seen, hit) in finder.find_overlapping_iter(text).enumerate() {
                if seen > limit {
                    return Err(TextError::Vocabulary(
                        "too many overlapping special tokens".into(),
                    ));
                }
                let order = hit.pattern().as_usize();
                if !self.tokens[order].control || control(&hit.range()) {
                    found.push((order, hit.start(), hit.end()));
                }
            }
        }
        found.sort_unstable();
        let mut taken = vec![false; if found.is_empty() { 0 } else { text.len() }];
        let mut kept = Vec::new();
        for (order, start, end) in found {
            // what is taken is at least as long, so an overlap shows at an end
            if !taken[start] && !taken[end - 1] {
                taken[start..end].fill(true);
                kept.push((start, end, self.tokens[order].id));
            }
        }
        kept.sort_unstable();
        let mut fragments = Vec::with_capacity(2 * kept.len() + 1);
        let mut done = 0;
        for (start, end, id) in kept {
            if start > done {
                fragments.push(Fragment::Text(done..start));
            }
            fragments.push(Fragment::Token(id));
            done = end;
        }
        if done < text.len() {
            fragments.push(Fragment::Text(done..text.len()));
        }
        Ok(fragments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn special(list: &[(&str, bool)]) -> SpecialTokens {
        let tokens = list
            .iter()
            .zip(0..)
            .map(|(&(text, control), id)| SpecialToken {
                id,
                text: text.into(),
                control,
            });
        SpecialTokens::new(tokens.collect()).unwrap()
    }

    #[test]
    fn longer_tokens_win_and_control_tokens_only_where_allowed() {
        use Fragment::{Text, Token};
        let s = special(&[("ab", false), ("bcd", false), ("<s>", true)]);
        assert_eq!(s.cut("abcd", |_| true).unwrap(), [Text(0..1), Token(1)]);
        assert_eq!(s.cut("abab", |_| true).unwrap(), [Token(0), Token(0)]);
        assert_eq!(
            s.cut("<s>x<s>", |_| true).unwrap(),
            [Token(2), Text(3..4), Token(2)]
        );
        assert_eq!(s.cut("<s>x", |_| false).unwrap(), [Text(0..4)]);
        assert_eq!(
            s.cut("<s>x<s>", |r| r.start > 0).unwrap(),
            [Text(0..4), Token(2)]
        );
        assert!(s.cut("", |_| true).unwrap().is_empty());
    }

    #[test]
    fn nested_tokens_cannot_make_it_slow() {
        let names: Vec<String> = (1..200).map(|n| "a".repeat(n)).collect();
        let list: Vec<(&str, bool)> = names.iter().map(|n| (n.as_str(), false)).collect();
        assert!(special(&list).cut(&"a".repeat(1 << 16), |_| true).is_err());
    }
}
