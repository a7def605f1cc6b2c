//! What is read off each server, and what the product has promised.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::numbers::{grouped, median};
use crate::product::Carrier;
use crate::round::Sample;

/// One number that is measured.
pub(crate) struct Metric {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) decimals: usize,
    pub(crate) better: Better,
    pub(crate) targets: Targets,
    /// `None` where it is not measured for this server.
    value: fn(&Sample) -> Option<f64>,
}

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
    /// It is shown, and nobody is ranked by it.
    Neither,
}

/// What the product has promised of a metric, for each of its carriers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets {
    epoll: Target,
    uring: Target,
}

/// What the product has promised of a metric on one carrier.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    None,
    AtMost(f64),
    OfFloorAtLeast(f64),
    OfFloorAtMost(f64),
}

/// Median, least and greatest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Metric {
    /// Returns the spread over the rounds of one server.
    pub(crate) fn spread(&self, samples: &[Sample]) -> Option<Spread> {
        Spread::of(&self.values(samples))
    }

    /// Returns the spread of the ratios to the samples of another server, each formed within its
    /// round.
    pub(crate) fn ratio(&self, samples: &[Sample], base: &[Sample]) -> Option<Spread> {
        let ratios: Vec<f64> = samples
            .iter()
            .zip(base)
            .filter_map(|(sample, base)| Some((self.value)(sample)? / (self.value)(base)?))
            .collect();
        Spread::of(&ratios)
    }

    /// Returns the promise that `kind` is held to.
    pub(crate) fn target(&self, kind: Kind) -> Target {
        match kind.promises() {
            None => Target::None,
            Some(Carrier::Epoll) => self.targets.epoll,
            Some(Carrier::Uring) => self.targets.uring,
        }
    }

    /// Says whether joining a channel is a part of it.
    pub(crate) fn is_of_joining(&self) -> bool {
        self.key == "joins_per_second"
    }

    /// Says whether the promises are about the ratio to the floor.
    pub(crate) fn is_ratio(&self) -> bool {
        self.targets.epoll.is_ratio() || self.targets.uring.is_ratio()
    }

    /// Returns one value per round.
    pub(crate) fn values(&self, samples: &[Sample]) -> Vec<f64> {
        samples.iter().filter_map(self.value).collect()
    }
}

impl Better {
    /// Returns how many times better `value` is than `other`: more than 1 is better.
    pub(crate) fn times(self, value: f64, other: f64) -> Option<f64> {
        match self {
            Self::More => Some(value / other),
            Self::Less => Some(other / value),
            Self::Neither => None,
        }
    }
}

impl Targets {
    const NONE: Self = Self::both(Target::None);

    const fn both(target: Target) -> Self {
        Self {
            epoll: target,
            uring: target,
        }
    }
}

impl Target {
    /// Says whether it is about the ratio to the floor.
    pub(crate) fn is_ratio(self) -> bool {
        matches!(self, Self::OfFloorAtLeast(_) | Self::OfFloorAtMost(_))
    }

    /// Returns whether it is met, or `None` where there is none or nothing to compare.
    pub(crate) fn is_met(self, value: Option<Spread>, of_floor: Option<Spread>) -> Option<bool> {
        match self {
            Self::None => None,
            // A loss in one round is a loss: the greatest counts where nothing may happen.
            Self::AtMost(0.0) => Some(value?.max <= 0.0),
            Self::AtMost(most) => Some(value?.median <= most),
            Self::OfFloorAtLeast(least) => Some(of_floor?.median >= least),
            Self::OfFloorAtMost(most) => Some(of_floor?.median <= most),
        }
    }

    pub(crate) fn render(self) -> String {
        match self {
            Self::None => String::new(),
            Self::AtMost(0.0) => "none".to_owned(),
            Self::AtMost(most) => format!("at most {most}"),
            Self::OfFloorAtMost(most) => format!("at most {most} of the floor's"),
            Self::OfFloorAtLeast(least) => format!("at least {least} of the floor's"),
        }
    }
}

impl Spread {
    /// Returns `None` for no values.
    fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(values)?,
            min: values.iter().copied().reduce(f64::min)?,
            max: values.iter().copied().reduce(f64::max)?,
        })
    }

    pub(crate) fn median(self) -> f64 {
        self.median
    }

    pub(crate) fn render(self, decimals: usize) -> String {
        let [median, min, max] =
            [self.median, self.min, self.max].map(|number| grouped(number, decimals));
        if min == max {
            median
        } else {
            format!("{median} ({min}–{max})")
        }
    }

    pub(crate) fn to_json(self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }
}

/// The rows of the table, and the numbers that the product is held to.
pub(crate) const METRICS: [Metric; 15] = [
    Metric {
        key: "bytes_per_connection",
        title: "memory, bytes per idle connection",
        decimals: 0,
        value: |sample| Some(sample.memory.bytes_per_connection),
        better: Better::Less,
        targets: Targets::both(Target::AtMost(300.0)),
    },
    Metric {
        key: "bytes_per_connection_from_empty",
        title: "… counted from an empty server",
        decimals: 0,
        value: |sample| Some(sample.memory.bytes_per_connection_from_empty),
        better: Better::Neither,
        targets: Targets::NONE,
    },
    Metric {
        key: "mebibytes_in_all",
        title: "… whole process with all, MiB",
        decimals: 1,
        value: |sample| Some(sample.fanout.bytes_in_all / f64::from(1 << 20)),
        better: Better::Neither,
        targets: Targets::NONE,
    },
    Metric {
        key: "crowd_bytes_per_connection",
        title: "memory of its crowd, bytes per connection",
        decimals: 0,
        value: |sample| sample.crowd_bytes_per_connection,
        better: Better::Neither,
        targets: Targets::both(Target::AtMost(300.0)),
    },
    Metric {
        key: "joins_per_second",
        title: "connect, upgrade and join, per second",
        decimals: 0,
        value: |sample| Some(sample.fanout.joins_per_second),
        better: Better::More,
        targets: Targets::both(Target::OfFloorAtLeast(0.8)),
    },
    Metric {
        key: "deliveries_per_second",
        title: "fan-out, deliveries per second",
        decimals: 0,
        value: |sample| Some(sample.fanout.deliveries_per_second),
        better: Better::More,
        targets: Targets::both(Target::OfFloorAtLeast(0.9)),
    },
    Metric {
        key: "cpu_us_per_delivery",
        title: "fan-out, server CPU µs per delivery",
        decimals: 2,
        value: |sample| Some(sample.fanout.cpu_us_per_delivery),
        better: Better::Less,
        targets: Targets {
            epoll: Target::OfFloorAtMost(1.05),
            uring: Target::OfFloorAtMost(0.85),
        },
    },
    Metric {
        key: "echoes_per_second",
        title: "push and reply, per second",
        decimals: 0,
        value: |sample| Some(sample.echo.echoes_per_second),
        better: Better::More,
        targets: Targets::both(Target::OfFloorAtLeast(0.85)),
    },
    Metric {
        key: "cpu_us_per_echo",
        title: "push and reply, server CPU µs",
        decimals: 2,
        value: |sample| Some(sample.echo.cpu_us_per_echo),
        better: Better::Neither,
        targets: Targets::NONE,
    },
    Metric {
        key: "echo_p50_us",
        title: "push and reply, p50 µs",
        decimals: 0,
        value: |sample| Some(sample.echo.p50_us),
        better: Better::Neither,
        targets: Targets::NONE,
    },
    Metric {
        key: "echo_p99_us",
        title: "push and reply, p99 µs",
        decimals: 0,
        value: |sample| Some(sample.echo.p99_us),
        better: Better::Less,
        targets: Targets::NONE,
    },
    Metric {
        key: "fanout_delivered",
        title: "fan-out, deliveries counted",
        decimals: 0,
        value: |sample| Some(sample.fanout.tally.delivered as f64),
        better: Better::Neither,
        targets: Targets::NONE,
    },
    Metric {
        key: "lost",
        title: "messages lost",
        decimals: 0,
        value: |sample| Some(sample.tally().lost as f64),
        better: Better::Neither,
        targets: Targets::both(Target::AtMost(0.0)),
    },
    Metric {
        key: "duplicated",
        title: "messages duplicated",
        decimals: 0,
        value: |sample| Some(sample.tally().duplicated as f64),
        better: Better::Neither,
        targets: Targets::both(Target::AtMost(0.0)),
    },
    Metric {
        key: "unexpected",
        title: "unexpected frames, dropped connections",
        decimals: 0,
        value: |sample| Some((sample.tally().unexpected + sample.tally().dropped) as f64),
        better: Better::Neither,
        targets: Targets::both(Target::AtMost(0.0)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_between_the_least_and_the_greatest() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            spread,
            Spread {
                median: 2.5,
                min: 1.0,
                max: 4.0
            }
        );
        assert_eq!(Spread::of(&[7.0]).unwrap().render(0), "7");
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_target_is_met_at_its_bound_and_not_beyond() {
        let spread = |values: &[f64]| Spread::of(values);
        for (target, value, ratio, met) in [
            (
                Target::AtMost(400.0),
                spread(&[400.0, 900.0, 1.0]),
                None,
                Some(true),
            ),
            (Target::AtMost(400.0), spread(&[400.1]), None, Some(false)),
            (
                Target::AtMost(0.0),
                spread(&[0.0, 0.0, 1.0]),
                None,
                Some(false),
            ),
            (
                Target::OfFloorAtLeast(0.8),
                spread(&[1.0]),
                spread(&[0.8]),
                Some(true),
            ),
            (
                Target::OfFloorAtLeast(0.8),
                spread(&[1.0]),
                spread(&[0.79]),
                Some(false),
            ),
            (
                Target::OfFloorAtMost(1.15),
                spread(&[1.0]),
                spread(&[1.16]),
                Some(false),
            ),
            (Target::OfFloorAtMost(1.15), spread(&[1.0]), None, None),
            (Target::None, spread(&[1.0]), spread(&[1.0]), None),
        ] {
            assert_eq!(
                target.is_met(value, ratio),
                met,
                "{target:?} {value:?} {ratio:?}"
            );
        }
    }
}
