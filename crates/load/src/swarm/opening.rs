//! Opening: dialling what is due, and clients on their way to being ready.

use engine::{Cause, Closed, ConnId, Io, Time};
use rustix::io::Errno;

use super::{NEVER, Order, Swarm};
use crate::{
    client::{Client, Phase},
    comeback::{Comeback, Parting},
    failure::Failure,
    gauges::Stage,
    source::Rest,
};

/// Dials in one tick, so that answers are read between them.
const DIALS_PER_TICK: u32 = 128;
/// Tuples that one client tries before it counts as a failure.
const TUPLES_TRIED_MAX: u8 = 100;

/// A connection that is due to be dialled, for the first time or again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    topic: u32,
    /// When it was meant to be dialled first.
    intended: Time,
    /// Tuples that were tried in vain.
    tuples_busy: u8,
    /// Whose it is, if it is that of a client that comes back.
    pub(super) comeback: Option<Comeback>,
}

impl Swarm {
    /// Dials every connection that is due, within the limits on unfinished handshakes, and returns
    /// when to look again.
    ///
    /// Invariant: dials are made here only, in a tick, when the engine has reported the end of
    /// every connection whose slot it may give out again.
    pub(super) fn dial_due(&mut self, io: &mut Io<'_, Order>) -> Time {
        let now = io.now();
        let later = now.after(self.plan.pace().dial);
        for _ in 0..DIALS_PER_TICK {
            if let Some(attempt) = self.retries.pop_front() {
                if !self.dial(attempt, io) {
                    self.retries.push_front(attempt);
                    return later;
                }
                continue;
            }
            let next = self.next_time();
            if next > now {
                return next;
            }
            if !self.begin_handshake() {
                return later;
            }
            let Some(attempt) = self.next_attempt(now) else {
                self.end_handshake();
                return NEVER;
            };
            if !self.dial(attempt, io) {
                self.retries.push_back(attempt);
                return later;
            }
        }
        now
    }

    /// When the next connection is to be dialled, for the first time or to come back.
    fn next_time(&self) -> Time {
        let first = self.schedule.peek().filter(|_| self.is_in_turn);
        let first = first.map_or(NEVER, |due| self.opened_at.after(due.intended));
        first.min(self.comebacks.next_time().unwrap_or(NEVER))
    }

    /// Takes the next connection that is due. Who was there before comes before who never was.
    fn next_attempt(&mut self, now: Time) -> Option<Attempt> {
        if self.comebacks.next_time().is_some_and(|until| until <= now) {
            let comeback = self.comebacks.take()?;
            self.outcome.returns.attempts += 1;
            self.outcome.drop.attempts += u64::from(comeback.parting == Parting::Ours);
            return Some(Attempt {
                topic: comeback.topic,
                intended: now,
                tuples_busy: 0,
                comeback: Some(comeback),
            });
        }
        let due = self.schedule.peek().filter(|_| self.is_in_turn)?;
        self.schedule.advance();
        Some(Attempt {
            topic: (due.number % u64::from(self.plan.options.topics)) as u32,
            intended: self.opened_at.after(due.intended),
            tuples_busy: 0,
            comeback: None,
        })
    }

    /// Connections that are still to be dialled or on their way, for the first time.
    pub(super) fn unsettled(&self) -> u64 {
        let returning = self.comebacks.under_way_count()
            + self
                .retries
                .iter()
                .filter(|one| one.comeback.is_some())
                .count();
        self.schedule.left() + u64::from(self.pending) - returning as u64
    }

    /// Takes a place for a handshake, if the run has one left.
    fn begin_handshake(&mut self) -> bool {
        let begins = self.plan.handshakes.begin();
        self.pending += u32::from(begins);
        begins
    }

    /// A handshake is over, well or not.
    pub(super) fn end_handshake(&mut self) {
        self.pending -= 1;
        self.plan.handshakes.end();
    }

    /// Dials one connection; `false` when there is no room for it at the moment.
    fn dial(&mut self, attempt: Attempt, io: &mut Io<'_, Order>) -> bool {
        let now = io.now();
        let Some(tuple) = self.tuples.take(now) else {
            self.end_handshake();
            match attempt.comeback {
                Some(comeback) => self.fail_to_return(comeback, Failure::TuplesExhausted, io),
                None => self.outcome.not_opened.count(Failure::TuplesExhausted),
            }
            return true;
        };
        let source = self.tuples.socket_addr(tuple);
        let (destination, returns) = (self.tuples.destination(), attempt.comeback.is_some());
        let Ok(conn) = io.dial(self.plan.way.dial(source, destination, returns)) else {
            self.tuples.give_back(tuple, Rest::None, now);
            return false;
        };
        if attempt.tuples_busy == 0 && attempt.comeback.is_none() {
            self.outcome.dialled += 1;
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
        if let Some(comeback) = attempt.comeback {
            self.comebacks.depart(conn.index, comeback);
        }
        true
    }

    /// Whether a dial failed because its tuple is in use, in which case the client waits for
    /// another: `EADDRINUSE` from `bind(2)` is another socket's port, `EADDRNOTAVAIL` from
    /// `connect(2)` is the whole tuple, most often in TIME_WAIT. (That the addresses are this
    /// machine's own was checked before the start.)
    pub(super) fn retries_elsewhere(&mut self, conn: ConnId, closed: &Closed, now: Time) -> bool {
        let is_busy = matches!(
            closed.cause,
            Cause::Connect(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL)
        );
        let Some(client) = self.clients.find(conn.index) else {
            return false;
        };
        let may_retry = self.stage != Stage::Closing && client.phase == Phase::Dialling;
        if !is_busy || !may_retry || client.tuples_busy >= TUPLES_TRIED_MAX {
            return false;
        }
        let client = std::mem::take(client);
        self.outcome.tuples_busy += 1;
        self.tuples
            .give_back(client.tuple, Rest::after(&closed.cause), now);
        self.retries.push_back(Attempt {
            topic: client.topic,
            intended: client.since,
            tuples_busy: client.tuples_busy + 1,
            comeback: self.comebacks.arrive(conn.index),
        });
        true
    }

    /// Gives up the connections that wait for another tuple.
    pub(super) fn give_up_retries(&mut self) {
        for attempt in std::mem::take(&mut self.retries) {
            self.end_handshake();
            match attempt.comeback {
                Some(_) => self.outcome.dropped.count(Failure::NotBack),
                None => self.outcome.not_opened.count(Failure::Interrupted),
            }
        }
    }

    /// Takes a client in that is open, and joined if that was asked.
    pub(super) fn handle_ready(&mut self, conn: ConnId, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        let Some(client) = self.clients.find(conn.index) else {
            return;
        };
        client.phase = Phase::Ready;
        self.end_handshake();
        self.joining -= 1;
        self.ready += 1;
        self.open_account(conn.index, false);
        if let Some(comeback) = self.comebacks.arrive(conn.index) {
            self.welcome_back(conn.index, comeback, io);
        } else {
            self.outcome.opening = now.since(self.opened_at).max(self.outcome.opening);
            self.outcome.readied += 1;
        }
        if self.unsettled() == 0 && self.stage == Stage::Opening {
            // Whoever waits for this is to see it now.
            io.tick_at(io.now());
        } else if self.next_time() <= io.now() {
            io.tick_at(io.now().after(self.plan.pace().dial));
        }
    }

    /// Gives up joins that were not answered in time.
    pub(super) fn check_joins(&mut self, io: &mut Io<'_, Order>) {
        let now = io.now();
        if self.pending == 0 || now.since(self.joins_checked) < self.plan.pace().joins {
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
