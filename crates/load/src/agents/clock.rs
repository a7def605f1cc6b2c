//! How far an agent's clock is from the coordinator's, so that all machines start at one instant.
//!
//! ```text
//! coordinator   ── sent ────────────────── back ──►
//!                     ╲                  ╱
//! agent         ──────── there ─────────────────►
//! ```
//!
//! The agent's `there` was somewhere between `sent` and `back`; in the middle is the best guess, which is wrong
//! by half of the way there and back at most. Of several round trips the shortest tells most (Cristian,
//! "Probabilistic clock synchronization", 1989). Both clocks only ever go on, and count from the beginning of
//! their session.

use std::time::Duration;

/// Round trips of one measurement.
pub(crate) const ROUND_TRIPS: usize = 9;

/// What is known of an agent's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// What the agent's clock shows when the coordinator's shows nothing, in nanoseconds.
    offset: i128,
    /// How wrong that can be.
    pub(crate) uncertainty: Duration,
}

impl Clock {
    /// What one round trip tells: when the question left, what the agent's clock was, and when the answer
    /// had come.
    pub(crate) fn of(sent: Duration, there: Duration, back: Duration) -> Self {
        let nanos = |time: Duration| time.as_nanos() as i128;
        let way = back.saturating_sub(sent);
        Self {
            offset: nanos(there) - nanos(sent) - nanos(way) / 2,
            uncertainty: (way + Duration::from_nanos(1)) / 2,
        }
    }

    /// The better of two.
    pub(crate) fn or(self, other: Self) -> Self {
        if other.uncertainty < self.uncertainty {
            other
        } else {
            self
        }
    }

    /// What the agent's clock shows when the coordinator's shows `time`.
    pub(crate) fn there(&self, time: Duration) -> Duration {
        let nanos = (time.as_nanos() as i128 + self.offset).max(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_shortest_way_tells_most() {
        let slow = Clock::of(10 * MS, 150 * MS, 30 * MS);
        let fast = Clock::of(40 * MS, 171 * MS, 42 * MS);
        assert_eq!((slow.uncertainty, fast.uncertainty), (10 * MS, MS));
        assert_eq!(slow.or(fast), fast);
        assert_eq!(fast.or(slow), fast);
        assert_eq!(fast.there(100 * MS), 230 * MS);
        // A clock that began later.
        let late = Clock::of(100 * MS, 20 * MS, 100 * MS);
        assert_eq!(late.there(150 * MS), 70 * MS);
        assert_eq!(late.there(10 * MS), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn the_truth_is_within_the_uncertainty(
            sent in 0..1_000_000_u64, out in 0..1_000_000_u64, home in 0..1_000_000_u64,
            ahead in 0..1_000_000_u64, later in 0..1_000_000_u64,
        ) {
            let nanos = Duration::from_nanos;
            let (left, reached) = (sent, sent + out);
            let clock = Clock::of(nanos(left), nanos(reached + ahead), nanos(reached + home));
            let told = clock.there(nanos(later));
            let truth = nanos(later + ahead);
            prop_assert!(told.abs_diff(truth) <= clock.uncertainty);
        }
    }
}
