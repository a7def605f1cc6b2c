//! The configuration file: TOML in which every key is a setting or part of a channel's rule.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config, Rule,
    draft::{CHANNEL, Draft, Placed, path},
    place::Place,
    problem::{Problem, suggest},
    setting::Declared,
    written::Written,
};

/// A file in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct File<'a> {
    /// The path as it was given.
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

type Entry<'t, 'i> = (&'t str, Range<usize>, &'t Spanned<DeValue<'i>>);

impl File<'_> {
    /// Takes everything that the file says.
    pub(super) fn read(&self, draft: &mut Draft) {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        if !errors.is_empty() {
            // What the parser made of the rest is a guess, and no ground for more complaints.
            draft
                .problems
                .extend(errors.iter().map(|error| Problem::Syntax {
                    message: error.message().to_owned(),
                    place: self.place(error.span().map_or(0, |span| span.start)),
                }));
            return;
        }
        for (name, key, value) in in_order(root.get_ref()) {
            let section = Config::SECTIONS.iter().any(|(section, _)| *section == name);
            match value.get_ref() {
                DeValue::Table(table) if section => {
                    for (inner, key, value) in in_order(table) {
                        self.read_setting(draft, &path(name, inner), key, value);
                    }
                }
                _ if section => {
                    draft
                        .problems
                        .push(self.unlike(name, value, "a table of settings"))
                }
                _ if name == CHANNEL => self.read_rules(draft, value),
                _ => self.read_setting(draft, name, key, value),
            }
        }
    }

    fn read_setting(
        &self,
        draft: &mut Draft,
        name: &str,
        key: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) {
        match Config::SETTINGS.iter().find(|setting| setting.key == name) {
            Some(setting) => {
                let place = self.place(value.span().start);
                draft.set(
                    setting,
                    &written(value.get_ref()),
                    self.source(value),
                    place,
                );
            }
            None => {
                let keys = Config::SETTINGS
                    .iter()
                    .map(|setting| setting.key.to_owned());
                let tables = Config::SECTIONS
                    .iter()
                    .map(|(section, _)| (*section).to_owned());
                let candidates = keys.chain(tables).chain([CHANNEL.to_owned()]);
                draft
                    .problems
                    .push(self.unknown(name.to_owned(), key, candidates));
            }
        }
    }

    fn read_rules(&self, draft: &mut Draft, value: &Spanned<DeValue<'_>>) {
        let DeValue::Array(array) = value.get_ref() else {
            draft
                .problems
                .push(self.unlike(CHANNEL, value, RULES_EXPECTED));
            return;
        };
        let mut rules = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let place = self.place(item.span().start);
                    rules.push(self.read_rule(draft, table, place));
                }
                _ => draft
                    .problems
                    .push(self.unlike(CHANNEL, item, RULES_EXPECTED)),
            }
        }
        draft.rules = Some(rules);
    }

    fn read_rule(&self, draft: &mut Draft, table: &DeTable<'_>, place: Place) -> Placed<Rule> {
        let mut rule = Placed::<Rule>::new(place);
        let topic = &Rule::SETTINGS[0];
        let mut has_topic = false;
        for (name, key, value) in in_order(table) {
            has_topic |= name == topic.key;
            let problem = match Rule::SETTINGS.iter().find(|setting| setting.key == name) {
                Some(setting) => {
                    let place = self.place(value.span().start);
                    let written = written(value.get_ref());
                    rule.set(CHANNEL, setting, &written, self.source(value), place)
                }
                None => {
                    let keys = Rule::SETTINGS
                        .iter()
                        .map(|setting| path(CHANNEL, setting.key));
                    Some(self.unknown(path(CHANNEL, name), key, keys))
                }
            };
            draft.problems.extend(problem);
        }
        if !has_topic {
            draft.problems.push(Problem::Missing {
                key: path(CHANNEL, topic.key),
                expected: topic.expected(),
                place: rule.whole.clone(),
            });
        }
        rule
    }

    fn unknown(
        &self,
        key: String,
        span: Range<usize>,
        known: impl Iterator<Item = String>,
    ) -> Problem {
        let suggestion = suggest(&key, known);
        Problem::UnknownKey {
            key,
            suggestion,
            place: self.place(span.start),
        }
    }

    fn unlike(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Problem {
        Problem::Value {
            key: key.to_owned(),
            value: self.source(value).to_owned(),
            expected: expected.to_owned(),
            place: self.place(value.span().start),
        }
    }

    fn place(&self, offset: usize) -> Place {
        Place::in_file(self.name, self.text, offset)
    }

    /// The value as it was written.
    fn source(&self, value: &Spanned<DeValue<'_>>) -> &str {
        self.text.get(value.span()).unwrap_or_default()
    }
}

const RULES_EXPECTED: &str = "tables, each under a [[channel]] of its own";

/// The entries of a table as the file has them.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
        .collect();
    entries.sort_by_key(|(_, span, _)| span.start);
    entries
}

fn written<'v>(value: &'v DeValue<'_>) -> Written<'v> {
    match value {
        DeValue::String(text) => Written::Text(text),
        DeValue::Boolean(value) => Written::Boolean(*value),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Written::Other, Written::Integer),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str())
            .collect::<Option<_>>()
            .map_or(Written::Other, Written::List),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => Written::Other,
    }
}
