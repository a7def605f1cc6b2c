//! A value that was read, or why there is none.

use rustix::io::Errno;
use thiserror::Error;

/// How much of an odd value is repeated.
const FOUND_CHARS_MAX: usize = 60;

/// A value of a process, or why it is not known. One that is missing never hides another.
pub type Known<T> = Result<T, Unknown>;

/// Why a value is not known. A place is a file, or a line of one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unknown {
    /// The place is not there.
    #[error("{0} is not there: an older kernel, or a container that hides it")]
    Absent(String),
    /// Only others may read it.
    #[error("{0} may not be read by this user: run as root or as the user of the process")]
    Denied(String),
    /// There is no such process any more, or there never was.
    #[error("{0} is gone: the process has ended")]
    Gone(String),
    /// What is written there is not what belongs there.
    #[error("{place} says {found:?}: expected {expected}")]
    Odd {
        /// Where.
        place: String,
        /// The beginning of what is written there.
        found: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// It goes on and on.
    #[error("{place} is longer than {bytes_max} bytes, so it was not read")]
    TooLong {
        /// Where.
        place: String,
        /// How long it may be.
        bytes_max: u64,
    },
    /// The kernel refused for another reason.
    #[error("{place} could not be read: {errno}")]
    Failed {
        /// Where.
        place: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// Nobody set it, and what applies then cannot be told from outside; the words say what it is.
    #[error("not set: {0}")]
    Unset(String),
}

impl Unknown {
    /// Content that is not what belongs to `place`.
    pub(crate) fn odd(place: impl Into<String>, found: &str, expected: &'static str) -> Self {
        Self::Odd {
            place: place.into(),
            found: found.chars().take(FOUND_CHARS_MAX).collect(),
            expected,
        }
    }

    /// What an error of the kernel means for a file that is not of a process.
    pub(super) fn of_file(place: impl Into<String>, errno: Errno) -> Self {
        let place = place.into();
        match errno {
            Errno::NOENT | Errno::NOTDIR => Self::Absent(place),
            Errno::ACCESS | Errno::PERM => Self::Denied(place),
            errno => Self::Failed { place, errno },
        }
    }
}

/// The one number that `text` is.
pub(super) fn parse_number(place: &str, text: &str) -> Known<u64> {
    let text = text.trim();
    text.parse()
        .map_err(|_| Unknown::odd(place, text, "a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_a_clause() {
        let place = || "/proc/7/limits".to_owned();
        for unknown in [
            Unknown::Absent(place()),
            Unknown::Denied(place()),
            Unknown::Gone(place()),
            Unknown::odd(place(), &"x".repeat(1000), "a whole number"),
            Unknown::TooLong {
                place: place(),
                bytes_max: 10,
            },
            Unknown::of_file(place(), Errno::IO),
            Unknown::Unset("chosen at the start".to_owned()),
        ] {
            let said = unknown.to_string();
            assert!(!said.ends_with('.') && said.len() < 160, "{said}");
        }
    }

    #[test]
    fn errors_of_the_kernel_say_why() {
        let why = |errno| Unknown::of_file("f", errno);
        assert_eq!(why(Errno::NOENT), Unknown::Absent("f".to_owned()));
        assert_eq!(why(Errno::ACCESS), Unknown::Denied("f".to_owned()));
        assert_eq!(why(Errno::PERM), Unknown::Denied("f".to_owned()));
        assert!(matches!(why(Errno::IO), Unknown::Failed { .. }));
    }

    #[test]
    fn a_number_is_a_number_and_nothing_else() {
        assert_eq!(parse_number("f", " 42\n"), Ok(42));
        for odd in ["", "x", "-1", "4 2", "18446744073709551616"] {
            assert!(matches!(parse_number("f", odd), Err(Unknown::Odd { .. })));
        }
    }
}
