//! A configuration while it is read, source after source.

use super::{
    AdminKey, AdminUser, Config, Rule,
    collector::without_user,
    place::Place,
    problem::{Problem, Problems, suggest},
    rule::RULES_MAX,
    setting::{Declared, Setting},
    written::Written,
};

/// Values with their places, and what was wrong with the others. A later value replaces an earlier
/// one; one that is refused replaces nothing, but is not forgotten.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) values: Placed<Config>,
    /// The rules of the file; `None` when it says nothing about channels.
    pub(super) rules: Option<Vec<Placed<Rule>>>,
    pub(super) keys: Vec<Placed<AdminKey>>,
    pub(super) users: Vec<Placed<AdminUser>>,
    pub(super) problems: Vec<Problem>,
}

/// The values of a group of settings with the place of each.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    /// One for each of `T::SETTINGS`.
    places: Vec<Place>,
    /// Where the group as a whole was written.
    pub(super) whole: Place,
}

/// A configuration with the place of every value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the server runs with.
    pub config: Config,
    pub(super) values: Placed<Config>,
    pub(super) rules: Option<Vec<Placed<Rule>>>,
    pub(super) keys: Vec<Placed<AdminKey>>,
    pub(super) users: Vec<Placed<AdminUser>>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            values: Placed::new(Place::Default),
            rules: None,
            keys: Vec::new(),
            users: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Takes a value of the server; `source` is how it was written.
    pub(super) fn set(
        &mut self,
        setting: &Setting,
        written: &Written<'_>,
        source: &str,
        place: Place,
    ) {
        let refused = self.values.set("", setting, written, source, place);
        self.problems.extend(refused);
    }

    /// Takes the variables of the environment that are ours, in the order of their names.
    pub(super) fn set_variable(&mut self, name: &str, value: &str) {
        match Config::SETTINGS
            .iter()
            .find(|setting| setting.variable() == name)
        {
            Some(setting) => {
                let place = Place::Environment(name.to_owned());
                self.set(setting, &Written::Argument(value), value, place);
            }
            None => self.problems.push(Problem::UnknownVariable {
                suggestion: suggest(name, Config::SETTINGS.iter().map(Setting::variable)),
                place: Place::Environment(name.to_owned()),
            }),
        }
    }

    /// Checks what no value can know alone, and ends.
    pub(super) fn finish(mut self) -> Result<Loaded, Problems> {
        self.check_sizes();
        for index in 0..self.rules.as_ref().map_or(0, Vec::len) {
            self.check_rule(index);
        }
        self.check_admin();
        if !self.problems.is_empty() {
            return Err(Problems(self.problems));
        }
        let mut config = self.values.value.clone();
        config.admin.keys = self.keys.iter().map(|key| key.value.clone()).collect();
        config.admin.users = self.users.iter().map(|user| user.value.clone()).collect();
        if let Some(rules) = &self.rules {
            config.channels = rules.iter().map(|rule| rule.value.clone()).collect();
        }
        Ok(Loaded {
            config,
            values: self.values,
            rules: self.rules,
            keys: self.keys,
            users: self.users,
        })
    }

    fn check_sizes(&mut self) {
        const FRAME: &str = "limits.frame_bytes_max";
        const OUTBOX: &str = "limits.outbox_bytes_max";
        let limits = &self.values.value.limits;
        let message = self.values.with_place(MESSAGE);
        let mut broken = Vec::new();
        if limits.frame_bytes_max > Some(limits.message_bytes_max) {
            let expected = format!("at most {MESSAGE} = {message}: a frame is part of a message");
            broken.push((FRAME, expected));
        }
        // Else one member's message could close the connection of every other.
        if u64::from(limits.outbox_bytes_max) < limits.message_bytes_max {
            let expected = format!("at least {MESSAGE} = {message}: a message must fit");
            broken.push((OUTBOX, expected));
        }
        for (key, expected) in broken {
            let readable = ![MESSAGE, key].into_iter().any(|key| self.is_refused(key));
            if readable {
                self.problems
                    .push(self.values.contradiction("", key, expected));
            }
        }
    }

    fn check_rule(&mut self, index: usize) {
        let Some((rule, earlier)) = self
            .rules
            .as_ref()
            .and_then(|rules| Some((rules.get(index)?, &rules[..index])))
        else {
            return;
        };
        let mut problems = Vec::new();
        if index == RULES_MAX {
            let expected = format!("at most {RULES_MAX} rules");
            problems.push(rule.contradiction(CHANNEL, "topic", expected));
        }
        // A topic that was refused is empty and covers nothing.
        let cover = earlier
            .iter()
            .find(|other| !other.value.topic.is_empty() && other.value.covers(&rule.value));
        if let Some(cover) = cover {
            let cover = cover.with_place("topic");
            let expected = format!("a topic that no rule before it covers, as {cover} does");
            problems.push(rule.contradiction(CHANNEL, "topic", expected));
        }
        if rule.value.join == super::Join::SocketId {
            if self.values.value.socket.id_param.is_none() && !self.is_refused("socket.id_param") {
                let expected = "socket.id_param to be set, so that sockets have an id".to_owned();
                problems.push(rule.contradiction(CHANNEL, "join", expected));
            }
            if !rule.value.topic.is_empty() && !rule.value.topic.ends_with('*') {
                let expected = "a topic that ends with *, to compare the id with".to_owned();
                problems.push(rule.contradiction(CHANNEL, "join", expected));
            }
        }
        if rule.value.payload_bytes_max > Some(self.values.value.limits.message_bytes_max) {
            let message = self.values.with_place(MESSAGE);
            let expected = format!("at most {MESSAGE} = {message}");
            problems.push(rule.contradiction(CHANNEL, "payload_bytes_max", expected));
        }
        self.problems.extend(problems);
    }

    /// Whether a value for this key was refused, so that the one in its stead means nothing.
    pub(super) fn is_refused(&self, key: &str) -> bool {
        self.problems
            .iter()
            .any(|problem| matches!(problem, Problem::Value { key: own, .. } if own == key))
    }
}

/// What other sizes are compared with.
const MESSAGE: &str = "limits.message_bytes_max";

/// How the keys of a rule begin.
pub(super) const CHANNEL: &str = "channel";

impl<T: Declared> Placed<T> {
    /// The defaults.
    pub(super) fn new(whole: Place) -> Self {
        Self {
            value: T::default(),
            places: vec![Place::Default; T::SETTINGS.len()],
            whole,
        }
    }

    /// Takes a value, or says why not.
    pub(super) fn set(
        &mut self,
        table: &str,
        setting: &Setting<T>,
        written: &Written<'_>,
        source: &str,
        place: Place,
    ) -> Option<Problem> {
        if (setting.read)(&mut self.value, written).is_none() {
            let shown = if setting.is_secret() {
                "(hidden)".into()
            } else {
                without_user(source)
            };
            return Some(Problem::Value {
                key: path(table, setting.key),
                value: shown.into_owned(),
                expected: setting.expected(),
                place,
            });
        }
        let index = index_of::<T>(setting.key);
        self.places[index] = place;
        None
    }

    /// Where the value of this key was written.
    pub(super) fn place(&self, key: &str) -> &Place {
        &self.places[index_of::<T>(key)]
    }

    /// Where to go to change the value of this key.
    fn remedy_place(&self, key: &str) -> &Place {
        match self.place(key) {
            Place::Default => &self.whole,
            place => place,
        }
    }

    /// The value of this key in TOML.
    pub(super) fn shown(&self, key: &str) -> String {
        (T::SETTINGS[index_of::<T>(key)].describe)(&self.value).value
    }

    /// The value of this key and where it came from.
    fn with_place(&self, key: &str) -> String {
        format!("{} ({})", self.shown(key), self.place(key))
    }

    pub(super) fn contradiction(&self, table: &str, key: &str, expected: String) -> Problem {
        Problem::Value {
            key: path(table, key),
            value: self.shown(key),
            expected,
            place: self.remedy_place(key).clone(),
        }
    }
}

/// A key with the table it is in.
pub(super) fn path(table: &str, key: &str) -> String {
    if table.is_empty() {
        key.to_owned()
    } else {
        format!("{table}.{key}")
    }
}

/// # Panics
///
/// When nothing of this name is declared.
fn index_of<T: Declared>(key: &str) -> usize {
    T::SETTINGS
        .iter()
        .position(|setting| setting.key == key)
        .unwrap_or_else(|| panic!("no setting is called {key}"))
}
