//! A server that takes every WebSocket and counts what it is sent, and says nothing.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::{Context as _, bail};
use proto::http::{self, Parsed, parse_request};
use proto::ws::handshake;

/// What the sink has counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// WebSockets that were opened.
    pub(super) opened: AtomicU64,
    /// Frames that have begun.
    pub(super) frames: AtomicU64,
}

/// Listens until the bench ends, with a thread for each connection.
pub(super) fn listen() -> anyhow::Result<(SocketAddr, Arc<Counts>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    let address = listener.local_addr()?;
    let counts = Arc::new(Counts::default());
    let own = Arc::clone(&counts);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let counts = Arc::clone(&own);
            thread::spawn(move || {
                // A crowd that leaves ends its connections, however it likes.
                let _ = serve(stream, &counts);
            });
        }
    });
    Ok((address, counts))
}

fn serve(mut stream: TcpStream, counts: &Counts) -> anyhow::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    let head_bytes = loop {
        let read = stream.read(&mut buffer[filled..])?;
        filled += read;
        if read == 0 || filled == buffer.len() {
            bail!("it has not asked for a WebSocket");
        }
        let parsed = parse_request(&buffer[..filled], &LIMITS)?;
        if let Parsed::Complete { head, len } = parsed {
            let mut answer = Vec::new();
            let accepted = handshake::accept(&head).context("it asks for no WebSocket")?;
            accepted.encode(&mut answer, None);
            stream.write_all(&answer)?;
            break len;
        }
    };
    counts.opened.fetch_add(1, Relaxed);
    let mut frames = Frames::default();
    counts
        .frames
        .fetch_add(frames.read(&buffer[head_bytes..filled]), Relaxed);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            read => counts
                .frames
                .fetch_add(frames.read(&buffer[..read]), Relaxed),
        };
    }
}

/// Where in a stream of masked frames a reader is (RFC 6455 §5.2).
#[derive(Debug, Default)]
struct Frames {
    /// The first bytes of a frame whose length is not known yet.
    head: Vec<u8>,
    /// Bytes until the next frame begins.
    left: u64,
}

impl Frames {
    /// Reads on, and returns how many frames have told their length.
    fn read(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len() as u64);
            self.left -= skipped;
            bytes = &bytes[skipped as usize..];
            while self.left == 0
                && let Some((first, rest)) = bytes.split_first()
            {
                self.head.push(*first);
                bytes = rest;
                if let Some(payload) = payload_bytes(&self.head) {
                    self.left = payload + MASK_BYTES;
                    self.head.clear();
                    count += 1;
                }
            }
        }
        count
    }
}

/// The length that the beginning of a frame tells, if it is all there.
fn payload_bytes(head: &[u8]) -> Option<u64> {
    match head.get(1)? & 0x7f {
        126 => Some(u16::from_be_bytes(head.get(2..4)?.try_into().ok()?).into()),
        127 => Some(u64::from_be_bytes(head.get(2..10)?.try_into().ok()?)),
        short => Some(short.into()),
    }
}

/// A crowd's own requests are far below.
const LIMITS: http::Limits = http::Limits {
    head_bytes_max: 16 << 10,
    headers_max: 64,
};
const MASK_BYTES: u64 = 4;
const BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proto::ws::{OpCode, encode};

    use super::*;

    #[test]
    fn frames_are_counted_wherever_the_stream_is_cut() {
        let mut stream = Vec::new();
        let lengths = [0, 5, 125, 126, 300, 70_000, 1];
        for length in lengths {
            encode(&mut stream, OpCode::Text, &vec![b'x'; length], Some([7; 4]));
        }
        for piece in [1, 2, 3, 7, 100, stream.len()] {
            let mut frames = Frames::default();
            let count: u64 = stream.chunks(piece).map(|part| frames.read(part)).sum();
            assert_eq!(count, lengths.len() as u64, "in pieces of {piece}");
            assert_eq!((frames.left, frames.head.len()), (0, 0));
        }
    }
}
