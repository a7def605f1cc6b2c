//! The names of connections and shards, newtypes so that they cannot be taken for each other.

/// A connection of one shard.
///
/// Indices are dense and used again; the generation tells one connection from the next that has its
/// index. 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Its place in the tables of its shard.
    pub index: u32,
    /// Which of the connections that had this place.
    pub generation: u32,
}

/// A shard of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardIndex(pub u16);

/// One join of a topic by a connection. Names wrap after 2³² joins of a shard; only a reference
/// that was kept for exactly so long could be taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JoinId(pub(crate) u32);

const _: () = assert!(size_of::<ConnId>() == 8);
