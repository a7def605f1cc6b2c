//! Latencies as histograms that merge exactly.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::timeline::Spectrum;

/// A histogram of durations from 1 µs to one hour, with three significant digits. It takes its
/// memory, up to 200 KiB, with the first duration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latency(Option<Box<Histogram<u64>>>);

/// The percentiles of a latency that a report shows, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// How many durations were measured; the others are 0 when this is.
    pub count: u64,
    /// Half of them are at most this.
    pub p50_us: u64,
    /// 90 % of them are at most this.
    pub p90_us: u64,
    /// 99 % of them are at most this.
    pub p99_us: u64,
    /// 99.9 % of them are at most this.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// A summary of durations in milliseconds, with the fields of Artillery's reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) median: f64,
    pub(crate) p75: f64,
    pub(crate) p90: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

impl Latency {
    const MIN_NANOS: u64 = 1_000;
    const MAX_NANOS: u64 = 3_600_000_000_000;

    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Counts one duration; more than an hour counts as an hour.
    pub(crate) fn record(&mut self, duration: Duration) {
        self.histogram()
            .saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds another shard's durations.
    pub(crate) fn merge(&mut self, other: &Self) {
        if let Some(other) = &other.0 {
            self.histogram()
                .add(&**other)
                .expect("all histograms have the same bounds");
        }
    }

    /// Takes what was measured so far, and measures from nothing.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// The same in less space.
    pub(crate) fn spectrum(&self) -> Spectrum {
        let Some(histogram) = &self.0 else {
            return Spectrum::default();
        };
        let counts = histogram.iter_recorded();
        let max = histogram.max();
        Spectrum::of(counts.map(|one| (one.value_iterated_to().min(max), one.count_at_value())))
    }

    /// Where the percentile of everything that might have been measured lies with a confidence of 95 %, in
    /// microseconds, as far as the durations are independent: between two of them, by their ranks.
    pub(crate) fn bounds(&self, quantile: f64) -> (u64, u64) {
        let Some(histogram) = &self.0 else {
            return (0, 0);
        };
        let count = histogram.len() as f64;
        let spread = 1.96 * (count * quantile * (1.0 - quantile)).sqrt();
        let max = histogram.max();
        let at = |rank: f64| {
            let quantile = (rank / count).clamp(0.0, 1.0);
            (histogram.value_at_quantile(quantile).min(max) + 500) / 1000
        };
        let rank = count * quantile;
        (at(rank - spread), at((rank + spread).ceil()))
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let Some(histogram) = &self.0 else {
            return Percentiles::default();
        };
        let micros = |nanos: u64| (nanos + 500) / 1000;
        let max = histogram.max();
        // A quantile is the upper end of its bucket, which may lie above everything measured.
        let at = |quantile| micros(histogram.value_at_quantile(quantile).min(max));
        Percentiles {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(max),
        }
    }

    /// The same in milliseconds with one decimal, as Artillery's reports have it; `None` when nothing
    /// was measured.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let histogram = self.0.as_ref()?;
        let millis = |nanos: f64| (nanos / 1e5).round() / 10.0;
        let max = histogram.max();
        let at = |quantile| millis(histogram.value_at_quantile(quantile).min(max) as f64);
        Some(Summary {
            min: millis(histogram.min() as f64),
            max: millis(max as f64),
            count: histogram.len(),
            mean: millis(histogram.mean()),
            p50: at(0.5),
            median: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
        })
    }

    fn histogram(&mut self) -> &mut Histogram<u64> {
        self.0.get_or_insert_with(|| {
            let histogram = Histogram::new_with_bounds(Self::MIN_NANOS, Self::MAX_NANOS, 3);
            Box::new(histogram.expect("the bounds are constants that the histogram allows"))
        })
    }
}

/// A duration for people: three significant digits with the unit that fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Micros(pub(crate) u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0;
        let (value, unit) = match micros {
            0..1_000 => return f.pad(&format!("{micros} µs")),
            1_000..1_000_000 => (micros as f64 / 1e3, "ms"),
            _ => (micros as f64 / 1e6, "s"),
        };
        let decimals = match value {
            ..10.0 => 2,
            ..100.0 => 1,
            _ => 0,
        };
        f.pad(&format!("{value:.decimals$} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_durations() {
        let mut latency = Latency::new();
        for ms in 1..=1000 {
            latency.record(Duration::from_millis(ms));
        }
        let seen = latency.percentiles();
        assert_eq!(seen.count, 1000);
        for (value, expected) in [
            (seen.p50_us, 500_000),
            (seen.p90_us, 900_000),
            (seen.p99_us, 990_000),
            (seen.p999_us, 999_000),
            (seen.max_us, 1_000_000),
        ] {
            let error = value.abs_diff(expected);
            assert!(
                error <= expected / 1000,
                "{value} is not {expected} to three digits"
            );
        }
    }

    #[test]
    fn merged_is_the_same_as_measured_together() {
        let (mut even, mut odd, mut all) = (Latency::new(), Latency::new(), Latency::new());
        for micros in 0..10_000_u64 {
            let duration = Duration::from_micros(micros * micros);
            all.record(duration);
            if micros % 2 == 0 {
                even.record(duration)
            } else {
                odd.record(duration)
            }
        }
        even.merge(&odd);
        assert_eq!(even.percentiles(), all.percentiles());
    }

    #[test]
    fn nothing_measured_and_more_than_an_hour() {
        assert_eq!(Latency::new().percentiles(), Percentiles::default());
        let mut latency = Latency::new();
        latency.record(Duration::from_secs(100_000));
        let max = latency.percentiles().max_us;
        assert!((3_600_000_000..3_604_000_000).contains(&max), "{max}");
    }

    #[test]
    fn three_digits_and_the_unit_that_fits() {
        for (micros, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.00 ms"),
            (12_345, "12.3 ms"),
            (123_456, "123 ms"),
            (1_234_567, "1.23 s"),
            (90_000_000, "90.0 s"),
        ] {
            assert_eq!(Micros(micros).to_string(), text);
        }
    }
}
