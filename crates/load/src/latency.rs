//! Latencies as histograms that merge exactly.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::timeline::Spectrum;

/// A histogram of durations from 1 µs to one hour, with three significant digits. It takes its
/// memory with the first duration, 16 KiB, and up to 200 KiB as durations grow longer.
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
    /// 95 % of them are at most this.
    #[serde(default)]
    pub p95_us: u64,
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

impl Percentiles {
    /// Of so many durations, of which a share of `quantile` takes no more nanoseconds than `at` says.
    pub(crate) fn of(count: u64, at: impl Fn(f64) -> u64) -> Self {
        let at = |quantile| (at(quantile) + 500) / 1000;
        Self {
            count,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
        }
    }

    /// Those that stand in tables: p50, p90, p99, p99.9 and the longest.
    pub(crate) const fn columns(&self) -> [u64; 5] {
        [
            self.p50_us,
            self.p90_us,
            self.p99_us,
            self.p999_us,
            self.max_us,
        ]
    }
}

impl Summary {
    /// Of so many durations, from their least and mean and the duration of a share of them, in nanoseconds.
    pub(crate) fn of(count: u64, least: f64, mean: f64, at: impl Fn(f64) -> u64) -> Self {
        let millis = |nanos: f64| (nanos / 1e5).round() / 10.0;
        let at = |quantile| millis(at(quantile) as f64);
        Self {
            min: millis(least),
            max: at(1.0),
            count,
            mean: millis(mean),
            p50: at(0.5),
            median: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
        }
    }
}

/// The duration that so great a share does not exceed. A quantile is the upper end of its bucket, which may lie above
/// everything measured.
fn at(histogram: &Histogram<u64>, quantile: f64) -> u64 {
    histogram.value_at_quantile(quantile).min(histogram.max())
}

impl Latency {
    const MIN_NANOS: u64 = 1_000;
    const MAX_NANOS: u64 = 3_600_000_000_000;
    /// Up to here a histogram begins with, which takes 16 KiB; each doubling takes 8 more.
    const GROWS_NANOS: u64 = 1_000_000;

    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Counts one duration; more than an hour counts as an hour.
    pub(crate) fn record(&mut self, duration: Duration) {
        self.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), 1);
    }

    /// Counts so many durations of so many nanoseconds.
    fn add(&mut self, nanos: u64, count: u64) {
        self.histogram()
            .record_n(nanos.min(Self::MAX_NANOS), count)
            .expect("a histogram grows up to the longest duration");
    }

    /// Adds another shard's durations.
    pub(crate) fn merge(&mut self, other: &Self) {
        if let Some(other) = &other.0 {
            self.histogram()
                .add(&**other)
                .expect("a histogram grows up to the longest duration");
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

    /// How many durations were measured.
    pub(crate) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.len())
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let Some(histogram) = &self.0 else {
            return Percentiles::default();
        };
        Percentiles::of(histogram.len(), |quantile| at(histogram, quantile))
    }

    /// The same in milliseconds with one decimal, as Artillery's reports have it; `None` when nothing
    /// was measured.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let histogram = self.0.as_ref()?;
        let (least, mean) = (histogram.min() as f64, histogram.mean());
        let at = |quantile| at(histogram, quantile);
        Some(Summary::of(histogram.len(), least, mean, at))
    }

    fn histogram(&mut self) -> &mut Histogram<u64> {
        self.0.get_or_insert_with(|| {
            let histogram = Histogram::new_with_bounds(Self::MIN_NANOS, Self::GROWS_NANOS, 3);
            let mut histogram =
                histogram.expect("the bounds are constants that the histogram allows");
            histogram.auto(true);
            Box::new(histogram)
        })
    }
}

/// On the way to another machine a latency is the buckets that have anything in them, as a text: for each, in
/// base 64, how far it is above the one before, in units of the narrowest bucket, and how many durations
/// are in it, both in groups of seven bits, the lowest first. What is read is the same histogram, so merging
/// is exact on whichever machine it happens.
impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        let mut last = 0;
        for bucket in self
            .0
            .iter()
            .flat_map(|histogram| histogram.iter_recorded())
        {
            let place = bucket.value_iterated_to() >> UNIT_BITS;
            write_number(&mut bytes, place - last);
            write_number(&mut bytes, bucket.count_at_value());
            last = place;
        }
        to.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD_NO_PAD.decode(text).map_err(D::Error::custom)?;
        let mut bytes = bytes.as_slice();
        let mut latency = Self::new();
        let (mut place, mut all) = (0_u64, 0_u64);
        let wrong = || D::Error::custom("not a histogram");
        while !bytes.is_empty() {
            let step = read_number(&mut bytes).ok_or_else(wrong)?;
            let count = read_number(&mut bytes).ok_or_else(wrong)?;
            place = place.checked_add(step).ok_or_else(wrong)?;
            let nanos = place.checked_mul(1 << UNIT_BITS).ok_or_else(wrong)?;
            // More than can be counted nobody has measured.
            all = all.checked_add(count).ok_or_else(wrong)?;
            latency.add(nanos, count);
        }
        Ok(latency)
    }
}

/// The narrowest buckets are 512 ns wide: the power of two below [`Latency::MIN_NANOS`].
const UNIT_BITS: u32 = Latency::MIN_NANOS.ilog2();

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
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
    use proptest::prelude::*;

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
            (seen.p95_us, 950_000),
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

    proptest! {
        #[test]
        fn what_travels_is_the_same_histogram(
            micros in prop::collection::vec(prop_oneof![0..100_u64, 0..1_000_000_u64, 0..9_000_000_000_u64], 0..200)
        ) {
            let mut latency = Latency::new();
            micros.iter().for_each(|&micros| latency.record(Duration::from_micros(micros)));
            let text = serde_json::to_string(&latency).expect("JSON");
            let read: Latency = serde_json::from_str(&text).expect("what was written");
            prop_assert!(read.0 == latency.0);
        }

        #[test]
        fn any_text_is_a_histogram_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let text = format!("\"{}\"", STANDARD_NO_PAD.encode(bytes));
            if let Ok(latency) = serde_json::from_str::<Latency>(&text) {
                latency.percentiles();
                latency.summary();
            }
        }
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
