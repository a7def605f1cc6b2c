//! What reading the files of a process promises for any bytes at all. A fuzz target includes this file.

use std::collections::BTreeSet;

use fourtuple_capacity::process::{
    Arguments, Bounds, Environment, Known, Limits, Status, Unknown, VARIABLES,
    cgroup::{Memberships, Mounts},
    runtime::{
        Beam, Java, Node, Python, haproxy,
        nginx::{self, Context},
    },
};

/// Any bytes are each of the files: what is understood of them is within its range, and what is not
/// says so in a clause.
pub(crate) fn fuzz_process_files(data: &[u8]) {
    let arguments = Arguments::parse(data);
    let environment = Environment::parse(data);
    check_arguments(&arguments, data);
    check_environment(&environment);
    check_runtimes(Ok(arguments), Ok(environment));
    let text = String::from_utf8_lossy(data);
    check_limits(&text);
    check_status(&Status::parse(&text));
    check_groups(&text);
    check_nginx(&text);
    check_haproxy(&text);
}

fn check_arguments(arguments: &Arguments, data: &[u8]) {
    let all: Vec<_> = arguments.iter().collect();
    let text = String::from_utf8_lossy(data.strip_suffix(b"\0").unwrap_or(data));
    assert_eq!(all.join("\0"), text);
    assert_eq!(all.is_empty(), text.is_empty());
}

fn check_environment(environment: &Environment) {
    let names: Vec<_> = environment.names().collect();
    let distinct: BTreeSet<_> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len());
    for name in names {
        assert!(VARIABLES.contains(&name));
        assert!(environment.value(name).is_some());
    }
}

fn check_runtimes(arguments: Known<Arguments>, environment: Known<Environment>) {
    for descriptors in [1_024, 1_000_000, Bounds::UNLIMITED] {
        let beam = Beam::new(&arguments, &environment, &Ok(descriptors), None);
        for size in [beam.ports_max.value, beam.processes_max.value] {
            if let Some(size) = check(size) {
                assert!(size.is_power_of_two() || size == (1 << 27) - 1);
                assert!((1 << 10..1 << 27).contains(&size));
            }
        }
    }
    let node = Node::new(&arguments, &environment);
    if let Some(threads) = check(node.pool_threads.value) {
        assert!((1..=1_024).contains(&threads));
    }
    check(node.heap_bytes.value);
    let java = Java::new(&arguments, &environment);
    check(java.heap_bytes.value);
    check(java.direct_bytes.value);
    check(java.stack_bytes);
    let python = Python::new(&arguments);
    check(python.concurrency_max.value);
    check(python.backlog.value);
}

/// A limit that was understood is understood again when it is written as the kernel writes it.
fn check_limits(text: &str) {
    let limits = Limits::parse(text);
    let word = |limit: u64| match limit {
        Bounds::UNLIMITED => "unlimited".to_owned(),
        limit => limit.to_string(),
    };
    if let Some(bounds) = check(limits.open_files) {
        let (soft, hard) = (word(bounds.soft), word(bounds.hard));
        let line = format!("{:<26}{soft:<21}{hard:<21}files\n", "Max open files");
        assert_eq!(Limits::parse(&line).open_files, Ok(bounds));
    }
    check(limits.processes);
    check(limits.locked_memory_bytes);
    check(limits.address_space_bytes);
    check(limits.stack_bytes);
}

fn check_status(status: &Status) {
    check(status.name.clone());
    check(status.parent.clone());
    check(status.user.clone());
    check(status.threads_count.clone());
    check(status.numbers.clone());
    for bytes in [
        &status.resident_bytes,
        &status.anonymous_bytes,
        &status.locked_bytes,
        &status.pinned_bytes,
    ] {
        assert!(check(bytes.clone()).is_none_or(|bytes| bytes % 1024 == 0));
    }
}

/// Each group on the way up is above the one before it.
fn check_groups(text: &str) {
    for controller in ["memory", "pids"] {
        let Some((version, path)) = Memberships::parse(text).of(controller) else {
            continue;
        };
        for mounts in [Mounts::parse(text), Mounts::default()] {
            let Some(levels) = mounts.levels(version, controller, path) else {
                continue;
            };
            assert!((1..=32).contains(&levels.len()));
            for pair in levels.windows(2) {
                assert!(pair[0].directory.starts_with(&pair[1].directory));
                assert!(pair[0].path.starts_with(&pair[1].path) || pair[1].path == "/");
            }
        }
    }
}

fn check_nginx(text: &str) {
    for context in [Context::Main, Context::Events, Context::Other] {
        let found = nginx::Configuration::parse(text, context);
        assert!(found.includes.len() <= 64);
        found.worker_connections.map(check);
        found.worker_processes.map(check);
        found.worker_rlimit_nofile.map(check);
    }
}

fn check_haproxy(text: &str) {
    let found = haproxy::Configuration::parse(text);
    assert!(found.frontends.len() <= 64);
    let frontends = found.frontends.into_iter().map(|it| it.maxconn);
    for value in frontends
        .chain([found.maxconn, found.descriptors])
        .flatten()
    {
        assert_ne!(check(value), Some(0), "zero is not set");
    }
}

/// What is not known is said in one short clause.
fn check<T>(known: Known<T>) -> Option<T> {
    let unknown: Unknown = match known {
        Ok(value) => return Some(value),
        Err(unknown) => unknown,
    };
    let said = unknown.to_string();
    assert!(!said.is_empty() && said.lines().count() == 1, "{said:?}");
    None
}
