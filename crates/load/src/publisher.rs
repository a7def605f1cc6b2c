//! Who publishes when: one client per topic, in turns, an open loop.
//!
//! The shard that dials client `t`, on whichever machine, publishes to topic `t`. Its topics take turns within one
//! interval of the rate, so that many topics do not publish in the same instant. When the publisher
//! of a topic is gone, another member on the same shard takes over; members that other shards hold
//! do not, and what nobody is left to publish is reported as not sent.

use std::{collections::VecDeque, ops::RangeInclusive, time::Duration};

use engine::Time;

use crate::rate::Rate;

/// Publishes of one shard whose reply is waited for, 8 MiB; its topics share them alike.
const UNANSWERED_MAX: usize = 1 << 20;

/// The share of one topic, at least and at most; replies to older publishes are not measured.
const UNANSWERED_SHARE: RangeInclusive<usize> = 256..=65_536;

/// The place of a publish that was answered.
const ANSWERED: Time = Time::from_nanos(u64::MAX);

/// The publishers of one shard.
#[derive(Debug)]
pub(crate) struct Publishers {
    rate: Rate,
    start: Time,
    /// Publishes of each topic.
    rounds: u64,
    /// The time over which the topics of one round are spread.
    spread: Duration,
    /// One for each topic of the shard, in the order of the topics.
    topics: Vec<Publisher>,
    /// Publishes taken, over all topics in turns.
    taken: u64,
}

/// The publisher of one topic.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) topic: u32,
    /// The slot of the client that publishes.
    pub(crate) client: Option<u32>,
    /// Whether a search for another client has found none; there is none until somebody is back.
    pub(crate) is_forsaken: bool,
    unanswered: Unanswered,
}

/// The publishes of one client that have no reply yet.
#[derive(Debug)]
struct Unanswered {
    /// The number of the first entry of `dues`.
    first: u32,
    /// When each was meant to be sent, by number; [`ANSWERED`] once it has its reply.
    dues: VecDeque<Time>,
    dues_max: usize,
    /// Publishes that were forgotten while they had no reply.
    forgotten: u32,
}

/// What the reply to a publish is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It can be measured: this is when its publish was meant to be sent.
    Due(Time),
    /// More publishes than are remembered were sent since, so it cannot be measured.
    Forgotten,
    /// It answers nothing that is waited for.
    Strange,
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
    /// The publishers of a shard for its topics `own`, which go up, publishing at `rate` each from `start`
    /// on for the length of `hold`.
    pub(crate) fn new(rate: Rate, own: Vec<u32>, start: Time, hold: Duration) -> Self {
        debug_assert!(own.is_sorted(), "topics are found by halving");
        let share = (UNANSWERED_MAX / own.len().max(1))
            .clamp(*UNANSWERED_SHARE.start(), *UNANSWERED_SHARE.end());
        let own = own.into_iter();
        let topics: Vec<_> = own.map(|topic| Publisher::new(topic, share)).collect();
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

    /// The publishers of a shard for broadcasts to its topics `own`; each round is one of them.
    pub(crate) fn of_broadcasts(own: Vec<u32>) -> Self {
        let rate = Rate::per_second(1).expect("a constant in the range of rates");
        Self::new(rate, own, Time::ZERO, Duration::ZERO)
    }

    /// Lets each topic publish once, now.
    pub(crate) fn begin_round(&mut self, now: Time) {
        (self.start, self.taken, self.rounds) = (now, 0, 1);
        self.spread = Duration::ZERO;
    }

    /// Topics of this shard.
    pub(crate) fn count(&self) -> u64 {
        self.topics.len() as u64
    }

    /// Publishes that were asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.rounds * self.count()
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

    /// The publisher of a topic, if the topic is one of this shard's.
    pub(crate) fn of_topic(&mut self, topic: u32) -> Option<&mut Publisher> {
        let place = self.topics.binary_search_by_key(&topic, |one| one.topic);
        self.topics.get_mut(place.ok()?)
    }

    /// The publisher of a topic, if the client in slot `client` is it.
    pub(crate) fn of_client(&mut self, topic: u32, client: u32) -> Option<&mut Publisher> {
        let publisher = self.of_topic(topic)?;
        (publisher.client == Some(client)).then_some(publisher)
    }
}

impl Publisher {
    fn new(topic: u32, unanswered_max: usize) -> Self {
        Self {
            topic,
            client: None,
            is_forsaken: false,
            unanswered: Unanswered {
                first: 0,
                dues: VecDeque::new(),
                dues_max: unanswered_max,
                forgotten: 0,
            },
        }
    }

    /// Notes that publish `number` is sent and a reply may come. Numbers go up, one by one.
    pub(crate) fn expect_reply(&mut self, number: u32, due: Time) {
        self.unanswered.push(number, due);
    }

    /// Takes the office from its client, whose connection has ended, and returns the publishes that
    /// have no reply.
    pub(crate) fn dismiss(&mut self) -> impl Iterator<Item = u32> {
        self.client = None;
        let unanswered = &mut self.unanswered;
        unanswered.forgotten = 0;
        let dues = std::mem::take(&mut unanswered.dues);
        (unanswered.first..)
            .zip(dues)
            .filter(|&(_, due)| due != ANSWERED)
            .map(|(number, _)| number)
    }

    /// What the reply to publish `number` is good for, once.
    pub(crate) fn take_reply(&mut self, number: u32) -> Answer {
        self.unanswered.take(number)
    }
}

impl Unanswered {
    fn push(&mut self, number: u32, due: Time) {
        if self.first as usize + self.dues.len() != number as usize {
            debug_assert!(self.dues.is_empty(), "numbers go up, one by one");
            self.dues.clear();
            self.first = number;
        }
        if self.dues.len() == self.dues_max {
            // The first is never answered: see `take`.
            self.dues.pop_front();
            self.first += 1;
            self.forgotten += 1;
            self.trim();
        }
        self.dues.push_back(due);
    }

    fn take(&mut self, number: u32) -> Answer {
        let Some(place) = number.checked_sub(self.first) else {
            // Which ones were forgotten is not known, only how many.
            let is_forgotten = number > 0 && self.forgotten > 0;
            self.forgotten -= u32::from(is_forgotten);
            return if is_forgotten {
                Answer::Forgotten
            } else {
                Answer::Strange
            };
        };
        let Some(due) = self.dues.get_mut(place as usize) else {
            return Answer::Strange;
        };
        match std::mem::replace(due, ANSWERED) {
            ANSWERED => Answer::Strange,
            due => {
                self.trim();
                Answer::Due(due)
            }
        }
    }

    /// Lets go of the oldest as far as they are answered.
    fn trim(&mut self) {
        while self.dues.front() == Some(&ANSWERED) {
            self.dues.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publishers(rate: &str, topics: u32, shard: u16, shards: u16, hold_ms: u64) -> Publishers {
        let rate = rate.parse().expect("a rate");
        let hold = Duration::from_millis(hold_ms);
        let own = (u32::from(shard)..topics).step_by(shards.into()).collect();
        Publishers::new(rate, own, Time::ZERO, hold)
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
    fn each_round_publishes_once_to_every_topic_at_once() {
        let mut ours = Publishers::of_broadcasts(vec![1, 3]);
        assert_eq!(ours.peek(), None);
        for round in [100, 250] {
            ours.begin_round(Time::from_nanos(round * 1_000_000));
            assert_eq!(drain(&mut ours), [(1, round), (3, round)]);
        }
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
        assert!(publishers.of_client(3, 8).is_none());
        assert!(publishers.of_client(2, 7).is_none());
        let publisher = publishers
            .of_client(3, 7)
            .expect("client 7 publishes to topic 3");
        for number in 1..=3 {
            publisher.expect_reply(number, Time::from_nanos(number.into()));
        }
        let due = |nanos| Answer::Due(Time::from_nanos(nanos));
        assert_eq!(publisher.take_reply(2), due(2));
        assert_eq!(publisher.take_reply(2), Answer::Strange);
        assert_eq!(publisher.take_reply(1), due(1));
        assert_eq!(publisher.take_reply(1), Answer::Strange);
        assert_eq!(publisher.take_reply(4), Answer::Strange);
        assert_eq!(publisher.take_reply(3), due(3));

        for number in 4..=6 {
            publisher.expect_reply(number, Time::ZERO);
        }
        assert_eq!(publisher.take_reply(5), Answer::Due(Time::ZERO));
        assert_eq!(publisher.dismiss().collect::<Vec<_>>(), [4, 6]);
        assert_eq!(publisher.client, None);
        // A successor's publishes are its own, wherever they begin.
        publisher.expect_reply(9, Time::ZERO);
        assert_eq!(publisher.take_reply(6), Answer::Strange);
        assert_eq!(publisher.take_reply(9), Answer::Due(Time::ZERO));
    }

    #[test]
    fn the_slowest_replies_are_measured_up_to_the_limit() {
        let mut publishers = publishers("1000/s", 1, 0, 1, 100_000);
        let publisher = publishers.at(0);
        let most = *UNANSWERED_SHARE.end() as u32;
        for number in 1..=most {
            publisher.expect_reply(number, Time::from_nanos(number.into()));
        }
        assert_eq!(publisher.take_reply(1), Answer::Due(Time::from_nanos(1)));
        publisher.expect_reply(most + 1, Time::ZERO);
        publisher.expect_reply(most + 2, Time::ZERO);
        // 2 had to go. Its reply is known as such, and so is one more of that kind.
        assert_eq!(publisher.take_reply(2), Answer::Forgotten);
        assert_eq!(publisher.take_reply(2), Answer::Strange);
        assert_eq!(publisher.take_reply(3), Answer::Due(Time::from_nanos(3)));
    }

    #[test]
    fn many_topics_share_what_is_remembered() {
        let mut publishers = publishers("1/s", 1 << 14, 0, 2, 10_000);
        assert_eq!(publishers.at(0).unanswered.dues_max, 256);
        assert_eq!(
            self::publishers("1/s", 64, 0, 1, 9)
                .at(0)
                .unanswered
                .dues_max,
            16_384
        );
    }
}
