//! The expressions of `ensure`: arithmetic, comparisons, `and`, `or`, `not` over names of metrics.
//!
//! ```text
//! vusers.failed == 0 and (websocket.messages_sent / vusers.created) >= 10
//! ```

/// A condition, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expression(Term);

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Number(f64),
    Name(String),
    Not(Box<Self>),
    Minus(Box<Self>),
    Call(Function, Vec<Self>),
    Both(Operator, Box<(Self, Self)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Abs,
    Ceil,
    Floor,
    Max,
    Min,
    Round,
    Sqrt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Plus,
    Minus,
    Times,
    Over,
    Modulo,
    Power,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Name(String),
    Sign(&'static str),
}

/// Longer signs before those that they begin with.
const SIGNS: [&str; 16] = [
    "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^", "(", ")", ",", "=",
];
/// The longest expression, in tokens, and the deepest.
const TOKENS_MAX: usize = 1_000;
const DEPTH_MAX: usize = 50;

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// What is wrong, and what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser {
            tokens: &tokens,
            depth: 0,
        };
        let term = parser.term(0)?;
        match parser.tokens.first() {
            None => Ok(Self(term)),
            Some(token) => Err(format!("`{text}`: {} is not expected here", shown(token))),
        }
    }

    /// Whether it is true; a name without a value makes it false.
    pub(crate) fn holds(&self, metric: &dyn Fn(&str) -> Option<f64>) -> bool {
        self.0.value(metric) == Some(1.0)
    }
}

impl Term {
    fn value(&self, metric: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
        let truth = |is: bool| Some(f64::from(u8::from(is)));
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(name) => metric(name),
            Self::Not(term) => truth(term.value(metric)? == 0.0),
            Self::Minus(term) => Some(-term.value(metric)?),
            Self::Call(function, terms) => {
                let values: Option<Vec<_>> = terms.iter().map(|term| term.value(metric)).collect();
                function.value(&values?)
            }
            Self::Both(operator, terms) => {
                let (one, other) = (terms.0.value(metric)?, terms.1.value(metric)?);
                match operator {
                    Operator::Or => truth(one != 0.0 || other != 0.0),
                    Operator::And => truth(one != 0.0 && other != 0.0),
                    Operator::Equal => truth(one == other),
                    Operator::NotEqual => truth(one != other),
                    Operator::Less => truth(one < other),
                    Operator::LessOrEqual => truth(one <= other),
                    Operator::More => truth(one > other),
                    Operator::MoreOrEqual => truth(one >= other),
                    Operator::Plus => Some(one + other),
                    Operator::Minus => Some(one - other),
                    Operator::Times => Some(one * other),
                    Operator::Over => Some(one / other),
                    Operator::Modulo => Some(one % other),
                    Operator::Power => Some(one.powf(other)),
                }
            }
        }
    }
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "ceil" => Self::Ceil,
            "floor" => Self::Floor,
            "max" => Self::Max,
            "min" => Self::Min,
            "round" => Self::Round,
            "sqrt" => Self::Sqrt,
            _ => return None,
        })
    }

    fn value(self, values: &[f64]) -> Option<f64> {
        let first = values.first().copied();
        match self {
            Self::Abs => first.map(f64::abs),
            Self::Ceil => first.map(f64::ceil),
            Self::Floor => first.map(f64::floor),
            Self::Round => first.map(f64::round),
            Self::Sqrt => first.map(f64::sqrt),
            Self::Max => values.iter().copied().reduce(f64::max),
            Self::Min => values.iter().copied().reduce(f64::min),
        }
    }
}

/// Precedence climbing over what is left of the tokens.
struct Parser<'t> {
    tokens: &'t [Token],
    depth: usize,
}

impl Parser<'_> {
    /// A term whose operators bind tighter than `least`.
    fn term(&mut self, least: u8) -> Result<Term, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("the expression is more than {DEPTH_MAX} deep"));
        }
        let mut left = self.leaf()?;
        while let Some((operator, binds)) = self.tokens.first().and_then(operator) {
            if binds <= least {
                break;
            }
            self.tokens = &self.tokens[1..];
            // Powers go from right to left.
            let right = self.term(binds - u8::from(operator == Operator::Power))?;
            left = Term::Both(operator, Box::new((left, right)));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn leaf(&mut self) -> Result<Term, String> {
        let Some((token, rest)) = self.tokens.split_first() else {
            return Err("the expression ends too early: expected a number or a name".to_owned());
        };
        self.tokens = rest;
        match token {
            Token::Number(number) => Ok(Term::Number(*number)),
            Token::Name(name) if name == "not" => Ok(Term::Not(Box::new(self.term(2)?))),
            Token::Name(name) if rest.first() == Some(&Token::Sign("(")) => self.call(name),
            Token::Name(name) => Ok(Term::Name(name.clone())),
            Token::Sign("-") => Ok(Term::Minus(Box::new(self.term(6)?))),
            Token::Sign("(") => {
                let term = self.term(0)?;
                self.sign(")")?;
                Ok(term)
            }
            token => Err(format!("{} is not expected here", shown(token))),
        }
    }

    fn call(&mut self, name: &str) -> Result<Term, String> {
        let function = Function::named(name).ok_or_else(|| {
            format!("`{name}` is no function: expected abs, ceil, floor, max, min, round or sqrt")
        })?;
        self.sign("(")?;
        let mut terms = vec![self.term(0)?];
        while self.tokens.first() == Some(&Token::Sign(",")) {
            self.tokens = &self.tokens[1..];
            terms.push(self.term(0)?);
        }
        self.sign(")")?;
        Ok(Term::Call(function, terms))
    }

    fn sign(&mut self, sign: &'static str) -> Result<(), String> {
        match self.tokens.split_first() {
            Some((token, rest)) if *token == Token::Sign(sign) => {
                self.tokens = rest;
                Ok(())
            }
            Some((token, _)) => Err(format!("expected `{sign}`, found {}", shown(token))),
            None => Err(format!("the expression ends too early: expected `{sign}`")),
        }
    }
}

/// An operator and how tightly it binds.
fn operator(token: &Token) -> Option<(Operator, u8)> {
    let sign = match token {
        Token::Sign(sign) => *sign,
        Token::Name(name) => name,
        Token::Number(_) => return None,
    };
    Some(match sign {
        "or" => (Operator::Or, 1),
        "and" => (Operator::And, 2),
        "==" | "=" => (Operator::Equal, 3),
        "!=" => (Operator::NotEqual, 3),
        "<" => (Operator::Less, 3),
        "<=" => (Operator::LessOrEqual, 3),
        ">" => (Operator::More, 3),
        ">=" => (Operator::MoreOrEqual, 3),
        "+" => (Operator::Plus, 4),
        "-" => (Operator::Minus, 4),
        "*" => (Operator::Times, 5),
        "/" => (Operator::Over, 5),
        "%" => (Operator::Modulo, 5),
        "^" => (Operator::Power, 7),
        _ => return None,
    })
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_digit() {
            let length = span(rest, |c| c.is_ascii_digit() || c == '.');
            let number = rest[..length].parse();
            let number = number.map_err(|_| format!("`{}` is no number", &rest[..length]))?;
            tokens.push(Token::Number(number));
            length
        } else if first == '\'' || first == '"' {
            let end = rest[1..].find(first);
            let end = end.ok_or_else(|| format!("`{rest}`: the quote is not closed"))?;
            tokens.push(Token::Name(rest[1..=end].to_owned()));
            end + 2
        } else if first.is_alphabetic() || first == '_' {
            let length = span(rest, |c| c.is_alphanumeric() || c == '_' || c == '.');
            tokens.push(Token::Name(rest[..length].to_owned()));
            length
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| format!("`{first}` is not expected in an expression"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        if tokens.len() > TOKENS_MAX {
            return Err(format!("the expression has more than {TOKENS_MAX} parts"));
        }
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn span(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

fn shown(token: &Token) -> String {
    match token {
        Token::Number(number) => format!("`{number}`"),
        Token::Name(name) => format!("`{name}`"),
        Token::Sign(sign) => format!("`{sign}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let expression = Expression::parse(text).expect(text);
        expression.holds(&|name| match name {
            "a" => Some(2.0),
            "b.p95" => Some(3.0),
            "errors.x y" => Some(1.0),
            _ => None,
        })
    }

    #[test]
    fn operators_bind_as_they_do_on_paper() {
        for text in [
            "1 + 2 * 3 == 7",
            "2 * 3 ^ 2 == 18",
            "2 ^ 3 ^ 2 == 512",
            "-2 ^ 2 == 4 or 1 == 1",
            "10 - 3 - 2 == 5",
            "(1 + 2) * 3 == 9",
            "a < b.p95 and not (a > b.p95)",
            "not a == 3",
            "1 == 2 or 1 == 1 and 2 == 2",
            "7 % 4 == 3 and max(1, b.p95, 2) = 3",
            "'errors.x y' == 1",
            "round(2.5) == 3 and abs(-1) == 1",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "a > b.p95",
            "unknown < 1",
            "not unknown",
            "unknown == unknown",
            "a",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for (text, words) in [
            ("", "ends too early"),
            ("a <", "ends too early"),
            ("(a", "expected `)`"),
            ("a b", "`b` is not expected"),
            ("a ~ b", "`~` is not expected"),
            ("sum(a)", "no function"),
            ("'a", "not closed"),
            ("1.2.3 < 2", "no number"),
            (&"(".repeat(80), "deep"),
        ] {
            let refusal = Expression::parse(text).expect_err(text);
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }
}
