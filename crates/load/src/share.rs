//! A share of a whole, such as `10%`.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A share from 0.01 % to 100 %, exact to a hundredth of a per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(
    /// Hundredths of a per cent, 1 to 10,000.
    u16,
);

/// A text is not a share.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a share: expected 0.01% to 100%, such as 10% or 2.5%")]
pub struct ShareError(String);

/// Hundredths of a per cent in the whole.
const WHOLE: u16 = 10_000;
/// How far apart consecutive numbers are laid on the whole: about the golden ratio of it, and coprime to it.
const STRIDE: u64 = 6_181;

impl Share {
    /// So many per cent, 1 to 100.
    pub(crate) const fn percent(percent: u8) -> Self {
        debug_assert!(1 <= percent && percent <= 100);
        Self(percent as u16 * 100)
    }

    /// This share of `count`, rounded down.
    pub fn of(self, count: u64) -> u64 {
        let part = u128::from(count) * u128::from(self.0) / u128::from(WHOLE);
        // A part is never more than its whole.
        part as u64
    }

    /// Whether the one with this number is of the share, whoever asks.
    ///
    /// Of any 10,000 consecutive numbers exactly this share is, and of fewer or more so many that they differ from
    /// it by less than six.
    pub(crate) const fn has(self, number: u64) -> bool {
        let whole = WHOLE as u64;
        number % whole * STRIDE % whole < self.0 as u64
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let wrong = || ShareError(text.to_owned());
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, hundredths) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str, most: usize| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole, 3) || !is_number(hundredths, 2) {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let hundredths: u32 = format!("{hundredths:0<2}").parse().map_err(|_| wrong())?;
        match u16::try_from(whole * 100 + hundredths) {
            Ok(share @ 1..=WHOLE) => Ok(Self(share)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / 100, self.0 % 100);
        match hundredths {
            0 => write!(f, "{whole}%"),
            _ => write!(f, "{whole}.{hundredths:02}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_rounded_down() {
        for (text, count, part) in [
            ("10%", 2_000_000, 200_000),
            ("2.5%", 1_000, 25),
            ("0.01%", 9_999, 0),
            ("33.33%", 10_000, 3_333),
            ("100%", u64::MAX, u64::MAX),
        ] {
            let share: Share = text.parse().expect(text);
            assert_eq!(share.of(count), part, "{text} of {count}");
            assert_eq!(share.to_string().parse(), Ok(share));
        }
    }

    #[test]
    fn of_consecutive_numbers_the_share_is_there_wherever_they_begin() {
        for hundredths in [1, 50, 100, 333, 2_500, 5_000, 6_181, 9_999, 10_000] {
            let share = Share(hundredths);
            for first in (0..20_000).step_by(1_237) {
                let mut there: u64 = 0;
                for count in 1..=20_000_u64 {
                    there += u64::from(share.has(first + count - 1));
                    // In hundredths of a per cent of one.
                    let off = (there * 10_000).abs_diff(count * u64::from(hundredths));
                    assert!(off < 60_000, "{share} of {count} from {first}: {there}");
                    assert!(count % 10_000 != 0 || off == 0, "{share} of {count}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_share_is_refused_with_an_example() {
        for text in [
            "", "10", "%", "0%", "100.01%", "101%", "-1%", "1.%", "1.005%", "+1%",
        ] {
            let error = text.parse::<Share>().expect_err(text);
            assert!(error.to_string().contains("such as 10%"), "{error}");
        }
    }
}
