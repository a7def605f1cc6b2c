//! Opening: a user's sockets, its own and those besides, until they are open and when they end.

use engine::{ConnId, Io};

use super::{Cast, Order, Plan, State, Who, arriving::Undialled};
use crate::{
    failure::Failure,
    script::{links::Stage, program::Dialect},
};

/// A socket of a user that is there, to be dialled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub(super) who: Who,
    pub(super) socket: u8,
    /// Tuples that turned out to be in use by others.
    pub(super) tuples_busy: u8,
}

impl Cast {
    /// Lets a user open a socket, and wait until it is open.
    pub(super) fn open_socket(
        &mut self,
        plan: &Plan,
        index: u32,
        socket: u8,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let now = self.watch.now(io.now());
        let Some(who) = self.who(index) else {
            return false;
        };
        if self.is_open(index, socket) {
            let failure = Failure::SocketOpen(self.name_of(plan, index, socket));
            self.give_up(index, failure, io);
            return false;
        }
        self.begin_step(index, now);
        if let (Some(user), Some(links)) = (self.users.find(index), &mut self.links) {
            user.state = State::Opening;
            links.socket(index, socket).stage = Stage::Dialling;
            self.dials.push_back(Dial {
                who,
                socket,
                tuples_busy: 0,
            });
        }
        io.tick_at(io.now());
        false
    }

    /// Lets a user's socket be reset, which then comes back.
    pub(super) fn drop_socket(&mut self, index: u32, socket: u8, io: &mut Io<'_, Order>) -> bool {
        let now = self.watch.now(io.now());
        self.begin_step(index, now);
        self.go_on(index);
        if let Some(conn) = self.conn(index, socket) {
            io.abort(conn);
        }
        // The engine says in a moment that it is over, and the user goes on when it is back.
        false
    }

    /// Lets a user close a socket.
    pub(super) fn close_socket(&mut self, index: u32, socket: u8, io: &mut Io<'_, Order>) -> bool {
        let now = self.watch.now(io.now());
        self.begin_step(index, now);
        self.close_line(index, socket, io);
        self.go_on(index)
    }

    /// Dials a socket of a user that is there; `false` when there is no room at the moment.
    pub(super) fn dial_socket(&mut self, dial: Dial, io: &mut Io<'_, Order>) -> bool {
        let plan = std::sync::Arc::clone(&self.plan);
        let (index, socket) = (dial.who.slot, dial.socket);
        if !self.is_same(dial.who) {
            return true;
        }
        let (Some(user), Some(links)) = (self.users.find(index), &mut self.links) else {
            return true;
        };
        let program = user.program;
        let is_due = links.socket(index, socket).stage == Stage::Dialling;
        if !is_due || links.conn(index, socket).is_some() {
            return true;
        }
        let returns = self.is_returning(index, socket);
        match self.connect(&plan, (program, socket), (dial.tuples_busy, returns), io) {
            Ok(conn) => {
                if let Some(links) = &mut self.links {
                    links.attach(conn.index, plan.owner(program, index, socket));
                }
            }
            Err(Undialled::Later) => {
                self.dials.push_front(dial);
                return false;
            }
            // What becomes of that may end other connections of the user, whose slots are not free yet.
            Err(Undialled::Never(failure)) => self.undialled.push((dial, failure)),
        }
        true
    }

    /// A socket is open: its user goes on, if it has waited for it.
    pub(super) fn enter(&mut self, index: u32, socket: u8, conn: ConnId, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        if self.is_returning(index, socket) {
            return self.come_back(index, socket, conn, io);
        }
        let Some(user) = self.users.find(index) else {
            return;
        };
        let is_awaited = match socket {
            0 => user.state == State::Upgrading,
            _ => user.state == State::Opening,
        };
        if !is_awaited {
            return;
        }
        let (state, program) = (user.state, user.program);
        let after = now.since(user.due);
        user.due = now;
        user.state = State::Acting;
        self.figures.connect.record(after);
        let program = self.plan.program(program);
        self.figures.sockets_opened += u64::from(!program.sides.is_empty());
        let dialect = program.dialect_of(socket);
        if let Dialect::Phoenix(_, heartbeat) = dialect {
            if let Some(line) = self.lines.find(conn.index) {
                line.channels = Some(Box::default());
            }
            self.start_heartbeats(heartbeat, io.now());
        }
        if let Some(links) = &mut self.links {
            links.socket(index, socket).stage = Stage::Open;
        }
        if state == State::Opening {
            self.go_on(index);
        }
        match dialect {
            Dialect::SocketIo => self.open_session(index, io),
            _ => self.act(index, io),
        }
    }

    /// Tells those whose sockets could not be dialled.
    pub(super) fn settle_undialled(&mut self, io: &mut Io<'_, Order>) {
        for (dial, failure) in std::mem::take(&mut self.undialled) {
            if self.is_same(dial.who) {
                self.lose(dial.who.slot, dial.socket, failure, io);
            }
        }
    }

    /// Whether a user's socket is open.
    pub(super) fn is_open(&mut self, index: u32, socket: u8) -> bool {
        match &mut self.links {
            Some(links) => links.socket(index, socket).stage == Stage::Open,
            None => socket == 0,
        }
    }

    /// What the script calls a user's socket.
    pub(super) fn name_of(&mut self, plan: &Plan, index: u32, socket: u8) -> String {
        let user = self.users.find(index);
        let program = user.map_or(0, |user| user.program);
        plan.program(program).name_of(socket).to_owned()
    }

    /// Whether the socket of a user's step is open; the user fails if it is not.
    pub(super) fn has_socket(
        &mut self,
        plan: &Plan,
        index: u32,
        socket: u8,
        io: &mut Io<'_, Order>,
    ) -> bool {
        let is_open = self.is_open(index, socket);
        if !is_open {
            let failure = Failure::SocketNotOpen(self.name_of(plan, index, socket));
            self.give_up(index, failure, io);
        }
        is_open
    }
}

const _: () = assert!(size_of::<Dial>() == 12);
