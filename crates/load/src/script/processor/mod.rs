//! The functions in JavaScript of a script: `config.processor`.
//!
//! - `scan`: what its files ask for, found before anything runs;
//! - `host`: what functions ask of the crowd while they run;
//! - `interpreter`: one for each shard, in which they run.
//!
//! A function is checked before the first connection: its files are read, run once for what they export,
//! and each name that the script uses must be there. It knows one user at a time: `context.vars` is made
//! for a call and taken apart after it, so nothing of a user is kept in here but while one of its functions runs.

mod host;
mod interpreter;
mod scan;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::scan::Wish;
pub(crate) use self::{
    host::{Emitted, Ended, Mishap},
    interpreter::{Interpreter, Kind},
};
use super::{
    problem::{Problems, nearest},
    tree::{Node, Value},
};

/// The files of a processor, and what of them a script uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processor {
    /// The file that the script names.
    main: String,
    /// All files that it needs, by their paths from the script's folder.
    files: BTreeMap<String, String>,
    /// `process.env`, as far as it is asked for.
    environment: BTreeMap<String, String>,
    /// Names of lists that all users share, with their JSON.
    pub(crate) shared: BTreeMap<String, Arc<str>>,
    exported: BTreeSet<String>,
    /// The functions that the script uses, by the numbers that its steps have for them.
    used: Vec<Box<str>>,
    /// Functions that ask for what is not there, and a sentence that says so.
    lacking: Vec<(String, String)>,
}

/// Reads a file beside the script; what is wrong is a sentence.
pub(crate) type Read<'r> = dyn Fn(&str) -> Result<String, String> + 'r;

/// What `require` and `import` find that is no file.
const MODULES: [&str; 2] = ["crypto", "timers/promises"];
/// Endings that a name of a file may leave out.
const ENDINGS: [&str; 6] = ["", ".js", ".cjs", ".mjs", ".json", "/index.js"];
/// Files of one processor, at most, and bytes of all of them.
const FILES_MAX: usize = 200;
const BYTES_MAX: usize = 8 << 20;

impl Processor {
    /// Reads what `config.processor` names, and runs it once for what it exports.
    pub(crate) fn read(
        node: &Node,
        read: &Read<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
        problems: &mut Problems,
    ) -> Option<Self> {
        const KEY: &str = "config.processor";
        let Value::Text(main) = &node.value else {
            let text = format!("expected a file of JavaScript, found {}", node.kind());
            problems.note(node.at, KEY, text);
            return None;
        };
        let main = normal("", main);
        let ending = main.rsplit_once('.').map_or("", |(_, ending)| ending);
        if !["js", "mjs", "cjs"].contains(&ending) {
            let text = match ending {
                "ts" => "TypeScript is not run: compile it to JavaScript, and name that file",
                _ => "expected a file that ends in .js, .cjs or .mjs",
            };
            problems.note(node.at, KEY, text);
            return None;
        }
        let mut processor = Self {
            main: main.clone(),
            ..Self::default()
        };
        let before = problems.count();
        match read(&main) {
            Ok(text) => {
                processor.gather(main, text, read, environment, &mut |wrong| {
                    problems.note(node.at, KEY, wrong);
                });
            }
            Err(wrong) => problems.note(node.at, KEY, wrong),
        }
        if problems.count() > before {
            return None;
        }
        match Interpreter::start(&processor).and_then(|one| one.exports()) {
            Ok(names) => processor.exported = names.into_iter().collect(),
            Err(wrong) => {
                problems.note(node.at, KEY, wrong);
                return None;
            }
        }
        Some(processor)
    }

    /// Takes in a file and what it asks for.
    fn gather(
        &mut self,
        path: String,
        text: String,
        read: &Read<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
        note: &mut dyn FnMut(String),
    ) {
        let mut bytes = 0;
        let mut open = vec![(path, text)];
        while let Some((path, text)) = open.pop() {
            bytes += text.len();
            if self.files.len() >= FILES_MAX || bytes > BYTES_MAX {
                return note(format!(
                    "more than {FILES_MAX} files or {} MiB of JavaScript",
                    BYTES_MAX >> 20
                ));
            }
            let wishes = match path.ends_with(".json") {
                true => Vec::new(),
                false => scan::wishes(&text),
            };
            self.files.insert(path.clone(), text);
            for (line, wish, asks) in wishes {
                let name = match wish {
                    Wish::Environment(name) => {
                        if let Some(value) = environment(&name) {
                            self.environment.insert(name, value);
                        }
                        continue;
                    }
                    Wish::Module(name) => name,
                };
                if is_module(&name) || self.find(&path, &name).is_some() {
                    continue;
                }
                let found = candidates(&path, &name)
                    .find(|one| !self.files.contains_key(one) && read(one).is_ok());
                match found.map(|found| (read(&found), found)) {
                    Some((Ok(text), found)) => open.push((found, text)),
                    _ => {
                        let wrong = format!("{path}, line {line}: {}", no_module(&name));
                        match asks.filter(|_| path == self.main) {
                            // It may be that nobody comes there.
                            Some(function) => self.lacking.push((function, wrong)),
                            None => note(wrong),
                        }
                    }
                }
            }
        }
    }

    /// The number of a function that the script uses, or what is wrong with its name.
    pub(crate) fn function(&mut self, name: &str) -> Result<u16, String> {
        if let Some(known) = self.used.iter().position(|known| **known == *name) {
            return Ok(known as u16);
        }
        if !self.exported.contains(name) {
            let names: Vec<&str> = self.exported.iter().map(String::as_str).collect();
            let close = nearest(name, &names);
            let hint = match close {
                Some(close) => format!("did you mean `{close}`?"),
                None if names.is_empty() => "it exports no function".to_owned(),
                None => format!("expected one of {}", names.join(", ")),
            };
            return Err(format!("`{name}` is not exported by {}: {hint}", self.main));
        }
        self.used.push(name.into());
        Ok((self.used.len() - 1) as u16)
    }

    /// What functions ask for that is not there, and whether a user may come to it: it is said in a step's name, or some
    /// other function calls it.
    pub(crate) fn lacking(&self) -> impl Iterator<Item = (&str, bool)> {
        self.lacking.iter().map(|(function, wrong)| {
            let is_used = self.used.iter().any(|used| **used == **function);
            let is_called = || self.files.values().any(|text| scan::calls(text, function));
            let is_known = self.exported.contains(function);
            (&**wrong, is_used || !is_known || is_called())
        })
    }

    /// The name of a function.
    pub(crate) fn name(&self, function: u16) -> &str {
        self.used.get(usize::from(function)).map_or("", |name| name)
    }

    /// Whether a file has `name` in it, and so may give it a value.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        self.files.values().any(|text| scan::mentions(text, name))
    }

    /// The file that `name` means in the file `base`.
    fn find(&self, base: &str, name: &str) -> Option<String> {
        candidates(base, name).find(|path| self.files.contains_key(path))
    }
}

/// Whether `name` is a module that is no file.
fn is_module(name: &str) -> bool {
    MODULES.contains(&name.trim_start_matches("node:"))
}

/// The paths that `name` may mean in the file `base`; none when it is no path.
fn candidates(base: &str, name: &str) -> impl Iterator<Item = String> {
    let is_path = name.starts_with("./") || name.starts_with("../");
    let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = normal(folder, name);
    let endings = ENDINGS.iter().filter(move |_| is_path);
    endings.map(move |ending| format!("{path}{ending}"))
}

/// `path` seen from `folder`, without `.` and, where that can be, `..`.
fn normal(folder: &str, path: &str) -> String {
    let mut pieces: Vec<&str> = Vec::new();
    let is_absolute = path.starts_with('/');
    let folder = if is_absolute { "" } else { folder };
    for piece in folder.split('/').chain(path.split('/')) {
        match piece {
            "" | "." => {}
            ".." if pieces.last().is_some_and(|last| *last != "..") => {
                pieces.pop();
            }
            piece => pieces.push(piece),
        }
    }
    let slash = if is_absolute { "/" } else { "" };
    format!("{slash}{}", pieces.join("/"))
}

fn no_module(name: &str) -> String {
    if name.starts_with('.') {
        return format!("there is no file `{name}`");
    }
    format!(
        "there is no module `{name}`: functions find {} and files beside the script, such as \
         ./name.js; packages of npm and the rest of Node are not there",
        MODULES.join(", ")
    )
}
