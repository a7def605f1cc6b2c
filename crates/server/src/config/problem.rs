//! What an operator wrote and cannot be meant.

use std::{fmt, path::PathBuf};

use thiserror::Error;

use super::place::{Place, one_line};

/// Why a server does not start: the fault is the operator's, the remedy is in the message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// A value is outside of its range, or contradicts another one.
    #[error("{place}: {key} = {}: expected {expected}", shown(.value))]
    Value {
        /// The path of the setting in the file.
        key: String,
        /// As written.
        value: String,
        /// What it may be.
        expected: String,
        /// Where it was written.
        place: Place,
    },
    /// A value that a rule cannot do without is missing.
    #[error("{place}: {key} is missing: expected {expected}")]
    Missing {
        /// The path of the setting in the file.
        key: String,
        /// What it may be.
        expected: String,
        /// Where it should be.
        place: Place,
    },
    /// The file has a key that nothing reads.
    #[error("{place}: unknown key {}{}", shown(.key), did_you_mean(.suggestion.as_deref()))]
    UnknownKey {
        /// The whole path.
        key: String,
        /// What is most like it.
        suggestion: Option<String>,
        /// Where it was written.
        place: Place,
    },
    /// The environment has a variable of ours that nothing reads.
    #[error("{place}: unknown variable{}", did_you_mean(.suggestion.as_deref()))]
    UnknownVariable {
        /// What is most like it.
        suggestion: Option<String>,
        /// The variable.
        place: Place,
    },
    /// The file is not TOML.
    #[error("{place}: {}", one_line(.message))]
    Syntax {
        /// What the parser says.
        message: String,
        /// Where it stopped.
        place: Place,
    },
    /// There is no reading the file.
    #[error("{place}: cannot read {}: {reason}", one_line(&.path.to_string_lossy()))]
    Unreadable {
        /// The path as it was given.
        path: PathBuf,
        /// What the system says.
        reason: String,
        /// Who named the file.
        place: Place,
    },
}

/// Everything that is wrong, at least one problem, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// Each problem: first those of the file, then of the environment, then of the flags, then
    /// contradictions between them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Characters of a foreign text in a message.
const SHOWN_CHARS_MAX: usize = 80;
/// How alike two names must be, from 0 to 1, for one to be taken for the other misspelled.
const LIKENESS_MIN: f64 = 0.6;

/// The candidate that was probably meant.
pub(super) fn suggest(name: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (likeness(name, &candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// How alike two keys are. What they have in common before the last dot says nothing, and the right
/// name in the wrong section is as good as it gets.
fn likeness(one: &str, other: &str) -> f64 {
    let (one_section, one_name) = one.rsplit_once('.').unwrap_or(("", one));
    let (other_section, other_name) = other.rsplit_once('.').unwrap_or(("", other));
    if one_section == other_section || one_name == other_name {
        strsim::normalized_damerau_levenshtein(one_name, other_name)
    } else {
        strsim::normalized_damerau_levenshtein(one, other)
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// A foreign text on one line and not longer than the eye wants it.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", one_line(&text[..end])),
        None if text.is_empty() => "\"\"".to_owned(),
        None => one_line(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_alike_or_of_another_section() {
        let keys =
            || ["listen", "limits.topic_bytes_max", "limits.event_bytes_max"].map(str::to_owned);
        let suggested = |name| suggest(name, keys());
        assert_eq!(suggested("lisen").as_deref(), Some("listen"));
        assert_eq!(
            suggested("limit.topic_byte_max").as_deref(),
            Some("limits.topic_bytes_max")
        );
        assert_eq!(
            suggested("event_bytes_max").as_deref(),
            Some("limits.event_bytes_max")
        );
        assert_eq!(suggested("colour"), None);
        assert_eq!(suggested("limits.colour"), None);
    }

    #[test]
    fn foreign_text_is_cut() {
        assert_eq!(shown(""), "\"\"");
        assert_eq!(shown("a\nb"), "a\u{fffd}b");
        assert_eq!(shown(&"ž".repeat(80)).chars().count(), 80);
        assert_eq!(shown(&"ž".repeat(81)).chars().count(), 81);
        assert!(shown(&"ž".repeat(81)).ends_with("ž…"));
    }
}
