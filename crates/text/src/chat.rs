//! From a conversation to tokens, with control tokens from the template only.
//!
//! Rendering mixes the template's own text with what people said, and afterwards nobody can tell which is which.
//! So before it, every character of a content that could be part of a control token's name (at least one of each
//! name: the *guards*) is replaced by a character that occurs nowhere; after it those are put back, and a name
//! that contains one of them is text. What is tokenized is the whole text at once, so an honest conversation gives
//! the ids that tokenizing the rendered text gives.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::tokenizer::Tokenizer;
use crate::{ChatTemplate, Conversation, TextError};

/// First of the characters that stand for guards: the end of the last private plane.
const STAND_INS: u32 = 0x10_0000;

impl ChatTemplate {
    /// The tokens of a conversation: the prompt that [`ChatTemplate::render`] gives, control tokens read in what
    /// the template writes, never in a message's content. A vocabulary that begins sequences with BOS begins this
    /// one with it, once.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`] and [`Tokenizer::encode`].
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        conversation: &Conversation<'_>,
    ) -> Result<Vec<u32>, TextError> {
        let name = |id: Option<u32>| {
            let bytes = id
                .and_then(|id| tokenizer.token_bytes(id))
                .unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let contents: Vec<&str> = conversation
            .messages
            .iter()
            .map(|m| m.content.as_str())
            .collect();
        let stand_ins = stand_ins(tokenizer.guards(), self.source(), &contents)?;
        let masked = contents
            .iter()
            .map(|content| mask(content, &stand_ins))
            .collect::<Vec<_>>();
        let rendered = self.render_contents(
            conversation,
            masked.iter().map(|content| &**content),
            &name(tokenizer.bos()),
            &name(tokenizer.eos()),
        )?;
        let (text, protected) = unmask(&rendered, &stand_ins);
        let mut ids = tokenizer.encode_protected(&text, &protected)?;
        if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.adds_bos())
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(ids)
    }
}

/// One character of each name, as few different ones as is easy: punctuation that many names share comes first.
pub(crate) fn guards<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<char> {
    let mut counts: HashMap<char, usize> = HashMap::new();
    for c in names.clone().flat_map(str::chars) {
        *counts.entry(c).or_default() += 1;
    }
    let worth = |c: &char| (!c.is_alphanumeric() && !c.is_whitespace(), counts[c], *c);
    let mut guards: Vec<char> = Vec::new();
    let mut set = std::collections::HashSet::new();
    for name in names {
        if !name.chars().any(|c| set.contains(&c))
            && let Some(best) = name.chars().max_by_key(|c| worth(c))
        {
            set.insert(best);
            guards.push(best);
        }
    }
    guards
}

/// Each guard with a character that occurs neither in the template nor in a content.
fn stand_ins(
    guards: &[char],
    source: &str,
    contents: &[&str],
) -> Result<Vec<(char, char)>, TextError> {
    // only guards that are there need one
    let used: std::collections::HashSet<char> = contents
        .iter()
        .flat_map(|content| content.chars())
        .chain(source.chars())
        .collect();
    let mut free = (STAND_INS..=0x10_fffd)
        .filter_map(char::from_u32)
        .filter(|c| !used.contains(c));
    guards
        .iter()
        .filter(|guard| used.contains(guard))
        .map(|&guard| Some((guard, free.next()?)))
        .collect::<Option<_>>()
        .ok_or_else(|| {
            TextError::Conversation("it uses every character of private plane 16".into())
        })
}

fn mask<'a>(content: &'a str, stand_ins: &[(char, char)]) -> Cow<'a, str> {
    if stand_ins.is_empty() {
        return content.into();
    }
    let to: HashMap<char, char> = stand_ins.iter().copied().collect();
    content
        .chars()
        .map(|c| to.get(&c).copied().unwrap_or(c))
        .collect()
}

/// The text, and at which of its bytes a guard of a content begins.
fn unmask(rendered: &str, stand_ins: &[(char, char)]) -> (String, Vec<usize>) {
    let back: HashMap<char, char> = stand_ins
        .iter()
        .map(|&(guard, stand_in)| (stand_in, guard))
        .collect();
    let mut text = String::with_capacity(rendered.len());
    let mut protected = Vec::new();
    for c in rendered.chars() {
        match back.get(&c) {
            Some(&guard) => {
                protected.push(text.len());
                text.push(guard);
            }
            None => text.push(c),
        }
    }
    (text, protected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_few_and_in_every_name() {
        let names = ["<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]", "PAD"];
        let found = guards(names.into_iter());
        assert!(
            names.iter().all(|n| n.chars().any(|c| found.contains(&c))),
            "{found:?}"
        );
        assert!(found.len() <= 4, "{found:?}");
        assert!(guards(std::iter::empty()).is_empty());
    }

    #[test]
    fn stand_ins_come_back_as_what_they_stand_for() {
        let content = "a<|x|>\u{100000}";
        let stand_ins = stand_ins(&['|', '<', '#'], "", &[content]).unwrap();
        assert_eq!(stand_ins.iter().map(|s| s.0).collect::<String>(), "|<");
        let masked = mask(content, &stand_ins);
        assert!(!masked.contains(['|', '<']));
        let (text, protected) = unmask(&masked, &stand_ins);
        assert_eq!((text.as_str(), protected), (content, vec![1, 2, 4]));
    }
}
