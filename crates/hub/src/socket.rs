//! The socket: who may connect, and what is remembered about them.

use core::net::SocketAddr; // an address is a number here; nothing in this crate opens a socket

use proto::{http, phoenix::connect::Params};
use thiserror::Error;

/// What all connections of one mount have in common; `Phoenix.Socket`.
pub trait Socket: Send + Sync + 'static {
    /// What is remembered about a connection, for its channels to read and write.
    type Assigns: 'static;

    /// Decides whether a client may connect. Runs before the connection is upgraded.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; the client is answered with its status. A panic is answered with 500.
    fn connect(&self, request: &ConnectRequest<'_>) -> Result<Self::Assigns, ConnectError>;

    /// The name under which [`Context::disconnect`](crate::Context::disconnect) reaches the
    /// connection, such as `user:42`. Several connections may share it.
    fn id(&self, assigns: &Self::Assigns) -> Option<String> {
        let _ = assigns;
        None
    }
}

/// What a client says when it connects.
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    /// The head of the HTTP request.
    pub head: &'a http::Request<'a>,
    /// The parameters of the query string.
    pub params: &'a Params,
    /// The token that came in the `Sec-WebSocket-Protocol` header.
    pub auth_token: Option<&'a str>,
    /// The other end of the connection.
    pub peer: SocketAddr,
}

/// Why a client may not connect. Browsers see neither the status nor the body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Not allowed: 403 without a body.
    #[error("refused")]
    Refused,
    /// A status and a body of the application's choice, such as 429.
    #[error("refused with status {status}")]
    Status {
        /// The HTTP status, 400 to 599.
        status: u16,
        /// The body of the response.
        body: String,
    },
    /// The application panicked: 500.
    #[error("the application crashed")]
    Crashed,
}

impl<'a> ConnectRequest<'a> {
    /// The text of a parameter.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.text(name)
    }
}

impl ConnectError {
    /// The HTTP status of the refusal.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Refused => 403,
            Self::Status { status, .. } => *status,
            Self::Crashed => 500,
        }
    }

    /// The body of the refusal.
    pub fn body(&self) -> &str {
        match self {
            Self::Refused | Self::Crashed => "",
            Self::Status { body, .. } => body,
        }
    }
}
