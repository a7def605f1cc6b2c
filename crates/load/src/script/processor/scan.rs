//! What a file of JavaScript asks for, found without running it: modules, and variables of the environment.
//!
//! A `require` inside of a function is run only when a user comes to it, and what is missing should be
//! said before the first connection. Comments are left out; what is found in odd places (a regular
//! expression with quotes in it) is at worst missed, and then said when it is run.

/// Something that a file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// `require('…')` or `import … from '…'`.
    Module(String),
    /// `process.env.…`.
    Environment(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'s> {
    Word(&'s str),
    Text(&'s str),
    Sign(u8),
}

/// What `source` asks for, each with its line and with the function that asks, if that has a name and stands by itself.
pub(super) fn wishes(source: &str) -> Vec<(u32, Wish, Option<String>)> {
    use Token::{Sign, Text, Word};
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut place = Place::default();
    for at in 0..tokens.len() {
        let line = tokens[at].0;
        let after = tokens.get(at + 1).map(|(_, token)| *token);
        place.pass(tokens[at].1, after);
        let mut next = [Sign(0); 5];
        for (place, (_, token)) in next.iter_mut().zip(&tokens[at..]) {
            *place = *token;
        }
        let wish = match next {
            [Word("require" | "import"), Sign(b'('), Text(name), ..]
            | [Word("import" | "from"), Text(name), ..] => Wish::Module(name.to_owned()),
            [
                Word("process"),
                Sign(b'.'),
                Word("env"),
                Sign(b'.'),
                Word(name),
            ]
            | [
                Word("process"),
                Sign(b'.'),
                Word("env"),
                Sign(b'['),
                Text(name),
            ] => Wish::Environment(name.to_owned()),
            _ => continue,
        };
        found.push((line, wish, place.function().map(str::to_owned)));
    }
    found
}

/// Whether anybody in `source` calls `name`.
pub(super) fn calls(source: &str, name: &str) -> bool {
    let tokens = tokens(source);
    let word = |at: usize| tokens.get(at).map(|(_, token)| *token);
    let is_call = |at: usize| {
        let is_made = at > 0 && word(at - 1) == Some(Token::Word("function"));
        word(at + 1) == Some(Token::Sign(b'(')) && !is_made
    };
    (0..tokens.len()).any(|at| word(at) == Some(Token::Word(name)) && is_call(at))
}

/// In which function of a file one is.
#[derive(Debug, Default)]
struct Place<'s> {
    braces: u32,
    parentheses: u32,
    /// The function that was begun last outside of all others.
    function: Option<&'s str>,
}

impl<'s> Place<'s> {
    fn pass(&mut self, token: Token<'s>, after: Option<Token<'s>>) {
        match (token, after) {
            (Token::Word("function"), Some(Token::Word(name))) if self.braces == 0 => {
                self.function = Some(name);
            }
            (Token::Sign(b'('), _) => self.parentheses += 1,
            (Token::Sign(b')'), _) => self.parentheses = self.parentheses.saturating_sub(1),
            // A pattern among the parameters begins no body.
            (Token::Sign(b'{'), _) if self.parentheses == 0 || self.braces > 0 => self.braces += 1,
            (Token::Sign(b'}'), _) => {
                if self.braces == 1 {
                    self.function = None;
                }
                self.braces = self.braces.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn function(&self) -> Option<&'s str> {
        self.function.filter(|_| self.braces > 0)
    }
}

/// Whether `source` has `name` as a word or inside of a text.
pub(super) fn mentions(source: &str, name: &str) -> bool {
    tokens(source).iter().any(|(_, token)| match token {
        Token::Word(word) => *word == name,
        Token::Text(text) => text.contains(name),
        Token::Sign(_) => false,
    })
}

/// The tokens of `source`, each with its line.
fn tokens(source: &str) -> Vec<(u32, Token<'_>)> {
    let bytes = source.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&byte) = bytes.get(at) {
        let from = at;
        let begun = line;
        match byte {
            b'\n' => {
                line += 1;
                at += 1;
            }
            b'/' if bytes[at..].starts_with(b"//") => {
                at += bytes[at..]
                    .iter()
                    .take_while(|byte| **byte != b'\n')
                    .count();
            }
            b'/' if bytes[at..].starts_with(b"/*") => {
                let length = source[at + 2..].find("*/");
                at = length.map_or(bytes.len(), |length| at + length + 4);
            }
            b'"' | b'\'' | b'`' => {
                let length = text_length(&bytes[at + 1..], byte);
                at += 1 + length;
                tokens.push((begun, Token::Text(&source[from + 1..at])));
                // The quote at its end, if that is not the end of the line.
                at += usize::from(bytes.get(at) == Some(&byte));
            }
            _ if is_word(byte) => {
                at += bytes[at..]
                    .iter()
                    .take_while(|byte| is_word(**byte))
                    .count();
                tokens.push((begun, Token::Word(&source[from..at])));
            }
            _ => {
                if !byte.is_ascii_whitespace() {
                    tokens.push((begun, Token::Sign(byte)));
                }
                at += 1;
            }
        }
        if byte != b'\n' {
            let passed = &bytes[from..at];
            line += passed.iter().filter(|byte| **byte == b'\n').count() as u32;
        }
    }
    tokens
}

/// How long the text before the closing `quote` is; only one in backquotes has more than one line.
fn text_length(bytes: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' if quote != b'`' => return at,
            _ if byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_variables_are_found_with_their_lines() {
        let source = "// require('one')\nconst a = require( 'two' );\n/* import x from 'three'\n */ \
                      import { b } from \"./four.mjs\";\nimport 'five'\n`\n${process.env.NOT}`;\n\
                      f(process.env.HOME, process.env['PATH']); const s = 'require(\"six\")';";
        let module = |name: &str| Wish::Module(name.to_owned());
        let variable = |name: &str| Wish::Environment(name.to_owned());
        let outside = |line, wish| (line, wish, None);
        assert_eq!(
            wishes(source),
            [
                outside(2, module("two")),
                outside(4, module("./four.mjs")),
                outside(5, module("five")),
                outside(8, variable("HOME")),
                outside(8, variable("PATH")),
            ]
        );
        let source = "const a = { b: require('one') };\nasync function f({ c }, d = {}) { if (c) { require('two') } }\n\
                      require('three'); const g = () => { require('four') };";
        let asks = wishes(source).into_iter().map(|(.., asks)| asks);
        let f = Some("f".to_owned());
        assert_eq!(asks.collect::<Vec<_>>(), [None, f, None, None]);
        assert!(calls("f (1)", "f") && calls("x.f()", "f"));
        assert!(!calls("function f() {} exports.f = f; g()", "f"));
        // Whatever is in a file, looking at it ends.
        for odd in ["'", "`", "/*", "\\", "'\\", "é'é", "/[\"']/", ""] {
            wishes(odd);
        }
    }

    #[test]
    fn a_name_is_mentioned_as_a_word_or_in_a_text() {
        let source = "context.vars.token = vars['user.id']; // other";
        assert!(mentions(source, "token") && mentions(source, "user"));
        assert!(!mentions(source, "tok") && !mentions(source, "other"));
    }
}
