//! What a virtual user remembers, and what templates see of it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    names::{Origin, Variable, follow},
    payload::{Order, Payload},
    template::Var,
};

/// What a user has captured and how far its loops are. A user whose script does neither has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// By slot; as many as the script captures, from the first capture on.
    pub(crate) captures: Box<[Option<Value>]>,
    /// The loops it is in, the outermost first.
    pub(crate) loops: Vec<Turn>,
    /// What functions have set besides, by name.
    pub(crate) others: Option<Box<Map<String, Value>>>,
}

/// One loop that a user is in.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) index: u64,
    /// Where it ends; `None` never does.
    pub(crate) end: Option<u64>,
    /// What it goes over.
    pub(crate) over: Option<Arc<[Value]>>,
}

/// What a template is written for: one user at one moment.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) variables: &'a [Variable],
    pub(crate) payloads: &'a [Payload],
    pub(crate) memory: Option<&'a Memory>,
    /// What a user gets of several values is decided by this, so it need not be remembered.
    pub(crate) seed: u64,
    /// The user's number in the run.
    pub(crate) number: u32,
    pub(crate) random: &'a mut fastrand::Rng,
}

impl Memory {
    /// Remembers a capture.
    pub(crate) fn keep(&mut self, slot: u16, value: Value, slots: usize) {
        if self.captures.is_empty() {
            self.captures = vec![None; slots].into();
        }
        if let Some(place) = self.captures.get_mut(usize::from(slot)) {
            *place = Some(value);
        }
    }
}

impl Turn {
    /// Whether the loop goes round once more.
    pub(crate) fn goes_on(&self) -> bool {
        self.end.is_none_or(|end| self.index < end)
    }
}

impl Scene<'_> {
    /// What a name stands for; nothing when it stands for nothing.
    pub(crate) fn value(&self, var: &Var) -> Value {
        self.find(&var.origin, &var.path).unwrap_or_default()
    }

    /// What an origin gives, and what `path` takes of it.
    pub(crate) fn find(&self, origin: &Origin, path: &[Box<str>]) -> Option<Value> {
        match origin {
            Origin::Known(value) => follow(value, path),
            Origin::Capture(slot, otherwise) => {
                let captures = self.memory.map(|memory| &memory.captures);
                let found = captures.and_then(|all| all.get(usize::from(*slot))?.as_ref());
                match (found, otherwise) {
                    (Some(value), _) => follow(value, path),
                    (None, Some(otherwise)) => self.find(otherwise, path),
                    (None, None) => None,
                }
            }
            Origin::Variable(number) => {
                let values = &self.variables[usize::from(*number)].values;
                follow(
                    values.get(self.pick(u64::from(*number), values.len())?)?,
                    path,
                )
            }
            Origin::Field { payload, column } => {
                let number = u64::from(*payload);
                let payload = &self.payloads[usize::from(*payload)];
                let row = match payload.order {
                    Order::Random => self.pick(!number, payload.rows.len())?,
                    Order::Sequence => self.number as usize % payload.rows.len().max(1),
                };
                follow(payload.rows.get(row)?.get(usize::from(*column))?, path)
            }
            Origin::Rows(payload) => follow_rows(&self.payloads[usize::from(*payload)].all, path),
            Origin::LoopCount(depth) => Some(self.turn(*depth)?.index.into()),
            Origin::LoopElement(depth) => {
                let turn = self.turn(*depth)?;
                match &turn.over {
                    Some(values) => follow(values.get(turn.index as usize)?, path),
                    None => Some(turn.index.into()),
                }
            }
        }
    }

    fn turn(&self, depth: u8) -> Option<&Turn> {
        self.memory?.loops.get(usize::from(depth))
    }

    /// One of `count`, the same for this user every time.
    fn pick(&self, which: u64, count: usize) -> Option<usize> {
        (count > 0).then(|| fastrand::Rng::with_seed(self.seed ^ which).usize(..count))
    }
}

/// Takes what `path` leads to from a file's rows.
fn follow_rows(rows: &[Value], path: &[Box<str>]) -> Option<Value> {
    match path.split_first() {
        Some((row, rest)) => follow(rows.get(row.parse::<usize>().ok()?)?, rest),
        None => Some(Value::Array(rows.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::script::{
        names::{LoopNames, Names},
        problem::{Place, Problems},
        template::{Body, Template},
        tree::Node,
    };

    fn variables() -> Vec<Variable> {
        let variable = |name: &str, values: &[Value]| Variable {
            name: name.to_owned(),
            values: values.into(),
        };
        vec![
            variable("zip", &["a", "b", "c"].map(Value::from)),
            variable("limit", &[json!(7)]),
            variable("user", &[json!({"name": "Ada", "tags": ["x", "y"]})]),
        ]
    }

    /// Writes `body` for user `seed` with `id` captured.
    fn write(body: &str, seed: u64) -> String {
        let variables = variables();
        let mut problems = Problems::of("s.yml");
        let node = Node::parse(body, &mut problems).expect("YAML");
        let mut names = Names {
            variables: &variables,
            payloads: &[],
            captures: &["id".to_owned()],
            loops: vec![LoopNames {
                count: "$loopCount".to_owned(),
                element: "$loopElement".to_owned(),
            }],
            unknown: Vec::new(),
            processor: None,
        };
        let body = Body::read(&node, "send", &mut names, &mut problems);
        problems.or(Some(())).expect("no problems");
        let mut memory = Memory::default();
        memory.keep(0, json!(42), 1);
        memory.loops.push(Turn {
            index: 1,
            end: Some(3),
            over: Some([json!("p"), json!({"q": 9})].into()),
        });
        let mut out = String::new();
        let mut scene = Scene {
            variables: &variables,
            payloads: &[],
            memory: Some(&memory),
            seed,
            number: 0,
            random: &mut fastrand::Rng::with_seed(seed),
        };
        body.write(&mut out, &mut scene);
        out
    }

    #[test]
    fn templates_are_written_as_scripts_mean_them() {
        for (body, written) in [
            ("'hello'", "hello"),
            ("'{{ limit }}'", "7"),
            (
                "{n: '{{ limit }}', t: 'n={{limit}}'}",
                r#"{"n":7,"t":"n=7"}"#,
            ),
            (
                "{id: '{{ id }}', u: '{{ user.name }}'}",
                r#"{"id":42,"u":"Ada"}"#,
            ),
            ("'{{ user.tags[1] }}!'", "y!"),
            ("'{{{ user.tags.0 }}}'", "x"),
            (
                "{'{{ user.name }}': [1, '{{ user.tags }}']}",
                r#"{"Ada":[1,["x","y"]]}"#,
            ),
            ("'{{ $loopCount }} {{ $loopElement.q }}'", "1 9"),
            ("'{{ nothing }}'", ""),
            ("'a {{ nothing }}'", "a undefined"),
            ("[1, 2.5, true, ~]", "[1,2.5,true,null]"),
            ("5", "5"),
            ("{b: 1, a: 2}", r#"{"b":1,"a":2}"#),
        ] {
            assert_eq!(write(body, 1), written, "{body}");
        }
    }

    #[test]
    fn one_element_is_one_users_and_all_are_somebodys() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let written = write("['{{ zip }}', '{{ zip }}']", seed);
            let pair: Vec<String> = serde_json::from_str(&written).expect("JSON");
            assert_eq!(pair[0], pair[1], "one user has one element");
            seen.insert(pair[0].clone());
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
    }

    #[test]
    fn random_parts_are_within_their_bounds() {
        for seed in 0..100 {
            let number: i64 = write("'{{ $randomNumber(1,3) }}'", seed)
                .parse()
                .expect("a number");
            assert!((1..=3).contains(&number));
            let text = write("'{{ $randomString(12) }}'", seed);
            assert!(text.len() == 12 && text.chars().all(char::is_alphanumeric));
            let uuid = write("'{{ $uuid }}'", seed);
            assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, words) in [
            ("{{ a", "without `}}`"),
            ("{{ a + b }}", "no name of a variable"),
            ("{{ $randomNumber(9) }}", "not known"),
            ("{{ $randomNumber(9, 1) }}", "the smaller number first"),
            ("{{ $randomString(-1) }}", "expected $randomString"),
        ] {
            let mut problems = Problems::of("s.yml");
            let mut names = Names {
                variables: &[],
                payloads: &[],
                captures: &[],
                loops: Vec::new(),
                unknown: Vec::new(),
                processor: None,
            };
            Template::parse(text, Place::default(), "send", &mut names, &mut problems);
            let refusal = problems.or(Some(())).expect_err(text).to_string();
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }
}
