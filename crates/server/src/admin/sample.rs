//! A second of the node's life in numbers, as the dashboard draws it: the difference of two readings.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use engine::Distribution;
use serde::Serialize;

use super::reading::{Reading, ShardReading};

/// What the dashboard is sent every second. Rates are per second, times in seconds, since the sample
/// before.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    /// Seconds since 1970.
    pub(crate) at: f64,
    /// The numbers that are also kept as history.
    #[serde(flatten)]
    pub(crate) line: Line,
    /// What happened since the start.
    pub(crate) totals: Totals,
    /// Ends of open WebSockets by cause, since the start.
    pub(crate) closes: BTreeMap<&'static str, u64>,
    /// Refused upgrades by reason, since the start.
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    /// Each shard by itself.
    pub(crate) shards: Vec<ShardSample>,
}

/// Declares the numbers of a sample once: the line, its name as a column, and how it is made.
macro_rules! line {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The numbers of a second.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
        pub(crate) struct Line { $($(#[$doc])* pub(crate) $name: f64,)* }

        impl Line {
            /// The names, in order.
            pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// The numbers, in the order of their names.
            pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> {
                [$(self.$name),*].into_iter()
            }
        }
    };
}

line! {
    /// Open WebSockets.
    connections,
    /// Sockets in all phases, those that greet or say goodbye included.
    sockets,
    /// Joined channels.
    channels,
    /// Topics with members, summed over shards: a topic counts on each shard that has members of it.
    topics,
    /// Accepted connections per second.
    accepts_per_s,
    /// Opened WebSockets per second.
    connects_per_s,
    /// Ended WebSockets per second.
    closes_per_s,
    /// Refused upgrades and dropped connections per second.
    refusals_per_s,
    /// Granted joins per second.
    joins_per_s,
    /// Messages of clients per second, heartbeats included.
    messages_in_per_s,
    /// Frames to clients per second: replies, pushes and deliveries.
    messages_out_per_s,
    /// Broadcasts per second, each counted once on every shard that it reached.
    broadcasts_per_s,
    /// Broadcasts delivered to members per second.
    deliveries_per_s,
    /// Heartbeats answered per second.
    heartbeats_per_s,
    /// Bytes received per second.
    bytes_in_per_s,
    /// Bytes sent per second.
    bytes_out_per_s,
    /// Half of the handshakes took no longer.
    handshake_p50_s,
    /// Of a hundred handshakes, 99 took no longer.
    handshake_p99_s,
    /// Of a hundred joins, 99 took no longer.
    join_p99_s,
    /// Of a hundred other messages, 99 took no longer to handle.
    handler_p99_s,
    /// Half of the broadcasts were written to their last member after no more than this.
    fanout_p50_s,
    /// Of a hundred broadcasts, 99 were.
    fanout_p99_s,
    /// How long mail to the slowest shard waits: what heartbeats and broadcasts wait, too.
    lag_s,
    /// CPU of all shards: 1 is one core.
    cpu_cores,
    /// Memory of the process that is in RAM.
    resident_bytes,
}

/// Counts since the start of the node.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Totals {
    /// Opened WebSockets.
    pub(crate) connects: u64,
    /// Granted joins.
    pub(crate) joins: u64,
    /// Messages of clients, heartbeats included.
    pub(crate) messages_in: u64,
    /// Frames to clients: replies, pushes and deliveries.
    pub(crate) messages_out: u64,
    /// Broadcasts delivered to members.
    pub(crate) deliveries: u64,
    /// Heartbeats answered.
    pub(crate) heartbeats: u64,
    /// Bytes received.
    pub(crate) bytes_in: u64,
    /// Bytes sent.
    pub(crate) bytes_out: u64,
}

/// One shard in a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ShardSample {
    pub(crate) connections: u64,
    pub(crate) deliveries_per_s: f64,
    pub(crate) messages_in_per_s: f64,
    /// The share of a core that its thread used.
    pub(crate) cpu: f64,
    /// How long mail to it waits.
    pub(crate) lag_s: f64,
    /// Mail that waits for it.
    pub(crate) mailbox: usize,
}

impl Sample {
    /// What happened between two readings.
    pub(crate) fn between(before: &Reading, now: &Reading, resident_bytes: u64) -> Self {
        let span = Span { before, now };
        let mut closes = BTreeMap::new();
        let mut refusals = BTreeMap::new();
        for shard in &now.shards {
            add(&mut closes, &shard.facts.closes);
            add(&mut refusals, &shard.facts.refusals);
        }
        let at = now.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            at: at.as_secs_f64(),
            line: span.line(resident_bytes),
            totals: Totals::of(now),
            closes,
            refusals,
            shards: span.shards(),
        }
    }
}

impl Totals {
    fn of(now: &Reading) -> Self {
        Self {
            connects: now.sum(|shard| shard.engine.opened),
            joins: now.sum(|shard| shard.facts.hub.joins),
            messages_in: now.sum(|shard| shard.engine.messages_in),
            messages_out: now.sum(|shard| shard.engine.frames_out),
            deliveries: now.sum(|shard| shard.facts.hub.deliveries),
            heartbeats: now.sum(|shard| shard.facts.hub.heartbeats),
            bytes_in: now.sum(|shard| shard.engine.bytes_in),
            bytes_out: now.sum(|shard| shard.engine.bytes_out),
        }
    }
}

/// Two readings of the same shards.
#[derive(Clone, Copy)]
struct Span<'a> {
    before: &'a Reading,
    now: &'a Reading,
}

impl Span<'_> {
    fn line(self, resident_bytes: u64) -> Line {
        let now = |count: fn(&ShardReading) -> u64| self.now.sum(count) as f64;
        let fanouts = self.added(|shard| &shard.facts.fanouts);
        let handshakes = self.added(|shard| &shard.handshakes);
        Line {
            connections: now(|shard| shard.engine.open),
            sockets: now(|shard| shard.engine.conns),
            channels: now(|shard| shard.facts.channels_count as u64),
            topics: now(|shard| shard.facts.topics_count as u64),
            accepts_per_s: self.rate(|shard| shard.engine.accepted),
            connects_per_s: self.rate(|shard| shard.engine.opened),
            closes_per_s: self.rate(|shard| shard.engine.opened.saturating_sub(shard.engine.open)),
            refusals_per_s: self.rate(|shard| shard.engine.refused + shard.engine.dropped),
            joins_per_s: self.rate(|shard| shard.facts.hub.joins),
            messages_in_per_s: self.rate(|shard| shard.engine.messages_in),
            messages_out_per_s: self.rate(|shard| shard.engine.frames_out),
            broadcasts_per_s: self.rate(|shard| shard.facts.hub.fanouts),
            deliveries_per_s: self.rate(|shard| shard.facts.hub.deliveries),
            heartbeats_per_s: self.rate(|shard| shard.facts.hub.heartbeats),
            bytes_in_per_s: self.rate(|shard| shard.engine.bytes_in),
            bytes_out_per_s: self.rate(|shard| shard.engine.bytes_out),
            handshake_p50_s: seconds(&handshakes, 0.5),
            handshake_p99_s: seconds(&handshakes, 0.99),
            join_p99_s: seconds(&self.added(|shard| &shard.facts.joins), 0.99),
            handler_p99_s: seconds(&self.added(|shard| &shard.facts.handlers), 0.99),
            fanout_p50_s: seconds(&fanouts, 0.5),
            fanout_p99_s: seconds(&fanouts, 0.99),
            lag_s: self.now.shards.iter().map(lag).fold(0.0, f64::max),
            cpu_cores: self.shards().iter().map(|shard| shard.cpu).sum(),
            resident_bytes: resident_bytes as f64,
        }
    }

    fn shards(self) -> Vec<ShardSample> {
        let pairs = self.before.shards.iter().zip(&self.now.shards);
        let sample = |(before, now): (&ShardReading, &ShardReading)| {
            let per_s = |count: fn(&ShardReading) -> u64| {
                count(now).saturating_sub(count(before)) as f64 / self.seconds()
            };
            let cpu = now.facts.cpu.saturating_sub(before.facts.cpu);
            ShardSample {
                connections: now.engine.open,
                deliveries_per_s: per_s(|shard| shard.facts.hub.deliveries),
                messages_in_per_s: per_s(|shard| shard.engine.messages_in),
                cpu: cpu.as_secs_f64() / self.seconds(),
                lag_s: lag(now),
                mailbox: now.waiting_count,
            }
        };
        pairs.map(sample).collect()
    }

    fn rate(self, count: fn(&ShardReading) -> u64) -> f64 {
        let new = self.now.sum(count).saturating_sub(self.before.sum(count));
        new as f64 / self.seconds()
    }

    fn added(self, of: fn(&ShardReading) -> &Distribution) -> Distribution {
        self.now.total(of).since(&self.before.total(of))
    }

    fn seconds(self) -> f64 {
        let took = self.now.taken.duration_since(self.before.taken);
        took.max(Duration::from_millis(1)).as_secs_f64()
    }
}

fn lag(shard: &ShardReading) -> f64 {
    (shard.late.max(shard.facts.waited)).as_secs_f64()
}

/// A quantile of microseconds, in seconds; zero when nothing happened.
fn seconds(micros: &Distribution, q: f64) -> f64 {
    micros.quantile(q).unwrap_or(0) as f64 / 1e6
}

fn add(sum: &mut BTreeMap<&'static str, u64>, counts: &BTreeMap<&'static str, u64>) {
    for (name, count) in counts {
        *sum.entry(name).or_default() += count;
    }
}
