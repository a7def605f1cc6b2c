//! What came of one broadcast: on a shard, and of all shards together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{latency::Latency, rate::per_second};

/// One shard's part in one broadcast; merged, all of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Publishes sent, one for each topic.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) duplicated: u64,
    /// Members that are there and do not have it.
    pub(crate) lost: u64,
    /// Members whose connection ended before they had it.
    pub(crate) dropped: u64,
    /// The time to the first delivery.
    pub(crate) first: Option<Duration>,
    pub(crate) last: Duration,
    pub(crate) delivery: Latency,
}

impl Tally {
    /// Notes a delivery, this long after its publish.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.received += 1;
        self.first = Some(self.first.map_or(latency, |first| first.min(latency)));
        self.last = self.last.max(latency);
        self.delivery.record(latency);
    }

    /// Notes a delivery from another machine, whose clock is not this one's.
    pub(crate) fn record_foreign(&mut self) {
        self.received += 1;
    }

    /// Adds another shard's part.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.duplicated += other.duplicated;
        self.lost += other.lost;
        self.dropped += other.dropped;
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.max(other.last);
        self.delivery.merge(&other.delivery);
    }
}

/// One broadcast of a run: a publish to every topic, and its deliveries. Times count from the publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Broadcast {
    /// Its number in the run, from 1.
    pub number: u32,
    /// Publishes that were sent, one for each topic that had a member to send it.
    pub sent: u64,
    /// Deliveries.
    pub received: u64,
    /// Members that did not have it when the wait for it was over, and were there.
    pub lost: u64,
    /// Members whose connection ended before they had it.
    pub dropped: u64,
    /// Deliveries beyond a member's first.
    pub duplicated: u64,
    /// To the first delivery; 0 without any.
    pub first_us: u64,
    /// To the delivery that completes the first half.
    pub median_us: u64,
    /// To the last delivery.
    pub last_us: u64,
    /// Deliveries per second, until the last; those on the publisher's machine alone.
    pub deliveries_per_second: u64,
    /// Deliveries whose time is known.
    #[serde(skip)]
    pub(crate) timed: u64,
}

impl Broadcast {
    pub(crate) fn new(number: u32, tally: &Tally) -> Self {
        Self {
            number,
            sent: tally.sent,
            received: tally.received,
            lost: tally.lost,
            dropped: tally.dropped,
            duplicated: tally.duplicated,
            first_us: micros(tally.first.unwrap_or_default()),
            median_us: tally.delivery.percentiles().p50_us,
            last_us: micros(tally.last),
            // Deliveries that no clock has measured are in no time.
            deliveries_per_second: per_second(tally.delivery.count(), tally.last),
            timed: tally.delivery.count(),
        }
    }
}

/// Deliveries per second of all broadcasts, counting the time of each until its last delivery.
pub(crate) fn deliveries_per_second(broadcasts: &[Broadcast]) -> u64 {
    let received = broadcasts.iter().map(|one| one.timed).sum();
    let micros = broadcasts.iter().map(|one| one.last_us).sum();
    per_second(received, Duration::from_micros(micros))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_first_of_all_is_first_and_the_last_of_all_is_last() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        for ms in [3, 4, 5] {
            one.record(ms * MS);
        }
        for ms in [2, 20] {
            two.record(ms * MS);
        }
        one.sent = 1;
        (two.lost, two.dropped, two.duplicated) = (1, 2, 3);
        one.merge(&two);
        one.merge(&Tally::default());
        let seen = Broadcast::new(7, &one);
        assert_eq!((seen.number, seen.sent, seen.received), (7, 1, 5));
        assert_eq!((seen.lost, seen.dropped, seen.duplicated), (1, 2, 3));
        assert_eq!((seen.first_us, seen.last_us), (2_000, 20_000));
        assert!(seen.median_us.abs_diff(4_000) < 10, "{seen:?}");
        assert_eq!(seen.deliveries_per_second, 250);
        assert_eq!(deliveries_per_second(&[seen, seen]), 250);
        assert_eq!(deliveries_per_second(&[]), 0);
    }

    #[test]
    fn a_broadcast_that_nobody_got_has_no_times() {
        let seen = Broadcast::new(1, &Tally::default());
        assert_eq!((seen.first_us, seen.last_us), (0, 0));
        assert_eq!(seen.deliveries_per_second, 0);
    }
}
