//! A value as an operator wrote it, before anyone knows what it means.

/// One value of one source.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Written<'a> {
    /// The text of a flag or of an environment variable: a number, a word or a list with commas.
    Argument(&'a str),
    /// A string of the file.
    Text(&'a str),
    /// An integer of the file.
    Integer(i64),
    /// A boolean of the file.
    Boolean(bool),
    /// An array of strings of the file.
    List(Vec<&'a str>),
    /// Anything else that a file can say; no setting takes it.
    Other,
}

impl<'a> Written<'a> {
    /// The words of a setting that is a text.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self {
            Self::Argument(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a setting that is a number; `_` may stand between its digits.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Argument(text) => whole_number(text),
            _ => None,
        }
    }

    /// The items of a setting that is a list.
    pub(super) fn items(&self) -> Option<Vec<&'a str>> {
        match self {
            Self::List(items) => Some(items.clone()),
            Self::Argument(text) => Some(text.split(',').map(str::trim).collect()),
            _ => None,
        }
    }
}

/// Reads `65536` and `65_536`.
pub(super) fn whole_number(text: &str) -> Option<i64> {
    let between_digits = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    (between_digits && digits)
        .then(|| text.replace('_', "").parse().ok())
        .flatten()
}

/// Writes a string as TOML does: in quotes, with what cannot stand between them escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_grouped() {
        for (text, number) in [("0", 0), ("65536", 65_536), ("1_000_000", 1_000_000)] {
            assert_eq!(whole_number(text), Some(number), "{text}");
        }
        for text in [
            "",
            "_1",
            "1_",
            "1__0",
            "-1",
            "+1",
            "1.0",
            "1e3",
            "0x10",
            "9".repeat(20).as_str(),
        ] {
            assert_eq!(whole_number(text), None, "{text}");
        }
    }

    #[test]
    fn quoted_text_is_toml() {
        for text in [
            "",
            "room:*",
            "a\"b\\c",
            "tab\tnew\nline\u{7f}\u{85}",
            "žluťoučký 🐎",
        ] {
            let line = format!("a = {}", quoted(text));
            let table: toml::Table = line.parse().expect("TOML");
            assert_eq!(table["a"].as_str(), Some(text));
        }
    }
}
