//! Node.js: one event loop in each process, and what its variables and options bound.

use super::{RuntimeLimit, Source, Told, Usage};
use crate::process::{Arguments, Environment, Known, Process, Unknown, unknown::parse_number};

/// What the pool of threads has unless it is told (`UV_THREADPOOL_SIZE` in the manual of libuv).
const THREADS_DEFAULT: u64 = 4;
const THREADS_MAX: u64 = 1_024;

const HEAP: &str = "--max-old-space-size";
const OPTIONS: &str = "NODE_OPTIONS";

/// Options of `node` whose value is the next argument.
const WITH_VALUE: [&str; 12] = [
    "-C",
    "--conditions",
    "-e",
    "--eval",
    "-p",
    "--print",
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "--env-file",
];

/// What one process of Node.js was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Threads for files, look-ups of names and cryptography; not for sockets.
    pub pool_threads: Told,
    /// The old generation of the heap, bytes.
    pub heap_bytes: Told,
    /// Whether it is a worker of the module `cluster`, one of several processes that share a port.
    pub is_cluster_worker: bool,
}

impl Node {
    /// Tells what a process was told with `arguments` and `environment`.
    pub fn new(arguments: &Known<Arguments>, environment: &Known<Environment>) -> Self {
        let value = |name| environment.as_ref().ok()?.value(name);
        Self {
            pool_threads: pool(environment),
            heap_bytes: heap(arguments, environment),
            is_cluster_worker: value("NODE_UNIQUE_ID").is_some(),
        }
    }

    pub(super) fn limits(&self, process: &Process, usage: &Usage) -> Vec<RuntimeLimit> {
        let descriptors = usage.descriptors(
            process,
            "each connection takes a descriptor; Node.js has raised the soft limit to the hard one by \
             itself when it started",
            "raise the hard limit before the start: LimitNOFILE=N in a systemd unit, or --ulimit \
             nofile=N:N for a container; or run several processes, each with its own limit",
        );
        vec![
            descriptors,
            self.event_loops(),
            RuntimeLimit {
                name: HEAP.to_owned(),
                value: self.heap_bytes.value.clone(),
                unit: "bytes",
                used: None,
                source: self.heap_bytes.source.to_string(),
                meaning: "the old generation of the JavaScript heap, where connections that stay are; \
                          when it is full the process ends with \"heap out of memory\". Buffers are \
                          not in it"
                    .to_owned(),
                remedy: format!("start it with NODE_OPTIONS={HEAP}=N, in megabytes"),
            },
            RuntimeLimit {
                name: "UV_THREADPOOL_SIZE".to_owned(),
                value: self.pool_threads.value.clone(),
                unit: "threads",
                used: None,
                source: self.pool_threads.source.to_string(),
                meaning: "files, look-ups of names, compression and cryptography wait for one of these \
                          threads; sockets do not, so it bounds how fast connections come, not how many \
                          there are"
                    .to_owned(),
                remedy: "start it with UV_THREADPOOL_SIZE=N, at most 1,024".to_owned(),
            },
        ]
    }

    fn event_loops(&self) -> RuntimeLimit {
        let workers = if self.is_cluster_worker {
            "this is a worker of a cluster: the others are processes of their own, with limits of their \
             own"
        } else {
            "workers of a cluster would be processes of their own, with limits of their own"
        };
        RuntimeLimit {
            name: "event loop".to_owned(),
            value: Ok(1),
            unit: "core",
            used: None,
            source: "a property of Node.js".to_owned(),
            meaning: format!(
                "the JavaScript of all connections of a process runs on one core, whatever the machine \
                 has; {workers}"
            ),
            remedy: "run a process for each core: the module cluster, or several instances behind \
                     a load balancer"
                .to_owned(),
        }
    }
}

fn pool(environment: &Known<Environment>) -> Told {
    const NAME: &str = "UV_THREADPOOL_SIZE";
    let value = environment.as_ref().map(|it| it.value(NAME));
    match value {
        Ok(None) => Told::by_default(THREADS_DEFAULT, "4"),
        // libuv makes one thread of none, and 1,024 of more.
        Ok(Some(text)) => {
            let asked = parse_number(NAME, text);
            let threads = asked.map(|it| it.clamp(1, THREADS_MAX));
            Told::new(threads, Source::Variable(NAME))
        }
        Err(unknown) => Told::new(Err(unknown.clone()), Source::Variable(NAME)),
    }
}

/// Arguments win over the variable.
fn heap(arguments: &Known<Arguments>, environment: &Known<Environment>) -> Told {
    let in_arguments = |it: &Arguments| heap_in(options(it));
    if let Some(bytes) = arguments.as_ref().ok().and_then(in_arguments) {
        return Told::new(bytes, Source::Arguments);
    }
    let variable = environment.as_ref().ok().and_then(|it| it.value(OPTIONS));
    if let Some(bytes) = variable.and_then(|text| heap_in(text.split_whitespace())) {
        return Told::new(bytes, Source::Variable(OPTIONS));
    }
    let by_memory = "V8 chooses by the memory of the machine, at most about 4 GB";
    let unset = match (arguments, environment) {
        (Err(unknown), _) | (_, Err(unknown)) => unknown.clone(),
        _ => Unknown::Unset(by_memory.to_owned()),
    };
    Told::new(Err(unset), Source::Default(by_memory))
}

/// The options of `node` itself: those in front of the script.
fn options(arguments: &Arguments) -> impl Iterator<Item = &str> {
    let mut is_value = false;
    arguments.iter().skip(1).take_while(move |argument| {
        let goes_on = argument.starts_with('-') || is_value;
        is_value = !is_value && WITH_VALUE.contains(argument);
        goes_on
    })
}

/// The last size among options, which are written with dashes or underscores; megabytes.
fn heap_in<'a>(options: impl Iterator<Item = &'a str>) -> Option<Known<u64>> {
    let size = |option: &'a str| {
        let (name, value) = option.split_once('=')?;
        (name.replace('_', "-") == HEAP).then_some(value)
    };
    let megabytes = options.filter_map(size).last()?;
    let odd = || Unknown::odd(HEAP, megabytes, "megabytes");
    Some(parse_number(HEAP, megabytes).and_then(|it| it.checked_mul(1 << 20).ok_or_else(odd)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(arguments: &str, environment: &str) -> Node {
        let zeros = |text: &str| text.replace(' ', "\0");
        Node::new(
            &Ok(Arguments::parse(zeros(arguments).as_bytes())),
            &Ok(Environment::parse(
                environment.replace('|', "\0").as_bytes(),
            )),
        )
    }

    #[test]
    fn what_node_was_not_told_it_chooses() {
        let node = node("node server.js --max-old-space-size=1", "HOME=x");
        assert_eq!(node.pool_threads.value, Ok(4));
        assert!(matches!(node.heap_bytes.value, Err(Unknown::Unset(_))));
        assert!(!node.is_cluster_worker);
    }

    #[test]
    fn arguments_win_over_the_variable() {
        let options = "NODE_OPTIONS=--no-warnings --max-old-space-size=512";
        let by_variable = node("node server.js", options);
        assert_eq!(by_variable.heap_bytes.value, Ok(512 << 20));
        assert_eq!(
            by_variable.heap_bytes.source,
            Source::Variable("NODE_OPTIONS")
        );
        let arguments = "node -r ./trace.js --max_old_space_size=4096 server.js";
        let by_arguments = node(arguments, options);
        assert_eq!(by_arguments.heap_bytes.value, Ok(4096 << 20));
        assert_eq!(by_arguments.heap_bytes.source, Source::Arguments);
    }

    #[test]
    fn the_pool_is_clamped_as_libuv_does() {
        let threads = |size: &str| {
            node("node", &format!("UV_THREADPOOL_SIZE={size}"))
                .pool_threads
                .value
        };
        assert_eq!(threads("64"), Ok(64));
        assert_eq!(threads("0"), Ok(1));
        assert_eq!(threads("9999"), Ok(1_024));
        assert!(matches!(threads("many"), Err(Unknown::Odd { .. })));
    }

    #[test]
    fn a_worker_is_told_by_its_variable() {
        assert!(node("node a.js", "NODE_UNIQUE_ID=2|X=").is_cluster_worker);
    }

    #[test]
    fn what_may_not_be_read_is_not_taken_for_the_default() {
        let denied = Unknown::Denied("/proc/7/environ".to_owned());
        let node = Node::new(&Ok(Arguments::default()), &Err(denied.clone()));
        assert_eq!(node.pool_threads.value, Err(denied.clone()));
        assert_eq!(node.heap_bytes.value, Err(denied));
    }

    #[test]
    fn sizes_that_do_not_fit_are_odd() {
        let node = node("node --max-old-space-size=18446744073709551615", "");
        assert!(matches!(node.heap_bytes.value, Err(Unknown::Odd { .. })));
    }
}
