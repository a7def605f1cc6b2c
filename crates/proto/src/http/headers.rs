//! The header lines of a head.

use std::fmt;

/// Header lines, in the order in which they came, borrowed from the bytes that came.
///
/// Names are compared without regard to case. A value that is not UTF-8 reads as `"\u{FFFD}"`: it
/// is there, and it equals nothing that anybody asks for.
#[derive(Clone, Default)]
pub struct Headers<'b>(Vec<httparse::Header<'b>>);

/// A header that may come once came more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate;

impl<'b> Headers<'b> {
    pub(super) fn new(headers: Vec<httparse::Header<'b>>) -> Self {
        Self(headers)
    }

    /// The first value of a header.
    pub fn first(&self, name: &str) -> Option<&'b str> {
        self.all(name).next()
    }

    /// Every value of a header.
    pub fn all<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'b str> + use<'b, 'n> {
        self.iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The value of a header that may come once.
    ///
    /// # Errors
    ///
    /// [`Duplicate`] if it came more often: which one another program on the way believed is
    /// unknown.
    pub fn single(&self, name: &str) -> Result<Option<&'b str>, Duplicate> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() {
            Err(Duplicate)
        } else {
            Ok(value)
        }
    }

    /// The elements of a header that is a list: separated by commas, over all its lines.
    pub fn elements<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'b str> + use<'b, 'n> {
        // RFC 9110 §5.6.1.2: empty elements MUST be ignored.
        self.all(name)
            .flat_map(|value| value.split(','))
            .map(trim)
            .filter(|e| !e.is_empty())
    }

    /// Whether a header that is a list has an element, without regard to case.
    pub fn has_element(&self, name: &str, element: &str) -> bool {
        self.elements(name).any(|e| e.eq_ignore_ascii_case(element))
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b str)> + use<'b, '_> {
        self.0
            .iter()
            .map(|h| (h.name, std::str::from_utf8(h.value).unwrap_or("\u{FFFD}")))
    }

    /// The number of header lines.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no header line.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Cuts the optional white space of RFC 9110 §5.6.3, which is narrower than Unicode's.
fn trim(element: &str) -> &str {
    element.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'b>(lines: &[(&'b str, &'b [u8])]) -> Headers<'b> {
        let header = |&(name, value)| httparse::Header { name, value };
        Headers::new(lines.iter().map(header).collect())
    }

    #[test]
    fn names_have_no_case_and_values_have_an_order() {
        let headers = headers(&[("Accept", b"a"), ("HOST", b"h"), ("accept", b"b")]);
        assert_eq!(headers.first("ACCEPT"), Some("a"));
        assert_eq!(headers.all("accept").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(headers.single("host"), Ok(Some("h")));
        assert_eq!(headers.single("accept"), Err(Duplicate));
        assert_eq!(headers.single("origin"), Ok(None));
        assert_eq!(headers.iter().nth(1), Some(("HOST", "h")));
    }

    // RFC 9110 §5.6.1: a list may be spread over lines and have empty elements.
    #[test]
    fn a_list_is_split_at_commas_and_over_lines() {
        let headers = headers(&[
            ("c", b" keep-alive ,,\tUpgrade "),
            ("d", b"x"),
            ("C", b"te,"),
        ]);
        assert_eq!(
            headers.elements("c").collect::<Vec<_>>(),
            ["keep-alive", "Upgrade", "te"]
        );
        assert!(headers.has_element("c", "upgrade"));
        assert!(headers.has_element("c", "TE"));
        assert!(!headers.has_element("c", "alive"));
        assert!(!headers.has_element("d", "upgrade"));
    }

    #[test]
    fn a_value_that_is_no_text_is_there_and_equals_nothing() {
        let headers = headers(&[("origin", b"K\xF6ln")]);
        assert_eq!(headers.single("origin"), Ok(Some("\u{FFFD}")));
    }
}
