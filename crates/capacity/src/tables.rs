//! Whose descriptors `RLIMIT_NOFILE` counts.

/// How the shards of a process keep their descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tables {
    /// All shards share the table of their process, so the limit bounds the process.
    #[default]
    PerProcess,
    /// Each shard has a table to itself, so the limit bounds a shard: a thread's own table
    /// (`man 2 close_range`, `CLOSE_RANGE_UNSHARE`) or the direct descriptors of its io_uring.
    PerShard,
}
