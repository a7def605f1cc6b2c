//! The declarations with the values of one moment, in the two texts that Prometheus reads.

use std::{borrow::Cow, fmt};

use engine::{Distribution, Histogram};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::{Registry, Unit},
};

use super::{
    Kind, Metric, Scrape, all,
    values::{Number, Values},
};

/// OpenMetrics 1.0.
pub(super) fn open_metrics(scrape: Scrape) -> Result<String, fmt::Error> {
    let mut written = String::new();
    text::encode(&mut written, &registry(scrape))?;
    Ok(written)
}

/// The text format of Prometheus, version 0.0.4.
pub(super) fn prometheus(scrape: Scrape) -> Result<String, fmt::Error> {
    let mut written = String::new();
    prometheus_text::encode(&mut written, &registry(scrape))?;
    Ok(written)
}

fn registry(scrape: Scrape) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    registry
}

/// The name without its unit: `fourtuple_` and the noun; what every process has is called as everywhere.
pub(super) fn base_name(metric: &Metric) -> Cow<'static, str> {
    match (metric.noun, metric.noun.starts_with("process_")) {
        (noun, true) => noun.into(),
        ("", false) => "fourtuple".into(),
        (noun, false) => format!("fourtuple_{noun}").into(),
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in all() {
            let unit = match metric.unit {
                "" => None,
                "seconds" => Some(Unit::Seconds),
                "bytes" => Some(Unit::Bytes),
                other => Some(Unit::Other(other.to_owned())),
            };
            let name = base_name(metric);
            // The encoder writes the full stop behind help only for what is registered one by one.
            let encoder =
                encoder.encode_descriptor(&name, metric.help, unit.as_ref(), metric.kind.into())?;
            encode_values(metric, self.values(metric), encoder)?;
        }
        Ok(())
    }
}

fn encode_values(metric: &Metric, values: Values, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    let numbers = match values {
        Values::Distribution(all, scale) => return histogram(&mut encoder, &all, scale),
        Values::Numbers(numbers) => numbers,
    };
    numbers.into_iter().try_for_each(|(labels, number)| {
        if metric.kind == Kind::Info {
            encoder.encode_info(&labels)
        } else if labels.is_empty() {
            encode_number(metric.kind, &mut encoder, number)
        } else {
            let mut encoder = encoder.encode_family(&labels)?;
            encode_number(metric.kind, &mut encoder, number)
        }
    })
}

fn encode_number(kind: Kind, encoder: &mut MetricEncoder<'_>, number: Number) -> fmt::Result {
    let exemplar = None::<&Exemplar<NoLabelSet, f64>>;
    match (kind, number) {
        (Kind::Counter, Number::Whole(value)) => encoder.encode_counter(&value, exemplar),
        (Kind::Counter, Number::Real(value)) => encoder.encode_counter(&value, exemplar),
        (_, Number::Whole(value)) => encoder.encode_gauge(&value),
        (_, Number::Real(value)) => encoder.encode_gauge(&value),
    }
}

/// Buckets up to powers of two, in a unit of which `scale` are one.
fn histogram(encoder: &mut MetricEncoder<'_>, all: &Distribution, scale: f64) -> fmt::Result {
    let buckets: [(f64, u64); Histogram::BUCKETS] = std::array::from_fn(|bucket| {
        let bound = Distribution::bound(bucket);
        let bound = bound.map_or(f64::INFINITY, |bound| bound as f64 * scale);
        (bound, all.buckets[bucket])
    });
    // Each cell was read at its own moment: what the buckets say is what the text must add up to.
    let count = all.buckets.iter().sum();
    let sum = all.sum as f64 * scale;
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge,
            Kind::Histogram => Self::Histogram,
            Kind::Info => Self::Info,
        }
    }
}
