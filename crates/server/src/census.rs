//! A look through a shard's tables, a slice at a time: who has the fullest outboxes, which topics have most
//! members, which addresses most connections. Its cost is bounded by how often it is asked for, not by how
//! many people look at the result.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use engine::{ConnId, Io, Time, View};
use hub::{Busiest, Frequent, Hub, Socket};

use crate::shard::ShardMail;

/// Places of the table of connections in a slice.
const CONNS_PER_SLICE: u32 = 4_096;
/// Places of the table of topics in a slice.
const TOPICS_PER_SLICE: u32 = 1_024;
/// How many are listed of what there is most.
const LISTED_MAX: usize = 100;

/// Where a shard's census stands.
#[derive(Debug, Default)]
pub(crate) struct Census {
    next_conn: u32,
    next_topic: u32,
    began: Option<Time>,
    found: Found,
}

/// One whole look. Connections that came or went meanwhile are in it or not.
#[derive(Debug)]
pub(crate) struct Pass {
    /// When its last slice was looked through.
    pub(crate) ended: Instant,
    /// How long it took from its first slice to then.
    pub(crate) took: Duration,
    pub(crate) topics_count: u64,
    /// Connections with most to write, the fullest first.
    pub(crate) slowest: Vec<(hub::ConnId, View)>,
    /// Topics with most members on this shard, the largest first.
    pub(crate) largest: Vec<(String, usize)>,
    /// Addresses with most connections, in no order.
    pub(crate) addresses: Vec<Frequent<IpAddr>>,
}

/// What a look has found so far.
#[derive(Debug, Default)]
struct Found {
    topics_count: u64,
    slowest: Top<(hub::ConnId, View)>,
    largest: Top<String>,
    addresses: Busiest<IpAddr>,
}

/// The largest of many, kept in a list that is never longer than twice [`LISTED_MAX`].
#[derive(Debug)]
struct Top<T> {
    list: Vec<(u64, T)>,
    /// What is smaller cannot be among the largest any more.
    least: u64,
}

impl Census {
    /// Looks through one slice; returns the whole when that was the last.
    pub(crate) fn step<S: Socket>(&mut self, hub: &Hub<S>, io: &Io<'_, ShardMail>) -> Option<Pass> {
        let began = *self.began.get_or_insert_with(|| io.now());
        let conns = self.next_conn..self.next_conn.saturating_add(CONNS_PER_SLICE);
        self.next_conn = conns.end;
        for (conn, view) in io.views(conns).filter(|(_, view)| view.is_open) {
            self.found.add_conn(conn, view);
        }
        let topics = self.next_topic..self.next_topic.saturating_add(TOPICS_PER_SLICE);
        self.next_topic = topics.end;
        for (topic, members) in hub.topics_at(topics) {
            self.found.topics_count += 1;
            self.found.largest.add(members as u64, || topic.to_owned());
        }
        let is_over =
            self.next_conn >= io.places_count() && self.next_topic >= hub.topic_places_count();
        is_over.then(|| std::mem::take(self).found.end(io.now().since(began)))
    }
}

impl Found {
    fn add_conn(&mut self, conn: ConnId, view: View) {
        self.addresses.record(&view.peer.ip(), 1);
        if view.outbox_bytes > 0 {
            let conn = crate::shard::to_hub(conn);
            self.slowest.add(view.outbox_bytes.into(), || (conn, view));
        }
    }

    fn end(mut self, took: Duration) -> Pass {
        let members = |(members, topic): (u64, String)| (topic, members as usize);
        Pass {
            ended: Instant::now(),
            took,
            topics_count: self.topics_count,
            slowest: self.slowest.end().map(|(_, slow)| slow).collect(),
            largest: self.largest.end().map(members).collect(),
            addresses: self.addresses.take(),
        }
    }
}

impl<T> Top<T> {
    fn add(&mut self, size: u64, item: impl FnOnce() -> T) {
        if size < self.least {
            return;
        }
        self.list.push((size, item()));
        if self.list.len() >= 2 * LISTED_MAX {
            self.cut();
            self.least = self.list.last().map_or(0, |(size, _)| *size);
        }
    }

    fn cut(&mut self) {
        self.list.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        self.list.truncate(LISTED_MAX);
    }

    fn end(mut self) -> impl Iterator<Item = (u64, T)> {
        self.cut();
        self.list.into_iter()
    }
}

impl<T> Default for Top<T> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            least: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_largest_are_found_among_any(sizes in prop::collection::vec(0_u64..10_000, 0..2_000)) {
            let mut top = Top::default();
            sizes.iter().for_each(|size| top.add(*size, || ()));
            prop_assert!(top.list.len() < 2 * LISTED_MAX);
            let found: Vec<_> = top.end().map(|(size, ())| size).collect();
            let mut expected = sizes;
            expected.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
            expected.truncate(LISTED_MAX);
            prop_assert_eq!(found, expected);
        }
    }
}
