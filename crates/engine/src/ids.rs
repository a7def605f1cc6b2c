//! Names for the two things the engine counts: connections and shards.

/// One connection of one shard: where its slot is, and which tenant of the slot it is.
///
/// Indices are dense and reused, so an app may keep its own table in parallel; a stale id never
/// reaches the slot's next tenant, because the generation differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// The slot, `0..connections_max` of the shard.
    pub index: u32,
    /// How often the slot has been given out.
    pub generation: u32,
}

impl ConnId {
    /// The id as the word that travels through a kernel and back.
    pub(crate) const fn to_word(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The inverse of [`ConnId::to_word`].
    pub(crate) const fn from_word(word: u64) -> Self {
        Self {
            index: word as u32,
            generation: (word >> 32) as u32,
        }
    }
}

/// One shard (thread) of this process, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardIndex(pub u16);
