//! The metrics of a run, each declared once: name, kind, help and samples; and their text, in the format of
//! Prometheus (version 0.0.4).

use std::{fmt::Write as _, time::Duration};

use super::Seen;
use crate::timeline::{Measure, Spectrum, Used};

/// A metric: its name, what it is, and its samples.
struct Declared {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&Seen, &mut Samples<'_>),
}

/// Where samples of one metric go.
struct Samples<'a> {
    name: &'static str,
    out: &'a mut String,
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    samples: fn(&Seen, &mut Samples<'_>),
) -> Declared {
    Declared {
        name,
        kind: "gauge",
        help,
        samples,
    }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    samples: fn(&Seen, &mut Samples<'_>),
) -> Declared {
    Declared {
        kind: "counter",
        ..gauge(name, help, samples)
    }
}

/// All metrics, in the order of the page.
const DECLARED: [Declared; 21] = [
    gauge(
        "fourtuple_load_elapsed_seconds",
        "Time since the run began",
        |seen, out| {
            out.one(seen.elapsed.as_secs_f64());
        },
    ),
    gauge(
        "fourtuple_load_connections_asked",
        "Connections that were asked for; 0 for a script",
        |seen, out| {
            out.one(seen.asked as f64);
        },
    ),
    gauge(
        "fourtuple_load_connections_open",
        "WebSockets that were open a moment ago",
        |seen, out| {
            out.one(seen.last.open as f64);
        },
    ),
    gauge(
        "fourtuple_load_connections_ready",
        "Connections that are ready, joined if that was asked; users",
        |seen, out| {
            out.one(seen.ready as f64);
        },
    ),
    gauge(
        "fourtuple_load_connections_away",
        "Clients that are to come back",
        |seen, out| {
            out.one(seen.away as f64);
        },
    ),
    counter(
        "fourtuple_load_dialled_total",
        "Connections that were dialled; users that arrived",
        |seen, out| {
            out.one(seen.all.counts.dialled as f64);
        },
    ),
    counter(
        "fourtuple_load_readied_total",
        "Connections that got ready for the first time",
        |seen, out| {
            out.one(seen.all.counts.readied as f64);
        },
    ),
    counter(
        "fourtuple_load_failed_total",
        "Connections that did not get ready; users that failed",
        |seen, out| {
            out.one(seen.all.counts.failed as f64);
        },
    ),
    counter(
        "fourtuple_load_dropped_total",
        "Connections that were ready and ended for good",
        |seen, out| {
            out.one(seen.all.counts.dropped as f64);
        },
    ),
    counter(
        "fourtuple_load_disconnected_total",
        "Connections that ended and were to come back",
        |seen, out| {
            out.one(seen.all.counts.disconnected as f64);
        },
    ),
    counter(
        "fourtuple_load_back_total",
        "Clients that were back",
        |seen, out| {
            out.one(seen.all.counts.back as f64);
        },
    ),
    counter(
        "fourtuple_load_completed_total",
        "Users that came to the end of their scenario",
        |seen, out| {
            out.one(seen.all.counts.completed as f64);
        },
    ),
    counter(
        "fourtuple_load_sent_total",
        "Messages sent, without heartbeats",
        |seen, out| {
            out.one(seen.all.counts.sent as f64);
        },
    ),
    counter(
        "fourtuple_load_received_total",
        "Deliveries of publishes; of users, all messages",
        |seen, out| {
            out.one(seen.all.counts.received as f64);
        },
    ),
    counter(
        "fourtuple_load_answered_total",
        "Pushes answered; steps that got their message",
        |seen, out| {
            out.one(seen.all.counts.answered as f64);
        },
    ),
    counter(
        "fourtuple_load_sent_bytes_total",
        "Bytes sent, of scripts",
        |seen, out| {
            out.one(seen.all.counts.sent_bytes as f64);
        },
    ),
    counter(
        "fourtuple_load_received_bytes_total",
        "Bytes received, of scripts",
        |seen, out| {
            out.one(seen.all.counts.received_bytes as f64);
        },
    ),
    counter(
        "fourtuple_load_errors_total",
        "Failures by the name of their class",
        |seen, out| {
            for (class, &count) in &seen.all.errors {
                out.labelled(&[("class", class)], count as f64);
            }
        },
    ),
    Declared {
        kind: "histogram",
        ..gauge(
            "fourtuple_load_latency_seconds",
            "Durations by what they are of; lateness is that of the crowd itself",
            |seen, out| {
                for (measure, spectrum) in &seen.all.latencies {
                    out.histogram(*measure, spectrum);
                }
            },
        )
    },
    gauge(
        "fourtuple_load_limit_used",
        "What is used of a limit, of this machine or of a target that is watched",
        |seen, out| {
            for used in &seen.last.limits {
                out.limit(used, used.used);
            }
        },
    ),
    gauge(
        "fourtuple_load_limit_ceiling",
        "How much of a limit there may be, where that is bounded",
        |seen, out| {
            for used in &seen.last.limits {
                if let Some(ceiling) = used.ceiling {
                    out.limit(used, ceiling);
                }
            }
        },
    ),
];

/// Upper ends of the buckets of a latency, in microseconds.
const BUCKETS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

impl Samples<'_> {
    fn one(&mut self, value: f64) {
        self.labelled(&[], value);
    }

    fn labelled(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", labels, value);
    }

    fn limit(&mut self, used: &Used, value: f64) {
        self.labelled(&[("whose", &used.whose), ("limit", &used.name)], value);
    }

    fn histogram(&mut self, measure: Measure, spectrum: &Spectrum) {
        let of = ("of", measure.name());
        for micros in BUCKETS_US {
            let end = (micros as f64 / 1e6).to_string();
            let count = spectrum.count_up_to(Duration::from_micros(micros));
            self.sample("_bucket", &[of, ("le", &end)], count as f64);
        }
        let count = spectrum.count() as f64;
        self.sample("_bucket", &[of, ("le", "+Inf")], count);
        self.sample("_sum", &[of], spectrum.sum().as_secs_f64());
        self.sample("_count", &[of], count);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        // Writing to a String does not fail.
        let _ = write!(self.out, "{}{suffix}", self.name);
        for (number, (name, text)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let escaped = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.out, "{before}{name}=\"{escaped}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{end} {value}");
    }
}

/// The page.
pub(super) fn page(seen: &Seen) -> String {
    let mut out = String::new();
    for one in &DECLARED {
        let _ = writeln!(out, "# HELP {} {}.", one.name, one.help);
        let _ = writeln!(out, "# TYPE {} {}", one.name, one.kind);
        let name = one.name;
        (one.samples)(
            seen,
            &mut Samples {
                name,
                out: &mut out,
            },
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_rules_and_are_different() {
        let mut names: Vec<_> = DECLARED.iter().map(|one| one.name).collect();
        for one in &DECLARED {
            assert!(one.name.starts_with("fourtuple_load_"), "{}", one.name);
            assert_eq!(
                one.kind == "counter",
                one.name.ends_with("_total"),
                "{}",
                one.name
            );
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DECLARED.len());
    }
}
