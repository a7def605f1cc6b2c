//! The table of metrics: one entry for each, from which the texts and the page of the documentation follow.

use std::collections::BTreeMap;

use engine::Cause;

use super::{
    Kind::{Counter, Gauge, Histogram, Info},
    Metric, Source,
    gate::GATE,
};
use crate::{
    admin::reading::{Reading, ShardReading},
    control::Readiness,
    upgrade::Refusal,
};

/// Every metric below the title of its section, in the order in which they are told.
pub(super) const SECTIONS: &[(&str, &[Metric])] = &[
    ("Connections", CONNECTIONS),
    ("Messages", MESSAGES),
    ("Channels and topics", CHANNELS),
    ("How long and how much", HISTOGRAMS),
    ("Shards", SHARDS),
    ("Limits", LIMITS),
    ("The process", PROCESS),
    ("The admin side", GATE),
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
    total(
        "accepted",
        "connections",
        "Accepted connections.",
        |shard| shard.engine.accepted,
    ),
    total("opened", "connections", "Opened WebSockets.", |shard| {
        shard.engine.opened
    }),
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
    total(
        "dropped",
        "connections",
        "Accepted connections dropped at once, because not even a refusal had a slot.",
        |shard| shard.engine.dropped,
    ),
    total(
        "accept",
        "errors",
        "Failed calls of accept; the log names the limit behind them.",
        |shard| shard.engine.accept_errors,
    ),
    total(
        "accept_queue_full",
        "turns",
        "Turns of shards that found the accept queue full.",
        |shard| shard.engine.accept_queue_full,
    ),
    total(
        "handshake",
        "timeouts",
        "Connections dropped because no WebSocket was open within the handshake timeout.",
        |shard| shard.engine.handshake_timeouts,
    ),
    total(
        "protocol",
        "errors",
        "Connections closed for breaking the WebSocket protocol.",
        |shard| shard.engine.protocol_errors,
    ),
    total(
        "slow",
        "consumers",
        "Connections closed for an outbox over its limit.",
        |shard| shard.engine.slow_consumers,
    ),
    total(
        "idle",
        "timeouts",
        "Connections closed because nothing arrived for the idle timeout.",
        |shard| shard.engine.idle_timeouts,
    ),
    total(
        "disconnected",
        "connections",
        "Connections closed by their socket id.",
        |shard| shard.facts.hub.disconnects,
    ),
    total(
        "drained",
        "connections",
        "Connections closed because the server is about to stop.",
        |shard| shard.facts.hub.drained,
    ),
];

const MESSAGES: &[Metric] = &[
    total(
        "received",
        "messages",
        "Messages of clients, heartbeats included.",
        |shard| shard.engine.messages_in,
    ),
    total(
        "sent",
        "frames",
        "Frames handed to outboxes: replies, pushes and deliveries.",
        |shard| shard.engine.frames_out,
    ),
    total("received", "bytes", "Bytes received.", |shard| {
        shard.engine.bytes_in
    }),
    total("sent", "bytes", "Bytes sent.", |shard| {
        shard.engine.bytes_out
    }),
    total(
        "send",
        "calls",
        "Calls that sent bytes to a socket.",
        |shard| shard.engine.sends,
    ),
    total("heartbeat", "messages", "Heartbeats answered.", |shard| {
        shard.facts.hub.heartbeats
    }),
    total(
        "reply",
        "messages",
        "Replies sent, those to joins, leaves and heartbeats included.",
        |shard| shard.facts.hub.replies,
    ),
    total("push", "messages", "Pushes sent by channels.", |shard| {
        shard.facts.hub.pushes
    }),
    total(
        "",
        "broadcasts",
        "Broadcasts that began on a shard; what the HTTP API publishes begins on none.",
        |shard| shard.facts.hub.broadcasts,
    ),
    total(
        "forwarded",
        "broadcasts",
        "Broadcasts that shards got from others and from the HTTP API, counted on each.",
        |shard| shard.facts.hub.broadcasts_received,
    ),
    total(
        "",
        "deliveries",
        "Broadcasts delivered to members.",
        |shard| shard.facts.hub.deliveries,
    ),
    total(
        "undecodable",
        "messages",
        "Messages that could not be read; each closed its connection.",
        |shard| shard.facts.hub.undecodable,
    ),
    total(
        "undeliverable",
        "messages",
        "Pushes, replies and deliveries that the serializer of their client cannot carry.",
        |shard| shard.facts.hub.undeliverable,
    ),
    total(
        "stale",
        "messages",
        "Messages of clients dropped because they belong to an earlier join.",
        |shard| shard.facts.hub.stale,
    ),
    total(
        "unmatched",
        "messages",
        "Messages to topics that their client has not joined.",
        |shard| shard.facts.hub.unmatched,
    ),
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
    total(
        "duplicate",
        "joins",
        "Granted joins of a topic that the connection was in already.",
        |shard| shard.facts.hub.joins_duplicate,
    ),
    total(
        "left",
        "channels",
        "Channels left by their client.",
        |shard| shard.facts.hub.leaves,
    ),
    total(
        "stopped",
        "channels",
        "Channels that ended by their own decision.",
        |shard| shard.facts.hub.stops,
    ),
    total(
        "crashed",
        "channels",
        "Channels that panicked; each cost itself and nothing else.",
        |shard| shard.facts.hub.channels_crashed,
    ),
    total(
        "crashed",
        "sockets",
        "Connections closed because their socket panicked.",
        |shard| shard.facts.hub.sockets_crashed,
    ),
    total(
        "crashed",
        "terminations",
        "Panics while a channel or a connection ended; they change nothing.",
        |shard| shard.facts.hub.terminates_crashed,
    ),
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
    total(
        "delayed",
        "mails",
        "Mail that had to wait with its sender because the mailbox of another shard was full.",
        |shard| shard.engine.mail_delayed,
    ),
    total(
        "stale",
        "mails",
        "Mail for connections and channels that were gone.",
        |shard| shard.facts.hub.mail_stale,
    ),
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

/// A count of each shard, added up.
const fn total(
    noun: &'static str,
    unit: &'static str,
    help: &'static str,
    count: fn(&ShardReading) -> u64,
) -> Metric {
    Metric {
        noun,
        unit,
        kind: Counter,
        help,
        source: Source::Sum(count),
    }
}

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
