//! How full a limit is, and how fast it fills.

use std::{collections::HashMap, time::Duration};

use crate::{Bytes, Grouped, Limit, Unit};

/// From this share on a limit is used up.
const FULL_FROM: f64 = 0.98;

/// What fills in less than this is said to fill: an hour.
const SOON: Duration = Duration::from_secs(3_600);

/// A limit and what is used of it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// Which limit.
    pub limit: Limit,
    /// Of what: `descriptors`, `tuples from 10.0.0.7 to 10.0.0.1:4000`. Stays the same from one moment
    /// to the next.
    pub label: String,
    /// How much is used.
    pub used: u64,
    /// How much there may be; [`u64::MAX`] is "no limit".
    pub max: u64,
    /// From where on it hurts before it is full, if it does.
    pub knee: Option<u64>,
}

/// What gauges showed before, so that their rates can be told.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    last: HashMap<String, (Duration, u64)>,
}

/// A gauge with its rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Approach {
    /// The gauge.
    pub gauge: Gauge,
    /// How much more is used in a second; `None` at the first look.
    pub per_second: Option<f64>,
}

impl Gauge {
    /// The part that is used, 0 to 1 and more.
    pub fn share(&self) -> f64 {
        match self.max {
            u64::MAX => 0.0,
            max => self.used as f64 / (max as f64).max(1.0),
        }
    }

    /// A number of what it counts, for people.
    pub fn amount(&self, number: u64) -> String {
        match self.limit.unit() {
            Unit::Bytes => Bytes(number).to_string(),
            _ => Grouped(number).to_string(),
        }
    }

    /// Whether nothing is left, or so little that it comes and goes while one looks.
    pub fn is_full(&self) -> bool {
        self.share() >= FULL_FROM
    }

    /// Whether it hurts already.
    pub fn is_beyond_knee(&self) -> bool {
        self.knee.is_some_and(|knee| self.used > knee)
    }
}

impl Trend {
    /// Adds a look at `now`, a time since any fixed moment, and returns each gauge with its rate, the
    /// fullest first. What a look does not show is forgotten.
    pub fn look(&mut self, now: Duration, gauges: Vec<Gauge>) -> Vec<Approach> {
        let mut next = HashMap::with_capacity(gauges.len());
        let mut approaches: Vec<_> = gauges
            .into_iter()
            .map(|gauge| {
                let before = self.last.get(&gauge.label);
                let per_second = before.and_then(|&(then, used)| {
                    let seconds = now.saturating_sub(then).as_secs_f64();
                    (seconds > 0.0).then(|| (gauge.used as f64 - used as f64) / seconds)
                });
                next.insert(gauge.label.clone(), (now, gauge.used));
                Approach { gauge, per_second }
            })
            .collect();
        self.last = next;
        approaches.sort_by(|a, b| b.gauge.share().total_cmp(&a.gauge.share()));
        approaches
    }
}

/// Rates below this are shown as standing still: less than one more in ten seconds.
const RATE_MIN: f64 = 0.1;

impl Approach {
    /// What is used of how much, how fast it grows, and when it is full at that rate.
    pub fn measure(&self) -> String {
        let gauge = &self.gauge;
        let mut text = match gauge.max {
            u64::MAX => format!("{}, no limit", gauge.amount(gauge.used)),
            max => format!("{} of {}", gauge.amount(gauge.used), gauge.amount(max)),
        };
        if let Some(rate) = self.per_second.filter(|rate| rate.abs() >= RATE_MIN) {
            let sign = if rate < 0.0 { '-' } else { '+' };
            text += &format!(", {sign}{}/s", gauge.amount(rate.abs().round() as u64));
        }
        if gauge.is_full() {
            text += ", FULL";
        } else if let Some(time) = self.full_in().filter(|time| *time <= SOON) {
            text += &format!(", full in {:.0} s", time.as_secs_f64().ceil());
        }
        text
    }

    /// When it will be full at this rate; `None` if it does not fill, or has no limit.
    pub fn full_in(&self) -> Option<Duration> {
        if self.gauge.max == u64::MAX {
            return None;
        }
        let left = self.gauge.max.saturating_sub(self.gauge.used) as f64;
        let per_second = self.per_second.filter(|rate| *rate > 0.0)?;
        Duration::try_from_secs_f64(left / per_second).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gauge(label: &str, used: u64, max: u64) -> Gauge {
        Gauge {
            limit: Limit::Tuples,
            label: label.to_owned(),
            used,
            max,
            knee: Some(max / 2),
        }
    }

    #[test]
    fn says_when_it_will_be_full() {
        let mut trend = Trend::default();
        let first = trend.look(
            Duration::from_secs(10),
            vec![gauge("tuples", 58_512, 64_512)],
        );
        assert_eq!((first[0].per_second, first[0].full_in()), (None, None));
        let second = trend.look(
            Duration::from_secs(12),
            vec![gauge("tuples", 59_512, 64_512)],
        );
        assert_eq!(second[0].per_second, Some(500.0));
        assert_eq!(second[0].full_in(), Some(Duration::from_secs(10)));
        assert_eq!(
            second[0].measure(),
            "59,512 of 64,512, +500/s, full in 10 s"
        );
        let third = trend.look(
            Duration::from_secs(13),
            vec![gauge("tuples", 59_000, 64_512)],
        );
        assert_eq!(third[0].full_in(), None, "it empties");
        assert!(third[0].gauge.is_beyond_knee() && !third[0].gauge.is_full());
    }

    #[test]
    fn the_fullest_comes_first_and_what_is_gone_is_forgotten() {
        let mut trend = Trend::default();
        let second = Duration::from_secs(1);
        let looks = trend.look(second, vec![gauge("a", 1, 10), gauge("b", 5, 10)]);
        assert_eq!(looks[0].gauge.label, "b");
        trend.look(2 * second, vec![gauge("a", 2, 10)]);
        let again = trend.look(3 * second, vec![gauge("b", 9, 10)]);
        assert_eq!(again[0].per_second, None);
    }

    #[test]
    fn what_has_no_limit_is_never_full() {
        let endless = gauge("files", 1 << 40, u64::MAX);
        assert!(!endless.is_full());
        assert_eq!(endless.share(), 0.0);
        let approach = Approach {
            gauge: endless,
            per_second: Some(1e9),
        };
        assert_eq!(approach.full_in(), None);
    }

    proptest! {
        #[test]
        fn no_numbers_panic(used: u64, max: u64, before: u64, seconds in 0..1_000_u64) {
            let mut trend = Trend::default();
            trend.look(Duration::ZERO, vec![gauge("x", before, max)]);
            let looks = trend.look(Duration::from_secs(seconds), vec![gauge("x", used, max)]);
            let _ = looks[0].full_in();
            prop_assert!(looks[0].gauge.share() >= 0.0);
        }
    }
}
