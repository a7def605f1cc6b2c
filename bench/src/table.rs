//! The results side by side: medians, ranges, ratios to the floor, and whether a target is met.
//!
//! A value is the median over the rounds. A ratio to the floor is formed within each round, where
//! both servers met the same weather on the machine, and is the median of these ratios; it is not
//! the ratio of the two medians.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::launch::Kind;
use crate::measure::Machine;
use crate::metric::{METRICS, Metric, Spread};
use crate::round::{Plan, Sample};

/// All samples of a run.
#[derive(Debug)]
pub(crate) struct Results {
    plan: Plan,
    /// In the order in which they are shown; every kind has one sample per round.
    samples: Vec<(Kind, Vec<Sample>)>,
}

impl Results {
    /// Returns the results of no round yet.
    pub(crate) fn new(plan: Plan, kinds: &[Kind]) -> Self {
        let samples = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
        Self { plan, samples }
    }

    /// Takes one sample for each kind, in their order.
    pub(crate) fn add(&mut self, round: Vec<Sample>) {
        for ((_, samples), sample) in self.samples.iter_mut().zip(round) {
            samples.push(sample);
        }
    }

    /// Returns whether no server lost, repeated or invented anything.
    pub(crate) fn is_clean(&self) -> bool {
        let mut samples = self.samples.iter().flat_map(|(_, samples)| samples);
        samples.all(|sample| sample.tally().is_clean())
    }

    /// Returns the table for a terminal.
    pub(crate) fn render(&self) -> String {
        let mut rows = vec![self.heading()];
        for metric in &METRICS {
            rows.push(self.value_row(metric));
            if metric.target.is_ratio() && self.floor().is_some() {
                rows.push(self.ratio_row(metric));
            }
        }
        layout(&rows)
    }

    /// Returns everything as JSON: each metric with its spread, its ratio and its samples.
    pub(crate) fn to_json(&self, machine: &Machine) -> Value {
        let mut servers = Map::new();
        for (kind, samples) in &self.samples {
            let mut metrics = Map::new();
            for metric in &METRICS {
                metrics.insert(
                    metric.key.to_owned(),
                    json!({
                        "value": metric.spread(samples).map(Spread::to_json),
                        "of_floor": self.of_floor(metric, samples).map(Spread::to_json),
                        "samples": metric.values(samples),
                        "met": self.is_met(metric, *kind, samples),
                    }),
                );
            }
            servers.insert(kind.name().to_owned(), Value::Object(metrics));
        }
        json!({
            "machine": machine.to_json(),
            "connections": self.plan.connections,
            "broadcasts": self.plan.broadcasts,
            "echo_connections": self.plan.echo_connections,
            "echo_ms": self.plan.echo_stretch.as_millis(),
            "servers": servers,
        })
    }

    fn heading(&self) -> Vec<String> {
        let mut row = vec![String::new()];
        row.extend(self.samples.iter().map(|(kind, _)| kind.name().to_owned()));
        row.push("target".to_owned());
        row
    }

    fn value_row(&self, metric: &Metric) -> Vec<String> {
        let mut row = vec![metric.title.to_owned()];
        for (_, samples) in &self.samples {
            let spread = metric.spread(samples);
            row.push(spread.map_or_else(String::new, |it| it.render(metric.decimals)));
        }
        if !metric.target.is_ratio() {
            row.push(metric.target.render());
            row.push(self.verdict(metric));
        }
        row
    }

    fn ratio_row(&self, metric: &Metric) -> Vec<String> {
        let mut row = vec!["  of the floor".to_owned()];
        for (kind, samples) in &self.samples {
            let ratio = self
                .of_floor(metric, samples)
                .filter(|_| *kind != Kind::Floor);
            row.push(ratio.map_or_else(String::new, |it| it.render(2)));
        }
        row.push(metric.target.render());
        row.push(self.verdict(metric));
        row
    }

    fn verdict(&self, metric: &Metric) -> String {
        let mut met = self
            .samples
            .iter()
            .filter_map(|(kind, samples)| self.is_met(metric, *kind, samples));
        match met.next() {
            Some(true) => "met".to_owned(),
            Some(false) => "missed".to_owned(),
            None => String::new(),
        }
    }

    /// Returns whether `kind` keeps the promise; the promises are the product's.
    fn is_met(&self, metric: &Metric, kind: Kind, samples: &[Sample]) -> Option<bool> {
        if kind != Kind::Fourtuple {
            return None;
        }
        metric
            .target
            .is_met(metric.spread(samples), self.of_floor(metric, samples))
    }

    fn of_floor(&self, metric: &Metric, samples: &[Sample]) -> Option<Spread> {
        metric.of_floor(samples, self.floor()?)
    }

    fn floor(&self) -> Option<&[Sample]> {
        let floor = self.samples.iter().find(|(kind, _)| *kind == Kind::Floor);
        floor.map(|(_, samples)| samples.as_slice())
    }
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
