//! Who comes in, and where the next ones are led to.

use std::net::SocketAddr;

use rustix::io::Errno;

use super::Reactor;
use crate::{App, Cause, Io, Trouble, input, sys::Socket};

impl<A: App> Reactor<A> {
    pub(super) fn accept(&mut self, socket: Socket, peer: SocketAddr) {
        self.gate.handle_accepted(self.core.now);
        self.tell_gate();
        self.has_accepted = true;
        let Some(conn) = input::admit(&mut self.core, &mut self.app, socket, peer) else {
            return;
        };
        let socket = self
            .core
            .conns
            .get(conn)
            .and_then(|conn| conn.socket.as_ref());
        let attached = socket.map_or(Ok(()), |socket| self.kernel.attach(conn, socket));
        if let Err(errno) = attached {
            self.core.remove(conn, Cause::Socket(errno), true);
            self.handle_accept_failure(errno);
        }
    }

    pub(super) fn handle_queue_full(&mut self, max: u32) {
        self.core.counters.accept_queue_full.add(1);
        if let Some(steering) = &self.core.settings.steering {
            steering.handle_queue_full(self.core.shard, |shards| self.kernel.steer(shards));
        }
        // A queue that is short for want of room is nothing that an operator has to change.
        if self.backlog.is_whole() {
            let trouble = Trouble::AcceptQueue { max };
            self.app
                .handle_trouble(trouble, &mut Io::new(&mut self.core));
        }
    }

    /// Has new connections go elsewhere when this shard has its share, and here when it has not.
    pub(super) fn steer(&mut self) {
        let Some(steering) = &self.core.settings.steering else {
            return;
        };
        let (shard, conns_count) = (self.core.shard, self.core.conns.len());
        let waiting_count = self.kernel.waiting_count();
        steering.handle_count(shard, conns_count, waiting_count, |shards| {
            self.kernel.steer(shards)
        });
        if let Some(backlog) = self.backlog.poll(steering.room(conns_count)) {
            self.kernel.set_backlog(backlog);
        }
    }

    pub(super) fn handle_accept_failure(&mut self, errno: Errno) {
        self.core.counters.accept_errors.add(1);
        self.gate.handle_failure(self.core.now);
        self.tell_gate();
        self.app
            .handle_trouble(Trouble::Accept(errno), &mut Io::new(&mut self.core));
    }

    pub(super) fn tell_gate(&mut self) {
        if let Some(accepting) = self.gate.poll(self.core.now, self.core.accepting) {
            self.kernel.set_accepting(accepting);
        }
    }
}
