//! Which connections of this shard listen to which name.
//!
//! A name is kept once, while anyone listens; an empty topic costs nothing. Members are kept apart
//! by serializer, so that a broadcast walks plain lists and looks at no connection.
//!
//! ```text
//! names: hash of name ─► TopicId          16 + len bytes of name, 5–10 of table
//! topics: TopicId ─► { name, v2, v1 }     48 bytes
//! v2, v1: [ConnId]                        8 bytes a member but the first; the member knows its place
//! ```

use std::{
    hash::{BuildHasher, Hash},
    num::NonZeroU32,
    sync::Arc,
};

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use proto::phoenix::Serializer;

use crate::{ConnId, blocks::Blocks, interest::OwnInterest, members::Members};

/// The topics of one shard that have members, or with another word the socket ids.
#[derive(Debug)]
pub(crate) struct Topics {
    names: HashTable<TopicId>,
    topics: Blocks<Topic>,
    /// Indices that were used and are free again. As long as any topic is left this keeps its
    /// peak, as the headers of empty blocks do: at most 9 bytes for each topic of the time when
    /// there were most.
    free: Vec<u32>,
    /// Seeded, because clients choose the names.
    hasher: RandomState,
    /// Where other shards learn which topics have members here; they need not know of socket ids.
    interest: Option<OwnInterest>,
}

/// The name of a topic with members; used again when they have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicId(NonZeroU32);

/// A name with members. Invariant: at least one.
#[derive(Debug)]
pub(crate) struct Topic {
    name: Arc<str>, // 16
    v2: Members,    // 24
    /// Few clients speak V1, so their list is elsewhere. Invariant: not empty.
    v1: Option<Box<Members>>, // 8
}

/// What a topic with members costs on a shard, without its name, its place in the table of names and
/// its members.
pub const TOPIC_BYTES: usize = 48;

/// Where a member is: what it must know to leave. 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) topic: TopicId,
    pub(crate) place: u32,
}

const _: () = assert!(size_of::<Option<Topic>>() == TOPIC_BYTES);
const _: () = assert!(size_of::<Option<Membership>>() == 8);

impl Topics {
    pub(crate) fn new(interest: Option<OwnInterest>) -> Self {
        Self {
            names: HashTable::new(),
            topics: Blocks::new(),
            free: Vec::new(),
            hasher: RandomState::default(),
            interest,
        }
    }

    /// Adds a member to the topic of this name, which must not have it yet.
    pub(crate) fn subscribe(
        &mut self,
        name: &Arc<str>,
        conn: ConnId,
        serializer: Serializer,
    ) -> Membership {
        let id = self.find(name).unwrap_or_else(|| self.add(name));
        let topic = self
            .topics
            .get_mut(id.index())
            .expect("the id was just found or made");
        Membership {
            topic: id,
            place: topic.add(conn, serializer),
        }
    }

    /// Removes a member, and names the one that took its place in the same list.
    pub(crate) fn unsubscribe(
        &mut self,
        membership: Membership,
        serializer: Serializer,
    ) -> Option<ConnId> {
        let topic = self.topics.get_mut(membership.topic.index())?;
        let moved = topic.remove(membership.place, serializer);
        if topic.is_empty() {
            self.forget(membership.topic);
        }
        moved
    }

    pub(crate) fn find(&self, name: &str) -> Option<TopicId> {
        let is_named = |id: &TopicId| self.topic(*id).is_some_and(|topic| &*topic.name == name);
        self.names.find(self.hash(name), is_named).copied()
    }

    pub(crate) fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(id.index())
    }

    /// The number of topics with members.
    pub(crate) const fn len(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TopicId, &Topic)> {
        self.topics
            .iter()
            .map(|(index, topic)| (TopicId::new(index), topic))
    }

    /// The topic at a place of the table, if one is there.
    pub(crate) fn at(&self, place: u32) -> Option<&Topic> {
        self.topics.get(place)
    }

    /// How many places the table has, taken or free.
    pub(crate) fn places_count(&self) -> u32 {
        self.topics.places_count()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let topics: usize = self
            .topics
            .iter()
            .map(|(_, topic)| topic.heap_bytes())
            .sum();
        topics
            + self.topics.heap_bytes()
            + self.names.allocation_size()
            + self.free.capacity() * size_of::<u32>()
            + self.interest.as_ref().map_or(0, OwnInterest::heap_bytes)
    }

    fn add(&mut self, name: &Arc<str>) -> TopicId {
        let index = self.free.pop().unwrap_or_else(|| {
            u32::try_from(self.topics.len()).expect("a shard has fewer topics than a u32 counts")
        });
        let topic = Topic {
            name: Arc::clone(name),
            v2: Members::default(),
            v1: None,
        };
        self.topics.insert(index, topic);
        let id = TopicId::new(index);
        let Self {
            names,
            topics,
            hasher,
            ..
        } = self;
        let hash = hash_name(hasher, name);
        names.insert_unique(hash, id, |id| hash_of(hasher, topics, *id));
        if let Some(interest) = &mut self.interest {
            interest.begin(name);
        }
        id
    }

    fn forget(&mut self, id: TopicId) {
        let Some(topic) = self.topics.remove(id.index()) else {
            return;
        };
        self.free.push(id.index());
        let hash = self.hash(&topic.name);
        if let Ok(entry) = self.names.find_entry(hash, |own| *own == id) {
            entry.remove();
        }
        if let Some(interest) = &mut self.interest {
            interest.end(&topic.name);
        }
        self.shrink();
    }

    /// Gives back the memory of a time with many more topics.
    fn shrink(&mut self) {
        let Self {
            names,
            topics,
            free,
            hasher,
            ..
        } = self;
        if names.capacity() > SHRINK_ABOVE && names.len() < names.capacity() / 8 {
            names.shrink_to(names.len() * 2, |id| hash_of(hasher, topics, *id));
        }
        if topics.len() == 0 {
            *free = Vec::new();
        }
    }

    fn hash(&self, name: &str) -> u64 {
        hash_name(&self.hasher, name)
    }

    /// Checks what the comments promise. For tests; visits everything.
    pub(crate) fn invariants(&self) {
        assert_eq!(self.names.len(), self.topics.len());
        if let Some(interest) = &self.interest {
            interest.invariants(self.iter().map(|(_, topic)| &**topic.name()));
        }
        for (id, topic) in self.iter() {
            assert_eq!(
                self.find(&topic.name),
                Some(id),
                "{} is found by its name",
                topic.name
            );
            assert!(!topic.is_empty(), "{} is empty", topic.name);
            let v1_is_used = topic.v1.as_ref().is_none_or(|v1| !v1.is_empty());
            assert!(v1_is_used, "{} keeps an empty list", topic.name);
            assert!(
                !self.free.contains(&id.index()),
                "{} is in use and free",
                topic.name
            );
        }
    }
}

impl Topic {
    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The members who speak a serializer, in order.
    pub(crate) fn members(&self, serializer: Serializer) -> &[ConnId] {
        match serializer {
            Serializer::V1 => self.v1.as_ref().map_or(&[], |v1| v1.as_slice()),
            Serializer::V2 => self.v2.as_slice(),
        }
    }

    pub(crate) fn members_count(&self) -> usize {
        self.members(Serializer::V1).len() + self.members(Serializer::V2).len()
    }

    const fn is_empty(&self) -> bool {
        self.v2.is_empty() && self.v1.is_none()
    }

    fn add(&mut self, conn: ConnId, serializer: Serializer) -> u32 {
        match serializer {
            Serializer::V1 => self.v1.get_or_insert_default().push(conn),
            Serializer::V2 => self.v2.push(conn),
        }
    }

    /// Removes a member, and names the one that took its place in the same list.
    fn remove(&mut self, place: u32, serializer: Serializer) -> Option<ConnId> {
        match serializer {
            Serializer::V1 => {
                let v1 = self.v1.as_mut()?;
                let moved = v1.remove(place);
                if v1.is_empty() {
                    self.v1 = None;
                }
                moved
            }
            Serializer::V2 => self.v2.remove(place),
        }
    }

    fn heap_bytes(&self) -> usize {
        let v1_bytes = |v1: &Members| size_of::<Members>() + v1.heap_bytes();
        let v1_bytes = self.v1.as_deref().map_or(0, v1_bytes);
        ARC_COUNTS_BYTES + self.name.len() + self.v2.heap_bytes() + v1_bytes
    }
}

impl TopicId {
    const fn new(index: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index))
    }

    const fn index(self) -> u32 {
        self.0.get() - 1
    }
}

fn hash_of(hasher: &RandomState, topics: &Blocks<Topic>, id: TopicId) -> u64 {
    topics
        .get(id.index())
        .map_or(0, |topic| hash_name(hasher, &topic.name))
}

fn hash_name(hasher: &RandomState, name: &str) -> u64 {
    let mut state = hasher.build_hasher();
    name.hash(&mut state);
    std::hash::Hasher::finish(&state)
}

/// The two counts in front of what an `Arc` holds.
const ARC_COUNTS_BYTES: usize = 16;

/// Below this many names a table is not worth shrinking.
const SHRINK_ABOVE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(index: u32) -> ConnId {
        ConnId {
            index,
            generation: 0,
        }
    }

    #[test]
    fn a_topic_lives_as_long_as_its_last_member() {
        let mut topics = Topics::new(None);
        let name: Arc<str> = "room:a".into();
        let first = topics.subscribe(&name, conn(1), Serializer::V2);
        let second = topics.subscribe(&name, conn(2), Serializer::V1);
        assert_eq!(first.topic, second.topic);
        topics.invariants();
        assert_eq!(topics.unsubscribe(first, Serializer::V2), None);
        assert!(topics.find("room:a").is_some());
        assert_eq!(topics.unsubscribe(second, Serializer::V1), None);
        assert_eq!((topics.find("room:a"), topics.len()), (None, 0));
        assert_eq!(Arc::strong_count(&name), 1);
        topics.invariants();
    }

    #[test]
    fn a_hundred_thousand_topics_leave_nothing_behind() {
        let mut topics = Topics::new(None);
        let memberships: Vec<_> = (0..100_000)
            .map(|index| {
                let name: Arc<str> = format!("user:{index}").into();
                topics.subscribe(&name, conn(index), Serializer::V2)
            })
            .collect();
        assert_eq!(topics.len(), 100_000);
        for membership in memberships {
            topics.unsubscribe(membership, Serializer::V2);
        }
        topics.invariants();
        assert!(topics.heap_bytes() < 64 * 1024, "{}", topics.heap_bytes());
    }

    #[test]
    fn indices_are_used_again() {
        let mut topics = Topics::new(None);
        let a = topics.subscribe(&"a".into(), conn(0), Serializer::V2);
        let b = topics.subscribe(&"b".into(), conn(0), Serializer::V2);
        topics.unsubscribe(a, Serializer::V2);
        let c = topics.subscribe(&"c".into(), conn(0), Serializer::V2);
        assert_eq!(c.topic, a.topic);
        let d = topics.subscribe(&"d".into(), conn(0), Serializer::V2);
        assert!(d.topic != a.topic && d.topic != b.topic);
        topics.invariants();
    }
}
