//! The words of an nginx configuration, as far as they matter to find directives.
//!
//! ```text
//!  events { worker_connections 4096; }   # a comment
//!  word   { word               word ; }
//! ```
//!
//! Words end at blanks, `;` and `{`; quotes and `\` keep what is special from being so, and the braces
//! of `${variable}` belong to their word. What is in a `…_by_lua_block { … }` is another language: only
//! its braces are counted.

use std::borrow::Cow;

/// One piece of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(Cow<'a, str>),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// The tokens of a text, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    /// What was read of it, bytes.
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Goes behind the brace that closes the block which was just opened, whatever is in it.
    pub(super) fn skip_foreign_block(&mut self) {
        let mut depth = 1_usize;
        while let Some(byte) = self.byte() {
            self.at += 1;
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks_and_comments(&mut self) {
        while let Some(byte) = self.byte() {
            match byte {
                b'#' => {
                    let rest = &self.text.as_bytes()[self.at..];
                    let line = rest.iter().position(|byte| *byte == b'\n');
                    self.at += line.unwrap_or(rest.len());
                }
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => return,
            }
        }
    }

    fn word(&mut self) -> Cow<'a, str> {
        let start = self.at;
        let quote = self.byte().filter(|byte| matches!(byte, b'"' | b'\''));
        let word = match quote {
            Some(quote) => {
                self.at += 1;
                self.skip_until(|byte, _| byte == quote);
                let inside = &self.text[start + 1..self.at];
                // Behind the closing quote; there is none at the end of a text that breaks off.
                self.at = (self.at + 1).min(self.text.len());
                inside
            }
            None => {
                self.skip_until(|byte, before| {
                    byte.is_ascii_whitespace() || byte == b';' || byte == b'{' && before != b'$'
                });
                &self.text[start..self.at]
            }
        };
        without_escapes(word)
    }

    /// Goes on to a byte that ends a word, given with the one before it. All that end one are ASCII, so
    /// that a word never ends within a character.
    fn skip_until(&mut self, ends: impl Fn(u8, u8) -> bool) {
        let mut before = 0;
        while let Some(byte) = self.byte() {
            if ends(byte, before) {
                return;
            }
            self.at += 1;
            before = byte;
            // What is behind a backslash is nothing special, unless it is a part of a character.
            if byte == b'\\' && self.byte().is_some_and(|byte| byte.is_ascii()) {
                self.at += 1;
                before = 0;
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks_and_comments();
        let single = match self.byte()? {
            b';' => Token::End,
            b'{' => Token::Open,
            b'}' => Token::Close,
            _ => return Some(Token::Word(self.word())),
        };
        self.at += 1;
        Some(single)
    }
}

fn without_escapes(word: &str) -> Cow<'_, str> {
    if word.contains('\\') {
        let mut plain = String::with_capacity(word.len());
        let mut characters = word.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => plain.extend(characters.next()),
                other => plain.push(other),
            }
        }
        Cow::Owned(plain)
    } else {
        Cow::Borrowed(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        Tokens::new(text)
            .map(|token| match token {
                Token::Word(word) => format!("<{word}>"),
                Token::End => ";".to_owned(),
                Token::Open => "{".to_owned(),
                Token::Close => "}".to_owned(),
            })
            .collect()
    }

    #[test]
    fn words_and_what_is_between_them() {
        let text = "user www; # a { comment;\nevents{worker_connections  4096;}";
        let tokens = [
            "<user>",
            "<www>",
            ";",
            "<events>",
            "{",
            "<worker_connections>",
            "<4096>",
            ";",
            "}",
        ];
        assert_eq!(shown(text), tokens);
        assert_eq!(shown(""), [""; 0]);
        assert_eq!(shown(" \n# x"), [""; 0]);
    }

    #[test]
    fn quotes_and_backslashes_keep_what_is_special() {
        assert_eq!(
            shown(r#"a "b;{ \"c" 'd}#' e\;f;"#),
            ["<a>", r#"<b;{ "c>"#, "<d}#>", "<e;f>", ";"]
        );
        assert_eq!(shown("set $x ${y}z;"), ["<set>", "<$x>", "<${y}z>", ";"]);
        assert_eq!(shown("location ~ a{"), ["<location>", "<~>", "<a>", "{"]);
    }

    #[test]
    fn a_text_may_break_off_anywhere() {
        assert_eq!(shown("a \"b"), ["<a>", "<b>"]);
        assert_eq!(shown("a '"), ["<a>", "<>"]);
        assert_eq!(shown("a\\"), ["<a>"]);
        assert_eq!(shown("a\\\u{e9}b;"), ["<a\u{e9}b>", ";"]);
    }

    #[test]
    fn a_block_of_another_language_is_skipped() {
        let mut tokens = Tokens::new("x { it's { \"}\" } } y;");
        assert_eq!(tokens.by_ref().take(2).last(), Some(Token::Open));
        tokens.skip_foreign_block();
        let rest: Vec<_> = tokens.collect();
        assert_eq!(rest.len(), 3, "{rest:?}");
        let mut endless = Tokens::new("{ {");
        endless.next();
        endless.skip_foreign_block();
        assert_eq!(endless.next(), None);
    }
}
