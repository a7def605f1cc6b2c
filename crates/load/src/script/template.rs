//! Texts with `{{ … }}` in them, parsed once and written for each virtual user.
//!
//! What does not change from user to user is written when the script is read, so a text without a
//! changing part costs a copy.

use serde_json::Value;

use super::{
    memory::Scene,
    names::{Names, Origin},
    problem::{Place, Problems},
    tree::{self, Node},
};

/// A text that is made anew for each use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    parts: Box<[Part]>,
    /// The text is one part and nothing around it, so the value keeps its type.
    is_lone: bool,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text(Box<str>),
    /// A value that is known already.
    Fixed(Value),
    Var(Var),
    /// A whole number between two, both included.
    RandomNumber(i64, i64),
    /// Letters and digits.
    RandomString(u16),
    Uuid,
}

/// A value that differs from user to user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Var {
    pub(crate) origin: Origin,
    /// What to take of it: `.name`, `[0]`.
    pub(crate) path: Box<[Box<str>]>,
}

/// The longest `$randomString`.
const RANDOM_STRING_MAX: u16 = 65_000;

impl Template {
    /// Parses `text`; what is wrong with it is noted under `key`.
    pub(crate) fn parse(
        text: &str,
        at: Place,
        key: &str,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("{{") {
            let Some(length) = rest[start..].find("}}") else {
                let text = "`{{` without `}}`: close it, or leave it out";
                problems.note(at, key, text);
                break;
            };
            let mut end = start + length + 2;
            // Three braces are as good as two.
            if rest[start..].starts_with("{{{") && rest[end..].starts_with('}') {
                end += 1;
            }
            push_text(&mut parts, &rest[..start]);
            let inner = rest[start..end].trim_matches(['{', '}']).trim();
            match part(inner, names) {
                Ok(part) => parts.push(part),
                Err(wrong) => problems.note(at, key, wrong),
            }
            rest = &rest[end..];
        }
        push_text(&mut parts, rest);
        let is_lone = parts.len() == 1 && !matches!(parts[0], Part::Text(_));
        if !is_lone {
            fold(&mut parts);
        }
        Self {
            parts: parts.into(),
            is_lone,
        }
    }

    /// A template that is always `text`.
    pub(crate) fn constant(text: &str) -> Self {
        let mut parts = Vec::new();
        push_text(&mut parts, text);
        Self {
            parts: parts.into(),
            is_lone: false,
        }
    }

    /// The text, if it is the same for everybody.
    pub(crate) fn as_constant(&self) -> Option<String> {
        match &*self.parts {
            [] => Some(String::new()),
            [Part::Text(text)] => Some(text.to_string()),
            [Part::Fixed(Value::Null)] => Some(String::new()),
            [Part::Fixed(value)] => {
                let mut text = String::new();
                push_value(&mut text, value);
                Some(text)
            }
            _ => None,
        }
    }

    /// What the text begins with for everybody.
    pub(crate) fn constant_start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Fixed(Value::String(text))) => text,
            _ => "",
        }
    }

    /// Writes the text for one user.
    pub(crate) fn write(&self, out: &mut String, scene: &mut Scene<'_>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                part => push_value(out, &value(part, scene)),
            }
        }
    }

    /// The value for one user: that of the only part, or a text.
    pub(crate) fn value(&self, scene: &mut Scene<'_>) -> Value {
        if self.is_lone {
            return value(&self.parts[0], scene);
        }
        let mut text = String::new();
        self.write(&mut text, scene);
        Value::String(text)
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(last)) => *last = format!("{last}{text}").into(),
        _ => parts.push(Part::Text(text.into())),
    }
}

/// Writes into the text what is known already.
fn fold(parts: &mut Vec<Part>) {
    for part in std::mem::take(parts) {
        match part {
            Part::Text(text) => push_text(parts, &text),
            Part::Fixed(value) => {
                let mut text = String::new();
                push_value(&mut text, &value);
                push_text(parts, &text);
            }
            other => parts.push(other),
        }
    }
}

/// What stands between the braces.
fn part(inner: &str, names: &mut Names<'_>) -> Result<Part, String> {
    if inner == "$uuid" {
        return Ok(Part::Uuid);
    }
    if let Some((function, arguments)) = inner.split_once('(') {
        let arguments: Vec<_> = arguments
            .trim_end_matches(')')
            .split(',')
            .map(str::trim)
            .filter(|argument| !argument.is_empty())
            .collect();
        return call(function.trim(), &arguments, names);
    }
    let is_name = |c: char| c.is_alphanumeric() || "$_.[]'\"- ".contains(c);
    if inner.is_empty() || !inner.chars().all(is_name) {
        return Err(format!(
            "`{inner}` is no name of a variable: expected one such as `user.id`"
        ));
    }
    Ok(names.find(inner))
}

fn call(function: &str, arguments: &[&str], names: &mut Names<'_>) -> Result<Part, String> {
    let mut whole = |argument: &str| -> Option<i64> {
        if let Ok(number) = argument.parse() {
            return Some(number);
        }
        match names.find(argument) {
            Part::Fixed(Value::Number(number)) => number.as_i64(),
            _ => None,
        }
    };
    match (function, arguments) {
        ("$randomNumber", [least, most]) => match (whole(least), whole(most)) {
            (Some(least), Some(most)) if least <= most => Ok(Part::RandomNumber(least, most)),
            _ => Err("expected $randomNumber(1, 100), the smaller number first".to_owned()),
        },
        ("$randomString", []) => Ok(Part::RandomString(10)),
        ("$randomString", [length]) => whole(length)
            .and_then(|length| u16::try_from(length).ok())
            .filter(|&length| length <= RANDOM_STRING_MAX)
            .map(Part::RandomString)
            .ok_or_else(|| format!("expected $randomString(0) to ({RANDOM_STRING_MAX})")),
        _ => Err(format!(
            "`{function}` with {} arguments is not known: expected $randomNumber(1, 100) or \
             $randomString(10)",
            arguments.len()
        )),
    }
}

/// The value of a part for one user.
fn value(part: &Part, scene: &mut Scene<'_>) -> Value {
    match part {
        Part::Text(text) => Value::String(text.to_string()),
        Part::Fixed(value) => value.clone(),
        Part::Var(var) => scene.value(var),
        Part::RandomNumber(least, most) => scene.random.i64(*least..=*most).into(),
        Part::RandomString(length) => {
            let letters = (0..*length).map(|_| scene.random.alphanumeric());
            Value::String(letters.collect())
        }
        Part::Uuid => Value::String(uuid(scene.random.u128(..))),
    }
}

/// A random UUID, version 4 (RFC 9562 §5.4).
fn uuid(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Appends a value as it stands inside of a text; what is nothing is `undefined`, as in JavaScript.
fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => out.push_str(text),
        Value::Null => out.push_str("undefined"),
        other => out.push_str(&other.to_string()),
    }
}

/// A message: what is sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// The same for everybody.
    Constant(Box<str>),
    Text(Template),
    /// JSON with templates in it.
    Json(Shape),
}

/// JSON with templates in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Whole JSON, the same for everybody.
    Constant(Box<str>),
    Value(Template),
    List(Box<[Self]>),
    /// In the order of the script.
    Map(Box<[(Template, Self)]>),
}

impl Body {
    /// Reads what is to be sent; a list or a map becomes JSON.
    pub(crate) fn read(
        node: &Node,
        key: &str,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Self {
        match &node.value {
            tree::Value::Text(text) => {
                let template = Template::parse(text, node.at, key, names, problems);
                match template.as_constant() {
                    Some(text) => Self::Constant(text.into()),
                    None => Self::Text(template),
                }
            }
            _ => match Shape::read(node, key, names, problems) {
                Shape::Constant(json) => Self::Constant(json),
                shape => Self::Json(shape),
            },
        }
    }

    /// Writes the message for one user.
    pub(crate) fn write(&self, out: &mut String, scene: &mut Scene<'_>) {
        match self {
            Self::Constant(text) => out.push_str(text),
            Self::Text(template) => match template.value(scene) {
                Value::Null => {}
                value => push_value(out, &value),
            },
            Self::Json(shape) => shape.write(out, scene),
        }
    }
}

impl Shape {
    /// Reads a value whose texts may be templates.
    pub(crate) fn read(
        node: &Node,
        key: &str,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Self {
        let shape = match &node.value {
            tree::Value::Text(text) => {
                Self::Value(Template::parse(text, node.at, key, names, problems))
            }
            tree::Value::List(items) => {
                let items = items
                    .iter()
                    .map(|item| Self::read(item, key, names, problems));
                Self::List(items.collect())
            }
            tree::Value::Map(entries) => {
                let mut shapes = Vec::with_capacity(entries.len());
                for entry in entries {
                    let name = Template::parse(&entry.key, entry.at, key, names, problems);
                    shapes.push((name, Self::read(&entry.node, key, names, problems)));
                }
                Self::Map(shapes.into())
            }
            _ => return Self::Constant(node.to_json().to_string().into()),
        };
        match shape.as_constant() {
            Some(json) => Self::Constant(json.into()),
            None => shape,
        }
    }

    /// The whole JSON, if it is the same for everybody.
    fn as_constant(&self) -> Option<String> {
        match self {
            Self::Constant(json) => Some(json.to_string()),
            Self::Value(template) => match &*template.parts {
                [Part::Fixed(value)] => Some(value.to_string()),
                _ => Some(Value::String(template.as_constant()?).to_string()),
            },
            Self::List(items) => {
                let items: Option<Vec<_>> = items.iter().map(Self::as_constant).collect();
                Some(format!("[{}]", items?.join(",")))
            }
            Self::Map(entries) => {
                let entries = entries.iter().map(|(name, shape)| {
                    let name = Value::String(name.as_constant()?);
                    Some(format!("{name}:{}", shape.as_constant()?))
                });
                Some(format!(
                    "{{{}}}",
                    entries.collect::<Option<Vec<_>>>()?.join(",")
                ))
            }
        }
    }

    /// Writes the JSON for one user.
    pub(crate) fn write(&self, out: &mut String, scene: &mut Scene<'_>) {
        match self {
            Self::Constant(json) => out.push_str(json),
            Self::Value(template) => out.push_str(&template.value(scene).to_string()),
            Self::List(items) => {
                out.push('[');
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    item.write(out, scene);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (number, (name, shape)) in entries.iter().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    let mut text = String::new();
                    name.write(&mut text, scene);
                    out.push_str(&Value::String(text).to_string());
                    out.push(':');
                    shape.write(out, scene);
                }
                out.push('}');
            }
        }
    }
}
