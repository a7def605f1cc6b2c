//! The declared metrics as a message of OTLP.

use std::time::SystemTime;

use engine::{Distribution, Histogram as Buckets};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric as Told,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point::Value,
    },
    resource::v1::Resource,
};

use super::{nanos, scope, text};
use crate::admin::metrics::{Kind, Labels, Number, Scrape, Values, all};

/// The moments that every point carries.
#[derive(Clone, Copy)]
struct Time {
    start: u64,
    now: u64,
}

/// Everything that a scrape tells, under the names that it has for Prometheus.
pub(super) fn request(
    scrape: &Scrape,
    resource: Resource,
    started: SystemTime,
) -> ExportMetricsServiceRequest {
    let time = Time {
        start: nanos(started),
        now: nanos(SystemTime::now()),
    };
    let metrics = all().map(|metric| Told {
        name: metric.name(),
        description: metric.help.to_owned(),
        unit: unit(metric.unit),
        data: Some(data(metric.kind, scrape.values(metric), time)),
        ..Told::default()
    });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: metrics.collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn data(kind: Kind, values: Values, time: Time) -> Data {
    let cumulative = AggregationTemporality::Cumulative.into();
    let numbers = match values {
        Values::Distribution(all, scale) => {
            return Data::Histogram(Histogram {
                data_points: vec![buckets(&all, scale, time)],
                aggregation_temporality: cumulative,
            });
        }
        Values::Numbers(numbers) => numbers,
    };
    let points = numbers
        .into_iter()
        .map(|(labels, number)| point(labels, number, time));
    let data_points = points.collect();
    match kind {
        Kind::Counter => Data::Sum(Sum {
            data_points,
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Gauge | Kind::Histogram | Kind::Info => Data::Gauge(Gauge { data_points }),
    }
}

fn point(labels: Labels, number: Number, time: Time) -> NumberDataPoint {
    let labels = labels.into_iter();
    NumberDataPoint {
        attributes: labels
            .map(|(name, value)| text(name, value.into_owned()))
            .collect(),
        start_time_unix_nano: time.start,
        time_unix_nano: time.now,
        value: Some(match number {
            Number::Whole(value) => Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX)),
            Number::Real(value) => Value::AsDouble(value),
        }),
        ..NumberDataPoint::default()
    }
}

fn buckets(all: &Distribution, scale: f64, time: Time) -> HistogramDataPoint {
    let bounds = (0..Buckets::BUCKETS).filter_map(Distribution::bound);
    HistogramDataPoint {
        start_time_unix_nano: time.start,
        time_unix_nano: time.now,
        // Each cell was read at its own moment: what the buckets say is what must add up.
        count: all.buckets.iter().sum(),
        sum: Some(all.sum as f64 * scale),
        bucket_counts: all.buckets.to_vec(),
        explicit_bounds: bounds.map(|bound| bound as f64 * scale).collect(),
        ..HistogramDataPoint::default()
    }
}

/// The unit as UCUM has it; what is counted stands in braces.
fn unit(unit: &str) -> String {
    match unit {
        "" => "1".to_owned(),
        "seconds" => "s".to_owned(),
        "bytes" => "By".to_owned(),
        counted => format!("{{{counted}}}"),
    }
}
