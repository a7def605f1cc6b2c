//! What carries a session: TCP, TLS over TCP, or the pipes of a program that `ssh` has started.
//!
//! Reading waits no longer than the link's patience, and writing never longer than a deadline, so that a thread
//! that serves a session looks after it several times a second whatever the other side does.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Write},
    net::TcpStream,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Timespec,
    io::Errno,
};
use rustls::{ClientConnection, ServerConnection, StreamOwned};

/// How long the other side may take to read some of what is written.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream of bytes in both directions. A read that has waited in vain fails with `WouldBlock` or
/// `TimedOut`.
pub(crate) trait Link: Read + Write + Send + fmt::Debug {
    /// Lets reads wait for so long from now on, not zero.
    fn set_patience(&mut self, patience: Duration) -> io::Result<()>;

    /// Lets what one call does with several reads, as TLS does, be over at `until`, or take its time.
    fn set_deadline(&mut self, _until: Option<Instant>) {}
}

/// Makes a new TCP connection fit for a session.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    // A frame is written as a whole, and the other side waits for it.
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))
}

impl Link for TcpStream {
    fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Link for UnixStream {
    fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

/// The connection below TLS, which reads until it has a whole record or handshake, even when it is to write: a byte
/// now and then would keep it for ever, had it no deadline.
#[derive(Debug)]
pub(crate) struct Below {
    stream: TcpStream,
    until: Option<Instant>,
}

impl Below {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            until: None,
        }
    }
}

impl Read for Below {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if let Some(until) = self.until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
        }
        self.stream.read(bytes)
    }
}

impl Write for Below {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Link for StreamOwned<ClientConnection, Below> {
    fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.sock.stream.set_read_timeout(Some(patience))
    }

    fn set_deadline(&mut self, until: Option<Instant>) {
        self.sock.until = until;
    }
}

impl Link for StreamOwned<ServerConnection, Below> {
    fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.sock.stream.set_read_timeout(Some(patience))
    }

    fn set_deadline(&mut self, until: Option<Instant>) {
        self.sock.until = until;
    }
}

/// Two descriptors of any kind, such as standard input and output.
#[derive(Debug)]
pub(crate) struct Pipes {
    input: File,
    output: File,
    patience: Duration,
}

/// Bytes that a pipe which can be written takes without waiting (`man 7 pipe`: PIPE_BUF).
const PIPE_BYTES: usize = 4_096;

impl Pipes {
    pub(crate) fn new(input: OwnedFd, output: OwnedFd) -> Self {
        Self {
            input: input.into(),
            output: output.into(),
            patience: WRITE_TIMEOUT,
        }
    }
}

impl Link for Pipes {
    fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.patience = patience;
        Ok(())
    }
}

impl Read for Pipes {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        wait(&self.input, PollFlags::IN, self.patience)?;
        self.input.read(bytes)
    }
}

impl Write for Pipes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        wait(&self.output, PollFlags::OUT, WRITE_TIMEOUT)?;
        self.output.write(&bytes[..bytes.len().min(PIPE_BYTES)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Waits until something can be done with a descriptor.
fn wait(file: &impl AsFd, what: PollFlags, time: Duration) -> io::Result<()> {
    let mut watched = [PollFd::new(file, what)];
    let time = Timespec::try_from(time).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut watched, Some(&time)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) => Ok(()),
        Err(Errno::INTR) => Err(io::ErrorKind::Interrupted.into()),
        Err(error) => Err(error.into()),
    }
}
