//! From tokens back to text, whole or token by token.

/// Which tokens lose one leading space, because encoding put it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeadingSpace {
    /// None.
    Keep,
    /// The first of a text.
    DropFirst,
    /// The first of a text and every one after a special token.
    DropAfterSpecial,
}

/// What a token is when it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Text.
    Text,
    /// Found as a whole, and shown.
    Special,
    /// Steers the model, and is not shown.
    Control,
}

/// The bytes of every token.
#[derive(Debug)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    roles: Vec<Role>,
    leading_space: LeadingSpace,
}

impl Pieces {
    pub(crate) fn new(leading_space: LeadingSpace) -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            roles: Vec::new(),
            leading_space,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], role: Role) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        self.roles.push(role);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token, the text of a control token too.
    pub(crate) fn get(&self, id: u32) -> Option<&[u8]> {
        let at = id as usize;
        let start = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        Some(&self.bytes[start..*self.ends.get(at)?])
    }

    pub(crate) fn role(&self, id: u32) -> Option<Role> {
        self.roles.get(id as usize).copied()
    }
}

/// Decodes token by token: what it has given out is always whole characters, and all of it together is what
/// decoding at once gives.
#[derive(Clone, Debug)]
pub struct DecodeStream<'a> {
    pieces: &'a Pieces,
    /// An incomplete character.
    pending: Vec<u8>,
    /// The next token's leading space is not part of the text.
    drop_space: bool,
}

impl<'a> DecodeStream<'a> {
    /// From the start of a text, or after the tokens of `before`.
    pub(crate) fn new(pieces: &'a Pieces, before: &[u32]) -> Self {
        let drop_space = match (before.last(), pieces.leading_space) {
            (_, LeadingSpace::Keep) => false,
            (None, _) => true,
            (Some(_), LeadingSpace::DropFirst) => false,
            (Some(&id), LeadingSpace::DropAfterSpecial) => pieces.role(id) != Some(Role::Text),
        };
        Self {
            pieces,
            pending: Vec::new(),
            drop_space,
        }
    }

    /// What the token completes. A control token and an id outside the vocabulary are no text.
    pub fn push(&mut self, id: u32) -> Option<String> {
        let (bytes, role) = self.pieces.get(id).zip(self.pieces.role(id))?;
        let mut text = String::new();
        if role != Role::Control {
            let dropped = self.drop_space && role == Role::Text && bytes.first() == Some(&b' ');
            self.pending
                .extend_from_slice(&bytes[usize::from(dropped)..]);
            self.complete(&mut text);
        }
        self.drop_space = match self.pieces.leading_space {
            LeadingSpace::DropAfterSpecial => role != Role::Text,
            // control tokens do not begin the text
            LeadingSpace::DropFirst => self.drop_space && role == Role::Control,
            LeadingSpace::Keep => false,
        };
        (!text.is_empty()).then_some(text)
    }

    /// What is left: an incomplete character as U+FFFD.
    pub fn flush(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.pending);
        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
    }

    /// Moves every complete character from `pending` to `text`, and U+FFFD for what can never become one.
    fn complete(&mut self, text: &mut String) {
        let mut done = 0;
        while let Err(error) = std::str::from_utf8(&self.pending[done..]) {
            let valid = done + error.valid_up_to();
            text.push_str(&String::from_utf8_lossy(&self.pending[done..valid]));
            done = valid;
            match error.error_len() {
                Some(bad) => {
                    text.push(char::REPLACEMENT_CHARACTER);
                    done += bad;
                }
                None => {
                    self.pending.drain(..done);
                    return;
                }
            }
        }
        text.push_str(&String::from_utf8_lossy(&self.pending[done..]));
        self.pending.clear();
    }
}
