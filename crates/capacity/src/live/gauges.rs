//! Sockets as gauges: accept queues, and tuples.

use std::collections::HashSet;

use crate::{
    Gauge, Limit,
    sockets::{Listener, LocalPorts, Pair},
    tuples::PORTS_COUNT,
};

/// Listeners that have gauges of their own, the fullest.
const LISTENERS_SHOWN_MAX: usize = 16;

/// The fullest accept queue of each address, of those that share it; the kernel takes one more than the
/// maximum.
pub(super) fn accept_queues(listeners: &[Listener]) -> Vec<Gauge> {
    let mut queues: Vec<Gauge> = Vec::new();
    for listener in listeners {
        let Some(max) = listener.accept_queue_max else {
            continue;
        };
        let label = format!("accept queue of {}", listener.local);
        let used = u64::from(listener.accept_queue);
        let queue = gauge(Limit::AcceptQueue, &label, used, u64::from(max) + 1);
        let has_room = queues.len() < LISTENERS_SHOWN_MAX;
        match queues.iter_mut().find(|known| known.label == label) {
            Some(known) if known.share() < queue.share() => *known = queue,
            Some(_) => {}
            None if has_room => queues.push(queue),
            None => {}
        }
    }
    queues
}

/// The tuples of a pair: among the kernel's ports, or among all where programs choose.
pub(super) fn tuples(pair: &Pair, ports: &LocalPorts, listeners: &[Listener]) -> Gauge {
    let label = format!("tuples from {} to {}", pair.source, pair.destination);
    if pair.explicit_count > 0 {
        return gauge(Limit::Tuples, &label, pair.used(), PORTS_COUNT);
    }
    // A port that somebody listens on is not chosen.
    let taken = listeners
        .iter()
        .map(|listener| listener.local)
        .filter(|local| {
            (local.ip().is_unspecified() || local.ip() == pair.source)
                && ports.contains(local.port())
        });
    let taken: HashSet<u16> = taken.map(|local| local.port()).collect();
    let max = ports.count().saturating_sub(taken.len() as u64);
    Gauge {
        knee: Some(max / 2),
        ..gauge(Limit::PortRange, &label, pair.used(), max)
    }
}

/// A gauge without a knee.
pub(super) fn gauge(limit: Limit, label: &str, used: u64, max: u64) -> Gauge {
    Gauge {
        limit,
        label: label.to_owned(),
        used,
        max,
        knee: None,
    }
}
