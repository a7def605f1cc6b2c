//! The results of a run: numbers with stable names, and a verdict.
//!
//! The JSON form is the fields of [`Report`] under their own names. Times end in `_us` or `_ms`;
//! everything else is a count.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    agents::MachineReport,
    failure::{Failure, FailureCount, Failures},
    latency::Percentiles,
    options::Options,
    outcome::{Deliveries, Heartbeats, Outcome, Publishes, Pushes, Returns},
    rate::per_second,
    record::{self, Behind},
    tally::{self, Broadcast},
    timeline::Timeline,
};

mod shortfalls;
mod text;

/// The results of a run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The server's URL.
    pub target: String,
    /// Whether everything that was asked was done and held to the end.
    pub held: bool,
    /// What was asked and not held, in sentences; empty exactly when `held`.
    pub shortfalls: Vec<String>,
    /// Whether the run was ended early.
    pub interrupted: bool,
    /// Threads of the crowd.
    pub shards: u16,
    /// What carried the connections, and why.
    pub kernel: String,
    /// What carried the connections: `epoll` or `io_uring`.
    pub carrier: String,
    /// The connections.
    pub connections: Connections,
    /// How long opening everything took, from the first intended dial to the last join.
    pub opening_ms: u64,
    /// Connections that got ready, per second of that.
    pub opened_per_second: u64,
    /// How long everything was held.
    pub hold_ms: u64,
    /// How long each stage took as a whole.
    pub stages: Stages,
    /// Latencies.
    pub latency: Latencies,
    /// Publishes.
    pub publishes: Publishes,
    /// Deliveries of publishes.
    pub deliveries: Deliveries,
    /// The broadcasts, one after the other.
    pub broadcasts: Vec<Broadcast>,
    /// Deliveries of all broadcasts per second, counting each broadcast until its last delivery.
    pub broadcast_deliveries_per_second: u64,
    /// Connections that were ended on purpose.
    pub drop: Drop,
    /// Clients that lost their connection and came back.
    pub returns: Returns,
    /// Pushes.
    pub pushes: Pushes,
    /// Pushes answered within the hold, per second of it, rounded down.
    pub pushes_answered_per_second: u64,
    /// Heartbeats.
    pub heartbeats: Heartbeats,
    /// Why connections did not get ready, most frequent first.
    pub not_opened: Vec<FailureCount>,
    /// Why connections that were ready ended early for good, most frequent first.
    pub dropped: Vec<FailureCount>,
    /// Why connections ended whose clients were to come back, most frequent first.
    pub disconnected: Vec<FailureCount>,
    /// Why tries to come back failed, most frequent first.
    pub returns_failed: Vec<FailureCount>,
    /// Of all of these, the limits that kept this machine from generating the load; the run says nothing
    /// about the server then.
    pub limits: Vec<FailureCount>,
    #[serde(skip)]
    pub(crate) behind: Behind,
    /// The machines of the crowd, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<MachineReport>,
}

/// How long the stages of a run took, in milliseconds; 0 for those that it did not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stages {
    /// From the first dial until everything was up or had failed, as the conductor saw it.
    pub opening_ms: u64,
    /// The hold.
    pub holding_ms: u64,
    /// From the first broadcast to the end of the last.
    pub broadcasting_ms: u64,
    /// From the end of connections on purpose until all were back.
    pub dropping_ms: u64,
    /// From the first goodbye to the last.
    pub closing_ms: u64,
}

/// Connections that were ended on purpose, to see them come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Drop {
    /// Asked for.
    pub asked: u64,
    /// Ended.
    pub dropped: u64,
    /// Their clients that were ready again.
    pub back: u64,
    /// Dials that this took.
    pub attempts: u64,
    /// From their end until the last was back.
    pub back_ms: u64,
    /// Clients back per second of that.
    pub back_per_second: u64,
}

/// The connections of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Connections {
    /// Asked for.
    pub asked: u64,
    /// WebSockets that were open once.
    pub opened: u64,
    /// Those that got ready: open, and joined if that was asked.
    pub ready: u64,
    /// Those that were still there at the end.
    pub held: u64,
    /// Those that did not get ready.
    pub not_opened: u64,
    /// Those that were ready and ended before the crowd closed them.
    pub dropped: u64,
    /// Source tuples that turned out to be in use by others and were skipped.
    pub tuples_busy: u64,
}

/// The latencies of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Latencies {
    /// How much later than intended connections were dialled.
    pub lateness: Percentiles,
    /// From the intended dial to the established TCP connection.
    pub connect: Percentiles,
    /// From there to the open WebSocket.
    pub upgrade: Percentiles,
    /// From the join to its reply.
    pub join: Percentiles,
    /// From a publish's intended sending to each of its deliveries.
    pub delivery: Percentiles,
    /// From a publish's intended sending to the last of its deliveries.
    pub last_delivery: Percentiles,
    /// From a publish's intended sending to the reply its publisher gets.
    pub publish_reply: Percentiles,
    /// From a push's intended sending to its reply.
    pub push_reply: Percentiles,
    /// From the end of a connection until its client was ready again.
    pub back: Percentiles,
}

impl Report {
    pub(crate) fn new(options: &Options, shards: u16, mut outcome: Outcome, end: End) -> Self {
        outcome.adopt_orphans();
        let connections = Connections {
            asked: options.connections.into(),
            opened: outcome.opened,
            ready: outcome.readied,
            held: outcome.held,
            not_opened: outcome.not_opened.total(),
            dropped: outcome.dropped.total(),
            tuples_busy: outcome.tuples_busy,
        };
        let hold_ms = millis(end.held);
        let drop = Drop {
            asked: options.drop.map_or(0, |share| share.of(connections.asked)),
            dropped: outcome.drop.dropped,
            back: outcome.drop.back,
            attempts: outcome.drop.attempts,
            back_ms: millis(outcome.drop.took),
            back_per_second: per_second(outcome.drop.back, outcome.drop.took),
        };
        let span = (end.began_ms, end.ended_ms);
        let plan = record::of_options(options);
        let behind = Behind::of(plan, &outcome, span, end.timeline);
        let mut report = Self {
            target: options.target.to_string(),
            held: false,
            shortfalls: Vec::new(),
            interrupted: end.interrupted,
            shards,
            kernel: end.kernel,
            carrier: end.carrier,
            connections,
            opening_ms: millis(outcome.opening),
            opened_per_second: per_second(connections.ready, outcome.opening),
            hold_ms,
            stages: Stages {
                opening_ms: millis(end.opening),
                holding_ms: hold_ms,
                broadcasting_ms: millis(end.broadcasting),
                dropping_ms: millis(end.dropping),
                closing_ms: millis(end.closing),
            },
            latency: latencies_of(&outcome),
            publishes: outcome.publishes,
            deliveries: outcome.deliveries,
            broadcast_deliveries_per_second: tally::deliveries_per_second(&end.broadcasts),
            broadcasts: end.broadcasts,
            drop,
            returns: outcome.returns,
            pushes: outcome.pushes,
            pushes_answered_per_second: per_second(outcome.pushes.answered_in_hold, end.held),
            heartbeats: outcome.heartbeats,
            not_opened: outcome.not_opened.counts(),
            dropped: outcome.dropped.counts(),
            disconnected: outcome.disconnected.counts(),
            returns_failed: outcome.returns_failed.counts(),
            limits: limits_of(&outcome).counts(),
            behind,
            machines: Vec::new(),
        };
        report.shortfalls = shortfalls::of(&report, options);
        report.held = report.shortfalls.is_empty();
        report
    }

    /// The same for a crowd of several machines.
    pub(crate) fn with_machines(mut self, machines: Vec<MachineReport>, options: &Options) -> Self {
        self.machines = machines;
        self.shortfalls = shortfalls::of(&self, options);
        self.held = self.shortfalls.is_empty();
        self
    }

    /// The report as JSON, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("the fields are numbers, strings and lists")
    }
}

/// What only the conductor knows of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) opening: Duration,
    /// How long everything was held.
    pub(crate) held: Duration,
    pub(crate) broadcasting: Duration,
    pub(crate) dropping: Duration,
    pub(crate) closing: Duration,
    /// Not for other machines: those tell what came of each as it is over.
    #[serde(skip)]
    pub(crate) broadcasts: Vec<Broadcast>,
    pub(crate) interrupted: bool,
    /// What carried the connections, and why.
    pub(crate) kernel: String,
    /// The same without the reason.
    pub(crate) carrier: String,
    /// When the run began and ended, in milliseconds of the epoch.
    pub(crate) began_ms: u64,
    pub(crate) ended_ms: u64,
    pub(crate) timeline: Timeline,
}

/// The latencies that a report shows.
fn latencies_of(outcome: &Outcome) -> Latencies {
    Latencies {
        lateness: outcome.lateness.percentiles(),
        connect: outcome.connect.percentiles(),
        upgrade: outcome.upgrade.percentiles(),
        join: outcome.join.percentiles(),
        delivery: outcome.delivery.percentiles(),
        last_delivery: outcome.arrivals.latency().percentiles(),
        publish_reply: outcome.publish_reply.percentiles(),
        push_reply: outcome.push_reply.percentiles(),
        back: outcome.back.percentiles(),
    }
}

/// The failures that say that this machine could not generate the load.
pub(crate) fn limits_of(outcome: &Outcome) -> Failures {
    let mut limits = outcome.not_opened.only(Failure::is_ours);
    limits.merge(outcome.dropped.only(Failure::is_ours));
    limits.merge(outcome.disconnected.only(Failure::is_ours));
    limits.merge(outcome.returns_failed.only(Failure::is_ours));
    limits
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
