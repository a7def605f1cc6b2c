//! Sessions that can be taken up again: what servers gave to any connection of a run, for any that comes back.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use rustls::{
    NamedGroup,
    client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
};

/// Tickets that are kept; beyond it the oldest goes. Each takes about 1.5 KB, most of it the server's certificates.
pub(super) const TICKETS_MAX: usize = 16_384;

/// What servers gave, of all shards of a run. TLS 1.3 asks for a ticket to be used once (RFC 8446 appendix C.4); the
/// session of TLS 1.2 serves many.
///
/// It is locked once or twice in a handshake, which computes a thousand times longer, and by no message.
#[derive(Clone, Default)]
pub(super) struct Tickets(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
}

/// One way to use them: connections that come for the first time leave their tickets, and find none.
#[derive(Debug)]
pub(super) struct TicketUse {
    pub(super) tickets: Tickets,
    pub(super) takes: bool,
}

impl Tickets {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Who panics here has left nothing half done.
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl ClientSessionStore for TicketUse {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.tickets.kept().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.tickets.kept().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.tickets.kept().tls12 = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.tickets.kept().tls12.clone().filter(|_| self.takes)
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.tickets.kept().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut kept = self.tickets.kept();
        if kept.tls13.len() == TICKETS_MAX {
            kept.tls13.pop_front();
        }
        kept.tls13.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.takes.then(|| self.tickets.kept().tls13.pop_back())?
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.kept().tls13.len();
        f.debug_struct("Tickets")
            .field("tls13", &count)
            .finish_non_exhaustive()
    }
}
