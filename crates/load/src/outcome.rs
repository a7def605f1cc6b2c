//! What one shard has measured, in plain numbers that add up exactly.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    arrivals::Arrivals, failure::Failures, latency::Latency, orphans::Orphans, tally::Tally,
    timeline::Pulse,
};

/// What a shard hands in.
#[derive(Debug)]
pub(crate) enum Handed {
    /// What came of a broadcast.
    Tally(Box<Tally>),
    /// What was counted and measured since the last of them.
    Pulse(Box<Pulse>),
    /// Everything else, once, at its end.
    Outcome(Box<Outcome>),
}

/// One shard's results; merged, the results of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Connections that were dialled for the first time.
    pub(crate) dialled: u64,
    /// Connections whose WebSocket was open once.
    pub(crate) opened: u64,
    /// Connections that got all the way: open, and joined if that was asked.
    pub(crate) readied: u64,
    /// Connections that were still there at the end.
    pub(crate) held: u64,
    /// From the start to the last connection that got ready.
    pub(crate) opening: Duration,
    /// Tuples that turned out to be in use by others and were skipped.
    pub(crate) tuples_busy: u64,
    /// Connections that never got ready.
    pub(crate) not_opened: Failures,
    /// Connections that were ready and ended before the crowd closed them.
    pub(crate) dropped: Failures,
    /// Connections that were ready and ended, and whose clients were to come back.
    pub(crate) disconnected: Failures,
    /// Tries to come back that failed.
    pub(crate) returns_failed: Failures,
    pub(crate) returns: Returns,
    pub(crate) drop: Drop,
    pub(crate) lateness: Latency,
    pub(crate) connect: Latency,
    pub(crate) upgrade: Latency,
    pub(crate) join: Latency,
    pub(crate) delivery: Latency,
    pub(crate) publish_reply: Latency,
    pub(crate) push_reply: Latency,
    /// From the end of a connection to being ready again.
    pub(crate) back: Latency,
    pub(crate) arrivals: Arrivals,
    pub(crate) orphans: Orphans,
    pub(crate) publishes: Publishes,
    pub(crate) deliveries: Deliveries,
    pub(crate) pushes: Pushes,
    pub(crate) heartbeats: Heartbeats,
}

/// Publishes of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Publishes {
    /// The rate times the hold, over all topics.
    pub asked: u64,
    /// Really sent. The others had no member left on the publisher's thread to send them, whatever
    /// other threads had; or the hold was over, interrupted or overrun by the settle timeout.
    pub sent: u64,
    /// Answered with something other than `ok`.
    pub refused: u64,
    /// Answered so late that the reply could not be measured: its topic had sent more publishes
    /// since than are remembered, 65,536 or its share of 1,048,576 for the topics of a thread.
    pub unmeasured: u64,
    /// Sent, but not followed to their last delivery: a run follows the first 1,048,576 publishes,
    /// which its topics share alike.
    pub unfollowed: u64,
}

/// Deliveries of a run: `expected = received + lost + dropped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deliveries {
    /// For each publish, the members whose join was confirmed before it was sent.
    pub expected: u64,
    /// Of these, those that arrived.
    pub received: u64,
    /// Of these, those that never arrived though a later one did, or though their member was there
    /// to the end.
    pub lost: u64,
    /// Of these, those that did not arrive because a connection ended first: their member's, or
    /// their publisher's.
    pub dropped: u64,
    /// Of the dropped, those of publishers whose connection ended before the publish was answered
    /// or had arrived anywhere.
    pub undelivered: u64,
    /// Arrivals beyond the first.
    pub duplicated: u64,
    /// Arrivals after 64 or more later publishes, when it is no longer known whether they are the
    /// first: of publishes that were given up as lost, which they stay, or repetitions.
    pub late: u64,
    /// Arrivals at members that the publish did not have to reach.
    pub extra: u64,
    /// Arrivals at members of another topic, or of publishes that were never sent.
    pub misrouted: u64,
}

/// Pushes of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pushes {
    /// The rate times the hold, over all clients that were there when it began; 0 for a closed loop.
    pub asked: u64,
    /// Sent.
    pub sent: u64,
    /// Answered.
    pub answered: u64,
    /// Of these, those that were answered before the hold was over.
    pub answered_in_hold: u64,
    /// Answered with something other than `ok`.
    pub refused: u64,
    /// Due and not sent, because the answer to an earlier one took too long or the crowd itself did.
    pub skipped: u64,
}

/// Clients that lost their connection and came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Returns {
    /// Connections that ended without the crowd's doing and whose clients were to come back.
    pub disconnected: u64,
    /// Clients that got ready again, one for each time; those that were dropped on purpose, too.
    pub back: u64,
    /// Dials to come back, whatever came of them.
    pub attempts: u64,
}

/// Connections that were ended on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drop {
    pub(crate) dropped: u64,
    pub(crate) back: u64,
    pub(crate) attempts: u64,
    /// From their end to the last that was back.
    pub(crate) took: Duration,
}

/// Heartbeats of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Heartbeats {
    /// Sent.
    pub sent: u64,
    /// Answered.
    pub answered: u64,
}

impl Outcome {
    pub(crate) fn new() -> Self {
        Self {
            dialled: 0,
            opened: 0,
            readied: 0,
            held: 0,
            opening: Duration::ZERO,
            tuples_busy: 0,
            not_opened: Failures::default(),
            dropped: Failures::default(),
            disconnected: Failures::default(),
            returns_failed: Failures::default(),
            returns: Returns::default(),
            drop: Drop::default(),
            lateness: Latency::new(),
            connect: Latency::new(),
            upgrade: Latency::new(),
            join: Latency::new(),
            delivery: Latency::new(),
            publish_reply: Latency::new(),
            push_reply: Latency::new(),
            back: Latency::new(),
            arrivals: Arrivals::default(),
            orphans: Orphans::default(),
            publishes: Publishes::default(),
            deliveries: Deliveries::default(),
            pushes: Pushes::default(),
            heartbeats: Heartbeats::default(),
        }
    }

    /// Calls dropped with their publisher, and not lost, what nobody had when it ended; once, for the
    /// merged results of all shards.
    pub(crate) fn adopt_orphans(&mut self) {
        let losses = std::mem::take(&mut self.orphans).losses(&self.arrivals);
        let deliveries = &mut self.deliveries;
        debug_assert!(losses <= deliveries.lost, "an orphan is somebody's loss");
        let losses = losses.min(deliveries.lost);
        deliveries.lost -= losses;
        deliveries.dropped += losses;
        deliveries.undelivered += losses;
    }

    /// Adds another shard's results.
    pub(crate) fn merge(&mut self, other: Self) {
        self.dialled += other.dialled;
        self.opened += other.opened;
        self.readied += other.readied;
        self.held += other.held;
        self.opening = self.opening.max(other.opening);
        self.tuples_busy += other.tuples_busy;
        self.not_opened.merge(other.not_opened);
        self.dropped.merge(other.dropped);
        self.disconnected.merge(other.disconnected);
        self.returns_failed.merge(other.returns_failed);
        self.returns.merge(other.returns);
        self.drop.merge(other.drop);
        self.lateness.merge(&other.lateness);
        self.connect.merge(&other.connect);
        self.upgrade.merge(&other.upgrade);
        self.join.merge(&other.join);
        self.delivery.merge(&other.delivery);
        self.publish_reply.merge(&other.publish_reply);
        self.push_reply.merge(&other.push_reply);
        self.back.merge(&other.back);
        self.arrivals.merge(other.arrivals);
        self.orphans.merge(other.orphans);
        self.publishes.merge(other.publishes);
        self.deliveries.merge(other.deliveries);
        self.pushes.merge(other.pushes);
        self.heartbeats.sent += other.heartbeats.sent;
        self.heartbeats.answered += other.heartbeats.answered;
    }
}

impl Returns {
    fn merge(&mut self, other: Self) {
        self.disconnected += other.disconnected;
        self.back += other.back;
        self.attempts += other.attempts;
    }
}

impl Drop {
    fn merge(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.back += other.back;
        self.attempts += other.attempts;
        self.took = self.took.max(other.took);
    }
}

impl Publishes {
    fn merge(&mut self, other: Self) {
        self.asked += other.asked;
        self.sent += other.sent;
        self.refused += other.refused;
        self.unmeasured += other.unmeasured;
        self.unfollowed += other.unfollowed;
    }
}

impl Deliveries {
    fn merge(&mut self, other: Self) {
        self.expected += other.expected;
        self.received += other.received;
        self.lost += other.lost;
        self.dropped += other.dropped;
        self.undelivered += other.undelivered;
        self.duplicated += other.duplicated;
        self.late += other.late;
        self.extra += other.extra;
        self.misrouted += other.misrouted;
    }
}

impl Pushes {
    fn merge(&mut self, other: Self) {
        self.asked += other.asked;
        self.sent += other.sent;
        self.answered += other.answered;
        self.answered_in_hold += other.answered_in_hold;
        self.refused += other.refused;
        self.skipped += other.skipped;
    }
}
