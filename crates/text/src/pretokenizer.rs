//! Named pre-tokenizers of byte-level BPE: how a text is cut before any merge.
//!
//! A text is first *collapsed* to one byte per character: ASCII as it is, any other character as a byte that
//! stands for its class. The regular expressions are then over bytes, hence linear in time and independent of
//! the Unicode tables of the regex crate.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

use crate::TextError;
use crate::unicode::{Class, class};

/// `\s+(?!\S)`: how much of a run of spaces a match keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    /// Everything.
    All,
    /// All but the last, unless nothing follows.
    LeaveLast,
    /// As [`Spaces::LeaveLast`], except a run that ends with a line break.
    LeaveLastUnlessBreak,
}

/// One pass over the pieces of the pass before.
enum Stage {
    /// Matches and what lies between them are pieces.
    Pattern(Regex, Spaces),
    /// Maximal runs of such characters, and what lies between them.
    Runs(fn(char) -> bool),
}

/// A pre-tokenizer.
pub(crate) struct PreTokenizer {
    stages: Vec<Stage>,
    /// A piece that is a token as a whole is not merged from bytes.
    pub(crate) ignore_merges: bool,
    /// Whether a sequence starts with BOS where the file does not say.
    pub(crate) add_bos: bool,
}

/// What is merged after it is split like this.
#[derive(Clone, Copy)]
enum Style {
    Default,
    Gpt2,
    Starcoder,
    Falcon,
    Llama3,
    Qwen2,
    Qwen35,
    Tekken,
    Gpt4o,
    DeepseekCoder,
    Deepseek3,
    SeedCoder,
    BailingMoe,
    MiniCpm5,
}

/// Name in `tokenizer.ggml.pre`, style, `ignore_merges`, `add_bos`.
const NAMES: &[(&str, Style, bool, bool)] = &[
    ("default", Style::Default, false, false),
    ("llama-bpe", Style::Llama3, true, true),
    ("llama3", Style::Llama3, true, true),
    ("llama-v3", Style::Llama3, true, true),
    ("falcon3", Style::Llama3, true, true),
    ("falcon-h1", Style::Llama3, true, true),
    ("pixtral", Style::Llama3, true, true),
    ("midm-2.0", Style::Llama3, true, true),
    ("lfm2", Style::Llama3, true, true),
    ("dbrx", Style::Llama3, false, false),
    ("smaug-bpe", Style::Llama3, false, false),
    ("chatglm-bpe", Style::Llama3, false, false),
    ("glm4", Style::Llama3, true, false),
    ("qwen2", Style::Qwen2, false, false),
    ("deepseek-r1-qwen", Style::Qwen2, false, false),
    ("megrez", Style::Qwen2, false, false),
    ("stablelm2", Style::Qwen2, false, false),
    ("hunyuan", Style::Qwen2, false, false),
    ("grok-2", Style::Qwen2, false, false),
    ("qwen35", Style::Qwen35, false, false),
    ("tekken", Style::Tekken, true, true),
    ("gpt-4o", Style::Gpt4o, false, false),
    ("llama4", Style::Gpt4o, false, false),
    ("gpt-2", Style::Gpt2, false, false),
    ("phi-2", Style::Gpt2, false, false),
    ("mpt", Style::Gpt2, false, false),
    ("olmo", Style::Gpt2, false, false),
    ("jais", Style::Gpt2, false, false),
    ("exaone4", Style::Gpt2, false, false),
    ("smollm", Style::Starcoder, false, false),
    ("starcoder", Style::Starcoder, false, false),
    ("refact", Style::Starcoder, false, false),
    ("command-r", Style::Starcoder, false, false),
    ("codeshell", Style::Starcoder, false, false),
    ("exaone", Style::Starcoder, false, false),
    ("minerva-7b", Style::Starcoder, false, false),
    ("falcon", Style::Falcon, false, false),
    ("deepseek-coder", Style::DeepseekCoder, false, false),
    ("deepseek-v3", Style::Deepseek3, false, false),
    ("seed-coder", Style::SeedCoder, false, false),
    ("bailingmoe", Style::BailingMoe, false, false),
    ("minicpm5", Style::MiniCpm5, true, false),
];

const GPT2: &str = r"'(?:[stmd]|re|ve|ll)| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+";
/// `'s`, `'t`, `'re`, ... in either case.
const CONTRACTION: &str = r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])";
/// Letters that may begin and letters that may continue a word that changes case once.
const CASED: [&str; 2] = [
    r"[^\r\n\p{L}\p{N}]?[\p{Upper}]*[\p{Lower}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Upper}]+[\p{Lower}]*",
];

impl PreTokenizer {
    /// The one of that name; none or an empty one is `default`.
    ///
    /// # Errors
    /// [`TextError::Unsupported`] names what is there.
    pub(crate) fn named(name: Option<&str>) -> Result<Self, TextError> {
        let name = name.filter(|n| !n.is_empty()).unwrap_or("default");
        let &(_, style, ignore_merges, add_bos) = NAMES
            .iter()
            .find(|(known, ..)| *known == name)
            .ok_or_else(|| TextError::Unsupported {
            what: "pre-tokenizer",
            found: name.into(),
            supported: NAMES.iter().map(|n| n.0).collect::<Vec<_>>().join(", "),
        })?;
        Ok(Self {
            stages: stages(style)?,
            ignore_merges,
            add_bos,
        })
    }

    /// Ranges of bytes that cover `text`, in order, none empty.
    pub(crate) fn split(&self, text: &str) -> Vec<Range<usize>> {
        let collapsed: Vec<u8> = text.chars().map(collapse).collect();
        let whole = 0..collapsed.len();
        let mut pieces = Vec::from([whole]);
        let chars: Vec<char> = if self.stages.iter().any(|s| matches!(s, Stage::Runs(_))) {
            text.chars().collect()
        } else {
            Vec::new()
        };
        for stage in &self.stages {
            let mut next = Vec::with_capacity(pieces.len());
            for piece in pieces {
                match stage {
                    Stage::Pattern(regex, spaces) => {
                        by_pattern(regex, *spaces, &collapsed, piece, &mut next);
                    }
                    Stage::Runs(wanted) => by_runs(*wanted, &chars, piece, &mut next),
                }
            }
            pieces = next;
        }
        to_bytes(text, pieces)
    }
}

/// A character as one byte: see the module.
fn collapse(c: char) -> u8 {
    if c.is_ascii() {
        return c as u8;
    }
    match class(c) {
        Class::Space => 0x0b,
        Class::Other => 0xd0,
        Class::Number => 0xd1,
        Class::Letter => 0xd2,
        Class::Punctuation => 0xd3,
        Class::Mark => 0xd4,
        Class::Symbol => 0xd5,
    }
}

/// `\p{..}` inside brackets as collapsed bytes.
fn expand(pattern: &str) -> String {
    [
        (r"\p{N}", r"0-9\xD1"),
        (r"\p{L}", r"A-Za-z\xD2"),
        (r"\p{Upper}", r"A-Z\xD2"),
        (r"\p{Lower}", r"a-z\xD2"),
        (r"\p{P}", r"!-#%-*,-/:;?@\[-\]_\{\}\xD3"),
        (r"\p{M}", r"\xD4"),
        (r"\p{S}", r"\$\+<->\^`|~\xD5"),
    ]
    .iter()
    .fold(pattern.to_owned(), |p, (from, to)| p.replace(from, to))
}

fn pattern(pattern: &str, spaces: Spaces) -> Result<Stage, TextError> {
    RegexBuilder::new(&expand(pattern))
        .unicode(false)
        .build()
        .map(|regex| Stage::Pattern(regex, spaces))
        .map_err(|e| TextError::Vocabulary(e.to_string()))
}

fn stages(style: Style) -> Result<Vec<Stage>, TextError> {
    use Spaces::{All, LeaveLast, LeaveLastUnlessBreak};
    let words = |letters: &str, digits: &str, other: &str| {
        pattern(
            &format!(r"{letters}|{digits}| ?{other}|\s*[\r\n]+|\s+"),
            LeaveLastUnlessBreak,
        )
    };
    let llama_like = |digits| {
        words(
            &format!(r"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}]+"),
            digits,
            r"[^\s\p{L}\p{N}]+[\r\n]*",
        )
    };
    let cased = |suffix: &str, digits| {
        words(
            &format!("{}{suffix}|{}{suffix}", CASED[0], CASED[1]),
            digits,
            r"[^\s\p{L}\p{N}]+[\r\n/]*",
        )
    };
    let gpt2 = || pattern(GPT2, LeaveLast);
    Ok(match style {
        Style::Default => vec![
            pattern(r"[\p{P}\$\+<=>\^~\|]+", All)?,
            gpt2()?,
            pattern(r"[\p{N}]+", All)?,
            pattern("[0-9][0-9][0-9]", All)?,
        ],
        Style::Gpt2 => vec![gpt2()?],
        Style::Starcoder => vec![pattern(r"[\p{N}]", All)?, gpt2()?],
        Style::Falcon => vec![
            pattern(r"[\p{P}\$\+<=>\^~\|`]+", All)?,
            gpt2()?,
            pattern("[0-9][0-9][0-9]", All)?,
        ],
        Style::Llama3 => vec![llama_like(r"[\p{N}]{1,3}")?],
        Style::Qwen2 => vec![llama_like(r"[\p{N}]")?],
        Style::Qwen35 => vec![words(
            &format!(r"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+"),
            r"[\p{N}]",
            r"[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
        )?],
        Style::Tekken => vec![cased("", r"[\p{N}]")?],
        Style::Gpt4o => vec![cased(&format!("(?:{CONTRACTION})?"), r"[\p{N}]{1,3}")?],
        Style::DeepseekCoder => vec![
            pattern(r"[\r\n]", All)?,
            pattern(r"\s?[\p{L}]+", All)?,
            pattern(r"\s?[\p{P}]+", All)?,
            Stage::Runs(|c| {
                matches!(c, '\u{800}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7ff}')
                    && class(c) != Class::Space
            }),
            pattern(r"[\p{N}]", All)?,
        ],
        Style::Deepseek3 => vec![
            pattern(r"[\p{N}]{1,3}", All)?,
            Stage::Runs(|c| matches!(c, '\u{4e00}'..='\u{9fa5}' | '\u{3040}'..='\u{30ff}')),
            words(
                r"[!-/:-@\[-`\{-~][A-Za-z]+",
                r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
                r"[\p{P}\p{S}]+[\r\n]*",
            )?,
        ],
        Style::SeedCoder => vec![words(
            &format!(r"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}]+"),
            r"[\p{N}]",
            r"[^\s\p{L}\p{N}\r\n]+",
        )?],
        Style::BailingMoe => vec![pattern(
            &format!(
                r"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}]+|[\p{{N}}]| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]|\s+"
            ),
            LeaveLastUnlessBreak,
        )?],
        Style::MiniCpm5 => vec![pattern(r"[\p{N}]{1,3}", All)?, llama_like(r"[\p{N}]+")?],
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 0x09..=0x0d)
}

fn by_pattern(
    regex: &Regex,
    spaces: Spaces,
    collapsed: &[u8],
    piece: Range<usize>,
    out: &mut Vec<Range<usize>>,
) {
    // a slice of its own: neither looks beyond it
    let text = &collapsed[piece.clone()];
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = regex.find_at(text, at) {
        let (start, mut end) = (found.start(), found.end());
        let run = &text[start..end];
        if spaces != Spaces::All
            && run.len() > 1
            && end < text.len()
            && run.iter().all(|&b| is_space(b))
            && !(spaces == Spaces::LeaveLastUnlessBreak
                && matches!(run.last(), Some(b'\r' | b'\n')))
        {
            end -= 1;
        }
        if start > done {
            out.push(piece.start + done..piece.start + start);
        }
        out.push(piece.start + start..piece.start + end);
        (done, at) = (end, end);
    }
    if done < text.len() {
        out.push(piece.start + done..piece.end);
    }
}

fn by_runs(
    wanted: fn(char) -> bool,
    chars: &[char],
    piece: Range<usize>,
    out: &mut Vec<Range<usize>>,
) {
    let mut start = piece.start;
    for at in piece.clone() {
        if at > start && wanted(chars[at]) != wanted(chars[at - 1]) {
            out.push(start..at);
            start = at;
        }
    }
    if start < piece.end {
        out.push(start..piece.end);
    }
}

/// Ranges of characters that cover the text, as ranges of bytes.
fn to_bytes(text: &str, pieces: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut chars = text.chars();
    let mut start = 0;
    pieces
        .into_iter()
        .map(|piece| {
            let length: usize = chars.by_ref().take(piece.len()).map(char::len_utf8).sum();
            let range = start..start + length;
            start = range.end;
            range
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
        let pieces = PreTokenizer::named(Some(name)).unwrap().split(text);
        pieces.into_iter().map(|r| &text[r]).collect()
    }

    #[test]
    fn cuts_as_each_style_says() {
        assert_eq!(
            split("gpt-2", "Hello  world's 123\n\n x"),
            ["Hello", " ", " world", "'s", " 123", "\n\n", " x"]
        );
        assert_eq!(
            split("llama-bpe", "I'LL  go 12345!\r\n\n x  "),
            [
                "I", "'LL", " ", " go", " ", "123", "45", "!\r\n\n", " x", "  "
            ]
        );
        assert_eq!(split("qwen2", "a 12"), ["a", " ", "1", "2"]);
        assert_eq!(split("smollm", "a 12"), ["a", " ", "1", "2"]);
        assert_eq!(
            split("tekken", "HelloWorld ÀÉ 12//\n"),
            ["Hello", "World", " ÀÉ", " ", "1", "2", "//\n"]
        );
        assert_eq!(split("gpt-4o", "Don't 1234"), ["Don't", " ", "123", "4"]);
        assert_eq!(
            split("deepseek-v3", "1234中文かな.foo"),
            ["123", "4", "中文かな", ".foo"]
        );
        assert_eq!(split("default", "a1234.b"), ["a", "123", "4", ".", "b"]);
        assert_eq!(split("qwen35", "e\u{301}a"), ["e\u{301}a"]);
        assert_eq!(split("qwen2", "e\u{301}a"), ["e", "\u{301}a"]);
        assert_eq!(
            split("deepseek-coder", "a\n b中 ,"),
            ["a", "\n", " b", "中", " ,"]
        );
    }

    #[test]
    fn covers_every_text_with_pieces_in_order() {
        let text =
            "\0 \u{a0}\u{3000}x\u{200d}\u{1f468}\u{200d}\u{1f469}\t\t\n\r\n  Ω9½\u{301}\u{e000}";
        for (name, ..) in NAMES {
            assert_eq!(split(name, text).concat(), text, "{name}");
            assert!(split(name, "").is_empty(), "{name}");
        }
    }

    #[test]
    fn names_what_it_knows_when_asked_for_what_it_does_not() {
        let error = PreTokenizer::named(Some("klingon"))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("klingon") && error.contains("qwen2"),
            "{error}"
        );
    }
}
