//! What a hub has seen and done, counted since it began.

/// Plain counts; whoever runs the hub copies them out. None ever goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages that clients sent, heartbeats included.
    pub messages_in: u64,
    /// Messages that could not be read; each closed its connection.
    pub undecodable: u64,
    /// Heartbeats answered.
    pub heartbeats: u64,
    /// Joins granted, duplicates included.
    pub joins: u64,
    /// Joins refused by a channel or for want of one.
    pub joins_refused: u64,
    /// Joins refused because the connection has enough channels.
    pub joins_over_limit: u64,
    /// Joins of a topic that the connection was in already.
    pub joins_duplicate: u64,
    /// Joins that panicked, or were granted in a reply that the client's serializer cannot carry.
    pub joins_crashed: u64,
    /// Channels left by their client.
    pub leaves: u64,
    /// Channels that ended by their own decision.
    pub stops: u64,
    /// Channels that panicked.
    pub channels_crashed: u64,
    /// Panics while a channel or a connection ended, or a message to an ended channel was dropped;
    /// they change nothing.
    pub terminates_crashed: u64,
    /// Connections closed because their socket panicked.
    pub sockets_crashed: u64,
    /// Messages dropped because they belong to an earlier join.
    pub stale: u64,
    /// Messages to topics that their client has not joined.
    pub unmatched: u64,
    /// Replies sent, those to joins, leaves and heartbeats included.
    pub replies: u64,
    /// Pushes sent.
    pub pushes: u64,
    /// Broadcasts that began on this shard.
    pub broadcasts: u64,
    /// Broadcasts that came from other shards and threads, also those that found no member here.
    pub broadcasts_received: u64,
    /// Broadcasts delivered to members on this shard.
    pub deliveries: u64,
    /// Broadcasts that reached a member on this shard.
    pub fanouts: u64,
    /// Pushes, replies and deliveries that the client's serializer cannot carry.
    pub undeliverable: u64,
    /// Mail for connections and channels that were gone.
    pub mail_stale: u64,
    /// Connections closed by their socket id.
    pub disconnects: u64,
    /// Connections closed because the server is about to stop.
    pub drained: u64,
}
