//! When each publish had arrived for the last time, so that shards can agree on the last of all.

use std::time::Duration;

use crate::latency::Latency;

/// The time from a publish's intended sending to its last delivery on one shard, for each publish.
///
/// A shard does not know when others deliver, so the last of all is found when the results are
/// merged: it is the latest of the shards' last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    /// By topic, then by publish number − 1; 0 is "never", 1 is "within the first microsecond".
    micros: Vec<Vec<u32>>,
    kept: usize,
}

impl Arrivals {
    /// Publishes that one shard keeps, 4 MiB; later ones do not enter the measure.
    const KEPT_MAX: usize = 1 << 20;

    /// Notes that publish `number` of `topic` arrived `latency` after its intended sending.
    pub(crate) fn record(&mut self, topic: u32, number: u32, latency: Duration) {
        let (topic, place) = (topic as usize, number.saturating_sub(1) as usize);
        let known = self.micros.get(topic).map_or(0, Vec::len);
        if place >= known {
            if self.kept + (place - known) >= Self::KEPT_MAX {
                return;
            }
            self.kept += place - known + 1;
            if topic >= self.micros.len() {
                self.micros.resize_with(topic + 1, Vec::new);
            }
            self.micros[topic].resize(place + 1, 0);
        }
        let micros = u32::try_from(latency.as_micros())
            .unwrap_or(u32::MAX)
            .max(1);
        let last = &mut self.micros[topic][place];
        *last = micros.max(*last);
    }

    /// Takes the later of both for each publish.
    pub(crate) fn merge(&mut self, other: Self) {
        if other.micros.len() > self.micros.len() {
            self.micros.resize_with(other.micros.len(), Vec::new);
        }
        for (mine, theirs) in self.micros.iter_mut().zip(other.micros) {
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
        for &micros in self.micros.iter().flatten().filter(|&&micros| micros > 0) {
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
        one.record(0, 1, 3 * MS);
        one.record(0, 1, 2 * MS);
        one.record(0, 2, 9 * MS);
        two.record(0, 1, 5 * MS);
        two.record(3, 7, MS);
        one.merge(two);
        let seen = one.latency().percentiles();
        assert_eq!(seen.count, 3);
        assert!(seen.max_us.abs_diff(9_000) < 10, "{seen:?}");
        assert!(seen.p50_us.abs_diff(5_000) < 10, "{seen:?}");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut arrivals = Arrivals::default();
        arrivals.record(0, u32::MAX, MS);
        arrivals.record(1, Arrivals::KEPT_MAX as u32, MS);
        arrivals.record(0, 1, MS);
        assert_eq!(arrivals.kept, Arrivals::KEPT_MAX);
        assert_eq!(arrivals.latency().percentiles().count, 1);
        arrivals.record(1, Arrivals::KEPT_MAX as u32, MS);
        assert_eq!(arrivals.latency().percentiles().count, 1);
    }
}
