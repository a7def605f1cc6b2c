//! Storming: connections that the script resets, to see them come back.

use std::sync::Arc;

use engine::Io;

use super::{Cast, Order};
use crate::{
    script::{links::Stage, storms::What},
    share::Share,
};

/// What the script does to connections in one tick.
const BLOWS_PER_TICK: u32 = 1_024;
/// Guesses at a connection that is open, before places are looked at one after the other.
const GUESSES: u32 = 64;

/// A walk through all places, each of which is looked at once in a tick: nobody comes back within it.
#[derive(Debug)]
struct Walk {
    next: u32,
    left: u32,
}

impl Cast {
    /// Does what is due of what the script does to connections.
    pub(super) fn storm(&mut self, io: &mut Io<'_, Order>) {
        let Some(started) = self.started else { return };
        let now = io.now();
        let mut walk = None;
        for _ in 0..BLOWS_PER_TICK {
            let Some(blow) = self.storms.next_if(|one| started.after(one.at) <= now) else {
                return;
            };
            match blow.what {
                What::Share { share, phase } => self.drop_share(share, phase, io),
                What::One(number) => {
                    let shard = self.plan.part.shard_of(number, self.plan.shards);
                    if shard == Some(self.shard) {
                        self.reset_one(&mut walk, io);
                    }
                }
            }
        }
        io.tick_at(now);
    }

    /// Resets the connections of a share of the users that are there.
    ///
    /// A user's number in the run decides, so that what all shards of all machines drop adds up, though none knows
    /// of the others.
    fn drop_share(&mut self, share: Share, phase: u32, io: &mut Io<'_, Order>) {
        // Each phase and each run has others.
        let first = self.plan.seed(phase) >> 32;
        for index in 0..self.slots {
            if !self.may_drop(index) {
                continue;
            }
            let number = self.users.find(index).map(|user| user.number);
            if number.is_some_and(|number| share.has(first + u64::from(number))) {
                self.drop_user(index, io);
            }
        }
    }

    /// Whether a user is there with all of its sockets, and comes back.
    fn may_drop(&mut self, index: u32) -> bool {
        let plan = Arc::clone(&self.plan);
        let user = self.users.find(index);
        user.is_some_and(|user| {
            let comes_back = || plan.program(user.program).reconnect.is_some();
            user.state.is_there() && user.away == 0 && comes_back()
        })
    }

    /// Resets all connections of a user, as a cable does that is pulled.
    fn drop_user(&mut self, index: u32, io: &mut Io<'_, Order>) {
        let width = self.links.as_ref().map_or(0, |links| links.width());
        for socket in 0..width {
            self.reset(index, socket, io);
        }
    }

    /// Resets one connection, each as likely as any other, if there is one.
    fn reset_one(&mut self, walk: &mut Option<Walk>, io: &mut Io<'_, Order>) {
        let Some(links) = &self.links else { return };
        let places = links.places_count();
        let is_over = walk.as_ref().is_some_and(|walk| walk.left == 0);
        if self.open == 0 || places == 0 || is_over {
            return;
        }
        for _ in 0..GUESSES {
            let place = self.random.u32(..places);
            if self.reset_at(place, io) {
                return;
            }
        }
        let walk = walk.get_or_insert_with(|| Walk {
            next: self.random.u32(..places),
            left: places,
        });
        while walk.left > 0 {
            let place = walk.next;
            (walk.next, walk.left) = ((place + 1) % places, walk.left - 1);
            if self.reset_at(place, io) {
                return;
            }
        }
    }

    /// Resets the connection of the socket in a place, if it is one that is open and comes back.
    fn reset_at(&mut self, place: u32, io: &mut Io<'_, Order>) -> bool {
        let Some(links) = &self.links else {
            return false;
        };
        let (index, socket) = links.of_place(place);
        let user = self.users.find(index);
        let comes_back = user.is_some_and(|user| {
            let program = self.plan.program(user.program);
            user.state.is_there() && program.reconnect.is_some()
        });
        comes_back && self.reset(index, socket, io)
    }

    /// Resets a user's socket if it is open; whether it was.
    fn reset(&mut self, index: u32, socket: u8, io: &mut Io<'_, Order>) -> bool {
        let links = self.links.as_mut();
        let is_open = links.is_some_and(|links| links.socket(index, socket).stage == Stage::Open);
        if !is_open {
            return false;
        }
        // One that was reset a moment ago is not there, though the engine has still to say so.
        let conn = self.conn(index, socket);
        let Some(conn) = conn.filter(|&conn| io.view(conn).is_some()) else {
            return false;
        };
        io.abort(conn);
        true
    }
}
