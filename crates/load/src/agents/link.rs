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
    time::Duration,
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

impl Link for StreamOwned<ClientConnection, TcpStream> {
    fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.sock.set_read_timeout(Some(patience))
    }
}

impl Link for StreamOwned<ServerConnection, TcpStream> {
    fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.sock.set_read_timeout(Some(patience))
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
