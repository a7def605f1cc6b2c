//! A timeline for those who read it: rates and percentiles instead of what they are made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    latency::Percentiles,
    timeline::{Counts, Period, Timeline, Used},
};

/// A run over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Overview {
    /// The width of each period.
    pub width_ms: u64,
    /// The periods, one after the other.
    pub periods: Vec<Moment>,
}

/// One period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Moment {
    /// When it began, since the start of the run.
    pub at_ms: u64,
    /// How much of its width it covers; 0 for one that nobody saw.
    pub covered_ms: u64,
    /// WebSockets that were open at its end.
    pub open: u64,
    /// Connections that were ready.
    pub ready: u64,
    /// Clients that were to come back.
    pub away: u64,
    /// What happened.
    pub counts: Counts,
    /// Failures by class.
    pub errors: BTreeMap<String, u64>,
    /// Durations by the name of their measure, to 0.8 %.
    pub latency: BTreeMap<String, Percentiles>,
    /// Limits and what was used of them.
    pub limits: Vec<Used>,
}

impl Overview {
    pub(crate) fn of(timeline: &Timeline) -> Self {
        let width_ms = timeline.width_ms();
        let periods = (0_u64..).zip(timeline.periods());
        Self {
            width_ms,
            periods: periods
                .map(|(number, period)| Moment::of(number * width_ms, period))
                .collect(),
        }
    }
}

impl Moment {
    fn of(at_ms: u64, period: &Period) -> Self {
        let latency = period.latencies.iter();
        Self {
            at_ms,
            covered_ms: period.covered_ms,
            open: period.open,
            ready: period.ready,
            away: period.away,
            counts: period.counts,
            errors: period.errors.clone(),
            latency: latency
                .map(|(measure, spectrum)| (measure.name().to_owned(), spectrum.percentiles()))
                .collect(),
            limits: period.limits.clone(),
        }
    }

    /// How many that is per second.
    pub fn rate(&self, count: u64) -> f64 {
        match self.covered_ms {
            0 => 0.0,
            covered => count as f64 * 1e3 / covered as f64,
        }
    }
}
