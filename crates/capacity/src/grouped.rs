//! Numbers for people: `2,000,000` instead of `2000000`.

use std::fmt;

/// A whole number that displays with a comma between groups of three digits.
///
/// ```
/// assert_eq!(fourtuple_capacity::Grouped(19_900).to_string(), "19,900");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        // `pad` keeps width and alignment working, which columns of a report use.
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_three_from_the_right() {
        let cases = [
            (0, "0"),
            (7, "7"),
            (999, "999"),
            (1_000, "1,000"),
            (19_900, "19,900"),
            (123_456, "123,456"),
            (2_000_000, "2,000,000"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ];
        for (number, text) in cases {
            assert_eq!(Grouped(number).to_string(), text);
        }
    }

    #[test]
    fn width_applies_to_the_whole_number() {
        assert_eq!(format!("[{:>7}]", Grouped(1_000)), "[  1,000]");
    }
}
