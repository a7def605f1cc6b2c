//! Which shards of a node have members of a topic: one table of bits for all of them, without locks.
//!
//! A row for each remainder of a topic's hash, in it a bit for each shard. A shard sets its bit when its
//! first topic of the row gets its first member, and clears it when the last topic of the row has lost
//! its last; nobody else writes that bit. A publish goes to the shards whose bits are set. Topics that
//! share a row make it go to a few shards too many, which find no member and do nothing; it never goes
//! to one too few.
//!
//! ```text
//! hash("room:a") ─► row 1717:  shard 0  1  2  3 … 63 │ 64 …      8 bytes for each 64 shards
//!                                    0  1  0  0 …  1 │  0
//! ```
//!
//! # Who sees what
//!
//! *A join that was acknowledged is never missed.* The bit is set in the same input that makes the reply,
//! and the reply leaves when the input has been handled. Whoever learns of the join, by the reply or by
//! anything that came of it, learns of it after the bit was set, over channels that order memory (a
//! mailbox, a socket); from there on every look at the bit sees it set, until the last member leaves.
//!
//! *What was written before a publish is seen after a join, or the publish is.* A fence stands between what
//! a publisher wrote and its look here, and another between a joiner's bit and what it reads. Of a
//! publisher who changes shared state and then looks, and a joiner who sets its bit and then reads that
//! state, at least one sees the other. It costs one fence per publish and one per first join.

use std::{
    collections::BTreeMap,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst, fence},
    },
};

use foldhash::quality::FixedState;

use crate::ShardIndex;

/// The interests of all shards of one node. Its size is fixed when it is made: [`Interest::bytes`].
pub struct Interest {
    /// Row after row.
    words: Box<[AtomicU64]>,
    /// How many words a row has. A node of one shard has nobody to tell, and no table.
    row_words: usize,
    /// Invariant: a power of two.
    rows_count: u32,
    shards_count: u16,
    hasher: FixedState,
}

/// What one shard has said in the table, and how to take it back.
#[derive(Debug)]
pub(crate) struct OwnInterest {
    shared: Arc<Interest>,
    shard: ShardIndex,
    /// Rows in which this shard has several topics, and how many beyond the first. That is rare, so
    /// one bit in the table is all that most topics cost.
    more: BTreeMap<Row, u32>,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row(u32);

impl Interest {
    /// A table for a node of this many shards, in which nobody has members yet.
    ///
    /// The seed decides which topics share a row. Take a random one, since clients choose the names of
    /// topics; a fixed one makes a test repeatable.
    pub fn new(shards_count: u16, seed: u64) -> Self {
        Self::with_rows(rows_count(shards_count), shards_count, seed)
    }

    fn with_rows(rows_count: u32, shards_count: u16, seed: u64) -> Self {
        let row_words = row_words(shards_count);
        let words = std::iter::repeat_with(|| AtomicU64::new(0));
        Self {
            words: words.take(rows_count as usize * row_words).collect(),
            row_words,
            rows_count,
            shards_count,
            hasher: FixedState::with_seed(seed),
        }
    }

    /// The memory of the table for a node of this many shards: 128 KiB for up to 8, 4 MiB for 65 to
    /// 128, at most 32 MiB for 1,024; nothing for one alone.
    pub const fn bytes(shards_count: u16) -> usize {
        rows_count(shards_count) as usize * row_words(shards_count) * size_of::<AtomicU64>()
    }

    /// The number of shards of the node.
    pub const fn shards_count(&self) -> u16 {
        self.shards_count
    }

    /// The shards that may have members of a topic, lowest first: all that have, and few that have not.
    /// Threads that are no shard post a [`Broadcast`](crate::Broadcast) to exactly these. A node of one
    /// shard names that shard, whatever the topic.
    pub fn shards<'a>(&'a self, topic: &str) -> impl Iterator<Item = ShardIndex> + use<'a> {
        // What the publisher wrote before comes before this look, whatever it was written with.
        fence(SeqCst);
        let alone = (self.row_words == 0).then_some(ShardIndex(0));
        let words = self.row(self.row_of(topic)).iter().zip(0_u16..);
        let set = words.flat_map(|(word, number)| ones(word.load(SeqCst), number * WORD_SHARDS));
        alone.into_iter().chain(set)
    }

    fn row_of(&self, topic: &str) -> Row {
        Row(self.hasher.hash_one(topic) as u32 & (self.rows_count - 1))
    }

    fn row(&self, Row(row): Row) -> &[AtomicU64] {
        let start = row as usize * self.row_words;
        &self.words[start..start + self.row_words]
    }

    /// The word of a row in which a shard has its bit, and the bit.
    fn bit(&self, row: Row, shard: ShardIndex) -> Option<(&AtomicU64, u64)> {
        let word = self.row(row).get(usize::from(shard.0 / WORD_SHARDS))?;
        Some((word, 1 << (shard.0 % WORD_SHARDS)))
    }
}

impl OwnInterest {
    pub(crate) const fn new(shared: Arc<Interest>, shard: ShardIndex) -> Self {
        Self {
            shared,
            shard,
            more: BTreeMap::new(),
        }
    }

    /// A topic gets its first member on this shard.
    pub(crate) fn begin(&mut self, topic: &str) {
        let row = self.shared.row_of(topic);
        let Some((word, bit)) = self.shared.bit(row, self.shard) else {
            return;
        };
        if word.fetch_or(bit, SeqCst) & bit != 0 {
            *self.more.entry(row).or_insert(0) += 1;
        }
        // And the joiner's bit comes before what it reads next.
        fence(SeqCst);
    }

    /// A topic has lost its last member on this shard.
    pub(crate) fn end(&mut self, topic: &str) {
        let row = self.shared.row_of(topic);
        if let Some(more) = self.more.get_mut(&row) {
            *more -= 1;
            if *more == 0 {
                self.more.remove(&row);
            }
        } else if let Some((word, bit)) = self.shared.bit(row, self.shard) {
            word.fetch_and(!bit, SeqCst);
        }
    }

    /// An estimate: a tree does not say what it owns.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.more.len() * 2 * size_of::<(Row, u32)>()
    }

    /// Checks that this shard has a bit for each of its topics, and knows which share one. For tests.
    pub(crate) fn invariants<'a>(&self, topics: impl Iterator<Item = &'a str>) {
        let mut counts = BTreeMap::new();
        for topic in topics {
            *counts.entry(self.shared.row_of(topic)).or_insert(0_u32) += 1;
        }
        if self.shared.row_words == 0 {
            return;
        }
        let more = counts.iter().filter(|(_, count)| **count > 1);
        let more: BTreeMap<_, _> = more.map(|(row, count)| (*row, count - 1)).collect();
        assert_eq!(self.more, more, "topics that share a row are counted");
        for row in counts.into_keys() {
            let (word, bit) = self.shared.bit(row, self.shard).expect("a shard has a bit");
            assert!(word.load(SeqCst) & bit != 0, "the bit of {row:?} is set");
        }
    }
}

/// The shards of the bits that are set, of which the lowest is `first`.
fn ones(mut word: u64, first: u16) -> impl Iterator<Item = ShardIndex> {
    std::iter::from_fn(move || {
        let lowest = (word != 0).then(|| word.trailing_zeros() as u16)?;
        word &= word - 1;
        Some(ShardIndex(first + lowest))
    })
}

/// Rows for a node of this many shards, a power of two. A shard more is there because more connections
/// are, which have more topics; so rows grow with shards, until the table would be dear.
const fn rows_count(shards_count: u16) -> u32 {
    let wanted = (shards_count as u32 * ROWS_PER_SHARD).next_power_of_two();
    if wanted < ROWS_MIN {
        ROWS_MIN
    } else if wanted > ROWS_MAX {
        ROWS_MAX
    } else {
        wanted
    }
}

const fn row_words(shards_count: u16) -> usize {
    if shards_count > 1 {
        shards_count.div_ceil(WORD_SHARDS) as usize
    } else {
        0
    }
}

/// Shards whose bits are in one word.
const WORD_SHARDS: u16 = 64;

const ROWS_PER_SHARD: u32 = 2_048;
const ROWS_MIN: u32 = 1 << 14;
const ROWS_MAX: u32 = 1 << 18;

impl fmt::Debug for Interest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Interest")
            .field("shards_count", &self.shards_count)
            .field("rows_count", &self.rows_count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn shards(interest: &Interest, topic: &str) -> Vec<u16> {
        interest.shards(topic).map(|shard| shard.0).collect()
    }

    #[test]
    fn shards_are_named_in_order_from_the_first_word_to_the_last() {
        let interest = Arc::new(Interest::new(200, 7));
        let mut own: Vec<_> = [199, 0, 64, 63, 128]
            .map(|shard| OwnInterest::new(Arc::clone(&interest), ShardIndex(shard)))
            .into();
        own.iter_mut().for_each(|own| own.begin("room:a"));
        assert_eq!(shards(&interest, "room:a"), [0, 63, 64, 128, 199]);
        own[2].end("room:a");
        assert_eq!(shards(&interest, "room:a"), [0, 63, 128, 199]);
    }

    #[test]
    fn a_shard_alone_owns_no_table_and_is_always_named() {
        let interest = Arc::new(Interest::new(1, 7));
        assert_eq!((interest.words.len(), Interest::bytes(1)), (0, 0));
        let mut own = OwnInterest::new(Arc::clone(&interest), ShardIndex(0));
        assert_eq!(shards(&interest, "room:a"), [0]);
        own.begin("room:a");
        own.end("room:a");
        assert_eq!(shards(&interest, "room:a"), [0]);
    }

    #[test]
    fn the_size_is_as_documented() {
        for (shards_count, bytes) in [
            (2, 128 << 10),
            (8, 128 << 10),
            (65, 4 << 20),
            (110, 4 << 20),
            (128, 4 << 20),
            (1024, 32 << 20),
        ] {
            assert_eq!(Interest::bytes(shards_count), bytes, "{shards_count}");
            let interest = Interest::new(shards_count, 0);
            assert_eq!(size_of_val(&*interest.words), bytes, "{shards_count}");
        }
        let most = (1..=1024).map(Interest::bytes).max();
        assert_eq!(most, Some(32 << 20));
    }

    #[test]
    fn bits_of_one_word_are_changed_by_many_threads_and_none_is_lost() {
        const SHARDS: u16 = 8;
        let interest = Arc::new(Interest::new(SHARDS, 7));
        std::thread::scope(|scope| {
            for shard in 0..SHARDS {
                let mut own = OwnInterest::new(Arc::clone(&interest), ShardIndex(shard));
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        own.begin("room:a");
                        assert!(shards(&own.shared, "room:a").contains(&shard));
                        own.end("room:a");
                        assert!(!shards(&own.shared, "room:a").contains(&shard));
                    }
                    own.begin("room:a");
                });
            }
        });
        let all: Vec<_> = (0..SHARDS).collect();
        assert_eq!(shards(&interest, "room:a"), all);
    }

    proptest! {
        #[test]
        fn a_shard_is_named_as_long_as_it_has_a_topic_of_the_row(
            seed in any::<u64>(),
            steps in prop::collection::vec((0_u32..40, 0_usize..3, any::<bool>()), 1..300),
        ) {
            // So few rows that topics share them.
            let interest = Arc::new(Interest::with_rows(16, 3, seed));
            let own = |shard| OwnInterest::new(Arc::clone(&interest), ShardIndex(shard));
            let mut own = [own(0), own(1), own(2)];
            let mut model = [const { BTreeSet::new() }; 3];
            for (number, shard, is_there) in steps {
                let topic = number.to_string();
                match is_there {
                    true if model[shard].insert(topic.clone()) => own[shard].begin(&topic),
                    false if model[shard].remove(&topic) => own[shard].end(&topic),
                    _ => {}
                }
                let row = interest.row_of(&topic);
                let has = |topics: &BTreeSet<String>| {
                    topics.iter().any(|other| interest.row_of(other) == row)
                };
                let expected = (0..3).filter(|shard| has(&model[usize::from(*shard)]));
                prop_assert_eq!(shards(&interest, &topic), expected.collect::<Vec<_>>());
            }
            for (own, topics) in own.iter_mut().zip(&model) {
                own.invariants(topics.iter().map(String::as_str));
                topics.iter().for_each(|topic| own.end(topic));
                prop_assert!(own.more.is_empty());
            }
            prop_assert!(interest.words.iter().all(|word| word.load(SeqCst) == 0));
        }
    }
}
