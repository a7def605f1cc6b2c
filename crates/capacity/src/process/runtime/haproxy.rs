//! HAProxy: four levels of `maxconn`, each of which queues or refuses by itself.
//!
//! ```text
//!  global    maxconn    the process: -n, the file, or what its descriptors allow
//!  frontend  maxconn    one way in: its own, that of its defaults, or that of the process
//!  backend   fullconn   how much of the next is given
//!  server    maxconn    one way out
//! ```
//!
//! The first two are looked at, since a connection that waits there was not accepted yet. A proxied
//! connection takes two descriptors.

mod configuration;

pub use configuration::{Configuration, Frontend};

use super::{RuntimeLimit, Source, Told, Usage, soft_descriptors};
use crate::{
    Grouped,
    process::{
        Arguments, Bounds, Known, Process, Unknown, directory::Directory, unknown::parse_number,
    },
};

/// How many files are read.
const FILES_MAX: usize = 64;

/// One process of HAProxy, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Haproxy {
    /// The files it was started with; those of a directory each.
    pub files: Vec<String>,
    /// What they say.
    pub configuration: Known<Configuration>,
    /// The limit of the process that its arguments set: `-n`, which wins over the file.
    pub argument: Option<Known<u64>>,
    /// The limit of each way in that has none in the file: `-N`.
    pub frontend_argument: Option<Known<u64>>,
}

impl Haproxy {
    pub(super) fn of(process: &Process) -> Self {
        let arguments = match &process.arguments {
            Ok(arguments) => arguments,
            Err(unknown) => {
                return Self {
                    files: Vec::new(),
                    configuration: Err(unknown.clone()),
                    argument: None,
                    frontend_argument: None,
                };
            }
        };
        let named = files(arguments);
        let folder = process.directory.link("cwd").unwrap_or_default();
        let files = expanded(&process.directory, &folder, &named);
        Self {
            configuration: configuration(&process.directory, &files),
            files,
            argument: argument(arguments, "-n"),
            frontend_argument: argument(arguments, "-N"),
        }
    }

    pub(super) fn limits(&self, process: &Process, usage: &Usage) -> Vec<RuntimeLimit> {
        let of_process = self.process_maxconn(process);
        let used = usage.sockets.map(|sockets| sockets / 2);
        let mut limits = vec![RuntimeLimit {
            name: "global maxconn".to_owned(),
            value: of_process.value.clone(),
            unit: "connections",
            used,
            source: of_process.source.to_string(),
            meaning: "connections of the process together; above it clients wait in the queue of the \
                      kernel and see a slow connect. What is used is estimated: half of the sockets of \
                      this process"
                .to_owned(),
            remedy: "set `maxconn N` in the section global, and see that descriptors are twice as many"
                .to_owned(),
        }];
        if let Ok(configuration) = &self.configuration {
            let frontends = configuration.frontends.iter();
            limits.extend(frontends.map(|it| self.frontend(it, &of_process.value)));
        }
        limits.push(self.descriptors(process, usage));
        limits
    }

    fn descriptors(&self, process: &Process, usage: &Usage) -> RuntimeLimit {
        let told = match self.configuration.as_ref().map(|it| &it.descriptors) {
            Ok(Some(Ok(value))) => format!("ulimit-n sets it to {}", Grouped(*value)),
            _ => "HAProxy sets it by itself, as maxconn needs it".to_owned(),
        };
        usage.descriptors(
            process,
            &format!(
                "two descriptors for each proxied connection, and some for listeners, checks and logs; \
                 {told}"
            ),
            "set a larger `maxconn N` in the section global, and raise the hard limit before the start: \
             LimitNOFILE=N in a systemd unit",
        )
    }

    fn frontend(&self, frontend: &Frontend, of_process: &Known<u64>) -> RuntimeLimit {
        let (value, source) = match (&frontend.maxconn, &self.frontend_argument) {
            (Some(value), _) => (value.clone(), self.file()),
            (None, Some(value)) => (value.clone(), Source::Arguments),
            (None, None) => (of_process.clone(), Source::Default("that of the process")),
        };
        RuntimeLimit {
            name: format!("maxconn of {} {}", frontend.section, frontend.name),
            value,
            unit: "connections",
            used: None,
            source: source.to_string(),
            meaning: "connections that came in this way; above it clients wait in the queue of \
                      the kernel, though the process could take more"
                .to_owned(),
            remedy: format!("set `maxconn N` in {} {}", frontend.section, frontend.name),
        }
    }

    /// The limit of the process.
    fn process_maxconn(&self, process: &Process) -> Told {
        const HALF: &str = "not set, so about half of the descriptors, which its memory limit (-m) may \
                            lower";
        if let Some(argument) = &self.argument {
            return Told::new(argument.clone(), Source::Arguments);
        }
        match self.configuration.as_ref().map(|it| &it.maxconn) {
            Ok(Some(value)) => Told::new(value.clone(), self.file()),
            Ok(None) => {
                let half = match soft_descriptors(process) {
                    Ok(Bounds::UNLIMITED) => Err(Unknown::Unset(HALF.to_owned())),
                    soft => soft.map(|soft| soft / 2),
                };
                Told::new(half, Source::Default(HALF))
            }
            Err(unknown) => Told::new(Err(unknown.clone()), self.file()),
        }
    }

    fn file(&self) -> Source {
        match &*self.files {
            [one] => Source::File(one.clone()),
            [] => Source::File("its configuration".to_owned()),
            [first, ..] => Source::File(format!("{first} and the files behind it")),
        }
    }
}

/// What `-f` and `--` name, in their order.
fn files(arguments: &Arguments) -> Vec<String> {
    let mut files = Vec::new();
    let mut words = arguments.iter().skip(1);
    while let Some(word) = words.next() {
        match word {
            "-f" => files.extend(words.next().map(str::to_owned)),
            "--" => files.extend(words.by_ref().map(str::to_owned)),
            _ => {}
        }
    }
    files.truncate(FILES_MAX);
    files
}

fn argument(arguments: &Arguments, name: &'static str) -> Option<Known<u64>> {
    let value = arguments.value_of(name)?;
    // Zero is "not set".
    Some(parse_number(name, value)).filter(|value| *value != Ok(0))
}

/// Each file, and of a directory its files that end with `.cfg`, which is how HAProxy takes them.
fn expanded(directory: &Directory, folder: &str, named: &[String]) -> Vec<String> {
    let mut files = Vec::new();
    for name in named {
        let path = match name.strip_prefix('/') {
            Some(_) => name.clone(),
            None => format!("{}/{name}", folder.trim_end_matches('/')),
        };
        match directory.names_of_process(&path) {
            Ok(names) => {
                let names = names.into_iter().filter(|name| name.ends_with(".cfg"));
                let folder = path.trim_end_matches('/');
                files.extend(names.map(|name| format!("{folder}/{name}")));
            }
            Err(_) => files.push(path),
        }
    }
    files.truncate(FILES_MAX);
    files
}

fn configuration(directory: &Directory, files: &[String]) -> Known<Configuration> {
    let mut found = Configuration::default();
    for file in files {
        found.add(&directory.file_of_process(file)?);
    }
    if files.is_empty() {
        return Err(Unknown::Absent("-f in the arguments of haproxy".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &str) -> Arguments {
        Arguments::parse(words.replace(' ', "\0").as_bytes())
    }

    #[test]
    fn files_are_named_in_two_ways() {
        let debian = arguments(
            "/usr/sbin/haproxy -sf 812 -x sockpair@4 -Ws -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid",
        );
        assert_eq!(files(&debian), ["/etc/haproxy/haproxy.cfg"]);
        let several = arguments("haproxy -f a -n 500 -f b -- c d");
        assert_eq!(files(&several), ["a", "b", "c", "d"]);
        assert_eq!(argument(&several, "-n"), Some(Ok(500)));
        assert_eq!(argument(&several, "-N"), None);
        assert_eq!(argument(&arguments("haproxy -n 0"), "-n"), None);
        let odd = argument(&arguments("haproxy -N x"), "-N");
        assert!(matches!(odd, Some(Err(_))));
    }
}
