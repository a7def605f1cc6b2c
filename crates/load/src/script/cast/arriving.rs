//! Arriving: users that are due are dialled.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use engine::{Cause, Closed, ConnId, Io, Time};
use rustix::io::Errno;

use super::{Cast, LATER, Order, Plan, State, User, opening::Dial};
use crate::{
    failure::Failure,
    script::{connect::Request, links::Stage, memory::Memory, user::Line},
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

/// Why a socket was not dialled.
#[derive(Debug)]
pub(super) enum Undialled {
    /// All slots are taken, and some will be free in a moment.
    Later,
    Never(Failure),
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
        let mut next = now;
        for _ in 0..DIALS_PER_TICK {
            // Who is there goes before who is not.
            if let Some(dial) = self.dials.pop_front() {
                if !self.dial_socket(dial, io) {
                    next = now.after(LATER);
                    break;
                }
                continue;
            }
            let attempt = self.retries.pop_front();
            let Some(attempt) = attempt.or_else(|| self.next_attempt(started, now)) else {
                return self.settle_arrivals(io);
            };
            if !self.dial(attempt, io) {
                next = now.after(LATER);
                break;
            }
        }
        self.settle_arrivals(io);
        io.tick_at(next);
    }

    /// Tells users what came of their dials and first functions: what becomes of that may end connections, so it
    /// comes after all dials.
    fn settle_arrivals(&mut self, io: &mut Io<'_, Order>) {
        self.settle_undialled(io);
        if !self.unheard.is_empty() {
            self.settle(None, io);
        }
    }

    /// The next user that is due and may arrive.
    fn next_attempt(&mut self, started: Time, now: Time) -> Option<Attempt> {
        loop {
            let arrival = self.arrivals.next_if(|one| started.after(one.at) <= now)?;
            // Everybody's arrivals are the same, and each shard takes its own.
            let shard = self.plan.part.shard_of(arrival.number, self.plan.shards);
            if shard != Some(self.shard) || !self.admit(arrival.phase) {
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
            return Some(attempt);
        }
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
            return true;
        };
        let conn = match self.connect(
            &plan,
            (attempt.program, 0),
            (attempt.tuples_busy, false),
            io,
        ) {
            Ok(conn) => conn,
            Err(Undialled::Later) => {
                self.retries.push_front(attempt);
                return false;
            }
            Err(Undialled::Never(failure)) => {
                self.turn_away(failure);
                return true;
            }
        };
        if attempt.tuples_busy == 0 {
            self.figures.lateness.record(now.since(attempt.intended));
        }
        let index = match &mut self.links {
            None => conn.index,
            Some(links) => {
                let user = links.settle();
                links.attach(conn.index, plan.owner(attempt.program, user, 0));
                links.socket(user, 0).stage = Stage::Dialling;
                user
            }
        };
        self.slots = self.slots.max(index + 1);
        let user = self.users.entry(index);
        debug_assert_eq!(user.state, State::Free, "the slot's last user is gone");
        *user = User {
            due: attempt.intended,
            began: attempt.intended,
            number: attempt.number,
            program: attempt.program,
            state: State::Dialling,
            memory: attempt.memory,
            ..User::default()
        };
        if let Some(request) = attempt.request {
            self.asked.insert(conn.index, request);
        }
        true
    }

    /// Dials a scenario's socket.
    pub(super) fn connect(
        &mut self,
        plan: &Plan,
        (program, socket): (u16, u8),
        (tuples_busy, returns): (u8, bool),
        io: &mut Io<'_, Order>,
    ) -> Result<ConnId, Undialled> {
        let now = io.now();
        let server = plan.server(program, socket);
        let tuples = &mut self.tuples[server.destination];
        let Some(tuple) = tuples.take(now) else {
            return Err(Undialled::Never(Failure::TuplesExhausted));
        };
        let source = tuples.socket_addr(tuple);
        let destination = tuples.destination();
        // Each user is somebody else, who was never there before unless it comes back.
        let Ok(conn) = io.dial(server.way.dial(source, destination, returns)) else {
            tuples.give_back(tuple, Rest::None, now);
            // Connections that still say goodbye have slots, too, and give them back.
            return Err(match self.live < io.conns_count() {
                true => Undialled::Later,
                false => Undialled::Never(Failure::Limit(capacity::Limit::Descriptors)),
            });
        };
        self.live += 1;
        *self.lines.entry(conn.index) = Line {
            channels: None,
            generation: conn.generation,
            tuple,
        };
        if tuples_busy > 0 {
            self.busy.insert(conn.index, tuples_busy);
        }
        Ok(conn)
    }

    /// Counts the failure of a user that could not even be dialled.
    pub(super) fn turn_away(&mut self, failure: Failure) {
        self.figures.failed.count(failure);
        self.leave();
    }

    /// Whether a dial failed because its tuple is in use, in which case the socket is dialled from another.
    pub(super) fn retries_elsewhere(
        &mut self,
        (index, socket): (u32, u8),
        conn: ConnId,
        closed: &Closed,
    ) -> bool {
        let is_busy = matches!(
            closed.cause,
            Cause::Connect(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL)
        );
        let tuples_busy = self.busy.remove(&conn.index).unwrap_or(0);
        if !is_busy || self.is_closing || tuples_busy >= TUPLES_TRIED_MAX {
            return false;
        }
        let Some(user) = self.users.find(index) else {
            return false;
        };
        if user.state.is_there() {
            return self.dials_elsewhere((index, socket), tuples_busy + 1);
        }
        if user.state != State::Dialling {
            return false;
        }
        let user = std::mem::take(user);
        self.figures.tuples_busy += 1;
        if let Some(links) = &mut self.links {
            links.forget(index, 0);
            links.vacate(index);
        }
        self.retries.push_back(Attempt {
            number: user.number,
            program: user.program,
            intended: user.began,
            tuples_busy: tuples_busy + 1,
            prepared: u16::MAX,
            memory: user.memory,
            request: self.asked.remove(&conn.index),
        });
        true
    }

    /// The same for a socket of a user that is there.
    fn dials_elsewhere(&mut self, (index, socket): (u32, u8), tuples_busy: u8) -> bool {
        let Some(who) = self.who(index) else {
            return false;
        };
        let Some(links) = &mut self.links else {
            return false;
        };
        if links.socket(index, socket).stage != Stage::Dialling {
            return false;
        }
        links.detach(index, socket);
        self.figures.tuples_busy += 1;
        self.dials.push_back(Dial {
            who,
            socket,
            tuples_busy,
        });
        true
    }

    /// Gives the tuple of a connection back that is over.
    pub(super) fn return_tuple(&mut self, conn: ConnId, closed: &Closed, now: Time) {
        let destination = match &mut self.links {
            Some(links) => usize::from(links.owner(conn.index).destination),
            None => match self.users.find(conn.index) {
                Some(user) => self.plan.server(user.program, 0).destination,
                None => return,
            },
        };
        if let Some(line) = self.lines.find(conn.index) {
            let tuple = std::mem::take(line).tuple;
            self.tuples[destination].give_back(tuple, Rest::after(&closed.cause), now);
        }
    }

    /// What a user does whose time has come.
    pub(super) fn wake(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let Some(user) = self.users.find(index) else {
            return;
        };
        match user.state {
            State::Acting => self.act(index, io),
            State::Waiting => {
                // No response is a late one.
                let counts = self.plan.script.apdex.is_some() && self.awaits_response(index);
                self.figures.apdex.frustrated += u64::from(counts);
                let failure = self.silence(index);
                self.give_up(index, failure, io);
            }
            State::Calling => {
                let text = "a function has not ended: it calls done(), or returns a promise";
                self.give_up(index, Failure::function_failed(text, ""), io);
            }
            _ => {}
        }
    }
}
