//! Figures under the names that Artillery gives them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{expectation::KINDS, figures::Figures, read::Script};
use crate::{failure::Failure, latency::Summary};

/// The metrics of a period or of a whole run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Metrics {
    pub(crate) counters: BTreeMap<String, u64>,
    /// Per second.
    pub(crate) rates: BTreeMap<String, f64>,
    pub(crate) summaries: BTreeMap<String, Summary>,
}

impl Metrics {
    /// What Artillery would call these figures, which took `seconds`.
    pub(crate) fn of(figures: &Figures, script: &Script, seconds: f64) -> Self {
        let mut metrics = Self::default();
        metrics.count("vusers.created", figures.created);
        for (program, &count) in script.programs.iter().zip(&figures.created_by) {
            metrics.count(&format!("vusers.created_by_name.{}", program.name), count);
        }
        metrics.count("vusers.completed", figures.completed);
        metrics.count("vusers.skipped", figures.skipped);
        metrics.count("websocket.messages_sent", figures.sent);
        metrics.count("websocket.messages_received", figures.received);
        metrics.count("socketio.emit", figures.socketio.emits);
        for (failure, count) in figures.failed.iter() {
            *metrics
                .counters
                .entry(format!("errors.{}", error_name(failure)))
                .or_default() += count;
        }
        for (name, count) in figures.apdex.counters() {
            metrics.counters.insert(name.to_owned(), count);
        }
        metrics.expectations(figures);
        for (name, &count) in &figures.custom.counters {
            *metrics.counters.entry(name.clone()).or_default() += count;
        }
        for (name, &count) in &figures.custom.rates {
            metrics.rate(name, count, seconds);
        }
        for (name, values) in &figures.custom.summaries {
            metrics
                .summaries
                .extend(values.summary().map(|summary| (name.clone(), summary)));
        }
        // That nobody failed is worth saying.
        let failed = figures.failed.total();
        metrics.counters.insert("vusers.failed".to_owned(), failed);
        metrics.rate("websocket.send_rate", figures.sent, seconds);
        metrics.rate("websocket.receive_rate", figures.received, seconds);
        metrics.rate("socketio.emit_rate", figures.socketio.emits, seconds);
        for (name, latency) in [
            ("vusers.session_length", &figures.session),
            ("socketio.response_time", &figures.socketio.response),
        ] {
            let summary = latency.summary();
            metrics
                .summaries
                .extend(summary.map(|summary| (name.to_owned(), summary)));
        }
        metrics
    }

    /// What Artillery's plugin `expect` counts.
    fn expectations(&mut self, figures: &Figures) {
        for (kind, counts) in KINDS.iter().zip(figures.expectations) {
            for (word, count) in ["ok", "failed"].iter().zip(counts).filter(|one| one.1 > 0) {
                let all = format!("plugins.expect.{word}");
                self.counters.insert(format!("{all}.{kind}"), count);
                *self.counters.entry(all).or_default() += count;
            }
        }
    }

    /// What is measured here and not by Artillery.
    pub(crate) fn ours(figures: &Figures) -> Self {
        let mut metrics = Self::default();
        metrics.count("websocket.bytes_sent", figures.sent_bytes);
        metrics.count("websocket.bytes_received", figures.received_bytes);
        metrics.count("websocket.messages_awaited", figures.awaited);
        metrics.count("phoenix.heartbeats_sent", figures.heartbeats);
        metrics.count("socketio.pings_answered", figures.socketio.pings);
        metrics.count("vusers.interrupted", figures.interrupted);
        metrics.count("vusers.active", figures.active);
        metrics.count("vusers.lines_dropped", figures.lines_dropped);
        metrics.count("websocket.sockets_opened", figures.sockets_opened);
        metrics.count("websocket.disconnected", figures.disconnected.total());
        metrics.count("websocket.reconnected", figures.reconnected);
        let attempts = figures.reconnect_attempts;
        metrics.count("websocket.reconnect_attempts", attempts);
        metrics.count("vusers.away", figures.away);
        metrics.count("websocket.tuples_busy", figures.tuples_busy);
        metrics.count(
            "steps.late",
            figures.steps.iter().map(|step| step.late).sum(),
        );
        for (name, latency) in [
            ("websocket.connect_time", &figures.connect),
            ("websocket.response_time", &figures.response),
            ("socketio.connect_time", &figures.socketio.connect),
            ("vusers.lateness", &figures.lateness),
            ("websocket.back_time", &figures.back),
        ] {
            if let Some(summary) = latency.summary() {
                metrics.summaries.insert(name.to_owned(), summary);
            }
        }
        metrics
    }

    /// The value of a name such as `vusers.failed` or `vusers.session_length.p95`.
    pub(crate) fn find(&self, name: &str) -> Option<f64> {
        if let Some(&count) = self.counters.get(name) {
            return Some(count as f64);
        }
        if let Some(&rate) = self.rates.get(name) {
            return Some(rate);
        }
        let (name, field) = name.rsplit_once('.')?;
        let summary = self.summaries.get(name)?;
        Some(match field {
            "min" => summary.min,
            "max" => summary.max,
            "count" => summary.count as f64,
            "mean" => summary.mean,
            "p50" | "median" => summary.median,
            "p75" => summary.p75,
            "p90" => summary.p90,
            "p95" => summary.p95,
            "p99" => summary.p99,
            "p999" => summary.p999,
            _ => return None,
        })
    }

    /// The lines of a console's report, in the order of names.
    pub(crate) fn lines(&self) -> Vec<String> {
        const WIDTH: usize = 79;
        let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let padded = |name: &str, value: String| {
            let dots = WIDTH.saturating_sub(name.chars().count() + value.len() + 3);
            format!("{name}: {} {value}", ".".repeat(dots))
        };
        for (name, count) in &self.counters {
            lines.insert(name, vec![padded(name, count.to_string())]);
        }
        for (name, rate) in &self.rates {
            lines.insert(name, vec![padded(name, format!("{rate}/sec"))]);
        }
        for (name, summary) in &self.summaries {
            let mut block = vec![format!("{name}:")];
            for (field, value) in [
                ("min", summary.min),
                ("max", summary.max),
                ("mean", summary.mean),
                ("median", summary.median),
                ("p95", summary.p95),
                ("p99", summary.p99),
            ] {
                block.push(padded(&format!("  {field}"), value.to_string()));
            }
            lines.insert(name, block);
        }
        lines.into_values().flatten().collect()
    }

    /// A count that is there when anything was counted.
    fn count(&mut self, name: &str, count: u64) {
        if count > 0 {
            self.counters.insert(name.to_owned(), count);
        }
    }

    fn rate(&mut self, name: &str, count: u64, seconds: f64) {
        if count > 0 && seconds > 0.0 {
            let rate = (count as f64 / seconds).round();
            self.rates.insert(name.to_owned(), rate);
        }
    }
}

/// What Artillery, or the client that it uses, calls an error. Those that it does not see keep the
/// stable names of their classes.
fn error_name(failure: &Failure) -> String {
    match failure {
        Failure::Refused => "ECONNREFUSED".to_owned(),
        Failure::Reset => "ECONNRESET".to_owned(),
        Failure::Unreachable => "EHOSTUNREACH".to_owned(),
        Failure::ConnectTimeout | Failure::Vanished => "ETIMEDOUT".to_owned(),
        Failure::TuplesExhausted => "EADDRNOTAVAIL".to_owned(),
        Failure::Limit(capacity::Limit::Descriptors) => "EMFILE".to_owned(),
        Failure::Limit(capacity::Limit::OpenFiles) => "ENFILE".to_owned(),
        Failure::HandshakeTimeout => "Opening handshake has timed out".to_owned(),
        Failure::HttpStatus(status) => format!("Unexpected server response: {status}"),
        Failure::NoResponse => "response timeout".to_owned(),
        Failure::NoMatch => "Failed capture or match".to_owned(),
        Failure::Unexpected(step) => format!("Failed expectations for request {step}"),
        Failure::EmptyMessage => "Empty response from WS server".to_owned(),
        Failure::FunctionFailed { message, .. } => message.clone(),
        Failure::SocketIo(failure) => failure.name().to_owned(),
        Failure::ClosedWith(code) => format!("closed_with_code_{code}"),
        other => other.class().to_owned(),
    }
}
