//! What a step makes of the arguments that come: the data that it expects, and `match` and
//! `capture`.

use serde_json::Value;

use super::heard::Heard;
use crate::script::{
    expect::{Captured, Expect},
    memory::Scene,
    template::Shape,
};

/// What a `response` or an `acknowledge` expects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// A list is all arguments, a text a part of the last one, and anything else the last one.
    pub(crate) data: Option<Shape>,
    /// Whether a text is a part of all arguments put together.
    pub(crate) is_joined: bool,
    pub(crate) expect: Option<Expect>,
}

/// Why arguments are not what a step expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwanted {
    /// They are not the data.
    Data,
    /// They do not match.
    Match,
}

impl Wanted {
    /// Whether these arguments are the data; anything is where none is expected.
    pub(crate) fn is_data(&self, heard: &Heard, scene: &mut Scene<'_>) -> bool {
        let Some(shape) = &self.data else { return true };
        let mut json = String::new();
        shape.write(&mut json, scene);
        // A shape writes JSON.
        let data = serde_json::from_str(&json).unwrap_or_default();
        let arguments = heard.arguments();
        let last = arguments.last().unwrap_or(&Value::Null);
        match &data {
            Value::Array(all) => {
                all.len() == arguments.len()
                    && all
                        .iter()
                        .zip(arguments)
                        .all(|(one, other)| is_same(one, other))
            }
            Value::String(text) if self.is_joined => heard.joined().contains(&**text),
            Value::String(text) => match last {
                Value::String(last) => last.contains(&**text),
                Value::Array(items) => items.contains(&data),
                _ => false,
            },
            data => is_same(data, last),
        }
    }

    /// What is captured of these arguments.
    ///
    /// # Errors
    ///
    /// Why they are not what is expected.
    pub(crate) fn judge(
        &self,
        heard: &Heard,
        scene: &mut Scene<'_>,
    ) -> Result<Vec<(u16, Value)>, Unwanted> {
        if !self.is_data(heard, scene) {
            return Err(Unwanted::Data);
        }
        let captured: Captured = match &self.expect {
            None => Some(Vec::new()),
            Some(expect) => {
                // As JSON.stringify would write them, which regular expressions see.
                let text = serde_json::to_string(heard.arguments()).unwrap_or_default();
                expect.judge(&text, scene)
            }
        };
        captured.ok_or(Unwanted::Match)
    }
}

/// Whether two values are the same to JavaScript: 1 is 1.0.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(key, value)| other.get(key).is_some_and(|found| is_same(value, found));
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::script::{fields::Fields, names::Names, problem::Problems, tree::Node};

    /// Judges arguments by a `response` whose captures go to the slots `a`, `b`.
    fn judge(response: &str, arguments: &Value) -> Result<Vec<(u16, Value)>, Unwanted> {
        let mut problems = Problems::of("s.yml");
        let node = Node::parse(response, &mut problems).expect("YAML");
        let captures = ["a".to_owned(), "b".to_owned()];
        let mut names = Names {
            variables: &[],
            payloads: &[],
            captures: &captures,
            loops: Vec::new(),
            unknown: Vec::new(),
            processor: None,
        };
        let mut fields = Fields::of(&node, "response", &mut problems).expect("a map");
        let wanted = Wanted::read(&mut fields, &mut names, &mut problems);
        fields.finish(&mut problems);
        let wanted = problems.or(Some(wanted)).expect(response);
        let mut scene = Scene {
            variables: &[],
            payloads: &[],
            memory: None,
            seed: 1,
            number: 0,
            random: &mut fastrand::Rng::with_seed(1),
        };
        let arguments = arguments.as_array().expect("a list").clone();
        wanted.judge(&Heard::of(arguments, wanted.is_joined), &mut scene)
    }

    #[test]
    fn data_is_all_arguments_or_the_last_or_a_part_of_it() {
        for (data, arguments, holds) in [
            ("data: hello", json!(["hello"]), true),
            ("data: ell", json!(["x", "hello"]), true),
            ("data: x", json!(["x", "hello"]), false),
            ("{data: xhel, concat: true}", json!(["x", "hello"]), true),
            ("data: hello", json!([{"a": "hello"}]), false),
            ("data: hello", json!([["hello", 1]]), true),
            ("data: hello", json!([]), false),
            ("args: [a, 1, {b: 2.0}]", json!(["a", 1.0, {"b": 2}]), true),
            ("args: [a]", json!(["a", "b"]), false),
            ("data: {name: Ada}", json!(["x", {"name": "Ada"}]), true),
            (
                "data: {name: Ada}",
                json!([{"name": "Ada", "age": 3}]),
                false,
            ),
            ("data: 7", json!([7]), true),
            ("data: false", json!([true]), false),
            ("data: ''", json!([1]), true),
            ("{data: '', args: [1]}", json!([2]), false),
            ("{}", json!([]), true),
        ] {
            let judged = judge(data, &arguments);
            let expected = if holds {
                Ok(Vec::new())
            } else {
                Err(Unwanted::Data)
            };
            assert_eq!(judged, expected, "{data} {arguments}");
        }
    }

    #[test]
    fn arguments_are_counted_by_number_and_the_first_is_meant_where_none_is_named() {
        let arguments = json!(["one", {"name": "Ada", "0": "zero"}]);
        for (response, outcome) in [
            ("match: {json: $.0, value: one}", Ok(vec![])),
            ("match: {value: one}", Ok(vec![])),
            ("match: {json: $.1.name, value: Ada}", Ok(vec![])),
            ("match: {json: '$[1].name', value: Ada}", Ok(vec![])),
            ("match: {json: $.1.0, value: zero}", Ok(vec![])),
            ("match: {value: two}", Err(Unwanted::Match)),
            (
                "capture: {json: $.1.name, as: b}",
                Ok(vec![(1, json!("Ada"))]),
            ),
            ("capture: {as: a}", Ok(vec![(0, json!("one"))])),
            (
                "capture: {regexp: '\"name\":\"(\\w+)\"', group: 1, as: a}",
                Ok(vec![(0, json!("Ada"))]),
            ),
            // What is not there is not captured, and that is no failure unless it is said to be.
            ("capture: {json: $.5, as: a}", Ok(vec![])),
            (
                "capture: {json: $.5, as: a, strict: true}",
                Err(Unwanted::Match),
            ),
            ("{data: {}, match: {value: one}}", Err(Unwanted::Data)),
        ] {
            assert_eq!(judge(response, &arguments), outcome, "{response}");
        }
    }
}
