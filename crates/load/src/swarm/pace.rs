//! How often a shard does what need not be punctual.
//!
//! A thread that wakes up costs some microseconds whether it finds something to do or not. Two shards
//! may look a thousand times a second; a hundred of them on two cores may not. So the times grow with
//! the number of shards, and all shards together look about as often as a few would. What comes from
//! the network wakes a shard in any case.

use std::time::Duration;

use super::Plan;

/// Shards up to which the times are the shortest.
const SHARDS_FEW: u32 = 8;

/// The times between looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Between dials that wait for room: 1 ms.
    pub(super) dial: Duration,
    /// Between heartbeats, which go out together: 10 ms.
    pub(super) beat: Duration,
    /// Between any two ticks at most, which is the age of the gauges: 100 ms, and never over 1 s.
    pub(super) tick_max: Duration,
    /// Between looks at joins that are late: 250 ms, and never over 2 s.
    pub(super) joins: Duration,
    /// Between counts of those who still wait for something: 50 ms, and a microsecond for each
    /// connection of the run.
    pub(super) count: Duration,
}

impl Plan {
    /// The times of this run's shards.
    pub(super) fn pace(&self) -> Pace {
        let times = u32::from(self.shards).div_ceil(SHARDS_FEW).max(1);
        let each = Duration::from_micros(1);
        Pace {
            dial: Duration::from_millis(1) * times,
            beat: Duration::from_millis(10) * times,
            tick_max: (Duration::from_millis(100) * times).min(Duration::from_secs(1)),
            joins: (Duration::from_millis(250) * times).min(Duration::from_secs(2)),
            count: Duration::from_millis(50) + each * self.options.connections,
        }
    }
}
