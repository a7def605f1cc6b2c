//! Our own server and crowd, whose shards may have descriptors of their own.

use super::{RuntimeLimit, Usage};
use crate::process::{Arguments, Process};

pub(super) fn limits(process: &Process, usage: &Usage) -> Vec<RuntimeLimit> {
    let descriptors = usage.descriptors(
        process,
        "bounds each table of descriptors, and shards can have tables of their own: on epoll these are \
         in /proc/PID/task/TID/fd, on io_uring in no file of /proc. What is used is that of the thread \
         that has most; the descriptors of the process as a whole say little",
        "let it start as many shards as the connections need (`--max-connections N`); each has a table",
    );
    vec![RuntimeLimit {
        used: process.fullest_thread().ok().or(descriptors.used),
        ..descriptors
    }]
}

/// The port to which a crowd dials, by the URL in its arguments: `fourtuple load ws://HOST:PORT/...`.
pub(crate) fn dialled_port(arguments: &Arguments) -> Option<u16> {
    let mut arguments = arguments.iter().skip(1);
    if arguments.next() != Some("load") {
        return None;
    }
    arguments.find_map(port_of)
}

/// The port of a WebSocket URL, RFC 6455 §3.
fn port_of(url: &str) -> Option<u16> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "ws" => 80,
        "wss" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    // An IPv6 address is in brackets, and has colons of its own.
    let after_host = authority
        .rsplit_once(']')
        .map_or(authority, |(_, port)| port);
    match after_host.rsplit_once(':') {
        Some((_, port)) => port.parse().ok(),
        None => Some(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_dials_where_its_url_leads() {
        let port = |arguments: &str| {
            let bytes = arguments.replace(' ', "\0");
            dialled_port(&Arguments::parse(bytes.as_bytes()))
        };
        assert_eq!(
            port("fourtuple load ws://127.0.0.1:4000/socket"),
            Some(4_000)
        );
        assert_eq!(
            port("fourtuple load -c 9 wss://[::1]:4001 --hold 1s"),
            Some(4_001)
        );
        assert_eq!(port("fourtuple load ws://host/x:9"), Some(80));
        assert_eq!(port("fourtuple load wss://[fd00::1]?a:b"), Some(443));
        assert_eq!(port("fourtuple load ws://host:port"), None);
        assert_eq!(port("fourtuple load --json http://host:9"), None);
        assert_eq!(port("fourtuple serve --listen 0.0.0.0:4000"), None);
        assert_eq!(port(""), None);
    }
}
