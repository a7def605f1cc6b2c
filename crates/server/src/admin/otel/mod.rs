//! OpenTelemetry: the declared metrics, and a span for each request to the control plane, sent to a
//! collector as OTLP over HTTP.
//!
//! ```text
//!  scrape ────► metrics ─┐
//!                        ├─► protobuf ─► POST {admin.otlp_endpoint}/v1/metrics, /v1/traces
//!  requests ──► spans ───┘
//! ```
//!
//! Messages are made from the declarations alone, without the SDK: its instruments would count a second
//! time what shards count, and it has none that takes over a histogram.

mod metrics;
mod post;
mod spans;

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, middleware::from_fn_with_state};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use prost::Message as _;
use tokio::time::{MissedTickBehavior, interval};

use self::{post::PostError, spans::Spans};
use super::{metrics::Scrape, state::State};
use crate::config::Collector;

/// How often spans are sent, when there are any.
const SPANS_EVERY: Duration = Duration::from_secs(1);
/// How many times more seldom metrics are.
const METRICS_EVERY: u32 = 15;

/// Has requests traced, and metrics and spans sent, if there is somebody to send them to.
pub(super) fn start(state: State, routes: Router) -> Router {
    let url = state.control.config().admin.otlp_endpoint.as_deref();
    // What cannot be one has kept the control plane from starting.
    let Some(Ok(collector)) = url.map(str::parse) else {
        return routes;
    };
    let spans = Spans::default();
    tokio::spawn(export(state, spans.clone(), collector));
    routes.layer(from_fn_with_state(spans, spans::record))
}

/// Sends metrics and spans for ever.
async fn export(state: State, spans: Spans, collector: Collector) {
    let exporter = Exporter {
        resource: resource(&state),
        collector,
        state,
        fails: AtomicBool::new(false),
    };
    let mut ticks = interval(SPANS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in (0..METRICS_EVERY).cycle() {
        ticks.tick().await;
        if tick == 0 {
            exporter.send_metrics().await;
        }
        exporter.send_spans(&spans).await;
    }
}

struct Exporter {
    state: State,
    collector: Collector,
    resource: Resource,
    /// Whether the last sending failed, so that an outage is said once.
    fails: AtomicBool,
}

impl Exporter {
    async fn send_metrics(&self) {
        let scrape = Scrape::take(&self.state).await;
        let request = metrics::request(&scrape, self.resource.clone(), self.state.started);
        let sent = self.collector.post("/v1/metrics", request.encode_to_vec());
        self.note(sent.await);
    }

    async fn send_spans(&self, spans: &Spans) {
        let spans = spans.take();
        if spans.is_empty() {
            return;
        }
        let request = spans::request(spans, self.resource.clone());
        let sent = self.collector.post("/v1/traces", request.encode_to_vec());
        self.note(sent.await);
    }

    fn note(&self, sent: Result<(), PostError>) {
        match sent {
            Ok(()) if self.fails.swap(false, Relaxed) => {
                tracing::info!("the collector at admin.otlp_endpoint takes what it is sent again");
            }
            Ok(()) => {}
            Err(error) if !self.fails.swap(true, Relaxed) => tracing::warn!(
                "the collector at admin.otlp_endpoint did not take what it was sent: {error}; trying \
                 again, and saying when it does"
            ),
            Err(_) => {}
        }
    }
}

/// Who sends.
fn resource(state: &State) -> Resource {
    let attributes = [
        ("service.name", "fourtuple".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", state.control.address().to_string()),
        ("process.pid", std::process::id().to_string()),
    ];
    Resource {
        attributes: attributes.map(|(key, value)| text(key, value)).into(),
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "fourtuple".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    attribute(key, Value::StringValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
