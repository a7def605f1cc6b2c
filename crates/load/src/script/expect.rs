//! What a step makes of the message that it waits for: `capture` and `match`.

use regex::Regex;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::{
    expectation::{self, Expectation},
    fields::Fields,
    memory::Scene,
    names::Names,
    problem::Problems,
    template::Template,
    tree::{self, Node},
};

/// All captures, matches and expectations of a step.
#[derive(Clone, Debug)]
pub(crate) struct Expect {
    checks: Box<[Check]>,
    expectations: Box<[Expectation]>,
}

#[derive(Clone, Debug)]
struct Check {
    query: Query,
    then: Then,
    /// Whether the user fails when it fails.
    is_strict: bool,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// A message.
    Message,
    /// A list of arguments: the first one where none is named, and a capture that finds nothing is no failure
    /// unless it is strict, as in Artillery.
    Arguments,
}

/// Where in the message the value is.
#[derive(Clone, Debug)]
enum Query {
    Json { path: JsonPath, is_multiple: bool },
    Regexp { regex: Regex, group: Group },
}

#[derive(Clone, Debug)]
enum Group {
    Number(usize),
    Name(String),
}

/// What is done with it.
#[derive(Clone, Debug)]
enum Then {
    Capture(u16),
    Match(Wanted),
}

#[derive(Clone, Debug)]
enum Wanted {
    Value(Value),
    Text(Template),
}

/// What a step captured, by slot; `None` when a strict check failed.
pub(crate) type Captured = Option<Vec<(u16, Value)>>;

impl Expect {
    /// Whether a step waits for a message.
    pub(crate) fn is_in(node: &Node) -> bool {
        let keys = ["capture", "match", "expect"];
        keys.iter().any(|key| node.find(key).is_some())
    }

    /// Reads the `capture` and `match` of a step.
    pub(crate) fn read(
        fields: &mut Fields<'_>,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        Self::read_as(fields, Subject::Message, names, problems)
    }

    /// The same for a list of arguments.
    pub(crate) fn read_of_arguments(
        fields: &mut Fields<'_>,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        Self::read_as(fields, Subject::Arguments, names, problems)
    }

    fn read_as(
        fields: &mut Fields<'_>,
        subject: Subject,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut checks = Vec::new();
        for key in ["capture", "match"] {
            let path = fields.path_of(key);
            for (number, node) in fields.list_of_some(key, problems).iter().enumerate() {
                let path = format!("{path}[{number}]");
                if let Some(fields) = Fields::of(node, &path, problems) {
                    let is_capture = key == "capture";
                    checks.extend(Check::read(fields, subject, is_capture, names, problems));
                }
            }
        }
        let expectations = match subject {
            Subject::Message => expectation::read(fields, names, problems),
            Subject::Arguments => Box::default(),
        };
        (!checks.is_empty() || !expectations.is_empty()).then(|| Self {
            checks: checks.into(),
            expectations,
        })
    }

    /// Looks at a message once it was judged and what it gave is kept; each expectation, and whether it holds.
    pub(crate) fn expectations<'e>(
        &'e self,
        text: &str,
        scene: &mut Scene<'_>,
    ) -> Vec<(&'e Expectation, bool)> {
        if self.expectations.is_empty() {
            return Vec::new();
        }
        let body = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        let all = self.expectations.iter();
        all.map(|one| (one, one.holds(text, &body, scene)))
            .collect()
    }

    /// Looks at a message.
    pub(crate) fn judge(&self, text: &str, scene: &mut Scene<'_>) -> Captured {
        let body = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        let mut captured = Vec::new();
        for check in &self.checks {
            let found = check.query.find(text, &body, scene);
            let holds = match (&check.then, found) {
                (Then::Capture(slot), Some(value)) if value != "" => {
                    captured.push((*slot, value));
                    true
                }
                (Then::Capture(_), _) => false,
                (Then::Match(Wanted::Value(wanted)), found) => found.as_ref() == Some(wanted),
                (Then::Match(Wanted::Text(wanted)), found) => found == Some(wanted.value(scene)),
            };
            if !holds && check.is_strict {
                return None;
            }
        }
        Some(captured)
    }
}

impl Check {
    fn read(
        mut fields: Fields<'_>,
        subject: Subject,
        is_capture: bool,
        names: &mut Names<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let before = problems.count();
        for (key, why) in [
            ("xpath", "xpath is not supported: use json or regexp"),
            ("selector", "selector is not supported: use json or regexp"),
            (
                "header",
                "a WebSocket message has no headers: use json or regexp",
            ),
        ] {
            fields.forbid(key, why, problems);
        }
        let query = Query::read(&mut fields, subject, problems);
        let is_strict = fields.boolean("strict", problems);
        let is_strict = is_strict.unwrap_or(!is_capture || subject == Subject::Message);
        let then = if is_capture {
            let slot = fields
                .text("as", problems)
                .and_then(|name| names.slot(name));
            if slot.is_none() && problems.count() == before {
                fields.missing("as", "the name of the variable", problems);
            }
            slot.map(Then::Capture)
        } else {
            let path = fields.path_of("value");
            let wanted = fields.take("value").map(|node| match &node.value {
                tree::Value::Text(text) => {
                    Wanted::Text(Template::parse(text, node.at, &path, names, problems))
                }
                _ => Wanted::Value(node.to_json()),
            });
            if wanted.is_none() {
                fields.missing("value", "what the message must have there", problems);
            }
            wanted.map(Then::Match)
        };
        fields.finish(problems);
        Some(Self {
            query: query?,
            then: then?,
            is_strict,
        })
    }
}

impl Query {
    fn read(fields: &mut Fields<'_>, subject: Subject, problems: &mut Problems) -> Option<Self> {
        let regexp = fields.text("regexp", problems);
        let first = (subject == Subject::Arguments && regexp.is_none()).then_some("$[0]");
        let json = fields.text("json", problems).or(first);
        let is_multiple = fields.boolean("multiple", problems).unwrap_or(true);
        let group = fields.take("group").map(Node::to_json);
        let flags = fields.text("flags", problems).unwrap_or_default();
        match (json, regexp) {
            (Some(json), None) => {
                let (at, key) = (fields.place_of("json"), fields.path_of("json"));
                match parse_path(json) {
                    Ok(path) => return Some(Self::Json { path, is_multiple }),
                    Err(why) => problems.note(at, &key, why),
                }
            }
            (None, Some(text)) => {
                let (at, key) = (fields.place_of("regexp"), fields.path_of("regexp"));
                // `g` and `y` say where to go on; one match is looked for here.
                let flags: String = flags.chars().filter(|c| "ims".contains(*c)).collect();
                let text = match &*flags {
                    "" => text.to_owned(),
                    flags => format!("(?{flags}){text}"),
                };
                match Regex::new(&text) {
                    Ok(regex) => {
                        let group = match group {
                            Some(Value::String(name)) => Group::Name(name),
                            Some(Value::Number(number)) => {
                                Group::Number(number.as_u64().unwrap_or(0) as usize)
                            }
                            _ => Group::Number(0),
                        };
                        return Some(Self::Regexp { regex, group });
                    }
                    Err(error) => {
                        let text = format!(
                            "not a regular expression here: {error} (look-around and back \
                             references are not supported)"
                        );
                        problems.note(at, &key, text);
                    }
                }
            }
            _ => fields.missing("json", "either `json`, a JSONPath, or `regexp`", problems),
        }
        None
    }

    fn find(&self, text: &str, body: &Value, scene: &mut Scene<'_>) -> Option<Value> {
        match self {
            Self::Json { path, is_multiple } => {
                // What is no list and no map has nothing to look for, as in Artillery.
                if !(body.is_object() || body.is_array()) {
                    return None;
                }
                let all = path.query(body).all();
                match &*all {
                    [] => None,
                    [one] => Some((*one).clone()),
                    several if !is_multiple => Some(several.iter().copied().cloned().collect()),
                    several => Some(several[scene.random.usize(..several.len())].clone()),
                }
            }
            Self::Regexp { regex, group } => {
                let captures = regex.captures(text)?;
                let found = match group {
                    Group::Number(number) => captures.get(*number),
                    Group::Name(name) => captures.name(name),
                };
                found.map(|found| Value::String(found.as_str().to_owned()))
            }
        }
    }
}

/// Parses a JSONPath; one without its root is taken to begin there.
fn parse_path(text: &str) -> Result<JsonPath, String> {
    if text.contains("{{") {
        return Err("a JSONPath with a template in it is not supported".to_owned());
    }
    let whole = match text.chars().next() {
        Some('$') => text.to_owned(),
        Some('[' | '.') => format!("${text}"),
        _ => format!("$.{text}"),
    };
    JsonPath::parse(&with_numbers(&whole)).map_err(|error| {
        format!("not a JSONPath (RFC 9535): {error}; expected one such as $.user.id")
    })
}

/// Writes `.0` as Artillery's dialect means it: an element of a list, or a key of a map.
fn with_numbers(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    // Not in brackets, where a dot may be that of a number or in a text.
    let mut depth = 0_u32;
    // Nor do brackets count that are in a text.
    let (mut quote, mut is_escaped) = (None, false);
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let goes_on = |c: char| c.is_alphanumeric() || c == '_';
        if next == '.' && depth == 0 && digits > 0 && !rest[digits..].starts_with(goes_on) {
            if out.ends_with('.') {
                out.push('.');
            }
            let number = &rest[..digits];
            out.push_str(&format!("[{number},'{number}']"));
            rest = &rest[digits..];
            continue;
        }
        match (quote, next) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(mark), _) if mark == next => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') if depth > 0 => quote = Some(next),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        out.push(next);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Judges `message` by `step`; captures go to the slots `a`, `b`.
    fn judge(step: &str, message: &str) -> Result<Captured, String> {
        let mut problems = Problems::of("s.yml");
        let node = Node::parse(step, &mut problems).expect("YAML");
        assert!(Expect::is_in(&node));
        let captures = ["a".to_owned(), "b".to_owned()];
        let mut names = Names {
            variables: &[],
            payloads: &[],
            captures: &captures,
            loops: Vec::new(),
            unknown: Vec::new(),
            processor: None,
        };
        let mut fields = Fields::of(&node, "send", &mut problems).expect("a map");
        let expect = Expect::read(&mut fields, &mut names, &mut problems);
        let expect = problems.or(Some(expect)).map_err(|all| all.to_string())?;
        let mut scene = Scene {
            variables: &[],
            payloads: &[],
            memory: None,
            seed: 1,
            number: 0,
            random: &mut fastrand::Rng::with_seed(1),
        };
        Ok(expect.expect("a check").judge(message, &mut scene))
    }

    #[test]
    fn captures_and_matches_look_where_they_are_told() {
        let message = r#"{"user": {"id": 7, "name": "Ada"}, "list": [1, 2, 3], "empty": ""}"#;
        let found = |step: &str| judge(step, message).expect(step);
        assert_eq!(
            found("capture: {json: $.user.id, as: a}"),
            Some(vec![(0, json!(7))])
        );
        assert_eq!(
            found("capture: [{json: user.name, as: b}, {json: '$.list[-1]', as: a}]"),
            Some(vec![(1, json!("Ada")), (0, json!(3))])
        );
        assert_eq!(
            found("capture: {regexp: '\"id\": (\\d+)', group: 1, as: a}"),
            Some(vec![(0, json!("7"))])
        );
        assert_eq!(
            found("capture: {regexp: 'ADA', flags: gi, as: a}"),
            Some(vec![(0, json!("Ada"))])
        );
        for (step, holds) in [
            ("match: {json: $.user.id, value: 7}", true),
            // As in JavaScript, 7 is not '7'.
            ("match: {json: $.user.id, value: '7'}", false),
            ("match: {json: $.user.name, value: Ada}", true),
            ("match: {json: $.nobody, value: Ada}", false),
            ("match: {json: $.nobody, value: Ada, strict: false}", true),
            ("capture: {json: $.nobody, as: a}", false),
            ("capture: {json: $.empty, as: a}", false),
            ("capture: {json: $.empty, as: a, strict: false}", true),
        ] {
            assert_eq!(found(step).is_some(), holds, "{step}");
        }
        let several = found("capture: {json: '$.list[*]', as: a}").expect("one of them");
        assert!([1, 2, 3].map(|n| json!(n)).contains(&several[0].1));
        let all = found("capture: {json: '$.list[*]', as: a, multiple: false}");
        assert_eq!(all, Some(vec![(0, json!([1, 2, 3]))]));
    }

    #[test]
    fn a_message_that_is_no_json_is_its_text() {
        let judged = judge("match: {regexp: .+, value: hello}", "hello").expect("a step");
        assert_eq!(judged, Some(Vec::new()));
        let judged = judge("match: {json: $, value: hello}", "hello").expect("a step");
        assert_eq!(judged, None);
        assert_eq!(
            judge("capture: {json: $.a, as: a}", "hello").expect("a step"),
            None
        );
    }

    #[test]
    fn numbers_are_elements_or_keys() {
        for (path, written) in [
            ("$.0", "$[0,'0']"),
            ("$.0.name.12", "$[0,'0'].name[12,'12']"),
            ("$..7", "$..[7,'7']"),
            ("$.a1.b", "$.a1.b"),
            ("$.0x", "$.0x"),
            ("$['a.0'].é", "$['a.0'].é"),
            ("$[?(@.p < 5.0)].0", "$[?(@.p < 5.0)][0,'0']"),
            ("$['a[b'].0", "$['a[b'][0,'0']"),
            ("$[\"a]'.1\"].0", "$[\"a]'.1\"][0,'0']"),
            (r"$['\'].1'].0", r"$['\'].1'][0,'0']"),
            (r"$['a\\'].0", r"$['a\\'][0,'0']"),
            ("$.it's[0].1", "$.it's[0][1,'1']"),
        ] {
            assert_eq!(with_numbers(path), written);
        }
    }

    #[test]
    fn checks_that_cannot_be_are_refused() {
        for (step, words) in [
            ("capture: {xpath: //a, as: a}", "xpath is not supported"),
            ("capture: {json: '$.[', as: a}", "not a JSONPath"),
            (
                "capture: {regexp: '(?=a)', as: a}",
                "not a regular expression here",
            ),
            ("capture: {json: $.a}", "`as` is missing"),
            ("match: {json: $.a}", "`value` is missing"),
            ("match: {value: 1}", "`json` is missing"),
            ("match: {}", "`json` is missing"),
            ("capture: []", "send.capture: expected at least one"),
            ("match: []", "send.match: expected at least one"),
            ("expect: []", "send.expect: expected at least one"),
            ("expect: {}", "send.expect: expected at least one"),
            (
                "expect: [{hasProperty: a}, {}]",
                "send.expect[1]: expected at least one",
            ),
            (
                "expect: [{hasProperty: a}, {hasProprety: a}]",
                "send.expect[1].hasProprety: unknown expectation",
            ),
            (
                "expect: {contentType: xml}",
                "send.expect.contentType: a message has no type",
            ),
            (
                "expect: {equals: []}",
                "send.expect.equals: expected two values at least, found 0",
            ),
            (
                "expect: [{equals: [a]}]",
                "send.expect[0].equals: expected two values at least, found 1",
            ),
            (
                "match: {json: $.a, valeu: 1, value: 1}",
                "did you mean `value`?",
            ),
        ] {
            let refusal = judge(step, "").expect_err(step);
            assert!(refusal.contains(words), "{step}: {refusal}");
        }
    }
}
