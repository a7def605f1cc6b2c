//! Why a connection is over.

use std::fmt;

use proto::ws::{self, CloseCode, handshake::HandshakeError};
use rustix::io::Errno;

use crate::{TlsFault, TunnelFault};

/// What an app learns when one of its connections is over.
#[derive(Clone, Debug)]
pub struct Closed {
    /// How far the connection had come.
    pub phase: Phase,
    /// What ended it.
    pub cause: Cause,
}

/// How far a connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Dialled, and TCP had not answered yet; or the proxy had not, which is to give the tunnel.
    Connecting,
    /// The HTTP heads were not exchanged yet.
    Handshaking,
    /// The WebSocket was open.
    Open,
}

/// What ended a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The peer sent a close frame.
    Peer {
        /// Its code; `None` when the frame was empty (1005 to an application).
        code: Option<CloseCode>,
        /// Its reason, at most 123 bytes.
        reason: Box<str>,
    },
    /// The peer ended the stream without a close frame.
    PeerGone,
    /// The kernel reports an error on the socket, most often `ECONNRESET`.
    Socket(Errno),
    /// This side's app closed it with this code.
    Local(CloseCode),
    /// This side's app dropped it without a goodbye.
    Aborted,
    /// The peer broke RFC 6455.
    Protocol(ws::Error),
    /// The peer sent bytes that are no request head, or one beyond the limits.
    Head(proto::http::Error),
    /// Nothing arrived for the idle timeout.
    IdleTimeout,
    /// No open WebSocket within the handshake timeout.
    HandshakeTimeout,
    /// The connection could not be made.
    Connect(Errno),
    /// The server's answer to the upgrade was not 101 but this HTTP status.
    Status(u16),
    /// The server's 101 was not a valid one.
    Handshake(HandshakeError),
    /// The peer does not read as fast as it is written to: its outbox was full.
    SlowConsumer,
    /// The TLS handshake failed, or its connection later.
    Tls(TlsFault),
    /// The proxy gave no tunnel.
    Tunnel(TunnelFault),
    /// The shard ended.
    Shutdown,
}

impl Cause {
    /// Every name that [`Cause::label`] gives.
    pub const LABELS: [&str; 17] = [
        "peer_closed",
        "peer_gone",
        "reset",
        "socket_error",
        "local_close",
        "aborted",
        "protocol_error",
        "bad_head",
        "idle_timeout",
        "handshake_timeout",
        "connect_failed",
        "http_status",
        "bad_handshake",
        "slow_consumer",
        "tls",
        "tunnel",
        "shutdown",
    ];

    /// A short, bounded name for counters and reports.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Peer { .. } => "peer_closed",
            Self::PeerGone => "peer_gone",
            Self::Socket(Errno::CONNRESET) => "reset",
            Self::Socket(_) => "socket_error",
            Self::Local(_) => "local_close",
            Self::Aborted => "aborted",
            Self::Protocol(_) => "protocol_error",
            Self::Head(_) => "bad_head",
            Self::IdleTimeout => "idle_timeout",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Connect(_) => "connect_failed",
            Self::Status(_) => "http_status",
            Self::Handshake(_) => "bad_handshake",
            Self::SlowConsumer => "slow_consumer",
            Self::Tls(_) => "tls",
            Self::Tunnel(_) => "tunnel",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer {
                code: Some(code),
                reason,
            } if reason.is_empty() => {
                write!(f, "the peer closed with code {}", code.0)
            }
            Self::Peer {
                code: Some(code),
                reason,
            } => {
                write!(f, "the peer closed with code {} ({reason})", code.0)
            }
            Self::Peer { code: None, .. } => f.write_str("the peer closed without a code"),
            Self::PeerGone => f.write_str("the peer ended the stream without a close frame"),
            Self::Socket(errno) => write!(f, "the socket failed: {errno}"),
            Self::Local(code) => write!(f, "closed here with code {}", code.0),
            Self::Aborted => f.write_str("dropped here"),
            Self::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::Head(error) => write!(f, "the peer sent a bad head: {error}"),
            Self::IdleTimeout => f.write_str("nothing arrived for the idle timeout"),
            Self::HandshakeTimeout => f.write_str("no open WebSocket within the handshake timeout"),
            Self::Connect(errno) => write!(f, "connect failed: {errno}"),
            Self::Status(status) => write!(f, "the server answered with HTTP status {status}"),
            Self::Handshake(error) => write!(f, "the server's handshake was invalid: {error}"),
            Self::SlowConsumer => f.write_str("the outbox was full: the peer reads too slowly"),
            Self::Tls(fault) => write!(f, "TLS failed: {fault}"),
            Self::Tunnel(fault) => write!(f, "the proxy gave no tunnel: {fault}"),
            Self::Shutdown => f.write_str("the shard ended"),
        }
    }
}
