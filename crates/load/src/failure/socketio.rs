//! What can go wrong in a session of Socket.IO.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One class of failure of Socket.IO.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SocketIoFailure {
    /// No ping came for as long as the server itself has set.
    PingTimeout,
    /// The server did not let the client into a namespace; its message.
    NamespaceRefused(String),
    /// The server put the client out of a namespace.
    Disconnected,
    /// The server ended the session (`close` of Engine.IO).
    Closed,
    /// What came was not the data that a step expected.
    DataInvalid,
    /// What came did not match as a step expected.
    MatchFailed,
}

impl SocketIoFailure {
    /// What Artillery calls it, or the client that it uses.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::PingTimeout => "ping timeout",
            Self::NamespaceRefused(message) => message,
            Self::Disconnected => "io server disconnect",
            Self::Closed => "transport close",
            Self::DataInvalid => "data is not valid",
            Self::MatchFailed => "Failed match",
        }
    }

    pub(super) const fn class(&self) -> &'static str {
        match self {
            Self::PingTimeout => "socketio_ping_timeout",
            Self::NamespaceRefused(_) => "socketio_namespace_refused",
            Self::Disconnected => "socketio_disconnected",
            Self::Closed => "socketio_closed",
            Self::DataInvalid => "socketio_data_invalid",
            Self::MatchFailed => "socketio_match_failed",
        }
    }

    pub(super) const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::PingTimeout => Some("the server does not keep up with its own pings"),
            Self::NamespaceRefused(_) => Some(
                "check the namespace, config.socketio.auth and what the server's middleware asks",
            ),
            _ => None,
        }
    }

    pub(super) const fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::NamespaceRefused(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for SocketIoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PingTimeout => f.write_str("Socket.IO: the server's pings ended"),
            Self::NamespaceRefused(message) => {
                write!(f, "Socket.IO: the server refused a namespace: {message}")
            }
            Self::Disconnected => f.write_str("Socket.IO: the server disconnected the client"),
            Self::Closed => f.write_str("Socket.IO: the server closed the session"),
            Self::DataInvalid => f.write_str("Socket.IO: what came was not the data of the step"),
            Self::MatchFailed => f.write_str("Socket.IO: what came was not what match expected"),
        }
    }
}
