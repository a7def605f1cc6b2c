//! What a run of a script counts, under Artillery's names: of one period and one shard, and all together.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    apdex::Apdex,
    expectation::{Expectation, KINDS},
    processor::Emitted,
    socketio::SocketIoFigures,
};
use crate::{
    failure::Failures,
    latency::Latency,
    timeline::{Counts, Measure, Period, Used},
};

/// What was counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) created: u64,
    /// Of these, by scenario.
    pub(crate) created_by: Box<[u64]>,
    pub(crate) completed: u64,
    /// Arrivals that `maxVusers` kept out.
    pub(crate) skipped: u64,
    /// Users that were there when the run was ended early.
    pub(crate) interrupted: u64,
    /// Why users failed.
    pub(crate) failed: Failures,
    pub(crate) sent: u64,
    /// Bytes of frames, heads and masks included.
    pub(crate) sent_bytes: u64,
    pub(crate) received: u64,
    /// Bytes of messages.
    pub(crate) received_bytes: u64,
    /// Of the received, those that a step waited for.
    pub(crate) awaited: u64,
    pub(crate) heartbeats: u64,
    /// Source tuples that turned out to be in use by others.
    pub(crate) tuples_busy: u64,
    /// WebSockets that were opened by users who may have several.
    pub(crate) sockets_opened: u64,
    /// Why connections ended that were to come back.
    pub(crate) disconnected: Failures,
    /// Of these, those that are back.
    pub(crate) reconnected: u64,
    pub(crate) reconnect_attempts: u64,
    /// Why attempts failed.
    pub(crate) returns_failed: Failures,
    /// From a user's arrival to its end.
    pub(crate) session: Latency,
    /// From the intended dial to the open WebSocket.
    pub(crate) connect: Latency,
    /// How much later than meant users were dialled.
    pub(crate) lateness: Latency,
    /// From when a step was meant to send to the message that it waited for.
    pub(crate) response: Latency,
    /// From the end of a connection until it was back, and its topics joined.
    pub(crate) back: Latency,
    /// By step of all scenarios, in their order.
    pub(crate) steps: Box<[StepFigures]>,
    /// Users that were there at the end of the period.
    pub(crate) active: u64,
    /// Of these, those that were to come back.
    pub(crate) away: u64,
    /// WebSockets that were open at the end of the period.
    pub(crate) open: u64,
    /// Lines of users that there was no room for.
    pub(crate) lines_dropped: u64,
    /// How users take their responses, if the script asks.
    pub(crate) apdex: Apdex,
    /// Expectations that held and that did not, by kind.
    pub(crate) expectations: [[u64; 2]; KINDS.len()],
    /// Those that did not, by step and what was expected.
    pub(crate) unmet: BTreeMap<String, u64>,
    /// What functions count.
    pub(crate) custom: Custom,
    /// What sessions of Socket.IO count.
    pub(crate) socketio: SocketIoFigures,
}

/// Metrics of a script's functions, by their names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Custom {
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) rates: BTreeMap<String, u64>,
    /// Their values are taken for milliseconds, from 0.001 to an hour.
    pub(crate) summaries: BTreeMap<String, Latency>,
}

/// Names of one kind of custom metric, at most; what has another name counts as `other`.
const CUSTOM_NAMES_MAX: usize = 256;

impl Custom {
    /// Counts what a function has emitted.
    pub(crate) fn count(&mut self, emitted: Emitted) {
        match emitted {
            Emitted::Counter(name, by) => *entry(&mut self.counters, name) += by,
            Emitted::Rate(name) => *entry(&mut self.rates, name) += 1,
            Emitted::Histogram(name, value) => {
                let millis = value.min(3_600_000.0) / 1e3;
                let value = Duration::from_secs_f64(millis);
                entry(&mut self.summaries, name).record(value);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        for (name, by) in other.counters {
            *entry(&mut self.counters, name) += by;
        }
        for (name, by) in other.rates {
            *entry(&mut self.rates, name) += by;
        }
        for (name, values) in other.summaries {
            entry(&mut self.summaries, name).merge(&values);
        }
    }
}

fn entry<V: Default>(all: &mut BTreeMap<String, V>, mut name: String) -> &mut V {
    if all.len() >= CUSTOM_NAMES_MAX && !all.contains_key(&name) {
        "other".clone_into(&mut name);
    }
    all.entry(name).or_default()
}

/// What was counted of one step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StepFigures {
    /// How often it was begun.
    pub(crate) begun: u64,
    /// Of these, more than [`LATE`] after it was meant to.
    pub(crate) late: u64,
    /// How much later than meant it was begun.
    pub(crate) lateness: Latency,
    /// From when it was meant to begin to the message that it waited for.
    pub(crate) response: Latency,
}

/// How late a step may begin without being called late.
pub(crate) const LATE: Duration = Duration::from_millis(10);

impl Figures {
    /// Nothing counted, for so many scenarios and steps.
    pub(crate) fn new(programs: usize, steps: usize) -> Self {
        Self {
            created_by: vec![0; programs].into(),
            steps: vec![StepFigures::default(); steps].into(),
            ..Self::default()
        }
    }

    /// Adds what another shard or another period has counted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.created += other.created;
        for (mine, others) in self.created_by.iter_mut().zip(&other.created_by) {
            *mine += others;
        }
        self.completed += other.completed;
        self.skipped += other.skipped;
        self.interrupted += other.interrupted;
        self.failed.merge(other.failed);
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.received += other.received;
        self.received_bytes += other.received_bytes;
        self.awaited += other.awaited;
        self.heartbeats += other.heartbeats;
        self.tuples_busy += other.tuples_busy;
        self.sockets_opened += other.sockets_opened;
        self.disconnected.merge(other.disconnected);
        self.reconnected += other.reconnected;
        self.reconnect_attempts += other.reconnect_attempts;
        self.returns_failed.merge(other.returns_failed);
        self.active += other.active;
        self.away += other.away;
        self.open += other.open;
        self.lines_dropped += other.lines_dropped;
        self.custom.merge(other.custom);
        self.apdex.merge(other.apdex);
        for (mine, others) in self.expectations.iter_mut().zip(other.expectations) {
            *mine = [mine[0] + others[0], mine[1] + others[1]];
        }
        for (text, count) in other.unmet {
            *entry(&mut self.unmet, text) += count;
        }
        self.socketio.merge(&other.socketio);
        for (mine, others) in [
            (&mut self.session, &other.session),
            (&mut self.connect, &other.connect),
            (&mut self.lateness, &other.lateness),
            (&mut self.response, &other.response),
            (&mut self.back, &other.back),
        ] {
            mine.merge(others);
        }
        for (mine, others) in self.steps.iter_mut().zip(&other.steps) {
            mine.begun += others.begun;
            mine.late += others.late;
            mine.lateness.merge(&others.lateness);
            mine.response.merge(&others.response);
        }
    }

    /// Adds what was counted after it: of what is there, the later count.
    pub(crate) fn follow(&mut self, later: Self) {
        (self.active, self.away, self.open) = (0, 0, 0);
        self.merge(later);
    }

    /// The same as a period of a timeline.
    pub(crate) fn period(&self, covered_ms: u64, limits: Vec<Used>) -> Period {
        let mut errors = BTreeMap::new();
        let all = [&self.failed, &self.disconnected, &self.returns_failed];
        for (failure, count) in all.into_iter().flat_map(Failures::iter) {
            *errors.entry(failure.class().to_owned()).or_default() += count;
        }
        let latencies = [
            (Measure::Lateness, &self.lateness),
            (Measure::Connect, &self.connect),
            (Measure::Response, &self.response),
            (Measure::Session, &self.session),
            (Measure::Back, &self.back),
        ];
        let latencies = latencies
            .into_iter()
            .map(|(measure, one)| (measure, one.spectrum()));
        Period {
            covered_ms,
            open: self.open,
            ready: self.active.saturating_sub(self.away),
            away: self.away,
            counts: Counts {
                dialled: self.created,
                readied: self.connect.percentiles().count,
                failed: self.failed.total(),
                disconnected: self.disconnected.total(),
                back: self.reconnected,
                completed: self.completed,
                sent: self.sent,
                received: self.received,
                answered: self.awaited,
                sent_bytes: self.sent_bytes,
                received_bytes: self.received_bytes,
                ..Counts::default()
            },
            errors,
            latencies: latencies
                .filter(|(_, spectrum)| spectrum.count() > 0)
                .collect(),
            limits,
        }
    }

    /// Counts that a step is begun, so much later than meant.
    pub(crate) fn begin_step(&mut self, step: usize, late: Duration) {
        let Some(step) = self.steps.get_mut(step) else {
            return;
        };
        step.begun += 1;
        step.late += u64::from(late > LATE);
        step.lateness.record(late);
    }

    /// Counts an expectation of a step.
    pub(crate) fn expect(&mut self, one: &Expectation, holds: bool, step: &dyn Fn() -> String) {
        self.expectations[one.kind()][usize::from(!holds)] += 1;
        if !holds {
            *entry(&mut self.unmet, format!("{}: {}", step(), one.text)) += 1;
        }
    }

    /// Counts the message that a step waited for.
    pub(crate) fn answer_step(&mut self, step: usize, after: Duration) {
        self.awaited += 1;
        self.response.record(after);
        if let Some(step) = self.steps.get_mut(step) {
            step.response.record(after);
        }
    }
}
