//! What the plugin `expect` looks at in the message that a step waits for: each expectation is counted, and its failure
//! ends nobody unless the script says so.

use regex::Regex;
use serde_json::Value;

use super::{
    fields::{EMPTY, Fields},
    memory::Scene,
    names::Names,
    problem::Problems,
    template::Template,
    tree::{self, Node},
};

/// One expectation of a step.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    what: What,
    /// As it is shown.
    pub(crate) text: String,
}

#[derive(Clone, Debug)]
enum What {
    /// All are the same text.
    Equals(Box<[Template]>),
    HasProperty(Template),
    NotHasProperty(Template),
    MatchesRegexp(Regex),
    /// A list or a map.
    Json,
}

/// The expectations that there are, in the order of their counts.
pub(crate) const KINDS: [&str; 5] = [
    "equals",
    "hasProperty",
    "notHasProperty",
    "matchesRegexp",
    "contentType",
];

/// Those of the plugin that are about HTTP.
const OF_HTTP: [&str; 5] = [
    "statusCode",
    "notStatusCode",
    "hasHeader",
    "headerEquals",
    "cdnHit",
];

/// Reads the `expect` of a step: a map, or a list of maps.
pub(super) fn read(
    fields: &mut Fields<'_>,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Box<[Expectation]> {
    let path = fields.path_of("expect");
    let mut all = Vec::new();
    let is_list = |node: &Node| matches!(node.value, tree::Value::List(_));
    let is_list = fields.take("expect").is_some_and(is_list);
    let nodes = fields.list_of_some("expect", problems);
    for (number, node) in nodes.iter().enumerate() {
        let path = match is_list {
            true => format!("{path}[{number}]"),
            false => path.clone(),
        };
        let tree::Value::Map(entries) = &node.value else {
            let text = format!(
                "expected expectations such as {{hasProperty: id}}, found {}",
                node.kind()
            );
            problems.note(node.at, &path, text);
            continue;
        };
        if entries.is_empty() {
            problems.note(node.at, &path, EMPTY);
        }
        for entry in entries {
            let key = format!("{path}.{}", entry.key);
            all.extend(Expectation::of(
                &entry.key,
                &entry.node,
                &key,
                names,
                problems,
            ));
        }
    }
    all.into()
}

impl Expectation {
    fn of(
        kind: &str,
        node: &Node,
        key: &str,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut template = |node: &Node, problems: &mut Problems| match &node.value {
            tree::Value::Text(text) => Some(Template::parse(text, node.at, key, names, problems)),
            tree::Value::Number(number) => Some(Template::constant(&number.to_string())),
            tree::Value::Bool(value) => Some(Template::constant(&value.to_string())),
            _ => {
                let text = format!("expected a text, found {}", node.kind());
                problems.note(node.at, key, text);
                None
            }
        };
        let what = match (kind, &node.value) {
            // One alone is always the same.
            ("equals", tree::Value::List(items)) if items.len() < 2 => {
                let text = format!("expected two values at least, found {}", items.len());
                problems.note(node.at, key, text);
                return None;
            }
            ("equals", tree::Value::List(items)) => {
                let all = items.iter().filter_map(|item| template(item, problems));
                What::Equals(all.collect())
            }
            ("hasProperty", _) => What::HasProperty(template(node, problems)?),
            ("notHasProperty", _) => What::NotHasProperty(template(node, problems)?),
            ("matchesRegexp", tree::Value::Text(text)) => match Regex::new(text) {
                Ok(regex) => What::MatchesRegexp(regex),
                Err(error) => {
                    problems.note(
                        node.at,
                        key,
                        format!("not a regular expression here: {error}"),
                    );
                    return None;
                }
            },
            ("contentType", tree::Value::Text(text)) if text == "json" => What::Json,
            _ => {
                problems.note(node.at, key, refusal(kind));
                return None;
            }
        };
        let text = format!("{kind} {}", shown(&node.to_json()));
        Some(Self { what, text })
    }

    /// Its place among [`KINDS`].
    pub(crate) const fn kind(&self) -> usize {
        match self.what {
            What::Equals(_) => 0,
            What::HasProperty(_) => 1,
            What::NotHasProperty(_) => 2,
            What::MatchesRegexp(_) => 3,
            What::Json => 4,
        }
    }

    /// Whether a message is as expected.
    pub(crate) fn holds(&self, text: &str, body: &Value, scene: &mut Scene<'_>) -> bool {
        let mut said = |template: &Template| {
            let mut text = String::new();
            template.write(&mut text, scene);
            text
        };
        match &self.what {
            What::Equals(all) => {
                let mut all = all.iter().map(said);
                let first = all.next();
                all.all(|one| Some(one) == first)
            }
            What::HasProperty(path) => property(body, &said(path)),
            What::NotHasProperty(path) => !property(body, &said(path)),
            What::MatchesRegexp(regex) => regex.is_match(text),
            What::Json => body.is_object() || body.is_array(),
        }
    }
}

/// Whether there is something at a path such as `user.roles[0].name`.
fn property(body: &Value, path: &str) -> bool {
    let mut steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let found = steps.try_fold(body, |value, step| match value {
        Value::Object(map) => map.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    });
    found.is_some() && (body.is_object() || body.is_array())
}

/// A value as it is shown, not too long.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

fn refusal(kind: &str) -> String {
    match kind {
        "equals" => "expected a list of values that are to be the same".to_owned(),
        "contentType" => "a message has no type but `json`, which is a list or a map".to_owned(),
        "matchesRegexp" => "expected a regular expression".to_owned(),
        _ if OF_HTTP.contains(&kind) => {
            "this is about responses of HTTP, and a message has no status and no headers: delete it"
                .to_owned()
        }
        _ => format!("unknown expectation: expected one of {}", KINDS.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::property;

    #[test]
    fn a_property_is_found_by_its_path() {
        let body = json!({"a": [{"b": null}], "c": {"d e": 1}});
        for path in ["a", "a[0]", "a[0].b", "a.0.b", "c.d e", "c"] {
            assert!(property(&body, path), "{path}");
        }
        for path in ["b", "a[1]", "a[x]", "a[0].b.c", "c.d"] {
            assert!(!property(&body, path), "{path}");
        }
        assert!(!property(&json!("text"), "") && property(&json!([1]), "[0]"));
    }
}
