//! What an application of the engine owes: the meaning of heads and messages.

use std::net::SocketAddr;

use proto::{
    http,
    ws::handshake::{self, ClientKey, HandshakeError},
};
use rustix::io::Errno;

use crate::{Closed, ConnId, Io, Time};

/// One shard's application: told what the world did, it answers through [`Io`].
///
/// Every call returns before the next; nothing here may block. For each connection the order is
/// `handle_request` (accepted) or `handle_connected` (dialled), `handle_open`, any number of
/// `handle_message`, `handle_close`. `handle_close` comes exactly once for every connection that the
/// app dialled or answered with [`Answer::Upgrade`], and nothing about it comes after that.
pub trait App {
    /// What shards of this app say to each other.
    type Mail: Send + 'static;

    /// A whole request head arrived on an accepted connection: writes the whole response head to
    /// `response`, be it the 101 or a refusal. An app that does not listen is never asked, and leaves it at
    /// the refusal.
    fn handle_request(
        &mut self,
        conn: ConnId,
        request: &http::Request<'_>,
        peer: SocketAddr,
        response: &mut Vec<u8>,
        io: &mut Io<'_, Self::Mail>,
    ) -> Answer {
        let _ = (conn, request, peer, io);
        http::encode_response(response, 404, &[], b"");
        Answer::Refuse
    }

    /// A dialled connection is established, through a proxy where it was dialled so: writes the
    /// whole upgrade request to `request` and returns the key it carries.
    fn handle_connected(
        &mut self,
        conn: ConnId,
        request: &mut Vec<u8>,
        io: &mut Io<'_, Self::Mail>,
    ) -> ClientKey;

    /// A server answered a dialled connection's upgrade request with 101.
    ///
    /// # Errors
    ///
    /// The answer is not the one that the request asked for; the connection is dropped.
    fn handle_response(
        &mut self,
        conn: ConnId,
        response: &http::Response<'_>,
        key: &ClientKey,
    ) -> Result<(), HandshakeError> {
        let _ = conn;
        handshake::verify(response, key, &[]).map(drop)
    }

    /// The WebSocket is open.
    fn handle_open(&mut self, conn: ConnId, io: &mut Io<'_, Self::Mail>);

    /// A whole message arrived.
    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, Self::Mail>);

    /// The connection is over for the app; the engine may still be saying goodbye on the wire.
    fn handle_close(&mut self, conn: ConnId, closed: &Closed, io: &mut Io<'_, Self::Mail>);

    /// Mail from another shard or from outside.
    fn handle_mail(&mut self, mail: Self::Mail, io: &mut Io<'_, Self::Mail>);

    /// The time asked for with [`Io::tick_at`] has come.
    fn handle_tick(&mut self, io: &mut Io<'_, Self::Mail>) {
        let _ = io;
    }

    /// All that was queued before [`Io::tell_written`] has been given to the sockets; what these did not take
    /// waits for its peer. `now` is read for this call, while [`Io::now`] is when a turn began.
    fn handle_written(&mut self, now: Time) {
        let _ = now;
    }

    /// The kernel refused the shard something; serving goes on.
    fn handle_trouble(&mut self, trouble: Trouble, io: &mut Io<'_, Self::Mail>) {
        let _ = (trouble, io);
    }
}

/// What the app made of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The response is a 101: the connection is a WebSocket from here on.
    Upgrade,
    /// The response is anything else: written, then the connection ends.
    Refuse,
}

/// A whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// UTF-8 text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// A refusal of the kernel that concerns the shard and no single connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// A connection cannot be accepted or not be watched; accepting pauses for a moment. `EMFILE`:
    /// descriptors of this process; `ENFILE`: of the machine; `ENOSPC`: epoll watches of this user;
    /// `ENOBUFS`, `ENOMEM`: kernel memory.
    Accept(Errno),
    /// The accept queue is full: the machine drops handshakes, and their clients try again after one,
    /// three, seven … seconds.
    AcceptQueue {
        /// How many connections may wait.
        max: u32,
    },
    /// Accepted connections are dropped because all slots are taken, also those for refusals.
    Crowded,
}
