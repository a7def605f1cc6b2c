//! Sizes for people: `8.9 GB` instead of `8912345678`, and back from `128G` or `64GiB`.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A number of bytes that displays in thousands, with at most one decimal.
///
/// Read back from a whole number, alone or with a unit: `K`, `M`, `G` and `T` (also `KB` and so on) are
/// powers of a thousand, `Ki`, `Mi`, `Gi` and `Ti` (also `KiB` and so on) are powers of 1,024.
///
/// ```
/// use fourtuple_capacity::Bytes;
///
/// assert_eq!(Bytes(8_912_345_678).to_string(), "8.9 GB");
/// assert_eq!("128G".parse(), Ok(Bytes(128_000_000_000)));
/// assert_eq!("64GiB".parse(), Ok(Bytes(64 << 30)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BytesError {
    /// It is not a whole number with a unit that is known.
    #[error(
        "`{text}` is not a size: expected a whole number of bytes, alone or with K, M, G or T (powers \
         of 1,000) or KiB, MiB, GiB or TiB (powers of 1,024), such as 128G or 64GiB"
    )]
    NotASize {
        /// What was given.
        text: String,
    },
    /// It is more than there can be.
    #[error("`{text}` is too large: expected less than 18,446,744 TB")]
    TooLarge {
        /// What was given.
        text: String,
    },
}

/// What `Display` writes, from small to large.
const DECIMAL: [(&str, u64); 6] = [
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("EB", 1_000_000_000_000_000_000),
];

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < DECIMAL[0].1 {
            return f.pad(&format!("{} B", self.0));
        }
        let tenths =
            |size: u64| (u128::from(self.0) * 10 + u128::from(size) / 2) / u128::from(size);
        // Rounded first, so that 999,999 is 1 MB and never 1000 KB.
        let (unit, size) = DECIMAL
            .into_iter()
            .find(|(_, size)| tenths(*size) < 10_000)
            .unwrap_or(DECIMAL[DECIMAL.len() - 1]);
        let (whole, tenth) = (tenths(size) / 10, tenths(size) % 10);
        f.pad(&match tenth {
            0 => format!("{whole} {unit}"),
            _ => format!("{whole}.{tenth} {unit}"),
        })
    }
}

impl FromStr for Bytes {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        let wrong = || BytesError::NotASize {
            text: text.to_owned(),
        };
        let too_large = || BytesError::TooLarge {
            text: text.to_owned(),
        };
        let trimmed = text.trim();
        let end = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(end);
        let size = unit_size(unit.trim_start()).ok_or_else(wrong)?;
        if digits.is_empty() {
            return Err(wrong());
        }
        // Nothing but digits: what does not fit is too large.
        let count: u64 = digits.parse().map_err(|_| too_large())?;
        count.checked_mul(size).map(Self).ok_or_else(too_large)
    }
}

fn unit_size(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let (letter, base) = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => return Some(1),
        prefix => match prefix.strip_suffix('i') {
            Some(letter) => (letter, 1_024_u64),
            None => (prefix, 1_000),
        },
    };
    let power = match letter {
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    Some(base.pow(power))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_decimal_where_it_says_something() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1 KB"),
            (1_049, "1 KB"),
            (1_050, "1.1 KB"),
            (41_000, "41 KB"),
            (999_949, "999.9 KB"),
            (999_950, "1 MB"),
            (8_912_345_678, "8.9 GB"),
            (128_000_000_000, "128 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text, "{bytes}");
        }
        assert_eq!(format!("[{:>8}]", Bytes(1_500)), "[  1.5 KB]");
    }

    #[test]
    fn thousands_and_powers_of_two() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4_096),
            ("512M", 512_000_000),
            ("512 MB", 512_000_000),
            ("128G", 128_000_000_000),
            ("64GiB", 64 << 30),
            ("64Gi", 64 << 30),
            ("1kib", 1_024),
            ("2T", 2_000_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn errors_say_what_was_expected() {
        for text in [
            "", "G", "-1", "1.5G", "1X", "1GG", "1iB", "12 34", "1e9", "G1",
        ] {
            let error = text.parse::<Bytes>().expect_err(text).to_string();
            assert!(error.contains("such as 128G or 64GiB"), "{text}: {error}");
        }
        for text in [
            "18446744073709551616",
            "18446745T",
            "99999999999999999999999G",
        ] {
            let error = text.parse::<Bytes>().expect_err(text);
            assert!(matches!(error, BytesError::TooLarge { .. }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_within_a_rounding(bytes in any::<u64>()) {
            let text = Bytes(bytes).to_string();
            let (number, unit) = text.split_once(' ').expect("a number and its unit");
            let size = DECIMAL.iter().find(|(name, _)| *name == unit).map_or(1, |(_, size)| *size);
            let number: f64 = number.parse().expect("a decimal number");
            prop_assert!((number * size as f64 - bytes as f64).abs() <= 0.051 * size as f64);
            prop_assert!(number < 1_000.0);
        }
    }
}
