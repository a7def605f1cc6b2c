//! Plain counters of one shard, written by it alone and read by anybody.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Histogram;

/// Declares the counters once: the shared cells and the plain copy.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a shard has counted. One writer, so adding is a load and a store, never a locked
        /// instruction; readers see each value whole, and the set at slightly different moments.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
            /// Microseconds from accept or dial to an open WebSocket.
            pub handshakes: Histogram,
            /// Bytes left in an outbox each time its socket took nothing more.
            pub outboxes: Histogram,
        }

        /// A copy of a shard's counters.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// The values now.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.0.load(Relaxed),)* }
            }
        }

        impl Snapshot {
            /// The sum of two shards' counters.
            #[must_use]
            pub fn plus(self, other: Self) -> Self {
                Self { $($name: self.$name.wrapping_add(other.$name),)* }
            }
        }
    };
}

counters! {
    /// Connections that exist, in all phases.
    conns,
    /// WebSockets that are open.
    open,
    /// Connections accepted.
    accepted,
    /// Connections dialled.
    dialled,
    /// Accepted connections dropped at once, because not even a refusal had a slot.
    dropped,
    /// Failed `accept4` calls.
    accept_errors,
    /// Turns that found the accept queue full.
    accept_queue_full,
    /// WebSockets opened, ever.
    opened,
    /// Upgrade requests refused.
    refused,
    /// Messages received.
    messages_in,
    /// Frames handed to outboxes.
    frames_out,
    /// Bytes received.
    bytes_in,
    /// Bytes sent.
    bytes_out,
    /// Send calls.
    sends,
    /// Connections closed for an outbox over its limit.
    slow_consumers,
    /// Connections closed for an idle timeout.
    idle_timeouts,
    /// Connections dropped for a handshake timeout.
    handshake_timeouts,
    /// Connections closed for breaking the protocol.
    protocol_errors,
    /// TLS handshakes that went well.
    tls_handshakes,
    /// Of these, those that took up an earlier session.
    tls_resumed,
    /// Mail that had to wait because another shard's mailbox was full.
    mail_delayed,
    /// Bytes that the IPv6 addresses of peers take.
    v6_peer_bytes,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning shard may call this.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// What it stands at.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Makes it `n`. Only the owning shard may call this.
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Takes `n` away. Only the owning shard may call this.
    pub(crate) fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }
}
