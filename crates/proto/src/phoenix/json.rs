//! JSON text that is known to be valid, and the strings inside it.
//!
//! A payload is scanned once for validity and then stays the bytes the sender wrote: it is never
//! parsed into a tree and never written anew.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One JSON value as text.
///
/// Invariant: valid JSON without surrounding white space; only the constructors here make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// `{}`, what Phoenix sends where there is nothing to say.
    pub const EMPTY_OBJECT: Json<'static> = Json(Cow::Borrowed("{}"));

    /// Takes text after scanning it; nesting costs no stack.
    ///
    /// # Errors
    ///
    /// When the text is not exactly one JSON value.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(Self::from_raw)
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    ///
    /// When the value cannot be JSON, such as a map whose keys are not strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Json<'static>, serde_json::Error> {
        serde_json::to_string(value).map(|text| Json(Cow::Owned(text)))
    }

    /// Takes text that a JSON reader has already found valid.
    pub fn from_raw(raw: &'a RawValue) -> Self {
        Self(Cow::Borrowed(raw.get()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, borrowed.
    pub fn borrowed(&self) -> Json<'_> {
        Json(Cow::Borrowed(&self.0))
    }

    /// The same text in memory of its own.
    pub fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }

    /// Reads the text as a value of the caller's choice.
    ///
    /// # Errors
    ///
    /// When the text is another shape of JSON than `T`.
    pub fn decode<'b, T: Deserialize<'b>>(&'b self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

/// The characters of a JSON string as JSON writes them, without the quotes.
///
/// Borrows when nothing needs an escape, which is nearly always.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\u{0}'..='\u{1f}' => {
                const HEX: [char; 16] = [
                    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
                ];
                let code = character as usize;
                escaped.push_str("\\u00");
                escaped.push(HEX[code >> 4]);
                escaped.push(HEX[code & 0xf]);
            }
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// The characters that the inside of a JSON string stands for; `None` when an escape in it stands
/// for no character (half of a surrogate pair).
///
/// Expects what lies between the quotes of a string that a JSON scanner has accepted.
pub(super) fn unescape(inside: &str) -> Option<Cow<'_, str>> {
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    let mut quoted = String::with_capacity(inside.len() + 2);
    quoted.push('"');
    quoted.push_str(inside);
    quoted.push('"');
    serde_json::from_str(&quoted).ok().map(Cow::Owned)
}

/// What lies between the quotes, when the JSON text is a string.
pub(super) fn string_inside(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_not_one_value_is_refused() {
        for text in ["", "{", "{}{}", "nul", "01", "\"\u{1}\"", "[1,]", "'a'"] {
            assert!(Json::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn white_space_around_a_value_is_not_kept() {
        let json = Json::parse(" {\"a\": 1}\n").unwrap();
        assert_eq!(json.as_str(), "{\"a\": 1}");
    }

    #[test]
    fn a_million_levels_of_nesting_cost_no_stack() {
        let depth = 1_000_000;
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(Json::parse(&text).unwrap().as_str().len(), 2 * depth);
    }

    #[test]
    fn half_a_surrogate_pair_stands_for_no_character() {
        assert_eq!(unescape("\\ud800"), None);
        assert_eq!(unescape("\\ud83d\\ude00").as_deref(), Some("😀"));
    }

    proptest! {
        #[test]
        fn escapes_are_read_back_by_any_json_reader(text in ".*") {
            let quoted = format!("\"{}\"", escape(&text));
            prop_assert_eq!(&serde_json::from_str::<String>(&quoted).unwrap(), &text);
            let escaped = escape(&text);
            prop_assert_eq!(unescape(&escaped).unwrap(), text.as_str());
        }
    }
}
