//! The metrics of the control plane itself: who looks, and who was turned away.

use super::{
    super::refused::{OfConnection, OfRequest},
    Kind::{Counter, Gauge},
    Metric, Source,
};

pub(super) const GATE: &[Metric] = &[
    Metric {
        noun: "admin",
        unit: "viewers",
        kind: Gauge,
        help: "Streams of events that are being watched on the admin side.",
        source: Source::Once(|scrape| scrape.viewers_count as f64),
    },
    Metric {
        noun: "admin_refused",
        unit: "requests",
        kind: Counter,
        help: "Requests that the admin side refused by reason; wrong_credential is a wrong key or login, \
               too_many_attempts one that was not looked at after too many of them.",
        source: Source::Told {
            label: "reason",
            values: &OfRequest::LABELS,
            count: |scrape, reason| scrape.refused.requests_count(reason),
        },
    },
    Metric {
        noun: "admin_dropped",
        unit: "connections",
        kind: Counter,
        help: "Connections that the admin side ended by reason; head is one that sent no whole head of a first or \
               a next request in time, unread one that took nothing of its answer.",
        source: Source::Told {
            label: "reason",
            values: &OfConnection::LABELS,
            count: |scrape, reason| scrape.refused.connections_count(reason),
        },
    },
];
