//! How many publishes each topic has seen: what all members of a run are measured by.
//!
//! The publisher of a topic raises its number before it sends, and a member reads the number after its join
//! was confirmed; [`account`](crate::account) says why that makes expectations exact.
//!
//! Where several machines are one crowd, each topic has one that publishes to it, and on the others it is
//! *foreign*: there its number is the highest that anybody here has received, so never too high, and exact
//! from the gate on at which the owner tells the others.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

/// How many publishes each topic has seen, as far as this machine knows.
#[derive(Debug)]
pub(crate) struct Sent {
    topics: Box<[AtomicU32]>,
    total: AtomicU64,
    /// Of each topic, whether another machine publishes to it; empty where there is no other.
    foreign: Box<[bool]>,
    /// Whether other machines may be publishing.
    is_begun: AtomicBool,
}

impl Sent {
    /// Nothing is sent in any of `topics`, all of which are this machine's.
    pub(crate) fn new(topics: u32) -> Self {
        Self {
            topics: (0..topics).map(|_| AtomicU32::new(0)).collect(),
            total: AtomicU64::new(0),
            foreign: Box::default(),
            is_begun: AtomicBool::new(false),
        }
    }

    /// The same where only the topics `own` are this machine's.
    pub(crate) fn with_own(topics: u32, own: impl Iterator<Item = u32>) -> Self {
        let mut foreign = vec![true; topics as usize];
        for topic in own {
            if let Some(is_foreign) = foreign.get_mut(topic as usize) {
                *is_foreign = false;
            }
        }
        Self {
            foreign: foreign.into(),
            ..Self::new(topics)
        }
    }

    /// The last publish of a topic; 0 before the first, and for a topic that does not exist.
    pub(crate) fn last(&self, topic: u32) -> u32 {
        self.topics
            .get(topic as usize)
            .map_or(0, |last| last.load(SeqCst))
    }

    /// Announces the next publish of a topic and returns its number. Only the topic's publisher
    /// may call this.
    pub(crate) fn announce(&self, topic: u32) -> u32 {
        let last = self.topics[topic as usize].fetch_add(1, SeqCst);
        // After the topic, so that whoever counts for a total knows all publishes that are in it.
        self.total.fetch_add(1, SeqCst);
        last + 1
    }

    /// Publishes over all topics.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(SeqCst)
    }

    /// Whether another machine publishes to this topic.
    pub(crate) fn is_foreign(&self, topic: u32) -> bool {
        self.foreign.get(topic as usize).copied().unwrap_or(false)
    }

    /// Takes note that publish `number` of a foreign topic was sent.
    pub(crate) fn hear(&self, topic: u32, number: u32) {
        let Some(last) = self
            .topics
            .get(topic as usize)
            .filter(|_| self.is_foreign(topic))
        else {
            return;
        };
        let before = last.fetch_max(number, SeqCst);
        if number > before {
            self.total.fetch_add(u64::from(number - before), SeqCst);
        }
    }

    /// From now on other machines may publish, and their numbers are no longer known exactly.
    pub(crate) fn begin(&self) {
        self.is_begun.store(true, SeqCst);
    }

    /// Whether it is known how many publishes a topic has seen: who joins now can tell what to expect.
    pub(crate) fn is_known(&self, topic: u32) -> bool {
        !self.is_foreign(topic) || !self.is_begun.load(SeqCst)
    }

    /// This machine's topics that have seen other publishes than was `told` of each, and how many; they are told
    /// now.
    pub(crate) fn untold(&self, told: &mut Vec<u32>) -> Vec<(u32, u32)> {
        told.resize(self.topics.len(), 0);
        let all = (0..).zip(self.topics.iter().zip(told));
        let own = all.filter(|&(topic, _)| !self.is_foreign(topic));
        let lasts = own.filter_map(|(topic, (last, told))| {
            let last = last.load(SeqCst);
            (std::mem::replace(told, last) != last).then_some((topic, last))
        });
        lasts.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_total_has_no_publish_that_its_topic_has_not() {
        let sent = Sent::new(1);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                for _ in 0..1_000_000 {
                    let total = sent.total();
                    assert!(u64::from(sent.last(0)) >= total);
                }
            });
            while !reader.is_finished() {
                sent.announce(0);
            }
        });
    }

    #[test]
    fn publishes_are_numbered_from_one_in_each_topic() {
        let sent = Sent::new(2);
        assert_eq!((sent.last(0), sent.last(7)), (0, 0));
        assert_eq!(
            (sent.announce(0), sent.announce(0), sent.announce(1)),
            (1, 2, 1)
        );
        assert_eq!((sent.last(0), sent.last(1), sent.total()), (2, 1, 3));
        let mut told = Vec::new();
        assert_eq!(sent.untold(&mut told), [(0, 2), (1, 1)]);
        assert_eq!(sent.untold(&mut told), []);
        sent.announce(1);
        assert_eq!(sent.untold(&mut told), [(1, 2)]);
        assert!(sent.is_known(0) && !sent.is_foreign(0));
    }

    #[test]
    fn of_a_foreign_topic_the_highest_number_that_was_heard_counts() {
        let sent = Sent::with_own(3, [1].into_iter());
        assert!(sent.is_known(0));
        sent.begin();
        assert!(sent.is_known(1) && !sent.is_known(0) && !sent.is_known(2));
        sent.hear(0, 5);
        sent.hear(0, 3);
        // Its own topics it knows better.
        sent.hear(1, 9);
        sent.hear(7, 9);
        sent.announce(1);
        let lasts = [0, 1, 2].map(|topic| sent.last(topic));
        assert_eq!((lasts, sent.total()), ([5, 1, 0], 6));
        assert_eq!(sent.untold(&mut Vec::new()), [(1, 1)]);
    }
}
