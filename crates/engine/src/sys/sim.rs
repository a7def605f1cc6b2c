//! A network in memory: deterministic, seeded, and as unkind as asked.
//!
//! [`Net`] is the network and its clock. Each shard under test gets a [`SimKernel`]; both ends of a
//! connection may be shards (a server's and a crowd's), or one end is a [`Peer`] that a test scripts.
//! Everything that a real network may do to a byte stream happens here with the probabilities of
//! [`Faults`]: short reads and writes, full windows, completions that come late and in any order,
//! resets, failing accepts and refused dials. The same seed gives the same run.
//!
//! Some sends complete at once, as on epoll, and some later, as on io_uring, so both shapes of the
//! seam are walked in every run.

use std::{
    cell::RefCell,
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    rc::Rc,
};

use proto::Frame;
use rustix::io::Errno;

use super::{Completion, Received, Socket, Sockets, Submission, Waiting};
use crate::{App, ConnId, Reactor, Time, Turn};

/// Bytes that a socket takes in before its peer must wait.
const WINDOW: usize = 16 * 1024;
/// Bytes received at once at most.
const RECEIVE_BYTES: usize = 4 * 1024;

/// How often what goes wrong, in 1/1000.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A ready socket is passed over this turn.
    pub delay: u32,
    /// A read brings only a part.
    pub short_read: u32,
    /// A write takes only a part.
    pub short_write: u32,
    /// A write completes later.
    pub late_write: u32,
    /// A read or write finds the connection reset.
    pub reset: u32,
    /// `accept4` fails with `EMFILE`.
    pub accept: u32,
    /// A dial is refused.
    pub refuse: u32,
}

impl Faults {
    /// Everything that a correct peer on a slow network sees: no connection is lost.
    pub const SLOW: Self = Self {
        delay: 300,
        short_read: 400,
        short_write: 400,
        late_write: 300,
        reset: 0,
        accept: 0,
        refuse: 0,
    };
    /// As [`Faults::SLOW`], and connections are lost, too.
    pub const ROUGH: Self = Self {
        reset: 5,
        accept: 50,
        refuse: 50,
        ..Self::SLOW
    };
}

/// The network, its clock and its luck.
#[derive(Clone, Debug)]
pub struct Net(Rc<RefCell<State>>);

/// One shard's kernel on a simulated network.
#[derive(Debug)]
pub struct SimKernel {
    net: Net,
    index: usize,
    ready: Vec<Ready>,
    buffer: Vec<u8>,
}

/// One end of a connection in the hands of a test.
#[derive(Debug)]
pub struct Peer {
    net: Net,
    socket: u32,
}

/// Anything that [`Net::run`] can turn: a [`Reactor`] of any app.
pub trait Shard {
    /// One turn.
    fn turn(&mut self) -> Turn;
    /// Whether only time or a peer can give it more to do.
    fn is_idle(&self) -> bool;
}

#[derive(Debug)]
struct State {
    now: Time,
    random: fastrand::Rng,
    faults: Faults,
    sockets: Vec<Stream>,
    listeners: Vec<Listening>,
    kernels: usize,
    tuples: HashSet<(SocketAddr, SocketAddr)>,
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    kernel: usize,
    queue: VecDeque<u32>,
    accepting: bool,
    open: bool,
}

/// One end of a simulated connection.
#[derive(Debug)]
struct Stream {
    local: SocketAddr,
    remote: SocketAddr,
    other: u32,
    /// The kernel that watches it; none while it is in an accept queue or in a test's hands.
    kernel: Option<usize>,
    conn: Option<ConnId>,
    inbound: VecDeque<u8>,
    /// What comes after the inbound bytes.
    end: Option<End>,
    /// What a dial has to report yet.
    dialled: Option<Result<(), Errno>>,
    /// A send that reports later: how many bytes it has moved.
    late: Option<usize>,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
    /// The shard has heard of it.
    Told,
}

#[derive(Clone, Copy, Debug)]
enum Ready {
    Listener(usize),
    Stream(u32),
}

impl Net {
    /// A network without connections at time zero.
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self(Rc::new(RefCell::new(State {
            now: Time::ZERO,
            random: fastrand::Rng::with_seed(seed),
            faults,
            sockets: Vec::new(),
            listeners: Vec::new(),
            kernels: 0,
            tuples: HashSet::new(),
        })))
    }

    /// A kernel for one shard, listening if an address is given; several may share an address.
    pub fn kernel(&self, listen: Option<SocketAddr>) -> SimKernel {
        let mut state = self.0.borrow_mut();
        let index = state.kernels;
        state.kernels += 1;
        if let Some(address) = listen {
            let queue = VecDeque::new();
            let listening = Listening {
                address,
                kernel: index,
                queue,
                accepting: true,
                open: true,
            };
            state.listeners.push(listening);
        }
        SimKernel {
            net: self.clone(),
            index,
            ready: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Connects a scripted peer; `None` when nobody listens there.
    pub fn connect(&self, source: SocketAddr, destination: SocketAddr) -> Option<Peer> {
        let mut state = self.0.borrow_mut();
        let socket = state.dial(source, destination).ok()?;
        Some(Peer {
            net: self.clone(),
            socket,
        })
    }

    /// The network's clock.
    pub fn now(&self) -> Time {
        self.0.borrow().now
    }

    /// Changes how unkind the network is from here on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// Turns the shards, in any order, until `done`, moving the clock to the next deadline whenever
    /// nothing else can happen. Returns whether it was done before `until`.
    pub fn run(
        &self,
        shards: &mut [&mut dyn Shard],
        until: Time,
        mut done: impl FnMut() -> bool,
    ) -> bool {
        let mut order: Vec<usize> = (0..shards.len()).collect();
        loop {
            if done() {
                return true;
            }
            self.0.borrow_mut().random.shuffle(&mut order);
            let mut deadline: Option<Time> = None;
            for &index in &order {
                if let Turn::Done(Some(next)) = shards[index].turn() {
                    deadline = Some(deadline.map_or(next, |earliest| earliest.min(next)));
                }
            }
            if self.is_quiet() && shards.iter().all(|shard| shard.is_idle()) {
                if done() {
                    return true;
                }
                let now = self.now();
                match deadline {
                    Some(next) if next <= until => self.0.borrow_mut().now = next.max(now),
                    _ => return false,
                }
            }
        }
    }

    /// Whether no kernel has anything to report.
    fn is_quiet(&self) -> bool {
        let state = self.0.borrow();
        (0..state.kernels).all(|kernel| state.ready(kernel).is_empty())
    }
}

impl<A: App> Shard for Reactor<A> {
    fn turn(&mut self) -> Turn {
        Self::turn(self).expect("a simulated kernel waits without failing")
    }

    fn is_idle(&self) -> bool {
        Self::is_idle(self)
    }
}

impl Peer {
    /// Writes what the window takes and returns how much that was.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let mut state = self.net.0.borrow_mut();
        let other = state.sockets[self.socket as usize].other;
        let taken = state.room(other).min(bytes.len());
        state.sockets[other as usize]
            .inbound
            .extend(&bytes[..taken]);
        taken
    }

    /// Takes everything that has arrived.
    pub fn read(&self) -> Vec<u8> {
        let mut state = self.net.0.borrow_mut();
        state.sockets[self.socket as usize]
            .inbound
            .drain(..)
            .collect()
    }

    /// Whether the other end has ended the stream and everything before that was read.
    pub fn has_ended(&self) -> bool {
        let state = self.net.0.borrow();
        let stream = &state.sockets[self.socket as usize];
        stream.inbound.is_empty() && stream.end.is_some()
    }

    /// Ends this end in order.
    pub fn close(&self) {
        self.net.0.borrow_mut().close(self.socket, false);
    }

    /// Ends this end with a reset.
    pub fn reset(&self) {
        self.net.0.borrow_mut().close(self.socket, true);
    }
}

impl SimKernel {
    pub(crate) fn now(&self) -> Time {
        self.net.now()
    }

    pub(crate) fn set_accepting(&self, accepting: bool) {
        for listening in self.net.0.borrow_mut().listeners.iter_mut() {
            if listening.kernel == self.index {
                listening.accepting = accepting;
            }
        }
    }

    pub(crate) fn stop_listening(&self) {
        let mut state = self.net.0.borrow_mut();
        let mut waiting = Vec::new();
        for listening in state.listeners.iter_mut() {
            if listening.kernel == self.index {
                listening.open = false;
                waiting.extend(listening.queue.drain(..));
            }
        }
        for socket in waiting {
            state.close(socket, true);
        }
    }

    pub(crate) fn attach(&self, conn: ConnId, socket: &Socket) -> Result<(), Errno> {
        let mut state = self.net.0.borrow_mut();
        let stream = &mut state.sockets[index(socket) as usize];
        stream.kernel = Some(self.index);
        stream.conn = Some(conn);
        Ok(())
    }

    pub(crate) fn connect(
        &self,
        conn: ConnId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Socket, Errno> {
        let mut state = self.net.0.borrow_mut();
        let socket = match state.dial(source, destination) {
            Ok(socket) => socket,
            Err(Errno::CONNREFUSED) => {
                let lone = state.lone(source, destination);
                state.sockets[lone as usize].dialled = Some(Err(Errno::CONNREFUSED));
                lone
            }
            Err(errno) => return Err(errno),
        };
        let stream = &mut state.sockets[socket as usize];
        stream.kernel = Some(self.index);
        stream.conn = Some(conn);
        stream.dialled = stream.dialled.or(Some(Ok(())));
        Ok(Socket::Sim(socket))
    }

    pub(crate) fn send(
        &self,
        _: ConnId,
        socket: &Socket,
        frames: &[Frame],
        skip: usize,
    ) -> Submission {
        let id = index(socket);
        let mut state = self.net.0.borrow_mut();
        if state.suffers(|faults| faults.reset) {
            state.reset_both(id);
        }
        if state.sockets[id as usize].end == Some(End::Reset) {
            return Submission::Failed(Errno::CONNRESET);
        }
        let other = state.sockets[id as usize].other;
        if state.sockets[other as usize].closed {
            return Submission::Failed(Errno::PIPE);
        }
        let bytes = frames.iter().flat_map(|frame| frame.as_bytes()).skip(skip);
        let total = frames.iter().map(Frame::len).sum::<usize>() - skip;
        let room = state.room(other);
        if room == 0 {
            state.sockets[id as usize].late = Some(0);
            return Submission::Pending;
        }
        let mut taken = total.min(room);
        if state.suffers(|faults| faults.short_write) {
            taken = state.random.usize(1..=taken);
        }
        state.sockets[other as usize]
            .inbound
            .extend(bytes.take(taken));
        if state.suffers(|faults| faults.late_write) {
            state.sockets[id as usize].late = Some(taken);
            return Submission::Pending;
        }
        Submission::Done(taken)
    }

    pub(crate) fn shutdown(&self, socket: &Socket) {
        let mut state = self.net.0.borrow_mut();
        let other = state.sockets[index(socket) as usize].other;
        let other = &mut state.sockets[other as usize];
        other.end = other.end.or(Some(End::Fin));
    }

    pub(crate) fn close(&self, socket: Socket, abort: bool) {
        self.net.0.borrow_mut().close(index(&socket), abort);
    }

    /// Collects what is ready, in an order that the seed decides.
    pub(crate) fn wait(&mut self) {
        let mut state = self.net.0.borrow_mut();
        let mut ready = state.ready(self.index);
        ready.retain(|_| !state.suffers(|faults| faults.delay));
        state.random.shuffle(&mut ready);
        self.ready = ready;
    }

    pub(crate) fn next(&mut self, sockets: &impl Sockets) -> Option<Completion<'_>> {
        while let Some(ready) = self.ready.pop() {
            let mut state = self.net.0.borrow_mut();
            let id = match ready {
                Ready::Listener(listener) => match state.accept(listener) {
                    Some(completion) => return Some(completion),
                    None => continue,
                },
                Ready::Stream(id) => id,
            };
            let Some(conn) = state.sockets[id as usize].conn else {
                continue;
            };
            let Some((_, waiting)) = sockets.socket(conn) else {
                continue;
            };
            if let Some(result) = state.sockets[id as usize].dialled.take() {
                debug_assert_eq!(waiting, Waiting::Connect, "a dial is reported once");
                return Some(Completion::Connected { conn, result });
            }
            if let Some(sent) = state.take_late(id) {
                return Some(Completion::Sent {
                    conn,
                    result: Ok(sent),
                });
            }
            if state.suffers(|faults| faults.reset) {
                state.reset_both(id);
            }
            self.buffer.clear();
            match state.receive(id, &mut self.buffer) {
                Some(Ok(())) => {
                    let what = Received::Bytes(&mut self.buffer);
                    return Some(Completion::Received { conn, what });
                }
                Some(Err(End::Fin)) => {
                    return Some(Completion::Received {
                        conn,
                        what: Received::End,
                    });
                }
                Some(Err(_)) => {
                    let what = Received::Failed(Errno::CONNRESET);
                    return Some(Completion::Received { conn, what });
                }
                None => {}
            }
        }
        None
    }
}

impl State {
    /// Whether this misfortune happens now.
    fn suffers(&mut self, which: impl Fn(&Faults) -> u32) -> bool {
        let per_mille = which(&self.faults);
        per_mille > 0 && self.random.u32(0..1000) < per_mille
    }

    /// Bytes that a socket still takes in.
    fn room(&self, socket: u32) -> usize {
        let stream = &self.sockets[socket as usize];
        if stream.closed {
            0
        } else {
            WINDOW - stream.inbound.len().min(WINDOW)
        }
    }

    fn ready(&self, kernel: usize) -> Vec<Ready> {
        let mut ready = Vec::new();
        for (index, listening) in self.listeners.iter().enumerate() {
            if listening.kernel == kernel && listening.accepting && !listening.queue.is_empty() {
                ready.push(Ready::Listener(index));
            }
        }
        for (id, stream) in self.sockets.iter().enumerate() {
            let readable =
                !stream.inbound.is_empty() || matches!(stream.end, Some(End::Fin | End::Reset));
            let news = stream.dialled.is_some() || readable || self.is_late_over(id as u32);
            if stream.kernel == Some(kernel) && stream.conn.is_some() && !stream.closed && news {
                ready.push(Ready::Stream(id as u32));
            }
        }
        ready
    }

    /// Whether a late send can report now; one that found the window full waits for room.
    fn is_late_over(&self, id: u32) -> bool {
        let stream = &self.sockets[id as usize];
        match stream.late {
            Some(0) => self.room(stream.other) > 0 || stream.end == Some(End::Reset),
            Some(_) => true,
            None => false,
        }
    }

    fn take_late(&mut self, id: u32) -> Option<usize> {
        if self.is_late_over(id) {
            self.sockets[id as usize].late.take()
        } else {
            None
        }
    }

    /// Makes both ends of a connection and queues one at a listener.
    fn dial(&mut self, source: SocketAddr, destination: SocketAddr) -> Result<u32, Errno> {
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
    fn lone(&mut self, local: SocketAddr, remote: SocketAddr) -> u32 {
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
            closed: false,
        });
        id
    }

    fn accept(&mut self, listener: usize) -> Option<Completion<'static>> {
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
    fn receive(&mut self, id: u32, buffer: &mut Vec<u8>) -> Option<Result<(), End>> {
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

    fn reset_both(&mut self, id: u32) {
        for end in [id, self.sockets[id as usize].other] {
            let stream = &mut self.sockets[end as usize];
            stream.inbound.clear();
            if stream.end != Some(End::Told) {
                stream.end = Some(End::Reset);
            }
        }
    }

    fn close(&mut self, id: u32, abort: bool) {
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

fn index(socket: &Socket) -> u32 {
    match socket {
        Socket::Sim(index) => *index,
        Socket::Fd(_) => unreachable!("a real socket in a simulated kernel"),
    }
}
