//! The generators side by side: medians with their ranges, as Markdown and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::Sample;
use super::generator::Generator;
use crate::measure::Machine;
use crate::numbers::{grouped, median};

/// All samples, by generator in the order of the table.
#[derive(Debug)]
pub(super) struct Results(Vec<(Generator, Vec<Sample>)>);

/// A column: its heading, its decimals, and what of a sample stands there.
type Column = (&'static str, usize, fn(&Sample) -> f64);

const COLUMNS: [Column; 7] = [
    ("connections reached", 0, |it| it.reached as f64),
    ("s until the first is open", 1, |it| {
        it.started.as_secs_f64()
    }),
    ("s from there until all are joined", 1, |it| {
        it.opened.as_secs_f64()
    }),
    ("memory of the program, MB", 1, |it| {
        it.memory_bytes as f64 / 1e6
    }),
    ("memory per connection, bytes", 0, |it| {
        it.memory_bytes as f64 / it.reached as f64
    }),
    ("CPU per connection until all are joined, µs", 0, |it| {
        micros(it.opening_cpu) / it.reached as f64
    }),
    ("CPU per connection held and second, µs", 2, |it| {
        micros(it.holding_cpu) / it.reached as f64
    }),
];

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl Results {
    pub(super) fn new(generators: &[Generator]) -> Self {
        Self(generators.iter().map(|it| (*it, Vec::new())).collect())
    }

    pub(super) fn add(&mut self, generator: Generator, sample: Sample) {
        let row = self.0.iter_mut().find(|(known, _)| *known == generator);
        if let Some((_, samples)) = row {
            samples.push(sample);
        }
    }

    /// Whether the product's own crowds were whole each time.
    pub(super) fn is_whole(&self, connections: u32) -> bool {
        let ours = self.0.iter().filter(|(generator, _)| generator.is_ours());
        let mut samples = ours.flat_map(|(_, samples)| samples);
        samples.all(|sample| sample.reached >= connections.into())
    }

    pub(super) fn render(&self, connections: u32, rate: u32, machine: &Machine) -> String {
        let mut text = format!(
            "{} connections join one topic and stay, {} opened per second; {machine}{}\n\n| generator |",
            grouped(connections.into(), 0),
            grouped(rate.into(), 0),
            if cfg!(debug_assertions) {
                "; DEBUG BUILD, the numbers mean nothing"
            } else {
                ""
            },
        );
        for (title, ..) in COLUMNS {
            // Writing to a String does not fail.
            let _ = write!(text, " {title} |");
        }
        text.push_str("\n|---|");
        text.push_str(&"---:|".repeat(COLUMNS.len()));
        for (generator, samples) in &self.0 {
            let _ = write!(text, "\n| {generator} |");
            for (_, decimals, of) in COLUMNS {
                let values: Vec<_> = samples.iter().map(of).collect();
                let middle = median(&values).unwrap_or(f64::NAN);
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let number = |value: f64| match value.is_finite() {
                    true => grouped(value, decimals),
                    // By connection, of none.
                    false => "–".to_owned(),
                };
                let _ = write!(text, " {}", number(middle));
                if number(least) != number(most) {
                    let _ = write!(text, " ({}–{})", number(least), number(most));
                }
                text.push_str(" |");
            }
        }
        text + "\n"
    }

    pub(super) fn to_json(
        &self,
        connections: u32,
        rate: u32,
        hold_s: u64,
        machine: &Machine,
    ) -> Value {
        let sample = |it: &Sample| {
            json!({
                "reached": it.reached,
                "first_open_s": it.started.as_secs_f64(),
                "all_joined_s": it.opened.as_secs_f64(),
                "memory_bytes": it.memory_bytes,
                "opening_cpu_us": micros(it.opening_cpu),
                "holding_cpu_us_per_s": micros(it.holding_cpu),
            })
        };
        let rows = self.0.iter().map(|(generator, samples)| {
            let samples: Vec<_> = samples.iter().map(sample).collect();
            (generator.name().to_owned(), Value::from(samples))
        });
        json!({
            "machine": machine.to_json(),
            "connections": connections,
            "rate_per_s": rate,
            "hold_window_s": hold_s,
            "generators": rows.collect::<serde_json::Map<_, _>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(reached: u64) -> Sample {
        Sample {
            reached,
            started: Duration::from_millis(500),
            opened: Duration::from_secs(10),
            opening_cpu: Duration::from_secs(1),
            holding_cpu: Duration::from_millis(5),
            memory_bytes: 10_000_000,
        }
    }

    #[test]
    fn a_crowd_of_ours_that_is_not_whole_fails_the_run_and_one_of_others_does_not() {
        let mut results = Results::new(&Generator::ALL);
        results.add(Generator::Tsung, sample(900));
        results.add(Generator::Fourtuple, sample(1_000));
        assert!(results.is_whole(1_000));
        results.add(Generator::FourtupleScript, sample(999));
        assert!(!results.is_whole(1_000));
    }

    #[test]
    fn what_a_connection_costs_is_counted_by_those_that_are_there() {
        let costs: Vec<_> = COLUMNS.iter().map(|(.., of)| of(&sample(1_000))).collect();
        assert_eq!(costs, [1_000.0, 0.5, 10.0, 10.0, 10_000.0, 1_000.0, 5.0]);
    }
}
