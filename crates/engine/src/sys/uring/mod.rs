//! Completions from io_uring, `man 7 io_uring`: what the seam asks for is what the kernel does.
//!
//! ```text
//!  idle ── poll armed ──► readable ──► receive + poll armed again ──► bytes      (one submission)
//!  frames ──► send, never waiting ──► sent
//!                              └────► EAGAIN: blocked ── poll armed ──► try again
//! ```
//!
//! Sockets are direct descriptors: they are in the ring's own table and have no number in the process's,
//! so `RLIMIT_NOFILE` bounds a ring. Receives and sends never wait, so they are answered as soon as
//! they are submitted and no memory of ours is in the kernel's hands for longer than a submission; only
//! accepts, with an address each, are in flight while nothing happens.
#![allow(
    unsafe_code,
    reason = "requests name memory that the kernel uses until it has answered them"
)]

mod accepts;
mod address;
mod answers;
mod dials;
mod reads;
mod ring;
mod sends;
mod slots;
mod support;
#[cfg(test)]
mod tests;
mod word;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use proto::Frame;
use rustix::{
    io::Errno,
    net::{self, Shutdown},
    process::{Resource, getrlimit},
};

pub(super) use self::support::check;
use self::{
    accepts::{ACCEPTS_MAX, Accepts, News},
    dials::Dials,
    reads::Reads,
    ring::Ring,
    sends::Sends,
    slots::Slots,
    word::{What, Word},
};
use super::{
    Completion, Received, Socket, Sockets, Submission, Wanted, accept_queue::AcceptQueue, clock,
    wait_for_event,
};
use crate::{ConnId, Time};

/// Slots beyond the connections: for accepts in flight, and for sockets whose end is not answered yet.
const SLOTS_EXTRA: u32 = 2 * ACCEPTS_MAX as u32;
/// Calls of the kernel per turn to look for more that has happened; each finds some tens of things.
const LOOKS_PER_TURN: u32 = 64;
/// Tries to end what is in flight when the ring goes.
const LAST_TRIES: u32 = 1000;

/// The io_uring kernel of one shard.
#[derive(Debug)]
pub(crate) struct Uring {
    ring: Ring,
    slots: Slots,
    reads: Reads,
    sends: Sends,
    accepts: Accepts,
    dials: Dials,
    /// Answers to what the shard has asked for, to be reported.
    answers: VecDeque<Completion<'static>>,
    listener: Option<OwnedFd>,
    waker: Arc<OwnedFd>,
    looks_left: u32,
}

impl Uring {
    /// A kernel for the calling thread, with room for `connections_max` connections or for as many as
    /// `RLIMIT_NOFILE` allows.
    pub(crate) fn new(
        waker: Arc<OwnedFd>,
        listener: Option<OwnedFd>,
        connections_max: u32,
    ) -> Result<Self, Errno> {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).min(FILES_MAX);
        let slots = connections_max.saturating_add(SLOTS_EXTRA).min(limit);
        let mut ring = Ring::new(slots).map_err(|error| ring::errno(&error))?;
        ring.poll_always(&waker, Word::of(What::Woken, 0));
        Ok(Self {
            ring,
            slots: Slots::new(slots),
            reads: Reads::new(),
            sends: Sends::default(),
            accepts: Accepts::new(),
            dials: Dials::default(),
            answers: VecDeque::new(),
            listener,
            waker,
            looks_left: 0,
        })
    }

    pub(crate) fn now(&self) -> Time {
        clock::now()
    }

    pub(crate) const fn listener(&self) -> Option<&OwnedFd> {
        self.listener.as_ref()
    }

    pub(crate) fn set_accepting(&mut self, accepting: bool) {
        self.accepts.accepting = accepting;
        if !accepting {
            self.cancel_accepts();
        }
    }

    pub(crate) fn stop_listening(&mut self) {
        let Some(listener) = self.listener.take() else {
            return;
        };
        self.cancel_accepts();
        // Nothing may be queued that names the listener by its number when that is free again.
        let _ = self.ring.submit();
        // The accepts that are in flight hold the socket open; this ends its listening at once.
        let _ = net::shutdown(&listener, Shutdown::Both);
        for news in self.accepts.take_news() {
            if let News::Accepted { slot, .. } = news {
                self.close(Socket::Direct(slot), true);
            }
        }
    }

    pub(crate) fn attach(&mut self, conn: ConnId, socket: &Socket) {
        let slot = slot(socket);
        self.slots.set_conn(slot, conn);
        self.arm_poll(slot);
    }

    pub(crate) fn connect(
        &mut self,
        conn: ConnId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Socket, Errno> {
        let slot = self.slots.take().ok_or(Errno::MFILE)?;
        self.slots.set_conn(slot, conn);
        // For the whole dial: it ends with a connect, or in place of one.
        self.slots.ask(slot, What::Connected);
        let word = Word::of(What::Prepared, slot);
        let domain = if destination.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        self.ring.socket(slot, domain, word, true);
        // With this and an explicit port, the kernel checks one tuple instead of searching a port.
        self.ring
            .switch_on(slot, libc::SOL_SOCKET, libc::SO_REUSEADDR, word, true);
        self.ring
            .switch_on(slot, libc::IPPROTO_TCP, libc::TCP_NODELAY, word, true);
        let bind = self.dials.begin(slot, source.into(), destination.into());
        // SAFETY: the address is boxed in `self.dials` until the dial is answered. The kernel copies it
        // when it takes the request up, so a dial in flight names no memory of ours when the ring goes,
        // and what was not taken up by then never is.
        unsafe { self.ring.stage(bind) };
        Ok(Socket::Direct(slot))
    }

    pub(crate) fn send(
        &mut self,
        conn: ConnId,
        socket: &Socket,
        frames: &[Frame],
        skip: usize,
    ) -> Submission {
        if frames.is_empty() {
            return Submission::Done(0);
        }
        let slot = slot(socket);
        self.slots.ask(slot, What::Sent);
        let request = self.sends.begin(conn, slot, frames, skip);
        // SAFETY: the frames, and the list of them, are kept in `self.sends` until the send is answered.
        unsafe { self.ring.stage(request) };
        Submission::Pending {
            held: frames.len() as u8,
        }
    }

    /// Sends that are not answered yet.
    pub(crate) const fn sends_count(&self) -> usize {
        self.sends.count()
    }

    pub(crate) fn shutdown(&mut self, socket: &Socket) {
        // io_uring shuts down in a thread of its own for each that is under way; an ordinary descriptor
        // for a moment is cheaper.
        let slot = slot(socket);
        self.slots.ask(slot, What::Installed);
        self.ring.install(slot);
    }

    pub(crate) fn close(&mut self, socket: Socket, abort: bool) {
        let slot = slot(&socket);
        // What is armed holds the socket open.
        for what in [What::Readable, What::Writable] {
            if self.slots.is_asked(slot, what) {
                self.ring.cancel_poll(Word::of(what, slot));
            }
        }
        if self.slots.is_asked(slot, What::Connected) {
            self.ring.cancel(Word::of(What::Connected, slot));
        }
        if abort {
            self.ring.reset_at_close(slot);
        }
        self.slots.close(slot);
        self.ring.close(slot);
    }

    /// Whether the slot of a closed socket is not vacant yet.
    pub(crate) const fn has_ends_under_way(&self) -> bool {
        self.slots.has_closed()
    }

    pub(crate) fn wait(&mut self, deadline: Option<Time>) -> Result<(), Errno> {
        self.looks_left = LOOKS_PER_TURN;
        self.arm_accepts();
        let has_news = !self.answers.is_empty()
            || self.accepts.has_news()
            || self.reads.has_news()
            || self.ring.has_answers();
        match deadline.map(|deadline| deadline.since(self.now())) {
            _ if has_news => self.ring.submit(),
            Some(left) if left.is_zero() => self.ring.submit(),
            left => self.ring.wait(left),
        }
    }

    pub(crate) fn wait_for_waker(&mut self, deadline: Time) -> Result<(), Errno> {
        self.ring.submit()?;
        wait_for_event(&self.waker, deadline.since(self.now()))
    }

    pub(crate) fn next(
        &mut self,
        wanted: Wanted,
        sockets: &impl Sockets,
    ) -> Option<Completion<'_>> {
        self.reads.take_back();
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Some(answer);
            }
            if wanted == Wanted::Everything {
                if let Some(news) = self.accepts.poll_news() {
                    return Some(news.into());
                }
                if let Some(arrived) = self.reads.poll_arrived() {
                    if sockets.socket(arrived.conn).is_some() {
                        return Some(self.received(arrived));
                    }
                    self.reads.give_back(arrived.buffer);
                    continue;
                }
            }
            if self.ring.has_answers() {
                self.take_up_all();
                continue;
            }
            if wanted == Wanted::Everything && self.looks_left > 0 {
                self.read_more(sockets);
            }
            if !self.look_again() {
                return None;
            }
        }
    }

    /// Calls the kernel when that will bring more answers now; `false` says that it will not.
    fn look_again(&mut self) -> bool {
        let waits_for_answers = self.reads.is_asked() || self.sends.count() > 0;
        let is_due = waits_for_answers && self.ring.has_staged();
        let may_look = self.looks_left > 0 && self.ring.has_more();
        self.looks_left = self.looks_left.saturating_sub(1);
        (is_due || may_look) && self.ring.submit().is_ok() && self.ring.has_answers()
    }

    /// Asks for the bytes of those that have some, and arms their polls again behind it.
    fn read_more(&mut self, sockets: &impl Sockets) {
        while let Some((slot, conn)) = self.reads.poll_readable() {
            if self.slots.conn(slot) != Some(conn) || sockets.socket(conn).is_none() {
                continue;
            }
            self.slots.ask(slot, What::Received);
            let request = self.reads.begin(slot);
            // SAFETY: the buffer is in `self.reads`, and nobody else's until the receive is answered.
            unsafe { self.ring.stage(request) };
            self.arm_poll(slot);
        }
    }

    fn arm_poll(&mut self, slot: u32) {
        self.slots.ask(slot, What::Readable);
        let events = libc::POLLIN | libc::POLLRDHUP;
        self.ring.poll(slot, events, Word::of(What::Readable, slot));
    }

    fn arm_accepts(&mut self) {
        if !self.accepts.accepting || self.accepts.has_news() {
            return;
        }
        let Some(listener) = &self.listener else {
            return;
        };
        let missing = self.accepts.missing();
        if missing == 0 {
            return;
        }
        let queue = AcceptQueue::of(listener);
        if let Some(queue) = queue.filter(|queue| queue.is_full()) {
            self.accepts
                .report_trouble(News::QueueFull { max: queue.max });
        }
        for _ in 0..missing {
            let Some(slot) = self.slots.take() else {
                return self.be_full(queue);
            };
            let request = self.accepts.begin(listener.as_raw_fd(), slot);
            // SAFETY: the address is boxed in `self.accepts`, and nobody else's until the accept is
            // answered; `Drop` sees to it that it is.
            unsafe { self.ring.stage(request) };
        }
    }

    /// There is no slot to accept into. Who waits already is reported; who comes later ends the sleep, or
    /// nobody would know before something else happens.
    fn be_full(&mut self, queue: Option<AcceptQueue>) {
        // The answer to an accept or to an end is the time to look for slots again.
        if self.accepts.in_flight() > 0 || self.slots.has_closed() {
            return;
        }
        if queue.is_none_or(|queue| queue.waiting > 0) {
            self.accepts.report_trouble(News::Failed(Errno::MFILE));
        } else if let Some(listener) = &self.listener
            && !std::mem::replace(&mut self.accepts.is_watched, true)
        {
            let word = Word::of(What::Knocked, 0);
            self.ring.poll_listener(listener, word);
        }
    }

    fn cancel_accepts(&mut self) {
        for word in self.accepts.stop() {
            self.ring.cancel(word);
        }
        if self.accepts.is_watched {
            self.ring.cancel_poll(Word::of(What::Knocked, 0));
        }
    }

    fn received(&mut self, arrived: reads::Arrived) -> Completion<'_> {
        let bytes = self.reads.lend(arrived.buffer);
        let what = match arrived.result {
            Ok(0) => Received::End,
            Ok(len) => Received::Bytes(&mut bytes[..len as usize]),
            Err(errno) => Received::Failed(errno),
        };
        Completion::Received {
            conn: arrived.conn,
            what,
        }
    }
}

impl From<News> for Completion<'_> {
    fn from(news: News) -> Self {
        match news {
            News::Accepted { slot, peer } => Self::Accepted {
                socket: Socket::Direct(slot),
                peer,
            },
            News::Failed(errno) => Self::AcceptFailed(errno),
            News::QueueFull { max } => Self::AcceptQueueFull { max },
        }
    }
}

/// Ends what the kernel may still write to before its memory goes: the addresses of accepts.
impl Drop for Uring {
    fn drop(&mut self) {
        self.listener = None;
        self.cancel_accepts();
        // Also submits what was queued last, the ends of sockets among it.
        let mut done = self.ring.submit();
        for _ in 0..LAST_TRIES {
            self.take_up_all();
            let in_flight = self.accepts.in_flight() > 0 || self.sends.count() > 0;
            if done.is_err() || !in_flight && !self.ring.has_staged() {
                break;
            }
            done = self.ring.submit();
        }
        if self.accepts.in_flight() > 0 || self.sends.count() > 0 {
            // It cannot be known whether they are over, so their memory stays for good.
            std::mem::forget(std::mem::replace(&mut self.accepts, Accepts::new()));
            std::mem::forget(std::mem::take(&mut self.sends));
        }
    }
}

/// `IORING_MAX_FIXED_FILES`, io_uring/rsrc.c.
const FILES_MAX: u32 = 1 << 20;

fn slot(socket: &Socket) -> u32 {
    match socket {
        Socket::Direct(slot) => *slot,
        Socket::Fd(_) | Socket::Sim(_) => unreachable!("another kernel's socket in a ring"),
    }
}
