//! Whether two samples differ by more than chance.

/// The quantile of the normal distribution for 1 % in both tails together.
pub(super) const Z_99: f64 = 2.576;
/// The same for 5 %.
pub(super) const Z_95: f64 = 1.960;

/// A mean and how sure it is.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) mean: f64,
    /// The variance of the mean.
    variance: f64,
    /// Independent values that it is made of.
    values: usize,
    is_of_runs: bool,
}

/// Fewer periods tell nothing about their spread.
const PERIODS_MIN: usize = 4;

impl Sample {
    /// Of the periods of each run, or of the runs' means. `None` for too few.
    pub(super) fn of(runs: &[Vec<f64>], by_runs: bool) -> Option<Self> {
        if by_runs {
            let runs = runs.iter().filter(|run| !run.is_empty());
            let means: Vec<_> = runs.map(|run| mean(run)).collect();
            return (means.len() >= super::RUNS_MIN).then(|| Self::of_runs(means));
        }
        if runs.iter().map(Vec::len).sum::<usize>() < PERIODS_MIN {
            return None;
        }
        let mut batches = Vec::new();
        for run in runs {
            let periods = run.len();
            let size = ((periods as f64).sqrt() as usize)
                .min(periods / PERIODS_MIN)
                .max(1);
            // What is left over at the end is part of the last batch.
            let count = (periods / size).max(1);
            for number in 0..count {
                let end = if number + 1 == count {
                    periods
                } else {
                    (number + 1) * size
                };
                let batch = &run[number * size..end];
                if !batch.is_empty() {
                    batches.push(mean(batch));
                }
            }
        }
        Some(Self::of_values(&batches, false))
    }

    /// Of values that are independent: one for each run.
    pub(super) fn of_runs(values: Vec<f64>) -> Self {
        Self::of_values(&values, true)
    }

    fn of_values(values: &[f64], is_of_runs: bool) -> Self {
        let mean = mean(values);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let count = values.len().max(1) as f64;
        Self {
            mean,
            variance: squares / (count - 1.0).max(1.0) / count,
            values: values.len(),
            is_of_runs,
        }
    }

    /// What it is made of.
    pub(super) const fn what(&self) -> &'static str {
        if self.is_of_runs {
            "the runs"
        } else {
            "the periods"
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Whether the means differ: Welch's test, whose level is that of the normal quantile `z`.
pub(super) fn differ(one: &Sample, other: &Sample, z: f64) -> bool {
    let variance = one.variance + other.variance;
    let difference = (one.mean - other.mean).abs();
    if variance <= 0.0 {
        return difference > 0.0;
    }
    let part = |sample: &Sample| sample.variance.powi(2) / (sample.values as f64 - 1.0).max(1.0);
    let freedom = variance.powi(2) / (part(one) + part(other)).max(f64::MIN_POSITIVE);
    difference / variance.sqrt() > student(z, freedom.max(1.0))
}

/// The quantile of Student's distribution that belongs to `z` of the normal one (Abramowitz and Stegun,
/// 26.7.5).
fn student(z: f64, freedom: f64) -> f64 {
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3)
}

/// Whether two parts of two wholes differ, at 1 %: the test of two proportions.
pub(super) fn proportions_differ(one: (f64, f64), other: (f64, f64)) -> bool {
    let pooled = (one.0 + other.0) / (one.1 + other.1);
    let variance = pooled * (1.0 - pooled) * (1.0 / one.1 + 1.0 / other.1);
    let difference = (one.0 / one.1 - other.0 / other.1).abs();
    variance > 0.0 && difference / variance.sqrt() > Z_99
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values that resemble their neighbours, around `mean`.
    fn drifting(random: &mut fastrand::Rng, count: usize, mean: f64) -> Vec<f64> {
        let mut before = 0.0;
        let mut next = || {
            before = 0.3 * before + (0..4).map(|_| random.f64() - 0.5).sum::<f64>() * 0.1;
            mean * (1.0 + before)
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn students_quantiles() {
        for (freedom, quantile) in [(5.0, 4.032), (10.0, 3.169), (30.0, 2.750), (1e9, 2.576)] {
            let found = student(Z_99, freedom);
            assert!((found - quantile).abs() < 0.03, "{freedom}: {found}");
        }
    }

    #[test]
    fn parts_of_wholes() {
        assert!(!proportions_differ((0.0, 100.0), (0.0, 100.0)));
        assert!(!proportions_differ((3.0, 1_000.0), (0.0, 1_000.0)));
        assert!(proportions_differ((30.0, 1_000.0), (0.0, 1_000.0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Of a hundred pairs of the same distribution at most five are called different, and of a hundred
        /// that are a fifth apart at least ninety-five.
        #[test]
        fn the_same_is_noise_and_a_fifth_is_not(seed: u64, periods in 20..200_usize, mean in 1.0..1e6) {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut alarms, mut found) = (0, 0);
            for _ in 0..100 {
                let mut sample = |mean| {
                    Sample::of(&[drifting(&mut random, periods, mean)], false).expect("enough periods")
                };
                let (one, two, shifted) = (sample(mean), sample(mean), sample(mean * 1.2));
                alarms += u32::from(differ(&one, &two, Z_99));
                found += u32::from(differ(&one, &shifted, Z_99));
            }
            prop_assert!(alarms <= 5, "{alarms} of 100");
            prop_assert!(found >= 95, "{found} of 100");
        }
    }
}
