//! What a name in a template stands for: a capture, a column of a CSV file, a variable, a loop.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::{
    payload::Payload,
    processor::Processor,
    template::{Part, Var},
    tree::{self, Node},
};

/// Where the value of a name comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    /// What a step has captured, or as long as nothing is, what the name stands for otherwise.
    Capture(u16, Option<Box<Self>>),
    /// The user's element of a variable with several.
    Variable(u16),
    /// A column of the user's row of a file.
    Field {
        payload: u16,
        column: u16,
    },
    /// All rows of a file.
    Rows(u16),
    /// How often the loop around has gone round; 0 is the outermost.
    LoopCount(u8),
    /// What the loop around is at.
    LoopElement(u8),
    Known(Value),
}

/// A variable of the script.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// What each user gets one of.
    pub(crate) values: Arc<[Value]>,
}

/// The names of a loop around a step.
#[derive(Clone, Debug)]
pub(crate) struct LoopNames {
    pub(crate) count: String,
    pub(crate) element: String,
}

/// All names that are known while a scenario is read.
#[derive(Debug)]
pub(crate) struct Names<'s> {
    pub(crate) variables: &'s [Variable],
    pub(crate) payloads: &'s [Payload],
    /// What steps capture, by slot.
    pub(crate) captures: &'s [String],
    pub(crate) loops: Vec<LoopNames>,
    /// Names that stood for nothing.
    pub(crate) unknown: Vec<String>,
    /// The functions that steps may call.
    pub(crate) processor: Option<Processor>,
}

/// The longest list of names that stood for nothing.
const UNKNOWN_MAX: usize = 20;

impl Names<'_> {
    /// What `name`, perhaps with a path behind it, stands for.
    pub(crate) fn find(&mut self, name: &str) -> Part {
        if let Some(origin) = self.origin(name) {
            return part(origin, Box::default());
        }
        let (root, path) = split(name);
        match self.origin(&root) {
            Some(origin) => part(origin, path),
            None => {
                if self.unknown.len() < UNKNOWN_MAX && !self.unknown.iter().any(|one| one == name) {
                    self.unknown.push(name.to_owned());
                }
                Part::Fixed(Value::Null)
            }
        }
    }

    /// The slot of a capture.
    pub(crate) fn slot(&self, name: &str) -> Option<u16> {
        let slot = self.captures.iter().position(|known| known == name)?;
        Some(slot as u16)
    }

    /// The number of a function in JavaScript, or what is wrong with its name.
    pub(crate) fn function(&mut self, name: &str) -> Result<u16, String> {
        match &mut self.processor {
            Some(processor) => processor.function(name),
            None => Err(format!(
                "`{name}` is a function, and config.processor names no file that has it"
            )),
        }
    }

    fn origin(&self, name: &str) -> Option<Origin> {
        for (depth, names) in self.loops.iter().enumerate().rev() {
            if names.count == name {
                return Some(Origin::LoopCount(depth as u8));
            }
            if names.element == name {
                return Some(Origin::LoopElement(depth as u8));
            }
        }
        let otherwise = self.given(name);
        match self.slot(name) {
            Some(slot) => Some(Origin::Capture(slot, otherwise.map(Box::new))),
            None => otherwise,
        }
    }

    /// What the script gives to a user from the start. A file's columns go before variables.
    fn given(&self, name: &str) -> Option<Origin> {
        for (number, payload) in self.payloads.iter().enumerate() {
            if payload.name.as_deref() == Some(name) {
                return Some(Origin::Rows(number as u16));
            }
            if payload.name.is_none()
                && let Some(column) = payload.fields.iter().position(|field| field == name)
            {
                return Some(Origin::Field {
                    payload: number as u16,
                    column: column as u16,
                });
            }
        }
        let found = self.variables.iter().position(|known| known.name == name)?;
        Some(match &*self.variables[found].values {
            [value] => Origin::Known(value.clone()),
            _ => Origin::Variable(found as u16),
        })
    }
}

/// Every name that a step captures, wherever it stands: loops use what comes later in the text. And those
/// that a text uses and a function may set.
pub(crate) fn captures(tree: &Node, processor: Option<&Processor>) -> Vec<String> {
    fn look(node: &Node, is_capture: bool, names: &mut Vec<String>) {
        match &node.value {
            tree::Value::List(items) => items.iter().for_each(|item| look(item, is_capture, names)),
            tree::Value::Map(entries) => {
                for entry in entries {
                    match &entry.node.value {
                        tree::Value::Text(name) if is_capture && entry.key == "as" => {
                            if !names.contains(name) && names.len() < usize::from(u16::MAX) {
                                names.push(name.clone());
                            }
                        }
                        _ => look(&entry.node, entry.key == "capture", names),
                    }
                }
            }
            _ => {}
        }
    }
    let mut names = Vec::new();
    for key in ["before", "scenarios", "after"] {
        if let Some(steps) = tree.find(key) {
            look(steps, false, &mut names);
        }
    }
    let Some(processor) = processor else {
        return names;
    };
    let mut used = BTreeSet::new();
    // Headers and parameters in `config` are templates, too.
    tree.clone().change_texts(&mut |text| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        used.extend(text.split(|c| !is_word(c)).map(str::to_owned));
    });
    for name in used {
        let is_new = !name.is_empty() && !names.contains(&name);
        if is_new && names.len() < usize::from(u16::MAX) && processor.mentions(&name) {
            names.push(name);
        }
    }
    names
}

fn part(origin: Origin, path: Box<[Box<str>]>) -> Part {
    match origin {
        Origin::Known(value) => Part::Fixed(follow(&value, &path).unwrap_or_default()),
        origin => Part::Var(Var { origin, path }),
    }
}

/// Splits `user.names[0]` into `user` and what to take of it.
fn split(name: &str) -> (String, Box<[Box<str>]>) {
    let clean = name.replace(']', "").replace(['\'', '"'], "");
    let mut pieces = clean
        .split(['.', '['])
        .map(str::trim)
        .filter(|piece| !piece.is_empty());
    let root = pieces.next().unwrap_or_default().to_owned();
    (root, pieces.map(Box::from).collect())
}

/// Takes what `path` leads to.
pub(crate) fn follow(value: &Value, path: &[Box<str>]) -> Option<Value> {
    let mut value = value;
    for piece in path {
        value = match value {
            Value::Array(items) => items.get(piece.parse::<usize>().ok()?)?,
            Value::Object(entries) => entries.get(&**piece)?,
            _ => return None,
        };
    }
    Some(value.clone())
}
