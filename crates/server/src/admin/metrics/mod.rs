//! `GET /metrics`: what the node has counted, as text for Prometheus.
//!
//! ```text
//!  declarations ─► OpenMetrics, Prometheus text
//!       └────────► docs/metrics.md
//! ```
//!
//! Every metric is declared once, with where its value comes from. A scrape asks the shards for a reading of
//! now; everything else has been looked at in the background.

mod declarations;
mod gate;
#[cfg(test)]
mod page;
mod process;
mod text;
mod values;

use std::{fmt, sync::Arc};

use axum::{
    extract::State as Held,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use engine::Distribution;
use prometheus_client::encoding::prometheus_text;

#[cfg(feature = "otel")]
pub(super) use self::values::{Labels, Number, Values};
use self::{declarations::SECTIONS, process::Process};
use super::{
    limits::{Entry, Look},
    reading::{Reading, ShardReading},
    refused::Refused,
    state::State,
};
use crate::control::Readiness;

/// What OpenMetrics 1.0 calls itself.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    /// What is measured, without unit and `_total`: what a reader of a page looks for.
    noun: &'static str,
    /// What it is counted in, the last word of its name.
    pub(super) unit: &'static str,
    pub(super) kind: Kind,
    /// A sentence.
    pub(super) help: &'static str,
    source: Source,
}

/// What a value means from one scrape to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It never falls while the process lives.
    Counter,
    Gauge,
    Histogram,
    /// Its labels are the value.
    Info,
}

/// Where the values of a metric come from, and with that which labels it has.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// A count of each shard, added up.
    Sum(fn(&ShardReading) -> u64),
    /// Each shard by itself.
    Shards(fn(&ShardReading) -> f64),
    /// A label with all its values, each there from the start, and the count of each.
    By {
        label: &'static str,
        values: &'static [&'static str],
        count: fn(&Reading, &str) -> u64,
    },
    /// Microseconds, shown in seconds.
    Micros(fn(&ShardReading) -> &Distribution),
    /// Numbers as they are.
    Numbers(fn(&ShardReading) -> &Distribution),
    /// One value.
    Once(fn(&Scrape) -> f64),
    /// A label with all its values, of what the control plane itself has counted.
    Told {
        label: &'static str,
        values: &'static [&'static str],
        count: fn(&Scrape, &str) -> u64,
    },
    /// Each limit that has a present value and a ceiling.
    Limits(fn(&Entry) -> Option<u64>),
    /// Names of the program and what they are.
    Info(&'static [(&'static str, &'static str)]),
}

/// What there is to tell at one moment.
#[derive(Debug)]
pub(super) struct Scrape {
    reading: Reading,
    limits: Option<Arc<Look>>,
    process: Process,
    readiness: Readiness,
    viewers_count: usize,
    refused: Refused,
}

/// Everything that the node counts, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "metrics", responses(
    (status = 200, description = "OpenMetrics 1.0 where it is accepted, else the text format of Prometheus", content((String = "application/openmetrics-text"), (String = "text/plain"))),
))]
pub(super) async fn metrics(Held(state): Held<State>, head: HeaderMap) -> Response {
    let scrape = Scrape::take(&state).await;
    let (content_type, text) = if wants_open_metrics(&head) {
        (OPEN_METRICS, text::open_metrics(scrape))
    } else {
        (prometheus_text::CONTENT_TYPE, text::prometheus(scrape))
    };
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether whoever asks names OpenMetrics, as Prometheus does; a person with a browser or curl does not.
fn wants_open_metrics(head: &HeaderMap) -> bool {
    let accepted = head.get_all(header::ACCEPT).into_iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/openmetrics-text"))
}

/// Every metric.
pub(super) fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|(_, metrics)| *metrics)
}

impl Scrape {
    pub(super) async fn take(state: &State) -> Self {
        let reading = state.observatory.read().await;
        let limits = state.limits.latest();
        Self {
            process: Process::read(state.started, limits.as_deref()),
            readiness: state.control.readiness(),
            viewers_count: state.observatory.viewers_count(),
            refused: state.refused.clone(),
            reading,
            limits,
        }
    }
}

impl Metric {
    /// Its name as a query writes it.
    #[cfg(any(test, feature = "otel"))]
    pub(super) fn name(&self) -> String {
        let base = text::base_name(self);
        let unit = match self.unit {
            "" => String::new(),
            unit => format!("_{unit}"),
        };
        let end = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{base}{unit}{end}")
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}
