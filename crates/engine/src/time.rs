//! Time as the engine hands it out: monotonic, in nanoseconds, the same for all shards of a process.

use std::time::Duration;

/// A moment, in nanoseconds since the process's epoch. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    /// The epoch.
    pub const ZERO: Self = Self(0);

    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment as the coarse stamp that a connection keeps.
    pub(crate) const fn stamp(self) -> Stamp {
        Stamp((self.0 / Stamp::NANOS) as u32)
    }
}

/// A coarse moment in 10 ms steps, 4 bytes, that wraps after 497 days.
///
/// Ages are right as long as they stay below 248 days, far above any timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

impl Stamp {
    const NANOS: u64 = 10_000_000;

    /// How long before `now` this stamp was set, in whole steps.
    pub(crate) const fn age(self, now: Self) -> Duration {
        let steps = now.0.wrapping_sub(self.0);
        // A stamp from "the future" (another turn's clock) is no age at all.
        let steps = if steps > u32::MAX / 2 { 0 } else { steps };
        Duration::from_nanos(steps as u64 * Self::NANOS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_measures_across_its_own_wrap() {
        let wrap = u64::from(u32::MAX) * Stamp::NANOS;
        let before = Time::from_nanos(wrap - 5 * Stamp::NANOS).stamp();
        let after = Time::from_nanos(wrap + 6 * Stamp::NANOS).stamp();
        assert_eq!(before.age(after), Duration::from_millis(110));
        assert_eq!(after.age(before), Duration::ZERO);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Time::ZERO.since(Time::from_nanos(5)), Duration::ZERO);
        assert_eq!(
            Time::from_nanos(1).after(Duration::MAX),
            Time::from_nanos(u64::MAX)
        );
    }
}
