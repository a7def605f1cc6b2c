//! Which connection is whose, where a script's users have several sockets or come back.
//!
//! ```text
//!  the engine's connection ──► owner ──► user, and which of its sockets
//!  user × socket ────────────► socket ─► the engine's connection, and how far it is
//! ```
//!
//! Both are plain tables, and users have slots of their own: one whose connection has ended stays where it is until
//! it is back. A script whose users have one socket each and do not come back has none of this: a user's slot is
//! its connection's. A connection that its user has parted with is still listed until
//! the engine reports its end; only its socket does not point to it any more.

use engine::Time;

use super::connect::Request;
use crate::table::Table;

/// Whose a connection is; 8 bytes, by the engine's connection index.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    /// The user's slot.
    pub(crate) user: u32, // 4
    /// The place of its server among the destinations.
    pub(crate) destination: u16, // 2
    /// Which of the user's sockets it is; 0 is its own.
    pub(crate) socket: u8, // 1, and 1 of padding
}

const _: () = assert!(size_of::<Owner>() == 8);

/// One socket of a user; 24 bytes, by the user's slot.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    /// When its connection ended, if that is to come back.
    pub(crate) left: Time, // 8
    /// What it says again when it is back.
    pub(crate) kept: Option<Box<Kept>>, // 8
    /// The engine's connection index; none is [`NOWHERE`].
    conn: u32, // 4
    pub(crate) stage: Stage, // 1
    /// Tries to come back, at most 255 are counted; 0 while it has nothing to come back from.
    pub(crate) tries: u8, // 1
    /// How often it has ended after the phases, at most 255 are counted.
    pub(crate) late_ends: u8, // 1, and 1 of padding
}

const _: () = assert!(size_of::<Socket>() == 24);

/// What a socket that comes back says as it did before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// What it asked for, where that is not the same for everybody and always.
    pub(crate) request: Option<Request>,
    /// The topics that it has joined, the last one last.
    pub(crate) joins: Vec<Join>,
}

/// A topic that was joined.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) topic: Box<str>,
    pub(crate) payload: Box<str>,
    /// Whether the server has granted it on this connection.
    pub(crate) is_granted: bool,
}

impl Kept {
    /// A topic is joined, or joined again.
    pub(crate) fn join(&mut self, topic: &str, payload: &str) {
        self.leave(topic);
        self.joins.reserve_exact(1);
        self.joins.push(Join {
            topic: topic.into(),
            payload: payload.into(),
            is_granted: false,
        });
    }

    /// A topic is left.
    pub(crate) fn leave(&mut self, topic: &str) {
        self.joins.retain(|join| *join.topic != *topic);
    }
}

/// How far a socket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not opened, or closed.
    #[default]
    Closed,
    /// It is to be dialled, or TCP is being established.
    Dialling,
    /// The upgrade has been asked for.
    Upgrading,
    /// It is back, and has asked for its topics.
    Joining,
    Open,
    /// Its connection has ended, and it waits until it tries to come back.
    Away,
}

/// No connection.
const NOWHERE: u32 = u32::MAX;

impl Default for Socket {
    fn default() -> Self {
        Self {
            left: Time::ZERO,
            kept: None,
            conn: NOWHERE,
            stage: Stage::Closed,
            tries: 0,
            late_ends: 0,
        }
    }
}

/// The connections of one shard's users.
#[derive(Debug)]
pub(crate) struct Links {
    /// Sockets of one user, at most.
    width: u32,
    owners: Table<Owner>,
    sockets: Table<Socket>,
    /// Slots that users have left.
    free: Vec<u32>,
    /// One past the highest slot that ever had a user.
    slots: u32,
}

impl Links {
    /// Of users with so many sockets each.
    pub(crate) fn new(width: u32) -> Self {
        Self {
            width: width.max(1),
            owners: Table::new(),
            sockets: Table::new(),
            free: Vec::new(),
            slots: 0,
        }
    }

    /// A slot for a user.
    pub(crate) fn settle(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }

    /// Gives back the slot of a user that has left, whose connections its sockets do not point to any more.
    pub(crate) fn vacate(&mut self, user: u32) {
        debug_assert!((0..self.width as u8).all(|socket| self.conn(user, socket).is_none()));
        self.free.push(user);
    }

    /// The place of a user's socket among all sockets.
    pub(crate) fn place(&self, user: u32, socket: u8) -> u32 {
        debug_assert!(u32::from(socket) < self.width);
        user * self.width + u32::from(socket)
    }

    /// Whose socket has a place, and which.
    pub(crate) const fn of_place(&self, place: u32) -> (u32, u8) {
        (place / self.width, (place % self.width) as u8)
    }

    /// How many places there are.
    pub(crate) const fn places_count(&self) -> u32 {
        self.slots * self.width
    }

    /// The socket of a user.
    pub(crate) fn socket(&mut self, user: u32, socket: u8) -> &mut Socket {
        let place = self.place(user, socket);
        self.sockets.entry(place)
    }

    /// The connection of a user's socket.
    pub(crate) fn conn(&mut self, user: u32, socket: u8) -> Option<u32> {
        let conn = self.socket(user, socket).conn;
        (conn != NOWHERE).then_some(conn)
    }

    /// A connection is dialled for a user's socket.
    pub(crate) fn attach(&mut self, conn: u32, owner: Owner) {
        *self.owners.entry(conn) = owner;
        self.socket(owner.user, owner.socket).conn = conn;
    }

    /// Parts a user's socket from its connection, if it has one.
    pub(crate) fn detach(&mut self, user: u32, socket: u8) -> Option<u32> {
        let conn = self.conn(user, socket);
        self.socket(user, socket).conn = NOWHERE;
        conn
    }

    /// The same for good: nothing is kept of the socket.
    pub(crate) fn forget(&mut self, user: u32, socket: u8) {
        *self.socket(user, socket) = Socket::default();
    }

    /// Whose connection it was, whether that still holds to it or not.
    pub(crate) fn owner(&mut self, conn: u32) -> Owner {
        self.owners
            .find(conn)
            .map_or_else(Owner::default, |owner| *owner)
    }

    /// The user and the socket that hold to a connection.
    pub(crate) fn holder(&mut self, conn: u32) -> Option<(u32, u8)> {
        let Owner { user, socket, .. } = *self.owners.find(conn)?;
        (self.conn(user, socket) == Some(conn)).then_some((user, socket))
    }

    /// How many sockets a user may have.
    pub(crate) const fn width(&self) -> u8 {
        self.width as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_its_users_until_the_two_part() {
        let mut links = Links::new(3);
        let (one, two) = (links.settle(), links.settle());
        for (conn, user, socket) in [(7, one, 0), (8, two, 0), (9, one, 2)] {
            let owner = Owner {
                user,
                socket,
                destination: 4,
            };
            links.attach(conn, owner);
        }
        assert_eq!(links.holder(9), Some((one, 2)));
        assert_eq!((links.conn(one, 2), links.conn(one, 1)), (Some(9), None));
        assert_eq!(links.detach(one, 2), Some(9));
        // The engine has still to report its end, and its tuple goes back to where it is from.
        assert_eq!((links.holder(9), links.owner(9).destination), (None, 4));
        assert_eq!(links.detach(one, 2), None);
        links.detach(one, 0);
        links.vacate(one);
        assert_eq!((links.settle(), links.settle()), (one, 2));
        assert_eq!(links.holder(8), Some((two, 0)));
    }

    #[test]
    fn the_next_user_of_a_slot_has_none_of_the_connections_of_the_last() {
        let mut links = Links::new(1);
        let user = links.settle();
        let owner = Owner {
            user,
            ..Owner::default()
        };
        links.attach(5, owner);
        links.detach(user, 0);
        links.vacate(user);
        assert_eq!(links.settle(), user);
        links.attach(6, owner);
        assert_eq!((links.holder(5), links.holder(6)), (None, Some((user, 0))));
    }
}
