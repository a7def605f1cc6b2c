//! What all shards of a run know alike, and each shard's share of it.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    handshakes::Handshakes, options::Options, part::Part, schedule::Seat, sent::Sent, way::Way,
};

/// What all shards of a run know alike.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What is asked of this machine: its own number of connections, and everything else of the whole run.
    pub(crate) options: Options,
    /// Which of the run's connections these are.
    pub(crate) part: Arc<Part>,
    /// The server's address, or that of the proxy which leads to it.
    pub(crate) destination: SocketAddr,
    /// How the server is reached from there.
    pub(crate) way: Way,
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
            .wrapping_add(self.part.first_client())
    }

    /// The topics that shard `shard` publishes to: those that the first connections join, each on the shard
    /// that opens its connection.
    pub(super) fn own_topics(&self, shard: u16) -> Vec<u32> {
        let (shard, step) = (usize::from(shard), usize::from(self.shards.max(1)));
        let own = self.part.topics(self.options.topics);
        own.skip(shard).step_by(step).collect()
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
