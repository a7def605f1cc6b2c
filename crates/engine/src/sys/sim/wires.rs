//! What is between the ends: byte streams with windows, accept queues, and luck.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
};

use rustix::io::Errno;

use super::Faults;
use crate::{
    ConnId, Time,
    sys::{Completion, Socket},
};

/// Bytes that a socket takes in before its peer must wait.
const WINDOW: usize = 16 * 1024;
/// Bytes received at once at most.
const RECEIVE_BYTES: usize = 4 * 1024;

/// The whole network.
#[derive(Debug)]
pub(super) struct Wires {
    pub(super) now: Time,
    pub(super) random: fastrand::Rng,
    pub(super) faults: Faults,
    pub(super) sockets: Vec<Stream>,
    pub(super) listeners: Vec<Listening>,
    pub(super) kernels: usize,
    pub(super) tuples: HashSet<(SocketAddr, SocketAddr)>,
}

#[derive(Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) kernel: usize,
    pub(super) queue: VecDeque<u32>,
    pub(super) accepting: bool,
    pub(super) open: bool,
}

/// One end of a simulated connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) other: u32,
    /// The kernel that watches it; none while it is in an accept queue or in a test's hands.
    pub(super) kernel: Option<usize>,
    pub(super) conn: Option<ConnId>,
    pub(super) inbound: VecDeque<u8>,
    /// What comes after the inbound bytes.
    pub(super) end: Option<End>,
    /// What a dial has to report yet.
    pub(super) dialled: Option<Result<(), Errno>>,
    /// A send that reports later: how many bytes it has moved.
    pub(super) late: Option<usize>,
    /// A send that found the window full, and its sender has not heard of it.
    pub(super) is_finding_no_room: bool,
    pub(super) closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
    /// The shard has heard of it.
    Told,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Ready {
    Listener(usize),
    Stream(u32),
}

impl Wires {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            now: Time::ZERO,
            random: fastrand::Rng::with_seed(seed),
            faults,
            sockets: Vec::new(),
            listeners: Vec::new(),
            kernels: 0,
            tuples: HashSet::new(),
        }
    }

    /// Counts one more kernel, which listens if an address is given, and returns its number.
    pub(super) fn add_kernel(&mut self, listen: Option<SocketAddr>) -> usize {
        let kernel = self.kernels;
        self.kernels += 1;
        if let Some(address) = listen {
            let queue = VecDeque::new();
            self.listeners.push(Listening {
                address,
                kernel,
                queue,
                accepting: true,
                open: true,
            });
        }
        kernel
    }

    /// Whether this misfortune happens now.
    pub(super) fn suffers(&mut self, which: impl Fn(&Faults) -> u32) -> bool {
        let per_mille = which(&self.faults);
        per_mille > 0 && self.random.u32(0..1000) < per_mille
    }

    /// Bytes that a socket still takes in.
    pub(super) fn room(&self, socket: u32) -> usize {
        let stream = &self.sockets[socket as usize];
        if stream.closed {
            0
        } else {
            WINDOW - stream.inbound.len().min(WINDOW)
        }
    }

    pub(super) fn ready(&self, kernel: usize) -> Vec<Ready> {
        let mut ready = Vec::new();
        for (index, listening) in self.listeners.iter().enumerate() {
            if listening.kernel == kernel && listening.accepting && !listening.queue.is_empty() {
                ready.push(Ready::Listener(index));
            }
        }
        for (id, stream) in self.sockets.iter().enumerate() {
            let readable =
                !stream.inbound.is_empty() || matches!(stream.end, Some(End::Fin | End::Reset));
            let news = stream.dialled.is_some()
                || readable
                || stream.is_finding_no_room
                || self.is_late_over(id as u32);
            if stream.kernel == Some(kernel) && stream.conn.is_some() && !stream.closed && news {
                ready.push(Ready::Stream(id as u32));
            }
        }
        ready
    }

    /// Whether a late send can report now; one that found the window full waits for room.
    pub(super) fn is_late_over(&self, id: u32) -> bool {
        let stream = &self.sockets[id as usize];
        match stream.late {
            Some(0) => self.room(stream.other) > 0 || stream.end == Some(End::Reset),
            Some(_) => true,
            None => false,
        }
    }

    /// The result of a late send that is over. Bytes that are readable may be reported before it, as
    /// io_uring may do.
    pub(super) fn take_late(&mut self, id: u32) -> Option<usize> {
        let readable = !self.sockets[id as usize].inbound.is_empty();
        let comes_first = !readable || self.random.bool();
        if comes_first && self.is_late_over(id) {
            self.sockets[id as usize].late.take()
        } else {
            None
        }
    }

    /// Makes both ends of a connection and queues one at a listener.
    pub(super) fn dial(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<u32, Errno> {
        if !self.tuples.insert((source, destination)) {
            return Err(Errno::ADDRINUSE);
        }
        let refused = self.suffers(|faults| faults.refuse);
        let candidates: Vec<usize> = (0..self.listeners.len())
            .filter(|&index| self.listeners[index].open)
            .filter(|&index| self.listeners[index].address == destination)
            .collect();
        if refused || candidates.is_empty() {
            self.tuples.remove(&(source, destination));
            return Err(Errno::CONNREFUSED);
        }
        let near = self.lone(source, destination);
        let far = self.lone(destination, source);
        self.sockets[near as usize].other = far;
        self.sockets[far as usize].other = near;
        let listener = candidates[self.random.usize(..candidates.len())];
        self.listeners[listener].queue.push_back(far);
        Ok(near)
    }

    /// A socket without another end; its own is as good as closed.
    pub(super) fn lone(&mut self, local: SocketAddr, remote: SocketAddr) -> u32 {
        let id = self.sockets.len() as u32;
        self.sockets.push(Stream {
            local,
            remote,
            other: id,
            kernel: None,
            conn: None,
            inbound: VecDeque::new(),
            end: None,
            dialled: None,
            late: None,
            is_finding_no_room: false,
            closed: false,
        });
        id
    }

    pub(super) fn accept(&mut self, listener: usize) -> Option<Completion<'static>> {
        if self.suffers(|faults| faults.accept) {
            return Some(Completion::AcceptFailed(Errno::MFILE));
        }
        let socket = self.listeners[listener].queue.pop_front()?;
        let peer = self.sockets[socket as usize].remote;
        Some(Completion::Accepted {
            socket: Socket::Sim(socket),
            peer,
        })
    }

    /// Moves what is inbound to `buffer`, or tells of the end.
    pub(super) fn receive(&mut self, id: u32, buffer: &mut Vec<u8>) -> Option<Result<(), End>> {
        let available = self.sockets[id as usize].inbound.len().min(RECEIVE_BYTES);
        if self.sockets[id as usize].end == Some(End::Reset) || available == 0 {
            let end = self.sockets[id as usize].end?;
            if end == End::Told {
                return None;
            }
            self.sockets[id as usize].end = Some(End::Told);
            return Some(Err(end));
        }
        let short = self.suffers(|faults| faults.short_read);
        let taken = if short {
            self.random.usize(1..=available)
        } else {
            available
        };
        buffer.extend(self.sockets[id as usize].inbound.drain(..taken));
        Some(Ok(()))
    }

    pub(super) fn reset_both(&mut self, id: u32) {
        for end in [id, self.sockets[id as usize].other] {
            let stream = &mut self.sockets[end as usize];
            stream.inbound.clear();
            if stream.end != Some(End::Told) {
                stream.end = Some(End::Reset);
            }
        }
    }

    pub(super) fn close(&mut self, id: u32, abort: bool) {
        let stream = &mut self.sockets[id as usize];
        if std::mem::replace(&mut stream.closed, true) {
            return;
        }
        // `man 7 tcp`: closing with bytes unread resets the connection.
        let resets = abort || !stream.inbound.is_empty();
        stream.inbound = VecDeque::new();
        let (other, local, remote) = (stream.other, stream.local, stream.remote);
        self.tuples.remove(&(local, remote));
        self.tuples.remove(&(remote, local));
        let other = &mut self.sockets[other as usize];
        if resets {
            other.inbound.clear();
            if other.end != Some(End::Told) {
                other.end = Some(End::Reset);
            }
        } else {
            other.end = other.end.or(Some(End::Fin));
        }
    }
}
