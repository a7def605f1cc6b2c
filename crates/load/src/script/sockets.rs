//! Sockets that users open besides their own: `sockets` of a scenario, the steps `open`, `close` and `drop`, and
//! `on`, which says of another step which socket it is for.
//!
//! What a user has open at a step is followed through the flow before anything runs: a step that is for a socket
//! which cannot be open there is an error. Where that depends on how often a loop goes round, it is found when
//! a user comes there, and that user fails.

use super::{
    config::Config,
    connect::Connect,
    fields::Fields,
    flow::Compiler,
    names::Names,
    problem::{Problems, nearest},
    program::{Dialect, Side, Step},
    read::dialect,
    tree::{Entry, Node, Value},
};

/// Sockets of one user besides its own, at most.
pub(crate) const SIDES_MAX: usize = 8;

/// Steps that may be `on` a socket.
pub(crate) const ON_SOCKETS: [&str; 6] = ["send", "wait", "join", "push", "expect", "leave"];

/// Reads `sockets` of a scenario.
pub(crate) fn read(
    scenario: &mut Fields<'_>,
    own: Dialect,
    config: &Config<'_>,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Vec<Side> {
    let Some(node) = scenario.take("sockets") else {
        return Vec::new();
    };
    let path = scenario.path_of("sockets");
    let Value::Map(entries) = &node.value else {
        let text = format!(
            "expected names with their URLs, such as {{feed: 'ws://host/feed'}}, found {}",
            node.kind()
        );
        problems.note(node.at, &path, text);
        return Vec::new();
    };
    if entries.len() > SIDES_MAX {
        let text = format!(
            "{} sockets: a user has {SIDES_MAX} at most besides its own",
            entries.len()
        );
        problems.note(node.at, &path, text);
        return Vec::new();
    }
    let sides = entries
        .iter()
        .filter_map(|entry| read_one(entry, &path, own, config, names, problems));
    sides.collect()
}

fn read_one(
    entry: &Entry,
    path: &str,
    own: Dialect,
    config: &Config<'_>,
    names: &mut Names<'_>,
    problems: &mut Problems,
) -> Option<Side> {
    let path = format!("{path}.{}", entry.key);
    let mut node = entry.node.clone();
    let mut speaks = own;
    if let Value::Map(keys) = &mut node.value {
        if let Some(mut fields) = Fields::of(&entry.node, &path, problems)
            && let Some(engine) = fields.text("engine", problems)
        {
            speaks = dialect(Some(engine), config, &fields, problems)?;
        }
        // What is left is read as a `connect` is.
        keys.retain(|one| one.key != "engine");
    }
    if speaks == Dialect::SocketIo {
        let text =
            "only a user's own socket speaks Socket.IO: write engine: ws or engine: phoenix here";
        problems.note(entry.at, &path, text);
        return None;
    }
    let step = Some((&node, &*path));
    let connect = Connect::read(step, entry.at, &config.connect, names, problems)?;
    if connect.function.is_some() {
        let text = "a function connects a user's own socket alone: write the URL and headers here, \
                    with variables that an earlier function sets";
        problems.note(entry.at, &format!("{path}.function"), text);
        return None;
    }
    Some(Side {
        name: entry.key.as_str().into(),
        dialect: speaks,
        connect,
    })
}

/// What may be at a step: a bit for each socket that may be open, and one for each that may be closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Possible {
    open: u16,
    closed: u16,
}

impl Possible {
    fn or(self, other: Self) -> Self {
        Self {
            open: self.open | other.open,
            closed: self.closed | other.closed,
        }
    }

    /// After a step that is for `socket`; nothing is left of what cannot have got over it.
    fn after(self, step: &Step, socket: u8) -> Self {
        let bit = 1_u16 << socket;
        match step {
            _ if socket == 0 => self,
            Step::Close => Self {
                open: self.open & !bit,
                closed: self.closed | bit,
            },
            // A user that goes on has it open, whatever the step is.
            _ => Self {
                open: self.open | bit,
                closed: self.closed & !bit,
            },
        }
    }
}

impl Compiler<'_, '_> {
    /// What a socket speaks.
    pub(crate) fn dialect_of(&self, socket: u8) -> Dialect {
        let side = usize::from(socket).checked_sub(1);
        let side = side.and_then(|side| self.sides.get(side));
        side.map_or(self.dialect, |side| side.dialect)
    }

    /// The socket that a step is `on`, 0 without; `None` when it names none, which is noted.
    pub(crate) fn socket_on(&mut self, item: &Node, path: &str) -> Option<u8> {
        let Some(node) = item.find("on") else {
            return Some(0);
        };
        let has_socket = |key: &&str| item.find(key).is_some();
        if !ON_SOCKETS.iter().any(has_socket) {
            let text = format!("`on` is for the steps {}", ON_SOCKETS.join(", "));
            self.problems.note(node.at, &format!("{path}.on"), text);
            return None;
        }
        let socket = self.socket_named(node, &format!("{path}.on"))?;
        self.uses.push((self.steps.len(), node.at));
        Some(socket)
    }

    /// `open: feed` and `close: feed`.
    pub(crate) fn open_or_close(&mut self, entry: &Entry, key: &str) {
        let Some(socket) = self.socket_named(&entry.node, key) else {
            return;
        };
        self.uses.push((self.steps.len(), entry.at));
        self.socket = socket;
        let step = match &*entry.key {
            "open" => Step::Open,
            _ => Step::Close,
        };
        if matches!(step, Step::Open) {
            // What was joined on an earlier connection is not joined on this one.
            self.joined &= !(1 << socket);
        }
        self.push(step, key);
    }

    /// `drop: {}` of the user's own socket, and `drop: feed`.
    pub(crate) fn drop_socket(&mut self, entry: &Entry, key: &str) {
        if !self.comes_back {
            let text = "the user would not come back from it: write `reconnect: true` in the scenario \
                        or in `config`";
            self.problems.note(entry.at, key, text);
            return;
        }
        let is_own = match &entry.node.value {
            Value::Null => true,
            Value::Map(keys) => keys.is_empty(),
            _ => false,
        };
        if !is_own {
            let Some(socket) = self.socket_named(&entry.node, key) else {
                return;
            };
            self.uses.push((self.steps.len(), entry.at));
            self.socket = socket;
        }
        self.push(Step::Drop, key);
    }

    /// Forgets which socket a step was for that is no step: it does nothing, or is not right.
    pub(crate) fn forget_missing(&mut self) {
        let steps = self.steps.len();
        self.uses.retain(|(number, _)| *number < steps);
        self.socket = 0;
    }

    fn socket_named(&mut self, node: &Node, key: &str) -> Option<u8> {
        let names: Vec<_> = self.sides.iter().map(|side| &*side.name).collect();
        let text = match &node.value {
            Value::Text(name) => match names.iter().position(|known| known == name) {
                // There are few.
                Some(place) => return Some(place as u8 + 1),
                None if names.is_empty() => format!(
                    "no socket is called `{name}`: name it and its URL in `sockets` of the scenario"
                ),
                None => match nearest(name, &names) {
                    Some(near) => format!("no socket is called `{name}`: did you mean `{near}`?"),
                    None => format!(
                        "no socket is called `{name}`: expected one of {}",
                        names.join(", ")
                    ),
                },
            },
            _ => format!("expected the name of a socket, found {}", node.kind()),
        };
        self.problems.note(node.at, key, text);
        None
    }

    /// Notes that a step has joined a topic.
    pub(crate) fn note_join(&mut self) {
        self.joined |= 1 << self.socket;
    }

    /// Whether a step before has joined a topic on the same socket.
    pub(crate) fn has_joined(&self) -> bool {
        self.joined & (1 << self.socket) != 0
    }

    /// Notes steps that are for a socket which cannot be as they need it.
    pub(crate) fn check_sockets(&mut self) {
        if self.uses.is_empty() {
            return;
        }
        let before = self.before_steps();
        for &(number, at) in &self.uses {
            let (Some(step), Some(possible)) = (self.steps.get(number), before.get(number)) else {
                continue;
            };
            let socket = self.on[number];
            let bit = 1_u16 << socket;
            let is_possible = match step {
                Step::Open => possible.closed & bit != 0,
                _ => possible.open & bit != 0,
            };
            // Where nothing is possible, an earlier step was noted or nobody gets there.
            if is_possible || (possible.open | possible.closed) & bit == 0 {
                continue;
            }
            let name = &self.sides[usize::from(socket) - 1].name;
            let text = match step {
                Step::Open => format!("`{name}` is open here: close it first"),
                Step::Close => format!("`{name}` is not open here: there is nothing to close"),
                _ => format!("`{name}` is not open here: write `open: {name}` before it"),
            };
            self.problems.note(at, &self.labels[number], text);
        }
    }

    /// What may be before each step, whatever way users take to it.
    fn before_steps(&self) -> Vec<Possible> {
        let mut before = vec![Possible::default(); self.steps.len() + 1];
        before[0].closed = u16::MAX;
        // Each pass adds bits, of which there are few; a loop inside loops takes one pass more.
        loop {
            let was = before.clone();
            for (number, step) in self.steps.iter().enumerate() {
                let after = before[number].after(step, self.on[number]);
                let mut reach = |to: usize| before[to] = before[to].or(after);
                match step {
                    Step::Loop { end, .. } => {
                        reach(number + 1);
                        reach(usize::from(*end));
                    }
                    Step::Again { start } => {
                        reach(usize::from(*start));
                        reach(number + 1);
                    }
                    _ => reach(number + 1),
                }
            }
            if before == was {
                return before;
            }
        }
    }
}

#[cfg(test)]
mod tests;
