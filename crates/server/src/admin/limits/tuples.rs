//! The four-tuples of this server: why one listening port is enough, drawn with its numbers.

use std::{net::IpAddr, num::NonZero};

use capacity::{
    Grouped, Machine,
    plan::{Answer, Drawing, Host, Question},
    tuples::PORTS_COUNT,
};
use serde::Serialize;

use crate::{
    admin::{board::Address, reading::Reading},
    control::Control,
};

/// What connects and how many may.
#[derive(Debug, Serialize)]
pub(super) struct Tuples {
    /// Where it listens.
    listens_at: String,
    /// How many ports it listens on.
    ports_count: u64,
    connections: u64,
    connections_max: u64,
    /// Connections that one source address can have to this port.
    per_source_address: u64,
    /// Source addresses that as many connections as it may hold need at least.
    source_addresses_needed: u64,
    /// Those from which most connections are, as far as the last look through the tables has found them.
    addresses: Vec<Source>,
    /// That one port is enough, and why.
    words: String,
}

/// A source address, which may be a NAT with many clients behind it.
#[derive(Debug, Serialize)]
struct Source {
    address: IpAddr,
    connections: u64,
    /// The part of its tuples towards this port that is used.
    share: f64,
}

/// What follows from the greatest number of connections, once.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) svg: String,
    pub(super) needed_count: u64,
}

/// Draws the tuples of as many connections as the server may hold.
pub(super) fn draw(control: &Control) -> Drawn {
    let question = question(control, control.connections_max().into());
    let answer = Answer::of(&question);
    Drawn {
        svg: Drawing::of(&answer).svg().to_string(),
        needed_count: answer.sources.needed.safe_count,
    }
}

/// What is planned for `connections` on this machine, at the address of this server.
pub(in crate::admin) fn question(control: &Control, connections: u64) -> Question {
    let layout = control.plan().layout;
    let host = Host {
        admin_connections: layout.admin_connections,
        ..Host::of(&Machine::read(), layout.kernel)
    };
    let connections = NonZero::new(connections).unwrap_or(NonZero::<u64>::MIN);
    let address = control.address();
    let is_known = !address.ip().is_unspecified();
    Question {
        // Written by SocketAddr, so it is one.
        destinations: is_known.then(|| address.to_string().parse().ok()).flatten(),
        server: host,
        ..Question::new(connections)
    }
}

impl Tuples {
    pub(super) fn of(
        control: &Control,
        reading: &Reading,
        needed_count: u64,
        addresses: &[Address],
    ) -> Self {
        let connections_max = u64::from(control.connections_max());
        let words = format!(
            "One listening port is enough for any number of connections: what has to differ is the whole of \
             source address, source port, destination address and destination port. Each source address has \
             {} ports towards this one, so {} connections need {} source address{}; the server's port is never \
             what runs out.",
            Grouped(PORTS_COUNT),
            Grouped(connections_max),
            Grouped(needed_count),
            if needed_count == 1 { "" } else { "es" },
        );
        Self {
            listens_at: control.address().to_string(),
            ports_count: 1,
            connections: reading.sum(|shard| shard.engine.open),
            connections_max,
            per_source_address: PORTS_COUNT,
            source_addresses_needed: needed_count,
            addresses: addresses.iter().map(Source::of).collect(),
            words,
        }
    }
}

impl Source {
    fn of(address: &Address) -> Self {
        Self {
            address: address.ip,
            connections: address.connections,
            share: address.connections as f64 / PORTS_COUNT as f64,
        }
    }
}
