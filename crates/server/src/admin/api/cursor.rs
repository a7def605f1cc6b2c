//! Where the next page of a list begins: a shard, and a place in its table. Clients hand it back as they
//! got it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A place in the tables of a node, shard after shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Cursor {
    pub(crate) shard: u16,
    pub(crate) place: u32,
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a cursor is the 12 characters of `next` in an answer; leave it out to begin anew")]
pub(crate) struct NoCursor;

/// Hexadecimal digits of a shard and of both.
const SHARD_DIGITS: usize = 4;
const DIGITS: usize = 12;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:08x}", self.shard, self.place)
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != DIGITS || !text.bytes().all(is_digit) {
            return Err(NoCursor);
        }
        let (shard, place) = text.split_at(SHARD_DIGITS);
        Ok(Self {
            shard: u16::from_str_radix(shard, 16).map_err(|_| NoCursor)?,
            place: u32::from_str_radix(place, 16).map_err(|_| NoCursor)?,
        })
    }
}

impl TryFrom<String> for Cursor {
    type Error = NoCursor;

    fn try_from(text: String) -> Result<Self, NoCursor> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(shard in any::<u16>(), place in any::<u32>()) {
            let cursor = Cursor { shard, place };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn nothing_else_is_read(text in ".{0,20}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "",
            "0",
            "00000000000g",
            "00010000000A",
            "+00100000001",
            "0001000000010",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text}");
        }
    }
}
