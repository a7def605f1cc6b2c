//! How often something was how large: counts in buckets, written by one shard and read by anybody.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts by powers of two. Adding is three loads and three stores, never a locked instruction.
///
/// Bucket 0 counts zeros and ones, bucket *i* what is above 2^(*i*−1) and at most 2^*i*; the last also what is
/// larger.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; Self::BUCKETS],
    sum: AtomicU64,
    count: AtomicU64,
}

/// A copy of a histogram, of one shard or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// How many values fell into each bucket.
    pub buckets: [u64; Histogram::BUCKETS],
    /// The sum of all values.
    pub sum: u64,
    /// How many values there were.
    pub count: u64,
}

impl Histogram {
    /// How many buckets there are: the last begins above 2^30, in microseconds eighteen minutes.
    pub const BUCKETS: usize = 32;

    /// Adds a value. Only the owning shard may call this.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// Adds a value that stands for `times` equal ones. Only the owning shard may call this.
    pub fn record_many(&self, value: u64, times: u64) {
        let add = |cell: &AtomicU64, n: u64| {
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        };
        add(&self.buckets[Self::bucket(value)], times);
        add(&self.sum, value.wrapping_mul(times));
        add(&self.count, times);
    }

    /// The counts now.
    pub fn distribution(&self) -> Distribution {
        Distribution {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].load(Relaxed)),
            sum: self.sum.load(Relaxed),
            count: self.count.load(Relaxed),
        }
    }

    const fn bucket(value: u64) -> usize {
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        if bits as usize >= Self::BUCKETS {
            Self::BUCKETS - 1
        } else {
            bits as usize
        }
    }
}

impl Distribution {
    /// The largest value that falls into a bucket; none for the last, which has no end.
    pub const fn bound(bucket: usize) -> Option<u64> {
        if bucket + 1 < Histogram::BUCKETS {
            Some(1 << bucket)
        } else {
            None
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (bucket, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.wrapping_add(*count);
        }
        self.sum = self.sum.wrapping_add(other.sum);
        self.count = self.count.wrapping_add(other.count);
        self
    }

    /// What has come since an earlier copy of the same histogram.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for (bucket, count) in self.buckets.iter_mut().zip(&earlier.buckets) {
            *bucket = bucket.wrapping_sub(*count);
        }
        self.sum = self.sum.wrapping_sub(earlier.sum);
        self.count = self.count.wrapping_sub(earlier.count);
        self
    }

    /// The value that a share `q` (0 to 1) of all values does not exceed, as the upper end of its bucket:
    /// right within a factor of two. None when there is no value.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let count: u64 = self.buckets.iter().sum();
        let rank = ((count as f64 * q).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        self.buckets.iter().enumerate().find_map(|(bucket, n)| {
            seen += n;
            (seen >= rank && count > 0).then(|| Self::bound(bucket).unwrap_or(1 << bucket))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn powers_of_two_are_the_last_of_their_bucket() {
        assert_eq!([0, 1].map(Histogram::bucket), [0, 0]);
        assert_eq!(
            [2, 3, 4, 5, 8, 9].map(Histogram::bucket),
            [1, 2, 2, 3, 3, 4]
        );
        assert_eq!(Histogram::bucket(u64::MAX), Histogram::BUCKETS - 1);
        assert_eq!(Distribution::bound(Histogram::BUCKETS - 1), None);
    }

    #[test]
    fn what_came_since_is_what_came_since() {
        let histogram = Histogram::default();
        histogram.record(3);
        let earlier = histogram.distribution();
        histogram.record_many(100, 4);
        let later = histogram.distribution();
        let new = later.clone().since(&earlier);
        assert_eq!((new.count, new.sum), (4, 400));
        assert_eq!(earlier.plus(&new), later);
        assert_eq!(Distribution::default().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_right_within_a_factor_of_two(
            mut values in prop::collection::vec(1_u64..1 << 30, 1..200),
            q in 0.0..1.0_f64,
        ) {
            let histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            values.sort_unstable();
            let rank = ((values.len() as f64 * q).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1];
            let told = histogram.distribution().quantile(q).expect("there are values");
            prop_assert!(told >= exact && told <= exact * 2, "{told} for {exact}");
        }
    }
}
