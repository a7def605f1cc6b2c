//! Text that may stand in HTML and XML, whatever is in it.

use std::fmt;

/// A text in which nothing is markup: what stands for something in HTML or XML is written out, and what
/// XML 1.0 does not allow at all is replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;

        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(' ')?,
                // XML 1.0 §2.2.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                    f.write_char('\u{fffd}')?;
                }
                // Text that runs the other way must not rearrange what stands around it.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A number with the unit that fits: `12.3 k`, `1.23 GiB`.
pub(crate) fn number(value: f64, unit: &str) -> String {
    let (value, unit) = match unit {
        "B" => return capacity::Bytes(value.max(0.0) as u64).to_string(),
        "us" => return crate::latency::Micros(value.max(0.0).round() as u64).to_string(),
        "" => (value, String::new()),
        "/s" => (value, "/s".to_owned()),
        unit => (value, format!(" {unit}")),
    };
    let text = if value.fract() == 0.0 || value.abs() >= 100.0 {
        capacity::Grouped(value.max(0.0).round() as u64).to_string()
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    };
    text + &unit
}

/// A number on an axis, as short as can be.
pub(crate) fn short(value: f64, unit: &str) -> String {
    if matches!(unit, "B" | "us") {
        return number(value, unit).replace(".00 ", " ").replace(".0 ", " ");
    }
    let (value, factor) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = format!("{value:.2}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let unit = if unit == "%" { " %" } else { "" };
    format!("{digits}{factor}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let text = "<b a='x' b=\"y\">&amp;\u{0}\u{1b}\u{202e}\u{ffff} é\n</b>";
        assert_eq!(
            Text(text).to_string(),
            "&lt;b a=&#39;x&#39; b=&quot;y&quot;&gt;&amp;amp;\u{fffd}\u{fffd}\u{fffd}\u{fffd} é &lt;/b&gt;"
        );
    }

    #[test]
    fn numbers_have_units_and_no_more_digits_than_they_mean() {
        for (value, unit, text) in [
            (1_234_567.0, "", "1,234,567"),
            (1_234.4, "/s", "1,234/s"),
            (12.34, "/s", "12.3/s"),
            (0.5, "ms", "0.50 ms"),
            (1_500.0, "us", "1.50 ms"),
        ] {
            assert_eq!(number(value, unit), text);
        }
        for (value, unit, text) in [
            (0.0, "", "0"),
            (2_000.0, "", "2000"),
            (20_000.0, "/s", "20k"),
            (1_500_000.0, "", "1.5M"),
            (2_000.0, "us", "2 ms"),
            (50.0, "%", "50 %"),
        ] {
            assert_eq!(short(value, unit), text);
        }
    }
}
