//! Apdex: how many responses were as fast as users want them, as Artillery's plugin of that name counts it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{fields::Fields, problem::Problems, tree::Node};

/// Responses, by how their users take them: up to the threshold, up to four times as late, and later or never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Apdex {
    pub(crate) satisfied: u64,
    pub(crate) tolerated: u64,
    pub(crate) frustrated: u64,
}

/// The threshold of a script that names none.
const USUAL_MS: f64 = 500.0;
/// The greatest, a day.
const MOST_MS: f64 = 86_400_000.0;

/// Reads the threshold of `config.apdex` and `config.plugins.apdex`, of which the first counts; `None` where neither is.
pub(super) fn threshold(
    own: Option<&Node>,
    plugin: Option<&Node>,
    problems: &mut Problems,
) -> Option<Duration> {
    let mut found = None;
    for (node, path) in [(own, "config.apdex"), (plugin, "config.plugins.apdex")] {
        let Some(node) = node else { continue };
        let Some(mut fields) = Fields::of(node, path, problems) else {
            continue;
        };
        let given = fields.number("threshold", (1.0, MOST_MS), problems);
        fields.finish(problems);
        found = found.or(given);
    }
    (own.is_some() || plugin.is_some())
        .then(|| Duration::from_secs_f64(found.unwrap_or(USUAL_MS) / 1e3))
}

impl Apdex {
    /// Counts a response.
    pub(crate) fn count(&mut self, after: Duration, threshold: Duration) {
        *if after <= threshold {
            &mut self.satisfied
        } else if after <= 4 * threshold {
            &mut self.tolerated
        } else {
            &mut self.frustrated
        } += 1;
    }

    pub(crate) const fn merge(&mut self, other: Self) {
        self.satisfied += other.satisfied;
        self.tolerated += other.tolerated;
        self.frustrated += other.frustrated;
    }

    /// The counters under Artillery's names; none before the first response.
    pub(crate) fn counters(self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("apdex.satisfied", self.satisfied),
            ("apdex.tolerated", self.tolerated),
            ("apdex.frustrated", self.frustrated),
        ];
        let is_there = self.score().is_some();
        all.into_iter().filter(move |_| is_there)
    }

    /// From 0 to 1; none before the first response.
    pub(crate) fn score(self) -> Option<f64> {
        let total = self.satisfied + self.tolerated + self.frustrated;
        (total > 0).then(|| (self.satisfied as f64 + self.tolerated as f64 / 2.0) / total as f64)
    }
}

/// The word for a score.
pub(crate) const fn rating(score: f64) -> &'static str {
    match score {
        0.94.. => "excellent",
        0.85.. => "good",
        0.7.. => "fair",
        0.49.. => "poor",
        _ => "unacceptable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_and_four_of_it_divide_responses() {
        let (mut apdex, threshold) = (Apdex::default(), Duration::from_millis(100));
        assert_eq!((apdex.score(), apdex.counters().count()), (None, 0));
        for millis in [0, 100, 101, 400, 401, 9_000] {
            apdex.count(Duration::from_millis(millis), threshold);
        }
        let counts = [
            ("apdex.satisfied", 2),
            ("apdex.tolerated", 2),
            ("apdex.frustrated", 2),
        ];
        assert_eq!(apdex.counters().collect::<Vec<_>>(), counts);
        assert_eq!(apdex.score(), Some(0.5));
        apdex.merge(apdex);
        assert_eq!(apdex.satisfied, 4);
    }

    #[test]
    fn scores_have_the_words_of_the_standard() {
        let words = [1.0, 0.94, 0.93, 0.85, 0.7, 0.69, 0.49, 0.48, 0.0].map(rating);
        let expected = [
            "excellent",
            "excellent",
            "good",
            "good",
            "fair",
            "poor",
            "poor",
            "unacceptable",
            "unacceptable",
        ];
        assert_eq!(words, expected);
    }
}
