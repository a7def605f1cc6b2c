//! The durations of one period in a small space: how many fell into each of some thousand ranges.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::latency::{Percentiles, Summary};

/// How often durations of each range were measured. A range is 1/64 of its power of two, so what is read
/// of it is exact to 0.8 %, and two spectra merge exactly.
///
/// It takes 16 bytes for each range that has anything in it, of which there are 2,345 at most.
/// As JSON it is a flat list: range, count, range, count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spectrum(
    /// By range, without gaps in between.
    Vec<(u16, u64)>,
);

/// Ranges in each power of two.
const PER_OCTAVE: u64 = 64;
/// Ranges up to an hour, which is the longest that a latency counts.
pub(crate) const RANGES_MAX: u16 = range_of(3_600_000_000_000) + 1;
// The number that the documentation names.
const _: () = assert!(RANGES_MAX == 2_345);

/// The range of a duration.
const fn range_of(nanos: u64) -> u16 {
    if nanos < PER_OCTAVE {
        return nanos as u16;
    }
    let octave = nanos.ilog2() - PER_OCTAVE.ilog2();
    let within = (nanos >> octave) - PER_OCTAVE;
    ((octave as u64 + 1) * PER_OCTAVE + within) as u16
}

/// The middle of a range.
const fn middle_of(range: u16) -> u64 {
    let range = range as u64;
    if range < PER_OCTAVE {
        return range;
    }
    let octave = range / PER_OCTAVE - 1;
    let least = (PER_OCTAVE + range % PER_OCTAVE) << octave;
    least + ((1 << octave) >> 1)
}

impl Spectrum {
    /// What was measured `counts` times at each of these durations, in nanoseconds and in their order.
    pub fn of(counts: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut spectrum = Self::default();
        for (nanos, count) in counts {
            let range = range_of(nanos).min(RANGES_MAX - 1);
            match spectrum.0.last_mut() {
                Some((last, sum)) if *last == range => *sum += count,
                _ => spectrum.0.push((range, count)),
            }
        }
        spectrum
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// How many are at most so long, to 0.8 %: those of the range that the bound falls into count as shorter.
    pub(crate) fn count_up_to(&self, bound: Duration) -> u64 {
        let range = range_of(u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX).max(1));
        let shorter = self.0.iter().take_while(|&&(one, _)| one <= range);
        shorter.map(|(_, count)| count).sum()
    }

    /// All of them together, to 0.8 %.
    pub(crate) fn sum(&self) -> Duration {
        let nanos = self
            .0
            .iter()
            .map(|&(range, count)| u128::from(middle_of(range)) * u128::from(count));
        Duration::from_nanos(u64::try_from(nanos.sum::<u128>()).unwrap_or(u64::MAX))
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        let mut merged = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let next = match (mine.peek(), theirs.peek()) {
                (Some(&&(a, count)), Some(&&(b, more))) if a == b => {
                    mine.next();
                    theirs.next();
                    (a, count.saturating_add(more))
                }
                (Some(&&one), Some(&&other)) if one.0 < other.0 => {
                    mine.next();
                    one
                }
                (_, Some(&&other)) => {
                    theirs.next();
                    other
                }
                (Some(&&one), None) => {
                    mine.next();
                    one
                }
                (None, None) => break,
            };
            merged.push(next);
        }
        self.0 = merged;
    }

    /// The percentiles that reports show.
    pub fn percentiles(&self) -> Percentiles {
        let count = self.count();
        Percentiles::of(count, |quantile| self.at(quantile, count))
    }

    /// A summary as Artillery's reports have it; `None` when nothing was measured.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let count = self.count();
        let first = self.0.first()?;
        let sum: f64 = self
            .0
            .iter()
            .map(|&(range, count)| middle_of(range) as f64 * count as f64)
            .sum();
        let (least, mean) = (middle_of(first.0) as f64, sum / count as f64);
        let at = |quantile| self.at(quantile, count);
        Some(Summary::of(count, least, mean, at))
    }

    /// The duration, in nanoseconds, that so great a share of `count` durations does not exceed.
    fn at(&self, quantile: f64, count: u64) -> u64 {
        let rank = ((count as f64 * quantile).ceil() as u64).max(1);
        let mut passed = 0;
        for &(range, count) in &self.0 {
            passed += count;
            if passed >= rank {
                return middle_of(range);
            }
        }
        self.0.last().map_or(0, |&(range, _)| middle_of(range))
    }
}

impl Serialize for Spectrum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.iter();
        serializer.collect_seq(pairs.flat_map(|&(range, count)| [u64::from(range), count]))
    }
}

impl<'de> Deserialize<'de> for Spectrum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        let flat = Vec::<u64>::deserialize(deserializer)?;
        let pairs = flat.chunks(2).map(|pair| match *pair {
            [range, count] if range < RANGES_MAX.into() => Ok((range as u16, count)),
            _ => Err(D::Error::custom("expected pairs of a range and its count")),
        });
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(D::Error::custom("expected ranges in their order"));
        }
        Ok(Self(pairs))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spectrum(nanos: &[u64]) -> Spectrum {
        let mut sorted = nanos.to_vec();
        sorted.sort_unstable();
        Spectrum::of(sorted.into_iter().map(|nanos| (nanos, 1)))
    }

    #[test]
    fn nothing_measured() {
        assert_eq!(Spectrum::default().percentiles(), Percentiles::default());
        assert_eq!(Spectrum::default().summary(), None);
    }

    #[test]
    fn what_is_no_spectrum_is_refused() {
        for text in ["[1]", "[65000, 1]", "[5, 1, 5, 2]", "[6, 1, 5, 2]", "{}"] {
            assert!(serde_json::from_str::<Spectrum>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_range_tells_its_durations_to_a_hundredth(nanos in 0..=3_600_000_000_000_u64) {
            let range = range_of(nanos);
            prop_assert!(range < RANGES_MAX);
            let error = middle_of(range).abs_diff(nanos) as f64;
            prop_assert!(error <= nanos as f64 * 0.0079, "{nanos}: {}", middle_of(range));
            prop_assert!(range_of(nanos + 1) >= range);
        }

        #[test]
        fn merged_is_the_same_as_measured_together(
            one in proptest::collection::vec(0..1_000_000_000_u64, 0..100),
            two in proptest::collection::vec(0..1_000_000_u64, 0..100),
        ) {
            let mut merged = spectrum(&one);
            merged.merge(&spectrum(&two));
            prop_assert_eq!(&merged, &spectrum(&[one, two].concat()));
            let text = serde_json::to_string(&merged).expect("numbers");
            prop_assert_eq!(serde_json::from_str::<Spectrum>(&text).expect("a spectrum"), merged);
        }

        #[test]
        fn percentiles_are_those_of_the_durations(
            mut nanos in proptest::collection::vec(1_000..10_000_000_000_u64, 1..200),
        ) {
            let seen = spectrum(&nanos).percentiles();
            nanos.sort_unstable();
            for (quantile, us) in [(0.5, seen.p50_us), (0.99, seen.p99_us), (1.0, seen.max_us)] {
                let rank = ((nanos.len() as f64 * quantile).ceil() as usize).max(1);
                let expected = nanos[rank - 1] as f64 / 1e3;
                prop_assert!((us as f64 - expected).abs() <= expected * 0.008 + 1.0, "{us} {expected}");
            }
        }
    }
}
