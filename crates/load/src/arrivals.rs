//! When each publish had arrived for the last time, so that shards can agree on the last of all.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// The time from a publish's intended sending to its last delivery on one shard, for each publish.
///
/// A shard does not know when others deliver, so the last of all is found when the results are
/// merged: it is the latest of the shards' last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Arrivals {
    /// By topic, of those that the shard has heard of, then by publish number − 1; 0 is "never", 1 is
    /// "nobody knows when": two machines' clocks differ by more than a delivery takes.
    micros: HashMap<u32, Vec<u32>>,
}

/// It has arrived, and nobody knows when.
const ARRIVED: u32 = 1;

impl Arrivals {
    /// Publishes of a run that are followed, 4 MiB on each shard. The topics share them alike, so
    /// that all shards follow the same ones, and each has one at least.
    const FOLLOWED_MAX: u32 = 1 << 20;

    /// Whether publish `number` of a topic is followed when there are `topics`.
    pub(crate) fn follow(topics: u32, number: u32) -> bool {
        number <= (Self::FOLLOWED_MAX / topics.max(1)).max(1)
    }

    /// Notes that publish `number` of `topic` arrived `latency` after its intended sending.
    pub(crate) fn record(&mut self, topics: u32, topic: u32, number: u32, latency: Duration) {
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        self.note(topics, topic, number, micros.max(ARRIVED + 1));
    }

    /// Notes that publish `number` of `topic`, which another machine has sent, arrived.
    pub(crate) fn record_foreign(&mut self, topics: u32, topic: u32, number: u32) {
        self.note(topics, topic, number, ARRIVED);
    }

    fn note(&mut self, topics: u32, topic: u32, number: u32, micros: u32) {
        if !Self::follow(topics, number) {
            return;
        }
        let arrived = self.micros.entry(topic).or_default();
        let place = number.saturating_sub(1) as usize;
        if place >= arrived.len() {
            arrived.resize(place + 1, 0);
        }
        arrived[place] = micros.max(arrived[place]);
    }

    /// Whether publish `number` of `topic` has arrived and is followed.
    pub(crate) fn include(&self, topic: u32, number: u32) -> bool {
        let topic = self.micros.get(&topic);
        let micros = topic.and_then(|micros| micros.get((number as usize).checked_sub(1)?));
        micros.is_some_and(|&micros| micros > 0)
    }

    /// Takes the later of both for each publish.
    pub(crate) fn merge(&mut self, other: Self) {
        for (topic, theirs) in other.micros {
            let mine = self.micros.entry(topic).or_default();
            if theirs.len() > mine.len() {
                mine.resize(theirs.len(), 0);
            }
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = theirs.max(*mine);
            }
        }
    }

    /// The last deliveries as a latency.
    pub(crate) fn latency(&self) -> Latency {
        let mut latency = Latency::new();
        let all = self.micros.values().flatten();
        for &micros in all.filter(|&&micros| micros > ARRIVED) {
            latency.record(Duration::from_micros(micros.into()));
        }
        latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_last_of_all_shards_counts() {
        let (mut one, mut two) = (Arrivals::default(), Arrivals::default());
        one.record(4, 0, 1, 3 * MS);
        one.record(4, 0, 1, 2 * MS);
        one.record(4, 0, 2, 9 * MS);
        two.record(4, 0, 1, 5 * MS);
        two.record(4, 3, 7, MS);
        one.merge(two);
        let seen = one.latency().percentiles();
        assert_eq!(seen.count, 3);
        assert!(seen.max_us.abs_diff(9_000) < 10, "{seen:?}");
        assert!(seen.p50_us.abs_diff(5_000) < 10, "{seen:?}");
    }

    #[test]
    fn what_came_from_another_machine_has_arrived_and_is_not_timed() {
        let (mut here, mut there) = (Arrivals::default(), Arrivals::default());
        there.record_foreign(1, 0, 1);
        there.record_foreign(1, 0, 2);
        assert!(there.include(0, 2));
        assert_eq!(there.latency().percentiles().count, 0);
        here.record(1, 0, 1, 3 * MS);
        there.merge(here);
        assert_eq!(there.latency().percentiles().count, 1);
        let text = serde_json::to_string(&there).expect("JSON");
        let read: Arrivals = serde_json::from_str(&text).expect("the same");
        assert_eq!(read.micros, there.micros);
    }

    #[test]
    fn a_shard_pays_for_the_topics_that_it_has_heard_of() {
        let mut shard = Arrivals::default();
        shard.record(1 << 21, (1 << 21) - 1, 1, MS);
        assert_eq!(shard.micros.len(), 1);
        let mut all = Arrivals::default();
        all.merge(shard);
        assert!(all.include((1 << 21) - 1, 1));
        assert_eq!(all.micros.len(), 1);
    }

    #[test]
    fn every_shard_follows_the_same_publishes_and_no_more() {
        for (topics, share) in [(1, 1 << 20), (4, 1 << 18), (3, 349_525), (1 << 22, 1)] {
            assert!(Arrivals::follow(topics, share));
            assert!(!Arrivals::follow(topics, share + 1));
        }
        // In whatever order a shard hears of them, it forgets the same ones.
        let mut shard = Arrivals::default();
        for number in [u32::MAX, (1 << 18) + 1, 1 << 18, 1] {
            shard.record(4, 2, number, MS);
        }
        assert_eq!(shard.micros[&2].len(), 1 << 18);
        assert_eq!(shard.latency().percentiles().count, 2);
    }
}
