//! The source ports of an address: a range, as `LO-HI`.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use thiserror::Error;

/// Consecutive source ports that each address of the dialling side may use, both ends included.
///
/// ```
/// use fourtuple_capacity::plan::Ports;
///
/// assert_eq!("32768-60999".parse::<Ports>()?.count(), 28_232);
/// # Ok::<(), fourtuple_capacity::plan::PortsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Invariant: `1 <= first <= last`.
    first: u16,
    last: u16,
}

/// Why a text is not a range of ports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PortsError {
    /// It is not two port numbers with a hyphen between them.
    #[error(
        "`{text}` is not a range of ports: expected LO-HI with numbers from 1 to 65535, such as 1024-65535"
    )]
    NotARange {
        /// What was given.
        text: String,
    },
    /// The range ends before it begins.
    #[error("`{text}` runs backwards: expected the lower port first, such as 1024-65535")]
    Backwards {
        /// What was given.
        text: String,
    },
}

impl Ports {
    /// What a program may bind without privileges: 1024-65535, as [`tuples::PORTS`](crate::tuples::PORTS).
    pub const ALL: Self = Self {
        first: *crate::tuples::PORTS.start(),
        last: *crate::tuples::PORTS.end(),
    };

    /// Among which Linux chooses when a program does not: 32768-60999 (`man 7 ip`).
    pub const KERNELS_CHOICE: Self = Self {
        first: 32_768,
        last: 60_999,
    };

    /// How many there are, 1 to 65,535.
    pub const fn count(self) -> u64 {
        self.last as u64 - self.first as u64 + 1
    }

    /// How many there are below the knee: once half of a range is taken, a connect for which the kernel
    /// chooses the port searches both halves and takes a hundred times as long.
    pub const fn below_knee_count(self) -> u64 {
        // A single port has no halves.
        if self.count() == 1 {
            1
        } else {
            self.count() / 2
        }
    }

    /// The lowest.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest.
    pub const fn last(self) -> u16 {
        self.last
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        let is_digit = |byte: u8| byte.is_ascii_digit();
        let port = |text: &str| match text.trim() {
            text if text.bytes().all(is_digit) => text.parse().ok().filter(|port| *port > 0),
            // A sign is no part of a port.
            _ => None,
        };
        let ends = text
            .split_once('-')
            .and_then(|(first, last)| Some((port(first)?, port(last)?)));
        let Some((first, last)) = ends else {
            return Err(PortsError::NotARange {
                text: text.to_owned(),
            });
        };
        if first > last {
            return Err(PortsError::Backwards {
                text: text.to_owned(),
            });
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.first, self.last))
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_counted_and_written() {
        for (text, count) in [("1024-65535", 64_512), ("1-65535", 65_535), ("9-9", 1)] {
            let ports: Ports = text.parse().expect(text);
            assert_eq!(ports.count(), count);
            assert_eq!(ports.to_string(), text);
        }
        assert_eq!(Ports::ALL.count(), crate::tuples::PORTS_COUNT);
        assert_eq!("32768 - 60999".parse(), Ok(Ports::KERNELS_CHOICE));
    }

    #[test]
    fn half_of_a_range_is_below_the_knee() {
        assert_eq!(Ports::KERNELS_CHOICE.below_knee_count(), 14_116);
        assert_eq!("9-9".parse::<Ports>().unwrap().below_knee_count(), 1);
        assert_eq!("9-11".parse::<Ports>().unwrap().below_knee_count(), 1);
    }

    #[test]
    fn errors_say_what_was_expected() {
        for text in [
            "",
            "1024",
            "0-9",
            "1-65536",
            "a-b",
            "1-2-3",
            "-5",
            "+1-9",
            "1024..2048",
        ] {
            let error = text.parse::<Ports>().expect_err(text).to_string();
            assert!(error.contains("expected LO-HI"), "{text}: {error}");
        }
        let error = "65535-1024".parse::<Ports>().expect_err("backwards");
        assert!(error.to_string().contains("lower port first"), "{error}");
    }
}
