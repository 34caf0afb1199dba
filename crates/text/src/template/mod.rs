//! Chat templates: from messages to the text that a model was trained on.
//!
//! A template is a program by a stranger. It runs on fuel, which pays for instructions and for the bytes that
//! they make; it sees nothing but the conversation; it has no clock, no randomness and no files.

mod functions;
mod json;
mod metered;

use std::collections::BTreeMap;

use minijinja::machinery::{Instructions, eval, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::TextError;
use crate::tokenizer::MAX_TEXT;

pub use functions::DateTime;

/// Bytes of a template; bounds how deep it nests.
pub const MAX_TEMPLATE: usize = 64 << 10;
/// Messages of a conversation.
pub const MAX_MESSAGES: usize = 1 << 14;
/// Fuel of a rendering: instructions, and as many times 64 bytes that they make. Templates in use need some
/// hundreds, under 200 a message, and copy each byte up to ten times.
const FUEL: u64 = 20_000;
/// Fuel for each message.
const MESSAGE_FUEL: u64 = 500;
/// Fuel for each 64 bytes of the messages.
const COPIES: u64 = 16;
/// Most fuel, whatever the conversation: what a loop can nest values with in [`STACK`].
const MAX_FUEL: u64 = 1_000_000;
/// Nested calls and blocks.
const RECURSION: usize = 100;
/// Bytes of stack. Chains of operators and nested values are compiled, shown and dropped by recursion, so the
/// deepest that [`MAX_TEMPLATE`] and [`MAX_FUEL`] allow must fit; pages that are not used cost nothing.
const STACK: usize = 256 << 20;
const NAME: &str = "chat_template";

/// Who speaks. A closed set, since templates write it into the names of control tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What the model is told to be.
    System,
    /// The same by another name.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a called function returned.
    Tool,
}

impl Role {
    /// As templates call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said. Untrusted: it never becomes a control token.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
        }
    }
}

/// What a template renders.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conversation<'a> {
    /// The messages, oldest first.
    pub messages: &'a [Message],
    /// Whether to begin the model's answer.
    pub add_generation_prompt: bool,
    /// What `strftime_now` says; without it the function is undefined, and templates use a date of their own.
    pub now: Option<DateTime>,
}

/// A chat template, compiled.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    /// `source` in what the engine knows.
    plain: String,
}

impl ChatTemplate {
    /// Compiles a template of the Jinja dialect that chat templates are written in.
    ///
    /// # Errors
    /// [`TextError::Template`] with the line.
    pub fn new(source: &str) -> Result<Self, TextError> {
        if source.len() > MAX_TEMPLATE {
            return Err(TextError::Template {
                line: None,
                reason: format!("{} bytes (at most {MAX_TEMPLATE})", source.len()),
            });
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_recursion_limit(RECURSION);
        functions::add(&mut environment);
        metered::add(&mut environment);
        let template = Self {
            environment,
            source: source.to_owned(),
            plain: without_generation_blocks(source)?,
        };
        with_stack(|| template.compile().map(|_| ()).map_err(template_error))?;
        Ok(template)
    }

    fn compile(&self) -> Result<Instructions<'_>, minijinja::Error> {
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?;
        metered::compile(NAME, &self.plain, syntax)
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation; `bos` and `eos` are the texts of the tokens that begin and end a sequence.
    ///
    /// # Errors
    /// [`TextError::Template`] for what the template raises and for one that does not end within its fuel;
    /// [`TextError::Conversation`] beyond a limit.
    pub fn render(
        &self,
        conversation: &Conversation<'_>,
        bos: &str,
        eos: &str,
    ) -> Result<String, TextError> {
        let contents = conversation.messages.iter().map(|m| m.content.as_str());
        self.render_contents(conversation, contents, bos, eos)
    }

    /// [`ChatTemplate::render`] with other contents in the messages' places.
    pub(crate) fn render_contents<'c>(
        &self,
        conversation: &Conversation<'_>,
        contents: impl Iterator<Item = &'c str>,
        bos: &str,
        eos: &str,
    ) -> Result<String, TextError> {
        let count = conversation.messages.len();
        let bytes: usize = conversation.messages.iter().map(|m| m.content.len()).sum();
        if count > MAX_MESSAGES || bytes > MAX_TEXT {
            return Err(TextError::Conversation(format!(
                "{count} messages of {bytes} bytes (at most {MAX_MESSAGES} of {MAX_TEXT})"
            )));
        }
        let contents: Vec<&str> = contents.collect();
        let fuel = FUEL + MESSAGE_FUEL * count as u64 + COPIES * (bytes as u64 / 64);
        let text = with_stack(|| {
            let messages: Vec<Value> = conversation
                .messages
                .iter()
                .zip(&contents)
                .map(|(message, content)| minijinja::context! { role => message.role.name(), content => *content })
                .collect();
            let context = minijinja::context! {
                messages,
                add_generation_prompt => conversation.add_generation_prompt,
                bos_token => bos,
                eos_token => eos,
                tools => (),
                documents => (),
                ..functions::clock(conversation.now)
            };
            let mut environment = self.environment.clone();
            environment.set_fuel(Some(fuel.min(MAX_FUEL)));
            let mut text = String::new();
            let mut out = make_string_output(&mut text);
            self.compile()
                .and_then(|instructions| {
                    eval(
                        &environment,
                        &instructions,
                        context,
                        &BTreeMap::new(),
                        &mut out,
                        AutoEscape::None,
                    )
                    .map(|_| ())
                })
                .map_err(template_error)?;
            Ok(text)
        })?;
        if text.len() > MAX_TEXT {
            return Err(TextError::TooLong {
                bytes: text.len(),
                limit: MAX_TEXT,
            });
        }
        Ok(text)
    }
}

/// Runs on a thread whose stack is large enough.
fn with_stack<T: Send>(run: impl FnOnce() -> Result<T, TextError> + Send) -> Result<T, TextError> {
    let failed = |reason: String| TextError::Template { line: None, reason };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, run)
            .map_err(|e| failed(format!("no thread to run it: {e}")))?
            .join()
            .unwrap_or_else(|_| Err(failed("the engine panicked".into())))
    })
}

fn template_error(error: minijinja::Error) -> TextError {
    use std::error::Error as _;
    // what a template raises is said in its own words
    let mut reason = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    let mut line = error.line();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<minijinja::Error>() {
            reason = format!(
                "{reason}: {}",
                inner.detail().unwrap_or(&inner.kind().to_string())
            );
            line = inner.line().or(line);
        }
        cause = inner.source();
    }
    TextError::Template { line, reason }
}

/// `{% generation %}` blocks mark what a model is trained to say; here they are just their content.
fn without_generation_blocks(source: &str) -> Result<String, TextError> {
    let tag = |name: &str, instead: &str, source: &str| {
        Regex::new(&format!(r"\{{%([-+]?)(\s*){name}(\s*)([-+]?)%\}}"))
            .map(|r| {
                r.replace_all(source, format!("{{%${{1}}${{2}}{instead}${{3}}${{4}}%}}"))
                    .into_owned()
            })
            .map_err(|e| TextError::Template {
                line: None,
                reason: e.to_string(),
            })
    };
    tag(
        "endgeneration",
        "endif",
        &tag("generation", "if true", source)?,
    )
}

#[cfg(test)]
mod tests;
