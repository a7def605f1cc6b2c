//! The keys of one map of a script: each is asked for by name, and what nobody asked for is an error.

use std::time::Duration;

use super::{
    problem::{Place, Problems, nearest},
    tree::{self, Entry, Node, Value},
};

/// What is said of a list or a map that has nothing in it.
pub(crate) const EMPTY: &str = "expected at least one";

/// A map that is being read.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    /// Such as `config.phases[0]`.
    pub(crate) path: String,
    pub(crate) at: Place,
    entries: &'n [Entry],
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The keys of `node`, if it is a map; notes it if it is not.
    pub(crate) fn of(node: &'n Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            problems.note(
                node.at,
                path,
                format!("expected a map, found {}", node.kind()),
            );
            return None;
        };
        Some(Self {
            path: path.to_owned(),
            at: node.at,
            entries,
            known: Vec::new(),
        })
    }

    /// The value of `key`, which is known from now on. A key without a value is not there.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(&entry.node).filter(|node| node.value != Value::Null)
    }

    /// The whole name of `key`.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            return key.to_owned();
        }
        format!("{}.{key}", self.path)
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'n str> {
        let node = self.take(key)?;
        let Value::Text(text) = &node.value else {
            self.refuse(node, key, "a text", problems);
            return None;
        };
        Some(text)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let node = self.take(key)?;
        match &node.value {
            Value::Bool(value) => return Some(*value),
            Value::Text(text) if text == "true" => return Some(true),
            Value::Text(text) if text == "false" => return Some(false),
            _ => self.refuse(node, key, "true or false", problems),
        }
        None
    }

    /// A number from `least` to `most`; a text that is one will do.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: (f64, f64),
        problems: &mut Problems,
    ) -> Option<f64> {
        let node = self.take(key)?;
        let (least, most) = range;
        let number = number(node).filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let expected = format!("a number from {least} to {most}");
            self.refuse(node, key, &expected, problems);
        }
        number
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn whole(
        &mut self,
        key: &'static str,
        range: (u32, u32),
        problems: &mut Problems,
    ) -> Option<u32> {
        let node = self.take(key)?;
        let (least, most) = range;
        let whole = number(node)
            .filter(|number| number.fract() == 0.0)
            .filter(|number| (f64::from(least)..=f64::from(most)).contains(number));
        if whole.is_none() {
            let expected = format!("a whole number from {least} to {most}");
            self.refuse(node, key, &expected, problems);
        }
        whole.map(|number| number as u32)
    }

    /// A time: seconds, or a text such as `500ms`.
    pub(crate) fn time(&mut self, key: &'static str, problems: &mut Problems) -> Option<Duration> {
        let node = self.take(key)?;
        let time = duration(node);
        if time.is_none() {
            let expected = "seconds, or a text such as 500ms, 30s, 10m or 1h, up to 30 days";
            self.refuse(node, key, expected, problems);
        }
        time
    }

    /// The items of a list; one value alone is a list of itself.
    pub(crate) fn list(&mut self, key: &'static str) -> &'n [Node] {
        match self.take(key) {
            None => &[],
            Some(Node {
                value: Value::List(items),
                ..
            }) => items,
            Some(node) => std::slice::from_ref(node),
        }
    }

    /// The same, of one at least: notes a list that is empty.
    pub(crate) fn list_of_some(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> &'n [Node] {
        let node = self.take(key);
        if let Some(node) = node.filter(|node| node.value == Value::List(Vec::new())) {
            problems.note(node.at, &self.path_of(key), EMPTY);
        }
        self.list(key)
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &'static str, problems: &mut Problems) -> Vec<&'n str> {
        let mut texts = Vec::new();
        for node in self.list(key) {
            match &node.value {
                Value::Text(text) => texts.push(text.as_str()),
                _ => self.refuse(node, key, "a list of texts", problems),
            }
        }
        texts
    }

    /// Notes that `key` must be there.
    pub(crate) fn missing(&self, key: &str, expected: &str, problems: &mut Problems) {
        let text = format!("`{key}` is missing: expected {expected}");
        problems.note(self.at, &self.path, text);
    }

    /// Notes that `key` is there and cannot be, and why.
    pub(crate) fn forbid(&mut self, key: &'static str, why: &str, problems: &mut Problems) {
        if self.take(key).is_some() {
            problems.note(self.place_of(key), &self.path_of(key), why);
        }
    }

    /// Where `key` stands.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map_or(self.at, |entry| entry.at)
    }

    /// Notes every key that nobody has asked for.
    pub(crate) fn finish(self, problems: &mut Problems) {
        for entry in self.entries {
            if self.known.contains(&&*entry.key) {
                continue;
            }
            let hint = match nearest(&entry.key, &self.known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("expected one of {}", self.known.join(", ")),
            };
            let text = format!("unknown key: {hint}");
            problems.note(entry.at, &self.path_of(&entry.key), text);
        }
    }

    fn refuse(&self, node: &Node, key: &str, expected: &str, problems: &mut Problems) {
        let found = match &node.value {
            Value::Text(text) => format!("`{text}`"),
            Value::Number(number) => number.to_string(),
            _ => node.kind().to_owned(),
        };
        let text = format!("expected {expected}, found {found}");
        problems.note(node.at, &self.path_of(key), text);
    }
}

/// A number, or a text that is one (environment variables are texts).
pub(crate) fn number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Number(number) => number.as_f64(),
        Value::Text(text) => tree::number(text.trim())?.as_f64(),
        _ => None,
    }
}

/// Seconds, or a text with a unit.
pub(crate) fn duration(node: &Node) -> Option<Duration> {
    match &node.value {
        Value::Number(number) => seconds(number.as_f64()?),
        Value::Text(text) => time_of(text),
        _ => None,
    }
}

/// Reads a time such as `2`, `500ms`, `1.5 h` or `2 minutes`; a bare number is seconds.
pub(crate) fn time_of(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let scale = match unit.trim().to_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 0.001,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    seconds(number * scale)
}

/// A time that a run can take.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    const SECONDS_MAX: f64 = 30.0 * 86_400.0;
    let is_possible = (0.0..=SECONDS_MAX).contains(&seconds);
    is_possible.then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_scripts_write_them() {
        for (text, millis) in [
            ("2", 2_000),
            ("500ms", 500),
            ("1.5 h", 5_400_000),
            ("2 minutes", 120_000),
            ("0.25s", 250),
        ] {
            assert_eq!(time_of(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["soon", "1y", "-1s", "99999d", "1.2.3s", ""] {
            assert_eq!(time_of(text), None, "{text}");
        }
    }

    #[test]
    fn every_key_that_nobody_asked_for_is_noted() {
        let mut problems = Problems::of("s.yml");
        let node = Node::parse("a: x\nduratoin: 3\nzebra: 1\nb: NO\n", &mut problems);
        let node = node.expect("a map");
        let mut fields = Fields::of(&node, "config", &mut problems).expect("a map");
        assert_eq!(fields.number("a", (0.0, 9.0), &mut problems), None);
        // Asked for twice, it is listed once.
        assert!(fields.take("a").is_some());
        assert_eq!(fields.time("duration", &mut problems), None);
        assert_eq!(fields.boolean("b", &mut problems), None);
        fields.finish(&mut problems);
        let text = problems.or(Some(())).expect_err("problems").to_string();
        assert_eq!(
            text,
            "s.yml:1:4: config.a: expected a number from 0 to 9, found `x`\n\
             s.yml:2:1: config.duratoin: unknown key: did you mean `duration`?\n\
             s.yml:3:1: config.zebra: unknown key: expected one of a, duration, b\n\
             s.yml:4:4: config.b: expected true or false, found `NO`"
        );
    }
}
