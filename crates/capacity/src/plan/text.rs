//! How an answer is set on a terminal: headings, rows of three columns, sentences that wrap.

use std::fmt;

/// Columns of a line.
const WIDTH: usize = 100;

/// Columns of a name and of a number in a row.
const NAME_WIDTH: usize = 26;
const VALUE_WIDTH: usize = 15;

const INDENT: &str = "  ";

/// A line above a section, with an empty one before it.
pub(super) fn heading(f: &mut fmt::Formatter<'_>, words: &str) -> fmt::Result {
    writeln!(f, "\n{words}")
}

/// A name, its number, and what it is, which takes as many lines as it needs.
pub(super) fn row(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: impl fmt::Display,
    note: &str,
) -> fmt::Result {
    let head = format!("{INDENT}{name:<NAME_WIDTH$} {value:>VALUE_WIDTH$}");
    let margin = head.chars().count();
    let mut notes = wrap(note, WIDTH.saturating_sub(margin + INDENT.len()));
    let first = notes.next().unwrap_or_default();
    writeln!(f, "{}", format!("{head}{INDENT}{first}").trim_end())?;
    notes.try_for_each(|note| writeln!(f, "{:margin$}{INDENT}{note}", ""))
}

/// Words that take as many lines as they need.
pub(super) fn sentence(f: &mut fmt::Formatter<'_>, words: &str) -> fmt::Result {
    wrap(words, WIDTH - INDENT.len()).try_for_each(|line| writeln!(f, "{INDENT}{line}"))
}

/// Words that take as many lines as they need, from the first column.
pub(super) fn paragraph(f: &mut fmt::Formatter<'_>, words: &str) -> fmt::Result {
    wrap(words, WIDTH).try_for_each(|line| writeln!(f, "{line}"))
}

/// `words` in lines of at most `width` characters; a longer word has a line to itself.
pub(super) fn wrap(words: &str, width: usize) -> impl Iterator<Item = String> {
    let mut rest = words.split_whitespace().peekable();
    std::iter::from_fn(move || {
        let mut line = String::from(rest.next()?);
        let mut length = line.chars().count();
        while let Some(word) = rest.next_if(|word| length + 1 + word.chars().count() <= width) {
            line.push(' ');
            line.push_str(word);
            length += 1 + word.chars().count();
        }
        Some(line)
    })
}

/// A line of at most `width` characters, with a mark where it was cut.
pub(super) fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_break_between_words() {
        let lines: Vec<_> = wrap("one two three four", 9).collect();
        assert_eq!(lines, ["one two", "three", "four"]);
        let lines: Vec<_> = wrap("a wordthatistoolong b", 9).collect();
        assert_eq!(lines, ["a", "wordthatistoolong", "b"]);
        assert_eq!(wrap("  ", 9).count(), 0);
    }

    #[test]
    fn what_is_cut_has_a_mark() {
        assert_eq!(cut("tuple", 5), "tuple");
        assert_eq!(cut("tuples", 5), "tupl…");
        assert_eq!(cut("××××××", 5), "××××…");
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_no_line_too_long(words in "([a-z×]{1,9} ){0,40}", width in 9..40_usize) {
            let lines: Vec<_> = wrap(&words, width).collect();
            prop_assert!(lines.iter().all(|line| line.chars().count() <= width));
            let again = lines.join(" ");
            prop_assert!(again.split_whitespace().eq(words.split_whitespace()));
        }
    }
}
