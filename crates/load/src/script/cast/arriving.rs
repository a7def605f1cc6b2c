//! Arriving: users that are due are dialled.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use engine::{Cause, Closed, Io, Time};
use rustix::io::Errno;

use super::{Cast, LATER, Order, State, User};
use crate::{
    failure::Failure,
    script::{connect::Request, memory::Memory},
    source::Rest,
};

/// Dials in one tick, so that answers are read between them.
const DIALS_PER_TICK: u32 = 128;
/// Tuples that one user tries before it counts as a failure.
const TUPLES_TRIED_MAX: u8 = 100;

/// A user that is due to be dialled, for the first time or again.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) program: u16,
    intended: Time,
    tuples_busy: u8,
    /// How many of the functions that come before have run.
    pub(super) prepared: u16,
    /// What these functions have left.
    pub(super) memory: Option<Box<Memory>>,
    pub(super) request: Option<Box<Request>>,
}

impl Attempt {
    /// The user that it is to become; takes its memory along.
    pub(super) fn user(&mut self) -> User {
        User {
            number: self.number,
            program: self.program,
            memory: self.memory.take(),
            ..User::default()
        }
    }
}

impl Cast {
    /// Dials everybody who is due.
    ///
    /// Invariant: dials are made here only, in a tick, when the engine has reported the end of every
    /// connection whose slot it may give out again.
    pub(super) fn arrive(&mut self, io: &mut Io<'_, Order>) {
        let Some(started) = self.started else { return };
        let now = io.now();
        let mut dials = 0;
        while dials < DIALS_PER_TICK {
            if let Some(attempt) = self.retries.pop_front() {
                if !self.dial(attempt, io) {
                    return io.tick_at(now.after(LATER));
                }
                dials += 1;
                continue;
            }
            let Some(arrival) = self.arrivals.next_if(|one| started.after(one.at) <= now) else {
                return;
            };
            // Everybody's arrivals are the same, and each shard takes its own.
            let shard = self.plan.part.shard_of(arrival.number, self.plan.shards);
            if shard != Some(self.shard) {
                continue;
            }
            if !self.admit(arrival.phase) {
                continue;
            }
            let attempt = Attempt {
                number: arrival.number,
                program: self.plan.choose(arrival.number),
                intended: started.after(arrival.at),
                ..Attempt::default()
            };
            self.figures.created += 1;
            self.figures.created_by[usize::from(attempt.program)] += 1;
            if !self.dial(attempt, io) {
                return io.tick_at(now.after(LATER));
            }
            dials += 1;
        }
        io.tick_at(now);
    }

    /// Counts one more user of a phase, if its limits allow one.
    fn admit(&mut self, phase: u16) -> bool {
        let limits = &self.plan.script.phases[usize::from(phase)];
        let most = limits.hold.or(limits.users_max);
        let most = most.map_or(u32::MAX, |most| self.plan.part.of_limit(most));
        // The limit is on all users that are there, of whichever phase and shard.
        let admitted = self.plan.active.fetch_update(Relaxed, Relaxed, |there| {
            (there < most).then_some(there.saturating_add(1))
        });
        if admitted.is_err() {
            self.figures.skipped += u64::from(limits.hold.is_none());
            return false;
        }
        self.active += 1;
        true
    }

    /// Dials a user, or runs the functions that come before; `false` when all slots are taken and some
    /// will be free in a moment.
    fn dial(&mut self, attempt: Attempt, io: &mut Io<'_, Order>) -> bool {
        let now = io.now();
        let plan = Arc::clone(&self.plan);
        let Some(attempt) = self.prepare(&plan, attempt, now) else {
            self.settle(None, io);
            return true;
        };
        let server = self.plan.servers[usize::from(attempt.program)];
        let tuples = &mut self.tuples[server];
        let Some(tuple) = tuples.take(now) else {
            self.turn_away(Failure::TuplesExhausted);
            return true;
        };
        let source = tuples.socket_addr(tuple);
        let destination = tuples.destination();
        let dialled = match &self.plan.tls[usize::from(attempt.program)] {
            // Each user is somebody else, who was never there before.
            Some(client) => io.dial_tls(source, destination, client, false),
            None => io.dial(source, destination),
        };
        let Ok(conn) = dialled else {
            tuples.give_back(tuple, Rest::None, now);
            // Users that have left and still say goodbye have slots, too, and give them back.
            let waiting = self.retries.len() + self.preparations_count() + 1;
            if self.active.saturating_sub(waiting as u32) < io.conns_count() {
                self.retries.push_front(attempt);
                return false;
            }
            self.turn_away(Failure::Limit(capacity::Limit::Descriptors));
            return true;
        };
        if attempt.tuples_busy == 0 {
            self.figures.lateness.record(now.since(attempt.intended));
        }
        self.slots = self.slots.max(conn.index + 1);
        let user = self.users.entry(conn.index);
        debug_assert_eq!(user.state, State::Free, "the slot's last user is gone");
        *user = User {
            due: attempt.intended,
            began: attempt.intended,
            number: attempt.number,
            generation: conn.generation,
            tuple,
            program: attempt.program,
            tuples_busy: attempt.tuples_busy,
            state: State::Dialling,
            memory: attempt.memory,
            ..User::default()
        };
        if let Some(request) = attempt.request {
            self.asked.insert(conn.index, request);
        }
        true
    }

    /// Counts the failure of a user that could not even be dialled.
    pub(super) fn turn_away(&mut self, failure: Failure) {
        self.figures.failed.count(failure);
        self.leave();
    }

    /// Whether a dial failed because its tuple is in use, in which case the user waits for another.
    pub(super) fn retries_elsewhere(&mut self, index: u32, closed: &Closed, now: Time) -> bool {
        let is_busy = matches!(
            closed.cause,
            Cause::Connect(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL)
        );
        let Some(user) = self.users.find(index) else {
            return false;
        };
        let may_retry = !self.is_closing && user.state == State::Dialling;
        if !is_busy || !may_retry || user.tuples_busy >= TUPLES_TRIED_MAX {
            return false;
        }
        let user = std::mem::take(user);
        self.figures.tuples_busy += 1;
        let server = self.plan.servers[usize::from(user.program)];
        self.tuples[server].give_back(user.tuple, Rest::after(&closed.cause), now);
        self.retries.push_back(Attempt {
            number: user.number,
            program: user.program,
            intended: user.began,
            tuples_busy: user.tuples_busy + 1,
            prepared: u16::MAX,
            memory: user.memory,
            request: self.asked.remove(&index),
        });
        true
    }

    /// What a user does whose time has come.
    pub(super) fn wake(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let Some(user) = self.users.find(index) else {
            return;
        };
        match user.state {
            State::Acting => self.act(index, io),
            State::Waiting => self.give_up(index, Failure::NoResponse, io),
            State::Calling => {
                let text = "a function has not ended: it calls done(), or returns a promise";
                self.give_up(index, Failure::function_failed(text, ""), io);
            }
            _ => {}
        }
    }
}
