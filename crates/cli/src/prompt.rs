//! From what the user asks to the tokens that the model is given.

use std::io::{IsTerminal as _, Read as _};

use gavel_node::LanguageText;
use gavel_text::{MAX_TEXT, Message, Role};

use crate::args_language::PromptArgs;
use crate::failure::{Context as _, Failure};

/// What is asked: the flag's text, or standard input.
pub(crate) fn question(args: &PromptArgs) -> Result<String, Failure> {
    if let Some(prompt) = &args.prompt {
        return Ok(prompt.clone());
    }
    if std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no prompt")
            .expected("--prompt TEXT, or a text on standard input"));
    }
    let mut text = String::new();
    let limit = MAX_TEXT as u64;
    let read = std::io::stdin()
        .lock()
        .take(limit + 1)
        .read_to_string(&mut text);
    read.at("the prompt on standard input")?;
    Ok(text)
}

/// Whether the prompt is gone on with as it is.
pub(crate) fn is_raw(args: &PromptArgs, text: Option<&LanguageText>) -> bool {
    args.raw || !args.chat && args.system.is_none() && text.is_some_and(|t| !t.has_template())
}

/// The tokens of what is asked.
pub(crate) fn tokens(
    name: &str,
    text: &LanguageText,
    args: &PromptArgs,
    asked: &str,
) -> Result<Vec<u32>, Failure> {
    if is_raw(args, Some(text)) {
        return text.prompt(asked).at(name);
    }
    let system = args
        .system
        .iter()
        .map(|said| Message::new(Role::System, said));
    let messages: Vec<Message> = system.chain([Message::new(Role::User, asked)]).collect();
    text.conversation(&messages)
        .at(name)
        .map_err(|failure| failure.hint("--raw goes on with the prompt as it is"))
}
