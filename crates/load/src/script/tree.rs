//! A script as a tree of values that know their line and column, read from YAML or JSON by one parser.
//!
//! JSON is YAML 1.2, so there is one reader. Scalars are resolved by the core schema with strict
//! booleans: `NO` is a text. A key that is there twice is an error, since the reader of the file sees
//! both and the program would see one. Aliases are copied, merge keys (`<<`) are carried out.

use granit_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number};

use super::problem::{Place, Problems};

/// The longest script, in bytes.
pub(crate) const SCRIPT_BYTES_MAX: usize = 8 << 20;
/// Values in a script with every alias copied: a few lines of aliases could ask for billions.
const VALUES_MAX: usize = 500_000;
/// Lists and maps inside each other.
const DEPTH_MAX: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<Entry>),
}

/// A key of a map and what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) node: Node,
}

impl Node {
    /// Reads `text`; what is wrong with it goes to `problems`.
    pub(crate) fn parse(text: &str, problems: &mut Problems) -> Option<Self> {
        let start = Place { line: 1, column: 1 };
        if text.len() > SCRIPT_BYTES_MAX {
            let text = format!("the script is over {} MiB long", SCRIPT_BYTES_MAX >> 20);
            problems.note(start, "", text);
            return None;
        }
        let mut builder = Builder {
            problems,
            open: Vec::new(),
            anchors: Vec::new(),
            values: 0,
            root: None,
            documents: 0,
        };
        for next in Parser::new_from_str(text) {
            let taken = match next {
                Ok((event, span)) => builder.take(event, place(&span)),
                Err(error) => {
                    let at = Place {
                        line: error.marker().line().max(1) as u32,
                        column: error.marker().col() as u32 + 1,
                    };
                    let text = format!("this is neither YAML nor JSON: {}", error.info());
                    builder.problems.note(at, "", text);
                    None
                }
            };
            taken?;
        }
        let root = builder.root.take();
        if root.is_none() {
            problems.note(
                start,
                "",
                "the script is empty: expected config and scenarios",
            );
        }
        root
    }

    /// What the value is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value of `key`, if this is a map that has it.
    pub(crate) fn find(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key == key)?;
        Some(&entry.node)
    }

    /// The value without its places.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => serde_json::Value::Number(value.clone()),
            Value::Text(value) => value.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()));
                serde_json::Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// Lays `over` on top: maps are merged key by key, anything else is replaced.
    pub(crate) fn overlay(&mut self, over: Self) {
        let (Value::Map(entries), Value::Map(news)) = (&mut self.value, &over.value) else {
            *self = over;
            return;
        };
        for new in news {
            match entries.iter_mut().find(|entry| entry.key == new.key) {
                Some(entry) => entry.node.overlay(new.node.clone()),
                None => entries.push(new.clone()),
            }
        }
    }

    /// Gives every text to `change`, keys excepted.
    pub(crate) fn change_texts(&mut self, change: &mut impl FnMut(&mut String)) {
        match &mut self.value {
            Value::Text(text) => change(text),
            Value::List(items) => items.iter_mut().for_each(|item| item.change_texts(change)),
            Value::Map(entries) => {
                for entry in entries {
                    entry.node.change_texts(change);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The same value as if it had come from the command line.
    pub(crate) fn without_places(mut self) -> Self {
        self.at = Place::default();
        self.value = match self.value {
            Value::List(items) => {
                Value::List(items.into_iter().map(Self::without_places).collect())
            }
            Value::Map(entries) => {
                let bare = |entry: Entry| Entry {
                    key: entry.key,
                    at: Place::default(),
                    node: entry.node.without_places(),
                };
                Value::Map(entries.into_iter().map(bare).collect())
            }
            other => other,
        };
        self
    }

    /// How many values it is made of.
    fn size(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|entry| entry.node.size()).sum::<usize>(),
            _ => 1,
        }
    }
}

fn place(span: &Span) -> Place {
    Place {
        line: span.start.line() as u32,
        column: span.start.col() as u32 + 1,
    }
}

/// A list or a map that is not closed yet.
struct Open {
    node: Node,
    /// The key whose value comes next.
    key: Option<(String, Place)>,
    anchor: usize,
}

/// Makes a tree of the parser's events. `None` ends the reading.
struct Builder<'p> {
    problems: &'p mut Problems,
    open: Vec<Open>,
    anchors: Vec<(usize, Node)>,
    values: usize,
    root: Option<Node>,
    documents: u32,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, at: Place) -> Option<()> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let text = "a second document starts here: expected one script in one file";
                    self.problems.note(at, "", text);
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.as_ref().to_string().ends_with("str"));
                let value = match style {
                    ScalarStyle::Plain if !is_text => scalar(&text),
                    _ => Value::Text(text.into_owned()),
                };
                return self.add(Node { at, value }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => {
                return self.begin(Value::List(Vec::new()), at, anchor);
            }
            Event::MappingStart(_, anchor, _) => {
                return self.begin(Value::Map(Vec::new()), at, anchor);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                let node = merged(open.node);
                return self.add(node, open.anchor);
            }
            Event::Alias(anchor) => {
                let found = self.anchors.iter().find(|(id, _)| *id == anchor);
                let Some((_, node)) = found else {
                    let text = "an alias inside of what it stands for";
                    self.problems.note(at, "", text);
                    return None;
                };
                let mut node = node.clone();
                self.values += node.size();
                node.at = at;
                return self.add(node, 0);
            }
            _ => {}
        }
        Some(())
    }

    fn begin(&mut self, value: Value, at: Place, anchor: usize) -> Option<()> {
        if self.open.len() >= DEPTH_MAX {
            let text = format!("lists and maps are more than {DEPTH_MAX} deep");
            self.problems.note(at, "", text);
            return None;
        }
        self.open.push(Open {
            node: Node { at, value },
            key: None,
            anchor,
        });
        Some(())
    }

    /// Puts a whole value where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.values += 1;
        if self.values > VALUES_MAX {
            let text = format!("the script has more than {VALUES_MAX} values, aliases copied");
            self.problems.note(node.at, "", text);
            return None;
        }
        if anchor != 0 {
            self.anchors.push((anchor, node.clone()));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::Map(entries), Some((key, at))) => {
                if let Some(first) = entries.iter().find(|entry| entry.key == key && key != "<<") {
                    let text = format!(
                        "the key is there twice, first in line {}: delete one of them",
                        first.at.line
                    );
                    self.problems.note(at, &key, text);
                }
                entries.push(Entry { key, at, node });
            }
            (Value::Map(_), None) => {
                let key = match &node.value {
                    Value::Text(text) => text.clone(),
                    Value::Null => "null".to_owned(),
                    Value::Bool(value) => value.to_string(),
                    Value::Number(value) => value.to_string(),
                    Value::List(_) | Value::Map(_) => {
                        let text = "a key is a list or a map: expected a name";
                        self.problems.note(node.at, "", text);
                        String::new()
                    }
                };
                open.key = Some((key, node.at));
            }
            (Value::List(items), _) => items.push(node),
            _ => unreachable!("only lists and maps are open"),
        }
        Some(())
    }
}

/// Carries out merge keys: what is under `<<` is there unless the map itself says otherwise.
fn merged(mut node: Node) -> Node {
    let Value::Map(entries) = &mut node.value else {
        return node;
    };
    if !entries.iter().any(|entry| entry.key == "<<") {
        return node;
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = std::mem::take(entries)
        .into_iter()
        .partition(|entry| entry.key == "<<");
    let maps = merges.into_iter().flat_map(|entry| match entry.node.value {
        Value::List(items) => items,
        _ => vec![entry.node],
    });
    for map in maps {
        let Value::Map(more) = map.value else {
            continue;
        };
        for entry in more {
            if !own.iter().any(|known| known.key == entry.key) {
                own.push(entry);
            }
        }
    }
    *entries = own;
    node
}

/// A plain scalar by the core schema of YAML 1.2 (§10.3.2).
fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::Text(text.to_owned()), Value::Number)
}

/// A number as a script writes it; a whole one stays whole, as in JavaScript.
pub(crate) fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !digits.chars().any(|c| c.is_ascii_digit())
        || !digits
            .chars()
            .all(|c| c.is_ascii_digit() || "+-.eE".contains(c))
    {
        return None;
    }
    let bare = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = bare.parse::<i64>() {
        return Some(whole.into());
    }
    whole_or_float(bare.parse().ok()?)
}

/// A JSON number of a float: `2.0` is 2.
pub(crate) fn whole_or_float(float: f64) -> Option<Number> {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if float.fract() == 0.0 && float.abs() <= WHOLE_MAX {
        return Some((float as i64).into());
    }
    Number::from_f64(float)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Node, Problems> {
        let mut problems = Problems::of("s.yml");
        let node = Node::parse(text, &mut problems);
        problems.or(node)
    }

    fn refusal(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn yaml_and_json_are_one_tree() {
        let yaml =
            "config:\n  phases:\n    - duration: 10\n      arrivalRate: 0.5\n  a: [x, NO, 2.0]\n";
        let json = r#"{"config": {"phases": [{"duration": 10, "arrivalRate": 0.5}], "a": ["x", "NO", 2]}}"#;
        let (yaml, json) = (parse(yaml).expect("YAML"), parse(json).expect("JSON"));
        assert_eq!(yaml.to_json(), json.to_json());
        assert_eq!(yaml.to_json()["config"]["a"], json!(["x", "NO", 2]));
        let phases = yaml.find("config").and_then(|config| config.find("phases"));
        assert_eq!(phases.expect("phases").at, Place { line: 3, column: 5 });
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        for (text, value) in [
            ("a: yes", json!("yes")),
            ("a: 1-15", json!("1-15")),
            ("a: 0x1F", json!(31)),
            ("a: 1e3", json!(1000)),
            ("a: -1", json!(-1)),
            ("a: .5", json!(0.5)),
            ("a: '5'", json!("5")),
            ("a: !!str 5", json!("5")),
            ("a: 10m", json!("10m")),
            ("a: ~", json!(null)),
            ("a:", json!(null)),
            ("a: True", json!(true)),
            ("a: 1.2.3", json!("1.2.3")),
        ] {
            assert_eq!(parse(text).expect(text).to_json()["a"], value, "{text}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_named_with_both_lines() {
        let text = refusal("config:\n  target: a\n  target: b\n");
        assert_eq!(
            text,
            "s.yml:3:3: target: the key is there twice, first in line 2: delete one of them"
        );
        assert!(refusal(r#"{"a": 1, "a": 2}"#).contains("s.yml:1:10: a:"));
    }

    #[test]
    fn aliases_are_copied_and_merge_keys_carried_out() {
        let text = "a: &a {x: 1, y: 2}\nb: *a\nc:\n  <<: *a\n  y: 3\n";
        let tree = parse(text).expect("a tree").to_json();
        assert_eq!(tree["b"], json!({"x": 1, "y": 2}));
        assert_eq!(tree["c"], json!({"x": 1, "y": 3}));
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..9 {
            let last = n - 1;
            bomb += &format!(
                "a{n}: &a{n} [*a{last},*a{last},*a{last},*a{last},*a{last},*a{last},*a{last},*a{last}]\n"
            );
        }
        assert!(refusal(&bomb).contains("values"));
    }

    #[test]
    fn what_is_no_script_at_all_is_said_with_its_place() {
        assert!(refusal("a: [1, 2\nb: 3").starts_with("s.yml:2:"));
        assert!(refusal("").contains("empty"));
        assert!(refusal("a: 1\n---\nb: 2\n").contains("second document"));
        assert!(refusal(&"[".repeat(200)).contains("s.yml:1:"));
    }
}
