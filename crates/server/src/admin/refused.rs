//! What the control plane has turned away, counted by reason: requests by its guard, connections by its
//! listener. Reasons are few and known beforehand, so that they can be labels of a metric.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: [AtomicU64; OfRequest::LABELS.len()],
    connections: [AtomicU64; OfConnection::LABELS.len()],
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfRequest {
    /// The server is not known by the name that was asked for.
    Host,
    /// A page of another site asked.
    Site,
    /// It came with something else than JSON.
    NotJson,
    /// It showed neither key nor login.
    NoCredential,
    /// It showed a wrong key or login.
    WrongCredential,
    /// It showed something after too many that were wrong.
    TooManyAttempts,
    /// Who asked may not do this.
    Scope,
    /// Its body was longer than is read.
    BodyTooLarge,
    /// Its body came more slowly than is waited for.
    BodyTooSlow,
}

/// Why a connection was ended from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfConnection {
    /// Its address had as many as one may have.
    AddressShare,
    /// It did no handshake of TLS in time, or none that can be understood.
    Handshake,
    /// It sent no whole head in time.
    Head,
    /// It took nothing of what was written to it.
    Unread,
}

impl OfRequest {
    /// In the order of the reasons.
    pub(super) const LABELS: [&str; 9] = [
        "host",
        "site",
        "not_json",
        "no_credential",
        "wrong_credential",
        "too_many_attempts",
        "scope",
        "body_too_large",
        "body_too_slow",
    ];
}

impl OfConnection {
    /// In the order of the reasons.
    pub(super) const LABELS: [&str; 4] = ["address_share", "handshake", "head", "unread"];
}

impl Refused {
    pub(super) fn count_request(&self, reason: OfRequest) {
        self.0.requests[reason as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn count_connection(&self, reason: OfConnection) {
        self.0.connections[reason as usize].fetch_add(1, Relaxed);
    }

    /// Requests refused for the reason of a label.
    pub(super) fn requests_count(&self, label: &str) -> u64 {
        of(&OfRequest::LABELS, &self.0.requests, label)
    }

    /// Connections ended for the reason of a label.
    pub(super) fn connections_count(&self, label: &str) -> u64 {
        of(&OfConnection::LABELS, &self.0.connections, label)
    }
}

fn of(labels: &[&str], counts: &[AtomicU64], label: &str) -> u64 {
    let named = labels.iter().zip(counts).find(|(own, _)| **own == label);
    named.map_or(0, |(_, count)| count.load(Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_under_its_own_label() {
        let refused = Refused::default();
        refused.count_request(OfRequest::BodyTooSlow);
        refused.count_request(OfRequest::Host);
        refused.count_connection(OfConnection::Unread);
        for label in OfRequest::LABELS {
            let expected = u64::from(["host", "body_too_slow"].contains(&label));
            assert_eq!(refused.requests_count(label), expected, "{label}");
        }
        for label in OfConnection::LABELS {
            let expected = u64::from(label == "unread");
            assert_eq!(refused.connections_count(label), expected, "{label}");
        }
    }
}
