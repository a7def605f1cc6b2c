//! One thread of the crowd with its part of the connections.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::{Tally, Tuples};
use crate::session::{Session, head_len, server_frame_len};

/// Connections, and what is known of each.
#[derive(Debug)]
pub(super) struct Squad {
    server: SocketAddrV4,
    tuples: Tuples,
    session: Arc<Session>,
    request: Vec<u8>,
    epoll: OwnedFd,
    conns: Vec<Conn>,
    /// Deliveries, duplicates and what else `Conn` does not remember.
    tally: Tally,
    inbox: Box<[u8]>,
}

#[derive(Debug)]
struct Conn {
    socket: OwnedFd,
    stage: Stage,
    /// The number of the last broadcast that arrived here.
    sequence: u32,
    /// When the push was sent whose reply is awaited.
    pushed_at: Option<Instant>,
    /// The beginning of a message whose end has not arrived. Almost always empty.
    incomplete: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Upgrading,
    Joining,
    Joined,
    Dropped,
}

impl Squad {
    pub(super) fn new(
        server: SocketAddrV4,
        tuples: Tuples,
        session: Arc<Session>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            server,
            tuples,
            request: session.request(&server.to_string()),
            session,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            conns: Vec::new(),
            tally: Tally::default(),
            inbox: vec![0; INBOX_BYTES].into_boxed_slice(),
        })
    }

    /// Opens and joins `count` more connections with at most `unjoined_max` on the way at a time.
    pub(super) fn open(&mut self, count: usize, unjoined_max: usize) -> anyhow::Result<()> {
        let goal = self.conns.len() + count;
        let mut joined_count = self.conns.len();
        let session = Arc::clone(&self.session);
        let mut events = Vec::with_capacity(EVENTS);
        let mut deadline = Instant::now() + PATIENCE;
        while joined_count < goal {
            let unjoined_count = self.conns.len() - joined_count;
            let room = (unjoined_max - unjoined_count).min(goal - self.conns.len());
            for _ in 0..room.min(DIALS_PER_TURN) {
                self.dial()?;
            }
            let wait = if room > DIALS_PER_TURN {
                Duration::ZERO
            } else {
                PATIENCE
            };
            self.wait(&mut events, wait)?;
            for event in &events {
                let alive = self.read(event.data.u64() as usize, |conn, message| {
                    match conn.stage {
                        Stage::Upgrading => {
                            if !session.is_accepted(message) {
                                bail!("refused: {}", String::from_utf8_lossy(message));
                            }
                            if session.joins() {
                                send_whole(&conn.socket, session.join())?;
                                conn.stage = Stage::Joining;
                            } else {
                                conn.stage = Stage::Joined;
                                joined_count += 1;
                                deadline = Instant::now() + PATIENCE;
                            }
                        }
                        Stage::Joining => {
                            if message != session.joined() {
                                bail!("join answered: {}", String::from_utf8_lossy(message));
                            }
                            conn.stage = Stage::Joined;
                            joined_count += 1;
                            deadline = Instant::now() + PATIENCE;
                        }
                        Stage::Joined | Stage::Dropped => bail!("a frame that nobody asked for"),
                    }
                    Ok(())
                })?;
                if !alive {
                    bail!("the server closed a connection before {goal} were open");
                }
            }
            if Instant::now() > deadline {
                bail!("no connection was joined for {PATIENCE:?}; {joined_count} of {goal} are");
            }
        }
        Ok(())
    }

    /// Asks for the broadcast `sequence` on the squad's first connection.
    pub(super) fn push_shout(&self, sequence: u32) -> anyhow::Result<()> {
        let publisher = self
            .conns
            .first()
            .context("a crowd of nobody cannot push")?;
        send_whole(&publisher.socket, &self.session.shout_push(sequence))
    }

    /// Receives until the broadcast `sequence` has come to every connection, or nothing has come
    /// for a while. Tells `arrived` how many connections it has just come to, once for each batch of
    /// events.
    pub(super) fn receive_shout(
        &mut self,
        sequence: u32,
        mut arrived: impl FnMut(u64),
    ) -> anyhow::Result<()> {
        let session = Arc::clone(&self.session);
        let mut expected = Vec::new();
        session.shout_into(sequence, &mut expected);
        let mut missing = self
            .conns
            .iter()
            .filter(|conn| conn.is_due(sequence))
            .count();
        let mut events = Vec::with_capacity(EVENTS);
        while missing > 0 {
            self.wait(&mut events, PATIENCE)?;
            if events.is_empty() {
                return Ok(()); // What is missing is counted at the end.
            }
            let missing_before = missing;
            for event in &events {
                let index = event.data.u64() as usize;
                let was_due = self.conns[index].is_due(sequence);
                self.read_shouts(&session, index, Some((sequence, expected.as_slice())))?;
                if was_due && !self.conns[index].is_due(sequence) {
                    missing -= 1;
                }
            }
            arrived((missing_before - missing) as u64);
        }
        Ok(())
    }

    /// Counts what arrives within `stretch`.
    pub(super) fn listen(&mut self, stretch: Duration) -> anyhow::Result<()> {
        let session = Arc::clone(&self.session);
        let deadline = Instant::now() + stretch;
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.wait(&mut events, left)?;
            for event in &events {
                self.read_shouts(&session, event.data.u64() as usize, None)?;
            }
        }
    }

    /// Returns what has come of `count` broadcasts.
    pub(super) fn fanout_tally(&self, count: u32) -> Tally {
        let never_came: u64 = self
            .conns
            .iter()
            .map(|conn| u64::from(count.saturating_sub(conn.sequence)))
            .sum();
        Tally {
            lost: self.tally.lost + never_came,
            ..self.tally
        }
    }

    /// Keeps one push in flight on every connection for `stretch`, then waits for the last
    /// replies. Returns the latency of the replies inside the stretch.
    pub(super) fn echo(&mut self, stretch: Duration) -> anyhow::Result<(Histogram<u64>, Tally)> {
        let session = Arc::clone(&self.session);
        let mut latency = new_histogram()?;
        let mut events = Vec::with_capacity(EVENTS);
        for conn in &mut self.conns {
            conn.push(&session)?;
        }
        let end = Instant::now() + stretch;
        let mut awaited_count = self.conns.len();
        let (mut delivered, mut unexpected) = (0_u64, 0_u64);
        while awaited_count > 0 {
            self.wait(&mut events, PATIENCE)?;
            if events.is_empty() {
                break;
            }
            for event in &events {
                let index = event.data.u64() as usize;
                let alive = self.read(index, |conn, message| {
                    let Some(pushed_at) =
                        conn.pushed_at.filter(|_| message == session.echo_reply())
                    else {
                        unexpected += 1;
                        return Ok(());
                    };
                    conn.pushed_at = None;
                    delivered += 1;
                    let now = Instant::now();
                    if now < end {
                        latency.saturating_record(nanoseconds(now - pushed_at));
                        conn.push(&session)?;
                    } else {
                        awaited_count -= 1;
                    }
                    Ok(())
                })?;
                if !alive && self.conns[index].pushed_at.is_some() {
                    awaited_count -= 1; // It stays marked as awaited and is counted as lost.
                }
            }
        }
        self.tally.delivered += delivered;
        self.tally.unexpected += unexpected;
        self.tally.lost += self
            .conns
            .iter()
            .filter(|conn| conn.pushed_at.is_some())
            .count() as u64;
        Ok((latency, self.tally))
    }

    fn dial(&mut self) -> anyhow::Result<()> {
        let socket = self.tuples.dial(self.server)?;
        send_whole(&socket, &self.request)?;
        let data = epoll::EventData::new_u64(self.conns.len() as u64);
        epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN)?;
        self.conns.push(Conn {
            socket,
            stage: Stage::Upgrading,
            sequence: 0,
            pushed_at: None,
            incomplete: Vec::new(),
        });
        Ok(())
    }

    /// Fills `events` with what is readable, waiting for it at most `longest`.
    fn wait(&self, events: &mut Vec<epoll::Event>, longest: Duration) -> anyhow::Result<()> {
        events.clear();
        let longest = Timespec::try_from(longest).context("the wait is too long")?;
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&longest)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno).context("epoll_wait failed"),
        }
    }

    /// Reads from the connection `index` and accounts for each broadcast. `expected`, the frame
    /// that should come next, saves looking into it.
    fn read_shouts(
        &mut self,
        session: &Session,
        index: usize,
        expected: Option<(u32, &[u8])>,
    ) -> anyhow::Result<()> {
        let mut tally = Tally::default();
        self.read(index, |conn, message| {
            let sequence = match expected {
                Some((sequence, frame)) if message == frame => Some(sequence),
                _ => session.shout_sequence(message),
            };
            match sequence {
                Some(sequence) if sequence > conn.sequence => {
                    tally.delivered += 1;
                    tally.lost += u64::from(sequence - conn.sequence - 1);
                    conn.sequence = sequence;
                }
                Some(_) => tally.duplicated += 1,
                // A server may answer the push as well as broadcast it, as a channel may.
                None if index == 0 && message == session.shout_reply() => {}
                None => tally.unexpected += 1,
            }
            Ok(())
        })?;
        self.tally = Tally::sum([self.tally, tally]);
        Ok(())
    }

    /// Reads once from the connection `index` and hands each whole message, an HTTP head or a
    /// frame, to `take`. Returns whether the connection is still open.
    fn read(
        &mut self,
        index: usize,
        mut take: impl FnMut(&mut Conn, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let conn = &mut self.conns[index];
        let bytes = match recv(&conn.socket, &mut *self.inbox, RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::CONNRESET | Errno::PIPE) => {
                conn.stage = Stage::Dropped;
                self.tally.dropped += 1;
                epoll::delete(&self.epoll, &conn.socket)?;
                return Ok(false);
            }
            Ok((bytes, _)) => &self.inbox[..bytes],
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(errno) => return Err(errno).context("recv failed"),
        };
        if conn.incomplete.is_empty() {
            let used = take_messages(conn, bytes, &mut take)?;
            conn.incomplete.extend_from_slice(&bytes[used..]);
        } else {
            let mut joined = std::mem::take(&mut conn.incomplete);
            joined.extend_from_slice(bytes);
            let used = take_messages(conn, &joined, &mut take)?;
            conn.incomplete.extend_from_slice(&joined[used..]);
        }
        Ok(true)
    }
}

impl Conn {
    fn is_due(&self, sequence: u32) -> bool {
        self.stage == Stage::Joined && self.sequence < sequence
    }

    fn push(&mut self, session: &Session) -> anyhow::Result<()> {
        self.pushed_at = Some(Instant::now());
        send_whole(&self.socket, session.echo_push())
    }
}

/// Hands each whole message in `bytes` to `take` and returns how many bytes these were.
fn take_messages(
    conn: &mut Conn,
    bytes: &[u8],
    take: &mut impl FnMut(&mut Conn, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let mut used = 0;
    loop {
        let rest = &bytes[used..];
        let len = match conn.stage {
            Stage::Upgrading => head_len(rest),
            _ => server_frame_len(rest),
        };
        let Some(len) = len else {
            return Ok(used);
        };
        take(conn, &rest[..len])?;
        used += len;
    }
}

/// Sends `bytes`; the crowd never has so much on the way that the kernel would not take them.
fn send_whole(socket: &OwnedFd, bytes: &[u8]) -> anyhow::Result<()> {
    match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(sent) => bail!("the kernel took {sent} of {} bytes", bytes.len()),
        // The server has closed; the next read says so and counts it.
        Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
        Err(errno) => Err(errno).context("send failed"),
    }
}

/// Returns an empty histogram of nanoseconds up to a minute, exact to three digits.
pub(super) fn new_histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(
        nanoseconds(Duration::from_secs(60)),
        3,
    )?)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long nothing may arrive before what is awaited is given up.
const PATIENCE: Duration = Duration::from_secs(10);
const DIALS_PER_TURN: usize = 16;
const EVENTS: usize = 256;
const INBOX_BYTES: usize = 64 * 1024;
