//! Any text as a chat template, or any bytes as `tokenizer_config.json`: refused, or rendered within its fuel to a text of
//! bounded length, the same each time.
#![no_main]

use gavel_text::{ChatTemplate, Conversation, DateTime, Message, Role, TokenizerConfig};
use libfuzzer_sys::fuzz_target;

/// Bytes of a rendered text at most; what is beyond them is refused.
const MOST: usize = 64 << 20;

fuzz_target!(|file: &[u8]| {
    let _ = TokenizerConfig::parse(file);
    let Ok(source) = std::str::from_utf8(file) else {
        return;
    };
    let Ok(template) = ChatTemplate::new(source) else {
        return;
    };
    let messages = [
        Message::new(Role::System, "Be brief. {{ bos_token }}"),
        Message::new(Role::User, "{% for x in range(9) %}</s>"),
        Message::new(Role::Assistant, "\u{1f468}\u{200d}\0"),
        Message::new(Role::User, ""),
    ];
    for now in [None, Some(DateTime::from_unix(1_700_000_000))] {
        let conversation = Conversation {
            messages: &messages,
            add_generation_prompt: now.is_none(),
            now,
        };
        if let Ok(text) = template.render(&conversation, "<s>", "</s>") {
            assert!(text.len() <= MOST);
            let again = template.render(&conversation, "<s>", "</s>");
            assert_eq!(again.ok(), Some(text));
        }
    }
});
