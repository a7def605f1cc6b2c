//! The configuration file: TOML in which every key is a setting or part of a channel's rule.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config, Rule,
    admin_access::{KEY, USER},
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
                        match path(name, inner) {
                            list if list == KEY => draft.keys = self.read_list(draft, KEY, value),
                            list if list == USER => {
                                draft.users = self.read_list(draft, USER, value)
                            }
                            setting => self.read_setting(draft, &setting, key, value),
                        }
                    }
                }
                _ if section => {
                    draft
                        .problems
                        .push(self.unlike(name, value, "a table of settings"))
                }
                DeValue::Array(_) if name == CHANNEL => {
                    draft.rules = Some(self.read_list(draft, CHANNEL, value));
                }
                // Something is said about channels, and it is no rule: the default ones stay.
                _ if name == CHANNEL => drop(self.read_list::<Rule>(draft, CHANNEL, value)),
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
                let candidates = keys
                    .chain(tables)
                    .chain([CHANNEL, KEY, USER].map(str::to_owned));
                draft
                    .problems
                    .push(self.unknown(name.to_owned(), key, candidates));
            }
        }
    }

    /// Reads the tables of a list such as `[[channel]]`.
    fn read_list<T: Declared>(
        &self,
        draft: &mut Draft,
        list: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Vec<Placed<T>> {
        let expected = || format!("tables, each under a [[{list}]] of its own");
        let DeValue::Array(array) = value.get_ref() else {
            draft.problems.push(self.unlike(list, value, &expected()));
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let place = self.place(item.span().start);
                    all.push(self.read_table(draft, list, table, place));
                }
                _ => draft.problems.push(self.unlike(list, item, &expected())),
            }
        }
        all
    }

    fn read_table<T: Declared>(
        &self,
        draft: &mut Draft,
        list: &str,
        table: &DeTable<'_>,
        place: Place,
    ) -> Placed<T> {
        let mut placed = Placed::<T>::new(place);
        for (name, key, value) in in_order(table) {
            let problem = match T::SETTINGS.iter().find(|setting| setting.key == name) {
                Some(setting) => {
                    let place = self.place(value.span().start);
                    let written = written(value.get_ref());
                    placed.set(list, setting, &written, self.source(value), place)
                }
                None => {
                    let keys = T::SETTINGS.iter().map(|setting| path(list, setting.key));
                    Some(self.unknown(path(list, name), key, keys))
                }
            };
            draft.problems.extend(problem);
        }
        for setting in T::SETTINGS.iter().filter(|setting| setting.is_required()) {
            if !table.iter().any(|(key, _)| key.get_ref() == setting.key) {
                draft.problems.push(Problem::Missing {
                    key: path(list, setting.key),
                    expected: setting.expected(),
                    place: placed.whole.clone(),
                });
            }
        }
        placed
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
