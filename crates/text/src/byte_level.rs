//! The alphabet of byte-level vocabularies: each byte as one printable character.

/// The character that stands for a byte: itself where it is printable in Latin-1, else from U+0100 on.
pub(crate) fn char_of(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(0x100 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The bytes that a token's text stands for; `None` where a character is not of the alphabet.
pub(crate) struct ByteLevel {
    /// Byte of each code point up to U+0143.
    bytes: [Option<u8>; 0x144],
}

impl ByteLevel {
    pub(crate) fn new() -> Self {
        let mut bytes = [None; 0x144];
        for byte in 0..=255u8 {
            bytes[char_of(byte) as usize] = Some(byte);
        }
        Self { bytes }
    }

    pub(crate) fn decode(&self, text: &str) -> Option<Vec<u8>> {
        text.chars().map(|c| *self.bytes.get(c as usize)?).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let text: String = (0..=255).map(char_of).collect();
        assert_eq!(
            ByteLevel::new().decode(&text).unwrap(),
            (0..=255).collect::<Vec<u8>>()
        );
        assert_eq!(
            (char_of(b' '), char_of(b'\n'), char_of(0xad)),
            ('\u{120}', '\u{10a}', '\u{143}')
        );
        assert_eq!(ByteLevel::new().decode("a b"), None);
        assert_eq!(ByteLevel::new().decode("中"), None);
    }
}
