//! Python: one interpreter, one core, and a soft limit that nobody raises.

use super::{RuntimeLimit, Source, Told, Usage};
use crate::process::{
    Arguments, Known, Process, Unknown, arguments::base_name, unknown::parse_number,
};

/// How many connections may wait for uvicorn and gunicorn to accept them.
const BACKLOG_DEFAULT: u64 = 2_048;

/// What one interpreter was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// The server that it runs, of those that are known.
    pub server: Option<&'static str>,
    /// Connections that the server accepts before it answers 503 itself: `--limit-concurrency`.
    pub concurrency_max: Told,
    /// Connections that may wait to be accepted: `--backlog`.
    pub backlog: Told,
}

impl Python {
    /// Tells what an interpreter was told with `arguments`.
    pub fn new(arguments: &Known<Arguments>) -> Self {
        let value = |name| arguments.as_ref().ok().and_then(|it| it.value_of(name));
        let told = |name| {
            Some(Told::new(
                parse_number(name, value(name)?),
                Source::Arguments,
            ))
        };
        let unbounded = || Unknown::Unset("as many as descriptors allow".to_owned());
        Self {
            server: arguments.as_ref().ok().and_then(server),
            concurrency_max: told("--limit-concurrency")
                .unwrap_or_else(|| Told::new(Err(unbounded()), Source::Default("none"))),
            backlog: told("--backlog").unwrap_or(Told::by_default(BACKLOG_DEFAULT, "2,048")),
        }
    }

    pub(super) fn limits(&self, process: &Process, usage: &Usage) -> Vec<RuntimeLimit> {
        let descriptors = usage.descriptors(
            process,
            "each connection takes a descriptor; Python does not raise its soft limit, which is often \
             1,024. One process runs on one core; workers are processes of their own, with limits of \
             their own",
            "raise the soft limit before the start: `ulimit -n N`, or LimitNOFILE=N in a systemd unit",
        );
        let Some(server) = self.server else {
            return vec![descriptors];
        };
        let mut limits = vec![descriptors];
        if server == "uvicorn" {
            limits.push(RuntimeLimit {
                name: "--limit-concurrency".to_owned(),
                value: self.concurrency_max.value.clone(),
                unit: "connections",
                used: usage.sockets,
                source: self.concurrency_max.source.to_string(),
                meaning: "with so many connections and tasks uvicorn answers 503 by itself; what \
                          is used is estimated by the sockets of this process"
                    .to_owned(),
                remedy: "start uvicorn with a larger --limit-concurrency, or without".to_owned(),
            });
        }
        limits.push(RuntimeLimit {
            name: "--backlog".to_owned(),
            value: self.backlog.value.clone(),
            unit: "connections",
            used: None,
            source: self.backlog.source.to_string(),
            meaning: format!(
                "how many connections may wait until {server} accepts them; the kernel allows no more \
                 than net.core.somaxconn"
            ),
            remedy: format!("start {server} with a larger --backlog, and raise net.core.somaxconn"),
        });
        limits
    }
}

/// The server among the first arguments: its script, or the module behind `-m`.
fn server(arguments: &Arguments) -> Option<&'static str> {
    let mut words = arguments.iter().skip(1).take(8).map(base_name);
    words.find_map(|word| {
        ["uvicorn", "gunicorn"]
            .into_iter()
            .find(|name| word == *name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(arguments: &str) -> Python {
        Python::new(&Ok(Arguments::parse(
            arguments.replace(' ', "\0").as_bytes(),
        )))
    }

    #[test]
    fn a_server_is_found_by_script_and_by_module() {
        let script = "/usr/bin/python3 /usr/bin/uvicorn app:app --limit-concurrency 500";
        let uvicorn = python(script);
        assert_eq!(uvicorn.server, Some("uvicorn"));
        assert_eq!(uvicorn.concurrency_max.value, Ok(500));
        assert_eq!(uvicorn.backlog.value, Ok(2_048));
        let gunicorn = python("python3 -m gunicorn app:app --backlog=64");
        assert_eq!(gunicorn.server, Some("gunicorn"));
        assert_eq!(gunicorn.backlog.value, Ok(64));
        assert_eq!(gunicorn.backlog.source, Source::Arguments);
        assert_eq!(python("python3 manage.py").server, None);
    }

    #[test]
    fn odd_numbers_say_so() {
        let odd = python("python3 -m uvicorn a:b --limit-concurrency x");
        assert!(matches!(
            odd.concurrency_max.value,
            Err(Unknown::Odd { .. })
        ));
    }
}
