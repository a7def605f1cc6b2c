//! YAML as a tree: what is in `deploy/` is read as its readers read it, anchors and aliases included.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// A list or a map that is not closed yet.
struct Open {
    value: Value,
    /// The key whose value comes next.
    key: Option<String>,
    anchor: usize,
}

/// Every document of a text.
#[track_caller]
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let (mut documents, mut open, mut anchors) = (Vec::new(), Vec::<Open>::new(), BTreeMap::new());
    for next in Parser::new_from_str(text) {
        let (event, _) = next.unwrap_or_else(|error| panic!("no YAML: {error}\n{text}"));
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (scalar(&text, style), anchor),
            Event::Alias(anchor) => (Value::clone(&anchors[&anchor]), 0),
            Event::SequenceStart(_, anchor, _) => {
                open.push(Open::new(Value::Array(Vec::new()), anchor));
                continue;
            }
            Event::MappingStart(_, anchor, _) => {
                open.push(Open::new(Value::Object(Map::new()), anchor));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let closed = open.pop().expect("it was opened");
                (closed.value, closed.anchor)
            }
            _ => continue,
        };
        if anchor != 0 {
            anchors.insert(anchor, value.clone());
        }
        match open.last_mut() {
            Some(open) => open.add(value),
            None => documents.push(value),
        }
    }
    documents
}

impl Open {
    const fn new(value: Value, anchor: usize) -> Self {
        let key = None;
        Self { value, key, anchor }
    }

    fn add(&mut self, value: Value) {
        match (&mut self.value, self.key.take()) {
            (Value::Array(items), _) => items.push(value),
            (Value::Object(members), Some(key)) => {
                let before = members.insert(key.clone(), value);
                assert!(before.is_none(), "the key {key} is there twice");
            }
            (_, None) => {
                let key = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                self.key = Some(key);
            }
            (other, Some(_)) => unreachable!("{other} is not open"),
        }
    }
}

/// YAML 1.2 §10.3, the core schema; only plain ones are anything else than texts.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    let is_plain = matches!(style, ScalarStyle::Plain);
    match text {
        "" | "~" | "null" if is_plain => Value::Null,
        "true" | "false" if is_plain => (text == "true").into(),
        text => match text.parse::<i64>() {
            Ok(number) if is_plain => number.into(),
            _ => text.into(),
        },
    }
}

#[test]
fn anchors_are_copied_and_only_plain_words_are_values() {
    let read = documents("a: &x {b: 1, c: \"1\"}\nd: *x\ne: [true, 'no']\n---\nf: |\n  g\n");
    let x = serde_json::json!({"b": 1, "c": "1"});
    let expected = [
        serde_json::json!({"a": x, "d": x, "e": [true, "no"]}),
        serde_json::json!({"f": "g\n"}),
    ];
    assert_eq!(read, expected);
}
