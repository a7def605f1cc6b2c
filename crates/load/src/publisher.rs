//! Who publishes when: one client per topic, in turns, an open loop.
//!
//! The shard that dials client `t` publishes to topic `t`. Its topics take turns within one
//! interval of the rate, so that many topics do not publish in the same instant.

use std::{collections::VecDeque, time::Duration};

use engine::Time;

use crate::rate::Rate;

/// Publishes whose reply is waited for, per topic; older ones are no longer measured.
const UNANSWERED_MAX: usize = 256;

/// The publishers of one shard.
#[derive(Debug)]
pub(crate) struct Publishers {
    rate: Rate,
    start: Time,
    /// Publishes of each topic.
    rounds: u64,
    /// The time over which the topics of one round are spread.
    spread: Duration,
    topics: Vec<Publisher>,
    /// Publishes taken, over all topics in turns.
    taken: u64,
}

/// The publisher of one topic.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    pub(crate) topic: u32,
    /// The slot of the client that publishes.
    pub(crate) client: Option<u32>,
    /// Whether a search for another client has found none; there will be none.
    pub(crate) is_forsaken: bool,
    /// Publishes without a reply: number and intended time, oldest first.
    unanswered: VecDeque<(u32, Time)>,
}

/// A publish whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DuePublish {
    /// The place of the publisher, for [`Publishers::at`].
    pub(crate) place: usize,
    /// When it is meant to be sent.
    pub(crate) due: Time,
}

impl Publishers {
    /// The publishers of shard `shard` of `shards` for `topics` topics, publishing at `rate` each
    /// from `start` on for the length of `hold`.
    pub(crate) fn new(
        rate: Rate,
        topics: u32,
        shard: u16,
        shards: u16,
        start: Time,
        hold: Duration,
    ) -> Self {
        let own = (u32::from(shard)..topics).step_by(usize::from(shards.max(1)));
        let topics: Vec<_> = own
            .map(|topic| Publisher {
                topic,
                ..Publisher::default()
            })
            .collect();
        let rounds = rate.count_before(hold);
        // The last round ends with the hold.
        let rest = hold.saturating_sub(rate.time_of(rounds.saturating_sub(1)));
        Self {
            rate,
            start,
            rounds,
            spread: rate.interval().min(rest),
            topics,
            taken: 0,
        }
    }

    /// Publishes that were asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.rounds * self.topics.len() as u64
    }

    /// The next publish, due or not; `None` when all are taken.
    pub(crate) fn peek(&self) -> Option<DuePublish> {
        if self.taken >= self.asked() {
            return None;
        }
        let topics = self.topics.len() as u64;
        let (round, place) = (self.taken / topics, self.taken % topics);
        let offset = self.spread.as_nanos() * u128::from(place) / u128::from(topics);
        let offset = Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX));
        let due = self.start.after(self.rate.time_of(round)).after(offset);
        Some(DuePublish {
            place: place as usize,
            due,
        })
    }

    /// Takes the publish that [`Publishers::peek`] showed.
    pub(crate) fn advance(&mut self) {
        self.taken += 1;
    }

    /// Gives up what is left.
    pub(crate) fn cancel(&mut self) {
        self.taken = u64::MAX;
    }

    /// The publisher at a place.
    pub(crate) fn at(&mut self, place: usize) -> &mut Publisher {
        &mut self.topics[place]
    }

    /// All publishers.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Publisher> {
        self.topics.iter_mut()
    }

    /// The publisher of a topic, if the client in slot `client` is it.
    pub(crate) fn of_client(
        &mut self,
        topic: u32,
        client: u32,
        shards: u16,
    ) -> Option<&mut Publisher> {
        let place = topic / u32::from(shards.max(1));
        let publisher = self.topics.get_mut(place as usize)?;
        (publisher.topic == topic && publisher.client == Some(client)).then_some(publisher)
    }
}

impl Publisher {
    /// Notes that publish `number` is sent and a reply may come.
    pub(crate) fn expect_reply(&mut self, number: u32, due: Time) {
        if self.unanswered.len() == UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((number, due));
    }

    /// The intended time of publish `number`, once.
    pub(crate) fn take_reply(&mut self, number: u32) -> Option<Time> {
        let place = self
            .unanswered
            .iter()
            .position(|&(other, _)| other == number)?;
        self.unanswered.remove(place).map(|(_, due)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publishers(rate: &str, topics: u32, shard: u16, shards: u16, hold_ms: u64) -> Publishers {
        let rate = rate.parse().expect("a rate");
        let hold = Duration::from_millis(hold_ms);
        Publishers::new(rate, topics, shard, shards, Time::ZERO, hold)
    }

    fn drain(publishers: &mut Publishers) -> Vec<(u32, u64)> {
        let mut dues = Vec::new();
        while let Some(next) = publishers.peek() {
            let topic = publishers.at(next.place).topic;
            dues.push((topic, next.due.as_nanos() / 1_000_000));
            publishers.advance();
        }
        dues
    }

    #[test]
    fn one_topic_publishes_at_the_rate_while_everything_is_held() {
        let mut publishers = publishers("4/s", 1, 0, 1, 1000);
        assert_eq!(publishers.asked(), 4);
        assert_eq!(
            drain(&mut publishers),
            [(0, 0), (0, 250), (0, 500), (0, 750)]
        );
    }

    #[test]
    fn topics_take_turns_and_end_with_the_hold() {
        let mut ours = publishers("1/s", 5, 1, 2, 2000);
        assert_eq!(drain(&mut ours), [(1, 0), (3, 500), (1, 1000), (3, 1500)]);
        // One publish an hour within ten seconds: the topics share these ten seconds.
        let mut ours = publishers("1/h", 2, 0, 1, 10_000);
        assert_eq!(drain(&mut ours), [(0, 0), (1, 5_000)]);
    }

    #[test]
    fn cancelled_has_nothing_left() {
        let mut publishers = publishers("1/s", 1, 0, 1, 10_000);
        publishers.cancel();
        assert_eq!(publishers.peek(), None);
    }

    #[test]
    fn replies_are_matched_once_and_only_for_the_publisher() {
        let mut publishers = publishers("1/s", 4, 1, 2, 10_000);
        publishers.at(1).client = Some(7);
        assert!(publishers.of_client(3, 8, 2).is_none());
        assert!(publishers.of_client(2, 7, 2).is_none());
        let publisher = publishers
            .of_client(3, 7, 2)
            .expect("client 7 publishes to topic 3");
        for number in 1..=300 {
            publisher.expect_reply(number, Time::from_nanos(number.into()));
        }
        assert_eq!(publisher.take_reply(44), None);
        assert_eq!(publisher.take_reply(45), Some(Time::from_nanos(45)));
        assert_eq!(publisher.take_reply(45), None);
        assert_eq!(publisher.take_reply(300), Some(Time::from_nanos(300)));
    }
}
