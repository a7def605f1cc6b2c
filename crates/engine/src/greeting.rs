//! The exchange of HTTP heads that makes a TCP connection a WebSocket.

use std::net::SocketAddr;

use proto::{http, ws::handshake::ClientKey};

use crate::{Time, tunnel::Hope};

/// What is known of a peer before its head is whole.
///
/// Boxed in the connection and dropped when the WebSocket opens: an open connection pays nothing.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// What the head is the beginning of.
    pub(crate) awaits: Awaits,
    /// What has arrived of it.
    pub(crate) head: PartialHead,
    /// When it began: more exactly than the connection's stamp, for it lasts a millisecond.
    pub(crate) began: Time,
}

/// Which head a greeting waits for.
#[derive(Debug)]
pub(crate) enum Awaits {
    /// A client's request, from this address.
    Request { peer: SocketAddr },
    /// The server's answer to the request that carried this key.
    Response { key: ClientKey },
    /// A proxy's answer to the request for a tunnel.
    Tunnel(Hope),
}

/// The beginning of a head; stays empty when the head arrives in one piece.
#[derive(Debug, Default)]
pub(crate) struct PartialHead {
    bytes: Vec<u8>,
    /// How many of `bytes` are known to hold no end of a head, so that none is searched twice.
    searched: usize,
    /// How often something was added.
    additions: u32,
}

/// What the bytes so far amount to.
pub(crate) enum Head<'a> {
    Partial,
    /// More bytes than a head may have.
    TooLarge,
    /// `bytes` up to `len` are the head, the rest is what follows it.
    Whole {
        bytes: &'a mut [u8],
        len: usize,
    },
}

impl Greeting {
    pub(crate) fn new(awaits: Awaits, began: Time) -> Self {
        Self {
            awaits,
            head: PartialHead::default(),
            began,
        }
    }
}

impl PartialHead {
    /// Whether nothing of it had arrived before what was added last.
    pub(crate) const fn has_just_begun(&self) -> bool {
        self.additions == 1
    }

    /// What arrived, to be looked at again.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What has arrived, while it is partial.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds what arrived. A head in one piece is used where it lies.
    pub(crate) fn handle_bytes<'a>(
        &'a mut self,
        arrived: &'a mut [u8],
        limits: &http::Limits,
    ) -> Head<'a> {
        let max = limits.head_bytes_max;
        if self.bytes.is_empty()
            && let Some(len) = http::head_end(arrived, 0)
        {
            return if len > max {
                Head::TooLarge
            } else {
                Head::Whole {
                    bytes: arrived,
                    len,
                }
            };
        }
        self.additions = self.additions.saturating_add(1);
        self.bytes.extend_from_slice(arrived);
        match http::head_end(&self.bytes, self.searched) {
            Some(len) if len <= max => Head::Whole {
                bytes: &mut self.bytes,
                len,
            },
            Some(_) => Head::TooLarge,
            None if self.bytes.len() > max => Head::TooLarge,
            None => {
                self.searched = self.bytes.len();
                Head::Partial
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    fn feed(chunk: usize, bytes: &[u8], head_bytes_max: usize) -> Option<(Vec<u8>, usize)> {
        let limits = http::Limits {
            head_bytes_max,
            headers_max: 10,
        };
        let mut head = PartialHead::default();
        for piece in bytes.to_vec().chunks_mut(chunk) {
            match head.handle_bytes(piece, &limits) {
                Head::Whole { bytes, len } => return Some((bytes.to_vec(), len)),
                Head::TooLarge => return None,
                Head::Partial => {}
            }
        }
        panic!("neither whole nor too large");
    }

    #[test]
    fn a_head_is_whole_however_it_is_cut_and_keeps_what_follows() {
        let stream = [HEAD, b"\x81\x80"].concat();
        for chunk in 1..=stream.len() {
            let (bytes, len) = feed(chunk, &stream, HEAD.len()).unwrap();
            assert_eq!(&bytes[..len], HEAD);
            assert!(stream.starts_with(&bytes));
        }
    }

    #[test]
    fn one_byte_more_than_allowed_is_too_large() {
        for chunk in [1, 7, HEAD.len()] {
            assert!(feed(chunk, HEAD, HEAD.len()).is_some());
            assert_eq!(feed(chunk, HEAD, HEAD.len() - 1), None);
        }
    }
}
