//! What a kernel owes a shard.
//!
//! The seam is completion-shaped: the shard submits and later hears *accepted*, *connected*,
//! *received*, *sent*. io_uring is that by nature; [`epoll`] turns readiness into it, and [`sim`] is a
//! network in memory whose every misfortune comes from a seed. A closed enum, not a trait object: a
//! shard has one kernel for life, and the compiler sees through the calls.
//!
//! ```text
//!            submit                              complete
//!   connect(conn, from, to) ───────────► Connected { conn, result }
//!   attach(conn, socket) ──────────────► Received { conn, bytes | end | error }, again and again
//!   send(conn, frames) ─ Done(n) │ Pending ─► Sent { conn, n more bytes }   (n may be 0: try again)
//!                                        └──► Blocked { conn } ─► Sent { conn, 0 }   (the socket was full)
//!   listen(..) ────────────────────────► Accepted { socket, peer }
//! ```
//!
//! Received bytes are borrowed from the kernel until the next completion is asked for, so an idle
//! connection owns no buffer on any kernel.

mod accept_queue;
mod choice;
mod clock;
mod descriptors;
mod epoll;
mod listener;
pub mod sim;
mod steer;
mod uring;

use std::{net::SocketAddr, os::fd::OwnedFd, sync::Arc, time::Duration};

use capacity::Tables;
use proto::Frame;
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};

pub use self::choice::{KernelChoice, KernelInUse};
pub(crate) use self::listener::probe;
use self::{accept_queue::AcceptQueue, epoll::Epoll, sim::SimKernel, uring::Uring};
use crate::{ConnId, Settings, Time};

/// The kernel under one shard.
#[derive(Debug)]
pub(crate) enum Kernel {
    Epoll(Epoll),
    Uring(Box<Uring>),
    Sim(SimKernel),
}

/// One socket of one kernel, closed when handed back to [`Kernel::close`].
#[derive(Debug)]
pub(crate) enum Socket {
    Fd(OwnedFd),
    /// A slot in a ring's table of files.
    Direct(u32),
    Sim(u32),
}

const _: () = assert!(size_of::<Option<Socket>>() == 8);

/// What a connection's socket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The answer to its connect.
    Connect,
    /// Bytes, and room for bytes.
    Data,
}

/// Which completions a shard wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Everything,
    /// Nothing that makes more work: only the answers to what the shard has asked for.
    Answers,
}

/// How a kernel finds the socket behind a connection it has news of.
pub(crate) trait Sockets {
    /// The socket, unless the connection is gone.
    fn socket(&self, conn: ConnId) -> Option<(&Socket, Waiting)>;
}

/// One thing that has happened.
#[derive(Debug)]
pub(crate) enum Completion<'k> {
    Accepted {
        socket: Socket,
        peer: SocketAddr,
    },
    AcceptFailed(Errno),
    /// As many connections wait as may; the machine drops what comes beyond.
    AcceptQueueFull {
        max: u32,
    },
    Connected {
        conn: ConnId,
        result: Result<(), Errno>,
    },
    Received {
        conn: ConnId,
        what: Received<'k>,
    },
    Sent {
        conn: ConnId,
        result: Result<usize, Errno>,
    },
    /// A pending send found no room. Its frames are the shard's again; a [`Completion::Sent`] of nothing
    /// tells when there is room.
    Blocked {
        conn: ConnId,
    },
}

/// What came out of a socket.
#[derive(Debug)]
pub(crate) enum Received<'k> {
    Bytes(&'k mut [u8]),
    /// The peer will send nothing more.
    End,
    Failed(Errno),
}

/// What became of a send at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Submission {
    /// This many bytes are on their way.
    Done(usize),
    /// A [`Completion::Sent`] or [`Completion::Blocked`] will tell. Until then this many of the frames belong to the kernel, which
    /// may have written any part of them.
    Pending {
        held: u8,
    },
    Failed(Errno),
}

/// Frames offered to a kernel at once (`UIO_MAXIOV` is 1024; more than this gains nothing).
pub(crate) const FRAMES_PER_SEND: usize = 64;

/// Connections accepted per turn at most, so that a storm of them does not starve those that are here.
pub(crate) const ACCEPTS_PER_TURN: u32 = 128;

/// Sleeps until a waker's event has happened, at most for `left`.
fn wait_for_event(event: &OwnedFd, left: Duration) -> Result<(), Errno> {
    let timeout = Timespec {
        tv_sec: left.as_secs().min(1 << 30) as i64,
        tv_nsec: left.subsec_nanos().into(),
    };
    match poll(&mut [PollFd::new(event, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Why a shard has no kernel.
#[derive(Debug)]
pub(crate) enum KernelError {
    /// The thread cannot have a descriptor table of its own.
    Table(Errno),
    /// The address cannot be listened on.
    Listen(SocketAddr, Errno),
    /// `epoll_create1(2)`, `epoll_ctl(2)`, `io_uring_setup(2)` or `io_uring_register(2)` failed.
    Make(Errno),
}

/// Gets a shard out of [`Kernel::wait`], from any thread.
#[derive(Clone, Debug)]
pub(crate) enum Waker {
    Event(Arc<OwnedFd>),
    /// Simulated shards are turned by their driver.
    Sim,
}

impl Waker {
    /// A waker for a real kernel. It has to be made before any shard takes a table of its own, for only
    /// then does its descriptor mean the same in all of them.
    pub(crate) fn new() -> Result<Self, Errno> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self::Event(Arc::new(eventfd(0, flags)?)))
    }

    pub(crate) fn wake(&self) {
        if let Self::Event(event) = self {
            // Fails only when the count is at its maximum, and then the shard is awake already.
            let _ = rustix::io::write(&**event, &1u64.to_ne_bytes());
        }
    }
}

#[allow(
    clippy::needless_pass_by_ref_mut,
    reason = "a kernel that queues submissions, as io_uring does, changes with each"
)]
impl Kernel {
    /// Makes the kernel of a shard, in the shard's own thread, listening if an address is given; returns
    /// the address with its real port. A shard that wants a table of its own has it from here on.
    pub(crate) fn start(
        in_use: &KernelInUse,
        settings: &Settings,
        waker: &Waker,
        listen: Option<SocketAddr>,
    ) -> Result<(Self, Option<SocketAddr>), KernelError> {
        let Waker::Event(waker) = waker else {
            unreachable!("a simulated shard is not started");
        };
        if settings.tables == Tables::PerShard && *in_use != KernelInUse::Uring {
            descriptors::take_own_table().map_err(KernelError::Table)?;
        }
        let (listener, address) = match listen {
            Some(wanted) => {
                let (listener, bound) = listener::listen(wanted, settings.backlog)
                    .map_err(|errno| KernelError::Listen(wanted, errno))?;
                (Some(listener), Some(bound))
            }
            None => (None, None),
        };
        let kernel = match in_use {
            KernelInUse::EpollAsAsked | KernelInUse::EpollInstead(_) => {
                Epoll::new(Arc::clone(waker), listener).map(Self::Epoll)
            }
            KernelInUse::Uring => Uring::new(Arc::clone(waker), listener, settings.connections_max)
                .map(|kernel| Self::Uring(Box::new(kernel))),
        };
        Ok((kernel.map_err(KernelError::Make)?, address))
    }

    pub(crate) fn now(&self) -> Time {
        match self {
            Self::Epoll(kernel) => kernel.now(),
            Self::Uring(kernel) => kernel.now(),
            Self::Sim(kernel) => kernel.now(),
        }
    }

    /// Starts or stops reporting [`Completion::Accepted`].
    pub(crate) fn set_accepting(&mut self, accepting: bool) {
        match self {
            Self::Epoll(kernel) => kernel.set_accepting(accepting),
            Self::Uring(kernel) => kernel.set_accepting(accepting),
            Self::Sim(kernel) => kernel.set_accepting(accepting),
        }
    }

    /// Stops listening for good; connections that wait unaccepted are refused by the machine.
    pub(crate) fn stop_listening(&mut self) {
        match self {
            Self::Epoll(kernel) => kernel.stop_listening(),
            Self::Uring(kernel) => kernel.stop_listening(),
            Self::Sim(kernel) => kernel.stop_listening(),
        }
    }

    /// Connections that wait to be accepted by this shard.
    pub(crate) fn waiting_count(&self) -> u32 {
        let queue = self.listener().and_then(AcceptQueue::of);
        queue.map_or(0, |queue| queue.waiting)
    }

    /// How many connections may wait to be accepted by this shard.
    pub(crate) fn backlog(&self) -> u32 {
        let queue = self.listener().and_then(AcceptQueue::of);
        queue.map_or(0, |queue| queue.max)
    }

    /// Changes how many may wait; those who wait already stay.
    pub(crate) fn set_backlog(&self, backlog: u32) {
        if let Some(listener) = self.listener() {
            listener::set_backlog(listener, backlog);
        }
    }

    /// Has the machine lead new connections to these shards, or to all when it is given none; whether it
    /// does. A container may forbid it, and then the machine goes on by its hash.
    pub(crate) fn steer(&self, shards: &[u16]) -> bool {
        let listener = self.listener();
        listener.is_some_and(|listener| steer::steer(listener, shards).is_ok())
    }

    /// Begins to report what arrives on an accepted socket.
    pub(crate) fn attach(&mut self, conn: ConnId, socket: &Socket) -> Result<(), Errno> {
        match self {
            Self::Epoll(kernel) => kernel.attach(conn, socket),
            Self::Uring(kernel) => {
                kernel.attach(conn, socket);
                Ok(())
            }
            Self::Sim(kernel) => kernel.attach(conn, socket),
        }
    }

    /// Dials from an explicit address and port; `Connected` follows.
    pub(crate) fn connect(
        &mut self,
        conn: ConnId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Socket, Errno> {
        match self {
            Self::Epoll(kernel) => kernel.connect(conn, source, destination),
            Self::Uring(kernel) => kernel.connect(conn, source, destination),
            Self::Sim(kernel) => kernel.connect(conn, source, destination),
        }
    }

    /// Writes `frames`, at most [`FRAMES_PER_SEND`], in order and without the first `skip` bytes. At
    /// most one send per connection may be pending.
    pub(crate) fn send(
        &mut self,
        conn: ConnId,
        socket: &Socket,
        frames: &[Frame],
        skip: usize,
    ) -> Submission {
        match self {
            Self::Epoll(kernel) => kernel.send(conn, socket, frames, skip),
            Self::Uring(kernel) => kernel.send(conn, socket, frames, skip),
            Self::Sim(kernel) => kernel.send(conn, socket, frames, skip),
        }
    }

    /// Sends whose answers come as soon as they are asked for.
    pub(crate) fn sends_count(&self) -> usize {
        match self {
            Self::Uring(kernel) => kernel.sends_count(),
            Self::Epoll(_) | Self::Sim(_) => 0,
        }
    }

    /// Tells the peer that nothing more comes; what it still sends is received.
    pub(crate) fn shutdown(&mut self, socket: &Socket) {
        match self {
            Self::Epoll(kernel) => kernel.shutdown(socket),
            Self::Uring(kernel) => kernel.shutdown(socket),
            Self::Sim(kernel) => kernel.shutdown(socket),
        }
    }

    /// Ends a socket, with a reset when `abort` is set. Its connection gets no more completions.
    pub(crate) fn close(&mut self, socket: Socket, abort: bool) {
        match self {
            Self::Epoll(kernel) => kernel.close(socket, abort),
            Self::Uring(kernel) => kernel.close(socket, abort),
            Self::Sim(kernel) => kernel.close(socket, abort),
        }
    }

    /// Whether a socket that was closed has not ended yet. Its end is an answer, which ends a sleep.
    pub(crate) fn has_ends_under_way(&self) -> bool {
        match self {
            Self::Uring(kernel) => kernel.has_ends_under_way(),
            Self::Epoll(_) | Self::Sim(_) => false,
        }
    }

    /// Sleeps until something has happened, a waker was used or `deadline` has come; `None` sleeps
    /// without end.
    pub(crate) fn wait(&mut self, deadline: Option<Time>) -> Result<(), Errno> {
        match self {
            Self::Epoll(kernel) => kernel.wait(deadline),
            Self::Uring(kernel) => kernel.wait(deadline),
            Self::Sim(kernel) => {
                kernel.wait();
                Ok(())
            }
        }
    }

    /// Lets another thread that is ready have this core, if there is one; `man 2 sched_yield`.
    pub(crate) fn let_others_run(&self) {
        match self {
            Self::Epoll(_) | Self::Uring(_) => rustix::thread::sched_yield(),
            Self::Sim(_) => {}
        }
    }

    /// Sleeps until a waker was used or `deadline` has come, whatever else happens.
    pub(crate) fn wait_for_waker(&mut self, deadline: Time) -> Result<(), Errno> {
        match self {
            Self::Epoll(kernel) => kernel.wait_for_waker(deadline),
            Self::Uring(kernel) => kernel.wait_for_waker(deadline),
            Self::Sim(_) => Ok(()),
        }
    }

    /// The next thing that has happened, until this turn's are used up. What is wanted may change from
    /// turn to turn; the rest is reported in a later one.
    pub(crate) fn next(
        &mut self,
        wanted: Wanted,
        sockets: &impl Sockets,
    ) -> Option<Completion<'_>> {
        match self {
            Self::Epoll(kernel) => kernel.next(wanted, sockets),
            Self::Uring(kernel) => kernel.next(wanted, sockets),
            Self::Sim(kernel) => kernel.next(wanted, sockets),
        }
    }

    /// The machine's socket that listens for this shard.
    const fn listener(&self) -> Option<&OwnedFd> {
        match self {
            Self::Epoll(kernel) => kernel.listener(),
            Self::Uring(kernel) => kernel.listener(),
            Self::Sim(_) => None,
        }
    }
}

/// What the ledger has under a name for a server on this kernel.
#[cfg(test)]
fn ledger_bytes(kernel: capacity::Kernel, name: &str) -> usize {
    let layout = capacity::Layout {
        end: capacity::End::Server,
        kernel,
        shards: 1,
        tables: Tables::PerProcess,
        admin_connections: 0,
    };
    let ledger = capacity::Ledger::of(1, &layout, None);
    let term = ledger.terms().iter().find(|term| term.name == name);
    term.unwrap_or_else(|| panic!("no term {name}")).bytes as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_of_a_shard_on_epoll_takes_what_the_ledger_says() {
        let bytes = ledger_bytes(capacity::Kernel::Epoll, "receive buffers");
        assert_eq!(bytes, epoll::RECEIVE_BYTES);
    }
}
