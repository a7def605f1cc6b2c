//! A member of one topic, who counts what arrives.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use super::{BODY, DIGITS, padding, topic};
use crate::session::{client_frame, head_len, server_frame_len};

/// A joined member.
#[derive(Debug)]
pub(super) struct Member {
    stream: TcpStream,
    thread: JoinHandle<Heard>,
}

/// What has arrived.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) delivered: u64,
    pub(super) duplicated: u64,
    pub(super) unexpected: u64,
}

/// The frames of a topic, as they must come.
#[derive(Debug)]
struct Ear {
    head: Vec<u8>,
    tail: Vec<u8>,
    next: u32,
    heard: Heard,
}

impl Member {
    /// Connects, joins and listens from then on; adds what arrives to `arrived`, too.
    pub(super) fn join(
        server: SocketAddrV4,
        number: usize,
        arrived: Arc<AtomicU64>,
    ) -> anyhow::Result<Self> {
        let topic = topic(number);
        let mut stream = TcpStream::connect(server).context("the server does not accept")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let upgraded = read_part(&mut stream, head_len)?;
        if !upgraded.starts_with(b"HTTP/1.1 101 ") {
            bail!("the server refuses: {}", String::from_utf8_lossy(&upgraded));
        }
        let join = format!(r#"["1","1","{topic}","phx_join",{{}}]"#);
        stream.write_all(&client_frame(&join))?;
        let joined = read_part(&mut stream, server_frame_len)?;
        if !String::from_utf8_lossy(&joined).contains(r#""status":"ok""#) {
            bail!("no join: {}", String::from_utf8_lossy(&joined));
        }
        // From here on it ends when its stream is shut down.
        stream.set_read_timeout(None)?;
        let reader = stream.try_clone()?;
        let thread = thread::spawn(move || listen(reader, Ear::of(&topic), &arrived));
        Ok(Self { stream, thread })
    }

    /// Listens no longer.
    pub(super) fn leave(self) -> anyhow::Result<Heard> {
        // The server may have ended the connection already.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.thread.join().map_err(|_| anyhow!("a member failed"))
    }
}

impl Heard {
    pub(super) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.duplicated += other.duplicated;
        self.unexpected += other.unexpected;
    }
}

impl Ear {
    fn of(topic: &str) -> Self {
        Self {
            head: format!(r#"[null,null,"{topic}","tick",{BODY}"#).into_bytes(),
            tail: (padding() + "]").into_bytes(),
            next: 0,
            heard: Heard::default(),
        }
    }

    /// Takes a frame of 126 bytes and more, with its header of four.
    fn hear(&mut self, frame: &[u8]) {
        match self.number(frame.get(4..).unwrap_or_default()) {
            Some(number) if number < self.next => self.heard.duplicated += 1,
            Some(number) => {
                self.heard.delivered += 1;
                self.next = number + 1;
            }
            None => self.heard.unexpected += 1,
        }
    }

    fn number(&self, text: &[u8]) -> Option<u32> {
        let rest = text.strip_prefix(&*self.head)?;
        let (digits, tail) = rest.split_at_checked(DIGITS)?;
        let digits = str::from_utf8(digits).ok()?;
        (tail == self.tail).then(|| digits.parse().ok())?
    }
}

fn listen(mut stream: TcpStream, mut ear: Ear, arrived: &AtomicU64) -> Heard {
    let mut inbox = vec![0; 256 << 10];
    let mut filled = 0;
    loop {
        let Ok(count @ 1..) = stream.read(&mut inbox[filled..]) else {
            return ear.heard;
        };
        filled += count;
        let (mut start, before) = (0, ear.heard.delivered);
        while let Some(len) = server_frame_len(&inbox[start..filled]) {
            ear.hear(&inbox[start..start + len]);
            start += len;
        }
        inbox.copy_within(start..filled, 0);
        filled -= start;
        arrived.fetch_add(ear.heard.delivered - before, Ordering::Relaxed);
    }
}

/// Reads the first part of a stream, which ends where `len_of` says, and nothing follows it yet.
fn read_part(
    stream: &mut TcpStream,
    len_of: impl Fn(&[u8]) -> Option<usize>,
) -> anyhow::Result<Vec<u8>> {
    let (mut bytes, mut part) = (Vec::new(), [0; 1024]);
    loop {
        let count = stream.read(&mut part).context("the server says nothing")?;
        bytes.extend_from_slice(&part[..count]);
        match len_of(&bytes) {
            Some(len) if len == bytes.len() => return Ok(bytes),
            _ if count == 0 => bail!("the server has closed the connection"),
            _ => {}
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_and_what_is_strange_is_counted() {
        let mut ear = Ear::of("room:1");
        let frame = |number: u32| {
            let body = format!("{number:08}{}]", padding());
            let text = format!(r#"[null,null,"room:1","tick",{BODY}{body}"#);
            [&[0x81, 126, 0, 0], text.as_bytes()].concat()
        };
        for number in [0, 1, 1, 3, 0] {
            ear.hear(&frame(number));
        }
        ear.hear(b"\x81\x02hi");
        let heard = Heard {
            delivered: 3,
            duplicated: 2,
            unexpected: 1,
        };
        assert_eq!(ear.heard, heard);
    }
}
