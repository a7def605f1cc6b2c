//! The topics of a run: `room:lobby`, or `room:{}` for many.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A topic's name, with at most one `{}` in which the topic's number stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    before: String,
    /// What follows the number; `None` when the name has no number.
    after: Option<String>,
}

/// Why a text is no topic.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TopicError {
    /// Nobody can join a topic without a name.
    #[error("the topic is empty: expected a name such as room:lobby or room:{{}}")]
    Empty,
    /// There is more than one place for the number.
    #[error("`{0}` has more than one {{}}: expected at most one, for the topic's number")]
    Ambiguous(String),
    /// Phoenix's formats carry names of up to 255 bytes.
    #[error("`{0}` is too long: expected at most 240 bytes")]
    TooLong(String),
}

impl TopicPattern {
    /// The longest pattern; a number of ten digits more is still a topic of at most 255 bytes.
    const BYTES_MAX: usize = 240;

    /// Whether the name has a place for a number, so that there can be many topics.
    pub fn is_numbered(&self) -> bool {
        self.after.is_some()
    }

    /// Writes the name of topic `number` over `out`.
    pub(crate) fn write(&self, number: u32, out: &mut String) {
        use std::fmt::Write as _;

        out.clear();
        out.push_str(&self.before);
        if let Some(after) = &self.after {
            // Writing to a String does not fail.
            let _ = write!(out, "{number}{after}");
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before)?;
        match &self.after {
            Some(after) => write!(f, "{{}}{after}"),
            None => Ok(()),
        }
    }
}

impl FromStr for TopicPattern {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(TopicError::TooLong(text.to_owned()));
        }
        let (before, after) = match text.split_once("{}") {
            Some((before, after)) => (before, Some(after)),
            None => (text, None),
        };
        if after.is_some_and(|after| after.contains("{}")) {
            return Err(TopicError::Ambiguous(text.to_owned()));
        }
        Ok(Self {
            before: before.to_owned(),
            after: after.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(pattern: &str, number: u32) -> String {
        let mut out = String::from("whatever was there");
        pattern
            .parse::<TopicPattern>()
            .expect(pattern)
            .write(number, &mut out);
        out
    }

    #[test]
    fn numbers_stand_where_the_braces_are() {
        assert_eq!(name("room:lobby", 7), "room:lobby");
        assert_eq!(name("room:{}", 7), "room:7");
        for text in ["room:{}", "room:lobby", "{}"] {
            assert_eq!(text.parse::<TopicPattern>().expect(text).to_string(), text);
        }
        assert_eq!(name("{}:x", u32::MAX), "4294967295:x");
        assert!(
            !"room:lobby"
                .parse::<TopicPattern>()
                .expect("a topic")
                .is_numbered()
        );
    }

    #[test]
    fn errors_say_what_was_expected() {
        assert_eq!("".parse::<TopicPattern>(), Err(TopicError::Empty));
        let text = "a{}b{}"
            .parse::<TopicPattern>()
            .expect_err("two places")
            .to_string();
        assert_eq!(
            text,
            "`a{}b{}` has more than one {}: expected at most one, for the topic's number"
        );
        assert!("x".repeat(241).parse::<TopicPattern>().is_err());
    }
}
