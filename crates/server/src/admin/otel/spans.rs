//! Requests to the control plane as spans: kept for a second, never more than a number of them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use axum::{
    extract::{MatchedPath, Request, State as Held},
    http::Method,
    middleware::Next,
    response::Response,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::SpanKind,
        status::StatusCode::{Error, Unset},
    },
};

use super::{attribute, nanos, scope, text};

/// Spans that are kept until they are sent; what is more is not traced.
const KEPT_MAX: usize = 1_024;

/// The spans that have not been sent. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(Arc<Mutex<Vec<Span>>>);

impl Spans {
    /// Everything that is to be sent.
    pub(super) fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, span: Span) {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() < KEPT_MAX {
            spans.push(span);
        }
    }
}

/// Lets a request through, and keeps how it went.
pub(super) async fn record(Held(spans): Held<Spans>, request: Request, next: Next) -> Response {
    let start = SystemTime::now();
    let method = method(request.method());
    // The route, not the path: there are few of them, and no path with a topic in it leaves the server.
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("", MatchedPath::as_str).to_owned();
    let parent = request.headers().get("traceparent");
    let parent = parent.and_then(|value| Parent::parse(value.to_str().ok()?));
    let response = next.run(request).await;
    let status = response.status();
    let code = if status.is_server_error() {
        Error
    } else {
        Unset
    };
    spans.add(Span {
        trace_id: parent
            .map_or_else(random::<16>, |parent| parent.trace)
            .to_vec(),
        span_id: random::<8>().to_vec(),
        parent_span_id: parent.map_or_else(Vec::new, |parent| parent.span.to_vec()),
        name: format!("{method} {route}").trim_end().to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanos(start),
        end_time_unix_nano: nanos(SystemTime::now()),
        attributes: vec![
            text("http.request.method", method.to_owned()),
            text("http.route", route),
            attribute(
                "http.response.status_code",
                Value::IntValue(status.as_u16().into()),
            ),
        ],
        status: Some(Status {
            code: code.into(),
            ..Status::default()
        }),
        ..Span::default()
    });
    response
}

/// The name of a method. One that HTTP does not know is not kept: its name may be as long as a head.
fn method(method: &Method) -> &'static str {
    const KNOWN: [(&Method, &str); 7] = [
        (&Method::GET, "GET"),
        (&Method::HEAD, "HEAD"),
        (&Method::POST, "POST"),
        (&Method::PUT, "PUT"),
        (&Method::DELETE, "DELETE"),
        (&Method::PATCH, "PATCH"),
        (&Method::OPTIONS, "OPTIONS"),
    ];
    let known = KNOWN.iter().find(|(known, _)| *known == method);
    known.map_or("_OTHER", |(_, name)| name)
}

pub(super) fn request(spans: Vec<Span>, resource: Resource) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// The span of whoever asks; W3C Trace Context §3.2: `00-{trace id}-{parent id}-{flags}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
}

impl Parent {
    fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let version = parts.next()?;
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let is_known = version == "00" && flags.len() == 2 && parts.next().is_none();
        let parent = Self {
            trace: bytes(trace)?,
            span: bytes(span)?,
        };
        // W3C Trace Context §3.2.2.3: all zeros are no id.
        let is_some = parent.trace != [0; 16] && parent.span != [0; 8];
        (is_known && is_some).then_some(parent)
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let is_hex = hex.len() == 2 * N
        && hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let number = is_hex.then(|| u128::from_str_radix(hex, 16).ok())??;
    number.to_be_bytes()[16 - N..].try_into().ok()
}

fn random<const N: usize>() -> [u8; N] {
    let mut id = [0; N];
    // Without randomness ids are zeros, and a collector drops the span: nothing else depends on it.
    let _ = getrandom::fill(&mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_two_ids_in_hex() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = Parent::parse(header).expect("the example of the specification");
        assert_eq!((parent.trace[0], parent.span[7]), (0x0a, 0x31));
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd-b7ad6b7169203331-01",
        ] {
            assert_eq!(Parent::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_more_spans_are_kept_than_may_be() {
        let spans = Spans::default();
        for _ in 0..KEPT_MAX + 5 {
            spans.add(Span::default());
        }
        assert_eq!(spans.take().len(), KEPT_MAX);
        assert!(spans.take().is_empty());
    }
}
