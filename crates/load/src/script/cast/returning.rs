//! Returning: users whose connection has ended come back by themselves, and go on where they were.
//!
//! ```text
//!         ended                     its wait is over            101            its topics are joined
//! (Open) ──────► Away ─────────────────► Dialling ► Upgrading ──────► Joining ──────► (Open)
//!                 ▲                                    │                 │
//!                 └────────────────────────────────────┴─────────────────┘ not this time: the next wait is longer
//! ```
//!
//! A socket that is away is 24 bytes in the table of sockets and an entry in a heap. Its user stays in its slot and
//! takes no step until all of its sockets are there.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use engine::{ConnId, Io};
use proto::phoenix::{self, Reply};

use super::{Cast, Order, State, channels::Said, opening::Dial};
use crate::{
    comeback::Backoff,
    failure::Failure,
    script::{
        links::{Kept, Stage},
        program::Dialect,
    },
    speech,
};

/// How often a socket comes back after the phases. docs/load.md says it, too.
pub(super) const LATE_ENDS_MAX: u8 = 8;
/// Sockets in one tick whose wait is over.
const TRIES_PER_TICK: u32 = 1_024;

impl Cast {
    /// A user's socket has ended by itself, or is given up: it comes back, or its user fails with it.
    pub(super) fn lose(
        &mut self,
        index: u32,
        socket: u8,
        failure: Failure,
        io: &mut Io<'_, Order>,
    ) {
        match self.way_back(index, socket, &failure) {
            None => self.give_up(index, failure, io),
            Some(backoff) => {
                self.hang_up(index, socket, io);
                if self.is_returning(index, socket) {
                    self.figures.returns_failed.count(failure);
                    if self.is_too_late(index, socket, backoff, io) {
                        return self.give_up(index, Failure::NotBack, io);
                    }
                } else {
                    self.figures.disconnected.count(failure);
                    self.miss(index, socket, io);
                    if self.comes_and_goes(index, socket, io) {
                        return self.give_up(index, Failure::NotBack, io);
                    }
                }
                self.wait_to_return(index, socket, backoff, io);
            }
        }
    }

    /// How long a socket waits that ends so, if it comes back. As phoenix.js, it stays away when it was told so,
    /// and as all clients it does when it was never there.
    fn way_back(&mut self, index: u32, socket: u8, failure: &Failure) -> Option<Backoff> {
        let user = self.users.find(index)?;
        let is_there = user.state.is_there();
        let backoff = self.plan.program(user.program).reconnect?;
        let was = self.links.as_mut()?.socket(index, socket);
        let is_final = was.stage != Stage::Open || *failure == Failure::ClosedWith(1000);
        let comes_back = is_there && !self.is_closing && (was.tries > 0 || !is_final);
        comes_back.then_some(backoff)
    }

    /// Whether a user's socket is on its way back.
    pub(super) fn is_returning(&mut self, index: u32, socket: u8) -> bool {
        let links = self.links.as_mut();
        links.is_some_and(|links| links.socket(index, socket).tries > 0)
    }

    /// Whether a socket was away for so long that its user is not waited for: when the phases are over.
    fn is_too_late(
        &mut self,
        index: u32,
        socket: u8,
        backoff: Backoff,
        io: &Io<'_, Order>,
    ) -> bool {
        let (Some(started), Some(links)) = (self.started, &mut self.links) else {
            return false;
        };
        let patience = self.plan.script.timeout + backoff.wait_max();
        let until = links.socket(index, socket).left.after(patience);
        io.now() >= until.max(started.after(self.phases_last))
    }

    /// Whether a socket has ended again and again after the phases: such a run would not end.
    fn comes_and_goes(&mut self, index: u32, socket: u8, io: &Io<'_, Order>) -> bool {
        let (Some(started), Some(links)) = (self.started, &mut self.links) else {
            return false;
        };
        if io.now() < started.after(self.phases_last) {
            return false;
        }
        let was = links.socket(index, socket);
        was.late_ends = was.late_ends.saturating_add(1);
        was.late_ends > LATE_ENDS_MAX
    }

    /// A user's socket is to come back: the user stops where it is.
    fn miss(&mut self, index: u32, socket: u8, io: &Io<'_, Order>) {
        let now = self.watch.now(io.now());
        let (Some(user), Some(links)) = (self.users.find(index), &mut self.links) else {
            return;
        };
        let was = links.socket(index, socket);
        was.left = now;
        if let Some(kept) = &mut was.kept {
            // The step that waits for a join asks for it again.
            kept.joins.retain(|join| join.is_granted);
        }
        user.away += 1;
        let program = self.plan.program(user.program);
        if user.state == State::Waiting && program.socket_of(user.step) == socket {
            // What it waits for may have been lost: its step is begun again.
            user.state = State::Acting;
            self.alarms.clear(index);
        }
        if user.away == 1 {
            self.count_away(true);
        }
    }

    /// Counts that a user is away, or that it is not any more.
    pub(super) fn count_away(&mut self, is_away: bool) {
        let all = &self.plan.away;
        match is_away {
            true => (self.away, _) = (self.away + 1, all.fetch_add(1, Relaxed)),
            false => (self.away, _) = (self.away - 1, all.fetch_sub(1, Relaxed)),
        }
    }

    fn wait_to_return(&mut self, index: u32, socket: u8, backoff: Backoff, io: &mut Io<'_, Order>) {
        let random = u32::from_ne_bytes(io.mask());
        let Some(links) = &mut self.links else { return };
        let was = links.socket(index, socket);
        let until = io.now().after(backoff.wait(was.tries, random));
        was.tries = was.tries.saturating_add(1);
        was.stage = Stage::Away;
        self.returns.set(links.place(index, socket), until);
        io.tick_at(until);
    }

    /// Lets sockets try to come back whose wait is over, and gives up joins that have no answer.
    pub(super) fn try_returns(&mut self, io: &mut Io<'_, Order>) {
        let now = io.now();
        for _ in 0..TRIES_PER_TICK {
            let Some(place) = self.returns.take(now) else {
                return;
            };
            let Some(links) = &mut self.links else { return };
            let (index, socket) = links.of_place(place);
            let was = links.socket(index, socket);
            match was.stage {
                Stage::Away => {
                    was.stage = Stage::Dialling;
                    self.figures.reconnect_attempts += 1;
                    let dial = self.who(index).map(|who| Dial {
                        who,
                        socket,
                        tuples_busy: 0,
                    });
                    self.dials.extend(dial);
                    io.tick_at(now);
                }
                Stage::Joining => self.lose(index, socket, Failure::JoinTimeout, io),
                _ => {}
            }
        }
        io.tick_at(now);
    }

    /// The WebSocket of a socket that comes back is open: its topics are joined again, all at once.
    pub(super) fn come_back(
        &mut self,
        index: u32,
        socket: u8,
        conn: ConnId,
        io: &mut Io<'_, Order>,
    ) {
        let plan = Arc::clone(&self.plan);
        let (Some(user), Some(links)) = (self.users.find(index), &mut self.links) else {
            return;
        };
        let was = links.socket(index, socket);
        let dialect = plan.program(user.program).dialect_of(socket);
        if let Dialect::Phoenix(..) = dialect
            && let Some(line) = self.lines.find(conn.index)
        {
            line.channels = Some(Box::default());
        }
        // Without topics it is back, and what it asked for is kept for the next time.
        let kept = was.kept.take_if(|kept| !kept.joins.is_empty());
        let Some(mut kept) = kept else {
            return self.be_back(index, socket, io);
        };
        was.stage = Stage::Joining;
        let until = io.now().after(plan.script.timeout);
        self.returns.set(links.place(index, socket), until);
        for join in &mut kept.joins {
            join.is_granted = false;
            let Some(channels) = self.channels(index, socket) else {
                break;
            };
            let reference = channels.next_ref();
            channels.joined.push((join.topic.clone(), reference));
            self.text.clear();
            self.text.push_str(&join.payload);
            let said = Said {
                topic: &join.topic,
                event: phoenix::JOIN,
                join_ref: Some(reference),
                reference,
            };
            self.say_in_channel(&plan, (index, socket), &said, io);
        }
        if let Some(links) = &mut self.links {
            links.socket(index, socket).kept = Some(kept);
        }
        io.tick_at(until);
    }

    /// A reply on a socket that comes back: its topics are joined again, or it has to try once more.
    pub(super) fn hear_rejoin(
        &mut self,
        index: u32,
        socket: u8,
        reference: u32,
        reply: &Reply<'_>,
        io: &mut Io<'_, Order>,
    ) {
        let topic = self.channels(index, socket).and_then(|channels| {
            let mut joined = channels.joined.iter();
            let (topic, _) = joined.find(|(_, of_join)| *of_join == reference)?;
            Some(topic.clone())
        });
        let Some(topic) = topic else { return };
        if reply.status != "ok" {
            let reason = speech::refusal_reason(&reply.response);
            return self.lose(index, socket, Failure::join_refused(&reason), io);
        }
        self.keep_join(index, socket, &topic);
        let kept = self.kept(index, socket);
        if kept.is_none_or(|kept| kept.joins.iter().all(|join| join.is_granted)) {
            self.be_back(index, socket, io);
        }
    }

    /// A socket is back, and its user goes on if all of them are.
    fn be_back(&mut self, index: u32, socket: u8, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        let (Some(user), Some(links)) = (self.users.find(index), &mut self.links) else {
            return;
        };
        self.returns.clear(links.place(index, socket));
        let was = links.socket(index, socket);
        (was.stage, was.tries) = (Stage::Open, 0);
        self.figures.reconnected += 1;
        self.figures.back.record(now.since(was.left));
        user.away -= 1;
        if user.away > 0 {
            return;
        }
        // One that thinks goes on with that, and one that waits for a function or a socket has not stopped.
        let goes_on = user.state == State::Acting && user.due <= now;
        if goes_on {
            // Who was away has not been late: what comes after it is counted from here.
            user.due = now;
            self.alarms.clear(index);
        }
        self.count_away(false);
        if goes_on {
            self.act(index, io);
        }
    }

    fn kept(&mut self, index: u32, socket: u8) -> Option<&mut Kept> {
        let links = self.links.as_mut()?;
        links.socket(index, socket).kept.as_deref_mut()
    }

    /// The server has granted a join, which is asked for again after a return.
    pub(super) fn keep_join(&mut self, index: u32, socket: u8, topic: &str) {
        if let Some(kept) = self.kept(index, socket) {
            let mut joins = kept.joins.iter_mut();
            if let Some(join) = joins.find(|join| *join.topic == *topic) {
                join.is_granted = true;
            }
        }
    }

    /// A topic is left.
    pub(super) fn forget_join(&mut self, index: u32, socket: u8, topic: &str) {
        if let Some(channels) = self.channels(index, socket) {
            channels.joined.retain(|(joined, _)| **joined != *topic);
        }
        if let Some(kept) = self.kept(index, socket) {
            kept.leave(topic);
        }
    }
}
