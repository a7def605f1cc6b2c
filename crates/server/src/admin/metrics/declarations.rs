//! The table of metrics: one entry for each, from which the texts and the page of the documentation follow.

use std::collections::BTreeMap;

use engine::Cause;

use super::{
    Kind::{Counter, Gauge, Histogram, Info},
    Metric, Source,
};
use crate::{admin::reading::Reading, control::Readiness, upgrade::Refusal};

/// Every metric below the title of its section, in the order in which they are told.
pub(super) const SECTIONS: &[(&str, &[Metric])] = &[
    ("Connections", CONNECTIONS),
    ("Messages", MESSAGES),
    ("Channels and topics", CHANNELS),
    ("How long and how much", HISTOGRAMS),
    ("Shards", SHARDS),
    ("Limits", LIMITS),
    ("The process", PROCESS),
];

const CONNECTIONS: &[Metric] = &[
    Metric {
        noun: "",
        unit: "connections",
        kind: Gauge,
        help: "Open WebSockets.",
        source: Source::Shards(|shard| shard.engine.open as f64),
    },
    Metric {
        noun: "",
        unit: "sockets",
        kind: Gauge,
        help: "Sockets in all phases, those that greet or say goodbye included.",
        source: Source::Sum(|shard| shard.engine.conns),
    },
    Metric {
        noun: "accepted",
        unit: "connections",
        kind: Counter,
        help: "Accepted connections.",
        source: Source::Sum(|shard| shard.engine.accepted),
    },
    Metric {
        noun: "opened",
        unit: "connections",
        kind: Counter,
        help: "Opened WebSockets.",
        source: Source::Sum(|shard| shard.engine.opened),
    },
    Metric {
        noun: "closed",
        unit: "connections",
        kind: Counter,
        help: "Ended WebSockets by cause; slow_consumer is a client that reads too slowly.",
        source: Source::By {
            label: "cause",
            values: &Cause::LABELS,
            count: |reading, cause| named(reading, cause, |facts| &facts.closes),
        },
    },
    Metric {
        noun: "refused",
        unit: "upgrades",
        kind: Counter,
        help: "Refused upgrades by reason.",
        source: Source::By {
            label: "reason",
            values: &Refusal::LABELS,
            count: |reading, reason| named(reading, reason, |facts| &facts.refusals),
        },
    },
    Metric {
        noun: "dropped",
        unit: "connections",
        kind: Counter,
        help: "Accepted connections dropped at once, because not even a refusal had a slot.",
        source: Source::Sum(|shard| shard.engine.dropped),
    },
    Metric {
        noun: "accept",
        unit: "errors",
        kind: Counter,
        help: "Failed calls of accept; the log names the limit behind them.",
        source: Source::Sum(|shard| shard.engine.accept_errors),
    },
    Metric {
        noun: "accept_queue_full",
        unit: "turns",
        kind: Counter,
        help: "Turns of shards that found the accept queue full.",
        source: Source::Sum(|shard| shard.engine.accept_queue_full),
    },
    Metric {
        noun: "handshake",
        unit: "timeouts",
        kind: Counter,
        help: "Connections dropped because no WebSocket was open within the handshake timeout.",
        source: Source::Sum(|shard| shard.engine.handshake_timeouts),
    },
    Metric {
        noun: "protocol",
        unit: "errors",
        kind: Counter,
        help: "Connections closed for breaking the WebSocket protocol.",
        source: Source::Sum(|shard| shard.engine.protocol_errors),
    },
    Metric {
        noun: "slow",
        unit: "consumers",
        kind: Counter,
        help: "Connections closed for an outbox over its limit.",
        source: Source::Sum(|shard| shard.engine.slow_consumers),
    },
    Metric {
        noun: "idle",
        unit: "timeouts",
        kind: Counter,
        help: "Connections closed because nothing arrived for the idle timeout.",
        source: Source::Sum(|shard| shard.engine.idle_timeouts),
    },
    Metric {
        noun: "disconnected",
        unit: "connections",
        kind: Counter,
        help: "Connections closed by their socket id.",
        source: Source::Sum(|shard| shard.facts.hub.disconnects),
    },
    Metric {
        noun: "drained",
        unit: "connections",
        kind: Counter,
        help: "Connections closed because the server is about to stop.",
        source: Source::Sum(|shard| shard.facts.hub.drained),
    },
];

const MESSAGES: &[Metric] = &[
    Metric {
        noun: "received",
        unit: "messages",
        kind: Counter,
        help: "Messages of clients, heartbeats included.",
        source: Source::Sum(|shard| shard.engine.messages_in),
    },
    Metric {
        noun: "sent",
        unit: "frames",
        kind: Counter,
        help: "Frames handed to outboxes: replies, pushes and deliveries.",
        source: Source::Sum(|shard| shard.engine.frames_out),
    },
    Metric {
        noun: "received",
        unit: "bytes",
        kind: Counter,
        help: "Bytes received.",
        source: Source::Sum(|shard| shard.engine.bytes_in),
    },
    Metric {
        noun: "sent",
        unit: "bytes",
        kind: Counter,
        help: "Bytes sent.",
        source: Source::Sum(|shard| shard.engine.bytes_out),
    },
    Metric {
        noun: "send",
        unit: "calls",
        kind: Counter,
        help: "Calls that sent bytes to a socket.",
        source: Source::Sum(|shard| shard.engine.sends),
    },
    Metric {
        noun: "heartbeat",
        unit: "messages",
        kind: Counter,
        help: "Heartbeats answered.",
        source: Source::Sum(|shard| shard.facts.hub.heartbeats),
    },
    Metric {
        noun: "reply",
        unit: "messages",
        kind: Counter,
        help: "Replies sent, those to joins, leaves and heartbeats included.",
        source: Source::Sum(|shard| shard.facts.hub.replies),
    },
    Metric {
        noun: "push",
        unit: "messages",
        kind: Counter,
        help: "Pushes sent by channels.",
        source: Source::Sum(|shard| shard.facts.hub.pushes),
    },
    Metric {
        noun: "",
        unit: "broadcasts",
        kind: Counter,
        help: "Broadcasts that began on a shard; what the HTTP API publishes begins on none.",
        source: Source::Sum(|shard| shard.facts.hub.broadcasts),
    },
    Metric {
        noun: "forwarded",
        unit: "broadcasts",
        kind: Counter,
        help: "Broadcasts that shards got from others and from the HTTP API, counted on each.",
        source: Source::Sum(|shard| shard.facts.hub.broadcasts_received),
    },
    Metric {
        noun: "",
        unit: "deliveries",
        kind: Counter,
        help: "Broadcasts delivered to members.",
        source: Source::Sum(|shard| shard.facts.hub.deliveries),
    },
    Metric {
        noun: "undecodable",
        unit: "messages",
        kind: Counter,
        help: "Messages that could not be read; each closed its connection.",
        source: Source::Sum(|shard| shard.facts.hub.undecodable),
    },
    Metric {
        noun: "undeliverable",
        unit: "messages",
        kind: Counter,
        help: "Pushes, replies and deliveries that the serializer of their client cannot carry.",
        source: Source::Sum(|shard| shard.facts.hub.undeliverable),
    },
    Metric {
        noun: "stale",
        unit: "messages",
        kind: Counter,
        help: "Messages of clients dropped because they belong to an earlier join.",
        source: Source::Sum(|shard| shard.facts.hub.stale),
    },
    Metric {
        noun: "unmatched",
        unit: "messages",
        kind: Counter,
        help: "Messages to topics that their client has not joined.",
        source: Source::Sum(|shard| shard.facts.hub.unmatched),
    },
];

const CHANNELS: &[Metric] = &[
    Metric {
        noun: "",
        unit: "channels",
        kind: Gauge,
        help: "Joined channels.",
        source: Source::Sum(|shard| shard.facts.channels_count as u64),
    },
    Metric {
        noun: "",
        unit: "topics",
        kind: Gauge,
        help: "Topics with members, counted on each shard that has members of them.",
        source: Source::Sum(|shard| shard.facts.topics_count as u64),
    },
    Metric {
        noun: "",
        unit: "joins",
        kind: Counter,
        help: "Joins by outcome; crashed ones panicked or had a reply that their client cannot read.",
        source: Source::By {
            label: "outcome",
            values: &["granted", "refused", "over_limit", "crashed"],
            count: |reading, outcome| {
                reading.sum(|shard| match outcome {
                    "granted" => shard.facts.hub.joins,
                    "refused" => shard.facts.hub.joins_refused,
                    "over_limit" => shard.facts.hub.joins_over_limit,
                    _ => shard.facts.hub.joins_crashed,
                })
            },
        },
    },
    Metric {
        noun: "duplicate",
        unit: "joins",
        kind: Counter,
        help: "Granted joins of a topic that the connection was in already.",
        source: Source::Sum(|shard| shard.facts.hub.joins_duplicate),
    },
    Metric {
        noun: "left",
        unit: "channels",
        kind: Counter,
        help: "Channels left by their client.",
        source: Source::Sum(|shard| shard.facts.hub.leaves),
    },
    Metric {
        noun: "stopped",
        unit: "channels",
        kind: Counter,
        help: "Channels that ended by their own decision.",
        source: Source::Sum(|shard| shard.facts.hub.stops),
    },
    Metric {
        noun: "crashed",
        unit: "channels",
        kind: Counter,
        help: "Channels that panicked; each cost itself and nothing else.",
        source: Source::Sum(|shard| shard.facts.hub.channels_crashed),
    },
    Metric {
        noun: "crashed",
        unit: "sockets",
        kind: Counter,
        help: "Connections closed because their socket panicked.",
        source: Source::Sum(|shard| shard.facts.hub.sockets_crashed),
    },
    Metric {
        noun: "crashed",
        unit: "terminations",
        kind: Counter,
        help: "Panics while a channel or a connection ended; they change nothing.",
        source: Source::Sum(|shard| shard.facts.hub.terminates_crashed),
    },
];

const HISTOGRAMS: &[Metric] = &[
    Metric {
        noun: "handshake_duration",
        unit: "seconds",
        kind: Histogram,
        help: "From accept to an open WebSocket.",
        source: Source::Micros(|shard| &shard.handshakes),
    },
    Metric {
        noun: "join_duration",
        unit: "seconds",
        kind: Histogram,
        help: "Work of a shard for a join; in busy seconds of a sample of them.",
        source: Source::Micros(|shard| &shard.facts.joins),
    },
    Metric {
        noun: "handler_duration",
        unit: "seconds",
        kind: Histogram,
        help: "Work of a shard for any other message; in busy seconds of a sample of them.",
        source: Source::Micros(|shard| &shard.facts.handlers),
    },
    Metric {
        noun: "fanout_duration",
        unit: "seconds",
        kind: Histogram,
        help: "From when a shard took up broadcasts until the last of their frames was written.",
        source: Source::Micros(|shard| &shard.facts.fanouts),
    },
    Metric {
        noun: "fanout",
        unit: "members",
        kind: Histogram,
        help: "Members that a broadcast reached on a shard.",
        source: Source::Numbers(|shard| &shard.facts.fanout_members),
    },
    Metric {
        noun: "outbox",
        unit: "bytes",
        kind: Histogram,
        help: "Left in an outbox each time its socket took nothing more.",
        source: Source::Numbers(|shard| &shard.outboxes),
    },
];

const SHARDS: &[Metric] = &[
    Metric {
        noun: "shard_cpu",
        unit: "seconds",
        kind: Counter,
        help: "CPU that the thread of a shard has used.",
        source: Source::Shards(|shard| shard.facts.cpu.as_secs_f64()),
    },
    Metric {
        noun: "shard_lag",
        unit: "seconds",
        kind: Gauge,
        help: "How long mail to a shard waits now: what heartbeats and broadcasts wait, too.",
        source: Source::Shards(|shard| shard.late.max(shard.facts.waited).as_secs_f64()),
    },
    Metric {
        noun: "shard_mailbox",
        unit: "messages",
        kind: Gauge,
        help: "Mail that waits for a shard.",
        source: Source::Shards(|shard| shard.waiting_count as f64),
    },
    Metric {
        noun: "delayed",
        unit: "mails",
        kind: Counter,
        help: "Mail that had to wait with its sender because the mailbox of another shard was full.",
        source: Source::Sum(|shard| shard.engine.mail_delayed),
    },
    Metric {
        noun: "stale",
        unit: "mails",
        kind: Counter,
        help: "Mail for connections and channels that were gone.",
        source: Source::Sum(|shard| shard.facts.hub.mail_stale),
    },
];

const LIMITS: &[Metric] = &[
    Metric {
        noun: "limit_value",
        unit: "",
        kind: Gauge,
        help: "What is used of a limit, in its own unit; docs/limits.md explains each.",
        source: Source::Limits(|entry| entry.present),
    },
    Metric {
        noun: "limit_ceiling",
        unit: "",
        kind: Gauge,
        help: "How much of a limit there is; limits without a ceiling are left out.",
        source: Source::Limits(|entry| entry.ceiling),
    },
    Metric {
        noun: "ready",
        unit: "",
        kind: Gauge,
        help: "1 while new connections are taken, 0 while the server drains or is full.",
        source: Source::Once(|scrape| f64::from(scrape.readiness == Readiness::Ready)),
    },
    Metric {
        noun: "draining",
        unit: "",
        kind: Gauge,
        help: "1 while the server closes everything in order.",
        source: Source::Once(|scrape| f64::from(scrape.readiness == Readiness::Draining)),
    },
];

const PROCESS: &[Metric] = &[
    Metric {
        noun: "build",
        unit: "",
        kind: Info,
        help: "Which version this is.",
        source: Source::Info(&[("version", env!("CARGO_PKG_VERSION"))]),
    },
    Metric {
        noun: "admin",
        unit: "viewers",
        kind: Gauge,
        help: "Streams of events that are being watched on the admin side.",
        source: Source::Once(|scrape| scrape.viewers_count as f64),
    },
    Metric {
        noun: "process_cpu",
        unit: "seconds",
        kind: Counter,
        help: "CPU that all threads have used.",
        source: Source::Once(|scrape| scrape.process.cpu.as_secs_f64()),
    },
    Metric {
        noun: "process_resident_memory",
        unit: "bytes",
        kind: Gauge,
        help: "Memory of the process that is in RAM; the kernel's part of connections is not in it.",
        source: Source::Once(|scrape| scrape.process.resident_bytes as f64),
    },
    Metric {
        noun: "process_open",
        unit: "fds",
        kind: Gauge,
        help: "Descriptors in the table that the process began with; shards on io_uring have their own.",
        source: Source::Once(|scrape| number(scrape.process.descriptors_count)),
    },
    Metric {
        noun: "process_max",
        unit: "fds",
        kind: Gauge,
        help: "Descriptors that one table may have.",
        source: Source::Once(|scrape| number(scrape.process.descriptors_max)),
    },
    Metric {
        noun: "process_start_time",
        unit: "seconds",
        kind: Gauge,
        help: "When the server started, in seconds since 1970.",
        source: Source::Once(|scrape| scrape.process.started.as_secs_f64()),
    },
];

/// A count that shards keep by name; names that nothing was counted for are not there.
fn named(
    reading: &Reading,
    name: &str,
    of: fn(&crate::question::Facts) -> &BTreeMap<&'static str, u64>,
) -> u64 {
    reading.sum(|shard| of(&shard.facts).get(name).copied().unwrap_or(0))
}

/// What could not be read is no number.
fn number(value: Option<u64>) -> f64 {
    value.map_or(f64::NAN, |value| value as f64)
}
