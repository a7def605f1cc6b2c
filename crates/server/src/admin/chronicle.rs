//! What happened, said in the log: each kind of event in one line a minute with how often it came.
//!
//! The facts are those that shards count anyway, so a flood of events costs no message anything, and the log
//! no more than a line for each kind.

use std::time::Instant;

use capacity::{Grouped, Limit};

use super::reading::Reading;
use crate::{repetition::Repetitions, upgrade::Refusal};

/// Who says what happened between two readings.
#[derive(Debug)]
pub(super) struct Chronicle {
    began: Instant,
    said: Repetitions<&'static str>,
}

/// One kind of event that an operator should know of.
struct Event {
    /// Its name in a JSON log.
    kind: &'static str,
    /// How often it has come since the start.
    count: fn(&Reading) -> u64,
    /// What happened, behind the count.
    what: &'static str,
    /// What to do about it, or where to look.
    hint: &'static str,
}

const EVENTS: &[Event] = &[
    Event {
        kind: "channels_crashed",
        count: |reading| reading.sum(|shard| shard.facts.hub.channels_crashed),
        what: "channels panicked; each cost its client that channel",
        hint: "the message of each panic is on standard error",
    },
    Event {
        kind: "joins_crashed",
        count: |reading| reading.sum(|shard| shard.facts.hub.joins_crashed),
        what: "joins panicked, or had a reply that their client cannot read",
        hint: "the message of each panic is on standard error",
    },
    Event {
        kind: "sockets_crashed",
        count: |reading| reading.sum(|shard| shard.facts.hub.sockets_crashed),
        what: "connections closed because their socket panicked",
        hint: "the message of each panic is on standard error",
    },
    Event {
        kind: "slow_consumers",
        count: |reading| reading.sum(|shard| shard.engine.slow_consumers),
        what: "clients closed with 4008, since they read slower than they were written to",
        hint: "limits.outbox_bytes_max is what may wait for one client",
    },
    Event {
        kind: "protocol_errors",
        count: |reading| reading.sum(|shard| shard.engine.protocol_errors),
        what: "connections closed for breaking the WebSocket protocol",
        hint: "something other than a WebSocket client talks to this port, or a client is broken",
    },
    Event {
        kind: "undecodable_messages",
        count: |reading| reading.sum(|shard| shard.facts.hub.undecodable),
        what: "connections closed for a message that is none of Phoenix",
        hint: "the client speaks another protocol, or another version than its vsn says",
    },
    Event {
        kind: "joins_over_limit",
        count: |reading| reading.sum(|shard| shard.facts.hub.joins_over_limit),
        what: "joins refused, since their connection has enough channels",
        hint: "limits.channels_per_socket_max is how many a connection may have",
    },
    Event {
        kind: "handshake_timeouts",
        count: |reading| reading.sum(|shard| shard.engine.handshake_timeouts),
        what: "connections dropped that had no open WebSocket in time",
        hint: "handshake_timeout is how long a client may take",
    },
    Event {
        kind: "mail_delayed",
        count: |reading| reading.sum(|shard| shard.engine.mail_delayed),
        what: "pieces of mail had to wait because the mailbox of another shard was full",
        hint: "more is broadcast than the slowest shard can take; see the shards on the dashboard",
    },
    Event {
        kind: "undeliverable",
        count: |reading| reading.sum(|shard| shard.facts.hub.undeliverable),
        what: "messages not sent, since the serializer of their client cannot carry them",
        hint: "binary payloads need clients of version 2.0.0",
    },
];

impl Chronicle {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            said: Repetitions::default(),
        }
    }

    /// Says what has happened since the reading before, unless it was said a moment ago.
    pub(super) fn tell(&self, before: Option<&Reading>, now: &Reading, connections_max: u32) {
        let at = self.began.elapsed();
        // What happened before the first reading is told, too.
        let since = |count: &dyn Fn(&Reading) -> u64| {
            let before = before.map_or(0, count);
            count(now).saturating_sub(before)
        };
        for event in EVENTS {
            let new = since(&event.count);
            if let Some(count) = self.said.add(event.kind, new, at) {
                let (kind, what, hint) = (event.kind, event.what, event.hint);
                tracing::warn!(kind, count, "{} {what}; {hint}", Grouped(count));
            }
        }
        for reason in Refusal::LABELS {
            let refused = |reading: &Reading| {
                reading.sum(|shard| shard.facts.refusals.get(reason).copied().unwrap_or(0))
            };
            let new = since(&refused);
            if let Some(count) = self.said.add(reason, new, at) {
                say_refusals(reason, count, connections_max);
            }
        }
    }
}

fn say_refusals(reason: &'static str, count: u64, connections_max: u32) {
    let kind = "refusals";
    let shown = Grouped(count);
    match reason {
        "full" => {
            let limit = Limit::ServerConnections;
            tracing::warn!(
                kind,
                reason,
                count,
                limit = limit.name(),
                "{shown} upgrades refused: {} is used up at {}; to hold more, {}",
                limit.name(),
                Grouped(connections_max.into()),
                limit.remedy(),
            );
        }
        // Searchers of holes ask for paths all day, and a drain refuses by intent.
        "path" | "draining" => {
            tracing::debug!(kind, reason, count, "{shown} upgrades refused: {reason}")
        }
        _ => tracing::warn!(
            kind,
            reason,
            count,
            "{shown} upgrades refused: {reason}; {}",
            hint(reason)
        ),
    }
}

fn hint(reason: &str) -> &'static str {
    match reason {
        "origin" => "the pages that may connect are those of check_origin",
        "vsn" => "clients may speak versions 1.0.0 and 2.0.0",
        "params" => {
            "what may be in them is bounded by limits.params_pairs_max and limits.params_depth_max"
        }
        "subprotocol" => "a token among the subprotocols is accepted with socket.auth_token",
        "application" => "the program itself refuses these clients",
        _ => "each client was answered what is wrong with its request",
    }
}
