//! What all shards of a run know alike, and each shard's share of it.

use std::net::SocketAddr;

use crate::{gauges::Sent, handshakes::Handshakes, options::Options, schedule::Seat};

/// What all shards of a run know alike.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) options: Options,
    /// The server's address.
    pub(crate) destination: SocketAddr,
    /// The addresses to dial from.
    pub(crate) sources: capacity::Sources,
    /// The run's name in marks, and the seed of what is left to chance.
    pub(crate) run: u64,
    pub(crate) shards: u16,
    /// Shards that open connections at a time.
    pub(crate) shards_at_a_time: u16,
    /// Connections that each shard has descriptors for.
    pub(crate) seats: u32,
    /// How many publishes each topic has seen.
    pub(crate) sent: Sent,
    /// Handshakes and joins that may be unfinished.
    pub(crate) handshakes: Handshakes,
}

impl Plan {
    /// Slots of one shard: its connections and some room for goodbyes that are not over yet, as far
    /// as it has descriptors for them.
    pub(crate) fn slots_max(&self) -> u32 {
        let share = self.options.connections.div_ceil(self.shards.into());
        let roomy = share.saturating_add(share / 16).saturating_add(64);
        roomy.min(self.seats).max(share)
    }

    /// The number in the run of the client in slot `index` of shard `shard`.
    pub(super) fn client_number(&self, shard: u16, index: u32) -> u32 {
        // Slots are few more than connections, so only a run of billions could wrap.
        index
            .wrapping_mul(self.shards.into())
            .wrapping_add(shard.into())
    }

    /// The place of shard `shard` among those that open connections.
    pub(super) fn seat(&self, shard: u16) -> Seat {
        Seat {
            shard,
            shards: self.shards,
            at_a_time: self.shards_at_a_time,
        }
    }
}
