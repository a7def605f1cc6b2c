//! The floor: a server that moves the bytes of a session and does nothing else.
//!
//! It knows no HTTP, no WebSocket and no JSON. A connection is a socket and a count: after as
//! many bytes as an upgrade request has, it writes a ready-made answer; after as many as a join
//! has, the next; from then on every push is either answered with a ready-made reply or makes
//! every connection get one ready-made frame. What remains is what the kernel asks of any server
//! with this thread layout: two threads, a listener (`SO_REUSEPORT`) and an epoll for each, one
//! `recv` per message in, one `send` per message out. A server that does the real work can come
//! near these numbers; it is not expected to reach them.
//!
//! Where more connections are wanted than a process may have descriptors for, it is many processes
//! with one thread each on one port, and broadcasts are commanded from outside.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, bail};
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, getsockname,
    listen, recv, send, socket_with, sockopt,
};

use crate::session::{Session, Workload};

/// Serves until the process is killed.
pub(crate) fn serve(workload: Workload) -> anyhow::Result<()> {
    let first = listener(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let addr =
        SocketAddrV4::try_from(getsockname(&first)?).context("the listener has no address")?;
    let mut listeners = vec![first];
    for _ in 1..SHARDS {
        listeners.push(listener(addr)?);
    }
    let wakes: Vec<Arc<OwnedFd>> = (0..SHARDS)
        .map(|_| {
            Ok(Arc::new(eventfd(
                0,
                EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
            )?))
        })
        .collect::<Result<_, Errno>>()?;
    let session = Arc::new(Session::new(workload));
    let host_bytes = session.request(&addr.to_string()).len();

    let mut shards = Vec::new();
    for (index, listener) in listeners.into_iter().enumerate() {
        let mut shard = Shard::new(listener, index, &wakes, Arc::clone(&session), host_bytes)?;
        shards.push(thread::spawn(move || shard.run()));
    }
    announce(addr)?;
    for shard in shards {
        match shard.join() {
            Ok(result) => result?,
            Err(_) => bail!("a shard of the floor panicked"),
        }
    }
    Ok(())
}

/// Serves the connections of one process among many on `addr`, until stdin ends. Each byte on stdin
/// asks for one broadcast to all of them.
pub(crate) fn serve_on_command(addr: SocketAddrV4) -> anyhow::Result<()> {
    let listener = listener(addr)?;
    let addr =
        SocketAddrV4::try_from(getsockname(&listener)?).context("the listener has no address")?;
    let session = Arc::new(Session::new(Workload::Fanout));
    let request_bytes = session.request(&addr.to_string()).len();
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let mut shard = Shard::new(listener, 0, &[Arc::new(wake)], session, request_bytes)?;
    epoll::add(
        &shard.epoll,
        io::stdin(),
        epoll::EventData::new_u64(COMMANDS),
        epoll::EventFlags::IN,
    )?;
    announce(addr)?;
    shard.run()
}

fn announce(addr: SocketAddrV4) -> io::Result<()> {
    println!("listening on {addr}");
    io::stdout().flush()
}

fn listener(addr: SocketAddrV4) -> anyhow::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseport(&listener, true)?;
    bind(&listener, &addr).with_context(|| format!("cannot bind {addr}"))?;
    listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// One thread of the floor.
struct Shard {
    listener: OwnedFd,
    epoll: OwnedFd,
    /// Wakes of all shards. The count in an eventfd is the number of broadcasts to send.
    wakes: Vec<Arc<OwnedFd>>,
    index: usize,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    session: Arc<Session>,
    accepted: Vec<u8>,
    request_bytes: usize,
    shout_push_bytes: usize,
    broadcasts_count: u32,
    shout: Vec<u8>,
    buffer: Box<[u8]>,
}

/// What the floor knows of a connection.
struct Conn {
    socket: OwnedFd,
    stage: Stage,
    /// Bytes of the message that is being received.
    received: usize,
}

#[derive(Clone, Copy)]
enum Stage {
    Upgrading,
    Joining,
    Joined,
}

impl Shard {
    fn new(
        listener: OwnedFd,
        index: usize,
        wakes: &[Arc<OwnedFd>],
        session: Arc<Session>,
        request_bytes: usize,
    ) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let readable = epoll::EventFlags::IN;
        epoll::add(
            &epoll,
            &listener,
            epoll::EventData::new_u64(LISTENER),
            readable,
        )?;
        epoll::add(
            &epoll,
            &wakes[index],
            epoll::EventData::new_u64(WAKE),
            readable,
        )?;
        Ok(Self {
            listener,
            epoll,
            wakes: wakes.to_vec(),
            index,
            conns: Vec::new(),
            free: Vec::new(),
            accepted: session.accepted(),
            request_bytes,
            shout_push_bytes: session.shout_push(0).len(),
            session,
            broadcasts_count: 0,
            shout: Vec::new(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
        })
    }

    /// Turns until its commands end; a shard without commands turns until the process is killed.
    fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("epoll_wait failed"),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    WAKE => self.broadcast_for_others()?,
                    COMMANDS => match rustix::io::read(io::stdin(), &mut self.buffer[..])? {
                        0 => return Ok(()),
                        count => (0..count).try_for_each(|_| self.broadcast())?,
                    },
                    slot => self.read(slot as usize)?,
                }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        for _ in 0..ACCEPTS_MAX {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED) => continue,
                Err(errno) => return Err(errno).context("accept failed"),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            let data = epoll::EventData::new_u64(slot as u64);
            epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN)?;
            self.conns[slot] = Some(Conn {
                socket,
                stage: Stage::Upgrading,
                received: 0,
            });
        }
        Ok(())
    }

    fn read(&mut self, slot: usize) -> anyhow::Result<()> {
        let Some(conn) = &mut self.conns[slot] else {
            return Ok(()); // Closed earlier in this batch of events.
        };
        let bytes = match recv(&conn.socket, &mut *self.buffer, RecvFlags::empty()) {
            Ok((0, _)) | Err(Errno::CONNRESET) => {
                self.conns[slot] = None;
                self.free.push(slot);
                return Ok(());
            }
            Ok((bytes, _)) => bytes,
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(errno).context("recv failed"),
        };
        conn.received += bytes;
        let mut broadcasts_due = 0;
        loop {
            let (expected_bytes, answer) = match conn.stage {
                Stage::Upgrading => (self.request_bytes, Some(self.accepted.as_slice())),
                Stage::Joining => (self.session.join().len(), Some(self.session.joined())),
                Stage::Joined => match self.session.workload() {
                    Workload::Echo => (
                        self.session.echo_push().len(),
                        Some(self.session.echo_reply()),
                    ),
                    Workload::Fanout => (self.shout_push_bytes, None),
                },
            };
            if conn.received < expected_bytes {
                break;
            }
            conn.received -= expected_bytes;
            match answer {
                Some(answer) => send_whole(&conn.socket, answer)?,
                None => broadcasts_due += 1,
            }
            conn.stage = match conn.stage {
                Stage::Upgrading => Stage::Joining,
                Stage::Joining | Stage::Joined => Stage::Joined,
            };
        }
        for _ in 0..broadcasts_due {
            self.broadcast_to_all()?;
        }
        Ok(())
    }

    /// Tells the other shards, then serves the own connections, so that all of them send at once.
    fn broadcast_to_all(&mut self) -> anyhow::Result<()> {
        for (index, wake) in self.wakes.iter().enumerate() {
            if index != self.index {
                rustix::io::write(wake, &1_u64.to_ne_bytes())?;
            }
        }
        self.broadcast()
    }

    fn broadcast_for_others(&mut self) -> anyhow::Result<()> {
        let mut count = [0; 8];
        match rustix::io::read(&self.wakes[self.index], &mut count) {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(errno).context("cannot read the wake"),
        }
        for _ in 0..u64::from_ne_bytes(count) {
            self.broadcast()?;
        }
        Ok(())
    }

    /// The bare send loop. The number in the frame is the shard's own count: the floor does not
    /// look into the push that asked for it.
    fn broadcast(&mut self) -> anyhow::Result<()> {
        self.broadcasts_count += 1;
        self.session
            .shout_into(self.broadcasts_count, &mut self.shout);
        for conn in self.conns.iter().flatten() {
            send_whole(&conn.socket, &self.shout)?;
        }
        Ok(())
    }
}

/// Sends `bytes`. A socket that takes less is waited for: the crowd reads whatever it is sent, so
/// only the memory of all sockets together (`net.ipv4.tcp_mem`) can be in the way.
fn send_whole(socket: &OwnedFd, mut bytes: &[u8]) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            // The crowd is leaving; the next read finds out and closes.
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
            Err(Errno::AGAIN) => {
                let mut watched = [PollFd::new(socket, PollFlags::OUT)];
                if poll(&mut watched, Some(&SEND_PATIENCE))? == 0 {
                    bail!("a client has not read for {} s", SEND_PATIENCE.tv_sec);
                }
            }
            Err(errno) => return Err(errno).context("send failed"),
        }
    }
    Ok(())
}

/// Threads. Two, as the machine that the targets are stated for has two cores.
const SHARDS: usize = 2;
const BACKLOG: i32 = 4096;
const EVENTS: usize = 256;
const ACCEPTS_MAX: usize = 64;
const BUFFER_BYTES: usize = 16 * 1024;
const LISTENER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
const COMMANDS: u64 = u64::MAX - 2;
const SEND_PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};
