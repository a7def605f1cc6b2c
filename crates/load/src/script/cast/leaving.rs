//! Leaving: users go, and a shard hands in what it has counted until nobody is left.

use std::sync::{atomic::Ordering::Relaxed, mpsc::TrySendError};

use engine::{Io, Time};
use proto::ws::CloseCode;

use super::{Cast, Handed, LATER, Order, PERIOD, State, User};
use crate::{failure::Failure, script::figures::Figures};

impl Cast {
    /// Counts the failure of the user in slot `index`, once, takes it out of the crowd and says goodbye.
    pub(super) fn give_up(&mut self, index: u32, failure: Failure, io: &mut Io<'_, Order>) {
        if self.depart(index, io) {
            self.figures.failed.count(failure);
        }
    }

    /// Takes a user out of the crowd and closes its connections; `false` if it was out already.
    pub(super) fn depart(&mut self, index: u32, io: &mut Io<'_, Order>) -> bool {
        let Some(user) = self.users.find(index) else {
            return false;
        };
        if matches!(user.state, State::Free | State::Leaving) {
            return false;
        }
        let call = (user.state == State::Calling).then_some(user.awaited);
        user.state = State::Leaving;
        user.memory = None;
        let was_away = std::mem::take(&mut user.away) > 0;
        if was_away {
            self.count_away(false);
        }
        if let Some(call) = call {
            self.forget_call(call);
        }
        self.alarms.clear(index);
        self.leave_session(index, io);
        self.close_lines(index, io);
        self.leave();
        true
    }

    /// Says goodbye on all connections of a user that leaves.
    fn close_lines(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let width = self.links.as_ref().map_or(1, |links| links.width());
        for socket in 0..width {
            self.close_line(index, socket, io);
        }
        if let Some(links) = &mut self.links {
            // Nothing points to it any more; its connections go by themselves.
            links.vacate(index);
            *self.users.entry(index) = User::default();
        }
    }

    /// Says goodbye on a user's socket for good.
    pub(super) fn close_line(&mut self, index: u32, socket: u8, io: &mut Io<'_, Order>) {
        self.hang_up(index, socket, io);
        if let Some(links) = &mut self.links {
            self.returns.clear(links.place(index, socket));
            links.forget(index, socket);
        }
    }

    /// Says goodbye on the connection of a user's socket, if it has one, and parts the two.
    pub(super) fn hang_up(&mut self, index: u32, socket: u8, io: &mut Io<'_, Order>) {
        let Some(conn) = self.conn(index, socket) else {
            return;
        };
        if let Some(links) = &mut self.links {
            links.detach(index, socket);
        }
        if let Some(line) = self.lines.find(conn.index) {
            line.channels = None;
        }
        self.asked.remove(&conn.index);
        io.close(conn, CloseCode::NORMAL, "");
    }

    /// One user less is there.
    pub(super) fn leave(&mut self) {
        self.active -= 1;
        self.plan.active.fetch_sub(1, Relaxed);
    }

    /// Says goodbye to everybody after the run was ended early.
    pub(super) fn close_all(&mut self, io: &mut Io<'_, Order>) {
        for index in 0..self.slots {
            if self.depart(index, io) {
                self.figures.interrupted += 1;
            }
        }
        let waiting = self.retries.len() + self.forget_preparations();
        self.retries.clear();
        for _ in 0..waiting {
            self.leave();
            self.figures.interrupted += 1;
        }
    }

    /// Ends the shard when nobody is there any more and nobody will come.
    pub(super) fn end_if_over(&mut self, io: &mut Io<'_, Order>) {
        let is_over = self.arrivals.peek().is_none() && self.active == 0 && self.retries.is_empty();
        if self.started.is_none()
            || self.results.is_none()
            || !(is_over || self.is_closing)
            || io.conns_count() > 0
        {
            return;
        }
        let figures = self.take_figures();
        match self.hand_in(figures, true) {
            Ok(()) => {
                self.results = None;
                io.stop();
            }
            // The conductor makes room in a moment.
            Err(figures) => {
                self.figures = *figures;
                io.tick_at(io.now().after(LATER));
            }
        }
    }

    /// Hands in the periods that are over.
    pub(super) fn close_periods(&mut self, now: Time) {
        let Some(started) = self.started else { return };
        while now >= started.after(PERIOD * (self.period + 1)) {
            self.figures.active = self.active.into();
            self.figures.away = self.away.into();
            self.figures.open = self.open.into();
            let figures = self.take_figures();
            // Where there is no room, what was counted goes into the next period and is not lost.
            if let Err(figures) = self.hand_in(figures, false) {
                self.figures = *figures;
                return;
            }
            self.period += 1;
        }
    }

    /// Takes what was counted so far, and counts from nothing.
    fn take_figures(&mut self) -> Figures {
        let fresh = Figures::new(self.figures.created_by.len(), self.figures.steps.len());
        std::mem::replace(&mut self.figures, fresh)
    }

    /// Hands in what was counted, and gives it back if there is no room. Nobody waits for the results
    /// of a run that was given up.
    fn hand_in(&self, figures: Figures, is_last: bool) -> Result<(), Box<Figures>> {
        let handed = Handed::Period {
            period: self.period,
            figures: Box::new(figures),
            is_last,
        };
        let Some(results) = &self.results else {
            return Ok(());
        };
        match results.try_send(handed) {
            Err(TrySendError::Full(Handed::Period { figures, .. })) => Err(figures),
            _ => Ok(()),
        }
    }
}
