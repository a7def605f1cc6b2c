//! Opening: dialling what is due, and clients on their way to being ready.

use std::time::Duration;

use engine::{Cause, Closed, ConnId, Io, Time};
use rustix::io::Errno;

use super::{Order, Swarm, TICK_MIN};
use crate::{
    client::{Client, Phase},
    failure::Failure,
    gauges::Stage,
    source::Rest,
};

/// Dials in one tick, so that answers are read between them.
const DIALS_PER_TICK: u32 = 128;
/// Tuples that one client tries before it counts as a failure.
const TUPLES_TRIED_MAX: u8 = 100;
/// How often pending joins are looked at.
const JOIN_CHECK: Duration = Duration::from_millis(250);

/// A connection that is due to be dialled, for the first time or again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    topic: u32,
    /// When it was meant to be dialled first.
    intended: Time,
    /// Tuples that were tried in vain.
    tuples_busy: u8,
}

impl Swarm {
    /// Dials every connection that is due, within the limits on unfinished handshakes, and returns
    /// when to look again.
    ///
    /// Invariant: dials are made here only, in a tick, when the engine has reported the end of
    /// every connection whose slot it may give out again.
    pub(super) fn dial_due(&mut self, io: &mut Io<'_, Order>) -> Time {
        let now = io.now();
        for _ in 0..DIALS_PER_TICK {
            if let Some(attempt) = self.retries.pop_front() {
                if !self.dial(attempt, io) {
                    self.retries.push_front(attempt);
                    return now.after(TICK_MIN);
                }
                continue;
            }
            let Some(due) = self.schedule.peek() else {
                return Time::from_nanos(u64::MAX);
            };
            let intended = self.since.after(due.intended);
            if intended > now {
                return intended;
            }
            let topic = (due.number % u64::from(self.plan.options.topics)) as u32;
            let attempt = Attempt {
                topic,
                intended,
                tuples_busy: 0,
            };
            if self.pending >= self.plan.pending_max(self.shard) {
                return now.after(TICK_MIN);
            }
            self.schedule.advance();
            self.pending += 1;
            if !self.dial(attempt, io) {
                self.retries.push_back(attempt);
                return now.after(TICK_MIN);
            }
        }
        now
    }

    /// Dials one connection; `false` when there is no room for it at the moment.
    fn dial(&mut self, attempt: Attempt, io: &mut Io<'_, Order>) -> bool {
        let now = io.now();
        let Some(tuple) = self.tuples.take(now) else {
            self.pending -= 1;
            self.outcome.not_opened.count(Failure::TuplesExhausted);
            return true;
        };
        let source = self.tuples.socket_addr(tuple);
        let Ok(conn) = io.dial(source, self.tuples.destination()) else {
            self.tuples.give_back(tuple, Rest::None, now);
            return false;
        };
        if attempt.tuples_busy == 0 {
            self.outcome.lateness.record(now.since(attempt.intended));
        }
        self.slots = self.slots.max(conn.index + 1);
        let client = self.clients.entry(conn.index);
        debug_assert_eq!(
            client.phase,
            Phase::Free,
            "the slot's last client was not parted with"
        );
        *client = Client::dialled(conn, tuple, attempt.topic, attempt.intended);
        client.tuples_busy = attempt.tuples_busy;
        true
    }

    /// Whether a dial failed because its tuple is in use, in which case the client waits for
    /// another: `EADDRINUSE` from `bind(2)` is another socket's port, `EADDRNOTAVAIL` from
    /// `connect(2)` is the whole tuple, most often in TIME_WAIT. (That the addresses are this
    /// machine's own was checked before the start.)
    pub(super) fn retries_elsewhere(&mut self, conn: ConnId, closed: &Closed) -> bool {
        let is_busy = matches!(
            closed.cause,
            Cause::Connect(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL)
        );
        let Some(client) = self.clients.find(conn.index) else {
            return false;
        };
        let may_retry = self.stage == Stage::Opening && client.phase == Phase::Dialling;
        if !is_busy || !may_retry || client.tuples_busy >= TUPLES_TRIED_MAX {
            return false;
        }
        let client = std::mem::take(client);
        self.outcome.tuples_busy += 1;
        self.retries.push_back(Attempt {
            topic: client.topic,
            intended: client.since,
            tuples_busy: client.tuples_busy + 1,
        });
        true
    }

    /// Gives up the connections that wait for another tuple.
    pub(super) fn give_up_retries(&mut self) {
        for _ in self.retries.drain(..) {
            self.pending -= 1;
            self.outcome.not_opened.count(Failure::Interrupted);
        }
    }

    /// Takes a client in that is open, and joined if that was asked.
    pub(super) fn handle_ready(&mut self, conn: ConnId, now: Time) {
        let Some(client) = self.clients.find(conn.index) else {
            return;
        };
        client.phase = Phase::Ready;
        self.outcome.opening = now.since(self.since).max(self.outcome.opening);
        self.pending -= 1;
        self.ready += 1;
        self.outcome.readied += 1;
        self.open_account(conn.index, false);
    }

    /// Gives up joins that were not answered in time.
    pub(super) fn check_joins(&mut self, io: &mut Io<'_, Order>) {
        let now = io.now();
        if self.pending == 0 || now.since(self.joins_checked) < JOIN_CHECK {
            return;
        }
        self.joins_checked = now;
        for index in 0..self.slots {
            let Some(client) = self.clients.find(index) else {
                continue;
            };
            let is_late = now.since(client.since) >= self.plan.options.join_timeout;
            if client.phase == Phase::Joining && is_late {
                let conn = client.conn(index);
                self.give_up(conn, Failure::JoinTimeout, io);
            }
        }
    }
}
