//! Which requests become sockets: every check between a request head and its 101.
//!
//! ```text
//!  path ► method ► RFC 6455 ► draining? ► full? ► params ► vsn ► origin ► subprotocol ► Socket::connect ► 101
//!  404     405      400 426     503        503     400     403    403       400 403      the socket's
//! ```
//!
//! Phoenix calls `connect` before it looks at the upgrade headers; here it comes last, so that an
//! application only ever hears of requests that can become sockets. And where Phoenix refuses with an
//! empty body, the reason stands in it: browsers hide both, people with curl do not have to guess.

use std::{net::SocketAddr, sync::Arc};

use hub::{ConnectError, ConnectRequest, Router, Serializer, Socket};
use proto::{
    http::{self, Request},
    phoenix::connect::{Origin, Params, Protocols, choose_protocol, is_websocket_path},
    ws::handshake::{self, Accept},
};

use crate::{config::Config, occupancy::Seats};

/// What stands between requests and the sockets of one shard.
#[derive(Debug)]
pub(crate) struct Gatekeeper<S: Socket> {
    router: Arc<Router<S>>,
    config: Arc<Config>,
    seats: Seats,
}

/// A request that becomes a socket; it has taken a seat, which its end gives back.
pub(crate) struct Admission<S: Socket> {
    pub(crate) serializer: Serializer,
    pub(crate) assigns: S::Assigns,
    accept: Accept,
    protocol: Option<&'static str>,
}

/// Why a request does not: the answer that says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing is served at this path.
    Path,
    /// The server is about to end.
    Draining,
    /// The server holds as many connections as it may.
    Full,
    /// The request breaks RFC 6455 or is no upgrade at all.
    Handshake(handshake::Refusal),
    /// A status, a body that says why, and the reason as a short name.
    Status(u16, String, &'static str),
}

impl<S: Socket> Gatekeeper<S> {
    pub(crate) const fn new(router: Arc<Router<S>>, config: Arc<Config>, seats: Seats) -> Self {
        Self {
            router,
            config,
            seats,
        }
    }

    /// Decides about one request.
    pub(crate) fn admit(
        &mut self,
        request: &Request<'_>,
        peer: SocketAddr,
        draining: bool,
    ) -> Result<Admission<S>, Refusal> {
        if !is_websocket_path(&self.config.path, request.path()) {
            return Err(Refusal::Path);
        }
        if request.method != "GET" {
            return Err(Refusal::Handshake(handshake::Refusal::Method));
        }
        let accept = handshake::accept(request).map_err(Refusal::Handshake)?;
        if draining {
            return Err(Refusal::Draining);
        }
        if self.seats.are_taken() {
            return Err(Refusal::Full);
        }
        let params = Params::parse(request.query().unwrap_or(""), &self.config.limits.params())
            .map_err(|error| Refusal::Status(400, error.to_string(), "params"))?;
        // A `vsn` that is a list or a map is no version, and not the same as none.
        let vsn = params.get("vsn").map(|vsn| vsn.as_text().unwrap_or(""));
        let serializer = Serializer::from_vsn(vsn)
            .map_err(|error| Refusal::Status(403, error.to_string(), "vsn"))?;
        self.check_origin(request)?;
        let Protocols {
            answer: protocol,
            auth_token,
        } = self.choose_protocol(request)?;
        let request = ConnectRequest {
            head: request,
            params: &params,
            auth_token: auth_token.as_deref(),
            peer,
        };
        let assigns = self.router.connect(&request).map_err(Refusal::from)?;
        // Another shard may have given the last seat away meanwhile.
        if !self.seats.take() {
            return Err(Refusal::Full);
        }
        Ok(Admission {
            serializer,
            assigns,
            accept,
            protocol,
        })
    }

    /// Takes back the seat of an admission that has ended.
    pub(crate) fn give_back(&mut self) {
        self.seats.give_back();
    }

    fn check_origin(&self, request: &Request<'_>) -> Result<(), Refusal> {
        let host = request.header("host").unwrap_or_default();
        if self
            .config
            .allows_origin(request.header("origin"), &Origin::of_request("http", host))
        {
            return Ok(());
        }
        Err(Refusal::Status(
            403,
            "this origin may not connect; see check_origin".to_owned(),
            "origin",
        ))
    }

    fn choose_protocol(&self, request: &Request<'_>) -> Result<Protocols, Refusal> {
        choose_protocol(
            request.headers("sec-websocket-protocol"),
            self.config.socket.auth_token,
        )
        .map_err(|error| Refusal::Status(error.status(), error.to_string(), "subprotocol"))
    }
}

impl<S: Socket> Admission<S> {
    /// Appends the 101.
    pub(crate) fn encode(&self, response: &mut Vec<u8>) {
        self.accept.encode(response, self.protocol);
    }
}

impl Refusal {
    /// Every name that [`Refusal::label`] gives.
    pub(crate) const LABELS: [&str; 9] = [
        "path",
        "draining",
        "full",
        "handshake",
        "params",
        "vsn",
        "origin",
        "subprotocol",
        "application",
    ];

    /// A short, bounded name of the reason.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Draining => "draining",
            Self::Full => "full",
            Self::Handshake(_) => "handshake",
            Self::Status(_, _, label) => label,
        }
    }

    /// Appends the answer.
    pub(crate) fn encode(&self, response: &mut Vec<u8>) {
        const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");
        // RFC 9110 §10.2.3: seconds. Clients that spread their returns come back later anyway.
        const LATER: (&str, &str) = ("retry-after", "5");
        match self {
            Self::Path => {
                http::encode_response(response, 404, &[TEXT], b"nothing is served at this path\n");
            }
            Self::Draining => {
                let body = b"this server is about to stop\n";
                http::encode_response(response, 503, &[TEXT, LATER], body);
            }
            Self::Full => {
                let body = b"this server holds as many connections as it may\n";
                http::encode_response(response, 503, &[TEXT, LATER], body);
            }
            Self::Handshake(refusal) => refusal.encode(response),
            Self::Status(status, body, _) if body.is_empty() => {
                http::encode_response(response, *status, &[], b"");
            }
            Self::Status(status, body, _) => {
                http::encode_response(response, *status, &[TEXT], format!("{body}\n").as_bytes());
            }
        }
    }
}

impl From<ConnectError> for Refusal {
    fn from(error: ConnectError) -> Self {
        // The application's status is its own affair as long as it refuses.
        let status = if (400..600).contains(&error.status()) {
            error.status()
        } else {
            403
        };
        Self::Status(status, error.body().to_owned(), "application")
    }
}
