//! The results side by side: medians, ranges, ratios to the floor, and whether a target is met.
//!
//! A value is the median over the rounds. A ratio to the floor is formed within each round, where
//! both servers met the same weather on the machine, and is the median of these ratios; it is not
//! the ratio of the two medians.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::launch::Kind;
use crate::round::{Plan, Sample};

/// All samples of a run.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) plan: Plan,
    /// In the order in which they are shown; every kind has one sample per round.
    pub(crate) samples: Vec<(Kind, Vec<Sample>)>,
}

/// A row of the table.
struct Metric {
    key: &'static str,
    title: &'static str,
    decimals: usize,
    value: fn(&Sample) -> f64,
    target: Target,
}

/// What the product has promised.
#[derive(Clone, Copy)]
enum Target {
    None,
    AtMost(f64),
    OfFloorAtLeast(f64),
    OfFloorAtMost(f64),
}

/// Median, least and greatest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Results {
    /// Returns whether no server lost, repeated or invented anything.
    pub(crate) fn is_clean(&self) -> bool {
        self.samples
            .iter()
            .flat_map(|(_, samples)| samples)
            .all(|sample| sample.tally().is_clean())
    }

    /// Returns the table for a terminal.
    pub(crate) fn render(&self) -> String {
        let mut rows = vec![self.heading()];
        for metric in &METRICS {
            rows.push(self.value_row(metric));
            if self.floor().is_some() && metric.target.is_ratio() {
                rows.push(self.ratio_row(metric));
            }
        }
        layout(&rows)
    }

    /// Returns everything as JSON: each metric with its spread, its ratio and its samples.
    pub(crate) fn to_json(&self, machine: Value) -> Value {
        let servers: serde_json::Map<_, _> = self
            .samples
            .iter()
            .map(|(kind, samples)| {
                let metrics: serde_json::Map<_, _> = METRICS
                    .iter()
                    .map(|metric| {
                        (
                            metric.key.to_owned(),
                            self.metric_json(metric, *kind, samples),
                        )
                    })
                    .collect();
                (kind.name().to_owned(), Value::Object(metrics))
            })
            .collect();
        json!({
            "machine": machine,
            "connections": self.plan.connections,
            "broadcasts": self.plan.broadcasts,
            "echo_connections": self.plan.echo_connections,
            "echo_ms": self.plan.echo_stretch.as_millis(),
            "servers": servers,
        })
    }

    fn metric_json(&self, metric: &Metric, kind: Kind, samples: &[Sample]) -> Value {
        let values: Vec<f64> = samples.iter().map(metric.value).collect();
        let ratio = self
            .ratios(metric, samples)
            .and_then(|ratios| Spread::of(&ratios));
        json!({
            "value": Spread::of(&values).map(Spread::to_json),
            "of_floor": ratio.map(Spread::to_json),
            "samples": values,
            "met": if kind.is_ours() { self.is_met(metric, samples) } else { None },
        })
    }

    fn heading(&self) -> Vec<String> {
        let servers = self.samples.iter().map(|(kind, _)| kind.name().to_owned());
        let last = ["target".to_owned(), String::new()];
        [String::new()]
            .into_iter()
            .chain(servers)
            .chain(last)
            .collect()
    }

    fn value_row(&self, metric: &Metric) -> Vec<String> {
        let mut row = vec![metric.title.to_owned()];
        for (_, samples) in &self.samples {
            let values: Vec<f64> = samples.iter().map(metric.value).collect();
            row.push(Spread::of(&values).map_or_else(String::new, |it| it.render(metric.decimals)));
        }
        if let Target::AtMost(most) = metric.target {
            row.push(format!("≤ {most}"));
            row.push(self.verdict(metric));
        }
        row
    }

    fn ratio_row(&self, metric: &Metric) -> Vec<String> {
        let mut row = vec!["  of the floor".to_owned()];
        for (kind, samples) in &self.samples {
            let spread = self
                .ratios(metric, samples)
                .and_then(|ratios| Spread::of(&ratios));
            row.push(match spread {
                Some(spread) if *kind != Kind::Floor => spread.render(2),
                _ => String::new(),
            });
        }
        match metric.target {
            Target::OfFloorAtLeast(least) => row.push(format!("≥ {least}")),
            Target::OfFloorAtMost(most) => row.push(format!("≤ {most}")),
            Target::None | Target::AtMost(_) => return row,
        }
        row.push(self.verdict(metric));
        row
    }

    fn verdict(&self, metric: &Metric) -> String {
        let ours = self.samples.iter().find(|(kind, _)| kind.is_ours());
        match ours.and_then(|(_, samples)| self.is_met(metric, samples)) {
            Some(true) => "met".to_owned(),
            Some(false) => "missed".to_owned(),
            None => String::new(),
        }
    }

    /// Returns whether the target is met, or `None` where there is none or nothing to compare.
    fn is_met(&self, metric: &Metric, samples: &[Sample]) -> Option<bool> {
        let values: Vec<f64> = samples.iter().map(metric.value).collect();
        let ratio = || Spread::of(&self.ratios(metric, samples)?);
        match metric.target {
            Target::None => None,
            // A loss in one round is a loss: the greatest counts where nothing may happen.
            Target::AtMost(0.0) => Some(Spread::of(&values)?.max <= 0.0),
            Target::AtMost(most) => Some(Spread::of(&values)?.median <= most),
            Target::OfFloorAtLeast(least) => Some(ratio()?.median >= least),
            Target::OfFloorAtMost(most) => Some(ratio()?.median <= most),
        }
    }

    /// Returns the ratio to the floor for each round.
    fn ratios(&self, metric: &Metric, samples: &[Sample]) -> Option<Vec<f64>> {
        let of_floor = |(ours, floor)| (metric.value)(ours) / (metric.value)(floor);
        Some(samples.iter().zip(self.floor()?).map(of_floor).collect())
    }

    fn floor(&self) -> Option<&[Sample]> {
        let floor = self.samples.iter().find(|(kind, _)| *kind == Kind::Floor);
        floor.map(|(_, samples)| samples.as_slice())
    }
}

impl Target {
    fn is_ratio(self) -> bool {
        matches!(self, Self::OfFloorAtLeast(_) | Self::OfFloorAtMost(_))
    }
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = sorted[(sorted.len() - 1) / 2];
        Some(Self {
            median: f64::midpoint(lower, upper),
            min: sorted[0],
            max: *sorted.last()?,
        })
    }

    fn render(self, decimals: usize) -> String {
        let [median, min, max] =
            [self.median, self.min, self.max].map(|number| grouped(number, decimals));
        if min == max {
            median
        } else {
            format!("{median} ({min}–{max})")
        }
    }

    fn to_json(self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }
}

/// Returns `number` with a comma between thousands.
fn grouped(number: f64, decimals: usize) -> String {
    let plain = format!("{number:.decimals$}");
    let whole_end = plain.find('.').unwrap_or(plain.len());
    let mut text = String::new();
    for (place, character) in plain.char_indices() {
        let left = whole_end.saturating_sub(place);
        if left > 0 && left % 3 == 0 && text.ends_with(|it: char| it.is_ascii_digit()) {
            text.push(',');
        }
        text.push(character);
    }
    text
}

/// Returns `rows` with each column as wide as its widest cell.
fn layout(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The rows of the table, and the numbers that the product is held to.
const METRICS: [Metric; 12] = [
    Metric {
        key: "bytes_per_connection",
        title: "memory, bytes per idle connection",
        decimals: 0,
        value: |sample| sample.fanout.bytes_per_connection,
        target: Target::AtMost(400.0),
    },
    Metric {
        key: "joins_per_second",
        title: "connect, upgrade and join, per second",
        decimals: 0,
        value: |sample| sample.fanout.joins_per_second,
        target: Target::OfFloorAtLeast(0.8),
    },
    Metric {
        key: "deliveries_per_second",
        title: "fan-out, deliveries per second",
        decimals: 0,
        value: |sample| sample.fanout.deliveries_per_second,
        target: Target::OfFloorAtLeast(0.9),
    },
    Metric {
        key: "cpu_us_per_delivery",
        title: "fan-out, server CPU µs per delivery",
        decimals: 2,
        value: |sample| sample.fanout.cpu_us_per_delivery,
        target: Target::OfFloorAtMost(1.15),
    },
    Metric {
        key: "echoes_per_second",
        title: "push and reply, per second",
        decimals: 0,
        value: |sample| sample.echo.echoes_per_second,
        target: Target::OfFloorAtLeast(0.85),
    },
    Metric {
        key: "cpu_us_per_echo",
        title: "push and reply, server CPU µs",
        decimals: 2,
        value: |sample| sample.echo.cpu_us_per_echo,
        target: Target::None,
    },
    Metric {
        key: "echo_p50_us",
        title: "push and reply, p50 µs",
        decimals: 0,
        value: |sample| sample.echo.p50_us,
        target: Target::None,
    },
    Metric {
        key: "echo_p99_us",
        title: "push and reply, p99 µs",
        decimals: 0,
        value: |sample| sample.echo.p99_us,
        target: Target::None,
    },
    Metric {
        key: "fanout_delivered",
        title: "fan-out, deliveries counted",
        decimals: 0,
        value: |sample| sample.fanout.tally.delivered as f64,
        target: Target::None,
    },
    Metric {
        key: "lost",
        title: "messages lost",
        decimals: 0,
        value: |sample| sample.tally().lost as f64,
        target: Target::AtMost(0.0),
    },
    Metric {
        key: "duplicated",
        title: "messages duplicated",
        decimals: 0,
        value: |sample| sample.tally().duplicated as f64,
        target: Target::AtMost(0.0),
    },
    Metric {
        key: "unexpected",
        title: "unexpected frames, dropped connections",
        decimals: 0,
        value: |sample| (sample.tally().unexpected + sample.tally().dropped) as f64,
        target: Target::AtMost(0.0),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_between_the_two_in_the_middle() {
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
    fn thousands_are_grouped_and_fractions_are_not() {
        for (number, decimals, text) in [
            (0.0, 0, "0"),
            (999.4, 0, "999"),
            (1_000.0, 0, "1,000"),
            (-1_234_567.0, 0, "-1,234,567"),
            (12_345.678_9, 3, "12,345.679"),
        ] {
            assert_eq!(grouped(number, decimals), text);
        }
    }
}
