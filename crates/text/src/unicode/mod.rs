//! Classes of characters of Unicode 15.1: a vocabulary's pieces depend on them, so the version is fixed.

mod table;

use table::RUNS;

/// What a pre-tokenizer tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Anything else: controls, formats, private use, unassigned.
    Other,
    /// `\p{N}`
    Number,
    /// `\p{L}`
    Letter,
    /// `\p{P}`
    Punctuation,
    /// `\p{M}`
    Mark,
    /// `\p{S}`
    Symbol,
    /// `\s`: White_Space
    Space,
}

/// The class of a character.
pub(crate) fn class(c: char) -> Class {
    // the first run begins at 0, so there is always one at or before `c`
    let after = RUNS.partition_point(|run| run >> 3 <= u32::from(c));
    match RUNS[after - 1] & 7 {
        1 => Class::Number,
        2 => Class::Letter,
        3 => Class::Punctuation,
        4 => Class::Mark,
        5 => Class::Symbol,
        6 => Class::Space,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_one_character_of_each_class_and_the_ends_of_the_table() {
        for (c, want) in [
            ('\0', Class::Other),
            ('\u{1c}', Class::Other),
            ('\u{85}', Class::Space),
            ('\u{3000}', Class::Space),
            ('a', Class::Letter),
            ('\u{e9}', Class::Letter),
            ('\u{4e2d}', Class::Letter),
            ('7', Class::Number),
            ('\u{bd}', Class::Number),
            ('\u{300}', Class::Mark),
            ('!', Class::Punctuation),
            ('$', Class::Symbol),
            ('\u{1f600}', Class::Symbol),
            ('\u{200d}', Class::Other),
            // assigned in Unicode 16.0: not here
            ('\u{1c89}', Class::Other),
            ('\u{10ffff}', Class::Other),
        ] {
            assert_eq!(class(c), want, "{c:?}");
        }
    }
}
