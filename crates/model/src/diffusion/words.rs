//! What can be said to a model that draws: fields of words, in any order.

use serde::Deserialize;

/// Most fields, and most words of one.
const MAX_WORDS: usize = 1024;

/// Words of which one can be said.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// What they say, for people.
    pub name: String,
    /// The words, in lower case.
    pub words: Vec<String>,
    /// The word that announces one of these, where another field has the same.
    #[serde(default)]
    pub after: Option<String>,
}

/// Why words are no prompt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// A word that no field has.
    #[error("{word:?} is no word that the model knows")]
    Unknown {
        /// The word.
        word: String,
        /// What can be said, a field a line.
        vocabulary: String,
    },
    /// A second word of a field.
    #[error("{first:?} and {second:?} are both a {field}")]
    Twice {
        /// The field.
        field: String,
        /// What was said first.
        first: String,
        /// What was said then.
        second: String,
        /// What can be said, a field a line.
        vocabulary: String,
    },
}

impl PromptError {
    /// What can be said, a field a line.
    pub fn vocabulary(&self) -> &str {
        match self {
            PromptError::Unknown { vocabulary, .. } | PromptError::Twice { vocabulary, .. } => {
                vocabulary
            }
        }
    }
}

/// What is wrong with fields.
pub(super) fn check(fields: &[Field]) -> Result<(), String> {
    if fields.len() > MAX_WORDS {
        return Err(format!(
            "{} fields, expected up to {MAX_WORDS}",
            fields.len()
        ));
    }
    for field in fields {
        if field.words.is_empty() || field.words.len() > MAX_WORDS {
            let found = field.words.len();
            return Err(format!(
                "field {:?} has {found} words, expected 1 to {MAX_WORDS}",
                field.name
            ));
        }
        let own = |word: &&String| split(word).ne([word.as_str()]);
        if let Some(word) = field.words.iter().chain(&field.after).find(own) {
            return Err(format!("field {:?}: {word:?} is no word", field.name));
        }
    }
    Ok(())
}

/// Letters and digits, in lower case.
fn split(text: &str) -> impl Iterator<Item = String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    let words: Vec<String> = words.filter(|w| !w.is_empty()).map(str::to_owned).collect();
    words.into_iter()
}

/// What can be said, a field a line.
pub(super) fn vocabulary(fields: &[Field]) -> String {
    let line = |field: &Field| {
        let after = field.after.as_ref().map(|word| format!("{word} "));
        let words = field.words.join(", ");
        format!("{}: {}{words}", field.name, after.unwrap_or_default())
    };
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Place of the word of each field, from 1 on; 0 where none is said.
pub(super) fn read(
    fields: &[Field],
    ignored: &[String],
    prompt: &str,
) -> Result<Vec<u64>, PromptError> {
    let mut places = vec![0; fields.len()];
    let mut announced: Option<String> = None;
    for word in split(prompt) {
        if fields.iter().any(|f| f.after.as_ref() == Some(&word)) {
            announced = Some(word);
            continue;
        }
        if ignored.contains(&word) {
            continue;
        }
        let place = |field: &Field| field.words.iter().position(|w| *w == word);
        let found = fields.iter().enumerate().find_map(|(i, field)| {
            let at = place(field).filter(|_| field.after == announced)?;
            Some((i, at as u64 + 1))
        });
        let Some((i, at)) = found else {
            return Err(PromptError::Unknown {
                word,
                vocabulary: vocabulary(fields),
            });
        };
        let field = &fields[i];
        if let Some(first) = place_word(field, places[i]) {
            return Err(PromptError::Twice {
                field: field.name.clone(),
                first: first.to_owned(),
                second: word,
                vocabulary: vocabulary(fields),
            });
        }
        places[i] = at;
        announced = None;
    }
    Ok(places)
}

fn place_word(field: &Field, place: u64) -> Option<&str> {
    let at = usize::try_from(place.checked_sub(1)?).ok()?;
    field.words.get(at).map(String::as_str)
}

/// The words at places; `None` where there are other places than words.
pub(super) fn said(fields: &[Field], places: &[u64]) -> Option<String> {
    if places.len() != fields.len() {
        return None;
    }
    let mut words = Vec::new();
    for (field, &place) in fields.iter().zip(places).filter(|(_, place)| **place > 0) {
        words.extend(field.after.as_deref());
        words.push(place_word(field, place)?);
    }
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Field> {
        let field = |name: &str, words: &str, after: Option<&str>| Field {
            name: name.to_owned(),
            words: split(words).collect(),
            after: after.map(str::to_owned),
        };
        vec![
            field("colour", "red blue", None),
            field("shape", "circle star", None),
            field("background", "red blue", Some("on")),
        ]
    }

    fn places(prompt: &str) -> Result<Vec<u64>, PromptError> {
        read(&fields(), &["a".to_owned()], prompt)
    }

    #[test]
    fn words_are_read_in_any_order_and_said_again() {
        for (prompt, expected, again) in [
            ("a red circle on blue", [1, 1, 2], "red circle on blue"),
            ("On blue: a RED circle!", [1, 1, 2], "red circle on blue"),
            ("star", [0, 2, 0], "star"),
            ("on a red star", [0, 2, 1], "star on red"),
            ("", [0, 0, 0], ""),
        ] {
            assert_eq!(places(prompt).as_deref(), Ok(&expected[..]), "{prompt}");
            assert_eq!(said(&fields(), &expected).as_deref(), Some(again));
        }
        for wrong in [&[1, 1][..], &[3, 1, 0], &[1, 1, 1, 0], &[u64::MAX, 0, 0]] {
            assert_eq!(said(&fields(), wrong), None);
        }
    }

    #[test]
    fn other_words_are_refused_with_those_that_there_are() {
        let wrong = places("a red octagon").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "\"octagon\" is no word that the model knows"
        );
        assert_eq!(
            wrong.vocabulary(),
            "colour: red, blue\nshape: circle, star\nbackground: on red, blue"
        );
        let twice = places("red blue star").unwrap_err().to_string();
        assert_eq!(twice, "\"red\" and \"blue\" are both a colour");
        assert!(places("circle on star").is_err());
        let mut bad = fields();
        bad[0].words.push("two words".to_owned());
        assert!(check(&bad).is_err());
        bad[0].words.clear();
        assert!(check(&bad).is_err());
        assert_eq!(check(&fields()), Ok(()));
    }
}
