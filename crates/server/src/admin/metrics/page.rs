//! `docs/metrics.md`: the table of metrics as a page for people.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{Kind, Metric, Source, all, declarations::SECTIONS};

/// What stands above the metrics.
const HEAD: &str = "\
# Metrics

What `GET /metrics` of the admin listener tells Prometheus, as OpenMetrics 1.0 or in the older text format.
This page is made from the declarations that the text is made from (`crates/server/src/admin/metrics`); a test
keeps it as they are. What to watch of it, and what each alert means: `docs/operating.md`.

Histograms have buckets up to powers of two, in seconds from one microsecond on, in bytes and members from one
on. Every value of a label is there from the start, so a rate is right from the first event on.
";

fn page() -> String {
    let mut page = String::from(HEAD);
    for (title, metrics) in SECTIONS {
        // Writing to a String does not fail.
        let _ = write!(
            page,
            "\n## {}\n\n| metric | type | labels | what it is |\n|---|---|---|---|\n",
            title
        );
        for metric in *metrics {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                metric.name(),
                kind(metric.kind),
                labels(metric),
                metric.help
            );
        }
    }
    page
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Info => "info",
    }
}

fn labels(metric: &Metric) -> String {
    match metric.source {
        Source::Shards(_) => "`shard`".to_owned(),
        Source::Limits(_) => "`limit`".to_owned(),
        Source::By { label, values, .. } | Source::Told { label, values, .. } => {
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{label}`: {}", values.join(", "))
        }
        Source::Info(names) => {
            let names: Vec<_> = names.iter().map(|(name, _)| format!("`{name}`")).collect();
            names.join(", ")
        }
        Source::Sum(_) | Source::Micros(_) | Source::Numbers(_) | Source::Once(_) => String::new(),
    }
}

#[test]
fn the_page_is_as_the_declarations_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(path).expect("the page is there");
    assert!(
        written == page(),
        "docs/metrics.md is stale: UPDATE_DOCS=1 cargo test -p fourtuple-server"
    );
}

#[test]
fn names_are_unique_and_say_their_unit() {
    let mut names = BTreeSet::new();
    for metric in all() {
        let name = metric.name();
        assert!(
            name.starts_with("fourtuple_") || name.starts_with("process_"),
            "{name}"
        );
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(is_plain), "{name}");
        assert!(metric.help.ends_with('.'), "{name}: {}", metric.help);
        let is_histogram = matches!(metric.source, Source::Micros(_) | Source::Numbers(_));
        assert_eq!(is_histogram, metric.kind == Kind::Histogram, "{name}");
        assert!(names.insert(name.clone()), "{name} is declared twice");
    }
}
