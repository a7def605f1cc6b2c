//! Completions out of readiness: `man 7 epoll`, level-triggered.
//!
//! One receive buffer serves all connections of the shard: a socket is read only when the shard asks
//! for its completion, and the bytes are used before the next is asked for.

use std::{
    io::IoSlice, mem::MaybeUninit, net::SocketAddr, os::fd::OwnedFd, sync::Arc, time::Duration,
};

use proto::Frame;
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
    net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, sockopt},
};

use super::{
    ACCEPTS_PER_TURN, Completion, FRAMES_PER_SEND, Received, Socket, Sockets, Submission, Waiting,
    Wanted, accept_queue::AcceptQueue, clock, listener, wait_for_event,
};
use crate::{ConnId, Time};

/// Bytes read at once; more than one TCP segment train, little enough for one buffer per shard.
pub(super) const RECEIVE_BYTES: usize = 64 * 1024;
/// Events taken per wait.
const EVENTS_MAX: usize = 1024;

/// Words that are no connection's: an index beyond any table.
const LISTENER: u64 = u64::MAX;
const WAKER: u64 = u64::MAX - 1;

/// The epoll kernel of one shard.
#[derive(Debug)]
pub(crate) struct Epoll {
    poll: OwnedFd,
    waker: Arc<OwnedFd>,
    listener: Option<OwnedFd>,
    /// What the last wait brought: whom it concerns, and what is possible.
    events: Vec<(u64, EventFlags)>,
    /// The next event to look at.
    cursor: usize,
    /// What is left of the event before it, when one event means two completions.
    rest: Option<(ConnId, EventFlags)>,
    accepts_left: u32,
    /// Whether the accept queue is to be looked at before the turn's first accept.
    look_at_queue: bool,
    buffer: Box<[u8]>,
}

impl Epoll {
    pub(crate) fn new(waker: Arc<OwnedFd>, listener: Option<OwnedFd>) -> Result<Self, Errno> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &waker, EventData::new_u64(WAKER), EventFlags::IN)?;
        if let Some(listener) = &listener {
            epoll::add(
                &poll,
                listener,
                EventData::new_u64(LISTENER),
                EventFlags::IN,
            )?;
        }
        Ok(Self {
            poll,
            waker,
            listener,
            events: Vec::with_capacity(EVENTS_MAX),
            cursor: 0,
            rest: None,
            accepts_left: 0,
            look_at_queue: false,
            buffer: vec![0; RECEIVE_BYTES].into_boxed_slice(),
        })
    }

    pub(crate) fn now(&self) -> Time {
        clock::now()
    }

    pub(crate) const fn listener(&self) -> Option<&OwnedFd> {
        self.listener.as_ref()
    }

    pub(crate) fn set_accepting(&mut self, accepting: bool) {
        if !accepting {
            self.accepts_left = 0;
        }
        if let Some(listener) = &self.listener {
            let interest = if accepting {
                EventFlags::IN
            } else {
                EventFlags::empty()
            };
            // Fails only for a descriptor that is not watched, and this one is.
            let _ = epoll::modify(&self.poll, listener, EventData::new_u64(LISTENER), interest);
        }
    }

    pub(crate) fn stop_listening(&mut self) {
        self.listener = None;
    }

    pub(crate) fn attach(&self, conn: ConnId, socket: &Socket) -> Result<(), Errno> {
        epoll::add(
            &self.poll,
            fd(socket),
            EventData::new_u64(conn.to_word()),
            EventFlags::IN,
        )
    }

    pub(crate) fn connect(
        &self,
        conn: ConnId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Socket, Errno> {
        let socket = listener::stream_socket(destination)?;
        // With this and an explicit port, the kernel checks one tuple instead of searching a port.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        net::bind(&socket, &source)?;
        match net::connect(&socket, &destination) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        epoll::add(
            &self.poll,
            &socket,
            EventData::new_u64(conn.to_word()),
            EventFlags::OUT,
        )?;
        Ok(Socket::Fd(socket))
    }

    pub(crate) fn send(
        &self,
        conn: ConnId,
        socket: &Socket,
        frames: &[Frame],
        skip: usize,
    ) -> Submission {
        let sent = match frames {
            [] => return Submission::Done(0),
            [frame] => net::send(fd(socket), &frame.as_bytes()[skip..], SendFlags::NOSIGNAL),
            [first, rest @ ..] => send_many(fd(socket), &first.as_bytes()[skip..], rest),
        };
        match sent {
            Ok(sent) => Submission::Done(sent),
            Err(Errno::INTR) => Submission::Done(0),
            Err(Errno::AGAIN) => match self.watch(conn, socket, EventFlags::IN | EventFlags::OUT) {
                // Nothing was taken: the frames are all still the caller's.
                Ok(()) => Submission::Pending { held: 0 },
                Err(errno) => Submission::Failed(errno),
            },
            Err(errno) => Submission::Failed(errno),
        }
    }

    pub(crate) fn shutdown(&self, socket: &Socket) {
        // Fails when the peer is gone, and then there is nobody to tell.
        let _ = net::shutdown(fd(socket), Shutdown::Write);
    }

    pub(crate) fn close(&self, socket: Socket, abort: bool) {
        let Socket::Fd(socket) = socket else { return };
        if abort {
            // `man 7 socket`: with a linger time of zero, close sends a reset.
            let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        }
    }

    pub(crate) fn wait(&mut self, deadline: Option<Time>) -> Result<(), Errno> {
        self.begin_turn();
        let timeout = deadline.map(|deadline| self.until(deadline));
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS_MAX];
        match epoll::wait(&self.poll, &mut events[..], timeout.as_ref()) {
            Ok((events, _)) => {
                let happened = events.iter().map(|event| (event.data.u64(), event.flags));
                self.events.extend(happened);
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    pub(crate) fn wait_for_waker(&self, deadline: Time) -> Result<(), Errno> {
        wait_for_event(&self.waker, deadline.since(self.now()))
    }

    pub(crate) fn next(
        &mut self,
        wanted: Wanted,
        sockets: &impl Sockets,
    ) -> Option<Completion<'_>> {
        loop {
            if let Some((conn, flags)) = self.rest.take() {
                if wanted == Wanted::Answers {
                    continue;
                }
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    match self.receive(conn, sockets) {
                        Read::Nothing => {}
                        Read::Bytes(len) => {
                            let what = Received::Bytes(&mut self.buffer[..len]);
                            return Some(Completion::Received { conn, what });
                        }
                        Read::End => {
                            return Some(Completion::Received {
                                conn,
                                what: Received::End,
                            });
                        }
                        Read::Failed(errno) => {
                            let what = Received::Failed(errno);
                            return Some(Completion::Received { conn, what });
                        }
                    }
                }
                continue;
            }
            let &(word, flags) = self.events.get(self.cursor)?;
            match word {
                LISTENER if wanted == Wanted::Answers => self.cursor += 1,
                LISTENER => match self.accept() {
                    Some(completion) => return Some(completion),
                    None => self.cursor += 1,
                },
                WAKER => {
                    self.cursor += 1;
                    self.clear_waker();
                }
                word => {
                    self.cursor += 1;
                    let conn = ConnId::from_word(word);
                    if let Some(completion) = self.writable(conn, flags, sockets) {
                        return Some(completion);
                    }
                }
            }
        }
    }

    /// Forgets the last turn's events; those that were not used are reported again.
    fn begin_turn(&mut self) {
        self.cursor = 0;
        self.rest = None;
        self.accepts_left = ACCEPTS_PER_TURN;
        self.look_at_queue = true;
        self.events.clear();
    }

    fn until(&self, deadline: Time) -> Timespec {
        let left = deadline.since(self.now());
        // epoll_wait counts whole milliseconds: round up, or the shard spins through the last one.
        let millis = left.as_nanos().div_ceil(1_000_000).min(1 << 30) as i64;
        Timespec {
            tv_sec: millis / 1000,
            tv_nsec: millis % 1000 * 1_000_000,
        }
    }

    fn clear_waker(&self) {
        let mut count = [0; 8];
        // Fails when nobody woke this shard after all.
        let _ = rustix::io::read(&*self.waker, &mut count);
    }

    /// Handles an event's writable half and leaves the readable one in `rest`.
    fn writable(
        &mut self,
        conn: ConnId,
        flags: EventFlags,
        sockets: &impl Sockets,
    ) -> Option<Completion<'static>> {
        let (socket, waiting) = sockets.socket(conn)?;
        if waiting == Waiting::Connect {
            let result = match sockopt::socket_error(fd(socket)) {
                Ok(Ok(())) => self.watch(conn, socket, EventFlags::IN),
                Ok(Err(errno)) | Err(errno) => Err(errno),
            };
            return Some(Completion::Connected { conn, result });
        }
        self.rest = Some((conn, flags));
        if !flags.contains(EventFlags::OUT) {
            return None;
        }
        let result = self.watch(conn, socket, EventFlags::IN).map(|()| 0);
        Some(Completion::Sent { conn, result })
    }

    fn receive(&mut self, conn: ConnId, sockets: &impl Sockets) -> Read {
        let Some((socket, _)) = sockets.socket(conn) else {
            return Read::Nothing;
        };
        match net::recv(fd(socket), &mut self.buffer[..], RecvFlags::empty()) {
            Ok((0, _)) => Read::End,
            Ok((len, _)) => Read::Bytes(len),
            Err(Errno::AGAIN | Errno::INTR) => Read::Nothing,
            Err(errno) => Read::Failed(errno),
        }
    }

    fn accept(&mut self) -> Option<Completion<'static>> {
        let listener = self.listener.as_ref()?;
        if std::mem::take(&mut self.look_at_queue)
            && let Some(queue) = AcceptQueue::of(listener)
            && queue.is_full()
        {
            return Some(Completion::AcceptQueueFull { max: queue.max });
        }
        while self.accepts_left > 0 {
            self.accepts_left -= 1;
            match net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, peer)) => {
                    // A TCP peer has an address; one that reset already may have lost it.
                    let Some(Ok(peer)) = peer.map(SocketAddr::try_from) else {
                        continue;
                    };
                    return Some(Completion::Accepted {
                        socket: Socket::Fd(socket),
                        peer,
                    });
                }
                Err(Errno::AGAIN) => return None,
                // `man 2 accept`: errors that belong to the connection which is no more.
                Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO | Errno::PERM) => {}
                Err(errno) => {
                    self.accepts_left = 0;
                    return Some(Completion::AcceptFailed(errno));
                }
            }
        }
        None
    }

    fn watch(&self, conn: ConnId, socket: &Socket, interest: EventFlags) -> Result<(), Errno> {
        epoll::modify(
            &self.poll,
            fd(socket),
            EventData::new_u64(conn.to_word()),
            interest,
        )
    }
}

/// What one `recv(2)` brought.
enum Read {
    Bytes(usize),
    Nothing,
    End,
    Failed(Errno),
}

fn send_many(socket: &OwnedFd, first: &[u8], rest: &[Frame]) -> Result<usize, Errno> {
    let mut list = [IoSlice::new(&[]); FRAMES_PER_SEND];
    list[0] = IoSlice::new(first);
    for (slot, frame) in list[1..].iter_mut().zip(rest) {
        *slot = IoSlice::new(frame.as_bytes());
    }
    let mut control = SendAncillaryBuffer::default();
    net::sendmsg(
        socket,
        &list[..=rest.len()],
        &mut control,
        SendFlags::NOSIGNAL,
    )
}

fn fd(socket: &Socket) -> &OwnedFd {
    match socket {
        Socket::Fd(fd) => fd,
        Socket::Direct(_) | Socket::Sim(_) => unreachable!("another kernel's socket in epoll"),
    }
}
