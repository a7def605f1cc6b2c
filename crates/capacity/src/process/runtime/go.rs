//! Programs in Go, of which one fact counts: since Go 1.19 they raise the soft limit on descriptors to
//! the hard one as they start (release notes of Go 1.19, package `os`).

use super::{RuntimeLimit, Usage};
use crate::process::Process;

/// Servers and load generators that hold many connections and are known by their names. A program in Go
/// is called anything, so others are not told.
const NAMES: [&str; 8] = [
    "caddy",
    "centrifugo",
    "cloudflared",
    "etcd",
    "k6",
    "mercure",
    "nats-server",
    "traefik",
];

pub(super) fn is_go(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(super) fn limits(process: &Process, usage: &Usage) -> Vec<RuntimeLimit> {
    vec![usage.descriptors(
        process,
        "each connection takes a descriptor and, as a rule, one or two goroutines of some kilobytes \
         each; Go 1.19 and later has raised the soft limit to the hard one by itself",
        "raise the hard limit before the start: LimitNOFILE=N in a systemd unit, or --ulimit nofile=N:N \
         for a container",
    )]
}
