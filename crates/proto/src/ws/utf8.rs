//! UTF-8 that is checked as it arrives.
//!
//! A character may be cut anywhere: inside a read, between two reads of one frame, between two
//! fragments of one message. What is whole is checked once and kept as text; the start of a
//! character that is still coming waits beside it, at most three bytes.

use super::growth::room;

/// From this many bytes on the SIMD checker is faster than the standard library's. It has a fixed
/// cost per call, so short messages, the common case, stay with the standard library.
const SIMD_BYTES_MIN: usize = 128;

/// The text that `bytes` are, if they are UTF-8 as a whole.
pub(super) fn check(bytes: &[u8]) -> Option<&str> {
    if bytes.len() < SIMD_BYTES_MIN {
        std::str::from_utf8(bytes).ok()
    } else {
        simdutf8::basic::from_utf8(bytes).ok()
    }
}

/// The bytes cannot be, or become with further bytes, UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

/// Text of which more may come.
#[derive(Debug, Default)]
pub(super) struct TextBuffer {
    /// The whole characters.
    text: String,
    /// Invariant: `cut[..cut_len]` is a proper prefix of a character.
    cut: [u8; 3],
    cut_len: u8,
}

impl TextBuffer {
    /// Takes further bytes. The buffer never grows beyond `bytes_max`.
    pub(super) fn push(&mut self, bytes: &[u8], bytes_max: u64) -> Result<(), NotUtf8> {
        let rest = self.push_cut(bytes, bytes_max)?;
        let (whole, cut) = split_cut(rest);
        let whole = check(whole).ok_or(NotUtf8)?;
        self.push_text(whole, bytes_max);
        if !cut.is_empty() {
            // A lead byte and a second byte that do not go together fail here, not when more comes.
            if !is_prefix(cut) {
                return Err(NotUtf8);
            }
            self.cut[..cut.len()].copy_from_slice(cut);
            self.cut_len = cut.len() as u8;
        }
        Ok(())
    }

    /// The text, if it does not end inside a character.
    pub(super) fn finish(self) -> Result<String, NotUtf8> {
        if self.cut_len == 0 {
            Ok(self.text)
        } else {
            Err(NotUtf8)
        }
    }

    /// Bytes taken so far.
    pub(super) fn len(&self) -> usize {
        self.text.len() + usize::from(self.cut_len)
    }

    /// Bytes of heap.
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Completes the character that was cut, as far as `bytes` allow, and gives back the others.
    fn push_cut<'b>(&mut self, bytes: &'b [u8], bytes_max: u64) -> Result<&'b [u8], NotUtf8> {
        if self.cut_len == 0 {
            return Ok(bytes);
        }
        let mut character = [0; 4];
        let mut len = usize::from(self.cut_len);
        character[..len].copy_from_slice(&self.cut[..len]);
        for (at, &byte) in bytes.iter().enumerate() {
            // At most three turns: a prefix of four bytes is a character or nothing.
            character[len] = byte;
            len += 1;
            match std::str::from_utf8(&character[..len]) {
                Ok(character) => {
                    self.cut_len = 0;
                    self.push_text(character, bytes_max);
                    return Ok(&bytes[at + 1..]);
                }
                Err(error) if error.error_len().is_some() => return Err(NotUtf8),
                Err(_) => {
                    self.cut[..len].copy_from_slice(&character[..len]);
                    self.cut_len = len as u8;
                }
            }
        }
        Ok(&[])
    }

    fn push_text(&mut self, text: &str, bytes_max: u64) {
        let more = room(self.text.capacity(), self.text.len(), text.len(), bytes_max);
        self.text.reserve_exact(more);
        self.text.push_str(text);
    }
}

/// Splits off the start of a character that the end of `bytes` cuts.
fn split_cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let width = match bytes[at] {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            _ => 1,
        };
        return if width > back {
            bytes.split_at(at)
        } else {
            (bytes, &[])
        };
    }
    (bytes, &[])
}

/// Whether `bytes` are the start of one character and not yet all of it.
fn is_prefix(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// What a buffer makes of pieces.
    fn collect(pieces: &[&[u8]]) -> Result<String, NotUtf8> {
        let mut buffer = TextBuffer::default();
        let mut len = 0;
        for piece in pieces {
            buffer.push(piece, u64::MAX)?;
            len += piece.len();
            assert_eq!(buffer.len(), len);
        }
        buffer.finish()
    }

    #[test]
    fn characters_of_every_width_survive_every_cut() {
        let text = "aé€🦀\u{7F}\u{80}\u{7FF}\u{800}\u{D7FF}\u{E000}\u{FFFF}\u{10000}\u{10FFFF}";
        let bytes = text.as_bytes();
        assert_eq!(
            collect(&bytes.chunks(1).collect::<Vec<_>>()).as_deref(),
            Ok(text)
        );
        for one in 0..=bytes.len() {
            for two in one..=bytes.len() {
                let pieces = [&bytes[..one], &bytes[one..two], &bytes[two..]];
                assert_eq!(
                    collect(&pieces).as_deref(),
                    Ok(text),
                    "cut at {one} and {two}"
                );
            }
        }
    }

    // RFC 6455 §8.1, as early as can be: after each prefix of up to three bytes the buffer has
    // failed exactly if no bytes could make UTF-8 of it.
    #[test]
    fn a_prefix_fails_exactly_if_nothing_can_save_it() {
        let can_be_saved = |prefix: &[u8]| match std::str::from_utf8(prefix) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        };
        for a in 0..=u8::MAX {
            for b in 0..=u8::MAX {
                for prefix in [&[a, b][..], &[a, b, 0x80], &[a, b, 0xBF], &[a, b, b'x']] {
                    let mut whole = TextBuffer::default();
                    let mut bytewise = TextBuffer::default();
                    let saved = can_be_saved(prefix);
                    assert_eq!(whole.push(prefix, u64::MAX).is_ok(), saved, "{prefix:x?}");
                    let alive = prefix
                        .chunks(1)
                        .all(|byte| bytewise.push(byte, u64::MAX).is_ok());
                    assert_eq!(alive, saved, "{prefix:x?}, byte by byte");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_are_text_if_the_whole_is(
            pieces in vec(
                prop_oneof![
                    vec(any::<char>(), 0..80).prop_map(|text| String::from_iter(text).into_bytes()),
                    vec(any::<u8>(), 0..3),
                ],
                0..6,
            ),
        ) {
            let whole = pieces.concat();
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let expected = String::from_utf8(whole.clone()).map_err(|_| NotUtf8);
            prop_assert_eq!(check(&whole), expected.as_deref().ok());
            prop_assert_eq!(collect(&pieces), expected);
        }
    }
}
