//! The results side by side: medians, ranges, ratios to the floor, and whether a target is met.
//!
//! A value is the median over the rounds. A ratio to the floor is formed within each round, where
//! both servers met the same weather on the machine, and is the median of these ratios; it is not
//! the ratio of the two medians.
//!
//! The table is Markdown, to be pasted into a document as it is.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::kind::Kind;
use crate::measure::Machine;
use crate::metric::{Better, METRICS, Metric, Spread};
use crate::round::{Plan, Sample};
use crate::standing::Standing;

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

    /// Returns the table, and below it which promises are kept, what many shards cost, and what of
    /// the servers is to be known.
    pub(crate) fn render(&self) -> String {
        let mut rows = vec![self.heading()];
        for metric in &METRICS {
            rows.push(self.row(metric.title, |_, samples| {
                Some(metric.spread(samples)?.render(metric.decimals))
            }));
            if metric.is_ratio() && self.floor().is_some() {
                rows.push(self.row("… of the floor", |kind, samples| {
                    let ratio = self.of_floor(metric, samples)?;
                    (kind != Kind::Floor).then(|| ratio.render(2))
                }));
            }
            if metric.better != Better::Neither && self.has_standings() {
                rows.push(self.row("… rank, against the best peer", |kind, samples| {
                    Some(self.standing(metric, kind, samples)?.to_string())
                }));
            }
        }
        let mut text = layout(&rows);
        let footnotes = self.samples.iter().filter_map(|(kind, _)| {
            let footnote = kind.footnote()?;
            Some(format!("{}: {footnote}", kind.name()))
        });
        let sentences = self.verdicts().chain(self.costs_of_many_shards());
        for sentence in sentences.chain(footnotes) {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n- {sentence}");
        }
        text + "\n"
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
                        "standing": self.standing(metric, *kind, samples).map(Standing::to_json),
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
        self.row("", |kind, _| Some(kind.name().to_owned()))
    }

    /// Returns a row with a cell for each server, empty where `cell` has nothing to say.
    fn row(&self, title: &str, cell: impl Fn(Kind, &[Sample]) -> Option<String>) -> Vec<String> {
        let cells = self
            .samples
            .iter()
            .map(|(kind, samples)| cell(*kind, samples).unwrap_or_default());
        [title.to_owned()].into_iter().chain(cells).collect()
    }

    /// Returns a sentence for every promise: what was promised, what came, and whether it is kept.
    fn verdicts(&self) -> impl Iterator<Item = String> {
        let pairs = self.samples.iter().flat_map(|(kind, samples)| {
            METRICS
                .iter()
                .map(move |metric| (*kind, samples.as_slice(), metric))
        });
        pairs.filter_map(|(kind, samples, metric)| {
            let met = self.is_met(metric, kind, samples)?;
            let target = metric.target(kind);
            let (found, decimals) = if target.is_ratio() {
                (self.of_floor(metric, samples)?, 2)
            } else {
                (metric.spread(samples)?, metric.decimals)
            };
            Some(format!(
                "{}: {}: {} promised, {} measured: {}",
                kind.name(),
                metric.title,
                target.render(),
                found.render(decimals),
                if met { "met" } else { "MISSED" },
            ))
        })
    }

    /// Returns a sentence for every server with many shards beside its like with few.
    fn costs_of_many_shards(&self) -> impl Iterator<Item = String> {
        self.samples.iter().filter_map(|(kind, many)| {
            let few_kind = kind.with_few_shards()?;
            let few = self.samples_of(few_kind)?;
            let ratios: Vec<String> = METRICS
                .iter()
                .filter(|metric| metric.better != Better::Neither)
                .filter_map(|metric| {
                    let ratio = metric.ratio(many, few)?;
                    Some(format!("{} {}", metric.title, ratio.render(2)))
                })
                .collect();
            let (many, few) = (kind.name(), few_kind.name());
            Some(format!("{many} divided by {few}: {}", ratios.join("; ")))
        })
    }

    /// Returns whether `kind` keeps its promise, if it has given one.
    fn is_met(&self, metric: &Metric, kind: Kind, samples: &[Sample]) -> Option<bool> {
        let ratio = self.of_floor(metric, samples);
        metric.target(kind).is_met(metric.spread(samples), ratio)
    }

    fn has_standings(&self) -> bool {
        let kinds = || self.samples.iter().map(|(kind, _)| *kind);
        kinds().any(Kind::is_peer) && kinds().any(|kind| kind.variant().is_some())
    }

    fn standing(&self, metric: &Metric, kind: Kind, samples: &[Sample]) -> Option<Standing> {
        kind.variant()?;
        let peers: Vec<(Kind, f64)> = self
            .samples
            .iter()
            .filter(|(kind, _)| kind.is_peer() && kind.does_what(metric))
            .filter_map(|(kind, samples)| Some((*kind, metric.spread(samples)?.median())))
            .collect();
        Standing::among(metric.better, metric.spread(samples)?.median(), &peers)
    }

    fn of_floor(&self, metric: &Metric, samples: &[Sample]) -> Option<Spread> {
        metric.ratio(samples, self.floor()?)
    }

    fn floor(&self) -> Option<&[Sample]> {
        self.samples_of(Kind::Floor)
    }

    fn samples_of(&self, wanted: Kind) -> Option<&[Sample]> {
        let found = self.samples.iter().find(|(kind, _)| *kind == wanted);
        found.map(|(_, samples)| samples.as_slice())
    }
}

/// Returns `rows`, the first of them the heading, as a table whose columns are as wide as their
/// widest cells.
fn layout(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if index == 0 {
            for width in &widths {
                let _ = write!(text, "|{:-<1$}", "", width + 2);
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_markdown() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = layout(&[row(["", "floor"]), row(["memory", "7"])]);
        assert_eq!(
            text,
            "|        | floor |\n\
             |--------|-------|\n\
             | memory | 7     |\n"
        );
    }
}
