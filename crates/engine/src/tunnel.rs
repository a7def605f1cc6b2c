//! A tunnel through a proxy: a connection asks for it before anything else, and what the proxy grants is the server.
//!
//! ```text
//!   connected ──CONNECT host:port──► proxy ──2xx──► the way goes on: TLS, or the upgrade
//!                                      └────any other status, no HTTP, no answer────► over
//! ```
//!
//! What is asked is the same for every connection to one server and shared by all. While a connection is dialled, it
//! stands in a table by slot; then in the connection's outbox, and in the end nowhere: who is through pays nothing.
//!
//! *Architecture invariant:* a tunnel knows no address. The server's name goes to the proxy as it is, and only the
//! proxy resolves it.

use std::{collections::HashMap, fmt};

use proto::{Frame, http};

use crate::{
    App, Cause, ConnId,
    conn::Stage,
    greeting::{Awaits, Greeting, Head, PartialHead},
    input,
    io::Core,
};

/// What a proxy is asked for: a tunnel to one server, by one user.
#[derive(Clone, PartialEq, Eq)]
pub struct Tunnel {
    request: Frame,
}

/// Why a proxy has given no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelFault {
    /// It answered with this HTTP status: 407 asks who the client is, 502 to 504 say that the server is not reached.
    Status(u16),
    /// What it answered is no head of HTTP, or one beyond the limits.
    Head(http::Error),
    /// It ended the stream before its answer was whole.
    Cut,
    /// It has not answered within the handshake timeout.
    Timeout,
}

/// Heads with a status of 1xx that may come before the one that counts.
const INTERIM_MAX: u8 = 8;
/// Places of an empty table that are kept for the dials to come: 24 KB, and a burst leaves no more.
const CAPACITY_KEPT_MAX: usize = 1_024;

impl Tunnel {
    /// Asks for a tunnel to `authority`, which is `host:port`; `credentials` are `user:password` for a
    /// proxy that wants to know who asks (RFC 9110 §9.3.6, RFC 7617).
    pub fn new(authority: &str, credentials: Option<&[u8]>) -> Self {
        let mut request = Vec::new();
        http::encode_connect(&mut request, authority, credentials);
        Self {
            request: Frame::from(request),
        }
    }
}

/// Without who asks.
impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

impl fmt::Display for TunnelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "it answered with HTTP status {status}"),
            Self::Head(error) => write!(f, "it sent a bad head: {error}"),
            Self::Cut => f.write_str("it ended the stream before it answered"),
            Self::Timeout => f.write_str("it did not answer within the handshake timeout"),
        }
    }
}

/// Tunnels that will be asked for, by the slots of their connections; a connection leaves when TCP has answered.
#[derive(Debug, Default)]
pub(crate) struct Tunnels(HashMap<u32, Tunnel>);

impl Tunnels {
    pub(crate) fn insert(&mut self, slot: u32, tunnel: Tunnel) {
        self.0.insert(slot, tunnel);
    }

    /// Takes what a connection has to ask for first, if it has.
    pub(crate) fn take(&mut self, slot: u32) -> Option<Tunnel> {
        if self.0.is_empty() {
            return None;
        }
        let tunnel = self.0.remove(&slot);
        if self.0.is_empty() && self.0.capacity() > CAPACITY_KEPT_MAX {
            self.0 = HashMap::new();
        }
        tunnel
    }
}

/// Asks the proxy to which TCP was established.
pub(crate) fn ask<M: Send + 'static>(core: &mut Core<M>, id: ConnId, tunnel: Tunnel) {
    let greeting = Greeting::new(Awaits::Tunnel(Hope::Interim(0)), core.now);
    if let Some(conn) = core.conns.get_mut(id) {
        conn.stage = Stage::Greeting(Some(Box::new(greeting)));
        core.push(id, tunnel.request);
    }
}

/// A proxy has said something: adds it to its answer, and once that is a grant, lets the connection go on.
pub(crate) fn read_answer<A: App>(
    core: &mut Core<A::Mail>,
    app: &mut A,
    id: ConnId,
    arrived: &[u8],
) {
    let limits = core.settings.http;
    let Some(conn) = core.conns.get_mut(id) else {
        return;
    };
    let has_asked = conn.outbox.is_empty();
    let Stage::Greeting(slot) = &mut conn.stage else {
        return;
    };
    let Some(mut greeting) = slot.take() else {
        return;
    };
    let fault = match hear(&mut greeting, arrived, &limits) {
        Ok(Answer::Partial) => {
            *slot = Some(greeting);
            return;
        }
        Ok(Answer::Granted(mut rest)) if has_asked => {
            input::greet(core, app, id);
            if !rest.is_empty() {
                input::handle_bytes(core, app, id, &mut rest);
            }
            return;
        }
        // The kernel may say that the request has left after it said what came of it, and a proxy may
        // speak before it is asked: nothing follows the request before that has left.
        Ok(Answer::Granted(rest)) if rest.len() <= limits.head_bytes_max => {
            greeting.awaits = Awaits::Tunnel(Hope::Granted);
            greeting.head = PartialHead::of(rest);
            *slot = Some(greeting);
            return;
        }
        Ok(Answer::Granted(_)) => TunnelFault::Head(http::Error::HeadTooLong),
        Ok(Answer::Refused(status)) => TunnelFault::Status(status),
        Err(error) => TunnelFault::Head(error),
    };
    // The app is told that the connection waited for its proxy.
    *slot = Some(greeting);
    core.remove(id, Cause::Tunnel(fault), false);
}

/// The kernel has written something for a connection: one whose tunnel was granted already goes on.
pub(crate) fn handle_written<A: App>(core: &mut Core<A::Mail>, app: &mut A, id: ConnId) {
    let is_granted = core.conns.get(id).is_some_and(|conn| {
        let awaits = conn.awaits();
        matches!(awaits, Some(Awaits::Tunnel(Hope::Granted))) && conn.outbox.is_empty()
    });
    if is_granted {
        read_answer(core, app, id, &[]);
    }
}

/// How far a proxy's answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// So many heads have come that count for nothing.
    Interim(u8),
    /// The tunnel was granted before the request has left.
    Granted,
}

/// What a proxy has said.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Partial,
    /// The tunnel is there, and this came out of it already.
    Granted(Vec<u8>),
    Refused(u16),
}

/// Adds what arrived to a proxy's answer.
fn hear(
    greeting: &mut Greeting,
    arrived: &[u8],
    limits: &http::Limits,
) -> Result<Answer, http::Error> {
    let head = &mut greeting.head;
    let Awaits::Tunnel(hope) = &mut greeting.awaits else {
        unreachable!("the connection waits for a proxy");
    };
    let mut arrived = arrived.to_vec();
    loop {
        let Hope::Interim(interim) = hope else {
            let mut rest = std::mem::take(head).into_bytes();
            rest.append(&mut arrived);
            return Ok(Answer::Granted(rest));
        };
        let (bytes, len) = match head.handle_bytes(&mut arrived, limits) {
            Head::Whole { bytes, len } => (bytes, len),
            Head::TooLarge => return Err(http::Error::HeadTooLong),
            Head::Partial => {
                // What cannot become a head is not waited for, as in the upgrade.
                if head.has_just_begun() {
                    http::parse_response(head.bytes(), limits)?;
                }
                return Ok(Answer::Partial);
            }
        };
        let (bytes, rest) = bytes.split_at_mut(len);
        let http::Parsed::Complete { head: answer, .. } = http::parse_response(bytes, limits)?
        else {
            return Err(http::Error::Malformed);
        };
        match answer.status {
            // RFC 9110 §9.3.6: any 2xx is a tunnel, which begins behind the empty line; a length is ignored.
            200..=299 => return Ok(Answer::Granted(rest.to_vec())),
            // RFC 9110 §15.2: responses of 1xx come before the one that counts. 101 is an answer that nobody asked.
            100 | 102..=199 if *interim < INTERIM_MAX => {
                *interim += 1;
                let rest = rest.to_vec();
                *head = PartialHead::default();
                // Nothing is no beginning of the next head, which is looked at when it begins.
                if rest.is_empty() {
                    return Ok(Answer::Partial);
                }
                arrived = rest;
            }
            status => return Ok(Answer::Refused(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;

    const LIMITS: http::Limits = http::Limits {
        head_bytes_max: 100,
        headers_max: 4,
    };

    /// What a proxy's words amount to, said in pieces of `chunk` bytes.
    fn heard(words: &[u8], chunk: usize) -> Result<Answer, http::Error> {
        let awaits = Awaits::Tunnel(Hope::Interim(0));
        let mut greeting = Greeting::new(awaits, Time::ZERO);
        let mut pieces = words.to_vec();
        let mut pieces = pieces.chunks_mut(chunk);
        while let Some(piece) = pieces.next() {
            match hear(&mut greeting, piece, &LIMITS)? {
                Answer::Partial => {}
                Answer::Granted(mut rest) => {
                    pieces.for_each(|piece| rest.extend_from_slice(piece));
                    return Ok(Answer::Granted(rest));
                }
                refused => return Ok(refused),
            }
        }
        Ok(Answer::Partial)
    }

    #[test]
    fn however_an_answer_is_cut_it_is_the_same_and_what_follows_is_the_tunnels() {
        let granted = |rest: &[u8]| Ok(Answer::Granted(rest.to_vec()));
        for (words, answer) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n"[..], granted(b"")),
            // RFC 9110 §9.3.6: any 2xx, and a length means nothing.
            (
                b"HTTP/1.1 204 x\r\ncontent-length: 9\r\n\r\nab",
                granted(b"ab"),
            ),
            (
                b"HTTP/1.0 200 Connection established\r\n\r\n\x16\x03",
                granted(b"\x16\x03"),
            ),
            // RFC 9110 §15.2.
            (
                b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 103 x\r\na: b\r\n\r\nHTTP/1.1 200 x\r\n\r\nr",
                granted(b"r"),
            ),
            (b"HTTP/1.1 101 x\r\n\r\n", Ok(Answer::Refused(101))),
            (b"HTTP/1.1 407 x\r\n\r\nwho?", Ok(Answer::Refused(407))),
            (b"HTTP/1.1 301 x\r\n\r\n", Ok(Answer::Refused(301))),
            (b"HTTP/1.1 200 OK\r\n", Ok(Answer::Partial)),
        ] {
            for chunk in 1..=words.len() {
                assert_eq!(
                    heard(words, chunk),
                    answer,
                    "{} by {chunk}",
                    words.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn what_is_no_http_is_found_out_at_its_first_bytes() {
        let alert = b"\x15\x03\x03\x00\x02\x02\x28";
        let interim = b"HTTP/1.1 100 x\r\n\r\n";
        for words in [&alert[..], &[&interim[..], alert].concat()] {
            for chunk in 1..=words.len() {
                let answer = heard(words, chunk);
                assert!(answer.is_err(), "{} by {chunk}", words.escape_ascii());
            }
        }
    }

    #[test]
    fn heads_without_end_are_not_waited_for() {
        let long = [b"HTTP/1.1 200 OK\r\na: ".to_vec(), vec![b'x'; 100]].concat();
        let many = b"HTTP/1.1 100 x\r\n\r\n".repeat(usize::from(INTERIM_MAX) + 1);
        for chunk in [1, 7, 1_000] {
            assert_eq!(heard(&long, chunk), Err(http::Error::HeadTooLong));
            assert_eq!(heard(&many, chunk), Ok(Answer::Refused(100)));
        }
    }

    #[test]
    fn a_table_gives_back_what_a_burst_took() {
        let mut tunnels = Tunnels::default();
        let tunnel = Tunnel::new("a.test:443", None);
        for (burst, is_kept) in [(100, true), (100_000, false), (100, true)] {
            (0..burst).for_each(|slot| tunnels.insert(slot, tunnel.clone()));
            assert!((0..burst).all(|slot| tunnels.take(slot) == Some(tunnel.clone())));
            let capacity = tunnels.0.capacity();
            assert!(capacity <= CAPACITY_KEPT_MAX, "{capacity}");
            assert_eq!(capacity > 0, is_kept, "after {burst}");
        }
    }

    #[test]
    fn who_asks_is_not_shown() {
        let tunnel = Tunnel::new("a.test:443", Some(b"user:secret"));
        assert_eq!(format!("{tunnel:?}"), "Tunnel { .. }");
    }
}
