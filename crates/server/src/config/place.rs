//! Where a value came from.

use std::fmt;

/// The source of a value, precise enough to go there and change it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Nobody decided: the default counts.
    Default,
    /// The configuration file.
    File {
        /// The path as it was given.
        name: String,
        /// Counts from 1.
        line: usize,
        /// Counts characters from 1.
        column: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line, with its dashes.
    Flag(String),
}

impl Place {
    /// The place of byte `offset` in the text of a file.
    pub(super) fn in_file(name: &str, text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::File {
            name: name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line, column } => write!(f, "{}:{line}:{column}", one_line(name)),
            Self::Environment(name) => write!(f, "environment {}", one_line(name)),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A foreign text that may stand in a message or in a comment: no control characters.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let text = "ab\nžx = 1\r\n\n";
        for (offset, line, column) in [(0, 1, 1), (2, 1, 3), (3, 2, 1), (5, 2, 2), (12, 3, 1)] {
            let place = Place::in_file("f.toml", text, offset);
            assert_eq!(
                place.to_string(),
                format!("f.toml:{line}:{column}"),
                "{offset}"
            );
        }
        // The end of the text, and beyond it.
        assert_eq!(Place::in_file("f", text, 13).to_string(), "f:4:1");
        assert_eq!(Place::in_file("f", text, 99).to_string(), "f:4:1");
    }

    #[test]
    fn a_place_is_one_line() {
        assert_eq!(
            Place::Environment("A\nB".into()).to_string(),
            "environment A\u{fffd}B"
        );
        assert_eq!(Place::Flag("--listen".into()).to_string(), "flag --listen");
        assert_eq!(Place::Default.to_string(), "default");
    }
}
