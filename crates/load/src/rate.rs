//! How often something happens: `5000`, `10/s`, `5/min`, `1/h`.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;

/// A whole number of events per second, minute or hour, spread evenly.
///
/// Event `i` (from 0) happens `i × period / count` after the start, so no error adds up over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events per period, 1 to [`Rate::COUNT_MAX`].
    count: u32,
    /// Seconds: 1, 60 or 3600, or as many as others share the rate.
    period_secs: u32,
}

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not a rate: expected a whole number from 1 to {max}, alone (per second) or with \
     /s, /min or /h",
    max = capacity::Grouped(u64::from(Rate::COUNT_MAX))
)]
pub struct RateError {
    text: String,
}

impl Rate {
    /// The most events per period.
    pub const COUNT_MAX: u32 = 100_000_000;

    /// `count` events per second; `None` when it is out of range.
    pub fn per_second(count: u32) -> Option<Self> {
        (1..=Self::COUNT_MAX).contains(&count).then_some(Self {
            count,
            period_secs: 1,
        })
    }

    /// `count` events per second that `among` do alike: how often each does; `None` when one of both is out
    /// of range. What divides evenly is per second again.
    pub(crate) fn spread(count: u32, among: u32) -> Option<Self> {
        let whole = Self::per_second(count)?;
        let among = among.min(Self::COUNT_MAX);
        match (among, count.checked_rem(among)) {
            (_, Some(0)) => Self::per_second(count / among),
            (1.., _) => Some(Self {
                period_secs: among,
                ..whole
            }),
            _ => None,
        }
    }

    /// When event `index` happens, counted from the start.
    pub fn time_of(self, index: u64) -> Duration {
        let period_nanos = u128::from(self.period_secs) * 1_000_000_000;
        let nanos = u128::from(index) * period_nanos / u128::from(self.count);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The time between two events, rounded down to whole nanoseconds.
    pub fn interval(self) -> Duration {
        self.time_of(1)
    }

    /// How many events happen before `elapsed`, that is at times in `[0, elapsed)`.
    pub fn count_before(self, elapsed: Duration) -> u64 {
        let period_nanos = u128::from(self.period_secs) * 1_000_000_000;
        // time_of rounds down to whole nanoseconds, so the event at ⌊i·p/c⌋ lies before `elapsed`
        // exactly when i·p < elapsed·c, with `elapsed` a whole number of nanoseconds.
        let events = (elapsed.as_nanos() * u128::from(self.count)).div_ceil(period_nanos);
        u64::try_from(events).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, unit) = text.split_once('/').unwrap_or((text, "s"));
        let period_secs = match unit.trim() {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            _ => {
                return Err(RateError {
                    text: text.to_owned(),
                });
            }
        };
        match count.trim().parse() {
            Ok(count) if (1..=Self::COUNT_MAX).contains(&count) => Ok(Self { count, period_secs }),
            _ => Err(RateError {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count;
        match self.period_secs {
            1 => write!(f, "{count}/s"),
            60 => write!(f, "{count}/min"),
            3600 => write!(f, "{count}/h"),
            seconds => write!(f, "{count} in {seconds} s"),
        }
    }
}

/// How many that is per second, rounded down, when `count` happened within `time`; 0 for no time.
pub(crate) fn per_second(count: u64, time: Duration) -> u64 {
    let second = u128::from(count) * Duration::from_secs(1).as_nanos();
    let per_second = second.checked_div(time.as_nanos()).unwrap_or(0);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect(text)
    }

    #[test]
    fn the_documented_forms() {
        assert_eq!(
            rate("5000"),
            Rate {
                count: 5000,
                period_secs: 1
            }
        );
        assert_eq!(rate("1/s").interval(), Duration::from_secs(1));
        assert_eq!(rate("5/min").interval(), Duration::from_secs(12));
        assert_eq!(rate("1/h").interval(), Duration::from_secs(3600));
        for text in [
            "",
            "0",
            "-1",
            "1.5",
            "1/",
            "1/day",
            "x/s",
            "100000001",
            "1/s/s",
        ] {
            let error = text.parse::<Rate>().expect_err(text);
            assert!(
                error.to_string().contains("expected a whole number from 1"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_happened_in_a_time_is_told_per_second() {
        assert_eq!(per_second(1_001, Duration::from_millis(2_000)), 500);
        assert_eq!(per_second(3, Duration::from_nanos(500)), 6_000_000);
        assert_eq!(per_second(7, Duration::ZERO), 0);
        assert_eq!(per_second(u64::MAX, Duration::from_millis(1)), u64::MAX);
    }

    #[test]
    fn thirds_of_a_second_do_not_drift() {
        let rate = rate("3/s");
        assert_eq!(rate.time_of(1), Duration::from_nanos(333_333_333));
        assert_eq!(rate.time_of(3_000_000), Duration::from_secs(1_000_000));
    }

    proptest! {
        #[test]
        fn counting_and_timing_agree(
            count in 1..=Rate::COUNT_MAX,
            period_secs in prop_oneof![Just(1_u32), Just(60), Just(3600)],
            index in 0..10_000_000_u64,
        ) {
            let rate = Rate { count, period_secs };
            let time = rate.time_of(index);
            let after = time + Duration::from_nanos(1);
            prop_assert!(rate.count_before(after) > index);
            prop_assert!(rate.time_of(rate.count_before(time)) >= time);
            prop_assert!(rate.time_of(index + 1) >= time);
        }

        #[test]
        fn what_is_written_is_read_back(count in 1..=Rate::COUNT_MAX, unit in "(s|min|h)") {
            let text = format!("{count}/{unit}");
            prop_assert_eq!(rate(&text).to_string(), text);
        }
    }
}
