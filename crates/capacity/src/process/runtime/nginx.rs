//! nginx: a master that holds the listeners, and workers that hold the connections.
//!
//! Both write a title over their arguments; the master's repeats them:
//!
//! ```text
//!  nginx: master process /usr/sbin/nginx -c /etc/nginx/nginx.conf -g daemon off;
//!  nginx: worker process
//! ```
//!
//! A worker counts its connections to clients and to backends together, so a proxied WebSocket is two.

mod configuration;
mod tokens;

use configuration::INCLUDES_MAX;
pub use configuration::{Configuration, Context};

use super::{RuntimeLimit, Source, Told, Usage};
use crate::{
    Grouped,
    process::{Arguments, Known, Pid, Process, Unknown, directory::Directory},
};

/// What is read where nothing else was said; most packages are built so.
const PATH_DEFAULT: &str = "/etc/nginx/nginx.conf";

/// Connections of a worker without `worker_connections` (documentation of `ngx_core_module`).
const CONNECTIONS_DEFAULT: u64 = 512;
/// Workers without `worker_processes`.
const WORKERS_DEFAULT: u64 = 1;

/// How many children of the master are looked at to count its workers.
const CHILDREN_MAX: usize = 1_024;

const MASTER: &str = "nginx: master process";
const WORKER: &str = "nginx: worker process";

/// One process of nginx, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nginx {
    /// What it does among the others.
    pub role: Role,
    /// Where its configuration is.
    pub path: Known<String>,
    /// What that says, with its includes and the directives of `-g`.
    pub configuration: Known<Configuration>,
    /// How many workers the master has now.
    pub workers_count: Known<u64>,
}

/// What a process of nginx does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Starts the others and holds the listeners; serves nobody.
    Master,
    /// Serves connections.
    Worker,
    /// Does everything alone (`master_process off`).
    Single,
    /// Something else, such as the manager of a cache.
    Other,
}

impl Nginx {
    pub(super) fn of(process: &Process) -> Self {
        let title = process.arguments.as_ref().map_or("", Arguments::title);
        let role = Role::of(title);
        // Only the master's title has the arguments.
        let master = match role {
            Role::Worker => process
                .status
                .parent
                .clone()
                .and_then(|parent| Directory::open(process.directory.root(), parent)),
            _ => Ok(process.directory.clone()),
        };
        let started = master.and_then(|master| {
            let arguments = master.bytes("cmdline").map(|it| Arguments::parse(&it))?;
            Ok((master, Started::of(&arguments)))
        });
        let (path, configuration, workers_count) = match &started {
            Ok((master, started)) => {
                let path = started.path();
                let read = |path: &str| started.configuration(path, &process.directory);
                let configuration = path.as_deref().map_err(Clone::clone).and_then(read);
                (path, configuration, workers(master))
            }
            Err(unknown) => (
                Err(unknown.clone()),
                Err(unknown.clone()),
                Err(unknown.clone()),
            ),
        };
        Self {
            role,
            path,
            configuration,
            workers_count,
        }
    }

    pub(super) fn limits(&self, process: &Process, usage: &Usage) -> Vec<RuntimeLimit> {
        let connections = self.worker_connections();
        let workers = self.workers();
        let of_all = match (&connections.value, &workers.0) {
            (Ok(connections), Ok(workers)) => Ok(connections.saturating_mul(*workers)),
            (Err(unknown), _) | (_, Err(unknown)) => Err(unknown.clone()),
        };
        let proxied = of_all.as_ref().map_or(String::new(), |of_all| {
            format!(": {} at most", Grouped(of_all / 2))
        });
        vec![
            RuntimeLimit {
                name: "worker_connections".to_owned(),
                value: connections.value,
                unit: "connections",
                used: usage.sockets.filter(|_| self.serves()),
                source: connections.source.to_string(),
                meaning: "connections of one worker to clients and to backends together; what is used \
                          is estimated by the sockets of this worker. A worker that has no more says \
                          \"worker_connections are not enough\" and drops the client"
                    .to_owned(),
                remedy: "set `worker_connections N;` in events { }, two for each proxied WebSocket, and \
                         reload"
                    .to_owned(),
            },
            RuntimeLimit {
                name: "worker_processes x worker_connections".to_owned(),
                value: of_all,
                unit: "connections",
                used: None,
                source: format!("{} workers {}", shown(&workers.0), workers.1),
                meaning: format!(
                    "connections of all workers together; a proxied WebSocket takes two{proxied}"
                ),
                remedy: "set `worker_processes auto;` for a worker on each core, and raise \
                         worker_connections"
                    .to_owned(),
            },
            self.descriptors(process, usage),
        ]
    }

    fn descriptors(&self, process: &Process, usage: &Usage) -> RuntimeLimit {
        let told = match self
            .configuration
            .as_ref()
            .map(|it| &it.worker_rlimit_nofile)
        {
            Ok(Some(Ok(value))) => format!("worker_rlimit_nofile sets it to {}", Grouped(*value)),
            Ok(None) => "worker_rlimit_nofile is not set, so it is that of the master".to_owned(),
            Ok(Some(Err(why))) | Err(why) => {
                format!("whether worker_rlimit_nofile sets it is not known ({why})")
            }
        };
        let whose = match self.role {
            Role::Worker => "this worker",
            Role::Master => "the master, which serves nobody: look at a worker",
            Role::Single | Role::Other => "this process",
        };
        usage.descriptors(
            process,
            &format!(
                "each connection of a worker takes a descriptor, two for a proxied WebSocket; {told}. \
                 Here it is that of {whose}"
            ),
            "set `worker_rlimit_nofile N;` above worker_connections and reload",
        )
    }

    fn serves(&self) -> bool {
        matches!(self.role, Role::Worker | Role::Single)
    }

    fn worker_connections(&self) -> Told {
        let told = |it: &Configuration| it.worker_connections.clone();
        self.directive(told, CONNECTIONS_DEFAULT, "512")
    }

    /// As many as run now; else as many as are configured.
    fn workers(&self) -> (Known<u64>, String) {
        match self.workers_count {
            Ok(count) if count > 0 => (Ok(count), "that run now".to_owned()),
            _ => {
                let told = |it: &Configuration| it.worker_processes.clone();
                let told = self.directive(told, WORKERS_DEFAULT, "1");
                (told.value, format!("by {}", told.source))
            }
        }
    }

    fn directive(
        &self,
        told: impl Fn(&Configuration) -> Option<Known<u64>>,
        default: u64,
        words: &'static str,
    ) -> Told {
        let path = self.path.as_deref().unwrap_or(PATH_DEFAULT);
        let file = Source::File(path.to_owned());
        match self.configuration.as_ref().map(told) {
            Ok(Some(value)) => Told::new(value, file),
            Ok(None) => Told::by_default(default, words),
            Err(unknown) => Told::new(Err(unknown.clone()), file),
        }
    }
}

impl Role {
    fn of(title: &str) -> Self {
        match title {
            title if title.starts_with(MASTER) => Self::Master,
            title if title.starts_with(WORKER) => Self::Worker,
            title if title.starts_with("nginx: ") => Self::Other,
            _ => Self::Single,
        }
    }
}

/// The arguments of the master.
#[derive(Debug, PartialEq, Eq)]
struct Started {
    /// `-c`
    file: Option<String>,
    /// `-p`
    prefix: Option<String>,
    /// `-g`
    directives: String,
}

impl Started {
    /// From a title, whose words are divided by blanks, or from arguments as they were given.
    fn of(arguments: &Arguments) -> Self {
        let title = arguments.title();
        let words: Vec<&str> = match title.strip_prefix(MASTER) {
            Some(rest) => rest.split(' ').filter(|word| !word.is_empty()).collect(),
            None => arguments.iter().collect(),
        };
        let mut started = Self {
            file: None,
            prefix: None,
            directives: String::new(),
        };
        let mut words = words.into_iter().skip(1).peekable();
        while let Some(word) = words.next() {
            // `-c FILE` and `-cFILE` are the same.
            let flag = word.get(..2).unwrap_or_default();
            let attached = word.get(2..).filter(|rest| !rest.is_empty());
            match flag {
                "-c" => started.file = attached.or_else(|| words.next()).map(str::to_owned),
                "-p" => started.prefix = attached.or_else(|| words.next()).map(str::to_owned),
                "-g" => {
                    started.directives.push_str(attached.unwrap_or_default());
                    // In a title its words cannot be told from each other, only from the next flag.
                    while let Some(word) = words.next_if(|word| !word.starts_with('-')) {
                        started.directives.push(' ');
                        started.directives.push_str(word);
                    }
                }
                _ => {}
            }
        }
        started
    }

    fn path(&self) -> Known<String> {
        match (&self.file, &self.prefix) {
            (None, _) => Ok(PATH_DEFAULT.to_owned()),
            (Some(file), _) if file.starts_with('/') => Ok(file.clone()),
            (Some(file), Some(prefix)) => Ok(format!("{}/{file}", prefix.trim_end_matches('/'))),
            (Some(file), None) => Err(Unknown::odd("-c of nginx", file, "an absolute path")),
        }
    }

    /// Reads the file and what it includes, one level deep, as `process` sees them.
    fn configuration(&self, path: &str, process: &Directory) -> Known<Configuration> {
        let text = process.file_of_process(path)?;
        let main = Configuration::parse(&text, Context::Main);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut left = INCLUDES_MAX;
        let mut found = Configuration::parse(&self.directives, Context::Main).or(main.clone());
        for (context, pattern) in &main.includes {
            let pattern = match pattern.strip_prefix('/') {
                Some(_) => pattern.clone(),
                None => format!("{folder}/{pattern}"),
            };
            for file in matching(process, &pattern).into_iter().take(left) {
                left -= 1;
                // One that cannot be read says nothing; nginx would not have started without it.
                if let Ok(text) = process.file_of_process(&file) {
                    found = found.or(Configuration::parse(&text, *context));
                }
            }
        }
        Ok(Configuration {
            includes: main.includes,
            ..found
        })
    }
}

/// The files that an include means: itself, or those of its directory that match its last part.
fn matching(process: &Directory, pattern: &str) -> Vec<String> {
    if !pattern.contains(['*', '?']) {
        return vec![pattern.to_owned()];
    }
    let (folder, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let names = process.names_of_process(folder).unwrap_or_default();
    names
        .into_iter()
        .filter(|name| is_match(last.as_bytes(), name.as_bytes()))
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

/// Whether a name matches a pattern, in which `*` is any bytes and `?` is one.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on when what follows a `*` did not match: the star, and what it takes.
    let mut again = None;
    let (mut p, mut n) = (0, 0);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                again = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match again {
                Some((star, taken)) => {
                    again = Some((star, taken + 1));
                    p = star + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How many workers a master has, without those that a reload is sending home.
fn workers(master: &Directory) -> Known<u64> {
    // `man 5 proc_pid_children`: the children of the only thread that a master has.
    let children = master.text(&format!("task/{}/children", master.pid()))?;
    let children = children.split_whitespace().take(CHILDREN_MAX);
    let is_worker = |pid: &Pid| {
        let directory = Directory::open(master.root(), *pid);
        let title = directory.and_then(|it| it.bytes("cmdline"));
        title.is_ok_and(|title| {
            let arguments = Arguments::parse(&title);
            arguments.title().trim_end() == WORKER
        })
    };
    let pids = children.filter_map(|word| word.parse().ok());
    Ok(pids.filter(is_worker).count() as u64)
}

fn shown(count: &Known<u64>) -> String {
    count.as_ref().map_or_else(
        |_| "an unknown number of".to_owned(),
        |it| Grouped(*it).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(cmdline: &str) -> Started {
        Started::of(&Arguments::parse(cmdline.as_bytes()))
    }

    #[test]
    fn a_master_repeats_its_arguments() {
        let plain =
            started("nginx: master process /usr/sbin/nginx -g daemon on; master_process on;\0");
        assert_eq!(plain.path().as_deref(), Ok(PATH_DEFAULT));
        assert_eq!(plain.directives.trim(), "daemon on; master_process on;");
        let both = started("nginx: master process nginx -g worker_processes 3; -c /srv/n.conf\0");
        assert_eq!(both.path().as_deref(), Ok("/srv/n.conf"));
        assert_eq!(both.directives.trim(), "worker_processes 3;");
        let alone =
            started("/usr/sbin/nginx\0-p\0/opt/n/\0-cconf/n.conf\0-g\0master_process off;\0");
        assert_eq!(alone.path().as_deref(), Ok("/opt/n/conf/n.conf"));
        assert_eq!(alone.directives.trim(), "master_process off;");
        let relative = started("nginx\0-c\0n.conf\0");
        assert!(matches!(relative.path(), Err(Unknown::Odd { .. })));
        assert_eq!(started("").path().as_deref(), Ok(PATH_DEFAULT));
    }

    #[test]
    fn roles_are_told_by_titles() {
        assert_eq!(Role::of("nginx: master process nginx"), Role::Master);
        assert_eq!(Role::of("nginx: worker process"), Role::Worker);
        assert_eq!(Role::of("nginx: cache manager process"), Role::Other);
        assert_eq!(Role::of("/usr/sbin/nginx"), Role::Single);
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        let matches = |pattern: &str, name: &str| is_match(pattern.as_bytes(), name.as_bytes());
        for (pattern, name) in [
            ("*.conf", "a.conf"),
            ("*.conf", ".conf"),
            ("50-*.conf", "50-mod.conf"),
            ("a?c", "abc"),
            ("*", ""),
            ("*a*b*", "xaxabx"),
            ("a**", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.conf", "a.conf.bak"),
            ("a?c", "ac"),
            ("a", "ab"),
            ("", "a"),
            ("*ab", "ba"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
